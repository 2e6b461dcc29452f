package keylist

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"carom"
	"carom/internal/egress"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newKey makes a key and its SubjectPublicKeyInfo.
func newKey(t *testing.T, curve elliptic.Curve) (*ecdsa.PublicKey, []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&private.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return &private.PublicKey, der
}

// listOf writes a list that holds der under each of ids, which are JSON.
func listOf(der []byte, ids ...string) string {
	var entries []string
	for _, id := range ids {
		entries = append(entries, fmt.Sprintf(`{"keyId":%s,"base64":%q}`, id, base64.StdEncoding.EncodeToString(der)))
	}
	return `{"keys":[` + strings.Join(entries, ",") + `]}`
}

// server is a key server whose answer can be changed, and the Lists that ask it, with a clock that the test moves.
type server struct {
	*Lists
	url     string
	fetches atomic.Int64
	log     bytes.Buffer // read it after settled only

	mu     sync.Mutex // guards everything below
	now    time.Time
	status int
	header map[string]string
	body   string
	hold   chan struct{} // requests wait until it is closed; nil: they do not
}

func newServer(t *testing.T, body string) *server {
	t.Helper()
	s := &server{now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), status: http.StatusOK, body: body}
	web := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.fetches.Add(1)
		s.mu.Lock()
		status, header, body, hold := s.status, s.header, s.body, s.hold
		s.mu.Unlock()
		if hold != nil {
			select {
			case <-hold:
			case <-r.Context().Done():
			}
		}
		for name, value := range header {
			w.Header().Set(name, value)
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}))
	t.Cleanup(web.Close)
	s.url = web.URL + "/keys.json?for=operator-token"
	s.Lists = New(Options{Client: web.Client(), Clock: s.clockNow, Log: slog.New(slog.NewTextHandler(&s.log, nil))})
	t.Cleanup(s.Close)
	return s
}

func (s *server) clockNow() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

func (s *server) advance(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = s.now.Add(d)
}

func (s *server) answer(status int, body string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status, s.body = status, body
}

func (s *server) setHeader(name, value string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.header = map[string]string{name: value}
}

// holdBack makes requests wait until release is called, or for ever.
func (s *server) holdBack() (release func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	hold := make(chan struct{})
	s.hold = hold
	return func() { close(hold) }
}

// settled waits for the fetches that run beside the callers.
func (s *server) settled() { s.wg.Wait() }

// ask asks for id and checks the kind of the answer: nil for a key, else the kind of error.
func (s *server) ask(t *testing.T, id string, want error) {
	t.Helper()
	key, err := s.Key(t.Context(), s.url, id)
	if !errors.Is(err, want) || (err == nil) != (key != nil) {
		t.Errorf("Key(%q) = %v, %v; want the error %v", id, key, err, want)
	}
	if err != nil && strings.Contains(err.Error(), "operator-token") {
		t.Errorf("the error %q holds the URL", err)
	}
}

// fetched checks how often the list was fetched so far.
func (s *server) fetched(t *testing.T, want int64, when string) {
	t.Helper()
	s.settled()
	if got := s.fetches.Load(); got != want {
		t.Errorf("%s: the list was fetched %d times, want %d", when, got, want)
	}
}

func TestKeyIsCached(t *testing.T) {
	want, der := newKey(t, elliptic.P256())
	s := newServer(t, listOf(der, "3335741209"))
	for range 3 {
		got, err := s.Key(t.Context(), s.url, "3335741209")
		if err != nil {
			t.Fatalf("Key: %v", err)
		}
		if !want.Equal(got) {
			t.Errorf("Key gives another key than the server's")
		}
	}
	s.fetched(t, 1, "three calls")
}

func TestCallersShareOneFetch(t *testing.T) {
	_, der := newKey(t, elliptic.P256())
	s := newServer(t, listOf(der, "1"))
	release := s.holdBack()
	var callers sync.WaitGroup
	for i := range 50 {
		callers.Go(func() {
			s.ask(t, "1", nil)
			s.ask(t, fmt.Sprint("unknown-", i), carom.ErrNotFound)
		})
	}
	release()
	callers.Wait()
	s.fetched(t, 1, "fifty callers at once")
}

