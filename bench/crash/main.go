// Command crash kills carom over and over under load and then checks its books.
//
// It sends postbacks at a steady rate, copies and repeats among them, to a server whose endpoint fails now and then; kills the
// server without warning at random moments; starts it again on the same data folder. After the last start it waits until
// everything is delivered, stops the server and compares three accounts: what was acknowledged, what the endpoint received,
// and what the server stored. It prints the ledger and exits with an error when they disagree.
//
// With -postgres the server is one node on a PostgreSQL database of the test's own, and the database is killed, too.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"syscall"
	"time"

	"carom/bench/proc"
	"carom/internal/pgtest"
)

// options are what the command line says.
type options struct {
	Carom   string
	Dir     string
	Kills   int
	Rate    float64
	Senders int
	Seed    uint64
	MinUp   time.Duration
	MaxUp   time.Duration
	Drain   time.Duration
	Keep    bool

	Postgres bool
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	o, err := parseOptions(os.Args[1:], os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err == nil {
		err = run(ctx, o, os.Stdout, readAll)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "crash:", err)
		os.Exit(1)
	}
}

// parseOptions reads the command line. Help and faults are written to w.
func parseOptions(args []string, w io.Writer) (options, error) {
	var o options
	f := flag.NewFlagSet("crash", flag.ContinueOnError)
	f.SetOutput(w)
	f.StringVar(&o.Carom, "carom", "bin/carom", "path of the server's binary")
	f.StringVar(&o.Dir, "dir", "bench/out/crash", "folder for data; emptied first")
	f.IntVar(&o.Kills, "kills", 50, "how often the server is killed")
	f.Float64Var(&o.Rate, "rate", 2000, "different events per second to reach while the server is up; copies and repeats come on top")
	f.IntVar(&o.Senders, "senders", 64, "connections")
	f.Uint64Var(&o.Seed, "seed", 0, "seed of all that is random; 0 takes a new one, which is printed")
	f.DurationVar(&o.MinUp, "min-up", 200*time.Millisecond, "shortest time from ready to kill")
	f.DurationVar(&o.MaxUp, "max-up", 1500*time.Millisecond, "longest time from ready to kill")
	f.DurationVar(&o.Drain, "drain", 3*time.Minute, "longest wait for the last delivery")
	f.BoolVar(&o.Postgres, "postgres", false, "keep everything in a PostgreSQL database, which is killed now and then as well; -max-up is 14s then")
	f.BoolVar(&o.Keep, "keep", false, "keep the data folder when all is well; after a violation it is always kept")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	upSet := false
	f.Visit(func(f *flag.Flag) { upSet = upSet || f.Name == "max-up" })
	if o.Postgres && !upSet {
		o.MaxUp = nodeUp
	}
	if o.Kills < 0 || o.Rate <= 0 || o.Senders < 1 || o.MinUp < 0 || o.MaxUp <= o.MinUp {
		return o, errors.New("-rate and -senders must be positive, and -max-up longer than -min-up")
	}
	for o.Seed == 0 {
		o.Seed = rand.Uint64()
	}
	return o, nil
}

// errViolated says that the ledger does not add up. The table says how.
var errViolated = errors.New("the books do not agree")

// run is the whole test. read reads the books of a stopped server: readAll, but for a stand-in.
func run(ctx context.Context, o options, w io.Writer, read func(dir string) (books, error)) error {
	if _, err := os.Stat(o.Carom); err != nil {
		return fmt.Errorf("the server's binary is missing: run `make build`, or say where it is with -carom: %w", err)
	}
	if err := os.RemoveAll(o.Dir); err != nil {
		return err
	}
	if err := os.MkdirAll(o.Dir, 0o755); err != nil {
		return err
	}
	_, _ = fmt.Fprintf(w, "%d kills at %.0f events/s, seed %d\n", o.Kills, o.Rate, o.Seed)
	h, err := newHarness(o, w, read)
	if err != nil {
		return err
	}
	defer h.close()
	if o.Postgres {
		if err := h.useDatabase(); err != nil {
			return err
		}
	}
	f, err := h.crash(ctx)
	if err != nil {
		return fmt.Errorf("with seed %d: %w", o.Seed, err)
	}
	l := check(f)
	l.print(w)
	if n := l.violations(); n > 0 {
		_, _ = fmt.Fprintf(w, "\n%d lines do not hold. The data folder is kept: %s\n", n, o.Dir)
		return fmt.Errorf("with seed %d: %w", o.Seed, errViolated)
	}
	if o.Keep {
		return nil
	}
	return os.RemoveAll(o.Dir)
}

// harness is the test's equipment.
type harness struct {
	options
	w        io.Writer
	rng      *rand.Rand // of this goroutine: when to kill
	receiver *receiver
	traffic  *traffic
	setup    proc.Setup
	server   *proc.Carom // the newest, perhaps ended
	read     func(dir string) (books, error)
	database *pgtest.Cluster // nil: the server keeps everything in its data folder
}

func newHarness(o options, w io.Writer, read func(string) (books, error)) (*harness, error) {
	rec, err := startReceiver(o.Seed)
	if err != nil {
		return nil, err
	}
	addr, err := proc.FreeAddr()
	if err != nil {
		return nil, err
	}
	secret := proc.NewSecret()
	h := &harness{options: o, w: w, rng: rand.New(rand.NewPCG(o.Seed, 1)), receiver: rec, read: read}
	h.setup = proc.Setup{Binary: o.Carom, Dir: o.Dir, Listen: addr, Config: configFile(secret, rec.addr)}
	h.traffic = newTraffic(o, addr, secret)
	return h, nil
}

