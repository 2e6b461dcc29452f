package api

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"carom"

	"github.com/google/go-cmp/cmp"
)

// week makes a rhythm that ends in the hour before noon: each character is an hour, "." nothing, a digit ten times as much.
// It is repeated to fill the seven days.
func weekOf(pattern string, last time.Time) rhythm {
	r := rhythm{From: noon().Add(-weekHours * time.Hour), Hours: make([]int64, weekHours+1), Last: last}
	for i := range weekHours {
		if c := pattern[i%len(pattern)]; c != '.' {
			r.Hours[i] = int64(c-'0') * 10
		}
	}
	return r
}

// until cuts what came to a source after a moment.
func until(r rhythm, last time.Time) rhythm {
	for i := range r.Hours {
		if !r.From.Add(time.Duration(i) * time.Hour).Before(last) {
			r.Hours[i] = 0
		}
	}
	r.Last = last.Truncate(time.Hour)
	if noon().Sub(last) <= time.Hour {
		r.Last = last
	}
	return r
}

func TestASilenceIsToldWhenItIsUnusual(t *testing.T) {
	const night = "5555555555555555........" // eight hours of every day
	ago := func(d time.Duration) time.Time { return noon().Add(-d) }
	tests := []struct {
		name   string
		rhythm rhythm
		change func(*facts)
		silent bool
	}{
		{"busy, for twenty minutes", weekOf("99999", ago(20*time.Minute)), nil, false},
		{"busy, for forty minutes", weekOf("99999", ago(40*time.Minute)), nil, true},
		{"ten an hour, for an hour", weekOf("1", ago(time.Hour)), nil, false},
		{"ten an hour, for five hours", until(weekOf("1", noon()), ago(5*time.Hour)), nil, true},
		{"quiet at night, for ten hours", until(weekOf(night, noon()), ago(10*time.Hour)), nil, false},
		{"quiet at night, for two days", until(weekOf(night, noon()), ago(48*time.Hour)), nil, true},
		{"new since this morning", until(rhythm{From: ago(weekHours * time.Hour), Hours: append(make([]int64, weekHours-8), 9, 9, 9, 9, 9, 9, 0, 0, 0)}, ago(3*time.Hour)), nil, false},
		{"a few a week", until(weekOf(strings.Repeat(".", 30)+"1", noon()), ago(60*time.Hour)), nil, false},
		{"the server has just started", until(weekOf("99999", noon()), ago(5*time.Hour)), func(f *facts) { f.Started = ago(10 * time.Minute) }, false},
		{"nothing can be stored", until(weekOf("99999", noon()), ago(5*time.Hour)), func(f *facts) { f.Trouble.Since = ago(5 * time.Hour) }, false},
		{"wrong secrets come instead", until(weekOf("99999", noon()), ago(5*time.Hour)), func(f *facts) {
			f.Hour = received("unverified:wrong_secret", 3)
		}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := healthy()
			f.Hour, f.Day = nil, nil
			f.Rhythms = map[string]rhythm{"shop/monetag": tt.rhythm}
			if tt.change != nil {
				tt.change(f)
			}
			st := judge(f)
			i := slices.IndexFunc(st.Items, func(it Item) bool { return it.Kind == KindSourceSilent })
			if (i >= 0) != tt.silent {
				t.Fatalf("items %+v, want a silent source: %t", st.Items, tt.silent)
			}
			if tt.silent && (st.Items[i].Severity != Attention || st.Items[i].Since.IsZero() || st.Sources[0].State != "silent") {
				t.Errorf("item %+v, state %+v", st.Items[i], st.Sources[0])
			}
		})
	}
}

