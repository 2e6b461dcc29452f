package network

import (
	"cmp"
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"carom"
)

// vectorFile is testdata/vectors.json: published cases with the place where each was found.
type vectorFile struct {
	KeyLists map[string]struct {
		Keys []struct {
			KeyID  json.Number `json:"keyId"`
			Base64 string      `json:"base64"`
		} `json:"keys"`
	} `json:"key_lists"`
	Vectors []vector `json:"vectors"`
	Samples []struct {
		ID     string          `json:"id"`
		Query  json.RawMessage `json:"query"` // one, or a list
		Expect struct {
			EventType *string `json:"event_type"`
			YMID      *string `json:"ymid"`
			ZoneID    *string `json:"zone_id"`
			Price     *string `json:"estimated_price"`
			Decision  string  `json:"decision"`
		} `json:"expect"`
	} `json:"request_samples"`
}

type vector struct {
	ID     string         `json:"id"`
	Scheme string         `json:"scheme"`
	Input  map[string]any `json:"input"`
	Expect struct {
		Valid     *bool    `json:"valid"`
		Reason    string   `json:"reason"`
		Covers    []string `json:"covers"`
		Kind      string   `json:"kind"`
		Signature string   `json:"signature"`
		AckStatus int      `json:"ack_status"`
		AckBody   string   `json:"ack_body"`
		AckHas    string   `json:"ack_body_contains"`
	} `json:"expect"`
}

func (v *vector) text(name string) string {
	if v.Input[name] == nil {
		return ""
	}
	return fmt.Sprint(v.Input[name])
}

func readVectors(t testing.TB) *vectorFile {
	t.Helper()
	data, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	f := new(vectorFile)
	dec := json.NewDecoder(strings.NewReader(string(data)))
	dec.UseNumber()
	if err := dec.Decode(f); err != nil {
		t.Fatal(err)
	}
	return f
}

// keyList is a network's key list that was read once. The nil list is one that is out of reach.
type keyList map[string]crypto.PublicKey

func (l keyList) Key(_ context.Context, url, id string) (crypto.PublicKey, error) {
	switch key, ok := l[id]; {
	case l == nil:
		return nil, fmt.Errorf("fetch %s: %w", url, carom.ErrUnavailable)
	case !ok:
		return nil, carom.ErrNotFound
	default:
		return key, nil
	}
}

// list reads a key list, without the keys on curves that cannot be used.
func (f *vectorFile) list(name string) keyList {
	list := keyList{}
	for _, k := range f.KeyLists[name].Keys {
		der, err := base64.StdEncoding.DecodeString(k.Base64)
		if err != nil {
			continue
		}
		if key, err := x509.ParsePKIXPublicKey(der); err == nil {
			list[k.KeyID.String()] = key
		}
	}
	return list
}

// scheme says how the cases of a scheme become requests: by which profile, with which input for the secret, and where fields
// and signature go when the case has no query.
type scheme struct {
	profile, secret, signature, param string
}

var schemes = map[string]scheme{ // never changed
	"admob-ssv":                {profile: "admob"},
	"unityads-s2s":             {profile: "unityads", secret: "secret"},
	"applovin-event-token":     {profile: "applovin", secret: "event_key", signature: "token", param: "token"},
	"vungle-digest":            {profile: "vungle", secret: "secret", signature: "digest", param: "digest"},
	"adcolony-v4vc":            {profile: "adcolony", secret: "secret", signature: "verifier", param: "verifier"},
	"ayet-hmac":                {profile: "ayet", secret: "api_key"},
	"bitlabs-url-hmac":         {profile: "bitlabs", secret: "secret"},
	"levelplay-md5":            {profile: "levelplay", secret: "private_key"},
	"cpawild-md5":              {profile: "cpawild", secret: "secret"},
	"fyber-sha1":               {profile: "fyber", secret: "token", signature: "sid", param: "sid"},
	"cpx-md5":                  {profile: "cpx", secret: "secure_hash", signature: "hash", param: "hash"},
	"adjoe-sha1":               {profile: "adjoe", secret: "token", signature: "sid", param: "sid"},
	"subid-md5":                {profile: "subid", secret: "secret", signature: "signature", param: "signature"},
	"standard-webhooks-sign":   {profile: "standardwebhooks", secret: "secret"},
	"standard-webhooks-verify": {profile: "standardwebhooks", secret: "secret"},
	"standard-webhooks-secret": {profile: "standardwebhooks", secret: "secret"},
}

