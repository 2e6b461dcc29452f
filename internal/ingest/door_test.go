package ingest

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"carom"
	"carom/internal/network"
)

const testSecret = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"

// fake is a store and the lanes, which notes what is asked of them in order.
type fake struct {
	did        []string
	accepted   []*carom.Submission
	refused    []*carom.Refused
	unverified []carom.Unverified
	seen       map[[16]byte]carom.EventID
	keys       map[string]carom.APIKey
	err        error // of Accept and Refuse
	full       bool  // lanes have no room
	answered   func() bool
}

func (f *fake) note(format string, args ...any) {
	if f.answered != nil && f.answered() {
		format = "ANSWERED BEFORE " + format
	}
	f.did = append(f.did, fmt.Sprintf(format, args...))
}

func (f *fake) Accept(subs ...*carom.Submission) {
	f.note("accept %d", len(subs))
	for _, s := range subs {
		if s.Err = f.err; f.err != nil {
			continue
		}
		if first, ok := f.seen[s.Key.Sum]; ok {
			s.Receipt = carom.Receipt{ID: first, Duplicate: true}
			continue
		}
		f.accepted = append(f.accepted, s)
		id := carom.NewEventID(1, carom.Ref{Bucket: 1, Seq: uint32(len(f.accepted))})
		f.seen[s.Key.Sum], s.Event.ID, s.Receipt.ID = id, id, id
	}
}

func (f *fake) Refuse(r *carom.Refused) error {
	f.note("refuse %s", r.Reason)
	f.refused = append(f.refused, r)
	return f.err
}

func (f *fake) Unverified(v carom.Unverified) {
	f.note("unverified %s", v.Reason)
	f.unverified = append(f.unverified, v)
}

func (f *fake) KeyBySum(sum [32]byte) (carom.APIKey, bool) {
	for text, key := range f.keys {
		if sha256.Sum256([]byte(text)) == sum {
			return key, true
		}
	}
	return carom.APIKey{}, false
}

func (f *fake) Reserve(no int) bool {
	f.note("reserve %d", no)
	return !f.full
}

func (f *fake) Unreserve(no int) { f.note("unreserve %d", no) }

func (f *fake) Offer(s *carom.Submission) { f.note("offer %s", s.Event.YMID) }

// noon is when everything happens.
func noon() time.Time { return time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC) }

// door makes a door with two apps: "game" with the sources ads, orders and returns, and one endpoint; "shop" with nothing.
func door(t testing.TB, f *fake, o Options) *Door {
	t.Helper()
	f.seen = map[[16]byte]carom.EventID{}
	profiles, err := network.Profiles()
	if err != nil {
		t.Fatal(err)
	}
	catalog, _, err := Compile(carom.Objects{
		Apps: []carom.App{{Name: "game"}, {Name: "shop"}, {Name: "solo"}},
		Sources: []carom.Source{
			{App: "game", Name: "ads", Profile: "monetag", Secrets: []carom.SecretSum{{Sum: sha256.Sum256([]byte(testSecret))}}},
			{App: "game", Name: "orders", Profile: carom.ProfileAPI, EventTypes: map[string]carom.EventType{"imp": carom.Impression}},
			{App: "game", Name: "returns", Profile: carom.ProfileAPI, DefaultEventType: carom.Reversal},
			{App: "solo", Name: "orders", Profile: carom.ProfileAPI},
		},
		Endpoints: []carom.Endpoint{{No: 7, App: "game", Name: "backend", URL: "https://app.example/p?ymid={ymid}"}},
	}, profiles, "")
	if err != nil {
		t.Fatal(err)
	}
	o.Store, o.Lanes, o.Clock = f, f, noon
	d := New(o)
	d.Use(catalog)
	return d
}

// send gives the door a request and returns the answer. While it runs, the fake knows whether it has been answered.
func send(f *fake, d *Door, r *http.Request) *httptest.ResponseRecorder {
	w := &watched{ResponseRecorder: httptest.NewRecorder()}
	f.answered = func() bool { return w.begun }
	mux := http.NewServeMux()
	d.Postbacks(mux)
	d.Reports(mux)
	mux.ServeHTTP(w, r)
	return w.ResponseRecorder
}

type watched struct {
	*httptest.ResponseRecorder
	begun bool
}

func (w *watched) WriteHeader(status int) {
	w.begun = true
	w.ResponseRecorder.WriteHeader(status)
}

func postback(secret, query string) *http.Request {
	return httptest.NewRequest("GET", "/in/game/ads/"+secret+"?"+query, nil)
}

