// Package reconcile answers why two books differ: it reads the statistics that a network gives as a file, counts what carom
// saw by the same days, and explains each difference with carom's own counts.
//
// It stands outside the flow of events. It hides how files are spelled (encodings, separators, dates, numbers, the names of
// columns), where the days of a time zone begin, and the arithmetic of explanations. It promises that nothing is half read: a
// file with one bad line yields no statement, and every bad line is named; and that what is explained and what is not add up
// to the difference, in numbers and in money. It reads no database and calls nobody: counts are handed in.
package reconcile

import (
	"fmt"
	"time"

	"carom"
)

const dayFormat = time.DateOnly

// MaxDays bounds how many days a report or a comparison can span.
const MaxDays = 400

// Days are consecutive calendar days of a time zone.
type Days struct {
	Zone  *time.Location
	names []string
	index map[string]int
	begin []time.Time // of each day, and the end of the last one
}

// NewDays returns the days from first to last, both included, "2026-03-29". It returns a carom.FieldError for what is no day, and
// for a span that is empty or longer than MaxDays.
func NewDays(first, last string, zone *time.Location) (*Days, error) {
	from, err := parseDay("from", first)
	if err != nil {
		return nil, err
	}
	to, err := parseDay("to", last)
	if err != nil {
		return nil, err
	}
	switch n := int(to.Sub(from)/(24*time.Hour)) + 1; {
	case n < 1:
		return nil, carom.Invalid("from", "the first day %s is after the last day %s: swap from and to", first, last)
	case n > MaxDays:
		return nil, carom.Invalid("from", "%d days are more than a report spans: ask for at most %d", n, MaxDays)
	}
	d := &Days{Zone: zone, index: map[string]int{}}
	for day := from; !day.After(to); day = day.AddDate(0, 0, 1) {
		d.index[day.Format(dayFormat)] = len(d.names)
		d.names = append(d.names, day.Format(dayFormat))
		d.begin = append(d.begin, beginning(day, zone))
	}
	d.begin = append(d.begin, beginning(to.AddDate(0, 0, 1), zone))
	return d, nil
}

func parseDay(field, text string) (time.Time, error) {
	day, err := time.Parse(dayFormat, text)
	if err != nil || day.Year() < 1971 {
		return time.Time{}, carom.Invalid(field, "%.20q is no day: write it as 2026-03-29", text)
	}
	return day, nil
}

// beginning is the first moment of a calendar day in a zone. A day may begin at one o'clock, where the clock is set forward at
// midnight; where it is set back across midnight, it begins at the first of the two. A day that a zone skipped is empty.
func beginning(day time.Time, zone *time.Location) time.Time {
	noon := func(d time.Time) time.Time { return time.Date(d.Year(), d.Month(), d.Day(), 12, 0, 0, 0, zone) }
	at, end := noon(day.AddDate(0, 0, -2)), noon(day.AddDate(0, 0, 1))
	for at.Before(end) {
		_, offset := at.Zone()
		_, change := at.ZoneBounds()
		midnight := day.Add(-time.Duration(offset) * time.Second)
		if midnight.Before(at) {
			midnight = at
		}
		if change.IsZero() || midnight.Before(change) {
			return midnight.UTC()
		}
		at = change
	}
	return day.UTC() // no zone has so many changes
}

// Len is how many days there are.
func (d *Days) Len() int { return len(d.names) }

// Name is day i, "2026-03-29".
func (d *Days) Name(i int) string { return d.names[i] }

// Bounds are the beginnings of the days and the end of the last one, UTC.
func (d *Days) Bounds() []time.Time { return d.begin }

// At is the day that a moment is in, -1 when it is in none.
func (d *Days) At(t time.Time) int { return dayAt(d.begin, t) }

// dayAt finds the last bound that is not after t.
func dayAt(bounds []time.Time, t time.Time) int {
	low, high := 0, len(bounds)
	for low < high {
		middle := (low + high) / 2
		if bounds[middle].After(t) {
			high = middle
		} else {
			low = middle + 1
		}
	}
	if low == len(bounds) {
		return -1
	}
	return low - 1
}

// LoadZone finds a time zone by its IANA name; empty means UTC. It returns a carom.FieldError for any other text.
func LoadZone(field, name string) (*time.Location, error) {
	if name == "" || name == "UTC" {
		return time.UTC, nil
	}
	zone, err := time.LoadLocation(name)
	if err != nil || name == "Local" {
		return nil, carom.Invalid(field, "%.60q is no time zone: give its IANA name, such as Europe/Berlin, UTC or Etc/GMT+5 (five hours behind UTC)", name)
	}
	return zone, nil
}

// fixedName is the IANA name of a zone that is always the given whole number of hours ahead of UTC. The names count the other
// way round.
func fixedName(hours int) string {
	if hours == 0 {
		return "UTC"
	}
	return fmt.Sprintf("Etc/GMT%+d", -hours)
}
