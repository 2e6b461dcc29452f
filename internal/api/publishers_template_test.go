package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"carom"
	"carom/receiver"

	"github.com/google/go-cmp/cmp"
)

// sayTemplate writes the body of a request about a template.
func sayTemplate(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// problemTexts writes each problem as "level field: message".
func problemTexts(list []SetupProblem) []string {
	out := []string{}
	for _, p := range list {
		out = append(out, p.Level+" "+p.Field+": "+p.Message)
	}
	return out
}

const fine = "https://studio.example/pb?token=s3cret&u={ymid}&e={event_type}&v={reward_event_type}"

func TestPreviewFindsProblems(t *testing.T) {
	no := false
	tests := []struct {
		name     string
		template Template
		want     []string // how each problem begins, or a part of it behind …
	}{
		{"nothing is wrong", Template{URL: fine}, nil},
		{"Monetag's own template", Template{URL: "https://studio.example/postback?ymid={ymid}&zone={zone_id}&event={event_type}&value={reward_event_type}&amount={estimated_price}"},
			[]string{"warning url: nothing proves to your server"}},
		{"signed", Template{URL: "https://studio.example/pb?u={ymid}&e={event_type}&v={reward_event_type}&sig={signature}"}, nil},
		{"a POST of everything is signed", Template{URL: "https://studio.example/pb", Method: "POST"}, nil},
		{"a POST without a signature", Template{URL: "https://studio.example/pb", Method: "POST", Signed: &no}, []string{"warning body: nothing proves"}},
		{"a POST with a secret header", Template{URL: "https://studio.example/pb", Method: "POST", Signed: &no, Headers: []carom.Field{{Name: "Authorization", Value: "Bearer x"}}}, nil},
		{"a macro that is not known", Template{URL: "https://studio.example/pb?u={ymid}&e={event_typ}"}, []string{"fault url: unknown macro {event_typ}: did you mean {event_type}?"}},
		{"every fault", Template{URL: "https://studio.example/pb?u={yimd}", Method: "POST", Body: `{"e": {evnt}`, Headers: []carom.Field{{Name: "Host", Value: "x"}}},
			[]string{"fault url: unknown macro {yimd}: did you mean {ymid}?", "fault body: unknown macro {evnt}", "fault headers.Host: "}},
		{"no URL", Template{}, []string{"fault url: it is missing"}},
		{"no ymid, type and value", Template{URL: "https://studio.example/pb?token=s3cret"},
			[]string{"warning url: there is no {ymid}", "warning url: impressions and clicks come", "warning url: events that are not paid for"}},
		{"only one type", Template{URL: "https://studio.example/pb?token=s3cret&u={ymid}&v={reward_event_type}", EventTypes: []string{"click"}}, nil},
		{"two types", Template{URL: "https://studio.example/pb?token=s3cret&u={ymid}&v={reward_event_type}", EventTypes: []string{"click", "lead"}},
			[]string{"warning url: click and lead come"}},
		{"only what is paid for", Template{URL: "https://studio.example/pb?token=s3cret&u={ymid}&e={event_type}", Values: []string{"valued"}}, nil},
		{"http", Template{URL: "http" + fine[len("https"):]}, []string{"warning url: http is not encrypted"}},
		{"an address of a private network", Template{URL: "https://10.1.2.3/pb?token=s3cret&u={ymid}"}, []string{"fault url: 10.1.2.3 is not a public address: give the public address of your server"}},
		{"this machine", Template{URL: "http://localhost/pb"}, []string{"fault url: localhost is not a public address: give the public", "warning url: http is not"}},
		{"an address in an unusual spelling", Template{URL: "https://127.1/pb"}, []string{"fault url: the host \"127.1\" is an address in an unusual spelling"}},
		{"a dialect", Template{URL: "https://studio.example/pb?token=s3cret&u=[click_id]&e=[event_type]&v=[reward_event_type]", Dialect: "brackets"}, nil},
		{"an unknown macro of a dialect", Template{URL: "https://studio.example/pb?u=[clickid]", Dialect: "brackets"}, []string{"fault url: unknown macro [clickid]: did you mean [click_id]?"}},
		{"what a dialect's template lacks", Template{URL: "https://studio.example/pb?token=s3cret&e=[event_type]&v=[reward_event_type]", Dialect: "brackets"},
			[]string{"warning url: there is no [click_id], so that your server cannot tell which view it is about: add &ymid=[click_id] to its query"}},
		{"no such dialect", Template{URL: fine, Dialect: "percent"}, []string{"fault dialect: there is no dialect \"percent\": name one of brackets"}},
		{"a sub-zone", Template{URL: fine, Zones: []string{"200002"}}, []string{`fault zones[0]: "200002" is a sub-zone, and events carry the main zone as their zone_id: write "200001"`}},
		{"a zone that is not there", Template{URL: fine, Zones: []string{"200001", "200009"}}, []string{`warning zones[1]: the app has no zone "200009"`}},
		{"a zone of popups has no clicks", Template{URL: "https://studio.example/pb?token=s3cret&u={ymid}&v={reward_event_type}", Zones: []string{"300001"}}, nil},
		{"a word that is no value", Template{URL: fine, Values: []string{"paid"}}, []string{`fault values[0]: "paid" is no value`}},
		{"a word that is no type", Template{URL: fine, EventTypes: []string{"click", "a b"}}, []string{`fault event_types[1]: "a b" is no event type`}},
		{"texts for success", Template{URL: fine, Contains: "no", NotContains: "no"}, []string{"fault not_contains: contains holds it"}},
		{"no method", Template{URL: fine, Method: "PUT"}, []string{`fault method: "PUT" is not known`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newSetupWorld()
			w.objects.objects.Zones = append(w.objects.objects.Zones, carom.Zone{App: "studio", ID: "300001", SubZones: map[carom.Format]string{carom.RewardedPopup: "300002"}})
			body := sayTemplate(t, PreviewTemplate{App: "studio", Template: tt.template})
			p := decode[TemplatePreview](t, w.ask(t, "acme", "POST "+ofAcme+"/preview", body), 200)
			got := problemTexts(p.Problems)
			ok := len(got) == len(tt.want)
			for i := range tt.want {
				ok = ok && strings.HasPrefix(got[i], tt.want[i])
			}
			if !ok {
				t.Errorf("problems:\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
			}
			faulty := slices.ContainsFunc(p.Problems, func(p SetupProblem) bool { return p.Level == "fault" })
			if !faulty && !strings.HasPrefix(p.URL, tt.template.URL[:len("http")]) {
				t.Errorf("rendered %q", p.URL)
			}
			if w.objects.applied != 0 || len(w.trials) != 0 {
				t.Error("a preview changed something, or asked somebody")
			}

			// To save it is refused for the same faults, field by field, and for nothing else.
			rec := w.ask(t, "acme", "PUT "+ofAcme+"/endpoints/studio/new", sayTemplate(t, tt.template))
			if !faulty {
				if saved := decode[SavedEndpoint](t, rec, 200); !saved.Saved || !cmp.Equal(problemTexts(saved.Problems), got) {
					t.Errorf("saved with %v, previewed with %v", problemTexts(saved.Problems), got)
				}
				return
			}
			refused := decode[Problem](t, rec, 422)
			var faults []string
			for _, fe := range refused.Errors {
				faults = append(faults, "fault "+fe.Field+": "+fe.Message)
			}
			if diff := cmp.Diff(got[:len(faults)], faults); diff != "" || w.objects.applied != 0 {
				t.Errorf("refused, applied %d times (-preview +refusal):\n%s", w.objects.applied, diff)
			}
		})
	}
}

func TestPreviewRenders(t *testing.T) {
	w := newSetupWorld()
	ask := func(v PreviewTemplate) TemplatePreview {
		t.Helper()
		v.App = "studio"
		return decode[TemplatePreview](t, w.ask(t, "acme", "POST "+ofAcme+"/preview", sayTemplate(t, v)), 200)
	}
	p := ask(PreviewTemplate{Template: Template{
		URL: "https://studio.example/pb?u=[click_id]&p=[payout]&sig=[hash]", Dialect: "brackets",
		Headers: []carom.Field{{Name: "X-View", Value: "[click_id]"}},
	}})
	if p.Method != "GET" || p.URL != "https://studio.example/pb?u=user123&p=0.0023&sig=***" || !p.Signed {
		t.Errorf("%+v", p)
	}
	if diff := cmp.Diff([]carom.Field{{Name: "X-View", Value: "***"}}, p.Headers); diff != "" {
		t.Errorf("headers (-want +got):\n%s", diff)
	}
	var macros []string
	for _, m := range p.Macros {
		macros = append(macros, fmt.Sprintf("%s %s %s %s", m.Where, m.Written, m.Name, m.Sample))
	}
	if diff := cmp.Diff([]string{"url [click_id] ymid user123", "url [payout] estimated_price 0.0023", "headers.X-View [click_id] ymid user123"},
		slices.DeleteFunc(macros, func(m string) bool { return strings.Contains(m, "signature") })); diff != "" {
		t.Errorf("macros (-want +got):\n%s", diff)
	}
	p = ask(PreviewTemplate{Template: Template{URL: "https://studio.example/pb", Method: "POST", Body: `{"u": "{ymid}", "secret": "s3cret"}`}})
	if p.Body != `{"u": "user123", "secret": "***"}` || p.Method != "POST" || !slices.Contains(p.Headers, carom.Field{Name: "Content-Type", Value: "application/json"}) {
		t.Errorf("%+v", p)
	}
	// While there is a fault, what is known is shown all the same.
	p = ask(PreviewTemplate{Template: Template{URL: "https://studio.example/pb?u={ymid}&e={evnt}"}})
	if p.URL != "" || len(p.Macros) != 1 || p.Macros[0].Written != "{ymid}" {
		t.Errorf("%+v", p)
	}
}

func TestPutEndpoint(t *testing.T) {
	w := newSetupWorld()
	put := func(name string, v Template) SavedEndpoint {
		t.Helper()
		return decode[SavedEndpoint](t, w.ask(t, "acme", "PUT "+ofAcme+"/endpoints/studio/"+name, sayTemplate(t, v)), 200)
	}
	signed := Template{URL: "https://studio.example/new?u={ymid}&sig={signature}", Zones: []string{"200001"}, EventTypes: []string{"click"},
		Values: []string{"valued", "empty"}, Contains: "OK"}
	saved := put("new", signed)
	e := w.endpoint("studio", "new")
	if saved.SigningSecret == "" || !strings.HasPrefix(saved.SigningSecret, "whsec_") || string(e.SigningSecrets[0].Key) != saved.SigningSecret || !saved.Signed {
		t.Fatalf("the first secret: %+v", saved)
	}
	want := carom.Endpoint{App: "studio", Name: "new", URL: signed.URL, SigningSecrets: e.SigningSecrets, Success: carom.SuccessRule{Contains: "OK"},
		Filter: carom.Filter{Zones: []string{"200001"}, EventTypes: []carom.EventType{carom.Click}, Values: []carom.RewardEventType{carom.Valued, carom.ValueEmpty}}}
	if diff := cmp.Diff(want, *e); diff != "" {
		t.Errorf("stored (-want +got):\n%s", diff)
	}
	if saved.Endpoint.Name != "new" || !saved.Endpoint.Signed || strings.Contains(w.log.String(), "whsec_") || !strings.Contains(w.log.String(), "studio/new") {
		t.Errorf("%+v\n%s", saved.Endpoint, w.log)
	}
	if again := put("new", signed); again.SigningSecret != "" || len(w.endpoint("studio", "new").SigningSecrets) != 1 {
		t.Errorf("the secret is shown or made again: %+v", again)
	}
	// Without a place for its signature a signed endpoint is refused, unless it is said that it shall not be signed.
	plain := Template{URL: "https://studio.example/new?u={ymid}"}
	if rec := w.ask(t, "acme", "PUT "+ofAcme+"/endpoints/studio/new", sayTemplate(t, plain)); rec.Code != 422 || !strings.Contains(rec.Body.String(), "{signature}") {
		t.Errorf("a signed endpoint without {signature}: %d %s", rec.Code, rec.Body)
	}
	yes, no := true, false
	plain.Signed = &no
	if put("new", plain); len(w.endpoint("studio", "new").SigningSecrets) != 0 {
		t.Error("it is still signed")
	}
	signed.Signed = &yes
	if saved := put("new", signed); saved.SigningSecret == "" {
		t.Error("it was asked to be signed, and has no secret")
	}
	if saved := put("post", Template{URL: "https://studio.example/post", Method: "POST"}); saved.SigningSecret == "" {
		t.Error("a new POST is not signed")
	}
	if saved := put("plain", Template{URL: fine, Default: true}); !w.endpoint("studio", "plain").Default || saved.SigningSecret != "" || saved.Signed {
		t.Error("a GET without a place for a signature is signed")
	}

	// What the operator set stays.
	put("backend", Template{URL: "https://studio.example/other?u={ymid}"})
	if e := w.endpoint("studio", "backend"); e.Rate != 5 || e.Concurrency != 3 || len(e.Schedule) != 1 || e.No != 1 || len(e.Headers) != 0 {
		t.Errorf("what the operator set: %+v", e)
	}
	for _, body := range []string{`{"url":"` + fine + `","allow_private":true}`, `{"url":"` + fine + `","rate":1}`, `{"url":"` + fine + `","schedule":["1s"]}`} {
		if rec := w.ask(t, "acme", "PUT "+studios, body); rec.Code != 422 {
			t.Errorf("%s: %d %s", body, rec.Code, rec.Body)
		}
	}
	if rec := w.ask(t, "acme", "PUT "+ofAcme+"/endpoints/studio/Bad!", `{"url":"`+fine+`"}`); rec.Code != 422 {
		t.Errorf("a name that is none: %d %s", rec.Code, rec.Body)
	}
	if rec := w.ask(t, "acme", "DELETE "+studios, ""); rec.Code != 204 || w.endpoint("studio", "backend") != nil || w.endpoint("den", "backend") == nil {
		t.Errorf("removed: %d %s", rec.Code, rec.Body)
	}
	for i := range maxOwnEndpoints {
		w.objects.objects.Endpoints = append(w.objects.objects.Endpoints, carom.Endpoint{App: "studio", Name: fmt.Sprint("e", i), URL: fine})
	}
	if rec := w.ask(t, "acme", "PUT "+ofAcme+"/endpoints/studio/one-more", `{"url":"`+fine+`"}`); rec.Code != 409 {
		t.Errorf("more than a publisher may make: %d %s", rec.Code, rec.Body)
	}
}

// An operator lets an endpoint into a private network for one host. The publisher cannot turn that to others.
func TestAPublisherChoosesNoOtherPrivateHost(t *testing.T) {
	inside := ofAcme + "/endpoints/studio/inside"
	tests := []struct {
		name, key, url string
		status         int
		private        bool
	}{
		{"another path of the same host", "acme", "http://10.0.0.5/other?u={ymid}", 200, true},
		{"another host of the network", "acme", "http://10.0.0.6/pb?u={ymid}", 422, true},
		{"another port", "acme", "http://10.0.0.5:8080/pb?u={ymid}", 422, true},
		{"a public host: the right is gone", "acme", "https://studio.example/pb?u={ymid}", 200, false},
		{"the operator may", "admin", "http://10.0.0.6/pb?u={ymid}", 200, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newSetupWorld()
			rec := w.ask(t, tt.key, "PUT "+inside, `{"url":"`+tt.url+`"}`)
			if rec.Code != tt.status || w.endpoint("studio", "inside").AllowPrivate != tt.private {
				t.Errorf("status %d, want %d; private %t; body: %s", rec.Code, tt.status, w.endpoint("studio", "inside").AllowPrivate, rec.Body)
			}
		})
	}
}

// What was hidden can be left hidden, and goes nowhere else than before.
func TestHiddenSecretsStay(t *testing.T) {
	const stored = "https://studio.example/pb?token=hunter2&u={ymid}&e={event_type}&v={reward_event_type}"
	header := []carom.Field{{Name: "x-key", Value: "***"}}
	tests := []struct {
		name    string
		url     string
		headers []carom.Field
		want    string // the stored URL, or a part of the fault
		status  int
	}{
		{"as it was shown", "https://studio.example/pb?token=***&u={ymid}&e={event_type}&v={reward_event_type}", header, stored, 200},
		{"with another parameter", "https://studio.example/pb2?token=***&u={ymid}", header, "https://studio.example/pb2?token=hunter2&u={ymid}", 200},
		{"a new secret", "https://studio.example/pb?token=new&u={ymid}", nil, "https://studio.example/pb?token=new&u={ymid}", 200},
		{"to another host", "https://evil.example/pb?token=***&u={ymid}", nil, "*** stands where a secret was hidden", 422},
		{"to another port", "https://studio.example:444/pb?token=***&u={ymid}", nil, "*** stands where a secret was hidden", 422},
		{"over http", "http://studio.example/pb?token=***&u={ymid}", nil, "*** stands where a secret was hidden", 422},
		{"under another name", "https://studio.example/pb?key=***&u={ymid}", nil, "*** stands where a secret was hidden", 422},
		{"a header to another host", "https://evil.example/pb?u={ymid}", header, "headers.x-key", 422},
		{"a header that was not there", stored, []carom.Field{{Name: "X-Other", Value: "***"}}, "headers.X-Other", 422},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newSetupWorld()
			rec := w.ask(t, "acme", "PUT "+studios, sayTemplate(t, Template{URL: tt.url, Headers: tt.headers}))
			if rec.Code != tt.status {
				t.Fatalf("status %d, want %d; body: %s", rec.Code, tt.status, rec.Body)
			}
			if strings.Contains(rec.Body.String(), "hunter2") {
				t.Errorf("the secret is shown: %s", rec.Body)
			}
			e := w.endpoint("studio", "backend")
			if tt.status != 200 {
				if !strings.Contains(rec.Body.String(), tt.want) || e.URL != stored {
					t.Errorf("%s; stored %s", rec.Body, e.URL)
				}
				return
			}
			if e.URL != tt.want || tt.headers != nil && e.Headers[0].Value != "hunter2" {
				t.Errorf("stored %s with %q", e.URL, string(e.Headers[0].Value))
			}
		})
	}
}

