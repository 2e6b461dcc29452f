package store

import (
	"maps"
	"sync"
)

// claims remembers which rows of the due table are in somebody's hands. In one process a claim needs no row of its own:
// after a restart everything that has not ended is due again.
type claims struct {
	mu   sync.Mutex // guards held, and the maps in it
	rows map[int]map[claimKey]struct{}
}

// claimKey names a due row of one endpoint.
type claimKey struct {
	event   uint64
	ordinal int
}

func (c *claims) init() { c.rows = map[int]map[claimKey]struct{}{} }

func (c *claims) take(endpoint int, k claimKey) {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := c.rows[endpoint]
	if m == nil {
		m = map[claimKey]struct{}{}
		c.rows[endpoint] = m
	}
	m[k] = struct{}{}
}

func (c *claims) release(endpoint int, k claimKey) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.rows[endpoint], k)
}

// held returns a copy of what is claimed for an endpoint. Taken before a query, it covers every row that the query can see
// in an old state: a row leaves the claims only after the commit that changed it.
func (c *claims) held(endpoint int) map[claimKey]struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.rows[endpoint])
}
