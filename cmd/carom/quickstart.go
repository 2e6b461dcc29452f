package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"carom"
	"carom/internal/api"
	"carom/internal/network"
	"carom/internal/route"

	"github.com/spf13/cobra"
)

// quickstart is what connects one app to one network.
type quickstart struct {
	network  *network.Profile
	template string // the postback URL as it is at the network today; may be empty
	backend  string // where events go
	ymid     string // view, session or user
	app      string
	baseURL  string // of this server, as the network sees it
	yes      bool

	keyFile string // holds the network's key; "-" is the standard input
	key     string // that the network signs with or sends
	noKey   bool   // it has one, and the operator does not know it yet
}

func (c *cli) quickstartCommand() *cobra.Command {
	var q quickstart
	var profiles string
	cmd := &cobra.Command{
		Use:   "quickstart NETWORK",
		Short: "Connect an app to a network in three questions",
		Long: `Makes an app with a source for the network (monetag, admob, unityads, …: ` + "`carom networks`" + ` lists them) and an endpoint for
your backend, prints the URL to enter at the network, sends a test postback through it and shows its story. It asks for your
postback URL today, your backend, what your ymid is, and for the network's key where there is one; with --yes nothing is
asked, and what no flag says is as proposed.

Some networks hand out their key only after they know your URL. Leave it away then: nothing is believed until you enter it
with the same command and --key-file.`,
		Example: `  carom quickstart monetag
  carom quickstart monetag --yes --app game --ymid user --backend http://127.0.0.1:3000/postback \
    --template 'https://game.example.com/postback?uid={ymid}&event={event_type}'
  carom quickstart unityads --yes --app game --backend https://game.example.com/unity
  carom quickstart unityads --yes --app game --key-file unity.key`,
		Args: cobra.ExactArgs(1),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			list, err := c.profiles(profiles)
			if err != nil {
				return nil, cobra.ShellCompDirectiveError
			}
			return slices.Sorted(maps.Keys(list)), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: run(func(ctx context.Context, args []string) error {
			list, err := c.profiles(profiles)
			if err != nil {
				return err
			}
			if q.network = list[args[0]]; q.network == nil {
				return usagef("%q is not a network that carom knows: `carom networks` lists them", args[0])
			}
			return c.quickstart(ctx, &q)
		}),
	}
	f := cmd.Flags()
	f.StringVar(&q.template, "template", "", "your postback URL at the network today, with its macros")
	f.StringVar(&q.backend, "backend", "", "URL of your backend; it may be on this machine")
	f.StringVar(&q.ymid, "ymid", "", "what your ymid is: view (unique for each showing), session or user")
	f.StringVar(&q.app, "app", "app", "a name for the app")
	f.StringVar(&q.baseURL, "base-url", "", "this server's URL as the network sees it")
	f.StringVar(&q.keyFile, "key-file", "", "file with the key that the network signs with or sends; - is the standard input")
	f.StringVar(&profiles, "profiles", "", profilesHelp)
	f.BoolVar(&q.yes, "yes", false, "do not ask: what no flag says is as proposed")
	for _, name := range slices.Sorted(maps.Keys(proxyNames)) {
		cmd.AddCommand(c.quickstartProxyCommand(name))
	}
	return cmd
}

// source is the name of the source that the quickstart makes.
func (q *quickstart) source() string { return q.network.Name }

func (c *cli) quickstart(ctx context.Context, q *quickstart) error {
	cl, err := c.client()
	if err != nil {
		return err
	}
	if err := c.readKey(q); err != nil {
		return err
	}
	have, err := cl.source(ctx, q.app, q.source())
	var problem *api.Problem
	switch {
	case err == nil && q.key != "":
		return c.enterKey(ctx, cl, q, have)
	case err == nil:
		return &exitError{exitProblem, fmt.Errorf("the app %[1]s has a source %[2]s already: give another --app, or make a new URL for it with `carom rotate %[1]s/%[2]s`",
			q.app, q.source())}
	case !errors.As(err, &problem) || problem.Status != http.StatusNotFound:
		return err
	}
	if err := c.askQuickstart(q); err != nil {
		return err
	}
	if err := q.check(); err != nil {
		return err
	}
	plan, err := cl.quickstart(ctx, q.answers(), true)
	if err != nil {
		return err
	}
	if plan.File != "" {
		_, _ = fmt.Fprint(c.out, plan.Lines)
		return &exitError{exitProblem, fmt.Errorf("the objects come from %s and are read-only here: add the lines above to it", plan.File)}
	}
	_, _ = fmt.Fprintf(c.errOut, "\nThis is put in force:\n\n%s\n", indent(plan.Lines))
	if !q.yes {
		if err := c.confirm("Go on?"); err != nil {
			return err
		}
	}
	done, err := cl.quickstart(ctx, q.answers(), false)
	if err != nil {
		return err
	}
	c.showURL(q, done.URL)
	return c.tryOut(ctx, cl, q, done.URL)
}

