package api

import (
	"fmt"
	"strings"
	"time"

	"carom"
)

// floodPerHour is how many unverified postbacks an hour are worth a look. A wrong URL at a network makes at least that
// many; a scanner that tries paths makes fewer.
const floodPerHour = 100

// checkSources looks at each source: what was refused, lost as a duplicate, held, wanted by nobody, or never came.
func checkSources(f *facts) []Item {
	var items []Item
	for i := range f.Objects.Sources {
		items = append(items, sourceItems(f, f.Objects.Sources[i].WithDefaults())...)
	}
	return items
}

// sourceOutcome is what may become of the postbacks of a source.
type sourceOutcome struct{ app, source, outcome string }

// perSource is the counts of one source's outcome in the last hour and day, and when it first came in that day.
type perSource struct {
	hour, day int64
	since     time.Time
}

func (p perSource) howMuch() string {
	return fmt.Sprintf("%d in the last hour, %d in the last day", p.hour, p.day)
}

// countOutcomes adds up the counts of all sources in one pass: each of them is asked about twenty outcomes.
func countOutcomes(f *facts) map[sourceOutcome]perSource {
	all := map[sourceOutcome]perSource{}
	for _, c := range f.Hour {
		of := sourceOutcome{c.App, c.Source, c.Outcome}
		p := all[of]
		p.hour += c.N
		all[of] = p
	}
	for _, c := range f.Day {
		of := sourceOutcome{c.App, c.Source, c.Outcome}
		p := all[of]
		if p.day += c.N; c.N > 0 && !c.At.IsZero() && (p.since.IsZero() || c.At.Before(p.since)) {
			p.since = c.At
		}
		all[of] = p
	}
	for of, p := range all {
		// The day's counts are read after the hour's, and both move: the larger is nearer to the truth.
		p.day = max(p.day, p.hour)
		all[of] = p
	}
	return all
}

func count(f *facts, src *carom.Source, outcome string) perSource {
	return f.counted[sourceOutcome{src.App, src.Name, outcome}]
}

func sourceItems(f *facts, src carom.Source) []Item {
	subject := "source " + src.ID()
	at := " --app " + src.App + " --source " + src.Name
	items := refusedItems(f, &src)

	if p := count(f, &src, carom.OutcomeDuplicateLate); p.day > 0 && src.YMID == carom.YMIDView {
		it := Item{
			Kind: KindYMIDsRepeated, Severity: Attention, Subject: subject, Since: p.since, Fault: Configuration, HowMuch: p.howMuch(),
			What: "ymids repeat: this source says `ymid: view`, one id for each view, but equal ones come again more than an hour " +
				"later and are taken for duplicates",
			Next: "if your ymid is the user's id, set `ymid: user` for the source in your objects file, then: carom apply -f carom.yaml",
		}
		if p.hour > 0 {
			it.Severity = LosingMoney
		}
		items = append(items, it)
	}
	if p := count(f, &src, carom.OutcomeConflict); p.day > 0 {
		items = append(items, Item{
			Kind: KindCopiesConflict, Severity: Attention, Subject: subject, Since: p.since, Fault: Network, HowMuch: p.howMuch(),
			What: "copies of an event disagree with the first one in amount or user; the first one counts",
			Next: "carom stats --by source,outcome" + at + "; if they are different views, your ymid is not unique: set `ymid: session` or `ymid: user`",
		})
	}
	items = append(items, heldItems(f, &src)...)
	items = append(items, unmatchedItems(f, &src)...)
	items = append(items, silenceItems(f, &src)...)
	return items
}

// heldItems tells of a source that is frozen or in shadow, and of held events that wait for a person.
func heldItems(f *facts, src *carom.Source) []Item {
	p := count(f, src, carom.OutcomeHeld)
	n, known := f.Waiting[src.ID()]
	it := Item{Kind: KindSourceFrozen, Severity: Attention, Subject: "source " + src.ID(), Since: p.since, Fault: Configuration, HowMuch: atLeast(n.frozen, n.more) + " waiting"}
	var items []Item
	switch {
	case src.Mode == carom.SourceShadow:
		it.Kind, it.Severity, it.HowMuch = KindSourceShadow, Note, p.howMuch()
		it.What, it.Next = "it is in shadow: its events are judged and recorded, and nothing is granted or sent", "nothing, while you compare"
		return []Item{it}
	case src.Mode == carom.SourceFrozen:
		it.What = "it is frozen: its events are kept, and nothing is granted or sent for them"
		it.Next = "when the cause is mended: carom thaw " + src.ID() + " --why REASON; then: " + releaseFrozen(src.App, src.Name)
		items = append(items, it)
	case n.frozen > 0:
		it.Kind = KindEventsHeld
		it.What = "events that came while it was frozen are still held: nothing was granted or sent for them"
		it.Next = releaseFrozen(src.App, src.Name)
		items = append(items, it)
	}
	if n.other > 0 || !known && p.day > 0 && src.Mode == carom.SourceLive {
		at := " --app " + src.App + " --source " + src.Name
		items = append(items, Item{
			Kind: KindEventsHeld, Severity: Attention, Subject: it.Subject, Since: p.since, Fault: Network, HowMuch: p.howMuch(),
			What: "events are held: their value is a word that nobody has met, so they are kept and owed to nobody",
			Next: "see the word: carom show" + at + "; then say what it counts as: carom reprocess" + at + " --kind held --as valued --why REASON",
		})
	}
	return items
}

