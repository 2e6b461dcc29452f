// Package network holds what each ad network says, how to verify it, and what to answer.
//
// A network is data: one file under profiles/, read by the general code here. A profile bound to a source ([Profile.Bind])
// verifies what arrives ([Binding.Verify]), turns a received postback into an event or a refusal with its dedupe key
// ([Binding.Judge]), and spells the answer in the network's words ([Profile.Answer]). The package stands between ingest,
// which reads requests, and the store, which decides duplicates.
//
// Everything here is pure and immutable once built: it keeps no state, reads no clock, logs nothing, and is safe for
// concurrent use. It trusts nothing in a request; whatever arrives ends in an event or in a refusal that names the field.
package network

import (
	"embed"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"

	"carom"
)

//go:embed profiles/*.yaml
var profileFiles embed.FS

// Profile describes one ad network. It is shared and must not be changed.
type Profile struct {
	Name     string         // "monetag": the name of its file, and what a source calls it
	Title    string         // "Monetag": the network's own name, for people
	Docs     string         // the network's page on postbacks
	Evidence string         // what the verification rests on: "vector", "formula only" or "secret only"
	Strength carom.Strength // how strongly its events are verified
	Methods  []string       // HTTP methods that the network uses
	Template string         // the query of the URL to paste at the network, macros as the network spells them

	names    map[string]field // parameter names, aliases included
	macros   [fieldCount]string
	values   map[string]carom.RewardEventType // words in lower case
	types    map[string]carom.EventType       // words in lower case
	identity []field
	dedupe   []field
	answers  map[Outcome]answer
}

// field is a place in an event that a profile can fill from a parameter.
type field uint8

const (
	fieldYMID field = iota
	fieldZoneID
	fieldSubZoneID
	fieldRequestVar
	fieldTelegramID
	fieldEventType
	fieldValue
	fieldPrice
	fieldCount
)

// String is the field's name in profiles, refusals and JSON.
func (f field) String() string {
	return [fieldCount]string{
		"ymid", "zone_id", "sub_zone_id", "request_var", "telegram_id", "event_type", "reward_event_type", "estimated_price",
	}[f]
}

// fieldNamed finds the field called name.
func fieldNamed(name string) (field, bool) {
	for f := range fieldCount {
		if f.String() == name {
			return f, true
		}
	}
	return 0, false
}

// verifyPathSecret is the verification block that compares the secret in the request's path, see [Binding.Verify].
const verifyPathSecret = "path_secret"

// profileFile is the shape of a file under profiles/.
type profileFile struct {
	Title      string              `yaml:"title"`
	Docs       string              `yaml:"docs"`
	Evidence   string              `yaml:"evidence"`
	Verify     string              `yaml:"verify"`
	Methods    []string            `yaml:"methods"`
	Template   string              `yaml:"template"`
	Fields     map[string][]string `yaml:"fields"`
	Values     map[string][]string `yaml:"values"`
	EventTypes map[string][]string `yaml:"event_types"`
	Identity   []string            `yaml:"identity"`
	Dedupe     []string            `yaml:"dedupe"`
	Answers    answersFile         `yaml:"answers"`
}

// Profiles reads the profiles that are built into the binary, by name.
//
// An unknown key, a word that means two things, or a name that no block knows is an error that names file, line (for what
// the file's syntax shows) and fix. It is carom.ErrInvalid.
func Profiles() (map[string]*Profile, error) {
	files, err := profileFiles.ReadDir("profiles")
	if err != nil {
		return nil, fmt.Errorf("list profiles: %w", err)
	}
	profiles := make(map[string]*Profile, len(files))
	for _, file := range files {
		data, err := profileFiles.ReadFile("profiles/" + file.Name())
		if err != nil {
			return nil, fmt.Errorf("read profile: %w", err)
		}
		name := strings.TrimSuffix(file.Name(), ".yaml")
		if profiles[name], err = parseProfile(name, file.Name(), data); err != nil {
			return nil, err
		}
	}
	return profiles, nil
}

// parseProfile reads the profile called name from a file's content.
func parseProfile(name, file string, data []byte) (*Profile, error) {
	var f profileFile
	if err := yaml.UnmarshalWithOptions(data, &f, yaml.Strict()); err != nil {
		fault := &carom.FieldError{File: file, Message: err.Error()}
		var at yaml.Error
		if errors.As(err, &at) {
			fault.Message = at.GetMessage()
			if token := at.GetToken(); token != nil && token.Position != nil {
				fault.Line, fault.Column, fault.Field = token.Position.Line, token.Position.Column, token.Value
			}
		}
		return nil, fault
	}
	p := &Profile{
		Name: name, Title: f.Title, Docs: f.Docs, Evidence: f.Evidence,
		Strength: carom.Secret, Methods: f.Methods, Template: f.Template,
	}
	for _, step := range []func(*profileFile) error{p.setFacts, p.setFields, p.setWords, p.setTuples, p.setTemplate, p.setAnswers} {
		if err := step(&f); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
	}
	return p, nil
}

