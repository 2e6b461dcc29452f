package load

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"carom/bench/mark"
	"carom/bench/stat"
)

// ViewLead is how long before its last beacon a view's ad is asked for; startAfter is how long after that it begins. What is
// between the start and the last beacon is more than SeenAfter, so that it is no matter if the ad comes a little late.
const (
	ViewLead   = 1600 * time.Millisecond
	startAfter = 300 * time.Millisecond
)

// showing is one view under way. What a step leaves for the next stands when its channel is closed.
type showing struct {
	asked, started chan struct{} // each is closed by the step that it names
	ad, start      string        // tokens; empty when the step failed
	at             time.Time     // when the ad was there
}

// viewer is the load of views: three open loops, one for each request of a view, in which a view has the same number.
type viewer struct {
	cfg      Config
	showings []showing
}

// step is one of the requests of each view.
type step struct {
	after time.Duration // from the view's first request
	do    func(context.Context, *Page, *sender, *generator, ticket)
}

// runViews shows ads at a fixed rate.
func runViews(ctx context.Context, cfg Config) (*Result, error) {
	if cfg.Senders < 1 || cfg.Rate <= 0 || cfg.Duration <= 0 {
		return nil, errors.New("a load of views needs senders, a rate and a duration")
	}
	cfg.Want = Confirmed
	cfg.Count = uint64(cfg.Rate * (cfg.WarmUp + cfg.Duration).Seconds())
	v := &viewer{cfg: cfg, showings: make([]showing, cfg.Count)}
	for i := range v.showings {
		v.showings[i] = showing{asked: make(chan struct{}), started: make(chan struct{})}
	}
	steps := []step{{0, v.ask}, {startAfter, v.begin}, {ViewLead, v.see}}
	pages := make([][]*Page, len(steps))
	for i := range steps {
		for range cfg.Senders {
			p, err := OpenPage(ctx, cfg.Addr, cfg.Zone)
			if err != nil {
				return nil, fmt.Errorf("connect a page to %s: %w", cfg.Addr, err)
			}
			defer p.Close()
			pages[i] = append(pages[i], p)
		}
	}
	first := time.Now()
	if cfg.StartAt != 0 {
		first = time.Unix(0, cfg.StartAt).Add(-ViewLead)
	}
	var wg sync.WaitGroup
	generators := make([]*generator, len(steps))
	accounts := make([][]*sender, len(steps))
	for i, s := range steps {
		start := first.Add(s.after)
		g := &generator{cfg: cfg, from: start.Add(cfg.WarmUp), tickets: make(chan ticket, int(cfg.Rate)+1)}
		generators[i] = g
		wg.Go(func() { g.pace(ctx, start) })
		for _, p := range pages[i] {
			a := newAccount(cfg)
			accounts[i] = append(accounts[i], a)
			wg.Go(func() {
				for t := range g.tickets {
					s.do(ctx, p, a, g, t)
				}
			})
		}
	}
	wg.Wait()
	last := len(steps) - 1
	r := generators[last].result(accounts[last])
	r.Ad, r.Start = v.before(r, generators[0], accounts[0]), v.before(r, generators[1], accounts[1])
	return r, ctx.Err()
}

// before takes the account of an earlier step into that of the last one, and returns its latency.
func (v *viewer) before(r *Result, g *generator, accounts []*sender) stat.Percentiles {
	s := g.result(accounts)
	r.Errors += s.Errors
	r.Lag = max(r.Lag, s.Lag)
	if s.Error != "" {
		r.Error = s.Error
	}
	return s.Latency
}

func (v *viewer) ask(ctx context.Context, p *Page, a *sender, g *generator, t ticket) {
	s := &v.showings[t.seq]
	defer close(s.asked)
	var err error
	s.ad, err = p.Ad(ctx, mark.Mark{Run: v.cfg.Run, Seq: t.seq, At: t.at.Add(ViewLead).UnixNano()})
	s.at = time.Now()
	v.note(a, g, t, s.at, err)
}

func (v *viewer) begin(ctx context.Context, p *Page, a *sender, g *generator, t ticket) {
	s := &v.showings[t.seq]
	defer close(s.started)
	if !over(ctx, s.asked) || s.ad == "" {
		return
	}
	var err error
	s.start, err = p.Start(ctx, s.ad)
	v.note(a, g, t, time.Now(), err)
}

func (v *viewer) see(ctx context.Context, p *Page, a *sender, g *generator, t ticket) {
	s := &v.showings[t.seq]
	if !over(ctx, s.started) || s.start == "" {
		return
	}
	// An ad that came late can be seen no sooner. The time counts from the intended moment all the same.
	time.Sleep(time.Until(s.at.Add(SeenAfter)))
	status, body, err := p.post(ctx, BeaconPath, viewableBefore, s.start, viewableBehind)
	a.book(t, g, time.Now(), status, body, err)
}

// over waits until a step was taken; false when ctx ended before.
func over(ctx context.Context, done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	case <-ctx.Done():
		return false
	}
}

// note takes a step that is not the last into the account.
func (v *viewer) note(a *sender, g *generator, t ticket, now time.Time, err error) {
	if err != nil {
		a.errors++
		a.note(err)
		return
	}
	if !t.at.Before(g.from) {
		a.latency.Record(now.Sub(t.at))
	}
}
