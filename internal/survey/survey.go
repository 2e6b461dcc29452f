// Package survey says which endpoints would lose postbacks, and why, without sending one.
//
// Three things speak: the configuration (what a template lacks, what a filter can never let through), the newest attempts (what
// the receiver answered), and a visit to each host, which asks for a path that nobody has. [Judge] weighs them. It is pure: it
// keeps no state, reads no clock and waits for nothing. Only [Visitor] uses the network, and no request of it names the path
// or a parameter of a template, so that no receiver can take it for an event.
//
// It stands beside the flow of events: internal/api gathers the facts, and nothing here changes anything. No secret is in a
// finding: templates are quoted up to their host.
package survey

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"carom"
	"carom/internal/route"
)

// Level says how bad a finding is.
type Level string

// The levels, from bad to good.
const (
	Fault   Level = "fault"   // postbacks are lost, or would be
	Warning Level = "warning" // something goes wrong under conditions that are to be expected
	Note    Level = "note"    // worth knowing, and possibly meant
)

func (l Level) rank() int { return slices.Index([]Level{Fault, Warning, Note}, l) }

// Kind names what a finding is about, in a word that stays the same.
type Kind string

// What the configuration shows.
const (
	KindInvalid         Kind = "invalid"          // it could not be saved as it is
	KindPrivateAddress  Kind = "private_address"  // its host may not be dialled
	KindPaused          Kind = "paused"           // nothing is sent
	KindPlainHTTP       Kind = "plain_http"       // anybody on the way reads and alters it
	KindNoIdentity      Kind = "no_identity"      // nothing tells a repeat from a second event
	KindIdentityRepeats Kind = "identity_repeats" // its only id is one that repeats
	KindNoProof         Kind = "no_proof"         // anybody can send the same
	KindTypesAlike      Kind = "types_alike"      // an impression looks like a click
	KindValuesAlike     Kind = "values_alike"     // what nobody pays for looks like what is paid for
	KindMatchesNothing  Kind = "matches_nothing"  // its filter lets nothing through
	KindFilterUnknown   Kind = "filter_unknown"   // its filter names something that is not there
	KindZoneUnseen      Kind = "zone_unseen"      // its filter names a zone from which nothing came
	KindMatchedNone     Kind = "matched_none"     // none of the newest events passed its filter
	KindMacroEmpty      Kind = "macro_empty"      // a macro of its template never has a value
	KindSentTwice       Kind = "sent_twice"       // another endpoint sends the same
)

// What an app as a whole shows.
const (
	KindNoEndpoint Kind = "no_endpoint" // nothing goes out
	KindNoDefault  Kind = "no_default"  // events of zones that no filter names go to nobody
)

// What the newest attempts show, and some of it a visit as well.
const (
	KindRedirects        Kind = "redirects"         // 3xx, which is not followed
	KindAnswersPage      Kind = "answers_page"      // success, with a web page
	KindAnswersError     Kind = "answers_error"     // success, with a text that says failure
	KindSuccessTexts     Kind = "success_texts"     // 2xx that the endpoint's success texts do not let count
	KindCopiesRefused    Kind = "copies_refused"    // a repeat is answered 4xx
	KindAccessDenied     Kind = "access_denied"     // 401 and 403
	KindPathMissing      Kind = "path_missing"      // 404, 405 and 410
	KindRefused          Kind = "refused"           // other 4xx
	KindTooMany          Kind = "too_many"          // 429
	KindServerErrors     Kind = "server_errors"     // 5xx
	KindTimeouts         Kind = "timeouts"          // no answer in time
	KindSlow             Kind = "slow"              // answers come near to the timeout
	KindBrokenOff        Kind = "broken_off"        // the connection broke
	KindUnreachable      Kind = "unreachable"       // nothing accepts connections
	KindCertificate      Kind = "certificate"       // TLS fails
	KindNameUnresolved   Kind = "name_unresolved"   // the host name has no address
	KindNotRendered      Kind = "not_rendered"      // the request cannot be made
	KindLost             Kind = "lost"              // deliveries ended without success
	KindBreakerOpen      Kind = "breaker_open"      // it does not take deliveries
	KindNothingDelivered Kind = "nothing_delivered" // no delivery is known to have succeeded
)

