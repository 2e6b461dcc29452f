package deliver

import (
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"carom"
	"carom/internal/route"
)

// TestStress lets everything happen at once, at random, and then checks that every delivery ended exactly once. The fakes
// report attempts after the end, two at the same time, wrong numbers, and claims that overlap.
func TestStress(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { stress(t, seed, nil, func() {}) })
		})
	}
}

// stress calls also between any two steps.
func stress(t *testing.T, seed uint64, peers *fakePeers, also func()) {
	rnd := rand.New(rand.NewPCG(seed, 1))
	const lanes = 8
	var ill [lanes + 1]atomic.Bool
	var salt atomic.Uint64
	script := func(x exchange) answer {
		n := rand.New(rand.NewPCG(seed, salt.Add(1))).IntN(100)
		var no int
		if _, err := fmt.Sscanf(x.endpoint, "e%d.", &no); err != nil {
			panic(err)
		}
		took := time.Duration(n) * time.Millisecond
		switch {
		case ill[no].Load() && n < 95:
			return answer{status: 503, took: took}
		case n < 5:
			return answer{status: 404, took: took, retryAfter: "7"}
		case n < 7:
			return answer{took: time.Hour}
		case n < 8:
			return answer{panics: true}
		case n < 9:
			return answer{status: 410}
		}
		return answer{took: took}
	}
	settings := func(no int) *route.Endpoint {
		return endpoint(t, no, func(e *carom.Endpoint) {
			e.Concurrency = 1 + rnd.IntN(40)
			e.Rate = float64(rnd.IntN(3) * 150)
			e.Paused = rnd.IntN(8) == 0
			e.Once = no == 7
			e.Deadline = time.Hour
		})
	}
	store := newFakeStore()
	var ids []carom.DeliveryID
	for no := 1; no <= lanes+2; no++ { // two of them are unknown
		ids = append(ids, store.backlog(no, 200, time.Minute)...)
	}
	var endpoints []*route.Endpoint
	for no := 1; no <= lanes; no++ {
		endpoints = append(endpoints, settings(no))
	}
	o := options{store: store, lag: 7 * time.Millisecond, slow: 3 * time.Millisecond,
		Options: Options{MaxInFlight: 60, MaxQueued: 400, Random: rand.Float64}}
	if peers != nil {
		o.Peers = peers
	}
	r := newRig(t, script, o, endpoints...)
	var all []int
	for no := 1; no <= lanes; no++ {
		all = append(all, no)
	}
	for range 600 {
		also()
		for range rnd.IntN(8) {
			ids = append(ids, r.event(all[rnd.IntN(len(all)):]...)...)
		}
		switch i := rnd.IntN(len(endpoints)); rnd.IntN(30) {
		case 0:
			endpoints[i] = settings(endpoints[i].No)
			r.e.SetEndpoints(endpoints)
		case 1:
			if len(endpoints) > 5 && rnd.IntN(4) == 0 {
				endpoints = append(endpoints[:i:i], endpoints[i+1:]...)
				r.e.SetEndpoints(endpoints)
			}
		case 2, 3:
			ill[endpoints[i].No].Store(rnd.IntN(2) == 0)
		case 4:
			store.failReads(carom.ErrUnavailable)
			time.AfterFunc(2*time.Second, func() { store.failReads(nil) })
		case 5:
			r.e.Wake(endpoints[i].No)
		}
		<-time.After(time.Duration(rnd.IntN(60)) * time.Millisecond)
	}
	for i := range endpoints {
		ill[endpoints[i].No].Store(false)
		endpoints[i] = endpoint(t, endpoints[i].No, func(e *carom.Endpoint) { e.Deadline = time.Hour })
	}
	r.e.SetEndpoints(endpoints)
	if peers != nil {
		peers.set(1, 0)
		peers.holdAs(nil)
	}
	r.pass(70 * time.Minute)
	ended := map[carom.DeliveryState]int{}
	for _, id := range ids {
		ended[store.state(id)]++
	}
	if ended[carom.Pending] > 0 || ended[carom.Delivered] < len(ids)/2 {
		t.Errorf("seed %d: of %d deliveries %v", seed, len(ids), ended)
	}
	if store.tally().rows+store.tally().memory+store.tally().held > 0 {
		t.Errorf("seed %d: the store still holds %d due rows, %d in memory, %d claims", seed, store.tally().rows, store.tally().memory, store.tally().held)
	}
	if r.client.most("") > 60 {
		t.Errorf("seed %d: %d attempts at the same time, want at most 60", seed, r.client.most(""))
	}
	if n := r.e.queued.Load(); n != 0 {
		t.Errorf("seed %d: %d places in memory are still counted", seed, n)
	}
}
