package network

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"carom"
)

// The blocks of this file sign the request as it is, URL or body, instead of fields that were picked from it.

// macFile is the block `hmac_url` or `hmac_body`.
type macFile struct {
	Alg      string `yaml:"alg"`
	Encoding string `yaml:"encoding"`
	Prefix   string `yaml:"prefix"`
}

// mac is what the two have in common.
type mac struct {
	alg algorithm
	written
}

func (f *macFile) build(at string) (m mac, err error) {
	if m.alg, err = algorithmNamed(at, f.Alg); err != nil {
		return mac{}, err
	}
	m.written, err = writtenAs(at, f.Encoding, f.Prefix)
	return m, err
}

// urlHMAC compares an HMAC over the whole URL as it was called, without the parameter that holds the signature.
//
// The address in front of the path is configured and never taken from the request: behind a proxy the headers say what a
// stranger likes. Whatever is put behind the signature is part of the text, so nothing can be added.
type urlHMAC struct{ mac }

func (b urlHMAC) facts(p *Profile) facts {
	return facts{
		kind: "hmac_url", rule: fmt.Sprintf("HMAC-%s over the full URL without the signature, as %s", b.alg.name, b.encoding),
		strength: carom.Signed, reads: setOf(fieldSignature), covers: p.fromParams(nil), all: true, networkSecret: true, publicURL: true, getOnly: true,
	}
}

func (b urlHMAC) check(x *exam) finding {
	sent, no := x.sent(&b.written, b.alg.size)
	if sent == nil {
		return no
	}
	query, found := x.withoutSignature()
	if !found {
		return failed(carom.ReasonNoSignature, "the signature does not stand once, with its name unencoded, among the parameters")
	}
	text := make([]byte, 0, len(x.b.publicURL)+len(x.r.Path)+1+len(query))
	text = append(append(text, x.b.publicURL...), x.r.Path...)
	if query != "" {
		text = append(append(text, '?'), query...)
	}
	return x.compareHMAC(b.alg, sent, text)
}

// withoutSignature cuts the signature's parameter out of the raw query. found is false unless it stands there exactly once.
func (x *exam) withoutSignature() (query string, found bool) {
	for i := range x.params {
		if to := x.b.targets[x.params[i].name]; to.kind == targetMapped && to.to == fieldSignature {
			if found {
				return "", false
			}
			found = true
		}
	}
	raw := x.r.RawQuery
	for from := 0; found && from <= len(raw); {
		to := from + strings.IndexByte(raw[from:]+"&", '&')
		name, _, _ := strings.Cut(raw[from:to], "=")
		if t := x.b.targets[name]; t.kind == targetMapped && t.to == fieldSignature {
			if to == len(raw) {
				return raw[:max(from-1, 0)], true
			}
			return raw[:from] + raw[to+1:], true
		}
		from = to + 1
	}
	return "", false
}

// bodyHMAC compares an HMAC over the body as it came.
type bodyHMAC struct{ mac }

func (b bodyHMAC) facts(p *Profile) facts {
	return facts{
		kind: "hmac_body", rule: fmt.Sprintf("HMAC-%s over the body, as %s", b.alg.name, b.encoding),
		strength: carom.Signed, reads: setOf(fieldSignature), covers: p.fromParams(nil), all: true, networkSecret: true, bodyOnly: true,
	}
}

func (b bodyHMAC) check(x *exam) finding {
	sent, no := x.sent(&b.written, b.alg.size)
	if sent == nil {
		return no
	}
	return x.compareHMAC(b.alg, sent, x.r.Body)
}

// standardFile is the block `standard_webhooks`.
type standardFile struct {
	Tolerance string `yaml:"tolerance"` // how far the sender's clock may lie from ours
}

// The headers of the Standard Webhooks convention, in their canonical spelling.
const (
	headerID        = "Webhook-Id"
	headerTimestamp = "Webhook-Timestamp"
	headerSignature = "Webhook-Signature"
)

// standard compares the signatures of the Standard Webhooks convention, version 1: HMAC-SHA256 over id.timestamp.body.
//
// Source: the convention's specification 1.0.0, https://github.com/standard-webhooks/standard-webhooks (read 2026-11).
type standard struct{ tolerance time.Duration }

