package network

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"errors"
	"net/url"
	"strings"

	"carom"
)

// ecdsaFile is the block `ecdsa_query`.
type ecdsaFile struct {
	Keys  string `yaml:"keys"`   // the address of the network's key list
	KeyID string `yaml:"key_id"` // the parameter that names the key
}

// ecdsaQuery checks an ECDSA signature with SHA-256 over the query, under a key from a list that the network publishes.
//
// The last two parameters are the signature (DER, as base64url) and the key's id, in this order. What stands before them is
// signed percent-decoded, with plus signs as they are. A query that is laid out in any other way is not accepted.
//
// Source: the network's reference verifier, tink-crypto/tink-java-apps, RewardedAdsVerifier.java (read 2026-11); the published
// vectors in testdata/vectors.json show that the decoded text is signed and not the raw one.
type ecdsaQuery struct {
	list  string
	keyID string
}

func (f *ecdsaFile) build(at string) (block, error) {
	if u, err := url.Parse(f.Keys); err != nil || u.Scheme != "https" || u.Host == "" {
		return nil, carom.Invalid(at+".keys", "%q is not the address of a key list: write its full https:// address", clip(f.Keys))
	}
	if f.KeyID == "" {
		return nil, carom.Invalid(at+".key_id", "the name of the parameter that names the key is missing: add it")
	}
	return &ecdsaQuery{list: f.Keys, keyID: f.KeyID}, nil
}

func (b *ecdsaQuery) facts(p *Profile) facts {
	return facts{
		kind: "ecdsa_query", strength: carom.Signed, reads: setOf(fieldSignature), keyList: b.list,
		covers: p.fromParams([]string{b.keyID}), all: true, getOnly: true, plusKept: true,
		rule: "ECDSA with SHA-256 over the percent-decoded query before its signature, key from " + b.list,
	}
}

// split cuts the raw query into what is signed, the signature, and the key's id.
func (b *ecdsaQuery) split(raw, name string) (content, signature, id string, ok bool) {
	content, id, found := cutLast(raw, "&"+b.keyID+"=")
	if !found || id == "" || len(id) > 20 || strings.Trim(id, "0123456789") != "" { // ids are numbers of up to 64 bits
		return "", "", "", false
	}
	content, signature, found = cutLast(content, "&"+name+"=")
	return content, signature, id, found && content != "" && !strings.Contains(signature, "&")
}

// cutLast cuts s around the last sep.
func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

func (b *ecdsaQuery) check(x *exam) finding {
	name := x.b.Profile.aliases[fieldSignature][0]
	content, sent, id, ok := b.split(x.r.RawQuery, name)
	if !ok {
		return failed(carom.ReasonNoSignature, "the last two parameters are not %s and %s, in this order, behind what is signed", name, b.keyID)
	}
	if x.trace != nil {
		x.trace.Sent = sent
	}
	form := written{encoding: encodingBase64URL}
	signature, ok := form.decode(sent, 0)
	if !ok {
		return failed(carom.ReasonBadSignature, "the signature is not base64url")
	}
	text, err := url.PathUnescape(content)
	if err != nil {
		return failed(carom.ReasonBadSignature, "the query has a broken percent-encoding")
	}
	x.signed([]byte(text))
	if x.keys == nil {
		return finding{later: true, detail: "there is no key list to look in"}
	}
	key, err := x.keys.Key(x.ctx, b.list, id)
	switch {
	case errors.Is(err, carom.ErrNotFound):
		return failed(carom.ReasonUnknownKey, "the network's key list has no key %s", id)
	case err != nil:
		return finding{later: true, detail: "the network's key list is out of reach: nothing can be said before it is"}
	}
	public, ok := key.(*ecdsa.PublicKey)
	if !ok {
		return failed(carom.ReasonUnknownKey, "the key %s is not one for ECDSA", id)
	}
	sum := sha256.Sum256([]byte(text))
	if !ecdsa.VerifyASN1(public, sum[:], signature) {
		return failed(carom.ReasonBadSignature, "the signature is of other bytes or another key")
	}
	// A second valid signature of the same text can be made of the first without the key, so the text's sum is what stays the
	// same. It also is for another split of the text into parameters.
	return passed(string(sum[:]))
}
