// Package alert tells people when something is wrong, once, and when it is over.
//
// Every half a minute it judges the status through a function that is handed in, and follows each trouble by its kind and its
// subject: one that lasts opens an alert, one that is gone for a while ends it, and what comes back within that while is the
// same one. What changes in one round is one notification, sent through every channel that is configured. What is known, and
// what was not told yet, is in a file in the data folder, so that a restart repeats nothing and forgets nothing.
//
// It promises that a trouble which lasts is told once through every channel that works, then reminded of now and then, and
// that no channel is sent more than a bound each hour. It decides nothing about what is wrong: the status does.
package alert

import (
	"context"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Severity says how bad a trouble is.
type Severity string

// The severities. What is not as bad opens no alert.
const (
	Attention   Severity = "attention"    // nothing is lost yet
	LosingMoney Severity = "losing_money" // events or deliveries are being lost, or soon will be
)

// Finding is one trouble, as the status describes it. Kind and Subject say which one it is.
type Finding struct {
	Kind     string    `json:"kind"`
	Subject  string    `json:"subject"`
	Severity Severity  `json:"severity"`
	Since    time.Time `json:"since,omitzero"` // when it began, as far as is known
	Fault    string    `json:"fault"`
	What     string    `json:"what"`
	HowMuch  string    `json:"how_much,omitempty"`
	Next     string    `json:"next"`
	Runbook  string    `json:"runbook"`
}

// Alert is a trouble that people are told of.
type Alert struct {
	Finding
	Opened   time.Time `json:"opened"`
	Notified time.Time `json:"notified,omitzero"` // when it was last put into a notification
	Ended    time.Time `json:"ended,omitzero"`
}

// ChannelState is how one channel stands.
type ChannelState struct {
	Name         string
	LastSent     time.Time // zero: nothing was sent since the start
	FailingSince time.Time // zero: it works, as far as is known
	Reason       string    // why it fails
	Waiting      int       // changes that it has not told yet
}

// State is what people were told, and how.
type State struct {
	Open     []Alert // newest first
	Ended    []Alert // newest first, at most a hundred
	Channels []ChannelState
}

// Tested is what one channel did with a test.
type Tested struct {
	Channel string
	Answer  string // what was answered, when Err is nil
	Err     error
	Took    time.Duration
}

// Options is what New needs.
type Options struct {
	// Judge returns what is wrong now. Notes are left out.
	Judge func(ctx context.Context) ([]Finding, error)
	// Failed makes the finding of an error of Judge, which would hide everything else.
	Failed func(err error) Finding
	// Channels are the ways to a person. Without any, alerts are kept and shown, and nobody is told.
	Channels []Channel
	// Data is the data folder, in which the file alerts.json is kept; empty: in memory only.
	Data string
	// Server names this server to people, such as its public URL; empty: "carom".
	Server  string
	Metrics prometheus.Registerer // nil: no metrics
	Log     *slog.Logger          // nil: nothing is logged
	Now     func() time.Time      // nil: time.Now
}

// How often the status is judged, and how long one round may take: the status, and then all channels at once.
const (
	every      = 30 * time.Second
	judgeLimit = 20 * time.Second
	sendLimit  = 20 * time.Second
)

// Watch follows what is wrong. [New] makes one.
type Watch struct {
	opts     Options
	file     string // empty: nothing is stored
	channels []*outlet

	// These are Run's alone.
	unsaved bool      // the file could not be written
	found   []Finding // of the last round that could be judged

	mu   sync.Mutex // guards book, and the outlets' states
	book book
}

// New makes a watch from what is stored, and starts nothing. A file that cannot be read is logged and begun anew: at worst
// people are told again.
func New(o Options) *Watch {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Server == "" {
		o.Server = "carom"
	}
	w := &Watch{opts: o}
	stored := stored{}
	if o.Data != "" {
		w.file = filepath.Join(o.Data, fileName)
		var err error
		if stored, err = load(w.file); err != nil {
			o.Log.Warn("alerts begin anew: their file cannot be read", "path", w.file, "error", err)
		}
	}
	w.book = newBook(stored.Entries, stored.Ended)
	for _, ch := range o.Channels {
		w.channels = append(w.channels, &outlet{Channel: ch, waiting: stored.Waiting[ch.Name()], sent: stored.Sent[ch.Name()]})
	}
	if o.Metrics != nil {
		o.Metrics.MustRegister(openAlerts{w})
	}
	return w
}

// Run judges and tells until ctx ends. It returns nil.
func (w *Watch) Run(ctx context.Context) error {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			w.round(ctx, w.opts.Now())
		}
	}
}

// round judges once, and tells what changed.
func (w *Watch) round(ctx context.Context, now time.Time) {
	now = now.UTC()
	found, ok := w.judge(ctx)
	if !ok {
		return // stopping
	}
	w.mu.Lock()
	changes := w.book.step(now, found)
	for _, o := range w.channels {
		o.add(changes)
	}
	w.mu.Unlock()
	for _, c := range changes {
		w.opts.Log.Info("alert", "change", string(c.What), "kind", c.Alert.Kind, "subject", c.Alert.Subject, "severity", string(c.Alert.Severity))
	}
	if len(changes) > 0 || w.unsaved {
		w.save()
	}
	if w.tell(ctx, now) {
		w.save()
	}
}

