package backup_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"carom"
	"carom/internal/caromtest"
	"carom/internal/store"
)

// Litestream copies a folder continuously while it is written, is killed, and goes on: everything acknowledged arrives in the
// copy, which opens, and whose ledger is right. This is what docs/backup.md shows.
func TestLitestream(t *testing.T) {
	program := caromtest.Tool(t, "litestream")
	dir := t.TempDir()
	data, replica, config := filepath.Join(dir, "data"), filepath.Join(dir, "replica"), filepath.Join(dir, "litestream.yml")
	text := strings.NewReplacer("/var/lib/carom/", data+"/", "/backup/carom", replica).Replace(documented(t))
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s, stop := open(t, data)
	replicate := func() func() {
		var out bytes.Buffer
		cmd := exec.Command(program, "replicate", "-config", config)
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		end := sync.OnceFunc(func() {
			_ = cmd.Process.Kill() // it may have ended
			_ = cmd.Wait()         // it was killed
			if t.Failed() {
				t.Logf("litestream:\n%s", out.String())
			}
		})
		t.Cleanup(end)
		return end
	}
	end := replicate()
	var all []string
	accept := func(n int) {
		for range n {
			subs := make([]*carom.Submission, 20)
			for i := range subs {
				subs[i] = paid(fmt.Sprint("v", len(all)+i))
			}
			s.Accept(subs...)
			for _, sub := range subs {
				if sub.Err != nil {
					t.Fatalf("Accept: %v", sub.Err)
				}
				all = append(all, sub.Event.YMID)
			}
		}
	}
	copies := 0
	// arrived waits until everything acknowledged so far is in a copy.
	arrived := func() {
		caromtest.Until(t, "the copy has everything", func() bool {
			copies++
			restored := filepath.Join(dir, fmt.Sprint("restored", copies))
			if err := os.Mkdir(restored, 0o700); err != nil {
				t.Fatal(err)
			}
			if out, err := exec.Command(program, "restore", "-config", config, "-o", filepath.Join(restored, "carom.db"),
				filepath.Join(data, "carom.db")).CombinedOutput(); err != nil {
				t.Logf("restore: %v: %s", err, out) // before the first copy is made
				return false
			}
			checked, err := store.Check(t.Context(), restored, store.Options{})
			if err != nil || len(checked.Ledger.Faults) > 0 || checked.Lacks == "" {
				t.Fatalf("the copy: %+v, %v", checked, err)
			}
			return checked.Ledger.Rewards == int64(len(all))
		})
	}
	accept(50) // closes buckets and segments
	arrived()
	accept(20)
	end() // killed
	accept(20)
	end = replicate()
	accept(20)
	arrived()
	end()
	stop()
	restored := filepath.Join(dir, fmt.Sprint("restored", copies))
	key, err := os.ReadFile(filepath.Join(data, store.KeyFile)) // it was put away beside the copies, once
	if err == nil {
		err = os.WriteFile(filepath.Join(restored, store.KeyFile), key, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	copied, _ := open(t, restored)
	for some := range slices.Chunk(all, 200) {
		again := make([]*carom.Submission, len(some))
		for i, ymid := range some {
			again[i] = paid(ymid)
		}
		copied.Accept(again...)
		for _, sub := range again {
			if sub.Err != nil || !sub.Receipt.Duplicate {
				t.Fatalf("Accept(%s) in the copy: %+v, %v, want a duplicate", sub.Event.YMID, sub.Receipt, sub.Err)
			}
		}
	}
}

// documented is the configuration that docs/backup.md shows.
func documented(t *testing.T) string {
	t.Helper()
	page, err := os.ReadFile("../../docs/backup.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(page), "```yml\n")
	text, _, found := strings.Cut(text, "```")
	if !found {
		t.Fatal("docs/backup.md shows no configuration")
	}
	return text
}
