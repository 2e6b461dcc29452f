package ads

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"carom"
	"carom/internal/egress"
)

func TestAdServerFills(t *testing.T) {
	var asked map[string]any
	var header http.Header
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		header = r.Header
		if r.Method != http.MethodPost || r.URL.RequestURI() != "/ad?key=hunter2" {
			t.Errorf("it was asked by %s %s", r.Method, r.URL.RequestURI())
		}
		if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
			t.Error(err)
		}
		_, _ = io.WriteString(w, goodAd)
	})
	r := newRig(t, houseAd)
	q := request(url + "/ad?key=hunter2")
	q.YMID, q.RequestVar, q.TelegramID, q.UserAgent, q.Language = "y\"1\u2028<b>", "bonus-btn", "279058397", "Mozilla/5.0", "de"
	q.Client, q.Width, q.Height = netip.MustParseAddr("::ffff:203.0.113.7"), 390, 844
	got, err := r.Choose(t.Context(), q)
	want := &Ad{Creative: "a-1", FromServer: true, Image: "https://cdn.example/a.png", LandingURL: "https://a.example/", CloseAfter: carom.DefaultCloseAfter}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("error %v, ad (-want +got):\n%s", err, diff)
	}
	wantAsked := map[string]any{
		"id": "showing-1", "app": "game", "zone_id": "123456", "sub_zone_id": "123457", "format": "rewarded_interstitial",
		"ymid": "y\"1\u2028<b>", "request_var": "bonus-btn", "telegram_id": "279058397", "user_agent": "Mozilla/5.0", "language": "de",
		"address": "203.0.113.7", "width": 390.0, "height": 844.0,
	}
	if diff := cmp.Diff(wantAsked, asked); diff != "" {
		t.Errorf("it was asked (-want +got):\n%s", diff)
	}
	if header.Get("Content-Type") != "application/json" || header.Get("Accept") != "application/json" {
		t.Errorf("it was asked with the header %v", header)
	}
	if text := r.logged(); text != "" {
		t.Errorf("logged %q, want nothing", text)
	}
	r.counts(map[string]float64{"from ad_server": 1, "outcome filled": 1})
}

func TestWhatIsNotKnownIsEmpty(t *testing.T) {
	body, err := json.Marshal(questionOf(&Request{Zone: carom.Zone{ID: "1"}}))
	const want = `{"id":"","app":"","zone_id":"1","sub_zone_id":"","format":"","ymid":"","request_var":"","telegram_id":"",` +
		`"user_agent":"","language":"","address":"","width":0,"height":0}`
	if diff := cmp.Diff(want, string(body)); diff != "" || err != nil {
		t.Errorf("error %v, body (-want +got):\n%s", err, diff)
	}
}

// half promises more than it sends, and hangs up.
func half(t *testing.T) string {
	t.Helper()
	return serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(len(goodAd)))
		_, _ = io.WriteString(w, goodAd[:len(goodAd)/2])
	})
}

// hanging takes requests and answers none, or only the first part of an answer.
func hanging(t *testing.T, part string) string {
	t.Helper()
	leave := make(chan struct{})
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if part != "" {
			_, _ = io.WriteString(w, part)
			w.(http.Flusher).Flush()
		}
		select {
		case <-r.Context().Done():
		case <-leave:
		}
	})
	t.Cleanup(func() { close(leave) })
	return url
}

// nobody is an address on which nothing listens.
func nobody(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	return "http://" + l.Addr().String()
}

