package store

import (
	"fmt"
	"testing"
	"time"

	"carom"
	"carom/internal/books"
)

// repeats is the window of the sources of these tests whose ymids repeat.
const repeats = 10 * time.Minute

// openRepeating opens a store with a source whose ymid repeats.
func openRepeating(t testing.TB, dir string, opts Options) (*Store, func()) {
	t.Helper()
	s, stop := open(t, dir, rewarding(opts))
	if _, err := s.SetObjects(t.Context(), carom.Objects{Apps: []carom.App{{Name: "app"}},
		Sources: []carom.Source{{App: "app", Name: "monetag", Profile: "monetag", YMID: carom.YMIDUser, RepeatWindow: repeats}}}); err != nil {
		t.Fatalf("SetObjects: %v", err)
	}
	return s, stop
}

// shown makes an event of a source whose ymid is the user. Its key makes it another one.
func shown(user, key string, eventType carom.EventType, at time.Time, candidates ...carom.Candidate) *carom.Submission {
	sub := paid(user, user, eventType, at, candidates...)
	sub.Key = carom.DedupeKey{Sum: carom.SumOf(key), Window: repeats}
	sub.View.Joins = repeats
	return sub
}

// Events that are not of carom's own making, or that a source of unique ymids sends, leave nothing to join behind.
func TestOnlyRepeatingYMIDsAreRemembered(t *testing.T) {
	dir, opts := t.TempDir(), rewarding(Options{Clock: newClock().now})
	s, stop := openRepeating(t, dir, opts)
	seen := shown("u", "1", carom.Impression, noon, pays("watch", 5, holds(time.Hour)))
	acceptAll(t, s, seen, paid("v", "u", carom.Impression, noon, pays("watch", 5)))
	ended := byCarom(carom.HoldEnded, "1", noon, carom.RewardChange{Mature: seen.Receipt.Decided[0].Reward.ID})
	ended.Event.View, ended.Event.YMID = seen.Event.View, "u"
	acceptAll(t, s, ended)
	check := func(when string) {
		t.Helper()
		if len(s.recent.views) != 1 || len(s.recent.views[seen.View.Sum]) != 1 {
			t.Errorf("%s: %+v is remembered, want the view of one event", when, s.recent.views)
		}
	}
	stop()
	check("at the end")
	s, stop = open(t, dir, opts)
	stop()
	check("after a restart")
}

// What nothing can join any more is forgotten, and nothing else, also when the clock has gone back meanwhile.
func TestOldViewsAreForgotten(t *testing.T) {
	r := recentViews{views: map[[16]byte][]books.RecentView{}}
	ref := func(n int) carom.Ref { return carom.Ref{Bucket: 1, Seq: uint32(n)} }
	sum := func(n int) [16]byte { return carom.SumOf(fmt.Sprint(n)) }
	// Three views of one sum: two at noon, then one from before, when the clock had gone back.
	r.join(sum(0), carom.Impression, ref(1), noon, repeats)
	r.join(sum(0), carom.Impression, ref(2), noon, repeats)
	r.join(sum(0), carom.Impression, ref(3), noon.Add(-8*time.Minute), repeats)
	for n := range 5000 {
		r.join(sum(n+1), carom.Impression, ref(n+10), noon.Add(-8*time.Minute), repeats)
	}
	at := noon.Add(5 * time.Minute)
	for n := range 5000 {
		first, _ := r.join(sum(0), carom.EventType(fmt.Sprint("lead", n)), ref(10_000+n), at, repeats)
		if first != ref(2) {
			t.Fatalf("event %d joined the view of %+v, want that of %+v, the latest that is young enough", n, first, ref(2))
		}
	}
	if len(r.views) != 1 {
		t.Errorf("%d sums are remembered, want 1", len(r.views))
	}
}
