package proc

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"carom"
)

// ReadyTimeout is how long a server may take from its start to the first 200 at /readyz.
const ReadyTimeout = 3 * time.Minute

// Carom is a running server with one data folder.
type Carom struct {
	*Process
	Addr  string        // host and port of everything it serves
	Ready time.Duration // from its start to the first 200 at /readyz

	began   time.Time
	dataDir string
}

// Setup says how to run a server.
type Setup struct {
	Binary string // path of bin/carom
	Dir    string // a folder of ours: data/, carom.yaml and carom.log lie in it
	Config string // the objects, as YAML
	Listen string // host and port to listen at; empty takes a free port of the loopback address

	Wrap  []string   // a command that becomes the server, whose command line is added to it: prlimit, or a shell that sets something
	Args  []string   // further flags
	Env   []string   // further variables, as name=value
	Files []*os.File // passed on from descriptor 3
}

// DataDir is the data folder of a server that runs in dir.
func DataDir(dir string) string { return filepath.Join(dir, "data") }

// StartCarom writes the objects, starts the server and waits until it is ready.
func StartCarom(ctx context.Context, s Setup) (*Carom, error) {
	c, err := Launch(s)
	if err != nil {
		return nil, err
	}
	if err := c.WaitReady(ctx); err != nil {
		tail := c.LogTail()
		c.Kill()
		return nil, fmt.Errorf("%w; its log ends with:\n%s", err, tail)
	}
	return c, nil
}

// Launch is StartCarom without the wait: the server may not be ready, and may never be.
func Launch(s Setup) (*Carom, error) {
	if err := os.MkdirAll(DataDir(s.Dir), 0o755); err != nil {
		return nil, err
	}
	config := filepath.Join(s.Dir, "carom.yaml")
	if err := os.WriteFile(config, []byte(s.Config), 0o600); err != nil {
		return nil, err
	}
	addr := s.Listen
	if addr == "" {
		var err error
		if addr, err = FreeAddr(); err != nil {
			return nil, err
		}
	}
	line := slices.Concat(s.Wrap, []string{s.Binary, "serve", "--data", DataDir(s.Dir), "--config", config, "--listen", addr, "--log-level", "warn"}, s.Args)
	cmd := exec.Command(line[0], line[1:]...)
	cmd.Env, cmd.ExtraFiles = append(os.Environ(), s.Env...), s.Files
	began := time.Now()
	p, err := start(cmd, filepath.Join(s.Dir, "carom.log"))
	if err != nil {
		return nil, err
	}
	go p.reap()
	return &Carom{Process: p, Addr: addr, began: began, dataDir: DataDir(s.Dir)}, nil
}

// WaitReady waits until /readyz answers 200 and sets Ready. It returns an error when the process ends, the time is over or
// ctx ends.
func (c *Carom) WaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, ReadyTimeout)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := c.get(ctx, "/readyz"); err == nil {
			c.Ready = time.Since(c.began)
			return nil
		}
		select {
		case <-c.ended:
			return fmt.Errorf("carom was not ready: %w", errEnded)
		case <-ctx.Done():
			return fmt.Errorf("carom was not ready after %v: %w", time.Since(c.began).Round(time.Second), ctx.Err())
		case <-tick.C:
		}
	}
}

func (c *Carom) get(ctx context.Context, path string) (string, error) {
	return get(ctx, http.DefaultClient, "http://"+c.Addr+path)
}

// Local asks through the socket in the data folder, which needs no key, and returns the body of an answer of 200.
func (c *Carom) Local(ctx context.Context, path string) (string, error) {
	client := c.LocalClient()
	defer client.CloseIdleConnections()
	return get(ctx, client, "http://localhost"+path)
}

// Ledger has the server prove its whole ledger, and returns what it found.
func (c *Carom) Ledger(ctx context.Context) (carom.LedgerReport, error) {
	var report carom.LedgerReport
	text, err := c.Local(ctx, "/v1/ledger/check")
	if err == nil {
		err = json.Unmarshal([]byte(text), &report)
	}
	if err != nil {
		return report, fmt.Errorf("have the ledger checked: %w", err)
	}
	return report, nil
}

// LocalClient speaks to the server through the socket in the data folder, which needs no key. The host of its URLs does not
// matter.
func (c *Carom) LocalClient() *http.Client { return LocalClient(c.dataDir) }

// LocalClient speaks to whichever server runs on a data folder at the moment of a request, as [Carom.LocalClient] does.
func LocalClient(dataDir string) *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(dataDir, "carom.sock"))
	}}}
}

func get(ctx context.Context, client *http.Client, url string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }() // it has been read to its end
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s answered %s", req.URL.Path, resp.Status)
	}
	return string(body), err
}

// Counters returns the sums of the named metrics over their labels. A metric that the server does not have is absent, and so
// are all of them when /metrics cannot be read.
func (c *Carom) Counters(ctx context.Context, names ...string) map[string]float64 {
	out := map[string]float64{}
	text, err := c.Local(ctx, "/metrics")
	if err != nil {
		return out
	}
	lines := bufio.NewScanner(strings.NewReader(text))
	lines.Buffer(nil, len(text)+1)
	for lines.Scan() {
		for _, name := range names {
			if v, ok := sample(lines.Text(), name); ok {
				out[name] += v
			}
		}
	}
	return out
}

// sample reads the value of a line of the Prometheus text format: `name{label="x"} 12`.
func sample(line, name string) (float64, bool) {
	rest, ok := strings.CutPrefix(line, name)
	if !ok || rest == "" || (rest[0] != '{' && rest[0] != ' ') {
		return 0, false
	}
	if rest[0] == '{' {
		i := strings.LastIndexByte(rest, '}')
		if i < 0 {
			return 0, false
		}
		rest = rest[i+1:]
	}
	fields := strings.Fields(rest)
	if len(fields) == 0 {
		return 0, false
	}
	v, err := strconv.ParseFloat(fields[0], 64)
	return v, err == nil
}

// FreeAddr returns an address of the loopback interface that nobody listens at now.
func FreeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	addr := l.Addr().String()
	return addr, l.Close()
}

// NewSecret makes the secret of a source: 128 random bits in hex.
func NewSecret() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}
