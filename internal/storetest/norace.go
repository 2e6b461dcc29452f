//go:build !race

package storetest

// race says whether the race detector is on, under which a store may take twenty times as long.
const race = false
