package reconcile

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"

	"carom"
)

// Column maps of networks, as data. Each says where its facts come from.
//
//go:embed maps/*.yaml
var mapFiles embed.FS

// OwnMap is the name of a column map that somebody gave.
const OwnMap = "own"

// GenericMap is the column map for networks that have none of their own.
const GenericMap = "generic"

// maxMapBytes bounds a column map that somebody gives: it is a dozen lines.
const maxMapBytes = 8 << 10

// names are the names that a column may have, the likeliest first. In YAML it may be a single text.
type names []string

// UnmarshalYAML reads a text or a list of texts.
func (n *names) UnmarshalYAML(unmarshal func(any) error) error {
	var one string
	if unmarshal(&one) == nil {
		*n = names{one}
		return nil
	}
	var list []string
	if err := unmarshal(&list); err != nil {
		return err
	}
	*n = list
	return nil
}

// Columns is a column map: which column of a network's file is what, and how its texts are to be read.
type Columns struct {
	Name     string           `yaml:"-"`
	Title    string           `yaml:"title"`
	Sources  []string         `yaml:"sources"` // where its facts come from
	Columns  map[string]names `yaml:"columns"`
	DayOrder string           `yaml:"day_format"` // "YYYY-MM-DD", "DD.MM.YYYY", …; empty: found out
	Decimal  string           `yaml:"decimal"`    // "." or ","; empty: found out
	Currency string           `yaml:"currency"`
	DayZone  string           `yaml:"day_zone"`

	text string // as it was given
}

// The fields that a column can be, in the order in which they are told.
var fields = [...]string{"day", "zone", "sub_zone", "impressions", "clicks", "valued", "revenue", "currency"}

// ParseColumns reads a column map that somebody gave. It returns a carom.FieldError for what it cannot be.
func ParseColumns(text string) (*Columns, error) {
	if len(text) > maxMapBytes || !utf8.ValidString(text) {
		return nil, carom.Invalid("map", "the column map is YAML in UTF-8 of at most %d bytes", maxMapBytes)
	}
	c, err := parseColumns(OwnMap, text)
	if err != nil {
		return nil, err
	}
	return c, nil
}

func parseColumns(name, text string) (*Columns, error) {
	c := &Columns{}
	if err := yaml.UnmarshalWithOptions([]byte(text), c, yaml.Strict()); err != nil {
		why := err.Error()
		var at yaml.Error
		if errors.As(err, &at) {
			why = at.GetMessage()
			if token := at.GetToken(); token != nil {
				why = fmt.Sprintf("line %d: %s", token.Position.Line, why)
			}
		}
		return nil, carom.Invalid("map", "the column map cannot be read: %s; it has the keys columns, day_format, decimal, currency and day_zone", why)
	}
	c.Name, c.text = name, text
	for _, field := range slices.Sorted(maps.Keys(c.Columns)) {
		if !slices.Contains(fields[:], field) {
			return nil, carom.Invalid("map.columns."+field, "a column is one of %s", strings.Join(fields[:], ", "))
		}
		for _, name := range c.Columns[field] {
			if plainName(name) == "" {
				return nil, carom.Invalid("map.columns."+field, "the name of the column is missing")
			}
		}
	}
	if len(c.Columns["day"]) == 0 {
		return nil, carom.Invalid("map.columns.day", "say which column has the day")
	}
	if c.Decimal != "" && c.Decimal != "." && c.Decimal != "," {
		return nil, carom.Invalid("map.decimal", "write \".\" or \",\", not %.10q", c.Decimal)
	}
	if err := checkDayOrder(c.DayOrder); err != nil {
		return nil, err
	}
	if c.Currency = strings.ToUpper(c.Currency); c.Currency != "" && !isCurrency(c.Currency) {
		return nil, carom.Invalid("map.currency", "%.20q is no currency: write its three letters, such as USD", c.Currency)
	}
	_, err := LoadZone("map.day_zone", c.DayZone)
	return c, err
}

// ColumnsOf returns the column map of a network by the name of its profile, the generic one when it has none of its own.
func ColumnsOf(network string) (*Columns, error) {
	text, err := mapFiles.ReadFile("maps/" + path.Base(network) + ".yaml")
	if err != nil {
		network = GenericMap
		if text, err = mapFiles.ReadFile("maps/" + GenericMap + ".yaml"); err != nil {
			return nil, err
		}
	}
	return parseColumns(network, string(text))
}

// MapNames are the names of the column maps that there are, sorted.
func MapNames() []string {
	entries, err := mapFiles.ReadDir("maps")
	if err != nil {
		return nil // the files are part of the binary
	}
	var out []string
	for _, e := range entries {
		out = append(out, strings.TrimSuffix(e.Name(), ".yaml"))
	}
	return out
}

// sum is a sum over everything that decides how a file is read.
func (c *Columns) sum(o ReadOptions) string {
	h := sha256.Sum256([]byte(c.text + "\x00" + o.Currency + "\x00" + o.DayZone))
	return hex.EncodeToString(h[:8])
}

func isCurrency(s string) bool {
	return len(s) == 3 && strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == ""
}

// plainName is a column's name without what differs between exports: case, spaces, underscores and dashes.
func plainName(s string) string {
	return strings.NewReplacer(" ", "", "_", "", "-", "", "\u00a0", "", ".", "").Replace(strings.ToLower(strings.TrimSpace(s)))
}
