package network

import (
	"fmt"
	"slices"
	"strings"

	"carom"
)

// block is one way to verify a request. The set is closed: [blockFile] lists it. Blocks are immutable.
type block interface {
	// facts says what the block rests on and what it proves in a postback of p, whose fields are set.
	facts(p *Profile) facts
	// check examines one request.
	check(x *exam) finding
}

// facts is what a profile's rules, a source's settings and people need to know of a block.
type facts struct {
	kind     string // the block's name in profiles
	rule     string // what is compared, in words
	strength carom.Strength
	covers   fieldSet // what nobody can alter without the key
	reads    fieldSet // the fields whose text is compared or signed

	networkSecret bool // a source has to have one
	standardKey   bool // in the form of the Standard Webhooks convention
	publicURL     bool // it signs the address that carom is called under

	keyList  string   // where the network publishes its keys
	headers  []string // canonical names of headers that it reads by itself
	params   []string // parameters that it reads besides fields
	all      bool     // it covers every parameter
	bodyOnly bool     // it covers nothing but the body
	getOnly  bool     // it covers nothing but the URL
	plusKept bool     // it signs a plus sign in the query as it is, so that is how parameters are read
}

// finding is what came of a check. The zero value is not a pass: see [passed].
type finding struct {
	ok        bool
	later     bool         // nothing can be said now
	reason    carom.Reason // why not
	detail    string       // a sentence for people; holds nothing secret
	signature string       // of a signature that passed: the same text for every way to write it down
}

func passed(signature string) finding { return finding{ok: true, signature: signature} }

func failed(reason carom.Reason, format string, args ...any) finding {
	return finding{reason: reason, detail: fmt.Sprintf(format, args...)}
}

// blockFile is one entry of `verify:` in a profile: exactly one of its keys is given.
type blockFile struct {
	PathSecret       *struct{}     `yaml:"path_secret"`
	Secret           *struct{}     `yaml:"secret"`
	Hash             *hashFile     `yaml:"hash"`
	HMAC             *hmacFile     `yaml:"hmac"`
	HMACSorted       *sortedFile   `yaml:"hmac_sorted"`
	HMACURL          *macFile      `yaml:"hmac_url"`
	HMACBody         *macFile      `yaml:"hmac_body"`
	StandardWebhooks *standardFile `yaml:"standard_webhooks"`
	ECDSAQuery       *ecdsaFile    `yaml:"ecdsa_query"`
	Address          *struct{}     `yaml:"address"`
}

// blocks lists the kinds of block, for the error about an entry without one.
const blocks = "path_secret, secret, hash, hmac, hmac_sorted, hmac_url, hmac_body, standard_webhooks, ecdsa_query, address"

// build makes the block of an entry that stands at the key at.
func (f *blockFile) build(at string) (block, error) {
	var made []block
	var errs []error
	add := func(b block, err error) { made, errs = append(made, b), append(errs, err) }
	if f.PathSecret != nil {
		add(pathSecret{}, nil)
	}
	if f.Secret != nil {
		add(sentSecret{}, nil)
	}
	if f.Hash != nil {
		add(f.Hash.build(at + ".hash"))
	}
	if f.HMAC != nil {
		add(f.HMAC.build(at + ".hmac"))
	}
	if f.HMACSorted != nil {
		add(f.HMACSorted.build(at + ".hmac_sorted"))
	}
	if f.HMACURL != nil {
		m, err := f.HMACURL.build(at + ".hmac_url")
		add(urlHMAC{m}, err)
	}
	if f.HMACBody != nil {
		m, err := f.HMACBody.build(at + ".hmac_body")
		add(bodyHMAC{m}, err)
	}
	if f.StandardWebhooks != nil {
		add(f.StandardWebhooks.build(at + ".standard_webhooks"))
	}
	if f.ECDSAQuery != nil {
		add(f.ECDSAQuery.build(at + ".ecdsa_query"))
	}
	if f.Address != nil {
		add(address{}, nil)
	}
	if len(made) != 1 {
		return nil, carom.Invalid(at, "it holds %d blocks: give it one of %s, such as `- path_secret: {}`", len(made), blocks)
	}
	return made[0], errs[0]
}

