package route_test

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"

	"carom"
	"carom/internal/route"
)

// FuzzTemplate compiles any template and renders it with any values. An accepted URL keeps its host, is sent byte for byte as
// it was rendered, and its parameters decode to the event's values; an accepted JSON body stays JSON.
func FuzzTemplate(f *testing.F) {
	f.Add("https://example.com/{ymid}/x?a={ymid}&b={field.x}&c={zone_id}", `{"a":"{ymid}","b":{field.x}}`, awkward, "../x", "")
	f.Add("http://[2606:4700::1111]:8080?{ymid}={zone_id}&d=x{ymid}", `[{zone_id},"{ymid}{field.x}"]`, "a", ".", "-1.5")
	f.Add("https://example.com", `{"token":"a{ymid}","t":["{zone_id}"]}`, "..", "\xff", "\x00")
	f.Add("https://example.com/a%2Fb//..?%3F?=/&a==&{signature}", `"\"{ymid}"`, "{ymid}", "", "007")
	f.Add("https://example.com", `{"id":"{reward_id}","of":[{reward_user},{reward_amount}],"s":"{reward_state}{reward_currency}"}`, "\"", "\\", "")
	f.Fuzz(func(t *testing.T, template, body, ymid, fieldX, zone string) {
		d := sampleDelivery()
		d.Event.YMID, d.Event.ZoneID = ymid, zone
		d.Event.Fields = []carom.Field{{Name: "x", Value: fieldX}}
		values := map[string]string{"{ymid}": ymid, "{zone_id}": zone, "{field.x}": fieldX}
		if e, err := route.Compile(carom.Endpoint{URL: template, AllowPrivate: true}); err != nil {
			faultsOf(t, err)
		} else {
			checkRenderedURL(t, template, mustRender(t, e, d).URL, values)
		}
		e, err := route.Compile(carom.Endpoint{URL: "https://example.com/", Method: "POST", Body: body})
		if err != nil {
			faultsOf(t, err)
		} else if got := mustRender(t, e, d).Body; !json.Valid(got) {
			t.Errorf("%q renders %q, which is not JSON", body, got)
		}
		if e, err := route.Compile(carom.Endpoint{URL: "https://example.com/", Method: "POST", ContentType: "form", Body: body}); err == nil {
			mustRender(t, e, d)
		}
		checkHeaderValue(t, body, d)
		checkRewardBody(t, body, ymid, fieldX)
	})
}

func checkRenderedURL(t *testing.T, template, rendered string, values map[string]string) {
	t.Helper()
	u, err := url.Parse(rendered)
	if err != nil {
		t.Fatalf("%q renders %q: %v", template, rendered, err)
	}
	_, rest, _ := strings.Cut(template, "://")
	host := rest
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		host = rest[:i]
	}
	if u.Host != host || u.User != nil || u.Fragment != "" {
		t.Fatalf("%q renders %q: the host is %q, want %q", template, rendered, u.Host, host)
	}
	_, sent, _ := strings.Cut(rendered, "://"+host)
	if !strings.HasPrefix(sent, "/") {
		sent = "/" + sent
	}
	if u.RequestURI() != sent {
		t.Errorf("%q renders %q, but net/http sends %q", template, rendered, u.RequestURI())
	}
	_, query, _ := strings.Cut(template, "?")
	params := strings.Split(query, "&")
	got := strings.Split(u.RawQuery, "&")
	if len(got) != len(params) {
		t.Fatalf("%q renders %d parameters, want %d: %q", template, len(got), len(params), rendered)
	}
	for i, param := range params {
		_, macro, _ := strings.Cut(param, "=")
		want, ok := values[macro]
		if !ok {
			continue
		}
		_, raw, _ := strings.Cut(got[i], "=")
		if value, err := url.QueryUnescape(raw); err != nil || value != want {
			t.Errorf("%q renders %q: %s arrives as %q, want %q (%v)", template, rendered, macro, value, want, err)
		}
	}
}

// checkRewardBody renders body for a reward whose user and currency are any text.
func checkRewardBody(t *testing.T, body, user, currency string) {
	t.Helper()
	e, err := route.Compile(carom.Endpoint{URL: "https://example.com/", Method: "POST", Sends: carom.SendsRewards, Body: body})
	if err != nil {
		faultsOf(t, err)
		return
	}
	d := rewardDelivery(carom.RewardReversed)
	d.Reward.User, d.Reward.Currency = user, currency
	if got := mustRender(t, e, d).Body; !json.Valid(got) {
		t.Errorf("%q renders %q, which is not JSON", body, got)
	}
}

func checkHeaderValue(t *testing.T, template string, d *carom.Delivery) {
	t.Helper()
	e, err := route.Compile(carom.Endpoint{URL: "https://example.com/", Headers: []carom.Field{{Name: "X-A", Value: template}}})
	if err != nil {
		return
	}
	for _, c := range []byte(mustRender(t, e, d).Header[0].Value) {
		if c < ' ' || c == 0x7f {
			t.Errorf("%q renders a header with the byte %#x", template, c)
		}
	}
}
