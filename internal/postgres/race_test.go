//go:build race

package postgres

// race says whether the race detector is on, under which nothing keeps up with a rate.
const race = true
