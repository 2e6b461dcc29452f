// Package standin is a small server that obeys the command line, the file and the doors of carom as far as the benchmark and
// the crash test use them, so that both can be tested without it. Only tests import it.
//
// It keeps events and finished deliveries in two files of lines, which survive the death of the process but not that of the
// machine. A Fault makes it break a promise, to show that the tests notice.
package standin

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"carom"
)

// FaultEnv is the environment variable that names a Fault.
const FaultEnv = "CAROM_STANDIN_FAULT"

// The promises that the server can break.
const (
	FaultEarly  = "early"  // it answers before it has stored
	FaultCopies = "copies" // it stores every copy
	FaultGiveUp = "giveup" // it calls a delivery finished after one attempt, whatever the answer
	FaultForget = "forget" // it confirms every tenth view without storing anything
)

// Names of the files in the data folder.
const (
	EventsFile = "events"
	doneFile   = "done"
)

const (
	workers    = 16
	retryAfter = 20 * time.Millisecond
)

type server struct {
	fault  string
	routes []*route

	mu      sync.Mutex // guards what follows
	events  *os.File
	done    *os.File
	stored  int
	known   map[string]bool
	ymids   []string // of the stored events
	shown   []string // the ymids of the ads that were handed out; their places are their tokens
	commits int
	views   []chan struct{} // each closed once its view is confirmed
	waiting int
}

// route is one endpoint with what waits for it.
type route struct {
	ordinal      int
	target, zone string
	client       *http.Client

	mu    sync.Mutex // guards queue
	some  *sync.Cond
	queue []delivery
}

type delivery struct {
	event int // its line, from 1
	query string
}

// Run serves as `carom serve` does, with the same arguments, until the process is interrupted.
func Run(args []string) error {
	flags := map[string]string{}
	for i := 0; i+1 < len(args); i += 2 {
		flags[args[i]] = args[i+1]
	}
	s := &server{fault: os.Getenv(FaultEnv), known: map[string]bool{}}
	if err := s.configure(flags["--config"]); err != nil {
		return err
	}
	if err := s.open(flags["--data"]); err != nil {
		return err
	}
	for _, r := range s.routes {
		for range workers {
			go s.deliver(r)
		}
	}
	l, err := net.Listen("tcp", flags["--listen"])
	if err != nil {
		return err
	}
	socket := filepath.Join(flags["--data"], "carom.sock")
	if err := os.Remove(socket); err != nil && !errors.Is(err, fs.ErrNotExist) { // of a process that was killed
		return err
	}
	local, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt)
	go func() { _ = http.Serve(l, s) }()     // ends with the process
	go func() { _ = http.Serve(local, s) }() // likewise
	<-stop
	s.mu.Lock() // nothing is stored from here on
	return nil
}

// configure reads the endpoints: the lines of their URLs and zones are all that matters here.
func (s *server) configure(path string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(b)) {
		line = strings.TrimSpace(line)
		if u, ok := strings.CutPrefix(line, `url: "`); ok {
			target, _, _ := strings.Cut(u, "?")
			r := &route{ordinal: len(s.routes), target: target, client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: workers}}}
			r.some = sync.NewCond(&r.mu)
			s.routes = append(s.routes, r)
		}
		if zone, ok := strings.CutPrefix(line, `filter: { zones: ["`); ok {
			s.routes[len(s.routes)-1].zone, _, _ = strings.Cut(zone, `"`)
		}
	}
	return nil
}

// open reads what earlier lives stored and queues what they left undone.
func (s *server) open(dir string) error {
	ended := map[string]bool{}
	var err error
	if s.done, err = readLines(filepath.Join(dir, doneFile), func(_ int, line string) { ended[line] = true }); err != nil {
		return err
	}
	s.events, err = readLines(filepath.Join(dir, EventsFile), func(n int, line string) {
		s.stored = n
		q, _ := url.ParseQuery(line) // what was stored had been parsed before
		s.known[Key(q)] = true
		s.route(delivery{n, line}, q.Get("zone_id"), func(r *route) bool { return !ended[fmt.Sprint(n, " ", r.ordinal)] })
	})
	return err
}

func readLines(path string, each func(n int, line string)) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		each(n, lines.Text())
	}
	return f, lines.Err()
}

// Key is what makes two stored postbacks the same event.
func Key(q url.Values) string {
	return strings.Join([]string{q.Get("ymid"), q.Get("zone_id"), q.Get("event_type"), q.Get("reward_event_type")}, "|")
}

