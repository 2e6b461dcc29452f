package server_test

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"carom"
	"carom/internal/api"
	"carom/internal/caromtest"
	"carom/internal/config"
	"carom/internal/reward"
	"carom/internal/store"
)

// The folder of BenchmarkDashboard: events of a month, of so many apps with so many zones each.
const (
	dashApps  = 20
	dashZones = 5
	dashDays  = 30
)

// BenchmarkDashboard measures what the dashboard's routes cost with many events stored, in wall time and, since a machine may be busy
// with other things, in processor time of the whole process. CAROM_BENCH_EVENTS is how many events there are, 100,000 without it;
// CAROM_BENCH_FOLDER keeps the folder, or uses one that was kept. With CAROM_BENCH_RATE so many events a second arrive meanwhile.
func BenchmarkDashboard(b *testing.B) {
	events, dir := 100_000, os.Getenv("CAROM_BENCH_FOLDER")
	if text := os.Getenv("CAROM_BENCH_EVENTS"); text != "" {
		var err error
		if events, err = strconv.Atoi(text); err != nil {
			b.Fatal(err)
		}
	}
	if dir == "" {
		dir = caromtest.Folder(b)
	}
	if !store.Holds(dir) {
		fillDashboard(b, dir, events)
	}
	addUp(b, dir)
	s := caromtest.Start(b, caromtest.Options{Data: dir, Config: func(c *config.Config) { c.Retention, c.LogLevel = 90*24*time.Hour, slog.LevelInfo }})
	if rate, err := strconv.Atoi(os.Getenv("CAROM_BENCH_RATE")); err == nil {
		stop := arrive(b, s, rate)
		defer stop()
	}
	var newest api.EventList
	s.Get(b, "/v1/events?limit=1&app=app3", &newest)
	ev := newest.Events[0]
	delivery := string(ev.ID.Delivery(0))
	now := time.Now().UTC()
	month := "&from=" + url.QueryEscape(now.AddDate(0, 0, -29).Format(time.RFC3339))
	for _, path := range []string{
		"/v1/overview", "/v1/overview?app=app3&time_zone=Asia/Kolkata",
		"/v1/reports?by=day" + month, "/v1/reports?by=day&app=app3&time_zone=Europe/Berlin" + month, "/v1/reports?by=hour", "/v1/reports?by=zone" + month,
		"/v1/reports?by=zone&app=app3" + month, "/v1/reports?by=sub_zone&app=app3" + month, "/v1/reports?by=request_var" + month, "/v1/reports?by=network" + month,
		"/v1/reports?by=source" + month, "/v1/reports?by=event_type" + month, "/v1/reports/funnel?app=app3", "/v1/reports/funnel?" + month[1:], "/v1/reports/times?" + month[1:],
		"/v1/reports/reasons?" + month[1:],
		"/v1/search?q=" + url.QueryEscape(ev.YMID), "/v1/search?q=" + ev.TelegramID, "/v1/search?q=nobody-of-this-name", "/v1/search?q=app3", "/v1/search?q=" + string(ev.ID),
		"/v1/search?q=" + url.QueryEscape("https://app3.example/postback?ymid="+ev.YMID),
		"/v1/stories/" + string(ev.ID), "/v1/stories/" + delivery,
		"/v1/deliveries", "/v1/deliveries?app=app3&state=dead", "/v1/deliveries?endpoint=app3/backend", "/v1/deliveries?state=pending", "/v1/attempts", "/v1/attempts?endpoint=app3/backend&state=dead",
		"/v1/events", "/v1/events?app=app3", "/v1/events?ymid=" + url.QueryEscape(ev.YMID), "/v1/events?sub_zone=none", "/v1/events?app=app3&event_type=click&request_var=spot-1",
		"/v1/events?outcome=held", "/v1/events?network=monetag&app=app7&from=" + url.QueryEscape(now.AddDate(0, 0, -20).Format(time.RFC3339)) + "&to=" + url.QueryEscape(now.AddDate(0, 0, -19).Format(time.RFC3339)),
		"/v1/views", "/v1/views?user=u77", "/v1/views?state=confirmed",
	} {
		b.Run(strings.NewReplacer("/", "_", "?", " ").Replace(strings.TrimPrefix(path, "/v1/")), func(b *testing.B) {
			if answer := s.Local(b, "GET", path, ""); answer.Status != 200 {
				b.Fatalf("%s: %d %s", path, answer.Status, answer.Body)
			}
			var took []time.Duration
			before := cpu(b)
			for b.Loop() {
				began := time.Now()
				s.Local(b, "GET", path, "")
				took = append(took, time.Since(began))
			}
			b.ReportMetric(float64((cpu(b)-before).Microseconds())/1000/float64(len(took)), "cpu-ms/op")
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)*95/100].Microseconds())/1000, "p95-ms")
		})
	}
}