// request makes the request of a case.
func (v *vector) request(s scheme) (r *Request, publicURL string, now time.Time) {
	r = &Request{Method: "GET", Path: "/in/game/main", RawQuery: v.text("raw_query"), Header: http.Header{}}
	publicURL, now = "https://postbacks.example.com", time.Date(2026, 11, 2, 3, 4, 5, 0, time.UTC)
	if full := v.text("url"); full != "" {
		u, err := url.Parse(full)
		if err != nil {
			panic(err) // a fault in the file
		}
		publicURL, r.Path, r.RawQuery = u.Scheme+"://"+u.Host, u.EscapedPath(), u.RawQuery
	}
	if header := v.text("header"); header != "" {
		r.Header.Set("X-Ayetstudios-Security-Hash", header)
	}
	fields := url.Values{}
	if nested, ok := v.Input["fields"].(map[string]any); ok {
		for name, value := range nested {
			fields.Set(name, fmt.Sprint(value))
		}
	}
	for _, name := range []string{"event_id", "txid", "trans_id", "status", "amount", "user_id"} {
		if value := v.text(name); value != "" {
			fields.Set(name, value)
		}
	}
	if s.param != "" {
		fields.Set(s.param, v.text(s.signature))
		r.RawQuery = fields.Encode()
	}
	if body := v.text("body"); body != "" {
		r.Method, r.ContentType, r.Body = "POST", "application/json", []byte(body)
		headers, _ := v.Input["headers"].(map[string]any)
		if v.Expect.Signature != "" {
			headers = map[string]any{"webhook-id": v.text("id"), "webhook-timestamp": v.text("timestamp"), "webhook-signature": v.Expect.Signature}
		}
		for name, value := range headers {
			r.Header.Set(name, fmt.Sprint(value))
		}
		for _, name := range []string{"timestamp", "now"} {
			if seconds, ok := v.Input[name].(json.Number); ok {
				n, _ := seconds.Int64()
				now = time.Unix(n, 0)
			}
		}
	}
	return r, publicURL, now
}

// testProfiles are the shipped profiles and those that only tests have.
func testProfiles(t testing.TB) map[string]*Profile {
	t.Helper()
	profiles := maps.Clone(mustProfiles(t))
	files, err := filepath.Glob("testdata/profiles/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no test profiles: %v", err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimSuffix(filepath.Base(file), ".yaml")
		if profiles[name], err = LoadProfile(name, file, data); err != nil {
			t.Fatal(err)
		}
	}
	return profiles
}

// sourceOf is a source with everything that p asks for.
func sourceOf(p *Profile, secret string) carom.Source {
	s := carom.Source{App: "game", Name: "main", Profile: p.Name}
	if p.WantsPathSecret() {
		s.Secrets = []carom.SecretSum{{Sum: sha256.Sum256([]byte(testSecret))}}
	}
	if p.NeedsNetworkSecret() {
		s.NetworkSecrets = []carom.SigningSecret{{Key: carom.Masked(secret)}}
	}
	return s
}

// received is what the door makes of a request: the path masked, only the headers that the profile asks for, secrets hidden.
func received(b *Binding, r *Request, now time.Time) *carom.Received {
	rc := &carom.Received{At: now, Method: r.Method, Path: "/in/game/main/***", RawQuery: r.RawQuery, ContentType: r.ContentType, Body: r.Body, Client: r.Client}
	for _, name := range b.Profile.Headers() {
		for _, value := range r.Header.Values(name) {
			rc.Header = append(rc.Header, carom.Field{Name: name, Value: value})
		}
	}
	b.Hide(rc)
	return rc
}

