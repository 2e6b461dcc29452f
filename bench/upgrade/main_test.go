package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"carom/bench/once"
)

func TestParseOptions(t *testing.T) {
	o, err := parseOptions([]string{"-upgrades", "2", "-window", "10s"}, io.Discard)
	if err != nil || o.Upgrades != 2 || o.Window != 10*time.Second || o.Rate != 1000 {
		t.Errorf("options %+v, %v", o, err)
	}
	for _, args := range [][]string{{"-rate", "0"}, {"-upgrades", "0"}, {"-window", "0s"}, {"-none"}} {
		if _, err := parseOptions(args, io.Discard); err == nil {
			t.Errorf("%v is taken", args)
		}
	}
}

func TestWhatCallersNotice(t *testing.T) {
	good := figures{Kind: kindTakeover, Account: &once.Account{Sent: 5, Acked: 5}}
	if faults := good.wrong(); len(faults) != 0 {
		t.Errorf("all is well, and %v", faults)
	}
	bad := figures{Kind: kindTakeover, Lost: 1, Twice: 2, Account: &once.Account{Sent: 15, Acked: 5, Refused: 1, Unanswered: 2, Broken: 3, Other: map[int]int64{503: 4}}}
	faults := bad.wrong()
	text := strings.Join(faults, "\n")
	for _, want := range []string{"1 refused", "2 unanswered", "3 broken", "4 answered other than 200", "1 acknowledged and lost", "2 stored twice"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not among the faults:\n%s", want, text)
		}
	}
	if len(faults) != 6 {
		t.Errorf("%d faults, want 6", len(faults))
	}
}

func TestABinaryThatIsMissing(t *testing.T) {
	dir := t.TempDir()
	err := run(t.Context(), options{Carom: filepath.Join(dir, "none"), Dir: filepath.Join(dir, "data")}, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "make build") {
		t.Errorf("run returned %v, want it to say what to do", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "data")); err == nil {
		t.Error("a folder was made for nothing")
	}
}
