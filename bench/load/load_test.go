package load

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"carom/bench/mark"
	"carom/bench/sink"

	"github.com/google/go-cmp/cmp"
)

const path = "/postback?ymid={ymid}&zone_id=8790478&telegram_id={telegram_id}&event_type=impression"

func serve(t *testing.T, h http.Handler) string {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return srv.Listener.Addr().String()
}

func TestClosedLoopSendsEachEventOnce(t *testing.T) {
	addr := serve(t, sink.New(0))
	r, err := Run(context.Background(), Config{Addr: addr, Paths: []string{path, "/fail?ymid={ymid}"}, Run: 9, Senders: 4, Count: 1000})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[int]int64{200: 500, 500: 500}, r.Statuses); diff != "" || r.Sent != 1000 || r.Acked != 500 {
		t.Errorf("sent %d, acknowledged %d; statuses (-want +got):\n%s", r.Sent, r.Acked, diff)
	}
	ctx := context.Background()
	s, err := sink.Client{Addr: addr}.Stats(ctx, 9)
	if err != nil || s.Unique != 500 || s.Duplicates != 0 {
		t.Errorf("sink has %+v, %v", s, err)
	}
	acked := r.Acknowledged()
	if acked.Len() != 500 || acked.Has(1) || !acked.Has(998) {
		t.Errorf("acknowledged set holds %d", acked.Len())
	}
	if c, err := (sink.Client{Addr: addr}).Check(ctx, 9, acked); err != nil || c.Missing != 0 {
		t.Errorf("check: %+v, %v", c, err)
	}
	if r.Latency.Count != 500 || r.PerSec <= 0 {
		t.Errorf("latency of %d events, %v/s", r.Latency.Count, r.PerSec)
	}
}

func TestOpenLoopSendsWhatItsRateSays(t *testing.T) {
	addr := serve(t, sink.New(0))
	r, err := Run(context.Background(), Config{Addr: addr, Paths: []string{path}, Run: 1, Senders: 4, Rate: 2000,
		WarmUp: 50 * time.Millisecond, Duration: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if r.Sent != 300 || r.Acked != 300 || r.Latency.Count != 200 {
		t.Errorf("sent %d, acknowledged %d, measured %d; want 300, 300, 200", r.Sent, r.Acked, r.Latency.Count)
	}
}

// TestLatencyCountsFromTheIntendedMoment shows that waiting for a free sender is part of an event's latency.
func TestLatencyCountsFromTheIntendedMoment(t *testing.T) {
	cfg := Config{Addr: serve(t, sink.New(0)), Paths: []string{path}, Senders: 1, Rate: 1}
	s, err := newSender(context.Background(), cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	at := time.Now().Add(-40 * time.Second)
	s.send(ticket{seq: 0, at: at}, &generator{cfg: cfg, from: at})
	if got := s.latency.Summary(); got.Count != 1 || got.P50 < 39_900 {
		t.Errorf("latency = %+v, want one of at least 40 s", got)
	}
}

func TestSenderConnectsAnew(t *testing.T) {
	var mu sync.Mutex
	n := 0
	addr := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		n++
		mine := n
		mu.Unlock()
		switch mine % 3 {
		case 0:
			panic(http.ErrAbortHandler)
		case 1:
			w.Header().Set("Connection", "close")
		}
		_, _ = io.WriteString(w, "OK")
	}))
	r, err := Run(context.Background(), Config{Addr: addr, Paths: []string{path}, Senders: 1, Count: 30})
	if err != nil {
		t.Fatal(err)
	}
	if r.Acked != 20 || r.Errors != 10 || r.Error == "" {
		t.Errorf("acknowledged %d, errors %d (%q); want 20 and 10", r.Acked, r.Errors, r.Error)
	}
}

func TestRunRefusesWhatCannotBeSent(t *testing.T) {
	if _, err := Run(context.Background(), Config{Senders: 1, Paths: []string{path}}); err == nil {
		t.Error("a load without end was accepted")
	}
	if _, err := Run(context.Background(), Config{Addr: "127.0.0.1:1", Senders: 1, Paths: []string{path}, Count: 1}); err == nil {
		t.Error("a load without a server was accepted")
	}
}

func TestRequestPatch(t *testing.T) {
	m := mark.Mark{Run: 1, Seq: 42, At: 3}
	for _, p := range []string{"/in?ymid={ymid}&telegram_id={telegram_id}", "/in?telegram_id={telegram_id}&ymid={ymid}"} {
		r := newRequest(&Config{Addr: "h:1", Paths: []string{p}}, 0, nil)
		r.patch(m)
		want := strings.NewReplacer(YMID, m.String(), TelegramID, "7000001962").Replace(p)
		req, err := http.ReadRequest(bufio.NewReader(strings.NewReader(string(r.b))))
		if err != nil || req.Method != "GET" || req.RequestURI != want || req.Host != "h:1" || req.UserAgent() != "carom-bench" {
			t.Errorf("request is %q, %v; want the target %q", r.b, err, want)
		}
	}
}

