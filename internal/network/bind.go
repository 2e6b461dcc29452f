package network

import (
	"crypto/sha256"
	"crypto/subtle"
	"maps"
	"time"

	"carom"
)

// Binding is a profile bound to one source: everything needed to verify and judge what arrives there. It is shared and
// must not be changed.
type Binding struct {
	Profile *Profile
	Source  carom.Source // defaults filled in

	sourceID string
	targets  map[string]target // parameter name to where it goes
	types    map[string]carom.EventType
}

// target says where a parameter goes. The zero target is a further field under the parameter's own name.
type target struct {
	kind targetKind
	to   field  // for targetMapped
	name string // for targetFurther: the field's name when it is not the parameter's
}

type targetKind uint8

const (
	targetFurther targetKind = iota
	targetMapped
	targetStatic
)

// Bind makes the binding of p to the source s.
//
// names comes from the URL template that the publisher entered at the network, read backwards: parameter name to macro
// name without delimiters. It replaces the profile's aliases; nil keeps them. A macro that the profile does not know
// becomes a further field of that name. static lists the template's parameters with literal text: they are never kept.
//
// It returns a carom.FieldError when s has no secret, since a source is never open, when a word or kind in s cannot be
// used, and when a template lacks what every postback needs.
func (p *Profile) Bind(s carom.Source, names map[string]string, static []string) (*Binding, error) {
	s = s.WithDefaults()
	b := &Binding{Profile: p, Source: s, sourceID: s.ID(), targets: make(map[string]target), types: maps.Clone(p.types)}
	at := "sources." + s.Name + "."
	if len(s.Secrets) == 0 {
		return nil, carom.Invalid(at+"secrets", "%s does not sign, so the source needs a secret in its path: make one; a source is never open", p.Title)
	}
	switch s.YMID {
	case carom.YMIDView, carom.YMIDSession, carom.YMIDUser:
	default:
		return nil, carom.Invalid(at+"ymid", "%q is none of view, session, user", clip(string(s.YMID)))
	}
	own := make(map[string]carom.EventType, len(s.EventTypes))
	for word, eventType := range s.EventTypes {
		key := fold(word)
		switch other, taken := own[key]; {
		case key == "" || eventType == "":
			return nil, carom.Invalid(at+"event_types", "a word or its event type is empty: give both")
		case taken && other != eventType:
			return nil, carom.Invalid(at+"event_types", "%q stands for both %s and %s, since case does not count: leave one", clip(key), other, eventType)
		}
		own[key] = eventType
	}
	maps.Copy(b.types, own)

	if names == nil {
		for name, to := range p.names {
			b.targets[name] = target{kind: targetMapped, to: to}
		}
		return b, nil
	}
	for _, name := range static {
		b.targets[name] = target{kind: targetStatic}
	}
	if err := b.bindNames(at+"template", names); err != nil {
		return nil, err
	}
	return b, nil
}

// bindNames takes the parameter names from a template alone.
func (b *Binding) bindNames(at string, names map[string]string) error {
	p := b.Profile
	var has [fieldCount]bool
	for name, macro := range names {
		to, ok := p.names[macro]
		if !ok {
			b.targets[name] = target{kind: targetFurther, name: macro}
			continue
		}
		b.targets[name] = target{kind: targetMapped, to: to}
		has[to] = true
	}
	identified := false
	for _, f := range p.identity {
		identified = identified || has[f]
	}
	switch {
	case !identified:
		return carom.Invalid(at, "no parameter says whose event it is: add %s", p.spelled(p.identity[0]))
	case !has[fieldEventType] && b.Source.DefaultEventType == "":
		return carom.Invalid(at, "no parameter says what happened: add %s, or give the source a default_event_type", p.spelled(fieldEventType))
	}
	return nil
}

// spelled writes the parameter for f as the publisher should add it at the network: "ymid={ymid}".
func (p *Profile) spelled(f field) string { return f.String() + "=" + p.macros[f] }

// Verify reports whether secret, as it stood in the path, is one that the source accepts at now.
//
// It compares sums in constant time and with every live one, so that the time taken tells nothing about them.
func (b *Binding) Verify(secret string, now time.Time) bool {
	sum := sha256.Sum256([]byte(secret))
	match := 0
	for i := range b.Source.Secrets {
		s := &b.Source.Secrets[i]
		if s.NotAfter.IsZero() || !now.After(s.NotAfter) {
			match |= subtle.ConstantTimeCompare(sum[:], s.Sum[:])
		}
	}
	return match == 1
}
