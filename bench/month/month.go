// Package month fills a store with a month of events, as a server would have stored them: copies, rewards, and attempts among them.
package month

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"carom"
)

const (
	// Days is how many days the events are spread over.
	Days = 30
	// Apps is how many apps there are, each with Zones zones, a source and an endpoint.
	Apps = 20
	// Zones is how many zones an app has.
	Zones = 5

	// Source is the name of an app's source.
	Source = "monetag"
	// Endpoint is the name of its endpoint.
	Endpoint = "backend"
	// Rule is the name of its rule.
	Rule = "watch"

	firstZone = 8_790_478
	firstUser = 500_000_000
	users     = 200_000
	batch     = 250
	workers   = 16
)

// Store is what is filled: the store of a data folder, or that of a database.
type Store interface {
	SetObjects(ctx context.Context, o carom.Objects, audit ...carom.AuditEntry) (carom.Objects, error)
	Accept(subs ...*carom.Submission)
	Record(d *carom.Delivery, a *carom.Attempt) error
	RollUp(ctx context.Context, now time.Time) error
	Run(ctx context.Context) error
	Close() error
}

// App is the name of an app by its number.
func App(n int) string { return fmt.Sprintf("app%d", n) }

// Zone is a zone of an app by its number.
func Zone(app, n int) string { return fmt.Sprint(firstZone + app*Zones + n) }

// Objects is the objects file of the server that shall read the month: each app has a Monetag source with the secret, and an endpoint
// that sends everything to url. The first app has a rule that pays for each event.
func Objects(secret, url string) string {
	var b strings.Builder
	b.WriteString("apps:\n")
	for a := range Apps {
		fmt.Fprintf(&b, "  %s:\n    currencies: { coins: 0 }\n", App(a))
		if a == 0 {
			fmt.Fprintf(&b, "    rules: { %s: { price: 5 coins } }\n", Rule)
		}
		fmt.Fprintf(&b, "    sources: { %s: { profile: monetag, ymid: view, secret: %q } }\n    endpoints: { %s: { url: %q, allow_private: true } }\n", Source, secret, Endpoint, url)
	}
	return b.String()
}

// Clock tells the time of the month while a store is filled.
type Clock struct{ nanos atomic.Int64 }

// Now is the moment of the event that is being stored.
func (c *Clock) Now() time.Time { return time.Unix(0, c.nanos.Load()) }

// Fill stores so many events, of the month that ends now. The store must be new, and have the clock's Now for its own; it is closed at
// the end. say is told how far it is.
func Fill(ctx context.Context, st Store, clock *Clock, events int, say func(format string, args ...any)) (err error) {
	end := time.Now()
	m := &filling{st: st, events: events, begin: end.Add(-Days * 24 * time.Hour), step: Days * 24 * time.Hour / time.Duration(events)}
	clock.nanos.Store(m.begin.UnixNano())
	running, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- st.Run(running) }()
	defer func() {
		cancel()
		err = errors.Join(err, <-done, st.Close())
	}()
	var o carom.Objects
	for a := range Apps {
		o.Apps = append(o.Apps, carom.App{Name: App(a), Currencies: map[string]int{"coins": 0}})
		o.Sources = append(o.Sources, carom.Source{App: App(a), Name: Source, Profile: "monetag", Secrets: []carom.SecretSum{{}}})
		o.Endpoints = append(o.Endpoints, carom.Endpoint{App: App(a), Name: Endpoint, URL: "https://" + App(a) + ".example/postback?ymid={ymid}", Paused: true})
	}
	if m.objects, err = st.SetObjects(ctx, o); err != nil {
		return err
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	errs := make(chan error, workers)
	began := time.Now()
	for range workers {
		wg.Go(func() {
			for ctx.Err() == nil {
				from := int(next.Add(batch)) - batch
				if from >= events {
					return
				}
				clock.forward(m.at(from))
				if err := m.store(from, min(from+batch, events)); err != nil {
					errs <- err
					return
				}
				if tenths := from * 10 / events; tenths > max(from-batch, 0)*10/events {
					say("  stored %d0 %% of %d events after %s", tenths, events, time.Since(began).Round(time.Second))
				}
			}
		})
	}
	wg.Wait()
	clock.forward(end)
	select {
	case err = <-errs:
	default:
		if err = ctx.Err(); err == nil {
			err = st.RollUp(ctx, end)
		}
	}
	return err
}

