package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"carom"
	"carom/internal/api"
)

// The page shows what the command prints.
func TestShadowText(t *testing.T) {
	at := time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)
	r := api.ShadowReport{
		Source: "game/ads", Mode: "shadow", Since: at.Add(-7 * 24 * time.Hour), Requests: 1204, Compared: 1204, Agreed: 1186,
		WouldGrant: []carom.ShadowSum{{Currency: "coins", Rewards: 803, Amount: "4015"}},
		Differences: []api.ShadowDifference{{
			Kind: carom.ShadowViewPaidTwice, Count: 18,
			What:  "Two paid events of one view, such as its impression and its click, got the same answer: the receiver answers as if it paid for both.",
			Costs: "A user who clicks may earn twice for one view. Look the examples up in your own ledger.",
			Examples: []carom.ShadowExample{{
				At: at, ID: "evt_1kvcvynz0000100000002", Judged: "click, valued", Answered: "200 OK: {\"ok\":true}\x1b[2J",
			}},
		}},
	}
	var b strings.Builder
	writeShadow(&b, &r)
	got := strings.Replace(b.String(), "·[2J", "", 1)
	if got == b.String() {
		t.Error("control characters of a receiver reach the terminal")
	}
	page, err := os.ReadFile(filepath.Join(root, "docs", "shadow.md"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(page), "```\n"+got+"```\n") {
		t.Errorf("docs/shadow.md does not show what the command prints:\n%s", got)
	}
	for _, tt := range []struct {
		report api.ShadowReport
		want   string
	}{
		{api.ShadowReport{}, "Nothing came"},
		{api.ShadowReport{Requests: 1, Missed: 1}, "shadow_url"},
		{api.ShadowReport{Requests: 1, Compared: 1, Agreed: 1}, "No difference"},
	} {
		b.Reset()
		if writeShadow(&b, &tt.report); !strings.Contains(b.String(), tt.want) {
			t.Errorf("%+v is told as %q, want %q", tt.report, b.String(), tt.want)
		}
	}
}
