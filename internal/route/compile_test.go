package route_test

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"carom"
	"carom/internal/route"
)

// faultsOf returns what Compile or ReadBackwards says, a line for each fault. Each has to be a FieldError.
func faultsOf(t *testing.T, err error) []string {
	t.Helper()
	var lines []string
	list := []error{err}
	var joined interface{ Unwrap() []error }
	if errors.As(err, &joined) {
		list = joined.Unwrap()
	}
	for _, err := range list {
		var fe *carom.FieldError
		if !errors.As(err, &fe) || !errors.Is(err, carom.ErrInvalid) {
			t.Fatalf("%v is no FieldError", err)
		}
		lines = append(lines, fe.Error())
	}
	return lines
}

// checkFault checks that exactly one fault was found, and that it begins with the field and holds the words of want: "field: words".
func checkFault(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil {
		t.Fatalf("accepted, want the fault %q", want)
	}
	got := faultsOf(t, err)
	place, words, _ := strings.Cut(want, ": ")
	if len(got) != 1 || !strings.HasPrefix(got[0], place+": ") || !strings.Contains(got[0], words) {
		t.Errorf("got  %s\nwant one fault with %q", strings.Join(got, "\n     "), want)
	}
}

func TestCompileURLFaults(t *testing.T) {
	tests := []struct{ name, url, want string }{
		{"none", "", "url: it is missing"},
		{"no scheme", "example.com/postback", "url: no scheme: write it whole, beginning with https://"},
		{"a scheme further on", "example.com/?token=abc&u=https://x", "url: no scheme"},
		{"another scheme", "ftp://example.com/", `url: the scheme "ftp" cannot be sent to: use https://`},
		{"a macro in the scheme", "{app}://example.com/", "url: a macro stands in its scheme"},
		{"a macro as the host", "https://{field.host}/x", "url: a macro stands in its host or port"},
		{"a macro in the host", "https://{app}.example.com/x", "url: a macro stands in its host or port"},
		{"a macro behind the host", "https://example.com{ymid}", "url: a macro stands in its host or port"},
		{"a macro as the port", "https://example.com:{zone_id}/x", "url: a macro stands in its host or port"},
		{"credentials", "https://user:hunter2@example.com/", "url: send them in the header Authorization"},
		{"no host", "https:///x", "url: the host is missing"},
		{"no host but a port", "https://:80/x", "url: the host is missing"},
		{"an empty port", "https://example.com:/x", "url: the port"},
		{"a port of letters", "https://example.com:http/x", "url: the port"},
		{"a port too large", "https://example.com:65536/", "url: the port"},
		{"a fragment", "https://example.com/#a", "url: fragment, which is never sent"},
		{"a fragment with a macro", "https://example.com/?a=1#{ymid}", "url: fragment"},
		{"a fragment behind the host", "https://example.com#a", "url: fragment"},
		{"a space", "https://example.com/a b", "url: a space stands in it: write %20"},
		{"a space in the host", "https://exam ple.com/", "url: ' ' cannot stand in a host"},
		{"a line break", "https://example.com/?a=1\n", "url: a line break"},
		{"not ASCII", "https://example.com/?a=é", "url: not ASCII stands in it: percent-encode it"},
		{"not ASCII in the host", "https://exämple.com/", "url: write its xn-- form"},
		{"a backslash", `https://example.com\@evil.example/`, "url: credentials"},
		{"a backslash in the path", `https://example.com/\x`, "url: a \\ stands in it: write %5C"},
		{"a broken percent-encoding", "https://example.com/?a=100%", "url: write a literal % as %25"},
		{"a percent before a macro", "https://example.com/?a=%{zone_id}", "url: write a literal % as %25"},
		{"an encoded macro", "https://example.com/?a=%7bymid%7D", "url: write the macro as {ymid}"},
		{"an unknown macro", "https://example.com/?e={event}", "url: unknown macro {event}: did you mean {event_type}?"},
		{"an unknown macro twice", "https://example.com/?e={event}&f={event}", "url: unknown macro {event}: did you mean {event_type}?"},
		{"upper case", "https://example.com/?e={EVENT_TYPE}", "url: unknown macro {EVENT_TYPE}: did you mean {event_type}?"},
		{"doubled braces", "https://example.com/?e={{ymid}}", "url: a { begins no macro"},
		{"a brace left open", "https://example.com/?e={ymid", "url: a { begins no macro"},
		{"a brace closed twice", "https://example.com/?e={ymid}}", "url: a } ends no macro"},
		{"too long", "https://example.com/" + strings.Repeat("a", 8200), "url: shorten it to 8192"},
		{"a signature without secret", "https://example.com/?a=1&sig={signature}", "url: {signature} needs a signing secret"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := route.Compile(carom.Endpoint{URL: tt.url})
			checkFault(t, err, tt.want)
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the error shows the secret: %v", err)
			}
		})
	}
}

