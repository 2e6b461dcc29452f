package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"carom"
)

// SearchResult is one thing that a search found.
type SearchResult struct {
	Kind   string     `json:"kind" enum:"event,delivery,reward,view,received,unverified,user,zone,source,endpoint,rule,app,attempt"`
	ID     string     `json:"id" doc:"Its id; an unverified postback has none: its source"`
	Title  string     `json:"title"`
	Detail string     `json:"detail"`
	At     time.Time  `json:"at,omitzero" required:"false"`
	App    string     `json:"app,omitempty"`
	Link   SearchLink `json:"link"`

	rank int // the lower, the better
}

// SearchLink says where the dashboard shows a result.
type SearchLink struct {
	Page string `json:"page" enum:"stories,users,zones,sources,endpoints,rules,apps,unverified"`
	ID   string `json:"id"`
}

// SearchResults is what a search found, best first.
type SearchResults struct {
	Results []SearchResult `json:"results" nullable:"false"`
}

// Bounds of one search.
const (
	searchMost     = 50
	searchEach     = 10   // of what one look can find
	searchURLs     = 8    // parameters of a URL that are looked for
	searchAttempts = 200  // newest attempts whose URL is compared
	searchReceived = 1000 // newest refused, and newest unverified postbacks, that are looked through: what they say is in no index, for none of it is certain
)

type searchIn struct {
	Q   string `query:"q" required:"true" minLength:"1" maxLength:"2048" doc:"An id, a ymid, a user, a zone, a URL of a received or a sent postback, or a part of an object's name"`
	App string `query:"app" doc:"Only in this app"`
}

type searchOut struct{ Body SearchResults }

// search finds anything. Ids are found at once, and nothing else is looked for then.
func (s *service) search(ctx context.Context, in *searchIn) (*searchOut, error) {
	q := strings.TrimSpace(in.Q)
	if q == "" {
		return nil, carom.Invalid("q", "say what to look for: an id, a ymid, a user, a zone, a URL or a name")
	}
	app, err := callerOf(ctx).narrow(in.App)
	if err != nil {
		return nil, err
	}
	f := &finder{s: s, ctx: ctx, app: app, seen: map[string]bool{}}
	o := s.Objects.Objects()
	f.objects = &o
	exact, err := f.byID(q)
	if err == nil && !exact {
		err = f.byText(q)
	}
	if err != nil {
		return nil, fmt.Errorf("search: %w", err)
	}
	slices.SortStableFunc(f.found, func(a, b SearchResult) int { return cmp.Or(cmp.Compare(a.rank, b.rank), b.At.Compare(a.At)) })
	out := &searchOut{SearchResults{Results: []SearchResult{}}}
	out.Body.Results = append(out.Body.Results, f.found[:min(len(f.found), searchMost)]...)
	return out, nil
}

// finder gathers what one search finds.
type finder struct {
	s       *service
	ctx     context.Context
	app     string         // that the search is limited to; empty: none, for a caller who may see all
	objects *carom.Objects // of all apps
	found   []SearchResult
	seen    map[string]bool
}

func (f *finder) add(r SearchResult) {
	if key := r.Kind + " " + r.App + " " + r.ID; !f.seen[key] {
		f.seen[key] = true
		f.found = append(f.found, r)
	}
}

// byID looks for what an id names. It says whether q is an id.
func (f *finder) byID(q string) (bool, error) {
	prefix, rest, _ := strings.Cut(q, "_")
	if rest == "" || !slices.Contains([]string{"evt", "dlv", "vw", "rwd", "rcv"}, prefix) {
		return false, nil
	}
	story, err := f.s.getStory(f.ctx, &wholeStoryIn{ID: q})
	switch {
	case errors.Is(err, carom.ErrInvalid): // a ymid may begin so
		return false, nil
	case errors.Is(err, carom.ErrNotFound):
		return true, nil
	case err != nil:
		return false, err
	}
	st := &story.Body
	if f.app != "" && st.App != f.app {
		return true, nil
	}
	r := SearchResult{Kind: st.Kind, ID: st.ID, Title: st.Title, Detail: st.Words, App: st.App, Link: SearchLink{"stories", st.ID}}
	if len(st.Timeline) > 0 {
		r.At = st.Timeline[0].At
	}
	f.add(r)
	return true, nil
}

