package storetest

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"carom"
)

func prune(t testing.TB, s *world) {
	t.Helper()
	if err := s.Prune(t.Context()); err != nil {
		t.Fatalf("Prune: %v", err)
	}
}

// wantGone fails the test unless the event is there no more.
func wantGone(t testing.TB, s *world, id carom.EventID) {
	t.Helper()
	if _, err := s.Story(t.Context(), id); !errors.Is(err, carom.ErrNotFound) {
		t.Errorf("Story of a dropped event: %v, want carom.ErrNotFound", err)
	}
}

// Events are kept for the retention at least, and for two days more at most.
func retentionTellsCopies(t *testing.T, open Opener) {
	s := begin(t, open, Options{Retention: 7 * day, BucketEvents: 3000, CountRetention: 100 * day})
	now := func(ymid string) *carom.Submission { return submission(ymid, s.now()) }
	old := acceptMany(t, s, "old", 2007, noon, direct(1)) // more than is dropped at a time
	for _, sub := range old {
		d := delivery(sub, 0)
		record(t, s, d, attempt(d, carom.Delivered, noon, noon))
	}
	kept := refuse(t, s, refused("app", "monetag", noon))
	s.settle(t)
	s.set(noon.Add(4 * day))
	young := accept(t, s, now("young"))
	s.set(noon.Add(7*day - time.Second))
	prune(t, s)
	if _, err := s.Story(t.Context(), old[0].Receipt.ID); err != nil {
		t.Errorf("a second before the retention ends: %v", err)
	}
	s.set(noon.Add(9 * day))
	prune(t, s)
	wantGone(t, s, old[0].Receipt.ID)
	events, err := s.Events(t.Context(), carom.EventFilter{})
	if err != nil || len(events) != 1 || events[0].ID != young.Receipt.ID {
		t.Errorf("Events = %d, %v, want the young one alone", len(events), err)
	}
	if list, err := s.Refused(t.Context(), carom.RefusedFilter{}); err != nil || len(list) != 0 {
		t.Errorf("Refused = %d, %v, want none: %s is as old", len(list), err, kept.ID)
	}
	if got := outcomes(t, s)[carom.OutcomeAccepted]; got != int64(len(old)) {
		t.Errorf("%d accepted ones counted, want %d: counts are kept longer", got, len(old))
	}
	// Within its window a dedupe key counts although its event is gone, also after a restart.
	wantCopy(t, s, now("old1"), old[1].Receipt.ID)
	s.restart(t)
	wantCopy(t, s, now("old2"), old[2].Receipt.ID)
	if events, err := s.Events(t.Context(), carom.EventFilter{YMID: "old2"}); err != nil || len(events) != 0 {
		t.Errorf("search for a dropped event: %d, %v, want none", len(events), err)
	}

	// After the window the key is new again.
	s.set(noon.Add(carom.DefaultDedupeWindow - time.Minute))
	prune(t, s)
	wantCopy(t, s, now("old3"), old[3].Receipt.ID)
	s.set(noon.Add(carom.DefaultDedupeWindow))
	prune(t, s)
	accept(t, s, now("old4"))
	s.advance(100 * day)
	prune(t, s)
	if got, err := s.Counts(t.Context(), carom.CountFilter{To: noon.Add(day)}); err != nil || len(got) != 0 {
		t.Errorf("Counts beyond their retention = %+v, %v, want none", got, err)
	}
}

