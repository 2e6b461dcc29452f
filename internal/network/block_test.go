package network

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/md5"
	"encoding/asn1"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"math/big"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"carom"
)

func shippedRig(t testing.TB, name string) *rig {
	t.Helper()
	return newRig(t, testProfiles(t)[name])
}

// with is the genuine request with another query.
func (g *rig) with(query string) *Request {
	r := g.genuine()
	r.RawQuery = query
	return r
}

func TestKeyListOutcomes(t *testing.T) {
	g := shippedRig(t, "admob")
	r := g.genuine()
	edwards, _, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	other, err := ecdsa.GenerateKey(elliptic.P256(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		keys Keys
		want Proof
	}{
		{"unreachable", keyList(nil), Proof{TryLater: true}},
		{"none handed in", nil, Proof{TryLater: true}},
		{"empty", keyList{}, Proof{Reason: carom.ReasonUnknownKey}},
		{"without this key", keyList{"1": &g.key.PublicKey}, Proof{Reason: carom.ReasonUnknownKey}},
		{"with a key of another kind", keyList{sampleKeyID: edwards}, Proof{Reason: carom.ReasonUnknownKey}},
		{"with another key of this id", keyList{sampleKeyID: &other.PublicKey}, Proof{Reason: carom.ReasonBadSignature}},
	} {
		if got := g.b.Verify(t.Context(), r, sampleTime, tt.keys); got != tt.want {
			t.Errorf("Verify(key list %s) = %+v, want %+v", tt.name, got, tt.want)
		}
	}
	// What cannot be genuine is not looked up: a stranger must not make carom fetch lists.
	for _, query := range []string{"", "a=1&signature=AA", "a=1&signature=AA&key_id=", "a=1&signature=AA&key_id=12x", "a=1&signature=AA&key_id=" + strings.Repeat("1", 21),
		"signature=AA&key_id=1", "a=1&key_id=1&signature=AA", "a=1&signature=AA&b=2&key_id=1", "a=1&signature=!!&key_id=1", "a=%zz&signature=AA&key_id=1"} {
		if got := g.b.Verify(t.Context(), g.with(query), sampleTime, keyList(nil)); got.TryLater || got.Verified {
			t.Errorf("Verify(%q) = %+v, want it refused before the key list is asked", query, got)
		}
	}
}

// A second signature of the same text can be made without the key, and the text fits other parameters: neither is another event.
func TestOneSignedTextIsOneEvent(t *testing.T) {
	g := shippedRig(t, "admob")
	r := g.genuine()
	want := g.judge(r).Key
	signature, replace := g.signatureOf(r)
	der, err := base64.RawURLEncoding.DecodeString(signature)
	if err != nil {
		t.Fatal(err)
	}
	var pair struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(der, &pair); err != nil {
		t.Fatal(err)
	}
	pair.S.Sub(elliptic.P256().Params().N, pair.S)
	if der, err = asn1.Marshal(pair); err != nil {
		t.Fatal(err)
	}
	twin := replace(base64.RawURLEncoding.EncodeToString(der))
	if proof := g.verify(twin); !proof.Verified || g.judge(twin).Key != want {
		t.Errorf("the other signature of one text gives %+v and the key %+v, want the key %+v", proof, g.judge(twin).Key, want)
	}
	joined := g.with(strings.Replace(r.RawQuery, "&user_id=u1", "%26user_id%3Du1", 1))
	v := g.judge(joined)
	if got := v.Key; v.Event == nil || v.Event.UserID != "" || got.Sum == want.Sum || got.Also != want.Also {
		t.Errorf("two parameters joined to one: %s with the key %+v, want another tuple and the signature of %+v", tell(v), got, want)
	}
}

// A plus sign is read as it is signed: AdMob decodes percent signs alone.
func TestPlusSigns(t *testing.T) {
	g := shippedRig(t, "admob")
	params := [][2]string{{"custom_data", "a+b c"}, {"transaction_id", "t"}}
	r := g.sign(params, "", sampleSecret)
	for _, query := range []string{r.RawQuery, strings.Replace(r.RawQuery, "%2B", "+", 1)} {
		if got, want := tell(g.judge(g.with(query))), "completion ymid=a+b c tx=t"; got != want || !g.verify(g.with(query)).Verified {
			t.Errorf("%s tells %q, want %q", query, got, want)
		}
	}
	if query := strings.Replace(r.RawQuery, "%20", "+", 1); g.verify(g.with(query)).Verified {
		t.Errorf("%s is verified: a plus sign passes for a space", query)
	}
	g = shippedRig(t, "unityads")
	r = g.genuine()
	if query := strings.Replace(r.RawQuery, "view-1", "view%2D1", 1); !g.verify(g.with(query)).Verified {
		t.Errorf("%s is not verified: values are signed decoded", query)
	}
}

func TestFullURL(t *testing.T) {
	g := shippedRig(t, "bitlabs")
	r := g.genuine()
	_, hash, _ := strings.Cut(r.RawQuery, "&hash=")
	front := strings.TrimSuffix(r.RawQuery, "&hash="+hash)
	for _, tt := range []struct {
		name, query string
		ok          bool
	}{
		{"the hash first", "hash=" + hash + "&" + front, true},
		{"the hash in the middle", strings.Replace(front, "&", "&hash="+hash+"&", 1), true},
		{"a parameter behind the hash", r.RawQuery + "&tx=t-10", false},
		{"the hash twice", r.RawQuery + "&hash=" + hash, false},
		{"the name of the hash encoded", front + "&h%61sh=" + hash, false},
		{"a value encoded anew", strings.Replace(r.RawQuery, "uid=u1", "uid=%751", 1), false},
		{"an empty parameter more", strings.Replace(r.RawQuery, "&", "&&", 1), false},
		{"the hash alone", "hash=" + hash, false},
	} {
		if got := g.verify(g.with(tt.query)); got.Verified != tt.ok {
			t.Errorf("%s: Verify(%q) = %+v, want verified %v", tt.name, tt.query, got, tt.ok)
		}
	}
	r.Path += "/"
	if got := g.verify(r); got.Verified {
		t.Errorf("Verify(another path) = %+v", got)
	}
	// A proxy that cuts a prefix of the path: the network has signed it, and carom never sees it.
	b, err := g.p.Bind(sourceOf(g.p, sampleSecret), nil, nil, sampleURL+"/ads/")
	if err != nil {
		t.Fatal(err)
	}
	g.path = "/ads/in/game/main"
	r = g.genuine()
	r.Path = "/in/game/main"
	if got := b.Verify(t.Context(), r, sampleTime, nil); !got.Verified {
		t.Errorf("Verify(behind a proxy with a prefix) = %+v", got)
	}
}

func TestStandardWebhooksTimesAndLists(t *testing.T) {
	g := shippedRig(t, "standardwebhooks")
	for _, tt := range []struct {
		name   string
		change func(http.Header)
		now    time.Time
		want   carom.Reason
	}{
		{"as late as may be", nil, sampleTime.Add(5 * time.Minute), ""},
		{"too late", nil, sampleTime.Add(5*time.Minute + time.Second), carom.ReasonStale},
		{"as early as may be", nil, sampleTime.Add(-5 * time.Minute), ""},
		{"too early", nil, sampleTime.Add(-5*time.Minute - time.Second), carom.ReasonStale},
		{"a timestamp beyond all time", func(h http.Header) { h.Set("Webhook-Timestamp", "9223372036854775807") }, sampleTime, carom.ReasonStale},
		{"a negative timestamp", func(h http.Header) { h.Set("Webhook-Timestamp", "-9223372036854775808") }, sampleTime, carom.ReasonStale},
		{"no number", func(h http.Header) { h.Set("Webhook-Timestamp", "now") }, sampleTime, carom.ReasonNoSignature},
		{"another timestamp", func(h http.Header) { h.Set("Webhook-Timestamp", "1793588646") }, sampleTime, carom.ReasonBadSignature},
		{"another id", func(h http.Header) { h.Set("Webhook-Id", "msg_2") }, sampleTime, carom.ReasonBadSignature},
		{"a dot in the id", func(h http.Header) { h.Set("Webhook-Id", "msg.1") }, sampleTime, carom.ReasonNoSignature},
		{"two ids", func(h http.Header) { h.Add("Webhook-Id", "msg_2") }, sampleTime, carom.ReasonNoSignature},
		{"another version alone", func(h http.Header) { h.Set("Webhook-Signature", "v1a,AAAA") }, sampleTime, carom.ReasonNoSignature},
		{"the right one behind wrong ones", func(h http.Header) {
			h.Set("Webhook-Signature", "v1,AA== v1a,AAAA v1,"+strings.Repeat("A", 43)+"= "+h.Get("Webhook-Signature"))
		}, sampleTime, ""},
		{"the right one behind too many", func(h http.Header) {
			h.Set("Webhook-Signature", strings.Repeat("v1,AA== ", 16)+h.Get("Webhook-Signature"))
		}, sampleTime, carom.ReasonBadSignature},
	} {
		r := g.genuine()
		if tt.change != nil {
			tt.change(r.Header)
		}
		if got := g.b.Verify(t.Context(), r, tt.now, nil); got.Reason != tt.want || got.Verified != (tt.want == "") {
			t.Errorf("Verify(%s) = %+v, want %q", tt.name, got, tt.want)
		}
	}
	if got := g.p.Headers(); strings.Join(got, " ") != "Webhook-Id Webhook-Signature Webhook-Timestamp" {
		t.Errorf("Headers() = %q", got)
	}
}

// Whoever knows MD5(secret + text) and the secret's length can compute MD5(secret + text + padding + more) without the secret.
// The padding cannot be sent: it holds bytes that are no text.
func TestNoLengthExtension(t *testing.T) {
	const secret, text = "carom-test-secret", "tx1235"
	sum := md5.Sum([]byte(secret + text))
	padding := []byte{0x80}
	for (len(secret)+len(text)+len(padding))%64 != 56 {
		padding = append(padding, 0)
	}
	padding = binary.LittleEndian.AppendUint64(padding, uint64(len(secret+text))*8)
	state := append([]byte("md5\x01"), make([]byte, 0, 92)...)
	for i := range 4 {
		state = binary.BigEndian.AppendUint32(state, binary.LittleEndian.Uint32(sum[4*i:]))
	}
	state = append(state, make([]byte, 64)...)
	state = binary.BigEndian.AppendUint64(state, uint64(len(secret)+len(text)+len(padding)))
	h := md5.New()
	if err := h.(interface{ UnmarshalBinary([]byte) error }).UnmarshalBinary(state); err != nil {
		t.Fatal(err)
	}
	h.Write([]byte("99"))
	forged := h.Sum(nil)
	if want := md5.Sum([]byte(secret + text + string(padding) + "99")); string(forged) != string(want[:]) {
		t.Fatalf("the test does not extend: %x, want %x", forged, want)
	}
	p := mustProfiles(t)["cpawild"]
	b, err := p.Bind(sourceOf(p, secret), nil, nil, "")
	if err != nil {
		t.Fatal(err)
	}
	query := "userid=23&idtrans=tx1&reward=5" + url.QueryEscape(string(padding)) + "99&signature=" + hex.EncodeToString(forged)
	if got := b.Verify(t.Context(), &Request{Method: "GET", RawQuery: query}, sampleTime, nil); got.Verified {
		t.Errorf("Verify(%q) = %+v: a hash was extended without its secret", query, got)
	}
}

func TestSortedParameters(t *testing.T) {
	g := shippedRig(t, "unityads")
	r := g.genuine()
	for _, tt := range []struct {
		name, query string
		ok          bool
	}{
		{"another order", "oid=0987654321&" + strings.Replace(r.RawQuery, "&oid=0987654321", "", 1), true},
		{"a parameter more", r.RawQuery + "&extra=1", false},
		{"an empty parameter more", r.RawQuery + "&extra", false},
		{"a parameter less", strings.Replace(r.RawQuery, "productid=1234&", "", 1), false},
		{"a parameter twice, equal", r.RawQuery + "&sid=view-1", false},
		{"a name in other letters", strings.Replace(r.RawQuery, "sid=", "Sid=", 1), false},
	} {
		if got := g.verify(g.with(tt.query)); got.Verified != tt.ok {
			t.Errorf("%s: Verify(%q) = %+v, want verified %v", tt.name, tt.query, got, tt.ok)
		}
	}
	if got, want := string(appendForm(nil, "a b~é/-_.")), "a+b%7E%C3%A9%2F-_."; got != want {
		t.Errorf("appendForm() = %q, want %q as PHP writes it", got, want)
	}
}

func TestAddresses(t *testing.T) {
	p := mustProfiles(t)["monetag"]
	s := sourceOf(p, "")
	s.Addresses = []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("2001:db8::/32")}
	for _, tt := range []struct {
		client   string
		required bool
		ok       bool
	}{
		{"203.0.113.9", true, true}, {"::ffff:203.0.113.9", true, true}, {"2001:db8::1", true, true}, {"198.51.100.1", true, false}, {"198.51.100.1", false, true},
	} {
		s.RequireAddress = tt.required
		b, err := p.Bind(s, nil, nil, "")
		if err != nil {
			t.Fatal(err)
		}
		r := &Request{Method: "GET", Secret: testSecret, Client: netip.MustParseAddr(tt.client), RawQuery: ok}
		if got := b.Verify(t.Context(), r, sampleTime, nil); got.Verified != tt.ok {
			t.Errorf("Verify(from %s, required %v) = %+v, want verified %v", tt.client, tt.required, got, tt.ok)
		}
		checks := b.Explain(t.Context(), r, sampleTime, nil).Checks
		if last := checks[len(checks)-1]; last.Block != "address" || (last.Detail != "") != strings.HasPrefix(tt.client, "198") {
			t.Errorf("Explain(from %s) notes %+v", tt.client, last)
		}
	}
}

