package server_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"carom"
	"carom/internal/caromtest"
)

// raw sends the bytes of a request on a connection of its own and returns the answer, but for its date, as it came.
func raw(t *testing.T, url, request string) string {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }() // what matters is read by then
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("%.80q was not answered: %v", request, err)
	}
	answer, err := httputil.DumpResponse(resp, false)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body) // net/http resets a connection from which it has not read all
	_ = resp.Body.Close()            // it is read
	answer = append(answer, body...)
	return regexp.MustCompile(`(?m)^Date: .*\r\n`).ReplaceAllString(string(answer), "")
}

func get(target string) string { return "GET " + target + " HTTP/1.1\r\nHost: carom\r\n\r\n" }

// Whatever a verified postback that can never be used is, it is journaled with its reason and answered in the network's words.
func TestRefusedPostbacksAreJournaled(t *testing.T) {
	const door = caromtest.Door
	form := func(body string) string {
		return "POST " + door + " HTTP/1.1\r\nHost: carom\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: " +
			itoa(len(body)) + "\r\n\r\n" + body
	}
	tests := []struct {
		name    string
		request string
		status  string
		reason  carom.Reason
		detail  string
	}{
		{"a method that no network uses", "PUT " + door + "?ymid=1&event=click HTTP/1.1\r\nHost: carom\r\nContent-Length: 0\r\n\r\n", "405", carom.ReasonBadMethod, "use GET or POST"},
		{"a method that is no word", "X-" + strings.Repeat("A", 5000) + " " + door + "?ymid=1&event=click HTTP/1.1\r\nHost: carom\r\n\r\n", "405", carom.ReasonBadMethod, "use GET or POST"},
		{"a URL of 16 KiB and a byte", get(door + "?ymid=1&event=click&x=" + strings.Repeat("a", 16<<10+1-len(door+"?ymid=1&event=click&x="))), "200", carom.ReasonTooLarge, "16 KiB"},
		{"a body of 256 KiB and a byte", form("ymid=1&event=click&x=" + strings.Repeat("a", 256<<10+1-len("ymid=1&event=click&x="))), "200", carom.ReasonTooLarge, "256 KiB"},
		{"a broken percent-encoding", get(door + "?ymid=%zz&event=click"), "200", carom.ReasonBadEncoding, `"ymid"`},
		{"a percent-encoding cut short", get(door + "?ymid=1&event=click&x=%e"), "200", carom.ReasonBadEncoding, `"x"`},
		{"an encoded NUL", get(door + "?ymid=a%00b&event=click"), "200", carom.ReasonBadEncoding, `"ymid"`},
		{"encoded bytes that are not UTF-8", get(door + "?ymid=%ff%fe&event=click"), "200", carom.ReasonBadEncoding, `"ymid"`},
		{"raw bytes that are not UTF-8", get(door + "?ymid=\xff\xfe&event=click"), "200", carom.ReasonBadEncoding, `"ymid"`},
		{"a parameter twice with different values", get(door + "?ymid=1&ymid=2&event=click"), "200", carom.ReasonRepeated, `"ymid"`},
		{"two names of one field that differ", get(door + "?ymid=1&event=click&event_type=impression"), "200", carom.ReasonRepeated, "event_type"},
		{"an unknown event type", get(door + "?ymid=1&event=explosion"), "200", carom.ReasonUnknownEventType, `"explosion"`},
		{"no event type", get(door + "?ymid=1"), "200", carom.ReasonNoEventType, "default_event_type"},
		{"no ymid and no telegram_id", get(door + "?event=click&zone_id=1"), "200", carom.ReasonNoIdentity, "add ymid={ymid}"},
		{"nothing at all", get(door), "200", carom.ReasonNoIdentity, ""},
		{"a macro as text", get(door + "?ymid={ymid}&event=click"), "200", carom.ReasonLiteralMacro, "ymid"},
		{"a macro as text, percent-encoded", get(door + "?ymid=%7Bymid%7D&event=click"), "200", carom.ReasonLiteralMacro, "ymid"},
		{"a macro as text, encoded twice", get(door + "?ymid=%257Bymid%257D&event=click"), "200", carom.ReasonLiteralMacro, "ymid"},
		{"a macro as text for the value", get(door + "?ymid=1&event=click&value=[reward_event_type]"), "200", carom.ReasonLiteralMacro, "reward_event_type"},
		{"too many parameters", get(door + "?ymid=1&event=click" + strings.Repeat("&a=1", 130)), "200", carom.ReasonTooManyFields, "128"},
		{"an identity that is too long", get(door + "?event=click&ymid=" + strings.Repeat("a", 257)), "200", carom.ReasonFieldTooLong, "256"},
		{"a body of another kind", "POST " + door + " HTTP/1.1\r\nHost: carom\r\nContent-Type: text/xml\r\nContent-Length: 4\r\n\r\n<a/>", "200", carom.ReasonUnsupportedMedia, "text/xml"},
		{"JSON that is none", "POST " + door + " HTTP/1.1\r\nHost: carom\r\nContent-Type: application/json\r\nContent-Length: 8\r\n\r\n{\"ymid\":", "200", carom.ReasonBadBody, "JSON"},
		{"JSON with half a character", "POST " + door + " HTTP/1.1\r\nHost: carom\r\nContent-Type: application/json\r\nContent-Length: 17\r\n\r\n{\"ymid\":\"\\ud800\"}", "200", carom.ReasonBadEncoding, "ymid"},
	}
	s := caromtest.Start(t, caromtest.Options{Objects: caromtest.Monetag("")})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			answer := raw(t, s.URL, tt.request)
			head, body, _ := strings.Cut(answer, "\r\n\r\n")
			if !strings.HasPrefix(head, "HTTP/1.1 "+tt.status) || !strings.HasPrefix(body, "refused: ") || !strings.Contains(body, tt.detail) {
				t.Errorf("answered %q, want %s and a refusal with %q", answer, tt.status, tt.detail)
			}
			if tt.status == "405" && !strings.Contains(head, "Allow: GET, POST") {
				t.Errorf("answered %q, want it to say which methods are used", head)
			}
			line := s.Received(t, "refused")[0]
			if line.Reason != tt.reason || !strings.Contains(body, line.Detail) || line.App != "game" || line.Source != "ads" || line.Received.Path != "/in/game/ads/***" {
				t.Errorf("the journal's last line is %s: %s for %s, want %s", line.Reason, line.Detail, line.Received.Path, tt.reason)
			}
			if line.Received.Client != "127.0.0.1" || len(line.Received.Query) > 16<<10 || len(line.Received.Body) > 16<<10 || len(line.Received.Method) > 32 {
				t.Errorf("the journal keeps %d bytes of query, %d of body, %d of method, from %q", len(line.Received.Query), len(line.Received.Body),
					len(line.Received.Method), line.Received.Client)
			}
		})
	}
	if events := s.Events(t, ""); len(events) != 0 {
		t.Errorf("refused postbacks became %d events", len(events))
	}
	if n := len(s.Received(t, "refused")); n != len(tests) {
		t.Errorf("the journal has %d lines, want one for each of %d", n, len(tests))
	}
}

