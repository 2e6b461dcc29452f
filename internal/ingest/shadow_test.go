package ingest

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"carom"
	"carom/internal/network"
)

func TestClassifyAnswers(t *testing.T) {
	for _, tt := range []struct {
		status int
		body   string
		want   answerClass
	}{
		{0, "", answerNone},
		{200, "", answerSuccess},
		{200, "OK", answerSuccess},
		{204, "", answerSuccess},
		{200, `{"ok": true, "error": null, "granted": 5}`, answerSuccess},
		{200, `{"ok": false}`, answerError},
		{200, `{"status":"ERROR","detail":"db is locked"}`, answerError},
		{200, "Fatal error: Uncaught Exception in postback.php", answerError},
		{200, "duplicate", answerDeclined},
		{200, `{"error":"already rewarded"}`, answerDeclined},
		{200, "event not valued", answerDeclined},
		{302, "", answerFault},
		{500, "OK", answerFault},
		{429, "", answerRefusal},
		{404, "Cannot GET /p", answerRefusal},
	} {
		if got := classify(tt.status, tt.body); got != tt.want {
			t.Errorf("classify(%d, %q) = %q, want %q", tt.status, tt.body, got, tt.want)
		}
	}
}

func TestShapeOfAnswers(t *testing.T) {
	values := func(query string) url.Values {
		v, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	alike := func(a, queryA, b, queryB string) bool {
		return shape(200, a, values(queryA)) == shape(200, b, values(queryB))
	}
	for _, tt := range []struct {
		a, queryA, b, queryB string
		want                 bool
	}{
		{"OK", "ymid=v1", "OK", "ymid=v2", true},
		{"paid anna-long", "ymid=anna&x=anna-long", "paid bob-long", "ymid=bob&x=bob-long", true},
		{`{"id":1001,"at":"2026-03-04T12:00:00Z"}`, "", `{"id":1002,"at":"2026-03-04T12:00:09Z"}`, "", true},
		{`{"tx":"9f86d081-884c"}`, "", `{"tx":"5feceb66-ffc8"}`, "", true},
		{`{"granted":1}`, "", `{"granted":0}`, "", false},
		{"paid", "", "duplicate", "", false},
	} {
		if got := alike(tt.a, tt.queryA, tt.b, tt.queryB); got != tt.want {
			t.Errorf("%q and %q alike: %v, want %v", tt.a, tt.b, got, tt.want)
		}
	}
	if shape(200, "OK", nil) == shape(201, "OK", nil) {
		t.Error("answers of different statuses have one shape")
	}
}

// step is one request to judge: what carom made of it, and the answer.
type step struct {
	seen   judged
	status int
	body   string
}

// compareAll judges steps in order as the store does, and returns what was found of each.
func compareAll(steps []step) [][]carom.ShadowKind {
	notes := map[[16]byte][]byte{}
	var source []byte
	var found [][]carom.ShadowKind
	for _, s := range steps {
		c := &comparison{judged: s.seen, source: "ads", at: noon(), asked: true, class: classify(s.status, s.body), shape: shape(s.status, s.body, nil)}
		f := c.judge(notes[c.claim.Sum], source)
		if f.View != nil {
			notes[c.claim.Sum] = f.View
		}
		if f.Source != nil {
			source = f.Source
		}
		found = append(found, f.Kinds)
	}
	return found
}

func TestJudgeOfAnswers(t *testing.T) {
	ev := func(view string, kind carom.EventType, value carom.RewardEventType) judged {
		return judged{outcome: network.Accepted, id: view, kind: kind, value: value, claim: carom.ViewClaim{Sum: carom.SumOf(view), User: "u"}}
	}
	paid := func(view string) judged { return ev(view, carom.Impression, carom.Valued) }
	copied := func(j judged) judged { j.outcome = network.Duplicate; return j }
	odd := func(j judged) judged { j.unusual = true; return j }
	session := func(j judged) judged { j.claim.Joins = 600e9; return j }
	refused := func(reason carom.Reason) judged { return judged{outcome: network.RefusedOutcome, reason: reason} }
	stranger := judged{outcome: network.Unverified, reason: carom.ReasonWrongSecret}
	unknown := judged{outcome: network.Accepted, held: true}
	for _, tt := range []struct {
		name  string
		steps []step
		want  string // kinds of each step
	}{
		{"a stranger is answered as payers are", []step{{paid("1"), 200, "OK"}, {stranger, 200, "OK"}}, "[] [open_door]"},
		{"a stranger is answered with success before anything is known", []step{{stranger, 200, "OK"}}, "[open_door]"},
		{"a stranger is told off with a 200", []step{{paid("1"), 200, "OK"}, {stranger, 200, "who are you"}, {stranger, 401, ""}}, "[] [] []"},
		{"a copy is paid", []step{{paid("1"), 200, "OK"}, {copied(paid("1")), 200, "OK"}}, "[] [copy_paid]"},
		{"a copy is known", []step{{paid("1"), 200, "OK"}, {copied(paid("1")), 200, "duplicate"}}, "[] []"},
		{"a copy of an unpaid event is the same again", []step{{ev("1", carom.Click, carom.NotValued), 200, "OK"}, {copied(ev("1", carom.Click, carom.NotValued)), 200, "OK"}}, "[] []"},
		{"a copy makes a storm", []step{{paid("1"), 200, "OK"}, {copied(paid("1")), 409, ""}}, "[] [repeats]"},
		{"a copy that comes before its original", []step{{copied(paid("1")), 200, "OK"}, {paid("1"), 200, "OK"}}, "[] [view_paid_twice]"},
		{"a copy from before the comparing", []step{{copied(paid("1")), 200, "duplicate"}, {copied(paid("2")), 404, ""}}, "[] [repeats]"},
		{"a repeat after a failure is the first", []step{{paid("1"), 503, ""}, {copied(paid("1")), 200, "OK"}, {copied(paid("1")), 200, "OK"}}, "[failed] [] [copy_paid]"},
		{"a click is paid as well", []step{{paid("1"), 200, "OK"}, {ev("1", carom.Click, carom.Valued), 200, "OK"}}, "[] [view_paid_twice]"},
		{"a click is not paid as well", []step{{paid("1"), 200, "OK"}, {ev("1", carom.Click, carom.Valued), 200, "already"}}, "[] []"},
		{"a user comes again", []step{{session(paid("1")), 200, "OK"}, {session(paid("1")), 200, "OK"}}, "[] []"},
		{"unpaid uses up the id", []step{{ev("1", carom.Click, carom.NotValued), 200, "OK"}, {ev("1", carom.Click, carom.Valued), 409, ""}}, "[] [paid_after_unpaid]"},
		{"unpaid uses up the id in silence", []step{
			{paid("0"), 200, "paid"}, {ev("1", carom.Click, carom.NotValued), 200, "noted"}, {ev("1", carom.Click, carom.Valued), 200, "noted"},
		}, "[] [] [paid_after_unpaid]"},
		{"paid after unpaid", []step{{ev("1", carom.Click, carom.NotValued), 200, "OK"}, {ev("1", carom.Click, carom.Valued), 200, "OK"}}, "[] []"},
		{"another word is refused", []step{{odd(paid("1")), 400, "bad value"}}, "[words]"},
		{"another word is passed over", []step{{paid("0"), 200, "paid"}, {odd(paid("1")), 200, "noted"}}, "[] [words]"},
		{"another word is understood", []step{{paid("0"), 200, "paid"}, {odd(paid("1")), 200, "paid"}}, "[] []"},
		{"the usual words are refused", []step{{paid("1"), 404, ""}, {paid("2"), 200, "ignored"}}, "[paid_refused] [paid_refused]"},
		{"the database is away", []step{{paid("1"), 500, ""}, {paid("2"), 0, ""}, {paid("3"), 200, `{"error":"db"}`}}, "[failed] [failed] [error_body]"},
		{"unpaid is refused", []step{{ev("1", carom.Click, carom.NotValued), 400, ""}}, "[repeats]"},
		{"a reversal is refused or ignored", []step{{ev("1", carom.Reversal, ""), 400, ""}, {ev("2", carom.Reversal, ""), 200, "ignored"}, {ev("3", carom.Reversal, ""), 200, "OK"}},
			"[reversal] [reversal] []"},
		{"a macro as text", []step{{refused(carom.ReasonLiteralMacro), 200, "OK"}, {refused(carom.ReasonLiteralMacro), 400, ""}}, "[literal_macro] []"},
		{"an unknown word is paid", []step{{paid("1"), 200, "OK"}, {unknown, 200, "OK"}, {unknown, 200, "what?"}}, "[] [unusable] []"},
		{"a test is refused", []step{{refused(carom.ReasonTest), 400, ""}, {refused(carom.ReasonTest), 200, "OK"}}, "[repeats] []"},
		{"answers that all differ measure nothing", func() []step {
			var steps []step
			for i := range 9 {
				steps = append(steps, step{paid(fmt.Sprint(i)), 200, strings.Repeat("x", i)})
			}
			return append(steps, step{odd(paid("last")), 200, "something else"})
		}(), "[] [] [] [] [] [] [] [] [] []"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := compareAll(tt.steps)
			if text := strings.Trim(fmt.Sprint(got), "[]"); text != strings.Trim(tt.want, "[]") {
				t.Errorf("found %v, want %s", got, tt.want)
			}
		})
	}
}

