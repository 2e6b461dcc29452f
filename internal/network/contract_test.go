package network

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"carom"
)

var update = flag.Bool("update", false, "write the golden files and the transcripts anew")

var (
	sampleTime      = time.Date(2026, 11, 2, 3, 4, 5, 0, time.UTC)
	sampleClient    = netip.MustParseAddr("203.0.113.7")
	sampleAddresses = []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}
)

// TestEveryProfile is the contract that each profile meets, whatever its network.
func TestEveryProfile(t *testing.T) {
	for name, p := range testProfiles(t) {
		t.Run(name, func(t *testing.T) {
			g := newRig(t, p)
			t.Run("genuine", func(t *testing.T) { contractGenuine(t, g) })
			t.Run("closed", func(t *testing.T) { contractClosed(t, g) })
			t.Run("secrets", func(t *testing.T) { contractSecrets(t, g) })
			t.Run("signature", func(t *testing.T) { contractSignature(t, g) })
			t.Run("tampered", func(t *testing.T) { contractTampered(t, g) })
			t.Run("mutated", func(t *testing.T) { contractMutated(t, g) })
			t.Run("boundaries", func(t *testing.T) { contractBoundaries(t, g) })
			t.Run("macros", func(t *testing.T) { contractMacros(t, g) })
			t.Run("answers", func(t *testing.T) { contractAnswers(t, g) })
			t.Run("explained", func(t *testing.T) { contractExplained(t, g) })
		})
	}
}

// contractGenuine: the sample is accepted, and the same again is a copy.
func contractGenuine(t *testing.T, g *rig) {
	r := g.genuine()
	proof := g.verify(r)
	if !proof.Verified || proof.Strength != g.p.Strength || proof.Reason != "" || proof.TryLater {
		t.Fatalf("Verify(%+v) = %+v, want it verified as %s", r, proof, g.p.Strength)
	}
	if (proof.signature != "") != (g.p.Strength == carom.Signed) {
		t.Errorf("Verify() keeps the signature %x of a profile that is %s", proof.signature, g.p.Strength)
	}
	v := g.judge(r)
	if got := tell(v); got != g.sample.tells {
		t.Fatalf("Judge() tells %q, want %q", got, g.sample.tells)
	}
	e := v.Event
	if e.Network != g.p.Name || e.Strength != g.p.Strength || e.Value != carom.Valued || e.Held != "" || e.Flags&^carom.FlagYMIDAsUser != 0 {
		t.Errorf("Judge() = %+v, want a clean, valued event of the network", e)
	}
	if again := g.judge(g.genuine()).Key; again != v.Key {
		t.Errorf("the same postback has the keys %x and %x, want one", v.Key, again)
	}
	hasAlso := g.p.Strength == carom.Signed && g.p.Covered("transaction_id")
	if (v.Key.Also != [16]byte{}) != hasAlso {
		t.Errorf("the key %+v holds the signature: %v, want %v", v.Key, !hasAlso, hasAlso)
	}
	if g.p.NoID != (v.Key.Window == carom.DefaultRepeatWindow) {
		t.Errorf("the window is %v and no_id is %v", v.Key.Window, g.p.NoID)
	}
	if text := fmt.Sprintf("%s %s %v", e.Received.RawQuery, e.Received.Body, e.Received.Header); strings.Contains(text, sampleSecret) || strings.Contains(text, testSecret) {
		t.Errorf("a secret is kept with the event: %s", text)
	}
	for _, f := range e.Fields {
		if strings.Contains(f.Value, sampleSecret) || slices.Contains(g.p.Names("signature"), f.Name) {
			t.Errorf("the event keeps %s as a further field", f.Name)
		}
	}
	// A journaled postback can be verified again, unless what proved it was hidden.
	if kept := received(g.b, r, sampleTime); !g.p.SendsNetworkSecret() {
		back := *r
		back.RawQuery, back.Body, back.Header = kept.RawQuery, kept.Body, nil
		back.Header = make(map[string][]string)
		for _, h := range kept.Header {
			back.Header.Add(h.Name, h.Value)
		}
		if again := g.verify(&back); again != proof {
			t.Errorf("Verify(what was journaled) = %+v, want %+v", again, proof)
		}
	}
}

