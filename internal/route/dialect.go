package route

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/agnivade/levenshtein"

	"carom"
)

// Bounds of a dialect.
const (
	maxDelimiterBytes = 8
	maxMacroName      = 64
	maxDialectMacros  = 256
	maxInnerBytes     = 256 // between delimiters; a further field's name may be longer than a dialect's
	minPercentName    = 3   // of unknown macros between percent signs: with two hex digits a percent sign is an encoding
)

// CheckDialect says what is wrong with a dialect, or returns nil: all faults joined (errors.Join), each a *carom.FieldError whose
// field is "open", "close", "macros" or "macros.NAME". The dialect's own name is not its concern.
//
// A delimiter has 1 to 8 characters that are neither letters, digits nor spaces, and none that divides a URL or a JSON text. A
// name has at most 64 letters, digits, _, - and ., and begins with a letter or _. What it stands for is the name of one of carom's
// macros, without braces.
func CheckDialect(d *carom.Dialect) error {
	var f faults
	for _, delimiter := range []struct{ field, text string }{{"open", d.Open}, {"close", d.Close}} {
		if fault := delimiterFault(delimiter.text); fault != "" {
			f.add(delimiter.field, "%s", fault)
		}
	}
	if len(d.Macros) > maxDialectMacros {
		f.add("macros", "there are %d: keep at most %d", len(d.Macros), maxDialectMacros)
	}
	for _, name := range slices.Sorted(maps.Keys(d.Macros)) {
		if fault := macroNameFault(name, d.Open); fault != "" {
			f.add("macros."+clip(name), "%s", fault)
			continue
		}
		if _, _, ok := target(d.Macros[name]); !ok {
			f.add("macros."+clip(name), "%s", targetFault(d.Macros[name]))
		}
	}
	return errors.Join(f...)
}

// delimiterFault says what is wrong with what stands before or behind a name, and how to fix it, or returns nothing.
func delimiterFault(text string) string {
	switch {
	case text == "":
		return "it is missing: write what stands there around a macro's name, such as [ and ]"
	case len(text) > maxDelimiterBytes:
		return fmt.Sprintf("it has %d characters: shorten it to %d", len(text), maxDelimiterBytes)
	}
	for _, c := range []byte(text) {
		switch {
		case 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9':
			return fmt.Sprintf("%q stands in it, which could belong to a name: use signs such as [ ], {{ }} or %% %%", c)
		case c <= ' ' || c >= 0x7f:
			return "a space, a control character or one that is not ASCII stands in it: use signs such as [ ], {{ }} or % %"
		case strings.IndexByte(`"'\&=?/:;,+`, c) >= 0:
			return fmt.Sprintf("%q stands in it, which divides a URL or a JSON text: use signs such as [ ], {{ }} or %% %%", c)
		}
	}
	if strings.Trim(text, ".-") == "" || text == "_" {
		return fmt.Sprintf("%q alone is found in every URL: use signs such as [ ], {{ }}, %% %% or __ __", text)
	}
	return ""
}

// macroNameFault says what is wrong with a dialect's name of a macro, or returns nothing.
func macroNameFault(name, open string) string {
	switch {
	case name == "":
		return "a name is missing: write the one that stands between the delimiters"
	case len(name) > maxMacroName:
		return fmt.Sprintf("the name has %d characters: shorten it to %d", len(name), maxMacroName)
	case !beginsName(name[0]) || strings.ContainsFunc(name, func(r rune) bool { return r >= 0x80 || !inName(byte(r)) }):
		return "a name holds letters, digits, _, - and ., and begins with a letter or _: write it without delimiters"
	case strings.EqualFold(name, strings.TrimSuffix(fieldPrefix, ".")) || hasFoldedPrefix(name, fieldPrefix):
		return "field. begins carom's own macros for further fields: rename it"
	case isPercentOnly(open) && len(name) == 2 && isHex(name[0]) && isHex(name[1]):
		return "between percent signs it could be a percent-encoded character: rename it"
	}
	return ""
}

// target finds the macro that a dialect's name stands for.
func target(text string) (m macro, fieldName string, ok bool) {
	if inner, isMacro := macroAt("{" + text + "}"); !isMacro || inner != text {
		return literal, "", false
	}
	return lookup(text)
}

