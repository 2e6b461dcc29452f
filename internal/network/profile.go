// Package network holds what each ad network says, how to verify it, and what to answer.
//
// A network is data: one file under profiles/, read by the general code here. A profile bound to a source ([Profile.Bind])
// verifies what arrives ([Binding.Verify]), turns a received postback into an event or a refusal with its dedupe key
// ([Binding.Judge]), and spells the answer in the network's words ([Profile.Answer]). The package stands between ingest,
// which reads requests, and the store, which decides duplicates.
//
// Everything here is immutable once built: it keeps no state, reads no clock, logs nothing, and is safe for concurrent use.
// The one thing that it may wait for, a network's published keys, is handed in as [Keys]. It trusts nothing in a request;
// whatever arrives ends in an event or in a refusal that names the field. No secret is in an error or an explanation.
package network

import (
	"embed"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"carom"
)

//go:embed profiles/*.yaml
var profileFiles embed.FS

// Profile describes one ad network. It is shared and must not be changed.
type Profile struct {
	Name     string         // "monetag": the name of its file, and what a source calls it
	Title    string         // "Monetag": the network's own name, for people
	Docs     string         // the network's page on postbacks
	Sources  []string       // the pages and files that the facts were read in
	Evidence string         // what the verification rests on: "vector", "formula only" or "secret only"
	Strength carom.Strength // how strongly its events are verified
	Methods  []string       // HTTP methods that the network uses
	Template string         // the query of the URL to paste at the network, macros as the network spells them; empty: it adds its own
	Complete bool           // the template names every macro that the network has
	Setup    string         // who enters the URL: "paste" or "manager"
	Message  string         // for "manager": what to send them, with {url} where the URL belongs
	OwnID    string         // a sentence: where the app sets the id that comes back as ymid or user_id
	NoID     bool           // nothing that it sends tells two events apart but all of it together

	aliases    [fieldCount][]string
	names      map[string]field // parameter names, aliases included
	headers    []headerField
	mapped     fieldSet // fields that have a name to arrive under
	macros     [fieldCount]string
	offered    []string // parameters of the template
	appends    []string // parameters that the network adds to its template by itself
	transforms [fieldCount]transform
	changed    fieldSet                         // fields that have a transform
	values     map[string]carom.RewardEventType // words in lower case
	types      map[string]carom.EventType       // words in lower case
	identity   []field
	loose      []field // what nothing rests on: a macro as text empties it
	dedupe     []field
	tests      [][]testRule
	answers    map[Outcome]answer

	byTransaction bool // the transaction is in dedupe

	constantType  carom.EventType       // of a postback that sends no type
	constantValue carom.RewardEventType // of one that sends no value

	reversalPrefix   string // of a transaction id: the rest is the transaction that is taken back
	reversalNegative bool   // a negative amount takes back
	reversalOf       ref    // what names the transaction that a reversal takes back; its name is empty for none

	how    reading
	facts  []facts
	blocks []block  // all but the path secret
	reads  fieldSet // by blocks
	covers fieldSet
}

// headerField is a header that fills a field.
type headerField struct {
	name string // canonical
	to   field
}

// testRule is one condition of a test request: what was sent as ref is word, or "*" for anything.
type testRule struct {
	ref  ref
	word string
}

// Profiles reads the profiles that are built into the binary, by name.
//
// An unknown key, a word that means two things, or a name that no block knows is an error that names file, line and fix. It
// is carom.ErrInvalid.
func Profiles() (map[string]*Profile, error) {
	builtIn, err := fs.Sub(profileFiles, "profiles")
	if err != nil {
		return nil, err
	}
	profiles := map[string]*Profile{}
	return profiles, addProfiles(profiles, builtIn)
}

// ProfilesIn are the built-in ones and an operator's own: each file NAME.yaml in the folder describes the network NAME. A name
// that is taken is an error, and so is a folder that cannot be read. An empty dir adds none.
func ProfilesIn(dir string) (map[string]*Profile, error) {
	profiles, err := Profiles()
	if err != nil || dir == "" {
		return profiles, err
	}
	if _, err := os.ReadDir(dir); err != nil {
		return nil, carom.Invalid("profiles", "the folder cannot be read (%v): correct the setting, or remove it", err)
	}
	return profiles, addProfiles(profiles, os.DirFS(dir))
}

