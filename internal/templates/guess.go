package templates

import (
	"strings"

	"carom/internal/route"
)

// notations are how templates are known to write macros. Where one begins like another, the longer stands first.
var notations = [...]struct{ open, shut string }{
	{"{{", "}}"}, {"${", "}"}, {"#{", "}"}, {"%{", "}"}, {"[[", "]]"}, {"<<", ">>"}, {"*|", "|*"}, {"%%", "%%"}, {"__", "__"},
	{"{", "}"}, {"[", "]"}, {"<", ">"}, {"%", "%"},
}

// Guess says which delimiters most of a file's templates use, and how often each name stands between them that neither the dialect
// nor carom has. It returns nothing where no template has a macro, or no column holds templates.
func Guess(text []byte, o Options) (open, shut string, unknown map[string]int) {
	all, fault := records(text)
	if fault != nil || len(all) == 0 {
		return "", "", nil
	}
	h, faults := readHeader(all[0], o.Columns)
	if len(faults) > 0 {
		return "", "", nil
	}
	found := map[string]map[string]int{}
	most := 0
	total := map[string]int{}
	for _, rec := range all[1:] {
		at := h.index["url"]
		if rec.fault != "" || at >= len(rec.cells) {
			continue
		}
		for _, m := range macrosIn(trim(rec.cells[at].text)) {
			if found[m.open] == nil {
				found[m.open] = map[string]int{}
			}
			found[m.open][m.name]++
			total[m.open]++
		}
	}
	for _, n := range notations {
		if total[n.open] > most {
			open, shut, most = n.open, n.shut, total[n.open]
		}
	}
	unknown = map[string]int{}
	for name, n := range found[open] {
		if !o.covers(name) {
			unknown[name] = n
		}
	}
	return open, shut, unknown
}

// found is a name between delimiters.
type found struct{ open, name, shut string }

// unescape turns back what browsers make of delimiters. Percent signs themselves stay: %25 is a literal one.
var unescape = strings.NewReplacer("%7B", "{", "%7b", "{", "%7D", "}", "%7d", "}", "%5B", "[", "%5b", "[", "%5D", "]", "%5d", "]",
	"%3C", "<", "%3c", "<", "%3E", ">", "%3e", ">", "%24", "$", "%23", "#", "%7C", "|", "%7c", "|", "%2A", "*", "%2a", "*")

// macrosIn finds what looks like a macro in any notation.
func macrosIn(text string) []found {
	text = unescape.Replace(text)
	var out []found
	for i := 0; i < len(text); {
		m, size := macroAt(text[i:])
		if size == 0 {
			i++
			continue
		}
		out = append(out, m)
		i += size
	}
	return out
}

func macroAt(s string) (found, int) {
	for _, n := range notations {
		rest, ok := strings.CutPrefix(s, n.open)
		if !ok {
			continue
		}
		inner, behind, ok := strings.Cut(rest, n.shut)
		size := len(s) - len(behind)
		if !ok || !isName(inner) {
			continue
		}
		switch {
		case n.open == "[" && strings.HasPrefix(behind, "="):
			continue // the name of a parameter: a[b]=c
		case n.open == "%" && (len(inner) < 3 || isEncoded(s) && isEncoded(s[size-1:])):
			continue // percent-encoded text
		}
		return found{n.open, inner, n.shut}, size
	}
	return found{}, 0
}

// isName says whether s has the form of a macro's name in any dialect.
func isName(s string) bool {
	for i := range len(s) {
		c := s[i]
		switch letter := 'a' <= c|0x20 && c|0x20 <= 'z' || c == '_'; {
		case letter:
		case i > 0 && ('0' <= c && c <= '9' || c == '-' || c == '.'):
		default:
			return false
		}
	}
	return s != "" && len(s) <= 64
}

func isEncoded(s string) bool {
	const hex = "0123456789abcdefABCDEF"
	return len(s) > 2 && s[0] == '%' && strings.IndexByte(hex, s[1]) >= 0 && strings.IndexByte(hex, s[2]) >= 0
}

// covers says whether a template may use the name as it is.
func (o Options) covers(name string) bool {
	if o.inDialect(name) || strings.HasPrefix(strings.ToLower(name), "field.") {
		return true
	}
	own, ok := route.MacroFor(name)
	return ok && strings.EqualFold(own, name)
}
