package main

import (
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"carom"
	"carom/bench/pgbooks"
	"carom/internal/pgtest"

	"github.com/google/go-cmp/cmp"
)

func TestParseOptions(t *testing.T) {
	o, err := parseOptions([]string{"-duration", "1m", "-rate", "500"}, io.Discard)
	if err != nil || o.Duration != time.Minute || o.Rate != 500 || o.Seed == 0 {
		t.Errorf("options %+v, %v", o, err)
	}
	for _, args := range [][]string{{"-duration", "1s"}, {"-rate", "0"}, {"-senders", "0"}, {"-only", "rain"}, {"-none"}} {
		if _, err := parseOptions(args, io.Discard); err == nil {
			t.Errorf("%v is taken", args)
		}
	}
}

// echo serves until the test ends: it sends back what it gets.
func echo(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.Copy(c, c) // until the proxy hangs up
				_ = c.Close()
			}()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-ended
	})
	return l.Addr().String()
}

func TestProxyCutsTheWay(t *testing.T) {
	p, err := newProxy("127.0.0.1", echo(t))
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	dial := func() net.Conn {
		t.Helper()
		c, err := net.Dial("tcp", p.addr())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	said := func(c net.Conn) error {
		if _, err := c.Write([]byte("x")); err != nil {
			return err
		}
		_, err := c.Read(make([]byte, 1))
		return err
	}
	c := dial()
	if err := said(c); err != nil {
		t.Fatalf("an open way: %v", err)
	}

	p.set(silent)
	if _, err := c.Write([]byte("y")); err != nil {
		t.Fatalf("writing into a silent cut: %v, want nobody to notice", err)
	}
	_ = c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if _, err := c.Read(make([]byte, 1)); err == nil || !isTimeout(err) {
		t.Errorf("reading in a silent cut: %v, want nothing to arrive", err)
	}
	p.set(open)
	_ = c.SetReadDeadline(time.Time{})
	if _, err := c.Read(make([]byte, 1)); err != nil {
		t.Errorf("after a silent cut: %v, want what was on its way", err)
	}

	p.set(refuse)
	if err := said(c); err == nil {
		t.Error("a refused connection still answers")
	}
	if c, err := net.Dial("tcp", p.addr()); err == nil { // the reset may come before the system calls it connected
		if err := said(c); err == nil {
			t.Error("a new connection is not refused")
		}
		_ = c.Close() // it is reset
	}
	p.set(open)
	if err := said(dial()); err != nil {
		t.Errorf("a new connection over the way opened again: %v", err)
	}
}

func isTimeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}

func TestMessage(t *testing.T) {
	for line, want := range map[string]string{
		`time=2026-11-23T00:22:46.036Z level=WARN msg="what a node left is taken over" node=3`: "WARN what a node left is taken over",
		`time=2026-11-23T00:22:46.036Z level=ERROR msg=failed error="x"`:                       "ERROR failed",
		"panic: at the disco": "panic: at the disco",
	} {
		if got := message(line); got != want {
			t.Errorf("message(%s) = %q, want %q", line, got, want)
		}
	}
}

