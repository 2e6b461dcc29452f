package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"carom"
	"carom/internal/api"
	"carom/internal/caromtest"

	"github.com/google/go-cmp/cmp"
)

func TestRepairShowsAsksChanges(t *testing.T) {
	voided := `{"rewards":["rwd_1","rwd_2"],"sums":[{"app":"shop","currency":"coins","state":"reversed","rewards":2,"amount":"10.5"}]}`
	const preview, change = "POST /v1/rewards/void?dry_run=true", "POST /v1/rewards/void"
	tests := []struct {
		name   string
		typed  string
		args   string
		answer string
		asked  []string
		code   int
		says   string
	}{
		{"yes", "y\n", "", voided, []string{preview, change}, 0, "Took back 2 rewards:\n  10.5 coins  2 rewards  debited again"},
		{"no", "n\n", "", voided, []string{preview}, 1, "nothing was changed"},
		{"nobody there", "", "", voided, []string{preview}, 2, "--yes"},
		{"not asked", "", "--yes", voided, []string{change}, 0, "Took back 2 rewards"},
		{"dry run", "", "--dry-run", strings.Replace(voided, "{", `{"dry_run":true,`, 1), []string{preview}, 0, "This would take back 2 rewards"},
		{"a dry run is one whatever else is said", "", "--dry-run --yes", voided, []string{preview}, 0, ""},
		{"nothing to do", "", "", `{"rewards":[],"sums":[],"skipped":3}`, []string{preview}, 0, "3 had been taken back before"},
		{"as JSON", "", "--yes -o json", voided, []string{change}, 0, `"amount": "10.5"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := &fakeServer{t: t, answers: map[string]string{change: tt.answer}}
			r := s.caromAnswering(tt.typed, append([]string{"void", "--app", "shop", "--rule", "watch", "--from", "6h", "--why", "a bug"}, strings.Fields(tt.args)...)...)
			if diff := cmp.Diff(tt.asked, s.asked); diff != "" {
				t.Errorf("requests (-want +got):\n%s", diff)
			}
			if r.code != tt.code || !strings.Contains(r.out+r.errOut, tt.says) {
				t.Errorf("code %d, want %d; %q is missing in:\n%s%s", r.code, tt.code, tt.says, r.out, r.errOut)
			}
			if want := `{"filter":{"app":"shop","rule":"watch","from":"2026-03-04T06:00:00Z"},"why":"a bug"}`; s.bodies[0] != want {
				t.Errorf("sent %s, want %s", s.bodies[0], want)
			}
		})
	}
}

func TestRepairGoesOnPageByPage(t *testing.T) {
	n := 0
	r := repair[api.Voided]{
		ask: func(_ context.Context, dryRun bool, before string) (api.Voided, error) {
			n++
			page := api.Voided{
				Rewards: []carom.RewardID{carom.RewardID(fmt.Sprint(before, n))},
				Sums:    []api.Sum{{App: "shop", Currency: "usd", State: carom.RewardReversed, Rewards: 1, Amount: "0.75"}},
			}
			if n < 3 {
				page.Next = carom.RewardID(fmt.Sprint("after-", n, "-"))
			}
			return page, nil
		},
		next:  func(v *api.Voided) string { return string(v.Next) },
		merge: mergeVoided, count: func(v *api.Voided) int { return len(v.Rewards) },
	}
	var errOut strings.Builder
	got, err := r.pages(t.Context(), &cli{errOut: &errOut}, false)
	if err != nil {
		t.Fatal(err)
	}
	want := api.Voided{
		Rewards: []carom.RewardID{"1", "after-1-2", "after-2-3"},
		Sums:    []api.Sum{{App: "shop", Currency: "usd", State: carom.RewardReversed, Rewards: 3, Amount: "2.25"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("pages (-want +got):\n%s", diff)
	}
	if errOut.String() != "carom: 1 so far\ncarom: 2 so far\n" {
		t.Errorf("progress: %q", errOut.String())
	}
}

func TestAddDecimals(t *testing.T) {
	for _, tt := range [][3]string{{"0", "0", "0"}, {"1", "2.5", "3.5"}, {"0.999999999", "0.000000001", "1"}, {"25000", "0.05", "25000.05"}} {
		if got := addDecimals(tt[0], tt[1]); got != tt[2] {
			t.Errorf("%s + %s = %s, want %s", tt[0], tt[1], got, tt[2])
		}
	}
}

func TestMoment(t *testing.T) {
	for text, want := range map[string]time.Time{
		"": {}, "2026-03-04": noon().Add(-12 * time.Hour), "2026-03-04T13:00:00+01:00": noon(), "90m": noon().Add(-90 * time.Minute), "2d": noon().Add(-48 * time.Hour),
	} {
		if got, err := moment("--from", text, noon()); err != nil || !got.Equal(want) {
			t.Errorf("moment(%q) = %v, %v, want %v", text, got, err, want)
		}
	}
}

func TestCheckLedger(t *testing.T) {
	for _, tt := range []struct {
		answer string
		code   int
		says   string
	}{
		{`{"rewards":2,"lines":3,"balances":1,"faults":[]}`, exitOK, "Every balance is the sum"},
		{`{"rewards":2,"lines":3,"balances":1,"faults":["the balance of shop u1 coins differs"]}`, exitProblem, "Faults: 1"},
	} {
		s := &fakeServer{t: t, answers: map[string]string{"GET /v1/ledger/check": tt.answer}}
		if r := s.carom("check", "--ledger"); r.code != tt.code || !strings.Contains(r.out, tt.says) {
			t.Errorf("code %d, want %d; %q is missing in:\n%s%s", r.code, tt.code, tt.says, r.out, r.errOut)
		}
	}
	if r := carom1(t, "", "check", "--ledger", "--data", t.TempDir()); r.code != exitUnreachable {
		t.Errorf("code %d without a server, want %d: %s", r.code, exitUnreachable, r.errOut)
	}
}

// night is a real server with a rule, on which the commands of a bad night are typed.
type night struct {
	*testing.T
	server *caromtest.Server
}

// carom runs a command that has to succeed, and returns what it printed.
func (n *night) carom(args ...string) string {
	n.Helper()
	r := carom1(n.T, "", append(args, "--data", n.server.Data)...)
	if r.code != exitOK {
		n.Fatalf("carom %s: code %d\n%s%s", strings.Join(args, " "), r.code, r.out, r.errOut)
	}
	return r.out
}

// says runs a command whose output has to hold some text.
func (n *night) says(want string, args ...string) {
	n.Helper()
	if out := n.carom(args...); !strings.Contains(out, want) {
		n.Errorf("carom %s does not say %q, but:\n%s", strings.Join(args, " "), want, out)
	}
}

// rewards lists the rewards that flags select.
func (n *night) rewards(flags ...string) []api.Reward {
	n.Helper()
	var list api.RewardList
	if err := json.Unmarshal([]byte(n.carom(append([]string{"rewards", "--app", "game", "-o", "json"}, flags...)...)), &list); err != nil {
		n.Fatal(err)
	}
	return list.Rewards
}

const nightObjects = `
apps:
  game:
    currencies: { coins: 0 }
    sources:
      ads: { profile: monetag, secret: ` + caromtest.Secret + ` }
    rules:
      watch: { filter: { sources: [ads] }, price: 5 coins }
    endpoints:
      backend:
        url: "%s/coins?id={reward_id}&state={reward_state}&amount={reward_amount}"
        sends: rewards
        allow_private: true
`

func TestTheWorstNight(t *testing.T) {
	endpoint := caromtest.NewEndpoint(t)
	n := &night{t, caromtest.Start(t, caromtest.Options{Objects: fmt.Sprintf(nightObjects, endpoint.URL)})}
	const why, user = "a drill", "279058397"
	paid := func(ymid string) string {
		return "ymid=" + ymid + "&event_type=impression&reward_event_type=valued&zone_id=1&telegram_id=" + user
	}

	n.server.Accepted(t, paid("view-1"))
	n.says("5 coins", "balance", "--app", "game", user)
	n.says("granted 5 coins to user "+user+" by rule watch", "show", "--ymid", "view-1")
	granted := n.rewards()
	if len(granted) != 1 || granted[0].Amount != "5" || granted[0].State != carom.RewardGranted {
		t.Fatalf("rewards %+v, want one of 5 coins", granted)
	}
	first := string(granted[0].ID)
	n.says("5 coins", "show", first)

	n.says("This would take back 1 reward", "void", "--app", "game", "--user", user, "--why", why, "--dry-run")
	n.says("Took back 1 reward", "void", "--app", "game", "--user", user, "--why", why, "--yes")
	n.says("No rewards to take back; 1 had been", "void", first, "--why", why, "--yes")
	n.says("0 coins", "balance", "--app", "game", user)
	n.says(why+" (local socket)", "ledger", "--app", "game", user)
	n.says("game/-carom  reversal", "show", "--app", "game", "--source", "-carom")
	sent := endpoint.Wait(t, "/coins", 2)
	for i, state := range []string{"granted", "reversed"} {
		if want := "id=" + first + "&state=" + state + "&amount=5"; !strings.Contains(sent[0].Query+" "+sent[1].Query, want) {
			t.Errorf("%d: nothing was sent with %s: %v", i, want, sent)
		}
	}

	n.says("game/ads is frozen", "freeze", "game/ads", "--why", why)
	n.server.Accepted(t, paid("view-2"))
	n.says("0 coins", "balance", "--app", "game", user)
	n.says("held (frozen)", "show", "--ymid", "view-2")
	n.says("held since it was frozen: 1\nNext: "+"carom reprocess --app game --source ads --kind held --reason frozen", "thaw", "game/ads", "--why", why)
	reprocess := []string{"reprocess", "--app", "game", "--source", "ads", "--kind", "held", "--reason", "frozen", "--why", why}
	n.says("This would make events of 1;", append(reprocess, "--dry-run")...)
	n.says("5 coins  1 reward  credited", append(reprocess, "--yes")...)
	n.says("Made events of 0;", append(reprocess, "--yes")...)
	n.says("5 coins", "balance", "--app", "game", user)
	if again := n.rewards("--state", "granted"); len(again) != 1 || again[0].YMID != "view-2" {
		t.Errorf("after reprocessing twice there are the rewards %+v, want one for view-2", again)
	}

	grant := []string{"grant", "7", "coins", "--app", "game", "--user", user, "--key", "ticket-1", "--why", why}
	n.says("This would grant 7 coins", append(grant, "--dry-run")...)
	n.says("Granted 7 coins", append(grant, "--yes")...)
	n.says("this key granted 7 coins", append(grant, "--yes")...)
	n.says("12 coins", "balance", "--app", "game", user)

	endpoint.Wait(t, "/coins", 4)
	caromtest.Until(t, "all deliveries to end", func() bool {
		return strings.Contains(n.carom("resend", "--app", "game", "--state", "delivered", "--why", why, "--dry-run"), "sent again: 4")
	})
	n.says("game/backend  4  was delivered", "resend", "--app", "game", "--state", "delivered", "--why", why, "--yes")
	endpoint.Wait(t, "/coins", 8)
	n.says("12 coins", "balance", "--app", "game", user)
	n.says("Checked 3 rewards, 4 lines and 1 balances", "check", "--ledger")
	if log := n.server.Log(); !strings.Contains(log, "what=freeze who=\"local socket\" why=\"a drill\"") {
		t.Error("the log does not say who froze the source, and why")
	}
}
