package server_test

import (
	"bufio"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"carom/internal/caromtest"
)

// nonsense sends bytes on a connection of its own, says that no more come, and returns the statuses of all answers until the
// server closes the connection. The connection is always closed.
func nonsense(t *testing.T, url, bytes string) (statuses []int) {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }() // what matters is read by then
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, bytes); err == nil { // else the server has closed it already
		_ = conn.(*net.TCPConn).CloseWrite() // likewise
	}
	for r := bufio.NewReader(conn); ; {
		resp, err := http.ReadResponse(r, nil)
		var late net.Error
		switch {
		case errors.As(err, &late) && late.Timeout():
			t.Fatalf("after %v the connection stays open", statuses)
		case err != nil:
			return statuses
		}
		statuses = append(statuses, resp.StatusCode)
		_, _ = io.Copy(io.Discard, resp.Body) // an error shows at the next one
		_ = resp.Body.Close()                 // it is read
	}
}

// What proxies and servers could understand differently is refused, and no byte of it becomes a request of its own.
func TestSmuggledRequests(t *testing.T) {
	t.Parallel()
	const door = caromtest.Door
	event := "?event=click&ymid="
	inner := get(door + event + "smuggled")
	chunk := func(size, rest string) string { return size + "\r\n" + rest }
	post := func(headers, rest string) string {
		return "POST " + door + event + "outer HTTP/1.1\r\nHost: carom\r\n" + headers + "\r\n" + rest
	}
	tests := []struct {
		name, bytes string
		first       int // the status of the first answer; 0: none
	}{
		{"two lengths that differ", post("Content-Length: 0\r\nContent-Length: 7\r\n", inner), 400},
		{"two lengths in one line", post("Content-Length: 0, 7\r\n", inner), 400},
		{"a negative length", post("Content-Length: -1\r\n", inner), 400},
		{"a length with a sign", post("Content-Length: +0\r\n", inner), 400},
		{"a length in hex", post("Content-Length: 0x0\r\n", inner), 400},
		{"a length beyond all", post("Content-Length: 99999999999999999999\r\n", inner), 400},
		{"an encoding nobody knows", post("Transfer-Encoding: xchunked\r\n", inner), 501},
		{"an encoding with a tab before it", post("Transfer-Encoding:\x0bchunked\r\n", inner), 400},
		{"two encodings", post("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", chunk("0", "\r\n")+inner), 501},
		{"an encoding in a list", post("Transfer-Encoding: identity, chunked\r\n", chunk("0", "\r\n")+inner), 501},
		{"a blank before the colon", post("Transfer-Encoding : chunked\r\nContent-Length: 0\r\n", inner), 400},
		{"a folded first header", "POST " + door + event + "outer HTTP/1.1\r\n Host: carom\r\n\r\n" + inner, 400},
		{"a NUL in a header", post("X: a\x00b\r\n", ""), 400},
		{"a NUL in a header's name", post("X\x00: a\r\n", ""), 400},
		{"a line without a colon", post("Transfer-Encoding\r\n", ""), 400},
		{"no host", "GET " + door + event + "outer HTTP/1.1\r\n\r\n", 400},
		{"two hosts", "GET " + door + event + "outer HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400},
		{"a chunk size that overflows", post("Transfer-Encoding: chunked\r\n", chunk("fffffffffffffffff", inner)), -1},
		{"a negative chunk size", post("Transfer-Encoding: chunked\r\n", chunk("-1", inner)), -1},
		{"a chunk size that is none", post("Transfer-Encoding: chunked\r\n", chunk("zz", inner)), -1},
		{"a chunk longer than it says", post("Transfer-Encoding: chunked\r\n", chunk("1", "ab\r\n0\r\n\r\n"+inner)), -1},
		{"a chunk that never ends", post("Transfer-Encoding: chunked\r\n", chunk("ff", "a")), -1},
		{"a chunk extension without end", post("Transfer-Encoding: chunked\r\n", "0;"+strings.Repeat("a", 8<<10)+"\r\n\r\n"+inner), -1},
		{"HTTP/0.9", "GET " + door + event + "outer\r\n", 400},
		{"a version of the future", "GET " + door + event + "outer HTTP/3.0\r\nHost: carom\r\n\r\n", 505},
		{"HTTP/2 in clear", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00", -1},
		{"three blanks", "GET  " + door + event + "outer  HTTP/1.1\r\nHost: carom\r\n\r\n", 400},
		{"a tunnel", "CONNECT " + "127.0.0.1:1 HTTP/1.1\r\nHost: 127.0.0.1:1\r\n\r\n", -1},
		{"a target that is an authority", "GET 127.0.0.1:1 HTTP/1.1\r\nHost: carom\r\n\r\n", 400},
		{"the target *", "GET * HTTP/1.1\r\nHost: carom\r\n\r\n", -1},
		{"a head of 70 KiB", post("X: "+strings.Repeat("a", 70<<10)+"\r\n", ""), 431},
		{"a URL of 70 KiB", get(door + event + strings.Repeat("a", 70<<10)), 431},
		{"headers without end", "GET " + door + event + "outer HTTP/1.1\r\nHost: carom\r\n" + strings.Repeat("A: b\r\n", 20<<10), 431},
		{"an unknown expectation", post("Expect: 200-ok\r\nContent-Length: 3\r\n", ""), 417},
		{"a body that is cut off", post("Content-Length: 100\r\n", "ymid=1"), -1},
		{"TLS in clear", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + strings.Repeat("\x8f", 500), -1},
		{"an empty line alone", "\r\n\r\n", -1},
	}
	s := caromtest.Start(t, caromtest.Options{Objects: caromtest.Monetag("")})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			statuses := nonsense(t, s.URL, tt.bytes)
			if len(statuses) > 1 || tt.first > 0 && (len(statuses) == 0 || statuses[0] != tt.first) {
				t.Errorf("answered %v, want %d alone", statuses, tt.first)
			}
			for _, status := range statuses {
				if status < 400 {
					t.Errorf("answered %d: it was taken for a request", status)
				}
			}
		})
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		junk := make([]byte, 1+rng.IntN(2000))
		for i := range junk {
			junk[i] = byte(rng.Uint32())
		}
		for _, status := range nonsense(t, s.URL, string(junk)+"\r\n\r\n") {
			if status < 400 {
				t.Errorf("random bytes are answered %d", status)
			}
		}
	}
	if events := s.Events(t, ""); len(events) != 0 {
		t.Errorf("%d events came of it, the last with the ymid %q", len(events), events[0].YMID)
	}
	s.Accepted(t, "ymid=honest&event=click")
}