func TestRequestPatchOfAPost(t *testing.T) {
	known, err := readTokens(writeLines(t, "tok-0 sig0", "tok-1 sig1", "tok-2 sig2"))
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{Addr: "h:1", Paths: []string{"/a"}, Head: []string{"User-Agent: Mozilla/5.0", "X-Signature: {signature}"},
		Bodies: []string{`[0]`, `{"token":"{token}","id":"{ymid}","ymid":"{ymid}"}`}}
	r := newRequest(&cfg, 1, known)
	for seq, want := range []string{"0", "1", "2", "0"} { // tokens are taken again when they are used up
		m := mark.Mark{Run: 1, Seq: uint64(seq), At: 3}
		r.patch(m)
		req, err := http.ReadRequest(bufio.NewReader(strings.NewReader(string(r.b))))
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(req.Body)
		got := []string{req.Method, req.RequestURI, req.UserAgent(), req.Header.Get("X-Signature"), string(body)}
		all := []string{"POST", "/a", "Mozilla/5.0", "sig" + want, `{"token":"tok-` + want + `","id":"` + m.String() + `","ymid":"` + m.String() + `"}`}
		if diff := cmp.Diff(all, got); err != nil || diff != "" {
			t.Errorf("request %d, %v (-want +got):\n%s", seq, err, diff)
		}
	}
}

func writeLines(t *testing.T, lines ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(path, []byte(strings.Join(append(lines, ""), "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestTokensOfOtherLengthsAreRefused(t *testing.T) {
	for name, lines := range map[string][]string{
		"nothing":           {},
		"a longer token":    {"abc", "abcd"},
		"a shorter line":    {"abcd", "ab", "c"},
		"a signature moved": {"abc de", "ab cde"},
	} {
		if known, err := readTokens(writeLines(t, lines...)); err == nil {
			t.Errorf("%s was accepted: %d lines", name, known.lines)
		}
	}
	if _, err := readTokens(filepath.Join(t.TempDir(), "absent")); err == nil {
		t.Error("a file that is not there was accepted")
	}
}

// TestEachTokenIsSentOnce shows that the run ends with the tokens, and that an answer counts when it says what is wanted.
func TestEachTokenIsSentOnce(t *testing.T) {
	var mu sync.Mutex
	sent := map[string]int{}
	addr := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		mu.Lock()
		sent[string(b)]++
		mu.Unlock()
		if string(b) == "tok-3" {
			_, _ = io.WriteString(w, "declined")
			return
		}
		_, _ = io.WriteString(w, "confirmed")
	}))
	cfg := Config{Addr: addr, Paths: []string{"/"}, Bodies: []string{Token}, Want: "confirmed", Senders: 2, Duration: time.Minute,
		Tokens: writeLines(t, "tok-0", "tok-1", "tok-2", "tok-3", "tok-4")}
	for name, rate := range map[string]float64{"closed loop": 0, "open loop": 1000} {
		t.Run(name, func(t *testing.T) {
			clear(sent)
			cfg.Rate = rate
			r, err := Run(context.Background(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(map[string]int{"tok-0": 1, "tok-1": 1, "tok-2": 1, "tok-3": 1, "tok-4": 1}, sent); diff != "" {
				t.Errorf("sent (-want +got):\n%s", diff)
			}
			if r.Acked != 4 || r.Unwanted != 1 || r.Acknowledged().Has(3) || !r.UsedUp || !strings.Contains(r.Error, "declined") {
				t.Errorf("acknowledged %d, unwanted %d, used up %v, error %q; want 4, 1, true, one that quotes the answer", r.Acked, r.Unwanted, r.UsedUp, r.Error)
			}
		})
	}
}

func TestConnReadsAnswers(t *testing.T) {
	tests := []struct {
		name, answer string
		status       int
		fails        bool
	}{
		{"body", "HTTP/1.1 200 OK\r\nDate: x\r\ncontent-length: 2\r\n\r\nOK", 200, false},
		{"no body", "HTTP/1.1 204 No Content\r\n\r\n", 204, false},
		{"busy", "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nRetry-After: 1\r\n\r\n", 503, false},
		{"cut in the body", "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nOK", 0, true},
		{"cut in the head", "HTTP/1.1 200 OK\r\nContent-Le", 0, true},
		{"chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 0, true},
		{"no length", "HTTP/1.1 200 OK\r\n\r\nOK", 0, true},
		{"not HTTP", "SSH-2.0-x\r\n\r\n", 0, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			client, server := net.Pipe()
			go func() {
				_, _ = bufio.NewReader(server).ReadString('\n')
				_, _ = io.WriteString(server, tt.answer)
				_ = server.Close()
			}()
			c := &Conn{c: client, r: bufio.NewReader(client)}
			defer c.Close()
			status, err := c.Do(time.Now(), []byte("GET / HTTP/1.1\n"))
			if status != tt.status || (err != nil) != tt.fails {
				t.Errorf("status %d, error %v; want %d, failure %v", status, err, tt.status, tt.fails)
			}
			if tt.name == "cut in the body" && !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("error = %v, want %v", err, io.ErrUnexpectedEOF)
			}
		})
	}
}

func TestConnHandsOutBodies(t *testing.T) {
	long := strings.Repeat("x", 100_000)
	addr := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := map[string]string{"/short": "OK", "/long": long, "/none": ""}[r.URL.Path]
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		_, _ = io.WriteString(w, body)
	}))
	c, err := Dial(context.Background(), addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, tt := range []struct{ path, want string }{{"/short", "OK"}, {"/long", long}, {"/none", ""}, {"/short", "OK"}} {
		status, body, err := c.Ask(time.Now(), []byte("GET "+tt.path+" HTTP/1.1\r\nHost: x\r\n\r\n"))
		if status != 200 || err != nil || string(body) != tt.want {
			t.Errorf("%s: %d, %v, %d bytes, want %d", tt.path, status, err, len(body), len(tt.want))
		}
	}
}

func BenchmarkSender(b *testing.B) {
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer srv.Close()
	cfg := Config{Addr: srv.Listener.Addr().String(), Paths: []string{path}, Senders: 64, Count: uint64(b.N)}
	b.ReportAllocs()
	if _, err := Run(context.Background(), cfg); err != nil {
		b.Fatal(err)
	}
}
