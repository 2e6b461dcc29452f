package keylist

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	"carom"
)

// entry is a key, or the reason why the key that the network publishes cannot be used.
type entry struct {
	key *ecdsa.PublicKey
	err error
}

func (e entry) get() (crypto.PublicKey, error) {
	if e.err != nil {
		return nil, unavailable(e.err)
	}
	return e.key, nil
}

// Static is a list of keys that never changes. It may be used concurrently. Make it with FromJSON.
type Static struct {
	keys map[string]entry
}

// FromJSON reads a list in the form that AdMob publishes: {"keys":[{"keyId":1234,"base64":"…"}]}. A keyId is a number
// or text; the key is a SubjectPublicKeyInfo, as base64 or as PEM in "pem". Entries that cannot be used are set aside;
// if none is left, the error is a *carom.FieldError (carom.ErrInvalid).
func FromJSON(data []byte) (*Static, error) {
	keys, _, err := parse(data)
	if err != nil {
		return nil, carom.Invalid("keys", `%v: give a file such as {"keys":[{"keyId":1234,"base64":"…"}]}`, err)
	}
	return &Static{keys}, nil
}

// Key returns the key with this id as Lists.Key does. It waits for nothing; the context and the URL do not matter. It
// returns carom.ErrNotFound if the list has no such key, and carom.ErrUnavailable if it has one that cannot be used.
func (s *Static) Key(_ context.Context, _, id string) (crypto.PublicKey, error) {
	found, ok := s.keys[id]
	if !ok {
		return nil, notFound()
	}
	return found.get()
}

// parse reads a list. One bad entry does not spoil the others: AdMob's list has held keys on secp256k1, which the
// standard library cannot read. A list without a single usable key is an error.
func parse(data []byte) (map[string]entry, []error, error) {
	var doc struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(data, &doc); err != nil {
		return nil, nil, errors.New("the list is not a JSON object with a list of keys")
	}
	if len(doc.Keys) == 0 {
		return nil, nil, errors.New("the list is empty")
	}
	keys := make(map[string]entry, len(doc.Keys))
	var faults []error
	for i, raw := range doc.Keys {
		id, key, err := parseEntry(raw)
		if err != nil {
			err = fmt.Errorf("key %d of the list: %w", i+1, err)
			faults = append(faults, err)
		}
		if id == "" {
			continue
		}
		// Of two entries with one id the usable one counts, and of two usable ones the first.
		if kept, ok := keys[id]; !ok || kept.err != nil && err == nil {
			keys[id] = entry{key, err}
		}
	}
	if len(faults) == len(doc.Keys) {
		return nil, faults, fmt.Errorf("the list has no key that can be used: %w", faults[0])
	}
	return keys, faults, nil
}

// parseEntry reads one entry. The id is empty if it cannot be read.
func parseEntry(raw []byte) (id string, key *ecdsa.PublicKey, err error) {
	var e struct {
		KeyID  json.RawMessage `json:"keyId"`
		Base64 json.RawMessage `json:"base64"`
		PEM    json.RawMessage `json:"pem"`
	}
	if err := json.Unmarshal(raw, &e); err != nil {
		return "", nil, errors.New("it is not an object")
	}
	id = parseID(e.KeyID)
	if id == "" {
		return "", nil, fmt.Errorf("keyId is not a whole number or a text of 1 to %d bytes", maxIDBytes)
	}
	der, err := keyBytes(e.Base64, e.PEM)
	if err != nil {
		return id, nil, err
	}
	public, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return id, nil, fmt.Errorf("it cannot be read: %w", err)
	}
	key, ok := public.(*ecdsa.PublicKey)
	if !ok || key.Curve != elliptic.P256() {
		return id, nil, errors.New("it is not an ECDSA key on the curve P-256")
	}
	return id, key, nil
}

// parseID returns a key id as text, or nothing if it is none. A number stays as it is written, so none is too large.
func parseID(raw json.RawMessage) string {
	id := string(raw)
	if strings.HasPrefix(id, `"`) {
		if json.Unmarshal(raw, &id) != nil {
			return ""
		}
	} else if strings.Trim(id, "0123456789") != "" { // a fraction, an exponent, true, null, …
		return ""
	}
	if len(id) > maxIDBytes {
		return ""
	}
	return id
}

// keyBytes returns the DER of a key from whichever of the two forms is there.
func keyBytes(base64Text, pemText json.RawMessage) ([]byte, error) {
	var text string
	switch {
	case base64Text != nil:
		if err := json.Unmarshal(base64Text, &text); err != nil {
			return nil, errors.New("base64 is not a text")
		}
		der, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return nil, errors.New("base64 is not valid base64")
		}
		return der, nil
	case pemText != nil:
		if err := json.Unmarshal(pemText, &text); err != nil {
			return nil, errors.New("pem is not a text")
		}
		block, _ := pem.Decode([]byte(text))
		if block == nil {
			return nil, errors.New("pem is not valid PEM")
		}
		return block.Bytes, nil
	}
	return nil, errors.New("it has neither base64 nor pem")
}
