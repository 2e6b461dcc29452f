package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"carom/internal/pgtest"
)

// fault is a kind of them, and how long it takes at most.
type fault struct {
	name  string
	takes time.Duration
	do    func(c *chaos, ctx context.Context, o *occurrence) error
}

// Less and more than a lease lasts, which is 10 s.
const (
	shortLeast, shortMost = time.Second, 6 * time.Second
	longLeast, longMost   = 12 * time.Second, 15 * time.Second
	lossOfLease           = 9 * time.Second // a moment before it: what is not recorded by then may be sent again
)

// Faults that are of interest alone, too.
var (
	deadNode    = fault{"node killed and taken over", 32 * time.Second, (*chaos).killForLong}
	restartsAll = fault{"all nodes restarted, one after another", 20 * time.Second, (*chaos).roll}
)

// kinds are drawn from.
var kinds = []fault{
	{"node killed, soon back", 8 * time.Second, func(c *chaos, ctx context.Context, o *occurrence) error {
		return c.kill(ctx, o, c.between(0, 3*time.Second), c.node(o))
	}},
	deadNode,
	{"two nodes killed", 10 * time.Second, func(c *chaos, ctx context.Context, o *occurrence) error {
		first := c.node(o)
		second := c.nodes[(slices.Index(c.nodes, first)+1)%nodes]
		o.Node += ", " + second.name
		return c.kill(ctx, o, c.between(0, 3*time.Second), first, second)
	}},
	{"node paused for less than its lease", 8 * time.Second, func(c *chaos, ctx context.Context, o *occurrence) error {
		return c.halt(ctx, o, c.between(shortLeast, shortMost))
	}},
	{"node paused for more than its lease", 18 * time.Second, func(c *chaos, ctx context.Context, o *occurrence) error {
		return c.halt(ctx, o, c.between(longLeast, longMost))
	}},
	{"node's connections to the database refused", 8 * time.Second, func(c *chaos, ctx context.Context, o *occurrence) error {
		return c.cutOff(ctx, o, refuse, c.between(shortLeast, shortMost))
	}},
	{"node cut off from the database for less than its lease", 8 * time.Second, func(c *chaos, ctx context.Context, o *occurrence) error {
		return c.cutOff(ctx, o, silent, c.between(shortLeast, shortMost))
	}},
	{"node cut off from the database for more than its lease", 18 * time.Second, func(c *chaos, ctx context.Context, o *occurrence) error {
		return c.cutOff(ctx, o, silent, c.between(longLeast, longMost))
	}},
	{"primary restarted", 8 * time.Second, func(c *chaos, ctx context.Context, o *occurrence) error {
		return c.ofDatabase(ctx, o, func() error { return c.databases.primary.Restart(modes[c.rng.IntN(len(modes))]) })
	}},
	{"primary killed, soon back", 10 * time.Second, func(c *chaos, ctx context.Context, o *occurrence) error {
		return c.ofDatabase(ctx, o, func() error {
			if err := c.databases.primary.Kill(); err != nil {
				return err
			}
			return errors.Join(pause(ctx, c.between(0, 3*time.Second)), c.databases.primary.Restart(pgtest.Immediate))
		})
	}},
	{"primary hangs", 6 * time.Second, func(c *chaos, ctx context.Context, o *occurrence) error {
		return c.ofDatabase(ctx, o, func() error {
			if err := c.databases.primary.Pause(); err != nil {
				return err
			}
			return errors.Join(pause(ctx, c.between(shortLeast, 4*time.Second)), c.databases.primary.Resume())
		})
	}},
	{"primary away for longer than the leases", 25 * time.Second, func(c *chaos, ctx context.Context, o *occurrence) error {
		return c.ofDatabase(ctx, o, func() error {
			if err := c.databases.primary.Stop(pgtest.Immediate); err != nil {
				return err
			}
			return errors.Join(pause(ctx, c.between(longLeast, longMost)), c.databases.primary.Restart(pgtest.Immediate))
		})
	}},
	{"node killed while the primary restarts", 12 * time.Second, func(c *chaos, ctx context.Context, o *occurrence) error {
		n := c.node(o)
		return c.ofDatabase(ctx, o, func() error {
			o.killed = time.Now()
			n.server.Kill()
			if err := c.databases.primary.Restart(pgtest.Immediate); err != nil {
				return err
			}
			return errors.Join(c.note(ctx, o, n), c.restartAfter(ctx, n, c.between(0, 2*time.Second)))
		})
	}},
}

// ofNetwork are drawn from as well, where each node has a network of its own.
var ofNetwork = []fault{
	{"node's network lost for less than its lease", 8 * time.Second, func(c *chaos, ctx context.Context, o *occurrence) error {
		return c.unplug(ctx, o, c.between(shortLeast, shortMost))
	}},
	{"node's network lost for more than its lease", 18 * time.Second, func(c *chaos, ctx context.Context, o *occurrence) error {
		return c.unplug(ctx, o, c.between(longLeast, longMost))
	}},
}

