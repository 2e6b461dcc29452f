package api

import (
	"context"
	"crypto/rand"
	"fmt"
	"math"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"carom"
	"carom/internal/route"

	"github.com/danielgtaylor/huma/v2"
)

// Trial is a test postback, rendered and ready to be sent once.
type Trial struct {
	Endpoint *route.Endpoint // its AllowPrivate, Timeout and Success count as for a delivery
	Request  route.Request
}

// TrialResult is what came of a [Trial], judged as an attempt of a delivery would be.
type TrialResult struct {
	State  carom.DeliveryState // Delivered; Pending: a delivery would be tried again; Dead: it would be given up
	Reason string              // for people; empty when it was delivered as expected
	Flags  carom.AttemptFlags
	Took   time.Duration

	Status      int    // 0 when no answer came
	ContentType string // as sent
	Body        []byte // the first bytes
	Err         error  // nil when an answer came; holds no part of the request
	Phase       string // of Err, in the words of internal/egress: "resolve", "refused", "connect", "tls", "write", "read", "timeout", …
	Address     netip.AddrPort
}

const (
	trialsPerMinute = 10           // of a publisher: enough to set something up, too few to flood anybody
	maxTrialAnswer  = 4 << 10      // bytes of an answer that are shown
	maxTrialField   = 256          // bytes of what the caller may choose, as of an event
	testHeader      = "Carom-Test" // says the same as {test}, to those whose template lacks it
)

// trials counts the tests of each publisher in the last minute.
type trials struct {
	mu    sync.Mutex
	fired map[string][]time.Time // guarded by mu
}

// take counts one test, or says how long to wait for the next.
func (t *trials) take(publisher string, now time.Time) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.fired == nil {
		t.fired = map[string][]time.Time{}
	}
	recent := slices.DeleteFunc(t.fired[publisher], func(at time.Time) bool { return now.Sub(at) >= time.Minute || at.After(now) })
	if len(recent) >= trialsPerMinute {
		t.fired[publisher] = recent
		return time.Minute - now.Sub(recent[0])
	}
	t.fired[publisher] = append(recent, now)
	return 0
}

// TestPostback says what a test is about. What is absent gets a value that a receiver can see is a test.
type TestPostback struct {
	EventType       string `json:"event_type,omitempty" doc:"impression, click, or another type; absent: the first that the endpoint lets through"`
	RewardEventType string `json:"reward_event_type,omitempty" enum:"valued,not_valued" doc:"Absent: the first that the endpoint lets through"`
	YMID            string `json:"ymid,omitempty" doc:"Absent: carom-test- and a random text. One of your own may be rewarded by your server"`
	RequestVar      string `json:"request_var,omitempty"`
	TelegramID      string `json:"telegram_id,omitempty" doc:"Absent: empty"`
	ZoneID          string `json:"zone_id,omitempty" doc:"Absent: the first zone that the endpoint lets through"`
	SubZoneID       string `json:"sub_zone_id,omitempty"`
}

// TestResult is what became of a test.
type TestResult struct {
	Request  TestRequest    `json:"request"`
	Answer   *TestAnswer    `json:"answer,omitempty" doc:"Absent: none came"`
	TookMS   float64        `json:"took_ms"`
	Error    string         `json:"error,omitempty" doc:"Why no answer came"`
	Phase    string         `json:"phase,omitempty" doc:"How far it got: resolve, refused, connect, tls, write, read, timeout"`
	Verdict  string         `json:"verdict" enum:"delivered,would_retry,would_give_up" doc:"What it would mean for a delivery"`
	Meaning  string         `json:"meaning" doc:"The same in a sentence, with what to do"`
	Verified bool           `json:"verified" doc:"Whether a signature was sent"`
	Problems []SetupProblem `json:"problems" nullable:"false" doc:"Why in earnest the endpoint would get no such event"`
}

// TestRequest is what was sent, secrets masked.
type TestRequest struct {
	Method     string           `json:"method"`
	URL        string           `json:"url"`
	Headers    []carom.Field    `json:"headers" nullable:"false"`
	Body       string           `json:"body,omitempty"`
	DeliveryID carom.DeliveryID `json:"delivery_id"`
	YMID       string           `json:"ymid"`
}

// TestAnswer is what the server said.
type TestAnswer struct {
	Status      int    `json:"status"`
	ContentType string `json:"content_type"`
	Body        string `json:"body" doc:"Its first 4 KiB. It is text from another server: show it as text"`
	Truncated   bool   `json:"truncated,omitempty"`
	Address     string `json:"address,omitempty" doc:"Where the server was reached"`
}

type testEndpointIn struct {
	PublisherEndpointPath
	Body *TestPostback
}

type testResultOut struct{ Body TestResult }

// testEndpoint sends one request. Nothing of it is stored or counted, but the lane of the endpoint is not asked either: a test goes
// out while the endpoint is paused, and beyond its rate.
func (s *service) testEndpoint(ctx context.Context, in *testEndpointIn) (*testResultOut, error) {
	if _, err := s.publisher(ctx, in.Publisher); err != nil {
		return nil, err
	}
	o := s.Objects.Objects()
	i, err := ownEndpoint(o, in.Publisher, in.App, in.Name)
	if err != nil {
		return nil, err
	}
	return s.fire(ctx, in.Publisher, o.Endpoints[i], in.Body)
}

