package server_test

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"carom/bench/proc"
	"carom/internal/caromtest"
	"carom/internal/config"
	"carom/internal/server"
	"carom/internal/store"

	_ "modernc.org/sqlite" // the driver the rewards are read with
)

// TestMain lets the test binary be a server that can be killed.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "serve" {
		flags := pflag.NewFlagSet("serve", pflag.ContinueOnError)
		config.Flags(flags)
		err := flags.Parse(os.Args[2:])
		var c config.Config
		if err == nil {
			c, err = config.Load(flags, os.Environ)
		}
		if err == nil {
			ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
			defer stop()
			err = server.Run(ctx, c, slog.New(slog.NewTextHandler(os.Stderr, nil)), "test")
		}
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// paysOnce is an app whose one rule pays for impressions and clicks, with a cap and a cooldown that these tests do not reach.
const paysOnce = `apps:
  game:
    currencies: { coins: 0 }
    rules:
      watch:
        filter: { event_types: [impression, click] }
        price: 5 coins
        caps: [{ per: [user, day], rewards: 1000 }]
    sources:
      ads: { profile: monetag, ymid: view, secret: "` + caromtest.Secret + `" }
    endpoints:
      bank:
        sends: rewards
        url: "%s/bank?id={reward_id}&state={reward_state}&amount={reward_amount}&user={reward_user}&d={delivery_id}"
        allow_private: true
        schedule: [1s]
`

// orders are all orders of the four events that one view can have.
func orders() [][]string {
	var all [][]string
	var extend func(order, left []string)
	extend = func(order, left []string) {
		if len(left) == 0 {
			all = append(all, order)
		}
		for i := range left {
			extend(append(slices.Clone(order), left[i]), slices.Delete(slices.Clone(left), i, i+1))
		}
	}
	extend(nil, []string{"impression valued", "impression not_valued", "click valued", "click not_valued"})
	return all
}

// Issue 3 shows impression, click, unpaid and paid in all orders, each twice and in parallel, with crashes between: exactly one
// reward a view, with one id and one amount whenever one looks.
func TestOneRewardInEveryOrderAndAcrossCrashes(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	endpoint := caromtest.NewEndpoint(t)
	dir := caromtest.Folder(t)
	setup := proc.Setup{Binary: self, Dir: dir, Config: fmt.Sprintf(paysOnce, endpoint.URL)}
	views := orders()
	known := map[string]string{} // by ymid: the reward's id and amount, once there is one
	var server *proc.Carom
	step := func(send func(addr string)) {
		t.Helper()
		if server, err = proc.StartCarom(t.Context(), setup); err != nil {
			t.Fatal(err)
		}
		send(server.Addr)
		server.Kill()
		for ymid, reward := range rewards(t, dir) {
			if before, seen := known[ymid]; seen && before != reward {
				t.Errorf("the reward of %s was %s and is %s after a crash", ymid, before, reward)
			}
			known[ymid] = reward
		}
	}
	for i := range 4 { // each view's i-th event, twice in parallel, then the server is killed
		step(func(addr string) {
			both(t, addr, len(views), func(v int) []string { return []string{query("one", v, views[v][i])} })
		})
	}
	step(func(addr string) { // all events of other views at once, each twice
		both(t, addr, len(views), func(v int) []string {
			var all []string
			for _, event := range views[v] {
				all = append(all, query("all", v, event))
			}
			return all
		})
	})
	step(func(addr string) { // and all of it once more
		both(t, addr, len(views), func(v int) []string {
			var all []string
			for _, event := range views[v] {
				all = append(all, query("one", v, event), query("all", v, event))
			}
			return all
		})
	})
	if len(known) != 2*len(views) {
		t.Errorf("%d views have a reward, want %d", len(known), 2*len(views))
	}
	if server, err = proc.StartCarom(t.Context(), setup); err != nil {
		t.Fatal(err)
	}
	caromtest.Until(t, "the endpoint to hear of every reward", func() bool { return len(heard(endpoint)) >= len(known) })
	if err := server.Stop(10 * time.Second); err != nil {
		t.Fatal(err)
	}
	if got := heard(endpoint); len(got) != len(known) {
		t.Errorf("the endpoint was told of %d rewards, want %d", len(got), len(known))
	}
	s, err := store.Open(proc.DataDir(dir), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	report, err := s.CheckLedger(t.Context())
	if err != nil || len(report.Faults) > 0 || report.Lines != int64(len(known)) {
		t.Errorf("the ledger: %+v, %v, want %d lines and no fault", report, err, len(known))
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// query is the postback of an event of a view.
func query(kind string, view int, event string) string {
	eventType, value, _ := strings.Cut(event, " ")
	return fmt.Sprintf("ymid=%s-%d&zone_id=1&telegram_id=%d&event_type=%s&reward_event_type=%s", kind, view, 100+view%7, eventType, value)
}

// both sends each of the queries of n views twice at the same time, and waits until all are answered.
func both(t *testing.T, addr string, n int, queries func(view int) []string) {
	t.Helper()
	var wg sync.WaitGroup
	for view := range n {
		for _, q := range queries(view) {
			for range 2 {
				wg.Go(func() {
					resp, err := http.Get("http://" + addr + caromtest.Door + "?" + q)
					if err != nil {
						t.Errorf("%s: %v", q, err)
						return
					}
					defer resp.Body.Close()
					if body, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != http.StatusOK {
						t.Errorf("%s was answered %d %q, %v", q, resp.StatusCode, body, err)
					}
				})
			}
		}
	}
	wg.Wait()
}

// rewards reads what a killed server stored: by ymid the id and amount of its reward. Two for one ymid fail the test.
func rewards(t *testing.T, dir string) map[string]string {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(proc.DataDir(dir), "carom.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.Query(`SELECT ymid, no, amount, state FROM rewards`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	found := map[string]string{}
	for rows.Next() {
		var ymid, state string
		var no, amount int64
		if err := rows.Scan(&ymid, &no, &amount, &state); err != nil {
			t.Fatal(err)
		}
		if other, twice := found[ymid]; twice {
			t.Errorf("%s has the rewards %s and %d", ymid, other, no)
		}
		found[ymid] = fmt.Sprintf("%d: %d, %s", no, amount, state)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return found
}

// heard is what an endpoint was told of rewards: the deliveries' ids, by the reward's id and state.
func heard(e *caromtest.Endpoint) map[string]string {
	all := map[string]string{}
	for _, s := range e.Sent("/bank") {
		reward, delivery, _ := strings.Cut(s.Query, "&d=")
		if other, known := all[reward]; known && other != delivery {
			reward += " again"
		}
		all[reward] = delivery
	}
	return all
}
