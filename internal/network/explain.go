package network

import (
	"context"
	"strings"
	"time"

	"carom"
)

// Explanation is why a request is verified or is not, for people. It holds no secret.
type Explanation struct {
	Profile    string         `json:"profile"`
	Title      string         `json:"title"`
	Evidence   string         `json:"evidence"` // what the verification rests on
	Strength   carom.Strength `json:"strength"` // of the profile, whether this request passed or not
	Checks     []Check        `json:"checks"`   // in the order in which they are made; all must pass
	Covered    []string       `json:"covered"`  // fields that nobody without the key can have altered
	NotCovered []string       `json:"not_covered"`
	Proof      Proof          `json:"-"` // what [Binding.Verify] says of the same request
}

// Check is what one block found.
type Check struct {
	Block   string       `json:"block"`             // "hmac_sorted"
	Rule    string       `json:"rule"`              // what is compared, in words
	Sent    string       `json:"sent,omitempty"`    // the signature as it came
	Signed  string       `json:"signed,omitempty"`  // the bytes that are signed, with {secret} where the secret belongs and *** for one that was sent
	Matched int          `json:"matched,omitempty"` // which of the source's network secrets it was, from 1
	Passed  bool         `json:"passed"`
	Later   bool         `json:"later,omitempty"` // nothing can be said now
	Reason  carom.Reason `json:"reason,omitempty"`
	Detail  string       `json:"detail,omitempty"` // why not, or what to note
}

// Explain verifies r as [Binding.Verify] does and tells what it looked at. It goes on where Verify stops, so that all faults
// are seen at once.
func (b *Binding) Explain(ctx context.Context, r *Request, now time.Time, keys Keys) Explanation {
	p := b.Profile
	out := Explanation{
		Profile: p.Name, Title: p.Title, Evidence: p.Evidence, Strength: p.Strength,
		Covered: p.covers.names(), NotCovered: p.NotCovered(), Proof: b.Verify(ctx, r, now, keys),
	}
	run := func(block block) {
		facts := block.facts(p)
		check := Check{Block: facts.kind, Rule: facts.rule}
		found := block.check(&exam{ctx: ctx, b: b, r: r, now: now, keys: keys, trace: &check})
		check.Passed, check.Later, check.Reason, check.Detail = found.ok, found.later, found.reason, found.detail
		check.Signed, check.Sent = b.hideAll(check.Signed, r), b.hideAll(check.Sent, r)
		out.Checks = append(out.Checks, check)
	}
	if len(b.Source.Secrets) > 0 {
		run(pathSecret{})
	}
	if len(b.Source.Addresses) > 0 {
		run(address{})
		if last := &out.Checks[len(out.Checks)-1]; last.Passed && !b.listed(r.Client) {
			last.Detail = "the source does not list the address " + r.Client.String() + ", and does not ask for it"
		}
	}
	for _, block := range p.blocks {
		if _, twice := block.(address); !twice {
			run(block)
		}
	}
	return out
}

// hideAll hides every secret that stands in text.
func (b *Binding) hideAll(text string, r *Request) string {
	for i := range b.keys {
		text = strings.ReplaceAll(text, b.keys[i].text, hidden)
	}
	if r.Secret != "" && len(b.Source.Secrets) > 0 {
		text = strings.ReplaceAll(text, r.Secret, hidden)
	}
	return text
}
