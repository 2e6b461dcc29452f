package network

import (
	"cmp"
	"strings"

	"carom"
)

// Verdict is what a verified postback turned out to be: an event with its dedupe key, or a refusal.
type Verdict struct {
	Event   *carom.Event // nil when refused; its ID is not set yet
	Key     carom.DedupeKey
	Refused carom.Reason // empty when there is an event
	Detail  string       // for a refusal: a sentence that names the field and the fix; holds no user identifier

	transaction string // for a refusal: the network's transaction as far as it is known, which its answer may need
}

// Judge turns a verified postback into an event, or says why it can never be one. proof is what [Binding.Verify] returned for
// the same request; r has the path secret masked.
//
// It reads the query and, for a POST, a form or JSON body. The event shares the text of r and keeps a copy of r itself.
// Judging the same request again gives the same verdict. Where the signature covers the network's transaction, the dedupe key
// also holds the signature: the text that it was taken over may fit other fields as well, and then it is still one event.
func (b *Binding) Judge(r *carom.Received, proof Proof) Verdict {
	var room [24]param // on the stack: nearly every postback has fewer
	params, no := b.Profile.how.appendSent(room[:0], r.Method, r.RawQuery, r.ContentType, r.Body)
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
	if len(b.Source.Addresses) > 0 && !b.listed(r.Client) {
		e.Flags |= carom.FlagUnlistedAddress
	}
	var m mapped
	if params, no = b.sort(params, e, &m); no == nil && len(b.Profile.headers) > 0 {
		params, no = b.sortHeaders(params, r.Header, &m)
	}
	if no == nil {
		no = b.read(e, &m, params)
	}
	if no != nil {
		v := no.verdict()
		v.transaction = m.values[fieldTransactionID]
		return v
	}
	return Verdict{Event: e, Key: b.key(e, &m, params, proof)}
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
			no = b.keepFurther(e, p)
		}
		if no != nil {
			return sent, no
		}
	}
	return sent, nil
}

// sortHeaders adds the headers that the profile reads.
func (b *Binding) sortHeaders(params []param, headers []carom.Field, m *mapped) ([]param, *refusal) {
	for _, h := range b.Profile.headers {
		for i := range headers {
			if headers[i].Name != h.name {
				continue
			}
			p := param{name: h.name, value: headers[i].Value}
			params = append(params, p)
			if no := m.take(h.to, p); no != nil {
				return params, no
			}
		}
	}
	return params, nil
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
		return refuse(carom.ReasonRepeated, "the parameters %q and %q both stand for %s and differ: send one, "+
			"or give the source the URL template that is set at the network", clip(m.from[f]), clip(p.name), f)
	}
	return nil
}