func TestOrderOfWork(t *testing.T) {
	const click = "ymid=v1&event=click"
	broken := fmt.Errorf("no space: %w", carom.ErrUnavailable)
	tests := []struct {
		name     string
		fake     *fake
		requests []*http.Request
		status   int // of the last
		body     string
		did      []string
	}{
		{"accepted: stored, then offered, then answered", &fake{}, []*http.Request{postback(testSecret, click)}, 200, "OK",
			[]string{"reserve 7", "accept 1", "offer v1"}},
		{"accepted with a full lane: the delivery begins in the table", &fake{full: true}, []*http.Request{postback(testSecret, click)}, 200, "OK",
			[]string{"reserve 7", "accept 1", "offer v1"}},
		{"a copy gives back its place and is answered the same", &fake{}, []*http.Request{postback(testSecret, click), postback(testSecret, click)}, 200, "OK",
			[]string{"reserve 7", "accept 1", "offer v1", "reserve 7", "accept 1", "unreserve 7"}},
		{"a copy with a full lane has no place to give back", &fake{full: true}, []*http.Request{postback(testSecret, click), postback(testSecret, click)}, 200, "OK",
			[]string{"reserve 7", "accept 1", "offer v1", "reserve 7", "accept 1"}},
		{"the store fails: try later, nothing is offered", &fake{err: broken}, []*http.Request{postback(testSecret, click)}, 503, "try later",
			[]string{"reserve 7", "accept 1", "unreserve 7"}},
		{"refused: journaled, then answered", &fake{}, []*http.Request{postback(testSecret, "ymid=v1")}, 200, "refused: ",
			[]string{"refuse no_event_type"}},
		{"the journal fails: try later", &fake{err: broken}, []*http.Request{postback(testSecret, "ymid=v1")}, 503, "try later",
			[]string{"refuse no_event_type"}},
		{"held: nobody is asked for a place", &fake{}, []*http.Request{postback(testSecret, click+"&value=jackpot")}, 200, "OK",
			[]string{"accept 1", "offer v1"}},
		{"unverified: never reaches the accept queue", &fake{err: broken}, []*http.Request{postback("wrong", click)}, 403, "forbidden",
			[]string{"unverified wrong_secret"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := tt.fake
			d := door(t, f, Options{})
			var w *httptest.ResponseRecorder
			for _, r := range tt.requests {
				w = send(f, d, r)
			}
			if w.Code != tt.status || !strings.HasPrefix(w.Body.String(), tt.body) {
				t.Errorf("answered %d %q, want %d %q", w.Code, w.Body, tt.status, tt.body)
			}
			if got := w.Header().Get("Retry-After"); (got == "5") != (tt.status == 503) || got != "" && tt.status != 503 {
				t.Errorf("%d has the Retry-After %q", w.Code, got)
			}
			if diff := cmp.Diff(tt.did, f.did); diff != "" {
				t.Errorf("what was done (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTheSecretIsKeptNowhere(t *testing.T) {
	f, logged := &fake{}, &bytes.Buffer{}
	d := door(t, f, Options{Log: slog.New(slog.NewTextHandler(logged, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	post := func(contentType, body string) *http.Request {
		r := httptest.NewRequest("POST", "/in/game/ads/"+testSecret+"?x="+testSecret, strings.NewReader(body))
		r.Header.Set("Content-Type", contentType)
		return r
	}
	send(f, d, postback(testSecret, "ymid=1&event=click&url=https%3A%2F%2Fcarom%2Fin%2Fgame%2Fads%2F"+testSecret))
	send(f, d, postback(testSecret, "ymid="+testSecret+"&event=click"))
	send(f, d, post("application/x-www-form-urlencoded", "ymid=2&event=click&key="+testSecret))
	send(f, d, post("application/json", `{"ymid":"3","event":"click","key":"`+testSecret+`"}`))
	send(f, d, post("text/xml", "<key>"+testSecret+"</key>"))
	send(f, d, postback(testSecret, "event="+testSecret+"&ymid=4"))
	send(f, d, httptest.NewRequest("GET", "/in/game/ads/"+testSecret+"/?x="+testSecret, nil))
	send(f, d, httptest.NewRequest("GET", "/in/game/adz/"+testSecret+"?x="+testSecret, nil))
	if len(f.accepted) != 4 || len(f.refused) != 2 || len(f.unverified) != 2 {
		t.Fatalf("%d accepted, %d refused, %d unverified; want 4, 2, 2", len(f.accepted), len(f.refused), len(f.unverified))
	}
	kept := logged.String()
	for _, s := range f.accepted {
		kept += fmt.Sprintf("%+v\n%s\n", *s.Event, s.Event.Received.Body)
	}
	for _, r := range f.refused {
		kept += fmt.Sprintf("%+v\n%s\n", *r, r.Received.Body)
	}
	for _, u := range f.unverified {
		kept += fmt.Sprintf("%+v\n", u)
	}
	if i := strings.Index(kept, testSecret); i >= 0 {
		t.Errorf("the secret is kept: …%s", kept[max(i-200, 0):i+len(testSecret)])
	}
}

func TestABodyThatEndsEarlyMayBeSentAgain(t *testing.T) {
	f := &fake{}
	d := door(t, f, Options{})
	r := httptest.NewRequest("POST", "/in/game/ads/"+testSecret, io.MultiReader(strings.NewReader("ymid=1&ev"), brokenReader{}))
	if w := send(f, d, r); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" || len(f.did) != 0 {
		t.Errorf("answered %d after %v, want 503 with Retry-After and nothing done", w.Code, f.did)
	}
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, errors.New("connection reset") }

func TestRotatedSecretsCountUntilTheyEnd(t *testing.T) {
	sum := func(secret string, end time.Time) carom.SecretSum {
		return carom.SecretSum{Sum: sha256.Sum256([]byte(secret)), NotAfter: end}
	}
	profiles, err := network.Profiles()
	if err != nil {
		t.Fatal(err)
	}
	catalog, _, err := Compile(carom.Objects{
		Apps: []carom.App{{Name: "game"}},
		Sources: []carom.Source{{App: "game", Name: "ads", Profile: "monetag", Secrets: []carom.SecretSum{
			sum("new", time.Time{}), sum("old", noon().Add(time.Hour)), sum("older", noon().Add(-time.Millisecond)),
		}}},
	}, profiles, "")
	if err != nil {
		t.Fatal(err)
	}
	f := &fake{}
	d := door(t, f, Options{})
	d.Use(catalog)
	for secret, want := range map[string]int{"new": 200, "old": 200, "older": 403, "": 403} {
		if w := send(f, d, postback(secret, "ymid=1&event=click")); w.Code != want {
			t.Errorf("the secret %q is answered %d, want %d", secret, w.Code, want)
		}
	}
}

func TestCompileReportsEveryFault(t *testing.T) {
	profiles, err := network.Profiles()
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = Compile(carom.Objects{
		Apps: []carom.App{{Name: "game"}},
		Sources: []carom.Source{
			{App: "gone", Name: "ads", Profile: "monetag"}, {App: "game", Name: "open", Profile: "monetag"}, {App: "game", Name: "odd", Profile: "nobody"},
		},
		Endpoints: []carom.Endpoint{{App: "game", Name: "bad", URL: "ftp://app.example/"}},
	}, profiles, "")
	for _, want := range []string{"source gone/ads", "source game/open", "source game/odd", "endpoint game/bad"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Compile returned %v, want a fault of %s", err, want)
		}
	}
	if !errors.Is(err, carom.ErrInvalid) {
		t.Errorf("%v is not ErrInvalid", err)
	}
}

// A catalog that changes under load is seen whole: an event goes by the old one or by the new one.
func TestUseUnderLoad(t *testing.T) {
	f := &fake{}
	d := door(t, f, Options{})
	full, none := d.catalog.Load(), &Catalog{}
	stop := make(chan struct{})
	var changing sync.WaitGroup
	changing.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				d.Use([]*Catalog{full, none}[i%2])
			}
		}
	})
	var codes []int
	for range 200 {
		codes = append(codes, send(f, d, postback(testSecret, "ymid=1&event=click")).Code)
	}
	close(stop)
	changing.Wait()
	if i := slices.IndexFunc(codes, func(code int) bool { return code != 200 && code != 403 }); i >= 0 {
		t.Errorf("a postback was answered %d while the catalog changed", codes[i])
	}
}

func TestCompileRefusesMoreEndpointsThanAnEventCanBeOwedTo(t *testing.T) {
	o := carom.Objects{Apps: []carom.App{{Name: "game"}}}
	for i := range carom.MaxFanOut + 1 {
		o.Endpoints = append(o.Endpoints, carom.Endpoint{No: i + 1, App: "game", Name: "e" + strconv.Itoa(i), URL: "https://app.example/"})
	}
	if _, _, err := Compile(o, nil, ""); !errors.Is(err, carom.ErrInvalid) || !strings.Contains(err.Error(), "split the app") {
		t.Errorf("Compile of %d endpoints: %v", len(o.Endpoints), err)
	}
	o.Endpoints = o.Endpoints[1:]
	if _, _, err := Compile(o, nil, ""); err != nil {
		t.Errorf("Compile of %d endpoints: %v", len(o.Endpoints), err)
	}
}