// What only a visit shows.
const (
	KindCatchAll        Kind = "catch_all"        // any path is answered with success
	KindCertificateEnds Kind = "certificate_ends" // it ends within two weeks
	KindUnwell          Kind = "unwell"           // it answers 5xx, or nothing
	KindRedirectsAny    Kind = "redirects_any"    // any path leads elsewhere
	KindNotVisited      Kind = "not_visited"      // there was no time for it
)

// Kinds returns every kind of finding, in the order in which documents list them.
func Kinds() []Kind {
	return []Kind{
		KindInvalid, KindPrivateAddress, KindPaused, KindPlainHTTP, KindNoIdentity, KindIdentityRepeats, KindNoProof, KindTypesAlike,
		KindValuesAlike, KindMatchesNothing, KindFilterUnknown, KindZoneUnseen, KindMatchedNone, KindMacroEmpty, KindSentTwice,
		KindNoEndpoint, KindNoDefault,
		KindRedirects, KindAnswersPage, KindAnswersError, KindSuccessTexts, KindCopiesRefused, KindAccessDenied, KindPathMissing, KindRefused,
		KindTooMany, KindServerErrors, KindTimeouts, KindSlow, KindBrokenOff, KindUnreachable, KindCertificate, KindNameUnresolved,
		KindNotRendered, KindLost, KindBreakerOpen, KindNothingDelivered,
		KindCatchAll, KindCertificateEnds, KindUnwell, KindRedirectsAny, KindNotVisited,
	}
}

// Finding is one thing that is worth a look.
type Finding struct {
	Level Level  `json:"level" enum:"fault,warning,note" doc:"fault: postbacks are lost, or would be"`
	Kind  Kind   `json:"kind" doc:"What it is, in a word that stays the same: docs/check-endpoints.md lists them"`
	What  string `json:"what"`
	Fix   string `json:"fix"`
}

// CheckedEndpoint is an endpoint with what was found about it, worst first.
type CheckedEndpoint struct {
	Endpoint string    `json:"endpoint" doc:"app/name"`
	Findings []Finding `json:"findings" nullable:"false" doc:"Worst first; empty: it is fine"`
}

// CheckedApp is an app with what concerns its endpoints together.
type CheckedApp struct {
	App      string    `json:"app"`
	Findings []Finding `json:"findings" nullable:"false"`
}

// EndpointSummary counts what was found, and what it was found in.
type EndpointSummary struct {
	Endpoints int `json:"endpoints" doc:"How many were checked"`
	Faulty    int `json:"faulty" doc:"Those with a fault"`
	Warned    int `json:"warned" doc:"Those without a fault and with a warning"`
	Fine      int `json:"fine" doc:"Those with neither; they may have notes"`
	Apps      int `json:"apps" doc:"Apps with a fault or a warning of their own"`
	Faults    int `json:"faults" doc:"All faults of endpoints and apps"`
	Attempts  int `json:"attempts" doc:"How many of their newest attempts were looked at"`
	Events    int `json:"events" doc:"How many of the newest events of their apps were looked at"`
	Visits    int `json:"visits" doc:"How many hosts were visited"`
}

// EndpointReport is what a check of endpoints found.
type EndpointReport struct {
	At        time.Time         `json:"at"`
	Endpoints []CheckedEndpoint `json:"endpoints" nullable:"false" doc:"All that were checked, in the order of their names"`
	Apps      []CheckedApp      `json:"apps" nullable:"false" doc:"Apps about which there is something to say"`
	Summary   EndpointSummary   `json:"summary"`
}

