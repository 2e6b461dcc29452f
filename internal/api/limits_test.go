package api

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// asker sends requests to a server that answers 2 a second of a caller, 4 at once, at a time that the test sets.
type asker struct {
	now     time.Time
	handler http.Handler
}

func newAsker(t *testing.T, exempt ...netip.Prefix) *asker {
	t.Helper()
	a := &asker{now: noon()}
	w := newWorld()
	w.options.Now = func() time.Time { return a.now }
	w.options.Limits = Limits{Rate: 2, Burst: 4, Exempt: exempt}
	a.handler = New(w.options)
	return a
}

// ask makes a request from an address, with a key or none.
func (a *asker) ask(t *testing.T, from, key, route string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), "GET", route, nil)
	r.RemoteAddr = netip.AddrPortFrom(netip.MustParseAddr(from), 1234).String()
	if key != "" {
		r.Header.Set("Authorization", "Bearer "+key)
	}
	rec := httptest.NewRecorder()
	a.handler.ServeHTTP(rec, r)
	return rec
}

func TestACallerMayAskSoOften(t *testing.T) {
	a := newAsker(t)
	var got []string
	ask := func() {
		rec := a.ask(t, "192.0.2.1", "read", "/v1/version")
		h := rec.Header()
		got = append(got, fmt.Sprint(rec.Code, " ", h.Get("RateLimit-Policy"), " ", h.Get("RateLimit"), " ", h.Get("Retry-After")))
		if rec.Code == http.StatusTooManyRequests {
			decode[Problem](t, rec, http.StatusTooManyRequests)
			if ct := h.Get("Content-Type"); ct != "application/problem+json" {
				t.Errorf("content type %q", ct)
			}
		}
	}
	for range 5 {
		ask()
	}
	a.now = a.now.Add(500 * time.Millisecond)
	ask()
	ask()
	a.now = a.now.Add(time.Hour)
	ask()
	want := []string{
		`200 "caller";q=4;w=2 "caller";r=3;t=1 `,
		`200 "caller";q=4;w=2 "caller";r=2;t=1 `,
		`200 "caller";q=4;w=2 "caller";r=1;t=2 `,
		`200 "caller";q=4;w=2 "caller";r=0;t=2 `,
		`429 "caller";q=4;w=2 "caller";r=0;t=2 1`,
		`200 "caller";q=4;w=2 "caller";r=0;t=2 `,
		`429 "caller";q=4;w=2 "caller";r=0;t=2 1`,
		`200 "caller";q=4;w=2 "caller";r=3;t=1 `,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("answers (-want +got):\n%s", diff)
	}
}

func TestWhoIsOneCaller(t *testing.T) {
	const strangers = "/v1/openapi.json"
	type request struct{ from, key, route string }
	tests := []struct {
		name    string
		spend   request
		ask     request
		limited bool
	}{
		{"a key from another address", request{"192.0.2.1", "read", "/v1/version"}, request{"192.0.2.2", "read", "/v1/version"}, true},
		{"another key from the same address", request{"192.0.2.1", "read", "/v1/version"}, request{"192.0.2.1", "admin", "/v1/version"}, false},
		{"the same address without a key", request{"192.0.2.1", "", "/v1/version"}, request{"192.0.2.1", "", strangers}, true},
		{"an unknown key is none", request{"192.0.2.1", "wrong", "/v1/version"}, request{"192.0.2.1", "wronger", "/v1/version"}, true},
		{"a path that is none", request{"192.0.2.1", "", "/v1/nothing"}, request{"192.0.2.1", "", strangers}, true},
		{"another address", request{"192.0.2.1", "", "/v1/version"}, request{"192.0.2.2", "", strangers}, false},
		{"a key beside strangers at its address", request{"192.0.2.1", "", "/v1/version"}, request{"192.0.2.1", "read", "/v1/version"}, false},
		{"an IPv6 network", request{"2001:db8::1", "", "/v1/version"}, request{"2001:db8::2", "", strangers}, true},
		{"another IPv6 network", request{"2001:db8::1", "", "/v1/version"}, request{"2001:db8:0:1::1", "", strangers}, false},
		{"an exempt address", request{"10.0.0.1", "", "/v1/version"}, request{"10.0.0.1", "", strangers}, false},
		{"a key at an exempt address", request{"10.0.0.1", "read", "/v1/version"}, request{"10.0.0.1", "read", "/v1/version"}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := newAsker(t, netip.MustParsePrefix("10.0.0.0/8"))
			for range 4 {
				if rec := a.ask(t, tt.spend.from, tt.spend.key, tt.spend.route); rec.Code == http.StatusTooManyRequests {
					t.Fatal("limited too early")
				}
			}
			if rec := a.ask(t, tt.ask.from, tt.ask.key, tt.ask.route); (rec.Code == http.StatusTooManyRequests) != tt.limited {
				t.Errorf("answered %d, want limited: %v", rec.Code, tt.limited)
			}
		})
	}
}

func TestTheLocalSocketHasNoLimit(t *testing.T) {
	a := newAsker(t)
	a.handler = Local(a.handler)
	for range 20 {
		if rec := a.ask(t, "192.0.2.1", "", "/v1/version"); rec.Code != 200 || rec.Header().Get("RateLimit") != "" {
			t.Fatalf("answered %d, %q", rec.Code, rec.Header().Get("RateLimit"))
		}
	}
}

func TestCallersAreForgotten(t *testing.T) {
	l := newLimiter(Limits{Rate: 1, Burst: 1}, noon)
	for i := range maxCallers + 100 {
		if p := l.take(http.Header{}, fmt.Sprint(i)); p != nil {
			t.Fatalf("caller %d: %v", i, p)
		}
	}
	if len(l.known) != maxCallers || l.recent.Len() != maxCallers {
		t.Errorf("%d and %d callers are remembered, want %d", len(l.known), l.recent.Len(), maxCallers)
	}
	if l.take(http.Header{}, fmt.Sprint(maxCallers+99)) == nil {
		t.Error("the latest caller is forgotten")
	}
}

func BenchmarkLimit(b *testing.B) {
	l := newLimiter(Limits{Rate: 1_000_000_000, Burst: 1_000_000_000}, time.Now)
	for b.Loop() {
		if p := l.take(http.Header{}, "key_x"); p != nil {
			b.Fatal(p)
		}
	}
}
