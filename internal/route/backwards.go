package route

import (
	"net/url"
	"slices"
	"strings"

	"github.com/agnivade/levenshtein"

	"carom"
)

// Names are the parameter names of a template, read by [ReadBackwards].
type Names struct {
	// Params maps the name of a query parameter to the macro that is its value, without what stands around it:
	// {"uid": "ymid", "event": "event_type"}.
	Params map[string]string
	// Static are the names of parameters whose value is the same in every postback, in order. The value may be a secret.
	Static []string
}

// Notation is how a network writes macros.
type Notation struct {
	// Macros are those that are known, as they are written: "{ymid}", "[USER_ID]", "%%ID%%". What stands around the first one's
	// name stands around all. None: the network has no macros, and adds its parameters by itself.
	Macros []string
	// Complete says that there are no others.
	Complete bool
}

// Monetag is how Monetag writes macros, and carom itself.
func Monetag() Notation {
	n := Notation{Complete: true}
	for _, m := range macros[ymid : numMonetag+1] {
		n.Macros = append(n.Macros, "{"+m.Name+"}")
	}
	return n
}

// ReadBackwards reads the URL template that a publisher entered at a network, and says which query parameter brings which of the
// network's macros. It takes a whole URL or the query alone, with or without its question mark; what stands around a macro's
// name may be percent-encoded. Names are percent-decoded, as they are when the postback comes in.
//
// A *carom.FieldError for the field "template" says what cannot be read: a macro that the network does not have, with the
// nearest that it has; a macro outside of the query, or one that shares its value with other text; the same parameter twice; a
// template without macros.
func ReadBackwards(text string, notation Notation) (Names, error) {
	const name = "template"
	text = strings.TrimSpace(text)
	if len(text) > maxTemplateBytes {
		return Names{}, carom.Invalid(name, "it has %d bytes: shorten it to %d", len(text), maxTemplateBytes)
	}
	front, query, isURL := strings.Cut(text, "?")
	if !isURL && !strings.Contains(text, "://") && strings.Contains(text, "=") {
		front, query = "", text
	}
	b := backwards{Notation: notation, out: Names{Params: make(map[string]string)}}
	b.setDelimiters()
	if b.standsIn(front) {
		return Names{}, carom.Invalid(name, "a macro or a broken percent-encoding stands before the query: move the macro behind the ?, "+
			"as in ?uid=%s, here and at the network", b.sample())
	}
	if strings.Contains(front, "#") || strings.Contains(query, "#") {
		return Names{}, carom.Invalid(name, "it has a fragment, which is never sent: remove # and what follows, here and at the network")
	}
	for param := range strings.SplitSeq(query, "&") {
		if param == "" {
			continue
		}
		if err := b.read(param); err != nil {
			return Names{}, carom.Invalid(name, "%s", err.Message)
		}
	}
	if len(b.out.Params) == 0 && len(b.Macros) > 0 {
		return Names{}, carom.Invalid(name, "no parameter holds a macro, so every postback would be the same: "+
			"add those you need, such as ?id=%s", b.sample())
	}
	return b.out, nil
}

// backwards is one template while it is read.
type backwards struct {
	Notation
	open, shut string // around a macro's name; empty: there are no macros
	out        Names
}

// setDelimiters takes them from the first macro.
func (b *backwards) setDelimiters() {
	if len(b.Macros) == 0 {
		return
	}
	first := b.Macros[0]
	from := strings.IndexFunc(first, isNameRune)
	to := strings.LastIndexFunc(first, isNameRune)
	if from > 0 && to < len(first)-1 {
		b.open, b.shut = first[:from], first[to+1:]
	}
}

func isNameRune(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '_'
}

func (b *backwards) sample() string {
	if len(b.Macros) == 0 {
		return "1"
	}
	return b.Macros[0]
}