// A signed source may have a path secret as well, and then it counts.
func TestPathSecretBesidesSignature(t *testing.T) {
	g := shippedRig(t, "applovin")
	s := g.b.Source
	s.Secrets = testSource().Secrets
	b, err := g.p.Bind(s, nil, nil, "")
	if err != nil {
		t.Fatal(err)
	}
	r := g.genuine()
	if got := b.Verify(t.Context(), r, sampleTime, nil); got.Reason != carom.ReasonWrongSecret {
		t.Errorf("Verify(no path secret) = %+v, want wrong_secret", got)
	}
	r.Secret = testSecret
	if got := b.Verify(t.Context(), r, sampleTime, nil); !got.Verified || got.Strength != carom.Signed {
		t.Errorf("Verify(path secret and signature) = %+v, want it signed", got)
	}
}

func TestHide(t *testing.T) {
	p := mustProfiles(t)["monlix"]
	b, err := p.Bind(sourceOf(p, sampleSecret), nil, nil, "")
	if err != nil {
		t.Fatal(err)
	}
	for query, want := range map[string]string{
		"userId=u&secretKey=" + sampleSecret + "&a=1": "userId=u&secretKey=***&a=1",
		"secretKey=wrong":        "secretKey=***",
		"%73ecretKey=x&userId=u": "%73ecretKey=***&userId=u",
		"secretKey&userId=u":     "secretKey&userId=u",
		"":                       "",
	} {
		r := get(query)
		if b.Hide(r); r.RawQuery != want {
			t.Errorf("Hide(%q) = %q, want %q", query, r.RawQuery, want)
		}
	}
	r := post("", "application/json", `{"userId":"u","secretKey":"`+sampleSecret+`"}`)
	if b.Hide(r); strings.Contains(string(r.Body), sampleSecret) {
		t.Errorf("Hide() leaves %s", r.Body)
	}
	hiddenAgain := &Request{Method: "GET", RawQuery: "userId=u&transactionId=t&secretKey=***"}
	checks := b.Explain(t.Context(), hiddenAgain, sampleTime, nil).Checks
	if len(checks) != 1 || checks[0].Passed || !strings.Contains(checks[0].Detail, "was hidden") {
		t.Errorf("Explain(a journaled postback) = %+v, want it to say that the secret was hidden", checks)
	}
}

