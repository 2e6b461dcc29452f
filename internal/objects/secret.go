package objects

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path/filepath"
	"strings"
	"time"

	"carom"
)

const (
	minSecretBits     = 128
	minSecretDistinct = 10 // of 32 random hexadecimal digits, one text in ten thousand has fewer; of other texts, none
	maxSecretLen      = 256
	maxSecretFile     = 4 << 10
)

const secretAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

// NewSecret makes a path secret: 160 random bits as 32 letters and digits, which survive every URL and every form. sum is
// what is kept of it; it counts for ever.
func NewSecret() (secret string, sum carom.SecretSum) {
	var b [20]byte
	_, _ = rand.Read(b[:]) // it never fails: the process ends instead
	secret = strings.ToLower(base32.StdEncoding.EncodeToString(b[:]))
	return secret, carom.SecretSum{Sum: sha256.Sum256([]byte(secret))}
}

// NewSigningSecret makes a key that deliveries are signed with: "whsec_" and the base64 of 32 random bytes, as Standard
// Webhooks writes them.
func NewSigningSecret() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // it never fails: the process ends instead
	return "whsec_" + base64.StdEncoding.EncodeToString(b[:])
}

// given is a secret that the file gives.
type given struct {
	path string // of the key that gave it, or empty when none did
	key  string
	text string // empty when it could not be read, which is reported
}

// secret adds the three keys of one secret to known: itself, the file that holds it, the variable that holds it.
func (r *reader) secret(known fields, name string, to *given) {
	take := func(find func(path, text string) string) read {
		return func(path string, n *node) {
			if to.path != "" {
				r.fault(path, "%s is there as well: keep one of %s, %s_file and %s_env", to.key, name, name, name)
				return
			}
			to.path, to.key = path, path[strings.LastIndexByte(path, '.')+1:]
			var value string
			if text(r, &value)(path, n); r.faulty[path] {
				return
			}
			if to.text = find(path, value); to.text == "" && !r.faulty[path] {
				r.fault(path, "the secret is empty: give one, or remove the line")
			}
		}
	}
	known[name] = take(func(_, text string) string { return text })
	known[name+"_file"] = take(r.secretFile)
	known[name+"_env"] = take(func(path, name string) string {
		if r.env.LookupEnv != nil {
			if text, ok := r.env.LookupEnv(name); ok {
				return strings.TrimSpace(text)
			}
		}
		// The name is not repeated: it may be a secret in the wrong place. The line is enough to find it.
		r.fault(path, "the environment has no variable of this name: set it where carom runs, or change the name")
		return ""
	})
}

// secretFile reads the file called name, seen from the folder of the objects file.
func (r *reader) secretFile(path, name string) string {
	if name == "" || r.env.ReadFile == nil {
		r.fault(path, "no file can be read here: name one, or use another form of the secret")
		return ""
	}
	if !filepath.IsAbs(name) {
		name = filepath.Join(filepath.Dir(r.file), name)
	}
	r.reads = append(r.reads, name)
	text, err := r.env.ReadFile(name)
	switch {
	case err != nil:
		var cause *fs.PathError
		if errors.As(err, &cause) {
			err = cause.Err // without the path, which may be a secret in the wrong place
		}
		r.fault(path, "the file cannot be read (%v): create it, or change the path", err)
		return ""
	case len(text) > maxSecretFile:
		r.fault(path, "the file has %d bytes, which is no secret: name the file that holds nothing else", len(text))
		return ""
	}
	return strings.TrimSpace(string(text))
}

// pathSecrets checks the secrets of a source, and returns their sums, newest first.
func (r *reader) pathSecrets(path string, current, previous given, until time.Time) []carom.SecretSum {
	if !r.checkRotation(path, "previous_secret", "previous_until", current, previous, until) {
		return nil
	}
	var sums []carom.SecretSum
	for _, g := range []given{current, previous} {
		if g.text == "" {
			continue
		}
		if fault := pathSecretFault(g.text); fault != "" {
			r.fault(g.path, "%s", fault)
			continue
		}
		sums = append(sums, carom.SecretSum{Sum: sha256.Sum256([]byte(g.text))})
	}
	if len(sums) == 2 {
		sums[1].NotAfter = until
	}
	return sums
}

