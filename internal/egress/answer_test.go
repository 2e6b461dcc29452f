package egress

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func addrPortEqual(a, b netip.AddrPort) bool { return a == b }

// zipped is what a gzip bomb looks like on the wire, in small.
func zipped() string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write(make([]byte, 1<<20))
	_ = w.Close()
	return b.String()
}

func chunked(size, count int) string {
	chunk := fmt.Sprintf("%x\r\n%s\r\n", size, strings.Repeat("c", size))
	return "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + strings.Repeat(chunk, count) + "0\r\n\r\n"
}

func sized(size int) string {
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", size, strings.Repeat("s", size))
}

func TestShapesOfAnswers(t *testing.T) {
	const early = "HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n"
	const limit = DefaultBodyLimit
	tests := []struct {
		name      string
		answer    string
		status    int
		body      string
		truncated bool
		conns     int64 // that two exchanges take
	}{
		{"body of known length", sized(5), 200, "sssss", false, 1},
		{"empty body", sized(0), 200, "", false, 1},
		{"body as large as the limit", sized(limit), 200, strings.Repeat("s", limit), false, 1},
		{"body beyond the limit", sized(limit + 1), 200, strings.Repeat("s", limit), true, 1},
		{"body that is drained", sized(limit + 40<<10), 200, strings.Repeat("s", limit), true, 1},
		{"body too large to drain", sized(10 << 20), 200, strings.Repeat("s", limit), true, 2},
		{"chunks", chunked(3, 2), 200, "cccccc", false, 1},
		{"no chunks", chunked(0, 0), 200, "", false, 1},
		{"chunks with a trailer", strings.TrimSuffix(chunked(3, 1), "\r\n") + "X-Sum: 1\r\n\r\n", 200, "ccc", false, 1},
		{"chunks as large as the limit", chunked(1024, 16), 200, strings.Repeat("c", limit), false, 1},
		{"chunks that are drained", chunked(1024, 60), 200, strings.Repeat("c", limit), true, 1},
		{"chunks too large to drain", chunked(1024, 200), 200, strings.Repeat("c", limit), true, 2},
		{"gzip is not unpacked", "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: " + fmt.Sprint(len(zipped())) + "\r\n\r\n" + zipped(), 200, zipped(), false, 1},
		{"204", "HTTP/1.1 204 No Content\r\n\r\n", 204, "", false, 1},
		{"304 with a length", "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", 304, "", false, 1},
		{"no reason phrase", "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", 200, "", false, 1},
		{"interim answers", strings.Repeat(early, maxInformational) + sized(1), 200, "s", false, 1},
		{"switching protocols", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n", 101, "", false, 2},
		{"connection: close", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx", 200, "x", false, 2},
		{"HTTP/1.0", "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", 200, "x", false, 2},
		{"HTTP/1.0 kept alive", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx", 200, "x", false, 1},
		{"bytes after the answer", sized(1) + sized(2), 200, "s", false, 2},
		{"bytes after an answer without body", "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello", 204, "", false, 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var conns atomic.Int64
			handle := say(tt.answer)
			addr := rawReceiver(t, func(n int, nc net.Conn, in *bufio.Reader) {
				conns.Store(int64(n))
				handle(n, nc, in)
			})
			c := newClient(t, Config{})
			for range 2 {
				res := c.Do(t.Context(), own, get("http://"+addr), Options{})
				if res.Err != nil || res.Phase != "" || res.Status != tt.status || res.Truncated != tt.truncated {
					t.Errorf("got status %d, truncated %v, error %v, phase %q; want %d, %v, none",
						res.Status, res.Truncated, res.Err, res.Phase, tt.status, tt.truncated)
				}
				if diff := cmp.Diff(tt.body, string(res.Body)); diff != "" {
					t.Errorf("body (-want +got):\n%s", diff)
				}
			}
			if got := conns.Load(); got != tt.conns {
				t.Errorf("two exchanges took %d connections, want %d", got, tt.conns)
			}
		})
	}
}

func TestBodyWithoutLengthEndsWithTheConnection(t *testing.T) {
	for _, size := range []int{0, 5, DefaultBodyLimit + 1} {
		addr := rawReceiver(t, func(_ int, nc net.Conn, in *bufio.Reader) {
			readRequest(in)
			_, _ = io.WriteString(nc, "HTTP/1.1 200 OK\r\n\r\n"+strings.Repeat("x", size))
		})
		res := newClient(t, Config{}).Do(t.Context(), own, get("http://"+addr), Options{})
		if want := min(size, DefaultBodyLimit); res.Err != nil || len(res.Body) != want || res.Truncated != (want < size) {
			t.Errorf("%d bytes: got %d, truncated %v, error %v", size, len(res.Body), res.Truncated, res.Err)
		}
	}
}

func TestHEADHasNoBody(t *testing.T) {
	addr := rawReceiver(t, func(n int, nc net.Conn, in *bufio.Reader) {
		for readRequest(in) != nil {
			_, _ = fmt.Fprintf(nc, "HTTP/1.1 200 OK\r\nContent-Type: %d\r\nContent-Length: 1000\r\n\r\n", n)
		}
	})
	c := newClient(t, Config{})
	for range 2 {
		res := c.Do(t.Context(), own, Request{Method: "HEAD", URL: "http://" + addr}, Options{})
		if res.Err != nil || res.Status != 200 || res.Body != nil || res.ContentType != "1" {
			t.Errorf("got %+v, want an answer without body on the first connection", res)
		}
	}
}

func TestBodyLimitIsAnOption(t *testing.T) {
	addr := rawReceiver(t, say(sized(100)))
	res := newClient(t, Config{}).Do(t.Context(), own, get("http://"+addr), Options{BodyLimit: 10})
	if string(res.Body) != "ssssssssss" || !res.Truncated || res.Err != nil {
		t.Errorf("got %+v, want ten bytes, truncated", res)
	}
}

func TestUnusableAnswers(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\n"
	tests := []struct {
		name, answer string
		status       int // when the head was good
	}{
		{"nothing", "", 0},
		{"words", "it works\r\n\r\n", 0},
		{"a banner without end", "SSH-2.0-OpenSSH_9.9\r\n", 0},
		{"no status", "HTTP/1.1\r\n\r\n", 0},
		{"status of letters", "HTTP/1.1 abc OK\r\n\r\n", 0},
		{"status too small", "HTTP/1.1 099 OK\r\n\r\n", 0},
		{"negative status", "HTTP/1.1 -20 OK\r\n\r\n", 0},
		{"HTTP/2", "HTTP/2.0 200 OK\r\n\r\n", 0},
		{"HTTP/0.9", "<html>OK</html>", 0},
		{"header without colon", ok + "Content-Length\r\n\r\n", 0},
		{"header without a name", ok + ": 1\r\n\r\n", 0},
		{"header that ends early", ok + "Content-Type: text/pl", 0},
		{"negative length", ok + "Content-Length: -1\r\n\r\n", 0},
		{"two lengths", ok + "Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx", 0},
		{"length too large for a number", ok + "Content-Length: 99999999999999999999\r\n\r\n", 0},
		{"unknown transfer coding", ok + "Transfer-Encoding: gzip\r\n\r\n", 0},
		{"header of 70 KiB", ok + "X: " + strings.Repeat("x", 70<<10) + "\r\n\r\n", 0},
		{"20,000 header fields", ok + strings.Repeat("x:y\r\n", 20000) + "\r\n", 0},
		{"endless status line", "HTTP/1.1 200 " + strings.Repeat("x", 70<<10), 0},
		{"too many interim answers", strings.Repeat("HTTP/1.1 103 Early\r\n\r\n", maxInformational+1) + sized(1), 0},
		{"interim answers only", "HTTP/1.1 100 Continue\r\n\r\n", 0},
		{"body that ends early", ok + "Content-Length: 10\r\n\r\nshort", 200},
		{"bad size of a chunk", ok + "Transfer-Encoding: chunked\r\n\r\nzz\r\n", 200},
		{"huge size of a chunk", ok + "Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n", 200},
		{"chunks that end early", ok + "Transfer-Encoding: chunked\r\n\r\n5\r\nab", 200},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			addr := rawReceiver(t, func(_ int, nc net.Conn, in *bufio.Reader) {
				readRequest(in)
				_, _ = io.WriteString(nc, tt.answer)
				if tcp, ok := nc.(*net.TCPConn); ok {
					_ = tcp.CloseWrite()
				}
				_, _ = io.Copy(io.Discard, in) // until the client leaves, so that no reset overtakes the answer
			})
			c := newClient(t, Config{})
			res := c.Do(t.Context(), own, get("http://"+addr), Options{})
			if res.Err == nil || res.Phase != PhaseRead || !res.Sent || res.Status != tt.status {
				t.Errorf("got %+v, want it to fail in reading, with status %d", res, tt.status)
			}
			if n := len(fmt.Sprint(res.Err)); n > 400 {
				t.Errorf("the error is %d bytes long", n)
			}
			if len(c.live) > 0 {
				t.Errorf("%d connections are left, want none", len(c.live))
			}
		})
	}
}

