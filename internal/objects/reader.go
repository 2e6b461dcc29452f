package objects

import (
	"errors"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/agnivade/levenshtein"

	"carom"
)

// Bounds of the work on one file. Aliases let a short file repeat its parts without end.
const (
	maxVisits = 250_000
	maxFaults = 1000 // nobody reads on, and a fault may stand in a part that is repeated
)

// reader turns nodes into objects and collects what is wrong.
type reader struct {
	file  string
	env   Env
	rules rules

	faults   []*carom.FieldError
	warnings []*carom.FieldError
	faulty   map[string]bool  // paths that have a fault
	at       map[string]place // where each visited path stands
	visits   int
	reads    []string
	whole    bool                // what is read was made of values, in which nothing repeats itself: it is read to its end
	noted    map[string]struct{} // notes the keys that there are instead of reading any; nil: no

	endpoints []pendingEndpoint
}

// read reads a value that stands at path. Each of the methods below that return one binds it to where the value goes.
type read func(path string, n *node)

// fields are the keys that an object may have.
type fields map[string]read

// fault reports a fault at path, or at the nearest place above it that stands in the file.
func (r *reader) fault(path, format string, args ...any) {
	r.faultAt(r.nearest(path), path, format, args...)
}

// nearest is where path stands in the file, or else the nearest path above it that does.
func (r *reader) nearest(path string) place {
	for {
		if at, ok := r.at[path]; ok {
			return at
		}
		path = path[:max(strings.LastIndexAny(path, ".["), 0)]
	}
}

func (r *reader) faultAt(at place, path, format string, args ...any) {
	r.faulty[path] = true
	if len(r.faults) == maxFaults {
		path, format, args = "", "there are more faults than these: mend them first", nil
	}
	if len(r.faults) > maxFaults {
		return
	}
	fault := carom.Invalid(path, format, args...)
	fault.File, fault.Line, fault.Column = r.file, at.line, at.column
	r.faults = append(r.faults, fault)
}

// warn notes what is no fault and probably not meant.
func (r *reader) warn(path, format string, args ...any) {
	if len(r.warnings) == maxFaults {
		return
	}
	warning, at := carom.Invalid(path, format, args...), r.nearest(path)
	warning.File, warning.Line, warning.Column = r.file, at.line, at.column
	r.warnings = append(r.warnings, warning)
}

// faultsOf reports each fault in err, which another package found in the object at path. mapField turns its name of a field
// into the file's. Fields that have a fault already are left out.
func (r *reader) faultsOf(path string, err error, mapField func(string) string) {
	if err == nil {
		return
	}
	var joined interface{ Unwrap() []error }
	if errors.As(err, &joined) {
		for _, err := range joined.Unwrap() {
			r.faultsOf(path, err, mapField)
		}
		return
	}
	message := err.Error()
	var fault *carom.FieldError
	if errors.As(err, &fault) {
		message = fault.Message
		if field := mapField(fault.Field); field != "" {
			path += "." + field
		}
	}
	if !r.faulty[path] {
		r.fault(path, "%s", message)
	}
}

// faultsBeside is faultsOf for an object of whose keys some may have had faults since there were so many of them as before says.
// Then what seems to be missing is not reported: it may be one of those.
func (r *reader) faultsBeside(before int, path string, err error) {
	incomplete := len(r.faults) > before
	r.faultsOf(path, err, func(field string) string {
		if at := path + "." + field; incomplete && r.at[at] == (place{}) {
			r.faulty[at] = true
		}
		return field
	})
}

// visit counts a value, and says whether to go on.
func (r *reader) visit(path string, at place) bool {
	if r.visits++; r.visits == maxVisits && !r.whole {
		r.faultAt(at, path, "aliases repeat more than carom reads, %d values up to here: use fewer", maxVisits)
	}
	r.at[path] = at
	return (r.whole || r.visits < maxVisits) && len(r.faults) <= maxFaults
}

// is checks the kind of a value, and reports when it is another.
func (r *reader) is(path string, n *node, want kind, example string) bool {
	switch {
	case n.kind == want:
		return true
	case n.kind == null:
		r.fault(path, "it has no value: write %s, or remove the line", example)
	default:
		r.fault(path, "here stands %s instead of %s: write %s", n.kind, want, example)
	}
	return false
}

// object reads an object whose keys are known. One without any value counts as one without keys.
func (r *reader) object(path string, n *node, known fields) {
	if r.noted != nil {
		for key, read := range known {
			r.noted[join(path, key)] = struct{}{}
			read(join(path, key), &node{kind: object})
		}
		return
	}
	if n.kind == null || !r.is(path, n, object, "its keys, indented below") {
		return
	}
	for i := range n.entries {
		e := &n.entries[i]
		below := join(path, e.key)
		if !r.visit(below, e.place) {
			return
		}
		if read, ok := known[e.key]; ok {
			read(below, e.value)
			continue
		}
		if path == "" && strings.HasPrefix(e.key, "x-") {
			continue // a place for anchors
		}
		names := make([]string, 0, len(known))
		for name := range known {
			names = append(names, name)
		}
		r.fault(below, "there is no such key here: %s", suggest(e.key, names))
	}
}

// named reads an object whose keys are names of objects.
func (r *reader) named(each func(path, name string, n *node)) read {
	return r.keyed(func(name string) error { return carom.CheckName("", name) }, each)
}