// Requests that are unusual and mean one thing only are served, and the next one on the connection is a request of its own.
func TestUnusualRequestsKeepTheirBounds(t *testing.T) {
	t.Parallel()
	const door = caromtest.Door
	next := get(door + "?event=click&ymid=next")
	tests := []struct {
		name, bytes string
		statuses    []int
		ymids       []string // of the events, the newest first
	}{
		{"chunked wins over a length, and the connection ends", "POST " + door + " HTTP/1.1\r\nHost: carom\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n" +
			"13\r\nymid=c1&event=click\r\n0\r\n\r\n" + next, []int{200}, []string{"c1"}},
		{"a folded header is one header", "GET " + door + "?event=click&ymid=f1 HTTP/1.1\r\nHost: carom\r\nX: a\r\n Content-Length: " + itoa(len(next)) + "\r\n\r\n" + next, []int{200, 200}, []string{"next", "f1"}},
		{"two lengths that agree", "POST " + door + "?event=click&ymid=l1 HTTP/1.1\r\nHost: carom\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n" + next, []int{200, 200}, []string{"next", "l1"}},
		{"lines that end in LF alone", "GET " + door + "?event=click&ymid=b1 HTTP/1.1\nHost: carom\n\n" + next, []int{200, 200}, []string{"next", "b1"}},
		{"a target with scheme and host", "GET http://carom" + door + "?event=click&ymid=a1 HTTP/1.1\r\nHost: other\r\n\r\n" + next, []int{200, 200}, []string{"next", "a1"}},
		{"a body in a GET", "GET " + door + "?event=click&ymid=g1 HTTP/1.1\r\nHost: carom\r\nContent-Length: " + itoa(len(next)) + "\r\n\r\n" + next, []int{200}, []string{"g1"}},
		{"a body too large, of a stranger", "POST /in/game/ads/x HTTP/1.1\r\nHost: carom\r\nContent-Length: 300000\r\n\r\n" + strings.Repeat("a", 300_000) + next, []int{403}, nil},
		{"an expectation, and the body comes at once", "POST " + door + "?event=click&ymid=e1 HTTP/1.1\r\nHost: carom\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\na=b" + next, []int{100, 200, 200}, []string{"next", "e1"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := caromtest.Start(t, caromtest.Options{Objects: caromtest.Monetag("")})
			statuses := nonsense(t, s.URL, tt.bytes)
			var ymids []string
			for _, e := range s.Events(t, "") {
				ymids = append(ymids, e.YMID)
			}
			if diff := cmp.Diff(tt.statuses, statuses); diff != "" {
				t.Errorf("statuses (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.ymids, ymids); diff != "" {
				t.Errorf("ymids of events (-want +got):\n%s", diff)
			}
		})
	}
}

// A flood of wrong secrets from one address is told to try later, and neither others nor whoever knows a path at that address
// notice anything.
func TestAFloodOfWrongSecrets(t *testing.T) {
	t.Parallel()
	s := caromtest.Start(t, caromtest.Options{Objects: caromtest.Monetag(""), Config: func(c *cfg) {
		c.UnverifiedPerAddress, c.ExemptAddresses = 1, nil
		c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
	}})
	from := func(client, path string) int {
		t.Helper()
		return caromtest.Do(t, "GET", s.URL+path, "", "X-Forwarded-For", client).Status
	}
	seen := map[int]int{}
	for range 50 {
		seen[from("203.0.113.9", "/in/game/ads/wrong")]++
	}
	if seen[403] < 4 || seen[503] < 10 || seen[403]+seen[503] != 50 {
		t.Errorf("50 wrong secrets are answered %v, want a few 403 and then 503", seen)
	}
	if got := from("203.0.113.10", "/in/game/ads/wrong"); got != 403 {
		t.Errorf("another address is answered %d", got)
	}
	if got := from("203.0.113.9", caromtest.Door+"?ymid=v1&event=click"); got != 200 {
		t.Errorf("the right secret from the same address is answered %d", got)
	}
	caromtest.Until(t, "the sample to be written", func() bool { return len(s.Received(t, "unverified")) > seen[403] })
	if kept := len(s.Received(t, "unverified")); kept != seen[403]+1 {
		t.Errorf("%d are sampled, want %d", kept, seen[403]+1)
	}
	if got := s.Local(t, "GET", "/metrics", "").Body; !strings.Contains(got, `carom_shed_total{reason="unverified"} `+itoa(seen[503])) {
		t.Error("what was turned away is not counted")
	}
}
