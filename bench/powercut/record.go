package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"carom/bench/proc"
)

const (
	lives          = 3
	killedLife     = 2
	bucketEvents   = 1000 // the fewest that the server lets a time bucket hold
	maxTracedBytes = 8 << 20
	startTimeout   = time.Minute
	stopTimeout    = time.Minute
	refusedBytes   = 200_000
)

// errNoTrace says that system calls cannot be recorded here.
var errNoTrace = errors.New("strace cannot record here")

// canTrace says why the test cannot run on this machine, if so.
func canTrace(ctx context.Context) error {
	out, err := exec.CommandContext(ctx, "strace", "-f", "--seccomp-bpf", "-e", "trace=write", "-o", os.DevNull, "true").CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w (on Debian: apt-get install strace; in a container it needs the right to trace): %w: %s", errNoTrace, err, bytes.TrimSpace(out))
	}
	return nil
}

// entry is one postback that differs from the others by its ymid.
type entry struct {
	ymid    string
	refused bool // it is refused, journaled and answered 200
}

// recording is what happened: the operations, and which postback each answer belongs to.
type recording struct {
	*trace
	entries []entry
	logged  int64 // bytes of strace's logs

	mu    sync.Mutex       // guards what follows while senders run
	asked map[connID][]int // entries in the order in which they were sent over a connection
	told  map[connID][]int // statuses as the senders read them
}

// recorder makes a recording.
type recorder struct {
	options
	*recording
	secret   string
	receiver string // address of the endpoint
}

// errUnseen says that the log does not hold all that happened: strace can miss the call that a kill interrupts. A recording
// of which this is true proves nothing, so another one is made.
var errUnseen = errors.New("the log does not hold all that happened")

// recordings is how many recordings are tried before one that misses something counts as a fault.
const recordings = 3

// record lets the server live three times under strace and returns what happened.
func record(ctx context.Context, o options) (rec *recording, err error) {
	for range recordings {
		if rec, err = recordOnce(ctx, o); !errors.Is(err, errUnseen) {
			break
		}
	}
	return rec, err
}

func recordOnce(ctx context.Context, o options) (*recording, error) {
	if err := os.RemoveAll(o.Dir); err != nil {
		return nil, err
	}
	data := proc.DataDir(o.Dir)
	if err := os.MkdirAll(data, 0o755); err != nil {
		return nil, err
	}
	absolute, err := filepath.Abs(data)
	if err != nil {
		return nil, err
	}
	if absolute, err = filepath.EvalSymlinks(absolute); err != nil {
		return nil, err
	}
	receiver, closeReceiver, err := startReceiver()
	if err != nil {
		return nil, err
	}
	defer closeReceiver()
	r := &recorder{options: o, secret: proc.NewSecret(), receiver: receiver, recording: &recording{
		trace: newTrace(absolute), asked: map[connID][]int{}, told: map[connID][]int{},
	}}
	work := r.plan()
	for life, left := 1, []int(nil); life <= lives; life++ {
		part := append(left, work[len(work)*(life-1)/lives:len(work)*life/lives]...)
		if left, err = r.live(ctx, life, part); err != nil {
			return nil, fmt.Errorf("life %d: %w", life, err)
		}
	}
	return r.recording, r.matchAnswers()
}

// startReceiver starts the endpoint: one request in ten fails.
func startReceiver() (addr string, stop func(), err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	var n atomic.Int64
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if n.Add(1)%10 == 0 {
			http.Error(w, "one in ten fails", http.StatusInternalServerError)
		}
	})}
	done := make(chan struct{})
	go func() {
		_ = srv.Serve(l) // ends when it is closed
		close(done)
	}()
	return l.Addr().String(), func() {
		_ = srv.Close() // nothing under way matters any more
		<-done
	}, nil
}

