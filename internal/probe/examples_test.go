//go:build unix

package probe_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"math/big"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	_ "modernc.org/sqlite"

	"carom/internal/api"
	"carom/internal/caromtest"
	"carom/internal/probe"
)

const networkSecret = "staple-of-the-network"

// books are balances that a function reads.
type books func(a probe.Account) (*big.Rat, error)

// Balance implements probe.Books.
func (b books) Balance(_ context.Context, a probe.Account) (*big.Rat, error) { return b(a) }

// clean probes a receiver that has no fault.
func clean(t *testing.T, target probe.Target, o probe.Options) {
	t.Helper()
	r, err := probe.Run(t.Context(), target, o)
	if err != nil {
		t.Fatal(err)
	}
	if r.Count(probe.Fail)+r.Count(probe.Warn) > 0 || o.Books != nil && r.Count(probe.Unknown) > 0 {
		var b bytes.Buffer
		if err := r.WriteText(&b, false); err != nil {
			t.Fatal(err)
		}
		t.Errorf("found faults where there are none:\n%s", &b)
	}
}

// TestExampleBackends probes what docs/backends.md shows, each with its real runtime.
func TestExampleBackends(t *testing.T) {
	examples := filepath.Join("..", "..", "examples")
	works := func(name string, args ...string) bool { return exec.Command(name, args...).Run() == nil }
	python := "python3"
	if !works(python, "-c", "import flask") {
		python = "/usr/bin/python3"
	}
	program := filepath.Join(t.TempDir(), "backend")
	for _, tt := range []struct {
		name    string
		ready   func() bool
		command []string
	}{
		{"go", func() bool {
			return works("go", "build", "-o", program, filepath.Join(examples, "go", "main.go"), filepath.Join(examples, "go", "crash.go"))
		}, []string{program}},
		{"node", func() bool {
			_, err := os.Stat(filepath.Join(examples, "node", "node_modules", "express"))
			return err == nil && works("node", "--version")
		}, []string{"node", "app.js"}},
		{"php", func() bool { return works("php", "-r", "exit(extension_loaded('pdo_sqlite') ? 0 : 1);") }, []string{"php", "-S", "ADDRESS", "index.php"}},
		{"python", func() bool { return works(python, "-c", "import flask") }, []string{python, "-B", "app.py"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if !tt.ready() {
				if os.Getenv("CAROM_TEST_ALL") != "" {
					t.Fatal("its runtime is not installed, and CAROM_TEST_ALL is set")
				}
				t.Skip("skipped: its runtime is not installed")
			}
			database := filepath.Join(t.TempDir(), "app.db")
			address := launch(t, tt.command, filepath.Join(examples, tt.name), database)
			o := probe.Options{Books: sqliteBooks(database), Settle: 500 * time.Millisecond}
			clean(t, probe.Target{URL: "http://" + address + "/postback?secret=" + networkSecret}, o)
			clean(t, probe.Target{URL: "http://" + address + "/postback?secret=" + networkSecret}, probe.Options{Settle: time.Millisecond})
		})
	}
}

// launch runs an example until the test ends, and returns where it serves.
func launch(t *testing.T, command []string, dir, database string) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address = l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(address)
	args := strings.Split(strings.ReplaceAll(strings.Join(command, "\n"), "ADDRESS", address), "\n")
	cmd := exec.Command(args[0], args[1:]...)
	var log bytes.Buffer
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &log, &log
	cmd.Env = append(os.Environ(), "CAROM_SECRET=whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "NETWORK_SECRET="+networkSecret,
		"DATABASE="+database, "PORT="+port, "CRASH_AT=", "CAROM_RULES=", "PHP_CLI_SERVER_WORKERS=4")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // so that PHP's workers end with it
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // it may be gone
		_ = cmd.Wait()                                      // it was killed
		if t.Failed() {
			t.Logf("output of the example:\n%s", &log)
		}
	})
	caromtest.Until(t, "the example to serve", func() bool {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			return false
		}
		_ = conn.Close() // nothing was sent
		return true
	})
	return address
}

// sqliteBooks read the balances of an example beside it.
func sqliteBooks(database string) books {
	return func(a probe.Account) (*big.Rat, error) {
		db, err := sql.Open("sqlite", "file:"+database+"?_pragma=busy_timeout(10000)")
		if err != nil {
			return nil, err
		}
		defer func() { _ = db.Close() }() // it was only read
		var coins int64
		err = db.QueryRow("SELECT coins FROM balances WHERE user = ?", a.User).Scan(&coins)
		if err != nil && !errors.Is(err, sql.ErrNoRows) && !strings.Contains(err.Error(), "no such table") {
			return nil, err
		}
		return big.NewRat(coins, 1), nil
	}
}

// TestCaromItself probes a source of carom whose rule pays.
func TestCaromItself(t *testing.T) {
	objects := strings.Replace(caromtest.Monetag("ymid: view"), "    sources:\n", `    currencies: { coins: 0 }
    rules:
      watch:
        filter: { event_types: [impression, click] }
        price: 12 coins
    sources:
`, 1)
	s := caromtest.Start(t, caromtest.Options{Objects: objects})
	clean(t, probe.Target{URL: s.URL + caromtest.Door}, probe.Options{Settle: 300 * time.Millisecond, Books: books(func(a probe.Account) (*big.Rat, error) {
		var list api.BalanceList
		s.Get(t, "/v1/balances?app=game&user="+url.QueryEscape(a.TelegramID), &list)
		sum := new(big.Rat)
		for _, b := range list.Balances {
			n, ok := new(big.Rat).SetString(b.Amount)
			if !ok {
				return nil, errors.New("the balance is no number")
			}
			sum.Add(sum, n)
		}
		return sum, nil
	})})
	clean(t, probe.Target{URL: s.URL + caromtest.Door}, probe.Options{})
}
