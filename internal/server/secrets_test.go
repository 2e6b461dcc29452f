package server_test

import (
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"carom/internal/api"
	"carom/internal/caromtest"
	"carom/internal/config"
)

// Wherever a secret is sent, and whatever is then asked or written, it comes out nowhere: not in logs at any level, not in
// what /v1 shows, not in metrics, not in the data folder.
func TestNoSecretComesOut(t *testing.T) {
	t.Parallel()
	const signing, inURL = "a-signing-secret-of-some-length", "a-token-in-a-url-of-some-length"
	endpoint := caromtest.NewEndpoint(t)
	objects := caromtest.Monetag("", endpoint.URL+"/p?token="+inURL+"&ymid={ymid}&x={field.x}&sig={signature}") + "        signing_secret: " + signing + "\n"
	s := caromtest.Start(t, caromtest.Options{Objects: objects, Private: true})
	key := s.Key(t, "admin", "")
	const secret = caromtest.Secret

	s.Accepted(t, "ymid=v1&event=click&x=https://carom/in/game/ads/"+secret)
	s.Postback(t, "ymid=v2&event="+secret)
	for _, target := range []string{
		caromtest.Door + "/?ymid=1&x=" + secret, "/in/game/" + secret, "/in/" + secret + "/ads", "/in//game/ads/" + secret, "/in/game/adz/" + secret + "?x=" + secret,
	} {
		if a := caromtest.Do(t, "GET", s.URL+target, ""); a.Status != http.StatusForbidden {
			t.Errorf("GET %s was answered %d", target, a.Status)
		}
	}
	caromtest.Do(t, "POST", s.URL+caromtest.Door, `{"ymid":"v3","event":"click","x":"`+secret+`"}`, "Content-Type", "application/json")
	caromtest.Do(t, "POST", s.URL+caromtest.Door, secret, "Content-Type", "text/plain")
	raw(t, s.URL, "GET "+caromtest.Door+"?ymid=1 HTTP/1.1\r\nHost: carom\r\nX-"+strings.Repeat("a", 100)+"\r\n\r\n")
	story := s.Ends(t, "v1")
	s.Ends(t, "v3")

	shown := map[string]string{}
	for _, path := range []string{
		"/v1/events", "/v1/events/" + string(story.Event.ID), "/v1/received", "/v1/received?kind=unverified", "/v1/objects", "/v1/endpoints",
		"/v1/status", "/v1/keys", "/v1/stats", "/v1/openapi.json", "/metrics",
	} {
		a := caromtest.Do(t, "GET", s.Private+path, "", "Authorization", "Bearer "+key)
		if a.Status != http.StatusOK {
			t.Errorf("GET %s was answered %d %s", path, a.Status, a.Body)
		}
		shown["GET "+path] = a.Body
	}
	caromtest.Until(t, "the unverified sample to be stored", func() bool { return len(s.Received(t, "unverified")) >= 5 })
	shown["the unverified sample"] = s.Local(t, "GET", "/v1/received?kind=unverified", "").Body
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	shown["the log"] = s.Log()
	for name, text := range shown {
		for _, hidden := range []string{secret, signing, inURL, key} {
			if i := strings.Index(text, hidden); i >= 0 {
				t.Errorf("%s shows a secret: …%s", name, text[max(i-100, 0):i+len(hidden)])
			}
		}
	}
	for _, hidden := range []string{secret, signing, inURL, key} {
		if file := holds(t, s.Data, hidden); file != "" {
			t.Errorf("%s holds a secret", file)
		}
	}
}

// holds returns a file below dir in which text occurs.
func holds(t *testing.T, dir, text string) string {
	t.Helper()
	found := ""
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		if strings.Contains(string(data), text) {
			found = path
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// A secret that carom makes for a source of an objects file is shown once, and not in the log.
func TestAMadeSecretIsShownOnce(t *testing.T) {
	t.Parallel()
	objects := strings.Replace(caromtest.Monetag(`template: "uid={ymid}&event={event_type}"`), "        secret: "+caromtest.Secret+"\n", "", 1)
	s := caromtest.Start(t, caromtest.Options{Objects: objects, File: true, Config: func(c *config.Config) { c.BaseURL = "https://ads.example" }})
	made := regexp.MustCompile(`https://ads\.example/in/game/ads/([0-9a-z]{32})\?uid=\{ymid\}&event=\{event_type\}\n`).FindStringSubmatch(s.Told())
	if made == nil {
		t.Fatalf("the server tells %q, want the URL with its query", s.Told())
	}
	secret := made[1]
	if a := caromtest.Do(t, "GET", s.URL+"/in/game/ads/"+secret+"?uid=v1&event=click", ""); a.Status != 200 {
		t.Errorf("a postback to the URL was answered %d", a.Status)
	}
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(s.Log(), secret) || holds(t, s.Data, secret) != "" {
		t.Error("the made secret is in the log or in the data folder")
	}
	s.Restart(t)
	if n := strings.Count(s.Told(), "/in/game/ads"); n != 1 {
		t.Errorf("two starts tell the URL %d times, want once: the secret is kept", n)
	}
	if a := caromtest.Do(t, "GET", s.URL+"/in/game/ads/"+secret+"?uid=v2&event=click", ""); a.Status != 200 {
		t.Errorf("after a restart a postback to the URL was answered %d", a.Status)
	}
}

func TestRotationOverlaps(t *testing.T) {
	t.Parallel()
	s := caromtest.Start(t, caromtest.Options{Objects: caromtest.Monetag("")})
	status := func(url string) int {
		_, path, _ := strings.Cut(url, "/in/")
		path, _, _ = strings.Cut(path, "?")
		return caromtest.Do(t, "GET", s.URL+"/in/"+path+"?ymid=v1&event=click&zone_id=1", "").Status
	}
	first := s.URL + caromtest.Door
	second := s.Rotate(t, "game/ads", "1h")
	if status(first) != 200 || status(second) != 200 {
		t.Errorf("during the overlap the old URL is answered %d and the new one %d", status(first), status(second))
	}
	if n := len(s.Events(t, "ymid=v1")); n != 1 {
		t.Errorf("the same postback to both URLs is %d events, want 1", n)
	}
	third := s.Rotate(t, "game/ads", "0s")
	for url, want := range map[string]int{first: 403, second: 403, third: 200} {
		if got := status(url); got != want {
			t.Errorf("after a rotation without an overlap %s is answered %d, want %d", url, got, want)
		}
	}
	s.Restart(t)
	if got := status(third); got != 200 {
		t.Errorf("after a restart the new URL is answered %d", got)
	}
	var objects api.ObjectList
	s.Get(t, "/v1/objects", &objects)
	for _, source := range objects.Sources {
		if source.Name == "ads" && len(source.Secrets) != 1 {
			t.Errorf("%d secrets count, want 1", len(source.Secrets))
		}
	}
}