// byText looks for what is no id: a name, a URL or a value, and whatever was received and holds it.
func (f *finder) byText(q string) error {
	u := asURL(q)
	var received []SearchResult
	g, ctx := errgroup.WithContext(f.ctx) // the store is asked for what was received beside all else
	if f.may("list-received") {
		g.Go(func() (err error) {
			received, err = f.holding(ctx, wanted(u, q))
			return err
		})
	}
	g.Go(func() error {
		if f.byName(q); u != nil {
			return f.byURL(u, q)
		}
		return f.byValue(q, 10)
	})
	if err := g.Wait(); err != nil {
		return err
	}
	for _, r := range received {
		f.add(r)
	}
	return nil
}

// may says whether who asks may call another operation as well, which shows what this search would find.
func (f *finder) may(operation string) bool {
	return classOf(operation)&callerOf(f.ctx).class() != 0
}

// wanted is what a received postback is to hold: of a URL its query, as the host is not kept and the token in the path is masked.
func wanted(u *url.URL, q string) string {
	if u != nil && u.RawQuery != "" {
		return u.RawQuery
	}
	return q
}

// holding looks through the newest received postbacks that became no event for those in which text stands.
func (f *finder) holding(ctx context.Context, text string) ([]SearchResult, error) {
	refused, err := f.s.Store.Refused(ctx, carom.RefusedFilter{App: f.app, Limit: searchReceived})
	if err != nil {
		return nil, fmt.Errorf("look through refused postbacks: %w", err)
	}
	unverified, err := f.s.Store.Unverified(ctx, f.app, "", searchReceived)
	if err != nil {
		return nil, fmt.Errorf("look through unverified postbacks: %w", err)
	}
	var found []SearchResult
	for _, r := range refused {
		if len(found) < searchEach && holds(&r.Received, text) {
			found = append(found, SearchResult{Kind: "received", ID: string(r.ID), Title: "refused postback of " + r.App + "/" + r.Source,
				Detail: "refused (" + string(r.Reason) + "): " + r.Detail, At: r.Received.At.UTC(), App: r.App, Link: SearchLink{"stories", string(r.ID)}, rank: 40})
		}
	}
	of := map[string]bool{} // sources whose newest one is found: none has an id, and so no page, of its own
	for _, u := range unverified {
		if source := u.App + "/" + u.Source; len(of) < searchEach && !of[source] && holds(&u.Received, text) {
			of[source] = true
			if u.Source == "" {
				source = "no source"
			}
			found = append(found, SearchResult{Kind: "unverified", ID: source, Title: "unverified postback of " + source, Detail: "unverified (" + string(u.Reason) + "): it proved nothing, so it counts for nothing",
				At: u.Received.At.UTC(), App: u.App, Link: SearchLink{"unverified", source}, rank: 41})
		}
	}
	return found, nil
}

// holds says whether text stands in what was received, as it was sent or with its escapes undone.
func holds(r *carom.Received, text string) bool {
	for _, sent := range []string{r.Path, r.RawQuery, string(r.Body)} {
		if strings.Contains(sent, text) {
			return true
		}
		for part := range strings.SplitSeq(sent, "&") { // each alone: a part that is escaped wrongly hides no other
			if plain, err := url.QueryUnescape(part); err == nil && strings.Contains(plain, text) {
				return true
			}
		}
	}
	return false
}

// byName looks through the objects.
func (f *finder) byName(q string) {
	q = strings.ToLower(q)
	look := func(kind, page, app, name, id, title, detail string) {
		if f.app != "" && app != f.app {
			return
		}
		rank := 30
		switch lower := strings.ToLower(name); {
		case lower == q || strings.ToLower(id) == q:
			rank = 1
		case strings.HasPrefix(lower, q):
			rank = 20
		case !strings.Contains(strings.ToLower(id), q) && !strings.Contains(strings.ToLower(title), q):
			return
		}
		f.add(SearchResult{Kind: kind, ID: id, Title: cmp.Or(title, id), Detail: detail, App: app, Link: SearchLink{page, id}, rank: rank})
	}
	for i := range f.objects.Apps {
		a := &f.objects.Apps[i]
		look("app", "apps", a.Name, a.Name, a.Name, "", "app"+orNothing(" of publisher ", a.Publisher))
	}
	for i := range f.objects.Sources {
		src := &f.objects.Sources[i]
		look("source", "sources", src.App, src.Name, src.ID(), "", "source of "+src.Profile)
	}
	for i := range f.objects.Endpoints {
		e := &f.objects.Endpoints[i]
		look("endpoint", "endpoints", e.App, e.Name, e.ID(), "", maskURL(e.URL))
	}
	for i := range f.objects.Rules {
		r := &f.objects.Rules[i]
		look("rule", "rules", r.App, r.Name, r.App+"/"+r.Name, "", "rule")
	}
	for i := range f.objects.Zones {
		z := &f.objects.Zones[i]
		look("zone", "zones", z.App, z.ID, z.App+"/"+z.ID, z.Title, "zone")
		for format, id := range z.SubZones {
			if id == q {
				look("zone", "zones", z.App, id, z.App+"/"+z.ID, z.Title, "zone, whose sub-zone for "+string(format)+" this is")
			}
		}
	}
}

