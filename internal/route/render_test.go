package route_test

import (
	"encoding/json"
	"errors"
	"flag"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"carom"
	"carom/internal/route"
	"carom/receiver"
)

var update = flag.Bool("update", false, "write the golden files anew")

const (
	oldKey = "correct horse battery"
	newKey = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	// awkward holds what breaks an encoder that forgets a case, and braces that must not be expanded again.
	awkward = "a&b=c#d?e%25+f g\"h'i\\j\n\r\t\x00/k;l,m:n@o{ymid}{field.x}😀é\xff\u2028<p>"
)

var (
	acceptedAt = time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC)
	attemptAt  = acceptedAt.Add(time.Second)
)

// sampleDelivery is the delivery of an event that has something in every field.
func sampleDelivery() *carom.Delivery {
	return &carom.Delivery{
		ID: "dlv_0c5g21r0000010000000k00",
		Event: &carom.Event{
			ID: "evt_0c5g21r0000010000000k", At: acceptedAt, App: "my-game", Source: "main", Network: "monetag",
			Type: carom.Click, Value: carom.Valued, YMID: "user123", ZoneID: "8790478", SubZoneID: "8790479",
			RequestVar: "bonus-btn", TelegramID: "123456789", UserID: "u-4711", Price: carom.Price{Nanos: 2_300_000, Set: true},
			ExternalID: "order-42", Fields: []carom.Field{{Name: "geo", Value: "DE"}, {Name: "Odd.name-1", Value: "x y"}},
		},
	}
}

func mustCompile(t testing.TB, e carom.Endpoint) *route.Endpoint {
	t.Helper()
	if e.App == "" {
		e.App, e.Name = "my-game", "backend"
	}
	c, err := route.Compile(e)
	if err != nil {
		t.Fatalf("Compile(%q): %v", e.URL, err)
	}
	return c
}

func mustRender(t testing.TB, e *route.Endpoint, d *carom.Delivery) route.Request {
	t.Helper()
	req, err := e.Render(d, 3, attemptAt)
	if err != nil {
		t.Fatalf("Render: %v", err)
	}
	return req
}

func keys(list ...string) []carom.SigningSecret {
	var out []carom.SigningSecret
	for _, key := range list {
		out = append(out, carom.SigningSecret{Key: carom.Masked(key)})
	}
	return out
}

func TestEveryMacro(t *testing.T) {
	want := map[string]string{
		"ymid": "user123", "zone_id": "8790478", "sub_zone_id": "8790479", "request_var": "bonus-btn", "telegram_id": "123456789",
		"event_type": "click", "reward_event_type": "valued", "estimated_price": "0.0023",
		"event_id": "evt_0c5g21r0000010000000k", "delivery_id": "dlv_0c5g21r0000010000000k00", "attempt": "3",
		"received_at": "1767323045", "received_at_ms": "1767323045678", "sent_at": "1767323046",
		"network": "monetag", "app": "my-game", "source": "main", "user_id": "u-4711", "external_id": "order-42", "test": "1",
		"field.geo": "DE", "field.Odd.name-1": "x%20y", "field.absent": "",
	}
	d := sampleDelivery()
	d.Event.Flags = carom.FlagTest
	for name, value := range want {
		e := mustCompile(t, carom.Endpoint{URL: "https://example.com/?v={" + name + "}&end"})
		if got := mustRender(t, e, d).URL; got != "https://example.com/?v="+value+"&end" {
			t.Errorf("{%s} renders %q, want the value %q", name, got, value)
		}
	}
	for _, m := range route.Macros() {
		ofReward := strings.HasPrefix(m.Name, "reward_") && m.Name != "reward_event_type" // see TestRewardMacros
		if _, ok := want[m.Name]; !ok && !ofReward && m.Name != "signature" && m.Name != "field.NAME" {
			t.Errorf("Macros names %s, which this test does not know", m.Name)
		}
		if m.Meaning == "" {
			t.Errorf("Macros gives no meaning for %s", m.Name)
		}
	}
	empty := &carom.Delivery{Event: &carom.Event{}}
	e := mustCompile(t, carom.Endpoint{URL: "https://example.com/{ymid}/x?a={ymid}&p={estimated_price}&t={test}"})
	if got, want := mustRender(t, e, empty).URL, "https://example.com//x?a=&p=&t="; got != want {
		t.Errorf("an empty event renders %q, want %q", got, want)
	}
}