// contractClosed: no source of the profile is ever open.
func contractClosed(t *testing.T, g *rig) {
	bind := func(change func(*carom.Source), publicURL string) error {
		s := sourceOf(g.p, sampleSecret)
		s.Addresses, s.RequireAddress = sampleAddresses, true
		change(&s)
		_, err := g.p.Bind(s, nil, nil, publicURL)
		return err
	}
	if err := bind(func(*carom.Source) {}, sampleURL); err != nil {
		t.Errorf("Bind(a source with everything) = %v", err)
	}
	for _, tt := range []struct {
		name      string
		needed    bool
		change    func(*carom.Source)
		publicURL string
	}{
		{"no path secret", g.p.WantsPathSecret(), func(s *carom.Source) { s.Secrets = nil }, sampleURL},
		{"no network secret", g.p.NeedsNetworkSecret(), func(s *carom.Source) { s.NetworkSecrets = nil }, sampleURL},
		{"an empty network secret", true, func(s *carom.Source) { s.NetworkSecrets = []carom.SigningSecret{{}} }, sampleURL},
		{"no address", true, func(s *carom.Source) { s.Addresses = nil }, sampleURL},
		{"addresses that do not count", g.p.Strength == carom.Address, func(s *carom.Source) { s.RequireAddress = false }, sampleURL},
		{"no public URL", g.p.NeedsPublicURL(), func(*carom.Source) {}, ""},
		{"a public URL without its scheme", g.p.NeedsPublicURL(), func(*carom.Source) {}, "postbacks.example.com"},
	} {
		err := bind(tt.change, tt.publicURL)
		if (err != nil) != tt.needed || tt.needed && !errors.Is(err, carom.ErrInvalid) || err != nil && strings.Contains(err.Error(), sampleSecret) {
			t.Errorf("Bind(%s) = %v, want an ErrInvalid: %v", tt.name, err, tt.needed)
		}
	}
}

// contractSecrets: every secret that counts is accepted, and no other.
func contractSecrets(t *testing.T, g *rig) {
	if g.p.WantsPathSecret() {
		for _, secret := range []string{"", "x", testSecret + "x", testSecret[:len(testSecret)-1]} {
			r := g.genuine()
			if r.Secret = secret; g.verify(r) != (Proof{Reason: carom.ReasonWrongSecret}) {
				t.Errorf("Verify(path secret %q) = %+v, want wrong_secret", secret, g.verify(r))
			}
		}
	}
	if g.p.Strength == carom.Address {
		r := g.genuine()
		if r.Client = netip.MustParseAddr("198.51.100.1"); g.verify(r) != (Proof{Reason: carom.ReasonWrongAddress}) {
			t.Errorf("Verify(another address) = %+v, want wrong_address", g.verify(r))
		}
	}
	if !g.p.NeedsNetworkSecret() {
		return
	}
	want := carom.ReasonBadSignature
	if g.p.SendsNetworkSecret() {
		want = carom.ReasonWrongSecret
	}
	key := func(secret string, until time.Time) carom.SigningSecret {
		return carom.SigningSecret{Key: carom.Masked(secret), NotAfter: until}
	}
	for _, tt := range []struct {
		name string
		keys []carom.SigningSecret
		ok   bool
	}{
		{"another", []carom.SigningSecret{key(otherSecret, time.Time{})}, false},
		{"expired", []carom.SigningSecret{key(sampleSecret, sampleTime.Add(-time.Nanosecond))}, false},
		{"expired beside another", []carom.SigningSecret{key(otherSecret, time.Time{}), key(sampleSecret, sampleTime.Add(-time.Nanosecond))}, false},
		{"rotated, in its last moment", []carom.SigningSecret{key(otherSecret, time.Time{}), key(sampleSecret, sampleTime)}, true},
		{"listed twice", []carom.SigningSecret{key(sampleSecret, time.Time{}), key(sampleSecret, time.Time{})}, true},
	} {
		s := g.b.Source
		s.NetworkSecrets = tt.keys
		b, err := g.p.Bind(s, nil, nil, sampleURL)
		if err != nil {
			t.Fatal(err)
		}
		got := b.Verify(t.Context(), g.genuine(), sampleTime, g.keys)
		if got.Verified != tt.ok || !tt.ok && got.Reason != want {
			t.Errorf("Verify(secret %s) = %+v, want verified %v or %s", tt.name, got, tt.ok, want)
		}
	}
}

