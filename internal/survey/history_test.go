package survey

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"carom"
)

// tries makes attempts of one endpoint, a minute apart. Each line is "DELIVERY STATUS", "DELIVERY REASON", or "DELIVERY STATUS: ANSWER";
// attempts of one delivery are numbered. 2xx count as delivered.
func tries(lines ...string) []carom.Attempt {
	var list []carom.Attempt
	numbers := map[string]int{}
	for i, line := range lines {
		name, said, _ := strings.Cut(line, " ")
		numbers[name]++
		a := carom.Attempt{
			Delivery: carom.NewDeliveryID(7, carom.Ref{Bucket: 1, Seq: uint32(name[0])}, 0), Number: numbers[name], Method: "GET",
			At: noon.Add(time.Duration(i-len(lines)) * time.Minute), Took: 20 * time.Millisecond, State: carom.Pending, Reason: said,
		}
		if _, err := fmt.Sscanf(said, "%d", &a.Status); err == nil {
			a.Reason = "status " + fmt.Sprint(a.Status)
			_, a.Answer, _ = strings.Cut(said, ": ")
			if a.Status/100 == 2 {
				a.State, a.Reason = carom.Delivered, ""
			}
			if strings.HasPrefix(a.Answer, "<html") {
				a.Flags = carom.AttemptHTML
			}
		}
		list = append(list, a)
	}
	return list
}