// fire sends one request to an endpoint, for a publisher or, with an empty name, for the operator.
func (s *service) fire(ctx context.Context, publisher string, e carom.Endpoint, about *TestPostback) (*testResultOut, error) {
	if about == nil {
		about = &TestPostback{}
	}
	if err := about.check(); err != nil {
		return nil, err
	}
	d := &draft{objects: s.Objects.Objects(), endpoint: e}
	if d.compile(); d.compiled == nil {
		return nil, d.err()
	}
	if s.Try == nil {
		return nil, failf(carom.ErrConflict, "this server sends no tests")
	}
	if wait := s.trials.take(publisher, s.now()); wait > 0 {
		seconds := strconv.Itoa(int(math.Ceil(wait.Seconds())))
		return nil, huma.ErrorWithHeaders(newProblem(http.StatusTooManyRequests, fmt.Sprintf("%d tests a minute may be sent, and no more: wait %s seconds",
			trialsPerMinute, seconds)), http.Header{"Retry-After": {seconds}})
	}
	delivery := d.testDelivery(about, s.now())
	req, err := d.compiled.Render(delivery, 1, s.now())
	if err != nil {
		return nil, fmt.Errorf("render a test for %s: %w", d.endpoint.ID(), err)
	}
	if !slices.ContainsFunc(req.Header, func(h carom.Field) bool { return h.Name == testHeader }) {
		req.Header = append(slices.Clone(req.Header), carom.Field{Name: testHeader, Value: "1"})
	}
	res := s.Try(ctx, Trial{Endpoint: d.compiled, Request: req})
	s.Log.InfoContext(ctx, "test sent", "publisher", publisher, "endpoint_id", d.endpoint.ID(), "status", res.Status, "phase", res.Phase, "who", callerOf(ctx).name)
	out := TestResult{
		Request: TestRequest{Method: req.Method, URL: req.ShownURL, Headers: shownHeaders(req.Header), Body: req.ShownBody,
			DeliveryID: delivery.ID, YMID: delivery.Event.YMID},
		TookMS: float64(res.Took.Microseconds()) / 1000, Phase: res.Phase, Verdict: verdict(res.State), Meaning: meaningOf(&d.endpoint, &res),
		Verified: len(d.endpoint.SigningSecrets) > 0, Problems: d.wouldGet(delivery),
	}
	if res.Err != nil {
		out.Error = res.Err.Error()
	}
	if res.Status != 0 {
		out.Answer = &TestAnswer{Status: res.Status, ContentType: res.ContentType, Body: cutText(string(res.Body), maxTrialAnswer), Truncated: len(res.Body) > maxTrialAnswer}
		if res.Address.IsValid() {
			out.Answer.Address = res.Address.String()
		}
	}
	return &testResultOut{out}, nil
}

// cutText makes text of the first bytes of an answer.
func cutText(text string, limit int) string {
	if len(text) > limit {
		text = text[:limit]
	}
	return strings.ToValidUTF8(text, "�")
}

// check refuses what no event could hold.
func (t *TestPostback) check() error {
	var faults []error
	if t.EventType != "" && carom.CheckName("", t.EventType) != nil {
		faults = append(faults, carom.Invalid("event_type", "%q is no event type: use impression, click, or a word of lower-case letters, digits, - and _", t.EventType))
	}
	for _, f := range []struct{ name, text string }{
		{"ymid", t.YMID}, {"request_var", t.RequestVar}, {"telegram_id", t.TelegramID}, {"zone_id", t.ZoneID}, {"sub_zone_id", t.SubZoneID},
	} {
		if len(f.text) > maxTrialField {
			faults = append(faults, carom.Invalid(f.name, "it has %d bytes: shorten it to %d", len(f.text), maxTrialField))
		}
	}
	return joined(faults)
}

// testDelivery makes a delivery that is none: its ids are of a form that no real one has.
func (d *draft) testDelivery(t *TestPostback, now time.Time) *carom.Delivery {
	del := d.compiled.SampleDelivery()
	ev, no := del.Event, strings.ToLower(rand.Text()[:12])
	del.ID, ev.ID = carom.DeliveryID("dlv_test_"+no), carom.EventID("evt_test_"+no)
	ev.At, del.Since = now.Truncate(time.Millisecond), now
	ev.Flags |= carom.FlagTest
	ev.TelegramID, ev.UserID, ev.ExternalID = t.TelegramID, "", ""
	if ev.YMID = t.YMID; ev.YMID == "" {
		ev.YMID = "carom-test-" + no
	}
	if del.Reward != nil {
		del.Reward.ID, del.Reward.User, del.Reward.Event, del.Reward.YMID = carom.RewardID("rwd_test_"+no), ev.YMID, ev.ID, ev.YMID
	}
	d.testSource(ev)
	d.testZone(ev)
	for _, f := range []struct {
		to    *string
		given string
	}{{&ev.RequestVar, t.RequestVar}, {&ev.ZoneID, t.ZoneID}, {&ev.SubZoneID, t.SubZoneID}, {(*string)(&ev.Type), t.EventType}, {(*string)(&ev.Value), t.RewardEventType}} {
		if f.given != "" {
			*f.to = f.given
		}
	}
	return del
}

