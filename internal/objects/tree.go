package objects

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// Bounds of a file's shape. The YAML parser calls itself once per key of a block and per level of nesting, and notes the whole
// path of each level, so that what it is given must be bounded before.
const (
	maxKeys    = 100_000 // in the file, and again through merges
	maxNesting = 20      // of flow collections, and of list dashes in one line; the deepest value needs 7
	maxIndent  = 200
)

// place is where something stands, counted from 1.
type place struct{ line, column int }

// node is a value of the file. Aliases share the node of their anchor, so that a tree is never larger than its file.
type node struct {
	place
	kind    kind
	text    string // of a scalar, as written for numbers
	entries []entry
	items   []*node
}

type kind uint8

const (
	null kind = iota
	scalar
	list
	object
)

// String names the kind for an error.
func (k kind) String() string {
	return [...]string{"nothing", "a text or number", "a list", "a group of keys"}[k]
}

// entry is one key of an object with its value.
type entry struct {
	place
	key    string
	value  *node
	merged bool // it came through <<, so that a key of the object's own wins
}

// tree reads text as YAML. It returns nil after reporting why it cannot.
func (r *reader) tree(text []byte) *node {
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	if len(text) > maxFileBytes {
		r.fault("", "the file has %d bytes: shorten it to %d", len(text), maxFileBytes)
		return nil
	}
	if bad := invalidUTF8(text); bad >= 0 {
		r.faultAt(place{1 + bytes.Count(text[:bad], []byte("\n")), 1}, "",
			"the line holds a NUL or is not UTF-8: save the file as UTF-8")
		return nil
	}
	tokens := lexer.Tokenize(string(text))
	if !r.checkTokens(tokens) {
		return nil
	}
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		r.syntaxFault(err)
		return nil
	}
	var root *node
	for _, doc := range file.Docs {
		if doc == nil || doc.Body == nil {
			continue
		}
		if root != nil {
			r.faultAt(placeOf(doc.Body.GetToken()), "", "a second document begins here: put everything into one, without ---")
			return nil
		}
		b := builder{r: r, anchors: make(map[string]*node)}
		root = b.node("", doc.Body)
	}
	if root == nil || root.kind == null {
		r.fault("", "the file is empty: describe at least one app under `apps`, or write `apps: {}` if you mean none")
		return nil
	}
	return root
}

// invalidUTF8 returns the first byte that is NUL or breaks UTF-8, or -1.
func invalidUTF8(text []byte) int {
	for i := 0; i < len(text); {
		c, size := utf8.DecodeRune(text[i:])
		if c == 0 || c == utf8.RuneError && size == 1 {
			return i
		}
		i += size
	}
	return -1
}

// checkTokens keeps from the parser what it does not bound by itself, and the corners of YAML that this file does without.
func (r *reader) checkTokens(tokens token.Tokens) bool {
	keys, flow, dashes, line := 0, 0, 0, 0
	for _, tk := range tokens {
		at := placeOf(tk)
		first := at.line != line
		if first {
			line, dashes = at.line, 0
		}
		switch tk.Type {
		case token.MappingValueType:
			keys++
		case token.MappingStartType, token.SequenceStartType:
			flow++
		case token.MappingEndType, token.SequenceEndType:
			flow = max(flow-1, 0)
		case token.SequenceEntryType:
			dashes++
		case token.MappingKeyType:
			r.faultAt(at, "", "a key that begins with ? is not used here: write `key: value`")
			return false
		case token.TagType:
			r.faultAt(at, "", "tags such as !!str are not used here: remove it, and put text into quotes")
			return false
		case token.DirectiveType:
			r.faultAt(at, "", "directives such as %%YAML are not used here: remove the line")
			return false
		default:
		}
		switch {
		case keys > maxKeys:
			r.faultAt(at, "", "there are more than %d keys up to here: shorten the file", maxKeys)
			return false
		case flow > maxNesting || dashes > maxNesting || first && flow == 0 && at.column > maxIndent:
			r.faultAt(at, "", "it is nested too deeply here: no value of this file lies that deep")
			return false
		}
	}
	return true
}

// syntaxFault reports what the parser said. Its full text quotes the lines around the fault, which may hold a secret: only
// the sentence is used.
func (r *reader) syntaxFault(err error) {
	at, message := place{1, 1}, "it cannot be read"
	var fault yaml.Error
	if errors.As(err, &fault) {
		at = placeOf(fault.GetToken())
		message, _, _ = strings.Cut(fault.GetMessage(), `: "`) // a quotation may be a secret as well
	}
	r.faultAt(at, "", "this is not YAML (%s): check indentation, colons, brackets and quotes up to here", message)
}

func placeOf(tk *token.Token) place {
	if tk == nil || tk.Position == nil {
		return place{1, 1}
	}
	return place{max(tk.Position.Line, 1), max(tk.Position.Column, 1)}
}