func TestJudgeTheMachine(t *testing.T) {
	const day = 24 * time.Hour
	tests := []struct {
		name     string
		change   func(*facts)
		kind     Kind
		severity Severity
		says     string
	}{
		{"little room", func(f *facts) { f.Machine = Machine{Attention, 900 << 20, 20 << 30} }, KindDiskSpace, Attention, "900 MiB of 20.0 GiB free"},
		{"no room", func(f *facts) { f.Machine = Machine{LosingMoney, 90 << 20, 20 << 30} }, KindDiskSpace, LosingMoney, "retention"},
		{"a certificate that is kept by hand", func(f *facts) {
			f.Certificates = []Certificate{{Domain: "ads.example", NotAfter: noon().Add(10 * day)}}
		},
			KindCertificate, Attention, "expires soon"},
		{"a certificate for its last day", func(f *facts) { f.Certificates = []Certificate{{Domain: "ads.example", NotAfter: noon().Add(day / 2)}} },
			KindCertificate, LosingMoney, "expires soon"},
		{"a certificate that cannot be renewed", func(f *facts) {
			f.Certificates = []Certificate{{Domain: "ads.example", Renews: true, NotAfter: noon().Add(20 * day), Err: "rate limit"}}
		}, KindCertificate, Attention, "rate limit"},
		{"no certificate", func(f *facts) {
			f.Certificates = []Certificate{{Domain: "ads.example", Renews: true, Err: "no record"}}
		},
			KindCertificate, LosingMoney, "no record"},
		{"an expired certificate", func(f *facts) { f.Certificates = []Certificate{{Domain: "ads.example", NotAfter: noon().Add(-day)}} },
			KindCertificate, LosingMoney, "has expired"},
		{"secrets in clear", func(f *facts) { f.InClear = true }, KindInClear, Note, "secrets_key_file"},
		{"plain HTTP", func(f *facts) { f.PublicURL = "http://ads.example.com" }, KindPlainHTTP, Note, "plain HTTP"},
		{"a clock that was set back", func(f *facts) { f.ClockStep = -time.Minute }, KindClock, Attention, "set back"},
		{"a clock that was set ahead", func(f *facts) { f.ClockStep = time.Hour }, KindClock, Note, "set ahead"},
		{"a channel that fails", func(f *facts) {
			f.Channels = []AlertChannel{{Name: "email", FailingSince: noon().Add(-time.Hour), Reason: "email: no route", Waiting: 2}}
		}, KindAlertChannel, Attention, "carom alerts test"},
		{"a node that is silent", func(f *facts) {
			f.Nodes = []carom.Node{{No: 2, Name: "web-2", State: carom.NodeSilent, Seen: noon().Add(-6 * time.Second)}, {No: 1, State: carom.NodeAlive}}
		}, KindNodeSilent, Attention, "no sign of life"},
		{"a node that nobody has taken over", func(f *facts) {
			f.Nodes = []carom.Node{{No: 2, State: carom.NodeLeft, Ended: noon().Add(-time.Minute), Claimed: 3, ClockAheadMS: 60_000}}
		}, KindNodeSilent, Attention, "3 deliveries claimed"},
		{"a node's clock", func(f *facts) {
			f.Nodes = []carom.Node{{No: 1, State: carom.NodeAlive, ClockAheadMS: -5400}}
		}, KindNodeClock, Attention, "behind the database's"},
		{"answers that come too late", func(f *facts) {
			f.Backlogs = []carom.Backlog{{Endpoint: 1, Waiting: 3, Oldest: noon().Add(-time.Hour)}}
			f.Lanes[0].LastFailure = "timeout while reading"
		}, KindEndpointSlow, Attention, "within its timeout of 10s"},
		{"all is well", func(f *facts) {
			f.Machine = Machine{OK, 90 << 30, 200 << 30}
			f.Certificates = []Certificate{{Domain: "a.example", Renews: true, NotAfter: noon().Add(3 * day)}, {Domain: "b.example"}, {Domain: "c.example", NotAfter: noon().Add(60 * day)}}
			f.PublicURL, f.ClockStep = "http://10.0.0.7:8080", 2*time.Second
			f.Channels = []AlertChannel{{Name: "email"}}
			f.Nodes = []carom.Node{{No: 2, State: carom.NodeAlive, ClockAheadMS: 4900}, {No: 1, State: carom.NodeEnded, Ended: noon()}}
		}, "", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := healthy()
			tt.change(f)
			st := judge(f)
			if tt.kind == "" {
				if len(st.Items) > 0 {
					t.Errorf("items %+v", st.Items)
				}
				return
			}
			if len(st.Items) != 1 {
				t.Fatalf("items %+v, want one", st.Items)
			}
			it := st.Items[0]
			if it.Kind != tt.kind || it.Severity != tt.severity || !strings.Contains(it.What+it.HowMuch+it.Next, tt.says) {
				t.Errorf("item %+v, want %s, %s saying %q", it, tt.kind, tt.severity, tt.says)
			}
			if it.Runbook != "docs/runbook/"+string(tt.kind)+".md" || !slices.Contains(Kinds(), it.Kind) {
				t.Errorf("the runbook is %q", it.Runbook)
			}
		})
	}
}