// A delivery that waits longer than its event is kept does not vanish in silence: each ends once.
func retentionExpiresWhatWaits(t *testing.T, open Opener) {
	s := begin(t, open, Options{Retention: 7 * day})
	acceptMany(t, s, "a", 5, noon, later(1))
	acceptMany(t, s, "b", 3, noon, later(2))
	list, _ := claim(t, s, carom.Claim{Endpoint: 2, Limit: 1, DueBy: noon})
	inHand := list[0]
	s.advance(9 * day)
	accept(t, s, submission("young", s.now(), later(1)))
	prune(t, s)
	record(t, s, inHand, attempt(inHand, carom.Dead, s.now(), time.Time{}))
	s.settle(t)
	if got := claimDue(t, s, 2, s.now()); len(got) != 0 {
		t.Errorf("endpoint 2 was handed out %v", ymids(got))
	}
	if got := ymids(claimDue(t, s, 1, s.now())); !cmp.Equal(got, []string{"young"}) {
		t.Errorf("endpoint 1 was handed out %v, want young", got)
	}
	got, err := s.DeliveryCounts(t.Context(), carom.CountFilter{})
	if err != nil {
		t.Fatalf("DeliveryCounts: %v", err)
	}
	counts := map[string]int64{}
	for _, c := range got {
		counts[c.Endpoint+" "+c.Outcome] = c.N
	}
	// What is in somebody's hands for days may be taken from them.
	if counts["#1 expired"] != 5 || counts["#2 expired"]+counts["#2 dead"] != 3 || counts["#2 expired"] < 2 || len(counts) > 3 {
		t.Errorf("ended deliveries: %v, want 5 and 3 expired, but for the one in hand, which is dead", counts)
	}
}

// Whoever reads while events go sees them or does not: no error but carom.ErrNotFound.
func retentionBesideReaders(t *testing.T, open Opener) {
	s := begin(t, open, Options{Retention: 7 * day, BucketEvents: 20})
	var ids []carom.EventID
	for _, sub := range acceptSingly(t, s, "first", 100, later(1)) {
		ids = append(ids, sub.Receipt.ID)
		refuse(t, s, refused("app", "monetag", s.now()))
	}
	var wg sync.WaitGroup
	var end atomic.Bool
	for worker := range 3 {
		wg.Go(func() {
			for i := 0; !end.Load(); i++ {
				if _, err := s.Story(t.Context(), ids[i%len(ids)]); err != nil && !errors.Is(err, carom.ErrNotFound) {
					t.Errorf("Story: %v", err)
				}
				f := []carom.EventFilter{{Limit: 200}, {User: "42", Limit: 200}, {Zone: "1", Source: "none"}}[worker]
				if _, err := s.Events(t.Context(), f); err != nil {
					t.Errorf("Events: %v", err)
				}
				if _, err := s.Refused(t.Context(), carom.RefusedFilter{Limit: 200}); err != nil {
					t.Errorf("Refused: %v", err)
				}
				if worker == 0 {
					list, _, err := s.Claim(t.Context(), carom.Claim{Endpoint: 1, Limit: 50, DueBy: noon})
					if err != nil {
						t.Errorf("Claim: %v", err)
					}
					release(s, list)
				}
			}
		})
	}
	for range 8 {
		s.advance(10 * day)
		acceptSingly(t, s, s.now().String(), 25)
		prune(t, s)
	}
	end.Store(true)
	wg.Wait()
}

// Views whose ymid carom made go ninety days after they ended, counters of days after forty; an app's own ymids and caps that
// count for ever stay.
func retentionKeepsWhatCounts(t *testing.T, open Opener) {
	s := begin(t, open, Options{Retention: 400 * day})
	capped := func(ymid string) carom.Decided {
		t.Helper()
		at := s.now()
		sub := earning(ymid, at)
		sub.Candidates[0].Day = int32(at.Year()*10_000 + int(at.Month())*100 + at.Day())
		sub.Candidates[0].Caps = []carom.CapAt{{Scope: "a day", PerUser: true, PerDay: true, Rewards: 1}, {Scope: "ever", PerUser: true, Rewards: 3}}
		return accept(t, s, sub).Receipt.Decided[0]
	}
	var views []*carom.View
	show := func(ymid string) {
		t.Helper()
		views = append(views, openView(t, s, carom.View{User: "42", YMID: ymid, OpenedAt: s.now()}))
	}
	capped("day 1")
	show("")
	show("an own one")
	s.advance(41 * day)
	capped("day 42")
	if d := capped("day 42, again"); d.Cap != "a day" {
		t.Errorf("the second reward of a day: %+v, want the cap of the day", d)
	}
	s.advance(50 * day)
	show("")
	prune(t, s)
	for i, want := range []error{carom.ErrNotFound, nil, nil} {
		if _, err := s.View(t.Context(), views[i].ID); !errors.Is(err, want) {
			t.Errorf("view %d: %v, want %v", i, err, want)
		}
	}
	if d := capped("day 92"); d.State != carom.RewardGranted {
		t.Errorf("the third reward: %+v, want it granted", d)
	}
	s.advance(day)
	if d := capped("day 93"); d.Cap != "ever" {
		t.Errorf("the fourth reward: %+v, want the cap for ever", d)
	}
}

