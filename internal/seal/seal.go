// Package seal encrypts what is stored, so that a copy of a database alone tells no secret.
//
// A [Ring] holds keys, the newest first: the first one seals, all of them open. What is sealed names the key that opens it and is bound to
// its place, so that two rows cannot be swapped. It is AES-256-GCM with a random nonce: a key may seal some four billion times, which
// storing a thousand objects every minute reaches after eight years. The package keeps nothing and reads no file.
package seal

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"carom"
)

// KeyBytes is how long a key is.
const KeyBytes = 32

// prefix begins what is sealed; the id of the key follows, a colon, and nonce, ciphertext and tag in base64. JSON never begins like this.
const prefix = "sealed:1:"

// Ring is some keys, the newest first. It is not changed once it was made. A nil one has no keys: it seals nothing and opens what is not
// sealed. It prints the ids of its keys, never the keys.
type Ring struct{ keys []key }

type key struct {
	id   string
	text string // hexadecimal
	aead cipher.AEAD
}

// UnknownKeyError says which key is needed to open something, and where it has to be. It is a carom.ErrInvalid.
type UnknownKeyError struct{ ID string }

func (e *UnknownKeyError) Error() string {
	return "secrets_key: what is stored is sealed by the key " + e.ID + ", which is not here: name a file with it by secrets_key_file, or put back " +
		"the file secrets.key of the data folder, where the key is if no setting ever named one"
}

// Unwrap implements errors.Is.
func (e *UnknownKeyError) Unwrap() error { return carom.ErrInvalid }

// NewKey makes a key: 64 hexadecimal digits.
func NewKey() string {
	var k [KeyBytes]byte
	_, _ = rand.Read(k[:]) // crypto/rand never fails
	return hex.EncodeToString(k[:])
}

// Parse reads keys, the newest first, separated by commas, blanks or new lines. Each is 32 bytes in hexadecimal or base64; a line that
// begins with # is left out. A text without a key is a nil Ring. Errors are carom.ErrInvalid, and hold nothing of the text.
func Parse(text string) (*Ring, error) {
	var r Ring
	for line := range strings.Lines(text) {
		if strings.HasPrefix(strings.TrimSpace(line), "#") {
			continue
		}
		for word := range strings.FieldsFuncSeq(line, func(c rune) bool { return c == ',' || c == ' ' || c == '\t' || c == '\r' || c == '\n' }) {
			raw := decode(word)
			if len(raw) != KeyBytes {
				return nil, fmt.Errorf("key %d is not 32 bytes in hexadecimal or base64: make one with `carom keys secret`: %w", len(r.keys)+1, carom.ErrInvalid)
			}
			k := newKey(raw)
			if !r.has(k.id) {
				r.keys = append(r.keys, k)
			}
		}
	}
	if len(r.keys) == 0 {
		return nil, nil
	}
	return &r, nil
}

func decode(word string) []byte {
	if raw, err := hex.DecodeString(word); err == nil {
		return raw
	}
	word = strings.TrimRight(strings.NewReplacer("-", "+", "_", "/").Replace(word), "=")
	raw, _ := base64.RawStdEncoding.DecodeString(word) // what is half decoded has another length
	return raw
}

// newKey makes a key of 32 bytes. Its id is a part of their sum, which tells nothing of a random key.
func newKey(raw []byte) key {
	sum := sha256.Sum256(append([]byte("carom secrets key\x00"), raw...))
	block, err := aes.NewCipher(raw)
	if err != nil {
		panic(err) // 32 bytes are a key
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err) // AES has blocks of 128 bits
	}
	return key{id: hex.EncodeToString(sum[:4]), text: hex.EncodeToString(raw), aead: aead}
}

func (r *Ring) has(id string) bool {
	for _, k := range r.all() {
		if k.id == id {
			return true
		}
	}
	return false
}

func (r *Ring) all() []key {
	if r == nil {
		return nil
	}
	return r.keys
}

// With returns the keys of r, and behind them those of older that r has not. Either may be nil.
func (r *Ring) With(older *Ring) *Ring {
	var out Ring
	for _, k := range append(append([]key{}, r.all()...), older.all()...) {
		if !out.has(k.id) {
			out.keys = append(out.keys, k)
		}
	}
	if len(out.keys) == 0 {
		return nil
	}
	return &out
}

// ID names the key that seals, by eight hexadecimal digits; empty: there is none.
func (r *Ring) ID() string {
	if r == nil {
		return ""
	}
	return r.keys[0].id
}

// Opens says whether the key of that id is among those of r. What is not sealed, whose id is empty, opens without a key.
func (r *Ring) Opens(id string) bool { return id == "" || r.has(id) }

// Text writes the keys so that [Parse] reads them, one a line.
func (r *Ring) Text() string {
	var b strings.Builder
	for _, k := range r.all() {
		b.WriteString(k.text + "\n")
	}
	return b.String()
}

// Format writes the ids of the keys, whatever the verb.
func (r Ring) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(r.ids())) }

// String is the ids of the keys, separated by commas; empty without keys.
func (r *Ring) String() string {
	if r == nil {
		return ""
	}
	return r.ids()
}

func (r Ring) ids() string {
	var b strings.Builder
	for i, k := range r.keys {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(k.id)
	}
	return b.String()
}

// Seal encrypts what is stored at a place, such as "objects/app/shop". Without a key it returns plain as it is.
func (r *Ring) Seal(place string, plain []byte) []byte {
	if r == nil {
		return plain
	}
	k := &r.keys[0]
	out := append([]byte(prefix), k.id+":"...)
	return base64.RawStdEncoding.AppendEncode(out, k.aead.Seal(nil, nil, plain, []byte(place)))
}

// Open returns what was sealed at a place, or stored as it is when it was not sealed. It returns an [UnknownKeyError], or carom.ErrInvalid
// for what was changed, cut off, or sealed at another place.
func (r *Ring) Open(place string, stored []byte) ([]byte, error) {
	id, sealed := SealedBy(stored)
	if !sealed {
		return stored, nil
	}
	for _, k := range r.all() {
		if k.id != id {
			continue
		}
		raw, err := base64.RawStdEncoding.DecodeString(string(stored[len(prefix)+len(id)+1:]))
		if err == nil {
			var plain []byte
			if plain, err = k.aead.Open(nil, nil, raw, []byte(place)); err == nil {
				return plain, nil
			}
		}
		return nil, errors.Join(fmt.Errorf("%s: it was changed outside carom, or put in the place of another: %w", place, carom.ErrInvalid), err)
	}
	return nil, &UnknownKeyError{id}
}

// SealedBy names the key that opens what is stored. sealed is false for what lies there as it is.
func SealedBy(stored []byte) (id string, sealed bool) {
	rest, sealed := bytes.CutPrefix(stored, []byte(prefix))
	if !sealed {
		return "", false
	}
	name, _, whole := bytes.Cut(rest, []byte(":"))
	return string(name), whole
}