func TestVectors(t *testing.T) {
	f, profiles := readVectors(t), testProfiles(t)
	reasons := map[string]carom.Reason{
		"layout": carom.ReasonNoSignature, "missing_header": carom.ReasonNoSignature, "bad_timestamp": carom.ReasonNoSignature,
		"bad_signature": carom.ReasonBadSignature, "unknown_key": carom.ReasonUnknownKey, "future": carom.ReasonStale,
	}
	for _, v := range f.Vectors {
		t.Run(v.ID, func(t *testing.T) {
			s, ok := schemes[v.Scheme]
			if !ok {
				t.Fatalf("no profile speaks the scheme %s", v.Scheme)
			}
			p := profiles[s.profile]
			r, publicURL, now := v.request(s)
			if p.WantsPathSecret() {
				r.Secret = testSecret
			}
			b, err := p.Bind(sourceOf(p, v.text(s.secret)), nil, nil, publicURL)
			if v.Scheme == "standard-webhooks-secret" {
				if !errors.Is(err, carom.ErrInvalid) {
					t.Errorf("Bind() = %v, want an ErrInvalid for the secret", err)
				}
				return
			}
			if err != nil {
				t.Fatalf("Bind() = %v", err)
			}
			proof := b.Verify(t.Context(), r, now, f.list(v.text("keys")))
			want := Proof{Verified: true, Strength: carom.Signed, signature: proof.signature}
			if v.Expect.Valid != nil && !*v.Expect.Valid {
				want = Proof{Reason: reasons[v.Expect.Reason]}
			}
			if proof != want {
				t.Fatalf("Verify(%s) = %+v, want %+v", r.RawQuery, proof, want)
			}
			checkVerdict(t, b, received(b, r, now), proof)
			if proof.Verified {
				v.checkVerified(t, b, r, now, proof)
			}
		})
	}
}

// checkVerified looks at what became of a case that verifies.
func (v *vector) checkVerified(t *testing.T, b *Binding, r *Request, now time.Time, proof Proof) {
	verdict := b.Judge(received(b, r, now), proof)
	outcome := Accepted
	if verdict.Event == nil {
		outcome = RefusedOutcome
	}
	if kind := v.Expect.Kind; kind != "" {
		want := map[string]carom.EventType{"credit": carom.Completion, "reversal": carom.Reversal}[kind]
		if verdict.Event == nil && verdict.Refused != carom.ReasonNoIdentity || verdict.Event != nil && verdict.Event.Type != want {
			t.Errorf("Judge() = %+v, want the type %s", see(verdict), want)
		}
	}
	if v.Expect.AckStatus == 0 {
		return
	}
	a := b.Profile.Answer(outcome, verdict)
	if a.Status != v.Expect.AckStatus || v.Expect.AckBody != "" && a.Body != v.Expect.AckBody || !strings.Contains(a.Body, v.Expect.AckHas) {
		t.Errorf("Answer(%s) = %+v, want %d with %q", outcome, a, v.Expect.AckStatus, v.Expect.AckBody+v.Expect.AckHas)
	}
}

