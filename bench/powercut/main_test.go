package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"carom"
	"carom/internal/caromtest"
)

// buildCarom builds the server, or skips the test where its calls cannot be recorded.
func buildCarom(t *testing.T) string {
	t.Helper()
	if err := canTrace(t.Context()); err != nil {
		if os.Getenv("CAROM_TEST_ALL") != "" {
			t.Fatalf("%v, and CAROM_TEST_ALL is set", err)
		}
		t.Skip(err)
	}
	binary := filepath.Join(t.TempDir(), "carom")
	build := exec.Command("go", "build", "-buildvcs=false", "-o", binary, "carom/cmd/carom")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the server: %v\n%s", err, out)
	}
	return binary
}

// TestPowerCut records once and cuts often: first as it was, then as if the syncs of one file had not happened.
func TestPowerCut(t *testing.T) {
	parse := func(args ...string) options {
		t.Helper()
		o, err := parseOptions(args, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		return o
	}
	cuts, fewer := 200, "40"
	if caromtest.Race { // it slows SQLite down, and has little to find here
		cuts, fewer = 40, "15"
	}
	// A bucket closes after 1,000 events.
	args := []string{"-carom", buildCarom(t), "-dir", filepath.Join(t.TempDir(), "r"), "-seed", "11", "-events", "1050", "-senders", "32", "-refused", "5"}
	o := parse(append(args, "-cuts", fmt.Sprint(cuts))...)
	rec, err := record(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Log(rec.summary())
	t.Run("nothing acknowledged depends on an unsynced write", func(t *testing.T) {
		var out bytes.Buffer
		l, err := judge(t.Context(), o, rec, &out)
		t.Log(out.String())
		if err != nil {
			t.Fatal(err)
		}
		if events, refused := l.acknowledged(); events != 1050 || refused != 5 || l.cuts != cuts || l.unsynced < cuts/4 || l.pending == 0 {
			t.Errorf("%d events and %d refusals acknowledged, %d cuts, %d with something unsynced, %d deliveries taken up: the test tested too little",
				events, refused, l.cuts, l.unsynced, l.pending)
		}
	})
	for _, forgotten := range []string{"carom.db-wal", "carom.db", "."} {
		t.Run("a sync that is missing is noticed: "+forgotten, func(t *testing.T) {
			var out bytes.Buffer
			l, err := judge(t.Context(), parse(append(args, "-cuts", fewer, "-forget-syncs", forgotten)...), rec, &out)
			if !errors.Is(err, errViolated) || l.broken[lineMissing] == 0 || !strings.Contains(out.String(), "The earliest cut that breaks a promise") {
				t.Errorf("error %v, want acknowledged events missing:\n%s", err, out.String())
			}
		})
	}
}

// TestCompareFindsEachBrokenPromise holds sound books against the check, and then books with one fault each.
func TestCompareFindsEachBrokenPromise(t *testing.T) {
	acked := []entry{{ymid: "a"}, {ymid: "b"}, {ymid: "r", refused: true}}
	known := map[string]bool{"a": true, "b": true, "c": true, "r": true}
	place := func(seq uint32) carom.Ref { return carom.Ref{Bucket: 1, Seq: seq} }
	for _, tt := range []struct {
		name  string
		spoil func(*books)
		want  int
	}{
		{"sound", func(*books) {}, lines},
		{"an event is missing", func(b *books) { delete(b.ymids, "b") }, lineMissing},
		{"a refusal is missing", func(b *books) { clear(b.refused) }, lineRefused},
		{"a key is there twice", func(b *books) { b.events[1].key = "1" }, lineTwice},
		{"an event came from nowhere", func(b *books) { b.events[2].ymid = "?" }, lineUnknown},
		{"a delivery is forgotten", func(b *books) { clear(b.due) }, lineDelivery},
		{"an ended delivery waits", func(b *books) { b.due[delivery{place(1).Uint64(), 0}] = true }, lineDelivery},
		{"the database is damaged", func(b *books) { b.damage = []string{"row 7 missing from index"} }, lineDamaged},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := &books{
				events: []event{{place(1), "a", "1", 0, "1"}, {place(2), "b", "2", 0, "1"}, {place(3), "c", "3", 0, ""}},
				ymids:  map[string]int{"a": 1, "b": 1, "c": 1}, refused: map[string]bool{"r": true},
				ended: map[delivery]bool{{place(1).Uint64(), 0}: true}, due: map[delivery]bool{{place(2).Uint64(), 0}: true},
			}
			tt.spoil(b)
			var o opened
			o.compare(b, acked, known)
			switch {
			case tt.want == lines && len(o.findings) > 0:
				t.Errorf("sound books: %v", o.findings)
			case tt.want < lines && (len(o.findings) != 1 || o.findings[0].line != tt.want):
				t.Errorf("findings %v, want one of line %d", o.findings, tt.want)
			}
		})
	}
}

func TestRunNeedsTheServer(t *testing.T) {
	o, err := parseOptions([]string{"-carom", filepath.Join(t.TempDir(), "absent")}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if err := run(context.Background(), o, io.Discard); err == nil || !errors.Is(err, errNoTrace) && !strings.Contains(err.Error(), "make build") {
		t.Errorf("error = %v, want one that says how to build", err)
	}
	for _, args := range [][]string{{"-events", "0"}, {"-senders", "0"}, {"-cuts", "-1"}, {"-cut", "1"}} {
		if _, err := parseOptions(args, io.Discard); err == nil {
			t.Errorf("%q was accepted", args)
		}
	}
	if o.Seed == 0 {
		t.Error("no seed was chosen")
	}
}
