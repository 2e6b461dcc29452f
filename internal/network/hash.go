package network

import (
	"crypto/hmac"
	"fmt"

	"carom"
)

// hashFile is the block `hash`: a plain hash over text that holds the secret.
type hashFile struct {
	Alg      string `yaml:"alg"`
	Over     string `yaml:"over"`
	Twice    bool   `yaml:"twice"` // hash the hash's bytes once more
	Encoding string `yaml:"encoding"`
	Prefix   string `yaml:"prefix"`
}

// plainHash compares a hash over a text that the secret is part of.
//
// Such text without separators fits other fields as well: "12" and "3" reads like "1" and "23". That is why an event also
// carries the signature in its dedupe key, see [Binding.Judge].
type plainHash struct {
	alg   algorithm
	over  signedText
	shown string
	twice bool
	written
}

func (f *hashFile) build(at string) (block, error) {
	b := &plainHash{shown: f.Over, twice: f.Twice}
	var err error
	if b.alg, err = algorithmNamed(at, f.Alg); err != nil {
		return nil, err
	}
	if b.written, err = writtenAs(at, f.Encoding, f.Prefix); err != nil {
		return nil, err
	}
	if b.over, err = parseText(at+".over", f.Over); err != nil {
		return nil, err
	}
	if b.over.count(partSecret) != 1 || b.over.count(partRef) == 0 {
		return nil, carom.Invalid(at+".over",
			"a plain hash needs {secret} once in its text, and something that was sent: write such as \"{transaction_id}{secret}\"")
	}
	return b, nil
}

func (b *plainHash) facts(p *Profile) facts {
	name := b.alg.name
	if b.twice {
		name += " of " + name
	}
	return facts{
		kind: "hash", rule: fmt.Sprintf("%s over %s, as %s", name, b.shown, b.encoding), strength: carom.Signed,
		reads: b.over.reads() | setOf(fieldSignature), covers: b.over.covers(p), params: b.over.params(), networkSecret: true,
	}
}

func (b *plainHash) check(x *exam) finding {
	sent, no := x.sent(&b.written, b.alg.size)
	if sent == nil {
		return no
	}
	var room [512]byte
	text, fault := b.over.append(room[:0], x, "{secret}")
	if fault != nil {
		return failed(carom.ReasonBadSignature, "%s", fault.detail)
	}
	x.signed(text)
	h := b.alg.make()
	return x.compare(sent, func(key *networkKey) []byte {
		text, _ = b.over.append(text[:0], x, key.text) // it went well before
		h.Reset()
		h.Write(text)
		sum := h.Sum(nil)
		if b.twice {
			h.Reset()
			h.Write(sum)
			sum = h.Sum(sum[:0])
		}
		return sum
	})
}

// hmacFile is the block `hmac`: an HMAC over text that was sent.
type hmacFile struct {
	Alg      string `yaml:"alg"`
	Over     string `yaml:"over"`
	Encoding string `yaml:"encoding"`
	Prefix   string `yaml:"prefix"`
}

// textHMAC compares an HMAC over a text made of fields.
type textHMAC struct {
	alg   algorithm
	over  signedText
	shown string
	written
}

func (f *hmacFile) build(at string) (block, error) {
	b := &textHMAC{shown: f.Over}
	var err error
	if b.alg, err = algorithmNamed(at, f.Alg); err != nil {
		return nil, err
	}
	if b.written, err = writtenAs(at, f.Encoding, f.Prefix); err != nil {
		return nil, err
	}
	if b.over, err = parseText(at+".over", f.Over); err != nil {
		return nil, err
	}
	if b.over.count(partSecret) != 0 || b.over.count(partRef) == 0 {
		return nil, carom.Invalid(at+".over",
			"the secret is the key of an HMAC and no part of its text: leave {secret} out, and name something that was sent")
	}
	return b, nil
}

func (b *textHMAC) facts(p *Profile) facts {
	return facts{
		kind: "hmac", rule: fmt.Sprintf("HMAC-%s over %s, as %s", b.alg.name, b.shown, b.encoding), strength: carom.Signed,
		reads: b.over.reads() | setOf(fieldSignature), covers: b.over.covers(p), params: b.over.params(), networkSecret: true,
	}
}

func (b *textHMAC) check(x *exam) finding {
	sent, no := x.sent(&b.written, b.alg.size)
	if sent == nil {
		return no
	}
	var room [512]byte
	text, fault := b.over.append(room[:0], x, "")
	if fault != nil {
		return failed(carom.ReasonBadSignature, "%s", fault.detail)
	}
	return x.compareHMAC(b.alg, sent, text)
}

// compareHMAC compares sent with the HMAC over text under each live secret.
func (x *exam) compareHMAC(alg algorithm, sent, text []byte) finding {
	x.signed(text)
	return x.compare(sent, func(key *networkKey) []byte {
		mac := hmac.New(alg.make, []byte(key.text))
		mac.Write(text)
		return mac.Sum(nil)
	})
}
