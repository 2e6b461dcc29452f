package route

import (
	"strings"

	"github.com/agnivade/levenshtein"
)

// Macro describes one placeholder of the template language, for documents and completion.
type Macro struct {
	Name    string // without the braces; "field.NAME" stands for any further field of the event
	Meaning string
	Sample  string
}

// Macros returns all macros, Monetag's eight first, in the order that documents show them.
func Macros() []Macro {
	list := make([]Macro, 0, len(macros))
	for _, m := range macros[ymid:unknown] {
		list = append(list, m.Macro)
	}
	return list
}

// macro is an index into macros.
type macro uint8

const (
	literal macro = iota // a piece of template that is no macro
	ymid
	zoneID
	subZoneID
	requestVar
	telegramID
	eventType
	rewardEventType
	estimatedPrice
	userID
	eventID
	deliveryID
	attemptNumber
	receivedAt
	receivedAtMillis
	sentAt
	network
	app
	source
	externalID
	test
	rewardID
	rewardState
	rewardRule
	rewardAmount
	rewardCurrency
	rewardUser
	signature
	field   // a further field of the event
	unknown // stands for a faulty macro until Compile fails
)

// numMonetag is how many macros, from ymid on, are Monetag's.
const numMonetag = 8

// ofReward says whether m stands for something of the reward, which only deliveries of rewards have.
func (m macro) ofReward() bool { return rewardID <= m && m <= rewardUser }

// fieldPrefix begins the macro of a further field: {field.NAME}.
const fieldPrefix = "field."

// described is one entry of macros. ofEvent marks values that come from the event, so that a receiver must not believe
// them unless they are signed.
type described struct {
	Macro
	ofEvent bool
}

// macros is the closed list, by number.
var macros = [...]described{
	literal:          {},
	ymid:             {Macro{"ymid", "the id that the app passed to the SDK", "user123"}, true},
	zoneID:           {Macro{"zone_id", "the main zone", "8790478"}, true},
	subZoneID:        {Macro{"sub_zone_id", "the zone that served; tells the format", "8790479"}, true},
	requestVar:       {Macro{"request_var", "the app's label for the spot that asked", "bonus-btn"}, true},
	telegramID:       {Macro{"telegram_id", "the user's Telegram id; may be empty", "123456789"}, true},
	eventType:        {Macro{"event_type", "impression, click, completion, reversal, or a type of your own", "impression"}, true},
	rewardEventType:  {Macro{"reward_event_type", "valued or not_valued; empty when the network did not say", "valued"}, true},
	estimatedPrice:   {Macro{"estimated_price", "the network's estimate, as a plain decimal; may be empty", "0.0023"}, true},
	userID:           {Macro{"user_id", "the user as the network names them, where that is not a Telegram id; may be empty", "u-4711"}, true},
	eventID:          {Macro{"event_id", "carom's id of the event", "evt_0c5g21r0000010000000k"}, true},
	deliveryID:       {Macro{"delivery_id", "carom's id of the delivery, the same at every attempt", "dlv_0c5g21r0000010000000k00"}, false},
	attemptNumber:    {Macro{"attempt", "the number of the attempt, from 1", "1"}, false},
	receivedAt:       {Macro{"received_at", "when the event was accepted, in unix seconds", "1767323045"}, true},
	receivedAtMillis: {Macro{"received_at_ms", "when the event was accepted, in unix milliseconds", "1767323045678"}, true},
	sentAt:           {Macro{"sent_at", "when this attempt was made, in unix seconds", "1767323046"}, false},
	network:          {Macro{"network", "the name of the network's profile", "monetag"}, true},
	app:              {Macro{"app", "the name of the app", "my-game"}, false},
	source:           {Macro{"source", "the name of the source", "monetag"}, true},
	externalID:       {Macro{"external_id", "the id that a trusted server gave, or the network's transaction; may be empty", "order-42"}, true},
	test:             {Macro{"test", "1 for a test event; else empty", ""}, true},
	rewardID:         {Macro{"reward_id", "carom's id of the reward, the same when it is granted and when it is reversed", "rwd_0c5g21r0000010000000k"}, true},
	rewardState:      {Macro{"reward_state", "granted or reversed", "granted"}, true},
	rewardRule:       {Macro{"reward_rule", "the name of the rule; - when a person granted it by hand", "watch"}, true},
	rewardAmount:     {Macro{"reward_amount", "how much it is, as a plain decimal, exact; above zero, also when it is reversed", "12.5"}, true},
	rewardCurrency:   {Macro{"reward_currency", "one of the app's currencies", "coins"}, true},
	rewardUser:       {Macro{"reward_user", "the user whom it belongs to", "123456789"}, true},
	signature: {Macro{"signature", "the signature of a GET, as the URL's last parameter",
		"b01fb88ec1b13b9675de4c5f5b01bda0981893756e64cd895fc396cab85437c0"}, false},
	field:   {Macro{fieldPrefix + "NAME", "the event's further field NAME, by the network's own name; empty without it", "text"}, true},
	unknown: {},
}