// Facts is all that endpoints are judged from. What is absent is not judged.
type Facts struct {
	Now      time.Time
	Objects  carom.Objects               // all that is configured
	Lanes    map[string]carom.LaneState  // by the endpoint's id, "app/name"
	Backlogs map[int]carom.Backlog       // by the endpoint's number
	Ended    map[string]map[string]int64 // deliveries of the last 24 hours, by the endpoint's id and their outcome
	Attempts map[int][]carom.Attempt     // the newest of each endpoint, by its number, in any order; Answer may be cut
	Events   map[string][]*carom.Event   // the newest of each app, in any order
	Visits   map[Host]Visit
}

// Judge says what is wrong with the endpoints whose ids ("app/name") are wanted, and with their apps as far as all endpoints of
// those are wanted. An app without endpoints is judged when its name is wanted.
func Judge(f *Facts, wanted []string) EndpointReport {
	r := EndpointReport{At: f.Now.UTC(), Endpoints: []CheckedEndpoint{}, Apps: []CheckedApp{}}
	is := make(map[string]bool, len(wanted))
	for _, name := range wanted {
		is[name] = true
	}
	apps := appsOf(f)
	visited := map[Host]bool{}
	for _, a := range apps {
		complete, some := true, false
		for _, s := range a.endpoints {
			if !is[s.e.ID()] {
				complete = false
				continue
			}
			some = true
			r.Summary.Attempts += len(f.Attempts[s.e.No])
			if v, ok := f.Visits[s.host]; ok && v.Phase != PhaseSkipped {
				visited[s.host] = true
			}
			r.add(CheckedEndpoint{s.e.ID(), s.judge(f)})
		}
		if some {
			r.Summary.Events += len(f.Events[a.name])
		}
		if complete && some || len(a.endpoints) == 0 && is[a.name] {
			r.addApp(CheckedApp{a.name, sorted(a.judge())})
		}
	}
	r.Summary.Visits = len(visited)
	slices.SortFunc(r.Endpoints, func(a, b CheckedEndpoint) int { return cmp.Compare(a.Endpoint, b.Endpoint) })
	return r
}

func (r *EndpointReport) add(c CheckedEndpoint) {
	r.Endpoints = append(r.Endpoints, c)
	r.Summary.Endpoints++
	switch {
	case len(c.Findings) > 0 && c.Findings[0].Level == Fault:
		r.Summary.Faulty++
	case len(c.Findings) > 0 && c.Findings[0].Level == Warning:
		r.Summary.Warned++
	default:
		r.Summary.Fine++
	}
	for _, found := range c.Findings {
		if found.Level == Fault {
			r.Summary.Faults++
		}
	}
}

func (r *EndpointReport) addApp(a CheckedApp) {
	if len(a.Findings) == 0 {
		return
	}
	r.Apps = append(r.Apps, a)
	if a.Findings[0].Level != Note {
		r.Summary.Apps++
	}
	for _, found := range a.Findings {
		if found.Level == Fault {
			r.Summary.Faults++
		}
	}
}

// app is an app with all that its endpoints are judged beside.
type app struct {
	name      string
	sources   []carom.Source
	zones     []carom.Zone
	mainOf    map[string]string // the main zone of each sub-zone
	rules     []string
	events    []*carom.Event // the newest, without tests and without those that are held
	endpoints []*subject
}

// subject is one endpoint under examination.
type subject struct {
	e       carom.Endpoint // with its defaults
	dialect *carom.Dialect // of its templates; nil: carom's own
	c       *route.Endpoint
	err     error // why it does not compile; then c is nil
	uses    uses
	host    Host
	app     *app

	passed []*carom.Event // those of the app that it gets
}

