package server_test

import (
	"crypto/rand"
	"net/http"
	"testing"

	"carom/internal/caromtest"
)

// nodes starts n servers on one database.
func nodes(t *testing.T, n int, objects string) []*caromtest.Server {
	t.Helper()
	url := caromtest.Database(t)
	var all []*caromtest.Server
	for i := range n {
		o := caromtest.Options{Database: url}
		if i == 0 {
			o.Objects = objects
		}
		all = append(all, caromtest.Start(t, o))
	}
	return all
}

// What is accepted on one node is a copy on every other, and its story is told by all of them.
func TestACopyOnAnotherNode(t *testing.T) {
	t.Parallel()
	endpoint := caromtest.NewEndpoint(t)
	all := nodes(t, 3, caromtest.Monetag("", endpoint.URL+"/p?ymid={ymid}"))
	for _, s := range all {
		s.Accepted(t, "ymid=v1&event=click")
	}
	for _, s := range all {
		if st := s.Ends(t, "v1"); len(st.Deliveries) != 1 || st.Deliveries[0].State != "delivered" {
			t.Errorf("a node tells %+v", st.Deliveries)
		}
	}
	if sent := endpoint.Sent("/p"); len(sent) != 1 {
		t.Errorf("the endpoint got %d requests, want 1", len(sent))
	}
	var stats struct {
		Counts []struct {
			Outcome string
			N       int64
		}
	}
	caromtest.Until(t, "the counts of all nodes", func() bool {
		all[1].Get(t, "/v1/stats", &stats)
		n := map[string]int64{}
		for _, c := range stats.Counts {
			n[c.Outcome] += c.N
		}
		return n["accepted"] == 1 && n["duplicate"] == 2
	})
}

// What is changed on one node is in force on the others, keys are known and revoked everywhere, and two changes that do not know of
// one another do not undo one another.
func TestChangesReachEveryNode(t *testing.T) {
	t.Parallel()
	endpoint := caromtest.NewEndpoint(t)
	all := nodes(t, 2, caromtest.Monetag("", endpoint.URL+"/old?ymid={ymid}"))
	first, second := all[0], all[1]
	second.Apply(t, caromtest.Monetag("", endpoint.URL+"/new?ymid={ymid}"))
	caromtest.Until(t, "the new template on the other node", func() bool {
		first.Accepted(t, "ymid="+rand.Text()+"&event=click")
		return len(endpoint.Sent("/new")) > 0
	})
	key := first.Key(t, "read", "")
	asks := func(s *caromtest.Server) int {
		return caromtest.Do(t, "GET", s.URL+"/v1/status", "", "Authorization", "Bearer "+key).Status
	}
	caromtest.Until(t, "the key on the other node", func() bool { return asks(second) == http.StatusOK })
	var keys struct{ Keys []struct{ ID string } }
	first.Get(t, "/v1/keys", &keys)
	if a := second.Local(t, "DELETE", "/v1/keys/"+keys.Keys[0].ID, ""); a.Status/100 != 2 {
		t.Fatalf("revoking a key of another node was answered %d %s", a.Status, a.Body)
	}
	if asks(second) != http.StatusUnauthorized {
		t.Error("the key is revoked, and is taken where it was")
	}
	caromtest.Until(t, "the end of the key on the other node", func() bool { return asks(first) == http.StatusUnauthorized })
}

// Who waits for a view on one node is told of an event that another node accepted.
func TestAViewIsConfirmedOnAnotherNode(t *testing.T) {
	t.Parallel()
	endpoint := caromtest.NewEndpoint(t)
	all := nodes(t, 2, payingViews(endpoint.URL))
	caromtest.Until(t, "the objects on the other node", func() bool { return all[1].Postback(t, "ymid=x&event=click").Status == http.StatusOK })
	v := openView(t, all[0], `{"app":"game","user":"anna"}`)
	told := make(chan seenView, 1)
	go func() { told <- v.look(t, all[0], "?wait=20s") }()
	v.event(t, all[1], "impression", "valued")
	if seen := <-told; seen.State != "confirmed" || seen.Reward == nil || seen.Reward.Rule != "watch" {
		t.Errorf("who waited on the other node was told %+v", seen)
	}
	v.event(t, all[0], "click", "valued")
	var balances struct {
		Balances []struct{ Amount string }
	}
	for _, s := range all {
		s.Get(t, "/v1/balances?app=game&user=anna", &balances)
		if len(balances.Balances) != 1 || balances.Balances[0].Amount != "5" {
			t.Errorf("a node tells the balances %+v, want 5 once", balances.Balances)
		}
	}
}
