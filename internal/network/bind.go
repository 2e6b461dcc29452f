package network

import (
	"crypto/sha256"
	"crypto/subtle"
	"maps"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"carom"
)

// Binding is a profile bound to one source: everything needed to verify and judge what arrives there. It is shared and
// must not be changed.
type Binding struct {
	Profile *Profile
	Source  carom.Source // defaults filled in

	sourceID  string
	targets   map[string]target // parameter name to where it goes
	types     map[string]carom.EventType
	keys      []networkKey
	publicURL string // without a slash at its end
}

// networkKey is one of the source's network secrets, in the forms that blocks need.
type networkKey struct {
	text     string
	standard []byte // as the Standard Webhooks convention reads it, where a block asks for that
	notAfter time.Time
}

func (k *networkKey) live(now time.Time) bool { return k.notAfter.IsZero() || !now.After(k.notAfter) }

// target says where a parameter goes. The zero target is a further field under the parameter's own name.
type target struct {
	kind targetKind
	to   field  // for targetMapped
	name string // for targetFurther: the field's name when it is not the parameter's
}

type targetKind uint8

const (
	targetFurther targetKind = iota
	targetMapped
	targetStatic
)

// Bind makes the binding of p to the source s.
//
// names comes from the URL template that the publisher entered at the network, read backwards: parameter name to macro
// name without delimiters, in the network's spelling or carom's. It replaces the profile's aliases but for what the network
// adds by itself; nil keeps them. A macro that nobody knows becomes a further field of that name. static lists the template's
// parameters with literal text: they are never kept. publicURL is scheme, host and path prefix under which the network
// reaches carom, or empty when that is not configured.
//
// It returns a carom.FieldError when s lacks what its network's postbacks are proved by, since a source is never open, when a
// word or kind in s cannot be used, when a template lacks what every postback needs, and when the network signs the full
// URL and publicURL is empty.
func (p *Profile) Bind(s carom.Source, names map[string]string, static []string, publicURL string) (*Binding, error) {
	s = s.WithDefaults()
	b := &Binding{Profile: p, Source: s, sourceID: s.ID(), targets: make(map[string]target), types: maps.Clone(p.types)}
	at := "sources." + s.Name + "."
	if err := b.bindProof(at, publicURL); err != nil {
		return nil, err
	}
	switch s.YMID {
	case carom.YMIDView, carom.YMIDSession, carom.YMIDUser:
	default:
		return nil, carom.Invalid(at+"ymid", "%q is none of view, session, user", clip(string(s.YMID)))
	}
	if err := b.bindTypes(at + "event_types"); err != nil {
		return nil, err
	}
	if names == nil || p.Template == "" {
		for name, to := range p.names {
			b.targets[name] = target{kind: targetMapped, to: to}
		}
	}
	for _, name := range static {
		b.targets[name] = target{kind: targetStatic}
	}
	if names == nil {
		return b, nil
	}
	return b, b.bindNames(at+"template", names)
}

// bindProof checks that the source has what its postbacks are proved by.
func (b *Binding) bindProof(at, publicURL string) error {
	p, s := b.Profile, &b.Source
	switch {
	case p.WantsPathSecret() && len(s.Secrets) == 0 && p.Strength != carom.Signed:
		return carom.Invalid(at+"secrets", "%s does not sign, so the source needs a secret in its path: make one; a source is never open", p.Title)
	case p.WantsPathSecret() && len(s.Secrets) == 0:
		return carom.Invalid(at+"secrets", "the signature of %s does not cover the transaction, so the source needs a secret in its path as well: make one", p.Title)
	case p.NeedsNetworkSecret() && len(s.NetworkSecrets) == 0:
		return carom.Invalid(at+"network_secrets",
			"%s proves its postbacks with a key that both of you know: enter it; a source is never open", p.Title)
	case (s.RequireAddress || p.Strength == carom.Address) && len(s.Addresses) == 0:
		return carom.Invalid(at+"addresses", "the source asks for the network's address and lists none: list them")
	case p.Strength == carom.Address && !s.RequireAddress:
		return carom.Invalid(at+"require_address", "nothing but its address proves a postback of %s: set it to true", p.Title)
	}
	standard := false
	for i := range p.facts {
		standard = standard || p.facts[i].standardKey
	}
	for i, secret := range s.NetworkSecrets {
		key := networkKey{text: string(secret.Key), notAfter: secret.NotAfter}
		var ok bool
		if key.standard, ok = standardKey(key.text); standard && !ok {
			return carom.Invalid(at+"network_secrets",
				"secret %d is neither whsec_ and the base64 of at least 24 bytes nor a text of at least 16: enter it as the sender shows it", i+1)
		}
		if key.text == "" {
			return carom.Invalid(at+"network_secrets", "secret %d is empty: enter it, or leave it out", i+1)
		}
		b.keys = append(b.keys, key)
	}
	if !p.NeedsPublicURL() {
		return nil
	}
	u, err := url.Parse(publicURL)
	if publicURL == "" || err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return carom.Invalid(at+"profile", "%s signs the full URL that it calls, and carom is not told the address that it is reached under: "+
			"set the public URL, such as https://postbacks.example.com", p.Title)
	}
	b.publicURL = strings.TrimRight(publicURL, "/")
	return nil
}

