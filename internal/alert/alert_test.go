package alert

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
)

// fakeChannel keeps what it is sent, unless it fails.
type fakeChannel struct {
	name string
	sent []Notification
	err  error
}

func (c *fakeChannel) Name() string { return c.name }

func (c *fakeChannel) Send(_ context.Context, n Notification) (string, error) {
	if c.err != nil {
		return "", c.err
	}
	c.sent = append(c.sent, n)
	return "taken", nil
}

func (c *fakeChannel) subjects() []string {
	var out []string
	for _, n := range c.sent {
		out = append(out, n.Subject)
	}
	return out
}

// rig is a watch whose rounds a test makes, with a scripted status and one channel.
type rig struct {
	*Watch
	t       *testing.T
	channel *fakeChannel
	found   []Finding
	err     error
	now     time.Time
	log     strings.Builder
	data    string
	reg     *prometheus.Registry
}

func newRig(t *testing.T) *rig {
	r := &rig{t: t, channel: &fakeChannel{name: "email"}, now: noon(), data: t.TempDir()}
	r.restart()
	return r
}

// restart makes a new watch of what the old one stored.
func (r *rig) restart() {
	r.reg = prometheus.NewRegistry()
	r.Watch = New(Options{
		Judge: func(context.Context) ([]Finding, error) { return r.found, r.err },
		Failed: func(err error) Finding {
			return Finding{Kind: "status-failed", Subject: "server", Severity: Attention, What: err.Error()}
		},
		Channels: []Channel{r.channel}, Memory: File(r.data), Server: "ads.example", Metrics: r.reg,
		Log: slog.New(slog.NewTextHandler(&r.log, nil)),
	})
}

// run makes the rounds of a time.
func (r *rig) run(d time.Duration) {
	for end := r.now.Add(d); r.now.Before(end); {
		r.now = r.now.Add(every)
		r.round(r.t.Context(), r.now)
	}
}

func TestATroubleIsToldOnceAlsoAfterARestart(t *testing.T) {
	r := newRig(t)
	r.found = []Finding{dead("shop/backend"), losing(dead("shop/tracker"))}
	r.run(time.Hour)
	want := []string{
		"[ads.example] LOSING MONEY: endpoint shop/tracker: endpoint-dead",
		"[ads.example] Needs a look: endpoint shop/backend: endpoint-dead",
	}
	if diff := cmp.Diff(want, r.channel.subjects()); diff != "" {
		t.Fatalf("sent (-want +got):\n%s", diff)
	}
	if families, err := r.reg.Gather(); err != nil || len(families) != 1 || families[0].GetMetric()[0].GetGauge().GetValue() != 2 {
		t.Errorf("metrics %v, %v, want 2 open", families, err)
	}
	r.now = r.now.Add(time.Hour) // the server is down
	r.restart()
	r.run(time.Hour)
	if len(r.channel.sent) != 2 {
		t.Errorf("after a restart it was told again: %v", r.channel.subjects()[2:])
	}
	r.found = nil
	r.run(10 * time.Minute)
	if len(r.channel.sent) != 3 || !strings.Contains(r.channel.sent[2].Subject, "Over: endpoint shop/backend: endpoint-dead (and 1 more)") ||
		!strings.Contains(r.channel.sent[2].Text, "Nothing is open any more") {
		t.Errorf("the end was told as %+v", r.channel.sent[2:])
	}
	r.restart()
	if s := r.State(); len(s.Open) != 0 || len(s.Ended) != 2 || s.Ended[0].Ended.IsZero() {
		t.Errorf("state %+v, want two that ended", s)
	}
}

func TestATroubleThatEndsWhileTheServerIsDownEnds(t *testing.T) {
	r := newRig(t)
	r.found = []Finding{dead("shop/backend")}
	r.run(5 * time.Minute)
	r.now, r.found = r.now.Add(24*time.Hour), nil
	r.restart()
	r.run(quiet)
	if n := len(r.State().Open); n != 1 {
		t.Errorf("%d open before the start is five minutes ago, want 1: the first facts after a start may not be all", n)
	}
	r.run(time.Minute)
	if n := len(r.State().Open); n != 0 {
		t.Errorf("%d open, want none", n)
	}
}

