package server_test

import (
	"strings"
	"testing"

	"carom"
	"carom/internal/api"
	"carom/internal/caromtest"
	"carom/internal/config"
)

// The published signature of Unity Ads' own page, and its key.
const (
	unityQuery = "?productid=1234&sid=1234567890&oid=0987654321&hmac=106ed4300f91145aff6378a355fced73"
	unityKey   = "xyzKEY"
	unityFile  = "apps:\n  game:\n    sources:\n      unity: { profile: unityads, network_secret: " + unityKey + " }\n"
)

// A network that signs needs no secret in its URL, and its key outlives a restart without being shown anywhere.
func TestANetworkThatSigns(t *testing.T) {
	t.Parallel()
	s := caromtest.Start(t, caromtest.Options{Objects: unityFile})
	if len(s.Made) != 1 || !strings.HasSuffix(s.Made[0], "/in/game/unity") {
		t.Errorf("applying the file shows %q, want the URL to enter at the network", s.Made)
	}
	send := func(query string) (int, string) {
		t.Helper()
		a := caromtest.Do(t, "GET", s.URL+"/in/game/unity"+query, "")
		return a.Status, a.Body
	}
	for _, want := range []string{"new", "a copy", "a copy after a restart"} {
		if want == "a copy after a restart" {
			s.Restart(t)
		}
		if code, body := send(unityQuery); code != 200 || body != "1" {
			t.Errorf("%s: answered %d %q, want 200 and what Unity waits for, 1", want, code, body)
		}
	}
	if code, _ := send(strings.Replace(unityQuery, "sid=1", "sid=2", 1)); code != 403 {
		t.Errorf("another user under that signature is answered %d, want 403", code)
	}
	events := s.Events(t, "")
	if len(events) != 1 || events[0].Strength != string(carom.Signed) || events[0].ExternalID != "0987654321" || events[0].YMID != "1234567890" {
		t.Errorf("events: %+v, want one, signed", events)
	}
	var again api.Verification
	s.Get(t, "/v1/events/"+string(events[0].ID)+"/verification", &again)
	if !again.Verified || again.Event == nil || again.Event.YMID != "1234567890" || again.Body != "1" || len(again.Checks) != 1 {
		t.Errorf("verified again: %+v", again)
	}
	// Under another key it is refused, with the bytes that were signed.
	s.Apply(t, strings.Replace(unityFile, unityKey, "another-key", 1))
	s.Get(t, "/v1/events/"+string(events[0].ID)+"/verification", &again)
	if again.Verified || again.Reason != carom.ReasonBadSignature || again.Checks[0].Signed != "oid=0987654321,productid=1234,sid=1234567890" {
		t.Errorf("verified again under another key: %+v", again)
	}
	shown := s.Local(t, "GET", "/v1/sources", "").Body + s.Local(t, "GET", "/v1/received", "").Body + s.Log()
	if strings.Contains(shown, unityKey) {
		t.Errorf("the network's key is shown: %s", shown)
	}
}

// A secret that was right and is not kept counts as right when a postback is verified again.
func TestARefusedPostbackIsVerifiedAgain(t *testing.T) {
	t.Parallel()
	s := caromtest.Start(t, caromtest.Options{Objects: caromtest.Monetag("")})
	s.Postback(t, "event=click")
	refused := s.Received(t, "refused")
	if len(refused) != 1 {
		t.Fatalf("refused: %+v", refused)
	}
	var again api.Verification
	s.Get(t, "/v1/received/"+string(refused[0].ID)+"/verification", &again)
	if !again.Verified || again.Event != nil || again.Refused != carom.ReasonNoIdentity || !strings.Contains(again.Detail, "ymid") {
		t.Errorf("verified again: %+v", again)
	}
	for _, path := range []string{"/v1/received/rcv_0c5g21r0000010000000k", "/v1/received/x", "/v1/events/evt_0c5g21r0000010000000k"} {
		if a := s.Local(t, "GET", path+"/verification", ""); a.Status != 404 && a.Status != 422 && a.Status != 400 {
			t.Errorf("%s is answered %d", path, a.Status)
		}
	}
}

// A network that signs the whole URL can only be verified by a server that knows its own.
func TestASignedURLNeedsThePublicOne(t *testing.T) {
	t.Parallel()
	const file = "apps:\n  game:\n    sources:\n      wall: { profile: bitlabs, network_secret: JLOIAUNMHFli7ZJOQVEzm98rzqnm9 }\n"
	s := caromtest.Start(t, caromtest.Options{Objects: unityFile})
	if a := s.Local(t, "POST", "/v1/apply", file, "Content-Type", "application/yaml"); a.Status == 200 || !strings.Contains(a.Body, "public URL") {
		t.Errorf("answered %d %s, want a fault that asks for the public URL", a.Status, a.Body)
	}
	caromtest.Start(t, caromtest.Options{Objects: file, Config: func(c *config.Config) { c.BaseURL = "https://in.example" }})
}
