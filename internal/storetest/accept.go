package storetest

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"carom"
)

func acceptsOnce(t *testing.T, open Opener) {
	s := begin(t, open, Options{})
	a := accept(t, s, submission("a", noon))
	wantCopy(t, s, submission("a", noon), a.Receipt.ID)
	s.restart(t)
	wantCopy(t, s, submission("a", noon), a.Receipt.ID)
	if trouble := s.Trouble(); trouble != (carom.Trouble{}) {
		t.Errorf("Trouble = %+v, want none", trouble)
	}
	events, err := s.Events(t.Context(), carom.EventFilter{YMID: "a"})
	if err != nil || len(events) != 1 || events[0].ID != a.Receipt.ID {
		t.Fatalf("Events = %v, %v, want the one of %s", events, err, a.Receipt.ID)
	}
}

func keepsEveryField(t *testing.T, open Opener) {
	s := begin(t, open, Options{})
	sub := submission("a", noon.Add(123456789*time.Nanosecond), direct(3), later(700))
	sub.Event.SubZoneID, sub.Event.RequestVar, sub.Event.ExternalID = "8790999", "bonus-btn", "order/7"
	sub.Event.Fields = []carom.Field{{Name: "country", Value: "de"}, {Name: "odd", Value: "a\x00b \xff 'quoted' 日本"}}
	sub.Event.Flags, sub.Event.Held = carom.FlagHeld|carom.FlagTest, "unknown_value"
	sub.Event.Received.Header = []carom.Field{{Name: "User-Agent", Value: "Monetag/1.0"}}
	sub.Event.Received.ContentType = "application/json"
	sub.Event.Received.Body = []byte(strings.Repeat("{\"ymid\":\"a\"}\x00\xff", 256<<10/14)) // as large as they come
	sub.Event.Received.Client = netip.MustParseAddr("2001:db8::7")
	accept(t, s, sub)

	want := *sub.Event
	want.Received.At = want.At // milliseconds
	// JSON replaces what is not UTF-8; the door refuses such postbacks.
	want.Fields[1].Value = strings.ToValidUTF8(want.Fields[1].Value, "\ufffd")
	for _, when := range []string{"at first", "after a restart", "after a crash"} {
		switch when {
		case "after a restart":
			s.restart(t)
		case "after a crash":
			s.crash(t)
		}
		story, err := s.Story(t.Context(), sub.Receipt.ID)
		if err != nil {
			t.Fatalf("%s: Story: %v", when, err)
		}
		if diff := cmp.Diff(&want, story.Event, cmpopts.EquateComparable(netip.Addr{}), cmp.Comparer(bytes.Equal)); diff != "" {
			t.Errorf("%s: stored event (-want +got):\n%s", when, diff)
		}
		if len(story.Deliveries) != 2 || story.Deliveries[0].Endpoint != "#3" || story.Deliveries[1].Endpoint != "#700" {
			t.Errorf("%s: deliveries = %+v, want one to #3 and one to #700", when, story.Deliveries)
		}
		if ev, err := s.Event(t.Context(), sub.Receipt.ID); err != nil || cmp.Diff(story.Event, ev, cmpopts.EquateComparable(netip.Addr{}), cmp.Comparer(bytes.Equal)) != "" {
			t.Errorf("%s: Event = %+v, %v, want that of its story", when, ev, err)
		}
	}
}

func copiesInOneCall(t *testing.T, open Opener) {
	s := begin(t, open, Options{})
	var subs []*carom.Submission
	for i := range 700 {
		subs = append(subs, submission(fmt.Sprint(i%7), noon))
	}
	s.Accept(subs...)
	for i, sub := range subs {
		first := subs[i%7].Receipt.ID
		if sub.Err != nil || sub.Receipt.Duplicate != (i >= 7) || sub.Receipt.ID != first {
			t.Fatalf("submission %d: err %v, receipt %+v, want duplicate %v of %s", i, sub.Err, sub.Receipt, i >= 7, first)
		}
	}
}

