package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"

	"carom/internal/api"

	"github.com/spf13/cobra"
)

// sendFlags say where a test postback goes.
type sendFlags struct {
	app, source, secret string
	url                 string // the source's whole URL, instead of the three above
	baseURL             string
}

func (c *cli) sendCommand() *cobra.Command {
	var f sendFlags
	cmd := &cobra.Command{
		Use:   "send [NAME=VALUE…]",
		Short: "Send a test postback to the server, as a network would",
		Long: `Sends one GET to a source's URL and prints the answer. Without names and values: a click with a ymid of its own.
The secret is part of the URL that was shown when the source was made; "carom rotate" makes a new one.`,
		Example: `  carom send --url 'https://carom.example.com/in/shop/monetag/SECRET'
  carom send --app shop --source monetag --secret SECRET ymid=user123 event=click zone_id=8790478
  carom send event --app shop id=order-7 event_type=completion ymid=user123`,
		RunE: run(func(ctx context.Context, args []string) error { return c.send(ctx, f, args) }),
	}
	cmd.Flags().StringVar(&f.app, "app", "", "the source's app")
	cmd.Flags().StringVar(&f.source, "source", "", "the source's name")
	cmd.Flags().StringVar(&f.secret, "secret", "", "the secret in the source's URL")
	cmd.Flags().StringVar(&f.url, "url", "", "the source's whole URL, instead of --app, --source and --secret")
	cmd.Flags().StringVar(&f.baseURL, "base-url", "", "where the server listens for networks, such as http://127.0.0.1:8080")
	cmd.AddCommand(c.sendEventCommand())
	return cmd
}

func (c *cli) send(ctx context.Context, f sendFlags, args []string) error {
	if f.url == "" && (f.app == "" || f.source == "" || f.secret == "") {
		return usagef("give --url, or --app, --source and --secret: the URL was shown when the source was made, and `carom rotate` makes a new one")
	}
	target := f.url
	if target == "" {
		target = f.baseURL + "/in/" + url.PathEscape(f.app) + "/" + url.PathEscape(f.source) + "/" + url.PathEscape(f.secret)
	}
	base, template, _ := strings.Cut(target, "?")
	query, err := pairs(args)
	if err != nil {
		return err
	}
	if query == "" {
		if template == "" {
			template = defaultTemplate
		}
		query = fill(template, newTestValues("test-"+strings.ToLower(rand.Text()[:8])))
	}
	if f.baseURL != "" && f.url != "" {
		if base, err = rebase(base, f.baseURL); err != nil {
			return err
		}
	}
	answer, err := c.knock(ctx, base+"?"+query, nil)
	if err != nil {
		return err
	}
	if err := c.print(answer, func(w io.Writer) {
		_, _ = fmt.Fprintf(w, "sent      %s\nanswered  %d %s\n", plain(query), answer.Status, plain(answer.Body))
	}); err != nil {
		return err
	}
	if answer.Status >= 300 {
		return &exitError{code: exitProblem}
	}
	return nil
}

// doorAnswer is what the door said to a postback.
type doorAnswer struct {
	Status int    `json:"status"`
	Body   string `json:"body"`
}

// knock sends one GET to the door. A target without a host, or one that cannot be reached from here, is tried through the
// local socket when the server is this machine's: behind a proxy, its public name may lead nowhere from the inside.
func (c *cli) knock(ctx context.Context, target string, header http.Header) (doorAnswer, error) {
	u, err := url.Parse(target)
	if err != nil {
		return doorAnswer{}, usagef("the URL to send to cannot be read: check --url and --base-url")
	}
	where := u.Scheme + "://" + u.Host
	if u.Host != "" {
		answer, err := get(ctx, &http.Client{Timeout: 10 * time.Second}, target, header)
		if err == nil || c.server != "" {
			return answer, unreachable(err, where, "check --base-url, and that the server listens there")
		}
	} else if c.server != "" {
		answer, err := get(ctx, &http.Client{Timeout: 10 * time.Second}, strings.TrimSuffix(c.server, "/")+target, header)
		return answer, unreachable(err, c.server, "give --base-url")
	}
	local := localClient(c.data)
	answer, err := get(ctx, local.http, local.base+u.RequestURI(), header)
	return answer, unreachable(err, local.where, local.fix)
}

func unreachable(err error, where, fix string) error {
	if err == nil {
		return nil
	}
	return &unreachableError{where: where, fix: fix, err: err}
}

func get(ctx context.Context, client *http.Client, target string, header http.Header) (doorAnswer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return doorAnswer{}, errors.New("the URL cannot be read") // the error would show the secret
	}
	maps.Copy(req.Header, header)
	resp, err := client.Do(req)
	if err != nil {
		return doorAnswer{}, rootCause(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 16<<10))
	if err != nil {
		return doorAnswer{}, rootCause(err)
	}
	return doorAnswer{Status: resp.StatusCode, Body: strings.TrimSpace(string(body))}, nil
}

