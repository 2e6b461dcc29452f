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
	b, err := mustProfiles(t)["monetag"].Bind(s, nil, nil)
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
				v := b.Judge(get(query))
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

// TestEveryProfile is the contract that each profile meets, whatever its network.
func TestEveryProfile(t *testing.T) {
	for name, p := range mustProfiles(t) {
		t.Run(name, func(t *testing.T) {
			s := testSource()
			s.Profile = name
			if _, err := p.Bind(carom.Source{App: "game", Name: "main", Profile: name}, nil, nil); !errors.Is(err, carom.ErrInvalid) {
				t.Errorf("Bind(a source without a secret) = %v, want ErrInvalid", err)
			}
			b, err := p.Bind(s, nil, nil)
			if err != nil {
				t.Fatalf("Bind() = %v", err)
			}
			if page, err := os.ReadFile("../../docs/networks/" + name + ".md"); err != nil || !strings.Contains(string(page), p.Template) {
				t.Errorf("docs/networks/%s.md must exist and hold the template to paste, %s (%v)", name, p.Template, err)
			}
			contractJudge(t, b)
			contractAnswers(t, b)
		})
	}
}

// contractJudge sends the profile's own template with good values, then with each macro left as text.
func contractJudge(t *testing.T, b *Binding) {
	p := b.Profile
	words := [fieldCount]string{fieldYMID: "view-1", fieldZoneID: "7", fieldSubZoneID: "8", fieldRequestVar: "spot", fieldTelegramID: "42", fieldPrice: "0.0023"}
	for word := range p.types {
		words[fieldEventType] = word
	}
	for word, value := range p.values {
		if value == carom.Valued {
			words[fieldValue] = word
		}
	}
	filled := p.Template
	for f := range fieldCount {
		filled = strings.Replace(filled, "="+p.macros[f], "="+words[f], 1)
	}
	good := b.Judge(get(filled))
	if good.Event == nil {
		t.Fatalf("Judge(%q) refused: %s: %s", filled, good.Refused, good.Detail)
	}
	if e := good.Event; e.Network != p.Name || e.Strength != p.Strength || e.App != "game" || e.Source != "main" ||
		e.Value != carom.Valued || e.Flags != 0 || e.Held != "" || len(e.Fields) != 0 || e.ID != "" {
		t.Errorf("Judge(%q) = %+v, want a clean, valued event of the source", filled, e)
	}
	if again := b.Judge(get(filled)); again.Key != good.Key {
		t.Errorf("Judge(%q) gave keys %x and %x, want one", filled, good.Key, again.Key)
	}
	for f := range fieldCount {
		if p.macros[f] == "" {
			continue
		}
		query := strings.Replace(filled, "="+words[f], "="+p.macros[f], 1)
		v := b.Judge(get(query))
		rests := f == p.identity[0] || f == fieldEventType || f == fieldValue
		switch {
		case rests && (v.Refused != carom.ReasonLiteralMacro || !strings.Contains(v.Detail, f.String())):
			t.Errorf("Judge(%q) = %q, %q, want a literal_macro that names %s", query, v.Refused, v.Detail, f)
		case !rests && (v.Event == nil || v.Event.Flags != carom.FlagLiteralMacro):
			t.Errorf("Judge(%q) = %+v, want an event flagged literal_macro", query, see(v))
		}
	}
	if v := b.Judge(get("")); v.Refused != carom.ReasonNoIdentity || v.Event != nil || v.Key != (carom.DedupeKey{}) {
		t.Errorf("Judge(nothing) = %+v, want no_identity without event or key", v)
	}
}

func contractAnswers(t *testing.T, b *Binding) {
	p := b.Profile
	refused := b.Judge(get(""))
	if a := p.Answer(Accepted, Verdict{}); a.Status/100 != 2 || a.ContentType == "" {
		t.Errorf("Answer(accepted) = %+v, want a success", a)
	}
	if a := p.Answer(Duplicate, Verdict{}); a.Status/100 != 2 {
		t.Errorf("Answer(duplicate) = %+v, want a success: an error would make the network repeat", a)
	}
	if a := p.Answer(RefusedOutcome, refused); strings.Contains(a.Body, "{") != strings.Contains(refused.Detail, "{") {
		t.Errorf("Answer(refused) = %+v, want its placeholder replaced", a)
	}
	if a := p.Answer(TryLater, Verdict{}); a.Status/100 == 2 {
		t.Errorf("Answer(try later) = %+v, want no success", a)
	}
	if a := p.Answer(Unverified, Verdict{}); a != Forbidden() {
		t.Errorf("Answer(unverified) = %+v, want %+v for every profile", a, Forbidden())
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
			if got := b.Verify(tt.secret, now); got != tt.want {
				t.Errorf("Verify(%q) = %v, want %v", tt.secret, got, tt.want)
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
			_, err := p.Bind(s, tt.names, nil)
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
		{"an unknown key", "evidence:", "evidnce:", "p.yaml:9:1: evidnce: unknown field \"evidnce\""},
		{"an unknown key inside", "{status: 503,", "{status: 503, retry: 5,", "retry"},
		{"a key that stands twice", "title: Monetag", "title: Monetag\ntitle: Other", "p.yaml:8:1: title:"},
		{"an unknown verification", "path_secret", "magic", `p.yaml: verify: "magic" is not a verification`},
		{"an unknown evidence", "secret only", "hearsay", "p.yaml: evidence:"},
		{"an unknown field", "  zone_id:", "  zone:", "p.yaml: fields.zone: an event has no such field"},
		{"an alias of two fields", "[ymid, uid,", "[ymid, zone,", `"zone" stands for`},
		{"a value that carom does not know", "  valued:", "  maybe:", "p.yaml: values.maybe"},
		{"a word with two values", `"unvalued"`, `"YES"`, `stands twice`},
		{"an event word with two meanings", "click: [click]", "click: [click, impression]", "stands twice"},
		{"an identity that no event has", "identity: [ymid,", "identity: [user,", `p.yaml: identity: an event has no field "user"`},
		{"no dedupe key", "dedupe: [zone_id, ymid, event_type, reward_event_type]", "dedupe: []", "p.yaml: dedupe: no field is listed"},
		{"a template without a field", "&zone_id={zone_id}", "", "p.yaml: template: it lacks zone_id"},
		{"a template with literal text", "={ymid}", "=me", "p.yaml: template: ymid is not a parameter"},
		{"an answer that would lose the postback", "try_later: {status: 503", "try_later: {status: 200", "p.yaml: answers.try_later"},
		{"an answer that would be repeated", "duplicate: {status: 200", "duplicate: {status: 409", "p.yaml: answers.duplicate"},
		{"a method that nobody uses", "[GET, POST]", "[GET, PUT]", `p.yaml: methods: "PUT"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text := strings.Replace(string(good), tt.old, tt.new, 1)
			if text == string(good) {
				t.Fatalf("%q does not stand in the profile", tt.old)
			}
			_, err := parseProfile("p", "p.yaml", []byte(text))
			if !errors.Is(err, carom.ErrInvalid) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("parseProfile() = %v, want an ErrInvalid with %q", err, tt.want)
			}
		})
	}
}