// cpu is the processor time that this process has taken.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// addUp does what the house does within a minute after the start.
func addUp(b *testing.B, dir string) {
	b.Helper()
	st, err := store.Open(dir, store.Options{Retention: 90 * 24 * time.Hour})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- st.Run(ctx) }()
	began := time.Now()
	if err := st.RollUp(ctx, began); err != nil {
		b.Error(err)
	}
	b.Logf("counts added up in %s", time.Since(began).Round(time.Millisecond))
	cancel()
	if err := <-done; err != nil {
		b.Fatal(err)
	}
	if err := st.Close(); err != nil {
		b.Fatal(err)
	}
}

// arrive sends postbacks at a rate until it is stopped.
func arrive(b *testing.B, s *caromtest.Server, rate int) (stop func()) {
	b.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var senders sync.WaitGroup
	var n atomic.Int64
	key := "Bearer " + s.Key(b, "events", "")
	for range 8 {
		senders.Go(func() {
			tick := time.NewTicker(time.Second * 8 * 20 / time.Duration(rate))
			defer tick.Stop()
			for {
				select {
				case <-ctx.Done():
					return
				case <-tick.C:
				}
				var body strings.Builder
				for range 20 {
					i := n.Add(1)
					fmt.Fprintf(&body, `{"id":"live-%d-%d","app":"app%d","source":"server","event_type":"impression","ymid":"live-%d","zone_id":"%d"}`+"\n",
						os.Getpid(), i, i%dashApps, i, i%dashZones)
				}
				caromtest.Do(b, "POST", s.URL+"/v1/events", body.String(), "Authorization", key, "Content-Type", "application/x-ndjson")
			}
		})
	}
	return func() { cancel(); senders.Wait() }
}

// fillDashboard makes a folder with events of a month, up to now.
func fillDashboard(b *testing.B, dir string, events int) {
	b.Helper()
	var clock atomic.Int64
	end := time.Now()
	step := dashDays * 24 * time.Hour / time.Duration(events)
	at := func(i int) time.Time { return end.Add(-dashDays*24*time.Hour + time.Duration(i)*step) }
	clock.Store(at(0).UnixNano())
	st, err := store.Open(dir, store.Options{Clock: func() time.Time { return time.Unix(0, clock.Load()) }, Retention: 90 * 24 * time.Hour, Decide: reward.Decide})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- st.Run(ctx) }()
	var o carom.Objects
	for a := range dashApps {
		app := fmt.Sprint("app", a)
		o.Apps = append(o.Apps, carom.App{Name: app, Currencies: map[string]int{"coins": 0}})
		o.Sources = append(o.Sources, carom.Source{App: app, Name: "monetag", Profile: "monetag", Secrets: []carom.SecretSum{{}}}, carom.Source{App: app, Name: "server", Profile: carom.ProfileAPI})
		o.Endpoints = append(o.Endpoints, carom.Endpoint{App: app, Name: "backend", URL: "https://" + app + ".example/postback?ymid={ymid}", Paused: true})
	}
	if o, err = st.SetObjects(ctx, o); err != nil {
		b.Fatal(err)
	}
	const batch = 250
	began := time.Now()
	var next atomic.Int64
	var workers sync.WaitGroup
	for range 8 {
		workers.Go(func() {
			for {
				from := int(next.Add(batch)) - batch
				if from >= events {
					return
				}
				subs := make([]*carom.Submission, 0, batch)
				for i := from; i < min(from+batch, events); i++ {
					subs = append(subs, dashEvent(i, events, at(i), &o))
				}
				clock.Store(max(clock.Load(), at(from).UnixNano()))
				st.Accept(subs...)
				for _, sub := range subs {
					if sub.Err != nil {
						b.Error(sub.Err)
						return
					}
					if len(sub.Targets) > 0 && !sub.Receipt.Duplicate {
						d := &carom.Delivery{ID: sub.Receipt.ID.Delivery(0), Event: sub.Event, Endpoint: sub.Targets[0].Endpoint, Ticket: sub.Receipt.Ticket, Since: sub.Event.At}
						a := &carom.Attempt{Delivery: d.ID, Number: 1, At: sub.Event.At, Took: 80 * time.Millisecond, State: carom.Delivered, Reason: "status 200", Method: "GET",
							URL: "https://" + sub.Event.App + ".example/postback?ymid=" + sub.Event.YMID, Status: 200, Answer: "ok"}
						if rand.IntN(500) == 0 {
							a.State, a.Reason, a.Status = carom.Dead, "status 410", 410
						}
						if err := st.Record(d, a); err != nil {
							b.Error(err)
						}
					}
				}
				if from%500_000 == 0 {
					b.Logf("%d events after %s", from, time.Since(began).Round(time.Second))
				}
			}
		})
	}
	workers.Wait()
	for i := range min(events/20, 100_000) {
		v := &carom.View{App: fmt.Sprint("app", i%dashApps), User: fmt.Sprint("u", i%5000), OpenedAt: at(events - 1 - i), ExpiresAt: at(events - 1 - i).Add(10 * time.Minute)}
		if i < 2000 { // each waits for its commit
			if err := st.OpenView(ctx, v); err != nil {
				b.Fatal(err)
			}
		}
	}
	cancel()
	if err := <-done; err != nil {
		b.Fatal(err)
	}
	if err := st.Close(); err != nil {
		b.Fatal(err)
	}
	size := int64(0)
	files, _ := filepath.Glob(filepath.Join(dir, "*"))
	for _, f := range files {
		if info, err := os.Stat(f); err == nil {
			size += info.Size()
		}
	}
	runtime.GC()
	b.Logf("filled with %d events in %s, %d MB", events, time.Since(began).Round(time.Second), size>>20)
}