func TestStatesOfSourcesAndEndpoints(t *testing.T) {
	f := healthy()
	f.Objects.Sources = append(f.Objects.Sources, carom.Source{App: "shop", Name: "orders", Profile: carom.ProfileAPI})
	f.Objects.Endpoints = append(f.Objects.Endpoints, carom.Endpoint{No: 2, App: "shop", Name: "coins", Sends: carom.SendsRewards})
	f.Heard["shop/orders"] = true
	f.Rhythms = map[string]rhythm{"shop/monetag": {Last: noon().Add(-time.Minute)}, "shop/orders": {Last: noon().Add(-5 * time.Hour)}}
	f.Hour = append(f.Hour, received("refused:no_identity", 4)...)
	f.Hour = append(f.Hour, received(carom.OutcomeDuplicate, 2)...)
	f.Hour = append(f.Hour, received("unverified:wrong_secret", 1)...)
	f.Lanes = append(f.Lanes, carom.LaneState{Endpoint: "shop/coins", Breaker: "open", LastFailure: "status 503", Since: noon().Add(-time.Hour), Queued: 3})
	f.Backlogs = []carom.Backlog{{Endpoint: 2, Waiting: 40, Oldest: noon().Add(-time.Hour)}}
	st := judge(f)
	for i := range st.Sources {
		st.Sources[i].Next = ""
	}
	for i := range st.Endpoints {
		st.Endpoints[i].Next = ""
	}
	wantSources := []SourceStatus{
		{ID: "shop/monetag", State: "losing", LastReceived: noon().Add(-time.Minute), LastHour: HourCounts{120, 2, 4, 1}},
		{ID: "shop/orders", State: "quiet", Since: noon().Add(-5 * time.Hour), LastReceived: noon().Add(-5 * time.Hour)},
	}
	if diff := cmp.Diff(wantSources, st.Sources); diff != "" {
		t.Errorf("sources (-want +got):\n%s", diff)
	}
	wantEndpoints := []EndpointStatus{
		{ID: "shop/backend", State: "ok"},
		{ID: "shop/coins", State: "dead", Since: noon().Add(-time.Hour), Fault: Receiver, Waiting: 40, OldestWaiting: noon().Add(-time.Hour),
			FirstExpires: noon().Add(carom.RewardDeadline - time.Hour), LastFailure: "status 503"},
	}
	if diff := cmp.Diff(wantEndpoints, st.Endpoints); diff != "" {
		t.Errorf("endpoints (-want +got):\n%s", diff)
	}
}

// A backend that is down for four days: at every moment the status says which endpoint, whose fault and what to do, and
// nothing of rewards expires. Their deadline is seven days, so that it becomes a loss when six have passed.
func TestABackendThatIsDownForFourDays(t *testing.T) {
	down := noon()
	for hours := range 7 * 24 {
		f := healthy()
		f.Now = down.Add(time.Duration(hours) * time.Hour)
		f.Objects.Endpoints[0].Sends = carom.SendsRewards
		f.Lanes[0] = carom.LaneState{Endpoint: "shop/backend", Breaker: "open", LastFailure: "status 503", Since: down}
		f.Backlogs = []carom.Backlog{{Endpoint: 1, Waiting: int64(1 + 10*hours), Oldest: down}}
		st := judge(f)
		want := Attention
		if hours > 6*24 {
			want = LosingMoney
		}
		i := slices.IndexFunc(st.Items, func(it Item) bool { return it.Kind == KindEndpointDead })
		if i < 0 || st.Verdict != want || st.Items[i].Fault != Receiver || !st.Items[i].Since.Equal(down) {
			t.Fatalf("after %d hours: verdict %s, want %s; items %+v", hours, st.Verdict, want, st.Items)
		}
		if e := st.Endpoints[0]; !e.FirstExpires.Equal(down.Add(carom.RewardDeadline)) {
			t.Fatalf("after %d hours the first expires %s", hours, e.FirstExpires)
		}
	}
}

