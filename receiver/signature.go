// Package receiver is for the backend of an app: it takes what carom sends, and has each postback granted once.
//
// [New] makes the whole of it, an http.Handler: it checks the signature, decodes the [Postback], writes the mark that this
// one was granted in the transaction in which the app grants it ([SQL], or a [Store] of the app's own), and answers what
// makes carom repeat or stop. Both ends of the signature lie here as well, so that they share one scheme: a GET carries it
// as the last parameter of its URL, see [VerifyGET], a POST in the headers of the Standard Webhooks convention, see
// [VerifyStandard]. carom itself signs with it.
//
// A valid signature says who sent the postback, not that it is new: carom repeats a postback whose answer it did not get,
// with the same delivery id. Who uses the functions without the handler keeps the ids that were granted, and answers 200 to a
// repeat without granting again.
//
// The package keeps nothing in memory between requests, and is safe for concurrent use. It promises nothing about an app
// that grants outside of the transaction that it is given.
package receiver

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"carom"
)

// DefaultTolerance is how far a postback's timestamp may lie from the receiver's clock when the caller does not say.
// It is what the libraries of the Standard Webhooks convention use.
const DefaultTolerance = 5 * time.Minute

// The names of the headers that carry the signature of a POST, in their canonical spelling.
const (
	HeaderID        = "Webhook-Id"        // the delivery id, the same at every attempt
	HeaderTimestamp = "Webhook-Timestamp" // unix seconds of this attempt
	HeaderSignature = "Webhook-Signature" // one "v1," and base64 for each live secret, separated by spaces
)

// Bounds of a secret. Those of the base64 form are the convention's; 128 bits is the least that carom takes as text.
const (
	secretPrefix = "whsec_"
	minKeyBytes  = 24
	maxKeyBytes  = 64
	minTextBytes = 16
	maxTextBytes = 256
)

// ParseSecret returns the key that a secret stands for in [SignStandard].
//
// A secret is "whsec_" and the base64 of 24 to 64 bytes, which are the key; or a plain text of 16 to 256 bytes, which is
// the key as it stands. Anything else is carom.ErrInvalid. The error never holds the secret.
func ParseSecret(secret string) ([]byte, error) {
	encoded, prefixed := strings.CutPrefix(secret, secretPrefix)
	if !prefixed {
		if len(secret) < minTextBytes || len(secret) > maxTextBytes {
			return nil, fmt.Errorf("a plain text secret has %d to %d bytes, this one has %d: %w",
				minTextBytes, maxTextBytes, len(secret), carom.ErrInvalid)
		}
		return []byte(secret), nil
	}
	key, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		// The decoder's own error is left out: it points into the secret.
		return nil, fmt.Errorf("what follows %s is not base64: %w", secretPrefix, carom.ErrInvalid)
	}
	if len(key) < minKeyBytes || len(key) > maxKeyBytes {
		return nil, fmt.Errorf("what follows %s is the base64 of %d to %d bytes, here of %d: %w",
			secretPrefix, minKeyBytes, maxKeyBytes, len(key), carom.ErrInvalid)
	}
	return key, nil
}

// SignGET returns the signature of a GET: the HMAC-SHA256, in lower-case hex, over the raw query string as it stands before
// the signature's own "&name=". The query is empty when the signature is the only parameter.
//
// The key is the text of the secret, "whsec_" included, so that a receiver needs nothing but the text it was shown.
func SignGET(query, secret string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(query))
	return hex.EncodeToString(mac.Sum(nil))
}

// VerifyGET checks the signature of a GET. rawQuery is the query string as it came, undecoded and without the question mark
// (http.Request.URL.RawQuery); param is the name of the signature's parameter.
//
// The parameter must be there once and last, since whatever follows it is not signed. It holds one signature in lower-case
// hex or, during a rotation, several joined by commas; one that matches any of the secrets is enough. Only the query is
// signed, not the path. Signatures are compared in constant time.
//
// It returns carom.ErrUnauthorized when the signature is missing or differs, carom.ErrInvalid when no secret is given or one
// is malformed.
//
// In PHP the same is one line, for the parameter `sig`:
//
//	$ok = preg_match('/^(?:(.*)&)?sig=([0-9a-f,]+)$/D', $_SERVER['QUERY_STRING'], $m) && array_filter(explode(',', $m[2]), fn($s) => hash_equals(hash_hmac('sha256', $m[1], $secret), $s));
//
// The pattern's last $ matters: without it, somebody who saw one postback could add further parameters behind its signature.
func VerifyGET(rawQuery, param string, secrets ...string) error {
	if err := checkSecrets(secrets); err != nil {
		return err
	}
	signed, last := "", rawQuery
	if i := strings.LastIndexByte(rawQuery, '&'); i >= 0 {
		signed, last = rawQuery[:i], rawQuery[i+1:]
	}
	signatures, found := strings.CutPrefix(last, param+"=")
	if !found || param == "" {
		return fmt.Errorf("the last parameter is not %s: %w", param, carom.ErrUnauthorized)
	}
	if strings.HasPrefix(signed, param+"=") || strings.Contains(signed, "&"+param+"=") {
		return fmt.Errorf("the parameter %s came twice: %w", param, carom.ErrUnauthorized)
	}
	valid := false
	for _, secret := range secrets {
		want := []byte(SignGET(signed, secret))
		for signature := range strings.SplitSeq(signatures, ",") {
			valid = hmac.Equal(want, []byte(signature)) || valid
		}
	}
	// A list with anything but signatures in it never comes from carom.
	if strings.Trim(signatures, "0123456789abcdef,") != "" || !valid {
		return fmt.Errorf("the parameter %s holds no matching signature: %w", param, carom.ErrUnauthorized)
	}
	return nil
}