func orNothing(before, text string) string {
	if text == "" {
		return ""
	}
	return before + text
}

// byValue looks for events by a ymid, a user and a zone, for rewards of a user and for views.
func (f *finder) byValue(q string, rank int) error {
	found, err := f.lookUp(q)
	if err != nil {
		return err
	}
	for _, ev := range found.ymid {
		f.addEvent(ev, rank+2)
	}
	newest := map[string]*carom.Event{} // of the user, by app
	for _, ev := range found.user {
		if newest[ev.App] == nil {
			newest[ev.App] = ev
		}
		f.addEvent(ev, rank+2)
	}
	for _, ev := range found.zone {
		f.add(SearchResult{Kind: "zone", ID: ev.App + "/" + q, Title: "zone " + q + " of " + ev.App, Detail: "its newest event came " + stamp(ev.At), At: ev.At.UTC(),
			App: ev.App, Link: SearchLink{"zones", ev.App + "/" + q}, rank: rank + 1})
	}
	for app, ev := range newest {
		f.addUser(app, q, "the newest event came "+stamp(ev.At), ev.At, rank)
	}
	for _, list := range found.rewards {
		for _, r := range list {
			f.addUser(r.App, q, "the newest reward is of "+stamp(r.At), r.At, rank)
			f.add(SearchResult{Kind: "reward", ID: string(r.ID), Title: r.Amount.String() + " " + r.Currency + " for user " + r.User, Detail: string(r.State), At: r.At.UTC(),
				App: r.App, Link: SearchLink{"stories", string(r.ID)}, rank: rank + 3})
		}
	}
	for _, v := range found.views {
		f.add(SearchResult{Kind: "view", ID: string(v.ID), Title: "view of user " + v.User, Detail: "opened " + stamp(v.OpenedAt), At: v.OpenedAt.UTC(), App: v.App,
			Link: SearchLink{"stories", string(v.ID)}, rank: rank})
	}
	return nil
}

// lookedUp is what the store has under a value.
type lookedUp struct {
	ymid, user, zone []*carom.Event
	rewards          [][]*carom.Reward // of the user, by app
	views            []*carom.View
}

// lookUp asks the store several things at once: a database on another machine answers each only after a while.
func (f *finder) lookUp(q string) (found lookedUp, err error) {
	const (
		apps   = 20 // in which rewards of a user are looked for
		atOnce = 4
	)
	g, ctx := errgroup.WithContext(f.ctx)
	g.SetLimit(atOnce)
	for _, by := range []struct {
		into *[]*carom.Event
		f    carom.EventFilter
	}{{&found.ymid, carom.EventFilter{YMID: q}}, {&found.user, carom.EventFilter{User: q}}, {&found.zone, carom.EventFilter{Zone: q}}} {
		by.f.App, by.f.Limit = f.app, searchEach
		g.Go(func() (err error) {
			*by.into, _, err = f.s.Store.FindEvents(ctx, by.f)
			return err
		})
	}
	g.Go(func() (err error) {
		found.views, _, err = f.s.Store.Views(ctx, carom.ViewFilter{App: f.app, YMID: q, Limit: searchEach})
		return err
	})
	of := []string{f.app}
	if f.app == "" {
		of = of[:0]
		for i := range f.objects.Apps[:min(len(f.objects.Apps), apps)] {
			of = append(of, f.objects.Apps[i].Name)
		}
	}
	found.rewards = make([][]*carom.Reward, len(of))
	for i, app := range of {
		g.Go(func() (err error) {
			found.rewards[i], err = f.s.Store.Rewards(ctx, carom.RewardFilter{App: app, User: q, Limit: 3})
			return err
		})
	}
	err = g.Wait() // before found is read
	return found, err
}