// forward sets the clock, never back.
func (c *Clock) forward(at time.Time) {
	for to := at.UnixNano(); ; {
		now := c.nanos.Load()
		if to <= now || c.nanos.CompareAndSwap(now, to) {
			return
		}
	}
}

// filling is one call of Fill.
type filling struct {
	st      Store
	objects carom.Objects
	events  int
	begin   time.Time
	step    time.Duration
}

func (m *filling) at(i int) time.Time { return m.begin.Add(time.Duration(i) * m.step) }

// store takes events by their numbers and records the attempts of those that are owed to an endpoint: the newest fifth.
func (m *filling) store(from, to int) error {
	subs := make([]*carom.Submission, 0, to-from)
	for i := from; i < to; i++ {
		subs = append(subs, m.event(i))
	}
	m.st.Accept(subs...)
	for i, sub := range subs {
		if sub.Err != nil {
			return fmt.Errorf("event %d: %w", from+i, sub.Err)
		}
		if len(sub.Targets) == 0 || sub.Receipt.Duplicate {
			continue
		}
		d := &carom.Delivery{ID: sub.Receipt.ID.Delivery(0), Event: sub.Event, Endpoint: sub.Targets[0].Endpoint, Ticket: sub.Receipt.Ticket, Since: sub.Event.At}
		a := &carom.Attempt{Delivery: d.ID, Number: 1, At: sub.Event.At, Took: 80 * time.Millisecond, State: carom.Delivered, Reason: "status 200", Method: "GET",
			URL: "https://" + sub.Event.App + ".example/postback?ymid=" + sub.Event.YMID, Status: 200, Answer: "ok"}
		if rand.IntN(500) == 0 {
			a.State, a.Reason, a.Status = carom.Dead, "status 410", 410
		}
		if err := m.st.Record(d, a); err != nil {
			return fmt.Errorf("attempt of event %d: %w", from+i, err)
		}
	}
	return nil
}

// event is one event as networks send them: one in fifty a copy, one in twenty with a reward.
func (m *filling) event(i int) *carom.Submission {
	rnd := rand.New(rand.NewPCG(uint64(i), 1))
	a, at := rnd.IntN(Apps), m.at(i)
	app, user := App(a), fmt.Sprint(firstUser+rnd.IntN(users))
	of := i
	if rnd.IntN(50) == 0 && i > 1000 {
		of = i - rnd.IntN(1000)
	}
	ymid := fmt.Sprintf("%08x-5a3c-4b1e-9d2f-%012x", uint32(of)*2654435761, of)
	ev := &carom.Event{
		App: app, Source: Source, Network: "monetag", Type: carom.Impression, Value: carom.Valued, YMID: ymid, ZoneID: Zone(a, rnd.IntN(Zones)),
		SubZoneID: fmt.Sprint(9_000_000 + rnd.IntN(2)), RequestVar: fmt.Sprint("spot-", rnd.IntN(3)), TelegramID: user, Price: carom.Price{Nanos: 2_300_000, Set: true},
		Strength: carom.Secret, Received: carom.Received{At: at, Method: "GET", Path: "/in/" + app + "/" + Source + "/***"},
	}
	switch rnd.IntN(10) {
	case 0:
		ev.Type = carom.Click
	case 1, 2:
		ev.Value = carom.NotValued
	}
	ev.Received.RawQuery = "ymid=" + ymid + "&event_type=" + string(ev.Type) + "&zone_id=" + ev.ZoneID + "&sub_zone_id=" + ev.SubZoneID + "&telegram_id=" + user +
		"&request_var=" + ev.RequestVar + "&estimated_price=0.0023&country=de&device=android-14-pixel-8"
	sub := &carom.Submission{Event: ev, Key: carom.DedupeKey{Sum: carom.SumOf(ymid, string(ev.Type)), Window: carom.DefaultDedupeWindow}}
	if rnd.IntN(20) == 0 {
		sub.View = carom.ViewClaim{Sum: ev.RepeatSum(), User: user}
		sub.Candidates = []carom.Candidate{{Rule: app + "/" + Rule, Currency: "coins", Amount: 5_000_000_000, At: at, Day: int32(at.Year()*10_000 + int(at.Month())*100 + at.Day())}}
	}
	if i > m.events*4/5 {
		sub.Targets = []carom.Target{{Endpoint: m.objects.Endpoints[a].No, Direct: true}}
	}
	return sub
}
