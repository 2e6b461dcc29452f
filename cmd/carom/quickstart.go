package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"carom"
	"carom/internal/api"

	"github.com/spf13/cobra"
)

// defaultTemplate is the query that is entered at Monetag when the publisher has none: all of its macros, each by its own name.
const defaultTemplate = "ymid={ymid}&zone_id={zone_id}&sub_zone_id={sub_zone_id}&request_var={request_var}&telegram_id={telegram_id}" +
	"&event_type={event_type}&reward_event_type={reward_event_type}&estimated_price={estimated_price}"

// quickstart is what connects one Monetag app.
type quickstart struct {
	template string // the postback URL as it is at the network today; may be empty
	backend  string // where events go
	ymid     string // view, session or user
	app      string
	baseURL  string // of this server, as the network sees it
	yes      bool
}

// The names of what a quickstart makes in the app.
const (
	quickSource   = "monetag"
	quickEndpoint = "backend"
)

func (c *cli) quickstartCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "quickstart NETWORK",
		Short:   "Connect an app to a network in three questions",
		Example: "  carom quickstart monetag",
		Args:    cobra.NoArgs,
	}
	var q quickstart
	monetag := &cobra.Command{
		Use:   "monetag",
		Short: "Connect a Monetag app: your postback URL today, your backend, what your ymid is",
		Long: `Makes an app with a source for Monetag and an endpoint for your backend, prints the URL to enter at Monetag, sends a test
postback through it and shows its story. What the flags do not say is asked.`,
		Example: `  carom quickstart monetag
  carom quickstart monetag --yes --app game --ymid user --backend http://127.0.0.1:3000/postback \
    --template 'https://game.example.com/postback?uid={ymid}&event={event_type}'`,
		Args: cobra.NoArgs,
		RunE: run(func(ctx context.Context, _ []string) error { return c.quickstart(ctx, q) }),
	}
	f := monetag.Flags()
	f.StringVar(&q.template, "template", "", "your postback URL at Monetag today, with its macros")
	f.StringVar(&q.backend, "backend", "", "URL of your backend; it may be on this machine")
	f.StringVar(&q.ymid, "ymid", "", "what your ymid is: view (unique for each showing), session or user")
	f.StringVar(&q.app, "app", "app", "a name for the app")
	f.StringVar(&q.baseURL, "base-url", "", "this server's URL as the network sees it")
	f.BoolVar(&q.yes, "yes", false, "do not ask: what no flag says is as proposed")
	cmd.AddCommand(monetag)
	return cmd
}

func (c *cli) quickstart(ctx context.Context, q quickstart) error {
	cl, err := c.client()
	if err != nil {
		return err
	}
	have, err := cl.objects(ctx)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(have.Sources, func(s api.Source) bool { return s.App == q.app && s.Name == quickSource }) {
		return &exitError{exitProblem, fmt.Errorf("the app %s has a source %s already: give another --app, or make a new URL for it with `carom rotate %s/%s`",
			q.app, quickSource, q.app, quickSource)}
	}
	if err := c.askQuickstart(&q); err != nil {
		return err
	}
	if err := q.check(); err != nil {
		return err
	}
	yaml := q.yaml()
	if have.File != "" {
		_, _ = fmt.Fprint(c.out, yaml)
		return &exitError{exitProblem, fmt.Errorf("the objects come from %s and are read-only here: add the lines above to it", have.File)}
	}
	_, _ = fmt.Fprintf(c.errOut, "\nThis is put in force:\n\n%s\n", indent(yaml))
	if !q.yes {
		if err := c.confirm("Go on?"); err != nil {
			return err
		}
	}
	done, err := cl.apply(ctx, []byte(yaml), false, false)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(done.Made, func(m api.MadeSecret) bool { return m.Source == q.app+"/"+quickSource })
	if i < 0 {
		return fmt.Errorf("the server made no URL for the source: make one with `carom rotate %s/%s`", q.app, quickSource)
	}
	paste, err := q.paste(done.Made[i].URL)
	if err != nil {
		return err
	}
	return c.tryOut(ctx, cl, &q, paste)
}

