package config

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/agnivade/levenshtein"
	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/providers/file"
	"github.com/knadh/koanf/providers/posflag"
	"github.com/knadh/koanf/providers/rawbytes"
	"github.com/knadh/koanf/v2"
	"github.com/spf13/pflag"

	"carom"
)

// Bounds of what is read: a settings file has some twenty lines, and a secret is a line. The YAML parser's work grows with the
// square of how deep a file is nested.
const (
	maxFileBytes   = 16 << 10
	maxSecretBytes = 4 << 10
)

// delim separates the levels of nested keys. There are none, so that a nested key is an unknown one.
const delim = "."

// Load reads all settings: defaults, the settings file, environ (as os.Environ returns it; nil stands for os.Environ), and
// the flags of fs that were given. fs may be nil, and may hold further flags.
//
// The settings file is named by the flag --settings or by CAROM_SETTINGS. On faults, all are returned, joined with errors.Join,
// each a *carom.FieldError that names the key, the value and the fix, and the line when it is in the file. The Config is then
// of no use.
func Load(fs *pflag.FlagSet, environ func() []string) (Config, error) {
	return load(settings(), fs, environ)
}

// layer is the settings from one origin.
type layer struct {
	origin Origin
	*koanf.Koanf
}

// loader collects what is wrong while the layers are read.
type loader struct {
	table []setting
	path  string              // of the settings file
	lines map[string]ast.Node // the keys in it
	errs  []error
}

func load(table []setting, fs *pflag.FlagSet, environ func() []string) (Config, error) {
	if environ == nil {
		environ = os.Environ
	}
	l := &loader{table: keys(table)}
	fromEnv, fromFlags := layer{FromEnv, koanf.New(delim)}, layer{FromFlag, koanf.New(delim)}
	if err := fromEnv.Load(env.Provider(delim, env.Opt{Prefix: envPrefix, EnvironFunc: environ, TransformFunc: l.ofEnv}), nil); err != nil {
		return Config{}, fmt.Errorf("read the environment: %w", err)
	}
	if fs != nil {
		if err := fromFlags.Load(posflag.ProviderWithValue(fs, delim, nil, l.ofFlag), nil); err != nil {
			return Config{}, fmt.Errorf("read the flags: %w", err)
		}
	}
	layers := []layer{fromFlags, fromEnv} // strongest first
	l.path = cmp.Or(fromFlags.String("settings"), fromEnv.String("settings"))
	if l.path != "" {
		fromFile, err := l.readFile()
		if err != nil {
			return Config{}, err
		}
		layers = append(layers, fromFile)
	}

	c := Config{Origins: make(map[string]Origin, len(table))}
	for _, s := range table {
		l.set(&c, s, layers)
	}
	if len(l.errs) == 0 {
		c.derive()
		l.errs = c.check()
	}
	for _, err := range l.errs {
		l.locate(err, c.Origins)
	}
	return c, errors.Join(l.errs...)
}

// ofEnv finds the key of an environment variable. Variables that belong to no setting are left alone: an objects file may
// name some as secret_env.
func (l *loader) ofEnv(name, value string) (string, any) {
	for _, s := range l.table {
		if s.env() == name {
			return s.key, value
		}
	}
	return "", nil
}

func (l *loader) ofFlag(name, value string) (string, any) {
	for _, s := range l.table {
		if s.flag() == name {
			return s.key, value
		}
	}
	return "", nil
}

// readFile reads the settings file. Unknown keys are faults.
func (l *loader) readFile() (layer, error) {
	data, err := file.Provider(l.path).ReadBytes()
	switch {
	case err != nil:
		return layer{}, carom.Invalid("settings", "the settings file cannot be read (%v): create it, or change the path", err)
	case len(data) > maxFileBytes:
		return layer{}, carom.Invalid("settings", "the settings file %s has %d bytes: shorten it to %d", l.path, len(data), maxFileBytes)
	}
	from := layer{FromFile, koanf.New(delim)}
	if l.lines, err = topKeys(data); err == nil {
		err = from.Load(rawbytes.Provider(data), yamlParser{})
	}
	if err != nil {
		return layer{}, l.syntaxFault(err)
	}
	for _, key := range from.Keys() {
		top, _, _ := strings.Cut(key, delim)
		known := slices.ContainsFunc(l.table, func(s setting) bool { return s.key == key })
		switch {
		case key == "settings":
			l.errs = append(l.errs, carom.Invalid(key, "the settings file cannot name another one: remove it"))
		case known:
		case slices.ContainsFunc(l.table, func(s setting) bool { return s.key == top }):
			l.errs = append(l.errs, carom.Invalid(top, "it has keys of its own: write one value, or a list"))
		default:
			l.errs = append(l.errs, carom.Invalid(key, "there is no such setting: %s", l.suggest(key)))
		}
	}
	return from, nil
}

// yamlParser lets koanf read YAML.
type yamlParser struct{}

func (yamlParser) Unmarshal(data []byte) (map[string]any, error) {
	out := make(map[string]any)
	return out, yaml.Unmarshal(data, &out)
}

