package deliver

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/url"
	"sync"
	"time"

	"carom"
	"carom/internal/egress"
)

// answer is how the fake receiver behaves once.
type answer struct {
	status     int
	body       string
	retryAfter string
	took       time.Duration // longer than the timeout: it hangs
	err        error
	phase      egress.Phase
	notSent    bool
	panics     bool
}

// exchange is one request as the fake client saw it.
type exchange struct {
	at       time.Time
	endpoint string // host of the URL
	id       carom.DeliveryID
	path     string
}

// fakeClient answers by a script and keeps what it was asked.
type fakeClient struct {
	script func(x exchange) answer
	store  *fakeStore

	mu     sync.Mutex // guards all below
	log    []exchange
	now    map[string]int // under way, by host
	peaks  map[string]int
	total  int
	peak   int
	under  map[carom.DeliveryID]bool
	shut   chan struct{}
	closed bool
}

func (c *fakeClient) Do(_ context.Context, _ egress.Policy, r egress.Request, o egress.Options) egress.Result {
	u, err := url.Parse(r.URL)
	if err != nil {
		panic(err)
	}
	x := exchange{at: time.Now(), endpoint: u.Host, id: carom.DeliveryID(u.Query().Get("d")), path: u.Path}
	c.begin(x)
	defer c.end(x)
	a := c.script(x)
	if a.panics {
		panic("the script says so")
	}
	if a.took > 0 {
		select {
		case <-time.After(min(a.took, o.Timeout)):
		case <-c.shut:
			return egress.Result{Err: egress.ErrClosed, Phase: egress.PhaseCanceled, Sent: true}
		}
	}
	switch {
	case a.took > o.Timeout:
		return egress.Result{Err: errors.New("not done in time"), Phase: egress.PhaseTimeout, Sent: true}
	case a.err != nil:
		return egress.Result{Err: a.err, Phase: a.phase, Sent: !a.notSent}
	}
	return egress.Result{Status: cmp.Or(a.status, http.StatusOK), Body: []byte(a.body), RetryAfter: a.retryAfter, Sent: true}
}

func (c *fakeClient) begin(x exchange) {
	ended := c.store.state(x.id)
	c.mu.Lock()
	defer c.mu.Unlock()
	if ended != carom.Pending {
		c.store.mu.Lock()
		c.store.breach("%s: attempted after it ended as %s", x.id, ended)
		c.store.mu.Unlock()
	}
	if c.under[x.id] {
		c.store.mu.Lock()
		c.store.breach("%s: attempted twice at the same time", x.id)
		c.store.mu.Unlock()
	}
	c.under[x.id] = true
	c.log = append(c.log, x)
	c.now[x.endpoint]++
	c.peaks[x.endpoint] = max(c.peaks[x.endpoint], c.now[x.endpoint])
	c.total++
	c.peak = max(c.peak, c.total)
}

func (c *fakeClient) end(x exchange) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.under, x.id)
	c.now[x.endpoint]--
	c.total--
}

func (c *fakeClient) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.closed = true
		close(c.shut)
	}
}

// most is how many exchanges with a host there were at the same time; "" means all together.
func (c *fakeClient) most(host string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if host == "" {
		return c.peak
	}
	return c.peaks[host]
}

// seen returns the exchanges with one host so far; "" means all.
func (c *fakeClient) seen(host string) []exchange {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []exchange
	for _, x := range c.log {
		if host == "" || x.endpoint == host {
			out = append(out, x)
		}
	}
	return out
}