// TestAdServerThatIsNoUse: whatever an ad server does, the page is shown an ad of the house.
func TestAdServerThatIsNoUse(t *testing.T) {
	short := func(url string) Request {
		q := request(url)
		q.Zone.AdServer.Timeout = 50 * time.Millisecond
		return q
	}
	public := func(url string) Request {
		q := request(url)
		q.Zone.AdServer.AllowPrivate = false
		return q
	}
	elsewhere := answer(t, 200, goodAd)
	tests := []struct {
		name    string
		request Request
		want    outcome
		log     string // a part of the line; empty: nothing is logged
	}{
		{"no ad by status", request(answer(t, 204, "")), noFill, ""},
		{"no ad by null", request(answer(t, 200, `{"creative":null}`)), noFill, ""},
		{"hangs", short(hanging(t, "")), timedOut, "outcome=timeout"},
		{"hangs in the middle of its answer", short(hanging(t, goodAd[:20])), timedOut, "outcome=timeout"},
		{"is not there", request(nobody(t)), failed, "connect: "},
		{"hangs up", request(half(t)), failed, "read: "},
		{"redirects", request(serve(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere, http.StatusFound) })), failed, "redirects (status 302)"},
		{"fails", request(answer(t, 500, goodAd)), failed, "status 500"},
		{"is somewhere else", request(answer(t, 404, "not found")), failed, "status 404"},
		{"answers 201", request(answer(t, 201, goodAd)), failed, "status 201"},
		{"answers a page", request(answer(t, 200, "<html>")), failed, "not a JSON object"},
		{"answers nothing", request(answer(t, 200, "")), failed, "not a JSON object"},
		{"answers of the wrong type", request(answer(t, 200, creative(`"width":"wide"`))), failed, "creative.width"},
		{"answers too much", request(answer(t, 200, creative(`"x":"`+strings.Repeat("x", maxAnswerBytes)+`"`))), failed, "more than 131072 bytes"},
		{"answers without end", request(serve(t, func(w http.ResponseWriter, _ *http.Request) {
			for n := 0; n >= 0; {
				var err error
				if n, err = w.Write(make([]byte, 64<<10)); err != nil {
					return
				}
			}
		})), failed, "more than 131072 bytes"},
		{"is on a private address", public(elsewhere), failed, "refused: "},
		{"has no usable URL", request("https://user@ads.example"), failed, "request: "},
		{"asks too high a price", request(answer(t, 200, creative(`"price_per_click":"1e9"`))), refused, "price_per_click: 1000000000 is more than"},
		{"asks a negative price", request(answer(t, 200, creative(`"price_per_impression":-1`))), refused, "price_per_impression: -1 is below zero"},
		{"returns a script as its page", request(answer(t, 200, creative(`"landing_url":"javascript:alert(1)"`))), refused, "landing_url: a javascript: URL"},
		{"returns a script everywhere", request(answer(t, 200,
			`{"creative":{"id":"javascript:1","title":"javascript:1","image":"javascript:1","landing_url":"javascript:1","price_per_click":"javascript:1"}}`)), refused, "image: a javascript: URL"},
		{"returns nothing to show", request(answer(t, 200, `{"creative":{"id":"a"}}`)), refused, "image: there is nothing to show"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, houseAd)
			if got := r.choose(tt.request); got != "house" {
				t.Errorf("shown is %q, want an ad of the house", got)
			}
			r.counts(map[string]float64{"from house": 1, "outcome " + string(tt.want): 1})
			text := r.logged()
			if (text == "") != (tt.log == "") || !strings.Contains(text, tt.log) || strings.Count(text, "\n") > 1 {
				t.Errorf("logged %q, want one line with %q", text, tt.log)
			}
			if tt.log != "" && (!strings.Contains(text, "level=WARN") || !strings.Contains(text, "app=game zone_id=123456 host=")) {
				t.Errorf("logged %q, want a warning that names the zone", text)
			}
			r.Use(carom.Objects{})
			r.logged()
			if got := r.choose(tt.request); got != "" {
				t.Errorf("without creatives: shown is %q, want nothing", got)
			}
		})
	}
}

func TestMaxPriceOfAZone(t *testing.T) {
	url := answer(t, 200, creative(`"price_per_click":"1.5"`))
	r := newRig(t, houseAd)
	q := request(url)
	if got := r.choose(q); got != "house" {
		t.Errorf("with the default: shown is %q, want the house's", got)
	}
	q.Zone.AdServer.MaxPrice = 1_500_000_000
	if got := r.choose(q); got != "a" {
		t.Errorf("with 1.5: shown is %q, want the ad server's", got)
	}
	q.Zone.AdServer.MaxPrice = 1_499_999_999
	if got := r.choose(q); got != "house" {
		t.Errorf("with a billionth less: shown is %q, want the house's", got)
	}
}

func TestLinesOfTheLog(t *testing.T) {
	url := answer(t, 200, creative(`"id":"x","price_per_click":7`))
	r := newRig(t, houseAd)
	q := request(url + "/?key=hunter2")
	for range 20 {
		r.choose(q)
	}
	text := r.logged()
	if strings.Count(text, "\n") != 1 || strings.Contains(text, "hunter2") {
		t.Errorf("logged %q, want one line without the key", text)
	}
	r.pass(59 * time.Second)
	if r.choose(q); r.logged() != "" {
		t.Error("logged a second line within a minute")
	}
	r.pass(time.Second)
	if r.choose(q); !strings.Contains(r.logged(), "price_per_click") {
		t.Error("logged nothing after a minute")
	}
	r.counts(map[string]float64{"from house": 22, "outcome refused": 22}) // which are no failures
}

// flaky is an ad server whose health the test changes. It counts what it is asked.
type flaky struct {
	url   string
	ill   atomic.Bool
	asked atomic.Int64
}

