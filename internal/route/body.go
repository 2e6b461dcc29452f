package route

import (
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf8"

	"carom"
)

// defaultForm is the form that a POST without a template of its own carries.
const defaultForm = "ymid={ymid}&zone_id={zone_id}&sub_zone_id={sub_zone_id}&request_var={request_var}&telegram_id={telegram_id}" +
	"&event_type={event_type}&reward_event_type={reward_event_type}&estimated_price={estimated_price}" +
	"&event_id={event_id}&delivery_id={delivery_id}"

// defaultRewardForm is the same of an endpoint that gets rewards.
const defaultRewardForm = defaultForm + "&reward_id={reward_id}&reward_state={reward_state}&reward_rule={reward_rule}" +
	"&reward_amount={reward_amount}&reward_currency={reward_currency}&reward_user={reward_user}"

// compileBody checks the body of e and compiles it. It returns nothing for a GET, and for the JSON that all fields of the
// event make.
func compileBody(e *carom.Endpoint, l language, f *faults) template {
	if e.Method != "POST" {
		if e.Body != "" {
			f.add("body", "a GET has none: add the line `method: POST`, or remove it")
		}
		if e.ContentType != "" {
			f.add("content_type", "a GET has no body: add the line `method: POST`, or remove it")
		}
		return nil
	}
	switch e.ContentType {
	case "json":
		if e.Body == "" {
			return nil
		}
		return l.compileJSON(e.Body, f)
	case "form":
		switch {
		case e.Body != "":
			return l.compileForm(e.Body, f)
		case e.Sends == carom.SendsRewards:
			return language{sends: e.Sends}.compileForm(defaultRewardForm, f)
		}
		return language{sends: e.Sends}.compileForm(defaultForm, f)
	}
	f.add("content_type", "%q is not known: use json or form; for another media type of JSON set the header Content-Type",
		clip(e.ContentType))
	return nil
}

func (l language) compileForm(text string, f *faults) template {
	t := l.parse("body", text, encoded, f)
	t.encode(inQuery)
	for _, p := range t {
		if p.macro == literal {
			if fault := l.literalFault(p.text, false); fault != "" {
				f.add("body", "%s", fault)
				return nil
			}
		}
	}
	l.refuseSignature("body", t, f)
	return maskParams(nil, t)
}

// refuseSignature adds a fault when {signature} stands in t, which is no URL.
func (l language) refuseSignature(name string, t template, f *faults) {
	if t.count(signature) > 0 {
		f.add(name, "%s stands only in the URL of a GET: remove it, a POST with a signing secret is signed in its headers", l.write(signature, ""))
	}
}

func (l language) compileJSON(text string, f *faults) template {
	before := len(*f)
	t := l.parse("body", text, jsonText, f)
	if !utf8.ValidString(text) {
		f.add("body", "it is not UTF-8: save it as UTF-8")
	}
	l.refuseSignature("body", t, f)
	if len(*f) > before {
		return nil
	}
	var s jsonScanner
	for _, p := range t {
		if p.macro == literal {
			s.scan(p.text)
			continue
		}
		if s.escaped {
			f.add("body", "a backslash stands before %s: remove it, values are escaped by themselves", l.text(p))
			return nil
		}
		p.encoding = inJSON
		if s.inString {
			p.encoding = inJSONString
		}
		s.out = append(s.out, p)
	}
	s.out.checkJSON(l, f)
	return s.out
}

// checkJSON renders t with values of each kind that a place outside of quotes turns into something else, since JSON that is
// valid for some users only is found out too late.
func (t template) checkJSON(l language, f *faults) {
	for _, kind := range []struct{ value, name string }{
		{"two words", "text"}, {"7", "a number"}, {"", "empty"},
	} {
		rendered := t.appendSample(nil, func(part) string { return kind.value })
		var parsed json.RawMessage // checks the syntax alone: numbers stay as large as they are
		if err := json.Unmarshal(rendered, &parsed); err != nil {
			f.add("body", "it is not JSON when every macro is %s (%v): put macros inside quotes, such as %s",
				kind.name, err, `{"id": "`+l.write(ymid, "")+`"}`)
			return
		}
	}
}

// jsonScanner follows the literals of a JSON template: it finds out which macros stand inside of strings, and marks the text of
// strings under keys that look secret.
type jsonScanner struct {
	out      template
	inString bool
	escaped  bool // the last byte was a backslash inside a string
	isKey    bool // the string is the key of an object's member
	key      strings.Builder
	levels   []jsonLevel
}

// jsonLevel is one object or array that is open.
type jsonLevel struct {
	object bool
	keyed  bool // in an object: the member's key has been read, its value comes next
	secret bool // the value belongs under a key that looks secret
}

