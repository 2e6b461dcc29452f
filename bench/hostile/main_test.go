package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"carom/bench/once"
	"carom/bench/stat"
)

func TestParseOptions(t *testing.T) {
	o, err := parseOptions([]string{"-files", "256"}, io.Discard)
	if err != nil || o.Files != 256 || o.Rate != 200 {
		t.Errorf("options %+v, %v", o, err)
	}
	for _, args := range [][]string{{"-rate", "0"}, {"-files", "10"}, {"-slow", "0"}, {"-none"}} {
		if _, err := parseOptions(args, io.Discard); err == nil {
			t.Errorf("%v is taken", args)
		}
	}
}

func TestFaults(t *testing.T) {
	good := report{Limit: 50, FilesBefore: 20, FilesAfter: 30, Figures: []*figures{{Account: &once.Account{Sent: 1, Acked: 1, Latency: stat.Percentiles{P99: 50}}}}}
	if faults := good.faults(); len(faults) != 0 {
		t.Errorf("all is well, and %v", faults)
	}
	bad := report{Limit: 50, FilesAfter: 100, RSSAfter: 500, Lost: 1, Figures: []*figures{{Attack: "noise", Account: &once.Account{Sent: 2, Acked: 1, Latency: stat.Percentiles{P99: 51}}}}}
	if faults := bad.faults(); len(faults) != 5 {
		t.Errorf("%d faults, want 5: %v", len(faults), faults)
	}
}

// Every attack ends when it is told to, and reaches a server.
func TestAttacks(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.3:0")
	if err != nil {
		t.Skipf("skipped: this system has one loopback address: %v", err)
	}
	_ = l.Close() // it was possible
	o := options{Slow: 40, Idle: 8, Flood: 2000, Junk: 500}
	for _, a := range o.attacks("") {
		t.Run(a.name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			var taken atomic.Int64
			srv := httptest.NewUnstartedServer(http.NotFoundHandler())
			srv.Config.ConnState = func(c net.Conn, s http.ConnState) {
				if s == http.StateNew && taken.Add(1) == 5 {
					cancel()
				}
				if strings.HasPrefix(c.RemoteAddr().String(), "127.0.0.1:") {
					t.Error("an attacker has the address of the honest senders")
				}
			}
			srv.Start()
			defer srv.Close()
			text, err := json.Marshal(o)
			if err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			if err := runAttack(ctx, []string{a.name, srv.Listener.Addr().String(), string(text)}, &out); err != nil {
				t.Fatal(err)
			}
			var c counts
			if err := json.Unmarshal(out.Bytes(), &c); err != nil || taken.Load() < 5 || c.Ended > c.Sent {
				t.Errorf("%d connections, counts %s, %v", taken.Load(), out.Bytes(), err)
			}
		})
	}
	if err := runAttack(t.Context(), []string{"none", "", "{}"}, io.Discard); err == nil {
		t.Error("an attack that does not exist is made")
	}
}
