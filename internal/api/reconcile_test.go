package api

import (
	"context"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"carom"
	"carom/internal/reconcile"

	"github.com/google/go-cmp/cmp"
)

func shopStatement() (carom.Statement, []carom.StatementRow) {
	n := int64(10)
	return carom.Statement{
			ID: carom.NewStatementID(7, 1), At: noon(), By: "admin", App: "shop", Source: "monetag", File: "march.csv", Map: "monetag", Currency: "EUR",
			From: "2026-03-04", To: "2026-03-04", Rows: 1,
		}, []carom.StatementRow{{
			Day: "2026-03-04", Zone: "8790478", Impressions: &n, Revenue: carom.Price{Nanos: 1_000_000_000, Set: true},
		}}
}

// QuarterCounts and the methods below make fakeStore a Books of the app shop, with one statement.
func (s *fakeStore) QuarterCounts(_ context.Context, f carom.QuarterFilter, each func(*carom.QuarterCount) error) error {
	if f.App != "" && f.App != "shop" {
		return s.err
	}
	for _, c := range []carom.QuarterCount{
		{At: noon(), App: "shop", Source: "monetag", Zone: "8790478", EventType: "impression", Value: "valued", Outcome: "accepted", N: 8, Nanos: 800_000_000},
		{At: noon(), App: "shop", Source: "monetag", Zone: "8790478", EventType: "impression", Value: "valued", Outcome: "duplicate", N: 1},
		{At: noon(), App: "shop", Source: "monetag", Outcome: "refused:literal_macro", N: 1},
	} {
		if err := each(&c); err != nil {
			return err
		}
	}
	return s.err
}

func (s *fakeStore) OpenedViews(_ context.Context, app string, bounds []time.Time) ([]map[string]int64, error) {
	s.openedBounds += len(bounds)
	out := make([]map[string]int64, len(bounds)-1)
	if app == "" || app == "shop" {
		out[len(out)-1] = map[string]int64{"shop": 12}
	}
	return out, s.err
}

func (s *fakeStore) AddStatement(_ context.Context, st carom.Statement, _ []carom.StatementRow) (carom.Statement, bool, error) {
	st.ID = carom.NewStatementID(7, 2)
	return st, false, s.err
}

func (s *fakeStore) Statements(_ context.Context, f carom.StatementFilter) ([]carom.Statement, error) {
	if f.App != "" && f.App != "shop" {
		return nil, s.err
	}
	st, _ := shopStatement()
	return []carom.Statement{st}, s.err
}

func (s *fakeStore) Statement(_ context.Context, id carom.StatementID) (carom.Statement, []carom.StatementRow, error) {
	st, rows := shopStatement()
	if id != st.ID {
		return carom.Statement{}, nil, carom.ErrNotFound
	}
	return st, rows, s.err
}

func (s *fakeStore) StatedDays(context.Context, string, string, string, string) ([]carom.Statement, map[string][]carom.StatementRow, error) {
	st, rows := shopStatement()
	return []carom.Statement{st}, map[string][]carom.StatementRow{"2026-03-04": rows}, s.err
}

func (w *world) askFor(t *testing.T, accept, target string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), "GET", target, nil)
	r.Header.Set("Accept", accept)
	rec := httptest.NewRecorder()
	Local(w.handler).ServeHTTP(rec, r)
	return rec
}

func TestReconcileReport(t *testing.T) {
	w := newWorld()
	got := decode[reconcile.Report](t, w.ask(t, "", "GET /v1/reconcile?app=shop&from=2026-03-04&to=2026-03-04&day_zone=Europe/Berlin", ""), 200)
	if len(got.Rows) != 2 || got.Rows[1].Received != 9 || got.Rows[1].Network != "monetag" || got.Rows[1].Revenue != "0.8" || got.Rows[0].RefusedBy["literal_macro"] != 1 {
		t.Errorf("rows %+v", got.Rows)
	}
	if len(got.Apps) != 1 || *got.Apps[0].Opened != 12 || got.Apps[0].Delivered != 3 || got.DayZone != "Europe/Berlin" {
		t.Errorf("by app %+v in %s", got.Apps, got.DayZone)
	}
	week := decode[reconcile.Report](t, w.ask(t, "", "GET /v1/reconcile", ""), 200)
	if week.From != "2026-02-26" || week.To != "2026-03-04" {
		t.Errorf("without days the report is of %s to %s, want the last seven", week.From, week.To)
	}
	for accept, want := range map[string]string{"text/csv": "text/csv", "application/json": "application/json", "": "application/json", "*/*": "application/json"} {
		rec := w.askFor(t, accept, "/v1/reconcile?app=shop&from=2026-03-04&to=2026-03-04")
		if ct := rec.Header().Get("Content-Type"); rec.Code != 200 || ct != want || strings.HasPrefix(rec.Body.String(), "day,app,network") != (want == "text/csv") {
			t.Errorf("Accept %q: %d %s, %.40s", accept, rec.Code, ct, rec.Body)
		}
	}
	if rec := w.askFor(t, "text/csv", "/v1/events"); rec.Header().Get("Content-Type") != "application/json" {
		t.Errorf("a list of events as CSV: %s", rec.Header().Get("Content-Type"))
	}
	if rec := w.askFor(t, "text/csv", "/v1/reconcile?from=yesterday"); rec.Code != 422 || rec.Header().Get("Content-Type") != "application/problem+json" {
		t.Errorf("a problem as CSV: %d %s", rec.Code, rec.Header().Get("Content-Type"))
	}
}

