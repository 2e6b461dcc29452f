package store

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"carom"
)

// What is erased is erased wherever a fold stands, and indexes that are built anew from the rows know as much as the ones before.
func TestEraseReachesFoldsAndIndexes(t *testing.T) {
	const user, other = "u279058397", "u2790583971" // one is the beginning of the other
	for _, fold := range []int{1, 3, 1_000_000} {
		t.Run(fmt.Sprint("fold at ", fold), func(t *testing.T) {
			dir := t.TempDir()
			opts := rewarding(Options{Clock: newClock().now, BucketEvents: 40, SegmentRewards: 25, foldAt: fold, foldSlice: 2})
			s, stop := open(t, dir, opts)
			capAt := carom.CapAt{Scope: "app/watch per user in all", PerUser: true, Rewards: 1000}
			view := openView(t, s, carom.View{User: user, OpenedAt: noon, YMID: "own view of " + user})
			acceptAll(t, s, inView(view, "first", carom.Click, noon, pays("watch", 7)))
			for i := range 60 {
				for _, who := range []string{user, other} {
					accept(t, s, paid(fmt.Sprint("view-", i, "-of-", who), who, carom.Click, noon, pays("watch", 5, capped(capAt))))
				}
			}
			erased, err := s.Erase(t.Context(), "app", user)
			if want := (carom.Erased{As: erased.As, Rewards: 61, Views: 1, Events: 61}); err != nil || erased != want {
				t.Fatalf("Erase = %+v, %v, want %+v", erased, err, want)
			}
			leftovers(t, s, user, other)
			check := func(when string) {
				t.Helper()
				wantBalance(t, s, user, "")
				wantBalance(t, s, erased.As, "307 coins")
				wantBalance(t, s, other, "300 coins")
				if got := rewardsOf(t, s, erased.As); len(got) != 61 {
					t.Errorf("%s: %d rewards of %s, want 61", when, len(got), erased.As)
				}
				if gone, err := s.Person(t.Context(), "app", user); err != nil || len(gone.Rewards)+len(gone.Stories)+len(gone.Views) > 0 {
					t.Errorf("%s: left of the user: %+v, %v", when, gone, err)
				}
				if kept, err := s.Person(t.Context(), "app", other); err != nil || len(kept.Stories) != 60 {
					t.Errorf("%s: of the other user: %d stories, %v", when, len(kept.Stories), err)
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
			check("at once")
			stop()
			s, stop = open(t, dir, opts)
			check("after a restart")
			stop()
			for _, name := range []string{"index_1", "index_2", "rewards_1", "rewards_2"} { // they are built anew from the rows
				if err := os.Remove(filepath.Join(dir, name)); err != nil {
					t.Fatal(err)
				}
			}
			s, _ = open(t, dir, opts)
			check("with other indexes")
		})
	}
}

// leftovers looks for the user in everything that is stored, row by row. The other user's name begins with it.
func leftovers(t *testing.T, s *Store, user, other string) {
	t.Helper()
	var names []string
	each(t, s, `SELECT name FROM sqlite_master WHERE type = 'table'`, func(_ string, value []byte) { names = append(names, string(value)) })
	for _, name := range names {
		each(t, s, `SELECT * FROM `+name, func(column string, value []byte) {
			if text := strings.ReplaceAll(string(value), other, ""); strings.Contains(text, user) {
				t.Errorf("table %s, column %s: %s is still there: %q", name, column, user, text)
			}
		})
	}
}

// each calls see for every value of a query's result.
func each(t testing.TB, s *Store, query string, see func(column string, value []byte)) {
	t.Helper()
	rows, err := s.r.QueryContext(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		values := make([]any, len(columns))
		for i := range values {
			values[i] = new([]byte)
		}
		if err := rows.Scan(values...); err != nil {
			t.Fatal(err)
		}
		for i, v := range values {
			see(columns[i], *v.(*[]byte))
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
}

// A process that died before the account was renamed has left the way to the rest.
func TestEraseGoesOn(t *testing.T) {
	s, _ := open(t, t.TempDir(), rewarding(Options{Clock: newClock().now}))
	view := openView(t, s, carom.View{User: "person", OpenedAt: noon})
	acceptAll(t, s, inView(view, "names nobody", carom.Click, noon, pays("watch", 7)), paid("view", "person", carom.Click, noon, pays("watch", 5)))
	p, err := s.Person(t.Context(), "app", "person")
	if err != nil {
		t.Fatal(err)
	}
	p.Stories = p.Stories[:1]
	if err := s.eraseEvents(t.Context(), p, &carom.Erased{As: carom.ErasedPrefix + "first"}); err != nil {
		t.Fatal(err)
	}
	erased, err := s.Erase(t.Context(), "app", "person")
	if err != nil || erased.Events != 2 || erased.Rewards != 2 || erased.Views != 1 {
		t.Errorf("Erase = %+v, %v, want two events, two rewards and a view", erased, err)
	}
	leftovers(t, s, "person", "nobody else")
	wantBalance(t, s, erased.As, "12 coins")
}
