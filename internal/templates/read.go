package templates

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"carom"
	"carom/internal/route"
)

// Read reads a file: CSV with commas, semicolons, tabs or bars, in UTF-8. It returns all that is wrong with it, and never stops at
// the first fault. text is not kept.
func Read(text []byte, o Options) *Result {
	out := &Result{dialect: o.Dialect}
	all, fault := records(text)
	switch {
	case fault != nil:
		out.Faults = append(out.Faults, fault)
		return out
	case len(all) == 0:
		out.Faults = append(out.Faults, carom.Invalid("", "the file is empty: write a line with the names of the columns, and one for each template"))
		return out
	}
	h, faults := readHeader(all[0], o.Columns)
	out.Ignored = h.ignored
	if out.Faults = append(out.Faults, faults...); len(faults) > 0 {
		return out
	}
	all = all[1:]
	if len(all) > MaxRows {
		out.Faults = append(out.Faults, &carom.FieldError{Line: all[MaxRows].line, Column: 1,
			Message: fmt.Sprintf("there are %d lines: split the file, at most %d are read at once", len(all), MaxRows)})
		all = all[:MaxRows]
	}
	r := reader{Options: o, header: h, seen: map[string]spelling{}, owners: map[string]owner{}}
	for _, rec := range all {
		out.Rows = append(out.Rows, r.rows(rec)...)
	}
	for i := range out.Rows {
		// A later line may have said whose app it is.
		if row := &out.Rows[i]; row.Publisher == "" {
			row.Publisher = r.owners[row.App].publisher
		}
	}
	relate(out.Rows)
	for i := range out.Rows {
		r.compile(&out.Rows[i])
	}
	return out
}

// reader is a file while it is read.
type reader struct {
	Options
	header
	seen   map[string]spelling // how names were written, by "publisher NAME" and "app NAME"
	owners map[string]owner    // of the file's apps, by their names
}

type spelling struct {
	text string // in a form in which case and spaces make no difference
	raw  string
	line int
}

type owner struct {
	publisher string
	line      int
}

// rows reads one line. It makes a row for each app that the line is for.
func (r *reader) rows(rec record) []Row {
	row := Row{Line: rec.line, cells: map[string]cell{}}
	fault := rec.fault
	if fault == "" {
		fault = r.widthFault(rec.cells)
	}
	if fault != "" {
		row.fault("", "%s", fault)
		row.unusable = true
		return []Row{row}
	}
	for column, i := range r.index {
		c := rec.cells[i]
		c.text = trim(c.text)
		row.cells[column] = c
	}
	r.publisher(&row)
	apps := r.apps(&row)
	r.zone(&row)
	row.Endpoint.Method = strings.ToUpper(row.cells["method"].text)
	r.filter(&row)
	row.url()
	if name := row.cells["name"].text; name != "" {
		if row.Endpoint.Name = validName(name); row.Endpoint.Name == "" {
			row.fault("name", "the name %q holds no letter from a to z and no digit: write one of lower-case letters, digits, - and _", clip(name))
		}
	}
	if r.Dialect != nil {
		row.Endpoint.Dialect = r.Dialect.Name
	}
	var out []Row
	for _, app := range apps {
		one := row
		one.Faults, one.Warnings = slices.Clone(row.Faults), slices.Clone(row.Warnings)
		one.App, one.Endpoint.App = app, app
		r.own(&one)
		r.knownZone(&one)
		out = append(out, one)
	}
	return out
}

// widthFault says what is wrong with how many columns a line has. Empty ones at its end make no difference.
func (r *reader) widthFault(cells []cell) string {
	n := len(cells)
	for n > r.size && strings.TrimSpace(cells[n-1].text) == "" {
		n--
	}
	switch {
	case n > r.size:
		return fmt.Sprintf("the line has %d columns, and the header %d: put a template that holds the separator in quotation marks", n, r.size)
	case n < r.size:
		return fmt.Sprintf("the line has %d columns, and the header %d: write a separator for each one that is empty", n, r.size)
	}
	return ""
}

// trim takes away the spaces around a text, also those that nobody sees.
func trim(s string) string {
	return strings.TrimFunc(s, func(r rune) bool {
		return r <= ' ' || r == '\u00a0' || r == '\u200b' || r == '\u2060' || r == '\ufeff'
	})
}

// publisher reads whose template it is.
func (r *reader) publisher(row *Row) {
	raw := row.cells["publisher"].text
	if raw == "" {
		return
	}
	row.title = raw
	row.Publisher = r.name(row, "publisher", raw)
}

// apps returns the names of the apps that the line is for. There is at least one, which is empty when the line has a fault.
func (r *reader) apps(row *Row) []string {
	if raw := row.cells["app"].text; raw != "" {
		return []string{r.name(row, "app", raw)}
	}
	if row.Publisher == "" {
		if len(row.Faults) == 0 {
			row.fault("", "it names neither a publisher nor an app: fill in one of the two columns")
		}
		return []string{""}
	}
	if r.Apps != nil {
		if known := r.Apps(row.Publisher); len(known) > 0 {
			return known
		}
	}
	return []string{row.Publisher}
}

