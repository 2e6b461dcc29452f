package network

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"carom"
)

const testSecret = "5f2b7c1e9d8a4063b1c2d3e4f5061728"

// proven is what Verify says of a request that its path secret proves.
var proven = Proof{Verified: true, Strength: carom.Secret}

// testSource is a source with a secret, of the default kind.
func testSource() carom.Source {
	return carom.Source{
		App: "game", Name: "main", Profile: "monetag",
		Secrets: []carom.SecretSum{{Sum: sha256.Sum256([]byte(testSecret))}},
	}
}

func mustProfiles(t testing.TB) map[string]*Profile {
	t.Helper()
	profiles, err := Profiles()
	if err != nil {
		t.Fatalf("Profiles() = %v", err)
	}
	return profiles
}

// mustBind binds the monetag profile to s, with the profile's own names.
func mustBind(t testing.TB, s carom.Source) *Binding {
	t.Helper()
	b, err := mustProfiles(t)["monetag"].Bind(s, nil, nil, "")
	if err != nil {
		t.Fatalf("Bind() = %v", err)
	}
	return b
}

func get(query string) *carom.Received {
	return &carom.Received{At: time.Date(2026, 11, 2, 3, 4, 5, 0, time.UTC), Method: "GET", Path: "/in/game/main/***", RawQuery: query}
}

func post(query, contentType, body string) *carom.Received {
	r := get(query)
	r.Method, r.ContentType, r.Body = "POST", contentType, []byte(body)
	return r
}

// seen is the part of a verdict that the tests compare.
type seen struct {
	Type       carom.EventType       `json:"type"`
	Value      carom.RewardEventType `json:"value"`
	YMID       string                `json:"ymid"`
	ZoneID     string                `json:"zone_id"`
	SubZoneID  string                `json:"sub_zone_id"`
	RequestVar string                `json:"request_var"`
	TelegramID string                `json:"telegram_id"`
	Price      string                `json:"price"`
	Fields     []carom.Field         `json:"fields"`
	Flags      string                `json:"flags"`
	Held       string                `json:"held"`
	Refused    carom.Reason          `json:"refused"`
}

func see(v Verdict) seen {
	e := v.Event
	if e == nil {
		return seen{Refused: v.Refused}
	}
	return seen{
		Type: e.Type, Value: e.Value, YMID: e.YMID, ZoneID: e.ZoneID, SubZoneID: e.SubZoneID, RequestVar: e.RequestVar,
		TelegramID: e.TelegramID, Price: e.Price.String(), Fields: e.Fields, Flags: e.Flags.String(), Held: e.Held, Refused: v.Refused,
	}
}

func TestMonetagSamples(t *testing.T) {
	data, err := os.ReadFile("testdata/monetag/cases.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Name    string
		Source  string // where the request was seen
		Queries []string
		Want    []seen
	}
	if err := json.Unmarshal(data, &cases); err != nil {
		t.Fatal(err)
	}
	b := mustBind(t, testSource())
	for _, tt := range cases {
		t.Run(tt.Name, func(t *testing.T) {
			var got []seen
			keys := make(map[[16]byte]bool)
			for _, query := range tt.Queries {
				v := b.Judge(get(query), proven)
				got = append(got, see(v))
				keys[v.Key.Sum] = true
			}
			if diff := cmp.Diff(tt.Want, got); diff != "" {
				t.Errorf("Judge(%q) (-want +got):\n%s", tt.Queries, diff)
			}
			if len(keys) != len(tt.Queries) {
				t.Errorf("Judge(%q) gave %d different keys, want %d", tt.Queries, len(keys), len(tt.Queries))
			}
		})
	}
}

func TestMonetagAnswers(t *testing.T) {
	p := mustProfiles(t)["monetag"]
	for outcome, want := range map[Outcome]Answer{
		Accepted:       {200, "text/plain; charset=utf-8", "OK"},
		Duplicate:      {200, "text/plain; charset=utf-8", "OK"},
		RefusedOutcome: {200, "text/plain; charset=utf-8", "refused: no ymid"},
		TryLater:       {503, "text/plain; charset=utf-8", "try later"},
		Unverified:     {403, "text/plain; charset=utf-8", "forbidden"},
	} {
		if got := p.Answer(outcome, Verdict{Detail: "no ymid"}); got != want {
			t.Errorf("Answer(%s) = %+v, want %+v", outcome, got, want)
		}
	}
}

