package network

import (
	"strings"

	"carom"
)

// Verdict is what a verified postback turned out to be: an event with its dedupe key, or a refusal.
type Verdict struct {
	Event   *carom.Event // nil when refused; its ID is not set yet
	Key     carom.DedupeKey
	Refused carom.Reason // empty when there is an event
	Detail  string       // for a refusal: a sentence that names the field and the fix; holds no user identifier
}

// mapped holds what arrived for the fields that the profile maps. An empty value is an absent one.
type mapped struct {
	values [fieldCount]string
	from   [fieldCount]string // the parameter that the value came in
}

// Judge turns a verified postback into an event, or says why it can never be one.
//
// It reads the query and, for a POST, a form or JSON body. The event shares the text of r and keeps a copy of r itself.
// Judging the same request again gives the same verdict.
func (b *Binding) Judge(r *carom.Received) Verdict {
	var room [24]param // on the stack: nearly every postback has fewer
	params, no := appendReceived(room[:0], r)
	if no != nil {
		return no.verdict()
	}
	e := &carom.Event{
		At:       r.At,
		App:      b.Source.App,
		Source:   b.Source.Name,
		Network:  b.Profile.Name,
		Strength: b.Profile.Strength,
		Received: *r,
	}
	var m mapped
	if params, no = b.sort(params, e, &m); no != nil {
		return no.verdict()
	}
	if no = b.read(e, &m); no != nil {
		return no.verdict()
	}
	return Verdict{Event: e, Key: b.key(e, &m, params)}
}

func (no *refusal) verdict() Verdict { return Verdict{Refused: no.reason, Detail: no.detail} }

// sort puts each parameter where it belongs: into m, among the event's further fields, or nowhere when it is static. It
// returns the parameters that are not static, in the same memory.
func (b *Binding) sort(params []param, e *carom.Event, m *mapped) ([]param, *refusal) {
	sent := params[:0]
	for i := range params {
		p := params[i]
		to := b.targets[p.name]
		if to.kind == targetStatic {
			continue
		}
		sent = append(sent, p)
		var no *refusal
		switch {
		case to.kind == targetMapped:
			no = m.take(to.to, p)
		case p.name != "": // nothing could ask for a nameless one
			if to.name != "" {
				p.name = to.name
			}
			if e.Fields == nil {
				e.Fields = make([]carom.Field, 0, len(params)-i)
			}
			no = keepFurther(e, p)
		}
		if no != nil {
			return nil, no
		}
	}
	return sent, nil
}

// take notes that p fills the field f.
func (m *mapped) take(f field, p param) *refusal {
	switch {
	case p.nested:
		return refuse(carom.ReasonBadBody, "the parameter %q is %s and holds an object or a list: send text or a number", clip(p.name), f)
	case len(p.value) > maxMappedBytes:
		return refuse(carom.ReasonFieldTooLong, "the parameter %q is %s and longer than %d bytes: shorten it", clip(p.name), f, maxMappedBytes)
	case p.value == "":
		return nil
	case m.values[f] == "":
		m.values[f], m.from[f] = p.value, p.name
	case m.values[f] != p.value && m.from[f] == p.name:
		return refuse(carom.ReasonRepeated, "the parameter %q came twice with different values: send it once", clip(p.name))
	case m.values[f] != p.value:
		return refuse(carom.ReasonRepeated, "the parameters %q and %q both stand for %s and differ: send one, or give the source the URL template that is set at the network",
			clip(m.from[f]), clip(p.name), f)
	}
	return nil
}

// keepFurther keeps p as a further field of the event. The first of several counts.
func keepFurther(e *carom.Event, p param) *refusal {
	switch {
	case len(p.name) > maxNameBytes:
		return refuse(carom.ReasonFieldTooLong, "the name of the parameter %q is longer than %d bytes: shorten it", clip(p.name), maxNameBytes)
	case len(p.value) > maxFurtherBytes:
		return refuse(carom.ReasonFieldTooLong, "the parameter %q is longer than %d bytes: shorten it", clip(p.name), maxFurtherBytes)
	}
	if !p.nested && literalMacro(p.value) {
		p.value = ""
		e.Flags |= carom.FlagLiteralMacro
	}
	for i := range e.Fields {
		if e.Fields[i].Name == p.name {
			if e.Fields[i].Value != p.value {
				e.Flags |= carom.FlagRepeated
			}
			return nil
		}
	}
	e.Fields = append(e.Fields, carom.Field{Name: p.name, Value: p.value})
	return nil
}

