// Package ingest is the door: it takes received postbacks from networks and events from trusted servers, verifies and judges
// them with package network, finds the endpoints they are owed to, has them stored, and answers in the caller's words.
//
// A handler does everything that needs no state; the store decides what is a copy. It answers success only after the commit,
// a final refusal only for what can never succeed and after its journal line is stored, and "try later" whenever the fault
// is ours. What proves nothing never reaches the accept queue: it is counted, sampled, and answered with one identical 403.
package ingest

import (
	"context"
	"crypto/sha256"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"carom"
	"carom/internal/network"
)

// Store is what the door needs of the store.
type Store interface {
	Accept(subs ...*carom.Submission)
	Refuse(r *carom.Refused) error
	Unverified(v carom.Unverified)
	KeyBySum(sum [32]byte) (carom.APIKey, bool)
}

// Views is where opened views are found. ViewByYMID and ViewOfUser return nil when there is none.
type Views interface {
	ViewSeal() carom.ViewSeal
	View(ctx context.Context, id carom.ViewID) (*carom.View, error)
	ViewByYMID(ctx context.Context, app, ymid string) (*carom.View, error)
	ViewOfUser(ctx context.Context, app, user string) (*carom.View, error)
}

// Lanes is what the door needs of the delivery engine.
type Lanes interface {
	Reserve(endpoint int) bool
	Unreserve(endpoint int)
	Offer(s *carom.Submission)
}

// Failures keeps account of the addresses whose requests prove nothing.
type Failures interface {
	Spent(client netip.Addr) bool // the address has failed so often that nothing more should be spent on it for now
	Failed(client netip.Addr)     // a request from it has proved nothing
}

// Watch is who watches what comes in.
type Watch interface {
	Watched() bool // whether anybody does
	Put(w carom.Watched)
}

// Limits of a request.
const (
	MaxURLBytes     = 16 << 10  // of a received postback's URL
	MaxBodyBytes    = 256 << 10 // of its body
	MaxItemBytes    = 256 << 10 // of one reported event
	MaxRequestBytes = 8 << 20   // of one report
	MaxItems        = 50_000    // events in one report: 8 MiB of nothing but brackets would take hundreds of MB to answer
)

// ShedHelp describes the metric carom_shed_total. Whoever counts in it under another reason has to describe it in these words.
const ShedHelp = "What was turned away so that the rest is served, by reason: requests of addresses that failed to prove anything too often (unverified), events beyond the rate of their source (rate), connections closed because there were too many (full) or too many of one address (address)."

// retryAfter is what "try later" says: long enough for a disk to come back, short enough for a network that gives up soon.
const retryAfter = 5 * time.Second

// Options are what a door is made of.
type Options struct {
	Store          Store
	Lanes          Lanes
	Views          Views                                 // nil: none can be opened
	Tell           func(carom.ViewID, carom.ViewOutcome) // told what an event of an opened view came to; nil: nobody waits
	TrustedProxies []netip.Prefix                        // whose X-Forwarded-For is believed
	Watch          Watch                                 // told what has become of everything; nil: nobody watches
	Failures       Failures                              // who fails to prove anything too often; nil: it does not matter
	Keys           network.Keys                          // the key lists of networks that sign with private keys
	PassOn         http.RoundTripper                     // what reaches today's receivers of sources in shadow; nil: carom answers by itself
	Local          func(*http.Request) bool              // whether a report came through the local socket and needs no key; nil: none did
	Clock          func() time.Time                      // nil: the system's
	Metrics        prometheus.Registerer
	Log            *slog.Logger
}

// Door takes requests. Make it with New and give it a catalog with Use; until then everything is unknown to it.
type Door struct {
	opts    Options
	catalog atomic.Pointer[Catalog]
	warned  sync.Map // by source id: when the log last said that its ymids repeat
	decoy   [32]byte // compared against when there is no such source, so that this takes as long
	seal    carom.ViewSeal
	trials  trials // of sources in shadow
	counts  map[network.Outcome]prometheus.Counter
	invalid prometheus.Counter
	shed    prometheus.Counter // requests of addresses that failed too often
	paced   prometheus.Counter // events beyond their source's rate
}