func targetFault(text string) string {
	if text == "" {
		return "it stands for nothing: write the name of one of carom's macros, such as ymid"
	}
	bare := strings.Trim(text, "{}[]%$#<> ")
	if _, _, ok := target(bare); ok {
		return fmt.Sprintf("write the macro without delimiters: %s", bare)
	}
	fault := fmt.Sprintf("unknown macro %s: ", clip(text))
	switch best, fieldName := nearest(bare, false, true); {
	case best == field:
		return fault + "did you mean " + fieldPrefix + clip(fieldName) + "?"
	case best != literal:
		return fault + "did you mean " + macros[best].Name + "?"
	}
	return fault + "carom's are " + strings.Join(ownNames(macros[ymid:numMonetag+1]), ", ") + " and others, and field.NAME for further fields"
}

// ownNames returns the names of a part of macros.
func ownNames(list []described) []string {
	names := make([]string, 0, len(list))
	for _, m := range list {
		names = append(names, m.Name)
	}
	return names
}

func beginsName(c byte) bool { return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '_' }

func inName(c byte) bool { return beginsName(c) || '0' <= c && c <= '9' || c == '-' || c == '.' }

func hasFoldedPrefix(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

func isPercentOnly(delimiter string) bool { return strings.Trim(delimiter, "%") == "" }

// meaning is what a name stands for: a macro, and for a further field its name.
type meaning struct {
	macro
	field string
}

// dialect is a [carom.Dialect] that is ready to read templates.
type dialect struct {
	name       string
	open, shut string
	percent    bool // the delimiters are percent signs, as those of percent-encoded characters
	exact      map[string]meaning
	folded     map[string]meaning // by lower-case names; literal where two differ in case alone
}

func newDialect(d *carom.Dialect) *dialect {
	out := &dialect{
		name: d.Name, open: d.Open, shut: d.Close, percent: isPercentOnly(d.Open),
		exact: make(map[string]meaning, len(d.Macros)), folded: make(map[string]meaning, len(d.Macros)),
	}
	for name, text := range d.Macros {
		m, fieldName, _ := target(text)
		what := meaning{m, fieldName}
		out.exact[name] = what
		lower := strings.ToLower(name)
		if other, taken := out.folded[lower]; taken && other != what {
			what = meaning{}
		}
		out.folded[lower] = what
	}
	return out
}

// lookup finds what a name between the delimiters stands for: as the dialect writes it, as carom does, and both in any case.
func (d *dialect) lookup(name string) (meaning, bool) {
	if what, ok := d.exact[name]; ok {
		return what, true
	}
	if m, fieldName, ok := lookup(name); ok {
		return meaning{m, fieldName}, true
	}
	lower := strings.ToLower(name)
	if what, ok := d.folded[lower]; ok {
		return what, what.macro != literal
	}
	if hasFoldedPrefix(name, fieldPrefix) {
		rest := name[len(fieldPrefix):]
		return meaning{field, rest}, rest != ""
	}
	m, _, ok := lookup(lower)
	return meaning{m, ""}, ok
}

// language is how the templates of one endpoint are read. The zero value is carom's own notation, where events are sent.
type language struct {
	*dialect // nil: carom's own
	sends    carom.Sends
}

// languageOf is how templates in a sound dialect are read, where events are sent; nil is carom's own notation.
func languageOf(d *carom.Dialect) language {
	if d == nil {
		return language{}
	}
	return language{dialect: newDialect(d)}
}

// write is how the endpoint's templates write a macro: by the dialect's name for it, the shortest one, or by carom's.
func (l language) write(m macro, fieldName string) string {
	name := macros[m].Name
	if m == field {
		name = fieldPrefix + clip(fieldName)
	}
	if l.dialect == nil {
		return "{" + name + "}"
	}
	best := ""
	for alias, what := range l.exact {
		if what == (meaning{m, fieldName}) && (best == "" || len(alias) < len(best) || len(alias) == len(best) && alias < best) {
			best = alias
		}
	}
	if best != "" {
		name = best
	}
	return l.open + name + l.shut
}

// show is how a macro is written between the delimiters of the language.
func (l language) show(inner string) string {
	if l.dialect == nil {
		return "{" + clip(inner) + "}"
	}
	return l.open + clip(inner) + l.shut
}

// notation is what kind of text a template is, beside its macros.
type notation uint8

const (
	plainText notation = iota // the value of a header
	encoded                   // a URL or a form: percent-encoded
	jsonText
)

// token is one macro in a template.
type token struct {
	begin, end int // in the template
	inner      string
	meaning
	fault string // what is wrong with it; empty: nothing
}

// tokens finds all macros of a template, in order. Whatever does not have the form of a macro is literal.
func (l language) tokens(text string, n notation) []token {
	var list []token
	for i := 0; i < len(text); {
		var t token
		var size int
		if l.dialect == nil {
			t, size = l.ownToken(text[i:])
		} else {
			t, size = l.tokenAt(text[i:], n)
		}
		if size == 0 {
			i++
			continue
		}
		t.begin, t.end = i, i+size
		if t.fault == "" && t.ofReward() && l.sends == carom.SendsEvents {
			t.fault = text[t.begin:t.end] + " is of rewards, and this endpoint gets events: add the line `sends: rewards`, or remove it"
		}
		list = append(list, t)
		i = t.end
	}
	return list
}

// ownToken reads a macro in carom's notation at the beginning of s, and says how long it is; 0: there is none.
func (l language) ownToken(s string) (token, int) {
	if s[0] != '{' {
		return token{}, 0
	}
	inner, ok := macroAt(s)
	if !ok {
		return token{}, 0
	}
	t := token{inner: inner}
	var known bool
	if t.macro, t.field, known = lookup(inner); !known {
		t.macro, t.fault = unknown, l.unknownMacro(inner)
	}
	return t, len(inner) + 2
}

// tokenAt is ownToken of a dialect.
func (l language) tokenAt(s string, n notation) (token, int) {
	escapes := n == encoded && !l.percent
	opened := matchDelimiter(s, l.open, escapes)
	if opened == 0 {
		return token{}, 0
	}
	first, firstEnd := "", 0 // the shortest name that is closed
	end := opened            // of the characters that a name may have
	for end < len(s) && end-opened <= maxInnerBytes {
		if end > opened {
			if closed := matchDelimiter(s[end:], l.shut, escapes); closed > 0 {
				inner := s[opened:end]
				if what, ok := l.lookup(inner); ok {
					return token{inner: inner, meaning: what}, end + closed
				}
				if first == "" {
					first, firstEnd = inner, end+closed
				}
			}
		}
		if !inName(s[end]) {
			break
		}
		end++
	}
	switch {
	case first != "":
		if !l.isMistake(s, first, firstEnd, n) {
			return token{}, 0
		}
		return token{inner: first, meaning: meaning{macro: unknown}, fault: l.unknownMacro(first)}, firstEnd
	case end == opened:
		return l.spacedToken(s, opened, n)
	}
	if _, ok := l.lookup(s[opened:end]); ok && end-opened >= minPercentName && !beginsWithName(l.shut) {
		fault := fmt.Sprintf("%s is not closed: write %s", s[:end], l.show(s[opened:end]))
		return token{inner: s[opened:end], meaning: meaning{macro: unknown}, fault: fault}, end
	}
	return token{}, 0
}

// isMistake says whether a name between delimiters that no macro has is meant to be one. s begins with the opening delimiter;
// end is behind the closing one.
func (l language) isMistake(s, inner string, end int, n notation) bool {
	switch {
	case !beginsName(inner[0]):
		return false
	case n == jsonText && (inner == "true" || inner == "false" || inner == "null"):
		return false
	case !l.percent || l.open != "%" || l.shut != "%":
		return true
	case len(inner) < minPercentName:
		return false
	}
	// %ad…%20 is two percent-encoded characters with text between them.
	return !isEncoded(s) || !isEncoded(s[end-1:])
}

// isEncoded says whether s begins with a percent-encoded character.
func isEncoded(s string) bool { return len(s) > 2 && s[0] == '%' && isHex(s[1]) && isHex(s[2]) }

// spacedToken finds a macro whose name has spaces around it, as other template languages allow it: {{ payout }}.
func (l language) spacedToken(s string, opened int, n notation) (token, int) {
	begin := skipSpaces(s, opened, n)
	end := begin
	for end < len(s) && inName(s[end]) && end-begin <= maxInnerBytes {
		end++
	}
	inner := s[begin:end]
	if begin == opened || inner == "" {
		return token{}, 0
	}
	shut := skipSpaces(s, end, n)
	closed := matchDelimiter(s[shut:], l.shut, n == encoded && !l.percent)
	if _, ok := l.lookup(inner); !ok || closed == 0 {
		return token{}, 0
	}
	return token{inner: inner, meaning: meaning{macro: unknown}, fault: fmt.Sprintf("spaces stand around the name in %s: write %s",
		clip(s[:shut+closed]), l.show(inner))}, shut + closed
}

func skipSpaces(s string, at int, n notation) int {
	for at < len(s) {
		switch {
		case s[at] == ' ':
			at++
		case n == encoded && strings.HasPrefix(s[at:], "%20"):
			at += 3
		default:
			return at
		}
	}
	return at
}

func beginsWithName(delimiter string) bool { return inName(delimiter[0]) }

// matchDelimiter says how many bytes at the beginning of s are the delimiter; 0: it is not there. With escapes, characters that
// browsers percent-encode may be so.
func matchDelimiter(s, delimiter string, escapes bool) int {
	n := 0
	for _, c := range []byte(delimiter) {
		switch {
		case escapes && !unreserved(c) && isEncoded(s[n:]) && unhex(s[n+1])<<4|unhex(s[n+2]) == c:
			n += 3
		case n < len(s) && s[n] == c:
			n++
		default:
			return 0
		}
	}
	return n
}

func unhex(c byte) byte {
	switch {
	case c <= '9':
		return c - '0'
	case c >= 'a':
		return c - 'a' + 10
	}
	return c - 'A' + 10
}

// unknownMacro says that there is no such macro, and names the nearest one.
func (l language) unknownMacro(inner string) string {
	return fmt.Sprintf("unknown macro %s: %s", l.show(inner), l.suggest(inner))
}

// suggest ends the fault of an unknown macro: it names the nearest one that the endpoint can have, or where to look.
func (l language) suggest(text string) string {
	ofRewards := l.sends != carom.SendsEvents
	if l.dialect != nil {
		if alias := l.nearestAlias(text); alias != "" {
			return "did you mean " + l.show(alias) + "?"
		}
	}
	if best, fieldName := nearest(text, ofRewards, ofRewards); best != literal {
		return "did you mean " + l.write(best, fieldName) + "?"
	}
	if l.dialect != nil && len(l.exact) > 0 {
		const most = 12
		names := slices.Sorted(maps.Keys(l.exact))
		rest := ""
		if len(names) > most {
			names, rest = names[:most], " and others"
		}
		for i, name := range names {
			names[i] = l.show(name)
		}
		return "the dialect's are " + strings.Join(names, ", ") + rest + "; further fields of an event are " + l.show(fieldPrefix+"NAME")
	}
	whose, list := "Monetag's", macros[ymid:numMonetag+1]
	if ofRewards {
		whose, list = "a reward's", macros[rewardID:rewardUser+1]
	}
	names := ownNames(list)
	for i, name := range names {
		names[i] = l.show(name)
	}
	return whose + " are " + strings.Join(names, ", ") + "; further fields of an event are " + l.show(fieldPrefix+"NAME")
}

// nearestAlias returns the name of the dialect that is nearest to text, and nearer than half of it.
func (l language) nearestAlias(text string) string {
	word := normal(text)
	best, bestDistance := "", 1+len(word)/2
	if _, distance := nearestWithin(word, l.sends != carom.SendsEvents, l.sends != carom.SendsEvents); distance < bestDistance {
		bestDistance = distance + 1 // on a tie the dialect's own name is the better one
	}
	for _, alias := range slices.Sorted(maps.Keys(l.exact)) {
		if l.exact[alias].ofReward() && l.sends == carom.SendsEvents {
			continue
		}
		if d := levenshtein.ComputeDistance(word, normal(alias)); d < bestDistance {
			best, bestDistance = alias, d
		}
	}
	return best
}
