package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"carom/internal/api"
)

// The published signature of Unity Ads' own page.
const (
	unityURL = "https://game.example.com/reward?productid=1234&sid=1234567890&oid=0987654321&hmac=106ed4300f91145aff6378a355fced73"
	unityKey = "xyzKEY"
)

// A published test request of AdMob's console, and the list with its key.
const (
	admobQuery = "ad_network=5450213213286189855&ad_unit=1234567890&timestamp=1588756506292&transaction_id=123456789" +
		"&signature=MEQCIA54vhOTh9NjebJJZM6Pvgcz1UMd6Jn3G6WQ8czPoEPdAiBwXX1aOG4Cz219vH_VPXicw5K9w8XqOmWHYmQgKtJmsA&key_id=3335741209"
	admobKeys = `{"keys":[{"keyId":3335741209,"base64":"MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE+nzvoGqvDeB9+SzE6igTl7TyK4JBbglwir9oTcQta8NuG26ZpZFxt+F2NDk7asTE6/2Yc8i1ATcGIqtuS5hv0Q=="}]}`
)

func TestVerifyExplains(t *testing.T) {
	keys := filepath.Join(t.TempDir(), "keys.json")
	if err := os.WriteFile(keys, []byte(admobKeys), 0o600); err != nil {
		t.Fatal(err)
	}
	body := filepath.Join(t.TempDir(), "body.json")
	if err := os.WriteFile(body, []byte(`{"test": 2432232314}`), 0o600); err != nil {
		t.Fatal(err)
	}
	standard := []string{"--profile", "standardwebhooks", "--secret", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "--body", body,
		"--header", "webhook-id: msg_p5jXN8AQM9LWM0D4loKWxJek", "--header", "webhook-timestamp: 1614265330",
		"--header", "webhook-signature: v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", "--header", "Content-Type: application/json"}
	bitlabs := "https://publisher.com/complete?uid=8cc877ee-af19-488d-b28d-216fb866b996&val=500&hash=dbcd6bb8ca677344592842a52b4fca9bec36cd4b"
	for _, tt := range []struct {
		name string
		args []string
		code int
		want []string
		not  string
	}{
		{"a signature", []string{"--profile", "unityads", "--secret", unityKey, unityURL}, 0,
			[]string{"VERIFIED (signed)", "signed: oid=0987654321,productid=1234,sid=1234567890", "Answer:      200 1", "ymid          1234567890"}, unityKey},
		{"the second secret", []string{"--profile", "unityads", "--secret", "older", "--secret", unityKey, unityURL}, 0, []string{"matched secret 2"}, unityKey},
		{"another user", []string{"--profile", "unityads", "--secret", unityKey, strings.Replace(unityURL, "sid=1", "sid=2", 1)}, 1,
			[]string{"REFUSED: bad signature", "which nothing proves", "403 forbidden"}, unityKey},
		{"a line of a log", []string{"--profile", "monetag", "ymid=u1&event=click"}, 1, []string{"wrong secret", "click", "u1"}, ""},
		{"a secret in the path", []string{"--profile", "monetag", "--secret", "abcdefghijklmnopqrstuvwxyz234567",
			"/in/game/ads/abcdefghijklmnopqrstuvwxyz234567?ymid=u1&event=click"}, 0, []string{"VERIFIED (secret)"}, "wxyz"},
		{"names from a template", []string{"--profile", "monetag", "--template", "https://a.example/?who={ymid}&what={event_type}", "who=u1&what=click"}, 1,
			[]string{"u1", "click"}, ""},
		{"verified and of no use", []string{"--profile", "monetag", "--secret", "abcdefghijklmnopqrstuvwxyz234567",
			"/in/game/ads/abcdefghijklmnopqrstuvwxyz234567?event=click"}, 2, []string{"never be used", "no ymid"}, "wxyz"},
		{"the network's own test", []string{"--profile", "admob", "--keys", keys, "https://a.example/?" + admobQuery}, 0, []string{"a test of the network's own", "200 OK"}, ""},
		{"a key list that is missing", []string{"--profile", "admob", admobQuery}, 1, []string{"NOT DECIDED", "--keys"}, ""},
		{"a body", append(standard, "--at", "2021-02-25T15:02:10Z", "/in/a/b"), 2, []string{"VERIFIED"}, "MfKQ"},
		{"a body, too late", append(standard, "/in/a/b"), 1, []string{"REFUSED: stale"}, "MfKQ"},
		{"a whole URL", []string{"--profile", "bitlabs", "--secret", "JLOIAUNMHFli7ZJOQVEzm98rzqnm9", bitlabs}, 2, []string{"VERIFIED", "passed"}, "JLOIA"},
		{"behind another host", []string{"--profile", "bitlabs", "--secret", "JLOIAUNMHFli7ZJOQVEzm98rzqnm9", "--base-url", "https://other.example", bitlabs}, 1, []string{"REFUSED"}, "JLOIA"},
	} {
		r := carom1(t, "", append([]string{"verify"}, tt.args...)...)
		if r.code != tt.code {
			t.Errorf("%s: code %d, want %d: %s%s", tt.name, r.code, tt.code, r.out, r.errOut)
		}
		for _, want := range tt.want {
			if !strings.Contains(r.out, want) {
				t.Errorf("%s: the output lacks %q: %s%s", tt.name, want, r.out, r.errOut)
			}
		}
		if tt.not != "" && strings.Contains(r.out+r.errOut, tt.not) {
			t.Errorf("%s: the output shows a secret: %s%s", tt.name, r.out, r.errOut)
		}
	}
}

