package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"time"

	"carom/bench/load"
	"carom/bench/proc"
)

// The runs of the load generator.
const (
	runSaturate = 1
	runSoak     = 2
)

// soak is the equipment of one run. Its fields below the options are set by the goroutine that follows the plan.
type soak struct {
	options
	w        io.Writer
	disk     *disk
	receiver *receiver
	setup    proc.Setup
	path     string

	mu     sync.Mutex  // guards server, life and since: samples are taken by another goroutine
	server *proc.Carom // the newest
	life   int         // how many servers there were
	since  time.Time   // when it was ready
}

// trouble is one item of the plan: what happens at a part of each quarter, and for how long.
type trouble struct {
	name  string
	at    float64 // of a quarter
	lasts float64 // of a quarter; 0: it is over when it is done
	most  time.Duration
	begin func(ctx context.Context) (end func() error, err error)
}

// plan is what happens in each quarter.
func (s *soak) plan() []trouble {
	in := func(m mode) func(context.Context) (func() error, error) {
		return func(context.Context) (func() error, error) {
			s.receiver.set(m)
			return func() error { s.receiver.set(modeOK); return nil }, nil
		}
	}
	list := []trouble{
		{"the receiver fails", 0.08, 0.2, time.Minute, in(modeFails)},
		{"the receiver hangs", 0.34, 0.15, time.Minute, in(modeHangs)},
		{"the disk is full", 0.56, 0.1, 20 * time.Second, s.disk.fill},
		{"restarted", 0.72, 0, 0, func(ctx context.Context) (func() error, error) {
			return nil, s.restart(ctx, func(c *proc.Carom) error { return c.Stop(time.Minute) })
		}},
		{"killed", 0.84, 0, 0, func(ctx context.Context) (func() error, error) {
			return nil, s.restart(ctx, func(c *proc.Carom) error { c.Kill(); return nil })
		}},
	}
	if s.disk.kind == kindNone {
		list = append(list[:2], list[3:]...) // the disk is everybody's
	}
	return list
}

// bucketsPerRetention is how many buckets are closed within a retention, so that some are dropped in every run of some minutes. It
// is small: the index of each stays open for as long as duplicates may come, 30 days at least, so that open files grow by one
// for each, as they should.
const bucketsPerRetention = 2

// soak follows the plan and returns the accounts.
func (s *soak) soak(ctx context.Context) (*report, error) {
	s.receiver = &receiver{run: runSoak}
	endpoint := httptest.NewServer(s.receiver)
	defer endpoint.Close()
	if err := s.prepare(endpoint.URL); err != nil {
		return nil, err
	}
	rep := &report{At: time.Now().UTC().Format(time.RFC3339), Minutes: s.Minutes, Disk: s.disk.kind}
	if err := s.start(ctx); err != nil {
		return nil, err
	}
	defer func() { s.server.Kill() }() // it has ended, if all went well
	rate := s.Rate
	if rate == 0 {
		res, err := load.Run(ctx, load.Config{Addr: s.setup.Listen, Paths: []string{s.path}, Run: runSaturate, Senders: s.Senders, WarmUp: 2 * time.Second, Duration: 10 * time.Second})
		if err != nil {
			return nil, err
		}
		rep.Saturated, rate = res.PerSec, res.PerSec/2
	}
	rep.Rate = rate
	_, _ = fmt.Fprintf(s.w, "%.0f postbacks/s for %v, data on %s, retention %s\n", rate, s.length(), s.disk.kind, s.retention())

	soaking, stop := context.WithTimeout(ctx, s.length())
	defer stop()
	var wg sync.WaitGroup
	var res *load.Result
	var loadErr error
	wg.Go(func() {
		res, loadErr = load.Run(soaking, load.Config{Addr: s.setup.Listen, Paths: []string{s.path}, Run: runSoak, Senders: s.Senders, Rate: rate, Duration: s.length()})
	})
	wg.Go(func() { rep.Samples = s.sample(soaking) })
	err := s.follow(soaking, rep)
	if err != nil {
		stop()
	}
	wg.Wait()
	if err = errors.Join(err, loadErr, ctx.Err()); err != nil {
		return nil, fmt.Errorf("%w; the server's log ends with:\n%s", err, s.server.LogTail())
	}
	rep.Sent, rep.Acked, rep.Statuses, rep.Unanswered = res.Sent, res.Acked, res.Statuses, res.Errors
	if err := s.drain(ctx, rep, res); err != nil {
		return nil, err
	}
	rep.Lives = s.life
	if err := s.server.Stop(time.Minute); err != nil {
		return nil, err
	}
	return rep, rep.readBuckets(proc.DataDir(s.setup.Dir))
}

