package deliver

import (
	"testing"
	"testing/synctest"
	"time"

	"carom"
	"carom/internal/route"
)

func TestHangingLanesCannotStopAHealthyOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const healthy = 100
		var endpoints []*route.Endpoint
		for no := 1; no <= healthy; no++ {
			endpoints = append(endpoints, endpoint(t, no, nil))
		}
		script := func(x exchange) answer {
			if x.endpoint == host(healthy) {
				return answer{took: 2 * time.Millisecond}
			}
			return answer{took: time.Minute} // until the timeout, after 10 s
		}
		r := newRig(t, script, options{Options: Options{MaxInFlight: 400}}, endpoints...)
		for range 20 {
			for no := 1; no < healthy; no++ {
				r.event(no)
			}
		}
		synctest.Wait()
		for i := range 600 { // 200 per second for 3 s
			begin := time.Now()
			id := r.event(healthy)
			r.pass(5 * time.Millisecond)
			r.wantStates(id, carom.Delivered)
			seen := r.client.seen(host(healthy))
			if len(seen) != i+1 {
				t.Fatalf("event %d: %d attempts were made", i, len(seen))
			}
			if at := seen[len(seen)-1].at; !at.Equal(begin) {
				t.Fatalf("event %d left %v late", i, at.Sub(begin))
			}
		}
		if r.client.most("") > 400 || r.client.most("") < 200 {
			t.Errorf("%d attempts at the same time, want the common half at least, and no more than 400", r.client.most(""))
		}
	})
}

func TestPlacesAtTheGateGoByTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var endpoints []*route.Endpoint
		store := newFakeStore()
		for no := 1; no <= 4; no++ {
			endpoints = append(endpoints, endpoint(t, no, nil))
			store.backlog(no, 300, time.Minute)
		}
		r := newRig(t, always(answer{took: 100 * time.Millisecond}), options{store: store, Options: Options{MaxInFlight: 16}}, endpoints...)
		r.pass(3 * time.Second)
		least, most := len(r.times(1)), 0
		for no := 1; no <= 4; no++ {
			least, most = min(least, len(r.times(no))), max(most, len(r.times(no)))
		}
		if least < 55 || most > least*3/2 {
			t.Errorf("the lanes made %d to %d attempts in 3 s, want about equally many, and half of the places used throughout", least, most)
		}
		if r.client.most("") > 16 {
			t.Errorf("%d attempts at the same time, want at most 16", r.client.most(""))
		}
		r.pass(time.Minute)
	})
}

func TestMoreLanesThanPlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var endpoints []*route.Endpoint
		store := newFakeStore()
		var ids []carom.DeliveryID
		for no := 1; no <= 20; no++ {
			endpoints = append(endpoints, endpoint(t, no, nil))
			ids = append(ids, store.backlog(no, 5, time.Minute)...)
		}
		for _, places := range []int{1, 2, 3} {
			r := newRig(t, always(answer{took: 100 * time.Millisecond}), options{store: store, Options: Options{MaxInFlight: places}}, endpoints...)
			// A hundred attempts through one to three places, none of which may stand empty for a tick of the engine.
			r.pass(time.Duration(100/max(1, places/2))*100*time.Millisecond + 500*time.Millisecond)
			r.wantStates(ids, carom.Delivered)
			if r.client.most("") > places {
				t.Errorf("%d attempts at the same time, want at most %d", r.client.most(""), places)
			}
			r.stop()
			for no := 1; no <= 20; no++ {
				ids = append(ids, store.backlog(no, 5, time.Minute)...)
			}
		}
	})
}

func TestLostTurnsArePassedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		paused := func(no int) *route.Endpoint { return endpoint(t, no, func(e *carom.Endpoint) { e.Paused = true }) }
		r := newRig(t, always(answer{took: 300 * time.Millisecond}), options{Options: Options{MaxInFlight: 1}},
			endpoint(t, 1, nil), endpoint(t, 2, nil), endpoint(t, 3, nil), endpoint(t, 4, nil))
		r.send(1, 1)
		kept := append(r.send(2, 1), r.send(3, 1)...)
		last := r.send(4, 1)
		r.e.SetEndpoints([]*route.Endpoint{endpoint(t, 1, nil), paused(2), endpoint(t, 4, nil)}) // 3 is deleted
		r.pass(600 * time.Millisecond)
		r.wantStates(last, carom.Delivered)
		r.wantStates(kept[:1], carom.Pending)
		r.wantStates(kept[1:], carom.Dead)
		if times := r.times(4); times[0] != 300*time.Millisecond {
			t.Errorf("lane 4 had its turn after %v, want 300ms", times[0])
		}
	})
}
