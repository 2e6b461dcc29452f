package route

import "unicode/utf8"

// encoding is how a value is written at the place where its macro stands. Each value is encoded exactly once.
type encoding uint8

const (
	inQuery      encoding = iota // a query, or a form body: percent-encoded, a space as %20
	inPath                       // as in a query; and a value of "." or ".." does not become a dot-segment
	inHeader                     // as it is, but for control characters
	inJSONString                 // between the quotes of a JSON string
	inJSON                       // where JSON wants a whole value: a number, a string with its quotes, or null
)

const (
	upperHex = "0123456789ABCDEF"
	lowerHex = "0123456789abcdef"
)

// appendValue writes s behind b.
func (e encoding) appendValue(b []byte, s string) []byte {
	switch e {
	case inPath:
		switch s {
		case ".":
			return append(b, "%2E"...)
		case "..":
			return append(b, "%2E%2E"...)
		}
		return appendPercent(b, s)
	case inHeader:
		return appendHeader(b, s)
	case inJSONString:
		return appendJSONText(b, s)
	case inJSON:
		switch {
		case s == "":
			return append(b, "null"...)
		case isJSONNumber(s):
			return append(b, s...)
		}
		return appendJSONString(b, s)
	}
	return appendPercent(b, s)
}

// unreserved says whether RFC 3986, section 2.3, lets c stand for itself everywhere in a URL.
func unreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '.' || c == '_' || c == '~'
}

func appendPercent(b []byte, s string) []byte {
	done := 0
	for i := range len(s) {
		if c := s[i]; !unreserved(c) {
			b = append(b, s[done:i]...)
			b = append(b, '%', upperHex[c>>4], upperHex[c&15])
			done = i + 1
		}
	}
	return append(b, s[done:]...)
}

// appendHeader percent-encodes what would end or break a header line.
func appendHeader(b []byte, s string) []byte {
	done := 0
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == 0x7f {
			b = append(b, s[done:i]...)
			b = append(b, '%', upperHex[c>>4], upperHex[c&15])
			done = i + 1
		}
	}
	return append(b, s[done:]...)
}

func appendJSONString(b []byte, s string) []byte {
	b = append(b, '"')
	b = appendJSONText(b, s)
	return append(b, '"')
}

// appendJSONText writes what stands between the quotes of a JSON string. Bytes that are not UTF-8 become U+FFFD.
func appendJSONText(b []byte, s string) []byte {
	done := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && size == 1 {
				b = append(b, s[done:i]...)
				b = utf8.AppendRune(b, utf8.RuneError)
				done = i + 1
			}
			i += size
			continue
		}
		if c < ' ' || c == '"' || c == '\\' {
			b = append(b, s[done:i]...)
			switch c {
			case '"', '\\':
				b = append(b, '\\', c)
			case '\n':
				b = append(b, '\\', 'n')
			case '\r':
				b = append(b, '\\', 'r')
			case '\t':
				b = append(b, '\\', 't')
			default:
				b = append(b, '\\', 'u', '0', '0', lowerHex[c>>4], lowerHex[c&15])
			}
			done = i + 1
		}
		i++
	}
	return append(b, s[done:]...)
}

// isJSONNumber says whether s is a number as RFC 8259, section 6, writes it, without an exponent.
func isJSONNumber(s string) bool {
	if s != "" && s[0] == '-' {
		s = s[1:]
	}
	whole := digits(s)
	if whole == 0 || whole > 1 && s[0] == '0' {
		return false
	}
	s = s[whole:]
	if s == "" {
		return true
	}
	return s[0] == '.' && len(s) > 1 && digits(s[1:]) == len(s)-1
}

// digits counts the decimal digits that s begins with.
func digits(s string) int {
	n := 0
	for n < len(s) && '0' <= s[n] && s[n] <= '9' {
		n++
	}
	return n
}
