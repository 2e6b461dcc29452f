package server_test

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"carom"
	"carom/internal/api"
	"carom/internal/caromtest"

	"github.com/google/go-cmp/cmp"
)

// two is the name of something that belongs to the other publisher, and one of the same form that nothing has.
type two struct{ theirs, nobodys string }

// twoPublishers has the publishers acme, with the app mine, and rival, with everything that there can be.
const twoPublishers = `
publishers: { acme: {}, rival: {} }
creatives: { theirbanner: { html: "<h1>x</h1>", landing_url: "https://rival.example/" } }
dialects: { theirdialect: { open: "[", close: "]", macros: { click_id: ymid } } }
apps:
  mine:
    publisher: acme
    currencies: { coins: 0 }
    sources: { ads: { profile: monetag, secret: 1f1e2d3c4b5a69788796a5b4c3d2e1f0 } }
    zones: { "111000": { sub_zones: { rewarded_popup: "111001" } } }
    endpoints: { backend: { url: "https://acme.example/?ymid={ymid}" } }
  theirapp:
    publisher: rival
    currencies: { coins: 0 }
    sources: { theirads: { profile: monetag, ymid: view, secret: ` + caromtest.Secret + ` } }
    rules: { theirrule: { price: 5 coins } }
    zones: { "777000": { title: Theirs, sub_zones: { rewarded_popup: "777001" } } }
    endpoints: { theirback: { url: "ENDPOINT/gone?ymid={ymid}", allow_private: true } }
`

// rivals makes what twoPublishers has not: an event with a reward and a dead delivery, a view, a refused postback, people, keys. It returns
// the names of all by the parameter of a path or a query, and by what comes before it in the path where several are called the same.
func rivals(t *testing.T, s *caromtest.Server) map[string]two {
	t.Helper()
	door := s.URL + "/in/theirapp/theirads/" + caromtest.Secret
	for query, want := range map[string]int{"ymid=theirymid&event=click&value=valued&telegram_id=700700&zone_id=777000&sub_zone_id=777001&request_var=theirspot": 200, "ymid={ymid}&event=click": 200} {
		if a := caromtest.Do(t, "GET", door+"?"+query, ""); a.Status != want {
			t.Fatalf("the postback was answered %d %s", a.Status, a.Body)
		}
	}
	story := s.Ends(t, "theirymid")
	life, ref, err := story.Event.ID.Place()
	if err != nil || len(story.Deliveries) != 1 || story.Deliveries[0].State != carom.Dead || len(story.Decided) != 1 {
		t.Fatalf("the rival's story: %v %+v", err, story)
	}
	reward := story.Decided[0].Reward
	nowhere := carom.Ref{Bucket: ref.Bucket, Seq: ref.Seq + 500}
	refused := s.Received(t, "refused")
	var view api.OpenedView
	decode(t, s.Local(t, "POST", "/v1/views", `{"app":"theirapp","user":"700700"}`, "Content-Type", "application/json"), &view)
	var statement api.ImportedStatement
	decode(t, s.Local(t, "POST", "/v1/reconcile/statements?app=theirapp&source=theirads", "date,impressions\n2026-03-04,5\n", "Content-Type", "text/csv"), &statement)
	rival := invite(t, s, s.URL, `{"email":"theirs@rival.example","role":"publisher","publisher":"rival"}`, "")
	s.PublisherKey(t, "rival")
	var keys api.KeyList
	s.Get(t, "/v1/keys", &keys)
	asks(t, "PUT", s.URL+"/v1/filters/theirfilter", rival, `{"page":"events","query":"app=theirapp"}`)
	other := func(id string) string {
		return id[:len(id)-1] + map[bool]string{true: "1", false: "2"}[id[len(id)-1] == '2']
	}
	return map[string]two{
		"publisher": {"rival", "nobody"}, "app": {"theirapp", "noapp"}, "source": {"theirads", "noads"}, "endpoint": {"theirapp/theirback", "noapp/noback"},
		"rule": {"theirrule", "norule"}, "zone": {"777000", "888000"}, "sub_zone": {"777001", "888001"}, "user": {"700700", "800800"}, "ymid": {"theirymid", "noymid"},
		"request_var": {"theirspot", "nospot"}, "actor": {"theirs@rival.example", "nobody@rival.example"}, "object": {"app/theirapp", "app/noapp"}, "member": {"theirs@rival.example", "nobody@rival.example"}, "q": {"theirapp", "noapp"},
		"event_id":    {string(story.Event.ID), string(carom.NewEventID(life, nowhere))},
		"delivery_id": {string(story.Deliveries[0].ID), string(carom.NewDeliveryID(life, nowhere, 0))},
		"received_id": {string(refused[0].ID), string(carom.NewReceivedID(life, nowhere))},
		"reward_id":   {string(reward), string(carom.NewRewardID(life, 500))},
		"view_id":     {string(view.ViewID), other(string(view.ViewID))},
		"keys id":     {keys.Keys[0].ID, "key_nobodys"}, "statements id": {string(statement.Statement.ID), other(string(statement.Statement.ID))},
		"sources name": {"theirads", "noads"}, "endpoints name": {"theirback", "noback"}, "rules name": {"theirrule", "norule"},
		"creatives name": {"theirbanner", "nobanner"}, "dialects name": {"theirdialect", "nodialect"}, "filters name": {"theirfilter", "nofilter"},
	}
}