// appsOf sorts the configuration by apps, in the order of their names.
func appsOf(f *Facts) []*app {
	objects := f.Objects
	objects.AddSDKSources()
	byName := map[string]*app{}
	of := func(name string) *app {
		a := byName[name]
		if a == nil {
			a = &app{name: name, mainOf: map[string]string{}}
			byName[name] = a
			for _, ev := range f.Events[name] {
				if ev.Held == "" && ev.Flags&carom.FlagTest == 0 {
					a.events = append(a.events, ev)
				}
			}
		}
		return a
	}
	for i := range objects.Apps {
		of(objects.Apps[i].Name)
	}
	for i := range objects.Sources {
		a := of(objects.Sources[i].App)
		a.sources = append(a.sources, objects.Sources[i].WithDefaults())
	}
	for i := range objects.Zones {
		z := objects.Zones[i]
		a := of(z.App)
		a.zones = append(a.zones, z)
		for _, sub := range z.SubZones {
			a.mainOf[sub] = z.ID
		}
	}
	for i := range objects.Rules {
		a := of(objects.Rules[i].App)
		a.rules = append(a.rules, objects.Rules[i].Name)
	}
	for i := range objects.Endpoints {
		a := of(objects.Endpoints[i].App)
		a.endpoints = append(a.endpoints, newSubject(a, objects.Endpoints[i], objects.Dialects))
	}
	list := make([]*app, 0, len(byName))
	for _, a := range byName {
		a.route()
		list = append(list, a)
	}
	slices.SortFunc(list, func(a, b *app) int { return cmp.Compare(a.name, b.name) })
	return list
}

func newSubject(a *app, e carom.Endpoint, dialects []carom.Dialect) *subject {
	s := &subject{e: e.WithDefaults(), app: a}
	s.host, _ = HostOf(&e)
	if i := slices.IndexFunc(dialects, func(d carom.Dialect) bool { return d.Name == e.Dialect }); i >= 0 && e.Dialect != "" {
		s.dialect = &dialects[i]
	}
	if s.c, s.err = route.CompileIn(e, s.dialect); s.err == nil {
		s.uses = usesOf(s.c)
	}
	return s
}

// macro writes one of carom's macros as the endpoint's templates do.
func (s *subject) macro(name string) string { return route.WriteMacro(s.dialect, name) }

// route finds out which of the app's events its endpoints get.
func (a *app) route() {
	var compiled []*route.Endpoint
	of := map[*route.Endpoint]*subject{}
	for _, s := range a.endpoints {
		if s.err == nil {
			compiled = append(compiled, s.c)
			of[s.c] = s
		}
	}
	table := route.NewTable(compiled)
	var matched []*route.Endpoint
	for _, ev := range a.events {
		matched = table.Match(matched[:0], ev)
		for _, c := range matched {
			of[c].passed = append(of[c].passed, ev)
		}
	}
}

// judge gathers all findings about an endpoint, worst first. Of one kind there is at most one: what a visit says goes before what
// attempts said, at the worse level of both.
func (s *subject) judge(f *Facts) []Finding {
	var list []Finding
	for _, check := range []func(*Facts) []Finding{s.judgeSettings, s.judgeFilter, s.judgeVisit, s.judgeHistory} {
		for _, found := range check(f) {
			i := slices.IndexFunc(list, func(o Finding) bool { return o.Kind == found.Kind })
			switch {
			case i < 0:
				list = append(list, found)
			case found.Level.rank() < list[i].Level.rank():
				list[i].Level = found.Level
			}
		}
	}
	return sorted(list)
}

// sorted puts findings in order, worst first; those of a level stay in theirs. It never returns nil.
func sorted(list []Finding) []Finding {
	if list == nil {
		return []Finding{}
	}
	slices.SortStableFunc(list, func(a, b Finding) int { return cmp.Compare(a.Level.rank(), b.Level.rank()) })
	return list
}

// plural writes n with a noun that takes an s.
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}

// quoted lists names, at most five of them.
func quoted(names []string) string {
	const most = 5
	rest := ""
	if len(names) > most {
		rest = " … (" + strconv.Itoa(len(names)) + " in all)"
		names = names[:most]
	}
	shown := make([]string, len(names))
	for i, name := range names {
		shown[i] = clip(name)
	}
	return strings.Join(shown, ", ") + rest
}

// clip shortens text from outside for a finding, and takes out what could move a cursor.
func clip(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return '·'
		}
		return r
	}, strings.ToValidUTF8(s, "·"))
	const most = 100
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "…"
	}
	return s
}