func TestRotateSigningSecrets(t *testing.T) {
	w := newSetupWorld()
	e := w.endpoint("studio", "backend")
	e.URL, e.SigningSecrets = "https://studio.example/pb?u={ymid}&sig={signature}", []carom.SigningSecret{
		{Key: "the first secret of all"}, {Key: "an older secret of all", NotAfter: noon().Add(time.Hour)}, {Key: "one that has ended now", NotAfter: noon().Add(-time.Hour)},
	}
	made := decode[MadeSigningSecret](t, w.ask(t, "acme", "POST "+studios+"/secret", `{"keep_old_for":"2h"}`), 200)
	want := []carom.SigningSecret{
		{Key: carom.Masked(made.SigningSecret)}, {Key: "the first secret of all", NotAfter: noon().Add(2 * time.Hour)},
		{Key: "an older secret of all", NotAfter: noon().Add(time.Hour)},
	}
	if diff := cmp.Diff(want, w.endpoint("studio", "backend").SigningSecrets); diff != "" || !made.OldUntil.Equal(noon().Add(2*time.Hour)) {
		t.Errorf("secrets, old until %s (-want +got):\n%s", made.OldUntil, diff)
	}
	if strings.Contains(w.log.String(), "whsec_") || !strings.Contains(w.log.String(), "studio/backend") {
		t.Errorf("log: %s", w.log)
	}
	for range 12 { // more than can sign at once
		w.ask(t, "acme", "POST "+studios+"/secret", "")
	}
	if n := len(w.endpoint("studio", "backend").SigningSecrets); n != 8 {
		t.Errorf("%d secrets", n)
	}
	made = decode[MadeSigningSecret](t, w.ask(t, "acme", "POST "+studios+"/secret", `{"keep_old_for":"0s"}`), 200)
	if got := w.endpoint("studio", "backend").SigningSecrets; len(got) != 1 || string(got[0].Key) != made.SigningSecret || !made.OldUntil.IsZero() {
		t.Errorf("%d secrets, %+v", len(got), made)
	}
	for _, span := range []string{"long", "-1h", "91d"} {
		if rec := w.ask(t, "acme", "POST "+studios+"/secret", `{"keep_old_for":"`+span+`"}`); rec.Code != 422 {
			t.Errorf("%s: %d %s", span, rec.Code, rec.Body)
		}
	}
	w.endpoint("studio", "backend").URL, w.endpoint("studio", "backend").SigningSecrets = fine, nil
	if rec := w.ask(t, "acme", "POST "+studios+"/secret", `{}`); rec.Code != 422 || !strings.Contains(rec.Body.String(), "{signature}") {
		t.Errorf("a template without a place for the signature: %d %s", rec.Code, rec.Body)
	}
}

