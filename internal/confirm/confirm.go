// Package confirm is the door of the network end: it answers the SDK with an ad, takes the beacons that say what became of
// it, and makes events of those that its rules believe.
//
// It is a check of plausibility over what a browser reports: strong against replay, forgery and haste, not against a robot
// that waits as long as a person does. What a view rests on is in its token, which is signed: the door keeps nothing that it
// could not do without after a restart, or that another node would lack. What it does remember, for a while and within
// bounds, are ads that began and are not settled, so that they are told as unpaid in the end, and the rates of users,
// devices and addresses.
//
// An impression is settled once and never again, whatever arrives how often: its event's dedupe key is made of the showing.
// A beacon is answered with what it came to only when that is stored. The door never says why it declined: the reasons are
// in the event.
package confirm

import (
	"context"
	"crypto/rand"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"carom"
	"carom/internal/ads"
)

// Limits of what is asked.
const (
	MaxAdBytes     = 16 << 10 // of a request for an ad: init data are a few hundred bytes
	MaxBeaconBytes = 8 << 10
	MaxTextBytes   = 256 // of ymid and request_var

	// AdLife is how long an ad may wait to be shown: the SDK fetches a preloaded one anew before that. ShowLife is how long it
	// may be shown before it is settled.
	AdLife   = 20 * time.Minute
	ShowLife = 15 * time.Minute
)

// Events takes what was confirmed or declined. began is when the ad did, owed says whether endpoints get it. Its receipt comes when the event is
// stored. The error is carom.ErrUnavailable when nothing was stored, carom.ErrNotFound when there is no such source.
type Events interface {
	Confirm(ctx context.Context, ev *carom.Event, key carom.DedupeKey, began time.Time, owed bool) (carom.Receipt, error)
}

// Store finds a stored event, for whoever repeats a beacon.
type Store interface {
	Event(ctx context.Context, id carom.EventID) (*carom.Event, error)
}

// Ads chooses what is shown; nil, nil is no fill.
type Ads interface {
	Choose(ctx context.Context, r ads.Request) (*ads.Ad, error)
}

// Options are what a door is made of. Events, Store and Ads are required.
type Options struct {
	Events  Events
	Store   Store
	Ads     Ads
	Key     [32]byte // tokens are signed with it; the same on every node
	Client  func(*http.Request) netip.Addr
	Clock   func() time.Time      // nil: the system's
	Random  io.Reader             // nil: the system's
	Metrics prometheus.Registerer // nil: nothing is measured
	Log     *slog.Logger          // nil: nothing is logged
}

// Door answers the SDK. Make it with New and give it objects with Use; until then every zone is unknown. All methods may be
// called concurrently.
type Door struct {
	opts     Options
	sealer   *sealer
	catalog  atomic.Pointer[catalog]
	showings *showings
	rates    *rates
	meter    *meter
	bodies   sync.Pool // of *[bodyRoom]byte
}

// New makes a door that knows no zone. It starts nothing.
func New(o Options) *Door {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Random == nil {
		o.Random = rand.Reader
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	d := &Door{opts: o, sealer: newSealer(o.Key), showings: newShowings(), rates: newRates()}
	d.bodies.New = func() any { return new([bodyRoom]byte) }
	d.catalog.Store(&catalog{})
	d.meter = newMeter(o.Metrics, d.showings)
	return d
}

// Register adds the routes that browsers call to mux.
func (d *Door) Register(mux *http.ServeMux) {
	mux.HandleFunc("POST /sdk/ad", d.ad)
	mux.HandleFunc("POST /sdk/beacon", d.beacon)
	mux.HandleFunc("OPTIONS /sdk/ad", preflight)
	mux.HandleFunc("OPTIONS /sdk/beacon", preflight)
}

// settleEvery is how often the door looks for ads that began and will not be settled any more.
const settleEvery = time.Second

// Run tells what was begun and never settled, as unpaid, until ctx ends. What is unsettled then is lost if nothing more is
// heard of it: nobody pays for it.
func (d *Door) Run(ctx context.Context) error {
	tick := time.NewTicker(settleEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			d.settleOld(ctx)
		}
	}
}

// settlers is how many impressions are settled at the same time when their time is over, so that they share commits: one after the
// other, they would be fewer in a second than commits are.
const settlers = 64

// settleOld settles the impressions whose time is over: nothing proved that they could be seen.
func (d *Door) settleOld(ctx context.Context) {
	c, old := d.catalog.Load(), d.showings.expired(d.opts.Clock())
	var next atomic.Int64
	var group sync.WaitGroup
	for range min(settlers, len(old)) {
		group.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(old)) && ctx.Err() == nil; i = next.Add(1) - 1 {
				s, _ := d.sealer.open(old[i]) // which it made
				claim, first, _ := d.showings.claim(s.id)
				if !first {
					continue // a beacon came at this moment
				}
				f := &facts{beacon: beaconEnd, now: d.opts.Clock().UTC(), showing: s}
				d.impression(ctx, c, f, carom.Received{At: f.now, Path: "/sdk/beacon", Client: s.client}, claim)
			}
		})
	}
	group.Wait()
}

type meter struct {
	ads      map[string]prometheus.Counter
	beacons  *prometheus.CounterVec
	declined *prometheus.CounterVec
}

// What becomes of a request for an ad, as counted.
const (
	adFilled  = "filled"
	adNone    = "no_fill"
	adRefused = "refused"
	adLimited = "limited"
	adLater   = "try_later"
)

// What becomes of a beacon, as counted.
const (
	beaconNoted     = "noted"
	beaconConfirmed = "confirmed"
	beaconDeclined  = "declined"
	beaconRepeated  = "repeated"
	beaconRefused   = "refused"
	beaconLater     = "try_later"
)

func newMeter(r prometheus.Registerer, s *showings) *meter {
	m := &meter{ads: map[string]prometheus.Counter{}}
	asked := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "carom_ad_requests_total", Help: "Requests of the SDK for an ad, by outcome: filled, no_fill, refused (its fault is said in the answer), limited (too many of one device), try_later.",
	}, []string{"outcome"})
	for _, outcome := range []string{adFilled, adNone, adRefused, adLimited, adLater} {
		m.ads[outcome] = asked.WithLabelValues(outcome)
	}
	m.beacons = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "carom_beacons_total", Help: "Beacons of the SDK, by what they say and what came of them: noted, confirmed, declined, repeated, refused (token, order or form), try_later.",
	}, []string{"beacon", "outcome"})
	m.declined = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "carom_declined_total", Help: "Reasons for which impressions and clicks of the SDK were declined. One event may have several.",
	}, []string{"reason"})
	for _, reason := range Reasons() {
		m.declined.WithLabelValues(string(reason))
	}
	if r != nil {
		r.MustRegister(asked, m.beacons, m.declined, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "carom_showings", Help: "Ads that are being shown, or were settled a moment ago.",
		}, func() float64 { return float64(s.len()) }))
	}
	return m
}
