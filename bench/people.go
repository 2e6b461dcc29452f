package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"carom/bench/month"
	"carom/bench/proc"
	"carom/internal/api"
)

// page is a page of the dashboard with the data that it reads.
type page struct {
	Page string   `json:"page"`
	Asks []string `json:"asks"`
}

// readPages reads which routes each page of the dashboard asks for. A test of the dashboard proves that the file tells the truth.
func readPages(file string) (pages []page, err error) {
	b, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(b, &pages)
	}
	if err != nil {
		return nil, fmt.Errorf("read which data the pages of the dashboard need: run this where carom's code lies, or say where the file is with -dashboard-pages: %w", err)
	}
	return pages, nil
}

// filled are the pages with what stands in their routes filled in: names of the month, and an event of it.
func filledPages(pages []page, ev api.Event, now time.Time) []page {
	today := now.UTC().Truncate(24 * time.Hour)
	at := func(days int) string { return today.AddDate(0, 0, days).Format("2006-01-02T15:04:05.000Z") }
	name := url.QueryEscape
	words := strings.NewReplacer("{app}", ev.App, "{source}", ev.App+"/"+month.Source, "{endpoint}", ev.App+"/"+month.Endpoint, "{endpoint_name}", month.Endpoint,
		"{user}", ev.TelegramID, "{ymid}", name(ev.YMID), "{event}", string(ev.ID), "{from}", name(at(1-month.Days)), "{week}", name(at(-6)), "{to}", name(at(1)))
	var out []page
	for _, p := range pages {
		filled := page{Page: p.Page}
		for _, ask := range p.Asks {
			if ask == "/v1/live" {
				continue // which everybody follows all the time
			}
			if before, after, ok := strings.Cut(ask, "{each_source}"); ok {
				for a := range month.Apps {
					filled.Asks = append(filled.Asks, before+month.App(a)+"/"+month.Source+after)
				}
				continue
			}
			filled.Asks = append(filled.Asks, words.Replace(ask))
		}
		out = append(out, filled)
	}
	return out
}

// person is somebody signed in at the dashboard, whose browser keeps at most six connections.
type person struct {
	base, cookie string
	client       *http.Client
	pages        []page
	next         int // page
}

// newPeople makes members, who sign in, and tells them apart by where they begin.
func newPeople(ctx context.Context, c *proc.Carom, pages []page) ([]*person, error) {
	var newest struct{ Events []api.Event }
	text, err := c.Local(ctx, "/v1/events?limit=1&app="+month.App(3))
	if err == nil {
		err = json.Unmarshal([]byte(text), &newest)
	}
	if err != nil || len(newest.Events) == 0 {
		return nil, fmt.Errorf("find an event of the month: %s, %w", text, err)
	}
	pages = filledPages(pages, newest.Events[0], time.Now())
	local := c.LocalClient()
	defer local.CloseIdleConnections()
	for i := range readersViews {
		if _, err := post(ctx, local, "http://carom/v1/views", map[string]string{"app": month.App(0), "user": fmt.Sprint(i)}, nil, nil); err != nil {
			return nil, fmt.Errorf("open a view: %w", err)
		}
	}
	var out []*person
	for i := range readersCount {
		who := &person{base: "http://" + c.Addr, pages: pages, next: i * len(pages) / readersCount, client: &http.Client{Transport: &http.Transport{MaxConnsPerHost: 6, MaxIdleConnsPerHost: 6}}}
		if err := who.signIn(ctx, local, i); err != nil {
			return nil, fmt.Errorf("sign in: %w", err)
		}
		out = append(out, who)
	}
	return out, nil
}

// signIn makes a member and uses its one-time link.
func (w *person) signIn(ctx context.Context, local *http.Client, i int) error {
	var made struct {
		Link struct {
			URL string `json:"url"`
		} `json:"link"`
	}
	email := fmt.Sprintf("reader-%d-%d@bench.example", os.Getpid(), i)
	if _, err := post(ctx, local, "http://carom/v1/members", map[string]string{"email": email, "name": "Reader", "role": "operator"}, nil, &made); err != nil {
		return err
	}
	link, err := url.Parse(made.Link.URL)
	if err != nil {
		return err
	}
	head, err := post(ctx, w.client, w.base+"/v1/session/claim", map[string]string{"token": link.Fragment, "password": proc.NewSecret()},
		http.Header{"Carom-Request": {"1"}, "Origin": {w.base}}, nil)
	if err != nil {
		return err
	}
	var pairs []string
	for _, cookie := range head.Values("Set-Cookie") {
		pair, _, _ := strings.Cut(cookie, ";")
		pairs = append(pairs, pair)
	}
	w.cookie = strings.Join(pairs, "; ")
	return nil
}