func TestAChannelThatFailsIsTriedAgainAndTellsAll(t *testing.T) {
	r := newRig(t)
	r.found, r.channel.err = []Finding{dead("shop/backend")}, errors.New("email: no route")
	r.run(10 * time.Minute)
	ch := r.State().Channels[0]
	if ch.FailingSince.IsZero() || ch.Reason != "email: no route" || ch.Waiting != 1 {
		t.Errorf("channel %+v, want one that fails and has one change to tell", ch)
	}
	if n := strings.Count(r.log.String(), "level=WARN"); n != 1 {
		t.Errorf("the failure is logged %d times, want once:\n%s", n, r.log.String())
	}
	r.restart() // what waits is stored
	r.found, r.channel.err = append(r.found, dead("shop/tracker")), nil
	r.run(20 * time.Minute)
	want := []string{"[ads.example] Needs a look: endpoint shop/backend: endpoint-dead", "[ads.example] Needs a look: endpoint shop/tracker: endpoint-dead"}
	if diff := cmp.Diff(want, r.channel.subjects()); diff != "" {
		t.Errorf("sent (-want +got):\n%s", diff)
	}
	if ch := r.State().Channels[0]; !ch.FailingSince.IsZero() || ch.LastSent.IsZero() || ch.Waiting != 0 {
		t.Errorf("channel %+v, want one that works", ch)
	}
}

func TestWhatBeganAndEndedUntoldIsNotTold(t *testing.T) {
	r := newRig(t)
	r.found, r.channel.err = []Finding{dead("shop/backend")}, errors.New("down")
	r.run(5 * time.Minute)
	r.found = nil
	r.run(10 * time.Minute)
	r.channel.err = nil
	r.run(time.Hour)
	if len(r.channel.sent) != 0 {
		t.Errorf("sent %v", r.channel.subjects())
	}
}

func TestAChannelWaitsAsLongAsItIsAsked(t *testing.T) {
	o := &outlet{Channel: &fakeChannel{}}
	o.add([]change{{What: opened, Alert: Alert{Finding: dead("a/b")}}})
	o.settle(noon(), 1, &LaterError{10 * time.Minute, errors.New("slow down")})
	if _, n := o.take(noon().Add(9*time.Minute), "s", nil); n != 0 {
		t.Error("it is tried again before the time that was asked for")
	}
	if _, n := o.take(noon().Add(10*time.Minute), "s", nil); n != 1 {
		t.Error("it is not tried again")
	}
	for range 100 {
		o.settle(noon(), 1, errors.New("no"))
	}
	if wait := o.notYet.Sub(noon()); wait != waitLongest {
		t.Errorf("after many failures it waits %s, want %s", wait, waitLongest)
	}
}

func TestNotificationsAreBoundedAndSumUpTheRest(t *testing.T) {
	r := newRig(t)
	for i := range 60 { // one more trouble each minute
		r.found = append(r.found, dead(fmt.Sprintf("shop/e%02d", i)))
		r.run(time.Minute)
	}
	if n := len(r.channel.sent); n != perHour {
		t.Fatalf("%d notifications within an hour, want %d", n, perHour)
	}
	r.run(5 * time.Minute)
	last := r.channel.sent[len(r.channel.sent)-1]
	told := 0
	for _, n := range r.channel.sent {
		told += strings.Count(n.Text, "Needs a look: ")
		var more int
		if _, rest, ok := strings.Cut(n.Text, "\n\nand "); ok {
			_, _ = fmt.Sscanf(rest, "%d more.", &more)
		}
		told += more
	}
	if told != 60 || !strings.Contains(last.Text, " more.\n") {
		t.Errorf("%d troubles were told or counted, want 60; the last notification:\n%s", told, last.Text)
	}
	before := len(r.channel.sent)
	for i := range 3 { // losing money is told though the bound is reached
		r.found = append(r.found, losing(dead(fmt.Sprintf("shop/money%d", i))))
		r.run(time.Minute)
	}
	if n := len(r.channel.sent) - before; n != 3 {
		t.Errorf("%d notifications of money being lost, want 3", n)
	}
	for _, n := range r.channel.sent {
		if len([]rune(n.Text)) > maxText || strings.ContainsAny(n.Subject, "\r\n") {
			t.Errorf("a notification of %d characters: %q", len(n.Text), n.Subject)
		}
	}
}

func TestAStatusThatCannotBeJudgedIsATrouble(t *testing.T) {
	r := newRig(t)
	r.found = []Finding{dead("shop/backend")}
	r.run(5 * time.Minute)
	r.err = errors.New("database is locked")
	r.run(10 * time.Minute)
	var open []string
	for _, a := range r.State().Open {
		open = append(open, a.Kind)
	}
	if diff := cmp.Diff([]string{"status-failed", "endpoint-dead"}, open); diff != "" {
		t.Errorf("open (-want +got):\n%s", diff)
	}
}

