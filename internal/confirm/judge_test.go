package confirm

import (
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"carom"
)

func TestJudge(t *testing.T) {
	issued := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	const second = time.Second
	viewable := func(change func(f *facts)) facts {
		f := facts{
			beacon: beaconViewable, now: issued.Add(1300 * time.Millisecond), browserNow: 7, from: netip.MustParseAddr("203.0.113.7"),
			shown: 1100 * time.Millisecond, seen: second, share: 100, visible: true,
			showing: showing{issued: issued, browser: 7, client: netip.MustParseAddr("203.0.113.7"), ymid: "y", telegramID: "42"},
		}
		change(&f)
		return f
	}
	click := func(change func(f *facts)) facts {
		return viewable(func(f *facts) {
			f.beacon, f.trusted = beaconClick, true
			change(f)
		})
	}
	prefixes := func(list ...string) (out []netip.Prefix) {
		for _, s := range list {
			out = append(out, netip.MustParsePrefix(s))
		}
		return out
	}
	after := func(d time.Duration) func(f *facts) {
		return func(f *facts) { f.now, f.shown, f.seen = issued.Add(d), second, second }
	}
	tests := []struct {
		name  string
		facts facts
		rules carom.ConfirmRules
		want  []Reason
	}{
		{"seen for a second", viewable(func(*facts) {}), carom.ConfirmRules{}, nil},
		{"a millisecond less", viewable(func(f *facts) { f.seen = 999 * time.Millisecond }), carom.ConfirmRules{}, []Reason{NotViewable}},
		{"half of it", viewable(func(f *facts) { f.share = 50 }), carom.ConfirmRules{}, nil},
		{"less than half of it", viewable(func(f *facts) { f.share = 49 }), carom.ConfirmRules{}, []Reason{NotViewable}},
		{"the zone asks for more", viewable(func(*facts) {}), carom.ConfirmRules{Viewable: 2 * second}, []Reason{NotViewable, TooFast}},
		{"the zone asks for its start", viewable(func(f *facts) { f.beacon, f.shown, f.seen, f.share, f.visible = beaconStart, 0, 0, 0, false }), carom.ConfirmRules{Viewable: -1}, nil},
		{"hidden at that moment", viewable(func(f *facts) { f.visible = false }), carom.ConfirmRules{}, []Reason{Hidden}},
		{"its end in a hidden page", viewable(func(f *facts) { f.beacon, f.visible = beaconEnd, false }), carom.ConfirmRules{}, nil},
		{"its end, too early", viewable(func(f *facts) { f.beacon, f.seen = beaconEnd, 0 }), carom.ConfirmRules{}, []Reason{NotViewable}},
		{"as fast as clocks may differ", viewable(after(736 * time.Millisecond)), carom.ConfirmRules{}, nil},
		{"faster than clocks may differ", viewable(after(734 * time.Millisecond)), carom.ConfirmRules{}, []Reason{TooFast, ImpossibleTime}},
		{"before it was handed out", viewable(after(-time.Hour)), carom.ConfirmRules{}, []Reason{TooFast, ImpossibleTime}},
		{"a clock two percent fast", viewable(func(f *facts) {
			f.now, f.shown, f.seen = issued.Add(100*second), 102*second, 102*second
		}), carom.ConfirmRules{}, nil},
		{"a clock three percent fast", viewable(func(f *facts) {
			f.now, f.shown, f.seen = issued.Add(100*second), 103*second, 103*second
		}), carom.ConfirmRules{}, []Reason{ImpossibleTime}},
		{"seen for longer than shown", viewable(func(f *facts) { f.seen = f.shown + second }), carom.ConfirmRules{}, []Reason{ImpossibleTime}},
		{"nobody said anything", viewable(func(f *facts) {
			f.beacon, f.browserNow, f.from, f.shown, f.seen, f.share, f.visible = beaconEnd, 0, netip.Addr{}, 0, 0, 0, false
		}), carom.ConfirmRules{}, []Reason{NotViewable}},
		{"a click", click(func(*facts) {}), carom.ConfirmRules{}, nil},
		{"a click on a bit of it", click(func(f *facts) { f.share, f.seen = 1, 0 }), carom.ConfirmRules{}, nil},
		{"a click on nothing", click(func(f *facts) { f.share = 0 }), carom.ConfirmRules{}, []Reason{NotViewable}},
		{"a click too early", click(func(f *facts) { f.shown, f.seen = 299*time.Millisecond, 0 }), carom.ConfirmRules{}, []Reason{TooFast}},
		{"a click that may be early", click(func(f *facts) { f.shown, f.seen = 0, 0 }), carom.ConfirmRules{MinClick: -1}, nil},
		{"a click before it can have arrived", click(func(f *facts) { f.now, f.shown, f.seen = issued.Add(100*time.Millisecond), 300*time.Millisecond, 0 }), carom.ConfirmRules{}, []Reason{TooFast}},
		{"a script's click in a hidden page", click(func(f *facts) { f.trusted, f.visible = false, false }), carom.ConfirmRules{}, []Reason{Hidden, Untrusted}},
		{"a driven browser", viewable(func(f *facts) { f.flags = flagAutomated }), carom.ConfirmRules{}, []Reason{Automated}},
		{"another browser", viewable(func(f *facts) { f.browserNow = 8 }), carom.ConfirmRules{}, []Reason{OtherBrowser}},
		{"a small page", viewable(func(f *facts) { f.flags = flagTooSmall }), carom.ConfirmRules{}, []Reason{TooSmall}},
		{"flags that say nothing against it", viewable(func(f *facts) { f.flags = flagFromServer | flagYMIDIsUser }), carom.ConfirmRules{}, nil},
		{"a user is asked for", viewable(func(*facts) {}), carom.ConfirmRules{RequireUser: true}, []Reason{NoUser}},
		{"a user is asked for, whose proof is old", viewable(func(f *facts) { f.user = userExpired }), carom.ConfirmRules{RequireUser: true}, []Reason{NoUser}},
		{"a user is asked for and forged", viewable(func(f *facts) { f.user = userForged }), carom.ConfirmRules{RequireUser: true}, []Reason{ForgedUser}},
		{"a user is asked for and proven", viewable(func(f *facts) { f.user = userProven }), carom.ConfirmRules{RequireUser: true}, nil},
		{"an old proof", viewable(func(f *facts) { f.user = userExpired }), carom.ConfirmRules{}, nil},
		{"a forged proof", viewable(func(f *facts) { f.user = userForged }), carom.ConfirmRules{}, []Reason{ForgedUser}},
		{"another user", viewable(func(f *facts) { f.user, f.flags = userProven, flagOtherUser }), carom.ConfirmRules{}, []Reason{OtherUser}},
		{"an own user", viewable(func(*facts) {}), carom.ConfirmRules{OwnUsers: []string{"42"}}, []Reason{OwnTraffic}},
		{"an own user as ymid", viewable(func(*facts) {}), carom.ConfirmRules{OwnUsers: []string{"y"}}, []Reason{OwnTraffic}},
		{"nobody is no own user", viewable(func(f *facts) { f.ymid, f.telegramID = "", "" }), carom.ConfirmRules{OwnUsers: []string{""}}, nil},
		{"an own address", viewable(func(*facts) {}), carom.ConfirmRules{OwnAddresses: prefixes("203.0.113.0/24")}, []Reason{OwnTraffic}},
		{"no address at all", viewable(func(f *facts) { f.client, f.from = netip.Addr{}, netip.Addr{} }), carom.ConfirmRules{DenyAddresses: prefixes("0.0.0.0/0", "::/0")}, nil},
		{"an address that asked", viewable(func(f *facts) { f.from = netip.MustParseAddr("192.0.2.1") }), carom.ConfirmRules{DenyAddresses: prefixes("203.0.113.7/32")}, []Reason{AddressDenied}},
		{"an address that sends", viewable(func(f *facts) { f.from = netip.MustParseAddr("192.0.2.1") }), carom.ConfirmRules{DenyAddresses: prefixes("192.0.2.0/24")}, []Reason{AddressDenied}},
		{"all at once", click(func(f *facts) {
			f.share, f.trusted, f.visible, f.browserNow, f.flags, f.user = 0, false, false, 8, flagAutomated|flagTooSmall|flagOtherUser, userForged
			f.shown, f.seen = 0, time.Hour
		}), carom.ConfirmRules{OwnUsers: []string{"42"}, DenyAddresses: prefixes("203.0.113.0/24")},
			[]Reason{NotViewable, TooFast, Hidden, Untrusted, ImpossibleTime, Automated, OtherBrowser, TooSmall, ForgedUser, OtherUser, OwnTraffic, AddressDenied}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			rules := tt.rules.WithDefaults()
			got := judge(&tt.facts, &rules)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("judge (-want +got):\n%s", diff)
			}
			place := func(r Reason) int { return slices.Index(Reasons(), r) }
			if slices.Contains(Reasons(), "") || slices.ContainsFunc(got, func(r Reason) bool { return place(r) < 0 }) || !slices.IsSortedFunc(got, func(a, b Reason) int { return place(a) - place(b) }) {
				t.Errorf("judge gives %q, and Reasons lists %q", got, Reasons())
			}
		})
	}
}

// TestReasonsAreDocumented compares the table of docs/confirmation.md with the reasons, in their order.
func TestReasonsAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/confirmation.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(page), "\n## Reasons\n")
	table, _, _ = strings.Cut(table, "\n## ")
	var got []Reason
	for line := range strings.Lines(table) {
		if cells := strings.Split(line, "|"); len(cells) == 5 && strings.HasPrefix(cells[1], " `") {
			got = append(got, Reason(strings.Trim(cells[1], " `")))
		}
	}
	if diff := cmp.Diff(Reasons(), got); diff != "" {
		t.Errorf("the reasons of the page (-want +got):\n%s", diff)
	}
}
