package storetest

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"carom"
)

// found makes an entry whose finding is known beforehand.
func found(at time.Time, f carom.ShadowFinding) carom.ShadowEntry {
	return carom.ShadowEntry{App: "app", Source: "ads", At: at, N: 1, Judge: func(_, _ []byte) carom.ShadowFinding {
		f.Example.At = at
		return f
	}}
}

func compareIn(t testing.TB, s *world, entries ...carom.ShadowEntry) {
	t.Helper()
	if kept, err := s.Compare(t.Context(), entries); err != nil || kept != len(entries) {
		t.Fatalf("Compare: %d kept, %v", kept, err)
	}
}

func reportOf(t testing.TB, s *world, since time.Time) carom.ShadowReport {
	t.Helper()
	report, err := s.ShadowReport(t.Context(), "app", "ads", since)
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(report.Differences, func(x, y carom.ShadowDifference) int { return int(y.Count - x.Count) })
	return report
}

func shadowReport(t *testing.T, open Opener) {
	s := begin(t, open, Options{})
	flood := found(noon, carom.ShadowFinding{Compared: true, Kinds: []carom.ShadowKind{carom.ShadowOpenDoor}})
	flood.N = 1_000_000
	other := found(noon, carom.ShadowFinding{})
	other.Source = "others"
	coins := []carom.ShadowGrant{{Currency: "coins", Amount: 9_000_000_000_000_000_000}, {Currency: "USD", Amount: 1}}
	compareIn(t, s,
		found(noon.Add(-2*time.Hour), carom.ShadowFinding{Compared: true}),
		found(noon, carom.ShadowFinding{Compared: true, Grants: coins}), found(noon, carom.ShadowFinding{Grants: coins}), flood, other,
		found(noon, carom.ShadowFinding{Missed: true}),
		found(noon, carom.ShadowFinding{Compared: true, Kinds: []carom.ShadowKind{carom.ShadowWords}, Example: carom.ShadowExample{ID: "evt_1", Judged: "j", Answered: "a"}}))
	for i := range 150 { // more than the ring holds
		compareIn(t, s, found(noon.Add(time.Duration(i)*time.Millisecond), carom.ShadowFinding{Compared: true, Kinds: []carom.ShadowKind{carom.ShadowAmount},
			Example: carom.ShadowExample{ID: fmt.Sprint(i)}}))
	}
	s.restart(t)
	got := reportOf(t, s, noon)
	if n := len(got.Differences[0].Examples); n != 1 {
		t.Errorf("a flood in one entry has %d examples, want 1", n)
	}
	got.Differences[0].Examples = nil
	want := carom.ShadowReport{
		Since: noon.Truncate(time.Hour), Requests: 1_000_154, Compared: 1_000_152, Agreed: 1, Missed: 1,
		Differences: []carom.ShadowDifference{
			{Kind: carom.ShadowOpenDoor, Count: 1_000_000},
			{Kind: carom.ShadowAmount, Count: 150, Examples: []carom.ShadowExample{
				{At: noon.Add(149 * time.Millisecond), ID: "149"}, {At: noon.Add(148 * time.Millisecond), ID: "148"}, {At: noon.Add(147 * time.Millisecond), ID: "147"},
			}},
			{Kind: carom.ShadowWords, Count: 1, Examples: []carom.ShadowExample{{At: noon, ID: "evt_1", Judged: "j", Answered: "a"}}},
		},
		WouldGrant: []carom.ShadowSum{{Currency: "USD", Rewards: 2, Amount: "0.000000002"}, {Currency: "coins", Rewards: 2, Amount: "18000000000"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the report (-want +got):\n%s", diff)
	}
	if got := reportOf(t, s, noon.Add(-3*time.Hour)); got.Requests != 1_000_155 || got.Agreed != 2 {
		t.Errorf("since three hours earlier there are %d requests, %d agreed", got.Requests, got.Agreed)
	}
}

// A judge sees what the ones before it left behind, for its view and for its source, until the view's days are over.
func shadowNotes(t *testing.T, open Opener) {
	s := begin(t, open, Options{})
	var seen []string
	judge := func(view, source []byte) carom.ShadowFinding {
		seen = append(seen, string(view)+"|"+string(source))
		return carom.ShadowFinding{View: append(slices.Clone(view), 'v'), Source: append(slices.Clone(source), 's')}
	}
	entry := func(view string, at time.Time) carom.ShadowEntry {
		return carom.ShadowEntry{App: "app", Source: "ads", At: at, N: 1, View: carom.SumOf(view), Judge: judge}
	}
	none := entry("", noon)
	none.View = [16]byte{}
	compareIn(t, s, entry("1", noon), entry("1", noon), entry("2", noon), none, entry("1", noon))
	s.advance(3*day + time.Hour)
	compareIn(t, s, entry("3", s.now()))
	prune(t, s)
	compareIn(t, s, entry("1", s.now()), entry("3", s.now()))
	want := []string{"|", "v|s", "|ss", "|sss", "vv|ssss", "|sssss", "|ssssss", "v|sssssss"}
	if diff := cmp.Diff(want, seen); diff != "" {
		t.Errorf("judges saw (-want +got):\n%s", diff)
	}
	s.advance(500 * day)
	prune(t, s)
	if got := reportOf(t, s, noon.Add(-day)); got.Requests != 0 || len(got.Differences) != 0 {
		t.Errorf("after years the report has %+v, want nothing", got)
	}
}

func compareAfterTheEnd(t *testing.T, open Opener) {
	s := begin(t, open, Options{})
	s.stop(t)
	if kept, err := s.Compare(t.Context(), []carom.ShadowEntry{found(noon, carom.ShadowFinding{})}); kept != 0 || !errors.Is(err, carom.ErrUnavailable) {
		t.Errorf("Compare: %d kept, %v; want none, and try later", kept, err)
	}
}