// What happens once, at parts of the run. Between them kinds are drawn.
var fixed = []struct {
	at    float64 // no drawn fault is under way any more
	fault fault
}{
	{0.03, deadNode},
	{0.40, fault{"replica away", 0, (*chaos).withoutReplica}},
	{0.52, fault{"primary lost for good, replica promoted", 0, (*chaos).failOver}},
	{0.85, restartsAll},
	{1, fault{}},
}

// alone are the faults that a run can be of: they can happen over and over.
var alone = slices.Concat([]fault{restartsAll}, kinds, ofNetwork)

// follow makes the faults, until the time of the load is over.
func (c *chaos) follow(ctx context.Context) error {
	if c.Only != "" {
		return c.repeat(ctx, alone[slices.IndexFunc(alone, func(x fault) bool { return x.name == c.Only })])
	}
	var bag []fault
	for _, x := range fixed {
		at := c.began.Add(time.Duration(x.at * float64(c.Duration)))
		for x.at > fixed[0].at && x.at < 1 {
			if len(bag) == 0 {
				bag = slices.Clone(kinds)
				if c.network != nil {
					bag = append(bag, ofNetwork...)
				}
				c.rng.Shuffle(len(bag), func(i, j int) { bag[i], bag[j] = bag[j], bag[i] })
			}
			i := slices.IndexFunc(bag, func(f fault) bool { return time.Until(at) > f.takes })
			if i < 0 {
				break
			}
			next := bag[i]
			bag = slices.Delete(bag, i, i+1)
			if err := c.make(ctx, next); err != nil {
				return err
			}
		}
		if err := pause(ctx, time.Until(at)); err != nil {
			return err
		}
		if x.fault.do != nil {
			if err := c.make(ctx, x.fault); err != nil {
				return err
			}
		}
	}
	return nil
}

// repeat makes one fault over and over, once at least, until the time of the load is over.
func (c *chaos) repeat(ctx context.Context, x fault) error {
	end := c.began.Add(c.Duration)
	for again := true; again; again = time.Until(end) > x.takes {
		if err := pause(ctx, c.between(time.Second, 2*time.Second)); err != nil {
			return err
		}
		if err := c.make(ctx, x); err != nil {
			return err
		}
	}
	return pause(ctx, time.Until(end))
}

// make makes one fault, and gives everybody some time to recover from it.
func (c *chaos) make(ctx context.Context, x fault) error {
	o := &occurrence{Name: x.name, from: time.Now(), At: time.Since(c.began).Seconds()}
	c.faults = append(c.faults, o)
	c.say("%s", x.name)
	err := x.do(c, ctx, o)
	o.to = time.Now()
	o.Lasts = o.to.Sub(o.from).Seconds()
	if err != nil {
		return fmt.Errorf("%s: %w", x.name, err)
	}
	more := ""
	if o.TakenOver > 0 {
		more = fmt.Sprintf("; of %d deliveries that it held the last was taken up after %.1f s", o.Held, o.TakenOver)
	}
	c.say("  over: %s %d in flight%s", o.Node, o.InFlight, more)
	for _, n := range c.nodes {
		if !n.running() {
			return fmt.Errorf("after %q %s has ended by itself", x.name, n.name)
		}
	}
	return pause(ctx, c.between(time.Second, 4*time.Second))
}

// node draws one.
func (c *chaos) node(o *occurrence) *node {
	n := c.nodes[c.rng.IntN(nodes)]
	o.Node = n.name
	return n
}

// kill ends nodes at once and starts them again after a while.
func (c *chaos) kill(ctx context.Context, o *occurrence, away time.Duration, list ...*node) (err error) {
	n := c.underWay(ctx, list...)
	o.killed = time.Now()
	for _, x := range list {
		x.server.Kill()
	}
	if err := c.note(ctx, o, list...); err != nil {
		return err
	}
	if o.InFlight, err = c.inFlight(ctx, n); err != nil {
		return err
	}
	for _, x := range list {
		if err := c.restartAfter(ctx, x, away); err != nil {
			return err
		}
		away = 0
	}
	return nil
}

// note takes down what nodes that were killed had in their hands.
func (c *chaos) note(ctx context.Context, o *occurrence, list ...*node) error {
	for _, x := range list {
		held, err := c.databases.held(ctx, x.name)
		if err != nil {
			return err
		}
		o.held = append(o.held, held...)
	}
	o.Held = len(o.held)
	return nil
}

// killForLong kills a node that has something in its hands, and starts it again when others have taken up what it held.
func (c *chaos) killForLong(ctx context.Context, o *occurrence) error {
	const lookFor = 20 * time.Second
	x := c.node(o)
	if err := c.untilItHolds(ctx, x); err != nil {
		return err
	}
	n := c.underWay(ctx, x)
	o.killed = time.Now()
	x.server.Kill()
	if err := c.note(ctx, o, x); err != nil {
		return err
	}
	var err error
	if o.InFlight, err = c.inFlight(ctx, n); err != nil {
		return err
	}
	for time.Since(o.killed) < lookFor {
		left, err := c.databases.without(ctx, o.held) // what must not be repeated ends without an attempt
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(c.sink.firstAfter(left, o.killed), time.Time.IsZero) {
			break
		}
		if err := pause(ctx, 200*time.Millisecond); err != nil {
			return err
		}
	}
	o.takenOver(c.sink.firstAfter(o.held, o.killed))
	return x.start(ctx)
}