func TestSuggestions(t *testing.T) {
	want := map[string]string{
		"event": "event_type", "zone": "zone_id", "value": "reward_event_type", "amount": "estimated_price", "price": "estimated_price",
		"payout": "estimated_price", "uid": "ymid", "user": "ymid", "userid": "ymid", "click_id": "ymid", "placement": "request_var",
		"var": "request_var", "subzone": "sub_zone_id", "tg_id": "telegram_id", "sig": "signature", "ymd": "ymid",
		"event_typ": "event_type", "request_va": "request_var", "estimate_price": "estimated_price", "receved_at": "received_at",
		"delivery": "delivery_id", "fields.geo": "field.geo", "fild.geo": "field.geo",
	}
	for wrong, right := range want {
		_, err := route.Compile(carom.Endpoint{URL: "https://example.com/?a={" + wrong + "}"})
		checkFault(t, err, fmt.Sprintf("url: unknown macro {%s}: did you mean {%s}?", wrong, right))
	}
	_, err := route.Compile(carom.Endpoint{URL: "https://example.com/?a={something_else}"})
	checkFault(t, err, "url: unknown macro {something_else}: Monetag's are {ymid}, {zone_id}")
}

func TestPrivateHosts(t *testing.T) {
	private := []string{
		"localhost", "LOCALHOST", "localhost.", "app.localhost", "127.0.0.1", "127.255.0.1", "0.0.0.0", "10.1.2.3", "172.16.0.1",
		"192.168.1.1", "169.254.169.254", "100.100.100.200", "192.0.0.192", "224.0.0.1", "255.255.255.255", "198.18.0.1",
		"[::1]", "[::]", "[fe80::1]", "[fd00:ec2::254]", "[fc00::1]", "[::ffff:127.0.0.1]", "[::ffff:10.0.0.1]", "[::7f00:1]",
		"[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[ff02::1]", "metadata.google.internal",
	}
	for _, host := range private {
		for _, url := range []string{"http://" + host + "/x", "http://" + host + ":8080?u={ymid}"} {
			_, err := route.Compile(carom.Endpoint{URL: url})
			checkFault(t, err, "url: add the line `allow_private: true` to it")
			if _, err := route.Compile(carom.Endpoint{URL: url, AllowPrivate: true}); err != nil {
				t.Errorf("%s with allow_private: %v", url, err)
			}
		}
	}
	unusual := []string{
		"2130706433", "0x7f000001", "0X7F.1", "0177.0.0.1", "0x7f.1", "127.1", "127.0.1", "1.2.3.4.", "1.2.3.4.5", "256.1.1.1",
		"01.2.3.4", "0", "example.0x", "example.7", "127.0.0.1.", "[fe80::1%eth0]", "[1.2.3.4]", "[::1", "::1", "[::1]x", "a..b",
		".example.com", "%31.com", "example.com..", strings.Repeat("a", 64) + ".com", strings.Repeat("a.", 127) + "com",
	}
	for _, host := range unusual {
		for _, allow := range []bool{false, true} {
			if _, err := route.Compile(carom.Endpoint{URL: "http://" + host + "/", AllowPrivate: allow}); err == nil {
				t.Errorf("%s is accepted (allow_private %v)", host, allow)
			}
		}
	}
	public := []string{
		"example.com", "EXAMPLE.com.", "a-b.c_d.example", "8.8.8.8", "1.1.1.1:8080", "[2606:4700::1111]", "[2606:4700::1111]:443",
		"xn--exmple-cua.com", "localhost.example.com", "127.0.0.1.example.com", "0x7f.example.com", "172.15.0.1", "beef",
	}
	for _, host := range public {
		if _, err := route.Compile(carom.Endpoint{URL: "https://" + host + "/x?u={ymid}"}); err != nil {
			t.Errorf("%s: %v", host, err)
		}
	}
}