// judge asks for what is wrong. When that fails, what was found before still counts, and the failure beside it.
func (w *Watch) judge(ctx context.Context) ([]Finding, bool) {
	limited, cancel := context.WithTimeout(ctx, judgeLimit)
	defer cancel()
	found, err := w.opts.Judge(limited)
	if ctx.Err() != nil {
		return nil, false
	}
	if err != nil {
		w.opts.Log.Warn("the status cannot be judged for alerts", "error", err)
		return append(slices.Clone(w.found), w.opts.Failed(err)), true
	}
	w.found = found
	return found, true
}

// tell sends what waits, through all channels at once, and says whether anything came of it.
func (w *Watch) tell(running context.Context, now time.Time) bool {
	ctx, cancel := context.WithTimeout(running, sendLimit)
	defer cancel()
	type result struct {
		o    *outlet
		told int
		err  error
	}
	results := make(chan result, len(w.channels))
	asked := 0
	for _, o := range w.channels {
		w.mu.Lock()
		n, told := o.take(now, w.opts.Server, w.book.open())
		w.mu.Unlock()
		if told == 0 {
			continue
		}
		asked++
		go func() {
			_, err := o.Send(ctx, n)
			results <- result{o, told, err}
		}()
	}
	for range asked {
		r := <-results
		if r.err != nil && running.Err() != nil {
			continue // the server stops: it is told after the next start
		}
		w.mu.Lock()
		began := r.o.settle(now, r.told, r.err)
		w.mu.Unlock()
		switch {
		case r.err != nil && began:
			w.opts.Log.Warn("alerts cannot be sent; they are tried again", "channel", r.o.Name(), "error", r.err)
		case r.err != nil:
			w.opts.Log.Debug("alerts cannot be sent yet", "channel", r.o.Name(), "error", r.err)
		}
	}
	return asked > 0
}

// save stores what is known. A disk that is full is a trouble that people are to be told of, so it only costs the memory of it.
func (w *Watch) save() {
	if w.file == "" {
		return
	}
	w.mu.Lock()
	s := stored{Entries: slices.Collect(maps.Values(w.book.entries)), Ended: w.book.ended, Waiting: map[string][]change{}, Sent: map[string][]time.Time{}}
	for _, o := range w.channels {
		s.Waiting[o.Name()], s.Sent[o.Name()] = slices.Clone(o.waiting), slices.Clone(o.sent)
	}
	data, err := s.encode()
	w.mu.Unlock()
	if err == nil {
		err = replace(w.file, data)
	}
	if err != nil && !w.unsaved {
		w.opts.Log.Warn("what was alerted cannot be stored; a restart may tell it again", "path", w.file, "error", err)
	}
	w.unsaved = err != nil
}

// State returns what people were told. It may be called at any time.
func (w *Watch) State() State {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := State{Open: w.book.open(), Ended: slices.Clone(w.book.ended)}
	for _, o := range w.channels {
		s.Channels = append(s.Channels, ChannelState{
			Name: o.Name(), LastSent: o.lastSent, FailingSince: o.failing, Reason: o.reason, Waiting: len(o.waiting) + o.dropped,
		})
	}
	return s
}

// Test sends a test through every channel at once and says what each answered. It does not count toward a channel's bound.
func (w *Watch) Test(ctx context.Context) []Tested {
	ctx, cancel := context.WithTimeout(ctx, sendLimit)
	defer cancel()
	out := make([]Tested, len(w.channels))
	var wg sync.WaitGroup
	for i, o := range w.channels {
		wg.Go(func() {
			began := time.Now()
			answer, err := o.Send(ctx, testNotification(w.opts.Server))
			out[i] = Tested{Channel: o.Name(), Answer: answer, Err: err, Took: time.Since(began)}
			if err == nil {
				w.mu.Lock()
				o.works()
				w.mu.Unlock()
			}
		})
	}
	wg.Wait()
	return out
}

// openAlerts collects how many alerts are open.
type openAlerts struct{ w *Watch }

func (openAlerts) desc() *prometheus.Desc {
	return prometheus.NewDesc("carom_alerts_open", "Alerts that are open, by kind.", []string{"kind"}, nil)
}

// Describe implements prometheus.Collector.
func (c openAlerts) Describe(ch chan<- *prometheus.Desc) { ch <- c.desc() }

// Collect implements prometheus.Collector.
func (c openAlerts) Collect(ch chan<- prometheus.Metric) {
	kinds := map[string]int{}
	for _, a := range c.w.State().Open {
		kinds[a.Kind]++
	}
	for kind, n := range kinds {
		ch <- prometheus.MustNewConstMetric(c.desc(), prometheus.GaugeValue, float64(n), kind)
	}
}
