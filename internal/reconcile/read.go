package reconcile

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/agnivade/levenshtein"

	"carom"
)

// maxFaults is how many bad lines are told.
const maxFaults = 50

// ReadOptions is what is known of a file beside its text.
type ReadOptions struct {
	File     string // its name
	Currency string // of its revenue; empty: what the file or the map says
	DayZone  string // of its days; empty: what the map says
}

// Read reads a file of statistics with a column map. Rows of one day, zone and sub-zone are added up. The statement has no app,
// source, moment or id yet.
//
// Its error holds a carom.FieldError for each bad line, at most 50 of them; then there is no statement.
func Read(data []byte, c *Columns, o ReadOptions) (carom.Statement, []carom.StatementRow, error) {
	fail := func(err error) (carom.Statement, []carom.StatementRow, error) {
		return carom.Statement{}, nil, o.named(err)
	}
	if o.Currency = strings.ToUpper(o.Currency); o.Currency != "" && !isCurrency(o.Currency) {
		return fail(carom.Invalid("currency", "%.20q is no currency: write its three letters, such as USD", o.Currency))
	}
	if _, err := LoadZone("day_zone", o.DayZone); err != nil {
		return fail(err)
	}
	text, encoding, err := decode(data)
	if err != nil {
		return fail(err)
	}
	r := &reader{columns: c, options: o}
	if err := r.open(text); err != nil {
		return fail(err)
	}
	rows, err := r.rows()
	if err != nil {
		return fail(err)
	}
	sum := sha256.Sum256(data)
	st := carom.Statement{
		File: o.File, SHA256: hex.EncodeToString(sum[:]), Reading: c.sum(o), Map: c.Name, Currency: r.currency,
		DayZone: cmp.Or(o.DayZone, c.DayZone), From: rows[0].Day, To: rows[len(rows)-1].Day, Rows: len(rows), Notes: r.notes,
	}
	if encoding != "UTF-8" {
		st.Notes = append(st.Notes, "It was read as "+encoding+".")
	}
	if st.DayZone == "" && r.utc {
		st.DayZone = "UTC"
	}
	return st, rows, nil
}

// named puts the name of the file into the faults that have a line.
func (o ReadOptions) named(err error) error {
	var list []error
	for _, one := range unjoin(err) {
		var fault *carom.FieldError
		if errors.As(one, &fault) && fault.Line > 0 {
			named := *fault
			named.File = cmp.Or(o.File, "file")
			one = &named
		}
		list = append(list, one)
	}
	return errors.Join(list...)
}

func unjoin(err error) []error {
	//lint:ignore errorlint what errors.Join made is taken apart
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		return many.Unwrap()
	}
	return []error{err}
}

// reader reads one file.
type reader struct {
	columns *Columns
	options ReadOptions

	header   record
	place    map[string]int // the column of a field
	body     []record
	order    string // of dates
	decimal  string
	currency string
	utc      bool // the file's moments are in UTC
	cut      int  // amounts with more than nine decimals
	notes    []string
	faults   []error
	more     int // faults beyond those that are told
}

// open finds the separator and the header, and splits the file.
func (r *reader) open(text string) error {
	text, separator, skip := marked(text)
	candidates := []rune(separators)
	if separator != 0 {
		candidates = []rune{separator}
	}
	best, found, most := candidates[0], -1, -1
	for _, sep := range candidates {
		head, _ := split(text, sep, skip, 20) // what is wrong in it is told below
		for i := range head {
			score := len(r.match(&head[i]))*1000 + len(head[i].cells)
			if _, hasDay := r.match(&head[i])["day"]; hasDay {
				score += 100_000
			}
			if score > most {
				best, found, most = sep, i, score
			}
		}
	}
	all, err := split(text, best, skip, 0)
	if err != nil {
		return err
	}
	if found < 0 || found >= len(all) {
		return carom.Invalid("file", "it has no header: export it with the names of the columns")
	}
	r.header, r.body = all[found], all[found+1:]
	r.place = r.match(&r.header)
	if err := r.checkHeader(); err != nil {
		return err
	}
	if found > 0 {
		r.notes = append(r.notes, fmt.Sprintf("The lines before the header in line %d were left out.", r.header.line))
	}
	return nil
}

// match finds the columns that the map names.
func (r *reader) match(head *record) map[string]int {
	place := map[string]int{}
	for field, options := range r.columns.Columns {
		for _, name := range options {
			i := slices.IndexFunc(head.cells, func(cell string) bool {
				return plainName(cell) == plainName(name) || plainName(withoutUnit(cell)) == plainName(name)
			})
			if i >= 0 {
				place[field] = i
				break
			}
		}
	}
	return place
}

