// Package ads chooses which ad a zone shows: one of the operator's ad server, or else a creative of the house.
//
// It hides how an ad server is asked and for how long, which of its answers are believed, when one that does not answer is
// left alone, and how creatives of the house share a zone by their weights. It knows nothing of tokens, beacons and events,
// stores nothing, and does not say whether an ad was seen.
//
// It promises that a page waits for an ad server no longer than the zone's timeout, and hardly ever for one that hangs; that
// an ad whose price is above the zone's limit, or which could run code in the page that shows it, is not shown; and that
// nothing but the end of the caller's context is an error. HTML is passed on as it is: whoever shows it does so in a frame of
// its own that may reach nothing.
package ads

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"carom"
	"carom/internal/egress"
)

// Client makes the exchanges with ad servers. *egress.Client is one.
type Client interface {
	Do(ctx context.Context, policy egress.Policy, r egress.Request, o egress.Options) egress.Result
}

// Options are what a Chooser is made of. Client is required.
type Options struct {
	Client  Client
	Clock   func() time.Time      // nil: the system's
	Random  func(n int64) int64   // a number from 0 to n-1, each as likely as the others; called concurrently. nil: the system's
	Metrics prometheus.Registerer // nil: nothing is measured
	Log     *slog.Logger          // nil: nothing is logged
}

// Request is one question for an ad: where it is to be shown, and to whom.
type Request struct {
	Zone   carom.Zone
	Format carom.Format // one that the zone serves
	ID     string       // of the showing: opaque, and unique to it

	// What the page said. Nothing of it is proven.
	YMID       string
	RequestVar string
	TelegramID string
	UserAgent  string
	Language   string
	Client     netip.Addr // of the browser; the zero value where it is not known
	Width      int        // of the page, in CSS pixels
	Height     int
}

// Ad is what is shown.
type Ad struct {
	Creative   string // the name of the house's creative, or the id that the ad server gave it
	FromServer bool   // the ad server gave it

	Title      string
	Image      string // URL: https, or http on this machine. A popup has neither Image nor HTML, any other ad one of the two
	HTML       string // not to be believed: it is shown in a sandboxed frame
	LandingURL string // http or https; empty only where the ad is no popup
	Width      int    // CSS pixels; 0: the screen's
	Height     int
	CloseAfter time.Duration

	PerImpression carom.Nanos
	PerClick      carom.Nanos
}

// Chooser chooses ads. Make it with New and give it the creatives with Use; until then the house has none. All methods may be
// called concurrently.
type Chooser struct {
	opts  Options
	house atomic.Pointer[house]

	mu      sync.Mutex // guards servers
	servers map[place]*adServer

	shown    map[from]prometheus.Counter
	outcomes map[outcome]prometheus.Counter
	seconds  prometheus.Histogram
}

// from is where an ad came from, as counted.
type from string

const (
	fromServer from = "ad_server"
	fromHouse  from = "house"
	fromNobody from = "none"
)

// outcome is what came of asking an ad server, as counted.
type outcome string

const (
	filled   outcome = "filled"
	noFill   outcome = "no_fill"
	timedOut outcome = "timeout" // no whole answer in time
	failed   outcome = "failed"  // no connection, or an answer that is none
	refused  outcome = "refused" // an ad came that may not be shown
	skipped  outcome = "skipped" // it was not asked: it failed too often, or too many wait for it
)

// New makes a Chooser whose house has no creatives. It starts nothing.
func New(o Options) *Chooser {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Random == nil {
		o.Random = rand.Int64N
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	c := &Chooser{
		opts: o, servers: map[place]*adServer{},
		shown: map[from]prometheus.Counter{}, outcomes: map[outcome]prometheus.Counter{},
	}
	c.house.Store(&house{})
	shown := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "carom_ads_total", Help: "Requests for an ad, by where the ad came from: ad_server, house or none.",
	}, []string{"from"})
	for _, f := range []from{fromServer, fromHouse, fromNobody} {
		c.shown[f] = shown.WithLabelValues(string(f))
	}
	asked := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "carom_ad_server_requests_total", Help: "Requests to ad servers, by what came of them.",
	}, []string{"outcome"})
	for _, o := range []outcome{filled, noFill, timedOut, failed, refused, skipped} {
		c.outcomes[o] = asked.WithLabelValues(string(o))
	}
	c.seconds = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "carom_ad_server_seconds", Help: "How long ad servers took, in seconds.",
		Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .2, .3, .5, 1, 2.5, 5},
	})
	if o.Metrics != nil {
		o.Metrics.MustRegister(shown, asked, c.seconds)
	}
	return c
}

// Use puts the creatives and zones of objects in force from the next request on. Ad servers that are still used keep what is
// known of them. A creative that has a fault is logged and not shown.
func (c *Chooser) Use(objects carom.Objects) {
	h, faults := newHouse(objects.Creatives)
	for name, err := range faults {
		c.opts.Log.Warn("a creative is not shown", "creative", name, "error", err)
	}
	used := map[place]bool{}
	for i := range objects.Zones {
		used[placeOf(objects.Zones[i].AdServer.WithDefaults())] = true
	}
	c.house.Store(h)
	c.mu.Lock()
	defer c.mu.Unlock()
	for p := range c.servers {
		if !used[p] {
			delete(c.servers, p)
		}
	}
}

// Choose returns the ad to show, or nil where there is none: no fill is an answer and not an error. The ad is the caller's own.
//
// It returns an error only when ctx ends first, with its cause. Choosing among the house's creatives waits for nobody.
func (c *Chooser) Choose(ctx context.Context, r Request) (*Ad, error) {
	if ctx.Err() != nil {
		return nil, ended(ctx)
	}
	if r.Zone.Paused {
		c.shown[fromNobody].Inc()
		return nil, nil
	}
	if r.Zone.AdServer.URL != "" {
		ad, err := c.ask(ctx, &r)
		if err != nil {
			return nil, err
		}
		if ad != nil {
			c.shown[fromServer].Inc()
			return ad, nil
		}
	}
	ad := c.house.Load().choose(r.Zone.ID, r.Format, c.opts.Random)
	if ad == nil {
		c.shown[fromNobody].Inc()
		return nil, nil
	}
	c.shown[fromHouse].Inc()
	return ad, nil
}

func ended(ctx context.Context) error { return fmt.Errorf("choose an ad: %w", context.Cause(ctx)) }