// plan makes the entries and the order in which postbacks are sent: copies in parallel, repeats of old ones, and refused
// ones spread over the first quarter, so that the write-ahead log starts over while the first life still has work.
func (r *recorder) plan() (work []int) {
	refused := 0
	for i := range r.Events {
		n := len(r.entries)
		r.entries = append(r.entries, entry{ymid: fmt.Sprintf("view-%06d", n)})
		work = append(work, n)
		if i%10 == 3 {
			work = append(work, n, n)
		}
		if i%20 == 7 {
			work = append(work, n/2)
		}
		for ; refused < r.Refused && refused*r.Events < 4*r.Refused*(i+1); refused++ {
			work = append(work, len(r.entries))
			r.entries = append(r.entries, entry{ymid: fmt.Sprintf("long-%06d", len(r.entries)), refused: true})
		}
	}
	return work
}

// request formats the postback of an entry.
func (r *recorder) request(i int) []byte {
	e := r.entries[i]
	path := fmt.Sprintf("/in/bench/monetag/%s?ymid=%s&zone_id=8790478&sub_zone_id=8790479&request_var=bonus-btn&telegram_id=%d"+
		"&event_type=impression&reward_event_type=valued&estimated_price=0.0023", r.secret, e.ymid, 7_000_000_000+i)
	if !e.refused {
		return fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: carom\r\n\r\n", path)
	}
	body := "note=" + strings.Repeat("x", refusedBytes-len("note="))
	return fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: carom\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n%s", path, len(body), body)
}

// live runs the server once, sends it work, and takes up its log. It returns the work that was not answered 200.
func (r *recorder) live(ctx context.Context, life int, work []int) (left []int, err error) {
	log := filepath.Join(r.Dir, fmt.Sprintf("life-%d.strace", life))
	s, err := r.start(ctx, log)
	if err != nil {
		return nil, err
	}
	defer s.kill()
	var kill func()
	if life == killedLife {
		kill = s.kill
	}
	left = r.send(ctx, s.addr, life, work, kill)
	if kill == nil {
		if len(left) > 0 {
			return nil, fmt.Errorf("%d postbacks were not answered 200; the server's log ends with:\n%s", len(left), s.log())
		}
		if err := s.stop(); err != nil {
			return nil, err
		}
	}
	f, err := os.Open(log)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // only read
	if info, err := f.Stat(); err == nil {
		r.logged += info.Size()
	}
	if err := r.read(f); err != nil {
		return nil, err
	}
	if err := r.settle(); err != nil {
		return nil, err
	}
	if !r.Keep {
		return left, os.Remove(log)
	}
	return left, nil
}

// settle decides, from the folder as it is, which of the writes happened that were under way when the server was killed,
// and then checks that the recording accounts for every byte in the folder.
func (r *recorder) settle() error {
	for _, c := range r.open {
		if c.fd == nil || c.fd.file == 0 {
			continue
		}
		fields := strings.Split(c.args, ", ")
		if c.name != "pwrite64" {
			switch c.name {
			case "fsync", "fdatasync", "close", "lseek":
				continue // a sync that was not seen to end has not happened
			}
			return fmt.Errorf("%w: the server was killed in the middle of %s", errUnseen, c.name)
		}
		data, err := unquote(fields[1])
		if err != nil {
			return err
		}
		off, err := strconv.ParseInt(fields[len(fields)-1], 10, 64)
		if err != nil {
			return err
		}
		for name, file := range r.names {
			real, err := os.ReadFile(filepath.Join(r.dir, name))
			if err != nil {
				return err
			}
			if end := off + int64(len(data)); file == c.fd.file && end <= int64(len(real)) && bytes.Equal(real[off:end], data) {
				if err := r.wrote(file, fields[1], off, len(data)); err != nil {
					return err
				}
			}
		}
	}
	return r.compare()
}

