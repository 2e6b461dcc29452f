package route

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"time"

	"carom"
	"carom/receiver"
)

// Request is one HTTP request, rendered for an attempt.
type Request struct {
	Method string
	URL    string
	Header []carom.Field // with canonical names; may be shared between requests, so it is only read
	Body   []byte        // nil for a GET

	// ShownURL and ShownBody are URL and Body as they may be stored and shown: secrets and signatures are ***.
	// Where nothing is hidden, ShownURL is the same text as URL.
	ShownURL, ShownBody string
}

// rendering is what the macros of one request take their values from.
type rendering struct {
	endpoint *Endpoint
	delivery *carom.Delivery
	attempt  int
	now      time.Time
	shown    bool // write *** in place of what is masked
}

// Render makes the request of the given attempt (its number, from 1) for the delivery, as of now. The delivery's event and
// reward are read, never changed. It returns carom.ErrInvalid when the delivery has no event, or is not what e gets: a reward
// that is granted or reversed for an endpoint that sends rewards, none for any other.
func (e *Endpoint) Render(d *carom.Delivery, attempt int, now time.Time) (Request, error) {
	if fault := e.deliveryFault(d); fault != "" {
		return Request{}, fmt.Errorf("render for endpoint %s: %s: %w", e.ID(), fault, carom.ErrInvalid)
	}
	r := rendering{endpoint: e, delivery: d, attempt: attempt, now: now}
	var space [1024]byte // most requests fit, so that only the finished texts are allocated
	req := Request{Method: e.Method, Header: e.static}

	text := e.url.append(space[:0], &r)
	req.URL = string(text)
	req.ShownURL = req.URL
	if e.hidesURL {
		req.ShownURL = string(e.url.appendShown(space[:0], r))
	}
	if e.Method == "POST" {
		if e.body == nil && e.ContentType == "json" {
			text = appendDefaultJSON(space[:0], d)
		} else {
			text = e.body.append(space[:0], &r)
			if e.Body == "" && d.Event.Flags&carom.FlagTest != 0 {
				text = append(text, "&test=1"...)
			}
		}
		req.Body = bytes.Clone(text)
		if e.hidesBody {
			text = e.body.appendShown(space[:0], r)
		}
		req.ShownBody = string(text)
	}
	if req.Header == nil && (len(e.headers) > 0 || e.signsPOST()) {
		var err error
		if req.Header, err = e.renderHeaders(&r, req.Body); err != nil {
			return Request{}, fmt.Errorf("sign for endpoint %s: %w", e.ID(), err)
		}
	}
	return req, nil
}

// deliveryFault says why d cannot be rendered, or returns nothing. A receiver that pays for events must not take a reward for
// one, nor the other way round: so what was owed before `sends` changed waits until it is changed back, or expires.
func (e *Endpoint) deliveryFault(d *carom.Delivery) string {
	switch {
	case d == nil || d.Event == nil:
		return "the delivery has no event"
	case e.Sends == carom.SendsEvents && d.Reward != nil:
		return "the endpoint gets events, and the delivery is of a reward"
	case e.Sends == carom.SendsEvents:
		return ""
	case d.Reward == nil:
		return "the endpoint gets rewards, and the delivery has none"
	case d.Reward.State != carom.RewardGranted && d.Reward.State != carom.RewardReversed:
		return "the reward is neither granted nor reversed"
	}
	return ""
}

// signsPOST says whether requests carry the headers of a signature.
func (e *Endpoint) signsPOST() bool { return e.Method == "POST" && len(e.SigningSecrets) > 0 }

// staticHeaders renders the headers once and for all when none depends on the delivery; else it returns nil.
func staticHeaders(headers []header, signed bool) []carom.Field {
	if signed || len(headers) == 0 {
		return nil
	}
	out := make([]carom.Field, 0, len(headers))
	for _, h := range headers {
		if h.value.hasMacro() {
			return nil
		}
		out = append(out, carom.Field{Name: h.name, Value: string(h.value.append(nil, nil))})
	}
	return slices.Clip(out)
}

func (e *Endpoint) renderHeaders(r *rendering, body []byte) ([]carom.Field, error) {
	out := make([]carom.Field, 0, len(e.headers)+3)
	var space [256]byte
	for _, h := range e.headers {
		out = append(out, carom.Field{Name: h.name, Value: string(h.value.append(space[:0], r))})
	}
	if !e.signsPOST() {
		return out, nil
	}
	signatures := ""
	for _, secret := range e.SigningSecrets {
		if !live(secret, r.now) {
			continue
		}
		s, err := receiver.SignStandard(string(r.delivery.ID), r.now, body, string(secret.Key))
		if err != nil {
			return nil, err
		}
		if signatures != "" {
			signatures += " "
		}
		signatures += s
	}
	return append(out,
		carom.Field{Name: receiver.HeaderID, Value: string(r.delivery.ID)},
		carom.Field{Name: receiver.HeaderTimestamp, Value: strconv.FormatInt(r.now.Unix(), 10)},
		carom.Field{Name: receiver.HeaderSignature, Value: signatures}), nil
}

