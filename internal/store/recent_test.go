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

// A table of events of one user, in their order: at which minute, of which type, and to the view of which of them it belongs.
type showing struct {
	minute    float64
	eventType carom.EventType
	joins     int
}

func TestEventsOfRepeatingYMIDsFindTheirViews(t *testing.T) {
	const i, c, l = carom.Impression, carom.Click, carom.EventType("lead")
	for name, showings := range map[string][]showing{
		"an impression and its click are one view":               {{0, i, 0}, {1, c, 0}},
		"in either order":                                        {{0, c, 0}, {1, i, 0}},
		"another impression begins another view":                 {{0, i, 0}, {1, i, 1}, {2, i, 2}},
		"a click joins the latest that lacks one":                {{0, i, 0}, {1, i, 1}, {2, c, 1}, {3, c, 0}, {4, c, 4}, {5, i, 4}, {6, l, 4}, {7, l, 1}},
		"just inside the window, and at its end":                 {{0, i, 0}, {9.99, c, 0}, {10, l, 2}, {19.99, c, 2}, {20, i, 4}},
		"the window counts from the first event":                 {{0, i, 0}, {9, c, 0}, {11, i, 2}, {12, l, 2}},
		"a clock that goes back joins what is newer":             {{0, i, 0}, {-60, c, 0}, {-60, i, 2}, {-59, c, 2}, {1, l, 0}},
		"a clock that goes back for a while hides nothing":       {{0, i, 0}, {-60, i, 1}, {1, c, 0}, {1, c, 3}, {2, l, 3}, {2, l, 0}},
		"what is too old for the newest is not for an older one": {{0, i, 0}, {8, i, 1}, {9, c, 1}, {9.5, c, 0}, {15, l, 1}},
	} {
		for _, how := range []string{"one commit", "several", "restarts", "crashes", "a bucket each"} {
			t.Run(name+"/"+how, func(t *testing.T) {
				t.Parallel()
				clk, dir := newClock(), t.TempDir()
				opts := Options{Clock: clk.now}
				if how == "a bucket each" {
					opts.BucketEvents = 1
				}
				s, stop := openRepeating(t, dir, opts)
				var subs []*carom.Submission
				for n, one := range showings {
					at := noon.Add(time.Duration(one.minute * float64(time.Minute)))
					subs = append(subs, shown("u", fmt.Sprint(n), one.eventType, at, pays("watch", 5)))
				}
				if how == "one commit" {
					acceptAll(t, s, subs...)
				}
				rewards := 0
				for n, one := range showings {
					clk.set(subs[n].Event.Received.At)
					switch how {
					case "crashes":
						dir = crash(t, s)
						fallthrough
					case "restarts":
						stop()
						s, stop = open(t, dir, rewarding(opts))
					}
					if how != "one commit" {
						acceptAll(t, s, subs[n])
					}
					if got, want := subs[n].Event.View, subs[one.joins].Receipt.ID.View(); got != want {
						t.Errorf("event %d belongs to the view %s, want %s, that of event %d", n, got, want, one.joins)
					}
					want := "watch declined rewarded"
					if one.joins == n {
						want = "watch granted"
						rewards++
					}
					wantDecided(t, subs[n], want)
				}
				if got := len(rewardsOf(t, s, "u")); got != rewards {
					t.Errorf("%d rewards, want %d", got, rewards)
				}
			})
		}
	}
}

func TestRepeatingYMIDsOfUsersAndZonesAreApart(t *testing.T) {
	s, _ := openRepeating(t, t.TempDir(), Options{Clock: newClock().now})
	inZone := func(zone string, sub *carom.Submission) *carom.Submission {
		sub.Event.ZoneID = zone
		sub.View.Sum = sub.Event.RepeatSum()
		return sub
	}
	first := shown("a", "1", carom.Impression, noon)
	other := shown("b", "2", carom.Click, noon)
	zone := inZone("2", shown("a", "3", carom.Click, noon))
	acceptAll(t, s, first, other, zone)
	for _, sub := range []*carom.Submission{other, zone} {
		if sub.Event.View != sub.Receipt.ID.View() {
			t.Errorf("%s joined the view %s, want one of its own", sub.Event.YMID, sub.Event.View)
		}
	}
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

// A clock that goes back leaves events from the future behind: a start knows what to do with them, whatever the sources are.
func TestStartBeforeTheNewestEvent(t *testing.T) {
	clk, dir := newClock(), t.TempDir()
	opts := rewarding(Options{Clock: clk.now})
	s, stop := open(t, dir, opts) // without any source
	acceptAll(t, s, shown("u", "1", carom.Impression, noon, pays("watch", 5)))
	stop()
	clk.advance(-time.Hour)
	s, _ = open(t, dir, opts)
	var subs []*carom.Submission
	for n := range 3000 {
		subs = append(subs, shown(fmt.Sprint("user ", n), fmt.Sprint("key ", n), carom.Impression, clk.now()))
	}
	acceptAll(t, s, subs...)
	again := shown("u", "2", carom.Click, clk.now(), pays("watch", 5))
	acceptAll(t, s, again)
}
