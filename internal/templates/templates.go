// Package templates reads a file of URL templates, as an operator of a network has them of its publishers, into endpoints.
//
// The file is CSV with a line for each template; its columns are found by their names. [Read] never stops at a fault: each line gets
// its own faults and warnings, so that hundreds of templates are corrected in one go, and [Result.Objects] makes objects of the
// lines without a fault. [Guess] says in which notation the templates write their macros, before there is a dialect.
//
// Templates are checked by package route, as they are when the objects come into force. Everything is a pure function of its
// arguments: nothing is resolved, sent or stored.
package templates

import (
	"slices"

	"carom"
	"carom/internal/route"
)

// Bounds of a file.
const (
	// MaxRows is how many lines a file may have behind its header.
	MaxRows = 10_000
	// MaxBytes is how large a file may be.
	MaxBytes = 16 << 20

	maxRowBytes  = 64 << 10
	maxZoneBytes = 128
)

// Columns are the names of what is read of a line, in the order of the documents. Only the last one has to be there.
func Columns() []string {
	return []string{"publisher", "app", "zone", "name", "method", "event_types", "values", "url"}
}

// Options say how a file is read. The zero value reads templates in carom's own notation and knows of no other objects.
type Options struct {
	// Columns maps names of [Columns] to those of the file, for files whose names are not recognised: {"url": "Ziel"}.
	Columns map[string]string
	// Dialect is what the templates are written in. Nil is carom's own notation. It has to be sound, see route.CheckDialect.
	Dialect *carom.Dialect
	// Apps returns the names of the apps that a publisher has already. A line that names no app is for each of them; without one,
	// for an app of the publisher's name. Nil: there are none.
	Apps func(publisher string) []string
	// Zones returns the ids of the zones that an app has already. A zone that is not among them is warned of. Nil, or an app
	// without zones: zones are not compared.
	Zones func(app string) []string
	// Owner returns the publisher of an app that is there already. Nil: there are none.
	Owner func(app string) (publisher string, ok bool)
}

// Result is what a file says.
type Result struct {
	Rows []Row `json:"rows"`
	// Faults are those of the file as a whole: a column that is missing, too many lines.
	Faults []*carom.FieldError `json:"faults,omitempty"`
	// Ignored are the columns that nothing was read of.
	Ignored []string `json:"ignored,omitempty"`

	dialect *carom.Dialect
}

// Row is one template: a line of the file, or one of several endpoints that a line stands for.
type Row struct {
	Line      int                 `json:"line"` // where it begins, from 1
	Publisher string              `json:"publisher,omitempty"`
	App       string              `json:"app,omitempty"`
	Zone      string              `json:"zone,omitempty"` // as the line has it; empty: it is for all zones that have none of their own
	Endpoint  carom.Endpoint      `json:"-"`
	Faults    []*carom.FieldError `json:"faults,omitempty"`
	Warnings  []string            `json:"warnings,omitempty"`
	// CopyOf is the line that says the same already; zero: none. A copy becomes no endpoint.
	CopyOf int `json:"copy_of,omitempty"`

	// Compiled is the endpoint, ready to render. Nil where the row has faults.
	Compiled *route.Endpoint `json:"-"`

	title    string // the publisher as the line writes it
	cells    map[string]cell
	unusable bool // there is no template to compile: what is wrong with it was said already
}

// Good says whether the row becomes an endpoint.
func (row *Row) Good() bool { return len(row.Faults) == 0 && row.CopyOf == 0 }

// Counts says how many rows become endpoints, how many only repeat another one, and how many have faults.
func (r *Result) Counts() (good, copies, faulty int) {
	for i := range r.Rows {
		switch row := &r.Rows[i]; {
		case len(row.Faults) > 0:
			faulty++
		case row.CopyOf > 0:
			copies++
		default:
			good++
		}
	}
	return good, copies, faulty
}

func (row *Row) warn(text string) {
	if !slices.Contains(row.Warnings, text) {
		row.Warnings = append(row.Warnings, text)
	}
}

// fault adds a fault of a column.
func (row *Row) fault(column, format string, args ...any) {
	row.Faults = append(row.Faults, row.place(carom.Invalid(column, format, args...)))
}

// place says where in the file a fault stands: at the cell of its column, or where the line begins.
func (row *Row) place(fe *carom.FieldError) *carom.FieldError {
	fe.Line, fe.Column = row.Line, 1
	if c, ok := row.cells[fe.Field]; ok {
		fe.Line, fe.Column = c.line, c.column
	}
	return fe
}