func copiesInParallel(t *testing.T, open Opener) {
	const keys, copies = 50, 200
	s := begin(t, open, Options{BucketEvents: 10})
	var mu sync.Mutex // guards ids and accepted
	ids, accepted := map[string]carom.EventID{}, map[string]int{}
	var wg sync.WaitGroup
	for range copies {
		wg.Go(func() {
			for k := range keys {
				sub := submission(fmt.Sprint("key", k), noon)
				s.Accept(sub)
				mu.Lock()
				if sub.Err != nil {
					t.Errorf("Accept: %v", sub.Err)
				}
				if known := ids[sub.Event.YMID]; known != "" && known != sub.Receipt.ID {
					t.Errorf("%s is both %s and %s", sub.Event.YMID, known, sub.Receipt.ID)
				}
				ids[sub.Event.YMID] = sub.Receipt.ID
				if !sub.Receipt.Duplicate {
					accepted[sub.Event.YMID]++
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	for k, n := range accepted {
		if n != 1 {
			t.Errorf("%s was accepted %d times, want once", k, n)
		}
	}
	if len(accepted) != keys {
		t.Errorf("%d keys were accepted, want %d", len(accepted), keys)
	}
	want := map[string]int64{carom.OutcomeUnmatched: keys, carom.OutcomeDuplicate: keys * (copies - 1)}
	if diff := cmp.Diff(want, outcomes(t, s)); diff != "" {
		t.Errorf("counts by outcome (-want +got):\n%s", diff)
	}
}

// Whoever finds no place in the queue is told to try later, and nothing of theirs is stored; all others are stored.
func fullQueue(t *testing.T, open Opener) {
	s := begin(t, open, Options{MaxQueue: 4})
	subs := make([]*carom.Submission, 300)
	var wg sync.WaitGroup
	for i := range subs {
		subs[i] = submission(fmt.Sprint(i), noon)
		wg.Go(func() { s.Accept(subs[i]) })
	}
	wg.Wait()
	stored := 0
	for _, sub := range subs {
		if sub.Err == nil {
			stored++
			continue
		}
		wantUnavailable(t, "Accept", sub.Err)
		if sub.Receipt.ID != "" {
			t.Errorf("%s has the receipt %+v though it was refused", sub.Event.YMID, sub.Receipt)
		}
	}
	if got := outcomes(t, s)[carom.OutcomeUnmatched]; stored == 0 || got != int64(stored) {
		t.Errorf("%d of %d were acknowledged, %d are counted", stored, len(subs), got)
	}
	for _, sub := range subs {
		if sub.Err != nil {
			accept(t, s, submission(sub.Event.YMID, noon))
		}
	}
}

// Each of those who call while the store ends is told the truth: it is stored, or they have to try later.
func endAnswersEverybody(t *testing.T, open Opener) {
	s := begin(t, open, Options{})
	before := accept(t, s, submission("before", noon))
	var subs []*carom.Submission
	started := make(chan struct{}, 8*200) // one for each submission of the loop below
	var wg sync.WaitGroup
	for worker := range 8 {
		var mine []*carom.Submission
		for i := range 200 {
			mine = append(mine, submission(fmt.Sprint(worker, " ", i), noon))
		}
		subs = append(subs, mine...)
		wg.Go(func() {
			for _, sub := range mine {
				s.Accept(sub)
				started <- struct{}{}
			}
		})
	}
	for range 100 {
		<-started
	}
	s.stop(t)
	wg.Wait()
	s.start(t)
	wantCopy(t, s, submission("before", noon), before.Receipt.ID)
	for _, sub := range subs {
		again := submission(sub.Event.YMID, noon)
		s.Accept(again)
		switch {
		case again.Err != nil:
			t.Fatalf("Accept(%s) after the start: %v", again.Event.YMID, again.Err)
		case sub.Err == nil && (!again.Receipt.Duplicate || again.Receipt.ID != sub.Receipt.ID):
			t.Errorf("%s was acknowledged as %s, and is %+v after the start", sub.Event.YMID, sub.Receipt.ID, again.Receipt)
		case sub.Err != nil:
			wantUnavailable(t, "Accept", sub.Err)
			if again.Receipt.Duplicate {
				t.Errorf("%s was refused, and is a copy after the start", sub.Event.YMID)
			}
		}
	}
}

func nothingAfterTheEnd(t *testing.T, open Opener) {
	s := begin(t, open, Options{})
	d := delivery(accept(t, s, submission("a", noon, direct(1))), 0)
	s.stop(t)
	late := submission("late", noon)
	s.Accept(late)
	wantUnavailable(t, "Accept after the end", late.Err)
	wantUnavailable(t, "Record after the end", s.Record(d, attempt(d, carom.Delivered, noon, time.Time{})))
	wantUnavailable(t, "Defer after the end", s.Defer(d, noon))
	wantUnavailable(t, "Begin after the end", s.Begin(t.Context(), d))
	wantUnavailable(t, "Refuse after the end", s.Refuse(refused("app", "monetag", noon)))
	if err := s.Close(); err != nil {
		t.Errorf("Close twice: %v", err)
	}
	s.start(t)
	accept(t, s, submission("late", noon))
}