func TestStatusLearnsFromTheWeekOnce(t *testing.T) {
	w := newWorld()
	now := noon()
	h := New(Options{Store: w.store, Door: w.door, Lanes: w.lanes, Objects: w.objects, Now: func() time.Time { return now }})
	for range 3 {
		if _, err := h.Status(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if w.store.weeks != 1 {
		t.Errorf("the week was read %d times within a moment, want once", w.store.weeks)
	}
	now = now.Add(weekKept)
	if _, err := h.Status(t.Context()); err != nil || w.store.weeks != 2 {
		t.Errorf("after %s the week was read %d times, %v", weekKept, w.store.weeks, err)
	}
	w.store.err = errors.New("database is locked")
	if _, err := h.Status(t.Context()); err == nil {
		t.Error("a status that cannot be gathered is no error")
	}
}

func TestWhatConcernsTheServerIsToldToThoseWhoSeeAll(t *testing.T) {
	w := newWorld()
	h := New(Options{
		Store: w.store, Door: w.door, Lanes: w.lanes, Objects: w.objects, Now: noon, Alerts: &fakeAlerts{},
		Machine:      func() Machine { return Machine{Disk: LosingMoney, DiskFree: 1, DiskTotal: 2} },
		Certificates: func() []Certificate { return []Certificate{{Domain: "ads.example", Err: "no record"}} },
	})
	w.handler = h
	all := w.ask(t, "read", "GET /v1/status", "").Body.String()
	for _, want := range []string{`"kind":"disk-space"`, `"kind":"certificate"`, `"kind":"alert-channel"`, `"runbook":"docs/runbook/disk-space.md"`, `"sources":[`, `"endpoints":[`} {
		if !strings.Contains(all, want) {
			t.Errorf("the status lacks %s: %s", want, all)
		}
	}
	one := w.ask(t, "game-read", "GET /v1/status", "").Body.String()
	for _, hidden := range []string{"disk-space", "certificate", "alert-channel", "shop/"} {
		if strings.Contains(one, hidden) {
			t.Errorf("a key of one app sees %s: %s", hidden, one)
		}
	}
}

// fakeAlerts has one open alert and one channel, which fails.
type fakeAlerts struct{ tested int }

func (a *fakeAlerts) Alerts() AlertList {
	return AlertList{
		Open: []Alert{{Kind: KindEndpointDead, Subject: "endpoint shop/backend", Severity: Attention, Fault: Receiver, Opened: noon()}}, Ended: []Alert{},
		Channels: []AlertChannel{{Name: "slack", FailingSince: noon(), Reason: "slack: status 404", Waiting: 1}},
	}
}

func (a *fakeAlerts) Test(context.Context) []AlertTest {
	a.tested++
	return []AlertTest{{Channel: "slack", Answer: "slack: status 404"}}
}

func TestAlertsRoutes(t *testing.T) {
	w, alerts := newWorld(), &fakeAlerts{}
	if rec := w.ask(t, "admin", "POST /v1/alerts/test", ""); rec.Code != 409 || !strings.Contains(rec.Body.String(), "alert_email_to") {
		t.Errorf("a test without channels: %d %s", rec.Code, rec.Body)
	}
	if list := decode[AlertList](t, w.ask(t, "read", "GET /v1/alerts", ""), 200); list.Open == nil || list.Channels == nil {
		t.Errorf("without alerts: %+v", list)
	}
	w.handler = New(Options{Store: w.store, Door: w.door, Lanes: w.lanes, Objects: w.objects, Now: noon, Alerts: alerts})
	if list := decode[AlertList](t, w.ask(t, "read", "GET /v1/alerts", ""), 200); len(list.Open) != 1 || list.Channels[0].Reason == "" {
		t.Errorf("alerts: %+v", list)
	}
	for _, tt := range []struct {
		key, route string
		want       int
	}{
		{"game-read", "GET /v1/alerts", 403}, {"read", "POST /v1/alerts/test", 403}, {"game-admin", "POST /v1/alerts/test", 403},
	} {
		if rec := w.ask(t, tt.key, tt.route, ""); rec.Code != tt.want {
			t.Errorf("%s with the key %s: %d, want %d", tt.route, tt.key, rec.Code, tt.want)
		}
	}
	rec := w.ask(t, "admin", "POST /v1/alerts/test", "")
	var made AlertTests
	if err := json.Unmarshal(rec.Body.Bytes(), &made); err != nil || rec.Code != 200 || alerts.tested != 1 || len(made.Tests) != 1 || made.Tests[0].OK {
		t.Errorf("a test: %d %s, %v", rec.Code, rec.Body, err)
	}
}