func TestAFileThatCannotBeReadIsBegunAnew(t *testing.T) {
	for _, text := range []string{"", "{", `{"version":9}`, `{"version":1,"troubles":[null]}`, `[]`} {
		r := newRig(t)
		if err := os.WriteFile(filepath.Join(r.data, fileName), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		r.restart()
		if !strings.Contains(r.log.String(), "alerts begin anew") {
			t.Errorf("%q: nothing is logged", text)
		}
		r.found = []Finding{dead("shop/backend")}
		r.run(5 * time.Minute)
		if len(r.channel.sent) != 1 {
			t.Errorf("%q: sent %v", text, r.channel.subjects())
		}
	}
}

func TestADiskThatTakesNothingStopsNoAlert(t *testing.T) {
	r := newRig(t)
	r.data = filepath.Join(r.data, "gone")
	r.restart()
	r.found = []Finding{dead("shop/backend")}
	r.run(time.Hour)
	if len(r.channel.sent) != 1 || strings.Count(r.log.String(), "cannot be stored") != 1 {
		t.Errorf("sent %v; log:\n%s", r.channel.subjects(), r.log.String())
	}
}

// fakeMemory is a memory that several watches share, and who of them is on duty.
type fakeMemory struct {
	data []byte
	on   string // who has the duty
	err  error  // of everything, while nobody can be reached
}

func (m *fakeMemory) Load(context.Context) ([]byte, error) { return m.data, m.err }

func (m *fakeMemory) Save(_ context.Context, data []byte) error {
	if m.err == nil {
		m.data = data
	}
	return m.err
}

// nodes are rigs of several nodes with one memory and one channel.
func nodes(t *testing.T, m *fakeMemory, names ...string) map[string]*rig {
	channel, out := &fakeChannel{name: "email"}, map[string]*rig{}
	for _, name := range names {
		r := &rig{t: t, channel: channel, now: noon()}
		r.Watch = New(Options{
			Judge: func(context.Context) ([]Finding, error) { return r.found, r.err },
			Failed: func(err error) Finding {
				return losing(Finding{Kind: "status-failed", Subject: "server", What: err.Error()})
			},
			Channels: []Channel{channel}, Memory: m, Server: "ads.example", Log: slog.New(slog.NewTextHandler(&r.log, nil)),
			OnDuty: func(context.Context) (bool, error) { return m.on == name, m.err },
		})
		out[name] = r
	}
	return out
}

// runAll makes the rounds of a time on all nodes by turns.
func runAll(rigs map[string]*rig, d time.Duration) {
	for range int(d / every) {
		for _, r := range rigs {
			r.run(every)
		}
	}
}

func TestOneNodeTellsAndTheNextRepeatsNothing(t *testing.T) {
	m := &fakeMemory{on: "a"}
	rigs := nodes(t, m, "a", "b")
	a, b := rigs["a"], rigs["b"]
	for _, r := range rigs {
		r.found = []Finding{dead("shop/backend")}
	}
	runAll(rigs, time.Hour)
	if len(a.channel.sent) != 1 {
		t.Fatalf("two nodes sent %v, want one notification", a.channel.subjects())
	}
	if s := b.State(); len(s.Open) != 1 {
		t.Errorf("the node that does not tell shows %+v, want what the other has opened", s)
	}
	m.on = "b"
	delete(rigs, "a") // it is gone
	runAll(rigs, time.Hour)
	if len(a.channel.sent) != 1 {
		t.Errorf("the next node told again: %v", a.channel.subjects()[1:])
	}
	m.on, rigs["a"] = "a", a // and back, with what was known here out of date
	b.found, a.found = nil, nil
	runAll(rigs, time.Hour)
	if n := len(a.channel.sent); n != 2 || !strings.HasPrefix(a.channel.sent[n-1].Subject, "[ads.example] Over: ") {
		t.Errorf("sent %v, want the end, once", a.channel.subjects())
	}
	if got := b.State(); len(got.Open) != 0 || len(got.Ended) != 1 {
		t.Errorf("the node that does not tell shows %+v, want one that ended", got)
	}
}

// When nobody can say who has the duty, such as when the database is gone together with the node that had it, each node tells by
// itself, and whoever has the duty afterwards tells of the end.
func TestANodeThatCannotAskTellsByItself(t *testing.T) {
	m := &fakeMemory{on: "c"} // which is gone
	rigs := nodes(t, m, "a")
	a := rigs["a"]
	runAll(rigs, 5*time.Minute)
	m.err, a.err = errors.New("no route"), errors.New("no route")
	a.run(lasts)
	if len(a.channel.sent) != 0 {
		t.Errorf("sent %v before it is clear that nobody else does", a.channel.subjects())
	}
	a.run(2 * time.Minute)
	want := []string{"[ads.example] LOSING MONEY: server: status-failed"}
	if diff := cmp.Diff(want, a.channel.subjects()); diff != "" {
		t.Fatalf("sent (-want +got):\n%s", diff)
	}
	m.err, a.err, m.on = nil, nil, "a"
	a.run(quiet + 2*every)
	if diff := cmp.Diff(append(want, "[ads.example] Over: server: status-failed"), a.channel.subjects()); diff != "" {
		t.Errorf("sent (-want +got):\n%s", diff)
	}
	if n := strings.Count(a.log.String(), "tells of alerts by itself"); n != 1 {
		t.Errorf("%d times:\n%s", n, a.log.String())
	}
}

// Who has the duty goes on while the database does not answer, and tells of that; also of its end, when another has the duty by then.
func TestWhoHasTheDutyKeepsItWhileNobodyCanBeAsked(t *testing.T) {
	m := &fakeMemory{on: "a"}
	rigs := nodes(t, m, "a", "b")
	a, b := rigs["a"], rigs["b"]
	a.found = []Finding{dead("shop/backend")}
	runAll(rigs, time.Hour)
	m.err, a.err = errors.New("no route"), errors.New("no route")
	a.run(every + lastsLosing)
	m.err, a.err, m.on = nil, nil, "b"
	b.found = a.found
	runAll(rigs, time.Hour)
	want := []string{
		"[ads.example] Needs a look: endpoint shop/backend: endpoint-dead", "[ads.example] LOSING MONEY: server: status-failed",
		"[ads.example] Over: server: status-failed",
	}
	if diff := cmp.Diff(want, a.channel.subjects()); diff != "" {
		t.Errorf("sent (-want +got):\n%s", diff)
	}
	if s := a.State(); len(s.Open) != 1 || s.Open[0].Kind != "endpoint-dead" {
		t.Errorf("in the end it shows %+v, want what is stored", s.Open)
	}
}

func TestTestAsksEveryChannel(t *testing.T) {
	r := newRig(t)
	bad := &fakeChannel{name: "slack", err: errors.New("slack: status 404")}
	r.channels = append(r.channels, &outlet{Channel: bad})
	got := r.Test(t.Context())
	if len(got) != 2 || got[0].Err != nil || got[0].Answer != "taken" || got[1].Err == nil || got[1].Channel != "slack" {
		t.Errorf("tested %+v", got)
	}
	if len(r.channel.sent) != 1 || !strings.Contains(r.channel.sent[0].Text, "Nothing is wrong") {
		t.Errorf("sent %+v", r.channel.sent)
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := newRig(t).Run(ctx); err != nil {
		t.Errorf("Run: %v", err)
	}
}

// Shows 5 of the worst night: a backend that is down for four days. Rewards have a deadline of seven days, so that nothing
// expires, and one alert comes with a reminder each day, until a day is left.
func TestABackendThatIsDownForFourDays(t *testing.T) {
	r := newRig(t)
	r.found = []Finding{dead("shop/coins")}
	r.run(4 * 24 * time.Hour)
	var kinds []string
	for _, n := range r.channel.sent {
		kinds = append(kinds, strings.SplitN(strings.TrimPrefix(n.Subject, "[ads.example] "), ":", 2)[0])
	}
	want := []string{"Needs a look", "Still needs a look", "Still needs a look", "Still needs a look"}
	if diff := cmp.Diff(want, kinds); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
	if !strings.Contains(r.channel.sent[0].Text, "docs/runbook/endpoint-dead.md") || !strings.Contains(r.channel.sent[0].Text, "no money is being lost") {
		t.Errorf("the alert says:\n%s", r.channel.sent[0].Text)
	}
	r.found = nil
	r.run(6 * time.Minute)
	if n := r.channel.sent[len(r.channel.sent)-1]; !strings.Contains(n.Subject, "Over: endpoint shop/coins") {
		t.Errorf("the end was told as %q", n.Subject)
	}
}