// New makes a door that knows no source.
func New(o Options) *Door {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Local == nil {
		o.Local = func(*http.Request) bool { return false }
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	d := &Door{opts: o, decoy: sha256.Sum256([]byte("no such source"))}
	d.catalog.Store(&Catalog{})
	if o.Views != nil {
		d.seal = o.Views.ViewSeal()
	}
	received := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "carom_received_total", Help: "Received postbacks and reported events, by what became of them.",
	}, []string{"outcome"})
	d.counts = map[network.Outcome]prometheus.Counter{}
	for _, outcome := range []network.Outcome{network.Accepted, network.Duplicate, network.RefusedOutcome, network.TryLater, network.Unverified} {
		d.counts[outcome] = received.WithLabelValues(string(outcome))
	}
	d.invalid = received.WithLabelValues("invalid")
	shed := func(reason string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "carom_shed_total", Help: ShedHelp, ConstLabels: prometheus.Labels{"reason": reason}})
	}
	d.shed, d.paced = shed("unverified"), shed("rate")
	if o.Metrics != nil {
		o.Metrics.MustRegister(received, d.shed, d.paced)
	}
	return d
}

// Use makes the door work by a catalog from the next request on.
func (d *Door) Use(c *Catalog) { d.catalog.Store(c) }

// Postbacks registers the paths that networks call. A mux redirects unclean paths before the door sees them, see
// [Door.Postback].
func (d *Door) Postbacks(mux *http.ServeMux) { mux.HandleFunc("/in/", d.Postback) }

// Reports registers the path that trusted servers call.
func (d *Door) Reports(mux *http.ServeMux) { mux.HandleFunc("POST /v1/events", d.events) }

// accept routes the events of subs, has them stored and hands over their deliveries. Each sub has its Receipt or Err then.
func (d *Door) accept(c *Catalog, subs ...*carom.Submission) {
	for _, s := range subs {
		if s.Event.Source != carom.SourceCarom {
			c.target(s)
		}
	}
	d.commit(subs...)
}

// commit has subs stored and hands over their deliveries.
func (d *Door) commit(subs ...*carom.Submission) {
	for _, s := range subs {
		for i := range s.Targets {
			s.Targets[i].Direct = d.opts.Lanes.Reserve(s.Targets[i].Endpoint)
		}
	}
	d.opts.Store.Accept(subs...)
	for _, s := range subs {
		switch {
		case s.Err == nil && !s.Receipt.Duplicate:
			d.opts.Lanes.Offer(s)
			d.tell(s)
			d.watched(s)
			d.counts[network.Accepted].Inc()
			for _, t := range s.Targets {
				if t.Direct && t.Unowed {
					d.opts.Lanes.Unreserve(t.Endpoint)
				}
			}
			continue
		case s.Err != nil:
			d.counts[network.TryLater].Inc()
		default:
			d.watched(s)
			d.counts[network.Duplicate].Inc()
		}
		for _, t := range s.Targets {
			if t.Direct {
				d.opts.Lanes.Unreserve(t.Endpoint)
			}
		}
	}
}

// watched shows an event, or a copy of one, to those who watch.
func (d *Door) watched(s *carom.Submission) {
	if !d.isWatched() || s.Event.Source == carom.SourceCarom {
		return
	}
	if s.Receipt.Duplicate {
		of := *s.Event // which is given the id of the first one
		d.opts.Watch.Put(carom.Watched{Event: &of, Outcome: carom.OutcomeDuplicate, First: s.Receipt.ID})
		return
	}
	outcome := carom.OutcomeUnmatched
	switch {
	case s.Event.Held != "":
		outcome = carom.OutcomeHeld
	case slices.ContainsFunc(s.Targets, func(t carom.Target) bool { return !t.Unowed }):
		outcome = carom.OutcomeAccepted
	}
	d.opts.Watch.Put(carom.Watched{Event: s.Event, Outcome: outcome})
}

func (d *Door) isWatched() bool { return d.opts.Watch != nil && d.opts.Watch.Watched() }

// headers that are the same for every answer, made once.
var (
	noStore         = []string{"no-store"}
	retryAfterValue = []string{strconv.Itoa(int(retryAfter / time.Second))}
)

func write(w http.ResponseWriter, a network.Answer) {
	h := w.Header()
	h["Content-Type"] = []string{a.ContentType}
	h["Cache-Control"] = noStore
	if a.Status == http.StatusServiceUnavailable || a.Status == http.StatusTooManyRequests {
		h["Retry-After"] = retryAfterValue
	}
	w.WriteHeader(a.Status)
	_, _ = w.Write([]byte(a.Body)) // a caller that has hung up repeats and is told that it is a copy
}
