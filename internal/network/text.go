package network

import (
	"strings"

	"carom"
)

// signedText is the text that a signature is taken over, as a profile writes it: "{transaction_id}:{user_id}:{secret}".
type signedText []textPart

// textPart is a stretch of literal text, or what stands for a name in braces.
type textPart struct {
	literal string
	ref     ref
	kind    partKind
	whole   bool // {value|int}: the number's whole part
}

type partKind uint8

const (
	partLiteral partKind = iota
	partRef
	partSecret
)

// ref names something that was sent: a field of the event, or a parameter by its own name.
type ref struct {
	field   field
	isField bool
	name    string
}

func refTo(name string) ref {
	f, ok := fieldNamed(name)
	return ref{field: f, isField: ok, name: name}
}

// parseText reads a signed text that stands at the key at.
func parseText(at, text string) (signedText, error) {
	var parts signedText
	for text != "" {
		literal, rest, opened := strings.Cut(text, "{")
		if literal != "" {
			parts = append(parts, textPart{literal: literal})
		}
		if !opened {
			break
		}
		name, after, closed := strings.Cut(rest, "}")
		name, filter, filtered := strings.Cut(name, "|")
		switch {
		case !closed || name == "" || strings.ContainsAny(literal+name, "{}"):
			return nil, carom.Invalid(at, "a brace lacks its partner or its name: write {transaction_id}, {secret} or the name of a parameter")
		case filtered && filter != "int":
			return nil, carom.Invalid(at, "there is no %q after a name: only {%s|int}, the number's whole part", clip(filter), clip(name))
		case name == "secret":
			parts = append(parts, textPart{kind: partSecret})
		case name == "signature":
			return nil, carom.Invalid(at, "a signature is not part of the text that it is taken over: leave {signature} out")
		default:
			parts = append(parts, textPart{kind: partRef, ref: refTo(name), whole: filtered})
		}
		text = after
	}
	return parts, nil
}

// reads is the set of fields in the text.
func (t signedText) reads() fieldSet {
	var s fieldSet
	for i := range t {
		if t[i].kind == partRef && t[i].ref.isField {
			s |= setOf(t[i].ref.field)
		}
	}
	return s
}

// params are the names in the text that are no fields.
func (t signedText) params() []string {
	var names []string
	for i := range t {
		if t[i].kind == partRef && !t[i].ref.isField {
			names = append(names, t[i].ref.name)
		}
	}
	return names
}

// covers is the set of fields that are fixed by the text: all in it, but for a number of which only the whole part is
// signed while all of it is used.
func (t signedText) covers(p *Profile) fieldSet {
	s := t.reads()
	for i := range t {
		if part := &t[i]; part.whole && part.ref.isField && !p.transforms[part.ref.field].IntTruncate {
			s &^= setOf(part.ref.field)
		}
	}
	return s
}

// count says how many parts are of a kind.
func (t signedText) count(kind partKind) int {
	n := 0
	for i := range t {
		if t[i].kind == kind {
			n++
		}
	}
	return n
}

// append writes the text with what the request holds. What was not sent is empty. Values are those that were sent, decoded,
// before any transform.
func (t signedText) append(to []byte, x *exam, secret string) ([]byte, *refusal) {
	for i := range t {
		part := &t[i]
		switch part.kind {
		case partLiteral:
			to = append(to, part.literal...)
		case partSecret:
			to = append(to, secret...)
		case partRef:
			value, no := x.b.lookup(&x.m, x.params, part.ref)
			if no != nil {
				return nil, no
			}
			if part.whole {
				value = truncate(value)
			}
			to = append(to, value...)
		}
	}
	return to, nil
}

// lookup finds what was sent for r: nothing, one value, or a refusal when there are several.
func (b *Binding) lookup(m *mapped, params []param, r ref) (string, *refusal) {
	if r.isField {
		return m.values[r.field], nil
	}
	value, found := "", false
	for i := range params {
		p := &params[i]
		name := p.name
		if to := b.targets[name]; to.kind == targetFurther && to.name != "" {
			name = to.name
		}
		switch {
		case name != r.name:
		case found && value != p.value:
			return "", refuse(carom.ReasonRepeated, "the parameter %q came twice with different values: send it once", clip(p.name))
		default:
			value, found = p.value, true
		}
	}
	return value, nil
}
