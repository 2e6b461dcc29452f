package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"carom/bench/load"
)

// key is what makes two events the same one: the dedupe key of a Monetag source whose ymid is unique, without the source.
type key struct{ ymid, zone, event, value string }

// entry is one event as its senders know it.
type entry struct {
	key
	sent  int // postbacks, copies included
	acked int // of them answered 200
}

// sent is the senders' account.
type sent struct {
	entries   []entry
	postbacks int64
	acked     int64
	refused   map[int]int64 // by status
	unknown   int64         // without an answer: the server may or may not have stored it
}

// margin is by how much the traffic exceeds the rate asked for, so that the rate is reached although some steps repeat old
// events and the last postbacks before a kill get no answer.
const margin = 1.3

// traffic sends postbacks while it is told to, and keeps account of the answers.
type traffic struct {
	addr, secret string
	rate         float64
	prefix       string     // of every ymid of this run
	rng          *rand.Rand // of the pacer
	work         chan int   // numbers of entries; the pacer sends, senders receive
	cancel       context.CancelFunc
	wg           sync.WaitGroup

	mu       sync.Mutex // guards what follows
	since    time.Time  // running since; zero while stopped
	steps    float64    // made since then
	sums     sent
	reversed map[viewKey]bool
	unsure   []int // entries whose postback got no answer or was asked to come later
}

// newTraffic starts the pacer and the senders; nothing is sent before run.
func newTraffic(o options, addr, secret string) *traffic {
	ctx, cancel := context.WithCancel(context.Background())
	t := &traffic{
		addr: addr, secret: secret, rate: o.Rate, cancel: cancel, prefix: fmt.Sprintf("c%08x", uint32(o.Seed)),
		rng: rand.New(rand.NewPCG(o.Seed, 2)), work: make(chan int, o.Senders), reversed: map[viewKey]bool{},
	}
	t.sums.refused = map[int]int64{}
	t.wg.Go(func() { t.pace(ctx) })
	for range o.Senders {
		t.wg.Go(func() { t.send(ctx) })
	}
	return t
}

// close ends pacer and senders. A second call does nothing.
func (t *traffic) close() {
	t.cancel()
	t.wg.Wait()
}

// run lets the traffic flow.
func (t *traffic) run(now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.since, t.steps = now, 0
}

// stop ends the flow and returns how long it lasted.
func (t *traffic) stop() time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	d := time.Since(t.since)
	t.since = time.Time{}
	return d
}

// pace makes as many steps as the rate asks for, a millisecond's worth at a time.
func (t *traffic) pace(ctx context.Context) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for _, i := range t.due(time.Now()) {
			select {
			case t.work <- i:
			case <-ctx.Done():
				return
			}
		}
	}
}

// due returns the postbacks that are to be sent by now.
func (t *traffic) due(now time.Time) []int {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.since.IsZero() {
		return nil
	}
	var out []int
	for want := now.Sub(t.since).Seconds() * t.rate * margin; t.steps < want; t.steps++ {
		out = t.step(out)
	}
	return out
}

// step appends what one step sends: mostly one new event; at times copies in parallel, a repeat of an old event, a second
// event of the same view, or a postback that got no answer. The caller holds mu.
func (t *traffic) step(out []int) []int {
	a := &t.sums
	switch x := t.rng.Float64(); {
	case x < 0.05: // three copies, which different senders take at once
		i := t.add("impression", "valued")
		return append(out, i, i, i)
	case x < 0.10 && len(a.entries) > 0: // long after, perhaps from before the last kills
		return append(out, t.rng.IntN(len(a.entries)))
	case x < 0.14 && len(a.entries) > 0: // a click on the view shown last
		k := a.entries[len(a.entries)-1].key
		if k.event != "impression" || k.value != "valued" {
			break
		}
		k.event = "click"
		a.entries = append(a.entries, entry{key: k})
		return append(out, len(a.entries)-1)
	case x < 0.16: // the unpaid event of a view comes before the paid one
		i := t.add("impression", "not_valued")
		paid := a.entries[i].key
		paid.value = "valued"
		a.entries = append(a.entries, entry{key: paid})
		return append(out, i, i+1)
	case x < 0.17 && len(a.entries) > 0: // the network takes a view back, often before it was paid, or one that it never named
		k := a.entries[max(0, len(a.entries)-1-t.rng.IntN(1000))].key
		if t.reversed[k.view()] {
			break
		}
		t.reversed[k.view()] = true
		a.entries = append(a.entries, entry{key: key{k.ymid, k.zone, "reversal", ""}})
		return append(out, len(a.entries)-1)
	case x < 0.30 && len(t.unsure) > 0: // a network repeats what was not acknowledged
		i := t.unsure[0]
		t.unsure = t.unsure[1:]
		return append(out, i)
	}
	return append(out, t.add("impression", "valued"))
}

// add makes an event of a new view. The caller holds mu.
func (t *traffic) add(event, value string) int {
	a := &t.sums
	n := len(a.entries)
	a.entries = append(a.entries, entry{key: key{fmt.Sprintf("%s-%08d", t.prefix, n), "8790478", event, value}})
	return n
}

// send is one sender: it takes postbacks and sends them over its own connection, connecting anew whenever it must.
func (t *traffic) send(ctx context.Context) {
	var conn *load.Conn
	defer func() {
		if conn != nil {
			conn.Close()
		}
	}()
	for {
		var i int
		select {
		case i = <-t.work:
		case <-ctx.Done():
			return
		}
		for conn == nil {
			var err error
			if conn, err = load.Dial(ctx, t.addr); err == nil {
				break
			}
			if pause(ctx, 2*time.Millisecond) != nil {
				return
			}
		}
		status, err := conn.Do(time.Now(), t.request(i))
		t.note(i, status, err)
		if err != nil || conn.Closing() {
			conn.Close()
			conn = nil
		}
	}
}

// request formats the postback of entry i as Monetag sends it.
func (t *traffic) request(i int) []byte {
	t.mu.Lock()
	k := t.sums.entries[i].key
	t.sums.entries[i].sent++
	t.sums.postbacks++
	t.mu.Unlock()
	return fmt.Appendf(nil, "GET /in/bench/monetag/%s?ymid=%s&zone_id=%s&sub_zone_id=8790479&request_var=bonus-btn&telegram_id=%d"+
		"&event_type=%s&reward_event_type=%s&estimated_price=0.0023 HTTP/1.1\r\nHost: %s\r\nUser-Agent: carom-crash\r\n\r\n",
		t.secret, k.ymid, k.zone, userOf(k.ymid), k.event, k.value, t.addr)
}

// note takes an answer into the account. Only a 200 that arrived in full acknowledges.
func (t *traffic) note(i, status int, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	a := &t.sums
	switch {
	case err != nil:
		a.unknown++
		t.unsure = append(t.unsure, i)
	case status == http.StatusOK:
		a.acked++
		a.entries[i].acked++
	default:
		a.refused[status]++
		t.unsure = append(t.unsure, i)
	}
}

// acknowledged returns how many postbacks were answered 200.
func (t *traffic) acknowledged() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.sums.acked
}

// acknowledgedKeys returns the keys of the events that were answered 200 at least once.
func (t *traffic) acknowledgedKeys() []key {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []key
	for _, e := range t.sums.entries {
		if e.acked > 0 {
			out = append(out, e.key)
		}
	}
	return out
}

// account returns the senders' account. Call it after close.
func (t *traffic) account() sent {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.sums
}
