package network

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha3"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"hash"
	"strings"

	"carom"
)

// algorithm is a hash function.
type algorithm struct {
	name string
	size int
	make func() hash.Hash
}

// algorithms are those that networks use. MD5 and SHA-1 are broken for collisions; a signature here needs the secret, which
// that does not yield.
func algorithms() []algorithm {
	return []algorithm{
		{"md5", md5.Size, md5.New},
		{"sha1", sha1.Size, sha1.New},
		{"sha256", sha256.Size, sha256.New},
		{"sha3-256", 32, func() hash.Hash { return sha3.New256() }},
	}
}

func algorithmNamed(at, name string) (algorithm, error) {
	var names []string
	for _, a := range algorithms() {
		if a.name == name {
			return a, nil
		}
		names = append(names, a.name)
	}
	return algorithm{}, carom.Invalid(at+".alg", "%q is no algorithm that carom has: use one of %s", clip(name), strings.Join(names, ", "))
}

// written is how a signature is written down: as what, behind which prefix.
type written struct {
	encoding string
	prefix   string
}

const (
	encodingHex       = "hex" // in either case
	encodingBase64    = "base64"
	encodingBase64URL = "base64url" // both with and without padding
)

func writtenAs(at, encoding, prefix string) (written, error) {
	switch encoding {
	case "":
		encoding = encodingHex
	case encodingHex, encodingBase64, encodingBase64URL:
	default:
		return written{}, carom.Invalid(at+".encoding", "%q is none of hex, base64, base64url", clip(encoding))
	}
	return written{encoding, prefix}, nil
}

// decode reads a signature of size bytes; a size of zero takes any. One signature has one decoded form, in which it is
// compared and remembered.
func (w *written) decode(text string, size int) ([]byte, bool) {
	const mostBytes = 512 // more than any signature has
	text, found := strings.CutPrefix(text, w.prefix)
	if !found || len(text) > mostBytes || strings.ContainsAny(text, "\r\n") { // which the decoders would pass over
		return nil, false
	}
	var sent []byte
	var err error
	switch w.encoding {
	case encodingHex:
		sent, err = hex.DecodeString(text)
	case encodingBase64:
		sent, err = base64.RawStdEncoding.Strict().DecodeString(unpadded(text))
	default:
		sent, err = base64.RawURLEncoding.Strict().DecodeString(unpadded(text))
	}
	return sent, err == nil && len(sent) > 0 && (size == 0 || len(sent) == size)
}

// unpadded cuts the padding of base64 where there is the right number of signs; any other number stays and is an error then.
func unpadded(text string) string {
	if len(text)%4 != 0 {
		return text
	}
	cut := strings.TrimSuffix(text, "=")
	return strings.TrimSuffix(cut, "=")
}

// sent finds the signature that came for the field signature.
func (x *exam) sent(w *written, size int) ([]byte, finding) {
	if no := x.load(); no != nil {
		return nil, failed(carom.ReasonBadSignature, "%s", no.detail)
	}
	if x.sign != nil {
		x.sign.as = w
		return placeholder(size), finding{}
	}
	text := x.m.values[fieldSignature]
	if x.trace != nil {
		x.trace.Sent = text
	}
	if text == "" {
		return nil, failed(carom.ReasonNoSignature, "no signature was sent as %s", x.b.Profile.aliasList(fieldSignature))
	}
	signature, ok := w.decode(text, size)
	if !ok {
		return nil, failed(carom.ReasonBadSignature, "the signature is not %d bytes as %s", size, w.encoding)
	}
	return signature, finding{}
}

// compare looks for a live network secret under which want gives the signature that was sent. It goes through all of them,
// each in constant time, so that the time taken tells nothing about them.
func (x *exam) compare(sent []byte, want func(key *networkKey) []byte) finding {
	match, live := 0, 0
	for i := range x.b.keys {
		key := &x.b.keys[i]
		if !key.live(x.now) {
			continue
		}
		if x.sign != nil {
			return x.sign.take(want(key))
		}
		live++
		same := subtle.ConstantTimeCompare(sent, want(key))
		match |= same
		if same == 1 && x.trace != nil {
			x.trace.Matched = i + 1
		}
	}
	switch {
	case match == 1:
		return passed(string(sent))
	case live == 0:
		return failed(carom.ReasonBadSignature, "no network secret of the source counts at this time")
	}
	return failed(carom.ReasonBadSignature, "the signature is of other bytes or another key")
}