func TestTruncate(t *testing.T) {
	for text, want := range map[string]string{
		"100.1234": "100", "5": "5", "-5.9": "-5", "-0.5": "0", "007": "7", ".5": "0", "5.": "5", "0": "0", "000": "0", "123456789012345678901234567890.5": "123456789012345678901234567890",
		"": "", "-": "-", ".": ".", "1e3": "1e3", "1.2.3": "1.2.3", "+5": "+5", "five": "five",
	} {
		if got := truncate(text); got != want {
			t.Errorf("truncate(%q) = %q, want %q", text, got, want)
		}
	}
}

func TestSignatureForms(t *testing.T) {
	raw := []byte{0xfb, 0xff, 0x00, 0x01}
	for _, tt := range []struct {
		encoding, prefix, text string
		ok                     bool
	}{
		{"hex", "", "fbff0001", true}, {"hex", "", "FBFF0001", true}, {"hex", "", "fbff00", false}, {"hex", "", "fbff000", false}, {"hex", "", " fbff0001", false},
		{"hex", "sha256=", "sha256=fbff0001", true}, {"hex", "sha256=", "fbff0001", false},
		{"base64", "", "+/8AAQ==", true}, {"base64", "", "+/8AAQ", true}, {"base64", "", "+/8AAQ=", false}, {"base64", "", "+/8AAR==", false}, {"base64", "", "-_8AAQ==", false}, {"base64", "", "+/8A\nAQ==", false},
		{"base64url", "", "-_8AAQ", true}, {"base64url", "", "-_8AAQ==", true}, {"base64url", "", "+/8AAQ", false}, {"base64url", "", "", false}, {"base64url", "", "====", false},
	} {
		w := written{tt.encoding, tt.prefix}
		got, ok := w.decode(tt.text, len(raw))
		if ok != tt.ok || ok && string(got) != string(raw) {
			t.Errorf("%s %q: decode = %x, %v, want %v", tt.encoding, tt.text, got, ok, tt.ok)
		}
	}
}

// The names in a signed text are found under a template's own names as well.
func TestTextOverTemplate(t *testing.T) {
	p := mustProfiles(t)["lootably"]
	names := map[string]string{"u": "userID", "t": "transactionID", "addr": "ip", "usd": "revenue", "n": "currencyReward", "h": "hash", "s": "status"}
	b, err := p.Bind(sourceOf(p, sampleSecret), names, []string{"v"}, "")
	if err != nil {
		t.Fatal(err)
	}
	hash := sha256hex("u1" + "203.0.113.7" + "0.75" + "750" + sampleSecret)
	r := &Request{Method: "GET", Secret: testSecret, RawQuery: "v=2&u=u1&t=t-9&addr=203.0.113.7&usd=0.75&n=750&s=1&h=" + hash}
	if got := b.Verify(t.Context(), r, sampleTime, nil); !got.Verified {
		t.Errorf("Verify() = %+v, want it verified", got)
	}
	for i := range 3 {
		if got := b.Verify(t.Context(), &Request{Method: "GET", Secret: testSecret, RawQuery: r.RawQuery + "&addr=198.51.100." + strconv.Itoa(i)}, sampleTime, nil); got.Verified {
			t.Errorf("Verify(the address twice) = %+v", got)
		}
	}
}
