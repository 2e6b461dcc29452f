package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"
)

func TestTrafficKeepsAccountOfEachAnswer(t *testing.T) {
	var mu sync.Mutex
	stored := map[key]int{}
	n, enough := 0, make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		n++
		mine := n
		if n == 600 {
			close(enough)
		}
		if mine%7 != 1 && mine%7 != 2 {
			q := r.URL.Query()
			stored[key{q.Get("ymid"), q.Get("zone_id"), q.Get("event_type"), q.Get("reward_event_type")}]++
		}
		mu.Unlock()
		switch mine % 7 {
		case 1:
			panic(http.ErrAbortHandler)
		case 2:
			w.WriteHeader(http.StatusServiceUnavailable)
		default:
			_, _ = io.WriteString(w, "OK")
		}
	}))
	defer srv.Close()
	o, err := parseOptions([]string{"-seed", "5", "-senders", "4", "-rate", "20000"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	tr := newTraffic(o, srv.Listener.Addr().String(), "secret")
	tr.run(time.Now())
	<-enough
	if tr.stop() <= 0 {
		t.Error("the traffic flowed for no time")
	}
	tr.close()
	tr.close()
	a := tr.account()
	acked := int64(0)
	repeated, kinds := false, map[string]bool{}
	for _, e := range a.entries {
		acked += int64(e.acked)
		if got := stored[e.key]; got != e.acked {
			t.Errorf("%v: %d answered 200, account says %d", e.key, got, e.acked)
		}
		repeated = repeated || e.sent > 1
		if e.sent > 0 {
			kinds[e.event+" "+e.value] = true
		}
	}
	if acked != a.acked || a.postbacks != a.acked+a.unknown+a.refused[503] || a.unknown == 0 || a.refused[503] == 0 {
		t.Errorf("account: %d sent, %d acknowledged (%d by entry), %d unknown, refused %v", a.postbacks, a.acked, acked, a.unknown, a.refused)
	}
	if !repeated || len(kinds) != 4 {
		t.Errorf("repeats %v, kinds %v: want repeats and four kinds", repeated, kinds)
	}
}

func TestReceiverRemembersWhatItAccepted(t *testing.T) {
	r, err := startReceiver(3)
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	good := 0
	for range 200 {
		resp, err := http.Get("http://" + r.addr + "/postback?ymid=a&zone=1&event=click&value=valued&d=dlv_x")
		if err != nil {
			continue // a reset, as asked
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode == http.StatusOK {
			good++
		}
	}
	acc := r.account()
	a := acc.arrivals["dlv_x"]
	// A client of net/http repeats a request whose connection was reset, so there may be more requests than answers.
	if a == nil || a.requests < 200 || len(a.accepted) != good || good == 0 || good == 200 {
		t.Errorf("%d answered 200; arrival %+v", good, a)
	}
	k := key{"a", "1", "click", "valued"}
	if !r.holds([]key{k}) || r.holds([]key{k, {ymid: "b"}}) {
		t.Error("holds does not tell what was accepted")
	}
	for _, answer := range []string{answerOK, answerSlow, answerFail, answerReset} {
		if acc.answers[answer] == 0 {
			t.Errorf("in 200 requests none was answered %q", answer)
		}
	}
}
