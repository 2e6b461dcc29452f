package api

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"carom"

	"github.com/google/go-cmp/cmp"
)

func TestVoid(t *testing.T) {
	both := []carom.RewardID{carom.NewRewardID(7, 3), carom.NewRewardID(7, 2)}
	sums := []Sum{
		{App: "shop", Currency: "coins", State: carom.RewardCanceled, Rewards: 1, Amount: "2.5"},
		{App: "shop", Currency: "coins", State: carom.RewardReversed, Rewards: 1, Amount: "2.5"},
	}
	w := newWorld()
	body := `{"filter":{"app":"shop","user":"u1"},"why":"a fraudster"}`
	preview := decode[Voided](t, w.ask(t, "admin", "POST /v1/rewards/void?dry_run=true", body), 200)
	if diff := cmp.Diff(Voided{DryRun: true, Rewards: both, Sums: sums, Skipped: 1}, preview); diff != "" {
		t.Errorf("preview (-want +got):\n%s", diff)
	}
	if len(w.door.asked) != 0 || w.log.Len() > 0 {
		t.Errorf("a preview changed something: %v, %s", w.door.asked, w.log)
	}
	done := decode[Voided](t, w.ask(t, "admin", "POST /v1/rewards/void", body), 200)
	if diff := cmp.Diff(Voided{Rewards: both, Sums: sums, Skipped: 1}, done); diff != "" {
		t.Errorf("done (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"void 2 by a fraudster (admin)"}, w.door.asked); diff != "" {
		t.Errorf("asked of the door (-want +got):\n%s", diff)
	}
	if !strings.Contains(w.log.String(), `what=void who=admin why="a fraudster" rewards=2`) {
		t.Errorf("no line in the log says so: %s", w.log)
	}
}

func TestVoidThatEndsInTheMiddleSaysSo(t *testing.T) {
	w := newWorld()
	w.door.stop = 1
	p := decode[Problem](t, w.ask(t, "", "POST /v1/rewards/void", `{"filter":{"app":"shop"},"why":"w"}`), 503)
	if !strings.Contains(p.Detail, "1 reward changed") || !strings.Contains(p.Detail, "same request again") {
		t.Errorf("detail %q", p.Detail)
	}
}

func TestVoidGoesOnWhereItEnded(t *testing.T) {
	w := newWorld()
	w.store.rewards = nil
	for no := int64(maxVoids + 500); no > 0; no-- {
		w.store.rewards = append(w.store.rewards, shopReward(no, carom.RewardGranted))
	}
	first := decode[Voided](t, w.ask(t, "", "POST /v1/rewards/void?dry_run=true", `{"filter":{"app":"shop"},"why":"w"}`), 200)
	rest := decode[Voided](t, w.ask(t, "", "POST /v1/rewards/void?dry_run=true", `{"filter":{"app":"shop"},"before":"`+string(first.Next)+`","why":"w"}`), 200)
	if len(first.Rewards) != maxVoids || first.Sums[0].Amount != "25000" || len(rest.Rewards) != 500 || rest.Next != "" {
		t.Errorf("first %d worth %s, then %d, next %q", len(first.Rewards), first.Sums[0].Amount, len(rest.Rewards), rest.Next)
	}
}

func TestGrantOncePerKey(t *testing.T) {
	w := newWorld()
	body := `{"app":"shop","user":"u1","currency":"usd","amount":"0.50","key":"ticket-7","why":"lost on 3 March"}`
	preview := decode[Granted](t, w.ask(t, "", "POST /v1/rewards/grant?dry_run=true", body), 200)
	want := Granted{DryRun: true, Reward: Reward{
		App: "shop", Rule: "-", User: "u1", Currency: "usd", Amount: "0.5", State: carom.RewardGranted, Why: "lost on 3 March (local socket)",
	}}
	if diff := cmp.Diff(want, preview); diff != "" || len(w.door.asked) != 0 {
		t.Errorf("preview (-want +got):\n%s\nasked %v", diff, w.door.asked)
	}
	made := decode[Granted](t, w.ask(t, "", "POST /v1/rewards/grant", body), 200)
	if made.Duplicate || made.Event == "" || made.Reward.ID == "" || made.Reward.Amount != "0.5" {
		t.Errorf("made %+v", made)
	}
	for _, route := range []string{"POST /v1/rewards/grant?dry_run=true", "POST /v1/rewards/grant"} {
		again := decode[Granted](t, w.ask(t, "", route, body), 200)
		if !again.Duplicate || again.Reward.ID != made.Reward.ID || again.Event != made.Event {
			t.Errorf("%s again: %+v, want the first one %+v", route, again, made)
		}
		other := strings.Replace(body, "0.50", "0.75", 1)
		if p := decode[Problem](t, w.ask(t, "", route, other), 409); !strings.Contains(p.Detail, "for 0.5 usd") {
			t.Errorf("%s of another amount with the key: %q", route, p.Detail)
		}
	}
}

// heldEvent is an event of the shop that waits.
func heldEvent(seq uint32, why carom.Reason, value carom.RewardEventType) *carom.Story {
	return &carom.Story{Event: &carom.Event{
		ID: eventID(seq), At: noon().Add(time.Duration(seq) * time.Second), App: "shop", Source: "monetag", Network: "monetag", Type: carom.Click,
		Value: value, YMID: fmt.Sprint("view-", seq), Held: string(why), Flags: carom.FlagHeld,
	}}
}

func heldWorld() *world {
	w := newWorld()
	w.store.stories = []*carom.Story{
		{Event: &carom.Event{ID: eventID(15), At: noon().Add(time.Hour), App: "shop", Source: "monetag", Origin: string(eventID(12))}},
		heldEvent(14, carom.ReasonUnknownValue, carom.ValueUnknown),
		heldEvent(13, carom.ReasonShadow, carom.Valued),
		heldEvent(12, carom.ReasonFrozen, carom.Valued),
		heldEvent(11, carom.ReasonFrozen, carom.Valued),
		shopStory(),
	}
	return w
}

func TestReprocessSelects(t *testing.T) {
	held := func(filter string) string { return `{"filter":{"app":"shop","kind":"held"` + filter + `},"why":"w"}` }
	tests := []struct {
		name string
		body string
		want []string // "of outcome", the oldest first
	}{
		{"what waits, but for what a source in shadow held", held(""), []string{"11 reprocessed", "14 skipped"}},
		{"by reason", held(`,"reason":"frozen"`), []string{"11 reprocessed"}},
		{"what a source in shadow held, if it is said", held(`,"reason":"shadow"`), []string{"13 reprocessed"}},
		{"by time", held(`,"from":"2026-03-04T12:00:12Z"`), []string{"14 skipped"}},
		{"until a time", held(`,"to":"2026-03-04T12:00:12Z"`), []string{"11 reprocessed"}},
		{"unknown values as valued", strings.Replace(held(""), `"why"`, `"as":"valued","why"`, 1), []string{"11 reprocessed", "14 reprocessed"}},
		{"from a cursor on", strings.Replace(held(""), `"why"`, `"before":"`+string(eventID(14))+`","why"`, 1), []string{"11 reprocessed", "12 reprocessed"}},
		{"by ids", `{"ids":["` + string(eventID(11)) + `","` + string(eventID(1)) + `"],"why":"w"}`, []string{"1 skipped", "11 reprocessed"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := heldWorld()
			got := decode[Reprocessed](t, w.ask(t, "", "POST /v1/reprocess?dry_run=true", tt.body), 200)
			var items []string
			for _, it := range got.Items {
				_, ref, err := carom.EventID(it.Of).Place()
				if err != nil {
					t.Fatal(err)
				}
				items = append(items, fmt.Sprint(ref.Seq, " ", it.Outcome))
				if (it.Outcome == "skipped") == (it.Reason == "") {
					t.Errorf("%s is %s, with the reason %q", it.Of, it.Outcome, it.Reason)
				}
			}
			if diff := cmp.Diff(tt.want, items); diff != "" || len(w.door.asked) > 0 {
				t.Errorf("items (-want +got):\n%s\nasked %v", diff, w.door.asked)
			}
		})
	}
}

func TestReprocessTellsWhatItGranted(t *testing.T) {
	w := heldWorld()
	got := decode[Reprocessed](t, w.ask(t, "admin", "POST /v1/reprocess", `{"filter":{"app":"shop","kind":"held"},"as":"empty","why":"the word is yes"}`), 200)
	if got.Reprocessed != 2 || got.DryRun || len(got.Items) != 2 || got.Items[0].Event != eventID(80) ||
		!strings.Contains(got.Items[0].Decided[0].Words, "granted 5 coins to user u by rule watch") {
		t.Errorf("got %+v", got)
	}
	if diff := cmp.Diff([]Sum{{App: "shop", Currency: "coins", State: carom.RewardGranted, Rewards: 2, Amount: "10"}}, got.Sums); diff != "" {
		t.Errorf("sums (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{`reprocess 2 and 0 as "" by the word is yes (admin)`}, w.door.asked); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
	refused := decode[Reprocessed](t, w.ask(t, "", "POST /v1/reprocess", `{"filter":{"app":"shop","kind":"refused"},"why":"w"}`), 200)
	if refused.Skipped != 1 || refused.Items[0].Of != refusedID() {
		t.Errorf("refused ones: %+v", refused)
	}
}

func TestStoryOfAHeldEvent(t *testing.T) {
	w := heldWorld()
	for seq, want := range map[uint32]string{11: "", 12: string(eventID(15))} {
		st := decode[Story](t, w.ask(t, "", "GET /v1/events/"+string(eventID(seq)), ""), 200)
		if string(st.ReprocessedAs) != want || !strings.Contains(st.Outcome, "carom reprocess "+string(eventID(seq))) {
			t.Errorf("event %d: reprocessed as %q, want %q; %s", seq, st.ReprocessedAs, want, st.Outcome)
		}
	}
}

func TestFreezeAndThaw(t *testing.T) {
	w := heldWorld()
	before := w.objects.objects
	preview := decode[Frozen](t, w.ask(t, "", "POST /v1/sources/shop/monetag/freeze?dry_run=true", `{"why":"w"}`), 200)
	if !preview.Changed || !preview.DryRun || w.objects.applied != 0 {
		t.Errorf("preview %+v, applied %d times", preview, w.objects.applied)
	}
	w.ask(t, "admin", "POST /v1/sources/shop/monetag/freeze", `{"why":"prices are wrong"}`)
	if w.objects.objects.Sources[0].Mode != carom.SourceFrozen || before.Sources[0].Mode != carom.SourceLive {
		t.Errorf("mode %q, in what was in force before %q", w.objects.objects.Sources[0].Mode, before.Sources[0].Mode)
	}
	if !strings.Contains(w.log.String(), `what=freeze who=admin why="prices are wrong" source=shop/monetag`) {
		t.Errorf("no line in the log says so: %s", w.log)
	}
	thawed := decode[Frozen](t, w.ask(t, "", "POST /v1/sources/shop/monetag/thaw", `{"why":"w"}`), 200)
	want := Frozen{
		Source: "shop/monetag", Mode: "live", Changed: true, Waiting: 1,
		Next: "carom reprocess --app shop --source monetag --kind held --reason frozen --why REASON",
	}
	if diff := cmp.Diff(want, thawed); diff != "" || w.objects.objects.Sources[0].Mode != carom.SourceLive {
		t.Errorf("thawed (-want +got):\n%s", diff)
	}
}

func TestResendByFilter(t *testing.T) {
	tests := []struct {
		filter  string
		resent  int
		skipped int
	}{
		{`{"app":"shop"}`, 1, 0},
		{`{"app":"shop","states":["delivered"]}`, 0, 1}, // to an endpoint that is deleted
		{`{"app":"shop","endpoint":"backend","event_type":"click"}`, 1, 0},
		{`{"app":"shop","event_type":"impression"}`, 0, 0},
		{`{"app":"shop","to":"2026-03-04T11:59:00Z"}`, 0, 0},
		{`{"app":"shop","from":"2026-03-04T11:59:30Z"}`, 0, 0},
		{`{"app":"game"}`, 0, 0},
	}
	for _, tt := range tests {
		t.Run(tt.filter, func(t *testing.T) {
			for _, dry := range []bool{true, false} {
				w := newWorld()
				got := decode[ResentMany](t, w.ask(t, "", fmt.Sprint("POST /v1/resend?dry_run=", dry), `{"filter":`+tt.filter+`,"why":"w"}`), 200)
				if len(got.Resent) != tt.resent || len(got.Skipped) != tt.skipped || got.DryRun != dry {
					t.Errorf("dry %t: %+v, want %d resent, %d skipped", dry, got, tt.resent, tt.skipped)
				}
				if want := tt.resent; !dry && len(w.store.resent) != want || dry && len(w.store.resent) > 0 {
					t.Errorf("dry %t: the store was asked for %v", dry, w.store.resent)
				}
			}
		})
	}
}

func TestRepairProblems(t *testing.T) {
	grant := func(change, to string) string {
		return strings.Replace(`{"app":"shop","user":"u1","currency":"usd","amount":"0.5","key":"k","why":"w"}`, change, to, 1)
	}
	file := func(w *world) { w.objects.file = "carom.yaml" }
	tests := []struct {
		name    string
		route   string
		body    string
		prepare func(*world)
		status  int
		detail  string
	}{
		{"no reason", "POST /v1/rewards/void", `{"filter":{"app":"shop"},"why":""}`, nil, 422, "why"},
		{"a reason of spaces", "POST /v1/rewards/void", `{"filter":{"app":"shop"},"why":"  "}`, nil, 422, "write the reason"},
		{"a reason of two lines", "POST /v1/rewards/void", `{"filter":{"app":"shop"},"why":"a\nb"}`, nil, 422, "one line"},
		{"neither filter nor ids", "POST /v1/rewards/void", `{"why":"w"}`, nil, 422, "filter"},
		{"both", "POST /v1/rewards/void", `{"filter":{"app":"shop"},"ids":["` + rewardID(2) + `"],"why":"w"}`, nil, 422, "not both"},
		{"no app", "POST /v1/rewards/void", `{"filter":{},"why":"w"}`, nil, 422, "filter.app"},
		{"no reward id", "POST /v1/rewards/void", `{"ids":["abc"],"why":"w"}`, nil, 422, "rwd_"},
		{"no such reward", "POST /v1/rewards/void", `{"ids":["` + rewardID(99) + `"],"why":"w"}`, nil, 404, "does not exist"},
		{"a source with its app", "POST /v1/rewards/void", `{"filter":{"app":"shop","source":"shop/monetag"},"why":"w"}`, nil, 422, "name alone"},
		{"a span backwards", "POST /v1/rewards/void", `{"filter":{"app":"shop","from":"2026-01-02T00:00:00Z","to":"2026-01-01T00:00:00Z"},"why":"w"}`, nil, 422, "swap"},
		{"no such currency", "POST /v1/rewards/grant", grant("usd", "gold"), nil, 422, "coins, usd"},
		{"no such app", "POST /v1/rewards/grant", grant("shop", "nope"), nil, 422, "GET /v1/objects"},
		{"an app without currencies", "POST /v1/rewards/grant", grant("shop", "game"), nil, 422, "currencies: {"},
		{"too many decimals", "POST /v1/rewards/grant", grant("0.5", "0.555"), nil, 422, "usd has 2 decimals"},
		{"an amount that is none", "POST /v1/rewards/grant", grant("0.5", "five"), nil, 422, "decimal number"},
		{"an amount of nothing", "POST /v1/rewards/grant", grant("0.5", "0"), nil, 422, "above zero"},
		{"an amount below zero", "POST /v1/rewards/grant", grant("0.5", "-1"), nil, 422, "void its reward"},
		{"a key with a space", "POST /v1/rewards/grant", grant(`"k"`, `"k "`), nil, 422, "key"},
		{"no kind", "POST /v1/reprocess", `{"filter":{"app":"shop"},"why":"w"}`, nil, 422, "kind"},
		{"a value that is none", "POST /v1/reprocess", `{"filter":{"app":"shop","kind":"held"},"as":"yes","why":"w"}`, nil, 422, "as"},
		{"ids of something else", "POST /v1/reprocess", `{"ids":["rwd_1"],"why":"w"}`, nil, 422, "rcv_"},
		{"no such endpoint", "POST /v1/resend", `{"filter":{"app":"shop","endpoint":"nope"},"why":"w"}`, nil, 422, "shop/nope"},
		{"states that cannot be resent", "POST /v1/resend", `{"filter":{"app":"shop","states":["pending"]},"why":"w"}`, nil, 422, "states"},
		{"no such source", "POST /v1/sources/shop/nope/freeze", `{"why":"w"}`, nil, 404, "shop/nope"},
		{"objects from a file: freeze", "POST /v1/sources/shop/monetag/freeze", `{"why":"w"}`, file, 409, "mode: frozen"},
		{"objects from a file: thaw", "POST /v1/sources/shop/monetag/thaw", `{"why":"w"}`, func(w *world) {
			w.objects.file, w.objects.objects.Sources[0].Mode = "carom.yaml", carom.SourceFrozen
		}, 409, "remove `mode: frozen`"},
		{"a source in shadow", "POST /v1/sources/shop/monetag/freeze", `{"why":"w"}`, func(w *world) {
			w.objects.objects.Sources[0].Mode = carom.SourceShadow
		}, 409, "in shadow"},
		{"no user", "GET /v1/balances?app=shop", "", nil, 422, "user"},
		{"no app of the user", "GET /v1/ledger?user=u1", "", nil, 422, "name the app"},
		{"no such state", "GET /v1/rewards?state=declined", "", nil, 422, "state"},
		{"a cursor that is none", "GET /v1/rewards?before=abc", "", nil, 422, "next"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld()
			if tt.prepare != nil {
				tt.prepare(w)
			}
			p := decode[Problem](t, w.ask(t, "", tt.route, tt.body), tt.status)
			if !strings.Contains(p.Detail, tt.detail) {
				t.Errorf("detail %q lacks %q", p.Detail, tt.detail)
			}
			if len(w.door.asked) > 0 {
				t.Errorf("the door was asked: %v", w.door.asked)
			}
		})
	}
}

func TestOutcomeInWords(t *testing.T) {
	five := &carom.Reward{ID: carom.NewRewardID(7, 1), User: "u1", Currency: "coins", Amount: 5_000_000_000, State: carom.RewardGranted}
	reversed := *five
	reversed.State = carom.RewardReversed
	held := *five
	held.State, held.Until = carom.RewardHeld, noon()
	delivered := []carom.DeliveryStory{{Endpoint: "shop/backend", State: carom.Delivered}}
	tests := []struct {
		name  string
		event carom.Event
		sent  []carom.DeliveryStory
		want  string
	}{
		{"granted", carom.Event{Decided: []carom.Decided{{Rule: "watch", State: carom.RewardGranted, Reward: five}}}, delivered,
			"accepted, owed to 1 endpoint: 1 delivered; granted 5 coins to user u1 by rule watch"},
		{"granted, and taken back since", carom.Event{Decided: []carom.Decided{{Rule: "watch", State: carom.RewardGranted, Reward: &reversed}}}, nil,
			"accepted, and owed to no endpoint; granted 5 coins to user u1 by rule watch (reversed since)"},
		{"held", carom.Event{Decided: []carom.Decided{{Rule: "watch", State: carom.RewardHeld, Reward: &held}}}, nil,
			"accepted, and owed to no endpoint; holds 5 coins for user u1 by rule watch until 2026-03-04 12:00 UTC"},
		{"declined", carom.Event{Decided: []carom.Decided{{Rule: "watch", State: carom.RewardDeclined, Reason: carom.DeclineCapped}}}, delivered,
			"accepted, owed to 1 endpoint: 1 delivered; declined by rule watch: capped: a cap is reached"},
		{"taken back by the network", carom.Event{Decided: []carom.Decided{{Rule: "watch", State: carom.RewardReversed, Reward: &reversed}}}, nil,
			"accepted, and owed to no endpoint; took back 5 coins from user u1, granted by rule watch"},
		{"granted by hand", carom.Event{Source: carom.SourceCarom, Decided: []carom.Decided{{Rule: "-", State: carom.RewardGranted, Reward: five}}}, nil,
			"carom's own, and owed to no endpoint; granted 5 coins to user u1 by hand"},
		{"held by its source", carom.Event{Held: "shadow"}, nil, "held (shadow): kept, and owed to nobody, since its source only watches"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := outcome(&carom.Story{Event: &tt.event, Deliveries: tt.sent}); got != tt.want {
				t.Errorf("outcome %q, want %q", got, tt.want)
			}
		})
	}
}

func TestEveryDeclineIsExplained(t *testing.T) {
	for _, reason := range []carom.DeclineReason{
		carom.DeclineNoUser, carom.DeclinePlacement, carom.DeclineNoPrice, carom.DeclineUntrusted, carom.DeclineZero, carom.DeclineRewarded,
		carom.DeclineTransaction, carom.DeclineReversed, carom.DeclineCooldown, carom.DeclineCapped, carom.DeclineOtherSource, carom.DeclineNoView,
	} {
		if got := explained(reason); strings.Contains(got, "does not know") {
			t.Errorf("%s: %s", reason, got)
		}
	}
}
