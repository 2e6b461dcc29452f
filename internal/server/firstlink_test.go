//go:build unix

package server_test

import (
	"regexp"
	"strings"
	"testing"

	"carom/internal/caromtest"
)

// Each start prints a link as long as there is no member, to standard error alone; of those that were printed, the first one that is used
// ends the others.
func TestFirstLinkIsPrinted(t *testing.T) {
	t.Parallel()
	data := caromtest.Folder(t)
	serve := func() (p *process, base string) {
		p = spawn(t, nil, "--data", data, "--listen", "127.0.0.1:0")
		address := regexp.MustCompile(` listen=(\S+)`).FindStringSubmatch(p.until(t, "carom serves"))
		if address == nil {
			t.Fatal("the log does not say where the server listens")
		}
		return p, "http://" + address[1]
	}
	p, _ := serve()
	old := strings.TrimSpace(p.until(t, "/welcome#"))
	p.kill()
	p, base := serve()
	link := strings.TrimSpace(p.until(t, "/welcome#"))
	if !strings.HasPrefix(link, base+"/welcome#") {
		t.Errorf("the link begins with %.40q, want the port that the system has chosen: %s", link, base)
	}
	if link == old {
		t.Error("the second start prints the link of the first")
	}
	claim(t, base, link, "mia@example.com")
	_, token, _ := strings.Cut(old, "#")
	if a := caromtest.Do(t, "POST", base+"/v1/session/claim", `{"token":"`+token+`","email":"eve@example.com","password":"`+goodPassword+`"}`,
		"Content-Type", "application/json"); a.Status != 404 {
		t.Errorf("the other link: %d %s", a.Status, a.Body)
	}
	p.kill()
	p, base = serve()
	if a := caromtest.Do(t, "GET", base+"/v1/session", ""); !strings.Contains(a.Body, `"setup":false`) {
		t.Errorf("with a member: %s", a.Body)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if strings.Contains(p.log.String(), "/welcome#") {
		t.Error("a start with a member prints a link")
	}
}
