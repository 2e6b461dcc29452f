package ingest

import (
	"net/url"
	"strings"
)

const (
	// maskedSecret stands where a secret was.
	maskedSecret = "***"

	// minSecretChars is how short a path secret can be: 128 bits in letters, digits, - and _.
	minSecretChars = 22
)

// doorPath is the path of a received postback, /in/{app}/{source}/{secret}, taken apart and decoded. Parts that are not
// there are empty. rest is what follows the secret, with its slash; a path with a rest is no postback's.
type doorPath struct {
	app, source, secret, rest string
}

// cutPath takes an escaped path apart. It is not cleaned: whoever is not exactly right is a stranger.
func cutPath(escaped string) doorPath {
	_, after, _ := strings.Cut(strings.TrimPrefix(escaped, "/"), "/") // behind "in"
	var p doorPath
	for _, part := range []*string{&p.app, &p.source, &p.secret} {
		text, behind, more := strings.Cut(after, "/")
		*part = unescapePart(text)
		if !more {
			return p
		}
		after = behind
	}
	p.rest = "/" + after
	return p
}

func unescapePart(s string) string {
	if !strings.Contains(s, "%") {
		return s
	}
	if decoded, err := url.PathUnescape(s); err == nil {
		return decoded
	}
	return s
}

// shown is the path for the journal. known is how many of its parts name objects; others are shown only when they are too
// short for a secret that was pasted one place too early.
func (p doorPath) shown(known int) string {
	var b strings.Builder
	b.WriteString("/in/" + showPart(p.app, known < 1))
	if p.source == "" && p.secret == "" && p.rest == "" {
		return b.String()
	}
	b.WriteString("/" + showPart(p.source, known < 2))
	if p.secret != "" || p.rest != "" {
		b.WriteString("/" + maskedSecret)
	}
	return b.String()
}

func showPart(s string, unknown bool) string {
	if unknown && len(s) >= minSecretChars {
		return maskedSecret
	}
	return strings.ToValidUTF8(s, "�")
}

// maskText hides the secret where else than in the path it was sent. What is shorter than a secret is none, and replacing
// it would only spoil the text.
func maskText(text, secret string) string {
	if len(secret) < minSecretChars || !strings.Contains(text, secret) {
		return text
	}
	return strings.ReplaceAll(text, secret, maskedSecret)
}