// post sends JSON and reads JSON.
func post(ctx context.Context, client *http.Client, address string, body any, more http.Header, into any) (http.Header, error) {
	b, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	for name, values := range more {
		req.Header[name] = values
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	answer, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close() // it has been read to its end
	if err == nil && resp.StatusCode/100 != 2 {
		err = fmt.Errorf("%s answered %s: %s", req.URL.Path, resp.Status, answer)
	}
	if err == nil && into != nil {
		err = json.Unmarshal(answer, into)
	}
	return resp.Header, err
}

// read opens one page after another until ctx ends, the first after a while: people do not click at the same moment.
func (w *person) read(ctx context.Context, found *readings, after time.Duration) {
	_ = sleepUntil(ctx, time.Now().Add(after)) // it ends when ctx does
	for ctx.Err() == nil {
		p := w.pages[w.next%len(w.pages)]
		w.next++
		began := time.Now()
		errs := make([]error, len(p.Asks))
		var wg sync.WaitGroup
		for i, ask := range p.Asks {
			wg.Go(func() { errs[i] = w.ask(ctx, ask) })
		}
		wg.Wait()
		took := time.Since(began)
		if ctx.Err() != nil {
			return
		}
		found.page(p.Page, took, errors.Join(errs...))
		_ = sleepUntil(ctx, began.Add(pageEvery)) // it ends when ctx does
	}
}

// ask reads one route to its end.
func (w *person) ask(ctx context.Context, path string) error {
	resp, err := w.get(ctx, path)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close() // it has been read to its end
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s answered %s", path, resp.Status)
	}
	return err
}

func (w *person) get(ctx context.Context, path string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.base+path, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Cookie", w.cookie)
	return w.client.Do(req)
}

// follow reads the live feed until ctx ends, and notes how late what it sends is.
func (w *person) follow(ctx context.Context, found *readings) {
	resp, err := w.get(ctx, "/v1/live?kind=received")
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("/v1/live answered %s", resp.Status)
	}
	if err != nil {
		if ctx.Err() == nil {
			found.page("Live feed", 0, err)
		}
		return
	}
	defer func() { _ = resp.Body.Close() }() // it has no end
	lines := bufio.NewScanner(resp.Body)
	for n := 0; lines.Scan(); n++ {
		if n%lookSample != 0 {
			continue
		}
		_, after, ok := bytes.Cut(lines.Bytes(), []byte(`"at":"`))
		text, _, ended := bytes.Cut(after, []byte(`"`))
		if at, err := time.Parse(time.RFC3339Nano, string(text)); ok && ended && err == nil {
			found.lag(time.Since(at))
		}
	}
}

// times are durations in milliseconds, in no order.
type times []float64

// at is the value below which such a share of them lies; 0 for none.
func (t times) at(share float64) float64 {
	if len(t) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(t))
	return sorted[min(int(share*float64(len(t))), len(t)-1)]
}

// readings are what people noticed.
type readings struct {
	mu     sync.Mutex // guards all
	pages  map[string]times
	live   times
	failed []string
}

// add takes over what others noticed, who have ended.
func (f *readings) add(o *readings) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for name, took := range o.pages {
		if f.pages == nil {
			f.pages = map[string]times{}
		}
		f.pages[name] = append(f.pages[name], took...)
	}
	f.live = append(f.live, o.live...)
	f.failed = append(f.failed, o.failed...)
}

func (f *readings) page(name string, took time.Duration, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err != nil {
		f.failed = append(f.failed, fmt.Sprintf("%s: %v", name, err))
		return
	}
	if f.pages == nil {
		f.pages = map[string]times{}
	}
	f.pages[name] = append(f.pages[name], milliseconds(took))
}

func (f *readings) lag(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.live = append(f.live, milliseconds(d))
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// all are the times of all pages.
func (f *readings) all() (out times) {
	for _, took := range f.pages {
		out = append(out, took...)
	}
	return out
}