func (h *harness) close() {
	h.traffic.close()
	if h.server != nil {
		h.server.Kill()
	}
	h.receiver.close()
	if h.database != nil {
		_ = h.database.Close() // its files are temporary
	}
}

// laneConcurrency is how many attempts the endpoint takes at once: what may be in flight at a kill.
const laneConcurrency = 64

// configFile is the server's file: one source, and one endpoint that retries soon, since it fails often.
func configFile(secret, addr string) string {
	return fmt.Sprintf(`apps:
  bench:
    currencies: { coins: 0 }
    rules:
      watch:
        filter: { event_types: [impression, click] }
        price: %d coins
        caps:
          - { per: [user, day], rewards: 1000000 }
    sources:
      monetag: { profile: monetag, ymid: view, secret: "%s" }
    endpoints:
      unsteady:
        url: "http://%s/postback?ymid={ymid}&zone={zone_id}&event={event_type}&value={reward_event_type}&d={delivery_id}"
        allow_private: true
        concurrency: %d
        schedule: ["1s", "1s", "2s"]
      bank:
        sends: rewards
        url: "http://%s/reward?id={reward_id}&state={reward_state}&amount={reward_amount}&d={delivery_id}"
        allow_private: true
        concurrency: %d
        schedule: ["1s", "1s", "2s"]
`, price, secret, addr, laneConcurrency, addr, laneConcurrency)
}

// crash kills the server as often as asked, lets it recover, and returns the three accounts.
func (h *harness) crash(ctx context.Context) (*facts, error) {
	f := &facts{rate: h.Rate}
	for i := range h.Kills {
		if err := h.round(ctx, f, i); err != nil {
			return nil, fmt.Errorf("kill %d: %w", i+1, err)
		}
		if (i+1)%10 == 0 || i+1 == h.Kills {
			_, _ = fmt.Fprintf(h.w, "%d kills, %d postbacks acknowledged, %d received by the endpoint\n", i+1, h.traffic.acknowledged(), h.receiver.requests())
		}
	}
	var err error
	if h.server, err = proc.StartCarom(ctx, h.setup); err != nil {
		return nil, fmt.Errorf("the last start: %w", err)
	}
	f.longestStart = max(f.longestStart, h.server.Ready)
	h.traffic.run(time.Now()) // a last stretch without a kill: unacknowledged postbacks come again
	if err := pause(ctx, h.MaxUp); err != nil {
		return nil, err
	}
	f.up += h.traffic.stop()
	h.traffic.close()
	_, _ = fmt.Fprintln(h.w, "recovered; waiting for the last deliveries")
	if err := h.drain(ctx); err != nil {
		return nil, err
	}
	if f.books, err = h.stopAndRead(ctx); err != nil {
		return nil, fmt.Errorf("read the server's books: %w", err)
	}
	f.sent = h.traffic.account()
	f.received = h.receiver.account()
	return f, nil
}

// stopAndRead stops the server and reads its books. A node checks its ledger itself, as long as it runs.
func (h *harness) stopAndRead(ctx context.Context) (b books, err error) {
	if h.database == nil {
		if err := h.server.Stop(time.Minute); err != nil {
			return b, err
		}
		return h.read(proc.DataDir(h.Dir))
	}
	ledger, err := h.server.Ledger(ctx)
	if err != nil {
		return b, err
	}
	if err := h.server.Stop(time.Minute); err != nil {
		return b, err
	}
	b, err = h.readDatabase(ctx)
	b.ledger = ledger
	return b, err
}

// round starts the server, loads it for a random time and kills it. Every tenth time it is killed while it starts. Where there is
// a database, that is killed first in two of three rounds, under the running server.
func (h *harness) round(ctx context.Context, f *facts, i int) error {
	var err error
	if i%10 == 9 {
		if h.server, err = proc.Launch(h.setup); err != nil {
			return err
		}
		if err := pause(ctx, time.Duration(h.rng.Int64N(int64(150*time.Millisecond)))); err != nil {
			return err
		}
		h.server.Kill()
		f.kills = append(f.kills, time.Now())
		return nil
	}
	if h.server, err = proc.StartCarom(ctx, h.setup); err != nil {
		return err
	}
	f.longestStart = max(f.longestStart, h.server.Ready)
	h.traffic.run(time.Now())
	if h.database != nil && i%3 > 0 {
		if err := pause(ctx, h.up()); err != nil {
			return err
		}
		if err := h.killDatabase(ctx, f); err != nil {
			return err
		}
	}
	if err := pause(ctx, h.up()); err != nil {
		return err
	}
	select {
	case <-h.server.Ended():
		return fmt.Errorf("the server ended by itself:\n%s", h.server.LogTail())
	default:
	}
	h.server.Kill()
	f.kills = append(f.kills, time.Now())
	f.up += h.traffic.stop()
	return nil
}

// up is a random time from ready to a kill.
func (h *harness) up() time.Duration {
	return h.MinUp + time.Duration(h.rng.Int64N(int64(h.MaxUp-h.MinUp)))
}

// drain waits until the endpoint has accepted every acknowledged event, or the time is over. What is missing then is for the
// check to explain.
func (h *harness) drain(ctx context.Context) error {
	limit := time.Now().Add(h.Drain)
	for time.Now().Before(limit) {
		if h.receiver.holds(h.traffic.acknowledgedKeys()) {
			return h.settle(ctx)
		}
		if err := pause(ctx, 200*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// settle waits until nothing has come for a while: rewards that failed are sent again within 2 s.
func (h *harness) settle(ctx context.Context) error {
	const quiet = 6 * time.Second
	for before := int64(-1); before != h.receiver.requests(); {
		before = h.receiver.requests()
		if err := pause(ctx, quiet); err != nil {
			return err
		}
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