// bindTypes adds the source's own words for event types.
func (b *Binding) bindTypes(at string) error {
	own := make(map[string]carom.EventType, len(b.Source.EventTypes))
	for word, eventType := range b.Source.EventTypes {
		key := fold(word)
		switch other, taken := own[key]; {
		case key == "" || eventType == "":
			return carom.Invalid(at, "a word or its event type is empty: give both")
		case taken && other != eventType:
			return carom.Invalid(at, "%q stands for both %s and %s, since case does not count: leave one", clip(key), other, eventType)
		}
		own[key] = eventType
	}
	maps.Copy(b.types, own)
	return nil
}

// bindNames takes the parameter names from a template. A network that adds all of its parameters by itself keeps its own names
// beside them.
func (b *Binding) bindNames(at string, names map[string]string) error {
	p := b.Profile
	var has fieldSet
	for _, name := range p.appends {
		if to, ok := p.names[name]; ok {
			b.targets[name] = target{kind: targetMapped, to: to}
			has |= setOf(to)
		}
	}
	for name, macro := range names {
		to, ok := p.names[macro]
		if !ok {
			to, ok = fieldNamed(macro)
			ok = ok && p.mapped.has(to)
		}
		if !ok {
			b.targets[name] = target{kind: targetFurther, name: macro}
			continue
		}
		b.targets[name] = target{kind: targetMapped, to: to}
		has |= setOf(to)
	}
	if p.Template == "" {
		return nil
	}
	for _, h := range p.headers {
		has |= setOf(h.to)
	}
	var who fieldSet
	for _, f := range p.identity {
		who |= setOf(f)
	}
	needed := p.reads
	for _, f := range p.dedupe {
		if f == fieldTransactionID {
			needed |= setOf(f)
		}
	}
	for i := range p.facts {
		for _, name := range p.facts[i].params {
			if _, own := names[name]; !own && !slices.Contains(p.appends, name) && !slices.Contains(slices.Collect(maps.Values(names)), name) {
				return carom.Invalid(at, "no parameter is the %s, which is part of what %s signs: add it as the network spells it", name, p.Title)
			}
		}
	}
	switch missing := needed &^ has; {
	case who&has == 0:
		return carom.Invalid(at, "no parameter says whose event it is: add %s", p.spelled(p.identity[0]))
	case !has.has(fieldEventType) && b.Source.DefaultEventType == "" && p.constantType == "":
		return carom.Invalid(at, "no parameter says what happened: add %s, or give the source a default_event_type", p.spelled(fieldEventType))
	case missing != 0:
		f, _ := fieldNamed(missing.names()[0])
		return carom.Invalid(at, "no parameter is the %s, which every postback of %s is proved and told apart by: add %s", f, p.Title, p.spelled(f))
	}
	return nil
}

// spelled writes the parameter for f as the publisher should add it at the network: "ymid={ymid}".
func (p *Profile) spelled(f field) string {
	if p.macros[f] == "" {
		return p.aliasList(f)
	}
	return p.aliases[f][0] + "=" + p.macros[f]
}

// matchesPath reports whether secret, as it stood in the path, is one that the source accepts at now.
//
// It compares sums in constant time and with every live one, so that the time taken tells nothing about them.
func (b *Binding) matchesPath(secret string, now time.Time) bool {
	sum := sha256.Sum256([]byte(secret))
	match := 0
	for i := range b.Source.Secrets {
		s := &b.Source.Secrets[i]
		if s.NotAfter.IsZero() || !now.After(s.NotAfter) {
			match |= subtle.ConstantTimeCompare(sum[:], s.Sum[:])
		}
	}
	return match == 1
}

// listed reports whether the source lists the address.
func (b *Binding) listed(client netip.Addr) bool {
	client = client.Unmap()
	for _, prefix := range b.Source.Addresses {
		if prefix.Contains(client) {
			return true
		}
	}
	return false
}