func newFlaky(t *testing.T) *flaky {
	f := &flaky{}
	f.url = serve(t, func(w http.ResponseWriter, _ *http.Request) {
		f.asked.Add(1)
		if f.ill.Load() {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		_, _ = io.WriteString(w, goodAd)
	})
	return f
}

func TestAdServerThatFailsIsLeftAlone(t *testing.T) {
	f := newFlaky(t)
	r := newRig(t, houseAd)
	q := request(f.url)
	use := func() { r.Use(carom.Objects{Creatives: []carom.Creative{houseAd}, Zones: []carom.Zone{q.Zone}}) }
	use()
	// ask asks so often, and says how many of the questions reached the ad server.
	ask := func(n int) int64 {
		t.Helper()
		before := f.asked.Load()
		for range n {
			r.choose(q)
		}
		return f.asked.Load() - before
	}
	f.ill.Store(true)
	if got := ask(maxFailures - 1); got != maxFailures-1 {
		t.Fatalf("%d of the first questions reached it", got)
	}
	f.ill.Store(false)
	if ask(1); r.choose(q) != "a-1" {
		t.Fatal("it is left alone before it failed often enough")
	}
	f.ill.Store(true)
	if got := ask(20); got != maxFailures {
		t.Fatalf("%d questions reached it, want %d, which fail in a row", got, maxFailures)
	}
	if text := r.logged(); strings.Count(text, "left alone for a while") != 1 {
		t.Errorf("logged %q, want a line that it is left alone", text)
	}
	for i, pause := range []time.Duration{1, 2, 4, 8, 16, 30, 30} {
		r.pass(pause*time.Second - time.Nanosecond)
		if got := ask(3); got != 0 {
			t.Fatalf("pause %d: %d questions reached it before its end", i, got)
		}
		use() // objects that change do not make it well
		r.pass(time.Nanosecond)
		if got := ask(3); got != 1 {
			t.Fatalf("after pause %d: %d questions reached it, want one probe", i, got)
		}
	}
	f.ill.Store(false)
	r.logged()
	r.pass(lastPause)
	if got := ask(3); got != 3 {
		t.Errorf("%d questions reached it when it was well again, want all", got)
	}
	if text := r.logged(); !strings.Contains(text, `level=INFO msg="an ad server answers again"`) || strings.Count(text, "\n") != 1 {
		t.Errorf("logged %q, want that it answers again", text)
	}
	f.ill.Store(true)
	ask(maxFailures)
	r.pass(firstPause)
	if got := ask(3); got != 1 {
		t.Errorf("%d questions reached it after the first pause of its next illness, want one probe", got)
	}
	r.pass(-24 * time.Hour)
	if got := ask(3); got != 1 {
		t.Errorf("%d questions reached it after the clock was set back, want one probe", got)
	}
	r.Use(carom.Objects{Creatives: []carom.Creative{houseAd}})
	if got := ask(1); got != 1 {
		t.Errorf("%d questions reached it after no zone had it for a while, want all", got)
	}
}

// TestZonesShareAnAdServer: those with the same settings do, and a zone with a short timeout harms no other.
func TestZonesShareAnAdServer(t *testing.T) {
	f := newFlaky(t)
	f.ill.Store(true)
	r := newRig(t, houseAd)
	first, same, patient := request(f.url), request(f.url), request(f.url)
	same.Zone.ID, same.Zone.AdServer.MaxPrice = "2", 5
	patient.Zone.ID, patient.Zone.AdServer.Timeout = "3", time.Second
	for range maxFailures {
		r.choose(first)
	}
	r.choose(same)
	if got := f.asked.Load(); got != maxFailures {
		t.Errorf("a zone with the same ad server asked it: %d questions", got)
	}
	r.choose(patient)
	if got := f.asked.Load(); got != maxFailures+1 {
		t.Errorf("a zone with more patience did not ask: %d questions", got)
	}
}

func TestOneProbeAtATime(t *testing.T) {
	var hang atomic.Bool
	arrived, leave := make(chan struct{}), make(chan struct{})
	var asked atomic.Int64
	url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		if hang.Load() {
			arrived <- struct{}{}
			<-leave
			_, _ = io.WriteString(w, goodAd)
			return
		}
		w.WriteHeader(http.StatusInternalServerError)
	})
	r := newRig(t, houseAd)
	q := request(url)
	for range maxFailures {
		r.choose(q)
	}
	r.pass(firstPause)
	hang.Store(true)
	probe := make(chan string)
	go func() {
		ad, err := r.Choose(t.Context(), q)
		if err != nil || ad == nil {
			t.Error("the probe: no ad", err)
			close(probe)
			return
		}
		probe <- ad.Creative
	}()
	<-arrived
	for range 10 {
		if got := r.choose(q); got != "house" {
			t.Errorf("beside the probe, shown is %q, want the house's", got)
		}
	}
	if got := asked.Load(); got != maxFailures+1 {
		t.Errorf("it was asked %d times, want one probe", got)
	}
	close(leave)
	if got := <-probe; got != "a-1" {
		t.Errorf("the probe shows %q, want the ad server's", got)
	}
}

