package network

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"carom"
)

// Sample makes a test postback as the network would send it to the source at path, with id for everything that names a view, a
// user or a transaction: paid, signed with the source's first network secret where the network signs. It is of the event type, or
// with an empty one of the type that the network pays for.
//
// It returns carom.ErrInvalid for a network whose postbacks carom cannot make: those signed with a key that the network keeps
// to itself, and those that carry what counts in a body; and for a type that the network has no word for.
func (b *Binding) Sample(id, path string, eventType carom.EventType, now time.Time) (*Request, error) {
	p := b.Profile
	if eventType != "" && (wordFor(b.types, eventType) == "" || b.nameOf(fieldEventType) == "") && eventType != p.constantType {
		return nil, carom.Invalid("event_type", "%s has no word for %s: leave it out, or name a type that its postbacks can say", p.Title, clip(string(eventType)))
	}
	for _, f := range p.facts {
		if f.keyList != "" || f.bodyOnly || f.standardKey {
			return nil, carom.Invalid("profile", "only %s itself can make a postback that verifies", p.Title)
		}
	}
	var query []string
	add := func(name, value string) { query = append(query, url.QueryEscape(name)+"="+url.QueryEscape(value)) }
	for f := range fieldCount {
		name := b.nameOf(f)
		if name == "" || f == fieldSignature {
			continue
		}
		value := b.sampleValue(f, id)
		if f == fieldEventType && eventType != "" {
			value = wordFor(b.types, eventType)
		}
		if value != "" || p.reads.has(f) {
			add(name, value)
		}
	}
	for _, f := range p.facts {
		for _, name := range f.params {
			if to := b.targets[name]; to.kind == targetFurther {
				add(name, "1")
			}
		}
	}
	r := &Request{Method: p.Methods[0], Path: path, RawQuery: strings.Join(query, "&"), Header: http.Header{}}
	if !p.reads.has(fieldSignature) {
		return r, nil
	}
	header := slices.IndexFunc(p.headers, func(h headerField) bool { return h.to == fieldSignature })
	unsigned, name := r.RawQuery, url.QueryEscape(b.nameOf(fieldSignature))
	if header < 0 {
		r.RawQuery += "&" + name + "=0"
	}
	x := &exam{ctx: context.Background(), b: b, now: now, sign: &maker{}, r: r}
	for _, block := range p.blocks {
		if found := block.check(x); !found.ok {
			return nil, carom.Invalid("profile", "a postback of %s cannot be signed: %s", p.Title, found.detail)
		}
	}
	if header < 0 {
		r.RawQuery = unsigned + "&" + name + "=" + url.QueryEscape(x.sign.text)
	} else {
		r.Header.Set(p.headers[header].name, x.sign.text)
	}
	return r, nil
}

// nameOf is the parameter that fills a field, empty when none does.
func (b *Binding) nameOf(f field) string {
	for _, name := range b.Profile.aliases[f] {
		if to := b.targets[name]; to.kind == targetMapped && to.to == f {
			return name
		}
	}
	var names []string
	for name, to := range b.targets {
		if to.kind == targetMapped && to.to == f {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return append(names, "")[0]
}

// sampleValue is what a test postback has for a field, empty when it lacks it.
func (b *Binding) sampleValue(f field, id string) string {
	switch f {
	case fieldYMID, fieldUserID, fieldTransactionID:
		return id
	case fieldZoneID:
		return "1"
	case fieldRequestVar:
		return "test"
	case fieldTelegramID:
		if b.nameOf(fieldYMID) == "" && b.nameOf(fieldUserID) == "" {
			return "1"
		}
	case fieldEventType:
		return wordFor(b.types, carom.Click, carom.Completion, carom.Impression)
	case fieldValue:
		return wordFor(b.Profile.values, carom.Valued)
	case fieldPrice:
		return "0.001"
	case fieldAmount:
		return "1"
	case fieldItem:
		return "test"
	case fieldSecret:
		for i := range b.keys {
			return b.keys[i].text
		}
	}
	return ""
}

// wordFor is the network's word for the first of the meanings that it has one for: the meaning's own name, if it is among them.
func wordFor[T ~string](words map[string]T, meanings ...T) string {
	for _, meaning := range meanings {
		if words[string(meaning)] == meaning {
			return string(meaning)
		}
		for _, word := range slices.Sorted(maps.Keys(words)) {
			if words[word] == meaning {
				return word
			}
		}
	}
	return ""
}

// maker makes the signature in an exam, in place of comparing one.
type maker struct {
	as   *written
	text string
}

// take keeps what a block would compare with.
func (s *maker) take(sum []byte) finding {
	form := written{encoding: encodingHex}
	if s.as != nil {
		form = *s.as
	}
	s.text = form.encode(sum)
	return passed("")
}

// encode writes a signature down.
func (w *written) encode(sum []byte) string {
	switch w.encoding {
	case encodingBase64:
		return w.prefix + base64.StdEncoding.EncodeToString(sum)
	case encodingBase64URL:
		return w.prefix + base64.RawURLEncoding.EncodeToString(sum)
	}
	return w.prefix + hex.EncodeToString(sum)
}

// placeholder stands for the signature that is being made.
func placeholder(size int) []byte {
	if size == 0 {
		size = sha256.Size
	}
	return make([]byte, size)
}

// Param is the parameter in which a field of the event comes to the source; empty when none does, or the field is not known.
func (b *Binding) Param(field string) string {
	f, ok := fieldNamed(field)
	if !ok {
		return ""
	}
	return b.nameOf(f)
}

// FieldOf is the field of an event that one of the network's macros stands for, by its name without what stands around it; empty
// when it stands for none.
func (p *Profile) FieldOf(macro string) string {
	if to, ok := p.names[macro]; ok {
		return to.String()
	}
	if to, ok := fieldNamed(macro); ok && p.mapped.has(to) {
		return macro
	}
	return ""
}

// Sends says whether a postback of the network can say that it is of the type.
func (p *Profile) Sends(t carom.EventType) bool {
	return p.mapped.has(fieldEventType) && wordFor(p.types, t) != ""
}
