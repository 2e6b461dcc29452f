package server_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"carom/internal/api"
	"carom/internal/caromtest"
)

// logs waits until the log has a part n times.
func logs(t *testing.T, s *caromtest.Server, n int, part string) {
	t.Helper()
	caromtest.Until(t, "the log line "+part, func() bool { return strings.Count(s.Log(), part) >= n })
}

func pending(attempts int) func(api.Story) bool {
	return func(story api.Story) bool {
		return len(story.Deliveries[0].Attempts) >= attempts
	}
}

func TestAChangedURLHealsWhatIsPending(t *testing.T) {
	t.Parallel()
	endpoint := caromtest.NewEndpoint(t)
	endpoint.Script("/wrong", caromtest.Reply{Status: 404})
	s := caromtest.Start(t, caromtest.Options{Objects: caromtest.Monetag("", endpoint.URL+"/wrong?ymid={ymid}"), File: true})
	s.Accepted(t, "ymid=v1&event=click")
	before := s.StoryWhen(t, "v1", "a failed attempt", pending(1))
	s.WriteObjects(t, caromtest.Monetag("", endpoint.URL+"/right?uid={ymid}"))
	after := s.Ends(t, "v1").Deliveries[0]
	if after.State != "delivered" || after.ID != before.Deliveries[0].ID {
		t.Errorf("the delivery %s became %s %s", before.Deliveries[0].ID, after.ID, after.State)
	}
	if last := after.Attempts[len(after.Attempts)-1]; last.URL != endpoint.URL+"/right?uid=v1" {
		t.Errorf("the last attempt went to %s", last.URL)
	}
	if got := endpoint.Sent("/right"); len(got) != 1 || got[0].Query != "uid=v1" {
		t.Errorf("the right URL got %+v", got)
	}
}

func TestAFaultyFileChangesNothing(t *testing.T) {
	t.Parallel()
	endpoint := caromtest.NewEndpoint(t)
	good := caromtest.Monetag("", endpoint.URL+"/p?ymid={ymid}")
	s := caromtest.Start(t, caromtest.Options{Objects: good, File: true})
	s.WriteObjects(t, strings.ReplaceAll(good, "{ymid}", "{yimd}")+"        tmeout: 5s\n        once: perhaps\n")
	for _, fault := range []string{"{yimd}", "tmeout", "perhaps"} {
		logs(t, s, 1, fault)
	}
	if !strings.Contains(s.Log(), "what was in force stays") || !strings.Contains(s.Log(), "did you mean") {
		t.Errorf("the log does not say that the old objects stay, or what was meant")
	}
	s.Accepted(t, "ymid=v1&event=click")
	if d := s.Ends(t, "v1").Deliveries; len(d) != 1 || d[0].State != "delivered" {
		t.Errorf("with a faulty file the deliveries are %+v, want what was in force to go on", d)
	}
	s.WriteObjects(t, good+"        timeout: 5s\n")
	logs(t, s, 1, "objects file reloaded")
	if a := s.Local(t, "POST", "/v1/apply", good, "Content-Type", "application/yaml"); a.Status != 409 || !strings.Contains(a.Body, "read-only") {
		t.Errorf("apply beside a file is answered %d %s, want that the objects are read-only", a.Status, a.Body)
	}
}

func TestARemovedEndpointEndsItsDeliveries(t *testing.T) {
	t.Parallel()
	endpoint := caromtest.NewEndpoint(t)
	endpoint.Script("/p", caromtest.Failed)
	s := caromtest.Start(t, caromtest.Options{Objects: caromtest.Monetag("", endpoint.URL+"/p?ymid={ymid}"), File: true})
	s.Accepted(t, "ymid=v1&event=click")
	s.StoryWhen(t, "v1", "a failed attempt", pending(1))
	s.WriteObjects(t, caromtest.Monetag(""))
	d := s.Ends(t, "v1").Deliveries[0]
	last := d.Attempts[len(d.Attempts)-1]
	if d.State != "dead" || last.Reason != "endpoint deleted" {
		t.Errorf("the delivery is %s because of %q, want dead: endpoint deleted", d.State, last.Reason)
	}
	s.Accepted(t, "ymid=v2&event=click")
	if story := s.Story(t, "v2"); len(story.Deliveries) != 0 {
		t.Errorf("a later event is owed to %+v", story.Deliveries)
	}
}

// The file of a secret belongs to the objects file: it may come later, and change.
func TestASecretFileIsFollowed(t *testing.T) {
	t.Parallel()
	file := filepath.Join(caromtest.Folder(t), "secret")
	write := func(secret string) {
		if err := os.WriteFile(file, []byte(secret+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	good := caromtest.Monetag("")
	s := caromtest.Start(t, caromtest.Options{Objects: good, File: true})
	s.WriteObjects(t, strings.Replace(good, "secret: "+caromtest.Secret, "secret_file: "+file, 1))
	logs(t, s, 1, "fault in the objects file")
	answers := func(secret string) func() bool {
		return func() bool {
			return caromtest.Do(t, "GET", s.URL+"/in/game/ads/"+secret+"?ymid=v1&event=click", "").Status == 200
		}
	}
	for _, secret := range []string{"a0b1c2d3e4f5061728394a5b6c7d8e9f", "b0b1c2d3e4f5061728394a5b6c7d8e9f"} {
		write(secret)
		caromtest.Until(t, "the new secret to count", answers(secret))
	}
	if answers(caromtest.Secret)() {
		t.Error("a secret that is no longer given still counts")
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	logs(t, s, 2, "what was in force stays")
	if !answers("b0b1c2d3e4f5061728394a5b6c7d8e9f")() {
		t.Error("without the file, the secret that was in force does not count any more")
	}
}

func TestAMissingObjectsFileStopsTheStart(t *testing.T) {
	t.Parallel()
	dir := caromtest.Folder(t)
	err := start(t, dir, func(c *cfg) { c.Objects = filepath.Join(dir, "none.yaml") })
	if err == nil || !strings.Contains(err.Error(), "objects file") || !strings.Contains(err.Error(), "none.yaml") {
		t.Errorf("the server ended with %v, want that the objects file is missing", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "bad.yaml"), []byte("apps:\n  game:\n    surces: {}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	err = start(t, dir, func(c *cfg) { c.Objects = filepath.Join(dir, "bad.yaml") })
	if err == nil || !strings.Contains(err.Error(), "bad.yaml:3:") || !strings.Contains(err.Error(), "did you mean") {
		t.Errorf("the server ended with %v, want file, line and fix", err)
	}
}