func TestVerify(t *testing.T) {
	now := time.Date(2026, 11, 2, 3, 4, 5, 0, time.UTC)
	sum := func(secret string, until time.Time) carom.SecretSum {
		return carom.SecretSum{Sum: sha256.Sum256([]byte(secret)), NotAfter: until}
	}
	s := testSource()
	s.Secrets = []carom.SecretSum{sum("new", time.Time{}), sum("old", now), sum("gone", now.Add(-time.Nanosecond)), sum("new", time.Time{})}
	b := mustBind(t, s)
	for _, tt := range []struct {
		name, secret string
		want         bool
	}{
		{"the newest secret counts, also when listed twice", "new", true},
		{"a rotated secret counts until its end", "old", true},
		{"a secret past its end does not count", "gone", false},
		{"another secret does not count", "other", false},
		{"no secret does not count", "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			want := proven
			if !tt.want {
				want = Proof{Reason: carom.ReasonWrongSecret}
			}
			if got := b.Verify(t.Context(), &Request{Secret: tt.secret}, now, nil); got != want {
				t.Errorf("Verify(%q) = %+v, want %+v", tt.secret, got, want)
			}
		})
	}
}

func TestBindRefuses(t *testing.T) {
	p := mustProfiles(t)["monetag"]
	for _, tt := range []struct {
		name   string
		change func(*carom.Source)
		names  map[string]string
		want   string
	}{
		{"a source without a secret", func(s *carom.Source) { s.Secrets = nil }, nil, "sources.main.secrets: Monetag does not sign"},
		{"an unknown kind of ymid", func(s *carom.Source) { s.YMID = "device" }, nil, `sources.main.ymid: "device" is none of view, session, user`},
		{"an empty word", func(s *carom.Source) { s.EventTypes = map[string]carom.EventType{" ": "lead"} }, nil, "sources.main.event_types: a word or its event type is empty"},
		{"one word with two meanings", func(s *carom.Source) { s.EventTypes = map[string]carom.EventType{"Imp": "impression", "imp": "click"} }, nil, `"imp" stands for both`},
		{"a template that names nobody", func(*carom.Source) {}, map[string]string{"e": "event_type"}, "sources.main.template: no parameter says whose event it is: add ymid={ymid}"},
		{"a template that does not say what happened", func(*carom.Source) {}, map[string]string{"u": "ymid"}, "sources.main.template: no parameter says what happened: add event_type={event_type}"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := testSource()
			tt.change(&s)
			_, err := p.Bind(s, tt.names, nil, "")
			if !errors.Is(err, carom.ErrInvalid) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Bind() = %v, want an ErrInvalid with %q", err, tt.want)
			}
		})
	}
}

func TestParseProfileNamesTheFault(t *testing.T) {
	good, err := profileFiles.ReadFile("profiles/monetag.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, old, new, want string }{
		{"an unknown key", "evidence:", "evidnce:", "p.yaml:13:1: evidnce: unknown field \"evidnce\""},
		{"an unknown key inside", "{status: 503,", "{status: 503, retry: 5,", "retry"},
		{"a key that stands twice", "title: Monetag", "title: Monetag\ntitle: Other", "p.yaml:8:1: title:"},
		{"an unknown verification", "path_secret", "magic", `p.yaml:19:5: magic: unknown field "magic"`},
		{"an unknown evidence", "secret only", "hearsay", "p.yaml:13:11: evidence:"},
		{"an unknown field", "  zone_id:", "  zone:", "p.yaml:30:9: fields.zone: an event has no such field"},
		{"an alias of two fields", "[ymid, uid,", "[ymid, zone,", `"zone" stands for`},
		{"a value that carom does not know", "  valued:", "  maybe:", "p.yaml:40:10: values.maybe"},
		{"a word with two values", `"unvalued"`, `"YES"`, `stands twice`},
		{"an event word with two meanings", "click: [click]", "click: [click, impression]", "stands twice"},
		{"an identity that no event has", "identity: [ymid,", "identity: [user,", `p.yaml:51:11: identity: an event has no field "user"`},
		{"no dedupe key", "dedupe: [zone_id, ymid, event_type, reward_event_type]", "dedupe: []", "p.yaml:55:9: dedupe: no field is listed"},
		{"a template without a field", "&zone_id={zone_id}", "", "p.yaml:24:11: template: it lacks zone_id"},
		{"a template with literal text", "={ymid}", "=me", `template: "ymid=me" is not a parameter`},
		{"an answer that would lose the postback", "try_later: {status: 503", "try_later: {status: 200", "p.yaml:63:14: answers.try_later"},
		{"an answer that would be repeated", "duplicate: {status: 200", "duplicate: {status: 409", "p.yaml:61:14: answers.duplicate"},
		{"a method that nobody uses", "[GET, POST]", "[GET, PUT]", `p.yaml:20:10: methods: "PUT"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text := strings.Replace(string(good), tt.old, tt.new, 1)
			if text == string(good) {
				t.Fatalf("%q does not stand in the profile", tt.old)
			}
			_, err := LoadProfile("p", "p.yaml", []byte(text))
			if !errors.Is(err, carom.ErrInvalid) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("LoadProfile() = %v, want an ErrInvalid with %q", err, tt.want)
			}
		})
	}
}
