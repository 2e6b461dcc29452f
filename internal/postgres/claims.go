package postgres

import "sync"

// claims remembers which rows of the due table are in this node's hands, as the rows say too. Each claim has a number of its own:
// whoever still holds a delivery of an earlier claim cannot take it for the one that was claimed since.
type claims struct {
	mu   sync.Mutex // guards all below
	last uint64
	rows map[int]map[claimKey]uint64 // by endpoint
}

// claimKey names a due row of one endpoint.
type claimKey struct {
	place   int64
	ordinal int
}

func (c *claims) init() { c.rows = map[int]map[claimKey]uint64{} }

// number gives out the number of a claim.
func (c *claims) number() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last++
	return c.last
}

func (c *claims) take(endpoint int, k claimKey, number uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := c.rows[endpoint]
	if m == nil {
		m = map[claimKey]uint64{}
		c.rows[endpoint] = m
	}
	m[k] = number
}

// release ends the claim with that number. One that was made since stands.
func (c *claims) release(endpoint int, k claimKey, number uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.rows[endpoint][k] == number {
		delete(c.rows[endpoint], k)
	}
}

func (c *claims) has(endpoint int, k claimKey, number uint64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	newest, ok := c.rows[endpoint][k]
	return ok && newest == number
}

// forget drops them all: the lease under which they were claimed is lost.
func (c *claims) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.rows)
}

// returned are rows of the due table that this node lets go of with its next commit. Each names the node that had claimed it.
type returned struct {
	mu   sync.Mutex // guards rows
	rows []dueRow
}

func (r *returned) put(rows []dueRow) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rows = append(r.rows, rows...)
}

func (r *returned) take() []dueRow {
	r.mu.Lock()
	defer r.mu.Unlock()
	rows := r.rows
	r.rows = nil
	return rows
}

func (r *returned) waiting() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.rows) > 0
}
