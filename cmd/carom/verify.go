package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"carom"
	"carom/internal/api"
	"carom/internal/keylist"
	"carom/internal/network"
	"carom/internal/route"

	"github.com/spf13/cobra"
)

// exitOf is the code that scripts tell the outcomes apart by.
func exitOf(v *api.Verification) int {
	switch {
	case !v.Verified:
		return 1
	case v.Event == nil && v.Refused != carom.ReasonTest:
		return 2
	}
	return exitOK
}

// captured is a postback as the command line gives it.
type captured struct {
	profile, profiles, template  string
	ymid                         string
	secrets                      []string
	pathSecret, keys, at, method string
	headers                      []string
	body, base                   string
}

func (c *cli) verifyCommand() *cobra.Command {
	var f captured
	cmd := &cobra.Command{
		Use:   "verify {--profile NAME URL | ID}",
		Short: "Explain a captured postback without a server, or verify a stored one again",
		Long: `Checks a postback from a log as the server would, and says which bytes were signed, what matched, how strong that is, what
event it is, and what would be answered. Nothing is sent and nothing is stored.

--secret is the key that the network signs with; for a network that does not sign, it is the secret in the URL's path. Give it
several times to see which one matches. Secrets on a command line can be seen by others on the machine: CAROM_VERIFY_SECRET
holds one as well.

With the id of an event or of a refused postback instead of a URL, the server verifies again what it has kept of it, with the
secrets that count now.

Exit codes: 0 it is verified, 1 it is refused, 2 it is verified and can never be used.`,
		Example: `  carom verify --profile unityads --secret xyzKEY 'https://game.example.com/reward?productid=1234&sid=1234567890&oid=0987654321&hmac=106ed4300f91145aff6378a355fced73'
  carom verify --profile admob --keys verifier-keys.json 'https://game.example.com/ssv?ad_network=…'
  carom verify --profile monetag '/postback?ymid=user123&event=click'
  carom verify evt_0c5g21r0000010000000k`,
		Args: cobra.ExactArgs(1),
		RunE: run(func(ctx context.Context, args []string) error {
			v, err := c.verifyArg(ctx, &f, args[0])
			if err != nil {
				return err
			}
			if err := c.print(v, func(w io.Writer) { writeVerification(w, v) }); err != nil {
				return err
			}
			if code := exitOf(v); code != exitOK {
				return &exitError{code: code}
			}
			return nil
		}),
	}
	flags := cmd.Flags()
	flags.StringVar(&f.profile, "profile", "", "the network; `carom networks` lists them")
	flags.StringVar(&f.profiles, "profiles", "", profilesHelp)
	flags.StringArrayVar(&f.secrets, "secret", nil, "the network's key, or the secret in the path; may be repeated")
	flags.StringVar(&f.pathSecret, "path-secret", "", "the secret in the path, where the network signs as well")
	flags.StringVar(&f.keys, "keys", "", "file with the network's list of public keys")
	flags.StringVar(&f.at, "at", "", "when it was received, such as 2026-11-22T08:00:00Z; default now")
	flags.StringVar(&f.method, "method", "", "default GET, or POST with --body")
	flags.StringArrayVar(&f.headers, "header", nil, "a header, 'Name: value'; may be repeated")
	flags.StringVar(&f.body, "body", "", "file with the body; - reads it from standard input")
	flags.StringVar(&f.base, "base-url", "", "scheme and host that the network called; default that of the URL")
	flags.StringVar(&f.template, "template", "", "the URL template that is set at the network")
	flags.StringVar(&f.ymid, "ymid", "view", "what the ymid is: view, session or user")
	return cmd
}

// verifyArg verifies what the argument is: a URL, or the id of something that the server has.
func (c *cli) verifyArg(ctx context.Context, f *captured, arg string) (*api.Verification, error) {
	if f.profile != "" || !strings.HasPrefix(arg, "evt_") && !strings.HasPrefix(arg, "rcv_") {
		return c.verify(ctx, f, arg)
	}
	cl, err := c.client()
	if err != nil {
		return nil, err
	}
	v, err := cl.verification(ctx, arg)
	return &v, err
}

func (c *cli) verify(ctx context.Context, f *captured, target string) (*api.Verification, error) {
	profiles, err := c.profiles(f.profiles)
	if err != nil {
		return nil, err
	}
	p := profiles[f.profile]
	if p == nil {
		return nil, usagef("--profile %q is not a network that carom knows: `carom networks` lists them", f.profile)
	}
	now := c.now().UTC()
	if f.at != "" {
		if now, err = time.Parse(time.RFC3339, f.at); err != nil {
			return nil, usagef("--at needs a time such as 2026-11-22T08:00:00Z")
		}
	}
	r, err := c.request(f, target)
	if err != nil {
		return nil, err
	}
	keys, err := f.keyList()
	if err != nil {
		return nil, err
	}
	b, unchecked, err := c.bind(f, p, r.Secret)
	if err != nil {
		return nil, err
	}
	v := api.Verify(ctx, b, r, now, keys)
	for i := range v.Checks {
		if c := &v.Checks[i]; unchecked && c.Block == "path_secret" {
			c.Passed, c.Later, c.Detail = false, true, "not checked: give it with --path-secret"
		}
	}
	return &v, nil
}

