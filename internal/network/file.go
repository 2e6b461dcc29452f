package network

import (
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"carom"
)

// profileFile is the shape of a profile's file. docs/networks/README.md explains each key.
type profileFile struct {
	Title      string               `yaml:"title"`
	Docs       string               `yaml:"docs"`
	Sources    []string             `yaml:"sources"`
	Evidence   string               `yaml:"evidence"`
	Strength   string               `yaml:"strength"`
	Covers     []string             `yaml:"covers"`
	Setup      string               `yaml:"setup"`
	Message    string               `yaml:"message"`
	OwnID      string               `yaml:"own_id"`
	Verify     []blockFile          `yaml:"verify"`
	Methods    []string             `yaml:"methods"`
	Unwrap     string               `yaml:"unwrap"`
	Template   string               `yaml:"template"`
	Complete   bool                 `yaml:"complete"`
	Appends    []string             `yaml:"appends"`
	Fields     map[string][]string  `yaml:"fields"`
	Transforms map[string]transform `yaml:"transforms"`
	Constants  constantsFile        `yaml:"constants"`
	Values     map[string][]string  `yaml:"values"`
	EventTypes map[string][]string  `yaml:"event_types"`
	Reversal   reversalFile         `yaml:"reversal"`
	Tests      []map[string]string  `yaml:"tests"`
	Identity   []string             `yaml:"identity"`
	Dedupe     []string             `yaml:"dedupe"`
	NoID       bool                 `yaml:"no_id"`
	Answers    answersFile          `yaml:"answers"`
}

// constantsFile is what every postback of the network means when it does not say otherwise.
type constantsFile struct {
	EventType       string `yaml:"event_type"`
	RewardEventType string `yaml:"reward_event_type"`
}

// reversalFile says what makes a postback a reversal, besides its event type.
type reversalFile struct {
	TransactionPrefix string `yaml:"transaction_prefix"`
	NegativeAmount    bool   `yaml:"negative_amount"`
	Of                string `yaml:"of"`
}

// LoadProfile reads the profile called name from data, the content of file: one that is built in, or an operator's own. All
// are checked alike.
//
// An error is a *carom.FieldError with file, line, column, key and fix. It is carom.ErrInvalid.
func LoadProfile(name, file string, data []byte) (*Profile, error) {
	var f profileFile
	if err := yaml.UnmarshalWithOptions(data, &f, yaml.Strict()); err != nil {
		fault := &carom.FieldError{File: file, Line: 1, Column: 1, Message: err.Error()}
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
		Name: name, Title: f.Title, Docs: f.Docs, Sources: f.Sources, Evidence: f.Evidence, Methods: f.Methods,
		Setup: f.Setup, Message: f.Message, OwnID: f.OwnID, NoID: f.NoID,
		Template: f.Template, Complete: f.Complete, appends: f.Appends, how: reading{plus: ' ', unwrap: f.Unwrap},
	}
	for _, step := range []func(*profileFile) error{
		p.setFacts, p.setFields, p.setTransforms, p.setWords, p.setTuples, p.setTests, p.setTemplate, p.setAnswers, p.setVerify, p.setDedupe,
	} {
		if err := step(&f); err != nil {
			return nil, locate(err, file, data)
		}
	}
	return p, nil
}

// locate adds to a fault in what a profile says the file and the place of its key, or of the nearest key around it.
func locate(err error, file string, data []byte) error {
	var fault *carom.FieldError
	if !errors.As(err, &fault) {
		return err
	}
	at := *fault
	at.File, at.Line, at.Column = file, 1, 1
	tree, treeErr := parser.ParseBytes(data, 0)
	if treeErr != nil {
		return &at
	}
	var node ast.Node
	for key := at.Field; key != "" && node == nil; key = key[:max(strings.LastIndexAny(key, ".["), 0)] {
		if path, pathErr := yaml.PathString("$." + key); pathErr == nil {
			node, _ = path.FilterFile(tree) // an error means that there is no such key, so the one around it is looked for
		}
	}
	if node != nil && node.GetToken() != nil && node.GetToken().Position != nil {
		at.Line, at.Column = node.GetToken().Position.Line, node.GetToken().Position.Column
	}
	return &at
}

// What a profile's verification can rest on.
const (
	evidenceVector  = "vector"       // a published signature, recomputed here
	evidenceFormula = "formula only" // the network's rule, with no published signature to hold it against
	evidenceSecret  = "secret only"  // the network does not sign
)