// answers are what the server makes the objects of.
func (q *quickstart) answers() api.Quickstart {
	return api.Quickstart{
		Network: q.network.Name, App: q.app, BaseURL: q.baseURL, Template: q.template, Backend: q.backend, YMID: q.ymid, Key: q.key, NoKey: q.noKey,
	}
}

// readKey reads the network's key from its file.
func (c *cli) readKey(q *quickstart) error {
	if q.keyFile == "" {
		return nil
	}
	if !q.network.NeedsNetworkSecret() {
		return usagef("--key-file: %s has no key: leave it away", q.network.Title)
	}
	text, err := c.readFile(q.keyFile)
	if err != nil {
		return err
	}
	if q.key = strings.TrimSpace(string(text)); q.key == "" {
		return usagef("--key-file %s is empty: write the key into it as the network shows it", q.keyFile)
	}
	return nil
}

// enterKey gives a source that is there the key that its network has handed out since.
func (c *cli) enterKey(ctx context.Context, cl *client, q *quickstart, have api.SourceObject) error {
	have.NetworkSecret = &q.key
	if _, err := cl.putSource(ctx, have); err != nil {
		return err
	}
	_, _ = fmt.Fprintf(c.errOut, "The key is entered: from now on %s/%s verifies what %s signs with it.\n", q.app, q.source(), q.network.Title)
	if len(have.Secrets) > 0 {
		return nil // the secret in its URL is not known here, so no test gets through
	}
	q.ymid, q.template = have.YMID, have.Template
	return c.tryOut(ctx, cl, q, strings.TrimSuffix(q.baseURL, "/")+"/in/"+q.app+"/"+q.source())
}

