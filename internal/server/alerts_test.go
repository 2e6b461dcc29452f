package server_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"carom/internal/caromtest"
	"carom/internal/config"
)

// The test button reaches the channel that the settings name, and what the status says of machine and objects is there. The
// channel's URL is a secret, and in no answer.
func TestAlertsAreWired(t *testing.T) {
	const secret = "T00000000-B00000000-hunter2hunter2"
	var mu sync.Mutex
	var got []string
	chat := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		got = append(got, r.URL.Path+" "+string(body))
		if len(got) > 1 {
			w.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(w, "no_service")
		}
	}))
	defer chat.Close()
	s := caromtest.Start(t, caromtest.Options{
		Objects: caromtest.Monetag("", "http://127.0.0.1:9/p?ymid={ymid}"),
		Config:  func(c *config.Config) { c.Alerts.SlackURL = chat.URL + "/" + secret },
	})
	if a := s.Local(t, "POST", "/v1/alerts/test", ""); a.Status != 200 || !strings.Contains(a.Body, `"ok":true`) {
		t.Errorf("the test button: %d %s", a.Status, a.Body)
	}
	if len(got) != 1 || !strings.HasPrefix(got[0], "/"+secret) || !strings.Contains(got[0], "Nothing is wrong") {
		t.Errorf("the channel got %q", got)
	}
	if a := s.Local(t, "POST", "/v1/alerts/test", ""); a.Status != 200 || !strings.Contains(a.Body, `"ok":false`) || !strings.Contains(a.Body, "alert_slack_url") {
		t.Errorf("a URL that was revoked: %d %s", a.Status, a.Body)
	}
	for _, path := range []string{"/v1/alerts", "/v1/status"} {
		if a := s.Local(t, "GET", path, ""); a.Status != 200 || strings.Contains(a.Body, secret) {
			t.Errorf("%s: %d %s", path, a.Status, a.Body)
		}
	}
	if a := s.Local(t, "GET", "/v1/status", ""); !strings.Contains(a.Body, `"id":"game/ads"`) || !strings.Contains(a.Body, `"id":"game/backend"`) {
		t.Errorf("the status lacks sources or endpoints: %s", a.Body)
	}
	if strings.Contains(s.Log(), secret) {
		t.Error("the log has the channel's URL")
	}
}

func TestASettingOfAlertsThatCannotBeUsedEndsTheStart(t *testing.T) {
	err := start(t, caromtest.Folder(t), func(c *cfg) {
		c.Alerts = config.Alerts{EmailTo: "a@example.com", EmailFrom: "b@example.com", SMTP: "nowhere"}
	})
	if err == nil || !strings.Contains(err.Error(), "smtp") {
		t.Errorf("the server starts, or says %v", err)
	}
}
