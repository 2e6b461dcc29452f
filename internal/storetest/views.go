package storetest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"carom"
)

// openView opens a view for ten minutes and returns it.
func openView(t testing.TB, s *world, v carom.View) *carom.View {
	t.Helper()
	if v.App == "" {
		v.App = "app"
	}
	v.ExpiresAt = v.OpenedAt.Add(10 * time.Minute)
	if err := s.OpenView(t.Context(), &v); err != nil {
		t.Fatalf("OpenView(%+v): %v", v, err)
	}
	return &v
}

// inView makes an event of an opened view.
func inView(v *carom.View, key string, eventType carom.EventType, at time.Time, candidates ...carom.Candidate) *carom.Submission {
	sub := paid(v.YMID, "", eventType, at, candidates...)
	sub.Key.Sum = carom.SumOf(v.YMID, key)
	sub.View = carom.ViewClaim{Sum: v.Sum(), View: v, User: v.User}
	return sub
}

// ofUser makes an event of a network that sends no id, for which the user's view was found.
func ofUser(v *carom.View, key string, at time.Time, candidates ...carom.Candidate) *carom.Submission {
	sub := inView(v, key, carom.Completion, at, candidates...)
	sub.Event.YMID, sub.Event.Source, sub.Event.UserID = "", "adsgram", v.User
	sub.Key = carom.DedupeKey{Sum: carom.SumOf(key), Window: session}
	return sub
}

func viewsComeBack(t *testing.T, open Opener) {
	s := begin(t, open, Options{})
	seal := s.ViewSeal()
	views := []*carom.View{
		openView(t, s, carom.View{User: "u", OpenedAt: noon}),
		openView(t, s, carom.View{User: "u", OpenedAt: noon, YMID: "own", Placement: "spot", Fixed: true, Sources: []string{"monetag", "adsgram"}, ByUser: true}),
		openView(t, s, carom.View{App: "game", User: "u", OpenedAt: noon, YMID: "own"}),
	}
	life, no, _, err := views[0].ID.Place()
	if err != nil || no == 0 {
		t.Fatalf("Place(%s): number %d, %v, want that of an opened view", views[0].ID, no, err)
	}
	check := func(when string) {
		t.Helper()
		for i, v := range views {
			got, err := s.View(t.Context(), v.ID)
			if i != 1 {
				v.Sources = []string{}
			}
			if diff := cmp.Diff(v, got); err != nil || diff != "" {
				t.Errorf("%s: View(%s) (-want +got), %v:\n%s", when, v.ID, err, diff)
			}
			own, err := s.ViewByYMID(t.Context(), v.App, v.YMID)
			if err != nil || (own != nil) != (i > 0) || own != nil && own.ID != v.ID {
				t.Errorf("%s: ViewByYMID(%s) = %+v, %v, want the view if the app chose the ymid", when, v.YMID, own, err)
			}
		}
		if id, ok := s.ViewSeal().ViewOf(views[0].YMID); !ok || id != views[0].ID || s.ViewSeal() != seal {
			t.Errorf("%s: the ymid %q leads to %q, %v, want %s", when, views[0].YMID, id, ok, views[0].ID)
		}
		again := carom.View{App: "app", User: "x", YMID: "own", OpenedAt: noon.Add(2 * day)}
		if err := s.OpenView(t.Context(), &again); !errors.Is(err, carom.ErrConflict) || again.ID != "" {
			t.Errorf("%s: OpenView with a ymid of before: %v, id %q, want carom.ErrConflict and none", when, err, again.ID)
		}
		if v, err := s.ViewByYMID(t.Context(), "other", "own"); v != nil || err != nil {
			t.Errorf("%s: a view of another app: %+v, %v", when, v, err)
		}
		if v, err := s.ViewOfUser(t.Context(), "app", "u"); err != nil || v == nil || v.ID != views[1].ID {
			t.Errorf("%s: ViewOfUser = %+v, %v, want %s", when, v, err, views[1].ID)
		}
		if v, err := s.ViewOfUser(t.Context(), "game", "u"); v != nil || err != nil {
			t.Errorf("%s: ViewOfUser of an app without such views: %+v, %v", when, v, err)
		}
		for id, want := range map[carom.ViewID]error{"nonsense": carom.ErrInvalid, carom.NewOpenedViewID(life, no+1000): carom.ErrNotFound,
			carom.NewOpenedViewID(life+1, no): carom.ErrNotFound, carom.NewEventID(life, carom.Ref{Bucket: 1, Seq: 1}).View(): carom.ErrNotFound} {
			if _, err := s.View(t.Context(), id); !errors.Is(err, want) {
				t.Errorf("%s: View(%s): %v, want %v", when, id, err, want)
			}
		}
	}
	check("at first")
	s.restart(t)
	check("after a restart")
	s.crash(t)
	check("after a crash")
	next := openView(t, s, carom.View{User: "u", OpenedAt: noon})
	for _, v := range views {
		if next.ID == v.ID || next.YMID == v.YMID {
			t.Errorf("the next view is %s with the ymid %s, as one of before: no id is given out twice", next.ID, next.YMID)
		}
	}
}