func TestCompileSignatureFaults(t *testing.T) {
	const place = "has to be the whole value"
	tests := []struct{ name, method, url, want string }{
		{"no macro", "GET", "https://example.com/?u={ymid}", "url: end the URL with &sig={signature}"},
		{"not last", "GET", "https://example.com/?sig={signature}&a=1", "url: " + place},
		{"text behind", "GET", "https://example.com/?a=1&sig={signature}x", "url: " + place},
		{"text before", "GET", "https://example.com/?a=1&sig=x{signature}", "url: " + place},
		{"a macro before", "GET", "https://example.com/?sig={ymid}{signature}", "url: " + place},
		{"twice", "GET", "https://example.com/?a={signature}&sig={signature}", "url: " + place},
		{"in the path", "GET", "https://example.com/{signature}", "url: " + place},
		{"no name", "GET", "https://example.com/?a=1&={signature}", "url: " + place},
		{"a name to be decoded", "GET", "https://example.com/?a=1&s%69g={signature}", "url: " + place},
		{"its name taken", "GET", "https://example.com/?sig=1&u={ymid}&sig={signature}", "url: the parameter sig stands twice"},
		{"its name taken, encoded", "GET", "https://example.com/?u={ymid}&s%69g&sig={signature}", "url: the parameter sig stands twice"},
		{"a macro as a name", "GET", "https://example.com/?a=1&{field.x}=1&sig={signature}", "url: {field.x} stands in the name"},
		{"the event in the path", "GET", "https://example.com/{ymid}?a=1&sig={signature}", "url: {ymid} stands where the signature does not cover it: move it to the query"},
		{"in a POST", "POST", "https://example.com/?sig={signature}", "url: {signature} is for GET"},
		{"the event in the URL of a POST", "POST", "https://example.com/?u={field.x}", "url: {field.x} stands where the signature does not cover it: move it to the body"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := route.Compile(carom.Endpoint{URL: tt.url, Method: tt.method, SigningSecrets: keys(oldKey)})
			checkFault(t, err, tt.want)
		})
	}
}