// Retention drops the event. What it earned stays: it is taken back sixty days later, and the same postback, whose key counts no
// more, earns nothing again.
func rewardsOutliveTheirEvents(t *testing.T, open Opener) {
	s := begin(t, open, Options{BucketEvents: 1, SegmentRewards: 2})
	again := func(ymid string) *carom.Submission {
		sub := earning(ymid, s.now())
		sub.Transaction = carom.SumOf("transaction", ymid)
		return sub
	}
	first := accept(t, s, again("a"))
	accept(t, s, again("b"))
	accept(t, s, again("c"))
	s.advance(59 * day)
	accept(t, s, again("later"))
	prune(t, s)
	wantGone(t, s, first.Receipt.ID)
	s.restart(t)
	if d := accept(t, s, again("a")).Receipt.Decided[0]; d.Reason != carom.DeclineTransaction {
		t.Errorf("the same postback after two months: %+v, want its transaction to have earned before", d)
	}
	reversal := takesBack(carom.SumOf("transaction", "a"), "of a", s.now())
	if got := accept(t, s, reversal).Receipt.Decided; len(got) != 1 || got[0].State != carom.RewardReversed || got[0].Reward.ID != first.Receipt.Decided[0].Reward.ID {
		t.Errorf("taken back: %+v, want the reward of the first event", got)
	}
	wantBalance(t, s, "42", "15 coins") // four were credited and one was taken back
}

// A grant by hand is made once for its key, also when the event of the first is forgotten.
func grantIsMadeOnce(t *testing.T, open Opener) {
	s := begin(t, open, Options{BucketEvents: 1, SegmentRewards: 1})
	grant := func() carom.Decided {
		t.Helper()
		sub := grants("42", "coins", 5*coin, fmt.Sprint("at ", s.now().Unix()), s.now())
		sub.Transaction = carom.SumOf("grant", "ticket")
		return accept(t, s, sub).Receipt.Decided[0]
	}
	first := grant()
	s.advance(100 * day)
	accept(t, s, submission("another", s.now()))
	prune(t, s)
	s.restart(t)
	if d := grant(); d.State != carom.RewardDeclined || d.Reward == nil || d.Reward.ID != first.Reward.ID {
		t.Errorf("the same grant again: %+v, want the first one named", d)
	}
	wantBalance(t, s, "42", "5 coins")
}

func unverifiedSampleEnds(t *testing.T, open Opener) {
	s := begin(t, open, Options{UnverifiedRetention: 3 * day})
	note := func() {
		s.Unverified(carom.Unverified{App: "app", Source: "monetag", Reason: carom.ReasonWrongSecret, Received: carom.Received{At: s.now()}})
		s.restart(t)
	}
	note()
	s.advance(2 * day)
	note()
	s.advance(2 * day)
	prune(t, s)
	list, err := s.UnverifiedSample(t.Context(), "app", "monetag", 10)
	if err != nil || len(list) != 1 || !list[0].Received.At.Equal(noon.Add(2*day)) {
		t.Errorf("the sample holds %d, %v, want the younger one", len(list), err)
	}
	if got := outcomes(t, s)["unverified:wrong_secret"]; got != 2 {
		t.Errorf("%d unverified ones counted, want 2: counts are kept longer", got)
	}
}

// earning makes an event that earns a reward of 5 coins.
func earning(ymid string, at time.Time) *carom.Submission {
	sub := submission(ymid, at)
	sub.View = carom.ViewClaim{Sum: carom.SumOf("view", ymid), User: sub.Event.TelegramID}
	sub.Candidates = []carom.Candidate{{Rule: "app/watch", At: at, Currency: "coins", Amount: 5 * coin}}
	return sub
}