// atLeast writes how many events there are, where only so many were looked at.
func atLeast(n int, more bool) string {
	if more {
		return "at least " + plural(n, "event")
	}
	return plural(n, "event")
}

// unmatchedItems tells of events that no endpoint wanted. An endpoint that takes only paid events leaves the others
// unmatched on purpose, and so do apps that only ask for views and balances; a source of which nothing at all is wanted is a
// mistake.
func unmatchedItems(f *facts, src *carom.Source) []Item {
	p := count(f, src, carom.OutcomeUnmatched)
	if p.day == 0 {
		return nil
	}
	it := Item{
		Kind: KindEventsUnmatched, Severity: Note, Subject: "source " + src.ID(), Since: p.since, Fault: Configuration, HowMuch: p.howMuch(),
		What: "some events match no endpoint: they are kept and sent to nobody",
		Next: "nothing, if the filters of your endpoints mean it so; else: carom show --app " + src.App + " --source " + src.Name,
	}
	credited := decidedCount(f, src, func(outcome string) bool {
		return strings.HasPrefix(outcome, carom.OutcomeReward+string(carom.RewardGranted)) || strings.HasPrefix(outcome, carom.OutcomeReward+string(carom.RewardHeld))
	})
	if count(f, src, carom.OutcomeAccepted).day == 0 && credited.day == 0 {
		it.Severity = Attention
		it.What = "all events of the last day match no endpoint: they are kept and sent to nobody"
		it.Next = "widen the filter of an endpoint of " + src.App + " or add one, then: carom apply -f carom.yaml"
	}
	return []Item{it}
}

// silenceItems tells of a source that hears nothing it can believe, or nothing any more.
func silenceItems(f *facts, src *carom.Source) []Item {
	subject := "source " + src.ID()
	at := " --app " + src.App + " --source " + src.Name
	var items []Item
	wrong := count(f, src, carom.OutcomeUnverified+":"+string(carom.ReasonWrongSecret))
	accepted := count(f, src, carom.OutcomeAccepted)
	unmatched := count(f, src, carom.OutcomeUnmatched)
	held := count(f, src, carom.OutcomeHeld)
	switch {
	case wrong.hour > 0 && accepted.hour+unmatched.hour+held.hour == 0:
		items = append(items, Item{
			Kind: KindWrongSecrets, Severity: Attention, Subject: subject, Since: wrong.since, Fault: Configuration, HowMuch: wrong.howMuch(),
			What: "postbacks come with a wrong secret, and none with the right one: the URL at the network is not this source's",
			Next: "carom show --unverified" + at + "; if they are the network's, make a new URL and enter it there: carom rotate " + src.ID(),
		})
	case wrong.hour >= floodPerHour:
		items = append(items, Item{
			Kind: KindWrongSecrets, Severity: Attention, Subject: subject, Since: wrong.since, Fault: Network, HowMuch: wrong.howMuch(),
			What: "many postbacks come with a wrong secret: somebody guesses, or an old URL is still entered somewhere",
			Next: "carom show --unverified" + at,
		})
	}
	if wrong.hour == 0 {
		items = append(items, silentItems(f, src)...)
	}
	if wrong.day == 0 && !f.Heard[src.ID()] {
		it := Item{
			Kind: KindSourceUnheard, Severity: Attention, Subject: subject, Fault: Configuration,
			What: "nothing was received in the last seven days",
			Next: "enter its URL at the network; if the URL is lost, make a new one: carom rotate " + src.ID(),
		}
		switch src.Profile {
		case carom.ProfileSDK:
			it.Next = "put the script tag of a zone into the app's page and call it once; GET /v1/objects shows the tag"
		case carom.ProfileAPI:
			it.Next = "report an event: carom send event --app " + src.App + " --source " + src.Name + " id=test-1 event_type=completion test=true"
		}
		items = append(items, it)
	}
	return items
}

