package sink

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"carom"
	"carom/bench/mark"
	"carom/bench/stat"

	"github.com/google/go-cmp/cmp"
)

func start(t *testing.T) (Client, *httptest.Server) {
	t.Helper()
	srv := httptest.NewServer(New(time.Millisecond))
	t.Cleanup(srv.Close)
	return Client{Addr: srv.Listener.Addr().String()}, srv
}

func get(t *testing.T, url string) int {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	return resp.StatusCode
}

func TestSinkAccount(t *testing.T) {
	c, srv := start(t)
	ctx := context.Background()
	now := time.Now()
	if err := c.Expect(ctx, 7, now.Add(-time.Minute).UnixNano()); err != nil {
		t.Fatal(err)
	}
	for _, seq := range []uint64{0, 1, 2, 2, 5, 3} {
		at := now
		if seq == 0 {
			at = now.Add(-time.Hour) // before the moment that counts
		}
		get(t, srv.URL+"/postback?x=1&ymid="+mark.Mark{Run: 7, Seq: seq, At: at.UnixNano()}.String()+"&event=click")
	}
	get(t, srv.URL+"/slow?ms=1&ymid="+mark.Mark{Run: 7, Seq: 6, At: now.UnixNano()}.String())
	get(t, srv.URL+"/postback?ymid=user123")
	s, err := c.Stats(ctx, 7)
	if err != nil {
		t.Fatal(err)
	}
	if s.Count != 7 || s.Unique != 6 || s.Duplicates != 1 || s.Displacement != 2 || s.Latency.Count != 5 {
		t.Errorf("stats = %+v, want 7 arrivals, 6 unique, 1 duplicate, displacement 2, 5 latencies", s)
	}
	if diff := cmp.Diff(map[string]int64{"/postback": 7, "/slow": 1}, s.Paths); diff != "" {
		t.Errorf("paths (-want +got):\n%s", diff)
	}
	var acked stat.Set
	for i := range uint64(7) {
		acked.Add(i)
	}
	got, err := c.Check(ctx, 7, &acked)
	if diff := cmp.Diff(Checked{Missing: 1, Examples: []uint64{4}}, got); err != nil || diff != "" {
		t.Errorf("check: %v (-want +got):\n%s", err, diff)
	}
	if err := c.Reset(ctx); err != nil {
		t.Fatal(err)
	}
	if s, err = c.Stats(ctx, 7); err != nil || s.Count != 0 {
		t.Errorf("after a reset: %+v, %v", s, err)
	}
}

func TestSinkOrderFollowsDeliveryIDs(t *testing.T) {
	c, srv := start(t)
	for seq, place := range []uint32{3, 9, 4, 10} { // the marks are in order, the deliveries are not
		id := carom.NewDeliveryID(1, carom.Ref{Bucket: 1, Seq: place}, 0)
		get(t, fmt.Sprintf("%s/postback?ymid=%s&d=%s", srv.URL, mark.Mark{Run: 1, Seq: uint64(seq)}, id))
	}
	if s, err := c.Stats(context.Background(), 1); err != nil || s.Displacement != 5 {
		t.Errorf("displacement = %d, %v; want 5", s.Displacement, err)
	}
}

func TestSinkOrderOverABucketsEdge(t *testing.T) {
	c, srv := start(t)
	for seq, ref := range []carom.Ref{{Bucket: 1, Seq: 1_000_000}, {Bucket: 2, Seq: 1}, {Bucket: 2, Seq: 2}, {Bucket: 1, Seq: 999_990}, {Bucket: 2, Seq: 3}} {
		get(t, fmt.Sprintf("%s/postback?ymid=%s&d=%s", srv.URL, mark.Mark{Run: 1, Seq: uint64(seq)}, carom.NewDeliveryID(1, ref, 0)))
	}
	if s, err := c.Stats(context.Background(), 1); err != nil || s.Displacement != 12 {
		t.Errorf("displacement = %d, %v; want 12", s.Displacement, err)
	}
}

func TestSinkPaths(t *testing.T) {
	_, srv := start(t)
	for path, want := range map[string]int{"/hang?ymid=x": 200, "/fail": 500, "/slow?ms=x": 200, "/other": 404, "/absent": 404} {
		if got := get(t, srv.URL+path); got != want {
			t.Errorf("%s answered %d, want %d", path, got, want)
		}
	}
}

func TestSinkBreaksInManyWays(t *testing.T) {
	c, srv := start(t)
	m := mark.Mark{Run: 3, Seq: 1, At: 1}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	for _, tt := range []struct {
		path, header, want string
		status             int // 0: there is no answer
	}{
		{"/busy", "Retry-After", busyFor, 429},
		{"/redirect", "Location", "/elsewhere", 302},
		{"/drip", "Content-Length", "30", 200},
		{"/sever", "", "", 0},
		{"/garbage", "", "", 0},
	} {
		resp, err := client.Get(srv.URL + tt.path + "?ymid=" + m.String())
		if (err != nil) != (tt.status == 0) {
			t.Errorf("%s: %v", tt.path, err)
			continue
		}
		if err != nil {
			continue
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || resp.StatusCode != tt.status || resp.Header.Get(tt.header) != tt.want || tt.path == "/drip" && len(body) != 30 {
			t.Errorf("%s answered %d with %q and %d bytes, %v", tt.path, resp.StatusCode, resp.Header, len(body), err)
		}
	}
	s, err := c.Stats(context.Background(), 3)
	if err != nil || s.Count != 0 {
		t.Errorf("%d count as received, %v; want none", s.Count, err)
	}
	if s.Paths["/drip"] != 1 || s.Paths["/redirect"] != 1 || s.Paths["/busy"] != 1 || s.Paths["/sever"] == 0 || s.Paths["/garbage"] == 0 {
		t.Errorf("requests by path: %v", s.Paths)
	}
}
