package network

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"carom"
)

// sortedFile is the block `hmac_sorted`: an HMAC over all parameters, sorted by name.
type sortedFile struct {
	Alg      string   `yaml:"alg"`
	Exclude  []string `yaml:"exclude"` // besides the signature itself
	Pair     string   `yaml:"pair"`    // how one parameter is written, with {name} and {value}
	List     string   `yaml:"list"`    // what stands between two
	Values   string   `yaml:"values"`  // decoded or form
	Encoding string   `yaml:"encoding"`
	Prefix   string   `yaml:"prefix"`
}

// sortedHMAC compares an HMAC over the parameters, each written by a pattern, in the order of their names.
type sortedHMAC struct {
	alg                     algorithm
	exclude                 []string
	before, between, behind string // around name and value
	named                   bool   // the name is written before its value
	list                    string
	form                    bool // names and values are written form-encoded
	written
}

func (f *sortedFile) build(at string) (block, error) {
	b := &sortedHMAC{exclude: f.Exclude, list: f.List, form: f.Values == "form"}
	var err error
	if b.alg, err = algorithmNamed(at, f.Alg); err != nil {
		return nil, err
	}
	if b.written, err = writtenAs(at, f.Encoding, f.Prefix); err != nil {
		return nil, err
	}
	if f.Values != "decoded" && f.Values != "form" {
		return nil, carom.Invalid(at+".values", "%q is neither decoded nor form", clip(f.Values))
	}
	head, behind, found := strings.Cut(f.Pair, "{value}")
	b.before, b.between, b.named = strings.Cut(head, "{name}")
	b.behind = behind
	if !found || strings.ContainsAny(b.before+b.between+b.behind, "{}") {
		return nil, carom.Invalid(at+".pair", "%q does not say how a parameter is written: write such as \"{name}={value}\" or \"{value}\"", clip(f.Pair))
	}
	return b, nil
}

func (b *sortedHMAC) facts(p *Profile) facts {
	pair := b.before + "{value}" + b.behind
	if b.named {
		pair = b.before + "{name}" + b.between + "{value}" + b.behind
	}
	encoded := ""
	if b.form {
		encoded = ", form-encoded"
	}
	return facts{
		kind: "hmac_sorted", strength: carom.Signed, reads: setOf(fieldSignature), covers: p.fromParams(b.exclude), all: len(b.exclude) == 0, networkSecret: true,
		rule: fmt.Sprintf("HMAC-%s over all parameters, sorted by name, each as %s%s, joined by %q, as %s",
			b.alg.name, pair, encoded, b.list, b.encoding),
	}
}

func (b *sortedHMAC) check(x *exam) finding {
	sent, no := x.sent(&b.written, b.alg.size)
	if sent == nil {
		return no
	}
	var some [24]param
	params := append(some[:0], x.params...)
	params = slices.DeleteFunc(params, func(p param) bool {
		to := x.b.targets[p.name]
		return to.kind == targetMapped && to.to == fieldSignature || slices.Contains(b.exclude, p.name)
	})
	slices.SortFunc(params, func(x, y param) int { return cmp.Compare(x.name, y.name) })
	var room [1024]byte
	text := room[:0]
	for i := range params {
		p := &params[i]
		if i > 0 {
			if params[i-1].name == p.name {
				return failed(carom.ReasonBadSignature, "the parameter %q came twice, and which of them is signed cannot be told", clip(p.name))
			}
			text = append(text, b.list...)
		}
		text = append(text, b.before...)
		if b.named {
			text = b.write(text, p.name)
			text = append(text, b.between...)
		}
		text = b.write(text, p.value)
		text = append(text, b.behind...)
	}
	return x.compareHMAC(b.alg, sent, text)
}

func (b *sortedHMAC) write(to []byte, text string) []byte {
	if b.form {
		return appendForm(to, text)
	}
	return append(to, text...)
}

// appendForm writes text as PHP's http_build_query does: everything but letters, digits, "-", "_" and "." as %XX, a space as
// a plus sign. The standard library's url.QueryEscape differs: it leaves the tilde.
func appendForm(to []byte, text string) []byte {
	const digits = "0123456789ABCDEF"
	for i := range len(text) {
		switch c := text[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_', c == '.':
			to = append(to, c)
		case c == ' ':
			to = append(to, '+')
		default:
			to = append(to, '%', digits[c>>4], digits[c&15])
		}
	}
	return to
}
