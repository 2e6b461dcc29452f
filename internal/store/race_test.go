//go:build race

package store

// race says whether the race detector is on, under which SQLite takes twenty times as long.
const race = true