// Opening a view that only its user names ends the one before, and no other.
func openingEndsTheEarlierOne(t *testing.T, open Opener) {
	s := begin(t, open, Options{})
	in := func(minutes int) time.Time { return noon.Add(time.Duration(minutes) * time.Minute) }
	first := openView(t, s, carom.View{User: "u", OpenedAt: noon, ByUser: true})
	byYMID := openView(t, s, carom.View{User: "u", OpenedAt: noon})
	other := openView(t, s, carom.View{User: "x", OpenedAt: noon, ByUser: true})
	game := openView(t, s, carom.View{App: "game", User: "u", OpenedAt: noon, ByUser: true})
	second := openView(t, s, carom.View{User: "u", OpenedAt: in(3), ByUser: true})
	third := openView(t, s, carom.View{User: "u", OpenedAt: in(3), ByUser: true})
	for v, want := range map[*carom.View]time.Time{first: in(3), byYMID: in(10), other: in(10), game: in(10), second: in(3), third: in(13)} {
		if got, err := s.View(t.Context(), v.ID); err != nil || !got.ExpiresAt.Equal(want) {
			t.Errorf("the view of %s opened at %s ends at %v, %v, want %s", v.User, v.OpenedAt, got, err, want)
		}
	}
	if got, err := s.ViewOfUser(t.Context(), "app", "u"); err != nil || got.ID != third.ID {
		t.Errorf("ViewOfUser = %+v, %v, want the third", got, err)
	}
}

