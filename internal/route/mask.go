package route

import "strings"

// shownMask stands where a secret was.
const shownMask = "***"

// minSecretLen is the length from which a word of letters and digits is taken for a secret: 22 characters of base64 are 128 bits.
const minSecretLen = 22

// secretWords are names, or parts of names between separators, of values that must not be shown.
var secretWords = [...]string{"key", "sig", "sign", "pass", "pwd", "auth", "hash", "hmac", "jwt", "cookie", "session", "bearer"}

// secretParts make a name secret wherever they occur in it.
var secretParts = [...]string{"secret", "token", "passw", "signature", "credential", "apikey", "authoriz"}

// secretName says whether a parameter of this name probably holds a secret.
func secretName(name string) bool {
	name = strings.ToLower(name)
	for _, part := range secretParts {
		if strings.Contains(name, part) {
			return true
		}
	}
	for word := range strings.FieldsFuncSeq(name, func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') }) {
		for _, secret := range secretWords {
			if word == secret || len(word) > 6 && strings.HasSuffix(word, "key") {
				return true
			}
		}
	}
	return false
}

// looksSecret says whether text is probably a secret whatever its name: long, of the base64 or hex alphabet, with digits.
func looksSecret(text string) bool {
	return len(text) >= minSecretLen &&
		strings.ContainsAny(text, "0123456789") &&
		strings.Trim(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=+") == ""
}

// emit adds literal text to t, joined to the literal before it where both are shown alike.
func (t template) emit(text string, mask bool) template {
	if text == "" {
		return t
	}
	if n := len(t); n > 0 && t[n-1].macro == literal && t[n-1].mask == mask {
		t[n-1].text += text
		return t
	}
	return append(t, part{text: text, mask: mask})
}

// maskPath adds the parts of a URL's path to out, with segments that look like secrets marked. A segment counts only
// when it is literal as a whole.
func maskPath(out, path template) template {
	for i, p := range path {
		if p.macro != literal {
			out = append(out, p)
			continue
		}
		text, begun := p.text, false // begun: the segment begins in this literal, behind a slash
		for text != "" {
			segment, rest, slash := strings.Cut(text, "/")
			whole := begun && (slash || i == len(path)-1)
			out = out.emit(segment, whole && looksSecret(segment))
			if slash {
				out = out.emit("/", false)
			}
			text, begun = rest, true
		}
	}
	return out
}

// maskParams adds parameters (name=value, joined by &) to out, with values marked that must not be shown: signatures, literal
// text under a name that looks secret, and literal values that look like secrets themselves.
func maskParams(out, params template) template {
	name, secret, inValue := "", false, false
	for i, p := range params {
		if p.macro != literal {
			p.mask = p.macro == signature
			out = append(out, p)
			continue
		}
		text, begun := p.text, i == 0 // begun: the name or value begins in this literal
		for text != "" {
			stops := "&"
			if !inValue {
				stops = "=&"
			}
			end := strings.IndexAny(text, stops)
			piece, stop := text, ""
			if end >= 0 {
				piece, stop = text[:end], text[end:end+1]
			}
			whole := begun && (end >= 0 || i == len(params)-1)
			mask := inValue && secret || whole && stop != "=" && looksSecret(piece)
			out = out.emit(piece, mask).emit(stop, false)
			if !inValue {
				name += piece
			}
			switch stop {
			case "=":
				inValue, secret = true, secretName(name)
			case "&":
				inValue, secret, name = false, false, ""
			}
			text, begun = text[len(piece)+len(stop):], true
		}
	}
	return out
}