func TestComparison(t *testing.T) {
	w := newWorld()
	got := decode[reconcile.Comparison](t, w.ask(t, "", "GET /v1/reconcile/comparison?source=shop/monetag&rate=1.1", ""), 200)
	want := []reconcile.Explanation{
		{Cause: "duplicate", N: 1, Money: "0", Counted: 1, What: "were copies, which count once", Next: "carom stats --source shop/monetag --by day,zone,outcome --since 1d"},
		{Cause: "refused", Reason: "literal_macro", N: 1, Money: "0.1", Counted: 1, Estimated: true,
			What: "had the right secret and were of no use: literal_macro", Next: "carom show --refused --source shop/monetag"},
	}
	if diff := cmp.Diff(want, got.Total.Explained); diff != "" {
		t.Errorf("explained (-want +got):\n%s", diff)
	}
	if got.Total.Difference != 2 || got.Total.Unexplained != 0 || got.Total.TheirMoney != "1.1" || got.Total.UnexplainedMoney != "0.2" || got.Currency != "USD" || got.Rate != "1.1" {
		t.Errorf("total %+v in %s at %s", got.Total, got.Currency, got.Rate)
	}
	plain := decode[reconcile.Comparison](t, w.ask(t, "", "GET /v1/reconcile/comparison?source=shop/monetag", ""), 200)
	if plain.Currency != "" || plain.Total.TheirMoney != "" || !strings.Contains(strings.Join(plain.Notes, " "), "in EUR") {
		t.Errorf("without a rate: %+v, notes %q", plain.Total, plain.Notes)
	}
}

func TestImportStatement(t *testing.T) {
	w := newWorld()
	const file = "Date,Zone ID,Impressions\n2026-03-04,8790478,10\n"
	got := decode[ImportedStatement](t, w.ask(t, "admin", "POST /v1/reconcile/statements?source=shop/monetag&file=C%3A%5Cdown%5Cmarch.csv", file), 200)
	if st := got.Statement; st.ID != carom.NewStatementID(7, 2) || st.File != "march.csv" || st.By != "admin" || st.Map != "monetag" || st.Rows != 1 {
		t.Errorf("statement %+v", st)
	}
	if !strings.Contains(w.log.String(), "statement imported") {
		t.Errorf("no line in the log says so: %s", w.log)
	}
	dry := decode[ImportedStatement](t, w.ask(t, "admin", "POST /v1/reconcile/statements?source=shop/monetag&dry_run=true", file), 200)
	if dry.Statement.ID != "" || len(dry.Rows) != 1 || *dry.Rows[0].Impressions != 10 {
		t.Errorf("dry run %+v", dry)
	}
	for _, tt := range []struct {
		key, target, body, want string
		status                  int
	}{
		{"admin", "source=shop/monetag", "Date,Clicks\nx,1\ny,2\n", `"line":3`, 422},
		{"admin", "source=shop/monetag", "Zone,Clicks\n1,1\n", "columns.day", 422},
		{"admin", "source=shop/monetag&map=columns:+%5B", file, "column map cannot be read", 422},
		{"admin", "source=shop/monetag&network=nobody", file, "column maps are there for", 422},
		{"admin", "source=shop/monetag&network=monetag&map=x", file, "not both", 422},
		{"admin", "source=shop/nothing", file, "no source shop/nothing", 404},
		{"admin", "", file, "app/source", 422},
		{"game-admin", "source=shop/monetag", file, "", 404},
		{"read", "source=shop/monetag", file, "scope admin", 403},
	} {
		rec := w.ask(t, tt.key, "POST /v1/reconcile/statements?"+tt.target, tt.body)
		if rec.Code != tt.status || !strings.Contains(rec.Body.String(), tt.want) {
			t.Errorf("%s with %s: %d %s, want %d with %q", tt.target, tt.key, rec.Code, rec.Body, tt.status, tt.want)
		}
	}
}

func TestStatementsOfOtherAppsAreNotSeen(t *testing.T) {
	w := newWorld()
	id := string(carom.NewStatementID(7, 1))
	if got := decode[StatementStory](t, w.ask(t, "read", "GET /v1/reconcile/statements/"+id, ""), 200); len(got.Rows) != 1 || got.Rows[0].Revenue != "1" {
		t.Errorf("statement %+v", got)
	}
	if got := decode[StatementList](t, w.ask(t, "read", "GET /v1/reconcile/statements", ""), 200); len(got.Statements) != 1 {
		t.Errorf("statements %+v", got)
	}
	if got := decode[StatementList](t, w.ask(t, "game-read", "GET /v1/reconcile/statements", ""), 200); len(got.Statements) != 0 {
		t.Errorf("a key of another app sees %+v", got)
	}
	if got := decode[reconcile.Report](t, w.ask(t, "game-read", "GET /v1/reconcile", ""), 200); len(got.Rows) != 0 {
		t.Errorf("a key of another app sees %+v", got.Rows)
	}
	for _, route := range []string{"GET /v1/reconcile/statements/" + id, "GET /v1/reconcile/comparison?source=shop/monetag", "GET /v1/reconcile?app=shop"} {
		if rec := w.ask(t, "game-read", route, ""); rec.Code != 404 {
			t.Errorf("%s with a key of another app: %d %s", route, rec.Code, rec.Body)
		}
	}
}
