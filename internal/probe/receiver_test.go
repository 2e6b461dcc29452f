package probe

import (
	"context"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"carom"
)

const secret = "s3cret-of-the-test"

// mistakes are those of a receiver; the zero value has none.
type mistakes struct {
	byPrice bool // no mistake: it pays the price instead of one coin
	byLabel bool // no mistake: its ymids are users, and the label tells views apart

	noSecret, optionalSecret           bool
	duplicate                          int // the status for a copy; zero: 200
	paysCopies, races, paysBoth        bool
	marksUnpaid, paysUnpaid, paysAlien bool
	onlyEvent, rejectsYes              bool
	cents, anyAmount, floats, negative bool
	literal, catchAll                  bool
	hangUpLoses, overwrites            bool
	redirect, slow, breaks, compressed bool
	limit                              int // postbacks until 429
	echoes                             bool
	neverPays, wordPrice               bool
}

// receiver is a right one whose mistakes are planted: each of them is one field. It keeps its books in memory.
type receiver struct {
	mu       sync.Mutex // guards all below, unless a mistake leaves it out
	seen     map[string]bool
	balances map[string]*big.Rat
	invalid  map[string]string // balances that are no number any more
	calls    int

	broken     chan struct{} // closed when a request that is broken off has been marked as seen
	brokenOnce sync.Once

	mistakes
}

// testServer is a receiver that runs.
type testServer struct {
	*httptest.Server
	*receiver
}

func newReceiver(t *testing.T, m mistakes) testServer {
	t.Helper()
	r := &receiver{mistakes: m, seen: map[string]bool{}, balances: map[string]*big.Rat{}, invalid: map[string]string{}, broken: make(chan struct{})}
	mux := http.NewServeMux()
	mux.Handle("/postback", r)
	mux.HandleFunc("/balance/{user}", r.balance)
	if r.catchAll {
		mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<!doctype html>") })
	}
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	return testServer{srv, r}
}

// hungUp waits until the request that was broken off has come: on a busy machine its repeat might overtake it.
func (r *receiver) hungUp(ctx context.Context) {
	select {
	case <-r.broken:
	case <-ctx.Done():
	}
}

// came notes a request that is broken off. It alone keeps its connection open.
func (r *receiver) came(req *http.Request) {
	if !req.Close {
		r.brokenOnce.Do(func() { close(r.broken) })
	}
}

func (r *receiver) balance(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	user := req.PathValue("user")
	if text := r.invalid[user]; text != "" {
		_, _ = io.WriteString(w, text)
		return
	}
	n := r.balances[user]
	if n == nil {
		http.NotFound(w, req)
		return
	}
	_, _ = io.WriteString(w, amount(n))
}

// ServeHTTP implements http.Handler.
func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	defer r.came(req) // also when it is refused
	status, text := r.take(w, req)
	switch {
	case r.redirect:
		http.Redirect(w, req, req.URL.String(), http.StatusFound)
		return
	case r.echoes:
		text += " " + req.URL.String() + req.URL.Query().Get("token")
	case r.compressed:
		w.Header().Set("Content-Encoding", "gzip")
	}
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text)
}

// take judges a postback and pays for it.
func (r *receiver) take(_ http.ResponseWriter, req *http.Request) (status int, text string) {
	if r.slow {
		<-req.Context().Done()
	}
	r.mu.Lock()
	r.calls++
	over := r.limit > 0 && r.calls > r.limit
	r.mu.Unlock()
	if over {
		return http.StatusTooManyRequests, "slow down"
	}
	q := req.URL.Query()
	token := q.Get("token")
	if !r.noSecret && token != secret && !(r.optionalSecret && token == "") {
		return http.StatusForbidden, "forbidden"
	}
	if r.breaks && strings.ContainsAny(q.Get("ymid"), `'"`) {
		return http.StatusInternalServerError, "syntax error"
	}
	event, value, ymid := q.Get("event_type"), q.Get("reward_event_type"), q.Get("ymid")
	if r.onlyEvent {
		event, value = q.Get("event"), q.Get("value")
	}
	if event != "impression" && event != "click" {
		return http.StatusOK, "ignored"
	}
	user, _, _ := strings.Cut(ymid, ".")
	if user == "" || !r.literal && strings.HasPrefix(ymid, "{") {
		return http.StatusOK, "ignored"
	}
	if r.rejectsYes && value == "yes" {
		return http.StatusBadRequest, "unknown value"
	}
	paid := value == "valued" || value == "yes" || value == "1" || r.paysUnpaid ||
		r.paysAlien && value != "not_valued" && value != "non_valued" && value != "no" && value != "0"
	if !paid && !r.marksUnpaid {
		return http.StatusOK, "unpaid"
	}
	return r.payOnce(req, user, event, ymid, paid)
}

func (r *receiver) payOnce(req *http.Request, user, event, ymid string, paid bool) (status int, text string) {
	key := ymid
	if r.byLabel {
		key += " " + req.URL.Query().Get("label")
	}
	if r.paysBoth {
		key += event
	}
	r.mu.Lock()
	known := r.seen[key]
	if r.races { // it asks first and marks later, as two statements do
		r.mu.Unlock()
		pause(req.Context(), 20*time.Millisecond)
		r.mu.Lock()
	}
	r.seen[key] = true
	r.mu.Unlock()
	r.came(req)
	switch {
	case known && r.duplicate != 0:
		return r.duplicate, "duplicate"
	case known && !r.paysCopies:
		return http.StatusOK, "OK, before"
	case !paid || r.neverPays:
		return http.StatusOK, "unpaid"
	}
	if r.hangUpLoses && !req.Close { // the others would wait in vain
		<-req.Context().Done()
		return http.StatusInternalServerError, "cancelled"
	}
	r.credit(req.Context(), user, req.URL.Query().Get("estimated_price"))
	return http.StatusOK, "OK"
}

// credit adds to a balance: a coin, or the price within bounds.
func (r *receiver) credit(ctx context.Context, user, price string) {
	add := big.NewRat(1, 1)
	if r.byPrice {
		n, _, err := carom.ParseNanos(price)
		switch {
		case err == nil && (n >= 0 || r.negative) && n <= 10_000_000_000:
			add = big.NewRat(int64(n), 1_000_000_000)
		case r.anyAmount && err != nil && strings.HasPrefix(price, "1"):
			add, _ = new(big.Rat).SetString(price)
		case r.anyAmount && err == nil:
			add = big.NewRat(int64(n), 1_000_000_000)
		case r.wordPrice && err != nil && !strings.HasPrefix(price, "1"):
			r.mu.Lock()
			r.invalid[user] = "NaN"
			r.mu.Unlock()
			return
		default:
			return
		}
	}
	if r.cents {
		text := add.FloatString(4)
		add, _ = new(big.Rat).SetString(text)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	have := r.balances[user]
	if have == nil {
		have = new(big.Rat)
	}
	if r.overwrites { // it reads, adds, and writes back
		r.mu.Unlock()
		pause(ctx, 20*time.Millisecond)
		r.mu.Lock()
	}
	sum := new(big.Rat).Add(have, add)
	if r.floats {
		a, _ := have.Float64()
		b, _ := add.Float64()
		sum, _ = new(big.Rat).SetString(fmt.Sprintf("%.17g", a+b))
	}
	r.balances[user] = sum
}
