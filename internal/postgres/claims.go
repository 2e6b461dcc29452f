package postgres

import (
	"slices"
	"sync"
	"time"
)

// claims remembers which rows of the due table are in this node's hands, as the rows say too. Each claim has a number of its own:
// whoever still holds a delivery of an earlier claim cannot take it for the one that was claimed since.
type claims struct {
	mu   sync.Mutex // guards all below
	last uint64
	rows map[int]map[claimKey]uint64 // by endpoint
	lost map[int]time.Time           // endpoints of claims whose answer never came; from then on, by the database's clock, they take nothing more

	making sync.RWMutex // held for reading by a claim until its rows are here, for writing by whoever looks for lost ones
}

// claimKey names a due row of one endpoint.
type claimKey struct {
	place   int64
	ordinal int
}

func (c *claims) init() {
	c.rows, c.lost = map[int]map[claimKey]uint64{}, map[int]time.Time{}
}

// lose notes that a claim may have taken rows of which this node knows nothing. It takes none after the given time.
func (c *claims) lose(endpoint int, until time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lost[endpoint] = until
}

// found takes the note back.
func (c *claims) found(endpoint int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.lost, endpoint)
}

// lostBefore returns the endpoints of lost claims that can take nothing more.
func (c *claims) lostBefore(now time.Time) (endpoints []int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for endpoint, until := range c.lost {
		if now.After(until) {
			endpoints = append(endpoints, endpoint)
		}
	}
	return endpoints
}

// knows says whether the row is in this node's hands, under whichever claim.
func (c *claims) knows(endpoint int, k claimKey) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, known := c.rows[endpoint][k]
	return known
}

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
	clear(c.lost)
}

// returned are rows of the due table that this node lets go of with its next commit. Each names the node that had claimed it.
type returned struct {
	mu   sync.Mutex // guards all below
	rows []dueRow
	open map[returnKey]int // those put here whose return is in no commit yet, and how often
}

type returnKey struct {
	endpoint int
	claimKey
}

func (r *returned) init() { r.open = map[returnKey]int{} }

func returnKeyOf(row dueRow) returnKey {
	return returnKey{row.endpoint, claimKey{row.place, row.ordinal}}
}

// put takes up rows that are let go of.
func (r *returned) put(rows []dueRow) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rows = append(r.rows, rows...)
	for _, row := range rows {
		r.open[returnKeyOf(row)]++
	}
}

// again takes up rows whose return has failed.
func (r *returned) again(rows []dueRow) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rows = append(r.rows, rows...)
}

// done notes that rows were returned.
func (r *returned) done(rows []dueRow) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, row := range rows {
		k := returnKeyOf(row)
		if r.open[k]--; r.open[k] <= 0 {
			delete(r.open, k)
		}
	}
}

// openOf returns the rows of an endpoint that are about to be returned. A claim leaves them alone: the return, which comes later, would
// take them out of its hands again.
func (r *returned) openOf(endpoint int) (places []int64, ordinals []int32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for k := range r.open {
		if k.endpoint == endpoint {
			places, ordinals = append(places, k.place), append(ordinals, int32(k.ordinal))
		}
	}
	return places, ordinals
}

// knows says whether the row is about to be returned.
func (r *returned) knows(k returnKey) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.open[k] > 0
}

// forget drops them all: the lease under which they were claimed is lost.
func (r *returned) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rows = nil
	clear(r.open)
}

func (r *returned) take() []dueRow {
	r.mu.Lock()
	defer r.mu.Unlock()
	rows := r.rows
	r.rows = nil
	return rows
}

// of takes those of one endpoint.
func (r *returned) of(endpoint int) []dueRow {
	r.mu.Lock()
	defer r.mu.Unlock()
	var rows []dueRow
	r.rows = slices.DeleteFunc(r.rows, func(row dueRow) bool {
		if row.endpoint != endpoint {
			return false
		}
		rows = append(rows, row)
		return true
	})
	return rows
}

func (r *returned) waiting() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.rows) > 0
}
