//go:build unix

package egress

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"carom"
)

// serveEnv makes the test binary a receiver in a process of its own, so that its CPU time is not counted.
const serveEnv = "CAROM_EGRESS_BENCH_SERVE"

// benchReceiver starts a net/http receiver and returns its address. It is another process: what is compared is the CPU
// time of the sender.
func benchReceiver(b *testing.B) string {
	b.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestBenchReceiver$")
	cmd.Env = append(os.Environ(), serveEnv+"=1")
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = in.Close() // the receiver ends at the end of its input
		_, _ = io.Copy(io.Discard, out)
		_ = cmd.Wait()
	})
	line := make([]byte, 64)
	n, err := out.Read(line)
	if err != nil {
		b.Fatal(err)
	}
	addr := strings.TrimSpace(string(line[:n]))
	if _, err := netip.ParseAddrPort(addr); err != nil {
		b.Fatalf("the receiver said %q: %v", addr, err)
	}
	return addr
}

// TestBenchReceiver is the receiver of the benchmarks. As a test it does nothing.
func TestBenchReceiver(t *testing.T) {
	if os.Getenv(serveEnv) == "" {
		return
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "OK")
	}))
	defer srv.Close()
	_, _ = os.Stdout.WriteString(srv.Listener.Addr().String() + "\n")
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// cpuTime is the CPU time that this process has used.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

const benchPath = "/postback?ymid=0c5g21r0000010000000k&event_type=impression&zone_id=8790478&request_var=bonus-btn&price=0.00123"

// benchParallel runs do by 64 goroutines and reports the CPU time for each exchange.
func benchParallel(b *testing.B, do func() error) {
	b.ReportAllocs()
	b.SetParallelism(32)
	before := cpuTime(b)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := do(); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.StopTimer()
	b.ReportMetric(float64(cpuTime(b)-before)/float64(b.N)/1e3, "cpu-us/op")
}

func BenchmarkClient(b *testing.B) {
	url := "http://" + benchReceiver(b) + benchPath
	for _, method := range []string{"GET", "POST"} {
		b.Run(method, func(b *testing.B) {
			c := New(Config{})
			defer c.Close()
			r := Request{Method: method, URL: url, Header: []carom.Field{{Name: "X-Delivery", Value: "dlv_0c5g21r0000010000000k00"}}}
			if method == "POST" {
				r.Body = bytes.Repeat([]byte("x"), 300)
			}
			benchParallel(b, func() error {
				res := c.Do(context.Background(), Policy{AllowPrivate: true}, r, Options{})
				return res.Err
			})
		})
	}
}

func BenchmarkTransport(b *testing.B) {
	url := "http://" + benchReceiver(b) + benchPath
	for _, method := range []string{"GET", "POST"} {
		b.Run(method, func(b *testing.B) {
			tr := &http.Transport{
				MaxIdleConnsPerHost: 64,
				DisableCompression:  true,
				DialContext:         (&net.Dialer{}).DialContext,
			}
			defer tr.CloseIdleConnections()
			body := bytes.Repeat([]byte("x"), 300)
			benchParallel(b, func() error {
				ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
				defer cancel()
				var rd io.Reader
				if method == "POST" {
					rd = bytes.NewReader(body)
				}
				req, err := http.NewRequestWithContext(ctx, method, url, rd)
				if err != nil {
					return err
				}
				req.Header.Set("X-Delivery", "dlv_0c5g21r0000010000000k00")
				resp, err := tr.RoundTrip(req)
				if err != nil {
					return err
				}
				defer func() { _ = resp.Body.Close() }()
				_, err = io.ReadAll(io.LimitReader(resp.Body, 16<<10))
				return err
			})
		})
	}
}

// BenchmarkParseTarget shows what taking the URL apart costs an exchange.
func BenchmarkParseTarget(b *testing.B) {
	b.ReportAllocs()
	url := "https://backend.example:" + strconv.Itoa(8443) + benchPath
	for b.Loop() {
		if _, err := parseTarget(url); err != nil {
			b.Fatal(err)
		}
	}
}
