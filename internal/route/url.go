package route

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"carom"
)

// compileURL checks the URL template of e and compiles it.
func compileURL(e *carom.Endpoint, l language, f *faults) template {
	before := len(*f)
	if e.URL == "" {
		f.add("url", "it is missing: write where to send, such as https://example.com/postback?ymid=%s", l.write(ymid, ""))
		return nil
	}
	t := l.parse("url", e.URL, encoded, f)
	if t == nil {
		return nil
	}
	origin := checkOrigin(e, t, f)
	path, query, hasQuery := t.afterOrigin(origin).cut('?')
	path.encode(inPath)
	query.encode(inQuery)
	for _, p := range append(path[:len(path):len(path)], query...) {
		if p.macro != literal {
			continue
		}
		if fault := l.literalFault(p.text, true); fault != "" {
			f.add("url", "%s", fault)
			break
		}
	}
	checkSignatureMacro(e, l, path, query, f)
	if len(*f) > before {
		return nil
	}
	out := maskPath(template{}.emit(e.URL[:origin], false), path)
	if hasQuery {
		out = maskParams(out.emit("?", false), query)
	}
	checkParses(out, l, f)
	return out
}

// checkOrigin checks scheme, host and port, and returns how long they are: where the path or query begins.
func checkOrigin(e *carom.Endpoint, t template, f *faults) int {
	first := ""
	if t[0].macro == literal {
		first = t[0].text
	}
	scheme, rest, ok := strings.Cut(first, "://")
	if strings.Trim(strings.ToLower(scheme), "abcdefghijklmnopqrstuvwxyz0123456789+-.") != "" {
		ok = false // the :// belongs to something further on
	}
	switch {
	case !ok && !strings.Contains(first, "/") && strings.Contains(e.URL, "://"):
		f.add("url", "a macro stands in its scheme: write https:// or http:// there")
		return 0
	case !ok:
		f.add("url", "it has no scheme: write it whole, beginning with https:// or http://")
		return 0
	}
	if lower := strings.ToLower(scheme); lower != "https" && lower != "http" {
		f.add("url", "the scheme %q cannot be sent to: use https:// or http://", clip(scheme))
	}
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
		if len(t) > 1 {
			f.add("url", "a macro stands in its host or port, so that an event could choose where it goes: "+
				"write host and port out, and make one endpoint for each")
			return len(first)
		}
	}
	if fault := checkAuthority(rest[:end], e.AllowPrivate); fault != "" {
		f.add("url", "%s", fault)
	}
	return len(scheme) + len("://") + end
}

// afterOrigin returns a copy of t without its first n bytes, which are literal.
func (t template) afterOrigin(n int) template {
	out := make(template, 0, len(t))
	for i, p := range t {
		if i == 0 && p.macro == literal {
			p.text = p.text[n:]
		}
		if p.macro != literal || p.text != "" {
			out = append(out, p)
		}
	}
	return out
}

// cut splits t around the first sep in its literals.
func (t template) cut(sep byte) (before, after template, found bool) {
	for i, p := range t {
		at := strings.IndexByte(p.text, sep)
		if p.macro != literal || at < 0 {
			continue
		}
		before = append(before, t[:i]...).emit(p.text[:at], false)
		return before, append(after.emit(p.text[at+1:], false), t[i+1:]...), true
	}
	return t, nil, false
}

// encode sets how the values of t's macros are written.
func (t template) encode(e encoding) {
	for i := range t {
		t[i].encoding = e
	}
}

// literalFault says what is wrong with literal text of a URL or a form, and the fix. Such text is sent as it stands, so it has
// to be encoded already; what clients would re-encode in different ways is refused.
func (l language) literalFault(text string, isURL bool) string {
	for i := range len(text) {
		c := text[i]
		switch {
		case c == '%':
			if fault := l.percentFault(text[i:]); fault != "" {
				return fault
			}
		case c == ' ':
			return "a space stands in it: write %20"
		case c < ' ' || c == 0x7f:
			return "a line break or another control character stands in it: remove it"
		case c >= 0x80:
			return "a character that is not ASCII stands in it: percent-encode it, as é becomes %C3%A9"
		case c == '{':
			return l.braceFault(text[i:])
		case c == '}':
			return fmt.Sprintf("a } ends no macro: write macros like %s, a literal } as %%7D", l.write(eventType, ""))
		case c == '#' && isURL:
			return "it has a fragment, which is never sent: remove # and what follows, or write a literal # as %23"
		case strings.IndexByte("\"<>\\^`|", c) >= 0:
			return fmt.Sprintf("a %c stands in it: write %%%02X", c, c)
		}
	}
	return ""
}

// percentFault says what is wrong with literal text that begins with a percent sign.
func (l language) percentFault(text string) string {
	if !isEncoded(text) {
		fault := "a % is not followed by two hex digits: write a literal % as %25"
		if l.dialect != nil {
			fault += ", and macros like " + l.write(eventType, "")
		}
		return fault
	}
	if inner, ok := between(strings.NewReplacer("%7b", "%7B", "%7d", "%7D").Replace(text), "%7B", "%7D"); ok {
		if fix := l.encodedMacro(inner); fix != "" {
			return fmt.Sprintf("%%7B%s%%7D would be sent as text: write the macro as %s", clip(inner), fix)
		}
	}
	if l.dialect == nil || !l.percent {
		return ""
	}
	const sign = "%25"
	if inner, ok := between(text, strings.Repeat(sign, len(l.open)), strings.Repeat(sign, len(l.shut))); ok {
		if _, known := l.lookup(inner); known {
			return fmt.Sprintf("%s would be sent as text: write the macro as %s", strings.ReplaceAll(l.show(inner), "%", sign), l.show(inner))
		}
	}
	return ""
}

