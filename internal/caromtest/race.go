//go:build race

package caromtest

// Race says whether the race detector is on, under which everything takes about ten times as long.
const Race = true
