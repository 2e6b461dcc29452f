package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"carom"
	"carom/bench/load"
)

// zones are those of the load, with their parts of a hundred events, the endpoint that gets their events, and whether these earn.
var zones = []struct {
	id      string
	percent int
	path    string
	earns   bool
}{
	{"1001", 45, healthy, false},
	{"1002", 15, slow, false},
	{"1003", 20, unsteady, true},
	{"1004", 8, paced, false},
	{"1005", 12, once, true},
}

// pacedOver is by how much the shared rate of its endpoint exceeds what comes in, so that what waited in a fault drains.
const pacedOver = 2

// price is what a view in a zone that earns is paid.
const price = 5

// entry is one event as its senders know it.
type entry struct {
	ymid  string
	zone  uint8 // index in zones
	event carom.EventType
	value carom.RewardEventType
	view  carom.ViewID // it was opened beforehand; empty: it was not
	acked bool
}

func (e *entry) key() string { return keyOf(e.ymid, e.event, e.value) }

// keyOf is what makes two events the same one, as the endpoints are told.
func keyOf(ymid string, event carom.EventType, value carom.RewardEventType) string {
	return ymid + "." + string(event) + "." + string(value)
}

// sums are the senders' account.
type sums struct {
	Sent     int64         `json:"sent"`     // postbacks, as their senders count: what the balancer repeats is one
	Acked    int64         `json:"acked"`    // of them
	Moved    int64         `json:"moved"`    // tries that the balancer made at another node
	Statuses map[int]int64 `json:"statuses"` // of tries
	Broken   int64         `json:"broken"`   // tries without an answer
	Repeated int64         `json:"repeated"` // postbacks that a sender sent again, since they were not acknowledged
	GaveUp   int64         `json:"gave_up"`  // events whose sender never repeats
}

// How the senders and the balancer behave.
const (
	tryPatience = 3 * time.Second // of the balancer, with one node
	connectIn   = time.Second
	avoidFor    = time.Second      // a node that did not answer
	repeatAfter = time.Second      // of a sender, with what was not acknowledged
	givesUp     = 0.05             // of them never repeat
	waits       = 15 * time.Second // of load that waits for a free sender: networks do not stop to send for a fault
	margin      = 1.05             // by how much more is sent than is asked for, since some of it are copies
)

// traffic sends postbacks through a balancer, and keeps account of the answers.
type traffic struct {
	nodes  []*node
	secret string
	rate   float64
	prefix string
	work   chan int // numbers of entries
	cancel context.CancelFunc
	wg     sync.WaitGroup
	next   atomic.Uint64  // of the balancer: which node's turn it is
	avoid  []atomic.Int64 // by node, until when; Unix nanoseconds

	mu      sync.Mutex // guards what follows
	rng     *rand.Rand
	flows   bool
	since   time.Time
	before  time.Duration // it flowed before that
	steps   float64
	sums    sums
	entries []entry
	unsure  []repeat // oldest first
	opened  []opened // views that wait for their ad
	busy    int      // postbacks handed to senders and not decided
}

type repeat struct {
	due   time.Time
	entry int
}

type opened struct {
	view carom.ViewID
	ymid string
}

// newTraffic starts the pacer and the senders. It flows at once.
func newTraffic(o options, nodes []*node, secret string) *traffic {
	ctx, cancel := context.WithCancel(context.Background())
	t := &traffic{
		nodes: nodes, secret: secret, rate: o.Rate, prefix: fmt.Sprintf("x%08x", uint32(o.Seed)), work: make(chan int, int(o.Rate*waits.Seconds())), cancel: cancel,
		avoid: make([]atomic.Int64, len(nodes)), rng: newRand(o, 2), flows: true, since: time.Now(),
	}
	t.sums.Statuses = map[int]int64{}
	t.wg.Go(func() { t.pace(ctx) })
	t.wg.Go(func() { t.openViews(ctx) })
	for range o.Senders {
		t.wg.Go(func() { t.send(ctx) })
	}
	return t
}

// finish ends the flow of new events; what was not acknowledged is still repeated.
func (t *traffic) finish() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.flows, t.before = false, time.Since(t.since)
}