// Each position gives back exactly the value once its own decoder has read it.
func TestAwkwardValues(t *testing.T) {
	values := []string{
		awkward, "", " ", ".", "..", "...", "null", "true", "007", "-1.50", "1e5", "12345678901234567890", "%00", "\x00", "\xff",
		"{signature}", "\"", "\\", "a/../b", "http://x", "[1]", "\u0085", strings.Repeat("é", 3000),
	}
	get := mustCompile(t, carom.Endpoint{
		URL:     "https://example.com/p/{ymid}/q.{ymid}?a={ymid}&b=x-{ymid}-y",
		Headers: []carom.Field{{Name: "x-user", Value: "id={ymid}"}},
	})
	form := mustCompile(t, carom.Endpoint{URL: "https://example.com/", Method: "POST", ContentType: "form", Body: "a={ymid}&b={ymid}"})
	body := mustCompile(t, carom.Endpoint{URL: "https://example.com/", Method: "POST", Body: `{"s":"<{ymid}>","bare":[{ymid}]}`})
	for _, value := range values {
		d := sampleDelivery()
		d.Event.YMID = value
		req := mustRender(t, get, d)
		u, err := url.Parse(req.URL)
		if err != nil {
			t.Fatalf("%q renders a URL that does not parse: %v", value, err)
		}
		if want := "/p/" + value + "/q." + value; u.Path != want || u.Host != "example.com" {
			t.Errorf("%q: host %q, path %q, want path %q", value, u.Host, u.Path, want)
		}
		if strings.Contains(req.URL, "/./") || strings.Contains(req.URL, "/../") || strings.Count(req.URL, "/") != 5 {
			t.Errorf("%q changes the segments of %q", value, req.URL)
		}
		if q := u.Query(); q.Get("a") != value || q.Get("b") != "x-"+value+"-y" || len(q) != 2 {
			t.Errorf("%q: query %q", value, q)
		}
		if u.RequestURI() != strings.TrimPrefix(req.URL, "https://example.com") {
			t.Errorf("%q: net/http would send %q for %q", value, u.RequestURI(), req.URL)
		}
		if h := req.Header[0].Value; strings.ContainsAny(h, "\r\n\t\x00") || !strings.HasPrefix(h, "id=") {
			t.Errorf("%q: header %q", value, h)
		}
		fields, err := url.ParseQuery(string(mustRender(t, form, d).Body))
		if err != nil || fields.Get("a") != value || fields.Get("b") != value {
			t.Errorf("%q: form %q, %v", value, fields, err)
		}
		checkJSONBody(t, mustRender(t, body, d).Body, value)
	}
}

// checkJSONBody checks that body holds value in a string, and in a bare place as number, null or string.
func checkJSONBody(t *testing.T, body []byte, value string) {
	t.Helper()
	var got struct {
		S    string
		Bare []any
	}
	decoder := json.NewDecoder(strings.NewReader(string(body)))
	decoder.UseNumber()
	if err := decoder.Decode(&got); err != nil {
		t.Fatalf("%q: body %q: %v", value, body, err)
	}
	text := strings.ToValidUTF8(value, "\ufffd")
	if got.S != "<"+text+">" {
		t.Errorf("%q: in a string it is %q", value, got.S)
	}
	var want any = text
	switch value {
	case "":
		want = nil
	case "-1.50", "12345678901234567890":
		want = json.Number(value)
	}
	if diff := cmp.Diff([]any{want}, got.Bare); diff != "" {
		t.Errorf("%q in a bare place (-want +got):\n%s", value, diff)
	}
}

