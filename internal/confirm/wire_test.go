package confirm

import (
	"bytes"
	"encoding/json"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"

	"carom"
)

// Whatever scan takes, it takes as encoding/json does.
func FuzzScan(f *testing.F) {
	for _, seed := range []string{
		`{"token":"AaB-_9","beacon":"viewable","shown_ms":1234,"visible_ms":1100,"share":100,"trusted":true,"visible":false}`,
		`{"beacon":"start"}`, `{}`, `{"beacon":"start",}`, `{"beacon":"start"} `, `{"share":01}`, `{"share":-1}`, `{"share":1e2}`, `{"share":1.0}`,
		`{"trusted":truex}`, `{"beacon":"\u0073tart"}`, `{"beacon":"stårt"}`, `{"beacon":"start","beacon":"end"}`, `{"Beacon":"start"}`,
		`{"token":null}`, `{"more":{"a":1}}`, `{"shown_ms":9999999999999999999}`, `[]`, ``, `{"beacon"`, `{"beacon":"st`, `{"visible":tru`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var scanned, want said
		if !scanned.scan(body) {
			return
		}
		if err := json.Unmarshal(body, &want); err != nil {
			t.Fatalf("%q is taken, and is no beacon: %v", body, err)
		}
		if diff := cmp.Diff(want, scanned); diff != "" {
			t.Errorf("%q (-want +got):\n%s", body, diff)
		}
	})
}

func TestScanTakesWhatTheSDKWrites(t *testing.T) {
	var b said
	if !b.scan([]byte(`{"token":"AaB-_9","beacon":"viewable","shown_ms":1234,"visible_ms":1100,"share":100,"visible":true,"trusted":false}`)) {
		t.Error("the SDK's own beacon takes the long way")
	}
	want := said{Token: "AaB-_9", Beacon: "viewable", Shown: 1234, Seen: 1100, Share: 100, Visible: true}
	if diff := cmp.Diff(want, b); diff != "" {
		t.Errorf("scan (-want +got):\n%s", diff)
	}
}

// What is written by hand reads as what encoding/json would have written.
func TestWriting(t *testing.T) {
	kept := said{Beacon: beaconClick, Shown: 1, Seen: 22, Share: 100, Trusted: true}
	var read said
	if err := json.Unmarshal(kept.append(nil), &read); err != nil || read != kept {
		t.Errorf("%s reads as %+v, %v; want %+v", kept.append(nil), read, err, kept)
	}
	for _, answer := range []told{
		{Token: "AaB-_9", State: carom.ViewOpen},
		{State: carom.ViewConfirmed, Value: carom.Valued, Price: "0.002"},
		{Token: "AaB-_9", State: carom.ViewDeclined, Value: carom.NotValued, Price: "0"},
	} {
		w := httptest.NewRecorder()
		answer.write(w)
		var read told
		if err := json.Unmarshal(w.Body.Bytes(), &read); err != nil || read != answer || w.Header().Get("Content-Type") != "application/json" {
			t.Errorf("%s reads as %+v, %v; want %+v", w.Body, read, err, answer)
		}
	}
}

// U+FFFD is a character like others: only where it stands for bytes that are none is it refused.
func TestReplacementCharacterOfThePages(t *testing.T) {
	r := newRig(t, 1, t.Name())
	p := r.page()
	a := p.post("/sdk/ad", p.only(map[string]any{"ymid": "a\uFFFDb"}))
	var o offer
	if err := json.Unmarshal([]byte(a.body), &o); err != nil || a.status != 200 || o.YMID != "a\uFFFDb" {
		t.Errorf("the answer is %d %s, want the ymid as it was sent", a.status, a.body)
	}
	a = p.post("/sdk/ad", bytes.Replace(p.only(map[string]any{"ymid": "HALF"}), []byte("HALF"), []byte("a\xffb"), 1))
	if a.status != 400 || a.problem.Code != CodeInvalid {
		t.Errorf("a byte that is no text: %d %s, want 400", a.status, a.body)
	}
}
