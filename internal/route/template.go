package route

import (
	"slices"

	"carom"
)

// maxTemplateBytes bounds each template. URLs beyond 8 KiB are refused by common servers anyway.
const maxTemplateBytes = 8 << 10

// part is one piece of a compiled template: literal text, or a macro with the way its value is encoded there.
type part struct {
	text  string // the literal text, or the NAME of {field.NAME}
	macro macro
	encoding
	mask bool // shown as ***
}

// template is a compiled template. It is immutable.
type template []part

// hasMacro says whether rendering depends on the delivery.
func (t template) hasMacro() bool {
	return slices.ContainsFunc(t, func(p part) bool { return p.macro != literal })
}

// masked says whether something in the template must not be shown.
func (t template) masked() bool {
	return slices.ContainsFunc(t, func(p part) bool { return p.mask })
}

// faults collects everything that is wrong with one endpoint.
type faults []error

func (f *faults) add(field, format string, args ...any) {
	*f = append(*f, carom.Invalid(field, format, args...))
}

// parse splits text into literals and macros. Whatever does not have the form of a macro is literal, so that JSON can be
// written as it is. What is wrong with macros becomes faults of name, once each.
func (l language) parse(name, text string, n notation, f *faults) template {
	if len(text) > maxTemplateBytes {
		f.add(name, "the template has %d bytes: shorten it to %d", len(text), maxTemplateBytes)
		return nil
	}
	var t template
	var told []string
	begin := 0
	for _, tok := range l.tokens(text, n) {
		if begin < tok.begin {
			t = append(t, part{text: text[begin:tok.begin]})
		}
		begin = tok.end
		if tok.fault != "" && !slices.Contains(told, tok.fault) {
			told = append(told, tok.fault)
			f.add(name, "%s", tok.fault)
		}
		t = append(t, part{text: tok.field, macro: tok.macro})
	}
	if begin < len(text) {
		t = append(t, part{text: text[begin:]})
	}
	return t
}

// macroAt reads a macro at the start of s, which begins with a brace: {name}, or {name.NAME} for a further field. It returns
// what stands between the braces.
func macroAt(s string) (inner string, ok bool) {
	if len(s) < 3 || s[1] < 'a' || s[1] > 'z' {
		return "", false
	}
	dotted := false
	for i := 2; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '}':
			return s[1:i], true
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '_':
		case c == '.':
			dotted = true
		case dotted && ('A' <= c && c <= 'Z' || c == '-'):
		default:
			return "", false
		}
	}
	return "", false
}