// pairs writes NAME=VALUE arguments as a query.
func pairs(args []string) (string, error) {
	var parts []string
	for _, arg := range args {
		name, value, ok := strings.Cut(arg, "=")
		if !ok || name == "" {
			return "", usagef("%q is not NAME=VALUE", arg)
		}
		parts = append(parts, url.QueryEscape(name)+"="+url.QueryEscape(value))
	}
	return strings.Join(parts, "&"), nil
}

// rebase gives a URL another scheme and host.
func rebase(target, base string) (string, error) {
	u, err := url.Parse(target)
	b, err2 := url.Parse(base)
	if err != nil || err2 != nil || b.Host == "" || (b.Scheme != "http" && b.Scheme != "https") {
		return "", usagef("--base-url needs a URL such as https://carom.example.com")
	}
	// The query holds macros, whose braces must stay as they are, so the text is cut instead of rendered.
	rest := strings.TrimPrefix(target, u.Scheme+"://"+u.Host)
	return strings.TrimSuffix(base, "/") + rest, nil
}

// defaultTemplate is a query with all of the macros of Monetag, each by its own name.
const defaultTemplate = "ymid={ymid}&zone_id={zone_id}&sub_zone_id={sub_zone_id}&request_var={request_var}&telegram_id={telegram_id}" +
	"&event_type={event_type}&reward_event_type={reward_event_type}&estimated_price={estimated_price}"

// newTestValues are values for Monetag's macros that mark a test.
func newTestValues(ymid string) map[string]string {
	return map[string]string{
		"ymid": ymid, "zone_id": "1", "sub_zone_id": "", "request_var": "test", "telegram_id": "",
		"event_type": "click", "reward_event_type": "valued", "estimated_price": "0.001",
	}
}

// fill replaces the macros in a query by values.
func fill(template string, values map[string]string) string {
	for name, v := range values {
		template = strings.ReplaceAll(template, "{"+name+"}", url.QueryEscape(v))
	}
	return template
}

func (c *cli) sendEventCommand() *cobra.Command {
	var app, source string
	cmd := &cobra.Command{
		Use:   "event NAME=VALUE…",
		Short: "Report an event, as a trusted server would",
		Long: `Reports one event to POST /v1/events. Names: id and event_type (both needed), reward_event_type, ymid, zone_id, sub_zone_id,
request_var, telegram_id, user_id, estimated_price, test (true or false); any other name becomes a further field.`,
		Example: `  carom send event --app shop id=order-7 event_type=completion ymid=user123 estimated_price=0.01
  carom send event --app shop id=test-1 event_type=click test=true`,
		RunE: run(func(ctx context.Context, args []string) error {
			e, err := reported(args)
			if err != nil {
				return err
			}
			if e.App, e.Source = app, source; app == "" {
				return usagef("--app is missing: whose event is it?")
			}
			cl, err := c.client()
			if err != nil {
				return err
			}
			answer, err := cl.report(ctx, e)
			if err != nil {
				return err
			}
			if err := c.print(answer, func(w io.Writer) { writeReported(w, answer) }); err != nil {
				return err
			}
			for _, r := range answer.Results {
				if r.EventID == "" {
					return &exitError{code: exitProblem}
				}
			}
			return nil
		}),
	}
	cmd.Flags().StringVar(&app, "app", "", "the event's app")
	cmd.Flags().StringVar(&source, "source", "", "a source of the app with the profile api")
	return cmd
}

func writeReported(w io.Writer, answer api.ReportAnswer) {
	for _, r := range answer.Results {
		why := r.EventID
		if why == "" {
			why = strings.TrimPrefix(r.Field+": "+r.Reason, ": ")
		}
		_, _ = fmt.Fprintf(w, "%s: %s\n", plain(r.Status), plain(why))
	}
}

// reported reads NAME=VALUE arguments into an event.
func reported(args []string) (api.ReportedEvent, error) {
	var e api.ReportedEvent
	to := map[string]*string{
		"id": &e.ID, "event_type": &e.EventType, "reward_event_type": &e.RewardEventType, "ymid": &e.YMID, "zone_id": &e.ZoneID,
		"sub_zone_id": &e.SubZoneID, "request_var": &e.RequestVar, "telegram_id": &e.TelegramID, "user_id": &e.UserID,
		"estimated_price": &e.EstimatedPrice,
	}
	for _, arg := range args {
		name, value, ok := strings.Cut(arg, "=")
		if !ok || name == "" {
			return e, usagef("%q is not NAME=VALUE", arg)
		}
		switch field := to[name]; {
		case field != nil:
			*field = value
		case name == "test":
			e.Test = value == "true"
			if !e.Test && value != "false" {
				return e, usagef("test is true or false, not %q", value)
			}
		default:
			if e.Fields == nil {
				e.Fields = map[string]string{}
			}
			e.Fields[name] = value
		}
	}
	if e.ID == "" || e.EventType == "" {
		return e, usagef("an event needs id=… and event_type=…")
	}
	return e, nil
}