// name makes the name of an object of what a line says, and warns of two that become the same.
func (r *reader) name(row *Row, column, raw string) string {
	name := validName(raw)
	if name == "" {
		row.fault(column, "%q holds no letter from a to z and no digit, so that no name can be made of it: write one of lower-case letters, "+
			"digits, - and _", clip(raw))
		return ""
	}
	key := column + " " + name
	text := strings.Join(strings.Fields(strings.ToLower(raw)), " ")
	first, taken := r.seen[key]
	switch {
	case !taken:
		r.seen[key] = spelling{text, raw, row.Line}
	case first.text != text:
		row.warn(fmt.Sprintf("its %s %q and %q in line %d both become %s: they count as one", column, clip(raw), clip(first.raw), first.line, name))
	}
	return name
}

// validName makes a name that carom.CheckName lets through, or nothing.
func validName(raw string) string {
	var b strings.Builder
	for _, c := range strings.ToLower(raw) {
		switch {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '_':
			b.WriteRune(c)
		case b.Len() > 0 && !strings.HasSuffix(b.String(), "-"):
			b.WriteByte('-')
		}
	}
	const most = 63
	name := strings.TrimLeft(b.String(), "_-")
	if len(name) > most {
		name = name[:most]
	}
	return strings.TrimRight(name, "_-")
}

// own checks that an app has one publisher.
func (r *reader) own(row *Row) {
	if row.App == "" {
		return
	}
	if r.Owner != nil {
		if publisher, known := r.Owner(row.App); known {
			switch {
			case row.Publisher == "":
				row.Publisher = publisher
			case publisher != "" && publisher != row.Publisher:
				row.fault("app", "the app %s belongs to the publisher %s already: give this one another name, such as %s",
					row.App, publisher, validName(row.Publisher+"-"+row.App))
			}
			return
		}
	}
	first, taken := r.owners[row.App]
	switch {
	case !taken:
		r.owners[row.App] = owner{row.Publisher, row.Line}
	case first.publisher != row.Publisher && row.Publisher != "" && first.publisher != "":
		row.fault("app", "the app %s belongs to the publisher %s, in line %d: give this one another name, such as %s",
			row.App, first.publisher, first.line, validName(row.Publisher+"-"+row.App))
	case first.publisher == "":
		r.owners[row.App] = owner{row.Publisher, first.line}
	case row.Publisher == "":
		row.Publisher = first.publisher
	}
}

// zone reads which zones the template is for.
func (r *reader) zone(row *Row) {
	row.Zone = row.cells["zone"].text
	for _, zone := range fields(row.Zone) {
		switch {
		case len(zone) > maxZoneBytes:
			row.fault("zone", "the zone has %d characters: shorten it to %d", len(zone), maxZoneBytes)
			return
		case strings.ContainsFunc(zone, func(c rune) bool { return c < ' ' || c == 0x7f }):
			row.fault("zone", "a control character stands in the zone: remove it")
			return
		case !slices.Contains(row.Endpoint.Filter.Zones, zone):
			row.Endpoint.Filter.Zones = append(row.Endpoint.Filter.Zones, zone)
		}
	}
	row.Endpoint.Default = len(row.Endpoint.Filter.Zones) == 0
}

// fields splits a cell that holds a list.
func fields(text string) []string {
	return strings.FieldsFunc(text, func(c rune) bool { return c == ',' || c == ';' || c == '|' || c == ' ' || c == '\n' || c == '\t' })
}

// knownZone warns of zones that the app does not have.
func (r *reader) knownZone(row *Row) {
	if r.Zones == nil || row.App == "" {
		return
	}
	known := r.Zones(row.App)
	for _, zone := range row.Endpoint.Filter.Zones {
		if len(known) > 0 && !slices.Contains(known, zone) {
			row.warn(fmt.Sprintf("the app %s has no zone %q: nothing is sent until it has", row.App, clip(zone)))
		}
	}
}

// filter reads which events the template is for.
func (r *reader) filter(row *Row) {
	f := &row.Endpoint.Filter
	for _, word := range fields(strings.ToLower(row.cells["event_types"].text)) {
		if t := carom.EventType(word); carom.CheckName("", word) != nil {
			row.fault("event_types", "%q is no event type: use impression, click, completion, reversal, or a word of your own in letters, digits, - and _",
				clip(word))
		} else if !slices.Contains(f.EventTypes, t) {
			f.EventTypes = append(f.EventTypes, t)
		}
	}
	for _, word := range fields(strings.ToLower(row.cells["values"].text)) {
		v := carom.RewardEventType(word)
		switch v {
		case carom.Valued, carom.NotValued:
		case "empty":
			v = carom.ValueEmpty
		default:
			row.fault("values", "%q is no value: write valued, not_valued, or empty for events whose network did not say", clip(word))
			continue
		}
		if !slices.Contains(f.Values, v) {
			f.Values = append(f.Values, v)
		}
	}
}

