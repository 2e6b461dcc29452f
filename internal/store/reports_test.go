package store

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"carom"
)

// A folder of the version before reports has them of what it counted: all but sub-zones, and deliveries by source.
func TestReportsOfAnOlderVersion(t *testing.T) {
	dir, c := t.TempDir(), newClock()
	opts := rewarding(Options{Clock: c.now})
	s, stop := open(t, dir, opts)
	if _, err := s.SetObjects(t.Context(), carom.Objects{Apps: []carom.App{{Name: "app"}}, Endpoints: []carom.Endpoint{{App: "app", Name: "backend"}}}); err != nil {
		t.Fatal(err)
	}
	for i, ymid := range []string{"a", "b", "b", "c"} {
		sub := submission(ymid, c.now().Add(time.Duration(i)*10*time.Minute), direct(1))
		sub.Event.RequestVar = "bonus"
		if ymid == "c" {
			sub.Event.Value = carom.NotValued
		}
		if ymid == "a" {
			candidate := pays("watch", 5)
			candidate.At = sub.Event.Received.At
			sub.View, sub.Candidates = carom.ViewClaim{Sum: sub.Event.RepeatSum(), User: "ann"}, []carom.Candidate{candidate, candidate}
			sub.Candidates[1].Rule, sub.Candidates[1].Declined = "app/other", carom.DeclineNoPrice
		}
		s.Accept(sub)
		if sub.Err != nil {
			t.Fatal(sub.Err)
		}
		if !sub.Receipt.Duplicate {
			d := delivery(sub, 0)
			record(t, s, d, &carom.Attempt{Delivery: d.ID, Number: 1, At: c.now(), State: carom.Delivered})
		}
	}
	if err := s.Refuse(&carom.Refused{App: "app", Source: "monetag", Reason: carom.ReasonTooLarge, Received: carom.Received{At: c.now()}}); err != nil {
		t.Fatal(err)
	}
	read := func(s *Store) (all []any) {
		t.Helper()
		for _, by := range [][]string{{"app"}, {"zone"}} {
			list, err := s.ReportCounts(t.Context(), carom.ReportFilter{By: by, Cuts: []time.Time{noon.Add(-time.Hour), noon, noon.Add(15 * time.Minute), noon.Add(time.Hour)}})
			if err != nil {
				t.Fatal(err)
			}
			if by[0] == "zone" {
				for i := range list {
					list[i].Delivered = 0 // nobody had counted them by zone
				}
			}
			all = append(all, list)
		}
		list, err := s.DetailCounts(t.Context(), carom.ReportFilter{}, carom.DetailRefused, carom.DetailDeclined)
		if err != nil {
			t.Fatal(err)
		}
		return append(all, list)
	}
	stop()
	s, stop = open(t, dir, opts)
	want := read(s)
	stop()
	w, err := openWriter(s.dir+"/"+databaseFile, 1)
	if err != nil {
		t.Fatal(err)
	}
	migration, err := migrations.ReadFile("migrations/0009_reports.sql")
	if err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{"DROP TABLE source_counts", "DROP TABLE spot_counts", "DROP TABLE detail_counts", "DROP TABLE rolled", string(migration)} {
		if err := w.exec(statement); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	s, _ = open(t, dir, opts)
	if diff := cmp.Diff(want, read(s)); diff != "" {
		t.Errorf("reports after the upgrade (-before +after):\n%s", diff)
	}
}