// receiverFunc is today's receiver.
type receiverFunc func(*http.Request) (*http.Response, error)

func (f receiverFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// shadowDoor is a door whose source game/ads is in shadow of a receiver.
func shadowDoor(t *testing.T, f *fake, receiver receiverFunc) *Door {
	t.Helper()
	d := door(t, f, Options{PassOn: receiver})
	profiles, err := network.Profiles()
	if err != nil {
		t.Fatal(err)
	}
	catalog, _, err := Compile(carom.Objects{Apps: []carom.App{{Name: "game"}}, Sources: []carom.Source{{
		App: "game", Name: "ads", Profile: "monetag", Secrets: []carom.SecretSum{{Sum: sha256.Sum256([]byte(testSecret))}},
		Mode: carom.SourceShadow, ShadowURL: "https://old.example/postback?key=the-receivers-own",
	}}}, profiles, "")
	if err != nil {
		t.Fatal(err)
	}
	d.Use(catalog)
	return d
}

func says(status int, body string) *http.Response {
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body))}
}

// kept keeps entries, and what their judges say to an empty past.
type kept struct {
	entries []carom.ShadowEntry
	err     error
}

func (k *kept) Compare(_ context.Context, entries []carom.ShadowEntry) (int, error) {
	if k.err != nil {
		return 0, k.err
	}
	k.entries = append(k.entries, entries...)
	return len(entries), nil
}