// read fills the event from what arrived.
func (b *Binding) read(e *carom.Event, m *mapped) *refusal {
	if no := b.readIdentity(e, m); no != nil {
		return no
	}
	if no := b.readType(e, m); no != nil {
		return no
	}
	if no := b.readValue(e, m); no != nil {
		return no
	}
	for _, f := range [...]field{fieldZoneID, fieldSubZoneID, fieldRequestVar, fieldPrice} {
		m.dropLiteral(f, e)
	}
	e.YMID, e.TelegramID = m.values[fieldYMID], m.values[fieldTelegramID]
	e.ZoneID, e.SubZoneID, e.RequestVar = m.values[fieldZoneID], m.values[fieldSubZoneID], m.values[fieldRequestVar]
	readPrice(e, m.values[fieldPrice])
	return nil
}

// dropLiteral empties f when it holds a macro as text, and flags the event.
func (m *mapped) dropLiteral(f field, e *carom.Event) {
	if literalMacro(m.values[f]) {
		m.values[f] = ""
		e.Flags |= carom.FlagLiteralMacro
	}
}

// readIdentity checks that somebody is named. The first identity field that arrived must be real; a macro as text in a
// later one is dropped.
func (b *Binding) readIdentity(e *carom.Event, m *mapped) *refusal {
	found := false
	for _, f := range b.Profile.identity {
		if found {
			m.dropLiteral(f, e)
		} else if no := b.refuseLiteral(f, m); no != nil {
			return no
		}
		found = found || m.values[f] != ""
	}
	if found {
		return nil
	}
	names := make([]string, len(b.Profile.identity))
	for i, f := range b.Profile.identity {
		names[i] = f.String()
	}
	first := b.Profile.identity[0]
	return refuse(carom.ReasonNoIdentity, "no %s was sent: add %s to the URL at %s, and let the app give every view its %s",
		strings.Join(names, " or "), b.Profile.spelled(first), b.Profile.Title, first)
}

// refuseLiteral refuses a macro as text in a field that something rests on.
func (b *Binding) refuseLiteral(f field, m *mapped) *refusal {
	if !literalMacro(m.values[f]) {
		return nil
	}
	return refuse(carom.ReasonLiteralMacro, "%s (parameter %q) holds a macro as text: replace it in the URL at %s by the network's spelling, %s",
		f, clip(m.from[f]), b.Profile.Title, b.Profile.macros[f])
}

func (b *Binding) readType(e *carom.Event, m *mapped) *refusal {
	if no := b.refuseLiteral(fieldEventType, m); no != nil {
		return no
	}
	word := fold(m.values[fieldEventType])
	if word == "" {
		if e.Type = b.Source.DefaultEventType; e.Type == "" {
			return refuse(carom.ReasonNoEventType, "no event_type was sent: add %s to the URL at %s, or give the source a default_event_type",
				b.Profile.spelled(fieldEventType), b.Profile.Title)
		}
		return nil
	}
	var ok bool
	if e.Type, ok = b.types[word]; !ok {
		return refuse(carom.ReasonUnknownEventType, "the event type %q (parameter %q) is not known: map it with `event_types:` on the source",
			clip(word), clip(m.from[fieldEventType]))
	}
	return nil
}

func (b *Binding) readValue(e *carom.Event, m *mapped) *refusal {
	if no := b.refuseLiteral(fieldValue, m); no != nil {
		return no
	}
	word := fold(m.values[fieldValue])
	if word == "" {
		return nil
	}
	var ok bool
	if e.Value, ok = b.Profile.values[word]; !ok {
		e.Value, e.Held = carom.ValueUnknown, string(carom.ReasonUnknownValue)
		e.Flags |= carom.FlagHeld
	}
	return nil
}

// readPrice sets the price. A price that cannot be used leaves it empty and flags the event: the event itself is real.
func readPrice(e *carom.Event, text string) {
	text = strings.TrimSpace(text)
	if text == "" {
		return
	}
	nanos, truncated, err := carom.ParseNanos(text)
	if err != nil || text[0] == '-' || nanos > carom.MaxPrice {
		e.Flags |= carom.FlagPriceInvalid
		return
	}
	if truncated {
		e.Flags |= carom.FlagPriceTruncated
	}
	e.Price = carom.Price{Nanos: nanos, Set: true}
}

// key makes the dedupe key, after params are no longer needed in their order.
func (b *Binding) key(e *carom.Event, m *mapped, params []param) carom.DedupeKey {
	if b.Source.YMID != carom.YMIDView {
		return b.repeatKey(params)
	}
	if e.YMID == "" || e.YMID == e.TelegramID {
		e.Flags |= carom.FlagYMIDAsUser
		return b.repeatKey(params)
	}
	return b.viewKey(e, m)
}
