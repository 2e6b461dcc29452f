package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"carom"
	"carom/internal/api"
)

// client calls /v1 of one server.
type client struct {
	http  *http.Client
	base  string // scheme and host, without a slash at the end
	key   string // empty on the local socket
	where string // how to name the server in an error
	fix   string // what to do when it does not answer
}

// unreachableError says that no server answers.
type unreachableError struct {
	where, fix string
	err        error
}

func (e *unreachableError) Error() string {
	return fmt.Sprintf("no server answers at %s (%v): %s", e.where, rootCause(e.err), e.fix)
}

func (e *unreachableError) Unwrap() error { return e.err }

// rootCause drops what net/http wraps around a failed connection: it repeats the URL, and with that the address of the socket.
func rootCause(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err
	}
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// client makes the client that the global flags ask for.
func (c *cli) client() (*client, error) {
	if c.server == "" {
		return localClient(c.data), nil
	}
	u, err := url.Parse(c.server)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return nil, usagef("--server needs a URL such as https://carom.example.com")
	}
	key := c.key
	if key == "" {
		key = c.env("CAROM_API_KEY")
	}
	if key == "" {
		return nil, usagef("--server needs an API key in CAROM_API_KEY: make one on its machine with `carom keys create`")
	}
	return &client{
		http: &http.Client{}, base: u.Scheme + "://" + u.Host, key: key, where: u.Scheme + "://" + u.Host,
		fix: "check --server, and that its machine lets you in",
	}, nil
}

// localClient speaks through the socket in a data folder.
func localClient(data string) *client {
	socket := filepath.Join(data, "carom.sock")
	var d net.Dialer
	return &client{
		http: &http.Client{Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return d.DialContext(ctx, "unix", socket) },
		}},
		base: "http://local", where: socket,
		fix: "start one with `carom serve`, or name its data folder with --data or another machine with --server",
	}
}

// request sends one request and returns its answer if that is a success. The caller closes the body.
func (c *client) request(ctx context.Context, method, path, contentType string, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if c.key != "" {
		req.Header.Set("Authorization", "Bearer "+c.key)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	req.Header.Set("User-Agent", "carom/"+buildVersion())
	resp, err := c.http.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, &unreachableError{where: c.where, fix: c.fix, err: err}
	}
	if resp.StatusCode < 400 {
		return resp, nil
	}
	defer func() { _ = resp.Body.Close() }()
	problem := &api.Problem{}
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if resp.StatusCode == http.StatusServiceUnavailable {
		problem.Status, problem.Detail = resp.StatusCode, "the server cannot take this now: try again in some seconds"
		_ = json.Unmarshal(text, problem) // a better text, if there is one
		return nil, problem
	}
	if err != nil || json.Unmarshal(text, problem) != nil || problem.Status == 0 {
		return nil, fmt.Errorf("%s answers %s to %s %s: is this a carom server?", c.where, resp.Status, method, strings.SplitN(path, "?", 2)[0])
	}
	return nil, problem
}

// call sends body as JSON, if there is one, and reads the answer into a T.
func call[T any](ctx context.Context, c *client, method, path string, body any) (T, error) {
	var out T
	var data []byte
	contentType := ""
	if body != nil {
		var err error
		if data, err = json.Marshal(body); err != nil {
			return out, err
		}
		contentType = "application/json"
	}
	return callRaw[T](ctx, c, method, path, contentType, data)
}

// callRaw sends a body as it is and reads the answer into a T.
func callRaw[T any](ctx context.Context, c *client, method, path, contentType string, body []byte) (T, error) {
	var out T
	resp, err := c.request(ctx, method, path, contentType, body)
	if err != nil {
		return out, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode == http.StatusNoContent {
		return out, nil
	}
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
		return out, fmt.Errorf("the answer of %s cannot be read: %w", c.where, err)
	}
	return out, nil
}

// selector limits a list. Its empty fields are not sent.
type selector struct {
	app, source, ymid, user, zone string
	kind                          string
	limit                         int
	before                        string
}

func (s selector) query() string {
	q := url.Values{}
	for _, p := range []struct{ name, value string }{
		{"app", s.app}, {"source", s.source}, {"ymid", s.ymid}, {"user", s.user}, {"zone", s.zone}, {"kind", s.kind}, {"before", s.before},
	} {
		if p.value != "" {
			q.Set(p.name, p.value)
		}
	}
	if s.limit > 0 {
		q.Set("limit", strconv.Itoa(s.limit))
	}
	if len(q) == 0 {
		return ""
	}
	return "?" + q.Encode()
}

func (c *client) events(ctx context.Context, s selector) (api.EventList, error) {
	return call[api.EventList](ctx, c, "GET", "/v1/events"+s.query(), nil)
}

func (c *client) story(ctx context.Context, id carom.EventID) (api.Story, error) {
	return call[api.Story](ctx, c, "GET", "/v1/events/"+url.PathEscape(string(id)), nil)
}

// verification asks the server to verify again what it has kept under the id of an event or a refused postback.
func (c *client) verification(ctx context.Context, id string) (api.Verification, error) {
	noun := "events"
	if strings.HasPrefix(id, "rcv_") {
		noun = "received"
	}
	return call[api.Verification](ctx, c, "GET", "/v1/"+noun+"/"+url.PathEscape(id)+"/verification", nil)
}

func (c *client) received(ctx context.Context, s selector) (api.RefusalList, error) {
	return call[api.RefusalList](ctx, c, "GET", "/v1/received"+s.query(), nil)
}

func (c *client) status(ctx context.Context) (api.Status, error) {
	return call[api.Status](ctx, c, "GET", "/v1/status", nil)
}