// compare checks that all recorded operations together make the data folder as it is.
func (r *recorder) compare() error {
	d := newDisk("")
	for i := range r.ops {
		d.apply(i, &r.ops[i])
	}
	made := d.rebuild(variantKept, nil)
	found, err := os.ReadDir(r.dir)
	if err != nil {
		return err
	}
	for _, f := range found {
		if !f.Type().IsRegular() || isSharedMemory(f.Name()) {
			continue
		}
		real, err := os.ReadFile(filepath.Join(r.dir, f.Name()))
		if err != nil {
			return err
		}
		content, ok := made[f.Name()]
		if !ok || !bytes.Equal(content, real) {
			return fmt.Errorf("%w: of the file %s %d bytes are there, %d were recorded", errUnseen, f.Name(), len(real), len(content))
		}
		delete(made, f.Name())
	}
	for name := range made {
		return fmt.Errorf("the recording made a file %s that is not there", name)
	}
	return nil
}

// send sends work over as many connections as there are senders. kill, when not nil, ends the server after half of it.
func (r *recorder) send(ctx context.Context, addr string, life int, work []int, kill func()) (left []int) {
	var next, answered atomic.Int64
	var killing sync.Once
	var mu sync.Mutex // guards left
	var wg sync.WaitGroup
	for range r.Senders {
		wg.Go(func() {
			s, err := dial(ctx, addr, life)
			for i := int(next.Add(1)) - 1; i < len(work); i = int(next.Add(1)) - 1 {
				status := 0
				if err == nil {
					status, err = r.ask(s, work[i])
				}
				if status != http.StatusOK {
					mu.Lock()
					left = append(left, work[i])
					mu.Unlock()
				}
				if n := int(answered.Add(1)); kill != nil && n == len(work)/2 {
					killing.Do(kill)
				}
			}
			if s != nil {
				_ = s.conn.Close() // all answers have been read
			}
		})
	}
	wg.Wait()
	return left
}

// sender is one connection.
type sender struct {
	conn net.Conn
	r    *bufio.Reader
	id   connID
}

func dial(ctx context.Context, addr string, life int) (*sender, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	_, port, err := net.SplitHostPort(c.LocalAddr().String())
	if err != nil {
		return nil, err
	}
	n, err := strconv.Atoi(port)
	return &sender{conn: c, r: bufio.NewReader(c), id: connID{life, n}}, err
}

// ask sends the postback of an entry and reads the answer.
func (r *recorder) ask(s *sender, i int) (status int, err error) {
	r.mu.Lock()
	r.asked[s.id] = append(r.asked[s.id], i)
	r.mu.Unlock()
	if err := s.conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		return 0, err
	}
	if _, err := s.conn.Write(r.request(i)); err != nil {
		return 0, err
	}
	resp, err := http.ReadResponse(s.r, nil)
	if err != nil {
		return 0, err
	}
	defer func() { _ = resp.Body.Close() }() // it is read to its end
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return 0, err
	}
	r.mu.Lock()
	r.told[s.id] = append(r.told[s.id], resp.StatusCode)
	r.mu.Unlock()
	return resp.StatusCode, nil
}

// matchAnswers checks that the log and the senders agree on every answer that reached a sender.
func (r *recorder) matchAnswers() error {
	logged := map[connID][]int{}
	for i := range r.ops {
		if o := &r.ops[i]; o.kind == opAnswer {
			logged[o.answer.conn] = append(logged[o.answer.conn], o.answer.status)
		}
	}
	for id, told := range r.told {
		for n, status := range told {
			if n >= len(logged[id]) || logged[id][n] != status {
				return fmt.Errorf("answer %d over port %d of life %d was %d, and is not in the log", n+1, id.port, id.life, status)
			}
		}
	}
	return nil
}

// acknowledged returns the entry that the answer acknowledges, if it does.
func (r *recording) acknowledged(a answer) (entry int, ok bool) {
	asked := r.asked[a.conn]
	if a.status != http.StatusOK || a.n >= len(asked) {
		return 0, false
	}
	return asked[a.n], true
}
