package reconcile

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"carom"
)

// rows reads the lines behind the header. Nothing is kept unless all of them can be read.
func (r *reader) rows() ([]carom.StatementRow, error) {
	r.body = slices.DeleteFunc(r.body, func(rec record) bool { return rec.blank() })
	var left []int
	body := r.body[:0]
	for i := range r.body {
		if rec := &r.body[i]; r.isTotal(rec, i == len(r.body)-1) {
			left = append(left, rec.line)
			continue
		}
		body = append(body, r.body[i])
	}
	r.body = body
	if len(left) > 0 {
		r.notes = append(r.notes, "Lines of totals were left out: "+lines(left)+".")
	}
	if len(r.body) == 0 {
		return nil, carom.Invalid("file", "it has a header and no days: export the days that you want to compare")
	}
	if err := r.survey(); err != nil {
		return nil, err
	}
	merged := map[carom.StatementRow]*carom.StatementRow{}
	for i := range r.body {
		r.row(&r.body[i], merged)
	}
	if r.more > 0 {
		r.faults = append(r.faults, carom.Invalid("file", "%d further faults are not shown", r.more))
	}
	if len(r.faults) > 0 {
		return nil, errors.Join(r.faults...)
	}
	if r.cut > 0 {
		r.notes = append(r.notes, fmt.Sprintf("%d amounts have more than nine decimals: the rest was cut.", r.cut))
	}
	if len(merged) < len(r.body) {
		r.notes = append(r.notes, fmt.Sprintf("%d lines were added up to %d by day and zone.", len(r.body), len(merged)))
	}
	out := make([]carom.StatementRow, 0, len(merged))
	for _, row := range merged {
		out = append(out, *row)
	}
	slices.SortFunc(out, func(a, b carom.StatementRow) int {
		return cmp.Or(cmp.Compare(a.Day, b.Day), cmp.Compare(a.Zone, b.Zone), cmp.Compare(a.SubZone, b.SubZone))
	})
	return out, nil
}

// lines writes numbers of lines, the first ten of them.
func lines(numbers []int) string {
	var out []string
	for i, n := range numbers {
		if i == 10 {
			out = append(out, "…")
			break
		}
		out = append(out, fmt.Sprint(n))
	}
	return strings.Join(out, ", ")
}

// survey finds out, from whole columns, how dates and numbers are written, and which currency it is.
func (r *reader) survey() error {
	column := func(field string) (out []string) {
		for i := range r.body {
			if cell := r.cell(&r.body[i], field); !absent(cell) {
				out = append(out, cell)
			}
		}
		return out
	}
	if r.order = r.columns.DayOrder; r.order == "" {
		var err error
		if r.order, err = dayOrderOf(column("day")); err != nil {
			return err
		}
	}
	amounts := column("revenue")
	if r.decimal = r.columns.Decimal; r.decimal == "" {
		var counts []string
		for _, field := range []string{"impressions", "clicks", "valued"} {
			counts = append(counts, column(field)...)
		}
		var err error
		if r.decimal, err = decimalOf(counts, amounts); err != nil {
			return err
		}
		for _, cell := range amounts {
			if n, _, err := digits(cell); err == nil && r.decimal == "" && strings.Contains(n, ",") {
				return carom.Invalid("revenue", "%q may be thousands or decimals: say which with decimal: \",\" or decimal: \".\" in a column map (--map)", clip(cell))
			}
		}
	}
	return r.findCurrency()
}

// findCurrency takes the currency from the options, the name of the column or the map.
func (r *reader) findCurrency() error {
	if _, ok := r.place["revenue"]; !ok {
		return nil
	}
	inName := ""
	if _, rest, ok := strings.Cut(r.header.cells[r.place["revenue"]], "("); ok {
		if code := strings.ToUpper(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), ")"))); isCurrency(code) {
			inName = code
		}
	}
	if r.options.Currency != "" && inName != "" && r.options.Currency != inName {
		return carom.Invalid("currency", "the column %q is in %s, not in %s: leave --currency out", r.header.cells[r.place["revenue"]], inName, r.options.Currency)
	}
	r.currency = cmp.Or(r.options.Currency, inName)
	if _, ok := r.place["currency"]; !ok {
		r.currency = cmp.Or(r.currency, r.columns.Currency)
	}
	return nil
}

// row reads one line, and adds it to what its day, zone and sub-zone have.
func (r *reader) row(rec *record, merged map[carom.StatementRow]*carom.StatementRow) {
	if n := len(r.header.cells); len(rec.cells) > n && !(&record{cells: rec.cells[n:]}).blank() || len(rec.cells) < n && !r.reaches(rec) {
		r.fault(rec, "", "the line has %d fields and the header %d: is a separator missing, or one too many?", len(rec.cells), n)
		return
	}
	row := carom.StatementRow{Zone: r.cell(rec, "zone"), SubZone: r.cell(rec, "sub_zone")}
	day, utc, err := readDay(r.cell(rec, "day"), r.order)
	if err != nil {
		r.fault(rec, "day", "%v", err)
	}
	row.Day, r.utc = day, utc
	if len(row.Zone) > 256 || len(row.SubZone) > 256 {
		r.fault(rec, "zone", "a zone has at most 256 bytes")
		return
	}
	key := row
	sum := merged[key]
	if sum == nil {
		sum = &row
		merged[key] = sum
	}
	for _, c := range []struct {
		field string
		into  **int64
	}{{"impressions", &sum.Impressions}, {"clicks", &sum.Clicks}, {"valued", &sum.Valued}} {
		r.addCount(rec, c.field, c.into)
	}
	r.addRevenue(rec, sum)
}

// reaches says whether a short line has all the columns that are read.
func (r *reader) reaches(rec *record) bool {
	for _, i := range r.place {
		if i >= len(rec.cells) {
			return false
		}
	}
	return true
}

func (r *reader) addCount(rec *record, field string, into **int64) {
	cell := r.cell(rec, field)
	if absent(cell) {
		return
	}
	n, err := readCount(cell, r.decimal)
	if err != nil {
		r.fault(rec, field, "%v", err)
		return
	}
	if *into != nil {
		total, ok := addCount(**into, n)
		if !ok {
			r.fault(rec, field, "the sum of the day is too large")
			return
		}
		n = total
	}
	*into = &n
}

func (r *reader) addRevenue(rec *record, sum *carom.StatementRow) {
	cell := r.cell(rec, "revenue")
	if absent(cell) {
		return
	}
	n, currency, truncated, err := readMoney(cell, r.decimal)
	if err != nil {
		r.fault(rec, "revenue", "%v", err)
		return
	}
	if truncated {
		r.cut++
	}
	for _, code := range []string{strings.ToUpper(r.cell(rec, "currency")), currency} {
		switch {
		case code == "" || code == "$":
		case !isCurrency(code):
			r.fault(rec, "currency", "%q is no currency: its three letters belong here", clip(code))
			return
		case r.currency == "":
			r.currency = code
		case code != r.currency:
			r.fault(rec, "currency", "the amount is in %s, and the others are in %s: export one currency at a time", code, r.currency)
			return
		}
	}
	total := sum.Revenue.Nanos + n
	if n > 0 && total < sum.Revenue.Nanos || n < 0 && total > sum.Revenue.Nanos {
		r.fault(rec, "revenue", "the sum of the day is too large")
		return
	}
	sum.Revenue = carom.Price{Nanos: total, Set: true}
}