// live says whether a secret signs at the given moment.
func live(secret carom.SigningSecret, now time.Time) bool {
	return secret.NotAfter.IsZero() || secret.NotAfter.After(now)
}

// append renders t behind b.
func (t template) append(b []byte, r *rendering) []byte {
	for i := range t {
		p := &t[i]
		switch {
		case p.mask && r != nil && r.shown:
			b = append(b, shownMask...)
		case p.macro == literal:
			b = append(b, p.text...)
		default:
			b = r.appendMacro(b, p)
		}
	}
	return b
}

// appendShown renders t behind b as it may be shown.
func (t template) appendShown(b []byte, r rendering) []byte {
	r.shown = true
	return t.append(b, &r)
}

// appendSample renders t behind b with values made up by value.
func (t template) appendSample(b []byte, value func(part) string) []byte {
	for _, p := range t {
		if p.macro == literal {
			b = append(b, p.text...)
			continue
		}
		b = p.appendValue(b, value(p))
	}
	return b
}

// appendMacro writes the value of one macro. Numbers need no encoding anywhere.
func (r *rendering) appendMacro(b []byte, p *part) []byte {
	ev := r.delivery.Event
	value := ""
	switch p.macro {
	case attemptNumber:
		return strconv.AppendInt(b, int64(r.attempt), 10)
	case receivedAt:
		return strconv.AppendInt(b, ev.At.Unix(), 10)
	case receivedAtMillis:
		return strconv.AppendInt(b, ev.At.UnixMilli(), 10)
	case sentAt:
		return strconv.AppendInt(b, r.now.Unix(), 10)
	case estimatedPrice:
		if ev.Price.Set {
			return appendPrice(b, ev.Price)
		}
	case signature:
		return r.appendSignature(b)
	case ymid:
		value = ev.YMID
	case zoneID:
		value = ev.ZoneID
	case subZoneID:
		value = ev.SubZoneID
	case requestVar:
		value = ev.RequestVar
	case telegramID:
		value = ev.TelegramID
	case userID:
		value = ev.UserID
	case eventType:
		value = string(ev.Type)
	case rewardEventType:
		value = string(ev.Value)
	case eventID:
		value = string(ev.ID)
	case deliveryID:
		value = string(r.delivery.ID)
	case network:
		value = ev.Network
	case app:
		value = ev.App
	case source:
		value = ev.Source
	case externalID:
		value = ev.ExternalID
	case test:
		if ev.Flags&carom.FlagTest != 0 {
			value = "1"
		}
	case field:
		value = fieldValue(ev, p.text)
	case rewardAmount:
		return r.delivery.Reward.Amount.Append(b)
	default:
		value = rewardValue(r.delivery.Reward, p.macro)
	}
	return p.appendValue(b, value)
}

// rewardValue returns the text that m stands for. Where m is of the reward, there is one: see parse and deliveryFault.
func rewardValue(r *carom.Reward, m macro) string {
	switch m {
	case rewardID:
		return string(r.ID)
	case rewardState:
		return string(r.State)
	case rewardRule:
		return r.Rule
	case rewardCurrency:
		return r.Currency
	case rewardUser:
		return r.User
	}
	return ""
}

// fieldValue returns the first further field of that name, or nothing.
func fieldValue(ev *carom.Event, name string) string {
	for i := range ev.Fields {
		if ev.Fields[i].Name == name {
			return ev.Fields[i].Value
		}
	}
	return ""
}

// appendPrice writes a price as a plain decimal, or nothing when it is absent.
func appendPrice(b []byte, p carom.Price) []byte {
	if !p.Set {
		return b
	}
	return p.Nanos.Append(b)
}

// appendSignature signs the query in b, which ends with "&name=" (or "?name=" when there is nothing to sign). Values are
// encoded, so the first question mark begins the query and the last ampersand the signature's parameter.
func (r *rendering) appendSignature(b []byte) []byte {
	begin, end := bytes.IndexByte(b, '?')+1, bytes.LastIndexByte(b, '&')
	signed := string(b[begin:max(begin, end)])
	first := true
	for _, secret := range r.endpoint.SigningSecrets {
		if !live(secret, r.now) {
			continue
		}
		if !first {
			b = append(b, ',')
		}
		first = false
		b = append(b, receiver.SignGET(signed, string(secret.Key))...)
	}
	return b
}