// dashEvent is one event as networks send them: one in fifty a copy, one in twenty with a reward, of the newest fifth delivered.
func dashEvent(i, events int, at time.Time, o *carom.Objects) *carom.Submission {
	rnd := rand.New(rand.NewPCG(uint64(i), 1))
	a := rnd.IntN(dashApps)
	app, user := fmt.Sprint("app", a), fmt.Sprint(500_000_000+rnd.IntN(200_000))
	ymid := fmt.Sprintf("%08x-5a3c-4b1e-9d2f-%012x", uint32(i)*2654435761, i)
	if rnd.IntN(50) == 0 && i > 1000 {
		ymid = fmt.Sprintf("%08x-5a3c-4b1e-9d2f-%012x", uint32(i-rnd.IntN(1000))*2654435761, i)
	}
	ev := &carom.Event{
		App: app, Source: "monetag", Network: "monetag", Type: carom.Impression, Value: carom.Valued, YMID: ymid, ZoneID: fmt.Sprint(8_790_478 + a*dashZones + rnd.IntN(dashZones)),
		RequestVar: fmt.Sprint("spot-", rnd.IntN(3)), TelegramID: user, Price: carom.Price{Nanos: 2_300_000, Set: true}, Strength: carom.Secret,
		Received: carom.Received{At: at, Method: "GET", Path: "/in/" + app + "/monetag/***"},
	}
	ev.SubZoneID = fmt.Sprint(9_000_000 + rnd.IntN(2))
	switch rnd.IntN(10) {
	case 0:
		ev.Type = carom.Click
	case 1, 2:
		ev.Value = carom.NotValued
	}
	ev.Received.RawQuery = "ymid=" + ymid + "&event_type=" + string(ev.Type) + "&zone_id=" + ev.ZoneID + "&sub_zone_id=" + ev.SubZoneID + "&telegram_id=" + user +
		"&request_var=" + ev.RequestVar + "&estimated_price=0.0023&country=de&device=android-14-pixel-8"
	sub := &carom.Submission{Event: ev, Key: carom.DedupeKey{Sum: carom.SumOf(ymid, string(ev.Type)), Window: carom.DefaultDedupeWindow}}
	if rnd.IntN(20) == 0 {
		sub.View = carom.ViewClaim{Sum: ev.RepeatSum(), User: user}
		sub.Candidates = []carom.Candidate{{Rule: app + "/watch", Currency: "coins", Amount: 5_000_000_000, At: at, Day: int32(at.Year()*10_000 + int(at.Month())*100 + at.Day())}}
	}
	if i > events*4/5 {
		sub.Targets = []carom.Target{{Endpoint: o.Endpoints[a].No, Direct: true}}
	}
	return sub
}
