package route

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"carom"
)

// compileURL checks the URL template of e and compiles it.
func compileURL(e *carom.Endpoint, f *faults) template {
	before := len(*f)
	if e.URL == "" {
		f.add("url", "it is missing: write where to send, such as https://example.com/postback?ymid={ymid}")
		return nil
	}
	t := parse("url", e.URL, e.Sends, f)
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
		if fault := literalFault(p.text, true, e.Sends); fault != "" {
			f.add("url", "%s", fault)
			break
		}
	}
	checkSignatureMacro(e, path, query, f)
	if len(*f) > before {
		return nil
	}
	out := maskPath(template{}.emit(e.URL[:origin], false), path)
	if hasQuery {
		out = maskParams(out.emit("?", false), query)
	}
	checkParses(out, f)
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
func literalFault(text string, isURL bool, sends carom.Sends) string {
	for i := range len(text) {
		c := text[i]
		switch {
		case c == '%':
			if i+2 >= len(text) || !isHex(text[i+1]) || !isHex(text[i+2]) {
				return "a % is not followed by two hex digits: write a literal % as %25"
			}
			if end := strings.Index(strings.ToLower(text[i:]), "%7d"); end > 0 && strings.EqualFold(text[i:i+3], "%7b") {
				if _, ok := macroAt("{" + text[i+3:i+end] + "}"); ok {
					return fmt.Sprintf("%%7B%[1]s%%7D would be sent as text: write the macro as {%[1]s}", clip(text[i+3:i+end]))
				}
			}
		case c == ' ':
			return "a space stands in it: write %20"
		case c < ' ' || c == 0x7f:
			return "a line break or another control character stands in it: remove it"
		case c >= 0x80:
			return "a character that is not ASCII stands in it: percent-encode it, as é becomes %C3%A9"
		case c == '{':
			if end := strings.IndexByte(text[i:], '}'); end > 1 {
				return unknownMacro(text[i+1:i+end], sends)
			}
			return "a { begins no macro: write macros like {event_type}, a literal { as %7B"
		case c == '}':
			return "a } ends no macro: write macros like {event_type}, a literal } as %7D"
		case c == '#' && isURL:
			return "it has a fragment, which is never sent: remove # and what follows, or write a literal # as %23"
		case strings.IndexByte("\"<>\\^`|", c) >= 0:
			return fmt.Sprintf("a %c stands in it: write %%%02X", c, c)
		}
	}
	return ""
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

// checkSignatureMacro checks where {signature} stands, and that nothing of the event stands where it does not cover.
func checkSignatureMacro(e *carom.Endpoint, path, query template, f *faults) {
	signing := len(e.SigningSecrets) > 0
	signatures := path.count(signature) + query.count(signature)
	switch {
	case e.Method != "GET" && signatures > 0:
		f.add("url", "{signature} is for GET: remove it, a POST with a signing secret is signed in its headers")
		return
	case signatures > 0 && !signing:
		f.add("url", "{signature} needs a signing secret: give the endpoint one, or remove the macro")
		return
	case e.Method == "GET" && signing && signatures == 0:
		f.add("url", "the endpoint has a signing secret and its URL no {signature}: end the URL with &sig={signature}, or remove the secret")
		return
	case !signing:
		return
	}
	unsigned := path
	if e.Method == "GET" {
		checkSignatureParam(query, signatures, f)
	} else {
		unsigned = append(path[:len(path):len(path)], query...)
	}
	for _, p := range unsigned {
		if p.macro != literal && macros[p.macro].ofEvent {
			where := "the query"
			if e.Method != "GET" {
				where = "the body"
			}
			f.add("url", "{%s} stands where the signature does not cover it: move it to %s", macroText(p), where)
		}
	}
}

// checkSignatureParam checks that the signature is the whole value of the last parameter, under a name used once, so that
// receivers can cut it off without parsing.
func checkSignatureParam(query template, signatures int, f *faults) {
	const fix = "end the URL with &sig={signature}"
	n := len(query)
	if signatures != 1 || n < 2 || query[n-1].macro != signature || query[n-2].macro != literal {
		f.add("url", "{signature} has to be the whole value of the last parameter, and stand once: %s", fix)
		return
	}
	text := query[n-2].text
	name, ok := strings.CutSuffix(text[strings.LastIndexByte(text, '&')+1:], "=")
	plain := ok && name != "" && strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") == ""
	if !plain || n > 2 && !strings.Contains(text, "&") {
		f.add("url", "{signature} has to be the whole value of a parameter whose name holds letters, digits, _ and -: %s", fix)
		return
	}
	// A literal that follows a macro begins inside a parameter, and a macro in a name could spell the signature's name.
	atName := true
	names := 0
	for _, p := range query {
		if p.macro != literal {
			if atName {
				f.add("url", "{%s} stands in the name of a parameter: in a signed URL write names out", macroText(p))
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

// macroText is what stands between the braces of a macro.
func macroText(p part) string {
	if p.macro == field {
		return fieldPrefix + clip(p.text)
	}
	return macros[p.macro].Name
}

// checkParses makes sure that net/http reads the URL as it is meant. It is the last check: the ones before name the fix.
func checkParses(t template, f *faults) {
	_, err := url.Parse(string(t.appendSample(nil, func(p part) string { return macros[p.macro].Sample })))
	if err == nil {
		return
	}
	// Only the inner error is shown: the outer one prints the whole URL, secrets included.
	var outer *url.Error
	if errors.As(err, &outer) {
		err = outer.Err
	}
	f.add("url", "it is not a URL (%v): write it like https://example.com/postback?ymid={ymid}", err)
}