// withoutUnit cuts what stands in parentheses off the name of a column: "Estimated earnings (USD)".
func withoutUnit(cell string) string {
	name, _, _ := strings.Cut(cell, "(")
	return name
}

// checkHeader says which columns are missing, and which may be meant.
func (r *reader) checkHeader() error {
	var faults []error
	for _, field := range fields {
		if _, ok := r.place[field]; ok || len(r.columns.Columns[field]) == 0 {
			continue
		}
		if field == "day" || r.columns.Name == OwnMap {
			faults = append(faults, r.missing(field))
		}
	}
	_, impressions := r.place["impressions"]
	_, clicks := r.place["clicks"]
	_, valued := r.place["valued"]
	_, revenue := r.place["revenue"]
	if len(faults) == 0 && !impressions && !clicks && !valued && !revenue {
		for _, field := range []string{"impressions", "clicks", "valued", "revenue"} {
			if len(r.columns.Columns[field]) > 0 {
				faults = append(faults, r.missing(field))
			}
		}
		if len(faults) == 0 {
			faults = append(faults, carom.Invalid("map.columns", "say which column has impressions, clicks, valued events or revenue"))
		}
	}
	used := map[int]string{}
	for _, field := range fields {
		i, ok := r.place[field]
		if !ok {
			continue
		}
		if before := used[i]; before != "" {
			faults = append(faults, carom.Invalid("map.columns."+field, "the column %q cannot be both %s and %s", clip(r.header.cells[i]), before, field))
		}
		used[i] = field
		for j, cell := range r.header.cells {
			if j != i && plainName(cell) == plainName(r.header.cells[i]) {
				faults = append(faults, carom.Invalid("columns."+field, "two columns are called %q: rename one in the file", clip(cell)))
				break
			}
		}
	}
	return errors.Join(faults...)
}

// missing names a column that is not there, those that are, and the nearest.
func (r *reader) missing(field string) error {
	wanted := r.columns.Columns[field]
	var have []string
	nearest, distance := "", 1<<30
	for _, cell := range r.header.cells {
		if cell == "" {
			continue
		}
		have = append(have, fmt.Sprintf("%q", clip(cell)))
		for _, name := range wanted {
			if d := levenshtein.ComputeDistance(plainName(clip(cell)), plainName(name)); d < distance {
				nearest, distance = cell, d
			}
		}
	}
	if len(have) > 30 {
		have = append(have[:30], "…")
	}
	text := fmt.Sprintf("the file has no column %q", wanted[0])
	if len(wanted) > 1 {
		text = fmt.Sprintf("the file has no column for the %s, such as %q", strings.ReplaceAll(field, "_", "-"), wanted[0])
	}
	text += "; it has " + cmp.Or(strings.Join(have, ", "), "none")
	if nearest != "" {
		text += fmt.Sprintf("; the nearest is %q", clip(nearest))
	}
	return &carom.FieldError{Line: r.header.line, Column: 1, Field: "columns." + field, Message: text + ": name the right one in a column map (--map)"}
}

// cell is the cell of a field in a record; empty when it has none.
func (r *reader) cell(rec *record, field string) string {
	if i, ok := r.place[field]; ok && i < len(rec.cells) {
		return rec.cells[i]
	}
	return ""
}

// fault notes what is wrong in a line.
func (r *reader) fault(rec *record, field, format string, args ...any) {
	if len(r.faults) >= maxFaults {
		r.more++
		return
	}
	e := &carom.FieldError{Line: rec.line, Column: 1, Field: field, Message: fmt.Sprintf(format, args...)}
	if i, ok := r.place[field]; ok {
		e.Column, e.Field = i+1, r.header.cells[i]
	}
	r.faults = append(r.faults, e)
}

// totals are the words that stand in a line of sums, in the languages of common exports.
var totals = [...]string{
	"total", "totals", "grand total", "sum", "average", "avg", "summary", "gesamt", "summe", "insgesamt", "итого", "всего", "сумма", "всего:", "total general",
}

// isTotal says whether a record is a line of sums: one of its texts says so, or the last one has no day but numbers.
func (r *reader) isTotal(rec *record, last bool) bool {
	for i, cell := range rec.cells {
		if i == r.place["day"] || strings.Trim(cell, "0123456789.,") != "" {
			if slices.Contains(totals[:], strings.ToLower(strings.Trim(cell, " :"))) {
				return true
			}
		}
	}
	return last && r.cell(rec, "day") == ""
}