func TestRefreshIsInGoodTimeAndWaitedForByNobody(t *testing.T) {
	_, der := newKey(t, elliptic.P256())
	s := newServer(t, listOf(der, "1"))
	s.ask(t, "1", nil)
	s.advance(18*time.Hour - time.Second)
	s.ask(t, "1", nil)
	s.fetched(t, 1, "before three quarters of a day")

	s.advance(time.Second)
	release := s.holdBack()
	s.ask(t, "1", nil) // would hang if it waited for the server
	s.ask(t, "1", nil)
	release()
	s.fetched(t, 2, "at three quarters of a day")

	s.advance(17 * time.Hour) // past the end of the first list
	s.ask(t, "1", nil)
	s.fetched(t, 2, "17 hours into the second list")
}

func TestFailedFetchKeepsTheListUntilItsEnd(t *testing.T) {
	_, der := newKey(t, elliptic.P256())
	s := newServer(t, listOf(der, "1"))
	s.ask(t, "1", nil)
	s.answer(http.StatusInternalServerError, "")

	s.advance(20 * time.Hour)
	for range 3 {
		s.ask(t, "1", nil)
		s.settled()
	}
	s.fetched(t, 2, "a refresh that failed")
	s.advance(time.Minute)
	s.ask(t, "1", nil)
	s.fetched(t, 3, "a minute after it")

	s.advance(4*time.Hour - time.Minute - time.Second) // a second before the end
	s.ask(t, "1", nil)
	s.settled()
	s.advance(5 * time.Second)
	s.ask(t, "1", carom.ErrUnavailable)
	s.ask(t, "unknown", carom.ErrUnavailable)
	s.fetched(t, 5, "past the end of the list")

	s.answer(http.StatusOK, listOf(der, "1"))
	s.advance(4 * time.Second)
	s.ask(t, "1", carom.ErrUnavailable)
	s.fetched(t, 5, "within the pause after a failure")
	s.advance(time.Second)
	s.ask(t, "1", nil)
	s.fetched(t, 6, "after the pause")
	if !strings.Contains(s.log.String(), "failed") || strings.Contains(s.log.String(), "operator-token") {
		t.Errorf("the log is %q, want the failure in it, without the URL's query", s.log.String())
	}
}

func TestUnknownIDs(t *testing.T) {
	_, der := newKey(t, elliptic.P256())
	s := newServer(t, listOf(der, "1"))
	for i := range 1000 {
		s.ask(t, fmt.Sprint("forged-", i), carom.ErrNotFound)
	}
	s.fetched(t, 1, "a thousand forged ids")

	s.answer(http.StatusOK, listOf(der, "1", "2"))
	s.advance(time.Minute)
	s.ask(t, "2", nil)
	s.ask(t, "forged", carom.ErrNotFound)
	s.fetched(t, 2, "a new key after a minute")

	// Without a newer list nobody knows whether the network has published the key: the answer is never final.
	s.answer(http.StatusServiceUnavailable, "")
	s.advance(time.Minute)
	for i := range 1000 {
		s.ask(t, fmt.Sprint("new-or-forged-", i), carom.ErrUnavailable)
	}
	s.ask(t, "2", nil)
	s.fetched(t, 3, "a thousand unknown ids while the server is down")
	s.answer(http.StatusOK, listOf(der, "1", "2", "3"))
	s.advance(59 * time.Second)
	s.ask(t, "3", carom.ErrUnavailable)
	s.fetched(t, 3, "within a minute of the failure")
	s.advance(time.Second)
	s.ask(t, "3", nil)
	s.fetched(t, 4, "a minute after the failure")

	s.advance(time.Hour)
	s.ask(t, "", carom.ErrNotFound)
	s.ask(t, strings.Repeat("9", maxIDBytes+1), carom.ErrNotFound)
	s.fetched(t, 4, "ids that can be nobody's")
}

