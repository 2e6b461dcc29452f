// Package guard keeps the door usable while somebody abuses it: it bounds connections and closes those that do nothing first,
// ends the wait for readers that do not read, and keeps a budget of failed proofs for each address.
//
// [Connections] wraps the listeners and the handler of a server. At its ceiling a new connection is taken all the same, and
// the one that has waited longest for a request, or for the rest of one, is closed: whoever sends whole requests stays.
// [Budget] says which addresses have failed to prove themselves so often that nothing more is spent on them for now. [Fit]
// divides the files that the process may open.
//
// The package decides nothing about requests and stores nothing. All its memory is bounded.
package guard

import (
	"net/netip"
)

// key is what counts as one address: an IPv4 address, or the /64 of an IPv6 address, which is the least that a customer of a
// provider has. The two cannot meet: what an IPv4 address becomes here is in no network that is routed.
func key(a netip.Addr) uint64 {
	if a = a.Unmap(); a.Is4() {
		b := a.As4()
		return 0xffff<<32 | uint64(b[0])<<24 | uint64(b[1])<<16 | uint64(b[2])<<8 | uint64(b[3])
	}
	var k uint64
	b := a.As16()
	for _, x := range b[:8] {
		k = k<<8 | uint64(x)
	}
	return k
}

// listed says whether one of the networks has the address.
func listed(networks []netip.Prefix, a netip.Addr) bool {
	for _, n := range networks {
		if n.Contains(a) {
			return true
		}
	}
	return false
}

// filesReserve is what a process opens besides connections: the database with its readers, listeners, and an index for each
// closed bucket, which is kept for as long as duplicates are known, a month or more.
const filesReserve = 256

// Fit divides the files that a process may open between inbound connections and attempts, each of which needs one. It returns
// the two wishes where they fit. Else attempts get a third at most, connections what is left, and lowered is true.
func Fit(files, connections, attempts int) (maxConnections, maxAttempts int, lowered bool) {
	usable := max(files-filesReserve, files/2)
	if usable-attempts >= connections {
		return connections, attempts, false
	}
	maxAttempts = max(min(attempts, usable/3), 1)
	maxConnections = max(min(connections, usable-maxAttempts), 1)
	return maxConnections, maxAttempts, true
}

// FilesFor is the least number of files with which [Fit] lowers nothing.
func FilesFor(connections, attempts int) int { return connections + attempts + filesReserve }
