package listen

import (
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"

	"carom"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestSameAddress(t *testing.T) {
	at := func(ip string, port int) net.Addr { return &net.TCPAddr{IP: net.ParseIP(ip), Port: port} }
	tests := []struct {
		name string
		have net.Addr
		want string
		same bool
	}{
		{"the same", at("127.0.0.1", 8080), "127.0.0.1:8080", true},
		{"another port", at("127.0.0.1", 8080), "127.0.0.1:8081", false},
		{"any port", at("127.0.0.1", 8080), "127.0.0.1:0", true},
		{"another address", at("127.0.0.1", 8080), "127.0.0.2:8080", false},
		{"all addresses", at("::", 8080), ":8080", true},
		{"all of IPv4 for all", at("::", 8080), "0.0.0.0:8080", true},
		{"one for all", at("127.0.0.1", 8080), ":8080", false},
		{"all for one", at("::", 8080), "127.0.0.1:8080", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := sameAddress(tt.have, "tcp", tt.want); got != tt.same {
				t.Errorf("sameAddress(%s, %q) = %t, want %t", tt.have, tt.want, got, tt.same)
			}
		})
	}
}

// listen is Listen without a way to fail.
func listen(t *testing.T, s *Sockets, name, address string) net.Listener {
	t.Helper()
	l, err := s.Listen(name, address)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestAKeptSocketOutlivesItsListener(t *testing.T) {
	s, err := NewSockets()
	if err != nil {
		t.Fatal(err)
	}
	first := listen(t, s, Public, "127.0.0.1:0")
	address := first.Addr().String()
	s.Keep(true)
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := first.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept of a closed listener returns %v, want net.ErrClosed", err)
	}
	caller, err := net.DialTimeout("tcp", address, time.Second)
	if err != nil {
		t.Fatalf("a caller is refused while nobody accepts: %v", err)
	}
	defer func() { _ = caller.Close() }() // the test is over
	second := listen(t, s, Public, address)
	conn, err := second.Accept()
	if err != nil || conn.RemoteAddr().String() != caller.LocalAddr().String() {
		t.Fatalf("the next listener accepts %v, %v; want the caller who waited", conn, err)
	}
	_ = conn.Close() // it was accepted
	s.Keep(false)
	for range 2 {
		if err := second.Close(); err != nil {
			t.Errorf("Close returned %v", err)
		}
	}
	if _, err := net.DialTimeout("tcp", address, time.Second); err == nil {
		t.Error("a socket that is not kept is still there")
	}
	if err := errors.Join(s.Close(), s.Close()); err != nil {
		t.Errorf("Close of all returned %v", err)
	}
}

func TestANewAddressIsBoundAnew(t *testing.T) {
	s, err := NewSockets()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }() // the test is over
	first := listen(t, s, Public, "127.0.0.1:0")
	s.Keep(true)
	second := listen(t, s, Public, "[::1]:0")
	if first.Addr().String() == second.Addr().String() {
		t.Errorf("both listen at %s", first.Addr())
	}
}

func TestTheLocalSocketsName(t *testing.T) {
	dir, err := os.MkdirTemp("", "carom") // t.TempDir is too long for the path of a socket on some systems
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }() // the test is over
	path := filepath.Join(dir, "carom.sock")
	s, err := NewSockets()
	if err != nil {
		t.Fatal(err)
	}
	l := listen(t, s, Local, path)
	s.Keep(true)
	if err := errors.Join(l.Close(), s.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil && runtime.GOOS != "windows" {
		t.Errorf("a kept socket lost its name: %v", err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	l = listen(t, s, Local, path)
	s.Keep(false)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a closed socket still has its name: %v", err)
	}
}

func TestHTTPSHost(t *testing.T) {
	tests := []struct{ name, asked, base, want string }{
		{"a domain", "b.example", "https://a.example", "b.example"},
		{"a domain with a port", "b.example:80", "https://a.example", "b.example"},
		{"another port for HTTPS", "b.example", "https://a.example:8443", "b.example:8443"},
		{"a stranger's name", "evil.example", "https://a.example", "a.example"},
		{"an address", "192.0.2.1", "https://a.example", "a.example"},
		{"no URL is known", "c.example:80", "", "c.example"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			base, err := url.Parse(tt.base)
			if err != nil {
				t.Fatal(err)
			}
			if got := httpsHost(tt.asked, base, []string{"a.example", "b.example"}); got != tt.want {
				t.Errorf("httpsHost(%q, %q) = %q, want %q", tt.asked, tt.base, got, tt.want)
			}
		})
	}
}

func TestFilesThatAreNoCertificate(t *testing.T) {
	_, err := FromFiles("none.pem", "none.key", slog.New(slog.DiscardHandler))
	if !errors.Is(err, carom.ErrInvalid) || !strings.Contains(err.Error(), "tls_cert") || !strings.Contains(err.Error(), "none.pem") {
		t.Errorf("FromFiles returned %v, want a fault of tls_cert that names the file", err)
	}
}

func TestACMERootThatIsNone(t *testing.T) {
	for _, path := range []string{"none.pem", "listen_test.go"} {
		if _, err := readRoots(path); !errors.Is(err, carom.ErrInvalid) || !strings.Contains(err.Error(), "acme_root") {
			t.Errorf("readRoots(%q) returned %v, want a fault of acme_root", path, err)
		}
	}
}

// An ACME server's certificates cost nothing to have and to close, whatever becomes of the start.
func TestClosingBeforeRunning(t *testing.T) {
	c, err := FromACME(ACME{
		Domains: []string{"a.example"}, CA: "https://127.0.0.1:1/dir", Folder: t.TempDir(), TLS: "127.0.0.1:443", Every: time.Hour,
		Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Certificates(); len(got) != 1 || got[0].Domain != "a.example" || !got[0].NotAfter.IsZero() {
		t.Errorf("Certificates() = %+v, want one without an end", got)
	}
	c.Close()
	c.Close()
}

// What is not a challenge passes.
func TestChallengesAlone(t *testing.T) {
	c, err := FromACME(ACME{
		Domains: []string{"a.example"}, CA: "https://127.0.0.1:1/dir", Folder: t.TempDir(), TLS: ":443", HTTP: ":80", Every: time.Hour,
		Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	passed := 0
	h := c.Challenge(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { passed++ }))
	for _, path := range []string{"/in/game/ads/x", "/.well-known/acme-challenge/unknown", "/"} {
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "http://a.example"+path, nil))
	}
	if passed != 3 {
		t.Errorf("%d of 3 requests passed", passed)
	}
}

func TestZapLines(t *testing.T) {
	var b strings.Builder
	log := toSlog(slog.New(slog.NewTextHandler(&b, &slog.HandlerOptions{Level: slog.LevelDebug}))).Named("obtain").With(zap.String("domain", "a.example"))
	log.Debug("of every handshake")
	log.Info("lock acquired", zap.Int("n", 1))
	log.Error("will retry", zap.Error(errors.New("no route")))
	got := b.String()
	for _, want := range []string{`level=DEBUG msg=certmagic says="lock acquired" part=obtain domain=a.example n=1`, `level=WARN msg=certmagic says="will retry" part=obtain domain=a.example error="no route"`} {
		if !strings.Contains(got, want) {
			t.Errorf("the log lacks %q:\n%s", want, got)
		}
	}
	if strings.Contains(got, "handshake") {
		t.Errorf("the log has a line of every handshake:\n%s", got)
	}
}
