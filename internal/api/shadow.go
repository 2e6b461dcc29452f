package api

import (
	"context"
	"fmt"
	"slices"
	"time"

	"carom"
)

// ShadowReport is where today's receiver, beside a source in shadow, and carom would differ.
type ShadowReport struct {
	Source      string             `json:"source" doc:"app/source"`
	Mode        string             `json:"mode" doc:"The source's mode now: live, frozen or shadow"`
	Since       time.Time          `json:"since" doc:"The start of an hour: counts are kept by the hour"`
	Requests    int64              `json:"requests" doc:"That came in while the source was in shadow"`
	Compared    int64              `json:"compared" doc:"Of which today's receiver was asked, and carom could say something"`
	Agreed      int64              `json:"agreed" doc:"Of which nothing differs"`
	Missed      int64              `json:"missed" doc:"Came too fast to be compared, or could not be stored"`
	Differences []ShadowDifference `json:"differences" nullable:"false" doc:"The most harmful kind first"`
	WouldGrant  []carom.ShadowSum  `json:"would_grant" nullable:"false" doc:"What rules would have granted, without caps and cooldowns, by currency"`
}

// ShadowDifference is one way in which today's receiver differs.
type ShadowDifference struct {
	Kind     carom.ShadowKind      `json:"kind"`
	Count    int64                 `json:"count"`
	Certain  bool                  `json:"certain" doc:"false: the answers look so; whether money moved cannot be seen from outside"`
	What     string                `json:"what" doc:"What happens, in a sentence"`
	Costs    string                `json:"costs" doc:"What it costs"`
	Examples []carom.ShadowExample `json:"examples" nullable:"false" doc:"At most three, the newest first"`
}

// shadowKinds says what each kind of difference means, the most harmful first.
func shadowKinds() []ShadowDifference {
	return []ShadowDifference{
		{Kind: carom.ShadowOpenDoor, Certain: true,
			What:  "The door is open: a postback with a wrong or missing secret, signature or address was answered with success.",
			Costs: "If the receiver does what it says, anybody who guesses the URL can grant themselves rewards."},
		{Kind: carom.ShadowCopyPaid,
			What:  "A copy of a paid event got the same answer as the first one: the receiver answers as if it paid twice.",
			Costs: "Networks repeat and senders retry: each copy may be a reward too many. Look the examples up in your own ledger."},
		{Kind: carom.ShadowViewPaidTwice,
			What:  "Two paid events of one view, such as its impression and its click, got the same answer: the receiver answers as if it paid for both.",
			Costs: "A user who clicks may earn twice for one view. Look the examples up in your own ledger."},
		{Kind: carom.ShadowAmount,
			What:  "An amount out of bounds was answered with success: negative, beyond a million, or above the most that a rule pays.",
			Costs: "Whoever can write the amount in the URL may be credited with it. Look the examples up in your own ledger."},
		{Kind: carom.ShadowPaidAfterUnpaid,
			What:  "A paid event whose view had an unpaid event before it was refused, or not answered as other paid events are.",
			Costs: "The unpaid event uses up the id: users lose rewards that the network pays you for."},
		{Kind: carom.ShadowWords, Certain: true,
			What:  "A genuine event in other words of the network (event or event_type, yes or valued, the documented sample) was not answered as one.",
			Costs: "Rewards are lost without a trace when the network or its dashboard spells a parameter the other way."},
		{Kind: carom.ShadowPaidRefused, Certain: true,
			What:  "A paid event that carom would take was refused with a 4xx, or with a body that says so.",
			Costs: "The user is not paid, and the network gives up or repeats in vain."},
		{Kind: carom.ShadowFailed, Certain: true,
			What:  "A genuine event was answered with neither 2xx nor 4xx, or not at all within ten seconds.",
			Costs: "The reward waits for the network's next repeat, and is lost when there is none."},
		{Kind: carom.ShadowErrorBody, Certain: true,
			What:  "A genuine event was answered with a success whose body speaks of an error.",
			Costs: "Most networks read the status alone and do not repeat: what failed is lost. Those that read the body repeat."},
		{Kind: carom.ShadowRepeats, Certain: true,
			What:  "An ordinary outcome (a copy, an unpaid event, a second event of a view, a test) was answered with an error such as 400, 404, 409 or 429.",
			Costs: "The network repeats what can never succeed, and may stop sending to you."},
		{Kind: carom.ShadowReversal, Certain: true,
			What:  "A reversal was answered with an error, or as ignored.",
			Costs: "You go on paying users for what the network has taken back from you."},
		{Kind: carom.ShadowLiteralMacro,
			What:  "A postback with a macro as text, such as a literal {ymid}, was answered with success.",
			Costs: "All users share that text as their id: the first is paid for everybody, or nobody is."},
		{Kind: carom.ShadowUnusable,
			What:  "A postback of which no event can be made (no id, an unknown word, one field twice) was answered as paid events are.",
			Costs: "The receiver may pay for what the network did not say. Look the examples up in your own ledger."},
	}
}

type shadowIn struct {
	App   string    `path:"app"`
	Name  string    `path:"name"`
	Since time.Time `query:"since" doc:"RFC 3339. Without it: 7 days ago"`
}

type shadowOut struct{ Body ShadowReport }

// getShadow reports where a source in shadow and today's receiver differ. It also tells of one that was in shadow before.
func (s *service) getShadow(ctx context.Context, in *shadowIn) (*shadowOut, error) {
	o := s.Objects.Objects()
	i := slices.IndexFunc(o.Sources, func(src carom.Source) bool { return src.App == in.App && src.Name == in.Name })
	if i < 0 || !callerOf(ctx).sees(in.App) {
		return nil, failf(carom.ErrNotFound, "there is no source %s/%s; GET /v1/objects lists them", in.App, in.Name)
	}
	if s.Shadow == nil {
		return nil, failf(carom.ErrUnavailable, "this server keeps no reports of sources in shadow")
	}
	since := in.Since
	if since.IsZero() {
		since = s.now().Add(-7 * 24 * time.Hour)
	}
	found, err := s.Shadow(ctx, in.App, in.Name, since)
	if err != nil {
		return nil, fmt.Errorf("report of source %s/%s: %w", in.App, in.Name, err)
	}
	mode := string(o.Sources[i].Mode)
	if o.Sources[i].Mode == carom.SourceLive {
		mode = "live"
	}
	out := &shadowOut{ShadowReport{
		Source: in.App + "/" + in.Name, Mode: mode, Since: found.Since, Requests: found.Requests, Compared: found.Compared, Agreed: found.Agreed,
		Missed: found.Missed, Differences: []ShadowDifference{}, WouldGrant: append([]carom.ShadowSum{}, found.WouldGrant...),
	}}
	for _, kind := range shadowKinds() {
		for _, d := range found.Differences {
			if d.Kind == kind.Kind {
				kind.Count, kind.Examples = d.Count, append([]carom.ShadowExample{}, d.Examples...)
				out.Body.Differences = append(out.Body.Differences, kind)
			}
		}
	}
	return out, nil
}
