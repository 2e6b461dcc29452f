// Package watch keeps the newest received and sent postbacks in memory, while somebody watches.
//
// The door and the lanes put in what has happened; live feeds take it out, each at its own pace. Nobody who puts something in waits for
// anybody: who reads too slowly misses some, and is told how many. While nobody watches, nothing is kept.
package watch

import (
	"fmt"
	"sync"
	"sync/atomic"

	"carom"
)

const (
	kept      = 8192 // of what has happened: four seconds at 2,000 a second
	followers = 64   // at a time
)

// Ring holds what has happened last. The zero value is ready. All methods are safe for concurrent use.
type Ring struct {
	watched atomic.Int64 // followers; read without the lock by who puts something in

	mu    sync.Mutex // guards all below
	items []carom.Watched
	next  uint64 // the number of the next item; that of the number n lies at n % kept
}

// Put takes up what has happened. What it points to does not change any more.
func (r *Ring) Put(w carom.Watched) {
	if r.watched.Load() == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.items == nil {
		return // the last follower has just gone
	}
	r.items[r.next%kept] = w
	r.next++
}

// Watched says whether anybody watches, so that what is dear to put together need not be.
func (r *Ring) Watched() bool { return r.watched.Load() > 0 }

// Follow begins to follow what happens from now on; Close it. It returns carom.ErrUnavailable when there are too many who do.
func (r *Ring) Follow() (*Follower, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.watched.Load() >= followers {
		return nil, fmt.Errorf("%d feeds are open already: close one, or try later: %w", followers, carom.ErrUnavailable)
	}
	if r.watched.Add(1) == 1 {
		r.items = make([]carom.Watched, kept)
	}
	return &Follower{ring: r, at: r.next}, nil
}

// Follower is one who follows. One goroutine uses it.
type Follower struct {
	ring   *Ring
	at     uint64 // the number of the first item that was not taken
	closed bool
}

// Take returns what has happened since the last call, oldest first: at most the newest so many. skipped is how many were left out.
func (f *Follower) Take(most int) (list []carom.Watched, skipped int) {
	r := f.ring
	r.mu.Lock()
	defer r.mu.Unlock()
	if f.closed {
		return nil, 0
	}
	from := f.at
	if n := r.next - from; n > uint64(min(most, kept)) {
		from = r.next - uint64(min(most, kept))
	}
	skipped = int(from - f.at)
	for ; from < r.next; from++ {
		list = append(list, r.items[from%kept])
	}
	f.at = r.next
	return list, skipped
}

// Close ends the following. Twice is once.
func (f *Follower) Close() {
	r := f.ring
	r.mu.Lock()
	defer r.mu.Unlock()
	if f.closed {
		return
	}
	if f.closed = true; r.watched.Add(-1) == 0 {
		r.items = nil
	}
}
