package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"carom/bench/load"
	"carom/bench/proc"
	"carom/bench/sink"
)

// stopGrace is how long a process may take to end when asked.
const stopGrace = 30 * time.Second

// rig is what all parts of a run share: the sink, the folder, and how servers are started.
type rig struct {
	options
	w       io.Writer
	sink    *proc.Part
	client  sink.Client
	db      *database // nil: every server has a data folder
	nextRun uint32
	servers []*proc.Carom // started, perhaps ended
	dirs    int
}

// target is a server under test.
type target struct {
	name    string
	addr    string
	traffic load.Config // what is sent to it: the requests, and none of the run
	process *proc.Process
	carom   *proc.Carom // nil for a reference
	sends   bool        // passes events on to the sink

	others []*proc.Carom // further nodes on the same database, which get their share of the load
	onDB   bool          // its data is in the rig's database
}

// nodes are all servers of the target; none for a reference.
func (t *target) nodes() []*proc.Carom {
	if t.carom == nil {
		return nil
	}
	return append([]*proc.Carom{t.carom}, t.others...)
}

func newRig(o options, w io.Writer) (*rig, error) {
	r := &rig{options: o, w: w, nextRun: rand.Uint32()}
	var err error
	if r.sink, err = proc.StartPart(r.log(), partSink, "127.0.0.1:0"); err != nil {
		return nil, err
	}
	r.client = sink.Client{Addr: r.sink.Addr}
	if o.Suite.target == postgresTarget {
		if r.db, err = startDatabase(o.Dir); err != nil {
			r.close()
			return nil, err
		}
	}
	return r, nil
}

// close ends what still runs.
func (r *rig) close() {
	for _, s := range r.servers {
		s.Kill()
	}
	_ = r.sink.Stop(time.Second) // killed when it does not listen
	if r.db != nil {
		_ = r.db.cluster.Close() // its folder is temporary, and goes with this process at the latest
	}
}

// log is the file that the benchmark's own processes write to when something goes wrong.
func (r *rig) log() string { return filepath.Join(r.Dir, "parts.log") }

func (r *rig) say(format string, args ...any) {
	_, _ = fmt.Fprintf(r.w, format+"\n", args...) // progress only
}

// ran reports whether a part is among those of this run.
func (r *rig) ran(part string) bool { return slices.Contains(r.Only, part) }

// run returns a number for a run of a load generator that no other run has.
func (r *rig) run() uint32 {
	r.nextRun++
	return r.nextRun
}

// fresh makes an empty folder for one server.
func (r *rig) fresh() (string, error) {
	r.dirs++
	dir := filepath.Join(r.Dir, fmt.Sprintf("carom-%d", r.dirs))
	if err := os.RemoveAll(dir); err != nil {
		return "", err
	}
	return dir, os.MkdirAll(dir, 0o755)
}

// reference starts one of the reference servers; the journal has its file in the folder that it returns.
func (r *rig) reference(name string) (t target, dir string, err error) {
	args := []string{name, "127.0.0.1:0", "http://" + r.sink.Addr + "/postback"}
	if name == partJournal {
		if dir, err = r.fresh(); err != nil {
			return target{}, "", err
		}
		args = append(args, dir)
	}
	p, err := proc.StartPart(r.log(), args...)
	if err != nil {
		return target{}, "", err
	}
	return target{name: name, addr: p.Addr, traffic: load.Config{Paths: []string{postback(proc.NewSecret(), zoneMain)}}, process: p.Process,
		sends: name != partHandler}, dir, nil
}

// start starts a server in dir with these endpoints. Its postbacks are of the given zones in turn.
func (r *rig) start(ctx context.Context, dir, secret string, endpoints []endpoint, zones ...string) (target, error) {
	t, err := r.startWith(ctx, dir, objectsFile(secret, endpoints...))
	t.sends = len(endpoints) > 0
	for _, z := range zones {
		t.traffic.Paths = append(t.traffic.Paths, postback(secret, z))
	}
	return t, err
}

// startWith starts a server in dir with these objects. What is sent to it is the caller's to say.
func (r *rig) startWith(ctx context.Context, dir, objects string) (target, error) {
	c, err := r.launch(ctx, proc.Setup{Dir: dir, Config: objects})
	if err != nil {
		return target{}, err
	}
	return target{name: "carom", addr: c.Addr, process: c.Process, carom: c}, nil
}

// launch starts a server and waits until it is ready.
func (r *rig) launch(ctx context.Context, s proc.Setup) (*proc.Carom, error) {
	s.Binary = r.Carom
	c, err := proc.StartCarom(ctx, s)
	if err == nil {
		r.servers = append(r.servers, c)
	}
	return c, err
}

// one starts a server in a fresh folder with the sink as its only endpoint.
func (r *rig) one(ctx context.Context) (target, string, error) {
	dir, err := r.fresh()
	if err != nil {
		return target{}, "", err
	}
	t, err := r.start(ctx, dir, proc.NewSecret(), []endpoint{r.toSink()}, zoneMain)
	return t, dir, err
}

// toSink is the endpoint that gets every event and answers at once.
func (r *rig) toSink() endpoint { return endpoint{name: "sink", addr: r.sink.Addr, path: "/postback"} }

// load runs the load generator in its own process and returns its result with the processor time it took.
func (r *rig) load(cfg load.Config) (*load.Result, time.Duration, error) {
	in, err := json.Marshal(cfg)
	if err != nil {
		return nil, 0, err
	}
	out, cpu, err := proc.RunPart(r.log(), in, partLoad)
	if err != nil {
		return nil, 0, err
	}
	var res load.Result
	if err := json.Unmarshal(out, &res); err != nil {
		return nil, 0, fmt.Errorf("read the load generator's result: %w", err)
	}
	return &res, cpu, nil
}

// sleepUntil waits for t or for the end of ctx.
func sleepUntil(ctx context.Context, t time.Time) error {
	timer := time.NewTimer(time.Until(t))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// version asks the server's binary what it is; empty when it does not say.
func version(binary string) string {
	out, err := exec.Command(binary, "version").Output()
	if err != nil {
		return ""
	}
	line, _, _ := strings.Cut(string(out), "\n")
	return strings.TrimSpace(line)
}
