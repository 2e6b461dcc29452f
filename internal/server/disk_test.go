package server_test

import (
	"net/http"
	"strings"
	"testing"

	"carom/internal/caromtest"
)

// A full disk makes everybody try later. Nothing that was answered 200 is lost, what was under way is recorded later, and
// when there is room again the server works on by itself.
func TestAFullDisk(t *testing.T) {
	caromtest.NeedsFolder(t)
	disk := caromtest.SmallDisk(t, 16)
	endpoint := caromtest.NewEndpoint(t)
	s := caromtest.Start(t, caromtest.Options{Data: disk, Objects: caromtest.Monetag("", endpoint.URL+"/p?ymid={ymid}")})
	var acknowledged []string
	send := func(ymid string) int {
		a := s.Postback(t, "ymid="+ymid+"&event=impression&value=yes&zone_id=1")
		switch a.Status {
		case http.StatusOK:
			acknowledged = append(acknowledged, ymid)
		case http.StatusServiceUnavailable:
			if a.Header.Get("Retry-After") == "" || a.Body != "try later" {
				t.Errorf("a full disk is answered %q with the Retry-After %q", a.Body, a.Header.Get("Retry-After"))
			}
		default:
			t.Errorf("%s was answered %d %q", ymid, a.Status, a.Body)
		}
		return a.Status
	}
	for i := range 100 {
		if status := send("before-" + itoa(i)); status != http.StatusOK {
			t.Fatalf("with room on the disk a postback was answered %d", status)
		}
	}
	for round := range 2 {
		free := caromtest.FillDisk(t, disk)
		n := 0
		caromtest.Until(t, "the disk to be felt", func() bool { // a log that was started over has room to reuse
			n++
			return send("full-"+itoa(round)+"-"+itoa(n)) == http.StatusServiceUnavailable
		})
		if a := s.Postback(t, "event=click"); a.Status != http.StatusServiceUnavailable {
			t.Errorf("a refusal that cannot be journaled was answered %d %q", a.Status, a.Body)
		}
		if a := s.Local(t, "POST", "/v1/events", `{"id":"1","app":"game","event_type":"click"}`); a.Status != http.StatusServiceUnavailable {
			t.Errorf("a report that cannot be stored was answered %d %q", a.Status, a.Body)
		}
		if len(s.Events(t, "ymid=before-0")) != 1 { // reading goes on
			t.Error("a stored event cannot be read while the disk is full")
		}
		if a := s.Local(t, "GET", "/readyz", ""); a.Status != http.StatusServiceUnavailable {
			t.Errorf("/readyz answers %d while nothing can be stored", a.Status)
		}
		if a := s.Local(t, "GET", "/v1/status", ""); !strings.Contains(a.Body, `"verdict":"losing_money"`) || !strings.Contains(a.Body, "nothing can be stored") {
			t.Errorf("the status of a full disk is %s", a.Body)
		}
		free()
		caromtest.Until(t, "the server to be ready without being sent anything", func() bool {
			return s.Local(t, "GET", "/readyz", "").Status == http.StatusOK
		})
		caromtest.Until(t, "the server to recover", func() bool { n++; return send("after-"+itoa(round)+"-"+itoa(n)) == http.StatusOK })
	}
	for _, ymid := range acknowledged {
		if d := s.Ends(t, ymid).Deliveries; len(d) != 1 || d[0].State != "delivered" {
			t.Errorf("%s was answered 200, and its deliveries are %+v", ymid, d)
		}
	}
	stored := len(s.Events(t, ""))
	if stored < len(acknowledged) {
		t.Errorf("%d postbacks were answered 200, and %d events are stored", len(acknowledged), stored)
	}
	s.Restart(t)
	if again := len(s.Events(t, "")); again != stored {
		t.Errorf("%d events before the restart are %d after it", stored, again)
	}
}

// A server whose disk is full can be stopped, and comes back with what it had acknowledged.
func TestAStopWithAFullDisk(t *testing.T) {
	caromtest.NeedsFolder(t)
	disk := caromtest.SmallDisk(t, 16)
	endpoint := caromtest.NewEndpoint(t)
	endpoint.Script("/p", caromtest.Failed)
	s := caromtest.Start(t, caromtest.Options{Data: disk, Objects: caromtest.Monetag("", endpoint.URL+"/p?ymid={ymid}")})
	const events = 50
	for i := range events {
		s.Accepted(t, "ymid=v"+itoa(i)+"&event=click")
	}
	free := caromtest.FillDisk(t, disk)
	n := 0
	caromtest.Until(t, "the disk to be felt", func() bool {
		n++
		return s.Postback(t, "ymid=full-"+itoa(n)+"&event=click").Status == http.StatusServiceUnavailable
	})
	err := s.Stop()
	t.Logf("with a full disk the server ends with: %v", err)
	free()
	endpoint.Script("/p", caromtest.OK)
	s.Restart(t)
	for i := range events {
		if d := s.Ends(t, "v"+itoa(i)).Deliveries; len(d) != 1 || d[0].State != "delivered" {
			t.Errorf("v%d was answered 200, and its deliveries are %+v", i, d)
		}
	}
}
