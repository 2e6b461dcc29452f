// Package alert tells people when something is wrong, once, and when it is over.
//
// Every half a minute it judges the status through a function that is handed in, and follows each trouble by its kind and its
// subject: one that lasts opens an alert, one that is gone for a while ends it, and what comes back within that while is the
// same one. What changes in one round is one notification, sent through every channel that is configured. What is known, and
// what was not told yet, is kept in a [Memory], so that a restart repeats nothing and forgets nothing. Of several nodes one tells,
// and whoever does so after it takes its memory up.
//
// It promises that a trouble which lasts is told once through every channel that works, then reminded of now and then, and
// that no channel is sent more than a bound each hour. It decides nothing about what is wrong: the status does.
package alert

import (
	"context"
	"log/slog"
	"maps"
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
	// Memory keeps what is known and what was told; nil: it is forgotten at the end.
	Memory Memory
	// OnDuty says whether this node is the one that tells, which may change at any time; nil: it is alone. While it fails, a node that
	// had the duty goes on, and one that had not takes it for its own after two minutes: better told twice than never.
	OnDuty func(ctx context.Context) (bool, error)
	// Server names this server to people, such as its public URL; empty: "carom".
	Server  string
	Metrics prometheus.Registerer // nil: no metrics
	Log     *slog.Logger          // nil: nothing is logged
	Now     func() time.Time      // nil: time.Now
}

// Memory is where a watch keeps what it knows. All nodes share one.
type Memory interface {
	// Load returns what was saved last; nothing when nothing was.
	Load(ctx context.Context) ([]byte, error)
	// Save keeps data in place of what was saved before, as a whole or not at all.
	Save(ctx context.Context, data []byte) error
}

// How often the status is judged, and how long one round may take: the status, and then all channels at once.
const (
	every      = 30 * time.Second
	judgeLimit = 20 * time.Second
	sendLimit  = 20 * time.Second
	saveLimit  = 5 * time.Second
)

// Watch follows what is wrong. [New] makes one.
type Watch struct {
	opts     Options
	channels []*outlet

	// These are Run's alone.
	mine      bool      // of several nodes, this one tells
	alone     bool      // it does so because nobody can say who has the duty
	finishing bool      // another one tells, and this one only the end of what it had told and could not store
	unsure    time.Time // since when nobody can say who has the duty; zero: it is known
	unsaved   bool      // the memory took nothing
	found     []Finding // of the last round that could be judged

	mu   sync.Mutex // guards book, and the outlets' states
	book book
}

// New makes a watch, and starts nothing. Alone, it takes up what is stored; if that cannot be read, it says so in the log and begins
// anew: at worst people are told again. Of several nodes, the one on duty does so when it begins to tell.
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
	w := &Watch{opts: o, book: newBook(nil, nil)}
	for _, ch := range o.Channels {
		w.channels = append(w.channels, &outlet{Channel: ch})
	}
	if o.OnDuty == nil {
		if err := w.takeUp(context.Background(), true); err != nil {
			o.Log.Warn("alerts begin anew: what was stored of them cannot be read", "error", err)
		}
	}
	if o.Metrics != nil {
		o.Metrics.MustRegister(openAlerts{w})
	}
	return w
}

// takeUp makes what is stored the watch's own. What it has told without being able to store it stays as well, so that its end is told:
// beside the rest when the watch tells from now on, else by itself.
func (w *Watch) takeUp(ctx context.Context, mine bool) error {
	if w.opts.Memory == nil {
		return nil
	}
	data, err := w.opts.Memory.Load(ctx)
	if err != nil {
		return err
	}
	s, err := decode(data)
	if err != nil {
		w.opts.Log.Warn("alerts begin anew: what was stored of them cannot be read", "error", err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	known := newBook(s.Entries, s.Ended)
	var own []*entry
	for k, e := range w.book.entries {
		if known.entries[k] == nil && e.isOpen() && (w.alone || w.unsaved || w.finishing) {
			own = append(own, e)
		}
	}
	w.finishing, w.unsaved = !mine && len(own) > 0, mine && len(own) > 0
	if w.finishing {
		known = newBook(nil, nil)
	}
	for _, e := range own {
		known.entries[e.key()] = e
	}
	for _, o := range w.channels {
		untold := slices.DeleteFunc(o.waiting, func(c change) bool {
			return !slices.ContainsFunc(own, func(e *entry) bool { return e.key() == c.Alert.key() })
		})
		o.waiting, o.sent = nil, s.Sent[o.Name()]
		if !w.finishing {
			o.waiting = s.Waiting[o.Name()]
		}
		o.add(untold)
	}
	w.book, w.found = known, nil
	return nil
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

// round judges once, and tells what changed, if that is this node's to do.
func (w *Watch) round(ctx context.Context, now time.Time) {
	now = now.UTC()
	if !w.onDuty(ctx, now) {
		return
	}
	found, ok := w.judge(ctx)
	if !ok {
		return // stopping
	}
	w.mu.Lock()
	if w.finishing {
		found = slices.DeleteFunc(slices.Clone(found), func(f Finding) bool { return w.book.entries[f.key()] == nil })
	}
	changes := w.book.step(now, found)
	for _, o := range w.channels {
		o.add(changes)
	}
	w.mu.Unlock()
	for _, c := range changes {
		w.opts.Log.Info("alert", "change", string(c.What), "kind", c.Alert.Kind, "subject", c.Alert.Subject, "severity", string(c.Alert.Severity))
	}
	if len(changes) > 0 || w.unsaved {
		w.save(ctx)
	}
	if w.tell(ctx, now) {
		w.save(ctx)
	}
}

// onDuty says whether this node judges and tells in this round. One that does not only follows what the other has stored, for who asks
// it; one that begins to takes that up first, and is not on duty before it has.
func (w *Watch) onDuty(running context.Context, now time.Time) bool {
	if w.opts.OnDuty == nil {
		return true
	}
	ctx, cancel := context.WithTimeout(running, judgeLimit)
	defer cancel()
	mine, err := w.opts.OnDuty(ctx)
	if err == nil && (!mine && !w.stillTelling() || mine && (!w.mine || w.alone)) {
		if err = w.takeUp(ctx, mine); err == nil {
			w.mine, w.alone = mine, false
		}
	}
	switch {
	case running.Err() != nil:
		return false
	case err == nil:
		w.unsure = time.Time{}
	case w.unsure.IsZero():
		w.unsure = now
		w.opts.Log.Warn("it cannot be found out which node tells of alerts", "error", err)
	case !w.mine && now.Sub(w.unsure) >= lasts:
		w.mine, w.alone = true, true
		w.opts.Log.Warn("this node tells of alerts by itself, until it is known which node does", "error", err)
	}
	return w.mine || w.finishing
}

// stillTelling says whether the end of something is yet to be told by this node, though another has the duty.
func (w *Watch) stillTelling() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.finishing && (len(w.book.entries) > 0 || slices.ContainsFunc(w.channels, func(o *outlet) bool { return len(o.waiting) > 0 }))
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
func (w *Watch) save(running context.Context) {
	if w.opts.Memory == nil || w.finishing {
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
		ctx, cancel := context.WithTimeout(context.WithoutCancel(running), saveLimit) // what was told just before the end is remembered
		defer cancel()
		err = w.opts.Memory.Save(ctx, data)
	}
	if err != nil && !w.unsaved {
		w.opts.Log.Warn("what was alerted cannot be stored; a restart may tell it again", "error", err)
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