func (p *Profile) setFacts(f *profileFile) error {
	switch {
	case f.Title == "":
		return carom.Invalid("title", "the network's own name is missing: add it")
	case f.Docs == "":
		return carom.Invalid("docs", "the network's page on postbacks is missing: add it")
	case len(f.Sources) == 0:
		return carom.Invalid("sources", "no page is listed: add those that the facts were read in, with the date")
	case !slices.Contains([]string{evidenceVector, evidenceFormula, evidenceSecret}, f.Evidence):
		return carom.Invalid("evidence", "%q is none of vector, formula only, secret only", clip(f.Evidence))
	case f.Setup != "paste" && f.Setup != "manager":
		return carom.Invalid("setup", "%q is neither paste nor manager: say who enters the URL at the network", clip(f.Setup))
	case (f.Setup == "manager") != strings.Contains(f.Message, "{url}"):
		return carom.Invalid("message", "a network that its manager sets up needs the text to send them, with {url} in it, and no other has one: correct it")
	case f.OwnID == "":
		return carom.Invalid("own_id", "where the app sets the id that comes back is missing: add a sentence")
	case len(f.Methods) == 0:
		return carom.Invalid("methods", "no method is listed: add GET, POST or both")
	}
	for _, method := range f.Methods {
		if method != "GET" && method != "POST" {
			return carom.Invalid("methods", "%q is neither GET nor POST", clip(method))
		}
	}
	return nil
}

