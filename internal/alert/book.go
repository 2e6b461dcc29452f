package alert

import (
	"cmp"
	"slices"
	"time"
)

// When an alert opens, is repeated and ends. A trouble that comes back before quiet has passed is the same one, so that what
// flickers is told once.
const (
	lasts         = 2 * time.Minute  // a trouble must last so long
	lastsLosing   = 30 * time.Second // one that loses money
	quiet         = 5 * time.Minute  // gone for so long, it is over
	remind        = 24 * time.Hour
	remindLosing  = 4 * time.Hour
	keptEnded     = 100
	keptTroubles  = 2000 // followed at the same time; more are left out until others end
	longestDetail = 600  // characters of each text of a finding that are kept
)

// entry is a trouble that is followed: it waits to last, is open, or is gone and may come back.
type entry struct {
	Alert
	First  time.Time `json:"first"`           // when it was first seen
	Losing time.Time `json:"losing,omitzero"` // since when it loses money, without a break; zero: it does not
	Gone   time.Time `json:"gone,omitzero"`   // since when it is not seen; zero: it is
	Told   Severity  `json:"told,omitempty"`  // the worst that people were told
}

func (e *entry) isOpen() bool { return !e.Opened.IsZero() }

// verb is what happened to an alert.
type verb string

const (
	opened   verb = "opened"
	worsened verb = "worsened" // it loses money now
	reminded verb = "reminded"
	ended    verb = "ended"
)

// change is what people are to be told of one alert.
type change struct {
	What  verb      `json:"what"`
	At    time.Time `json:"at"`
	Alert Alert     `json:"alert"`
}

// key tells troubles apart.
type key struct{ kind, subject string }

func (f *Finding) key() key { return key{f.Kind, f.Subject} }

// book follows troubles from round to round. It reads no clock.
type book struct {
	entries map[key]*entry
	ended   []Alert // newest first
}

func newBook(entries []*entry, ended []Alert) book {
	b := book{entries: map[key]*entry{}, ended: ended}
	for _, e := range entries {
		e.Gone = time.Time{} // the time that the server was down counts for nothing
		b.entries[e.key()] = e
	}
	return b
}

// open lists the alerts that are open, newest first.
func (b *book) open() []Alert {
	var out []Alert
	for _, e := range b.entries {
		if e.isOpen() {
			out = append(out, e.Alert)
		}
	}
	slices.SortFunc(out, func(a, b Alert) int {
		return cmp.Or(b.Opened.Compare(a.Opened), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Subject, b.Subject))
	})
	return out
}

// step takes what is wrong now and returns what changed, the worst first.
func (b *book) step(now time.Time, found []Finding) []change {
	var changes []change
	now = now.UTC()
	seen := merge(found)
	for k, f := range seen {
		e := b.entries[k]
		if e == nil {
			if len(b.entries) >= keptTroubles {
				continue
			}
			e = &entry{First: now}
			b.entries[k] = e
		}
		if what, ok := e.see(now, f); ok {
			changes = append(changes, change{what, now, e.Alert})
		}
	}
	for k, e := range b.entries {
		if _, ok := seen[k]; ok {
			continue
		}
		switch {
		case !e.isOpen():
			delete(b.entries, k) // it did not last
		case e.Gone.IsZero():
			e.Gone, e.Losing = now, time.Time{}
		case now.Sub(e.Gone) >= quiet:
			delete(b.entries, k)
			e.Ended, e.Notified = e.Gone, now
			b.ended = append([]Alert{e.Alert}, b.ended...)
			changes = append(changes, change{ended, now, e.Alert})
		}
	}
	b.ended = b.ended[:min(len(b.ended), keptEnded)]
	slices.SortFunc(changes, compareChanges)
	return changes
}

// see notes that the trouble is there, and says what people are to be told, if anything.
func (e *entry) see(now time.Time, f Finding) (verb, bool) {
	e.Finding, e.Gone = f, time.Time{}
	if f.Severity != LosingMoney {
		e.Losing = time.Time{}
	} else if e.Losing.IsZero() {
		e.Losing = now
	}
	losing := !e.Losing.IsZero() && now.Sub(e.Losing) >= lastsLosing
	var what verb
	again := remind
	if f.Severity == LosingMoney {
		again = remindLosing
	}
	switch {
	case !e.isOpen() && (losing || now.Sub(e.First) >= lasts):
		e.Opened, what = now, opened
	case e.isOpen() && losing && e.Told != LosingMoney:
		what = worsened
	case e.isOpen() && now.Sub(e.Notified) >= again:
		what = reminded
	default:
		return "", false
	}
	e.Notified = now
	if e.Told != LosingMoney {
		e.Told = f.Severity
	}
	return what, true
}

// merge joins what is said of one kind and subject, such as two reasons for which a source refuses.
func merge(found []Finding) map[key]Finding {
	out := make(map[key]Finding, len(found))
	for _, f := range found {
		if f.Severity != Attention && f.Severity != LosingMoney {
			continue
		}
		f.What, f.HowMuch, f.Next = clip(f.What, longestDetail), clip(f.HowMuch, longestDetail), clip(f.Next, longestDetail)
		worse, other := out[f.key()], f
		if worse.Kind == "" {
			out[f.key()] = f
			continue
		}
		if worse.Severity != LosingMoney && f.Severity == LosingMoney {
			worse, other = f, worse
		}
		worse.What = clip(worse.What+"; also: "+other.What, 2*longestDetail)
		out[f.key()] = worse
	}
	return out
}

// compareChanges puts what is worst first: what loses money and is new, then the rest of the bad, then what is over.
func compareChanges(a, b change) int {
	return cmp.Or(
		cmp.Compare(a.weight(), b.weight()),
		cmp.Compare(a.Alert.Kind, b.Alert.Kind), cmp.Compare(a.Alert.Subject, b.Alert.Subject),
	)
}

// weight orders changes, the lightest first.
func (c change) weight() int {
	w := slices.Index([]verb{opened, worsened, reminded, ended}, c.What)
	if c.Alert.Severity != LosingMoney && c.What != ended {
		w += 10
	}
	if c.What == ended {
		w = 20
	}
	return w
}

// clip shortens text to n characters.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}
