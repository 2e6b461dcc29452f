package api

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"carom"
)

// Decided is what became of a rule that counts an event, or of a reward that the event changed.
type Decided struct {
	Rule     string              `json:"rule" doc:"The rule's name within the app; - stands for a grant by hand"`
	State    carom.RewardState   `json:"state" enum:"granted,held,canceled,reversed,declined" doc:"What was decided then"`
	Reason   carom.DeclineReason `json:"reason,omitempty" doc:"Why it was declined"`
	Words    string              `json:"words" doc:"The decision in words, with what to do where that helps"`
	Cap      string              `json:"cap,omitempty" doc:"The cap that was reached, when that is the reason"`
	User     string              `json:"user,omitempty"`
	Amount   string              `json:"amount,omitempty"`
	Currency string              `json:"currency,omitempty"`
	Reward   carom.RewardID      `json:"reward,omitempty"`
	Now      carom.RewardState   `json:"now,omitempty" doc:"Where the reward stands today"`
}

func decidedOf(list []carom.Decided) []Decided {
	var out []Decided
	for i := range list {
		d := &list[i]
		v := Decided{Rule: d.Rule, State: d.State, Reason: d.Reason, Words: decisionWords(d), Cap: d.Cap}
		if r := d.Reward; r != nil {
			v.Reward, v.User, v.Currency, v.Now = r.ID, r.User, r.Currency, r.State
			if r.Amount != 0 {
				v.Amount = r.Amount.String()
			}
		}
		out = append(out, v)
	}
	return out
}

// decisionWords says what became of a rule or a reward.
func decisionWords(d *carom.Decided) string {
	by := "by rule " + d.Rule
	if d.Rule == carom.RuleByHand {
		by = "by hand"
	}
	if d.State == carom.RewardDeclined {
		return fmt.Sprintf("declined by rule %s: %s: %s", d.Rule, d.Reason, explained(d.Reason))
	}
	what, user := "a reward", ""
	if r := d.Reward; r != nil && r.Amount != 0 {
		what, user = r.Amount.String()+" "+r.Currency, " user "+r.User
	}
	var words string
	switch d.State {
	case carom.RewardGranted:
		words = "granted " + what + to(" to", user) + " " + by
	case carom.RewardHeld:
		words = "holds " + what + to(" for", user) + " " + by
		if r := d.Reward; r != nil && !r.Until.IsZero() {
			words += " until " + stamp(r.Until)
		}
	case carom.RewardReversed:
		return "took back " + what + to(" from", user) + ", granted " + by
	case carom.RewardCanceled:
		return "canceled " + what + to(" for", user) + ", held " + by
	}
	if r := d.Reward; r != nil && r.State != "" && r.State != d.State {
		words += " (" + string(r.State) + " since)"
	}
	return words
}

// to joins a preposition and a user, if there is one.
func to(preposition, user string) string {
	if user == "" {
		return ""
	}
	return preposition + user
}

// decline is a reason for which a rule pays nothing.
type decline struct {
	reason carom.DeclineReason
	what   string
	fix    string // empty where there is nothing to correct
}

// declines says of each reason what it means, and what to do.
func declines() []decline {
	return []decline{
		{carom.DeclineNoUser, "nobody is known to whom it could be credited",
			"open views with a `user`, have the network send {telegram_id}, or set `ymid: user` for the source if the ymid is the user's id"},
		{carom.DeclinePlacement, "the backend did not open the view at a placement that the rule names",
			"open views with a `placement` from your backend, or remove `request_vars` from the rule"},
		{carom.DeclineNoPrice, "the field that the price comes from is missing or no amount",
			"add the field to the postback URL at the network, or give the rule a fixed price"},
		{carom.DeclineUntrusted, "no signature covers the amount",
			"give the rule a fixed price, or write `trust: secret` in its price with a `max` that you can afford"},
		{carom.DeclineZero, "the amount rounds to nothing", "give the price a `min`, or `round: up`"},
		{carom.DeclineRewarded, "the view has earned by this rule, or by another that is not additional", ""},
		{carom.DeclineTransaction, "the network's transaction has earned before", ""},
		{carom.DeclineReversed, "the network took it back before it came", ""},
		{carom.DeclineCooldown, "it came too soon after the user's last reward by this rule", ""},
		{carom.DeclineCapped, "a cap is reached", ""},
		{carom.DeclineOtherSource, "the view was opened for other networks", "name the source in `sources` when the view is opened, if it may confirm it"},
		{carom.DeclineNoView, "the network sends no id of the view, and none was opened for the user",
			"open a view before the ad is shown: POST /v1/views"},
	}
}