// notObjects are parameters that name nothing that belongs to anybody. Of a parameter that is neither here nor in rivals, the test below
// says so.
var notObjects = strings.Fields(`action before by currency day_zone dry_run event_type file for from group_by kind limit map measure network
	outcome price_currency prune rate reason since state time_zone to unpaid wait with`)

// sent are the bodies of what publishers may call. {app} is the app that is asked for.
var sent = map[string]string{
	"put-app": `{}`, "make-zone": `{}`, "change-zone": `{"title":"x"}`, "rotate-secret": `{}`, "put-endpoint": `{"url":"https://acme.example/?ymid={ymid}"}`,
	"preview-endpoint": `{"app":"{app}","url":"https://acme.example/?ymid={ymid}"}`, "test-endpoint": `{"event_type":"impression","reward_event_type":"valued"}`,
}

// operation is one of the document.
type operation struct {
	id, method, path string
	query, required  []string
	body             bool
}

func operations(t *testing.T, s *caromtest.Server) (list []operation) {
	t.Helper()
	var doc struct {
		Paths map[string]map[string]struct {
			OperationID string `json:"operationId"`
			Parameters  []struct {
				Name, In string
				Required bool
			}
			RequestBody any `json:"requestBody"`
		}
	}
	decode(t, caromtest.Do(t, "GET", s.URL+"/v1/openapi.json", ""), &doc)
	for path, item := range doc.Paths {
		for method, op := range item {
			o := operation{id: op.OperationID, method: strings.ToUpper(method), path: path, body: op.RequestBody != nil}
			for _, p := range op.Parameters {
				if p.In == "query" {
					o.query = append(o.query, p.Name)
				}
				if p.In == "query" && p.Required {
					o.required = append(o.required, p.Name)
				}
			}
			list = append(list, o)
		}
	}
	slices.SortFunc(list, func(a, b operation) int { return strings.Compare(a.path+a.method, b.path+b.method) })
	return list
}

// question asks for something of the other publisher's, and in the same words for what nobody has.
type question struct {
	operation
	target, body two
	empty        bool // a filter, which leaves nothing of a list
}