func (p *Profile) setFields(f *profileFile) error {
	p.names = make(map[string]field)
	for _, name := range slices.Sorted(maps.Keys(f.Fields)) {
		to, ok := fieldNamed(name)
		if !ok {
			return carom.Invalid("fields."+name, "an event has no such field: use one of %s", (fieldSet(1)<<fieldCount - 1).String())
		}
		p.aliases[to] = f.Fields[name]
	}
	for to, aliases := range p.aliases {
		for _, alias := range aliases {
			if err := p.addAlias(field(to), alias); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *Profile) addAlias(to field, alias string) error {
	at := "fields." + to.String()
	p.mapped |= setOf(to)
	if name, ok := headerAlias(alias); ok {
		if _, taken := p.headerField(name); taken || len(p.headers) == maxHeaders {
			return carom.Invalid(at, "the header %q is read already, or there are more than %d", clip(name), maxHeaders)
		}
		p.headers = append(p.headers, headerField{name, to})
		return nil
	}
	other, taken := p.names[alias]
	switch {
	case alias == "":
		return carom.Invalid(at, "a name is empty: remove it")
	case taken && other == to:
		return carom.Invalid(at, "%q stands twice: leave it once", clip(alias))
	case taken:
		return carom.Invalid(at, "%q stands for %s already: leave it in one of them", clip(alias), other)
	}
	p.names[alias] = to
	return nil
}

func (p *Profile) setTransforms(f *profileFile) error {
	for name, t := range f.Transforms {
		to, ok := fieldNamed(name)
		if !ok || to.proof() || !p.mapped.has(to) {
			return carom.Invalid("transforms."+name, "the profile fills no such field: name one of %s", p.eventFields())
		}
		p.transforms[to] = t
		p.changed |= setOf(to)
	}
	p.reversalPrefix, p.reversalNegative, p.reversalOf = f.Reversal.TransactionPrefix, f.Reversal.NegativeAmount, refTo(f.Reversal.Of)
	switch {
	case p.reversalOf.isField, p.reversalOf.name != "" && !p.mapped.has(fieldTransactionID):
		return carom.Invalid("reversal.of", "it is the name of a parameter that no field has, of a network that sends transaction_id as well: correct it")
	case p.reversalPrefix != "" && !p.mapped.has(fieldTransactionID):
		return carom.Invalid("reversal.transaction_prefix", "nothing fills transaction_id: add it under `fields:`")
	case p.reversalNegative && !p.mapped.has(fieldAmount):
		return carom.Invalid("reversal.negative_amount", "nothing fills reward_amount: add it under `fields:`")
	}
	return nil
}

func (p *Profile) setWords(f *profileFile) error {
	p.values = make(map[string]carom.RewardEventType)
	for _, value := range slices.Sorted(maps.Keys(f.Values)) {
		if v := carom.RewardEventType(value); v != carom.Valued && v != carom.NotValued {
			return carom.Invalid("values."+value, "a value is %s or %s", carom.Valued, carom.NotValued)
		}
		for _, word := range f.Values[value] {
			if _, taken := p.values[fold(word)]; taken {
				return carom.Invalid("values."+value, "the word %q stands twice: leave it once", clip(word))
			}
			p.values[fold(word)] = carom.RewardEventType(value)
		}
	}
	p.types = make(map[string]carom.EventType)
	for _, eventType := range slices.Sorted(maps.Keys(f.EventTypes)) {
		for _, word := range f.EventTypes[eventType] {
			if _, taken := p.types[fold(word)]; taken {
				return carom.Invalid("event_types."+eventType, "the word %q stands twice: leave it once", clip(word))
			}
			p.types[fold(word)] = carom.EventType(eventType)
		}
	}
	p.constantType, p.constantValue = carom.EventType(f.Constants.EventType), carom.RewardEventType(f.Constants.RewardEventType)
	switch {
	case p.constantType == "" && !p.mapped.has(fieldEventType):
		return carom.Invalid("constants.event_type", "nothing says what happened: add the event type, such as completion, or fill event_type under `fields:`")
	case p.constantValue != "" && p.constantValue != carom.Valued && p.constantValue != carom.NotValued:
		return carom.Invalid("constants.reward_event_type", "a value is %s or %s", carom.Valued, carom.NotValued)
	}
	return nil
}

func (p *Profile) setTuples(f *profileFile) (err error) {
	if p.identity, err = fieldList("identity", f.Identity, 1); err != nil {
		return err
	}
	for _, who := range p.identity {
		if who != fieldYMID && who != fieldTelegramID && who != fieldUserID || !p.mapped.has(who) {
			return carom.Invalid("identity", "%s does not say whose event it is, or nothing fills it: use ymid, user_id or telegram_id", who)
		}
	}
	least := 1
	if f.NoID {
		least = 0
	}
	rests := setOf(append(slices.Clone(p.identity), fieldTransactionID, fieldEventType, fieldValue, fieldSignature, fieldSecret)...)
	for f := range fieldCount {
		if (p.mapped &^ rests).has(f) {
			p.loose = append(p.loose, f)
		}
	}
	p.dedupe, err = fieldList("dedupe", f.Dedupe, least)
	p.byTransaction = slices.Contains(p.dedupe, fieldTransactionID)
	return err
}

// setDedupe checks that the tuple can tell events apart.
func (p *Profile) setDedupe(*profileFile) error {
	for _, f := range p.dedupe {
		if f.proof() || !p.mapped.has(f) && f != fieldEventType && f != fieldValue {
			return carom.Invalid("dedupe", "nothing fills %s: leave it out, or add it under `fields:`", f)
		}
	}
	switch {
	case p.NoID && len(p.dedupe) > 0:
		return carom.Invalid("dedupe", "a network without any id has no tuple: leave dedupe out, or no_id")
	case p.NoID:
	case p.mapped.has(fieldTransactionID) && !p.byTransaction:
		return carom.Invalid("dedupe", "it lacks transaction_id, which the network sends: add it")
	case !p.byTransaction && !slices.Contains(p.dedupe, fieldYMID):
		return carom.Invalid("dedupe", "it holds neither transaction_id nor ymid: add one, or write `no_id: true` where the network sends neither")
	case p.eventFields().has(fieldEventType) && !slices.Contains(p.dedupe, fieldEventType):
		return carom.Invalid("dedupe", "it lacks event_type, so a reversal would be a copy of what it takes back: add it")
	}
	return nil
}

func (p *Profile) setTests(f *profileFile) error {
	for _, rules := range f.Tests {
		var all []testRule
		for _, name := range slices.Sorted(maps.Keys(rules)) {
			r := refTo(name)
			if rules[name] == "" || r.isField && r.field.proof() {
				return carom.Invalid("tests", "the condition on %q is empty or on a proof: write the word to expect, or \"*\" for any", clip(name))
			}
			all = append(all, testRule{r, fold(rules[name])})
		}
		if len(all) == 0 {
			return carom.Invalid("tests", "a rule without a condition would make everything a test: add one")
		}
		p.tests = append(p.tests, all)
	}
	return nil
}

// setTemplate reads how the network spells the macro of each field from the template that publishers paste. Macros are not
// percent-encoded, whatever percent signs they hold.
func (p *Profile) setTemplate(f *profileFile) error {
	if f.Template == "" {
		if len(f.Appends) > 0 {
			return carom.Invalid("appends", "a network without a template adds all of its parameters: leave it out")
		}
		return nil
	}
	for pair := range strings.SplitSeq(f.Template, "&") {
		name, macro, _ := strings.Cut(pair, "=")
		if name == "" || !literalMacro(macro) {
			return carom.Invalid("template", "%q is not a parameter with a macro for its value", clip(pair))
		}
		p.offered = append(p.offered, name)
		if to, ok := p.names[name]; ok {
			p.macros[to] = macro
		}
	}
	for to, names := range p.aliases {
		fromHeader := func(name string) bool { _, header := headerAlias(name); return header }
		appended := func(name string) bool { return slices.Contains(p.appends, name) }
		if len(names) > 0 && p.macros[to] == "" && !slices.ContainsFunc(names, fromHeader) && !slices.ContainsFunc(names, appended) {
			return carom.Invalid("template", "it lacks %s: add the parameter with the network's macro, or name it under `appends:`", field(to))
		}
	}
	return nil
}

// fieldList reads a list of names of fields, of which there must be at least so many.
func fieldList(key string, names []string, least int) ([]field, error) {
	if len(names) < least {
		return nil, carom.Invalid(key, "no field is listed: add at least one")
	}
	fields := make([]field, len(names))
	for i, name := range names {
		f, ok := fieldNamed(name)
		if !ok {
			return nil, carom.Invalid(key, "an event has no field %q", clip(name))
		}
		fields[i] = f
	}
	return fields, nil
}
