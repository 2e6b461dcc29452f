package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"carom/bench/month"
	"carom/bench/proc"
	"carom/bench/stat"
	"carom/internal/api"
	"carom/internal/postgres"
	"carom/internal/reward"
	"carom/internal/store"
)

const (
	readersRate  = 2000        // events per second while somebody reads
	readersViews = 200         // views that the backend of an app has opened before they begin
	readersCount = 4           // people who read
	pageEvery    = time.Second // how often each of them opens a page, when the one before is there
	lookSample   = 20          // of so many lines of the live feed, the time of one is looked at

	// kept keeps a month that was stored some days ago.
	kept = "CAROM_RETENTION=90d"
)

// readersFigures lists the figures of the readers part, which both suites have.
func readersFigures() []figure {
	return []figure{
		{"readers_events", "", "events of a month in the store, of 20 apps", nil},
		{"readers_pages", "", "pages of the dashboard opened by four readers, one a second each, at 2,000 events/s", nil},
		{"readers_page_p50_ms", "ms", "until all data of a page is there, median of all", nil},
		{"readers_page_p95_ms", "ms", "the same, p95 of all", nil},
		{"readers_slowest_p95_ms", "ms", "p95 of the slowest page", atMost(300)},
		{"readers_live_p50_ms", "ms", "from an event to the live feed, median", nil},
		{"readers_live_max_ms", "ms", "the same, longest", atMost(1000)},
		{"readers_alone_p99_ms", "ms", "acknowledgement at 2,000/s without readers, p99", nil},
		{"readers_beside_p99_ms", "ms", "the same beside four readers", nil},
		{"readers_accept_ratio", "", "the second to the first, median of the pairs", atMost(2)},
		{"readers_refused", "", "events and pages refused, or answered with an error", atMost(0)},
		{"readers_saturated_alone_per_s", "/s", "delivered while saturated, without readers", nil},
		{"readers_saturated_per_s", "/s", "the same beside four readers", nil},
		{"readers_saturated_ratio", "", "the second to the first, median of the pairs", atLeast(0.9)},
		{"readers_saturated_page_p95_ms", "ms", "until all data of a page is there while saturated, p95 of all", nil},
	}
}

// readers has four people read the dashboard of a server with a month of events, at a rate and while it is saturated. It measures
// what they wait for, and what the events notice of them.
func (r *rig) readers(ctx context.Context, rep *report, p *part) error {
	pages, err := readPages(r.DashboardPages)
	if err != nil {
		return err
	}
	t, forget, err := r.startMonth(ctx, p)
	if err != nil {
		return err
	}
	defer forget()
	rep.set("readers_events", float64(r.GrowthEvents))
	people, err := newPeople(ctx, t.carom, pages)
	if err != nil {
		return errors.Join(err, t.stop())
	}
	atRate, saturated := &readings{}, &readings{}
	steady, err := r.pairs(ctx, t, plan{rate: readersRate, warmUp: r.WarmUp, window: 3 * r.PairWindow}, people, atRate, p)
	if err != nil {
		return errors.Join(err, t.stop())
	}
	full, err := r.pairs(ctx, t, plan{warmUp: r.WarmUp, window: r.PairWindow}, people, saturated, p)
	if err := errors.Join(err, t.stop()); err != nil {
		return err
	}
	accept := func(m measurement) float64 { return m.Accept.P99 }
	rep.set("readers_alone_p99_ms", medianOf(steady.alone, accept))
	rep.set("readers_beside_p99_ms", medianOf(steady.beside, accept))
	rep.set("readers_accept_ratio", steady.ratio(accept))
	rep.set("readers_saturated_alone_per_s", medianOf(full.alone, deliveredOf))
	rep.set("readers_saturated_per_s", medianOf(full.beside, deliveredOf))
	rep.set("readers_saturated_ratio", full.ratio(deliveredOf))
	rep.set("readers_saturated_page_p95_ms", saturated.all().at(0.95))
	r.readersFigures(rep, p, atRate, append(slices.Clone(steady.alone), steady.beside...))
	return nil
}

// readersFigures computes what was noticed by readers at a rate.
func (r *rig) readersFigures(rep *report, p *part, found *readings, ms []measurement) {
	all, slowest := found.all(), 0.0
	var shown []pageTime
	for name, took := range found.pages {
		shown = append(shown, pageTime{Page: name, Opened: len(took), P50: took.at(0.5), P95: took.at(0.95)})
		slowest = max(slowest, took.at(0.95))
	}
	slices.SortFunc(shown, func(a, b pageTime) int { return cmp.Compare(b.P95, a.P95) })
	for _, s := range shown {
		r.say("  %-32s %4d times  p50 %6.1f  p95 %6.1f ms", s.Page, s.Opened, s.P50, s.P95)
	}
	p.Rounds = append(p.Rounds, map[string]any{"pages": shown})
	rep.set("readers_pages", float64(len(all)))
	rep.set("readers_page_p50_ms", all.at(0.5))
	rep.set("readers_page_p95_ms", all.at(0.95))
	rep.set("readers_slowest_p95_ms", slowest)
	rep.set("readers_live_p50_ms", found.live.at(0.5))
	rep.set("readers_live_max_ms", found.live.at(1))
	refused := float64(len(found.failed))
	for _, m := range ms {
		refused += float64(m.Refused + m.Errors)
	}
	for _, why := range found.failed[:min(len(found.failed), 5)] {
		p.note("%s", why)
	}
	rep.set("readers_refused", refused)
}