// untilItHolds waits until a node has some deliveries in its hands: one that has just joined leaves all to others. It gives up after a while.
func (c *chaos) untilItHolds(ctx context.Context, x *node) error {
	const some, waitFor = 5, 10 * time.Second
	for end := time.Now().Add(waitFor); time.Now().Before(end); {
		held, err := c.databases.held(ctx, x.name)
		if err != nil || len(held) >= some {
			return err
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// halt stops a node's process for a while.
func (c *chaos) halt(ctx context.Context, o *occurrence, lasts time.Duration) (err error) {
	x := c.node(o)
	n := c.underWay(ctx, x)
	if err := halt(x.server.Pid()); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, proceed(x.server.Pid())) }()
	if o.InFlight, err = c.inFlight(ctx, n); err != nil {
		return err
	}
	return pause(ctx, time.Until(o.from.Add(lasts)))
}

// cutOff keeps a node from the database for a while.
func (c *chaos) cutOff(ctx context.Context, o *occurrence, how cut, lasts time.Duration) error {
	x := c.node(o)
	n := c.underWay(ctx, x)
	x.cut(how, c.databases)
	defer x.cut(open, c.databases)
	if err := pause(ctx, min(lasts, lossOfLease)); err != nil {
		return err
	}
	var err error
	if o.InFlight, err = c.inFlight(ctx, n); err != nil {
		return err
	}
	return pause(ctx, time.Until(o.from.Add(lasts)))
}

// unplug keeps a node from everything for a while: the database, the endpoints, and those who send it postbacks.
func (c *chaos) unplug(ctx context.Context, o *occurrence, lasts time.Duration) (err error) {
	x := c.node(o)
	if c.network == nil {
		return errors.New("the nodes have no networks of their own")
	}
	n := c.underWay(ctx, x)
	if err := c.network.unplug(x.number, true); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.network.unplug(x.number, false)) }()
	if err := pause(ctx, min(lasts, lossOfLease)); err != nil {
		return err
	}
	if o.InFlight, err = c.inFlight(ctx, n); err != nil {
		return err
	}
	return pause(ctx, time.Until(o.from.Add(lasts)))
}

// ofDatabase makes a fault of the database, which is over when it answers again.
func (c *chaos) ofDatabase(ctx context.Context, o *occurrence, do func() error) error {
	n := c.underWay(ctx, c.nodes...)
	err := do()
	if err == nil {
		o.InFlight, err = c.inFlight(ctx, n)
	}
	return err
}

// withoutReplica ends the replica for a while. Nothing may be acknowledged: it might be lost with the primary.
func (c *chaos) withoutReplica(ctx context.Context, o *occurrence) error {
	const settles = time.Second // what was committed before it went is being answered
	n := c.underWay(ctx, c.nodes...)
	if err := c.databases.second.Stop(pgtest.Fast); err != nil {
		return err
	}
	if err := pause(ctx, settles); err != nil {
		return err
	}
	before := c.traffic.ackedSoFar()
	err := pause(ctx, c.between(4*time.Second, 7*time.Second))
	o.Acked = c.traffic.ackedSoFar() - before
	flight, err2 := c.inFlight(ctx, n)
	o.InFlight = flight
	return errors.Join(err, err2, c.databases.second.Restart(pgtest.Fast))
}

// failOver loses the primary and promotes the replica, as an operator or a watchdog does after some seconds. The machine of the
// primary has gone with it: nobody tells the nodes that their connections are of no use any more.
func (c *chaos) failOver(ctx context.Context, o *occurrence) error {
	return c.ofDatabase(ctx, o, func() error {
		for _, n := range c.nodes {
			n.ways[0].set(silent)
		}
		return c.databases.failOver(func() error { return pause(ctx, c.between(time.Second, 4*time.Second)) })
	})
}

// roll restarts every node in order, as an upgrade does. Nothing is in flight at such a restart: nothing may be sent twice for it.
func (c *chaos) roll(ctx context.Context, _ *occurrence) error {
	for _, n := range c.nodes {
		if err := n.server.Stop(time.Minute); err != nil {
			return err
		}
		if err := n.start(ctx); err != nil {
			return err
		}
		if err := pause(ctx, time.Second); err != nil {
			return err
		}
	}
	return nil
}

// getJSON asks a node, which needs no key.
func getJSON(ctx context.Context, n *node, path string, out any) error {
	client := localClient(n)
	defer client.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost"+path, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }() // it has been read to its end
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s answered %s: %s", path, resp.Status, text)
	}
	if err != nil {
		return err
	}
	return json.Unmarshal(text, out)
}