func explained(reason carom.DeclineReason) string {
	for _, d := range declines() {
		if d.reason == reason {
			if d.fix == "" {
				return d.what
			}
			return d.what + "; " + d.fix
		}
	}
	return "a reason that this version does not know"
}

// outcome says in words what became of an event.
func outcome(st *carom.Story) string {
	ev := st.Event
	if ev.Held != "" {
		return heldWords(ev)
	}
	var parts []string
	for i := range ev.Decided {
		parts = append(parts, decisionWords(&ev.Decided[i]))
	}
	switch {
	case len(st.Deliveries) > 0:
		parts = append([]string{"accepted, " + owed(st.Deliveries)}, parts...)
	case ev.Source == carom.SourceCarom:
		parts = append([]string{"carom's own, and owed to no endpoint"}, parts...)
	case len(parts) > 0:
		parts = append([]string{"accepted, and owed to no endpoint"}, parts...)
	default:
		return "accepted, and matched no endpoint: no filter of an endpoint of " + ev.App + " let it through"
	}
	return strings.Join(parts, "; ")
}

// heldWords says why an event is held, and how it is let go.
func heldWords(ev *carom.Event) string {
	words := "held (" + ev.Held + "): kept, and owed to nobody"
	switch carom.Reason(ev.Held) {
	case carom.ReasonShadow:
		return words + ", since its source only watches"
	case carom.ReasonFrozen:
		return words + ", since its source was frozen; to count it: carom reprocess " + string(ev.ID) + " --why REASON"
	}
	if ev.Value == carom.ValueUnknown {
		return words + ", since its value is a word that nobody has met; to count it: carom reprocess " + string(ev.ID) + " --as valued --why REASON"
	}
	return words
}

// owed says how many endpoints get something, and how that stands.
func owed(deliveries []carom.DeliveryStory) string {
	var n [4]int
	states := []carom.DeliveryState{carom.Delivered, carom.Pending, carom.Dead, carom.Expired}
	for _, d := range deliveries {
		if i := slices.Index(states, d.State); i >= 0 {
			n[i]++
		}
	}
	var parts []string
	for i, state := range states {
		if n[i] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n[i], state))
		}
	}
	return fmt.Sprintf("owed to %s: %s", plural(len(deliveries), "endpoint"), strings.Join(parts, ", "))
}

// reprocessedAs finds the event that reprocessing made of a held one; empty when there is none, or when it lies beyond the
// thousand newest ones of its ymid, user or zone.
func (s *service) reprocessedAs(ctx context.Context, ev *carom.Event) (carom.EventID, error) {
	if ev.Held == "" {
		return "", nil
	}
	f := carom.EventFilter{App: ev.App, Source: ev.Source, Since: ev.At, Limit: scanPage, YMID: ev.YMID, Zone: ev.ZoneID}
	f.User = ev.User(false)
	return s.madeOf(ctx, f, string(ev.ID), 1)
}

// madeOf finds the event that has the given origin among those that f selects, in so many pages.
func (s *service) madeOf(ctx context.Context, f carom.EventFilter, origin string, pages int) (carom.EventID, error) {
	for range pages {
		list, err := s.Store.Events(ctx, f)
		if err != nil {
			return "", fmt.Errorf("find what became of %s: %w", origin, err)
		}
		if i := slices.IndexFunc(list, func(e *carom.Event) bool { return e.Origin == origin }); i >= 0 {
			return list[i].ID, nil
		}
		if len(list) < f.Limit {
			return "", nil
		}
		f.Before = list[len(list)-1].ID
	}
	return "", nil
}

// utc is a moment as the API shows it; zero stays zero.
func utc(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC()
}
