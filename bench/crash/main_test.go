package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"carom"
	"carom/bench/standin"
)

// TestMain lets the test binary be the stand-in for the server.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "serve" {
		if err := standin.Run(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	// Under the race detector each process would linger for a second at its end.
	_ = os.Setenv("GORACE", "atexit_sleep_ms=0")
	os.Exit(m.Run())
}

// standInBooks reads what the stand-in stored. It says nothing of deliveries but that they were all made.
func standInBooks(dir string) (b books, err error) {
	text, err := os.ReadFile(filepath.Join(dir, standin.EventsFile))
	if err != nil {
		return b, err
	}
	for line := range strings.Lines(string(text)) {
		q, err := url.ParseQuery(strings.TrimSpace(line))
		if err != nil {
			return b, err
		}
		b.events = append(b.events, bookEvent{
			key:        key{q.Get("ymid"), q.Get("zone_id"), q.Get("event_type"), q.Get("reward_event_type")},
			place:      carom.Ref{Bucket: 1, Seq: uint32(len(b.events) + 1)},
			deliveries: []carom.DeliveryState{carom.Delivered},
		})
	}
	return b, nil
}

func TestCrashNoticesABrokenPromise(t *testing.T) {
	tests := []struct{ fault, want string }{
		{"", ""},
		{standin.FaultEarly, "acknowledged events missing"},
		{standin.FaultCopies, "dedupe keys stored twice"},
		{standin.FaultGiveUp, "deliveries called delivered that the endpoint never accepted"},
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range tests {
		t.Run("fault "+tt.fault, func(t *testing.T) {
			t.Setenv(standin.FaultEnv, tt.fault)
			o, err := parseOptions([]string{"-carom", self, "-dir", filepath.Join(t.TempDir(), "crash"), "-kills", "2", "-rate", "300", "-senders", "8",
				"-seed", "11", "-min-up", "100ms", "-max-up", "200ms", "-drain", "300ms"}, io.Discard)
			if err != nil {
				t.Fatal(err)
			}
			if tt.fault == "" {
				o.Drain *= 30
			}
			var out bytes.Buffer
			err = run(context.Background(), o, &out, standInBooks)
			if tt.want == "" {
				// A slow machine may not reach the rate; nothing else may be wrong.
				if n := strings.Count(out.String(), "VIOLATED"); n > strings.Count(out.String(), "at least 300  VIOLATED") {
					t.Errorf("%v\n%s", err, out.String())
				}
				return
			}
			broken := false
			for line := range strings.Lines(out.String()) {
				broken = broken || strings.HasPrefix(line, tt.want) && strings.Contains(line, "VIOLATED")
			}
			if !errors.Is(err, errViolated) || !broken {
				t.Errorf("error %v, want %q violated:\n%s", err, tt.want, out.String())
			}
			if _, err := os.Stat(o.Dir); err != nil {
				t.Errorf("the data folder was not kept: %v", err)
			}
		})
	}
}

func TestRunNeedsTheServer(t *testing.T) {
	o, err := parseOptions([]string{"-carom", filepath.Join(t.TempDir(), "absent")}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if err := run(context.Background(), o, io.Discard, readBooks); err == nil || !strings.Contains(err.Error(), "make build") {
		t.Errorf("error = %v, want one that says how to build", err)
	}
	for _, args := range [][]string{{"-rate", "0"}, {"-min-up", "2s", "-max-up", "1s"}, {"-kill", "1"}} {
		if _, err := parseOptions(args, io.Discard); err == nil {
			t.Errorf("%q was accepted", args)
		}
	}
	if o.Seed == 0 {
		t.Error("no seed was chosen")
	}
}