// Whatever becomes of carom's own work, the network gets the receiver's answer.
func TestTheReceiversAnswerCounts(t *testing.T) {
	f := &fake{err: fmt.Errorf("no space: %w", carom.ErrUnavailable)}
	d := shadowDoor(t, f, func(*http.Request) (*http.Response, error) { return says(202, "thanks"), nil })
	if w := send(f, d, postback(testSecret, "ymid=v1&event=click")); w.Code != 202 || w.Body.String() != "thanks" || w.Header().Values("Content-Type") != nil {
		t.Errorf("answered %d %q %v, want the receiver's answer", w.Code, w.Body, w.Header())
	}
	var k kept
	d.storeTrials(t.Context(), &k)
	if len(k.entries) != 1 || k.entries[0].Judge(nil, nil).Compared {
		t.Errorf("compared %+v, though carom could not judge", k.entries)
	}
}

// A receiver that says too much is cut, one that breaks off makes the network repeat, and neither reaches the log with a secret.
func TestAReceiverThatMisbehaves(t *testing.T) {
	f := &fake{}
	body := strings.Repeat("x", shadowAnswerBytes+1)
	var fault error
	var asked *http.Request
	d := shadowDoor(t, f, func(r *http.Request) (*http.Response, error) {
		if asked = r; fault != nil {
			return nil, fault
		}
		return says(200, body), nil
	})
	if w := send(f, d, postback(testSecret, "ymid=v1&event=click")); w.Body.Len() != shadowAnswerBytes {
		t.Errorf("%d bytes were relayed, want %d", w.Body.Len(), shadowAnswerBytes)
	}
	if _, limited := asked.Context().Deadline(); !limited {
		t.Error("the receiver has no deadline")
	}
	fault = errors.New("cannot reach /postback?key=the-receivers-own")
	if w := send(f, d, postback(testSecret, "ymid=v2&event=click")); w.Code != 503 || w.Header().Get("Retry-After") == "" {
		t.Errorf("answered %d %v, want try later", w.Code, w.Header())
	}
	body, fault = "key the-receivers-own, ymid v3", nil
	send(f, d, postback(testSecret, "ymid=v3&event=click"))
	var k kept
	d.storeTrials(t.Context(), &k)
	if len(k.entries) != 3 {
		t.Fatalf("%d entries, want 3", len(k.entries))
	}
	want := carom.ShadowExample{At: noon(), ID: string(f.accepted[2].Event.ID), Judged: "click", Answered: "200 OK: key ***, ymid v3"}
	if diff := cmp.Diff(want, k.entries[2].Judge(nil, nil).Example); diff != "" {
		t.Errorf("the example (-want +got):\n%s", diff)
	}
	if w := send(f, d, httptest.NewRequest("POST", "/in/game/ads/"+testSecret, strings.NewReader(strings.Repeat("x", MaxBodyBytes+1)))); w.Code != 200 {
		t.Errorf("a body that is too large is answered %d, want carom's refusal of it", w.Code)
	}
}