// testSource says that the event came by a source of the app, if it has one that the filter lets through.
func (d *draft) testSource(ev *carom.Event) {
	for i := range d.objects.Sources {
		s := &d.objects.Sources[i]
		if s.App == d.endpoint.App && (len(d.endpoint.Filter.Sources) == 0 || slices.Contains(d.endpoint.Filter.Sources, s.Name)) {
			ev.Source, ev.Network = s.Name, s.Profile
			return
		}
	}
}

// testZone says that the event came from a zone of the app, if it has one that the filter lets through.
func (d *draft) testZone(ev *carom.Event) {
	for i := range d.objects.Zones {
		z := &d.objects.Zones[i]
		if z.App != d.endpoint.App || len(d.endpoint.Filter.Zones) > 0 && !slices.Contains(d.endpoint.Filter.Zones, z.ID) {
			continue
		}
		ev.ZoneID, ev.SubZoneID = z.ID, ""
		for _, f := range carom.Formats() {
			if id, ok := z.SubZones[f]; ok && f.Sends(ev.Type) {
				ev.SubZoneID = id
				break
			}
		}
		return
	}
}

// wouldGet says why the endpoint would not get such an event in earnest, if so.
func (d *draft) wouldGet(del *carom.Delivery) []SetupProblem {
	list := []SetupProblem{}
	if d.endpoint.Sends == carom.SendsEvents && !d.compiled.Matches(del.Event) {
		list = append(list, SetupProblem{Level: levelWarning, Message: "in earnest such an event would not be sent: the endpoint lets other " +
			"event_types, values or zones through alone"})
	}
	if d.endpoint.Paused {
		list = append(list, SetupProblem{Level: levelWarning, Message: "in earnest nothing is sent now: the operator has paused the endpoint"})
	}
	return list
}

func verdict(state carom.DeliveryState) string {
	switch state {
	case carom.Delivered:
		return "delivered"
	case carom.Pending:
		return "would_retry"
	}
	return "would_give_up"
}

// meaningOf says what a result means to those who set the endpoint up.
func meaningOf(e *carom.Endpoint, r *TrialResult) string {
	again := "; carom would try again until " + carom.FormatDuration(e.WithDefaults().Deadline) + " have passed"
	if r.State != carom.Pending {
		again = "; carom would give the delivery up"
	}
	if r.Status == 0 {
		return noAnswer(e, r) + again
	}
	status := fmt.Sprintf("your server answered %d", r.Status)
	success := r.Status >= 200 && r.Status < 300
	switch {
	case success && r.State == carom.Delivered && r.Flags&carom.AttemptHTML != 0:
		return status + " with an HTML page: carom would count it as delivered, but such a page is most often a catch-all that takes every path. " +
			"Check the URL, and answer with a short text"
	case success && r.State == carom.Delivered:
		return status + ": carom would count it as delivered"
	case success:
		return fmt.Sprintf("%s, but by the endpoint's texts for success (contains, not_contains) that is a failure: change the answer or the texts%s", status, again)
	case r.Status >= 300 && r.Status < 400:
		return status + ": redirects are not followed, give the final URL" + again
	}
	for _, known := range []struct {
		status int
		text   string
	}{
		{http.StatusUnauthorized, "it asks for a proof: check the secret or the signature, and let this address in"},
		{http.StatusForbidden, "it does not let this request in: check its firewall, and the secret or the signature"},
		{http.StatusNotFound, "nothing takes postbacks at this path: check the URL"},
		{http.StatusMethodNotAllowed, "it takes another method at this path: change GET to POST, or the other way round"},
		{http.StatusGone, "it says that nothing will ever be there"},
		{http.StatusTooManyRequests, "it takes no more for now: answers like this slow down every delivery"},
	} {
		if r.Status == known.status {
			return status + ": " + known.text + again
		}
	}
	if r.Status >= 500 {
		return status + ": it failed by itself, look at its log" + again
	}
	return status + ": it refuses the request. For what it wants no more of, a receiver answers 200, or carom repeats" + again
}

// noAnswer says why none came.
func noAnswer(e *carom.Endpoint, r *TrialResult) string {
	switch r.Phase {
	case "resolve":
		return "the host has no address: check its name in the URL"
	case "refused":
		return "the host leads to an address that carom does not dial, since it is not public: give the public address of your server"
	case "connect":
		return "nothing takes connections there: check host and port, and let carom's addresses through the firewall"
	case "tls":
		return "no encrypted connection came about: check the certificate, its names and its end"
	case "timeout":
		return "no whole answer came within " + carom.FormatDuration(e.WithDefaults().Timeout) + ": answer first, and do the work afterwards"
	case "write", "read":
		return "the connection broke before an answer was there: look at the log of your server, or of the proxy before it"
	case "canceled":
		return "the test was cut short"
	}
	return "the request could not be made: check the URL"
}
