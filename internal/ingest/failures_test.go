package ingest

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"carom"
)

// failures are spent for one address, and note who failed.
type failures struct {
	spent  netip.Addr
	failed []netip.Addr
}

func (f *failures) Spent(a netip.Addr) bool { return a == f.spent }
func (f *failures) Failed(a netip.Addr)     { f.failed = append(f.failed, a) }

func TestWhoFailsTooOftenIsToldToTryLater(t *testing.T) {
	const abuser, proxy = "203.0.113.9", "10.0.0.1"
	tests := []struct {
		name, from, forwarded, path string
		status                      int
		sampled                     bool
	}{
		{"a wrong secret", abuser, "", "/in/game/ads/" + strings.Repeat("0", 32), 503, false},
		{"an unknown source", abuser, "", "/in/game/none/x", 503, false},
		{"an unknown app", abuser, "", "/in/none/none/x", 503, false},
		{"the right secret, from the same address", abuser, "", "/in/game/ads/" + testSecret + "?ymid=1&event=click", 200, false},
		{"through a proxy", proxy, abuser, "/in/game/ads/x", 503, false},
		{"somebody else through the proxy", proxy, "198.51.100.1", "/in/game/ads/x", 403, true},
		{"the proxy for nobody", proxy, "", "/in/game/ads/x", 403, true},
		{"somebody else", "198.51.100.2", "", "/in/game/ads/x", 403, true},
	}
	book := &failures{spent: netip.MustParseAddr(abuser)}
	f := &fake{}
	d := door(t, f, Options{Failures: book, TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before := len(f.unverified)
			r := httptest.NewRequest(http.MethodGet, tt.path, http.NoBody)
			r.RemoteAddr = tt.from + ":1234"
			if tt.forwarded != "" {
				r.Header.Set("X-Forwarded-For", tt.forwarded)
			}
			w := httptest.NewRecorder()
			d.Postback(w, r)
			if w.Code != tt.status || (w.Code == 503) != (w.Header().Get("Retry-After") != "") {
				t.Errorf("answered %d %q with Retry-After %q, want %d", w.Code, w.Body, w.Header().Get("Retry-After"), tt.status)
			}
			if sampled := len(f.unverified) > before; sampled != tt.sampled {
				t.Errorf("kept as unverified: %v, want %v", sampled, tt.sampled)
			}
		})
	}
	want := []netip.Addr{netip.MustParseAddr("198.51.100.1"), netip.MustParseAddr("198.51.100.2")}
	if len(book.failed) != 2 || book.failed[0] != want[0] || book.failed[1] != want[1] {
		t.Errorf("failures are counted for %v, want %v", book.failed, want)
	}
}

// What the budget of failed proofs costs a request that proves something.
// forgetful is a store that acknowledges and keeps nothing.
type forgetful struct{ *fake }

func (forgetful) Accept(subs ...*carom.Submission) {
	for _, s := range subs {
		s.Receipt.ID = "evt_1"
	}
}

func benchmarkPostback(b *testing.B, book Failures) {
	f := &fake{}
	d := door(b, f, Options{Failures: book})
	d.opts.Store = forgetful{f}
	r := httptest.NewRequest(http.MethodGet, "/in/game/ads/"+testSecret+"?ymid=1&zone_id=1&event=click&value=valued", http.NoBody)
	w := httptest.NewRecorder()
	b.ReportAllocs()
	for b.Loop() {
		w.Body.Reset()
		d.Postback(w, r)
	}
}

func BenchmarkPostbackWithFailures(b *testing.B) {
	benchmarkPostback(b, &failures{spent: netip.MustParseAddr("203.0.113.9")})
}

func BenchmarkPostbackWithoutFailures(b *testing.B) { benchmarkPostback(b, nil) }