// setVerify builds the blocks and checks that together they leave no hole.
func (p *Profile) setVerify(f *profileFile) error {
	if len(f.Verify) == 0 {
		return carom.Invalid("verify", "no block is listed, and a source is never open: list at least one of %s", blocks)
	}
	var last []block
	for i := range f.Verify {
		at := fmt.Sprintf("verify[%d]", i)
		b, err := f.Verify[i].build(at)
		if err != nil {
			return err
		}
		facts := b.facts(p)
		switch {
		case p.fact(facts.kind) != nil:
			return carom.Invalid(at, "%s stands twice: leave it once", facts.kind)
		case facts.reads&^p.mapped != 0:
			name := (facts.reads &^ p.mapped).names()[0]
			return carom.Invalid(at, "%s reads the field %s, which nothing fills: say under `fields:` where it stands, such as `%s: [%s]`",
				facts.kind, name, name, name)
		}
		for _, name := range facts.params {
			if p.Template != "" && !slices.Contains(p.offered, name) && !slices.Contains(p.appends, name) {
				return carom.Invalid(at, "the text that %s signs has %s, which neither the template nor `appends:` has: add it to one of them",
					facts.kind, clip(name))
			}
		}
		p.facts = append(p.facts, facts)
		p.reads |= facts.reads
		p.covers |= facts.covers
		p.how.bodyOnly = p.how.bodyOnly || facts.bodyOnly
		if facts.plusKept {
			p.how.plus = '+'
		}
		switch {
		case facts.kind == kindPathSecret: // compared first, without a block: it costs nothing
		case facts.keyList != "": // may have to wait, so everything else comes before
			last = append(last, b)
		default:
			p.blocks = append(p.blocks, b)
		}
	}
	p.blocks = append(p.blocks, last...)
	return p.checkProof(f)
}

// checkProof checks what the blocks prove together against what the profile says of itself.
func (p *Profile) checkProof(f *profileFile) error {
	signatures := 0
	p.Strength = carom.Address
	for i := range p.facts {
		switch facts := &p.facts[i]; {
		case facts.bodyOnly && !slices.Equal(p.Methods, []string{"POST"}):
			return carom.Invalid("methods", "%s covers the body alone: write [POST]", facts.kind)
		case facts.getOnly && !slices.Equal(p.Methods, []string{"GET"}):
			return carom.Invalid("methods", "%s covers the URL alone: write [GET]", facts.kind)
		case facts.strength == carom.Signed:
			signatures++
			p.Strength = carom.Signed
		case facts.strength == carom.Secret && p.Strength == carom.Address:
			p.Strength = carom.Secret
		}
	}
	p.setReversalCover()
	switch {
	case signatures > 1:
		return carom.Invalid("verify", "%d blocks compare a signature and a postback has one: leave one of them", signatures)
	case signatures == 1 && !p.covers.has(fieldTransactionID) && !p.WantsPathSecret():
		return carom.Invalid("verify", "the signature does not cover transaction_id, "+
			"so one valid URL would be good for any number of transactions: add `- path_secret: {}`")
	case p.KeyList() != "" && !p.WantsPathSecret():
		return carom.Invalid("verify", "the keys of a public list sign for every publisher, so anybody with an account could have a postback of their own signed: add `- path_secret: {}`")
	case signatures == 1 && p.reversalOf.name != "" && !slices.ContainsFunc(p.facts, func(f facts) bool { return f.all }):
		return carom.Invalid("reversal.of", "the signature does not cover it, so anybody could say which transaction is taken back: leave it out")
	case carom.Strength(f.Strength) != p.Strength:
		return carom.Invalid("strength", "%q is not what the blocks amount to: write %s", clip(f.Strength), p.Strength)
	case (f.Evidence == evidenceSecret) == (p.Strength == carom.Signed):
		return carom.Invalid("evidence", "%q does not fit the strength %s: secret only is for what is not signed", f.Evidence, p.Strength)
	}
	said, err := fieldList("covers", f.Covers, 0)
	if err != nil {
		return err
	}
	if setOf(said...) != p.covers {
		return carom.Invalid("covers", "it is not what the blocks cover: write [%s]", strings.Join(p.covers.names(), ", "))
	}
	return nil
}

// fact finds what is known of the profile's block of a kind; nil when it has none.
func (p *Profile) fact(kind string) *facts {
	for i := range p.facts {
		if p.facts[i].kind == kind {
			return &p.facts[i]
		}
	}
	return nil
}

// setReversalCover settles whether the event type is covered where other fields can turn it into a reversal.
func (p *Profile) setReversalCover() {
	var by fieldSet
	if p.reversalPrefix != "" {
		by |= setOf(fieldTransactionID)
	}
	if p.reversalNegative {
		by |= setOf(fieldAmount)
	}
	if by == 0 {
		return
	}
	if p.mapped.has(fieldEventType) {
		by |= setOf(fieldEventType)
	}
	if by&^p.covers == 0 {
		p.covers |= setOf(fieldEventType)
	} else {
		p.covers &^= setOf(fieldEventType)
	}
}