// A test is one request that says so, and nothing else happens.
func TestTestPostbacks(t *testing.T) {
	w := newSetupWorld()
	e := w.endpoint("studio", "backend")
	e.URL = "https://studio.example/pb?token=hunter2&u={ymid}&z={zone_id}&s={sub_zone_id}&e={event_type}&r={request_var}&d={delivery_id}&test={test}&sig={signature}"
	e.SigningSecrets = []carom.SigningSecret{{Key: "a secret of the tests"}}
	res := decode[TestResult](t, w.ask(t, "acme", "POST "+studios+"/test", ""), 200)
	if len(w.trials) != 1 {
		t.Fatalf("%d requests", len(w.trials))
	}
	sent := w.trials[0].Request
	u, err := url.Parse(sent.URL)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	if q.Get("test") != "1" || !strings.HasPrefix(q.Get("u"), "carom-test-") || !strings.HasPrefix(q.Get("d"), "dlv_test_") || q.Get("z") != "200001" ||
		q.Get("s") != "200002" || q.Get("token") != "hunter2" || q.Get("e") != "impression" {
		t.Errorf("sent %s", sent.URL)
	}
	if err := receiver.VerifyGET(u.RawQuery, "sig", "a secret of the tests"); err != nil || !res.Verified {
		t.Errorf("the signature: %v, verified %t", err, res.Verified)
	}
	if !slices.Contains(sent.Header, carom.Field{Name: "Carom-Test", Value: "1"}) || w.trials[0].Endpoint.ID() != "studio/backend" {
		t.Errorf("headers %v", sent.Header)
	}
	if res.Request.YMID != q.Get("u") || string(res.Request.DeliveryID) != q.Get("d") || strings.Contains(res.Request.URL, "hunter2") || !strings.Contains(res.Request.URL, "sig=***") {
		t.Errorf("shown %+v", res.Request)
	}
	if diff := cmp.Diff(&TestAnswer{Status: 200, ContentType: "text/plain", Body: "ok", Address: "203.0.113.9:443"}, res.Answer); diff != "" || res.TookMS != 12 || res.Verdict != "delivered" {
		t.Errorf("the answer, %v ms, %s (-want +got):\n%s", res.TookMS, res.Verdict, diff)
	}
	second := decode[TestResult](t, w.ask(t, "acme", "POST "+studios+"/test", `{}`), 200)
	if second.Request.DeliveryID == res.Request.DeliveryID || second.Request.YMID == res.Request.YMID {
		t.Error("two tests are alike: a receiver would take the second for a repeat")
	}
	given := decode[TestResult](t, w.ask(t, "acme", "POST "+studios+"/test",
		`{"event_type":"click","reward_event_type":"not_valued","ymid":"mine & mine","request_var":"bonus","zone_id":"7","sub_zone_id":"8"}`), 200)
	if want := "u=mine%20%26%20mine&z=7&s=8&e=click&r=bonus&d="; !strings.Contains(given.Request.URL, want) || given.Request.YMID != "mine & mine" {
		t.Errorf("%s lacks %s", given.Request.URL, want)
	}
	if len(w.store.resent) > 0 || w.objects.applied > 0 || len(w.door.asked) > 0 {
		t.Error("a test changed something")
	}

	// A POST is signed over what it holds, and says in its body that it is a test.
	w.objects.objects.Endpoints = append(w.objects.objects.Endpoints, carom.Endpoint{No: 9, App: "studio", Name: "post", Method: "POST", URL: "https://studio.example/pb",
		Filter: carom.Filter{EventTypes: []carom.EventType{carom.Click}}, SigningSecrets: []carom.SigningSecret{{Key: "a secret of the tests"}}, Paused: true})
	res = decode[TestResult](t, w.ask(t, "acme", "POST "+ofAcme+"/endpoints/studio/post/test", `{"event_type":"impression"}`), 200)
	sent = w.trials[len(w.trials)-1].Request
	headers := map[string]string{}
	for _, h := range sent.Header {
		headers[h.Name] = h.Value
	}
	want, err := receiver.SignStandard(headers["Webhook-Id"], noon(), sent.Body, "a secret of the tests")
	if err != nil || headers["Webhook-Signature"] != want || !strings.Contains(string(sent.Body), `"test":true`) || headers["Carom-Test"] != "1" {
		t.Errorf("%v, headers %v, body %s", err, headers, sent.Body)
	}
	if len(res.Problems) != 2 {
		t.Errorf("it is paused, and lets no impression through: %+v", res.Problems)
	}
	for _, h := range res.Request.Headers {
		if h.Name == "Webhook-Signature" && h.Value != "***" {
			t.Errorf("the signature is shown: %s", h.Value)
		}
	}
	for _, body := range []string{`{"ymid":"` + strings.Repeat("x", 257) + `"}`, `{"event_type":"a b"}`, `{"reward_event_type":"paid"}`, `{"amount":"5"}`} {
		if rec := w.ask(t, "acme", "POST "+studios+"/test", body); rec.Code != 422 {
			t.Errorf("%s: %d %s", body, rec.Code, rec.Body)
		}
	}
	w.opts.Try = nil
	w.restart()
	if rec := w.ask(t, "acme", "POST "+studios+"/test", ""); rec.Code != 409 {
		t.Errorf("a server that sends no tests: %d %s", rec.Code, rec.Body)
	}
}

