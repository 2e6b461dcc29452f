package route

import (
	"net/textproto"
	"slices"
	"strconv"
	"time"

	"carom"
)

// Use is a place where a template has a macro.
type Use struct {
	Macro   string `json:"macro"`   // carom's name of it, without delimiters: "ymid", "field.geo"
	Written string `json:"written"` // as it stands in the template: "{ymid}", "[click_id]"
	Where   string `json:"where"`   // "url", "body" or "headers.X-Key"
	Meaning string `json:"meaning"` // see [Macro]
	Sample  string `json:"sample"`  // as [Endpoint.Preview] shows it, before it is encoded
}

// Uses returns the macros of e's templates in the order in which they stand there: URL, headers, body; one that is written the
// same in one place counts once. A body that carom writes by itself has none.
func (e *Endpoint) Uses() []Use {
	l := languageOf(e.dialect)
	l.sends = e.Sends
	var list []Use
	add := func(where, text string, n notation) {
		for _, t := range l.tokens(text, n) {
			m := macros[t.macro].Macro
			if t.macro == field {
				m.Name = fieldPrefix + t.field
			}
			use := Use{Macro: m.Name, Written: text[t.begin:t.end], Where: where, Meaning: m.Meaning, Sample: m.Sample}
			if t.macro == app && e.App != "" {
				use.Sample = e.App
			}
			if !slices.Contains(list, use) {
				list = append(list, use)
			}
		}
	}
	add("url", e.URL, encoded)
	for _, h := range e.Headers {
		add("headers."+textproto.CanonicalMIMEHeaderKey(h.Name), h.Value, plainText)
	}
	if e.ContentType == "form" {
		add("body", e.Body, encoded)
	} else {
		add("body", e.Body, jsonText)
	}
	return list
}

// SampleDelivery makes a delivery whose values are the samples of [Macros], so that e can be rendered before there is any event.
// It passes e's filter, has the further fields that e's templates name, and belongs to the caller.
func (e *Endpoint) SampleDelivery() *carom.Delivery {
	sample := func(m macro) string { return macros[m].Sample }
	price, _, _ := carom.ParseNanos(sample(estimatedPrice)) // a sample that does not parse fails TestSampleDelivery
	ev := &carom.Event{
		ID: carom.EventID(sample(eventID)), At: sampleTime(receivedAtMillis, time.Millisecond),
		App: e.App, Source: sample(source), Network: sample(network),
		Type: carom.EventType(sample(eventType)), Value: carom.RewardEventType(sample(rewardEventType)),
		YMID: sample(ymid), ZoneID: sample(zoneID), SubZoneID: sample(subZoneID), RequestVar: sample(requestVar),
		TelegramID: sample(telegramID), UserID: sample(userID), ExternalID: sample(externalID), Price: carom.Price{Nanos: price, Set: true},
	}
	first(&ev.Type, e.Filter.EventTypes)
	first(&ev.Value, e.Filter.Values)
	first(&ev.ZoneID, e.Filter.Zones)
	first(&ev.RequestVar, e.Filter.RequestVars)
	first(&ev.Source, e.Filter.Sources)
	for _, use := range e.Uses() {
		f := carom.Field{Name: use.Macro, Value: use.Sample}
		if len(f.Name) <= len(fieldPrefix) || f.Name[:len(fieldPrefix)] != fieldPrefix {
			continue
		}
		if f.Name = f.Name[len(fieldPrefix):]; !slices.Contains(ev.Fields, f) {
			ev.Fields = append(ev.Fields, f)
		}
	}
	d := &carom.Delivery{ID: carom.DeliveryID(sample(deliveryID)), Event: ev, Endpoint: e.No, Since: ev.At}
	if e.Sends == carom.SendsRewards {
		amount, _, _ := carom.ParseNanos(sample(rewardAmount))
		d.Reward = &carom.Reward{
			ID: carom.RewardID(sample(rewardID)), App: e.App, Rule: sample(rewardRule), User: sample(rewardUser),
			Currency: sample(rewardCurrency), Amount: amount, State: carom.RewardState(sample(rewardState)), Source: ev.Source,
		}
		first(&d.Reward.Rule, e.Filter.Rules)
	}
	return d
}

// Preview renders the first attempt of e's sample delivery.
func (e *Endpoint) Preview() (Request, error) {
	return e.Render(e.SampleDelivery(), 1, sampleTime(sentAt, time.Second))
}

// first sets value to the first one that a filter lets through, unless it lets through what is there.
func first[T ~string](value *T, list []T) {
	if len(list) > 0 && !slices.Contains(list, *value) {
		*value = list[0]
	}
}

// sampleTime is the sample of a macro that is a time, in the given unit since 1970.
func sampleTime(m macro, unit time.Duration) time.Time {
	n, _ := strconv.ParseInt(macros[m].Sample, 10, 64)
	return time.Unix(0, n*int64(unit)).UTC()
}

// WriteMacro is how a template in the dialect d writes the macro of carom's name: WriteMacro(d, "ymid") is "[click_id]". Without
// a dialect it is "{ymid}".
func WriteMacro(d *carom.Dialect, name string) string {
	l := languageOf(d)
	m, fieldName, ok := lookup(name)
	if !ok {
		return l.show(name)
	}
	return l.write(m, fieldName)
}

// MacroFor returns the name of carom's macro that a word of another program commonly stands for: "click_id" is "ymid". A name of
// carom's own stands for itself.
func MacroFor(word string) (name string, ok bool) {
	word = normal(word)
	if m, _, known := lookup(word); known && m != field {
		return macros[m].Name, true
	}
	for _, s := range synonyms {
		if s.word == word && s.macro != field {
			return macros[s.macro].Name, true
		}
	}
	return "", false
}

// HoldsSecret says whether a receiver could tell e's requests from those of anybody who guesses its address: e signs, or a
// parameter, a segment of the path or a header looks like a secret.
func (e *Endpoint) HoldsSecret() bool {
	return e.hidesURL || len(e.SigningSecrets) > 0 ||
		slices.ContainsFunc(e.Headers, func(h carom.Field) bool { return secretName(h.Name) || looksSecret(h.Value) })
}