// sound returns accounts that agree: one event of each zone, one reward, one postback sent twice across a fault.
func sound() *facts {
	at := func(s int) time.Time { return time.Date(2026, 1, 2, 3, 0, s, 0, time.UTC) }
	f := &facts{
		flowed: time.Second, books: &pgbooks.Books{}, arrivals: map[delivery]*arrival{}, views: map[carom.ViewID]string{"vw_1": "confirmed"},
		faults: []*occurrence{{Name: "node killed", InFlight: 1, from: at(10), to: at(12)}},
	}
	for i, z := range zones {
		e := entry{ymid: z.id, zone: uint8(i), event: carom.Impression, value: carom.Valued, acked: true}
		f.entries = append(f.entries, e)
		stored := pgbooks.Event{
			Place: carom.Ref{Bucket: 1, Node: 2, Seq: uint32(i + 1)}, YMID: e.ymid, Zone: z.id, Type: e.event, Value: e.value,
			Deliveries: []pgbooks.Delivery{{Endpoint: i + 1, State: carom.Delivered}},
		}
		place := pgbooks.PlaceOf(stored.Place)
		f.arrivals[delivery{place, 0}] = &arrival{path: z.path, key: e.key(), requests: []time.Time{at(9)}, accepted: []time.Time{at(9)}}
		if z.earns {
			stored.Deliveries = append(stored.Deliveries, pgbooks.Delivery{Ordinal: 1, Endpoint: 9, Reward: true, State: carom.Delivered})
			reward := pgbooks.Reward{ID: carom.NewRewardID(1, int64(i)), YMID: e.ymid, Zone: z.id, User: e.user(), Amount: price * 1_000_000_000, State: carom.RewardGranted}
			f.books.Rewards = append(f.books.Rewards, reward)
			f.arrivals[delivery{place, 1}] = &arrival{path: bank, key: string(reward.ID) + ".granted", requests: []time.Time{at(9)}, accepted: []time.Time{at(9)}}
		}
		f.books.Events = append(f.books.Events, stored)
	}
	first := f.arrivals[delivery{pgbooks.PlaceOf(f.books.Events[0].Place), 0}]
	first.accepted = append(first.accepted, at(20))
	return f
}

