package ingest

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/md5"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"carom"
	"carom/internal/network"
)

const networkSecret = "a key that the network gave"

// keyList is a network's list of keys, with one key or out of reach.
type keyList struct {
	key crypto.PublicKey
	err error
}

func (k *keyList) Key(_ context.Context, _, id string) (crypto.PublicKey, error) {
	switch {
	case k.err != nil:
		return nil, k.err
	case id != "77":
		return nil, carom.ErrNotFound
	}
	return k.key, nil
}

// signedDoor is a door with a source for each way to prove a postback.
func signedDoor(t *testing.T, f *fake, keys network.Keys) *Door {
	t.Helper()
	d := door(t, f, Options{Keys: keys})
	profiles, err := network.Profiles()
	if err != nil {
		t.Fatal(err)
	}
	source := func(profile string) carom.Source {
		return carom.Source{App: "game", Name: profile, Profile: profile, NetworkSecrets: []carom.SigningSecret{{Key: networkSecret}}}
	}
	walled := source("unityads")
	walled.Name, walled.RequireAddress = "walled", true
	walled.Addresses = []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}
	admob := source("admob")
	admob.NetworkSecrets, admob.Secrets = nil, []carom.SecretSum{{Sum: sha256.Sum256([]byte(testSecret))}}
	catalog, _, err := Compile(carom.Objects{
		Apps:    []carom.App{{Name: "game"}},
		Sources: []carom.Source{source("unityads"), walled, admob, source("bitlabs"), source("monlix"), source("standardwebhooks")},
	}, profiles, "https://in.example")
	if err != nil {
		t.Fatal(err)
	}
	d.Use(catalog)
	return d
}

func get(target string) *http.Request { return httptest.NewRequest("GET", target, nil) }

func unity(query, signed string) string {
	mac := hmac.New(md5.New, []byte(networkSecret))
	mac.Write([]byte(signed))
	return query + "&hmac=" + hex.EncodeToString(mac.Sum(nil))
}

func TestSignedPostbacksNeedNoSecretInThePath(t *testing.T) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	admob := func(decoded, raw string) string {
		sum := sha256.Sum256([]byte(decoded))
		signature, err := ecdsa.SignASN1(rand.Reader, private, sum[:])
		if err != nil {
			t.Fatal(err)
		}
		return raw + "&signature=" + base64.RawURLEncoding.EncodeToString(signature) + "&key_id=77"
	}
	mac := hmac.New(sha1.New, []byte(networkSecret))
	mac.Write([]byte("https://in.example/in/game/bitlabs?uid=u1&tx=t1&val=5"))
	bitlabs := "?uid=u1&tx=t1&val=5&hash=" + hex.EncodeToString(mac.Sum(nil))

	list := &keyList{key: &private.PublicKey}
	f := &fake{}
	d := signedDoor(t, f, list)
	for _, tt := range []struct {
		name, target string
		change       func()
		code         int
		did          string
	}{
		{"an HMAC over the parameters", "/in/game/unityads?" + unity("sid=v1&oid=1", "oid=1,sid=v1"), nil, 200, "accept 1"},
		{"the same with a secret that nobody asked for", "/in/game/unityads/whatever?" + unity("sid=v1&oid=2", "oid=2,sid=v1"), nil, 200, "accept 1"},
		{"another user under that signature", "/in/game/unityads?" + unity("sid=v2&oid=1", "oid=1,sid=v1"), nil, 403, "unverified bad_signature"},
		{"no signature", "/in/game/unityads?sid=v1&oid=1", nil, 403, "unverified no_signature"},
		{"an address that is not listed", "/in/game/walled?" + unity("sid=v1&oid=1", "oid=1,sid=v1"), nil, 403, "unverified wrong_address"},
		{"the URL as the network called it", "/in/game/bitlabs" + bitlabs, nil, 200, "accept 1"},
		{"the URL of another source", "/in/game/bitlabs/" + bitlabs, nil, 403, "unverified bad_signature"},
		{"a private key that signs for everybody", "/in/game/admob?" + admob("custom_data=a&transaction_id=t0", "custom_data=a&transaction_id=t0"), nil, 403, "unverified wrong_secret"},
		{"a private key", "/in/game/admob/" + testSecret + "?" + admob("custom_data=a b&transaction_id=t1", "custom_data=a%20b&transaction_id=t1"), nil, 200, "accept 1"},
		{"a key that the list lacks", "/in/game/admob/" + testSecret + "?custom_data=a&transaction_id=t1&signature=MEQ&key_id=78", nil, 403, "unverified unknown_key"},
		{"no list of keys", "/in/game/admob/" + testSecret + "?" + admob("custom_data=a&transaction_id=t2", "custom_data=a&transaction_id=t2"),
			func() { list.err = carom.ErrUnavailable }, 503, ""},
		{"the network's own test", "/in/game/admob/" + testSecret + "?" + admob("ad_unit=1234567890&transaction_id=123456789", "ad_unit=1234567890&transaction_id=123456789"),
			func() { list.err = nil }, 200, "refuse test"},
	} {
		if tt.change != nil {
			tt.change()
		}
		f.did = nil
		w := send(f, d, get(tt.target))
		if did, _, _ := strings.Cut(strings.Join(f.did, ", "), ", offer"); w.Code != tt.code || did != tt.did {
			t.Errorf("%s: answered %d %q and did %q, want %d and %q", tt.name, w.Code, w.Body, f.did, tt.code, tt.did)
		}
		if w.Code == http.StatusServiceUnavailable && w.Header().Get("Retry-After") == "" {
			t.Errorf("%s: no Retry-After", tt.name)
		}
	}
	for _, s := range f.accepted {
		if s.Event.Strength != carom.Signed || strings.Contains(s.Event.Received.Path, testSecret) {
			t.Errorf("event %+v: want it signed, and no secret in its path", s.Event)
		}
	}
}

