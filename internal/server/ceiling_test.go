package server_test

import (
	"bufio"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"carom/internal/caromtest"
)

// Connections that do nothing make room for others; who is being answered, however slowly, is left alone.
func TestIdleConnectionsMakeRoom(t *testing.T) {
	t.Parallel()
	const most = 10
	s := caromtest.Start(t, caromtest.Options{Objects: caromtest.Monetag(""), Config: func(c *cfg) { c.MaxConnections = most }})
	feed := openTail(t, s)
	address := strings.TrimPrefix(s.URL, "http://")
	first, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = first.Close() }()
	for range 3 * most {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
	}
	if err := first.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if n, err := first.Read(make([]byte, 1)); err == nil {
		t.Errorf("the first idle connection is sent %d bytes, want it closed", n)
	}
	s.Accepted(t, "ymid=v1&event=click")
	for line := ""; !strings.Contains(line, `"ymid":"v1"`); {
		if line, err = feed.ReadString('\n'); err != nil {
			t.Fatalf("the live feed was cut off: %v", err)
		}
	}
	// Clients of other tests may end connections here that lie idle, so there are fewer at times.
	caromtest.Until(t, "the metrics to say so", func() bool {
		metrics := s.Local(t, "GET", "/metrics", "").Body
		open := gauge(t, metrics, "carom_connections")
		return gauge(t, metrics, `carom_shed_total{reason="full"}`) > 0 && open > 0 && open <= most
	})
}

// gauge returns the value of a line of /metrics.
func gauge(t *testing.T, metrics, name string) float64 {
	t.Helper()
	_, value, found := strings.Cut("\n"+metrics, "\n"+name+" ")
	value, _, _ = strings.Cut(value, "\n")
	n, err := strconv.ParseFloat(value, 64)
	if !found || err != nil {
		t.Fatalf("%s in the metrics is %q", name, value)
	}
	return n
}

// openTail opens a live feed over TCP, where limits apply.
func openTail(t *testing.T, s *caromtest.Server) *bufio.Reader {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+"/v1/tail", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+s.Key(t, "read", ""))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("the live feed is answered %s", resp.Status)
	}
	return bufio.NewReader(resp.Body)
}