// encodedMacro says how to write what stands between percent-encoded braces, if it is a macro.
func (l language) encodedMacro(inner string) string {
	if l.dialect == nil {
		if _, ok := macroAt("{" + inner + "}"); ok {
			return l.show(inner)
		}
		return ""
	}
	if what, ok := l.lookup(inner); ok {
		return l.write(what.macro, what.field)
	}
	return ""
}

// between returns what stands between two delimiters, the first of which text has to begin with.
func between(text, open, shut string) (inner string, ok bool) {
	rest, ok := strings.CutPrefix(text, open)
	if !ok {
		return "", false
	}
	inner, _, ok = strings.Cut(rest, shut)
	return inner, ok && inner != ""
}

// braceFault says what is wrong with literal text that begins with an opening brace.
func (l language) braceFault(text string) string {
	end := strings.IndexByte(text, '}')
	switch {
	case l.dialect == nil && end > 1:
		return l.unknownMacro(text[1:end])
	case l.dialect == nil:
		return "a { begins no macro: write macros like {event_type}, a literal { as %7B"
	case end > 1:
		inner := strings.TrimSpace(strings.TrimLeft(text[:end], "{"))
		if what, ok := l.lookup(inner); ok {
			return fmt.Sprintf("{%s} is not how the endpoint's dialect writes macros: write %s", clip(inner), l.write(what.macro, what.field))
		}
	}
	return fmt.Sprintf("a { begins no macro: the endpoint's dialect writes macros like %s; write a literal { as %%7B", l.write(eventType, ""))
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

// checkSignatureMacro checks where {signature} stands, and that nothing of the event stands where it does not cover.
func checkSignatureMacro(e *carom.Endpoint, l language, path, query template, f *faults) {
	macro := l.write(signature, "")
	signing := len(e.SigningSecrets) > 0
	signatures := path.count(signature) + query.count(signature)
	switch {
	case e.Method != "GET" && signatures > 0:
		f.add("url", "%s is for GET: remove it, a POST with a signing secret is signed in its headers", macro)
		return
	case signatures > 0 && !signing:
		f.add("url", "%s needs a signing secret: give the endpoint one, or remove the macro", macro)
		return
	case e.Method == "GET" && signing && signatures == 0:
		f.add("url", "the endpoint has a signing secret and its URL no %[1]s: end the URL with &sig=%[1]s, or remove the secret", macro)
		return
	case !signing:
		return
	}
	unsigned := path
	if e.Method == "GET" {
		checkSignatureParam(l, query, signatures, f)
	} else {
		unsigned = append(path[:len(path):len(path)], query...)
	}
	for _, p := range unsigned {
		if p.macro != literal && macros[p.macro].ofEvent {
			where := "the query"
			if e.Method != "GET" {
				where = "the body"
			}
			f.add("url", "%s stands where the signature does not cover it: move it to %s", l.text(p), where)
		}
	}
}

// checkSignatureParam checks that the signature is the whole value of the last parameter, under a name used once, so that
// receivers can cut it off without parsing.
func checkSignatureParam(l language, query template, signatures int, f *faults) {
	macro := l.write(signature, "")
	fix := "end the URL with &sig=" + macro
	n := len(query)
	if signatures != 1 || n < 2 || query[n-1].macro != signature || query[n-2].macro != literal {
		f.add("url", "%s has to be the whole value of the last parameter, and stand once: %s", macro, fix)
		return
	}
	text := query[n-2].text
	name, ok := strings.CutSuffix(text[strings.LastIndexByte(text, '&')+1:], "=")
	plain := ok && name != "" && strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") == ""
	if !plain || n > 2 && !strings.Contains(text, "&") {
		f.add("url", "%s has to be the whole value of a parameter whose name holds letters, digits, _ and -: %s", macro, fix)
		return
	}
	// A literal that follows a macro begins inside a parameter, and a macro in a name could spell the signature's name.
	atName := true
	names := 0
	for _, p := range query {
		if p.macro != literal {
			if atName {
				f.add("url", "%s stands in the name of a parameter: in a signed URL write names out", l.text(p))
				return
			}
			continue
		}
		for i, param := range strings.Split(p.text, "&") {
			got, _, hasValue := strings.Cut(param, "=")
			if decoded, err := url.QueryUnescape(got); err == nil && (i > 0 || atName) && decoded == name {
				names++
			}
			atName = (i > 0 || atName) && !hasValue
		}
	}
	if names > 1 {
		f.add("url", "the parameter %s stands twice: give the signature a name of its own", name)
	}
}

func (t template) count(m macro) int {
	n := 0
	for _, p := range t {
		if p.macro == m {
			n++
		}
	}
	return n
}

// text is how the endpoint's templates write the macro p.
func (l language) text(p part) string { return l.write(p.macro, p.text) }

// checkParses makes sure that net/http reads the URL as it is meant. It is the last check: the ones before name the fix.
func checkParses(t template, l language, f *faults) {
	_, err := url.Parse(string(t.appendSample(nil, func(p part) string { return macros[p.macro].Sample })))
	if err == nil {
		return
	}
	// Only the inner error is shown: the outer one prints the whole URL, secrets included.
	var outer *url.Error
	if errors.As(err, &outer) {
		err = outer.Err
	}
	f.add("url", "it is not a URL (%v): write it like https://example.com/postback?ymid=%s", err, l.write(ymid, ""))
}