func (f *finder) addUser(app, user, detail string, at time.Time, rank int) {
	f.add(SearchResult{Kind: "user", ID: app + "/" + user, Title: "user " + user + " of " + app, Detail: detail, At: at.UTC(), App: app,
		Link: SearchLink{"users", app + "/" + user}, rank: rank})
}

func (f *finder) addEvent(ev *carom.Event, rank int) {
	detail := "ymid " + ev.YMID
	if ev.YMID == "" {
		detail = "without a ymid"
	}
	f.add(SearchResult{Kind: "event", ID: string(ev.ID), Title: eventTitle(ev), Detail: detail, At: ev.At.UTC(), App: ev.App,
		Link: SearchLink{"stories", string(ev.ID)}, rank: rank})
}

// asURL reads q as a URL, or as the path and query of one; nil when it is neither.
func asURL(q string) *url.URL {
	if strings.ContainsAny(q, " \t\n") || !strings.Contains(q, "://") && !strings.HasPrefix(q, "/") && !strings.Contains(q, "?") && !strings.Contains(q, ".") {
		return nil
	}
	text := q
	if !strings.Contains(q, "://") && !strings.HasPrefix(q, "/") && !strings.HasPrefix(q, "?") {
		text = "//" + q // a host without its scheme
	}
	u, err := url.Parse(text)
	if err != nil {
		return nil
	}
	return u
}

// byURL looks for the source that a URL leads to, the endpoints whose template or whose newest attempts have it, and the events that
// its parameters name.
func (f *finder) byURL(u *url.URL, q string) error {
	if parts := strings.Split(strings.Trim(u.Path, "/"), "/"); len(parts) >= 3 && parts[0] == "in" {
		for i := range f.objects.Sources {
			if src := &f.objects.Sources[i]; src.App == parts[1] && src.Name == parts[2] && (f.app == "" || f.app == src.App) {
				f.add(SearchResult{Kind: "source", ID: src.ID(), Title: src.ID(), Detail: "receives this URL", App: src.App, Link: SearchLink{"sources", src.ID()}, rank: 1})
			}
		}
	}
	if u.Host != "" {
		if err := f.byHost(u, q); err != nil {
			return err
		}
	}
	looked := map[string]bool{}
	for _, values := range u.Query() {
		for _, value := range values {
			if value == "" || len(value) < 3 || looked[value] || len(looked) >= searchURLs {
				continue
			}
			looked[value] = true
			list, _, err := f.s.Store.FindEvents(f.ctx, carom.EventFilter{App: f.app, YMID: value, Limit: searchEach})
			if err != nil {
				return err
			}
			for _, ev := range list {
				f.addEvent(ev, 5)
			}
		}
	}
	if u.RawQuery == "" && u.Path == "" || u.Host == "" && !strings.HasPrefix(q, "/") { // a word with a dot may be a ymid or a user
		return f.byValue(q, 10)
	}
	return nil
}

// byHost looks for endpoints of a host, and for attempts whose URL holds what is looked for.
func (f *finder) byHost(u *url.URL, q string) error {
	for i := range f.objects.Endpoints {
		e := &f.objects.Endpoints[i]
		_, after, _ := strings.Cut(e.URL, "://")
		host, _, _ := strings.Cut(after, "/")
		host, _, _ = strings.Cut(host, "?")
		if (f.app != "" && e.App != f.app) || !strings.Contains(strings.ToLower(host), strings.ToLower(u.Host)) {
			continue
		}
		f.add(SearchResult{Kind: "endpoint", ID: e.ID(), Title: e.ID(), Detail: maskURL(e.URL), App: e.App, Link: SearchLink{"endpoints", e.ID()}, rank: 2})
		if u.RawQuery == "" && len(u.Path) <= 1 {
			continue // the host alone is no reason to look at what was sent
		}
		list, _, err := f.s.Store.SentAttempts(f.ctx, carom.AttemptFilter{App: e.App, Endpoint: e.No, Limit: searchAttempts})
		if err != nil {
			return err
		}
		for i := range list {
			if a := &list[i]; strings.Contains(a.URL, strings.TrimPrefix(strings.TrimPrefix(q, "https://"), "http://")) {
				f.add(SearchResult{Kind: "attempt", ID: fmt.Sprintf("%s.%d", a.Delivery, a.Number), Title: a.Method + " " + a.URL, Detail: attemptWords(a.Endpoint, &a.Attempt),
					At: a.At.UTC(), App: e.App, Link: SearchLink{"stories", string(a.Delivery)}, rank: 4})
			}
		}
	}
	return nil
}