// lookup finds a macro by the text between its braces. For a further field, name is the field's.
func lookup(text string) (m macro, name string, ok bool) {
	if name, ok := strings.CutPrefix(text, fieldPrefix); ok {
		return field, name, name != ""
	}
	for i := ymid; i < field; i++ {
		if macros[i].Name == text {
			return i, "", true
		}
	}
	return literal, "", false
}

// synonyms are words seen in the wild for a macro: in publishers' templates, and in those of other trackers.
var synonyms = [...]struct {
	word string
	macro
}{
	{"event", eventType}, {"type", eventType}, {"action", eventType}, {"zone", zoneID}, {"zoneid", zoneID},
	{"value", rewardEventType}, {"valued", rewardEventType}, {"reward", rewardEventType}, {"reward_type", rewardEventType},
	{"amount", estimatedPrice}, {"price", estimatedPrice}, {"payout", estimatedPrice}, {"revenue", estimatedPrice},
	{"uid", ymid}, {"user", ymid}, {"userid", ymid}, {"click_id", ymid}, {"clickid", ymid},
	{"placement", requestVar}, {"var", requestVar}, {"subzone", subZoneID}, {"sub_zone", subZoneID}, {"subzone_id", subZoneID},
	{"tg_id", telegramID}, {"tgid", telegramID}, {"telegram", telegramID}, {"sig", signature}, {"sign", signature},
	{"hash", signature}, {"timestamp", sentAt}, {"time", sentAt}, {"id", deliveryID}, {"transaction_id", deliveryID},
	{"goal", eventType}, {"event_name", eventType}, {"subid", ymid}, {"aff_click_id", ymid}, {"sum", estimatedPrice},
	{"status", rewardEventType}, {"fields", field},
}

// rewardSynonyms are such words where an endpoint gets rewards. They go before synonyms.
var rewardSynonyms = [...]struct {
	word string
	macro
}{
	{"reward", rewardID}, {"state", rewardState}, {"status", rewardState}, {"rule", rewardRule}, {"amount", rewardAmount},
	{"value", rewardAmount}, {"payout", rewardAmount}, {"coins", rewardAmount}, {"currency", rewardCurrency}, {"user", rewardUser},
	{"uid", rewardUser}, {"userid", rewardUser}, {"transaction_id", rewardID},
}

// normal is how words are compared.
func normal(text string) string {
	return strings.ReplaceAll(strings.ToLower(strings.TrimSpace(text)), "-", "_")
}

// nearest returns the macro whose name, or a synonym of it, is nearest to text, and for a further field its name. rewardWords
// lets the words of rewards go before those of events, and rewardMacros lets macros of rewards be found. It returns literal when
// nothing is near.
func nearest(text string, rewardWords, rewardMacros bool) (m macro, fieldName string) {
	m, _ = nearestWithin(normal(text), rewardWords, rewardMacros)
	if m != field {
		return m, ""
	}
	if _, name, _ := strings.Cut(text, "."); name != "" {
		return field, name
	}
	return field, "NAME"
}

// nearestWithin is nearest for a word in its normal form. It says how far the macro is as well.
func nearestWithin(word string, rewardWords, rewardMacros bool) (best macro, bestDistance int) {
	word, _, _ = strings.Cut(word, ".")
	best, bestDistance = literal, 1+len(word)/2
	consider := func(known string, m macro) {
		if d := levenshtein.ComputeDistance(word, known); d < bestDistance {
			best, bestDistance = m, d
		}
	}
	if rewardWords {
		for _, s := range rewardSynonyms {
			consider(s.word, s.macro)
		}
	}
	for m := ymid; m < field; m++ {
		if !m.ofReward() || rewardMacros {
			consider(macros[m].Name, m)
		}
	}
	consider("field", field)
	for _, s := range synonyms {
		consider(s.word, s.macro)
	}
	return best, bestDistance
}

// clip shortens text from outside for an error.
func clip(s string) string {
	if len(s) > 40 {
		return strings.ToValidUTF8(s[:40], "") + "…"
	}
	return s
}