// keys returns the secrets that are kept as they are, newest first: those that an endpoint signs with (kind "signing_") or
// that a network gave (kind "network_"). Whether one is fit for its use is checked when the endpoint is compiled or the
// source bound.
func (r *reader) keys(path, kind string, current, previous given, until time.Time) []carom.SigningSecret {
	if !r.checkRotation(path, "previous_"+kind+"secret", "previous_"+kind+"until", current, previous, until) || current.text == "" {
		return nil
	}
	secrets := []carom.SigningSecret{{Key: carom.Masked(current.text)}}
	if previous.text != "" {
		secrets = append(secrets, carom.SigningSecret{Key: carom.Masked(previous.text), NotAfter: until})
	}
	return secrets
}

// checkRotation checks that a previous secret comes with a newer one and an end, and an end with a secret.
func (r *reader) checkRotation(path, name, untilName string, current, previous given, until time.Time) bool {
	switch {
	case previous.path == "" && !until.IsZero():
		r.fault(join(path, untilName), "it ends a secret that is not given: add %s, or remove the line", name)
	case previous.path == "":
		return true
	case current.path == "":
		r.fault(previous.path, "the secret that replaces it is missing: add %s", strings.TrimPrefix(name, "previous_"))
	case until.IsZero() && !r.faulty[join(path, untilName)]:
		r.fault(previous.path, "nothing says until when it counts: add %s, such as 2026-12-01T00:00:00Z", untilName)
	case current.text != "" && current.text == previous.text:
		r.fault(previous.path, "it equals the newer one: give the one that was in use before, or remove it")
	default:
		return true
	}
	return false
}

// pathSecretFault says why s may not be the secret in a source's URL, or returns nothing. It never quotes s.
func pathSecretFault(s string) string {
	const fix = "remove it and let carom make one, or give 32 random hexadecimal digits"
	if strings.Trim(s, secretAlphabet) != "" {
		return "it may hold letters, digits, - and _ only, since it stands in a URL's path: " + fix
	}
	if len(s) > maxSecretLen {
		return fmt.Sprintf("it has %d characters: shorten it to %d", len(s), maxSecretLen)
	}
	if bits := secretBits(s); bits < minSecretBits {
		return fmt.Sprintf("it has about %d bits, and fewer than %d can be guessed: %s", bits, minSecretBits, fix)
	}
	var seen [256]bool
	distinct := 0
	for _, c := range []byte(s) {
		if !seen[c] {
			seen[c], distinct = true, distinct+1
		}
	}
	if distinct < minSecretDistinct {
		return fmt.Sprintf("it has %d distinct characters, so it is not random: %s", distinct, fix)
	}
	return ""
}

// secretBits is how many random bits s can hold, judged by the kinds of characters in it.
func secretBits(s string) int {
	alphabet := 0
	for _, class := range []struct {
		chars string
		hex   string // the part of chars that hexadecimal uses
	}{
		{"0123456789", "0123456789"},
		{"abcdefghijklmnopqrstuvwxyz", "abcdef"},
		{"ABCDEFGHIJKLMNOPQRSTUVWXYZ", "ABCDEF"},
		{"-_", ""},
	} {
		if !strings.ContainsAny(s, class.chars) {
			continue
		}
		if strings.Trim(s, "0123456789abcdefABCDEF-_") == "" && class.hex != "" {
			alphabet += len(class.hex)
		} else {
			alphabet += len(class.chars)
		}
	}
	if alphabet == 0 {
		return 0
	}
	return int(float64(len(s)) * math.Log2(float64(alphabet)))
}