func (yamlParser) Marshal(values map[string]any) ([]byte, error) { return yaml.Marshal(values) }

// topKeys finds where the keys of a settings file stand. Aliases are refused, since they can be made to grow without end.
func topKeys(data []byte) (map[string]ast.Node, error) {
	tokens := lexer.Tokenize(string(data))
	if slices.ContainsFunc(tokens, func(tk *token.Token) bool { return tk.Type == token.AliasType }) {
		return nil, errors.New("aliases are not used in it: write the value again")
	}
	tree, err := parser.Parse(tokens, 0)
	if err != nil {
		return nil, err
	}
	keys := make(map[string]ast.Node)
	for i, doc := range tree.Docs {
		if i > 0 && doc.Body != nil {
			return nil, errors.New("a second document begins in it: put everything into one, without ---")
		}
		if doc.Body == nil {
			continue
		}
		body, ok := doc.Body.(ast.MapNode)
		if !ok {
			return nil, errors.New("there are no keys in it")
		}
		for entry := body.MapRange(); entry.Next(); {
			keys[entry.Key().GetToken().Value] = entry.Key()
		}
	}
	return keys, nil
}

// syntaxFault leaves out the lines around the fault that the parser quotes.
func (l *loader) syntaxFault(err error) error {
	fault := carom.Invalid("settings", "%s is not a settings file (%v): write lines such as `listen: :8080`", l.path, err)
	var at yaml.Error
	if errors.As(err, &at) {
		fault = carom.Invalid("settings", "this is not YAML (%s): write lines such as `listen: :8080`", at.GetMessage())
		if tk := at.GetToken(); tk != nil && tk.Position != nil {
			fault.File, fault.Line, fault.Column = l.path, tk.Position.Line, tk.Position.Column
		}
	}
	return fault
}

// set takes the value of one setting from the strongest layer that has it.
func (l *loader) set(c *Config, s setting, layers []layer) {
	text, origin := s.init, FromDefault
	for _, from := range layers {
		if s.secret && from.Exists(s.key+fileSuffix) {
			if from.Exists(s.key) {
				l.errs = append(l.errs, carom.Invalid(s.key, "it is there as %s as well: keep one", s.key+fileSuffix))
				return
			}
			secret, err := readSecret(textOf(from.Get(s.key + fileSuffix)))
			if err != nil {
				l.errs = append(l.errs, carom.Invalid(s.key+fileSuffix, "%v", err))
				return
			}
			text, origin = secret, from.origin
			break
		}
		if from.Exists(s.key) && !(s.noFile && from.origin == FromFile) {
			text, origin = textOf(from.Get(s.key)), from.origin
			break
		}
	}
	c.Origins[s.key] = origin
	if err := s.bind(c).Set(text); err != nil {
		value := fmt.Sprintf("%q", clip(text))
		if s.secret {
			value = "the value"
		}
		l.errs = append(l.errs, carom.Invalid(s.key, "%s%s cannot be used: %v", value, s.from(origin), err))
	}
}

// from says where a value comes from, for an error; in a file its line says so.
func (s setting) from(origin Origin) string {
	switch origin {
	case FromEnv:
		return " (from " + s.env() + ")"
	case FromFlag:
		return " (from --" + s.flag() + ")"
	}
	return ""
}

func readSecret(path string) (string, error) {
	data, err := os.ReadFile(path)
	if err == nil && len(data) > maxSecretBytes {
		err = fmt.Errorf("it has %d bytes, which is no secret", len(data))
	}
	text := strings.TrimSpace(string(data))
	if err == nil && text == "" {
		err = errors.New("it is empty")
	}
	if err != nil {
		return "", fmt.Errorf("the file cannot be used (%w): create it, or change the path", err)
	}
	return text, nil
}

// textOf writes a value of a YAML file as the text that it stood for. A list becomes a text with commas.
func textOf(value any) string {
	switch value := value.(type) {
	case nil:
		return ""
	case []any:
		texts := make([]string, len(value))
		for i, item := range value {
			texts[i] = textOf(item)
		}
		return strings.Join(texts, ",")
	}
	return fmt.Sprint(value)
}

// locate adds the line to a fault in what the settings file says.
func (l *loader) locate(err error, origins map[string]Origin) {
	var fault *carom.FieldError
	if !errors.As(err, &fault) || l.lines == nil {
		return
	}
	if origin, known := origins[fault.Field]; known && origin != FromFile && fault.Field != "settings" {
		return
	}
	if key, ok := l.lines[fault.Field]; ok {
		at := key.GetToken().Position
		fault.File, fault.Line, fault.Column = l.path, at.Line, at.Column
	}
}

// suggest names the setting nearest to key.
func (l *loader) suggest(key string) string {
	best, bestDistance := "", 1+len(key)/2
	for _, s := range l.table {
		if d := levenshtein.ComputeDistance(strings.ToLower(clip(key)), s.key); d < bestDistance && !s.noFile {
			best, bestDistance = s.key, d
		}
	}
	if best == "" {
		return "`carom serve --help` and docs/config.md list them"
	}
	return "did you mean " + best + "?"
}
