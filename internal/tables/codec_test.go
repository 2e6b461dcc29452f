package tables

import (
	"database/sql"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"carom"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestAmountText(t *testing.T) {
	for _, tt := range []struct {
		units, nanos int64
		want         string
	}{
		{0, 0, "0"}, {7, 0, "7"}, {-7, 0, "-7"}, {0, -1, "-0.000000001"}, {-1, -500_000_000, "-1.5"}, {1, -500_000_000, "0.5"}, {-1, 500_000_000, "-0.5"},
		{-2, 500_000_000, "-1.5"}, {2, -1, "1.999999999"}, {3, -3_000_000_000, "0"}, {-3, 3_250_000_000, "0.25"}, {10, 20_000_000_001, "30.000000001"},
	} {
		if got := AmountText(tt.units, tt.nanos); got != tt.want {
			t.Errorf("AmountText(%d, %d) = %q, want %q", tt.units, tt.nanos, got, tt.want)
		}
	}
}

func TestFieldsAreReadAsTheyWereWritten(t *testing.T) {
	for _, fields := range [][]carom.Field{nil, {{Name: "a", Value: "1"}}, {{Name: "b", Value: "\u2028\"'"}, {Name: "a"}, {Name: "b", Value: "again"}}} {
		text, some := FieldsJSON(fields)
		got, err := ParseFields(sql.NullString{String: text, Valid: some})
		if diff := cmp.Diff(fields, got); err != nil || diff != "" || some != (len(fields) > 0) {
			t.Errorf("fields through %q, %v (-want +got):\n%s", text, err, diff)
		}
	}
	if _, err := ParseFields(sql.NullString{String: "{", Valid: true}); err == nil {
		t.Error("ParseFields reads what is no JSON")
	}
}

func TestTargetsAreReadAsTheyWereWritten(t *testing.T) {
	reward := &carom.Reward{ID: carom.NewRewardID(7, 12)}
	receipt := carom.Receipt{Decided: []carom.Decided{{State: carom.RewardDeclined}, {State: carom.RewardGranted, Reward: reward}}}
	for _, tt := range []struct {
		targets []carom.Target
		text    string
		want    []Target
	}{
		{nil, "", []Target{}},
		{[]carom.Target{{Endpoint: 3}}, "3", []Target{{Endpoint: 3}}},
		{[]carom.Target{{Endpoint: 3}, {Endpoint: 70, Candidate: 2}, {Endpoint: 4, Candidate: 1, Unowed: true}}, "3 70:12 -", []Target{{Endpoint: 3}, {70, 12}, {Endpoint: -1}}},
	} {
		text := JoinTargets(&carom.Submission{Targets: tt.targets, Receipt: receipt})
		got, err := ParseTargets(text)
		if diff := cmp.Diff(tt.want, got); err != nil || diff != "" || text != tt.text {
			t.Errorf("targets through %q (want %q), %v (-want +got):\n%s", text, tt.text, err, diff)
		}
	}
	for _, text := range []string{"x", "3:", "3:y", "3,4"} {
		if got, err := ParseTargets(text); err == nil {
			t.Errorf("ParseTargets(%q) = %v, want an error", text, got)
		}
	}
}

func TestDecisionsAreReadAsTheyWereWritten(t *testing.T) {
	id := carom.NewRewardID(7, 12)
	list := []carom.Decided{{Rule: "a", State: carom.RewardGranted, Reward: &carom.Reward{ID: id, User: "u"}},
		{Rule: "b", State: carom.RewardDeclined, Reason: carom.DeclineTransaction, Cap: "daily"}}
	got, err := ParseDecided(DecidedJSON(list))
	list[0].Reward = &carom.Reward{ID: id} // the rest is the reward's row
	if diff := cmp.Diff(list, got); err != nil || diff != "" {
		t.Errorf("decisions, %v (-want +got):\n%s", err, diff)
	}
	if got, err := ParseDecided(DecidedJSON(nil)); err != nil || got != nil {
		t.Errorf("no decisions = %v, %v", got, err)
	}
	if _, err := ParseDecided("{"); err == nil {
		t.Error("ParseDecided reads what is no JSON")
	}
}

func TestClientsAndMomentsMayBeAbsent(t *testing.T) {
	for _, client := range []netip.Addr{{}, netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")} {
		if got := ParseClient(ClientText(&carom.Received{Client: client})); got != client {
			t.Errorf("client %v is read as %v", client, got)
		}
	}
	for _, at := range []time.Time{{}, noon} {
		if got := Instant(Millis(at)); !got.Equal(at) {
			t.Errorf("%v is read as %v", at, got)
		}
	}
	for _, sum := range [][16]byte{{}, {1, 2}} {
		if got := SumOf(SumBlob(sum)); got != sum {
			t.Errorf("the sum %x is read as %x", sum, got)
		}
	}
}

// A rule that pays beside the others claims nothing that would stand in their way, but its own.
func TestClaims(t *testing.T) {
	r := RewardRow{View: [16]byte{1}, Tx: [16]byte{2}, Reward: carom.Reward{App: "app", Rule: "watch"}}
	if diff := cmp.Diff([][16]byte{{1}, {2}}, r.Claims()); diff != "" {
		t.Errorf("claims (-want +got):\n%s", diff)
	}
	r.Additional, r.Tx = true, [16]byte{}
	if diff := cmp.Diff([][16]byte{OwnSum([16]byte{1}, "app/watch")}, r.Claims()); diff != "" {
		t.Errorf("claims of an additional rule (-want +got):\n%s", diff)
	}
	if sums := [][16]byte{OwnSum(r.View, "app/watch"), OwnSum(r.View, "app/other"), ReversedSum(r.View), r.View}; sums[0] == sums[1] || sums[2] == sums[3] || sums[0] == sums[2] {
		t.Errorf("sums of unlike meaning are equal: %x", sums)
	}
}

func TestWindows(t *testing.T) {
	dedupe, repeat := Windows([]carom.Source{{DedupeWindow: time.Hour, RepeatWindow: 2 * time.Hour}, {DedupeWindow: 90 * 24 * time.Hour}})
	if dedupe != 90*24*time.Hour || repeat != 2*time.Hour {
		t.Errorf("Windows = %s, %s", dedupe, repeat)
	}
	if dedupe, repeat := Windows(nil); dedupe != 0 || repeat != 0 {
		t.Errorf("Windows of no sources = %s, %s", dedupe, repeat)
	}
}