func TestCompileOtherFaults(t *testing.T) {
	const url = "https://example.com/"
	later := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	steps := make([]time.Duration, 51)
	for i := range steps {
		steps[i] = time.Minute
	}
	header := func(name, value string) carom.Endpoint {
		return carom.Endpoint{URL: url, Headers: []carom.Field{{Name: name, Value: value}}}
	}
	post := func(contentType, body string) carom.Endpoint {
		return carom.Endpoint{URL: url, Method: "POST", ContentType: contentType, Body: body}
	}
	tests := []struct {
		name string
		e    carom.Endpoint
		want string
	}{
		{"method in lower case", carom.Endpoint{URL: url, Method: "get"}, `method: "get" is not known: use GET or POST`},
		{"body of a GET", carom.Endpoint{URL: url, Body: "{}"}, "body: add the line `method: POST`"},
		{"content type of a GET", carom.Endpoint{URL: url, ContentType: "json"}, "content_type: add the line `method: POST`"},
		{"content type", post("xml", ""), "content_type: use json or form"},

		{"JSON: a bare macro in a key", post("", `{{ymid}:1}`), "body: put macros inside quotes"},
		{"JSON: two macros in a row", post("", `{"a":{ymid}{zone_id}}`), "body: put macros inside quotes"},
		{"JSON: a minus before a macro", post("", `{"a":-{zone_id}}`), "body: put macros inside quotes"},
		{"JSON: a backslash before a macro", post("", `{"a":"\{zone_id}"}`), "body: a backslash stands before {zone_id}"},
		{"JSON: a macro in an escape", post("", `{"a":"\u00{zone_id}"}`), "body: put macros inside quotes"},
		{"JSON: not closed", post("", `{"a":"{ymid}"`), "body: not JSON"},
		{"JSON: a form instead", post("", `a={ymid}`), "body: not JSON"},
		{"JSON: an unknown macro", post("", `{"a":"{zone}"}`), "body: did you mean {zone_id}?"},
		{"JSON: a signature", post("", `{"a":"{signature}"}`), "body: {signature} stands only in the URL of a GET"},
		{"JSON: not UTF-8", post("", "{\"a\":\"\xff\"}"), "body: save it as UTF-8"},
		{"JSON: too long", post("", `{"a":"`+strings.Repeat("a", 8192)+`"}`), "body: shorten it"},
		{"form: a line break", post("form", "a={ymid}\n"), "body: a line break"},
		{"form: JSON instead", post("form", `{"a":"{ymid}"}`), "body: a { begins no macro"},
		{"form: a signature", post("form", "a={signature}"), "body: {signature} stands only in the URL of a GET"},

		{"header: no name", header("", "x"), "headers.: a header has no name"},
		{"header: a colon", header("X:Y", "x"), "headers.X:Y: rename it"},
		{"header: Host", header("host", "x"), "headers.host: follows from the URL"},
		{"header: Content-Length", header("Content-Length", "x"), "headers.Content-Length: remove it"},
		{"header: hop by hop", header("TE", "x"), "headers.TE: connection"},
		{"header: Transfer-Encoding", header("transfer-encoding", "x"), "headers.transfer-encoding: connection"},
		{"header: of the signature", header("webhook-id", "x"), "headers.webhook-id: set by carom"},
		{"header: a line break", header("X-A", "a\r\nb"), "headers.X-A: a line break"},
		{"header: an unknown macro", header("X-A", "{event}"), "headers.X-A: did you mean {event_type}?"},
		{"header: a signature", header("X-A", "{signature}"), "headers.X-A: {signature}"},
		{"header: twice", carom.Endpoint{URL: url, Headers: []carom.Field{{Name: "X-A"}, {Name: "x-a"}}}, "headers.x-a: twice"},
		{"header: too many", carom.Endpoint{URL: url, Headers: make([]carom.Field, 33)}, "headers: keep at most 32"},

		{"secret: short", carom.Endpoint{URL: url, Method: "POST", SigningSecrets: keys("hunter2")}, "signing_secrets: at least 16 bytes"},
		{"secret: not base64", carom.Endpoint{URL: url, Method: "POST", SigningSecrets: keys("whsec_hunter2")}, "signing_secrets: not base64"},
		{"secret: all end", carom.Endpoint{URL: url, Method: "POST", SigningSecrets: []carom.SigningSecret{{Key: oldKey, NotAfter: later}}},
			"signing_secrets: leave not_after out of the newest"},
		{"secret: too many", carom.Endpoint{URL: url, Method: "POST", SigningSecrets: keys(strings.Split(strings.Repeat(oldKey+",", 8)+oldKey, ",")...)},
			"signing_secrets: keep at most 8"},

		{"filter: value", carom.Endpoint{URL: url, Filter: carom.Filter{Values: []carom.RewardEventType{"yes"}}}, `filter.values: "yes" is no value`},
		{"filter: unknown value", carom.Endpoint{URL: url, Filter: carom.Filter{Values: []carom.RewardEventType{"unknown"}}}, "filter.values: held"},
		{"filter: empty type", carom.Endpoint{URL: url, Filter: carom.Filter{EventTypes: []carom.EventType{""}}}, "filter.event_types: remove it"},
		{"filter: empty source", carom.Endpoint{URL: url, Filter: carom.Filter{Sources: []string{""}}}, "filter.sources: remove it"},
		{"success: long", carom.Endpoint{URL: url, Success: carom.SuccessRule{Contains: strings.Repeat("a", 1025)}}, "success.contains: shorten it"},
		{"success: contradiction", carom.Endpoint{URL: url, Success: carom.SuccessRule{Contains: "ok", NotContains: "k"}}, "success.not_contains: change one"},

		{"timeout: short", carom.Endpoint{URL: url, Timeout: 99 * time.Millisecond}, "timeout: 100ms"},
		{"timeout: long", carom.Endpoint{URL: url, Timeout: 61 * time.Second}, "timeout: 1m0s"},
		{"concurrency: negative", carom.Endpoint{URL: url, Concurrency: -1}, "concurrency: from 1 to 1024"},
		{"concurrency: large", carom.Endpoint{URL: url, Concurrency: 1025}, "concurrency: from 1 to 1024"},
		{"rate: negative", carom.Endpoint{URL: url, Rate: -1}, "rate: from 0"},
		{"rate: not a number", carom.Endpoint{URL: url, Rate: math.NaN()}, "rate: from 0"},
		{"rate: infinite", carom.Endpoint{URL: url, Rate: math.Inf(1)}, "rate: from 0"},
		{"deadline: short", carom.Endpoint{URL: url, Deadline: time.Second}, "deadline: from 1m"},
		{"deadline: long", carom.Endpoint{URL: url, Deadline: 721 * time.Hour}, "deadline: 720h"},
		{"schedule: a short step", carom.Endpoint{URL: url, Schedule: []time.Duration{time.Second, 0}}, "schedule: step 2, 0s"},
		{"schedule: a long step", carom.Endpoint{URL: url, Schedule: []time.Duration{25 * time.Hour}}, "schedule: step 1"},
		{"schedule: many steps", carom.Endpoint{URL: url, Schedule: steps}, "schedule: keep at most 50"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := route.Compile(tt.e)
			checkFault(t, err, tt.want)
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the error shows the secret: %v", err)
			}
		})
	}
}