func TestReportFindsWhatDoesNotAgree(t *testing.T) {
	of := func(f *facts, zone int) *arrival {
		return f.arrivals[delivery{pgbooks.PlaceOf(f.books.Events[zone].Place), 0}]
	}
	tests := []struct {
		name   string
		breaks func(f *facts)
		want   []string
	}{
		{"nothing", func(*facts) {}, nil},
		{"an acknowledged event is gone", func(f *facts) { f.books.Events = f.books.Events[1:] }, []string{"acknowledged events missing", "postbacks about events that are not stored"}},
		{"an event is there twice", func(f *facts) {
			copied := f.books.Events[0]
			copied.Place.Seq = 99
			f.books.Events = append(f.books.Events, copied)
		}, []string{"events stored twice"}},
		{"an event came under two ids", func(f *facts) {
			f.arrivals[delivery{99, 0}] = of(f, 0)
		}, []string{"events or rewards that came with two delivery ids", "postbacks accepted twice"}},
		{"a reward is gone", func(f *facts) { f.books.Rewards = f.books.Rewards[1:] }, []string{"rewards lost: a paid view without one"}},
		{"a view is paid twice", func(f *facts) {
			f.books.Rewards = append(f.books.Rewards, f.books.Rewards[0])
		}, []string{"views rewarded twice"}},
		{"a delivery waits", func(f *facts) { f.books.Events[0].Deliveries[0].State = carom.Pending }, []string{"deliveries that have not ended, without an open breaker"}},
		{"a delivery waits for its breaker", func(f *facts) {
			f.books.Events[0].Deliveries[0].State, f.open = carom.Pending, map[int]bool{1: true}
		}, nil},
		{"a delivery is nowhere", func(f *facts) { f.books.Events[0].Deliveries[0].State = pgbooks.Unexplained }, []string{"deliveries neither ended nor waiting, or both"}},
		{"a delivery never came", func(f *facts) { of(f, 1).accepted = nil }, []string{"deliveries called delivered that no endpoint accepted"}},
		{"a delivery to once is repeated", func(f *facts) {
			of(f, 4).requests = append(of(f, 4).requests, of(f, 4).requests[0])
		}, []string{"postbacks sent twice to the endpoint that forbids it"}},
		{"more is repeated than was in flight", func(f *facts) { f.faults[0].InFlight = 0 }, []string{"postbacks accepted twice"}},
		{"something is repeated without a fault", func(f *facts) {
			f.faults[0].from, f.faults[0].to = f.faults[0].from.Add(time.Hour), f.faults[0].to.Add(time.Hour)
		},
			[]string{"  of them without a fault between"}},
		{"the ledger has a fault", func(f *facts) { f.ledger.Faults = []string{"x"} }, []string{"faults in the ledger"}},
		{"a view was paid and waits", func(f *facts) { f.views["vw_1"] = "open" }, []string{"of them not confirmed, although paid"}},
		{"a dead node's work was left for long", func(f *facts) { f.faults[0].killed, f.faults[0].TakenOver = f.faults[0].from, 15.1 },
			[]string{"  of them longer than 15 s without another fault"}},
		{"a dead node's work waited for another fault to end", func(f *facts) {
			next := *f.faults[0]
			f.faults[0].killed, f.faults[0].TakenOver = f.faults[0].from, 15.1
			next.from, next.to = next.to, next.to.Add(time.Second)
			f.faults = append(f.faults, &next)
		}, nil},
		{"something was acknowledged without the replica", func(f *facts) { f.faults[0].Name, f.faults[0].Acked = "replica away", 1 },
			[]string{"acknowledged while the replica was away"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := sound()
			tt.breaks(f)
			var got []string
			for _, x := range f.report(options{Rate: 1}).Lines {
				if !x.Holds {
					got = append(got, x.Text)
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("lines that do not hold (-want +got):\n%s", diff)
			}
		})
	}
}

// runAlone runs three real nodes under load through faults of one kind, and compares their books.
func runAlone(t *testing.T, only fault) *facts {
	t.Helper()
	pgtest.Server(t) // skips where there is none
	dir := t.TempDir()
	o := options{Carom: filepath.Join(dir, "carom"), Dir: filepath.Join(dir, "nodes"), Duration: 10 * time.Second, Rate: 200, Senders: 64, Seed: 1, Drain: time.Minute, Only: only.name}
	build := exec.Command("go", "build", "-buildvcs=false", "-o", o.Carom, "carom/cmd/carom")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the server: %v\n%s", err, out)
	}
	c, err := newChaos(o, t.Output())
	if err != nil {
		t.Fatal(err)
	}
	f, err := c.run(t.Context())
	if err := errors.Join(err, c.close()); err != nil {
		t.Fatal(err)
	}
	r := &report{}
	f.takeovers(r)
	f.traffic(r, o)
	r.print(t.Output())
	r = &report{} // what it said depends on the machine
	f.compare(r)
	for _, x := range r.Lines {
		if !x.Holds {
			t.Errorf("%s: %s, must be %s: %q", x.Text, x.Value, x.Rule, x.Examples)
		}
	}
	if f.sums.Acked == 0 {
		t.Error("nothing was acknowledged: this test shows nothing")
	}
	return f
}

// What a node that dies had in its hands others deliver: all of it, and again only what may have been in flight.
func TestOthersDeliverForADeadNode(t *testing.T) {
	f := runAlone(t, deadNode)
	for _, o := range f.faults {
		if o.Held == 0 {
			t.Errorf("%s held nothing: this test shows nothing", o.Node)
		}
	}
}

// A new release comes node by node, while postbacks flow: nothing is lost, and nothing is stored or delivered twice.
func TestRollingUpgrade(t *testing.T) {
	f := runAlone(t, restartsAll)
	if want := nodes * int64(1+len(f.faults)); f.books.Nodes != want {
		t.Errorf("%d leases were taken in %d upgrades, want %d", f.books.Nodes, len(f.faults), want)
	}
}

func TestTheSeedDecides(t *testing.T) {
	drawn := func() []entry {
		o := options{Seed: 5, Rate: 1000}
		tr := &traffic{rng: newRand(o, 2), prefix: "x", flows: true}
		for range 1000 {
			tr.step(nil)
		}
		return tr.entries
	}
	if a, b := drawn(), drawn(); !slices.Equal(a, b) {
		t.Error("the same seed draws other events")
	}
}
