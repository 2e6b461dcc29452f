package server_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"carom"
	"carom/internal/caromtest"
	"carom/internal/config"
)

// A server that is alone lists itself. In a data folder it needs no lease, and so has no number.
func TestOneNode(t *testing.T) {
	s := caromtest.Start(t, caromtest.Options{Config: func(c *config.Config) { c.NodeName = "alone" }})
	list := nodesOf(t, s)
	if len(list) != 1 || list[0].Name != "alone" || (list[0].No == 0) == caromtest.OnPostgreSQL() || !list[0].Self || list[0].State != carom.NodeAlive || list[0].Began.IsZero() {
		t.Errorf("nodes %+v", list)
	}
}

func nodesOf(t *testing.T, s *caromtest.Server) []carom.Node {
	t.Helper()
	var list struct{ Nodes []carom.Node }
	a := s.Local(t, "GET", "/v1/nodes", "")
	if err := json.Unmarshal([]byte(a.Body), &list); err != nil || a.Status != http.StatusOK {
		t.Fatalf("nodes: %d %s: %v", a.Status, a.Body, err)
	}
	return list.Nodes
}

// Two servers on one database list both, and a feed of one has the events of the other.
func TestTwoNodes(t *testing.T) {
	url := caromtest.Database(t)
	var arrived atomic.Int32
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		arrived.Add(1)
		_, _ = io.WriteString(w, "OK")
	}))
	defer backend.Close()
	on := func(name string) func(*config.Config) {
		return func(c *config.Config) { c.Database, c.NodeName, c.Deployment = url, name, "test" }
	}
	a := caromtest.Start(t, caromtest.Options{Objects: caromtest.Monetag("", backend.URL+"/p?ymid={ymid}"), Config: on("a")})
	b := caromtest.Start(t, caromtest.Options{Config: on("b")})
	feed := openTail(t, a)
	caromtest.Until(t, "b knows the source", func() bool {
		return caromtest.Do(t, "GET", b.URL+caromtest.Door+"?event=click&value=valued&ymid=view", "").Status == http.StatusOK
	})
	for {
		line, err := feed.ReadString('\n')
		if err != nil {
			t.Fatalf("the feed ended: %v", err)
		}
		if strings.HasPrefix(line, "data: ") && strings.Contains(line, `"ymid":"view"`) {
			break
		}
	}
	caromtest.Until(t, "the event is delivered and both nodes are listed", func() bool {
		names := map[string]bool{}
		for _, n := range nodesOf(t, b) {
			names[fmt.Sprint(n.Name, " ", n.State)] = true
		}
		return arrived.Load() == 1 && names["a alive"] && names["b alive"]
	})
	if status := b.Local(t, "GET", "/v1/status", ""); !strings.Contains(status.Body, `"verdict":"`) || strings.Contains(status.Body, "node-") {
		t.Errorf("status: %s", status.Body)
	}
}