// top returns the innermost level. Outside of all there is one that is neither object nor secret.
func (s *jsonScanner) top() *jsonLevel {
	if len(s.levels) == 0 {
		s.levels = append(s.levels, jsonLevel{})
	}
	return &s.levels[len(s.levels)-1]
}

// scan reads one literal.
func (s *jsonScanner) scan(text string) {
	begin := 0
	flush := func(end int) {
		s.out = s.out.emit(text[begin:end], s.inString && !s.isKey && s.top().secret)
		begin = end
	}
	for i := range len(text) {
		c := text[i]
		switch {
		case !s.inString:
			if c == '"' {
				flush(i + 1)
				s.inString, s.isKey = true, s.top().object && !s.top().keyed
				s.key.Reset()
				continue
			}
			s.punctuation(c)
		case s.escaped:
			s.escaped = false
		case c == '\\':
			s.escaped = true
		case c == '"':
			flush(i)
			s.inString = false
			if s.isKey {
				s.top().keyed, s.top().secret = true, secretName(s.key.String())
			}
		case s.isKey:
			s.key.WriteByte(c)
		}
	}
	flush(len(text))
}

// punctuation follows what opens, separates and closes values.
func (s *jsonScanner) punctuation(c byte) {
	switch c {
	case '{':
		s.levels = append(s.levels, jsonLevel{object: true})
	case '[':
		s.levels = append(s.levels, jsonLevel{secret: s.top().secret})
	case ',':
		if top := s.top(); top.object {
			top.keyed, top.secret = false, false
		}
	case '}', ']':
		if len(s.levels) > 1 {
			s.levels = s.levels[:len(s.levels)-1]
		}
	}
}

// appendDefaultJSON writes the body of a POST without a template of its own: all that is known of the event, and of the reward
// when the delivery has one, in the frame of the Standard Webhooks convention. The package receiver reads it.
func appendDefaultJSON(b []byte, d *carom.Delivery) []byte {
	ev := d.Event
	if d.Reward != nil {
		b = append(b, `{"type":"reward.`...)
		b = append(b, d.Reward.State...)
	} else {
		b = append(b, `{"type":"event.`...)
		b = appendJSONText(b, string(ev.Type))
	}
	b = append(b, `","timestamp":"`...)
	b = ev.At.UTC().AppendFormat(b, "2006-01-02T15:04:05.000Z07:00")
	b = append(b, `","data":{`...)
	for _, member := range [...]struct{ name, value string }{
		{`"event_id":`, string(ev.ID)},
		{`,"delivery_id":`, string(d.ID)},
		{`,"app":`, ev.App},
		{`,"source":`, ev.Source},
		{`,"network":`, ev.Network},
		{`,"event_type":`, string(ev.Type)},
		{`,"reward_event_type":`, string(ev.Value)},
		{`,"ymid":`, ev.YMID},
		{`,"zone_id":`, ev.ZoneID},
		{`,"sub_zone_id":`, ev.SubZoneID},
		{`,"request_var":`, ev.RequestVar},
		{`,"telegram_id":`, ev.TelegramID},
	} {
		b = append(b, member.name...)
		b = appendJSONString(b, member.value)
	}
	if ev.UserID != "" {
		b = append(b, `,"user_id":`...)
		b = appendJSONString(b, ev.UserID)
	}
	if ev.ExternalID != "" {
		b = append(b, `,"external_id":`...)
		b = appendJSONString(b, ev.ExternalID)
	}
	b = append(b, `,"estimated_price":"`...)
	b = appendPrice(b, ev.Price)
	b = append(b, `","received_at":`...)
	b = strconv.AppendInt(b, ev.At.Unix(), 10)
	b = append(b, `,"fields":{`...)
	for i, f := range ev.Fields {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendJSONString(b, f.Name)
		b = append(b, ':')
		b = appendJSONString(b, f.Value)
	}
	b = append(b, '}')
	if ev.Flags&carom.FlagTest != 0 {
		b = append(b, `,"test":true`...)
	}
	if d.Reward != nil {
		b = appendRewardJSON(b, d.Reward)
	}
	return append(b, "}}"...)
}

// appendRewardJSON writes the member of data that holds a reward. Its amount is in quotes, so that no reader makes a float of it.
func appendRewardJSON(b []byte, r *carom.Reward) []byte {
	b = append(b, `,"reward":{"id":`...)
	b = appendJSONString(b, string(r.ID))
	b = append(b, `,"rule":`...)
	b = appendJSONString(b, r.Rule)
	b = append(b, `,"amount":"`...)
	b = r.Amount.Append(b)
	b = append(b, `","currency":`...)
	b = appendJSONString(b, r.Currency)
	b = append(b, `,"user":`...)
	b = appendJSONString(b, r.User)
	b = append(b, `,"state":`...)
	b = appendJSONString(b, string(r.State))
	return append(b, '}')
}
