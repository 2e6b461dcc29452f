package storetest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"carom"
)

// pages returns all ids that f selects, page by page.
func pages(t testing.TB, s *world, f carom.EventFilter) []carom.EventID {
	t.Helper()
	var ids []carom.EventID
	seen := map[carom.EventID]bool{}
	for {
		list, err := s.Events(t.Context(), f)
		if err != nil {
			t.Fatalf("Events(%+v): %v", f, err)
		}
		if len(list) > f.Limit {
			t.Fatalf("Events(%+v) returned %d", f, len(list))
		}
		for _, ev := range list {
			if seen[ev.ID] {
				t.Fatalf("Events(%+v) returned %s a second time", f, ev.ID)
			}
			seen[ev.ID] = true
			ids = append(ids, ev.ID)
		}
		if len(list) == 0 {
			return ids
		}
		f.Before = list[len(list)-1].ID
	}
}

// Searches are compared with a plain look at all events.
func searchFindsAll(t *testing.T, open Opener) {
	s := begin(t, open, Options{BucketEvents: 40})
	rnd := rand.New(rand.NewPCG(1, 2))
	var all []*carom.Event // newest first
	fill := func(n int) {
		t.Helper()
		for range n {
			i := len(all)
			sub := submission("view"+strconv.Itoa(i%90), s.tick())
			sub.Key.Sum[0], sub.Key.Sum[1], sub.Key.Sum[2] = byte(i), byte(i>>8), 0xee // ymids repeat here, keys do not
			ev := sub.Event
			ev.App, ev.Source = []string{"app", "game"}[rnd.IntN(2)], []string{"monetag", "admob"}[rnd.IntN(2)]
			ev.TelegramID, ev.ZoneID = []string{"", "7", "8", "9"}[rnd.IntN(4)], strconv.Itoa(rnd.IntN(3))
			if rnd.IntN(20) == 0 {
				ev.YMID = ""
			}
			accept(t, s, sub)
			all = append([]*carom.Event{ev}, all...)
		}
	}
	check := func(where string) {
		t.Helper()
		filters := []carom.EventFilter{{}, {App: "app"}, {App: "game", Source: "admob"}, {Source: "monetag"}, {YMID: "view3"}, {YMID: "view3", User: "7"},
			{User: "8"}, {User: "8", Zone: "1"}, {Zone: "2"}, {Zone: "2", App: "app"}, {Zone: "0", Source: "admob", User: "9", YMID: "view17"},
			{YMID: "nobody"}, {Zone: "77"}, {App: "nobody"},
			{Since: noon.Add(130 * time.Millisecond)}, {User: "8", Since: noon.Add(70 * time.Millisecond)}}
		for _, f := range filters {
			var want []carom.EventID
			for _, ev := range all {
				if (f.App == "" || f.App == ev.App) && (f.Source == "" || f.Source == ev.Source) && (f.YMID == "" || f.YMID == ev.YMID) &&
					(f.User == "" || f.User == ev.TelegramID) && (f.Zone == "" || f.Zone == ev.ZoneID) && !ev.At.Before(f.Since) {
					want = append(want, ev.ID)
				}
			}
			for _, limit := range []int{7, 1000} {
				f.Limit = limit
				if diff := cmp.Diff(want, pages(t, s, f)); diff != "" {
					t.Errorf("%s: Events(%+v), page by page (-want +got):\n%s", where, f, diff)
				}
			}
		}
	}
	fill(150)
	check("at once")
	fill(150)
	check("with more")
	s.restart(t)
	check("after a restart")
	s.crash(t)
	check("after a crash")
}

