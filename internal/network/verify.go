package network

import (
	"context"
	"crypto"
	"crypto/subtle"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"carom"
)

// Request is a received postback as it arrived, with its secrets. It is never stored.
type Request struct {
	Method      string
	Path        string // escaped, as sent
	RawQuery    string // as sent
	ContentType string
	Secret      string // what stands in the path where the path secret belongs; empty when nothing does
	Header      http.Header
	Body        []byte
	Client      netip.Addr

	// kept says that this is what was journaled of an earlier request, which had the right secrets: they are not there any more.
	kept bool
}

// KeptRequest is the request that a journaled postback came in, as far as it was kept. Its signature can be verified again;
// secrets that were sent as they are were right when it came and count as such, since only what was verified is journaled as an
// event or a refusal.
func KeptRequest(r *carom.Received) *Request {
	out := &Request{Method: r.Method, Path: r.Path, RawQuery: r.RawQuery, ContentType: r.ContentType, Header: http.Header{}, Body: r.Body, Client: r.Client, kept: true}
	for _, h := range r.Header {
		out.Header.Add(h.Name, h.Value)
	}
	return out
}

// Keys finds the public keys that networks publish. An implementation keeps lists for a while and fetches them again.
type Keys interface {
	// Key returns the public key with that id from the list at url. It returns carom.ErrNotFound when a fresh list lacks it,
	// and carom.ErrUnavailable when there is no fresh list: then the postback is neither accepted nor refused.
	Key(ctx context.Context, url, id string) (crypto.PublicKey, error)
}

// Proof is what came of verifying a request. The zero value proves nothing.
type Proof struct {
	Verified bool
	TryLater bool           // nothing can be said now: the network's key list is out of reach
	Reason   carom.Reason   // why it is not verified; empty when it is, or when nothing can be said
	Strength carom.Strength // how it was verified; empty when it was not

	signature string // the same text for every way to write one valid signature down; empty when nothing is signed
}

// Verify checks everything that proves a postback of the source: the profile's blocks, a path secret if the source has one, and
// the sender's address if the source asks for it. All must pass.
//
// keys is asked only by profiles with a key list, after everything else has passed, and may be nil for the others. Secrets and
// signatures are compared in constant time, with every one that counts at now.
func (b *Binding) Verify(ctx context.Context, r *Request, now time.Time, keys Keys) Proof {
	if len(b.Source.Secrets) > 0 && !r.kept && !b.matchesPath(r.Secret, now) {
		return Proof{Reason: carom.ReasonWrongSecret}
	}
	if b.Source.RequireAddress && !b.listed(r.Client) {
		return Proof{Reason: carom.ReasonWrongAddress}
	}
	proof := Proof{Verified: true, Strength: b.Profile.Strength}
	if len(b.Profile.blocks) > 0 {
		x := &exam{ctx: ctx, b: b, r: r, now: now, keys: keys}
		for _, block := range b.Profile.blocks {
			if found := block.check(x); !found.ok {
				return Proof{Reason: found.reason, TryLater: found.later}
			} else if found.signature != "" {
				proof.signature = found.signature
			}
		}
	}
	return proof
}

// exam is one request while blocks look at it.
type exam struct {
	ctx   context.Context
	b     *Binding
	r     *Request
	now   time.Time
	keys  Keys
	trace *Check // what is told to a person; nil when nobody asks
	sign  *maker // makes a signature in place of comparing one; nil when one is compared

	loaded bool
	no     *refusal
	params []param
	m      mapped // holds the fields that blocks read, and no others
}

// load reads the parameters and headers, once. Both here and in Judge a field that came twice with different values is a
// refusal, so that what was proved and what is used cannot differ.
func (x *exam) load() *refusal {
	if x.loaded {
		return x.no
	}
	x.loaded = true
	p := x.b.Profile
	if x.params, x.no = p.how.appendSent(make([]param, 0, 24), x.r.Method, x.r.RawQuery, x.r.ContentType, x.r.Body); x.no != nil {
		return x.no
	}
	for i := range x.params {
		if to := x.b.targets[x.params[i].name]; to.kind == targetMapped && p.reads.has(to.to) {
			if x.no = x.m.take(to.to, x.params[i]); x.no != nil {
				return x.no
			}
		}
	}
	for _, h := range p.headers {
		values := x.r.Header[h.name]
		if len(values) > 1 {
			x.no = refuse(carom.ReasonRepeated, "the header %s came more than once: send it once", h.name)
			return x.no
		}
		if len(values) == 1 && p.reads.has(h.to) {
			if x.no = x.m.take(h.to, param{name: h.name, value: values[0]}); x.no != nil {
				return x.no
			}
		}
	}
	return nil
}