// askQuickstart asks for what the flags do not say.
func (c *cli) askQuickstart(q *quickstart) error {
	if q.yes {
		if q.backend == "" {
			q.backend = q.template
		}
		if q.ymid == "" {
			q.ymid = string(carom.YMIDView)
		}
		if q.backend == "" {
			return usagef("--backend is missing: where shall events go?")
		}
		return nil
	}
	for _, question := range []struct {
		text, absent, flag string
		to                 *string
	}{
		{"Your postback URL at Monetag today, with its macros (empty if there is none):", "", "--template", &q.template},
		{"The URL of your backend (empty: the one in that URL):", "", "--backend", &q.backend},
		{"What is your ymid: view (unique for each showing), session or user? [view]", "view", "--ymid", &q.ymid},
	} {
		if *question.to != "" {
			continue
		}
		answer, err := c.ask(question.text, question.absent, question.flag+" and --yes")
		if err != nil {
			return err
		}
		*question.to = answer
	}
	if q.backend == "" {
		q.backend = q.template
	}
	return nil
}

// check says what is wrong with the answers before the server is asked.
func (q *quickstart) check() error {
	if err := carom.CheckName("--app", q.app); err != nil {
		return usagef("%w", err)
	}
	if q.backend == "" {
		return usagef("--backend is missing: where shall events go?")
	}
	if !slices.Contains([]carom.YMIDKind{carom.YMIDView, carom.YMIDSession, carom.YMIDUser}, carom.YMIDKind(q.ymid)) {
		return usagef("--ymid is view, session or user, not %q", q.ymid)
	}
	u, err := url.Parse(withoutQuery(q.backend))
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return usagef("the backend needs a URL such as http://127.0.0.1:3000/postback")
	}
	return nil
}

// yaml writes the objects file of the app.
func (q *quickstart) yaml() string {
	endpoint := q.endpointURL()
	var b strings.Builder
	fmt.Fprintf(&b, "apps:\n  %s:\n    sources:\n      %s:\n        profile: monetag\n        ymid: %s\n", q.app, quickSource, q.ymid)
	if q.template != "" {
		fmt.Fprintf(&b, "        template: %s\n", quoted("?"+q.sourceTemplate()))
	}
	fmt.Fprintf(&b, "    endpoints:\n      %s:\n        url: %s\n        filter:\n          values: [valued]\n", quickEndpoint, quoted(endpoint))
	if isLocal(endpoint) {
		b.WriteString("        allow_private: true\n")
	}
	return b.String()
}

// sourceTemplate is the query to enter at the network: the parameters of the publisher's template that a macro fills, and the
// macros that it lacks, since carom needs them to tell events apart. Parameters with a text of their own belong to the
// backend alone.
func (q *quickstart) sourceTemplate() string {
	_, query, _ := strings.Cut(braces(q.template), "?")
	var params []string
	taken := map[string]bool{}
	for p := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(p, "=")
		if strings.Contains(value, "{") {
			params, taken[name] = append(params, p), true
		}
	}
	for p := range strings.SplitSeq(defaultTemplate, "&") {
		name, value, _ := strings.Cut(p, "=")
		present := slices.ContainsFunc(params, func(p string) bool { return strings.HasSuffix(p, "="+value) })
		for taken[name] && !present {
			name = "carom_" + name
		}
		if !present {
			params, taken[name] = append(params, name+"="+value), true
		}
	}
	return strings.Join(params, "&")
}

// endpointURL is where events go: the backend with macros. A backend without any gets those that the publisher's template
// has, so that it receives what it receives today.
func (q *quickstart) endpointURL() string {
	backend, template := braces(q.backend), braces(q.template)
	if strings.Contains(backend, "{") {
		return backend
	}
	_, query, _ := strings.Cut(template, "?")
	if query == "" {
		query = defaultTemplate
	}
	if strings.Contains(backend, "?") {
		return backend + "&" + query
	}
	return backend + "?" + query
}

// paste is the URL to enter at the network, from the one that the server made.
func (q *quickstart) paste(made string) (string, error) {
	if !strings.Contains(made, "?") {
		query := defaultTemplate
		if q.template != "" {
			query = q.sourceTemplate()
		}
		made += "?" + query
	}
	if q.baseURL == "" {
		return made, nil
	}
	return rebase(made, q.baseURL)
}

