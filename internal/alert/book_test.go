package alert

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func noon() time.Time { return time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC) }

func dead(endpoint string) Finding {
	return Finding{
		Kind: "endpoint-dead", Subject: "endpoint " + endpoint, Severity: Attention, Fault: "receiver",
		What: "it does not take deliveries", Next: "repair it", Runbook: "docs/runbook/endpoint-dead.md",
	}
}

func losing(f Finding) Finding {
	f.Severity = LosingMoney
	return f
}

// script runs rounds of half a minute: each letter is what is found in one, and the result says when what changed.
// "." is nothing, "a" attention, "L" losing money.
func script(b *book, rounds string) []string {
	var out []string
	for i, r := range rounds {
		at := time.Duration(i) * every
		var found []Finding
		switch r {
		case 'a':
			found = []Finding{dead("shop/backend")}
		case 'L':
			found = []Finding{losing(dead("shop/backend"))}
		}
		for _, c := range b.step(noon().Add(at), found) {
			out = append(out, fmt.Sprintf("%s %s", at, c.What))
		}
	}
	return out
}

func TestAlertsFollowTroubles(t *testing.T) {
	rep := strings.Repeat
	tests := []struct {
		name   string
		rounds string
		want   []string
	}{
		{"nothing is wrong", "......", nil},
		{"what lasts for two minutes opens once", rep("a", 100), []string{"2m0s opened"}},
		{"what loses money opens after half a minute", rep("L", 100), []string{"30s opened"}},
		{"what does not last is not told", "aaaa.aaaa.LaLa.", nil},
		{"it is over after five minutes without it", rep("a", 10) + rep(".", 20), []string{"2m0s opened", "10m0s ended"}},
		{"what flickers is one alert", rep("a", 10) + rep(".........a", 20) + rep(".", 12), []string{"2m0s opened", "1h50m0s ended"}},
		{"what comes back later is a new one", rep("a", 10) + rep(".", 12) + rep("a", 6), []string{"2m0s opened", "10m0s ended", "13m0s opened"}},
		{"it gets worse once, however often it changes", rep("a", 10) + rep("LLaaa", 20), []string{"2m0s opened", "5m30s worsened"}},
		{"a reminder comes after a day", rep("a", 2*60*25), []string{"2m0s opened", "24h2m0s reminded"}},
		{"while money is lost, every four hours", rep("L", 2*60*9), []string{"30s opened", "4h0m30s reminded", "8h0m30s reminded"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBook(nil, nil)
			if diff := cmp.Diff(tt.want, script(&b, tt.rounds)); diff != "" {
				t.Errorf("changes (-want +got):\n%s", diff)
			}
		})
	}
}

func TestFindingsOfOneKindAndSubjectAreOneAlert(t *testing.T) {
	one, other := dead("shop/backend"), losing(dead("shop/backend"))
	one.What, other.What = "first", "second"
	note := dead("shop/tracker")
	note.Severity = "note"
	b := newBook(nil, nil)
	b.step(noon(), []Finding{one, other, note})
	changes := b.step(noon().Add(time.Minute), []Finding{one, other, note})
	if len(changes) != 1 || changes[0].Alert.What != "second; also: first" || changes[0].Alert.Severity != LosingMoney {
		t.Errorf("changes %+v, want one alert that loses money and says both", changes)
	}
}

func TestTheWorstChangeComesFirst(t *testing.T) {
	b := newBook(nil, nil)
	b.step(noon(), []Finding{dead("a/a"), losing(dead("b/b")), dead("gone/gone")})
	b.step(noon().Add(2*time.Minute), []Finding{dead("a/a"), losing(dead("b/b")), dead("gone/gone")})
	b.step(noon().Add(3*time.Minute), []Finding{dead("a/a"), dead("c/c"), losing(dead("d/d"))})
	changes := b.step(noon().Add(8*time.Minute), []Finding{dead("a/a"), dead("c/c"), losing(dead("d/d"))})
	var got []string
	for _, c := range changes {
		got = append(got, string(c.What)+" "+c.Alert.Subject)
	}
	want := []string{"opened endpoint d/d", "opened endpoint c/c", "ended endpoint b/b", "ended endpoint gone/gone"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
}

func TestTroublesAreBounded(t *testing.T) {
	b := newBook(nil, nil)
	var found []Finding
	for i := range keptTroubles + 500 {
		found = append(found, dead(fmt.Sprint("shop/e", i)))
	}
	for i := range 5 {
		b.step(noon().Add(time.Duration(i)*time.Minute), found)
	}
	if n := len(b.open()); n != keptTroubles {
		t.Errorf("%d alerts are open, want %d", n, keptTroubles)
	}
	for i := range 10 {
		b.step(noon().Add(time.Hour+time.Duration(i)*time.Minute), nil)
	}
	if len(b.open()) != 0 || len(b.ended) != keptEnded {
		t.Errorf("%d open and %d ended, want 0 and %d", len(b.open()), len(b.ended), keptEnded)
	}
}