// A signature over the body is checked before the body is believed, and kept, so that the postback can be verified again.
func TestSignedBody(t *testing.T) {
	key := networkSecret
	sign := func(body string) http.Header {
		mac := hmac.New(sha256.New, []byte(key))
		_, _ = fmt.Fprintf(mac, "msg_1.%d.%s", noon().Unix(), body)
		return http.Header{
			"Content-Type": {"application/json"}, "Webhook-Id": {"msg_1"}, "Webhook-Timestamp": {fmt.Sprint(noon().Unix())},
			"Webhook-Signature": {"v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))},
		}
	}
	const body = `{"ymid":"v1","event_type":"completion","zone_id":"1"}`
	post := func(body string, header http.Header) *http.Request {
		r := httptest.NewRequest("POST", "/in/game/standardwebhooks", strings.NewReader(body))
		r.Header = header
		return r
	}
	f := &fake{}
	d := signedDoor(t, f, nil)
	if w := send(f, d, post(body, sign(body))); w.Code != 200 || len(f.accepted) != 1 {
		t.Fatalf("answered %d %q, did %q", w.Code, w.Body, f.did)
	}
	kept := f.accepted[0].Event.Received
	if string(kept.Body) != body || len(kept.Header) != 3 {
		t.Errorf("kept the body %q and the headers %v, want the body and those that were signed", kept.Body, kept.Header)
	}
	f.did = nil
	if w := send(f, d, post(strings.Replace(body, "v1", "v2", 1), sign(body))); w.Code != 403 || strings.Join(f.did, "") != "unverified bad_signature" {
		t.Errorf("another body is answered %d and did %q", w.Code, f.did)
	}
	f.did = nil
	large := `{"ymid":"` + strings.Repeat("v", MaxBodyBytes) + `"}`
	if w := send(f, d, post(large, sign(large))); w.Code != 403 { // what was cut cannot be verified
		t.Errorf("a body that is too large is answered %d and did %q", w.Code, f.did)
	}
}

// A secret that a network sends along is kept nowhere, whether it is right or nearly right.
func TestSentSecretIsHidden(t *testing.T) {
	f := &fake{}
	d := signedDoor(t, f, nil)
	send(f, d, get("/in/game/monlix?userId=u1&transactionId=t1&status=1&secretKey="+strings.ReplaceAll(networkSecret, " ", "%20")))
	send(f, d, get("/in/game/monlix?userId=u1&transactionId=t1&status=1&secretKey=a+key+that+the+network+gav"))
	if len(f.accepted) != 1 || len(f.unverified) != 1 {
		t.Fatalf("did %q", f.did)
	}
	shown := fmt.Sprintf("%+v %+v", f.accepted[0].Event, f.unverified[0])
	for _, part := range []string{"gav", "that%20the", "that+the"} {
		if strings.Contains(shown, part) {
			t.Errorf("%q is kept: %s", part, shown)
		}
	}
	if !bytes.Contains([]byte(f.unverified[0].Received.RawQuery), []byte("secretKey=***")) {
		t.Errorf("the sample shows %q", f.unverified[0].Received.RawQuery)
	}
}