// contractMutated: whatever is done to the query, nothing that is covered changes under a signature that still passes, unless
// the dedupe key gives it away.
func contractMutated(t *testing.T, g *rig) {
	r := g.genuine()
	want := g.judge(r)
	try := func(what, query string) {
		c := *r
		c.RawQuery = query
		if !g.verify(&c).Verified {
			return
		}
		got := g.judge(&c)
		if got.Event == nil || got.Key.Also == want.Key.Also && want.Key.Also != [16]byte{} || got.Key.Sum == want.Key.Sum {
			return
		}
		if x, y := g.covered(got), g.covered(want); x != y && g.p.Strength == carom.Signed {
			t.Errorf("%s: %s is verified and says %q instead of %q", what, query, x, y)
		}
	}
	query := r.RawQuery
	for i := range len(query) + 1 {
		for _, insert := range []string{"+", "%", "%2B", "%25", "%20", "%00", "%26", "%3D", "&", "=", "a", "%zz"} {
			try(fmt.Sprintf("%q at %d", insert, i), query[:i]+insert+query[i:])
		}
		if i < len(query) {
			try(fmt.Sprintf("byte %d left out", i), query[:i]+query[i+1:])
			try(fmt.Sprintf("byte %d encoded", i), fmt.Sprintf("%s%%%02X%s", query[:i], query[i], query[i+1:]))
		}
	}
	pairs := strings.Split(query, "&")
	slices.Reverse(pairs)
	try("reversed", strings.Join(pairs, "&"))
	c := *r
	c.RawQuery = strings.Join(pairs, "&")
	ordered := g.p.fact("hmac_url") != nil || g.p.fact("ecdsa_query") != nil
	if got := g.verify(&c); got.Verified == ordered && g.sample.body == "" {
		t.Errorf("Verify(parameters re-ordered) = %+v, want verified %v", got, !ordered)
	}
}

// covered writes the covered fields of an event.
func (g *rig) covered(v Verdict) string {
	e := v.Event
	text := ""
	for _, f := range []struct {
		field field
		value string
	}{
		{fieldYMID, e.YMID}, {fieldUserID, e.UserID}, {fieldTransactionID, e.ExternalID}, {fieldEventType, string(e.Type)}, {fieldTelegramID, e.TelegramID},
	} {
		if g.p.covers.has(f.field) {
			text += f.field.String() + "=" + f.value + " "
		}
	}
	for _, f := range e.Fields {
		if g.p.Covered(f.Name) {
			text += f.Name + "=" + f.Value + " "
		}
	}
	return text
}

// contractBoundaries: a text without separators fits other fields as well, and then the event is the same one.
func contractBoundaries(t *testing.T, g *rig) {
	var over signedText
	for _, b := range g.p.blocks {
		switch b := b.(type) {
		case *plainHash:
			over = b.over
		case *textHMAC:
			over = b.over
		}
	}
	r := g.genuine()
	want := g.judge(r)
	for i := 1; i < len(over); i++ {
		x, y := over[i-1], over[i]
		if x.kind != partRef || y.kind != partRef {
			continue
		}
		params := slices.Clone(g.sample.params)
		from, to := g.paramOf(params, x.ref), g.paramOf(params, y.ref)
		if from < 0 || to < 0 || len(params[from][1]) < 2 {
			continue
		}
		text := params[from][1]
		params[from][1], params[to][1] = text[:len(text)-1], text[len(text)-1:]+params[to][1]
		forged := *r
		forged.RawQuery = graft(g.sign(params, "", sampleSecret).RawQuery, r.RawQuery, g.p)
		proof := g.verify(&forged)
		if !proof.Verified {
			t.Errorf("Verify(%s moved into %s) = %+v: the test does not forge", x.ref.name, y.ref.name, proof)
			continue
		}
		got := g.judge(&forged)
		switch {
		case !g.p.covers.has(fieldTransactionID): // the path secret stands against it
		case got.Event != nil && got.Key.Also != want.Key.Also && got.Event.Type == want.Event.Type:
			t.Errorf("%s moved into %s: the keys are %+v and %+v, want one signature", x.ref.name, y.ref.name, want.Key, got.Key)
		}
	}
}

// paramOf finds the parameter that r names; -1 when the sample has none.
func (g *rig) paramOf(params [][2]string, r ref) int {
	return slices.IndexFunc(params, func(p [2]string) bool {
		f, mapped := g.p.names[p[0]]
		return r.isField && mapped && f == r.field || !r.isField && p[0] == r.name
	})
}