func TestHistory(t *testing.T) {
	many := func(n int, line string) []string {
		var lines []string
		for i := range n {
			lines = append(lines, string(rune('A'+i%60))+" "+line)
		}
		return lines
	}
	for _, tt := range []struct {
		name  string
		tries []string
		more  func(*Facts, []carom.Attempt)
		e     func(*carom.Endpoint)
		want  []string
		texts []string
	}{
		{name: "all is well", tries: many(30, "200: ok")},
		{name: "redirects", tries: []string{"a 200: ok", "b 301", "c 302"}, want: []string{"fault redirects"}, texts: []string{"301, 302", "2 of the newest 3 attempts"}},
		{name: "redirects before the URL was corrected", tries: []string{"a 301", "a 200: ok", "b 200: ok"}, want: []string{"warning redirects"}, texts: []string{"2 succeeded since"}},
		{name: "a web page", tries: []string{"a 200: <html>Welcome"}, want: []string{"fault answers_page"}, texts: []string{"--state delivered"}},
		{name: "web pages before, and now another answer", tries: []string{"a 200: <html>Welcome", "b 200: ok"}, want: []string{"warning answers_page"}},
		{name: "success that says error", tries: []string{`a 200: {"status":"ERROR","text":"no such user"}`, "b 200: ok"}, want: []string{"warning answers_error"},
			texts: []string{`success.not_contains: "ERROR"`}},
		{name: "success that says that there was none", tries: []string{
			`a 200: {"error":false}`, `b 200: {"errors":[],"failed":0}`, `c 200: {"error": null}`, `d 200: no error`, `e 200: 0 errors`, `f 200: {"error":""}`,
			`g 200: error=0`, `h 200: terrorism is no error`}},
		{name: "a duplicate at once", tries: []string{"a 200: duplicate"}, want: []string{"warning answers_error"}, texts: []string{"first attempt"}},
		{name: "a duplicate when it is one", tries: []string{"a timeout: not done within 10s", "a 200: duplicate"},
			want: []string{"warning timeouts"}, texts: []string{"1 succeeded since"}},
		{name: "success that does not count", tries: []string{"a 200: no"}, more: func(_ *Facts, list []carom.Attempt) {
			list[0].State, list[0].Reason = carom.Pending, "status 200, but the answer lacks the text that means success"
		}, want: []string{"fault success_texts", "warning nothing_delivered"}, texts: []string{"carom show evt_"}},
		{name: "copies are refused", tries: []string{"a 200: ok", "b timeout: not done within 10s", "b 409", "b 409"}, want: []string{"fault copies_refused", "fault timeouts"},
			texts: []string{"answer copies with 200", "answers 409", "2 of the newest 4"}},
		{name: "copies are refused after 500", tries: []string{"b 500", "b 400"}, want: []string{"fault copies_refused", "fault server_errors", "warning nothing_delivered"}},
		{name: "refused again and again is no copy", tries: []string{"a 200: ok", "b 400", "b 400", "c 503", "d 400"}, want: []string{"fault refused", "fault server_errors"},
			texts: []string{"3 of the newest 5"}},
		{name: "a secret that changed while it was down is no copy", tries: []string{"a 200: ok", "b 503", "b 401"}, want: []string{"fault access_denied", "fault server_errors"}},
		{name: "no access", tries: []string{"a 200: ok", "b 401", "c 403"}, want: []string{"fault access_denied"}, texts: []string{"401, 403"}},
		{name: "no path", tries: []string{"a 200: ok", "b 404"}, want: []string{"fault path_missing"}},
		{name: "another method", tries: []string{"a 200: ok", "b 405"}, want: []string{"fault path_missing"}, texts: []string{"takes another method"}},
		{name: "too many", tries: []string{"a 429", "a 200: ok"}, want: []string{"warning too_many"}, texts: []string{"set `rate`"}},
		{name: "too many in spite of a rate", tries: []string{"a 200: ok", "b 429"}, e: func(e *carom.Endpoint) { e.Rate = 50 }, want: []string{"warning too_many"},
			texts: []string{"is 50, for instance to 25"}},
		{name: "a server that was down", tries: []string{"a 502", "a connect: connection refused", "a 200: ok"}, want: []string{"note server_errors", "note unreachable"}},
		{name: "a fault now and then", tries: append(many(8, "200: ok"), "a 503", "b timeout: not done within 10s"), want: []string{"warning server_errors", "warning timeouts"}},
		{name: "a name that is gone", tries: []string{"a 200: ok", "b resolve: no such host"}, want: []string{"fault name_unresolved"}},
		{name: "a certificate", tries: []string{"a 200: ok", "b tls: certificate has expired"}, want: []string{"fault certificate"}, texts: []string{"certificate has expired"}},
		{name: "broken off", tries: []string{"a 200: ok", "b read: unexpected EOF", "c write: broken pipe"}, want: []string{"fault broken_off"}},
		{name: "an address that is private now", tries: []string{"a 200: ok", "b address refused: game.example (10.0.0.1) is a private address"}, want: []string{"fault private_address"}},
		{name: "a request that cannot be made", tries: []string{"a 200: ok", "b cannot render the request: the delivery has no event"}, want: []string{"fault not_rendered"}},
		{name: "carom was stopping, which says nothing", tries: []string{"a 200: ok", "b cancelled: carom was stopping"}},
		{name: "slow", tries: many(10, "200: ok"), more: func(_ *Facts, list []carom.Attempt) {
			for i := range list {
				list[i].Took = time.Duration(i) * 700 * time.Millisecond
			}
		}, want: []string{"warning slow"}, texts: []string{"takes 6.3s or more, and the timeout is 10s"}},
		{name: "slow once", tries: many(20, "200: ok"), more: func(_ *Facts, list []carom.Attempt) { list[3].Took = 9 * time.Second }},
		{name: "lost", tries: []string{"a 200: ok"}, more: func(f *Facts, _ []carom.Attempt) {
			f.Ended = map[string]map[string]int64{"game/backend": {"dead": 3, "expired": 40, "delivered": 5}}
		}, want: []string{"fault lost"}, texts: []string{"3 of its deliveries were given up and 40 passed their deadline", "carom resend --endpoint game/backend"}},
		{name: "the breaker is open", tries: []string{"a 200: ok"}, more: func(f *Facts, _ []carom.Attempt) {
			f.Lanes = map[string]carom.LaneState{"game/backend": {Breaker: "open", Since: noon, LastFailure: "status 503\x1b[2J"}}
		}, want: []string{"fault breaker_open"}, texts: []string{"status 503·[2J"}},
		{name: "nothing ever", want: []string{"note nothing_delivered"}},
		{name: "nothing in the newest attempts, and something before", more: func(f *Facts, _ []carom.Attempt) {
			f.Lanes = map[string]carom.LaneState{"game/backend": {LastSuccess: noon}}
		}},
		{name: "what a visit says goes first", tries: []string{"a 200: ok", "b resolve: no such host"}, more: func(f *Facts, _ []carom.Attempt) {
			f.Visits = map[Host]Visit{{Origin: "https://game.example"}: {Phase: PhaseResolve, Reason: "there is no such name"}}
		}, want: []string{"fault name_unresolved"}, texts: []string{"there is no such name"}},
		{name: "and does not make it milder", tries: []string{"a 200: ok", "b 301"}, more: func(f *Facts, _ []carom.Attempt) {
			f.Visits = map[Host]Visit{{Origin: "https://game.example"}: {Status: 301, Path: "/x", Location: "https://www.game.example/x"}}
		}, want: []string{"fault redirects"}, texts: []string{"enter the URL with https://www.game.example at its beginning"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := good()
			if tt.e != nil {
				tt.e(&e)
			}
			f := factsOf(e)
			list := tries(tt.tries...)
			f.Attempts = map[int][]carom.Attempt{1: list}
			if tt.more != nil {
				tt.more(f, list)
			}
			wantFindings(t, f, tt.want, tt.texts...)
			if len(list) > 1 { // in which order the store hands them out makes no difference
				list[0], list[len(list)-1] = list[len(list)-1], list[0]
				wantFindings(t, f, tt.want, tt.texts...)
			}
		})
	}
}