func TestClockSetBack(t *testing.T) {
	_, der := newKey(t, elliptic.P256())
	s := newServer(t, listOf(der, "1"))
	s.ask(t, "1", nil)
	s.advance(-48 * time.Hour)
	s.ask(t, "1", nil)
	s.fetched(t, 2, "a list from the future")
	s.ask(t, "unknown", carom.ErrNotFound)
	s.advance(25 * time.Hour)
	s.ask(t, "1", nil)
	s.fetched(t, 3, "a day later")
}

func TestAnswersThatAreNoList(t *testing.T) {
	_, der := newKey(t, elliptic.P256())
	_, p384 := newKey(t, elliptic.P384())
	good := listOf(der, "1")
	tests := []struct {
		name   string
		status int
		body   string
		cause  string
	}{
		{"moved", http.StatusFound, good, "redirects"},
		{"moved for ever", http.StatusPermanentRedirect, good, "redirects"},
		{"no content", http.StatusNoContent, "", "status 204"},
		{"not found", http.StatusNotFound, good, "status 404"},
		{"server error", http.StatusInternalServerError, good, "status 500"},
		{"a page", http.StatusOK, "<html>", "not a JSON object"},
		{"cut off", http.StatusOK, good[:len(good)-2], "not a JSON object"},
		{"nothing", http.StatusOK, "", "not a JSON object"},
		{"null", http.StatusOK, "null", "empty"},
		{"another object", http.StatusOK, `{"error":"quota"}`, "empty"},
		{"no keys", http.StatusOK, `{"keys":[]}`, "empty"},
		{"keys as object", http.StatusOK, `{"keys":{}}`, "not a JSON object"},
		{"no usable key", http.StatusOK, listOf(p384, "1"), "no key that can be used"},
		{"too large", http.StatusOK, good + strings.Repeat(" ", maxListBytes), "larger than 1 MiB"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newServer(t, tt.body)
			s.answer(tt.status, tt.body)
			s.setHeader("Location", "/elsewhere")
			_, err := s.Key(t.Context(), s.url, "1")
			if !errors.Is(err, carom.ErrUnavailable) || !strings.Contains(err.Error(), tt.cause) {
				t.Errorf("Key = %v, want %v because of %q", err, carom.ErrUnavailable, tt.cause)
			}
			if errors.Is(err, carom.ErrInvalid) || errors.Is(err, carom.ErrNotFound) {
				t.Errorf("Key = %v, which is of a second kind", err)
			}
			s.fetched(t, 1, "one call")
		})
	}
}

func TestUnreachable(t *testing.T) {
	s := newServer(t, "")
	s.url = "https://127.0.0.1:1/keys.json?for=operator-token"
	s.ask(t, "1", carom.ErrUnavailable)
}

func TestBadURLs(t *testing.T) {
	s := newServer(t, "")
	for _, link := range []string{"", "http://127.0.0.1/keys", "keys.json", "https:///keys", "https://%zz/", "ftp://127.0.0.1/"} {
		if _, err := s.Key(t.Context(), link, "1"); !errors.Is(err, carom.ErrUnavailable) || !strings.Contains(err.Error(), "https") {
			t.Errorf("Key of the list at %q: %v, want %v and what to do", link, err, carom.ErrUnavailable)
		}
	}
}

func TestOwnClientRefusesPrivateAddresses(t *testing.T) {
	s := New(Options{})
	defer s.Close()
	_, err := s.Key(t.Context(), "https://127.0.0.1:1/keys.json", "1")
	var refusal *egress.Refusal
	if !errors.Is(err, carom.ErrUnavailable) || !errors.As(err, &refusal) {
		t.Errorf("Key = %v, want %v because the address is refused", err, carom.ErrUnavailable)
	}
}

