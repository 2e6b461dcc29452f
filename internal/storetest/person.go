package storetest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"carom"
)

// The person goes from every table; amounts, sums, counters and the memory of copies stay.
func erase(t *testing.T, open Opener) {
	const user, other = "u279058397", "u2790583971" // one is the beginning of the other
	s := begin(t, open, Options{BucketEvents: 40, SegmentRewards: 25})
	cap := carom.CapAt{Scope: "app/watch per user in all", PerUser: true, Rewards: 1000}
	named := carom.CapAt{Scope: "app budget per user in all", PerUser: true, Rewards: 1000}
	view := openView(t, s, carom.View{User: user, OpenedAt: noon, YMID: "own view of " + user})
	var subs []*carom.Submission
	for i := range 60 {
		for _, who := range []string{user, other} {
			subs = append(subs, paid(fmt.Sprint("view-", i, "-of-", who), who, carom.Click, noon, pays("watch", 5, capped(cap, named))))
		}
	}
	subs = append(subs, inView(view, "first", carom.Click, noon, pays("watch", 7)))
	for _, sub := range subs {
		acceptAll(t, s, sub)
	}
	for _, who := range []string{user, other} {
		r := refused("app", "monetag", noon)
		r.Received.RawQuery = "tg=" + who + "&x=1"
		refuse(t, s, r)
	}
	d := paid("delivered to a receiver", user, carom.Impression, noon)
	d.Targets = []carom.Target{{Endpoint: 1, Direct: true}}
	acceptAll(t, s, d)
	a := attempt(delivery(d, 0), carom.Delivered, noon, noon)
	a.URL, a.Answer = "https://publisher.example/?user="+user, "thanks "+user
	record(t, s, delivery(d, 0), a)
	s.settle(t)

	before, err := s.Person(t.Context(), "app", user)
	if err != nil {
		t.Fatal(err)
	}
	if len(before.Rewards) != 61 || len(before.Lines) != 61 || len(before.Stories) != 62 || len(before.Views) != 1 || len(before.Refused) != 1 {
		t.Fatalf("Person: %d rewards, %d lines, %d stories, %d views, %d refused", len(before.Rewards), len(before.Lines), len(before.Stories),
			len(before.Views), len(before.Refused))
	}
	erased, err := s.Erase(t.Context(), "app", user)
	if err != nil {
		t.Fatal(err)
	}
	want := carom.Erased{As: erased.As, Rewards: 61, Views: 1, Events: 62, Refused: 1}
	if erased != want || !strings.HasPrefix(erased.As, carom.ErasedPrefix) {
		t.Errorf("Erase = %+v, want %+v", erased, want)
	}
	check := func(when string) {
		t.Helper()
		wantBalance(t, s, user, "")
		wantBalance(t, s, erased.As, "307 coins")
		wantBalance(t, s, other, "300 coins")
		if got := rewardsOf(t, s, erased.As); len(got) != 61 {
			t.Errorf("%s: %d rewards of %s, want 61", when, len(got), erased.As)
		}
		lines, err := s.Ledger(t.Context(), carom.LedgerFilter{App: "app", User: erased.As, Limit: 100})
		if err != nil || len(lines) != 61 {
			t.Errorf("%s: %d lines of %s, %v, want 61", when, len(lines), erased.As, err)
		}
		if gone, err := s.Person(t.Context(), "app", user); err != nil || len(gone.Rewards)+len(gone.Stories)+len(gone.Views)+len(gone.Refused) > 0 {
			t.Errorf("%s: left of the user: %+v, %v", when, gone, err)
		}
		if kept, err := s.Person(t.Context(), "app", other); err != nil || len(kept.Stories) != 60 || len(kept.Refused) != 1 {
			t.Errorf("%s: of the other user: %d stories, %v", when, len(kept.Stories), err)
		}
		report, err := s.CheckLedger(t.Context())
		if err != nil || len(report.Faults) > 0 {
			t.Errorf("%s: ledger %+v, %v", when, report, err)
		}
		again := paid("view-3-of-"+user, user, carom.Click, noon, pays("watch", 5))
		if s.Accept(again); again.Err != nil || !again.Receipt.Duplicate {
			t.Errorf("%s: a copy of an erased event: %v, %+v", when, again.Err, again.Receipt)
		}
		late := paid("view-3-of-"+user, user, carom.Completion, noon, pays("watch", 5))
		late.Key.Sum, late.Event.TelegramID = carom.SumOf(when), ""
		if s.Accept(late); late.Err != nil || decided(late) != "watch declined rewarded" {
			t.Errorf("%s: another event of an erased view: %v, %q", when, late.Err, decided(late))
		}
	}
	if _, err := s.Erase(t.Context(), "app", erased.As); err == nil {
		t.Error("a user was erased twice")
	}
	leftovers(t, s, user, other)
	s.restart(t)
	leftovers(t, s, user, other)
	check("after a restart") // in which events come that name the user again
	s.crash(t)
	check("after a crash")
	s.restart(t)
	check("after another restart")
}

// leftovers looks for the user in everything that is stored. The other user's name begins with it.
func leftovers(t testing.TB, s *world, user, other string) {
	t.Helper()
	for _, found := range s.place.Find(t, user) {
		if strings.Contains(strings.ReplaceAll(found, other, ""), user) {
			t.Errorf("%s is still there: %.300q", user, found)
		}
	}
	if len(s.place.Find(t, other)) == 0 {
		t.Errorf("%s is found nowhere, so nobody would be", other)
	}
}

// What will still name the user to a receiver comes first: nothing is erased before.
func eraseWaits(t *testing.T, open Opener) {
	s := begin(t, open, Options{})
	sub := paid("view", "person", carom.Click, noon, pays("watch", 5))
	sub.Targets = []carom.Target{{Endpoint: 1, Direct: true}}
	acceptAll(t, s, sub)
	held := paid("held view", "another", carom.Click, noon, pays("watch", 5, holds(time.Hour)))
	acceptAll(t, s, held)
	for _, user := range []string{"person", "another"} {
		if erased, err := s.Erase(t.Context(), "app", user); err != nil || erased != (carom.Erased{Waiting: 1}) {
			t.Errorf("Erase(%s) = %+v, %v, want nothing but one that waits", user, erased, err)
		}
	}
	wantBalance(t, s, "person", "5 coins")
	record(t, s, delivery(sub, 0), attempt(delivery(sub, 0), carom.Delivered, noon, noon))
	s.settle(t)
	if erased, err := s.Erase(t.Context(), "app", "person"); err != nil || erased.Waiting != 0 || erased.Events != 1 || erased.Rewards != 1 {
		t.Errorf("Erase when it has ended = %+v, %v, want one event and one reward", erased, err)
	}
}