func TestInFlightIsBounded(t *testing.T) {
	arrived, leave := make(chan struct{}), make(chan struct{})
	url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		arrived <- struct{}{}
		<-leave
		_, _ = io.WriteString(w, goodAd)
	})
	r := newRig(t, houseAd)
	q := request(url)
	q.Zone.AdServer.Timeout = time.Minute // no slow machine may end it
	var waiting sync.WaitGroup
	for range maxInFlight {
		waiting.Go(func() {
			if ad, err := r.Choose(t.Context(), q); err != nil || ad == nil || ad.Creative != "a-1" {
				t.Errorf("one that waited: ad %v, error %v, want the ad server's", ad, err)
			}
		})
	}
	for range maxInFlight {
		<-arrived
	}
	for range 5 {
		if got := r.choose(q); got != "house" {
			t.Errorf("one more is shown %q, want the house's at once", got)
		}
	}
	other := request(answer(t, 200, goodAd))
	if got := r.choose(other); got != "a-1" {
		t.Errorf("another ad server: shown is %q, want its ad", got)
	}
	close(leave)
	waiting.Wait()
	r.counts(map[string]float64{"from ad_server": maxInFlight + 1, "from house": 5, "outcome filled": maxInFlight + 1, "outcome skipped": 5})
}

// TestCallerWhoLeaves: that is an error, and says nothing of the ad server.
func TestCallerWhoLeaves(t *testing.T) {
	gone := errors.New("the page was closed")
	arrived := make(chan struct{}, 1)
	ill := atomic.Bool{}
	r := newRig(t, houseAd)
	var asked int
	r.opts.Client = clientFunc(func(ctx context.Context, _ egress.Request) egress.Result {
		asked++
		if ill.Load() {
			return egress.Result{Phase: egress.PhaseTimeout, Err: errors.New("not done within 300ms")}
		}
		arrived <- struct{}{}
		<-ctx.Done()
		return egress.Result{Phase: egress.PhaseCanceled, Err: context.Cause(ctx)}
	})
	q := request("http://ads.example")
	leave := func() {
		t.Helper()
		ctx, cancel := context.WithCancelCause(t.Context())
		go func() {
			<-arrived
			cancel(gone)
		}()
		if ad, err := r.Choose(ctx, q); ad != nil || !errors.Is(err, gone) {
			t.Errorf("got %v, %v; want the error that says why", ad, err)
		}
	}
	for range 2 * maxFailures {
		leave()
	}
	r.counts(map[string]float64{})
	ill.Store(true)
	for range maxFailures + 1 {
		r.choose(q)
	}
	if asked != 3*maxFailures {
		t.Errorf("it was asked %d times, want %d: those who left count for nothing", asked, 3*maxFailures)
	}
	// A probe that nobody waited for leaves the next one to be the probe.
	ill.Store(false)
	r.pass(firstPause)
	leave()
	leave()
	if asked != 3*maxFailures+2 {
		t.Errorf("it was asked %d times, want two probes more", asked)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(gone)
	if ad, err := r.Choose(ctx, request("")); ad != nil || !errors.Is(err, gone) {
		t.Errorf("one who had left before: got %v, %v; want the error that says why", ad, err)
	}
}

// TestLateAnswers: of those that were under way when an ad server was left alone, failures say nothing new, and an answer says
// that it is well.
func TestLateAnswers(t *testing.T) {
	s := &adServer{}
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for range maxFailures + 3 {
		if probe, ok := s.enter(now); probe || !ok {
			t.Fatalf("enter: probe %v, ok %v; want a place", probe, ok)
		}
	}
	var pauses []time.Duration
	for range maxFailures + 2 {
		pause, _ := s.leave(now, false, ill)
		pauses = append(pauses, pause)
	}
	if diff := cmp.Diff([]time.Duration{0, 0, 0, 0, firstPause, 0, 0}, pauses); diff != "" {
		t.Errorf("pauses (-want +got):\n%s", diff)
	}
	if _, ok := s.enter(now); ok {
		t.Error("one that failed may be asked")
	}
	if _, recovered := s.leave(now, false, well); !recovered {
		t.Error("a late answer does not say that it is well")
	}
	if probe, ok := s.enter(now); probe || !ok {
		t.Errorf("enter: probe %v, ok %v; want a place", probe, ok)
	}
	s.leave(now, false, well)
	if s.inFlight != 0 {
		t.Errorf("%d are in flight at the end", s.inFlight)
	}
}