func TestTestsAreFew(t *testing.T) {
	w := newSetupWorld()
	fire := func(key, path string) int {
		rec := w.ask(t, key, "POST "+path+"/test", "")
		if rec.Code == 429 {
			if p := decode[Problem](t, rec, 429); rec.Header().Get("Retry-After") != "50" || !strings.Contains(p.Detail, "50 seconds") {
				t.Errorf("Retry-After %q, %q", rec.Header().Get("Retry-After"), p.Detail)
			}
		}
		return rec.Code
	}
	for i := range trialsPerMinute {
		if got := fire("acme", studios); got != 200 {
			t.Fatalf("test %d: %d", i, got)
		}
		if i == 0 {
			w.now = w.now.Add(10 * time.Second)
		}
	}
	if got := fire("acme", studios); got != 429 {
		t.Errorf("one too many: %d", got)
	}
	if got := fire("admin", studios); got != 429 {
		t.Errorf("the operator's count for the publisher: %d", got)
	}
	if got := fire("rival", "/v1/publishers/rival/endpoints/den/backend"); got != 200 {
		t.Errorf("another publisher: %d", got)
	}
	w.now = w.now.Add(50 * time.Second)
	if got := fire("acme", studios); got != 200 {
		t.Errorf("after the wait: %d", got)
	}
	if len(w.trials) != trialsPerMinute+2 {
		t.Errorf("%d requests", len(w.trials))
	}
}