func (c *client) stats(ctx context.Context, s selector, from time.Time, by string) (api.Stats, error) {
	q := url.Values{"from": {from.UTC().Format(time.RFC3339)}}
	if by != "" {
		q.Set("group_by", by)
	}
	if s.app != "" {
		q.Set("app", s.app)
	}
	if s.source != "" {
		q.Set("source", s.source)
	}
	return call[api.Stats](ctx, c, "GET", "/v1/stats?"+q.Encode(), nil)
}

func (c *client) objects(ctx context.Context) (api.ObjectList, error) {
	return call[api.ObjectList](ctx, c, "GET", "/v1/objects", nil)
}

func (c *client) apply(ctx context.Context, yaml []byte, dryRun, prune bool) (api.Applied, error) {
	q := url.Values{"dry_run": {strconv.FormatBool(dryRun)}, "prune": {strconv.FormatBool(prune)}}
	return callRaw[api.Applied](ctx, c, "POST", "/v1/apply?"+q.Encode(), "application/yaml", yaml)
}

// source reads a source as it is set.
func (c *client) source(ctx context.Context, app, name string) (api.SourceObject, error) {
	return call[api.SourceObject](ctx, c, "GET", "/v1/sources/"+url.PathEscape(app)+"/"+url.PathEscape(name), nil)
}

// putSource changes a source to what s says.
func (c *client) putSource(ctx context.Context, s api.SourceObject) (api.Saved[api.SourceObject], error) {
	return call[api.Saved[api.SourceObject]](ctx, c, "PUT", "/v1/sources/"+url.PathEscape(s.App)+"/"+url.PathEscape(s.Name), s)
}

// quickstart connects an app to a network, or with dryRun says what that would make.
func (c *client) quickstart(ctx context.Context, q api.Quickstart, dryRun bool) (api.Connected, error) {
	return call[api.Connected](ctx, c, "POST", "/v1/quickstart?dry_run="+strconv.FormatBool(dryRun), q)
}

// setPaused pauses or resumes the endpoint named app/name.
func (c *client) setPaused(ctx context.Context, endpoint string, paused bool) error {
	path, err := objectPath("endpoint", endpoint)
	if err != nil {
		return err
	}
	verb := "/resume"
	if paused {
		verb = "/pause"
	}
	_, err = call[struct{}](ctx, c, "POST", "/v1/endpoints/"+path+verb, nil)
	return err
}

func (c *client) rotate(ctx context.Context, source string, overlap time.Duration) (api.MadeSecret, error) {
	path, err := objectPath("source", source)
	if err != nil {
		return api.MadeSecret{}, err
	}
	return call[api.MadeSecret](ctx, c, "POST", "/v1/sources/"+path+"/rotate?for="+url.QueryEscape(overlap.String()), nil)
}

func objectPath(kind, id string) (string, error) {
	app, name, ok := strings.Cut(id, "/")
	if !ok || app == "" || name == "" {
		return "", usagef("write APP/NAME for the %s, not %q", kind, id)
	}
	return url.PathEscape(app) + "/" + url.PathEscape(name), nil
}

func (c *client) resend(ctx context.Context, id string) (api.Resent, error) {
	switch {
	case strings.HasPrefix(id, "evt_"):
		return call[api.Resent](ctx, c, "POST", "/v1/events/"+url.PathEscape(id)+"/resend", nil)
	case strings.HasPrefix(id, "dlv_"):
		return call[api.Resent](ctx, c, "POST", "/v1/deliveries/"+url.PathEscape(id)+"/resend", nil)
	}
	return api.Resent{}, usagef("%q is neither the id of an event (evt_…) nor of a delivery (dlv_…): `carom show` prints them", id)
}

func (c *client) keys(ctx context.Context) (api.KeyList, error) {
	return call[api.KeyList](ctx, c, "GET", "/v1/keys", nil)
}

func (c *client) createKey(ctx context.Context, k api.NewKey) (api.MadeKey, error) {
	return call[api.MadeKey](ctx, c, "POST", "/v1/keys", k)
}

func (c *client) deleteKey(ctx context.Context, id string) error {
	_, err := call[struct{}](ctx, c, "DELETE", "/v1/keys/"+url.PathEscape(id), nil)
	return err
}

func (c *client) report(ctx context.Context, e api.ReportedEvent) (api.ReportAnswer, error) {
	return call[api.ReportAnswer](ctx, c, "POST", "/v1/events", e)
}

// tail calls show with each new event until ctx ends or the server stops. skipped is called when events were left out.
func (c *client) tail(ctx context.Context, s selector, show func(api.Event) error, skipped func()) error {
	resp, err := c.request(ctx, "GET", "/v1/tail"+s.query(), "", nil)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(make([]byte, 0, 64<<10), 4<<20) // an event holds fields of at most 256 KiB, which escapes can make longer
	name := ""
	for lines.Scan() {
		field, value, _ := strings.Cut(lines.Text(), ": ")
		switch {
		case field == "event":
			name = value
		case field == "data" && name == "skipped":
			skipped()
		case field == "data":
			var e api.Event
			if err := json.Unmarshal([]byte(value), &e); err != nil {
				return fmt.Errorf("the tail of %s cannot be read: %w", c.where, err)
			}
			if err := show(e); err != nil {
				return err
			}
		}
	}
	if ctx.Err() != nil {
		return nil // the person has seen enough
	}
	if err := lines.Err(); err != nil {
		return &unreachableError{where: c.where, fix: c.fix, err: err}
	}
	return &unreachableError{where: c.where, fix: c.fix, err: errors.New("the server stopped")}
}