func addProfiles(profiles map[string]*Profile, from fs.FS) error {
	files, err := fs.Glob(from, "*.yaml")
	if err != nil {
		return fmt.Errorf("list profiles: %w", err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(file, ".yaml")
		if err := carom.CheckName(file, name); err != nil {
			return err
		}
		if profiles[name] != nil || name == carom.ProfileAPI || name == carom.ProfileSDK {
			return carom.Invalid(file, "carom has a profile %s of its own: give the file another name", name)
		}
		data, err := fs.ReadFile(from, file)
		if err != nil {
			return fmt.Errorf("read profile: %w", err)
		}
		if profiles[name], err = LoadProfile(name, file, data); err != nil {
			return err
		}
	}
	return nil
}

// WantsPathSecret reports whether the network's postbacks are proved by the secret in the URL's path, alone or besides a
// signature. A source has to have one then. A source of another profile may have one, and it counts as well.
func (p *Profile) WantsPathSecret() bool { return p.fact(kindPathSecret) != nil }

// NeedsNetworkSecret reports whether a source has to have a network secret: a key that the network signs with, or sends.
func (p *Profile) NeedsNetworkSecret() bool {
	return slices.ContainsFunc(p.facts, func(f facts) bool { return f.networkSecret })
}

// SendsNetworkSecret reports whether the network sends its secret as it is, so that it has to be hidden before a postback is
// kept: see [Binding.Hide].
func (p *Profile) SendsNetworkSecret() bool { return p.fact(kindSecret) != nil }

// NeedsPublicURL reports whether the network signs the address that carom is called under.
func (p *Profile) NeedsPublicURL() bool {
	return slices.ContainsFunc(p.facts, func(f facts) bool { return f.publicURL })
}

// KeyList is the address of the network's published keys, or empty.
func (p *Profile) KeyList() string {
	for i := range p.facts {
		if p.facts[i].keyList != "" {
			return p.facts[i].keyList
		}
	}
	return ""
}

// Headers are the canonical names of the headers to keep with a received postback: those that fields are read from, and those
// that a signature needs, so that a journaled postback can be verified again. A header that holds a secret is not among them.
func (p *Profile) Headers() []string {
	var names []string
	for _, h := range p.headers {
		if h.to != fieldSecret {
			names = append(names, h.name)
		}
	}
	for i := range p.facts {
		names = append(names, p.facts[i].headers...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Macros are those of the template, as the network writes them, in its order: "{ymid}", "[USER_ID]".
func (p *Profile) Macros() []string {
	var macros []string
	for pair := range strings.SplitSeq(p.Template, "&") {
		if _, macro, ok := strings.Cut(pair, "="); ok {
			macros = append(macros, macro)
		}
	}
	return macros
}

// Fields are the names of the event's fields that the network fills, such as "ymid" and "reward_amount".
func (p *Profile) Fields() []string { return p.eventFields().names() }

// eventFields is what may differ from one postback to another, as far as an event is concerned.
func (p *Profile) eventFields() fieldSet {
	s := p.mapped &^ setOf(fieldSignature, fieldSecret)
	if p.reversalPrefix != "" || p.reversalNegative {
		s |= setOf(fieldEventType)
	}
	return s
}

// Names are the parameters, and the headers as "header:name", that the field may arrive under; nil when it has none.
func (p *Profile) Names(name string) []string {
	f, ok := fieldNamed(name)
	if !ok {
		return nil
	}
	return slices.Clone(p.aliases[f])
}

// Covered reports whether the signature covers the field called name, so that nobody without the key can have altered it.
func (p *Profile) Covered(name string) bool {
	f, ok := fieldNamed(name)
	return ok && p.covers.has(f)
}

// NotCovered are the names of the fields that the network fills and its signature, if it has one, does not cover.
func (p *Profile) NotCovered() []string { return (p.eventFields() &^ p.covers).names() }

// Verification says in words what proves a postback, one sentence for each check.
func (p *Profile) Verification() []string {
	rules := make([]string, len(p.facts))
	for i := range p.facts {
		rules[i] = p.facts[i].rule
	}
	return rules
}

// fromParams is the set of event fields that arrive in nothing but parameters, without those named in exclude.
func (p *Profile) fromParams(exclude []string) fieldSet {
	s := p.mapped &^ setOf(fieldSignature, fieldSecret)
	for f, names := range p.aliases {
		for _, name := range names {
			if _, header := headerAlias(name); header || slices.Contains(exclude, name) {
				s &^= setOf(field(f))
			}
		}
	}
	return s
}

// headerField finds the field that the header fills.
func (p *Profile) headerField(name string) (field, bool) {
	for _, h := range p.headers {
		if h.name == name {
			return h.to, true
		}
	}
	return 0, false
}

// aliasList writes the names that f may arrive under, for people.
func (p *Profile) aliasList(f field) string { return strings.Join(p.aliases[f], " or ") }

// fold brings a word into the form that it is looked up in. It allocates only for words with capitals.
func fold(word string) string { return strings.ToLower(strings.TrimSpace(word)) }
