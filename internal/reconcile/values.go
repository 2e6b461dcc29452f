package reconcile

import (
	"fmt"
	"math"
	"strings"
	"time"

	"carom"
)

// The orders of a date that are written in numbers, by how a map spells them.
var dayOrders = map[string]string{
	"YYYY-MM-DD": "2006-1-2", "DD-MM-YYYY": "2-1-2006", "MM-DD-YYYY": "1-2-2006", "YYYYMMDD": "20060102",
	"DD-MM-YY": "2-1-06", "MM-DD-YY": "1-2-06",
}

// wordy are the layouts of dates with the month as a word.
var wordy = [...]string{"2 Jan 2006", "2 January 2006", "Jan 2 2006", "January 2 2006", "2-Jan-2006", "2-Jan-06"}

// dashed makes the separators of a date alike.
func dashed(s string) string { return strings.NewReplacer("/", "-", ".", "-").Replace(s) }

func checkDayOrder(order string) error {
	if order == "" || dayOrders[dashed(order)] != "" {
		return nil
	}
	return carom.Invalid("map.day_format", "%.20q is no order of a date: write YYYY-MM-DD, DD.MM.YYYY, MM/DD/YYYY or YYYYMMDD", order)
}

// datePart cuts the time of day off a cell, and says whether it names UTC.
func datePart(cell string) (date string, utc bool) {
	cell = strings.Join(strings.Fields(cell), " ")
	if i := strings.IndexByte(cell, 'T'); i >= 8 && i <= 10 && cell[i-1] >= '0' && cell[i-1] <= '9' {
		return cell[:i], strings.HasSuffix(cell, "Z")
	}
	if date, clock, ok := strings.Cut(cell, " "); ok && strings.Contains(clock, ":") && strings.ContainsAny(date, "-/.") {
		return date, strings.HasSuffix(clock, "UTC") || strings.HasSuffix(clock, "Z")
	}
	return cell, false
}

// dayOrderOf finds out the order of the dates in a column from all of its cells: "" when none is written in numbers alone. It is
// an error when 01/02/2026 may be either.
func dayOrderOf(cells []string) (order string, err error) {
	var dayFirst, monthFirst, short bool
	undecided := ""
	for _, cell := range cells {
		date, _ := datePart(cell)
		parts := strings.Split(dashed(date), "-")
		if len(parts) == 1 && len(date) == 8 && strings.Trim(date, "0123456789") == "" {
			return "YYYYMMDD", nil
		}
		if len(parts) != 3 || strings.Trim(strings.Join(parts, ""), "0123456789") != "" {
			continue // with a month as a word, or no date: told by its line
		}
		if len(parts[0]) == 4 {
			return "YYYY-MM-DD", nil
		}
		short, undecided = len(parts[2]) == 2, cell
		dayFirst = dayFirst || parts[0] > "12" && len(parts[0]) == 2 || strings.Contains(date, ".")
		monthFirst = monthFirst || parts[1] > "12" && len(parts[1]) == 2
	}
	suffix := "-YYYY"
	if short {
		suffix = "-YY"
	}
	switch {
	case dayFirst && monthFirst:
		return "", carom.Invalid("day", "some dates have the day first and some the month: say which with day_format in a map")
	case dayFirst:
		return "DD-MM" + suffix, nil
	case monthFirst:
		return "MM-DD" + suffix, nil
	case undecided != "":
		return "", carom.Invalid("day", "%q may be a day of two months: say which with day_format in a column map (--map), such as DD/MM/YYYY", clip(undecided))
	}
	return "", nil
}

// readDay reads a date.
func readDay(cell, order string) (day string, utc bool, err error) {
	date, utc := datePart(cell)
	if layout := dayOrders[dashed(order)]; layout != "" {
		text := dashed(date)
		if !strings.Contains(layout, "-") {
			text = date
		}
		if t, err := time.Parse(layout, text); err == nil {
			return checkYear(t, cell, utc)
		}
	}
	plain := strings.Join(strings.Fields(strings.ReplaceAll(date, ",", " ")), " ")
	for _, layout := range wordy {
		if t, err := time.Parse(layout, plain); err == nil {
			return checkYear(t, cell, utc)
		}
	}
	if order == "" {
		return "", false, fmt.Errorf("%q is no date", clip(cell))
	}
	return "", false, fmt.Errorf("%q is no date of the form %s", clip(cell), order)
}

func checkYear(t time.Time, cell string, utc bool) (string, bool, error) {
	if t.Year() < 2000 || t.Year() > 2200 {
		return "", false, fmt.Errorf("the year of %q cannot be", clip(cell))
	}
	return t.Format(dayFormat), utc, nil
}

// absent says whether a cell says that there is nothing to say.
func absent(cell string) bool {
	switch strings.ToLower(cell) {
	case "", "-", "–", "—", "n/a", "na", "null", "none", "--":
		return true
	}
	return false
}

// symbols are signs of currencies before or behind an amount. The dollar is that of several countries, and names none.
var symbols = [...]struct{ symbol, code string }{{"$", "$"}, {"€", "EUR"}, {"£", "GBP"}, {"₽", "RUB"}, {"₴", "UAH"}, {"₹", "INR"}}

