package confirm

import (
	"bytes"
	"cmp"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"carom"
)

func BenchmarkToken(b *testing.B) {
	s := newSealer(sdkKey)
	v := sample()
	token := s.seal(&v)
	b.Run("seal", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			s.seal(&v)
		}
	})
	b.Run("open", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, ok := s.open(token); !ok {
				b.Fatal("open refuses what was sealed")
			}
		}
	})
}

// discard is a ResponseWriter that keeps nothing but the status.
type discard struct {
	header http.Header
	status int
}

func (d *discard) Header() http.Header { return d.header }
func (d *discard) Write(p []byte) (int, error) {
	d.status = cmp.Or(d.status, http.StatusOK)
	return len(p), nil
}
func (d *discard) WriteHeader(status int) { d.status = status }

// BenchmarkBeacon is a viewable through its handler, each of a showing of its own, with events that are stored in memory. Sealing
// its token is counted as well.
func BenchmarkBeacon(b *testing.B) {
	off := carom.ViewLimit{Views: -1}
	for name, limit := range map[string]carom.ViewLimit{"without limits": off, "with limits": {Views: 1 << 40, Within: 10 * time.Minute}} {
		b.Run(name, func(b *testing.B) {
			r := newRig(b, 1, b.Name())
			r.rules(func(c *carom.ConfirmRules) { c.PerUser, c.PerDevice, c.PerAddress = limit, limit, limit })
			d := r.doors[0]
			p := r.page()
			p.offered()
			s, _ := d.sealer.open(p.token)
			s.started = s.issued
			r.clock.advance(1100 * time.Millisecond)
			w := &discard{header: http.Header{}}
			q := httptest.NewRequest(http.MethodPost, "/sdk/beacon", nil)
			q.RemoteAddr = "203.0.113.7:40000"
			q.Header.Set("User-Agent", p.agent)
			q.Header.Set("Accept-Language", p.language)
			q.Header.Set("Origin", p.origin)
			n := 0
			b.ReportAllocs()
			for b.Loop() {
				n++
				s.id = numbered(n).id
				body := `{"token":"` + d.sealer.seal(&s) + `","beacon":"viewable","shown_ms":1000,"visible_ms":1000,"share":100,"visible":true}`
				q.Body, q.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
				d.beacon(w, q)
			}
			if w.status != http.StatusOK || r.events.valued(carom.Impression) != n {
				b.Fatalf("the last of %d beacons was answered %d, %d were valued", n, w.status, r.events.valued(carom.Impression))
			}
		})
	}
}

// BenchmarkAd is a request for an ad through its handler.
func BenchmarkAd(b *testing.B) {
	for name, data := range map[string]string{"without init data": "", "with init data": "yes"} {
		b.Run(name, func(b *testing.B) {
			r := newRig(b, 1, b.Name())
			r.rules(func(c *carom.ConfirmRules) { c.PerDevice = carom.ViewLimit{Views: -1} })
			p := r.page()
			if data != "" {
				p.initData = signed(initData("279058397", r.clock.Now()), botToken)
			}
			body := marshal(p.wish())
			w := &discard{header: http.Header{}}
			q := httptest.NewRequest(http.MethodPost, "/sdk/ad", nil)
			q.RemoteAddr = "203.0.113.7:40000"
			q.Header.Set("User-Agent", p.agent)
			q.Header.Set("Origin", p.origin)
			b.ReportAllocs()
			for b.Loop() {
				q.Body = io.NopCloser(bytes.NewReader(body))
				r.doors[0].ad(w, q)
			}
			if w.status != http.StatusOK {
				b.Fatalf("an ad was answered %d", w.status)
			}
		})
	}
}