// The events of the published postbacks that name a user and a transaction.
func TestVectorEvents(t *testing.T) {
	f, profiles := readVectors(t), testProfiles(t)
	want := map[string]string{
		"admob-space-in-reward-item":              "completion user=KK1nqvkZ4tQDon92LrStOXPJbx93 tx=0280088a3d615a1a28929ba7c00861d4 amount=1 item=Key Doubler",
		"admob-escaped-equals":                    "completion ymid=backupUserId=1711190966356008205 user=1711190966356008205 tx=000629fe11edef6d038327ed89112d16 amount=5000 item=Credits",
		"unity-email-sid":                         "completion ymid=user@example.com tx=5",
		"unity-two-params":                        "completion ymid=1234567890 tx=0987654321",
		"applovin-event-token-amount-not-covered": "completion user=someone-else tx=14a97273742c0c9e8864fe40193dad5506e930bc amount=999999",
		"ayet-hmac":                               "completion user=testuser123456 tx=8ee08f32ae611231b0a49d1bd66e9bf193132561 amount=0.10 item=TEST OFFER price=1.5",
		"adcolony-v4vc":                           "completion ymid=testuser user=adprovider-user-id tx=0123456789 amount=1 item=Credits",
		"levelplay-field-boundary":                "completion user=us1 tx=e-1001 amount=10",
		"cpawild-plain":                           "completion user=23 tx=tx1 amount=5",
		"cpawild-field-boundary":                  "completion user=3 tx=tx12 amount=5",
		"fyber-sid-pub0":                          "completion ymid=slot7 user=u1 tx=t-9 amount=20",
		"adjoe-sha1":                              "completion user=u1 tx=t-9 amount=20 item=Coins",
		"subid-family-reversal":                   "reversal user=u1 tx=t-10 amount=20",
	}
	keys := map[string]carom.DedupeKey{}
	for _, v := range f.Vectors {
		if want[v.ID] == "" {
			continue
		}
		s := schemes[v.Scheme]
		p := profiles[s.profile]
		r, publicURL, now := v.request(s)
		b, err := p.Bind(sourceOf(p, v.text(s.secret)), nil, nil, publicURL)
		if err != nil {
			t.Fatal(err)
		}
		proof := b.Verify(t.Context(), r, now, f.list(v.text("keys")))
		verdict := b.Judge(received(b, r, now), proof)
		keys[v.ID] = verdict.Key
		if got := tell(verdict); got != want[v.ID] {
			t.Errorf("%s: Judge() tells %q, want %q", v.ID, got, want[v.ID])
		}
	}
	if x, y := keys["cpawild-plain"], keys["cpawild-field-boundary"]; x.Sum == y.Sum || x.Also != y.Also || x.Also == [16]byte{} {
		t.Errorf("keys %x and %x, want other tuples and one signature", x, y)
	}
}

// tell writes an event on one line.
func tell(v Verdict) string {
	e := v.Event
	if e == nil {
		return "refused " + string(v.Refused) + ": " + v.Detail
	}
	parts := []string{string(e.Type)}
	add := func(name, value string) {
		if value != "" {
			parts = append(parts, name+"="+value)
		}
	}
	add("ymid", e.YMID)
	add("telegram", e.TelegramID)
	add("user", e.UserID)
	add("tx", e.ExternalID)
	for _, f := range e.Fields {
		if name, ok := strings.CutPrefix(f.Name, "reward_"); ok {
			add(name, f.Value)
		}
	}
	add("price", e.Price.String())
	return strings.Join(parts, " ")
}

func TestRequestSamples(t *testing.T) {
	profiles := mustProfiles(t)
	for _, s := range readVectors(t).Samples {
		t.Run(s.ID, func(t *testing.T) {
			name := "monetag"
			if strings.HasPrefix(s.ID, "adsgram") {
				name = "adsgram"
			}
			b, err := profiles[name].Bind(sourceOf(profiles[name], ""), nil, nil, "")
			if err != nil {
				t.Fatal(err)
			}
			var queries []string
			if json.Unmarshal(s.Query, &queries) != nil {
				queries = []string{""}
				if err := json.Unmarshal(s.Query, &queries[0]); err != nil {
					t.Fatal(err)
				}
			}
			var verdicts []Verdict
			for _, query := range queries {
				r := &Request{Method: "GET", Path: "/in/game/main/" + testSecret, RawQuery: query, Secret: testSecret}
				proof := b.Verify(t.Context(), r, get("").At, nil)
				if proof != proven {
					t.Fatalf("Verify(%q) = %+v, want %+v", query, proof, proven)
				}
				verdicts = append(verdicts, b.Judge(received(b, r, get("").At), proof))
			}
			checkSample(t, verdicts, s.Expect.Decision)
			for _, field := range []struct {
				name string
				want *string
				got  func(*carom.Event) string
			}{
				{"event_type", s.Expect.EventType, func(e *carom.Event) string { return string(e.Type) }},
				{"ymid", s.Expect.YMID, func(e *carom.Event) string { return e.YMID }},
				{"zone_id", s.Expect.ZoneID, func(e *carom.Event) string { return e.ZoneID }},
				{"estimated_price", s.Expect.Price, func(e *carom.Event) string { return e.Price.String() }},
			} {
				if field.want != nil && field.got(verdicts[0].Event) != *field.want {
					t.Errorf("%s = %q, want %q", field.name, field.got(verdicts[0].Event), *field.want)
				}
			}
		})
	}
}

