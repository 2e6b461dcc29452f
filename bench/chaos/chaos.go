package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"time"

	"carom"
	"carom/bench/pgbooks"
	"carom/bench/proc"
	"carom/internal/pgtest"
)

// nodes is how many there are.
const nodes = 3

// chaos is the equipment of one run.
type chaos struct {
	options
	w         io.Writer
	rng       *rand.Rand // of this goroutine: what happens when
	network   *network   // nil: the nodes are processes beside one another
	databases *databases
	sink      *sink
	nodes     []*node
	traffic   *traffic
	began     time.Time
	faults    []*occurrence
}

// occurrence is a fault that happened.
type occurrence struct {
	Name  string  `json:"name"`
	Node  string  `json:"node,omitempty"`
	At    float64 `json:"at_s"`
	Lasts float64 `json:"lasts_s"` // until whoever failed worked again

	// InFlight is how many postbacks may be sent twice for it: those that the sink had accepted without the outcome being stored, and
	// the attempts of the nodes concerned that were under way.
	InFlight int `json:"in_flight"`

	// Of nodes that were killed: how many deliveries they had in their hands, in memory or claimed, and when the last of these that was
	// sent at all was sent, in seconds from the kill.
	Held      int     `json:"held,omitempty"`
	TakenOver float64 `json:"taken_over_s,omitempty"`

	Acked int64 `json:"acked_without_replica"` // only where the replica was away

	from, to time.Time
	killed   time.Time
	held     []delivery
}

// takenOver notes when the last of the deliveries in a dead node's hands was sent, by when each was first.
func (o *occurrence) takenOver(first []time.Time) {
	for _, at := range first {
		if !at.IsZero() {
			o.TakenOver = max(o.TakenOver, at.Sub(o.killed).Seconds())
		}
	}
}

// newChaos starts everything, in network namespaces where the machine allows it.
func newChaos(o options, w io.Writer) (_ *chaos, err error) {
	c := &chaos{options: o, w: w, rng: newRand(o, 1)}
	if c.network, err = newNetwork(nodes); err != nil {
		_, _ = fmt.Fprintf(w, "nodes have no network namespaces of their own, and lose no network: %v\n", err) // progress only
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.close())
		}
	}()
	if c.sink, err = startSink(c.host(), newRand(o, 3)); err != nil {
		return nil, err
	}
	if c.databases, err = startDatabases(); err != nil {
		return nil, err
	}
	secret := proc.NewSecret()
	for i := range nodes {
		n, err := c.newNode(i, secret)
		if err != nil {
			return nil, err
		}
		c.nodes = append(c.nodes, n)
	}
	for _, n := range c.nodes {
		if err := n.start(context.Background()); err != nil {
			return nil, err
		}
	}
	c.traffic = newTraffic(o, c.nodes, secret)
	c.began = time.Now()
	return c, nil
}

func (c *chaos) close() error {
	if c.traffic != nil {
		c.traffic.close()
	}
	for _, n := range c.nodes {
		n.close()
	}
	var err error
	if c.databases != nil {
		err = c.databases.close()
	}
	if c.sink != nil {
		c.sink.close()
	}
	if c.network != nil {
		err = errors.Join(err, c.network.close())
	}
	return err
}

// host is the address at which nodes reach the databases and the sink.
func (c *chaos) host() string {
	if c.network != nil {
		return c.network.host()
	}
	return "127.0.0.1"
}

// configFile is the nodes' file. Schedules are short, since the run is.
func configFile(secret, sink string, rate float64) string {
	endpoints, earning := "", ""
	for _, z := range zones {
		more := ""
		switch z.path {
		case slow: // wide enough for what comes, and never idle
			more = "        concurrency: 192\n"
		case paced:
			more = fmt.Sprintf("        rate: %.0f\n", pacedRate(rate))
		case once:
			more = "        once: true\n"
		}
		endpoints += fmt.Sprintf(`      %s:
        url: "http://%s%s?k={ymid}.{event_type}.{reward_event_type}&d={delivery_id}"
        filter: { zones: ["%s"] }
        allow_private: true
        schedule: ["1s", "1s", "2s"]
%s`, z.path[1:], sink, z.path, z.id, more)
		if z.earns {
			earning += fmt.Sprintf("%q, ", z.id)
		}
	}
	return fmt.Sprintf(`apps:
  bench:
    currencies: { coins: 0 }
    rules:
      watch:
        filter: { zones: [%s], event_types: [impression, click] }
        price: %d coins
        caps:
          - { per: [user, day], rewards: 1000000 }
    sources:
      monetag: { profile: monetag, ymid: view, secret: "%s" }
    endpoints:
%s      bank:
        sends: rewards
        url: "http://%s%s?k={reward_id}.{reward_state}&d={delivery_id}"
        allow_private: true
        schedule: ["1s", "1s", "2s"]
`, earning, price, secret, endpoints, sink, bank)
}

// pacedRate is the rate of the endpoint that has one, of all nodes together.
func pacedRate(rate float64) float64 {
	for _, z := range zones {
		if z.path == paced {
			return max(1, rate*float64(z.percent)/100*pacedOver)
		}
	}
	return 0
}

// localClient speaks to a node without a key, to whichever process it is at the moment.
func localClient(n *node) *http.Client { return proc.LocalClient(proc.DataDir(n.setup.Dir)) }