// signed notes for a person what was signed.
func (x *exam) signed(text []byte) {
	if x.trace != nil {
		x.trace.Signed = string(text)
	}
}

const (
	kindPathSecret = "path_secret"
	kindSecret     = "secret"
)

// pathSecret is the block that compares the secret in the request's path.
type pathSecret struct{}

func (pathSecret) facts(*Profile) facts {
	return facts{kind: kindPathSecret, rule: "the secret in the path of the URL", strength: carom.Secret}
}

func (pathSecret) check(x *exam) finding {
	if x.r.kept {
		return finding{ok: true, detail: "it was right when the postback came, and was not kept"}
	}
	if !x.b.matchesPath(x.r.Secret, x.now) {
		return failed(carom.ReasonWrongSecret, "the path does not hold a secret that counts at this time")
	}
	return passed("")
}

// sentSecret is the block that compares a secret that the network sends as it is, in the field `secret`.
type sentSecret struct{}

func (sentSecret) facts(*Profile) facts {
	return facts{kind: kindSecret, rule: "a secret that the network sends along", strength: carom.Secret, reads: setOf(fieldSecret), networkSecret: true}
}

func (sentSecret) check(x *exam) finding {
	if no := x.load(); no != nil {
		return failed(carom.ReasonWrongSecret, "%s", no.detail)
	}
	sent := []byte(x.m.values[fieldSecret])
	names := x.b.Profile.aliasList(fieldSecret)
	match := 0
	for i := range x.b.keys {
		if key := &x.b.keys[i]; key.live(x.now) {
			match |= subtle.ConstantTimeCompare(sent, []byte(key.text))
		}
	}
	switch {
	case match == 1:
		return passed("")
	case len(sent) == 0:
		return failed(carom.ReasonWrongSecret, "no secret was sent as %s", names)
	case string(sent) == hidden && x.r.kept:
		return finding{ok: true, detail: "it was right when the postback came, and was hidden then"}
	case string(sent) == hidden:
		return failed(carom.ReasonWrongSecret, "%s was hidden when the postback was journaled, so nothing can be said about it now", names)
	}
	return failed(carom.ReasonWrongSecret, "%s does not hold a network secret that counts at this time", names)
}

// hidden stands for a secret in what is kept.
const hidden = "***"

// Hide replaces the secret that the network sends along, right or wrong, by "***" in r. It does nothing for a network that
// sends none.
func (b *Binding) Hide(r *carom.Received) {
	if !b.Profile.SendsNetworkSecret() {
		return
	}
	r.RawQuery = b.hideIn(r.RawQuery)
	media, _, _ := strings.Cut(r.ContentType, ";")
	if len(r.Body) > 0 && (fold(media) == "application/x-www-form-urlencoded" || media == "") {
		r.Body = []byte(b.hideIn(string(r.Body)))
	}
	for i := range b.keys {
		if text := b.keys[i].text; strings.Contains(string(r.Body), text) {
			r.Body = []byte(strings.ReplaceAll(string(r.Body), text, hidden))
		}
	}
}

// hideIn hides the secret's parameter in a raw query or form.
func (b *Binding) hideIn(raw string) string {
	var out strings.Builder
	for i, pair := range strings.Split(raw, "&") {
		if i > 0 {
			out.WriteByte('&')
		}
		name, _, found := strings.Cut(pair, "=")
		decoded, ok := unescape(name, b.Profile.how.plus)
		if to := b.targets[decoded]; found && ok && to.kind == targetMapped && to.to == fieldSecret {
			pair = name + "=" + hidden
		}
		out.WriteString(pair)
	}
	return out.String()
}

// address is the block of a network that nothing but its address speaks for. Whether the address counts is settled for every
// profile by the source, see [Profile.Bind] and [Binding.Verify].
type address struct{}

func (address) facts(*Profile) facts {
	return facts{kind: "address", rule: "the address that the postback comes from", strength: carom.Address}
}

func (address) check(x *exam) finding {
	if x.b.listed(x.r.Client) || !x.b.Source.RequireAddress {
		return passed("")
	}
	return failed(carom.ReasonWrongAddress, "the source does not list the address %s", x.r.Client)
}
