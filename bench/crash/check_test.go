package main

import (
	"bytes"
	"strconv"
	"strings"
	"testing"
	"time"

	"carom"
)

// sound makes accounts of two events that agree: one delivered at the first attempt, one sent again after a kill.
func sound() *facts {
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	a, b := key{"a", "1", "impression", "valued"}, key{"b", "1", "impression", "valued"}
	back := key{"b", "1", "reversal", ""}
	pa, pb, pc := carom.Ref{Bucket: 1, Seq: 1}, carom.Ref{Bucket: 1, Seq: 2}, carom.Ref{Bucket: 1, Seq: 3}
	heard := map[carom.DeliveryID]bool{"dlv": true}
	return &facts{
		sent: sent{entries: []entry{{key: a, sent: 3, acked: 2}, {key: b, sent: 1}, {key: back, sent: 1}}, postbacks: 5, acked: 2, unknown: 2, refused: map[int]int64{503: 1}},
		received: received{arrivals: map[carom.DeliveryID]*arrival{
			carom.NewDeliveryID(7, pa, 0): {key: a, requests: 1, accepted: []time.Time{start}},
			carom.NewDeliveryID(7, pb, 0): {key: b, requests: 2, accepted: []time.Time{start, start.Add(2 * time.Second)}},
			carom.NewDeliveryID(7, pc, 0): {key: back, requests: 1, accepted: []time.Time{start}},
		}, answers: map[string]int64{answerOK: 4}, bank: bank{
			{carom.NewRewardID(7, 1), carom.RewardGranted}: heard, {carom.NewRewardID(7, 2), carom.RewardGranted}: heard,
			{carom.NewRewardID(7, 2), carom.RewardReversed}: heard,
		}},
		books: books{events: []bookEvent{
			{key: a, place: pa, deliveries: []carom.DeliveryState{carom.Delivered}},
			{key: b, place: pb, deliveries: []carom.DeliveryState{carom.Delivered}},
			{key: back, place: pc, deliveries: []carom.DeliveryState{carom.Delivered}},
		}, rewards: []bookReward{
			{id: carom.NewRewardID(7, 1), view: a.view(), user: strconv.Itoa(userOf("a")), amount: price * 1_000_000_000, state: carom.RewardGranted},
			{id: carom.NewRewardID(7, 2), view: b.view(), user: strconv.Itoa(userOf("b")), amount: price * 1_000_000_000, state: carom.RewardReversed},
		}, ledger: carom.LedgerReport{Faults: []string{}}},
		rate: 2, up: time.Second, kills: []time.Time{start.Add(time.Second)},
	}
}

func TestCheckFindsEachViolation(t *testing.T) {
	stranger := key{"x", "1", "click", "valued"}
	tests := []struct {
		name  string
		spoil func(f *facts)
		lines string // the lines that must break, in order, with commas between
	}{
		{"nothing", func(*facts) {}, ""},
		{"an acknowledged event is gone", func(f *facts) { f.books.events, f.books.rewards = f.books.events[1:], f.books.rewards[1:] },
			"acknowledged events missing,delivery ids that do not name the event they came with"},
		{"an event that was not acknowledged is gone", func(f *facts) {
			f.books.events, f.books.rewards = f.books.events[:1], f.books.rewards[:1]
			delete(f.received.arrivals, carom.NewDeliveryID(7, carom.Ref{Bucket: 1, Seq: 2}, 0))
			delete(f.received.arrivals, carom.NewDeliveryID(7, carom.Ref{Bucket: 1, Seq: 3}, 0))
		}, ""},
		{"a reward is lost", func(f *facts) { f.books.rewards = f.books.rewards[1:] }, "rewards lost: a paid view without one"},
		{"a view is rewarded twice", func(f *facts) {
			r := f.books.rewards[0]
			r.id = carom.NewRewardID(7, 3)
			f.books.rewards = append(f.books.rewards, r)
		}, "views rewarded twice,rewards that the endpoint was never told of"},
		{"a reward of nothing", func(f *facts) {
			f.books.events[0].value = "not_valued"
			f.sent.entries[0].value = "not_valued"
			f.received.arrivals[carom.NewDeliveryID(7, carom.Ref{Bucket: 1, Seq: 1}, 0)].key.value = "not_valued"
		}, "rewards that nothing earned"},
		{"a reward that was taken back still counts", func(f *facts) { f.books.rewards[1].state = carom.RewardGranted }, "rewards of a wrong amount, user or state"},
		{"a reward of another amount", func(f *facts) { f.books.rewards[0].amount++ }, "rewards of a wrong amount, user or state"},
		{"a reward that nobody heard of", func(f *facts) { clear(f.received.bank) }, "rewards that the endpoint was never told of"},
		{"a ledger with a fault", func(f *facts) { f.books.ledger.Faults = []string{"the sum is wrong"} }, "faults in the ledger"},
		{"a key stored twice", func(f *facts) {
			e := f.books.events[0]
			e.place.Seq = 4
			e.deliveries = []carom.DeliveryState{carom.Pending}
			f.books.events = append(f.books.events, e)
		}, "dedupe keys stored twice"},
		{"a key delivered under two ids", func(f *facts) {
			f.received.arrivals[carom.NewDeliveryID(7, carom.Ref{Bucket: 1, Seq: 4}, 0)] = &arrival{key: f.books.events[0].key}
		}, "events that came with two delivery ids,delivery ids that do not name the event they came with"},
		{"an event from nowhere", func(f *facts) {
			f.books.events = append(f.books.events, bookEvent{key: stranger, place: carom.Ref{Bucket: 1, Seq: 4}, deliveries: []carom.DeliveryState{carom.Pending}})
		}, "stored events that nobody sent,rewards lost: a paid view without one"},
		{"a delivery that nobody will send", func(f *facts) { f.books.events[0].deliveries[0] = stateUnexplained },
			"deliveries neither delivered nor pending nor explained"},
		{"a delivery that ended and waits", func(f *facts) { f.books.events[0].deliveries[0] = stateTwice }, "deliveries that ended and still wait"},
		{"a delivery that never arrived", func(f *facts) {
			f.received.arrivals[carom.NewDeliveryID(7, carom.Ref{Bucket: 1, Seq: 1}, 0)].accepted = nil
		}, "deliveries called delivered that the endpoint never accepted"},
		{"an event owed to nobody", func(f *facts) { f.books.events[1].deliveries = nil }, "events not owed to exactly one endpoint"},
		{"too little traffic", func(f *facts) { f.up = 2 * time.Second }, "different events per second while up"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := sound()
			tt.spoil(f)
			l := check(f)
			var broken []string
			for _, x := range l {
				if x.rule != "" && !x.holds {
					broken = append(broken, x.text)
				}
			}
			if got := strings.Join(broken, ","); got != tt.lines || l.violations() != len(broken) {
				t.Errorf("broken lines: %q\nwant: %q", got, tt.lines)
			}
		})
	}
}

func TestLedgerCountsRepeatsByKill(t *testing.T) {
	f := sound()
	a := f.received.arrivals[carom.NewDeliveryID(7, carom.Ref{Bucket: 1, Seq: 1}, 0)]
	a.accepted = append(a.accepted, a.accepted[0].Add(time.Millisecond)) // before the kill
	var out bytes.Buffer
	check(f).print(&out)
	for _, want := range []string{"postbacks accepted twice", "most for one kill", "of them without a kill between", "acknowledged events missing", "must be 0", "holds"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the ledger lacks %q:\n%s", want, out.String())
		}
	}
}