func (f *standardFile) build(at string) (block, error) {
	tolerance, err := time.ParseDuration(f.Tolerance)
	if err != nil || tolerance <= 0 || tolerance > time.Hour {
		return nil, carom.Invalid(at+".tolerance", "%q is no duration up to 1h: write 5m, as the convention's libraries do", clip(f.Tolerance))
	}
	return standard{tolerance}, nil
}

func (b standard) facts(p *Profile) facts {
	covers := p.fromParams(nil)
	if f, ok := p.headerField(headerID); ok && len(p.aliases[f]) == 1 {
		covers |= setOf(f)
	}
	return facts{
		kind: "standard_webhooks", rule: "Standard Webhooks v1: HMAC-SHA256 over id.timestamp.body, within " + b.tolerance.String(),
		strength: carom.Signed, covers: covers, all: true, networkSecret: true, standardKey: true, bodyOnly: true,
		headers: []string{headerID, headerTimestamp, headerSignature},
	}
}

func (b standard) check(x *exam) finding {
	var sent [3]string
	for i, name := range [...]string{headerID, headerTimestamp, headerSignature} {
		values := x.r.Header[name]
		if len(values) != 1 || values[0] == "" {
			return failed(carom.ReasonNoSignature, "the header %s is missing, empty or repeated", name)
		}
		sent[i] = values[0]
	}
	id, timestamp, list := sent[0], sent[1], sent[2]
	if strings.Contains(id, ".") { // it would make the signed text ambiguous
		return failed(carom.ReasonNoSignature, "the header %s holds a dot", headerID)
	}
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil {
		return failed(carom.ReasonNoSignature, "the header %s is not unix seconds", headerTimestamp)
	}
	// Compared as times: the difference of any two int64 could overflow.
	if at := time.Unix(seconds, 0); at.Before(x.now.Add(-b.tolerance)) || at.After(x.now.Add(b.tolerance)) {
		return failed(carom.ReasonStale, "the header %s is more than %s away from the time of receipt", headerTimestamp, b.tolerance)
	}
	text := make([]byte, 0, len(id)+len(timestamp)+2+len(x.r.Body))
	text = append(append(text, id...), '.')
	text = append(append(text, timestamp...), '.')
	text = append(text, x.r.Body...)
	x.signed(text)
	if x.trace != nil {
		x.trace.Sent = list
	}
	return x.compareAny(list, text)
}

// compareAny compares each v1 signature of a list, of which there are several while the sender changes its secret.
func (x *exam) compareAny(list string, text []byte) finding {
	const most = 16 // more than any rotation needs; it bounds the work that one request can ask for
	what := failed(carom.ReasonNoSignature, "the header %s holds no v1 signature", headerSignature)
	for n := 0; n < most && list != ""; n++ {
		var one string
		one, list, _ = strings.Cut(list, " ")
		encoded, v1 := strings.CutPrefix(one, "v1,")
		if !v1 {
			continue
		}
		form := written{encoding: encodingBase64}
		sent, ok := form.decode(encoded, sha256.Size)
		if !ok {
			what = failed(carom.ReasonBadSignature, "a v1 signature is not 32 bytes as base64")
			continue
		}
		what = x.compare(sent, func(key *networkKey) []byte {
			mac := hmac.New(sha256.New, key.standard)
			mac.Write(text)
			return mac.Sum(nil)
		})
		if what.ok {
			return what
		}
	}
	return what
}

// standardKey returns the key that a secret of the Standard Webhooks convention stands for: what "whsec_" and base64 encode,
// or a plain text of at least 16 bytes as it is.
func standardKey(secret string) ([]byte, bool) {
	const leastBytes, leastText = 24, 16 // the convention's bound, and carom's own for text
	encoded, prefixed := strings.CutPrefix(secret, "whsec_")
	if !prefixed {
		return []byte(secret), len(secret) >= leastText
	}
	key, err := base64.StdEncoding.DecodeString(encoded)
	return key, err == nil && len(key) >= leastBytes
}

// headerPrefix marks a header among the names that a field may arrive under.
const headerPrefix = "header:"

// headerAlias returns the canonical name of the header that an alias stands for.
func headerAlias(alias string) (name string, ok bool) {
	name, ok = strings.CutPrefix(alias, headerPrefix)
	return http.CanonicalHeaderKey(name), ok
}
