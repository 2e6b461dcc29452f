//go:build race

package view

// race says whether the race detector is on, under which memory says nothing.
const race = true