func TestWhatTestsMean(t *testing.T) {
	answered := func(status int, state carom.DeliveryState) TrialResult {
		return TrialResult{Status: status, State: state}
	}
	broken := func(phase string) TrialResult {
		return TrialResult{State: carom.Pending, Phase: phase, Err: errors.New("cause")}
	}
	page := answered(200, carom.Delivered)
	page.Flags, page.Body = carom.AttemptHTML, []byte("<html>\xff"+strings.Repeat("x", 5000))
	tests := []struct {
		name    string
		result  TrialResult
		verdict string
		meaning string // part of it
	}{
		{"200", answered(200, carom.Delivered), "delivered", "your server answered 200: carom would count it as delivered"},
		{"a page", page, "delivered", "most often a catch-all"},
		{"200 that is none", answered(200, carom.Pending), "would_retry", "by the endpoint's texts for success"},
		{"302", answered(302, carom.Pending), "would_retry", "redirects are not followed, give the final URL; carom would try again until 3d"},
		{"401", answered(401, carom.Pending), "would_retry", "asks for a proof"},
		{"403", answered(403, carom.Pending), "would_retry", "firewall"},
		{"404", answered(404, carom.Pending), "would_retry", "check the URL"},
		{"405", answered(405, carom.Pending), "would_retry", "another method"},
		{"409", answered(409, carom.Pending), "would_retry", "a receiver answers 200"},
		{"410", answered(410, carom.Dead), "would_give_up", "carom would give the delivery up"},
		{"429", answered(429, carom.Pending), "would_retry", "slow down"},
		{"500", answered(500, carom.Pending), "would_retry", "look at its log"},
		{"no name", broken("resolve"), "would_retry", "the host has no address"},
		{"a private address", broken("refused"), "would_retry", "not public"},
		{"nobody there", broken("connect"), "would_retry", "nothing takes connections"},
		{"no certificate", broken("tls"), "would_retry", "check the certificate"},
		{"too slow", broken("timeout"), "would_retry", "within 10s"},
		{"broken off", broken("read"), "would_retry", "the connection broke"},
		{"broken off early", broken("write"), "would_retry", "the connection broke"},
		{"cut short", broken("canceled"), "would_retry", "cut short"},
		{"unusable", broken("request"), "would_retry", "check the URL"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newSetupWorld()
			w.result = tt.result
			res := decode[TestResult](t, w.ask(t, "acme", "POST "+studios+"/test", ""), 200)
			if res.Verdict != tt.verdict || !strings.Contains(res.Meaning, tt.meaning) {
				t.Errorf("%s: %s; want %s: …%s…", res.Verdict, res.Meaning, tt.verdict, tt.meaning)
			}
			if (res.Answer == nil) != (tt.result.Err != nil) || (res.Error == "") != (tt.result.Err == nil) || res.Phase != tt.result.Phase {
				t.Errorf("answer %+v, error %q in %q", res.Answer, res.Error, res.Phase)
			}
			if tt.name == "a page" && (!res.Answer.Truncated || len(res.Answer.Body) < 4000 || len(res.Answer.Body) > 4100) {
				t.Errorf("%d bytes are shown, truncated %t", len(res.Answer.Body), res.Answer.Truncated)
			}
		})
	}
}