// digits takes off a number what is not a digit, a separator or a sign, and returns its currency if it names one. A number in
// parentheses is below zero, as accountants write it.
func digits(cell string) (number, currency string, err error) {
	if strings.Trim(cell, "0123456789.,") == "" {
		return cell, "", nil // by far the commonest
	}
	number = strings.Map(func(r rune) rune {
		switch {
		case space(r), r == '\'', r == '’':
			return -1
		case r == '−':
			return '-'
		}
		return r
	}, cell)
	if strings.ContainsRune(number, '%') {
		return "", "", fmt.Errorf("%q is a percentage, and a number belongs here: name another column in a map", clip(cell))
	}
	if inner, ok := strings.CutPrefix(number, "("); ok && strings.HasSuffix(inner, ")") {
		number = "-" + strings.TrimSuffix(inner, ")")
	}
	sign := ""
	if rest, ok := strings.CutPrefix(number, "-"); ok {
		sign, number = "-", rest
	}
	for _, s := range symbols {
		if rest := strings.Trim(number, s.symbol); rest != number {
			number, currency = rest, s.code
		}
	}
	trimmed := strings.Trim(number, "ABCDEFGHIJKLMNOPQRSTUVWXYZ")
	if code := strings.Replace(number, trimmed, "", 1); trimmed != "" && isCurrency(code) {
		number, currency = trimmed, code
	}
	if rest, ok := strings.CutPrefix(number, "-"); ok {
		sign, number = "-", rest
	}
	return sign + number, currency, nil
}

// decimalOf finds out which sign separates decimals in the file: "" when every number can be read both ways. Counts are whole,
// so a separator in them is one of thousands.
func decimalOf(counts, amounts []string) (string, error) {
	point, comma := false, false // evidence that it separates decimals
	note := func(sign byte) {
		point, comma = point || sign == '.', comma || sign == ','
	}
	other := func(sign byte) byte { return '.' + ',' - sign }
	for _, cell := range counts {
		n, _, err := digits(cell)
		if i := strings.IndexAny(n, ".,"); err == nil && i >= 0 && grouped(n, n[i]) {
			note(other(n[i]))
		}
	}
	for _, cell := range amounts {
		n, _, err := digits(cell)
		last := strings.LastIndexAny(n, ".,")
		if err != nil || last < 0 {
			continue
		}
		sign := n[last]
		switch {
		case strings.IndexByte(n, other(sign)) >= 0: // both: the last one separates decimals
			note(sign)
		case strings.Count(n, string(sign)) > 1: // several: thousands
			note(other(sign))
		case !grouped(n, sign):
			note(sign)
		}
	}
	switch {
	case point && comma:
		return "", carom.Invalid("revenue", "some numbers have decimals behind a point and some behind a comma: say which with decimal in a map")
	case comma:
		return ",", nil
	case point:
		return ".", nil
	}
	return "", nil
}

// grouped says whether a number looks like groups of three digits with sign between them: "1,234", not "0,123" or "12,34".
func grouped(n string, sign byte) bool {
	groups := strings.Split(strings.TrimPrefix(n, "-"), string(sign))
	for i, g := range groups {
		if strings.Trim(g, "0123456789") != "" || i > 0 && len(g) != 3 || i == 0 && (len(g) == 0 || len(g) > 3 || g[0] == '0') {
			return false
		}
	}
	return len(groups) > 1
}

// normal makes a number one that Go reads, with a point before its decimals.
func normal(cell, decimal string) (number, currency string, err error) {
	number, currency, err = digits(cell)
	if err != nil {
		return "", "", err
	}
	bad := fmt.Errorf("%q is no number", clip(cell))
	sign := byte('.')
	if decimal == "," {
		sign = ','
	}
	whole, fraction, _ := strings.Cut(number, string(sign))
	other := byte(',')
	if sign == ',' {
		other = '.'
	}
	if strings.IndexByte(whole, other) >= 0 {
		if !grouped(whole, other) {
			return "", "", bad
		}
		whole = strings.ReplaceAll(whole, string(other), "")
	}
	if number = whole; fraction != "" {
		number += "." + fraction
	}
	if strings.Trim(number, "-0123456789.eE+") != "" || number == "" {
		return "", "", bad
	}
	return number, currency, nil
}

// readCount reads a whole number that is not negative.
func readCount(cell, decimal string) (int64, error) {
	text, _, err := normal(cell, decimal)
	if err != nil {
		return 0, err
	}
	n, truncated, err := carom.ParseNanos(text)
	switch {
	case err != nil:
		return 0, fmt.Errorf("%q is no whole number", clip(cell))
	case n < 0:
		return 0, fmt.Errorf("%q is below zero, and a count cannot be", clip(cell))
	case truncated || n%unit != 0:
		return 0, fmt.Errorf("%q is no whole number: does the column hold something else?", clip(cell))
	}
	return int64(n) / unit, nil
}

// readMoney reads an amount. truncated says that it had more than nine decimals.
func readMoney(cell, decimal string) (n carom.Nanos, currency string, truncated bool, err error) {
	text, currency, err := normal(cell, decimal)
	if err != nil {
		return 0, "", false, err
	}
	if n, truncated, err = carom.ParseNanos(text); err != nil {
		return 0, "", false, fmt.Errorf("%q is no amount that can be kept", clip(cell))
	}
	return n, currency, truncated, nil
}

// addCount adds without overflowing, which no network's numbers reach.
func addCount(a, b int64) (int64, bool) {
	if a > math.MaxInt64-b {
		return 0, false
	}
	return a + b, true
}

func clip(s string) string {
	if r := []rune(s); len(r) > 40 {
		return string(r[:40]) + "…"
	}
	return s
}