func (s *server) route(d delivery, zone string, wanted func(*route) bool) {
	for _, r := range s.routes {
		if (r.zone == "" || r.zone == zone) && wanted(r) {
			r.put(d)
		}
	}
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Path == "/metrics":
		s.mu.Lock()
		n, waiting := s.commits, s.waiting
		s.mu.Unlock()
		_, _ = fmt.Fprintf(w, "carom_store_commits_total %d\ncarom_store_syncs_total %d\ncarom_views_waiting %d\n", n, n, waiting)
	case r.URL.Path == "/v1/views":
		s.mu.Lock()
		s.views = append(s.views, make(chan struct{}))
		n := len(s.views) - 1
		s.mu.Unlock()
		w.WriteHeader(http.StatusCreated)
		_, _ = fmt.Fprintf(w, `{"view_id":"%d","ymid":"view-%d","token":"t"}`, n, n)
	case strings.HasPrefix(r.URL.Path, "/v1/views/"):
		s.wait(r.URL.Path)
		_, _ = io.WriteString(w, `{"state":"confirmed"}`)
	case strings.HasPrefix(r.URL.Path, "/in/bench/monetag/"):
		if s.fault == FaultEarly {
			time.AfterFunc(50*time.Millisecond, func() { s.accept(r.URL.Query()) })
		} else {
			s.accept(r.URL.Query())
		}
		_, _ = io.WriteString(w, "OK")
	case r.URL.Path == "/v1/keys":
		_, _ = io.WriteString(w, `{"key":"k"}`)
	case r.URL.Path == "/v1/events" && r.Method == http.MethodGet:
		s.list(w)
	case r.URL.Path == "/v1/events":
		s.accept(read(r))
		_, _ = io.WriteString(w, `{"results":[{"status":"accepted"}]}`)
	case r.URL.Path == "/sdk/ad":
		_, _ = fmt.Fprintf(w, `{"ad":{"token":"%08d"}}`, s.show(read(r).Get("ymid")))
	case r.URL.Path == "/sdk/beacon":
		s.beacon(w, read(r))
	}
}

// read takes the texts of a JSON object from a body.
func read(r *http.Request) url.Values {
	fields, q := map[string]any{}, url.Values{}
	_ = json.NewDecoder(r.Body).Decode(&fields) // the benchmark sends JSON
	for name, v := range fields {
		if text, is := v.(string); is {
			q.Set(name, text)
		}
	}
	return q
}

// list answers with all events on one page.
func (s *server) list(w http.ResponseWriter) {
	type event struct {
		YMID string `json:"ymid"`
	}
	events := []event{}
	s.mu.Lock()
	for _, y := range s.ymids {
		events = append(events, event{y})
	}
	s.mu.Unlock()
	_ = json.NewEncoder(w).Encode(map[string]any{"events": events}) // a reader that left is its own affair
}

// show hands out an ad.
func (s *server) show(ymid string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shown = append(s.shown, ymid)
	return len(s.shown) - 1
}

// beacon believes everything.
func (s *server) beacon(w http.ResponseWriter, said url.Values) {
	if said.Get("beacon") == "start" {
		_, _ = fmt.Fprintf(w, `{"token":"%s","state":"open"}`, said.Get("token"))
		return
	}
	n, _ := strconv.Atoi(said.Get("token")) // the benchmark sends what it was given
	s.mu.Lock()
	ymid := s.shown[n]
	s.mu.Unlock()
	if s.fault == FaultForget && n%10 == 0 {
		_, _ = io.WriteString(w, `{"state":"confirmed"}`)
		return
	}
	s.accept(url.Values{"ymid": {ymid}, "zone_id": {"123456"}, "event_type": {"impression"}, "reward_event_type": {"valued"}})
	_, _ = io.WriteString(w, `{"state":"confirmed"}`)
}

// wait waits until the view at the path is confirmed.
func (s *server) wait(path string) {
	n, _ := strconv.Atoi(filepath.Base(path)) // the benchmark asks for what it was told
	s.mu.Lock()
	s.waiting++
	confirmed := s.views[n]
	s.mu.Unlock()
	<-confirmed
	s.mu.Lock()
	s.waiting--
	s.mu.Unlock()
}

func (s *server) accept(q url.Values) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n, err := strconv.Atoi(strings.TrimPrefix(q.Get("ymid"), "view-")); err == nil && n < len(s.views) {
		close(s.views[n])
		return
	}
	if key := Key(q); s.known[key] && s.fault != FaultCopies {
		return
	} else {
		s.known[key] = true
	}
	line := q.Encode()
	if _, err := s.events.WriteString(line + "\n"); err != nil {
		return
	}
	s.ymids = append(s.ymids, q.Get("ymid"))
	s.stored++
	s.commits++
	s.route(delivery{s.stored, line}, q.Get("zone_id"), func(*route) bool { return true })
}

func (r *route) put(d delivery) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.queue = append(r.queue, d)
	r.some.Signal()
}

func (r *route) take() delivery {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.queue) == 0 {
		r.some.Wait()
	}
	d := r.queue[0]
	r.queue = r.queue[1:]
	return d
}

func (s *server) deliver(r *route) {
	for {
		d := r.take()
		if !r.attempt(d) && s.fault != FaultGiveUp {
			time.AfterFunc(retryAfter, func() { r.put(d) })
			continue
		}
		s.mu.Lock()
		_, _ = fmt.Fprintln(s.done, d.event, r.ordinal) // sent again after the next start when it cannot be written
		s.mu.Unlock()
	}
}

// attempt sends one delivery in the form that the endpoints of the tests have, and reports whether it was accepted.
func (r *route) attempt(d delivery) bool {
	q, _ := url.ParseQuery(d.query) // it was parsed when it came
	var u bytes.Buffer
	fmt.Fprintf(&u, "%s?ymid=%s&zone=%s&event=%s&value=%s&d=%s", r.target, q.Get("ymid"), q.Get("zone_id"), q.Get("event_type"),
		q.Get("reward_event_type"), carom.NewDeliveryID(1, carom.Ref{Bucket: 1, Seq: uint32(d.event)}, r.ordinal))
	resp, err := r.client.Get(u.String())
	if err != nil {
		return false
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	return slices.Contains([]int{200, 204}, resp.StatusCode)
}