// keepFurther keeps p as a further field of the event. The first of several counts. The name of an amount or item that the
// profile fills from elsewhere is left out: what nothing covers would pass for what the signature covers.
func (b *Binding) keepFurther(e *carom.Event, p param) *refusal {
	if p.name == "reward_amount" && b.Profile.mapped.has(fieldAmount) || p.name == "reward_item" && b.Profile.mapped.has(fieldItem) {
		e.Flags |= carom.FlagRepeated
		return nil
	}
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

// read fills the event from what arrived. The parameters are apart from m, whose text goes into the event: like this they stay
// on the stack.
func (b *Binding) read(e *carom.Event, m *mapped, params []param) *refusal {
	p := b.Profile
	if no := b.readTest(m, params); no != nil {
		return no
	}
	if p.changed != 0 {
		for f := range fieldCount {
			if p.changed.has(f) && m.values[f] != "" {
				m.values[f] = p.transforms[f].apply(m.values[f])
			}
		}
	}
	if no := b.readIdentity(e, m); no != nil {
		return no
	}
	if no := b.readTransaction(m); no != nil {
		return no
	}
	if no := b.readType(e, m); no != nil {
		return no
	}
	if no := b.readValue(e, m); no != nil {
		return no
	}
	for _, f := range p.loose {
		m.dropLiteral(f, e)
	}
	b.readReversal(e, m, params)
	e.YMID, e.TelegramID, e.UserID = m.values[fieldYMID], m.values[fieldTelegramID], m.values[fieldUserID]
	e.ZoneID, e.SubZoneID, e.RequestVar = m.values[fieldZoneID], m.values[fieldSubZoneID], m.values[fieldRequestVar]
	e.ExternalID = m.values[fieldTransactionID]
	for _, f := range [...]field{fieldAmount, fieldItem} {
		if m.values[f] != "" {
			e.Fields = append(e.Fields, carom.Field{Name: f.String(), Value: m.values[f]})
		}
	}
	readPrice(e, m.values[fieldPrice])
	return nil
}

// readTest says whether the request is the network's own test.
func (b *Binding) readTest(m *mapped, params []param) *refusal {
	for _, rules := range b.Profile.tests {
		all := true
		for i := range rules {
			value, no := b.lookup(m, params, rules[i].ref)
			word := fold(value)
			all = all && no == nil && word != "" && (rules[i].word == "*" || rules[i].word == word)
		}
		if all {
			return refuse(carom.ReasonTest, "it is a test of %s: answered as accepted, and never granted", b.Profile.Title)
		}
	}
	return nil
}

// readTransaction checks that there is a transaction where events are told apart by it.
func (b *Binding) readTransaction(m *mapped) *refusal {
	if !b.Profile.byTransaction {
		return nil
	}
	if no := b.refuseLiteral(fieldTransactionID, m); no != nil {
		return no
	}
	if m.values[fieldTransactionID] == "" {
		return refuse(carom.ReasonNoIdentity, "no transaction_id was sent, by which events are told apart: make %s send %s",
			b.Profile.Title, b.Profile.spelled(fieldTransactionID))
	}
	return nil
}

// readReversal makes a reversal of an event whose transaction or amount says that it is one.
func (b *Binding) readReversal(e *carom.Event, m *mapped, params []param) {
	p := b.Profile
	if rest, found := strings.CutPrefix(m.values[fieldTransactionID], p.reversalPrefix); found && p.reversalPrefix != "" && rest != "" {
		m.values[fieldTransactionID] = rest
		e.Type = carom.Reversal
	}
	if p.reversalNegative && strings.HasPrefix(strings.TrimSpace(m.values[fieldAmount]), "-") {
		e.Type = carom.Reversal
	}
	if e.Type != carom.Reversal || p.reversalOf.name == "" {
		return
	}
	if of, no := b.lookup(m, params, p.reversalOf); no == nil && of != "" && len(of) <= maxMappedBytes && !literalMacro(of) {
		m.values[fieldTransactionID] = of
	}
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
	p := b.Profile
	names := make([]string, len(p.identity))
	for i, f := range p.identity {
		names[i] = f.String()
	}
	first := p.identity[0]
	if p.Template == "" || first != fieldYMID {
		return refuse(carom.ReasonNoIdentity, "no %s was sent, as %s: %s", strings.Join(names, " or "), p.aliasList(first), p.OwnID)
	}
	return refuse(carom.ReasonNoIdentity, "no %s was sent: add %s to the URL at %s, and let the app give every view its %s",
		strings.Join(names, " or "), p.spelled(first), p.Title, first)
}

// refuseLiteral refuses a macro as text in a field that something rests on.
func (b *Binding) refuseLiteral(f field, m *mapped) *refusal {
	if !literalMacro(m.values[f]) {
		return nil
	}
	return refuse(carom.ReasonLiteralMacro, "%s (parameter %q) holds a macro as text: replace it in the URL at %s by the network's spelling, %s",
		f, clip(m.from[f]), b.Profile.Title, b.Profile.spelling(f))
}

// spelling is how the network writes the macro of f.
func (p *Profile) spelling(f field) string { return cmp.Or(p.macros[f], p.aliasList(f)) }

func (b *Binding) readType(e *carom.Event, m *mapped) *refusal {
	if no := b.refuseLiteral(fieldEventType, m); no != nil {
		return no
	}
	word := fold(m.values[fieldEventType])
	if word == "" {
		if e.Type = cmp.Or(b.Source.DefaultEventType, b.Profile.constantType); e.Type == "" {
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
		e.Value = b.Profile.constantValue
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
