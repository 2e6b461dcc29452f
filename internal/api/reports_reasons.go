package api

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"carom"
)

// ReasonReport is why things were declined, refused, not believed or held, each list with the most frequent reason first.
type ReasonReport struct {
	From       time.Time     `json:"from"`
	To         time.Time     `json:"to"`
	Declines   []ReasonCount `json:"declines" nullable:"false" doc:"By rules that paid nothing, and by carom's SDK, which may name several for one view"`
	Refusals   []ReasonCount `json:"refusals" nullable:"false" doc:"Verified and of no use"`
	Unverified []ReasonCount `json:"unverified" nullable:"false" doc:"What proved nothing"`
	Held       []ReasonCount `json:"held" nullable:"false" doc:"Kept, and owed to nobody until you release them"`
}

// ReasonCount is how often there was a reason.
type ReasonCount struct {
	Reason string `json:"reason"`
	Words  string `json:"words"`
	N      int64  `json:"n"`
}

type reasonsOut struct{ Body ReasonReport }

// getReasons counts reasons.
func (s *service) getReasons(ctx context.Context, in *funnelIn) (*reasonsOut, error) {
	f, err := in.ReportSpan.resolve(ctx, s.now(), 7)
	if err != nil {
		return nil, err
	}
	list, err := s.Store.DetailCounts(ctx, f, carom.DetailDeclined, carom.DetailRefused, carom.DetailUnverified, carom.DetailHeld)
	if err != nil {
		return nil, fmt.Errorf("reasons: %w", err)
	}
	out := &reasonsOut{ReasonReport{From: f.From, To: f.To.UTC(), Declines: []ReasonCount{}, Refusals: []ReasonCount{}, Unverified: []ReasonCount{}, Held: []ReasonCount{}}}
	for _, c := range list {
		to := map[carom.DetailKind]*[]ReasonCount{carom.DetailDeclined: &out.Body.Declines, carom.DetailRefused: &out.Body.Refusals,
			carom.DetailUnverified: &out.Body.Unverified, carom.DetailHeld: &out.Body.Held}[c.Kind]
		*to = append(*to, ReasonCount{c.Detail, reasonWords(c.Detail), c.N})
	}
	for _, counts := range []*[]ReasonCount{&out.Body.Declines, &out.Body.Refusals, &out.Body.Unverified, &out.Body.Held} {
		slices.SortStableFunc(*counts, func(a, b ReasonCount) int { return int(min(max(b.N-a.N, -1), 1)) })
	}
	return out, nil
}

// reasonWords says what a reason means. One that nobody has written about is shown as it is.
func reasonWords(reason string) string {
	if words := reasonText(carom.Reason(reason)); words != "" {
		return words
	}
	for _, d := range declines() {
		if string(d.reason) == reason {
			return explained(d.reason)
		}
	}
	return strings.ReplaceAll(reason, "_", " ")
}

// reasonText says what a reason of the door, or of carom's SDK, means.
func reasonText(reason carom.Reason) string {
	switch reason {
	case carom.ReasonNoIdentity:
		return "neither a ymid nor a user"
	case carom.ReasonNoEventType:
		return "the event type is missing, and the source has no default"
	case carom.ReasonUnknownEventType:
		return "an event type that neither the network's profile nor the source maps"
	case carom.ReasonUnknownValue:
		return "a value that nobody has met"
	case carom.ReasonLiteralMacro:
		return "a macro arrived as text: the network does not know it, or the URL was entered wrongly"
	case carom.ReasonRepeated:
		return "one field came with two different values"
	case carom.ReasonBadEncoding:
		return "broken percent-encoding or invalid text"
	case carom.ReasonBadBody:
		return "a body that is not the JSON or form it says it is"
	case carom.ReasonTooLarge:
		return "a URL or body beyond its limit"
	case carom.ReasonBadMethod:
		return "an HTTP method that the network does not use"
	case carom.ReasonUnsupportedMedia:
		return "a body that is neither form nor JSON"
	case carom.ReasonTooManyFields:
		return "more parameters than an event may keep"
	case carom.ReasonFieldTooLong:
		return "a field beyond its limit"
	case carom.ReasonTest:
		return "the network's own test"
	case carom.ReasonFrozen:
		return "its source is frozen"
	case carom.ReasonShadow:
		return "its source only watches"
	case carom.ReasonUnknownApp:
		return "no such app"
	case carom.ReasonUnknownSource:
		return "no such source"
	case carom.ReasonWrongSecret:
		return "the secret in the URL differs"
	case carom.ReasonNoSignature:
		return "the signature is missing, or not where it has to be"
	case carom.ReasonBadSignature:
		return "the signature is of other bytes or of another key"
	case carom.ReasonUnknownKey:
		return "signed with a key that the network does not publish"
	case carom.ReasonStale:
		return "signed longer ago, or further ahead, than clocks may differ"
	case carom.ReasonWrongAddress:
		return "sent from an address that the source does not list"
	}
	return sdkReasonText(string(reason))
}

// sdkReasonText says why carom's SDK did not confirm a view.
func sdkReasonText(reason string) string {
	switch reason {
	case "not_viewable":
		return "less than half of the ad was visible, or not for long enough"
	case "too_fast":
		return "sooner than the ad can have been seen or clicked"
	case "hidden":
		return "the page was not visible at that moment"
	case "untrusted_click":
		return "a script clicked"
	case "impossible_time":
		return "shown for longer than the ad existed"
	case "automated":
		return "a program drives the browser"
	case "other_browser":
		return "another browser speaks than the one that asked for the ad"
	case "too_small":
		return "the page is smaller than an ad"
	case "forged_user":
		return "the init data are not of the app's bot"
	case "other_user":
		return "the page names another user than the init data"
	case "own_traffic":
		return "a user or an address of your own"
	case "address_denied":
		return "the zone denies the address"
	case "rate_user", "rate_device", "rate_address":
		return "too many from one " + strings.TrimPrefix(reason, "rate_")
	case "frequency_cap":
		return "the user has seen as many as the zone allows"
	}
	return ""
}