// askQuickstart asks for what the flags do not say.
func (c *cli) askQuickstart(q *quickstart) error {
	title, wantsYMID := q.network.Title, slices.Contains(q.network.Fields(), "ymid")
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
		q.noKey = q.network.NeedsNetworkSecret() && q.key == ""
		return nil
	}
	for _, question := range []struct {
		text, absent, flag string
		to                 *string
		skip               bool
	}{
		{"Your postback URL at " + title + " today, with its macros (empty if there is none):", "", "--template", &q.template, q.network.Template == ""},
		{"The URL of your backend (empty: the one in that URL):", "", "--backend", &q.backend, q.network.Template == ""},
		{"The URL of your backend:", "", "--backend", &q.backend, q.network.Template != ""},
		{"What is your ymid: view (unique for each showing), session or user? [view]", "view", "--ymid", &q.ymid, !wantsYMID},
		{"The key that " + title + " gave you (empty: none yet):", "", "--key-file", &q.key, !q.network.NeedsNetworkSecret()},
	} {
		if question.skip || *question.to != "" {
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
	if q.ymid == "" {
		q.ymid = string(carom.YMIDView)
	}
	q.noKey = q.network.NeedsNetworkSecret() && q.key == ""
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
	if q.template != "" && q.network.Template == "" {
		return usagef("--template: %s has no macros, and adds its parameters by itself: leave it away", q.network.Title)
	}
	return nil
}

// showURL prints the URL, and what to do with it.
func (c *cli) showURL(q *quickstart, paste string) {
	title := q.network.Title
	if q.network.Message != "" {
		_, _ = fmt.Fprintf(c.errOut, "%s enters the URL for you. Send your contact there:\n\n%s\n", title,
			indent(strings.ReplaceAll(q.network.Message, "{url}", paste)))
	} else {
		_, _ = fmt.Fprintf(c.errOut, "Enter this URL at %s as your postback URL. It is shown only now:\n\n  %s\n\n", title, paste)
	}
	switch {
	case strings.HasPrefix(paste, "/"):
		_, _ = fmt.Fprintln(c.errOut, "Put this server's public address before it, such as https://carom.example.com; `carom serve --base-url` does so by itself.")
	case strings.HasPrefix(paste, "http://"):
		_, _ = fmt.Fprintln(c.errOut, "Networks have to reach it, over HTTPS: `carom serve --domain NAME` gets a certificate by itself; behind a web server that is there\n"+
			"already, `carom quickstart nginx` (or caddy) prints the lines for it.")
	}
	if q.network.OwnID != "" {
		_, _ = fmt.Fprintf(c.errOut, "In the app: %s\n", q.network.OwnID)
	}
	if q.noKey {
		_, _ = fmt.Fprintf(c.errOut, "Nothing is believed until you enter the key that %s signs with:\n\n  carom quickstart %s --app %s --key-file FILE\n\n",
			title, q.network.Name, q.app)
	}
}

// tryOut sends a test postback through the URL and shows what became of it.
func (c *cli) tryOut(ctx context.Context, cl *client, q *quickstart, paste string) error {
	if q.noKey {
		return nil
	}
	id := "test-" + strings.ToLower(rand.Text()[:8])
	test, by, err := q.test(paste, id, c.now())
	if errors.Is(err, carom.ErrInvalid) {
		_, _ = fmt.Fprintf(c.errOut, "\nOnly %s itself can send what verifies here: have it send a test (%s), then: carom show --app %s\n",
			q.network.Title, q.network.Docs, q.app)
		return nil
	}
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintf(c.errOut, "Sending a test through it, as %s would: a paid event with the id %s ...\n", q.network.Title, id)
	answer, err := c.knock(ctx, test.target, test.header)
	if err != nil {
		return fmt.Errorf("everything is set up, but the test could not be sent: %w", err)
	}
	if answer.Status != http.StatusOK {
		return fmt.Errorf("everything is set up, but the test was answered %d %s: is %s this server?", answer.Status, plain(answer.Body), hostOf(paste))
	}
	by.app, by.limit = q.app, 1
	st, err := c.waitForStory(ctx, cl, by)
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

// testPostback is one that the network could have sent.
type testPostback struct {
	target string
	header http.Header
}

// test makes a test postback to the URL that the network calls, and says how its event is found.
//
// It returns carom.ErrInvalid when only the network itself can make one.
func (q *quickstart) test(paste, id string, now time.Time) (testPostback, selector, error) {
	base, query, _ := strings.Cut(paste, "?")
	u, err := url.Parse(base)
	if err != nil {
		return testPostback{}, selector{}, usagef("the URL cannot be read: check --base-url")
	}
	s := carom.Source{App: q.app, Name: q.source(), YMID: carom.YMIDKind(q.ymid), Template: query}
	if parts := strings.Split(strings.Trim(u.Path, "/"), "/"); len(parts) == 4 {
		s.Secrets = []carom.SecretSum{{Sum: sha256.Sum256([]byte(parts[3]))}}
	}
	if q.key != "" {
		s.NetworkSecrets = []carom.SigningSecret{{Key: carom.Masked(q.key)}}
	}
	var names route.Names
	if query != "" && q.network.Template != "" {
		if names, err = route.ReadBackwards("?"+query, route.Notation{Macros: q.network.Macros(), Complete: q.network.Complete}); err != nil {
			return testPostback{}, selector{}, usagef("--template: %w", err)
		}
	}
	public := u.Scheme + "://" + u.Host
	if u.Host == "" {
		public = "http://127.0.0.1"
	}
	b, err := q.network.Bind(s, names.Params, names.Static, public)
	if err != nil {
		return testPostback{}, selector{}, err
	}
	r, err := b.Sample(id, u.EscapedPath(), "", now)
	if err != nil {
		return testPostback{}, selector{}, err
	}
	by := selector{user: "1"}
	if values, err := url.ParseQuery(r.RawQuery); err == nil {
		switch {
		case values.Get(b.Param("ymid")) != "":
			by = selector{ymid: id}
		case values.Get(b.Param("user_id")) != "":
			by = selector{user: id}
		}
	}
	return testPostback{base + "?" + r.RawQuery, r.Header}, by, nil
}

// waitForStory waits up to ten seconds for the test's event to have an attempt at each endpoint, and returns what there is.
func (c *cli) waitForStory(ctx context.Context, cl *client, by selector) (st api.Story, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		list, err := cl.events(ctx, by)
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

func withoutQuery(u string) string {
	base, _, _ := strings.Cut(u, "?")
	return base
}

func indent(text string) string {
	return "  " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n  ") + "\n"
}

func hostOf(u string) string {
	p, err := url.Parse(withoutQuery(u))
	if err != nil || p.Host == "" {
		return "it"
	}
	return p.Host
}