func TestCompileReturnsAllFaults(t *testing.T) {
	_, err := route.Compile(carom.Endpoint{
		URL: "ftp://127.0.0.1/{event}?a={zone} b", Headers: []carom.Field{{Name: "Host"}, {Name: "X", Value: "{uid}"}},
		Timeout: time.Hour, Rate: -1, SigningSecrets: keys("x"), Body: "x",
	})
	var fields []string
	for _, line := range faultsOf(t, err) {
		name, _, _ := strings.Cut(line, ": ")
		fields = append(fields, name)
	}
	want := "url url url url url url body headers.Host headers.X signing_secrets timeout rate"
	if got := strings.Join(fields, " "); got != want {
		t.Errorf("faults of %q, want of %q:\n%v", got, want, err)
	}
}

func TestCompileFillsInDefaults(t *testing.T) {
	e := mustCompile(t, carom.Endpoint{URL: "https://example.com/"})
	if want := (carom.Endpoint{App: "my-game", Name: "backend", URL: "https://example.com/"}).WithDefaults(); !reflect.DeepEqual(e.Endpoint, want) {
		t.Errorf("got %+v, want %+v", e.Endpoint, want)
	}
	e.Schedule[0] = 0
	if carom.DefaultSchedule[0] == 0 {
		t.Error("the endpoint shares the default schedule")
	}
}