// refusedItems tells of postbacks that had the right secret and cannot be used: each may be money that nobody gets.
func refusedItems(f *facts, src *carom.Source) []Item {
	var items []Item
	for _, r := range refusals() {
		p := count(f, src, carom.OutcomeRefused+":"+string(r.reason))
		if p.day == 0 {
			continue
		}
		it := Item{
			Kind: KindSourceRefusing, Severity: Attention, Subject: "source " + src.ID(), Since: p.since, Fault: r.fault, HowMuch: p.howMuch(),
			What: "postbacks are refused: " + r.what,
			Next: r.next + "; see them: carom show --refused --app " + src.App + " --source " + src.Name + "; once that is corrected, count them: " +
				"carom reprocess --app " + src.App + " --source " + src.Name + " --kind refused --reason " + string(r.reason) + " --why REASON",
		}
		if r.reason == carom.ReasonLiteralMacro {
			it.Kind = KindLiteralMacros
		}
		if detail := f.RefusedDetails[src.ID()+" "+string(r.reason)]; detail != "" {
			it.What += " (" + strings.TrimSuffix(detail, ".") + ")"
		}
		if p.hour > 0 {
			it.Severity = LosingMoney
		}
		items = append(items, it)
	}
	return items
}

type refusal struct {
	reason carom.Reason
	fault  Fault
	what   string
	next   string
}

// refusals says of each reason for a refusal what it means, whose it is, and what to do.
func refusals() []refusal {
	return []refusal{
		{carom.ReasonNoIdentity, Configuration, "they carry neither ymid nor telegram_id",
			"pass a ymid to the SDK when the ad is shown, and have {ymid} in the postback URL at the network"},
		{carom.ReasonNoEventType, Configuration, "they carry no event type",
			"add event_type={event_type} to the postback URL at the network, or set `default_event_type` for the source"},
		{carom.ReasonUnknownEventType, Configuration, "their event type is a word that is not known",
			"map the word under `event_types` of the source, then: carom apply -f carom.yaml"},
		{carom.ReasonLiteralMacro, Configuration, "a macro arrives as text, so the network did not fill it in",
			"correct the macro's name in the postback URL at the network: {ymid}, {event_type}, {reward_event_type}, {zone_id}"},
		{carom.ReasonRepeated, Configuration, "one parameter comes twice with different values",
			"remove the second one from the postback URL at the network"},
		{carom.ReasonBadEncoding, Network, "they are not percent-encoded properly, or hold bytes that are no text",
			"report it to the network, and do not put raw text into the ymid"},
		{carom.ReasonBadBody, Network, "their body is not the JSON or form that it says it is",
			"report it to the network, or have it send a GET"},
		{carom.ReasonTooLarge, Network, "they are larger than a postback may be", "shorten the postback URL at the network"},
		{carom.ReasonBadMethod, Configuration, "they come with a method that the network's profile does not use",
			"set the method at the network to GET"},
		{carom.ReasonUnsupportedMedia, Configuration, "their body is neither a form nor JSON",
			"set the body at the network to JSON or form, or have it send a GET"},
		{carom.ReasonTooManyFields, Configuration, "they carry more parameters than an event may keep",
			"remove parameters that you do not use from the postback URL at the network"},
		{carom.ReasonFieldTooLong, Configuration, "a field is longer than it may be", "shorten what you pass as ymid or request_var"},
	}
}

// checkUnknownSenders tells of many postbacks that name no app or source that there is.
func checkUnknownSenders(f *facts) []Item {
	known := make(map[string]bool, len(f.Objects.Sources))
	for i := range f.Objects.Sources {
		known[f.Objects.Sources[i].ID()] = true
	}
	keep := func(c carom.Count) bool {
		return strings.HasPrefix(c.Outcome, carom.OutcomeUnverified+":") && !known[c.App+"/"+c.Source]
	}
	n := tally(f.Hour, keep)
	if n == 0 {
		return nil
	}
	it := Item{
		Kind: KindUnknownSenders, Severity: Note, Subject: "server", Since: first(f.Day, keep), Fault: Network,
		What:    "postbacks come to an app or a source that does not exist",
		HowMuch: fmt.Sprintf("%d in the last hour", n), Next: "carom show --unverified",
	}
	if n >= floodPerHour {
		it.Severity = Attention
		it.What = "many " + it.What + ": a URL at a network is mistyped, an object was removed, or somebody scans"
	}
	return []Item{it}
}