// What is at the limits, or odd where nothing rests on it, is accepted and flagged.
func TestOddPostbacksAreAccepted(t *testing.T) {
	const door = caromtest.Door
	tests := []struct {
		ymid  string
		query string
		price string
		flags []string
	}{
		{"negative", "&amount=-0.01", "", []string{"price_invalid"}},
		{"huge", "&amount=1000000001", "", []string{"price_invalid"}},
		{"beyond-all", "&amount=" + strings.Repeat("9", 200), "", []string{"price_invalid"}},
		{"exponent", "&amount=2.3e-3", "0.0023", nil},
		{"huge-exponent", "&amount=1e999999999", "", []string{"price_invalid"}},
		{"word", "&amount=free", "", []string{"price_invalid"}},
		{"not-a-number", "&amount=NaN", "", []string{"price_invalid"}},
		{"comma", "&amount=0,5", "", []string{"price_invalid"}},
		{"zero", "&amount=0", "0", nil},
		{"many-decimals", "&amount=0.00000000019", "0", []string{"price_truncated"}},
		{"exact", "&amount=0.000000001", "0.000000001", nil},
		{"no-price", "&amount=", "", nil},
		{"macro-zone", "&zone_id={zone_id}", "", []string{"literal_macro"}},
		{"macro-encoded", "&request_var=%7Brequest_var%7D", "", []string{"literal_macro"}},
		{"macro-price", "&amount={estimated_price}", "", []string{"literal_macro"}},
		{"repeated-same", "&ymid=repeated-same", "", nil},
		{"repeated-field", "&x=1&x=2", "", []string{"repeated_parameter"}},
	}
	s := caromtest.Start(t, caromtest.Options{Objects: caromtest.Monetag("")})
	for _, tt := range tests {
		s.Accepted(t, "ymid="+tt.ymid+"&event=click&value=yes"+tt.query)
		e := s.Story(t, tt.ymid).Event
		if diff := cmp.Diff(tt.flags, e.Flags); diff != "" || e.EstimatedPrice != tt.price {
			t.Errorf("%s: the price is %q, want %q; flags (-want +got):\n%s", tt.query, e.EstimatedPrice, tt.price, diff)
		}
	}
	limit := door + "?event=click&ymid=limit"
	for len(limit) < 16<<10 { // further parameters, each within its own limit
		limit += "&p" + itoa(len(limit)) + "=" + strings.Repeat("a", min(4000, max(16<<10-len(limit)-8, 0)))
	}
	if answer := raw(t, s.URL, get(limit[:16<<10])); !strings.HasPrefix(answer, "HTTP/1.1 200") || !strings.HasSuffix(answer, "OK") {
		t.Errorf("a URL of exactly 16 KiB was answered %q", answer)
	}
	const full = `{"ymid":"full","event":"click"}`
	a := caromtest.Do(t, "POST", s.URL+door, strings.Repeat(" ", 256<<10-len(full))+full, "Content-Type", "application/json")
	if a.Status != http.StatusOK || a.Body != "OK" {
		t.Errorf("a body of exactly 256 KiB was answered %d %q", a.Status, a.Body)
	}
}