func (p *Profile) setFacts(f *profileFile) error {
	switch {
	case f.Title == "":
		return carom.Invalid("title", "the network's own name is missing: add it")
	case f.Docs == "":
		return carom.Invalid("docs", "the network's page on postbacks is missing: add it")
	case !slices.Contains([]string{"vector", "formula only", "secret only"}, f.Evidence):
		return carom.Invalid("evidence", "%q is none of vector, formula only, secret only", f.Evidence)
	case f.Verify != verifyPathSecret:
		return carom.Invalid("verify", "%q is not a verification that carom has: use %s", f.Verify, verifyPathSecret)
	case len(f.Methods) == 0:
		return carom.Invalid("methods", "no method is listed: add GET, POST or both")
	}
	for _, method := range f.Methods {
		if method != "GET" && method != "POST" {
			return carom.Invalid("methods", "%q is neither GET nor POST", method)
		}
	}
	return nil
}

func (p *Profile) setFields(f *profileFile) error {
	p.names = make(map[string]field)
	for name, aliases := range f.Fields {
		to, ok := fieldNamed(name)
		if !ok {
			return carom.Invalid("fields."+name, "an event has no such field")
		}
		for _, alias := range aliases {
			if other, taken := p.names[alias]; taken {
				return carom.Invalid("fields."+name, "%q stands for %s already: leave it in one of them", alias, other)
			}
			p.names[alias] = to
		}
	}
	return nil
}

func (p *Profile) setWords(f *profileFile) error {
	p.values = make(map[string]carom.RewardEventType)
	for value, words := range f.Values {
		if v := carom.RewardEventType(value); v != carom.Valued && v != carom.NotValued {
			return carom.Invalid("values."+value, "a value is %s or %s", carom.Valued, carom.NotValued)
		}
		for _, word := range words {
			if _, taken := p.values[fold(word)]; taken {
				return carom.Invalid("values."+value, "the word %q stands twice: leave it once", word)
			}
			p.values[fold(word)] = carom.RewardEventType(value)
		}
	}
	p.types = make(map[string]carom.EventType)
	for eventType, words := range f.EventTypes {
		for _, word := range words {
			if _, taken := p.types[fold(word)]; taken {
				return carom.Invalid("event_types."+eventType, "the word %q stands twice: leave it once", word)
			}
			p.types[fold(word)] = carom.EventType(eventType)
		}
	}
	return nil
}

func (p *Profile) setTuples(f *profileFile) (err error) {
	if p.identity, err = fieldList("identity", f.Identity); err != nil {
		return err
	}
	p.dedupe, err = fieldList("dedupe", f.Dedupe)
	return err
}

// setTemplate reads how the network spells the macro of each field from the template that publishers paste.
func (p *Profile) setTemplate(f *profileFile) error {
	params, no := appendQuery(nil, f.Template)
	if no != nil {
		return carom.Invalid("template", "%s", no.detail)
	}
	for _, param := range params {
		to, ok := p.names[param.name]
		if !ok || !literalMacro(param.value) {
			return carom.Invalid("template", "%s is not a parameter of the profile with a macro for its value", param.name)
		}
		p.macros[to] = param.value
	}
	for name := range f.Fields {
		if to, _ := fieldNamed(name); p.macros[to] == "" {
			return carom.Invalid("template", "it lacks %s: add the parameter with the network's macro", name)
		}
	}
	return nil
}

// fieldList reads a list of names of fields, of which there must be at least one.
func fieldList(key string, names []string) ([]field, error) {
	if len(names) == 0 {
		return nil, carom.Invalid(key, "no field is listed: add at least one")
	}
	fields := make([]field, len(names))
	for i, name := range names {
		f, ok := fieldNamed(name)
		if !ok {
			return nil, carom.Invalid(key, "an event has no field %q", name)
		}
		fields[i] = f
	}
	return fields, nil
}

// fold brings a word into the form that it is looked up in. It allocates only for words with capitals.
func fold(word string) string { return strings.ToLower(strings.TrimSpace(word)) }
