// Package view is the door of views: an app's backend or a browser opens one here, and whoever holds its token waits here
// for what becomes of it.
//
// It hides who may do so: API keys, Telegram's init data, the tokens of views, the pages that a browser may call from. It
// hides how thousands wait at the price of one connection each. It decides nothing about events and rewards: the store
// says how a view stands, and whoever commits an event of an opened view tells the door.
//
// It promises that nobody who asks misses what is told after, or stored before; that wrong tokens, tokens of other views
// and views that are not there are answered alike; and that what browsers can use up is bounded. It logs no token, no ymid
// and no user.
package view

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"carom"
	"carom/internal/telegram"
)

// Store is what the door needs of the store. All methods may be called concurrently.
type Store interface {
	// OpenView stores v. It allots v.ID, and fills in the seal's ymid where v has none of its own. It returns
	// carom.ErrConflict when the app has opened a view with this ymid before, and carom.ErrUnavailable.
	OpenView(ctx context.Context, v *carom.View) error
	// View returns an opened view, or carom.ErrNotFound.
	View(ctx context.Context, id carom.ViewID) (*carom.View, error)
	// ViewOutcome says what has become of an opened view.
	ViewOutcome(ctx context.Context, v *carom.View) (carom.ViewOutcome, error)
	// ViewSeal is the data folder's own.
	ViewSeal() carom.ViewSeal
	// KeyBySum finds an API key by the SHA-256 of its text, from memory.
	KeyBySum(sum [32]byte) (carom.APIKey, bool)
}

// Limits of what is asked.
const (
	MaxBodyBytes = 16 << 10 // of a request that opens a view
	MaxSources   = 32       // that a view may expect
	MaxWait      = time.Minute

	MinExpiry        = 10 * time.Second
	DefaultExpiry    = 10 * time.Minute
	MaxExpiry        = 24 * time.Hour // of views that a backend opens
	MaxBrowserExpiry = time.Hour

	// TokenGrace is how long a view's token counts after the view has expired: a late event still confirms it.
	TokenGrace = 24 * time.Hour
)

// Options are what a door is made of. Store is required.
type Options struct {
	Store Store
	Local func(*http.Request) bool // whether a request came through the local socket and needs no key; nil: none did
	// ByUser says whether the events of a source are known by their user alone, because its network sends no id of the
	// view. nil: none are.
	ByUser  func(*carom.Source) bool
	Clock   func() time.Time      // nil: the system's
	Metrics prometheus.Registerer // nil: nothing is measured
	Waiting int                   // who may wait at the same time, so that others get in as well; 0: 20,000
	Log     *slog.Logger          // nil: nothing is logged
	// Done is closed when the server stops: then all who wait are answered with what is known. nil: it never is.
	Done <-chan struct{}
}

// Door opens views and answers those who wait. Make it with New and give it the apps with Use; until then it knows none.
// All methods may be called concurrently.
type Door struct {
	opts     Options
	apps     atomic.Pointer[catalog]
	waiting  waiting
	openings openings
	opened   *prometheus.CounterVec
}

// Who opens views, as counted.
const (
	byBackend = "backend"
	byBrowser = "browser"
)

// New makes a door that knows no app. It starts nothing.
func New(o Options) *Door {
	if o.Local == nil {
		o.Local = func(*http.Request) bool { return false }
	}
	if o.ByUser == nil {
		o.ByUser = func(*carom.Source) bool { return false }
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	d := &Door{opts: o, waiting: waiting{most: int64(o.Waiting)}}
	d.apps.Store(&catalog{})
	d.opened = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "carom_views_opened_total", Help: "Views opened, by who opened them: backend or browser.",
	}, []string{"by"})
	for _, by := range []string{byBackend, byBrowser} {
		d.opened.WithLabelValues(by)
	}
	if o.Metrics != nil {
		o.Metrics.MustRegister(d.opened, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "carom_views_waiting", Help: "Requests that wait for what becomes of a view.",
		}, func() float64 { return float64(d.waiting.total.Load()) }))
	}
	return d
}

// Use puts objects in force from the next request on. An app whose bot is not usable is logged, and browsers cannot open
// its views.
func (d *Door) Use(objects carom.Objects) {
	c := &catalog{apps: map[string]*app{}, origins: map[string]bool{}}
	for _, a := range objects.Apps {
		bot, err := telegram.Of(&a)
		if err != nil {
			d.opts.Log.Warn("browsers cannot open views of this app", "app", a.Name, "error", err)
		}
		c.apps[a.Name] = &app{name: a.Name, origins: a.Origins, bot: bot, sources: map[string]bool{}}
		for _, origin := range a.Origins {
			c.origins[origin] = true
		}
	}
	for _, s := range objects.Sources {
		if a := c.apps[s.App]; a != nil {
			byUser := d.opts.ByUser(&s)
			a.sources[s.Name] = byUser
			a.byUser = a.byUser || byUser
		}
	}
	d.apps.Store(c)
}

// Tell gives those who wait for the view what has become of it. The caller has stored that before. It does not block, and
// costs next to nothing when nobody waits. What outcome points to must not change any more.
func (d *Door) Tell(id carom.ViewID, outcome carom.ViewOutcome) { d.waiting.tell(id, outcome) }

// Register adds the routes of views to mux.
func (d *Door) Register(mux *http.ServeMux) {
	mux.HandleFunc("POST /v1/views", d.open)
	mux.HandleFunc("GET /v1/views/{view_id}", d.ask)
	mux.HandleFunc("OPTIONS /v1/views", d.preflight)
	mux.HandleFunc("OPTIONS /v1/views/{view_id}", d.preflight)
}

// catalog is what the door knows of the objects in force. It is immutable: a change makes a new one.
type catalog struct {
	apps    map[string]*app
	origins map[string]bool // of all apps
}

type app struct {
	name    string
	origins []string
	sources map[string]bool    // by name: whether its events are known by their user alone
	byUser  bool               // those of any source are
	bot     *telegram.Verifier // nil: browsers open no views
}

// admits says whether a page of this origin may use the app's views. Only browsers send an origin.
func (a *app) admits(origin string) bool { return origin == "" || slices.Contains(a.origins, origin) }
