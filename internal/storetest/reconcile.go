package storetest

import (
	"cmp"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"carom"
)

func quarters(t testing.TB, s *world, f carom.QuarterFilter) (out []carom.QuarterCount) {
	t.Helper()
	if err := s.QuarterCounts(t.Context(), f, func(c *carom.QuarterCount) error {
		out = append(out, *c)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if !slices.IsSortedFunc(out, func(a, b carom.QuarterCount) int { return a.At.Compare(b.At) }) {
		t.Errorf("the quarters of %+v are not in order: %+v", f, out)
	}
	// Those of one quarter come in any order.
	slices.SortFunc(out, func(a, b carom.QuarterCount) int { return cmp.Or(a.At.Compare(b.At), strings.Compare(a.Zone, b.Zone)) })
	return out
}

func quartersCount(t *testing.T, open Opener) {
	noon := time.Date(2026, 3, 29, 12, 0, 0, 0, time.UTC)
	s := begin(t, open, Options{})
	accept(t, s, submission("a", noon))
	accept(t, s, submission("b", noon.Add(14*time.Minute)))
	s.Accept(submission("a", noon.Add(15*time.Minute)))
	if err := s.Refuse(&carom.Refused{App: "app", Source: "monetag", Reason: carom.ReasonTooLarge, Received: carom.Received{At: noon}}); err != nil {
		t.Fatal(err)
	}
	event := carom.QuarterCount{At: noon, App: "app", Source: "monetag", Zone: "1", EventType: "impression", Value: "valued"}
	first, refused, second := event, carom.QuarterCount{At: noon, App: "app", Source: "monetag", Outcome: "refused:too_large", N: 1}, event
	first.Outcome, first.N, first.Nanos = carom.OutcomeUnmatched, 2, 4_600_000
	second.At, second.Outcome, second.N, second.Nanos = noon.Add(15*time.Minute), carom.OutcomeDuplicate, 1, 2_300_000
	if diff := gocmp.Diff([]carom.QuarterCount{refused, first, second}, quarters(t, s, carom.QuarterFilter{From: noon, To: noon.Add(time.Hour)})); diff != "" {
		t.Errorf("quarters (-want +got):\n%s", diff)
	}
	if got := quarters(t, s, carom.QuarterFilter{App: "app", Source: "monetag", From: noon, To: noon.Add(15 * time.Minute)}); len(got) != 2 {
		t.Errorf("%d counts of the first quarter, want 2", len(got))
	}
	for _, f := range []carom.QuarterFilter{{App: "other", From: noon, To: noon.Add(time.Hour)}, {Source: "other", From: noon, To: noon.Add(time.Hour)}, {From: noon.Add(time.Hour), To: noon.Add(2 * time.Hour)}} {
		if got := quarters(t, s, f); len(got) != 0 {
			t.Errorf("%+v selects %+v", f, got)
		}
	}
}

func statementsAreKept(t *testing.T, open Opener) {
	s := begin(t, open, Options{})
	n := func(v int64) *int64 { return &v }
	row := func(day string, impressions int64) carom.StatementRow {
		return carom.StatementRow{Day: day, Zone: "7", Impressions: n(impressions), Revenue: carom.Price{Nanos: 5, Set: true}}
	}
	st := carom.Statement{At: time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC), By: "admin", App: "game", Source: "ads", File: "a.csv", SHA256: "aa", Reading: "r",
		Map: "monetag", Currency: "USD", DayZone: "UTC", From: "2026-03-01", To: "2026-03-02", Rows: 2, Notes: []string{"A note."}}
	rows := []carom.StatementRow{row("2026-03-01", 10), row("2026-03-02", 20)}
	add := func(st carom.Statement, rows []carom.StatementRow) (carom.Statement, bool) {
		t.Helper()
		made, again, err := s.AddStatement(t.Context(), st, rows)
		if err != nil {
			t.Fatal(err)
		}
		return made, again
	}
	first, _ := add(st, rows)
	got, gotRows, err := s.Statement(t.Context(), first.ID)
	st.ID = first.ID
	if diff := gocmp.Diff(st, got) + gocmp.Diff(rows, gotRows); err != nil || diff != "" {
		t.Errorf("statement %v (-want +got):\n%s", err, diff)
	}
	if same, again := add(st, rows); !again || same.ID != first.ID {
		t.Errorf("the same file is kept again as %s", same.ID)
	}
	later := st
	later.File, later.SHA256 = "b.csv", "bb"
	second, again := add(later, []carom.StatementRow{row("2026-03-02", 21), row("2026-03-03", 30)})
	if again {
		t.Error("another file is taken for the same")
	}
	used, days, err := s.StatedDays(t.Context(), "game", "ads", "2026-03-01", "2026-03-31")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][]carom.StatementRow{"2026-03-01": {row("2026-03-01", 10)}, "2026-03-02": {row("2026-03-02", 21)}, "2026-03-03": {row("2026-03-03", 30)}}
	if diff := gocmp.Diff(want, days); diff != "" || len(used) != 2 || used[0].ID != first.ID {
		t.Errorf("stated days of %d statements (-want +got):\n%s", len(used), diff)
	}
	list, err := s.Statements(t.Context(), carom.StatementFilter{App: "game", Source: "ads"})
	if err != nil || len(list) != 2 || list[0].ID != second.ID {
		t.Errorf("%d statements, %v, want both, the newest first", len(list), err)
	}
	life, _ := place(t, accept(t, s, submission("a", noon)).Receipt.ID)
	stranger := carom.NewStatementID(life, 9_999)
	for id, want := range map[carom.StatementID]error{stranger: carom.ErrNotFound, carom.NewStatementID(1, 1): carom.ErrNotFound, "stm_x": carom.ErrInvalid} {
		if _, _, err := s.Statement(t.Context(), id); !errors.Is(err, want) {
			t.Errorf("Statement(%s) = %v, want %v", id, err, want)
		}
	}
}

func openedViewsAreCounted(t *testing.T, open Opener) {
	noon := time.Date(2026, 3, 29, 12, 0, 0, 0, time.UTC)
	s := begin(t, open, Options{})
	for i := range 10 {
		app := []string{"game", "shop"}[i%2]
		at := noon.Add(time.Duration(i) * time.Hour)
		if err := s.OpenView(t.Context(), &carom.View{App: app, User: "u", OpenedAt: at, ExpiresAt: at.Add(time.Hour)}); err != nil {
			t.Fatal(err)
		}
	}
	bounds := []time.Time{noon.Add(-time.Hour), noon.Add(3 * time.Hour), noon.Add(9 * time.Hour), noon.Add(time.Hour * 99)}
	got, err := s.OpenedViews(t.Context(), "", bounds)
	if diff := gocmp.Diff([]map[string]int64{{"game": 2, "shop": 1}, {"game": 3, "shop": 3}, {"shop": 1}}, got); err != nil || diff != "" {
		t.Errorf("opened views, %v (-want +got):\n%s", err, diff)
	}
	if got, err := s.OpenedViews(t.Context(), "game", bounds); err != nil || got[1]["game"] != 3 || got[1]["shop"] != 0 {
		t.Errorf("of one app: %v, %v", got, err)
	}
}
