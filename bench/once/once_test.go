package once

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"carom/bench/mark"
)

func TestRun(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var mu sync.Mutex
	seen := map[uint64]int{}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m, ok := mark.Parse(r.URL.Query().Get("ymid"))
		mu.Lock()
		defer mu.Unlock()
		seen[m.Seq]++
		if !ok || m.Run != 7 {
			t.Errorf("the ymid %q", r.URL.Query().Get("ymid"))
		}
		if len(seen) == 100 {
			cancel()
		}
		switch m.Seq % 10 {
		case 3:
			panic(http.ErrAbortHandler)
		case 4:
			w.WriteHeader(http.StatusServiceUnavailable)
		default:
			_, _ = io.WriteString(w, "OK")
		}
	}))
	defer srv.Close()
	a := Run(ctx, Config{Addr: srv.Listener.Addr().String(), Path: "/p?ymid={ymid}&x=1", Run: 7, Rate: 5000})
	srv.Close() // nobody writes below any more
	mu.Lock()
	defer mu.Unlock()
	if a.Sent != int64(len(seen)) || a.Acked != a.AckedSet.Len() || a.Acked+a.Broken+a.Other[503] != a.Sent || a.Broken == 0 || a.Other[503] == 0 || a.Acked == 0 {
		t.Errorf("%d sent, %d acknowledged, %d broken, %v; the server saw %d", a.Sent, a.Acked, a.Broken, a.Other, len(seen))
	}
	for seq, n := range seen {
		if n != 1 {
			t.Errorf("%d was sent %d times", seq, n)
		}
	}
	if a.Failed() != a.Broken+a.Other[503] || a.Latency.Count != a.Acked+a.Other[503] {
		t.Errorf("%d failed, latency %+v", a.Failed(), a.Latency)
	}
}

func TestRunAgainstNobody(t *testing.T) {
	srv := httptest.NewServer(http.NotFoundHandler())
	addr := srv.Listener.Addr().String()
	srv.Close()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan *Account)
	go func() { done <- Run(ctx, Config{Addr: addr, Path: "/", Rate: 1000}) }()
	tried := make(chan struct{})
	go func() { // a try of the test's own takes at least as long as that of the first postback
		if resp, err := http.Get("http://" + addr); err == nil {
			_ = resp.Body.Close() // nobody should be there
		}
		close(tried)
	}()
	<-tried
	cancel()
	if a := <-done; a.Refused != a.Sent || a.Sent > 0 && !strings.Contains(a.Error, "no connection") {
		t.Errorf("account %+v, want all refused", a)
	}
}

func TestReadBooks(t *testing.T) {
	pages := map[string]string{
		"":      `{"events":[{"ymid":"` + mark.Mark{Run: 1, Seq: 5}.String() + `"},{"ymid":"x"}],"next":"evt_1"}`,
		"evt_1": `{"events":[{"ymid":"` + mark.Mark{Run: 1, Seq: 5}.String() + `"},{"ymid":"` + mark.Mark{Run: 2, Seq: 0}.String() + `"}]}`,
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, pages[r.URL.Query().Get("before")])
	}))
	defer srv.Close()
	client := &http.Client{Transport: rewrite{srv.Listener.Addr().String()}}
	b, err := ReadBooks(t.Context(), client)
	if err != nil || b.Twice != 1 || b.Strangers != 1 || !b.Of(1).Has(5) || !b.Of(2).Has(0) || b.Of(3).Len() != 0 {
		t.Errorf("books %+v, %v", b, err)
	}
}

// rewrite sends every request to one address.
type rewrite struct{ addr string }

func (t rewrite) RoundTrip(r *http.Request) (*http.Response, error) {
	r.URL.Host = t.addr
	return http.DefaultTransport.RoundTrip(r)
}