// pageTime is how long a page took at a rate.
type pageTime struct {
	Page   string  `json:"page"`
	Opened int     `json:"opened"`
	P50    float64 `json:"p50_ms"`
	P95    float64 `json:"p95_ms"`
}

// paired are the measurements without readers and beside them, pair by pair.
type paired struct{ alone, beside []measurement }

// ratio is the median of the pairs' ratios.
func (x paired) ratio(of func(measurement) float64) float64 {
	var out []float64
	for i := range x.alone {
		out = append(out, of(x.beside[i])/of(x.alone[i]))
	}
	return stat.Median(out)
}

// pairs measures a server in alternation without readers and beside them.
func (r *rig) pairs(ctx context.Context, t target, pl plan, people []*person, found *readings, p *part) (out paired, err error) {
	for pair := range r.Pairs {
		for _, with := range rotated([]bool{false, true}, pair) {
			var m measurement
			if with {
				m, err = r.measureRead(ctx, t, pl, people, found)
				out.beside = append(out.beside, m)
			} else {
				m, err = r.measure(ctx, t, pl)
				out.alone = append(out.alone, m)
			}
			if err != nil {
				return out, err
			}
			m.Round = pair + 1
			p.add(m)
			r.say("  pair %d, %d readers  %6.0f delivered/s  accept p99 %5.1f ms  %.4f CPU s per 1,000  end to end p99 %.1f ms", m.Round, map[bool]int{true: readersCount}[with],
				m.Delivered, m.Accept.P99, m.CPUPer1000, m.EndToEnd.P99)
		}
	}
	return out, nil
}

// measureRead is measure while people read.
func (r *rig) measureRead(ctx context.Context, t target, pl plan, people []*person, found *readings) (measurement, error) {
	reading, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	for _, who := range people {
		wg.Go(func() { who.read(reading, found) })
		wg.Go(func() { who.follow(reading, found) })
	}
	m, err := r.measure(ctx, t, pl)
	stop()
	wg.Wait()
	return m, err
}

// startMonth starts a server with a month of events, which it stores first unless an earlier run has kept it. forget removes it.
func (r *rig) startMonth(ctx context.Context, p *part) (t target, forget func(), err error) {
	secret := proc.NewSecret()
	t = target{name: "carom", sends: true, onDB: r.db != nil}
	for a := range month.Apps {
		for z := range month.Zones {
			t.traffic.Paths = append(t.traffic.Paths, strings.Replace(postback(secret, month.Zone(a, z)), "/in/bench/", "/in/"+month.App(a)+"/", 1))
		}
	}
	clock := &month.Clock{}
	env := []string{kept}
	dir := r.GrowthDir
	if dir != "" {
		dir = filepath.Join(dir, "month")
		forget = func() {}
	} else {
		if dir, err = r.fresh(); err != nil {
			return t, nil, err
		}
		forget = func() { _ = os.RemoveAll(dir) } // the folder of the run goes as a whole
	}
	note := filepath.Join(dir, "month.json")
	switch _, missing := os.Stat(note); {
	case missing == nil:
		p.note("the month was stored in an earlier run")
	case r.db != nil:
		name, err := r.db.create(ctx)
		if err != nil {
			return t, nil, err
		}
		env = append(env, "CAROM_DATABASE="+r.db.cluster.URL(name))
		st, err := postgres.Open(ctx, postgres.Options{URL: r.db.cluster.URL(name), Clock: clock.Now, Retention: 3 * month.Days * 24 * time.Hour, Decide: reward.Decide})
		if err == nil {
			err = month.Fill(ctx, st, clock, int(r.GrowthEvents), r.say)
		}
		if err == nil {
			err = r.db.exec(ctx, name, "VACUUM (ANALYZE)", "CHECKPOINT") // what its own housekeeping has done a month later
		}
		if err != nil {
			return t, nil, err
		}
	default:
		if err := os.MkdirAll(proc.DataDir(dir), 0o755); err != nil {
			return t, nil, err
		}
		st, err := store.Open(proc.DataDir(dir), store.Options{Clock: clock.Now, Retention: 3 * month.Days * 24 * time.Hour, Decide: reward.Decide})
		if err == nil {
			err = month.Fill(ctx, st, clock, int(r.GrowthEvents), r.say)
		}
		if err == nil {
			err = os.WriteFile(note, fmt.Appendf(nil, "{\"events\": %d}\n", r.GrowthEvents), 0o644)
		}
		if err != nil {
			return t, nil, err
		}
	}
	objects := month.Objects(secret, "http://"+r.sink.Addr+"/postback?ymid={ymid}&event={event_type}&zone={zone_id}&value={reward_event_type}&price={estimated_price}&var={request_var}&d={delivery_id}")
	c, err := r.launch(ctx, proc.Setup{Dir: dir, Config: objects, Env: env})
	if err != nil {
		return t, nil, err
	}
	t.addr, t.process, t.carom = c.Addr, c.Process, c
	return t, forget, nil
}

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

// read opens one page after another until ctx ends.
func (w *person) read(ctx context.Context, found *readings) {
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