// contractMacros: a macro that nobody replaced is refused where something rests on it, and dropped elsewhere.
func contractMacros(t *testing.T, g *rig) {
	for i, param := range g.sample.params {
		f, mapped := g.p.names[param[0]]
		if !mapped || f.proof() {
			continue
		}
		params := slices.Clone(g.sample.params)
		params[i][1] = "{" + param[0] + "}"
		v := g.judge(g.sign(params, "", sampleSecret))
		rests := f == g.p.identity[0] || f == fieldEventType || f == fieldValue || f == fieldTransactionID
		switch {
		case rests && (v.Refused != carom.ReasonLiteralMacro || !strings.Contains(v.Detail, f.String())):
			t.Errorf("Judge(%s as a macro) = %q, %q, want a literal_macro that names it", f, v.Refused, v.Detail)
		case !rests && (v.Event == nil || v.Event.Flags&carom.FlagLiteralMacro == 0):
			t.Errorf("Judge(%s as a macro) = %q, want an event flagged literal_macro", f, tell(v))
		}
	}
	if v := g.b.Judge(get(""), proven); v.Refused != carom.ReasonNoIdentity || v.Event != nil || v.Key != (carom.DedupeKey{}) {
		t.Errorf("Judge(nothing) = %+v, want no_identity without event or key", v)
	}
}

// contractAnswers: each outcome is answered in its sense, byte by byte as testdata/answers.txt says.
func contractAnswers(t *testing.T, g *rig) {
	v := g.judge(g.genuine())
	v.Event.ID = "evt_1"
	refused := g.b.Judge(get(""), proven)
	test := Verdict{Refused: carom.ReasonTest, Detail: "a test"}
	if g.p.Answer(RefusedOutcome, test).Status != g.p.Answer(Accepted, v).Status {
		t.Errorf("Answer(a test) = %+v, want the answer of what is accepted", g.p.Answer(RefusedOutcome, test))
	}
	if a := g.p.Answer(Unverified, Verdict{}); a != Forbidden() {
		t.Errorf("Answer(unverified) = %+v, want %+v for every profile", a, Forbidden())
	}
	var lines []string
	for _, outcome := range []Outcome{Accepted, Duplicate, RefusedOutcome, TryLater} {
		of := v
		if outcome == RefusedOutcome {
			of = refused
			of.Detail = "DETAIL"
		}
		a := g.p.Answer(outcome, of)
		lines = append(lines, fmt.Sprintf("%s %s: %d %s %q", g.p.Name, outcome, a.Status, a.ContentType, a.Body))
		if strings.ContainsAny(a.Body, "{}") && !json.Valid([]byte(a.Body)) {
			t.Errorf("Answer(%s) = %+v, want its placeholders filled", outcome, a)
		}
	}
	compareGolden(t, "testdata/answers.txt", g.p.Name+" ", lines)
}

// compareGolden compares the lines of a golden file that begin with prefix, or writes them.
func compareGolden(t *testing.T, file, prefix string, got []string) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil && !*update {
		t.Fatal(err)
	}
	var mine, others []string
	for line := range strings.Lines(string(data)) {
		if line = strings.TrimSuffix(line, "\n"); strings.HasPrefix(line, prefix) {
			mine = append(mine, line)
		} else {
			others = append(others, line)
		}
	}
	if *update {
		all := append(others, got...)
		slices.SortStableFunc(all, func(x, y string) int {
			return strings.Compare(strings.SplitN(x, " ", 2)[0], strings.SplitN(y, " ", 2)[0])
		})
		if err := os.WriteFile(file, []byte(strings.Join(all, "\n")+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(mine, got); diff != "" {
		t.Errorf("%s (-want +got), go test -update writes it anew:\n%s", file, diff)
	}
}

// contractExplained: the explanation agrees with the proof and holds no secret.
func contractExplained(t *testing.T, g *rig) {
	for name, r := range map[string]*Request{
		"genuine": g.genuine(), "under another key": g.sign(g.sample.params, g.sample.body, otherSecret), "empty": {Header: map[string][]string{}, Method: "GET"},
	} {
		x := g.b.Explain(t.Context(), r, sampleTime, g.keys)
		if x.Proof != g.verify(r) || len(x.Checks) == 0 {
			t.Errorf("Explain(%s) = %+v, want the proof %+v and its checks", name, x, g.verify(r))
		}
		all := true
		for _, check := range x.Checks {
			all = all && check.Passed
			if !check.Passed && check.Detail == "" || check.Rule == "" {
				t.Errorf("Explain(%s): the check %+v gives no reason", name, check)
			}
		}
		if all != x.Proof.Verified {
			t.Errorf("Explain(%s) = %+v: its checks and its proof disagree", name, x)
		}
		text, err := json.Marshal(x)
		if err != nil || strings.Contains(string(text), sampleSecret) || strings.Contains(string(text), testSecret) {
			t.Errorf("Explain(%s) holds a secret, or %v: %s", name, err, text)
		}
	}
}
