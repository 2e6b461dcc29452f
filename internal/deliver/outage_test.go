package deliver

import (
	"testing"
	"testing/synctest"
	"time"

	"carom"
)

// A backend is down for four days, refusing and hanging in turn. What it is owed of rewards all arrives afterwards, in the order
// in which it became due; events, whose deadline is three days, expire as they are told to, and the lane says why at any time.
func TestFourDaysDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const down = 4 * 24 * time.Hour
		begin := time.Now()
		script := func(x exchange) answer {
			switch since := x.at.Sub(begin); {
			case since >= down:
				return answer{took: time.Millisecond}
			case int(since.Hours())%2 == 0:
				return answer{status: 503, took: time.Millisecond}
			}
			return answer{status: 504, took: 10 * time.Second}
		}
		rewards := func(e *carom.Endpoint) {
			of := carom.Endpoint{Sends: carom.SendsRewards}
			e.Deadline = of.WithDefaults().Deadline // what endpoints have that get rewards
		}
		r := newRig(t, script, options{}, endpoint(t, 1, rewards), endpoint(t, 2, nil))
		var owed, events, late []carom.DeliveryID
		for range 8 { // all through the first four hours
			owed = append(owed, r.send(1, 25)...)
			events = append(events, r.send(2, 5)...)
			r.pass(30 * time.Minute)
		}
		r.pass(3 * 24 * time.Hour)
		if l := r.lane(1); l.Breaker != "open" || l.LastFailure == "" || l.Since.IsZero() || l.Since.Sub(begin) > time.Hour {
			t.Errorf("after three days the lane says %+v, want it open since the beginning, and why", l)
		}
		r.wantStates(owed, carom.Pending)
		r.wantStates(events, carom.Expired)
		late = append(late, r.send(1, 10)...)
		r.pass(down - time.Since(begin) + time.Hour)
		r.wantStates(owed, carom.Delivered)
		r.wantStates(late, carom.Delivered)
		if attempts := len(r.client.seen(host(1))); attempts > int(down.Minutes())+2*210 {
			t.Errorf("%d attempts in four days: a dead backend is asked more than about once a minute", attempts)
		}
	})
}