// retention is an eighth of the run, and longer than the receiver is ever away.
func (s *soak) retention() time.Duration { return max(s.length()/8, time.Minute) }

func (s *soak) prepare(endpoint string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	addr, err := proc.FreeAddr()
	if err != nil {
		return err
	}
	secret := proc.NewSecret()
	s.path = "/in/bench/monetag/" + secret + "?ymid=" + load.YMID + "&zone_id=8790478&sub_zone_id=8790479&request_var=bonus-btn&telegram_id=" + load.TelegramID +
		"&event_type=impression&reward_event_type=valued&estimated_price=0.0023"
	s.setup = proc.Setup{
		Binary: self, Dir: filepath.Join(s.disk.dir, "carom"), Listen: addr, Env: []string{retentionVariable + "=" + s.retention().String()},
		Config: fmt.Sprintf(`apps:
  bench:
    sources:
      monetag: { profile: monetag, ymid: view, secret: "%s", dedupe_window: 1m }
    endpoints:
      backend:
        url: "%s/postback?ymid={ymid}&d={delivery_id}"
        allow_private: true
        schedule: ["1s", "2s", "5s"]
`, secret, endpoint),
	}
	return os.MkdirAll(s.setup.Dir, 0o755)
}

// start starts a server and waits until it is ready.
func (s *soak) start(ctx context.Context) error {
	if s.setup.Args == nil {
		rate := s.Rate
		if rate == 0 {
			rate = 4000 // assumed, for the size of buckets alone
		}
		s.setup.Args = []string{fmt.Sprintf("--bucket-events=%.0f", max(rate*s.retention().Seconds()/bucketsPerRetention, 1000))}
	}
	server, err := proc.StartCarom(ctx, s.setup)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.server, s.since = server, time.Now()
	s.life++
	return nil
}

func (s *soak) restart(ctx context.Context, end func(*proc.Carom) error) error {
	if err := end(s.server); err != nil {
		return err
	}
	return s.start(ctx)
}

// follow makes the troubles of the plan, quarter by quarter, until ctx ends.
func (s *soak) follow(ctx context.Context, rep *report) error {
	began, quarter := time.Now(), s.length()/4
	for q := range 4 {
		for _, t := range s.plan() {
			if pause(ctx, time.Until(began.Add(time.Duration((float64(q)+t.at)*float64(quarter))))) != nil {
				return nil // the time is over
			}
			_, _ = fmt.Fprintf(s.w, "%6.0f s  %s\n", time.Since(began).Seconds(), t.name)
			rep.Troubles = append(rep.Troubles, occurrence{t.name, time.Since(began).Seconds()})
			end, err := t.begin(context.WithoutCancel(ctx))
			if t.lasts > 0 && err == nil {
				_ = pause(ctx, min(time.Duration(t.lasts*float64(quarter)), t.most)) // what has begun is ended in any case
			}
			if end != nil {
				err = errors.Join(err, end())
			}
			if err != nil {
				return fmt.Errorf("%s: %w", t.name, err)
			}
			select {
			case <-s.server.Ended():
				return fmt.Errorf("after %q the server has ended by itself", t.name)
			default:
			}
		}
	}
	<-ctx.Done()
	return nil
}

// drain waits until the receiver has accepted everything that was acknowledged, and has been quiet for a while.
func (s *soak) drain(ctx context.Context, rep *report, res *load.Result) error {
	s.receiver.set(modeOK)
	acked := res.Acknowledged()
	began := time.Now()
	for {
		missing, examples := s.receiver.missing(acked)
		rep.Missing, rep.MissingExamples = missing, examples
		if missing == 0 || time.Since(began) > s.Drain {
			break
		}
		if err := pause(ctx, 500*time.Millisecond); err != nil {
			return err
		}
	}
	rep.DrainSeconds = time.Since(began).Seconds()
	const quiet = 3 * time.Second // what was stored and not acknowledged comes too, and must not come as two
	for before := int64(-1); before != rep.Accepted+rep.Repeated; {
		before = rep.Accepted + rep.Repeated
		if err := pause(ctx, quiet); err != nil {
			return err
		}
		rep.Accepted, rep.Repeated, rep.Doubled = s.receiver.counts()
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return ctx.Err()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
