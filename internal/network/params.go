package network

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"carom"
)

// Limits of a postback's parameters. Networks send about ten short ones; the limits bound what an event may cost to keep.
const (
	maxParams       = 128
	maxHeaders      = 16 // that a profile may read
	maxMappedBytes  = 256
	maxNameBytes    = 128
	maxFurtherBytes = 4096
	maxMacroBytes   = 64
)

// param is one parameter as sent, decoded.
type param struct {
	name   string
	value  string
	nested bool // value is the compact text of a JSON object or list
}

// refusal is why a received postback can never be used.
type refusal struct {
	reason carom.Reason
	detail string
}

func refuse(reason carom.Reason, format string, args ...any) *refusal {
	return &refusal{reason: reason, detail: fmt.Sprintf(format, args...)}
}

// appendParam adds p within the limit on how many there may be.
func appendParam(params []param, p param) ([]param, *refusal) {
	if len(params) == maxParams {
		return nil, refuse(carom.ReasonTooManyFields, "more than %d parameters were sent: send fewer", maxParams)
	}
	return append(params, p), nil
}

// appendQuery decodes a raw query or form body, parameters split by & alone, and adds them in order. A plus sign is a space,
// or itself when plus says so.
//
// What needs no decoding is not copied: the parameters are parts of raw.
func appendQuery(params []param, raw string, plus byte) ([]param, *refusal) {
	for raw != "" {
		var pair string
		pair, raw, _ = strings.Cut(raw, "&")
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		name, ok := unescape(name, plus)
		if !ok {
			return nil, refuse(carom.ReasonBadEncoding, "the name of parameter %d is not percent-encoded UTF-8 without NUL: encode it so", len(params)+1)
		}
		if value, ok = unescape(value, plus); !ok {
			return nil, badEncoding(name)
		}
		var no *refusal
		if params, no = appendParam(params, param{name: name, value: value}); no != nil {
			return nil, no
		}
	}
	return params, nil
}

func badEncoding(name string) *refusal {
	return refuse(carom.ReasonBadEncoding, "the parameter %q is not correctly encoded UTF-8 without NUL: encode its value so", clip(name))
}

// unescape decodes percent-encoding, and + as plus. ok is false for a broken escape, NUL, or invalid UTF-8.
//
// That NUL and broken UTF-8 never pass also keeps a signed text from being extended: the padding of MD5, SHA-1 and SHA-256,
// which such an extension has to hold, is the byte 0x80 and at least one NUL.
func unescape(s string, plus byte) (decoded string, ok bool) {
	escaped, ascii := false, true
	for i := range len(s) {
		switch c := s[i]; {
		case c == '%' || c == '+' && plus != '+':
			escaped = true
		case c >= utf8.RuneSelf:
			ascii = false
		case c == 0:
			return "", false
		}
	}
	if escaped {
		if s, ok = unescapeBytes(s, plus); !ok {
			return "", false
		}
		ascii = false
	}
	return s, ascii || utf8.ValidString(s)
}

func unescapeBytes(s string, plus byte) (string, bool) {
	var b strings.Builder
	b.Grow(len(s))
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch c {
		case '+':
			c = plus
		case '%':
			if i+2 >= len(s) {
				return "", false
			}
			high, ok1 := hexDigit(s[i+1])
			low, ok2 := hexDigit(s[i+2])
			c = high<<4 | low
			if !ok1 || !ok2 || c == 0 {
				return "", false
			}
			i += 2
		}
		b.WriteByte(c)
	}
	return b.String(), true
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

// literalMacro reports whether v is a macro that nobody replaced: {word}, {{word}}, [word], [%word%] or %%word%%, also when
// it is still percent-encoded once.
func literalMacro(v string) bool {
	if v == "" || v[0] > ' ' && v[0] < utf8.RuneSelf && v[0] != '{' && v[0] != '[' && v[0] != '%' {
		return false // nearly every value
	}
	v = strings.TrimSpace(v)
	if v == "" || v[0] != '{' && v[0] != '[' && v[0] != '%' {
		return false
	}
	if macroForm(v) {
		return true
	}
	// Three bytes for each byte of the longest macro, and as many for its delimiters.
	if len(v) > 3*(maxMacroBytes+4) || !strings.Contains(v, "%") {
		return false
	}
	decoded, ok := unescape(v, ' ')
	return ok && macroForm(decoded)
}

func macroForm(v string) bool {
	for _, d := range [...]struct{ open, shut string }{{"{{", "}}"}, {"{", "}"}, {"[", "]"}, {"%%", "%%"}} {
		inner, opened := strings.CutPrefix(v, d.open)
		inner, closed := strings.CutSuffix(inner, d.shut)
		if opened && closed && macroName(inner) {
			return true
		}
	}
	// One network's macros have two words: [%USER:UID%].
	inner, opened := strings.CutPrefix(v, "[%")
	inner, closed := strings.CutSuffix(inner, "%]")
	first, second, _ := strings.Cut(inner, ":")
	return opened && closed && macroName(first) && (second == "" || macroName(second))
}

func macroName(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '.' || c == '-') {
			return false
		}
	}
	return s != "" && len(s) <= maxMacroBytes
}

// clip shortens text from outside for a refusal, between characters.
func clip(s string) string {
	const most = 40
	if len(s) <= most {
		return s
	}
	cut := most
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}