// SignStandard returns one signature of a POST, "v1," and base64, over `id.timestamp.body`.
//
// id is the delivery id, at the moment of the attempt (whole seconds count). It returns carom.ErrInvalid when the secret is
// malformed, or when id is empty or holds a dot, which would make the signed text ambiguous.
func SignStandard(id string, at time.Time, body []byte, secret string) (string, error) {
	key, err := ParseSecret(secret)
	if err != nil {
		return "", err
	}
	if id == "" || strings.Contains(id, ".") {
		return "", fmt.Errorf("the id %q is empty or holds a dot: %w", id, carom.ErrInvalid)
	}
	return signStandard(id, strconv.FormatInt(at.Unix(), 10), body, key), nil
}

func signStandard(id, timestamp string, body, key []byte) string {
	mac := hmac.New(sha256.New, key)
	head := make([]byte, 0, 64)
	head = append(head, id...)
	head = append(head, '.')
	head = append(head, timestamp...)
	head = append(head, '.')
	mac.Write(head)
	mac.Write(body)
	sum := mac.Sum(make([]byte, 0, sha256.Size))
	out := make([]byte, 0, len("v1,")+base64.StdEncoding.EncodedLen(sha256.Size))
	return string(base64.StdEncoding.AppendEncode(append(out, "v1,"...), sum))
}

// VerifyStandard checks the signature of a POST by the Standard Webhooks convention. body is the body as it came, before
// any parsing. now is the receiver's clock; a timestamp further from it than tolerance, in either direction, is refused.
// A tolerance of zero or less means [DefaultTolerance].
//
// Of several signatures (a rotation) one that matches any of the secrets is enough; versions other than v1 are passed over.
// Signatures are compared in constant time.
//
// It returns carom.ErrUnauthorized when a header is missing or repeated, the timestamp is no number or too far away, or no
// signature matches; carom.ErrInvalid when no secret is given or one is malformed.
func VerifyStandard(
	header http.Header, body []byte, now time.Time, tolerance time.Duration, secrets ...string,
) error {
	if err := checkSecrets(secrets); err != nil {
		return err
	}
	if tolerance <= 0 {
		tolerance = DefaultTolerance
	}
	var sent [3]string
	for i, name := range []string{HeaderID, HeaderTimestamp, HeaderSignature} {
		values := header[name]
		if len(values) != 1 || values[0] == "" {
			return fmt.Errorf("the header %s is missing, empty or repeated: %w", name, carom.ErrUnauthorized)
		}
		sent[i] = values[0]
	}
	id, timestamp, signatures := sent[0], sent[1], sent[2]
	if strings.Contains(id, ".") {
		return fmt.Errorf("the header %s holds a dot: %w", HeaderID, carom.ErrUnauthorized)
	}
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil {
		return fmt.Errorf("the header %s is not unix seconds: %w", HeaderTimestamp, carom.ErrUnauthorized)
	}
	// Compared as times, not as a difference: a difference of any two int64 could overflow.
	at := time.Unix(seconds, 0)
	if at.Before(now.Add(-tolerance)) {
		return fmt.Errorf("the header %s is more than %s in the past: %w", HeaderTimestamp, tolerance, carom.ErrUnauthorized)
	}
	if at.After(now.Add(tolerance)) {
		return fmt.Errorf("the header %s is more than %s in the future: %w", HeaderTimestamp, tolerance, carom.ErrUnauthorized)
	}
	valid := false
	for _, secret := range secrets {
		key, err := ParseSecret(secret)
		if err != nil {
			return err
		}
		want := []byte(signStandard(id, timestamp, body, key))
		for signature := range strings.SplitSeq(signatures, " ") {
			valid = hmac.Equal(want, []byte(signature)) || valid
		}
	}
	if !valid {
		return fmt.Errorf("the header %s holds no matching signature: %w", HeaderSignature, carom.ErrUnauthorized)
	}
	return nil
}

// checkSecrets refuses to verify against nothing: a receiver whose secret was never set must not accept everything.
func checkSecrets(secrets []string) error {
	if len(secrets) == 0 {
		return fmt.Errorf("no signing secret is given, so nothing can be verified: %w", carom.ErrInvalid)
	}
	for _, secret := range secrets {
		if _, err := ParseSecret(secret); err != nil {
			return err
		}
	}
	return nil
}