func TestVerifySaysWhatIsMissing(t *testing.T) {
	for want, args := range map[string][]string{
		"`carom networks`": {"--profile", "nobody", "a=b"},
		"--secret":         {"--profile", "unityads", "a=b"},
		"--base-url":       {"--profile", "bitlabs", "--secret", "s", "a=b"},
		"--at":             {"--profile", "monetag", "--at", "today", "a=b"},
		"--header":         {"--profile", "monetag", "--header", "odd", "a=b"},
		"--keys":           {"--profile", "admob", "--keys", "/nowhere", "a=b"},
		"--body":           {"--profile", "monetag", "--body", "/nowhere", "a=b"},
		"--template":       {"--profile", "monetag", "--template", "?a={b", "a=b"},
	} {
		if r := carom1(t, "", append([]string{"verify"}, args...)...); r.code != exitUsage || !strings.Contains(r.errOut, want) {
			t.Errorf("verify %q: code %d, %q, want %d and %s", args, r.code, r.errOut, exitUsage, want)
		}
	}
}

func TestVerifyPrintsJSON(t *testing.T) {
	r := carom1(t, "", "verify", "-o", "json", "--profile", "unityads", "--secret", unityKey, unityURL)
	var got api.Verification
	if err := json.Unmarshal([]byte(r.out), &got); err != nil || !got.Verified || got.Event == nil || got.Event.YMID != "1234567890" ||
		got.Key == "" || got.Status != 200 || len(got.Checks) != 1 || !got.Checks[0].Passed {
		t.Errorf("%v: %s", err, r.out)
	}
}

func TestNetworks(t *testing.T) {
	if r := carom1(t, "", "networks"); r.code != 0 || !strings.Contains(r.out, "admob") || !strings.Contains(r.out, "formula only") {
		t.Errorf("code %d: %s%s", r.code, r.out, r.errOut)
	}
	var list []networkLine
	if r := carom1(t, "", "networks", "-o", "json"); json.Unmarshal([]byte(r.out), &list) != nil || len(list) < 20 {
		t.Errorf("JSON: %s", r.out)
	}
	for _, n := range list {
		r := carom1(t, "", "networks", "show", n.Name, "--base-url", "https://in.example/")
		if r.code != 0 || !strings.Contains(r.out, "https://in.example/in/APP/SOURCE") || !strings.Contains(r.out, n.Evidence) {
			t.Errorf("show %s: code %d: %s%s", n.Name, r.code, r.out, r.errOut)
		}
	}
	if r := carom1(t, "", "networks", "show", "nobody"); r.code != exitUsage {
		t.Errorf("code %d: %s", r.code, r.errOut)
	}
}
