package ingest

import (
	"context"
	"sync"
	"time"

	"carom"
	"carom/internal/network"
)

// Comparisons are where what comparing finds is kept. Its first result says how many of the entries are.
type Comparisons interface {
	Compare(ctx context.Context, entries []carom.ShadowEntry) (kept int, err error)
}

// Bounds of what waits to be counted. What comes beyond them is counted as missed.
const (
	trialsEvery   = 500 * time.Millisecond
	maxWaiting    = 8192
	maxUnverified = 256 // different ones of those that proved nothing
)

// trials gathers comparisons until they are stored. The zero value is ready.
type trials struct {
	slots sync.Map // by source id: chan struct{} of capacity shadowAtOnce, held while a request is passed on

	mu         sync.Mutex // guards all below
	waiting    []carom.ShadowEntry
	unverified map[unverifiedKey]int // where in waiting they are: a flood of them is a number
	missed     map[sourceName]int64
}

type sourceName struct{ app, name string }

type unverifiedKey struct {
	source sourceName
	reason carom.Reason
	asked  bool
	shape  string
}

func (l *trials) slot(source string) chan struct{} {
	if held, ok := l.slots.Load(source); ok {
		return held.(chan struct{})
	}
	made, _ := l.slots.LoadOrStore(source, make(chan struct{}, shadowAtOnce))
	return made.(chan struct{})
}

// add takes up a request that was judged and answered. It never waits for the disk.
func (l *trials) add(t *trial, a answer) {
	c := t.compare(a)
	source := sourceName{t.src.App, t.src.Name}
	entry := carom.ShadowEntry{App: source.app, Source: source.name, At: c.at, N: 1, View: c.claim.Sum, Judge: c.judge}
	l.mu.Lock()
	defer l.mu.Unlock()
	full := len(l.waiting) >= maxWaiting
	if c.outcome == network.Unverified {
		key := unverifiedKey{source, c.reason, c.asked, c.shape}
		if i, known := l.unverified[key]; known {
			l.waiting[i].N++
			return
		}
		if full = full || len(l.unverified) >= maxUnverified; !full {
			if l.unverified == nil {
				l.unverified = map[unverifiedKey]int{}
			}
			l.unverified[key] = len(l.waiting)
		}
	}
	if full {
		l.miss(source, 1)
		return
	}
	l.waiting = append(l.waiting, entry)
}

// tooMany counts a request that came while too many others of its source were passed on.
func (l *trials) tooMany(src *source) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.miss(sourceName{src.App, src.Name}, 1)
}

// miss counts requests that could not be compared. The caller holds mu.
func (l *trials) miss(source sourceName, n int64) {
	if l.missed == nil {
		l.missed = map[sourceName]int64{}
	}
	l.missed[source] += n
}

// take returns what waits.
func (l *trials) take(now time.Time) []carom.ShadowEntry {
	l.mu.Lock()
	defer l.mu.Unlock()
	entries := l.waiting
	for source, n := range l.missed {
		entries = append(entries, carom.ShadowEntry{App: source.app, Source: source.name, At: now, N: n, Judge: func(_, _ []byte) carom.ShadowFinding {
			return carom.ShadowFinding{Missed: true}
		}})
	}
	l.waiting, l.unverified, l.missed = nil, nil, nil
	return entries
}

// RunTrials stores what was compared twice a second until ctx ends, and then what is left. A process that is killed loses what
// waited: events, refusals and answers are not touched by that.
func (d *Door) RunTrials(ctx context.Context, to Comparisons) error {
	tick := time.NewTicker(trialsEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
			defer cancel()
			d.storeTrials(last, to)
			return nil
		case <-tick.C:
			d.storeTrials(ctx, to)
		}
	}
}

func (d *Door) storeTrials(ctx context.Context, to Comparisons) {
	entries := d.trials.take(d.opts.Clock().UTC())
	if len(entries) == 0 {
		return
	}
	kept, err := to.Compare(ctx, entries)
	if err == nil {
		return
	}
	d.opts.Log.Debug("comparisons not stored: counted as missed", "error", err)
	d.trials.mu.Lock()
	defer d.trials.mu.Unlock()
	for _, e := range entries[kept:] {
		d.trials.miss(sourceName{e.App, e.Source}, e.N)
	}
}

// compare makes the comparison of the request with what the receiver answered.
func (t *trial) compare(a answer) *comparison {
	c := &comparison{judged: t.seen, source: t.src.Name, at: t.door.opts.Clock().UTC(), asked: t.answered != nil}
	body := ""
	if c.asked {
		text := beginning(a.body)
		c.class = classify(a.status, text)
		c.shape = shape(a.status, text, sentValues(t.r.URL.RawQuery, t.r.Header.Get("Content-Type"), t.body))
		body = t.hide(text)
	}
	c.shown = carom.ShadowExample{At: c.at, ID: c.id, Judged: c.words(), Answered: shownAnswer(a.status, body)}
	return c
}

// words says what carom made of the request.
func (c *comparison) words() string {
	switch c.outcome {
	case network.Unverified, network.RefusedOutcome:
		return string(c.outcome) + ": " + string(c.reason)
	case network.TryLater:
		return "not judged"
	}
	text := string(c.kind)
	if c.value != carom.ValueEmpty {
		text += ", " + string(c.value)
	}
	if c.outcome == network.Duplicate {
		text = "a copy: " + text
	}
	return text
}