// Only a sender whose request cannot be read as HTTP is answered by net/http itself.
func TestRequestsThatAreNoPostbacks(t *testing.T) {
	t.Parallel()
	s := caromtest.Start(t, caromtest.Options{Objects: caromtest.Monetag("")})
	for _, tt := range []struct{ name, request, status string }{
		{"a header block beyond the limit", "GET " + caromtest.Door + "?ymid=1&event=click HTTP/1.1\r\nHost: carom\r\nX: " + strings.Repeat("a", 80<<10) + "\r\n\r\n", "431"},
		{"a URL beyond the header block's limit", get(caromtest.Door + "?x=" + strings.Repeat("a", 80<<10)), "431"},
		{"a raw NUL in the URL", get(caromtest.Door + "?ymid=a\x00b&event=click"), "400"},
		{"broken percent-encoding in the path", get("/in/%zz/ads/x"), "400"},
		{"no HTTP", "hello\r\n\r\n", "400"},
	} {
		if answer := raw(t, s.URL, tt.request); !strings.HasPrefix(answer, "HTTP/1.1 "+tt.status) {
			t.Errorf("%s: answered %.80q, want %s", tt.name, answer, tt.status)
		}
	}
	if events, refused := s.Events(t, ""), s.Received(t, "refused"); len(events)+len(refused) != 0 {
		t.Errorf("they became %d events and %d journal lines", len(events), len(refused))
	}
	s.Accepted(t, "ymid=after&event=click")
}

// Nobody learns from the answer what exists: it is the same to the byte, whatever is wrong.
func TestUnverifiedRequestsAreAnsweredAlike(t *testing.T) {
	t.Parallel()
	s := caromtest.Start(t, caromtest.Options{Objects: caromtest.Monetag("")})
	const wrong = "ffffffffffffffffffffffffffffffff"
	const query = "?ymid=1&event=click"
	tests := []struct{ name, target string }{
		{"a wrong secret", "/in/game/ads/" + wrong},
		{"a secret that begins right", "/in/game/ads/" + caromtest.Secret[:31]},
		{"an unknown source", "/in/game/adz/" + caromtest.Secret},
		{"an unknown app", "/in/gamf/ads/" + caromtest.Secret},
		{"a source for reports", "/in/game/orders/" + caromtest.Secret},
		{"a slash too many", caromtest.Door + "/"},
		{"something behind the secret", caromtest.Door + "/postback"},
		{"an empty app", "/in//ads/" + caromtest.Secret},
		{"two slashes", "/in//game/ads/" + caromtest.Secret},
		{"dots", "/in/game/../game/ads/" + caromtest.Secret},
		{"no secret", "/in/game/ads"},
		{"an empty secret", "/in/game/ads/"},
		{"the secret in the place of the source", "/in/game/" + caromtest.Secret},
		{"the secret alone", "/in/" + caromtest.Secret},
		{"an encoded slash", "/in/game%2Fads/" + caromtest.Secret},
		{"bytes that are not UTF-8", "/in/%ff/ads/" + wrong},
		{"nothing", "/in/"},
	}
	for _, method := range []string{"GET", "POST", "PUT", "OPTIONS"} {
		request := func(target string) string {
			body := ""
			if method == "POST" || method == "PUT" {
				body = "Content-Length: 5\r\n\r\nymid="
			}
			return method + " " + target + query + " HTTP/1.1\r\nHost: carom\r\n" + body + map[bool]string{true: "\r\n"}[body == ""]
		}
		want := raw(t, s.URL, request(tests[0].target))
		if !strings.HasPrefix(want, "HTTP/1.1 403 ") || !strings.HasSuffix(want, "\r\n\r\nforbidden") {
			t.Fatalf("%s with a wrong secret was answered %q", method, want)
		}
		for _, tt := range tests {
			if diff := cmp.Diff(want, raw(t, s.URL, request(tt.target))); diff != "" {
				t.Errorf("%s with %s (-a wrong secret +this):\n%s", method, tt.name, diff)
			}
		}
	}
	if events := s.Events(t, ""); len(events) != 0 {
		t.Errorf("they became %d events", len(events))
	}
	seen := map[string]bool{}
	caromtest.Until(t, "the sample to be stored", func() bool {
		for _, u := range s.Received(t, "unverified") {
			seen[u.Received.Path] = true
		}
		return len(seen) > 0
	})
	for path := range seen {
		if strings.Contains(path, caromtest.Secret) || !utf8.ValidString(path) {
			t.Errorf("the sample shows %q", path)
		}
	}
}
