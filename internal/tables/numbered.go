package tables

import (
	"strconv"
	"strings"
	"sync"
)

// numbered keeps what Numbered made. Queries hold no values, so there are few different ones.
var numbered sync.Map

// Numbered writes the parameters of a query as PostgreSQL names them: ?3 becomes $3, and ? the one behind the highest before it, as
// SQLite counts. Question marks in quoted text, quoted names and comments stay.
//
// It remembers what it made, so a query must hold no values. It is safe for concurrent use.
func Numbered(query string) string {
	if made, ok := numbered.Load(query); ok {
		return made.(string)
	}
	made := number(query)
	numbered.Store(query, made)
	return made
}

func number(query string) string {
	var b strings.Builder
	highest := 0
	for i := 0; i < len(query); i++ {
		switch c := query[i]; {
		case c == '\'' || c == '"': // a doubled quote ends one text and begins the next
			i += copyUntil(&b, query[i:], 1, string(c))
		case strings.HasPrefix(query[i:], "--"):
			i += copyUntil(&b, query[i:], 2, "\n")
		case strings.HasPrefix(query[i:], "/*"):
			i += copyUntil(&b, query[i:], 2, "*/")
		case c == '?':
			digits := 0
			for i+1+digits < len(query) && query[i+1+digits] >= '0' && query[i+1+digits] <= '9' {
				digits++
			}
			n := highest + 1
			if digits > 0 {
				n, _ = strconv.Atoi(query[i+1 : i+1+digits]) // digits; the database refuses what is too large
			}
			highest = max(highest, n)
			b.WriteByte('$')
			b.WriteString(strconv.Itoa(n))
			i += digits
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// copyUntil copies from the start of text to the first end behind skip bytes, the end included, or all of it. It returns how many bytes
// these were, less one.
func copyUntil(b *strings.Builder, text string, skip int, end string) int {
	n := len(text)
	if at := strings.Index(text[skip:], end); at >= 0 {
		n = skip + at + len(end)
	}
	b.WriteString(text[:n])
	return n - 1
}