func TestBytesOfEachPosition(t *testing.T) {
	d := sampleDelivery()
	d.Event.YMID = "a b&c/é\n\""
	tests := []struct {
		name string
		e    carom.Endpoint
		get  func(route.Request) string
		want string
	}{
		{"path", carom.Endpoint{URL: "https://example.com/{ymid}"}, requestURL, "https://example.com/a%20b%26c%2F%C3%A9%0A%22"},
		{"query", carom.Endpoint{URL: "https://example.com?u={ymid}"}, requestURL, "https://example.com?u=a%20b%26c%2F%C3%A9%0A%22"},
		{"literals stay as they are", carom.Endpoint{URL: "https://Example.com:8443/a%2fb+c/;d?x=%20+y&z[]=~{zone_id}"}, requestURL,
			"https://Example.com:8443/a%2fb+c/;d?x=%20+y&z[]=~8790478"},
		{"form", carom.Endpoint{URL: "https://example.com", Method: "POST", ContentType: "form", Body: "u={ymid}&v=1"}, requestBody,
			"u=a%20b%26c%2F%C3%A9%0A%22&v=1"},
		{"JSON string", carom.Endpoint{URL: "https://example.com", Method: "POST", Body: `{"u":"{ymid}","n":{zone_id},"e":{field.no}}`},
			requestBody, `{"u":"a b&c/é\n\"","n":8790478,"e":null}`},
		{"JSON bare string", carom.Endpoint{URL: "https://example.com", Method: "POST", Body: `[{ymid}, {attempt}, {estimated_price}]`},
			requestBody, `["a b&c/é\n\"", 3, 0.0023]`},
		{"JSON with braces and quotes of its own", carom.Endpoint{URL: "https://example.com", Method: "POST",
			Body: `{"a":{"b":"\"{\\{zone_id}}"},"c":"}"}`}, requestBody, `{"a":{"b":"\"{\\8790478}"},"c":"}"}`},
		{"header", carom.Endpoint{URL: "https://example.com", Headers: []carom.Field{{Name: "x-u", Value: "{{ymid}} 100%"}}},
			func(r route.Request) string { return r.Header[0].Name + ": " + r.Header[0].Value }, `X-U: {a b&c/é%0A"} 100%`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.get(mustRender(t, mustCompile(t, tt.e), d)); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func requestURL(r route.Request) string  { return r.URL }
func requestBody(r route.Request) string { return string(r.Body) }

func TestDefaultBodies(t *testing.T) {
	full, bare := sampleDelivery(), sampleDelivery()
	full.Event.Flags, full.Event.YMID = carom.FlagTest, awkward
	bare.Event.Price, bare.Event.Fields, bare.Event.ExternalID, bare.Event.Value = carom.Price{}, nil, "", ""
	for name, d := range map[string]*carom.Delivery{"full": full, "bare": bare} {
		for _, contentType := range []string{"json", "form"} {
			t.Run(name+"."+contentType, func(t *testing.T) {
				e := mustCompile(t, carom.Endpoint{URL: "https://example.com/", Method: "POST", ContentType: contentType})
				req := mustRender(t, e, d)
				if req.ShownBody != string(req.Body) {
					t.Errorf("ShownBody is %q, want the body", req.ShownBody)
				}
				if contentType == "json" && !json.Valid(req.Body) {
					t.Errorf("not JSON: %s", req.Body)
				}
				golden(t, name+"."+contentType, req.Body)
			})
		}
	}
}

// golden compares got with a file, or writes it with -update.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", "golden", name)
	if *update {
		if err := os.WriteFile(file, append(got, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)+"\n"); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}

func TestHeaders(t *testing.T) {
	e := mustCompile(t, carom.Endpoint{URL: "https://example.com/", Method: "POST", ContentType: "form",
		Headers: []carom.Field{{Name: "authorization", Value: "Bearer abc"}, {Name: "X-Event", Value: "{event_id}"}}})
	want := []carom.Field{
		{Name: "Content-Type", Value: "application/x-www-form-urlencoded"},
		{Name: "Authorization", Value: "Bearer abc"},
		{Name: "X-Event", Value: "evt_0c5g21r0000010000000k"},
	}
	if diff := cmp.Diff(want, mustRender(t, e, sampleDelivery()).Header); diff != "" {
		t.Errorf("headers (-want +got):\n%s", diff)
	}
	e = mustCompile(t, carom.Endpoint{URL: "https://example.com/", Method: "POST",
		Headers: []carom.Field{{Name: "content-type", Value: "application/vnd.api+json"}}})
	want = []carom.Field{{Name: "Content-Type", Value: "application/vnd.api+json"}}
	if diff := cmp.Diff(want, mustRender(t, e, sampleDelivery()).Header); diff != "" {
		t.Errorf("own media type (-want +got):\n%s", diff)
	}
}

func TestSignedPOST(t *testing.T) {
	tests := []struct {
		name    string
		secrets []carom.SigningSecret
		verify  []string // each of them verifies
		refuse  []string
	}{
		{"one secret", keys(newKey), []string{newKey}, []string{oldKey}},
		{"both during a rotation", []carom.SigningSecret{{Key: newKey}, {Key: oldKey, NotAfter: attemptAt.Add(time.Second)}},
			[]string{newKey, oldKey}, nil},
		{"the newer after it", []carom.SigningSecret{{Key: newKey}, {Key: oldKey, NotAfter: attemptAt}}, []string{newKey}, []string{oldKey}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := mustCompile(t, carom.Endpoint{URL: "https://example.com/{app}?try={attempt}&d={delivery_id}", Method: "POST",
				SigningSecrets: tt.secrets})
			req := mustRender(t, e, sampleDelivery())
			header := http.Header{}
			for _, h := range req.Header {
				header[h.Name] = append(header[h.Name], h.Value)
			}
			if got := header.Get("webhook-id"); got != "dlv_0c5g21r0000010000000k00" {
				t.Errorf("webhook-id is %q, want the delivery id", got)
			}
			for _, key := range tt.verify {
				if err := receiver.VerifyStandard(header, req.Body, attemptAt, 0, key); err != nil {
					t.Error(err)
				}
			}
			for _, key := range tt.refuse {
				if err := receiver.VerifyStandard(header, req.Body, attemptAt, 0, key); !errors.Is(err, carom.ErrUnauthorized) {
					t.Errorf("another secret: got %v, want ErrUnauthorized", err)
				}
			}
		})
	}
}

func TestSignedGET(t *testing.T) {
	both := []carom.SigningSecret{{Key: newKey}, {Key: oldKey, NotAfter: attemptAt.Add(time.Second)}}
	tests := []struct {
		name, url, param string
		secrets          []carom.SigningSecret
		verify           []string
	}{
		{"behind the event", "https://example.com/a&b?u={ymid}&t={sent_at}&sig={signature}", "sig", keys(oldKey), []string{oldKey}},
		{"behind literals", "https://example.com/?u=1&x_sig={signature}", "x_sig", keys(newKey), []string{newKey}},
		{"alone", "https://example.com/a&b?s={signature}", "s", keys(oldKey), []string{oldKey}},
		{"two secrets", "https://example.com?u={ymid}&sig={signature}", "sig", both, []string{oldKey, newKey}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := sampleDelivery()
			d.Event.YMID = awkward + "&" + tt.param + "=1"
			req := mustRender(t, mustCompile(t, carom.Endpoint{URL: tt.url, SigningSecrets: tt.secrets}), d)
			u, err := url.Parse(req.URL)
			if err != nil {
				t.Fatal(err)
			}
			for _, key := range tt.verify {
				if err := receiver.VerifyGET(u.RawQuery, tt.param, key); err != nil {
					t.Errorf("%v: %s", err, u.RawQuery)
				}
			}
			if err := receiver.VerifyGET("x=1&"+u.RawQuery, tt.param, tt.verify...); !errors.Is(err, carom.ErrUnauthorized) {
				t.Errorf("a changed query: got %v, want ErrUnauthorized", err)
			}
			if want := "&" + tt.param + "=***"; !strings.HasSuffix("&"+strings.ReplaceAll(req.ShownURL, "?", "&"), want) {
				t.Errorf("ShownURL is %q, want it to end with %q", req.ShownURL, want)
			}
		})
	}
}

func TestShown(t *testing.T) {
	const secret = "9f8e7d6c5b4a39281706f5e4d3c2b1a0"
	tests := []struct {
		name string
		e    carom.Endpoint
		want string // ShownURL and, for a POST, ShownBody
	}{
		{"nothing to hide", carom.Endpoint{URL: "https://example.com/postback?u={ymid}&monkey=1"}, "https://example.com/postback?u=user123&monkey=1"},
		{"parameters by name", carom.Endpoint{URL: "https://example.com/?token=abc&u={ymid}&Api_Key=x%20y&pass=&secret"},
			"https://example.com/?token=***&u=user123&Api_Key=***&pass=&secret"},
		{"a parameter that looks secret", carom.Endpoint{URL: "https://example.com/?k=" + secret + "&u={ymid}&" + secret},
			"https://example.com/?k=***&u=user123&***"},
		{"text around a macro", carom.Endpoint{URL: "https://example.com/?token=abc{ymid}def&u=1"}, "https://example.com/?token=***user123***&u=1"},
		{"a segment that looks secret", carom.Endpoint{URL: "https://example.com/in/" + secret + "/{ymid}/" + secret + "?a=1"},
			"https://example.com/in/***/user123/***?a=1"},
		{"a long word without digits", carom.Endpoint{URL: "https://example.com/a-very-long-name-of-a-postback-route/{ymid}"},
			"https://example.com/a-very-long-name-of-a-postback-route/user123"},
		{"a value that looks secret is the event's", carom.Endpoint{URL: "https://example.com/{event_id}"}, "https://example.com/evt_0c5g21r0000010000000k"},
		{"a form", carom.Endpoint{URL: "https://example.com", Method: "POST", ContentType: "form", Body: "password=x&u={ymid}"},
			"https://example.com password=***&u=user123"},
		{"JSON", carom.Endpoint{URL: "https://example.com", Method: "POST",
			Body: `{"token":"ab\"c","tokens":["a","b"],"u":"{ymid}","auth":{"id":"x","key":"y{ymid}"},"v":"token"}`},
			`https://example.com {"token":"***","tokens":["***","***"],"u":"user123","auth":{"id":"x","key":"***user123"},"v":"token"}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			req := mustRender(t, mustCompile(t, tt.e), sampleDelivery())
			got := req.ShownURL
			if req.Method == "POST" {
				got += " " + req.ShownBody
			}
			if got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestRenderWithoutEvent(t *testing.T) {
	e := mustCompile(t, carom.Endpoint{URL: "https://example.com/"})
	for _, d := range []*carom.Delivery{nil, {}} {
		if _, err := e.Render(d, 1, attemptAt); !errors.Is(err, carom.ErrInvalid) {
			t.Errorf("Render(%v) = %v, want ErrInvalid", d, err)
		}
	}
}

func TestRenderAllocatesTheURLOnly(t *testing.T) {
	e := mustCompile(t, carom.Endpoint{URL: typicalURL, Headers: []carom.Field{{Name: "X-A", Value: "b"}}})
	d := sampleDelivery()
	if n := testing.AllocsPerRun(100, func() { _, _ = e.Render(d, 1, attemptAt) }); n > 1 {
		t.Errorf("Render allocates %v times, want once", n)
	}
}

// typicalURL has Monetag's eight macros.
const typicalURL = "https://example.com/postback?ymid={ymid}&zone={zone_id}&sub={sub_zone_id}&var={request_var}" +
	"&tg={telegram_id}&event={event_type}&value={reward_event_type}&amount={estimated_price}"

func BenchmarkRender(b *testing.B) {
	for _, bb := range []struct {
		name string
		e    carom.Endpoint
	}{
		{"GET", carom.Endpoint{URL: typicalURL}},
		{"GETMasked", carom.Endpoint{URL: typicalURL + "&token=abc"}},
		{"GETSigned", carom.Endpoint{URL: typicalURL + "&sig={signature}", SigningSecrets: keys(oldKey)}},
		{"POST", carom.Endpoint{URL: "https://example.com/postback", Method: "POST"}},
		{"POSTSigned", carom.Endpoint{URL: "https://example.com/postback", Method: "POST", SigningSecrets: keys(newKey)}},
	} {
		b.Run(bb.name, func(b *testing.B) {
			e, d := mustCompile(b, bb.e), sampleDelivery()
			b.ReportAllocs()
			for b.Loop() {
				if _, err := e.Render(d, 1, attemptAt); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