// checkSample compares what became of a sample with the decision that the file asks for, in words.
func checkSample(t *testing.T, verdicts []Verdict, decision string) {
	t.Helper()
	last := verdicts[len(verdicts)-1]
	paid := last.Event != nil && last.Event.Value == carom.Valued && last.Event.Held == ""
	ok := false
	switch first, _, _ := strings.Cut(decision, ":"); {
	case first == "paid":
		ok = paid
	case strings.HasPrefix(first, "not paid"):
		ok = last.Event != nil && !paid
	case strings.HasPrefix(first, "paid once"):
		ok = paid && verdicts[0].Event.Value == carom.NotValued && verdicts[0].Key.Sum != last.Key.Sum
	case strings.HasPrefix(first, "answer 200"):
		ok = last.Event == nil && last.Refused == carom.ReasonLiteralMacro
	case strings.HasPrefix(first, "match to the pending view"):
		ok = last.Event.TelegramID == "42" && last.Event.Flags == carom.FlagYMIDAsUser && last.Key.Window == carom.DefaultRepeatWindow
	case strings.HasPrefix(first, "held or capped"):
		ok = last.Event.Flags == carom.FlagPriceInvalid && !last.Event.Price.Set
	case first == "exact decimal kept":
		ok = last.Event.Price == carom.Price{Nanos: 40_000, Set: true}
	}
	if !ok {
		t.Errorf("Judge() = %+v, want: %s", see(last), cmp.Or(decision, "a decision"))
	}
}

// TestMoreVectors are published cases that testdata/vectors.json lacks: the page of BitLabs on hashes and the page of ZJ SDK on
// reward checks (both read 2026-11).
func TestMoreVectors(t *testing.T) {
	profiles := mustProfiles(t)
	for _, tt := range []struct{ profile, secret, publicURL, path, query string }{
		{"bitlabs", "JLOIAUNMHFli7ZJOQVEzm98rzqnm9", "https://publisher.com", "/complete",
			"uid=8cc877ee-af19-488d-b28d-216fb866b996&val=500&hash=dbcd6bb8ca677344592842a52b4fca9bec36cd4b"},
		{"zjsdk", "ZZZXXXCCCVVV", "", "/in/game/main", "transid=aaabbbcccddd&sign=f8d7943dad6d37a13a7e02392b5f6e37439509eb05f76d060904463dd96df5a2"},
	} {
		p := profiles[tt.profile]
		b, err := p.Bind(sourceOf(p, tt.secret), nil, nil, tt.publicURL)
		if err != nil {
			t.Fatal(err)
		}
		if proof := b.Verify(t.Context(), &Request{Method: "GET", Path: tt.path, RawQuery: tt.query}, get("").At, nil); !proof.Verified {
			t.Errorf("%s: Verify(%q) = %+v, want it verified", tt.profile, tt.query, proof)
		}
	}
}

// Every profile that rests on a vector has one.
func TestVectorEvidence(t *testing.T) {
	seen := map[string]bool{"bitlabs": true, "zjsdk": true} // see TestMoreVectors
	for _, v := range readVectors(t).Vectors {
		if v.Expect.Valid == nil || *v.Expect.Valid {
			seen[schemes[v.Scheme].profile] = true
		}
	}
	for name, p := range mustProfiles(t) {
		if p.Evidence == evidenceVector && !seen[name] {
			t.Errorf("the profile %s rests on a vector, and no test has one that verifies", name)
		}
	}
}
