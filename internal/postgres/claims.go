package postgres

import "sync"

// claims remembers which rows of the due table are in this node's hands, as the rows say too.
type claims struct {
	mu   sync.Mutex // guards held, and the maps in it
	rows map[int]map[claimKey]struct{}
}

// claimKey names a due row of one endpoint.
type claimKey struct {
	place   int64
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

func (c *claims) has(endpoint int, k claimKey) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, ok := c.rows[endpoint][k]
	return ok
}

// forget drops them all: the lease under which they were claimed is lost.
func (c *claims) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.rows)
}

// returned are rows of the due table that this node lets go of with its next commit.
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