// tryOut prints the URL, sends a test postback through it and shows what became of it.
func (c *cli) tryOut(ctx context.Context, cl *client, q *quickstart, paste string) error {
	_, _ = fmt.Fprintf(c.errOut, "Enter this URL at Monetag as your postback URL. It is shown only now:\n\n  %s\n\n", paste)
	if strings.HasPrefix(paste, "/") {
		_, _ = fmt.Fprintln(c.errOut, "Put this server's public address before it, such as https://carom.example.com; `carom serve --base-url` does so by itself.")
	}
	ymid := "test-" + strings.ToLower(rand.Text()[:8])
	base, query, _ := strings.Cut(paste, "?")
	_, _ = fmt.Fprintf(c.errOut, "Sending a test through it: a paid click with the ymid %s ...\n", ymid)
	answer, err := c.knock(ctx, base+"?"+fill(query, newTestValues(ymid)))
	if err != nil {
		return fmt.Errorf("everything is set up, but the test could not be sent: %w", err)
	}
	if answer.Status != http.StatusOK {
		return fmt.Errorf("everything is set up, but the test was answered %d %s: is %s this server?", answer.Status, plain(answer.Body), hostOf(base))
	}
	st, err := c.waitForStory(ctx, cl, q.app, ymid)
	if err != nil {
		return err
	}
	result := struct {
		URL   string    `json:"url"`
		Story api.Story `json:"story"`
	}{paste, st}
	if err := c.print(result, func(w io.Writer) {
		_, _ = fmt.Fprintln(w)
		writeStory(w, &st)
	}); err != nil {
		return err
	}
	for _, d := range st.Deliveries {
		if d.State != carom.Delivered {
			return &exitError{exitProblem, fmt.Errorf("the test arrived here, and your backend did not take it yet: repair it, then `carom resume %s`", d.Endpoint)}
		}
	}
	_, _ = fmt.Fprintln(c.errOut, "\nIt works. From now on: carom status, carom show, carom tail")
	return nil
}

// waitForStory waits up to ten seconds for the test's event to have an attempt at each endpoint, and returns what there is.
func (c *cli) waitForStory(ctx context.Context, cl *client, app, ymid string) (st api.Story, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		list, err := cl.events(ctx, selector{app: app, ymid: ymid, limit: 1})
		if err == nil && len(list.Events) == 1 {
			st, err = cl.story(ctx, list.Events[0].ID)
		}
		waiting := slices.ContainsFunc(st.Deliveries, func(d api.Delivery) bool { return len(d.Attempts) == 0 && d.State == carom.Pending })
		if err == nil && st.Event.ID != "" && !waiting {
			return st, nil
		}
		var problem *api.Problem
		if errors.As(err, &problem) {
			return st, err
		}
		select {
		case <-ctx.Done():
			if st.Event.ID != "" {
				return st, nil
			}
			return st, fmt.Errorf("the test was answered 200, and does not show up: look at `carom show --refused` and the server's log")
		case <-tick.C:
		}
	}
}

// braces undoes the percent-encoding of a macro's braces, which address bars and panels like to add.
func braces(template string) string {
	return strings.NewReplacer("%7B", "{", "%7b", "{", "%7D", "}", "%7d", "}").Replace(strings.TrimSpace(template))
}

func withoutQuery(u string) string {
	base, _, _ := strings.Cut(u, "?")
	return base
}

func hostOf(u string) string {
	p, err := url.Parse(withoutQuery(u))
	if err != nil || p.Host == "" {
		return "it"
	}
	return p.Host
}

// isLocal says whether a URL leads to this machine or a private network, which an endpoint must be allowed to.
func isLocal(u string) bool {
	p, err := url.Parse(withoutQuery(u))
	if err != nil {
		return false
	}
	host := p.Hostname()
	if addr, err := netip.ParseAddr(host); err == nil {
		addr = addr.Unmap()
		return addr.IsLoopback() || addr.IsPrivate() || addr.IsLinkLocalUnicast()
	}
	return host == "localhost" || !strings.Contains(host, ".") || strings.HasSuffix(host, ".local") || strings.HasSuffix(host, ".internal") ||
		strings.HasSuffix(host, ".localhost")
}

// quoted writes text as a YAML scalar: a JSON string is one.
func quoted(s string) string {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) // a string always encodes
	return strings.TrimSpace(b.String())
}

func indent(text string) string {
	return "  " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n  ") + "\n"
}