// questions are all that can be asked of an operation.
func questions(t *testing.T, op operation, names map[string]two) (list []question) {
	t.Helper()
	segments := strings.Split(op.path, "/")
	var variants [][]two // what stands in the place of each parameter of the path
	var params []string
	var noun string
	for i, segment := range segments {
		name, is := strings.CutPrefix(segment, "{")
		if !is {
			noun = segment
			continue
		}
		name = strings.TrimSuffix(name, "}")
		v, known := names[name]
		if !known {
			v, known = names[noun+" "+name]
		}
		if op.id != "get-story" && !known {
			t.Fatalf("%s: say in rivals what a publisher may guess for {%s}", op.id, name)
		}
		params = append(params, name)
		segments[i] = "%s"
		if len(variants) == 0 {
			variants = [][]two{nil}
		}
		for k := range variants {
			variants[k] = append(variants[k], v)
		}
	}
	own := two{"acme", "acme"}
	switch {
	case op.id == "get-story":
		variants = nil
		for _, kind := range []string{"event_id", "delivery_id", "view_id", "reward_id", "received_id"} {
			variants = append(variants, []two{names[kind]})
		}
	case op.id == "save-filter": // what it names is one's own
		variants = nil
	case len(params) > 1 && params[0] == "publisher":
		theirs := variants[0]
		variants = append(variants, append([]two{own}, theirs[1:]...))
		if len(params) > 2 && op.id != "put-endpoint" { // which makes one's own
			variants = append(variants, append([]two{own, {"mine", "mine"}}, theirs[2:]...))
		}
	case op.id == "preview-endpoint": // whose body names the app
		variants = append(variants, []two{own})
	}
	format, app := strings.Join(segments, "/"), names["app"]
	body := two{strings.ReplaceAll(sent[op.id], "{app}", app.theirs), strings.ReplaceAll(sent[op.id], "{app}", app.nobodys)}
	for _, v := range variants {
		var theirs, nobodys []any
		for _, name := range v {
			theirs, nobodys = append(theirs, name.theirs), append(nobodys, name.nobodys)
		}
		list = append(list, question{op, two{fmt.Sprintf(format, theirs...), fmt.Sprintf(format, nobodys...)}, body, false})
	}
	if len(params) > 0 {
		return list
	}
	for _, name := range op.query {
		v, known := names[name]
		if !known && !slices.Contains(notObjects, name) {
			t.Fatalf("%s: say in rivals or in notObjects what %s is", op.id, name)
		}
		values := []two{v}
		switch {
		case !known:
			continue
		case name == "source":
			values = append(values, two{"theirapp/theirads", "noapp/noads"})
		case name == "q": // anything that can be searched for
			values = nil
			for _, of := range []string{"app", "source", "endpoint", "rule", "zone", "sub_zone", "user", "ymid", "event_id", "delivery_id", "view_id", "reward_id", "received_id"} {
				values = append(values, names[of])
			}
			values = append(values, two{"https://rival.example/?ymid=theirymid", "https://rival.example/?ymid=noymid"}, two{"/in/theirapp/theirads/x", "/in/noapp/noads/x"})
		}
		for _, v := range values {
			more := ""
			for _, other := range op.required {
				if other != name {
					more += "&" + other + "=" + url.QueryEscape(names[other].nobodys)
				}
			}
			list = append(list, question{op, two{op.path + "?" + name + "=" + url.QueryEscape(v.theirs) + more, op.path + "?" + name + "=" + url.QueryEscape(v.nobodys) + more}, body,
				name != "app" && name != "endpoint" && v.theirs != "theirapp/theirads"})
		}
	}
	return list
}

// guesser is a member or a key of the publisher acme. Of each, the audit log holds only so many refusals at once.
type guesser struct {
	kind, id string
	header   []string
	may      []string
	expected []string // entries of the audit log
}

func newGuesser(t *testing.T, s *caromtest.Server, kind string, n int) *guesser {
	t.Helper()
	g := &guesser{kind: kind}
	var state api.SessionState
	if kind == "key" {
		var made api.MadeKey
		decode(t, s.Local(t, "POST", "/v1/keys", fmt.Sprintf(`{"name":"guesser %d","scope":"publisher","publisher":"acme"}`, n), "Content-Type", "application/json"), &made)
		g.id, g.header = made.ID, []string{"Authorization", "Bearer " + made.Key, "Content-Type", "application/json"}
	} else {
		email := fmt.Sprintf("guesser%d@acme.example", n)
		g.header = []string{"Cookie", invite(t, s, s.URL, `{"email":"`+email+`","role":"publisher","publisher":"acme"}`, ""), "Carom-Request", "1", "Content-Type", "application/json"}
	}
	decode(t, caromtest.Do(t, "GET", s.URL+"/v1/session", "", g.header...), &state)
	g.may = state.May
	if kind == "member" {
		g.id = state.Member.ID
	}
	return g
}

// ask returns the answer without what differs from one moment to the next. Of a stream, it waits for no more than its beginning.
func (g *guesser) ask(t *testing.T, s *caromtest.Server, method, target, body string) (status int, text string) {
	t.Helper()
	a := caromtest.Begin(t, method, s.URL+target, body, g.header...)
	return a.Status, regexp.MustCompile(`\d{4}-\d\d-\d\d(T[0-9:.]+Z)?`).ReplaceAllString(a.Body, "DATE")
}

