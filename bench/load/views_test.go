package load

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"carom/bench/mark"

	"github.com/google/go-cmp/cmp"
)

// network is the end of a network that the pages ask. It remembers what it handed out.
type network struct {
	mu     sync.Mutex
	asked  map[uint64]time.Time // by the number in the ymid
	began  map[uint64]int
	seen   map[uint64]int
	early  int // views that were seen sooner than can be
	faulty func(step string, seq uint64) bool
}

func (n *network) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b, _ := io.ReadAll(r.Body)
	n.mu.Lock()
	defer n.mu.Unlock()
	said := string(b)
	text := func(name string) string {
		_, rest, _ := strings.Cut(said, `"`+name+`":"`)
		v, _, _ := strings.Cut(rest, `"`)
		return v
	}
	var seq uint64
	step := text("beacon")
	if step == "" {
		step = "ad"
		m, _ := mark.Parse(text("ymid"))
		seq = m.Seq
	} else {
		_, _ = fmt.Sscanf(text("token"), "tok-%d", &seq)
	}
	if r.Header.Get("Origin") != Origin || r.Method != "POST" || n.faulty != nil && n.faulty(step, seq) {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	switch step {
	case "ad":
		n.asked[seq] = time.Now()
		_, _ = fmt.Fprintf(w, `{"ad":{"token":"tok-%d"}}`, seq)
	case "start":
		n.began[seq]++
		_, _ = fmt.Fprintf(w, `{"token":"tok-%d","state":"open"}`, seq)
	default:
		n.seen[seq]++
		if time.Since(n.asked[seq]) < SeenAfter-100*time.Millisecond {
			n.early++
		}
		_, _ = io.WriteString(w, `{"state":"confirmed"}`)
	}
}

func newNetwork() *network {
	return &network{asked: map[uint64]time.Time{}, began: map[uint64]int{}, seen: map[uint64]int{}}
}

func each(n uint64) map[uint64]int {
	m := map[uint64]int{}
	for i := range n {
		m[i] = 1
	}
	return m
}

func TestStartViews(t *testing.T) {
	n := newNetwork()
	tokens, err := StartViews(context.Background(), serve(t, n), "123456", 5, 40, 4)
	if err != nil {
		t.Fatal(err)
	}
	want := make([]string, 40)
	for i := range want {
		want[i] = fmt.Sprintf("tok-%d", i)
	}
	if diff := cmp.Diff(want, tokens); diff != "" {
		t.Errorf("tokens (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(each(40), n.began); diff != "" {
		t.Errorf("began (-want +got):\n%s", diff)
	}
	n.faulty = func(step string, seq uint64) bool { return step == "start" && seq == 3 }
	if _, err := StartViews(context.Background(), serve(t, n), "123456", 6, 40, 4); err == nil || !strings.Contains(err.Error(), "503") {
		t.Errorf("error = %v, want one with the status", err)
	}
}

func TestViewsAreAskedForBegunAndSeen(t *testing.T) {
	n := newNetwork()
	n.faulty = func(step string, seq uint64) bool {
		return step == "ad" && seq == 1 || step == "start" && seq == 2 || step == "viewable" && seq == 4
	}
	r, err := Run(context.Background(), Config{Addr: serve(t, n), Zone: "123456", Run: 5, Senders: 4, Rate: 200, WarmUp: 50 * time.Millisecond,
		Duration: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	want := each(20)
	for _, seq := range []uint64{1, 2, 4} {
		delete(want, seq)
	}
	if diff := cmp.Diff(want, n.seen); diff != "" || n.early != 0 {
		t.Errorf("%d were seen too early; seen (-want +got):\n%s", n.early, diff)
	}
	if diff := cmp.Diff(map[int]int64{200: 17, 503: 1}, r.Statuses); diff != "" || r.Acked != 17 || r.Errors != 2 || r.Error == "" {
		t.Errorf("acknowledged %d, errors %d (%q), statuses (-want +got):\n%s", r.Acked, r.Errors, r.Error, diff)
	}
	if r.Ad.Count != 10 || r.Start.Count != 10 || r.Latency.Count != 10 {
		t.Errorf("%d ads, %d starts and %d beacons were measured, want 10 each", r.Ad.Count, r.Start.Count, r.Latency.Count)
	}
}

func TestViewsNeedARate(t *testing.T) {
	if _, err := Run(context.Background(), Config{Addr: "127.0.0.1:1", Zone: "1", Senders: 1, Duration: time.Second}); err == nil {
		t.Error("views in a closed loop were accepted")
	}
}