// keyed is named for keys of another form, which check knows.
func (r *reader) keyed(check func(key string) error, each func(path, key string, n *node)) read {
	return func(path string, n *node) {
		if n.kind == null || !r.is(path, n, object, "names with their keys, indented below") {
			return
		}
		for i := range n.entries {
			e := &n.entries[i]
			below := join(path, e.key)
			if !r.visit(below, e.place) {
				return
			}
			r.faultsOf(below, check(e.key), func(string) string { return "" })
			each(below, e.key, e.value)
		}
	}
}

// list reads a list. A single text counts as a list of one.
func (r *reader) list(example string, each read) read {
	return func(path string, n *node) {
		items := n.items
		if r.noted != nil {
			each(path, n)
			return
		}
		if n.kind == scalar {
			items = []*node{n}
		} else if !r.is(path, n, list, example) {
			return
		}
		for i, item := range items {
			below := indexed(path, i)
			if !r.visit(below, item.place) {
				return
			}
			each(below, item)
		}
	}
}

// text reads a text. Numbers count as the text that was written.
func text[T ~string](r *reader, to *T) read {
	return func(path string, n *node) {
		if r.is(path, n, scalar, "a text") {
			*to = T(n.text)
		}
	}
}

// texts reads a list of texts.
func texts[T ~string](r *reader, to *[]T) read {
	return r.list("a list such as [one, two]", func(path string, n *node) {
		var item T
		text(r, &item)(path, n)
		*to = append(*to, item)
	})
}

// scan reads a text that parse understands; its errors end with the fix.
func scan[T any](r *reader, to *T, example string, parse func(string) (T, string)) read {
	return func(path string, n *node) {
		if !r.is(path, n, scalar, example) {
			return
		}
		value, fault := parse(n.text)
		if fault != "" {
			r.fault(path, "%s", fault)
			return
		}
		*to = value
	}
}

func (r *reader) flag(to *bool) read {
	return scan(r, to, "true or false", func(s string) (bool, string) {
		if s != "true" && s != "false" {
			return false, quote(s) + " is neither true nor false: write one of them"
		}
		return s == "true", ""
	})
}

// count reads a whole number of at least 1.
func (r *reader) count(to *int) read {
	return scan(r, to, "a whole number such as 64", func(s string) (int, string) {
		value, err := strconv.ParseInt(s, 10, 32)
		if err != nil || value < 1 {
			return 0, quote(s) + " is not a whole number from 1: write one such as 64"
		}
		return int(value), ""
	})
}

func (r *reader) number(to *float64) read {
	return scan(r, to, "a number such as 100 or 0.5", func(s string) (float64, string) {
		value, err := strconv.ParseFloat(s, 64)
		if err != nil {
			return 0, quote(s) + " is not a number: write one such as 100 or 0.5"
		}
		return value, ""
	})
}

// duration reads a duration above zero. Zero would mean the default, which nobody who writes 0s expects.
func (r *reader) duration(to *time.Duration) read {
	return scan(r, to, "a duration such as 90s, 10m, 72h or 30d", func(s string) (time.Duration, string) {
		value, err := carom.ParseDuration(s)
		switch {
		case err != nil:
			return 0, err.Error()
		case value <= 0:
			return 0, quote(s) + " is not above zero: write a duration such as 90s, or remove the line for the default"
		}
		return value, ""
	})
}

func (r *reader) durations(to *[]time.Duration) read {
	return r.list("a list such as [5s, 30s, 2m]", func(path string, n *node) {
		var item time.Duration
		if r.duration(&item)(path, n); item > 0 {
			*to = append(*to, item)
		}
	})
}

// prefixes reads addresses and networks of addresses.
func (r *reader) prefixes(to *[]netip.Prefix) read {
	const example = "an address or a network such as 192.0.2.7 or 192.0.2.0/24"
	return r.list("a list such as [192.0.2.7, 2001:db8::/32]", func(path string, n *node) {
		var item netip.Prefix
		scan(r, &item, example, func(s string) (netip.Prefix, string) {
			if addr, err := netip.ParseAddr(s); err == nil && addr.Zone() == "" {
				return netip.PrefixFrom(addr.Unmap(), addr.Unmap().BitLen()), ""
			}
			p, err := netip.ParsePrefix(s)
			if err != nil {
				return p, quote(s) + " is no address: write " + example
			}
			return p.Masked(), ""
		})(path, n)
		if item.IsValid() {
			*to = append(*to, item)
		}
	})
}

func (r *reader) instant(to *time.Time) read {
	return scan(r, to, "a time such as 2026-12-01T00:00:00Z", func(s string) (time.Time, string) {
		value, err := time.Parse(time.RFC3339, s)
		if err != nil {
			return time.Time{}, quote(s) + " is not a time: write it as 2026-12-01T00:00:00Z"
		}
		return value.UTC(), ""
	})
}

func quote(s string) string { return strconv.Quote(clip(s)) }

// suggest ends an error about a word that should be one of known: it names the nearest one, or all. It sorts known.
func suggest(word string, known []string) string {
	slices.Sort(known)
	known = known[:min(len(known), 1000)] // enough to find a slip of the pen, and bounded
	word = strings.ToLower(clip(word))
	best, bestDistance := "", 1+len(word)/2
	for _, k := range known {
		if d := levenshtein.ComputeDistance(word, k); d < bestDistance {
			best, bestDistance = k, d
		}
	}
	switch {
	case best != "":
		return "did you mean " + best + "?"
	case len(known) == 0:
		return "there are none yet"
	case len(known) > 20:
		return "known ones begin with " + strings.Join(known[:20], ", ")
	}
	return "use one of " + strings.Join(known, ", ")
}
