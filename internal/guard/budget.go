package guard

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"time"
)

// The size of a budget's memory: 65,536 addresses, about 4 MB. Shards keep the lock of one from being everybody's.
const (
	shards        = 64
	shardCapacity = 1024
)

// burstSeconds is how many seconds' worth of failures an address may have at once: networks that are configured wrongly send
// in bursts, and a person who tries something out must be told what is wrong, not to try later.
const burstSeconds = 4

// pressedPart is what is left of every budget while the server is under pressure.
const pressedPart = 0.1

// Terms are what a [Budget] is made of.
type Terms struct {
	Rate    int              // failed proofs a second that an address may have for long; it may have four times that at once
	Exempt  []netip.Prefix   // addresses that have no limit
	Pressed func() bool      // whether the server has more to do than it can: budgets are a tenth then. Nil: never
	Clock   func() time.Time // nil: the system's
}

// Budget counts the failed proofs of addresses. IPv6 addresses of one /64 count as one. Its memory is bounded: when too
// many addresses fail, those that failed least are forgotten. All methods are safe for concurrent use.
type Budget struct {
	terms  Terms
	seed   maphash.Seed
	shards [shards]shard
}

// shard is a part of the addresses.
type shard struct {
	mu   sync.Mutex // guards owed
	owed map[uint64]debt
}

// debt is how many failures of an address have not been forgiven yet, at a moment.
type debt struct {
	n  float64
	at time.Time
}

// NewBudget makes a budget in which nobody has failed.
func NewBudget(t Terms) *Budget {
	if t.Clock == nil {
		t.Clock = time.Now
	}
	if t.Pressed == nil {
		t.Pressed = func() bool { return false }
	}
	b := &Budget{terms: t, seed: maphash.MakeSeed()}
	for i := range b.shards {
		b.shards[i].owed = map[uint64]debt{}
	}
	return b
}

// Spent says whether an address has failed so often that its next request should be told to try later before anything is
// spent on it. An address that is not valid never has.
func (b *Budget) Spent(a netip.Addr) bool {
	if !a.IsValid() {
		return false
	}
	k := key(a)
	s := b.shard(k)
	s.mu.Lock()
	d, known := s.owed[k]
	s.mu.Unlock()
	if !known { // as with almost every request
		return false
	}
	rate := b.rate()
	return forgiven(d, b.terms.Clock(), rate)+1 > rate*burstSeconds
}

// Failed notes that a request from an address has proved nothing.
func (b *Budget) Failed(a netip.Addr) {
	if !a.IsValid() || listed(b.terms.Exempt, a) {
		return
	}
	k, now, rate := key(a), b.terms.Clock(), b.rate()
	s := b.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	d, known := s.owed[k]
	if !known && len(s.owed) >= shardCapacity {
		s.forget(now, rate)
	}
	s.owed[k] = debt{forgiven(d, now, rate) + 1, now}
}

func (b *Budget) shard(k uint64) *shard {
	return &b.shards[maphash.Comparable(b.seed, k)%shards]
}

// rate is how many failures a second are forgiven now.
func (b *Budget) rate() float64 {
	if b.terms.Pressed() {
		return float64(b.terms.Rate) * pressedPart
	}
	return float64(b.terms.Rate)
}

// forgiven is what is left of a debt. A clock that goes back forgives nothing.
func forgiven(d debt, now time.Time, rate float64) float64 {
	return max(d.n-max(now.Sub(d.at).Seconds(), 0)*rate, 0)
}

// forgetSample is how many addresses are looked at to find one to forget. The order of a map is random.
const forgetSample = 8

// forget makes room for an address. The caller holds mu.
func (s *shard) forget(now time.Time, rate float64) {
	var least uint64
	most := -1.0
	seen := 0
	for k, d := range s.owed {
		left := forgiven(d, now, rate)
		if left == 0 {
			delete(s.owed, k)
			return
		}
		if most < 0 || left < most {
			least, most = k, left
		}
		if seen++; seen == forgetSample {
			break
		}
	}
	delete(s.owed, least)
}