// checkAudit fails the test unless every guess is in the audit log, once.
func (g *guesser) checkAudit(t *testing.T, s *caromtest.Server) {
	t.Helper()
	var log api.AuditList
	s.Get(t, "/v1/audit?outcome=refused&limit=1000&actor="+g.id, &log)
	var got []string
	for _, e := range slices.Backward(log.Entries) {
		got = append(got, fmt.Sprint(e.Action, " ", e.Status, " by a ", e.Actor.Kind))
	}
	if diff := cmp.Diff(g.expected, got); diff != "" {
		t.Errorf("what the audit log has of a %s's guesses (-want +got):\n%s", g.kind, diff)
	}
}

// A publisher that guesses names and ids of another's learns nothing, on any route: it is answered as for what is not there, and the
// operator can see that it asked. The routes come from the document.
func TestGuessesOfAnothersObjects(t *testing.T) {
	t.Parallel()
	backend := caromtest.NewEndpoint(t)
	backend.Script("/gone", caromtest.Reply{Status: http.StatusGone})
	s := caromtest.Start(t, caromtest.Options{Objects: strings.ReplaceAll(twoPublishers, "ENDPOINT", backend.URL), Config: func(c *cfg) { c.APIRate = 0 }})
	firstOperator(t, s, s.URL)
	names := rivals(t, s)
	before := s.Local(t, "GET", "/v1/objects", "").Body
	doors := []string{"get-view"} // it is served by the door of views, which knows no publishers, and asks nothing about them
	var all []question
	for _, op := range operations(t, s) {
		all = append(all, questions(t, op, names)...)
	}
	for _, kind := range []string{"member", "key"} {
		var g *guesser
		for i, q := range all {
			if g == nil || len(g.expected) > 15 {
				if g != nil {
					g.checkAudit(t, s)
				}
				g = newGuesser(t, s, kind, i)
			}
			if q.operation.body && slices.Contains(g.may, q.id) && q.body.theirs == "" {
				t.Fatalf("%s: say in sent what a publisher would send", q.id)
			}
			var want int
			switch {
			case slices.Contains(doors, q.id):
				want = map[string]int{"member": http.StatusUnauthorized, "key": http.StatusNotFound}[kind]
			case !slices.Contains(g.may, q.id):
				want = http.StatusForbidden
			case q.id == "put-app" && strings.Contains(q.target.theirs, "/acme/"):
				want = http.StatusConflict // names of apps are everybody's: one that is taken can be told by anybody who may make one
			case q.empty:
				want = http.StatusOK
			default:
				want = http.StatusNotFound
			}
			asked := q.method + " " + q.target.theirs + " by a " + kind
			status, text := g.ask(t, s, q.method, q.target.theirs, q.body.theirs)
			if status != want {
				t.Errorf("%s: answered %d %.300s, want %d", asked, status, text, want)
			}
			if want >= 400 && !slices.Contains(doors, q.id) {
				g.expected = append(g.expected, fmt.Sprint(q.id, " ", want, " by a ", kind))
			}
			for of, name := range names {
				if strings.Contains(text, name.theirs) && !strings.Contains(q.target.theirs+q.body.theirs, name.theirs) && !strings.Contains(q.target.theirs, url.QueryEscape(name.theirs)) {
					t.Errorf("%s: the answer names the %s %s: %.300s", asked, of, name.theirs, text)
				}
			}
			if want == http.StatusConflict {
				continue
			}
			nothing, textOfNothing := g.ask(t, s, q.method, q.target.nobodys, q.body.nobodys)
			if want >= 400 && !slices.Contains(doors, q.id) {
				g.expected = append(g.expected, fmt.Sprint(q.id, " ", want, " by a ", kind))
			}
			for _, name := range names {
				text = strings.ReplaceAll(text, name.theirs, name.nobodys)
			}
			if diff := cmp.Diff(textOfNothing, text); nothing != status || diff != "" {
				t.Errorf("%s: answered otherwise than what is not there, %d and %d (-nothing +theirs):\n%s", asked, nothing, status, diff)
			}
		}
		g.checkAudit(t, s)
	}
	if after := s.Local(t, "GET", "/v1/objects", "").Body; after != before {
		t.Errorf("something was changed:\n%s", cmp.Diff(before, after))
	}
}
