package server_test

import (
	"net/http"
	"regexp"
	"strings"
	"testing"

	"carom/internal/caromtest"
)

// The dashboard's page is at every path that it knows, under a policy with a nonce of its own; its files keep their names' promise.
func TestDashboardIsServed(t *testing.T) {
	c := caromtest.Start(t, caromtest.Options{})
	nonces := map[string]bool{}
	for _, path := range []string{"/", "/live", "/story/evt_1", "/sources/shop/monetag", "/settings/members"} {
		a := caromtest.Do(t, "GET", c.URL+path, "")
		status, header, body := a.Status, a.Header, a.Body
		policy := header.Get("Content-Security-Policy")
		nonce := regexp.MustCompile(`'nonce-([^']+)'`).FindStringSubmatch(policy)
		if status != http.StatusOK || len(nonce) != 2 || !strings.Contains(body, `content="`+nonce[1]+`"`) || nonces[nonce[1]] {
			t.Errorf("%s: status %d, policy %q", path, status, policy)
			continue
		}
		nonces[nonce[1]] = true
		if strings.Contains(policy, "unsafe") || !strings.Contains(policy, "script-src 'self';") || !strings.Contains(policy, "frame-ancestors 'none'") {
			t.Errorf("%s: the policy lets too much through: %s", path, policy)
		}
		if header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: Cache-Control %q: a nonce is used once", path, header.Get("Cache-Control"))
		}
	}
	page := caromtest.Do(t, "GET", c.URL+"/", "").Body
	script := regexp.MustCompile(`src="(/assets/[^"]+\.js)"`).FindStringSubmatch(page)
	if len(script) != 2 {
		t.Fatalf("the page loads no script: %s", page)
	}
	a := caromtest.Do(t, "GET", c.URL+script[1], "")
	if a.Status != http.StatusOK || a.Header.Get("Content-Type") != "text/javascript; charset=utf-8" || !strings.Contains(a.Header.Get("Cache-Control"), "immutable") {
		t.Errorf("%s: status %d, header %v", script[1], a.Status, a.Header)
	}
	if a := caromtest.Do(t, "GET", c.URL+"/wp-login.php", ""); a.Status != http.StatusNotFound {
		t.Errorf("a path that the dashboard does not know: status %d, want 404", a.Status)
	}
}
