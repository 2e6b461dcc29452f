package caromtest

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"carom/internal/api"
)

// hidden are the forms of what no log may hold at any level: API keys, tokens of views, signing secrets, init data, and the
// path secret of tests.
var hidden = regexp.MustCompile(`carom_[a-z0-9]{26}|vt_[0-9a-z]{16}|whsec_[A-Za-z0-9+/=]{16,}|hash=[0-9a-f]{64}|signature=[A-Za-z0-9_-]{40,}|` + Secret)

// checkLog fails the test if the log holds a secret or a token, or a ymid above the level debug. It is part of every test with a
// server, so that the whole suite is a search of the log.
func (s *Server) checkLog(t testing.TB, ymids []string) {
	log := s.Log()
	if found := hidden.FindString(log); found != "" {
		t.Errorf("the log holds %q", found)
	}
	const tooShort = 8 // such a ymid is part of other words
	for line := range strings.Lines(log) {
		if strings.Contains(line, "level=DEBUG") {
			continue
		}
		for _, ymid := range ymids {
			if len(ymid) >= tooShort && strings.Contains(line, ymid) {
				t.Errorf("the log holds the ymid %q: %s", ymid, line)
			}
		}
	}
}

// ymids are those of the newest events; none if the server does not answer any more.
func (s *Server) ymids() []string {
	if s.cancel == nil {
		return nil
	}
	resp, err := s.local.Get("http://carom/v1/events?limit=1000")
	if err != nil {
		return nil
	}
	defer resp.Body.Close()
	var list api.EventList
	if err := json.NewDecoder(resp.Body).Decode(&list); err != nil {
		return nil
	}
	var all []string
	for _, e := range list.Events {
		all = append(all, e.YMID)
	}
	return all
}
