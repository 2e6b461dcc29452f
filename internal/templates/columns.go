package templates

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"carom"
)

// aliases are names of columns that are commonly used, in their normal form. The names of [Columns] themselves go before them.
var aliases = map[string][]string{
	"publisher":   {"partner", "affiliate", "pub", "publisher_name", "partner_name", "affiliate_name", "publisher_id", "partner_id", "affiliate_id"},
	"app":         {"offer", "site", "application", "app_name", "offer_name", "site_name", "app_id", "offer_id", "site_id"},
	"zone":        {"zone_id", "placement", "source_id", "placement_id"},
	"name":        {"endpoint", "endpoint_name"},
	"method":      {"http_method", "request_method"},
	"event_types": {"events", "event", "goal", "event_type", "goals"},
	"values":      {"value", "reward_event_type"},
	"url":         {"postback", "postback_url", "template", "link", "callback", "callback_url", "url_template", "postback_template"},
}

// header is which column holds what.
type header struct {
	index   map[string]int // by our names
	size    int
	names   []string // as the file writes them
	ignored []string
}

// normalHeader is how names of columns are compared.
func normalHeader(text string) string {
	text = strings.Join(strings.FieldsFunc(strings.ToLower(text), func(r rune) bool {
		return r == ' ' || r == '_' || r == '-' || r == '\u00a0' || r == '\t' || r == '\n'
	}), "_")
	return strings.Trim(text, "*:#")
}

// readHeader finds the columns. What it misses makes the file useless, so it returns the faults.
func readHeader(r record, want map[string]string) (header, []*carom.FieldError) {
	h := header{index: map[string]int{}, size: len(r.cells)}
	var faults []*carom.FieldError
	fault := func(field, format string, args ...any) {
		fe := carom.Invalid(field, format, args...)
		fe.Line, fe.Column = r.line, 1
		faults = append(faults, fe)
	}
	if r.fault != "" {
		fault("", "%s", r.fault)
		return h, faults
	}
	for _, c := range r.cells {
		if strings.Contains(c.text, "://") {
			fault("", "the first line holds a template, and has to name the columns: write a line such as publisher,app,zone,url before it")
			return h, faults
		}
		h.names = append(h.names, strings.TrimSpace(c.text))
	}
	used := make([]bool, len(h.names))
	for _, column := range slices.Sorted(maps.Keys(want)) {
		name := want[column]
		at := slices.IndexFunc(h.names, func(have string) bool { return normalHeader(have) == normalHeader(name) })
		switch {
		case !slices.Contains(Columns(), column):
			fault("", "there is no column %q to read: the names are %s", column, strings.Join(Columns(), ", "))
		case at < 0:
			fault(column, "the file has no column %q: it has %s", clip(name), list(h.names))
		default:
			h.index[column], used[at] = at, true
		}
	}
	for _, column := range Columns() {
		if _, ok := h.index[column]; ok || want[column] != "" {
			continue
		}
		found := h.find(used, []string{column})
		if len(found) == 0 {
			found = h.find(used, aliases[column])
		}
		switch {
		case len(found) > 1:
			fault(column, "two columns could be it, %q and %q: say which with %s=%s", h.names[found[0]], h.names[found[1]], column,
				h.names[found[0]])
		case len(found) == 1:
			h.index[column], used[found[0]] = found[0], true
		case column == "url":
			fault(column, "no column holds the templates: name it %s, or say which with url=NAME (the file has %s)",
				strings.Join(append([]string{"url"}, aliases["url"][:3]...), ", "), list(h.names))
		}
	}
	for i, name := range h.names {
		if !used[i] && name != "" {
			h.ignored = append(h.ignored, name)
		}
	}
	return h, faults
}

// find returns the columns with one of the names.
func (h header) find(used []bool, names []string) []int {
	var found []int
	for i, have := range h.names {
		if !used[i] && slices.Contains(names, normalHeader(have)) {
			found = append(found, i)
		}
	}
	return found
}

// list shows names of columns.
func list(names []string) string {
	var out []string
	for _, name := range names {
		out = append(out, strconv.Quote(clip(name)))
	}
	const most = 12
	if len(out) > most {
		out = append(out[:most], "…")
	}
	return strings.Join(out, ", ")
}

// clip shortens text from the file for a message.
func clip(s string) string {
	const most = 40
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
