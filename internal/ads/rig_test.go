package ads

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"carom"
	"carom/internal/egress"
)

// rig is a chooser with the real client, whose clock, luck, log and metrics are the test's.
type rig struct {
	*Chooser
	t       *testing.T
	metrics *prometheus.Registry

	mu  sync.Mutex // guards now and log
	now time.Time
	log bytes.Buffer
}

func newRig(t *testing.T, creatives ...carom.Creative) *rig {
	t.Helper()
	client := egress.New(egress.Config{})
	t.Cleanup(client.Close)
	r := &rig{t: t, metrics: prometheus.NewRegistry(), now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	r.Chooser = New(Options{
		Client: client, Clock: r.clock, Random: func(int64) int64 { return 0 }, Metrics: r.metrics,
		Log: slog.New(slog.NewTextHandler(r, nil)),
	})
	r.Use(carom.Objects{Creatives: creatives})
	return r
}

func (r *rig) clock() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.now
}

func (r *rig) pass(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now = r.now.Add(d)
}

// Write takes a line of the log.
func (r *rig) Write(line []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.log.Write(line)
}

// logged returns what was logged since it was last called.
func (r *rig) logged() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	text := r.log.String()
	r.log.Reset()
	return text
}

// choose asks for an ad, and returns the name of its creative; "" when there is none.
func (r *rig) choose(q Request) string {
	r.t.Helper()
	ad, err := r.Choose(r.t.Context(), q)
	if err != nil {
		r.t.Fatalf("Choose: %v", err)
	}
	if ad == nil {
		return ""
	}
	return ad.Creative
}

// counts compares all counters that are not zero with those wanted, by "label value".
func (r *rig) counts(want map[string]float64) {
	r.t.Helper()
	families, err := r.metrics.Gather()
	if err != nil {
		r.t.Fatal(err)
	}
	got := map[string]float64{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			for _, label := range m.GetLabel() {
				if n := m.GetCounter().GetValue(); n != 0 {
					got[label.GetName()+" "+label.GetValue()] = n
				}
			}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		r.t.Errorf("counters (-want +got):\n%s", diff)
	}
}

// houseAd is a creative that is shown when the ad server's is not.
var houseAd = carom.Creative{Name: "house", Image: "https://cdn.example/house.png", LandingURL: "https://house.example/"}

// request asks for an ad of a zone whose ad server is at url on this machine. Its timeout is too long to matter.
func request(url string) Request {
	return Request{
		Zone: carom.Zone{
			App: "game", ID: "123456", SubZones: map[carom.Format]string{carom.RewardedInterstitial: "123457"},
			AdServer: carom.AdServer{URL: url, Timeout: MaxTimeout, AllowPrivate: true},
		},
		Format: carom.RewardedInterstitial, ID: "showing-1",
	}
}

// serve starts an ad server.
func serve(t *testing.T, handle http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(handle)
	t.Cleanup(s.Close)
	return s.URL
}

// answer is an ad server that answers everything alike.
func answer(t *testing.T, status int, body string) string {
	t.Helper()
	return serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	})
}

// clientFunc is a client for what no real ad server does at a moment of the test's choice.
type clientFunc func(ctx context.Context, r egress.Request) egress.Result

func (f clientFunc) Do(ctx context.Context, _ egress.Policy, r egress.Request, _ egress.Options) egress.Result {
	return f(ctx, r)
}

const goodAd = `{"creative":{"id":"a-1","image":"https://cdn.example/a.png","landing_url":"https://a.example/"}}`

func ExampleCheckCreative() {
	fmt.Println(CheckCreative(&carom.Creative{HTML: "<b>Play</b>", LandingURL: "javascript:alert(1)", Width: 320}))
	// Output:
	// landing_url: a javascript: URL is never opened, since it can run code where the ad is shown: write one that begins with https://
	// height: there is a width without a height: add it, or remove the width
}
