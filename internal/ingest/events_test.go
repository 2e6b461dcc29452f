package ingest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"carom"
)

// report sends a report with the key that may do everything and returns the answer.
func report(t *testing.T, f *fake, d *Door, contentType, body string) (int, []Result) {
	t.Helper()
	f.keys = map[string]carom.APIKey{"all": {Scope: carom.ScopeAdmin}}
	r := httptest.NewRequest("POST", "/v1/events", strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer all")
	r.Header.Set("Content-Type", contentType)
	w := send(f, d, r)
	var answer struct {
		Results []Result `json:"results"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
		t.Fatalf("answered %d %q: %v", w.Code, w.Body, err)
	}
	return w.Code, answer.Results
}

// good is a good event with more fields, and the app and source that it needs.
func good(id, more string) string {
	return `{"id":"` + id + `","app":"game","source":"orders","event_type":"click"` + more + `}`
}

func TestFormsOfReports(t *testing.T) {
	a, b, bad := good("a", ""), good("b", ""), `{"id":"bad","app":"game","source":"orders"}`
	tests := []struct {
		name, contentType, body string
		want                    []string // "id status"
	}{
		{"one", "application/json", a, []string{"a accepted"}},
		{"one over several lines", "application/json", strings.ReplaceAll(a, ",", ",\n"), []string{"a accepted"}},
		{"an array", "application/json", "[" + a + "," + b + "]", []string{"a accepted", "b accepted"}},
		{"an empty array", "application/json", " [ ] ", []string{}},
		{"NDJSON", "application/x-ndjson", a + "\n" + b + "\n", []string{"a accepted", "b accepted"}},
		{"NDJSON of another system", "application/jsonl", a + "\r\n\r\n" + b, []string{"a accepted", "b accepted"}},
		{"NDJSON by another name", "application/json", a + "\n" + b, []string{"a accepted", "b accepted"}},
		{"without a type", "", a, []string{"a accepted"}},
		{"mixed", "application/json", "[" + a + "," + bad + "," + a + ",7," + b + "]",
			[]string{"a accepted", "bad invalid", "a duplicate", " invalid", "b accepted"}},
		{"a broken line is its own fault", "application/x-ndjson", a + "\n{\"id\":\n" + b + "x\n" + b, []string{"a accepted", " invalid", "b invalid", "b accepted"}},
		{"null", "application/json", "[null]", []string{" invalid"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := &fake{}
			status, results := report(t, f, door(t, f, Options{}), tt.contentType, tt.body)
			got := []string{}
			for _, r := range results {
				got = append(got, r.ID+" "+r.Status)
				if (r.EventID != "") != (r.Status == statusAccepted || r.Status == statusDuplicate) || (r.Reason != "") != (r.Status == statusInvalid) {
					t.Errorf("the result %+v lacks its event or its reason, or has one too many", r)
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" || status != http.StatusOK {
				t.Errorf("answered %d (-want +got):\n%s", status, diff)
			}
		})
	}
}

func TestReportsThatAreRefusedWhole(t *testing.T) {
	tests := []struct {
		name, contentType, body string
		status                  int
		detail                  string
	}{
		{"empty", "application/json", " \n", 400, "empty"},
		{"a text", "application/json", `"hello"`, 400, "neither a JSON object nor an array"},
		{"an array cut short", "application/json", "[" + good("a", ""), 400, "not a JSON array"},
		{"two arrays", "application/json", "[" + good("a", "") + "][]", 400, "goes on"},
		{"an object that is broken", "application/json", good("a", "")[1:] + "{", 400, "neither"},
		{"two objects on a line", "application/json", good("a", "") + good("b", ""), 400, "not valid JSON"},
		{"8 MiB and a byte", "application/json", strings.Repeat(" ", 8<<20+1), 413, "8 MiB"},
		{"too many items", "application/json", "[" + strings.Repeat("1,", MaxItems) + "1]", 400, "50000"},
		{"too many lines", "application/x-ndjson", strings.Repeat("1\n", MaxItems+1), 400, "50000"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := &fake{keys: map[string]carom.APIKey{"all": {Scope: carom.ScopeEvents}}}
			r := httptest.NewRequest("POST", "/v1/events", strings.NewReader(tt.body))
			r.Header.Set("Authorization", "Bearer all")
			r.Header.Set("Content-Type", tt.contentType)
			w := send(f, door(t, f, Options{}), r)
			var problem struct {
				Status int
				Detail string
			}
			if err := json.Unmarshal(w.Body.Bytes(), &problem); err != nil || w.Header().Get("Content-Type") != "application/problem+json" {
				t.Fatalf("answered %d %q: %v", w.Code, w.Body, err)
			}
			if w.Code != tt.status || problem.Status != tt.status || !strings.Contains(problem.Detail, tt.detail) || !strings.Contains(problem.Detail, "none of these") {
				t.Errorf("answered %d %q, want %d with %q", w.Code, problem.Detail, tt.status, tt.detail)
			}
			if len(f.did) != 0 {
				t.Errorf("it did %v", f.did)
			}
		})
	}
}

func TestWhoMayReport(t *testing.T) {
	keys := map[string]carom.APIKey{
		"events": {Scope: carom.ScopeEvents}, "admin": {Scope: carom.ScopeAdmin}, "read": {Scope: carom.ScopeRead},
		"game": {Scope: carom.ScopeEvents, App: "game"}, "shop": {Scope: carom.ScopeEvents, App: "shop"}, "solo": {Scope: carom.ScopeEvents, App: "solo"},
	}
	one, appless := good("a", ""), `{"id":"a","event_type":"click"}`
	tests := []struct {
		name   string
		auth   string
		local  bool
		body   string
		status int
		want   string // "status field" of the result
	}{
		{"a key for events", "Bearer events", false, one, 200, "accepted "},
		{"a key for everything", "bearer admin", false, one, 200, "accepted "},
		{"the app's own key", "Bearer game", false, one, 200, "accepted "},
		{"a key of another app", "Bearer shop", false, one, 200, "invalid app"},
		{"a key names the app", "Bearer solo", false, appless, 200, "accepted "},
		{"a key of an app with several sources", "Bearer game", false, appless, 200, "invalid source"},
		{"a key of an app without sources", "Bearer shop", false, appless, 200, "invalid source"},
		{"no app at all", "Bearer events", false, appless, 200, "invalid app"},
		{"the local socket", "", true, one, 200, "accepted "},
		{"the local socket belongs to no app", "", true, appless, 200, "invalid app"},
		{"a key that may only read", "Bearer read", false, one, 403, ""},
		{"an unknown key", "Bearer nonsense", false, one, 401, ""},
		{"no key", "", false, one, 401, ""},
		{"an empty key", "Bearer ", false, one, 401, ""},
		{"another scheme", "Basic events", false, one, 401, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := &fake{keys: keys}
			d := door(t, f, Options{Local: func(*http.Request) bool { return tt.local }})
			r := httptest.NewRequest("POST", "/v1/events", strings.NewReader(tt.body))
			r.Header.Set("Authorization", tt.auth)
			w := send(f, d, r)
			if w.Code != tt.status || (w.Header().Get("WWW-Authenticate") != "") != (tt.status == 401) {
				t.Fatalf("answered %d %v %s, want %d", w.Code, w.Header(), w.Body, tt.status)
			}
			var answer struct{ Results []Result }
			if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
				t.Fatal(err)
			}
			got := ""
			if len(answer.Results) > 0 {
				got = answer.Results[0].Status + " " + answer.Results[0].Field
			}
			if got != tt.want {
				t.Errorf("the result is %q, want %q: %s", got, tt.want, w.Body)
			}
		})
	}
}

func TestFaultsOfItems(t *testing.T) {
	tests := []struct {
		name, body    string
		field, reason string
	}{
		{"no id", `{"app":"game","source":"orders","event_type":"click"}`, "id", "missing"},
		{"an id that is too long", good(strings.Repeat("a", 257), ""), "id", "256"},
		{"an id that is a list", `{"id":["a"]}`, "id", "array cannot stand here"},
		{"an unknown field", good("a", `,"yimd":"u"`), "yimd", "no such field"},
		{"an unknown app", `{"id":"a","app":"gone","source":"orders","event_type":"click"}`, "app", "no app"},
		{"an unknown source", `{"id":"a","app":"game","source":"gone","event_type":"click"}`, "source", "no source"},
		{"a network's source", `{"id":"a","app":"game","source":"ads","event_type":"click"}`, "source", "no source"},
		{"no event type", `{"id":"a","app":"game","source":"orders"}`, "event_type", "missing"},
		{"an event type with blanks", `{"id":"a","app":"game","source":"orders","event_type":"Free Spin"}`, "event_type", "lower-case"},
		{"an unknown value", good("a", `,"reward_event_type":"yes"`), "reward_event_type", "valued"},
		{"a negative price", good("a", `,"estimated_price":-1`), "estimated_price", "negative"},
		{"a huge price", good("a", `,"estimated_price":"1000000.1"`), "estimated_price", "above"},
		{"a huge exponent", good("a", `,"estimated_price":1e999999999`), "estimated_price", "decimal"},
		{"a price that is a word", good("a", `,"estimated_price":"free"`), "estimated_price", "decimal"},
		{"a price that is an object", good("a", `,"estimated_price":{}`), "estimated_price", "object cannot stand here"},
		{"a test that is a word", good("a", `,"test":"yes"`), "test", "true or false"},
		{"a NUL", good("a", `,"ymid":"a\u0000b"`), "ymid", "NUL"},
		{"half a character", good("a", `,"ymid":"\ud83d"`), "", "half a character"},
		{"bytes that are not UTF-8", good("a", ",\"ymid\":\"\xff\""), "", "UTF-8"},
		{"fields that are a list", good("a", `,"fields":["x"]`), "fields", "object of texts"},
		{"a field that is a list", good("a", `,"fields":{"tags":["x"]}`), "fields.tags", "list"},
		{"a field twice", good("a", `,"fields":{"x":"1","x":"2"}`), "fields.x", "twice"},
		{"a field without a name", good("a", `,"fields":{"":"1"}`), "fields.", "name"},
		{"a field that is too long", good("a", `,"fields":{"x":"`+strings.Repeat("a", 4097)+`"}`), "fields.x", "4096"},
		{"a long name of a field", good("a", `,"fields":{"`+strings.Repeat("ü", 65)+`":"1"}`), "fields." + strings.Repeat("ü", 20) + "…", "128"},
		{"too many fields", good("a", `,"fields":{`+manyFields(101)+`}`), "fields", "100"},
		{"256 KiB and a byte", good("a", `,"fields":{"x":"`+strings.Repeat("a", 256<<10)+`"}`), "", "256 KiB"},
	}
	f := &fake{}
	d := door(t, f, Options{})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, results := report(t, f, d, "application/x-ndjson", tt.body)
			if len(results) != 1 || results[0].Status != statusInvalid || results[0].Field != tt.field || !strings.Contains(results[0].Reason, tt.reason) {
				t.Errorf("%.100s became %+v, want invalid %q: %s", tt.body, results, tt.field, tt.reason)
			}
		})
	}
	if len(f.accepted) != 0 {
		t.Errorf("%d of them were accepted", len(f.accepted))
	}
}

func manyFields(n int) string {
	var fields []string
	for i := range n {
		fields = append(fields, fmt.Sprintf(`"f%d":"1"`, i))
	}
	return strings.Join(fields, ",")
}

func TestItemsBecomeEvents(t *testing.T) {
	f := &fake{}
	_, results := report(t, f, door(t, f, Options{}), "application/json", `[
		{"id":17,"app":"game","source":"orders","event_type":"imp","reward_event_type":"valued","ymid":123456789012345678901,"zone_id":8790478,
		 "telegram_id":777,"estimated_price":0.00230,"fields":{"level":7,"vip":true,"none":null,"name":"Zoë \ud83d\ude00"},"test":true},
		{"id":"2","app":"game","source":"returns","estimated_price":"0.00000000019"},
		{"id":"3","app":"game","source":"orders","event_type":"free-spin"}]`)
	if len(f.accepted) != 3 {
		t.Fatalf("the results are %+v", results)
	}
	type view struct {
		ID, YMID, User, Zone, Type, Value, Price, Flags string
		Fields                                          []carom.Field
	}
	var got []view
	for _, s := range f.accepted {
		e := s.Event
		got = append(got, view{e.ExternalID, e.YMID, e.TelegramID, e.ZoneID, string(e.Type), string(e.Value), e.Price.String(), e.Flags.String(), e.Fields})
		if e.Strength != carom.Secret || e.Network != carom.ProfileAPI || e.Received.Path != "/v1/events" || !strings.HasPrefix(string(e.Received.Body), `{"id"`) {
			t.Errorf("%s was received as %+v", e.ExternalID, e.Received)
		}
	}
	want := []view{
		{"17", "123456789012345678901", "777", "8790478", "impression", "valued", "0.0023", "test",
			[]carom.Field{{Name: "level", Value: "7"}, {Name: "vip", Value: "true"}, {Name: "name", Value: "Zoë 😀"}}},
		{ID: "2", Type: "reversal", Price: "0", Flags: "price_truncated"},
		{ID: "3", Type: "free-spin"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the events (-want +got):\n%s", diff)
	}
}

func TestReportsOfAFailingStoreMayBeSentAgain(t *testing.T) {
	f := &fake{err: carom.ErrUnavailable}
	d := door(t, f, Options{})
	status, results := report(t, f, d, "application/json", "["+good("a", "")+`,{"id":"b"}]`)
	if status != http.StatusServiceUnavailable || results[0].Status != statusTryLater || results[1].Status != statusInvalid {
		t.Errorf("answered %d %+v, want 503: try_later, invalid", status, results)
	}
	f.err = nil
	if status, results = report(t, f, d, "application/json", good("a", "")); status != 200 || results[0].Status != statusAccepted {
		t.Errorf("the repeat was answered %d %+v, want accepted", status, results)
	}
}