// A value with many events that fail another filter is searched in steps, in one pass altogether.
func searchStepsThroughManyHits(t *testing.T, open Opener) {
	s := begin(t, open, Options{})
	subs := acceptMany(t, s, "a", 2500, noon)
	for _, i := range []int{3, 1204, 2499} {
		other := submission("other"+strconv.Itoa(i), s.tick())
		other.Event.Source = "admob"
		subs = append(subs, accept(t, s, other))
	}
	want := []carom.EventID{subs[2502].Receipt.ID, subs[2501].Receipt.ID, subs[2500].Receipt.ID}
	if diff := cmp.Diff(want, pages(t, s, carom.EventFilter{Zone: "1", Source: "admob", Limit: 2})); diff != "" {
		t.Errorf("events of admob in zone 1 (-want +got):\n%s", diff)
	}
	if got := pages(t, s, carom.EventFilter{Zone: "1", Limit: 999}); len(got) != 2503 {
		t.Errorf("%d events in zone 1, want 2503", len(got))
	}
}

func foreignCursors(t *testing.T, open Opener) {
	s := begin(t, open, Options{})
	for _, id := range []carom.EventID{"evt_x", "rcv_0c5g21r0000010000000k", carom.NewEventID(1, carom.Ref{Bucket: 1, Seq: 1})} {
		if _, err := s.Events(t.Context(), carom.EventFilter{Before: id}); !errors.Is(err, carom.ErrInvalid) {
			t.Errorf("Events before %s: %v, want carom.ErrInvalid", id, err)
		}
	}
}

func storyOfWhatIsNotThere(t *testing.T, open Opener) {
	s := begin(t, open, Options{})
	life, ref := place(t, accept(t, s, submission("a", noon)).Receipt.ID)
	for _, tt := range []struct {
		name string
		id   carom.EventID
		want error
	}{
		{"no id", "nonsense", carom.ErrInvalid},
		{"of another life", carom.NewEventID(life+1, ref), carom.ErrNotFound},
		{"of another node", carom.NewEventID(life, carom.Ref{Bucket: ref.Bucket, Node: ref.Node + 1, Seq: ref.Seq}), carom.ErrNotFound},
		{"of a bucket to come", carom.NewEventID(life, carom.Ref{Bucket: ref.Bucket + 8, Node: ref.Node, Seq: 1}), carom.ErrNotFound},
		{"not yet accepted", carom.NewEventID(life, carom.Ref{Bucket: ref.Bucket, Node: ref.Node, Seq: ref.Seq + 1}), carom.ErrNotFound},
	} {
		if _, err := s.Story(t.Context(), tt.id); !errors.Is(err, tt.want) {
			t.Errorf("Story of an id %s: %v, want %v", tt.name, err, tt.want)
		}
		if _, err := s.Event(t.Context(), tt.id); !errors.Is(err, tt.want) {
			t.Errorf("Event of an id %s: %v, want %v", tt.name, err, tt.want)
		}
	}
}

// Searches go on while events come in: whoever is acknowledged is found, the newest first.
func searchBesideAccepts(t *testing.T, open Opener) {
	s := begin(t, open, Options{BucketEvents: 30})
	var acknowledged atomic.Int64
	var wg sync.WaitGroup
	const events = 400
	wg.Go(func() {
		defer acknowledged.Store(events) // also when an accept fails
		for i := range events {
			accept(t, s, submission(fmt.Sprint(i), s.tick()))
			acknowledged.Store(int64(i + 1))
		}
	})
	for worker := range 2 {
		wg.Go(func() {
			for acknowledged.Load() < events && !t.Failed() {
				n := acknowledged.Load()
				f := []carom.EventFilter{{User: "42", Limit: 97}, {Limit: 97}}[worker]
				var got []*carom.Event
				for {
					list, err := s.Events(t.Context(), f)
					if err != nil {
						t.Errorf("Events(%+v): %v", f, err)
						return
					}
					if len(list) == 0 {
						break
					}
					if got = append(got, list...); len(got) > events {
						t.Errorf("found %d of %d events", len(got), events)
						return
					}
					f.Before = list[len(list)-1].ID
				}
				if int64(len(got)) < n {
					t.Errorf("found %d of %d acknowledged events", len(got), n)
				}
				if sorted := slices.IsSortedFunc(got, func(a, b *carom.Event) int { return b.At.Compare(a.At) }); !sorted {
					t.Errorf("not newest first: %v", got)
				}
			}
		})
	}
	wg.Wait()
}
