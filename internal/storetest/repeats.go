package storetest

import (
	"fmt"
	"testing"
	"time"

	"carom"
)

// repeats is the window of the sources of these tests whose ymids repeat.
const repeats = 10 * time.Minute

// beginRepeating opens a store with a source whose ymid repeats.
func beginRepeating(t testing.TB, open Opener, o Options) *world {
	t.Helper()
	s := begin(t, open, o)
	repeatingSource(t, s)
	return s
}

func repeatingSource(t testing.TB, s *world) {
	t.Helper()
	setObjects(t, s, func(o *carom.Objects) {
		o.Apps = []carom.App{{Name: "app"}}
		o.Sources = []carom.Source{{App: "app", Name: "monetag", Profile: "monetag", YMID: carom.YMIDUser, RepeatWindow: repeats}}
	})
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

func eventsFindTheirViews(t *testing.T, open Opener) {
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
				o := Options{}
				if how == "a bucket each" {
					o.BucketEvents = 1
				}
				s := beginRepeating(t, open, o)
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
					s.set(subs[n].Event.Received.At)
					switch how {
					case "crashes":
						s.crash(t)
					case "restarts":
						s.restart(t)
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

func usersAndZonesAreApart(t *testing.T, open Opener) {
	s := beginRepeating(t, open, Options{})
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

// A clock that goes back leaves events from the future behind: a start knows what to do with them, whatever the sources are.
func startBeforeTheNewestEvent(t *testing.T, open Opener) {
	s := begin(t, open, Options{}) // without any source
	accept(t, s, shown("u", "1", carom.Impression, noon, pays("watch", 5)))
	s.stop(t)
	s.advance(-time.Hour)
	s.start(t)
	var subs []*carom.Submission
	for n := range 3000 {
		subs = append(subs, shown(fmt.Sprint("user ", n), fmt.Sprint("key ", n), carom.Impression, s.now()))
	}
	acceptAll(t, s, subs...)
	accept(t, s, shown("u", "2", carom.Click, s.now(), pays("watch", 5)))
}