// request makes the captured request: from a whole URL, from what a log shows of it, or from its query alone.
func (c *cli) request(f *captured, target string) (*network.Request, error) {
	if !strings.Contains(target, "/") && !strings.HasPrefix(target, "?") && strings.Contains(target, "=") {
		target = "?" + target
	}
	u, err := url.Parse(target)
	if err != nil {
		return nil, usagef("the URL cannot be read: quote it, so that the shell leaves it alone")
	}
	if f.base == "" && u.Host != "" {
		f.base = u.Scheme + "://" + u.Host
	}
	r := &network.Request{Method: f.method, Path: u.EscapedPath(), RawQuery: u.RawQuery, Header: http.Header{}}
	if parts := strings.Split(strings.TrimPrefix(u.Path, "/"), "/"); len(parts) == 4 && parts[0] == "in" {
		r.Secret = parts[3]
	}
	for _, h := range f.headers {
		name, value, ok := strings.Cut(h, ":")
		if !ok {
			return nil, usagef("--header needs 'Name: value', not %q", name)
		}
		r.Header.Add(strings.TrimSpace(name), strings.TrimSpace(value))
	}
	r.ContentType = r.Header.Get("Content-Type")
	switch f.body {
	case "":
	case "-":
		r.Body, err = io.ReadAll(c.in)
	default:
		r.Body, err = os.ReadFile(f.body)
	}
	if err != nil {
		return nil, usagef("--body: %w", err)
	}
	if r.Method == "" {
		r.Method = "GET"
		if f.body != "" {
			r.Method = "POST"
		}
	}
	return r, nil
}

func (f *captured) keyList() (network.Keys, error) {
	if f.keys == "" {
		return nil, nil
	}
	text, err := os.ReadFile(f.keys)
	if err != nil {
		return nil, usagef("--keys: %w", err)
	}
	list, err := keylist.FromJSON(text)
	if err != nil {
		return nil, usagef("--keys %s: %w", f.keys, err)
	}
	return list, nil
}

// bind makes a source of the flags. unchecked says that nothing is known of the secret in the path, so that sent, which stands
// there, was taken for it.
func (c *cli) bind(f *captured, p *network.Profile, sent string) (b *network.Binding, unchecked bool, err error) {
	secrets := f.secrets
	if s := c.env("CAROM_VERIFY_SECRET"); s != "" {
		secrets = append(secrets, s)
	}
	s := carom.Source{App: "app", Name: "source", Profile: p.Name, YMID: carom.YMIDKind(f.ymid)}
	path := []string{f.pathSecret}
	if p.NeedsNetworkSecret() {
		for _, secret := range secrets {
			s.NetworkSecrets = append(s.NetworkSecrets, carom.SigningSecret{Key: carom.Masked(secret)})
		}
		if len(secrets) == 0 {
			return nil, false, usagef("%s signs with a key that both of you know: give it with --secret", p.Title)
		}
	} else if p.Strength != carom.Signed {
		path = append(path, secrets...)
	}
	for _, secret := range path {
		if secret != "" {
			s.Secrets = append(s.Secrets, carom.SecretSum{Sum: sha256.Sum256([]byte(secret))})
		}
	}
	if p.WantsPathSecret() && len(s.Secrets) == 0 {
		s.Secrets = make([]carom.SecretSum, 1) // none is known, so none matches
		if unchecked = p.Strength == carom.Signed; unchecked {
			s.Secrets[0].Sum = sha256.Sum256([]byte(sent))
		}
	}
	var names route.Names
	if f.template != "" {
		if names, err = route.ReadBackwards(f.template, route.Notation{Macros: p.Macros(), Complete: p.Complete}); err != nil {
			return nil, false, usagef("--template: %w", err)
		}
	}
	if p.NeedsPublicURL() && f.base == "" {
		return nil, false, usagef("%s signs the full URL: give it with its host, or --base-url", p.Title)
	}
	if b, err = p.Bind(s, names.Params, names.Static, f.base); err != nil {
		return nil, false, usagef("%w", err)
	}
	return b, unchecked, nil
}

func writeVerification(w io.Writer, v *api.Verification) {
	say := func(format string, args ...any) { _, _ = fmt.Fprintf(w, format+"\n", args...) }
	switch {
	case v.TryLater:
		say("NOT DECIDED: the list of the network's public keys is needed; give it with --keys.")
	case !v.Verified:
		say("REFUSED: %s.", strings.ReplaceAll(string(v.Reason), "_", " "))
	case v.Refused == carom.ReasonTest:
		say("VERIFIED: a test of the network's own. It is answered, journaled, and earns nothing.")
	case v.Event == nil:
		say("VERIFIED, but it can never be used: %s.", plain(v.Detail))
	default:
		say("VERIFIED (%s).", v.Proof.Strength)
	}
	say("\n%s, profile %s (evidence: %s)", v.Title, v.Profile, v.Evidence)
	for _, check := range v.Checks {
		mark := "failed"
		if check.Passed {
			mark = "passed"
		} else if check.Later {
			mark = "open"
		}
		say("\n  %s  %s", mark, plain(check.Rule))
		if check.Signed != "" {
			say("          signed: %s", plain(check.Signed))
		}
		if check.Sent != "" {
			say("          sent:   %s", plain(check.Sent))
		}
		if check.Matched > 0 {
			say("          matched secret %d", check.Matched)
		}
		if check.Detail != "" {
			say("          %s", plain(check.Detail))
		}
	}
	say("\nCovered:     %s", orNone(strings.Join(v.Covered, ", ")))
	say("Not covered: %s", orNone(strings.Join(v.NotCovered, ", ")))
	if v.Event != nil {
		say("")
		if !v.Verified {
			say("What it claims, which nothing proves:")
		}
		table(w, eventRows(v.Event))
		say("\nDedupe key:  %s, for %s", v.Key, v.Window)
		if v.Also != "" {
			say("         and %s, of its signature", v.Also)
		}
	}
	say("Answer:      %d %s", v.Status, plain(v.Body))
}