// waiting is how many postbacks are not acknowledged and will be repeated, or are under way.
func (t *traffic) waiting() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.unsure) + t.busy
}

func (t *traffic) close() {
	t.cancel()
	t.wg.Wait()
}

// pace hands as many postbacks to the senders as the rate asks for, a few milliseconds' worth at a time.
func (t *traffic) pace(ctx context.Context) {
	tick := time.NewTicker(2 * time.Millisecond)
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

func (t *traffic) due(now time.Time) (out []int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	const most = 64 // repeats of a long fault come bit by bit, as from many senders
	for len(t.unsure) > 0 && !t.unsure[0].due.After(now) && len(out) < most {
		out = append(out, t.unsure[0].entry)
		t.unsure = t.unsure[1:]
		t.sums.Repeated++
	}
	if t.flows {
		for want := now.Sub(t.since).Seconds() * t.rate * margin; t.steps < want; t.steps++ {
			out = t.step(out)
		}
	}
	t.busy += len(out)
	return out
}

// step appends what one step sends: mostly one new event; at times copies in parallel, an old one again, a second event of a view,
// or an unpaid one right before the paid one. The caller holds mu.
func (t *traffic) step(out []int) []int {
	switch x := t.rng.Float64(); {
	case x < 0.02:
		i := t.add(carom.Impression, carom.Valued)
		return append(out, i, i, i)
	case x < 0.03 && len(t.entries) > 0:
		return append(out, t.rng.IntN(len(t.entries)))
	case x < 0.06 && len(t.entries) > 0:
		e := t.entries[len(t.entries)-1]
		if e.event != carom.Impression || e.value != carom.Valued {
			break
		}
		e.event, e.acked = carom.Click, false
		t.entries = append(t.entries, e)
		return append(out, len(t.entries)-1)
	case x < 0.09:
		i := t.add(carom.Impression, carom.NotValued)
		paid := t.entries[i]
		paid.value = carom.Valued
		t.entries = append(t.entries, paid)
		return append(out, i, i+1)
	}
	return append(out, t.add(carom.Impression, carom.Valued))
}

// add makes an event of a new view, of one that was opened if there is one. The caller holds mu.
func (t *traffic) add(event carom.EventType, value carom.RewardEventType) int {
	n := len(t.entries)
	e := entry{ymid: fmt.Sprintf("%s-%08d", t.prefix, n), event: event, value: value}
	chance := t.rng.IntN(100)
	for i, z := range zones {
		if chance -= z.percent; chance < 0 {
			e.zone = uint8(i)
			break
		}
	}
	if len(t.opened) > 0 && zones[e.zone].earns {
		e.view, e.ymid = t.opened[0].view, t.opened[0].ymid
		t.opened = t.opened[1:]
	}
	t.entries = append(t.entries, e)
	return n
}

// userOf is to whom a view is shown. Views that are opened are of one user.
const openUser = "7000000000"

func (e *entry) user() string {
	if e.view != "" {
		return openUser
	}
	n := 0
	for _, c := range []byte(e.ymid) {
		n = (n*31 + int(c)) % 2000
	}
	return fmt.Sprint(7_000_000_001 + n)
}

// balanced is the connections of one sender, one to each node.
type balanced []*load.Conn

// send is one sender.
func (t *traffic) send(ctx context.Context) {
	conns := make(balanced, len(t.nodes))
	defer func() {
		for _, c := range conns {
			if c != nil {
				c.Close()
			}
		}
	}()
	for {
		select {
		case i := <-t.work:
			t.note(i, t.balance(ctx, conns, t.request(i)))
		case <-ctx.Done():
			return
		}
	}
}

// request formats the postback of entry i as Monetag sends it.
func (t *traffic) request(i int) []byte {
	t.mu.Lock()
	e := t.entries[i]
	t.sums.Sent++
	t.mu.Unlock()
	return fmt.Appendf(nil, "GET /in/bench/monetag/%s?ymid=%s&zone_id=%s&sub_zone_id=8790479&request_var=bonus-btn&telegram_id=%s"+
		"&event_type=%s&reward_event_type=%s&estimated_price=0.0023 HTTP/1.1\r\nHost: carom\r\nUser-Agent: carom-chaos\r\n\r\n",
		t.secret, e.ymid, zones[e.zone].id, e.user(), e.event, e.value)
}

// balance tries the nodes in turn until one answers anything but "try later", and says whether that was 200. A node that does not
// answer is left out for a while, as long as there are others.
func (t *traffic) balance(ctx context.Context, conns balanced, request []byte) bool {
	first := int(t.next.Add(1))
	order := make([]int, 0, 2*len(t.nodes))
	var avoided []int
	for i := range t.nodes {
		n := (first + i) % len(t.nodes)
		if time.Now().UnixNano() < t.avoid[n].Load() {
			avoided = append(avoided, n)
		} else {
			order = append(order, n)
		}
	}
	for i, n := range append(order, avoided...) {
		status, err := t.try(ctx, conns, n, request)
		t.mu.Lock()
		switch {
		case err != nil:
			t.sums.Broken++
		default:
			t.sums.Statuses[status]++
		}
		if i > 0 {
			t.sums.Moved++
		}
		t.mu.Unlock()
		if err != nil {
			t.avoid[n].Store(time.Now().Add(avoidFor).UnixNano())
			continue
		}
		if status < 500 && status != http.StatusTooManyRequests {
			return status == http.StatusOK
		}
	}
	return false
}

// try sends the request to one node. A kept connection that the node has closed meanwhile says nothing of the node.
func (t *traffic) try(ctx context.Context, conns balanced, n int, request []byte) (status int, err error) {
	if conns[n] == nil {
		dialing, cancel := context.WithTimeout(ctx, connectIn)
		defer cancel()
		if conns[n], err = load.Dial(dialing, t.nodes[n].setup.Listen); err != nil {
			conns[n] = nil
			return 0, err
		}
		conns[n].Patience = tryPatience
	}
	status, err = conns[n].Do(time.Now(), request)
	if err != nil || conns[n].Closing() {
		conns[n].Close()
		conns[n] = nil
	}
	return status, err
}

// note takes the answer to a postback into the account.
func (t *traffic) note(i int, acked bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.busy--
	switch {
	case acked:
		t.sums.Acked++
		t.entries[i].acked = true
	case t.entries[i].acked: // a copy
	case t.rng.Float64() < givesUp:
		t.sums.GaveUp++
	default:
		t.unsure = append(t.unsure, repeat{time.Now().Add(repeatAfter), i})
	}
}

// openViews opens some views a second, for the postbacks to come, at any node that does it.
func (t *traffic) openViews(ctx context.Context) {
	const perSecond = 20
	tick := time.NewTicker(time.Second / perSecond)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		v, err := t.openView(ctx, t.nodes[n%len(t.nodes)])
		if err != nil {
			continue // the next one is another node's turn
		}
		t.mu.Lock()
		t.opened = append(t.opened, v)
		t.mu.Unlock()
	}
}

func (t *traffic) openView(ctx context.Context, n *node) (v opened, err error) {
	ctx, cancel := context.WithTimeout(ctx, tryPatience)
	defer cancel()
	client := localClient(n)
	defer client.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://localhost/v1/views", strings.NewReader(`{"app":"bench","user":"`+openUser+`","expires_in":"1h"}`))
	if err != nil {
		return v, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return v, err
	}
	defer func() { _ = resp.Body.Close() }() // it has been read to its end
	var body bytes.Buffer
	if _, err := body.ReadFrom(resp.Body); err != nil {
		return v, err
	}
	if resp.StatusCode/100 != 2 {
		return v, errors.New(resp.Status)
	}
	var answer struct {
		ViewID carom.ViewID `json:"view_id"`
		YMID   string       `json:"ymid"`
	}
	err = json.Unmarshal(body.Bytes(), &answer)
	return opened{answer.ViewID, answer.YMID}, err
}

// account returns the senders' account. Call it after close.
func (t *traffic) account() (sums, []entry, time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.sums, slices.Clip(t.entries), t.before
}

// ackedSoFar is how many postbacks were acknowledged until now.
func (t *traffic) ackedSoFar() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.sums.Acked
}
