package storetest

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"carom"
)

func startFeed(t testing.TB, s *world, f carom.EventFilter, after carom.EventID) carom.Feed {
	t.Helper()
	feed, err := s.StartFeed(t.Context(), f, after)
	if err != nil {
		t.Fatalf("StartFeed(%+v) behind %q: %v", f, after, err)
	}
	return feed
}

func behind(t testing.TB, s *world, f carom.EventFilter, c carom.FeedCursor) carom.Feed {
	t.Helper()
	feed, err := s.EventsBehind(t.Context(), f, c)
	if err != nil {
		t.Fatalf("EventsBehind(%+v, %v): %v", f, c, err)
	}
	return feed
}

// compareFeed compares what a feed shows, by ymids.
func compareFeed(t testing.TB, when string, got carom.Feed, skipped bool, want ...string) {
	t.Helper()
	var ymids []string
	for _, ev := range got.Events {
		ymids = append(ymids, ev.YMID)
	}
	if diff := cmp.Diff(want, ymids); diff != "" || got.Skipped != skipped {
		t.Errorf("%s: skipped %t, want %t; events (-want +got):\n%s", when, got.Skipped, skipped, diff)
	}
}

// add accepts an event of an app at the next moment.
func add(t testing.TB, s *world, app, ymid string) *carom.Submission {
	t.Helper()
	sub := submission(ymid, s.tick())
	sub.Event.App = app
	return accept(t, s, sub)
}

// A feed shows each event once, whatever it selects, over time buckets and restarts.
func feedFollows(t *testing.T, open Opener) {
	s := begin(t, open, Options{BucketEvents: 3})
	add(t, s, "app", "before")
	f, game := carom.EventFilter{Limit: 100}, carom.EventFilter{App: "game", Source: "monetag", Limit: 100}
	all, some := startFeed(t, s, f, ""), startFeed(t, s, game, "")
	compareFeed(t, "at the start", all, false)
	next := func(when string, want, wantGame []string) {
		t.Helper()
		all, some = behind(t, s, f, all.Next), behind(t, s, game, some.Next)
		compareFeed(t, when, all, false, want...)
		compareFeed(t, when+", of one app", some, false, wantGame...)
	}
	next("when nothing came", nil, nil)
	add(t, s, "app", "a")
	next("after one", []string{"a"}, nil)
	var want []string
	for i := range 8 {
		want = append(want, fmt.Sprint("b", i))
		add(t, s, []string{"app", "game"}[i%2], want[i])
	}
	next("over time buckets", want, []string{"b1", "b3", "b5", "b7"})
	next("when nothing came since", nil, nil)
	add(t, s, "game", "c")
	s.restart(t)
	add(t, s, "game", "d")
	next("over a restart", []string{"c", "d"}, []string{"c", "d"})
	s.crash(t)
	add(t, s, "app", "e")
	next("over a crash", []string{"e"}, nil)
	fresh := startFeed(t, s, f, "")
	compareFeed(t, "a new start", fresh, false)
	add(t, s, "app", "f")
	compareFeed(t, "behind the new start", behind(t, s, f, fresh.Next), false, "f")
}

// Whoever comes back with the id of the event that was shown last misses nothing.
func feedGoesOn(t *testing.T, open Opener) {
	s := begin(t, open, Options{BucketEvents: 3})
	f := carom.EventFilter{Limit: 100}
	var last carom.EventID
	var want []string
	for i := range 10 {
		ymid := fmt.Sprint("a", i)
		sub := add(t, s, "app", ymid)
		if i == 4 {
			last = sub.Receipt.ID
		}
		if i > 4 {
			want = append(want, ymid)
		}
	}
	feed := startFeed(t, s, f, last)
	compareFeed(t, "behind an event", feed, false, want...)
	add(t, s, "app", "b")
	compareFeed(t, "and on", behind(t, s, f, feed.Next), false, "b")
	s.restart(t)
	compareFeed(t, "after a restart", startFeed(t, s, f, last), false, append(want, "b")...)
	feed = startFeed(t, s, carom.EventFilter{App: "game", Limit: 100}, last)
	compareFeed(t, "after a restart, of one app", feed, false)
	add(t, s, "game", "c")
	compareFeed(t, "and on, of one app", behind(t, s, carom.EventFilter{App: "game", Limit: 100}, feed.Next), false, "c")

	life, ref := place(t, last)
	for _, tt := range []struct {
		name string
		id   carom.EventID
		want error
	}{
		{"no id", "evt_x", carom.ErrInvalid},
		{"the id of something else", "rcv_0c5g21r0000010000000k", carom.ErrInvalid},
		{"of another life", carom.NewEventID(life+1, ref), carom.ErrNotFound},
	} {
		if _, err := s.StartFeed(t.Context(), f, tt.id); !errors.Is(err, tt.want) {
			t.Errorf("StartFeed behind %s: %v, want %v", tt.name, err, tt.want)
		}
	}
}

// Of more than the limit the newest are shown, and the feed says so, and goes on behind all of it.
func feedIsBounded(t *testing.T, open Opener) {
	s := begin(t, open, Options{BucketEvents: 4})
	first := add(t, s, "app", "a0")
	f := carom.EventFilter{Limit: 3}
	start := startFeed(t, s, f, "")
	for i := 1; i < 10; i++ {
		add(t, s, "app", fmt.Sprint("a", i))
	}
	feed := behind(t, s, f, start.Next)
	compareFeed(t, "behind a cursor", feed, true, "a7", "a8", "a9")
	compareFeed(t, "and on", behind(t, s, f, feed.Next), false)
	feed = startFeed(t, s, f, first.Receipt.ID)
	compareFeed(t, "behind an event", feed, true, "a7", "a8", "a9")
	compareFeed(t, "and on", behind(t, s, f, feed.Next), false)
	f.Limit = 9
	compareFeed(t, "as many as the limit", startFeed(t, s, f, first.Receipt.ID), false, "a1", "a2", "a3", "a4", "a5", "a6", "a7", "a8", "a9")
}

// Feeds that are read while events come in show each once, those of one caller in order.
func feedBesideAccepts(t *testing.T, open Opener) {
	s := begin(t, open, Options{BucketEvents: 30})
	f := carom.EventFilter{Limit: 1000}
	feed := startFeed(t, s, f, "")
	const callers, each = 4, 60
	var wg sync.WaitGroup
	var done atomic.Int32
	at := s.tick()
	for c := range callers {
		wg.Go(func() {
			defer done.Add(1) // also when an accept fails
			for i := range each {
				accept(t, s, submission(fmt.Sprintf("%d-%02d", c, i), at)) // all at the same reading of the clock
			}
		})
	}
	shown := make([][]string, callers)
	for last := false; !last; {
		last = done.Load() == callers
		feed = behind(t, s, f, feed.Next)
		for _, ev := range feed.Events {
			shown[ev.YMID[0]-'0'] = append(shown[ev.YMID[0]-'0'], ev.YMID)
		}
	}
	wg.Wait()
	for c := range callers {
		if len(shown[c]) != each || !slices.IsSorted(shown[c]) || len(slices.Compact(shown[c])) != each {
			t.Errorf("shown of caller %d: %v", c, shown[c])
		}
	}
}