// url reads the template, and looks for what happens to URLs in spreadsheets and pages. What route finds comes later.
func (row *Row) url() {
	text := row.cells["url"].text
	row.Endpoint.URL = text
	second := secondURL(text)
	switch {
	case text == "":
		row.fault("url", "the template is missing: write where to send, or remove the line")
	case second != "":
		row.fault("url", "two URLs stand in it, the second is %s…: give each a line of its own", clip(second))
	case strings.Contains(text, "&amp;") || strings.Contains(text, "&#38;"):
		row.fault("url", "&amp; stands in it, which HTML needs and a URL does not: write &")
	case strings.HasPrefix(text, `"`) || strings.HasPrefix(text, "'") || strings.HasPrefix(text, "\u201c"):
		row.fault("url", "it begins with a quotation mark: remove the quotation marks around it")
	default:
		return
	}
	row.unusable = true
}

// secondURL returns the scheme and host of another URL that follows the first one in a text. One in a parameter is none.
func secondURL(text string) string {
	for from := 1; from < len(text); {
		i := strings.Index(text[from:], "://")
		if i < 0 {
			return ""
		}
		i += from
		begin := i
		for begin > 0 && ('a' <= text[begin-1]|0x20 && text[begin-1]|0x20 <= 'z') {
			begin--
		}
		if scheme := strings.ToLower(text[begin:i]); begin > 0 && (scheme == "http" || scheme == "https") && strings.IndexByte(" \n\t,;|\"'", text[begin-1]) >= 0 {
			rest := text[i+len("://"):]
			if end := strings.IndexAny(rest, "/?# "); end >= 0 {
				rest = rest[:end]
			}
			return text[begin:i] + "://" + rest
		}
		from = i + len("://")
	}
	return ""
}

// compile checks what a row has become, and adds its warnings.
func (r *reader) compile(row *Row) {
	if row.unusable {
		return
	}
	compiled, err := route.CompileIn(row.Endpoint, r.Dialect)
	if err != nil {
		for _, fe := range fieldErrors(err) {
			if column, ok := columnOf[fe.Field]; ok {
				fe.Field = column
			}
			row.Faults = append(row.Faults, row.place(fe))
		}
		return
	}
	if len(row.Faults) > 0 || row.CopyOf > 0 {
		return
	}
	row.Compiled = compiled
	if strings.HasPrefix(strings.ToLower(row.Endpoint.URL), "http:") {
		row.warn("it is not encrypted, so that others on the way can read and change it: ask for an https URL")
	}
	named := func(u route.Use) bool { return u.Macro == "ymid" }
	if row.Endpoint.Method != "POST" && !slices.ContainsFunc(compiled.Uses(), named) {
		row.warn(fmt.Sprintf("it has no %s, so that the receiver cannot tell which view is meant", route.WriteMacro(r.Dialect, "ymid")))
	}
	if !compiled.HoldsSecret() {
		row.warn("nothing in it is secret, so that anybody who knows the URL can call it: ask for a secret parameter")
	}
	for _, m := range macrosIn(row.Endpoint.URL) {
		if r.Dialect != nil && m.open == r.Dialect.Open || r.Dialect == nil && m.open == "{" {
			continue
		}
		if r.known(m.name) {
			row.warn(fmt.Sprintf("%s is sent as text: it looks like a macro in another notation", m.open+m.name+m.shut))
		}
	}
}

// known says whether a name is one of the dialect's or of carom's, or a common word for one.
func (o Options) known(name string) bool {
	if _, ok := route.MacroFor(name); ok || strings.HasPrefix(strings.ToLower(name), "field.") {
		return true
	}
	return o.inDialect(name)
}

func (o Options) inDialect(name string) bool {
	if o.Dialect == nil {
		return false
	}
	for known := range o.Dialect.Macros {
		if strings.EqualFold(known, name) {
			return true
		}
	}
	return false
}

// columnOf names the column that a field of an endpoint comes from.
var columnOf = map[string]string{"filter.event_types": "event_types", "filter.values": "values", "filter.zones": "zone"}

// fieldErrors takes apart what route joins.
func fieldErrors(err error) []*carom.FieldError {
	var many interface{ Unwrap() []error }
	var one *carom.FieldError
	switch {
	case errors.As(err, &many):
		var out []*carom.FieldError
		for _, inner := range many.Unwrap() {
			out = append(out, fieldErrors(inner)...)
		}
		return out
	case errors.As(err, &one):
		return []*carom.FieldError{one}
	}
	return []*carom.FieldError{carom.Invalid("", "%v", err)}
}