// At most so many requests wait for a receiver. More are told to try later, and are no burden to carom.
func TestAReceiverThatHangs(t *testing.T) {
	f := &fake{}
	inside, release := make(chan struct{}, shadowAtOnce), make(chan struct{})
	d := shadowDoor(t, f, func(*http.Request) (*http.Response, error) {
		inside <- struct{}{}
		<-release
		return says(403, ""), nil
	})
	d.opts.Store = &lockedStore{fake: f}
	var wg sync.WaitGroup
	for range shadowAtOnce {
		wg.Go(func() { d.Postback(httptest.NewRecorder(), postback("a-wrong-secret", "ymid=v1")) })
	}
	for range shadowAtOnce {
		<-inside
	}
	w := httptest.NewRecorder()
	d.Postback(w, postback(testSecret, "ymid=v1&event=click"))
	if w.Code != 503 || len(f.accepted) != 0 {
		t.Errorf("one too many is answered %d with %d events, want try later and nothing judged", w.Code, len(f.accepted))
	}
	close(release)
	wg.Wait()
	var k kept
	d.storeTrials(t.Context(), &k)
	var n int64
	for _, e := range k.entries {
		n += e.N
	}
	if len(k.entries) != 2 || n != shadowAtOnce+1 {
		t.Errorf("%d entries stand for %d requests, want one for all that proved nothing and one for what was missed", len(k.entries), n)
	}
}

// lockedStore lets several handlers use a fake.
type lockedStore struct {
	*fake
	mu sync.Mutex // guards the fake
}

func (s *lockedStore) Unverified(v carom.Unverified) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fake.Unverified(v)
}

// What cannot be stored, or waits for too long, is counted as missed.
func TestTrialsAreBounded(t *testing.T) {
	d := shadowDoor(t, &fake{}, nil)
	_, src := d.catalog.Load().source("game", "ads")
	one := &trial{door: d, src: src, r: postback(testSecret, ""), seen: judged{outcome: network.Accepted}}
	for range maxWaiting + 5 {
		d.trials.add(one, answer{})
	}
	broken := kept{err: carom.ErrUnavailable}
	d.storeTrials(t.Context(), &broken)
	var k kept
	d.storeTrials(t.Context(), &k)
	if len(k.entries) != 1 || k.entries[0].N != maxWaiting+5 || !k.entries[0].Judge(nil, nil).Missed {
		t.Errorf("%d entries, the first for %d requests; want one for all that were missed", len(k.entries), k.entries[0].N)
	}
}