func TestVisitsAreJudged(t *testing.T) {
	const origin, path = "https://game.example", "/carom-check-abc"
	for _, tt := range []struct {
		name  string
		visit Visit
		want  []string
		texts []string
	}{
		{"not found, as it should be", Visit{Status: 404, Ends: noon.Add(60 * 24 * time.Hour)}, nil, nil},
		{"forbidden", Visit{Status: 403}, nil, nil},
		{"everything is answered", Visit{Status: 204}, []string{"warning catch_all"}, []string{"answers 204", path, "success.contains"}},
		{"everything moves to www", Visit{Status: 301, Location: "https://www.game.example" + path}, []string{"warning redirects"}, []string{"enter the URL with https://www.game.example at its beginning"}},
		{"a login page", Visit{Status: 302, Location: "/login?next=" + path}, []string{"note redirects_any"}, []string{"on to /login (302), a login page"}},
		{"the start page", Visit{Status: 302, Location: "/"}, []string{"note redirects_any"}, []string{"on to / (302)"}},
		{"a redirect to nowhere", Visit{Status: 302}, []string{"note redirects_any"}, nil},
		{"a redirect that is no URL", Visit{Status: 302, Location: "http://%zz"}, []string{"note redirects_any"}, nil},
		{"a bad gateway", Visit{Status: 502}, []string{"warning unwell"}, []string{"502"}},
		{"a certificate that ends soon", Visit{Status: 404, Ends: noon.Add(13*24*time.Hour + time.Hour)}, []string{"warning certificate_ends"}, []string{"in 13 days"}},
		{"a certificate that ends later", Visit{Status: 404, Ends: noon.Add(14 * 24 * time.Hour)}, nil, nil},
		{"no name", Visit{Phase: PhaseResolve, Reason: "there is no such name"}, []string{"fault name_unresolved"}, []string{"game.example has no address"}},
		{"a private address", Visit{Phase: PhaseRefused, Reason: "game.example (10.0.0.1) is a private address"}, []string{"fault private_address"}, []string{"10.0.0.1"}},
		{"nobody there", Visit{Phase: PhaseConnect, Reason: "connection refused"}, []string{"fault unreachable"}, nil},
		{"a certificate that ended", Visit{Phase: PhaseTLS, Reason: "its certificate ended", Fix: "renew it"}, []string{"fault certificate"}, []string{"renew it"}},
		{"no answer", Visit{Phase: PhaseTimeout, Reason: "nothing came within 10s", Ends: noon.Add(time.Hour)}, []string{"warning unwell", "warning certificate_ends"}, nil},
		{"no HTTP", Visit{Phase: PhaseAnswer, Reason: "what comes back is not HTTP"}, []string{"warning unwell"}, nil},
		{"no time", Visit{Phase: PhaseSkipped}, []string{"note not_visited"}, []string{"carom check --endpoints game/backend"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := factsOf(good())
			tt.visit.Path = path
			f.Visits = map[Host]Visit{{Origin: origin}: tt.visit}
			wantFindings(t, f, tt.want, tt.texts...)
		})
	}
}

func TestHostOf(t *testing.T) {
	for _, tt := range []struct {
		url  string
		want string
	}{
		{"https://Game.Example/postback?ymid={ymid}", "https://game.example"},
		{"HTTPS://game.example:443?x=1", "https://game.example"},
		{"http://game.example:80/", "http://game.example"},
		{"http://game.example:443/", "http://game.example:443"},
		{"https://[2606:4700::1111]:8443/p", "https://[2606:4700::1111]:8443"},
		{"game.example/p", ""},
		{"ftp://game.example", ""},
		{"https:///p", ""},
	} {
		h, ok := HostOf(&carom.Endpoint{URL: tt.url, AllowPrivate: true})
		if h.Origin != tt.want || ok != (tt.want != "") || h.AllowPrivate != ok {
			t.Errorf("%s: got %+v, %v, want %s", tt.url, h, ok, tt.want)
		}
	}
	shared := []carom.Endpoint{{URL: "https://a.example/1"}, {URL: "https://a.example/2"}, {URL: "https://a.example/3", AllowPrivate: true}, {URL: "nonsense"}}
	if got := Hosts(shared); len(got) != 2 {
		t.Errorf("hosts %v, want one for each way to reach a.example", got)
	}
}