// run makes the faults, lets everything recover, and returns the accounts.
func (c *chaos) run(ctx context.Context) (*facts, error) {
	if err := c.follow(ctx); err != nil {
		return nil, c.explain(err)
	}
	c.traffic.finish()
	f := &facts{}
	began := time.Now()
	c.say("the load has ended; waiting for the last deliveries")
	if err := c.drain(ctx); err != nil {
		return nil, c.explain(err)
	}
	f.drained = time.Since(began)
	c.traffic.close()
	f.sums, f.entries, f.flowed = c.traffic.account()
	var err error
	if f.views, err = c.askForViews(ctx, f.entries); err != nil {
		return nil, c.explain(err)
	}
	if f.ledger, err = c.nodes[0].server.Ledger(ctx); err != nil {
		return nil, c.explain(err)
	}
	for _, n := range c.nodes {
		if err := n.server.Stop(time.Minute); err != nil {
			return nil, c.explain(err)
		}
	}
	if f.books, err = pgbooks.Read(ctx, c.databases.primary.AdminURL("carom")); err != nil {
		return nil, err
	}
	if f.open, err = c.openBreakers(ctx); err != nil {
		return nil, err
	}
	for _, o := range c.faults { // also of those whose node came back, or which another fault followed
		o.takenOver(c.sink.firstAfter(o.held, o.killed))
	}
	c.sink.close()
	f.arrivals, f.strange, f.pacedAt = c.sink.arrivals, c.sink.strange, c.sink.paced
	f.faults = c.faults
	f.logs, err = readLogs(c.Dir)
	return f, err
}

// explain adds the ends of the nodes' logs to an error.
func (c *chaos) explain(err error) error {
	for _, n := range c.nodes {
		if n.server != nil {
			err = fmt.Errorf("%w\n%s: %s", err, n.name, n.server.LogTail())
		}
	}
	return err
}

func (c *chaos) say(format string, args ...any) {
	_, _ = fmt.Fprintf(c.w, "%6.1f s  %s\n", time.Since(c.began).Seconds(), fmt.Sprintf(format, args...))
}

// drain waits until every postback was acknowledged or given up, nothing waits in the due table, and the endpoints have heard
// nothing for a while; or the time is over. What is missing then is for the check to explain.
func (c *chaos) drain(ctx context.Context) error {
	const quiet = 3 * time.Second
	db, err := c.databases.books()
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }() // only read
	limit := time.Now().Add(c.Drain)
	for before := int64(-1); time.Now().Before(limit); {
		if err := pause(ctx, quiet); err != nil {
			return err
		}
		var due int64
		if err := db.QueryRowContext(ctx, `SELECT count(*) FROM due`).Scan(&due); err != nil {
			return err
		}
		heard := c.sink.requests()
		if due == 0 && c.traffic.waiting() == 0 && heard == before {
			return nil
		}
		before = heard
	}
	return nil
}

// openBreakers are the numbers of the endpoints whose breaker is open.
func (c *chaos) openBreakers(ctx context.Context) (map[int]bool, error) {
	db, err := c.databases.books()
	if err != nil {
		return nil, err
	}
	defer func() { _ = db.Close() }() // only read
	rows, err := db.QueryContext(ctx, `SELECT endpoint, 0 FROM breakers`)
	if err != nil {
		return nil, err
	}
	list, err := scan(rows)
	out := map[int]bool{}
	for _, x := range list {
		out[int(x.place)] = true
	}
	return out, err
}

// askForViews asks for the states of views that were opened and whose paid event was acknowledged, some hundred of them.
func (c *chaos) askForViews(ctx context.Context, entries []entry) (map[carom.ViewID]string, error) {
	const most = 300
	out := map[carom.ViewID]string{}
	for _, e := range entries {
		if e.view == "" || !e.acked || e.value != carom.Valued || len(out) == most {
			continue
		}
		var v struct {
			State string `json:"state"`
		}
		if err := getJSON(ctx, c.nodes[len(out)%nodes], "/v1/views/"+string(e.view), &v); err != nil {
			return nil, err
		}
		out[e.view] = v.State
	}
	return out, nil
}

// newRand draws by the seed: one for each goroutine.
func newRand(o options, stream uint64) *rand.Rand { return rand.New(rand.NewPCG(o.Seed, stream)) }

// inFlight counts what may be sent twice because of a fault of some nodes: what the sink had accepted without the outcome being
// stored, and attempts that they had under way.
func (c *chaos) inFlight(ctx context.Context, underWay int) (int, error) {
	const window = 25 * time.Second // longer than any fault leaves an outcome waiting
	n, err := c.databases.unrecorded(ctx, c.sink.since(time.Now().Add(-window)))
	return n + underWay, err
}

// underWay asks nodes how many attempts they have under way.
func (c *chaos) underWay(ctx context.Context, list ...*node) (n int) {
	const name = "carom_attempts_in_flight"
	for _, x := range list {
		if x.running() {
			n += int(x.server.Counters(ctx, name)[name])
		}
	}
	return n
}

// between draws a time.
func (c *chaos) between(least, most time.Duration) time.Duration {
	return least + time.Duration(c.rng.Int64N(int64(most-least)))
}

// restartAfter starts a node again.
func (c *chaos) restartAfter(ctx context.Context, n *node, away time.Duration) error {
	if err := pause(ctx, away); err != nil {
		return err
	}
	return n.start(ctx)
}

// modes of restarting a database.
var modes = []pgtest.Mode{pgtest.Fast, pgtest.Immediate}