func viewOutcome(t *testing.T, open Opener) {
	watch := pays("watch", 5)
	declines := func(c *carom.Candidate) { c.Declined = carom.DeclineUntrusted }
	extra := pays("extra", 1, additional)
	in := func(minutes int) time.Time { return noon.Add(time.Duration(minutes) * time.Minute) }
	notPaid := func(sub *carom.Submission) *carom.Submission {
		sub.Event.Value = carom.NotValued
		return sub
	}
	for name, tt := range map[string]struct {
		view   carom.View
		events func(v *carom.View) []*carom.Submission
		after  int // minutes, at which it is asked for
		want   carom.ViewOutcome
		reward string
	}{
		"nothing came":              {carom.View{}, nil, 9, carom.ViewOutcome{State: carom.ViewOpen}, ""},
		"nothing came, and it ends": {carom.View{}, nil, 10, carom.ViewOutcome{State: carom.ViewExpired}, ""},
		"an unpaid event": {carom.View{}, func(v *carom.View) []*carom.Submission {
			return []*carom.Submission{notPaid(inView(v, "1", carom.Impression, in(1)))}
		}, 9, carom.ViewOutcome{State: carom.ViewOpen, Unpaid: true}, ""},
		"an unpaid event, and it ends": {carom.View{}, func(v *carom.View) []*carom.Submission {
			return []*carom.Submission{notPaid(inView(v, "1", carom.Impression, in(1)))}
		}, 30, carom.ViewOutcome{State: carom.ViewExpired, Unpaid: true}, ""},
		"a reward": {carom.View{YMID: "own"}, func(v *carom.View) []*carom.Submission {
			return []*carom.Submission{notPaid(inView(v, "1", carom.Impression, in(1))), inView(v, "2", carom.Click, in(2), watch), inView(v, "3", carom.Impression, in(3), watch)}
		}, 30, carom.ViewOutcome{State: carom.ViewConfirmed}, "watch granted"},
		"a reward that comes late": {carom.View{}, func(v *carom.View) []*carom.Submission {
			return []*carom.Submission{inView(v, "1", carom.Click, in(60*24), watch)}
		}, 60 * 24, carom.ViewOutcome{State: carom.ViewConfirmed}, "watch granted"},
		"a held reward": {carom.View{}, func(v *carom.View) []*carom.Submission {
			return []*carom.Submission{inView(v, "1", carom.Click, in(1), pays("watch", 5, holds(time.Hour)))}
		}, 2, carom.ViewOutcome{State: carom.ViewConfirmed}, "watch held"},
		"a reward that was taken back": {carom.View{}, func(v *carom.View) []*carom.Submission {
			return []*carom.Submission{inView(v, "1", carom.Click, in(1), watch), takesBack(v.Sum(), "r", in(2))}
		}, 2, carom.ViewOutcome{State: carom.ViewConfirmed}, "watch reversed"},
		"a declined event": {carom.View{}, func(v *carom.View) []*carom.Submission {
			return []*carom.Submission{inView(v, "1", carom.Click, in(1), pays("watch", 5, declines))}
		}, 30, carom.ViewOutcome{State: carom.ViewDeclined, Reason: carom.DeclineUntrusted}, ""},
		"a declined event, then a reward": {carom.View{}, func(v *carom.View) []*carom.Submission {
			return []*carom.Submission{inView(v, "1", carom.Click, in(1), pays("watch", 5, declines)), inView(v, "2", carom.Impression, in(1), watch)}
		}, 2, carom.ViewOutcome{State: carom.ViewConfirmed}, "watch granted"},
		"an event of a source that is not expected": {carom.View{Sources: []string{"other"}}, func(v *carom.View) []*carom.Submission {
			return []*carom.Submission{inView(v, "1", carom.Click, in(1), watch)}
		}, 2, carom.ViewOutcome{State: carom.ViewOpen}, ""},
		"several rewards: the one that is not additional": {carom.View{}, func(v *carom.View) []*carom.Submission {
			return []*carom.Submission{inView(v, "1", carom.Click, in(1), extra), inView(v, "2", carom.Impression, in(2), watch, pays("more", 1, additional))}
		}, 3, carom.ViewOutcome{State: carom.ViewConfirmed}, "watch granted"},
		"only additional ones: the first": {carom.View{}, func(v *carom.View) []*carom.Submission {
			return []*carom.Submission{inView(v, "1", carom.Click, in(1), extra), inView(v, "2", carom.Impression, in(2), pays("more", 1, additional))}
		}, 3, carom.ViewOutcome{State: carom.ViewConfirmed}, "extra granted"},
		"by its user: a reward": {carom.View{ByUser: true}, func(v *carom.View) []*carom.Submission {
			return []*carom.Submission{ofUser(v, "1", in(1), watch)}
		}, 3, carom.ViewOutcome{State: carom.ViewConfirmed}, "watch granted"},
		"by its user: declined": {carom.View{ByUser: true}, func(v *carom.View) []*carom.Submission {
			return []*carom.Submission{ofUser(v, "1", in(1), pays("watch", 5, declines))}
		}, 3, carom.ViewOutcome{State: carom.ViewDeclined, Reason: carom.DeclineUntrusted}, ""},
		"by its user, sent as the ymid": {carom.View{ByUser: true}, func(v *carom.View) []*carom.Submission {
			sub := ofUser(v, "1", in(1), pays("watch", 5, declines))
			sub.Event.UserID, sub.Event.YMID = "", v.User
			return []*carom.Submission{sub}
		}, 3, carom.ViewOutcome{State: carom.ViewDeclined, Reason: carom.DeclineUntrusted}, ""},
		"by its user, and another network declined by its ymid": {carom.View{ByUser: true}, func(v *carom.View) []*carom.Submission {
			return []*carom.Submission{notPaid(ofUser(v, "1", in(1))), inView(v, "2", carom.Click, in(2), pays("watch", 5, declines))}
		}, 3, carom.ViewOutcome{State: carom.ViewDeclined, Reason: carom.DeclineUntrusted, Unpaid: true}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := begin(t, open, Options{BucketEvents: 2, SegmentRewards: 1})
			tt.view.User, tt.view.OpenedAt = "u", noon
			decoy := openView(t, s, carom.View{User: "u", OpenedAt: noon})
			v := openView(t, s, tt.view)
			acceptAll(t, s, inView(decoy, "decoy", carom.Click, noon, pays("decoy", 1)), paid(v.YMID+"x", "u", carom.Click, noon, pays("decoy", 1)))
			if tt.events != nil {
				for _, sub := range tt.events(v) {
					s.set(sub.Event.Received.At)
					accept(t, s, sub)
					if sub.Event.View != v.ID && sub.View.View != nil {
						t.Errorf("the event belongs to the view %q, want %s", sub.Event.View, v.ID)
					}
				}
			}
			s.set(in(tt.after))
			for _, when := range []string{"at first", "after a restart"} {
				got, err := s.ViewOutcome(t.Context(), v)
				if err != nil {
					t.Fatalf("%s: ViewOutcome: %v", when, err)
				}
				reward := ""
				if got.Reward != nil {
					reward = fmt.Sprint(got.Reward.Rule, " ", got.Reward.State)
					if got.Reward.View != v.ID || got.Reward.User != "u" {
						t.Errorf("%s: the reward is of the view %s and the user %s", when, got.Reward.View, got.Reward.User)
					}
				}
				got.Reward = nil
				if diff := cmp.Diff(tt.want, got); diff != "" || reward != tt.reward {
					t.Errorf("%s: reward %q, want %q; the outcome (-want +got):\n%s", when, reward, tt.reward, diff)
				}
				s.restart(t)
			}
		})
	}
}