// standsIn says whether a macro stands in what comes before the query, or whether that cannot be told.
func (b *backwards) standsIn(front string) bool {
	plain, err := url.PathUnescape(front)
	if err != nil {
		return true
	}
	for _, m := range b.Macros {
		if strings.Contains(plain, m) {
			return true
		}
	}
	return b.open == "{" && strings.ContainsAny(plain, "{}")
}

// read takes one parameter, name=value, as it stands in the template.
func (b *backwards) read(param string) *carom.FieldError {
	rawName, rawValue, _ := strings.Cut(param, "=")
	name, err := url.QueryUnescape(rawName)
	if err != nil || name == "" {
		return carom.Invalid("", "a parameter has no name, or a broken percent-encoding in it: write name=%s", b.sample())
	}
	shown := clip(name)
	switch {
	case b.open == "{" && strings.ContainsAny(name, "{}"):
		return carom.Invalid("", "a macro stands in the name of a parameter, %q: write name={macro}", shown)
	case strings.HasPrefix(name, "amp;"):
		return carom.Invalid("", "&amp; stands in it, which HTML needs and a URL does not: write &")
	case b.has(name):
		return carom.Invalid("", "the parameter %q stands twice: give one of them another name, here and at the network", shown)
	}
	value, err := url.QueryUnescape(rawValue)
	if err != nil && slices.Contains(b.Macros, rawValue) {
		value, err = rawValue, nil // %%ID%% is no percent-encoding
	}
	if err != nil {
		return carom.Invalid("", "the value of %q has a broken percent-encoding: write a literal %% as %%25", shown)
	}
	if b.open == "" || !strings.Contains(value, b.open) && !strings.Contains(value, b.shut) {
		b.out.Static = append(b.out.Static, name)
		return nil
	}
	_, rest, opened := strings.Cut(value, b.open)
	inner, _, closed := strings.Cut(rest, b.shut)
	known := slices.Contains(b.Macros, b.open+inner+b.shut)
	switch {
	case !opened || !closed:
		return carom.Invalid("", "the value of %q has a %s or %s without its partner: write it as %smacro%s", shown, b.open, b.shut, b.open, b.shut)
	case !known && b.Complete:
		return carom.Invalid("", "%s", b.unknown(inner))
	case len(value) != len(b.open)+len(inner)+len(b.shut):
		return carom.Invalid("", "the value of %q is more than one macro: give %s a parameter of its own, here and at the network",
			shown, b.open+inner+b.shut)
	case !known && (inner == "" || strings.ContainsFunc(inner, func(r rune) bool { return !isNameRune(r) && !strings.ContainsRune(":.-", r) })):
		return carom.Invalid("", "the value of %q is no macro of the network: correct it, here and at the network", shown)
	}
	b.out.Params[name] = inner
	return nil
}

func (b *backwards) has(name string) bool {
	_, ok := b.out.Params[name]
	return ok || slices.Contains(b.out.Static, name)
}

// unknown says that there is no such macro, and names the nearest one, or all.
func (b *backwards) unknown(inner string) string {
	word := strings.ReplaceAll(strings.ToLower(strings.TrimSpace(inner)), "-", "_")
	best, bestDistance := "", 1+len(word)/2
	for _, m := range b.Macros {
		known := strings.ToLower(strings.TrimSuffix(strings.TrimPrefix(m, b.open), b.shut))
		if d := levenshtein.ComputeDistance(word, known); d < bestDistance {
			best, bestDistance = m, d
		}
	}
	for _, s := range synonyms {
		m := b.open + macros[s.macro].Name + b.shut
		if d := levenshtein.ComputeDistance(word, s.word); d < bestDistance && slices.Contains(b.Macros, m) {
			best, bestDistance = m, d
		}
	}
	out := "unknown macro " + b.open + clip(inner) + b.shut + ": "
	if best != "" {
		return out + "did you mean " + best + "?"
	}
	return out + "the network's are " + strings.Join(b.Macros, ", ")
}