// builder turns the parser's tree into nodes, with aliases and merges resolved.
type builder struct {
	r       *reader
	anchors map[string]*node
	merged  int // entries that merges looked at
}

// node returns nil when n cannot be used, after reporting it.
func (b *builder) node(path string, n ast.Node) *node {
	switch n := n.(type) {
	case nil:
		return &node{place: place{1, 1}}
	case *ast.NullNode:
		return &node{place: placeOf(n.Token)}
	case *ast.MappingNode:
		return b.object(path, placeOf(n.Start), n.Values)
	case *ast.MappingValueNode:
		return b.object(path, placeOf(n.Key.GetToken()), []*ast.MappingValueNode{n})
	case *ast.SequenceNode:
		out := &node{place: placeOf(n.Start), kind: list}
		for i, item := range n.Values {
			if item := b.node(fmt.Sprintf("%s[%d]", path, i), item); item != nil {
				out.items = append(out.items, item)
			}
		}
		return out
	case *ast.AnchorNode:
		// The anchor is known only behind its value, so that no value can hold itself.
		value := b.node(path, n.Value)
		if value != nil && n.Name != nil {
			b.anchors[n.Name.GetToken().Value] = value
		}
		return value
	case *ast.AliasNode:
		return b.alias(path, n)
	case *ast.LiteralNode:
		return &node{place: placeOf(n.Start), kind: scalar, text: n.Value.Value}
	case *ast.StringNode:
		return &node{place: placeOf(n.Token), kind: scalar, text: n.Value}
	case ast.ScalarNode:
		// Numbers and the like keep the text that was written: a zone id may begin with zeros.
		tk := n.GetToken()
		return &node{place: placeOf(tk), kind: scalar, text: strings.TrimSpace(tk.Value)}
	}
	b.r.faultAt(placeOf(n.GetToken()), path, "a value of this form is not used here: write a text, a list or keys")
	return nil
}

func (b *builder) alias(path string, n *ast.AliasNode) *node {
	name := ""
	if n.Value != nil {
		name = n.Value.GetToken().Value
	}
	value, ok := b.anchors[name]
	if !ok {
		b.r.faultAt(placeOf(n.Start), path, "no anchor of this name stands before it: define it above with &, or put a text that begins with * into quotes")
		return nil
	}
	return value
}

func (b *builder) object(path string, at place, values []*ast.MappingValueNode) *node {
	out := &node{place: at, kind: object, entries: make([]entry, 0, len(values))}
	index := make(map[string]int, len(values))
	for _, pair := range values {
		tk := pair.Key.GetToken()
		e := entry{place: placeOf(tk), key: tk.Value}
		if pair.Key.IsMergeKey() {
			b.merge(path, out, index, b.node(join(path, "<<"), pair.Value))
			continue
		}
		switch pair.Key.Type() {
		case ast.AnchorType, ast.AliasType:
			b.r.faultAt(e.place, path, "an anchor or alias stands in place of a key: write the key itself")
			continue
		default:
		}
		if e.value = b.node(join(path, e.key), pair.Value); e.value == nil {
			continue
		}
		i, twice := index[e.key]
		switch {
		case !twice:
			index[e.key] = len(out.entries)
			out.entries = append(out.entries, e)
		case out.entries[i].merged:
			out.entries[i] = e
		default:
			b.r.faultAt(e.place, join(path, e.key), "the key stands twice, first in line %d: keep one", out.entries[i].line)
		}
	}
	return out
}

// merge adds the entries of from (an object, or a list of them) to out, except for those that out has.
func (b *builder) merge(path string, out *node, index map[string]int, from *node) {
	if from == nil {
		return
	}
	if from.kind == list {
		for _, item := range from.items {
			if item.kind == list {
				item = &node{place: item.place}
			}
			b.merge(path, out, index, item)
		}
		return
	}
	if from.kind != object {
		b.r.faultAt(from.place, path, "<< takes an alias of a group of keys: write `<<: *name`")
		return
	}
	for _, e := range from.entries {
		if b.merged++; b.merged > maxKeys {
			if b.merged == maxKeys+1 {
				b.r.faultAt(from.place, path, "merges bring more than %d keys up to here: use fewer", maxKeys)
			}
			return
		}
		if _, has := index[e.key]; has {
			continue
		}
		e.merged = true
		index[e.key] = len(out.entries)
		out.entries = append(out.entries, e)
	}
}

// join adds a key to a path.
func join(path, key string) string {
	if path == "" {
		return clip(key)
	}
	return path + "." + clip(key)
}

// clip shortens text from the file for an error, and keeps it in one line.
func clip(s string) string {
	if len(s) > 80 {
		s = strings.ToValidUTF8(s[:80], "") + "…"
	}
	return strings.Map(func(c rune) rune {
		if unicode.IsControl(c) {
			return '?'
		}
		return c
	}, s)
}