// brokenWriter is a connection whose other side has answered and closed without reading on.
type brokenWriter struct{ net.Conn }

func (brokenWriter) Write([]byte) (int, error) { return 0, syscall.EPIPE }

func TestAnswerCountsThoughTheRequestWasNotRead(t *testing.T) {
	for _, answer := range []string{"HTTP/1.1 413 Content Too Large\r\nContent-Length: 1\r\n\r\nx", ""} {
		client, server := net.Pipe()
		go func() {
			_, _ = io.WriteString(server, answer)
			_ = server.Close()
		}()
		c := newClient(t, Config{Dial: func(context.Context, string, string) (net.Conn, error) { return brokenWriter{client}, nil }})
		res := c.Do(t.Context(), own, Request{Method: "POST", URL: "http://127.0.0.1"}, Options{})
		switch {
		case answer != "" && (res.Status != 413 || res.Err != nil):
			t.Errorf("got %+v, want status 413", res)
		case answer == "" && (res.Phase != PhaseWrite || !errors.Is(res.Err, syscall.EPIPE)):
			t.Errorf("got %+v, want it to fail in writing", res)
		case res.Sent || len(c.live) > 0:
			t.Errorf("got sent %v and %d connections left, want neither", res.Sent, len(c.live))
		}
	}
}