func TestCallerThatLeaves(t *testing.T) {
	_, der := newKey(t, elliptic.P256())
	s := newServer(t, listOf(der, "1"))
	release := s.holdBack()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := s.Key(ctx, s.url, "1")
	if !errors.Is(err, carom.ErrUnavailable) || !errors.Is(err, context.Canceled) {
		t.Errorf("Key = %v, want %v and %v", err, carom.ErrUnavailable, context.Canceled)
	}
	release()
	s.ask(t, "1", nil) // the fetch went on without its caller
	s.fetched(t, 1, "a caller that left and one that stayed")
}

func TestCloseEndsFetches(t *testing.T) {
	s := newServer(t, "")
	s.holdBack()
	failed := make(chan error)
	go func() {
		_, err := s.Key(t.Context(), s.url, "1")
		failed <- err
	}()
	s.Close()
	if err := <-failed; !errors.Is(err, carom.ErrUnavailable) {
		t.Errorf("Key during Close = %v, want %v", err, carom.ErrUnavailable)
	}
	s.Close()
	s.ask(t, "1", carom.ErrUnavailable)
}

func TestLifetime(t *testing.T) {
	tests := []struct {
		name, control, age string
		want               time.Duration
	}{
		{"nothing said", "", "", 24 * time.Hour},
		{"shorter", "public, max-age=3600", "", time.Hour},
		{"in capitals and quotes", `Public,Max-Age="3600"`, "", time.Hour},
		{"longer than allowed", "max-age=604800", "", 24 * time.Hour},
		{"shorter than a minute", "max-age=5", "", time.Minute},
		{"not to be kept", "max-age=3600, no-store", "", time.Minute},
		{"not a number", "max-age=soon", "", 24 * time.Hour},
		{"negative", "max-age=-1", "", 24 * time.Hour},
		{"larger than an int64", "max-age=99999999999999999999", "", 24 * time.Hour},
		{"partly used up", "max-age=3600", "3000", 10 * time.Minute},
		{"used up", "max-age=3600", "4000", time.Minute},
		{"old, and no maximum", "", "3600", 23 * time.Hour},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := http.Header{"Cache-Control": {tt.control}, "Age": {tt.age}}
			if got := lifetime(h, 24*time.Hour); got != tt.want {
				t.Errorf("lifetime(%q, age %q) = %v, want %v", tt.control, tt.age, got, tt.want)
			}
		})
	}
}

func TestShorterLifetimeOfTheServerCounts(t *testing.T) {
	_, der := newKey(t, elliptic.P256())
	s := newServer(t, listOf(der, "1"))
	s.setHeader("Cache-Control", "max-age=0")
	s.ask(t, "1", nil)
	s.advance(44 * time.Second)
	s.ask(t, "1", nil)
	s.fetched(t, 1, "before three quarters of a minute")
	s.advance(time.Second)
	s.ask(t, "1", nil)
	s.fetched(t, 2, "at three quarters of a minute")
	s.answer(http.StatusBadGateway, "")
	s.advance(time.Minute)
	s.ask(t, "1", carom.ErrUnavailable)
}

func TestMaxAge(t *testing.T) {
	for given, want := range map[time.Duration]time.Duration{
		0: 24 * time.Hour, time.Hour: time.Hour, 48 * time.Hour: 24 * time.Hour, time.Second: time.Minute, -1: time.Minute,
	} {
		s := New(Options{MaxAge: given})
		if s.maxAge != want {
			t.Errorf("with MaxAge %v lists are kept for %v, want %v", given, s.maxAge, want)
		}
		s.Close()
	}
}

func BenchmarkKey(b *testing.B) {
	s := New(Options{})
	defer s.Close()
	now := time.Now()
	s.lists["u"] = &list{keys: map[string]entry{"1": {key: &ecdsa.PublicKey{}}}, fetched: now, refresh: now.Add(time.Hour), expires: now.Add(time.Hour)}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := s.Key(b.Context(), "u", "1"); err != nil {
				b.Error(err)
				return
			}
		}
	})
}
