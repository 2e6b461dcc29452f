// Package sink is the receiver of the benchmark: it answers postbacks and keeps account of what arrived.
//
// Each ymid is a mark (see package mark), so the sink knows to which run a postback belongs, whether it is a duplicate, and
// how long the event took from its intended sending to here. A path decides how a postback is answered:
//
//	/postback    200 at once; counted
//	/slow?ms=N   200 after N milliseconds; counted
//	/fail        500; not counted as received
//	/hang        held for ten seconds or until the sender gives up, then 200; not counted as received
//
// Others are broken in other ways, and nothing counts as received there:
//
//	/busy        429 with Retry-After
//	/absent      404
//	/redirect    302 to a page that is not there
//	/drip        200 with a body that comes a byte at a time, as long as /hang holds
//	/sever       the connection is reset when the request is there
//	/garbage     a line that is no HTTP, and the connection is closed
//
// The rest is for whoever measures: GET /stats?run=HEX, POST /expect?run=HEX&from=NS, POST /check?run=HEX, POST /reset.
package sink

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"carom"
	"carom/bench/mark"
	"carom/bench/stat"
)

// DefaultHang is how long /hang holds a request.
const DefaultHang = 10 * time.Second

// maxCheckBytes bounds the body of /check: a bit for each of 2^30 events.
const maxCheckBytes = 1 << 27

// Sink is an http.Handler that keeps account of the postbacks it gets. It is safe for concurrent use.
type Sink struct {
	hang time.Duration

	mu    sync.Mutex // guards what follows
	runs  map[uint32]*run
	paths map[string]int64
}

// run is what arrived of one run of a load generator.
type run struct {
	set          stat.Set
	count        int64 // arrivals, duplicates included
	first, last  int64 // of the arrivals that were new, Unix nanoseconds
	from         int64 // events meant to be sent before this moment are left out of the latency
	latency      stat.Latency
	newest       uint64            // the highest place so far
	ends         map[uint64]uint64 // the highest sequence so far, by time bucket
	displacement uint64
}

// note takes up the place of an arrival, a time bucket and a sequence in it, and what it says about the order. Sequences begin
// anew with each bucket, so the distance over an edge is what is left of the older bucket and what was seen of the newer one.
func (r *run) note(place uint64) {
	const seqBits = 25
	bucket, seq := place>>seqBits, place&(1<<seqBits-1)
	newestBucket, newestSeq := r.newest>>seqBits, r.newest&(1<<seqBits-1)
	end := r.ends[bucket]
	switch {
	case place > r.newest:
		r.newest = place
	case bucket == newestBucket:
		r.displacement = max(r.displacement, newestSeq-seq)
	case seq < end:
		r.displacement = max(r.displacement, end-seq+newestSeq)
	default:
		r.displacement = max(r.displacement, newestSeq)
	}
	r.ends[bucket] = max(end, seq)
}

// Stats are the account of one run.
type Stats struct {
	At         int64 `json:"at"` // when this was read, Unix nanoseconds
	Count      int64 `json:"count"`
	Unique     int64 `json:"unique"`
	Duplicates int64 `json:"duplicates"`
	FirstAt    int64 `json:"first_at"` // Unix nanoseconds; zero when nothing arrived
	LastAt     int64 `json:"last_at"`

	// Displacement is how far the latest comer was behind: the largest difference between the highest place seen and the
	// place of an event that arrived after it. A place is the delivery's, or the mark's number when there is no delivery id.
	Displacement uint64           `json:"displacement"`
	Latency      stat.Percentiles `json:"latency"`
	Paths        map[string]int64 `json:"paths"` // requests by path, over all runs
}

// Checked says which acknowledged events never arrived.
type Checked struct {
	Missing  int64    `json:"missing"`
	Examples []uint64 `json:"examples"`
}

// New makes a sink whose /hang holds for hang, or for DefaultHang when that is zero.
func New(hang time.Duration) *Sink {
	if hang == 0 {
		hang = DefaultHang
	}
	return &Sink{hang: hang, runs: map[uint32]*run{}, paths: map[string]int64{}}
}

// ServeHTTP answers as the path asks.
func (s *Sink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/postback":
		s.record(r)
		ok(w)
	case "/slow":
		ms, _ := strconv.Atoi(param(r.URL.RawQuery, "ms")) // a bad number is no wait
		wait(r, time.Duration(ms)*time.Millisecond)
		s.record(r)
		ok(w)
	case "/fail":
		s.visit(r)
		http.Error(w, "failed as asked", http.StatusInternalServerError)
	case "/hang":
		s.visit(r)
		wait(r, s.hang)
		ok(w)
	case "/busy", "/absent", "/redirect", "/drip", "/sever", "/garbage":
		s.visit(r)
		s.broken(w, r)
	case "/stats":
		writeJSON(w, s.stats(runOf(r)))
	case "/expect":
		from, _ := strconv.ParseInt(param(r.URL.RawQuery, "from"), 10, 64) // a bad moment leaves nothing out
		s.expect(runOf(r), from)
		ok(w)
	case "/check":
		s.check(w, r)
	case "/reset":
		s.reset()
		ok(w)
	default:
		http.NotFound(w, r)
	}
}

// busyFor is what /busy asks for, in seconds.
const busyFor = "1"

// broken answers as no receiver should.
func (s *Sink) broken(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/busy":
		w.Header().Set("Retry-After", busyFor)
		http.Error(w, "busy as asked", http.StatusTooManyRequests)
	case "/absent":
		http.NotFound(w, r)
	case "/redirect":
		http.Redirect(w, r, "/elsewhere", http.StatusFound)
	case "/drip":
		const bytes = 30
		w.Header().Set("Content-Length", strconv.Itoa(bytes))
		for range bytes {
			if _, err := io.WriteString(w, "."); err != nil || http.NewResponseController(w).Flush() != nil {
				return
			}
			wait(r, s.hang/bytes)
		}
	case "/sever":
		hangUp(w, "")
	case "/garbage":
		hangUp(w, "SSH-2.0-receiver\r\n")
	}
}

// hangUp writes text where the answer belongs and closes the connection. Without text it is reset.
func hangUp(w http.ResponseWriter, text string) {
	c, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	_, _ = io.WriteString(c, text) // a sender that left is its own affair
	if tcp, is := c.(*net.TCPConn); is && text == "" {
		_ = tcp.SetLinger(0) // else it is closed in order
	}
	_ = c.Close() // nothing is read from it any more
}

func ok(w http.ResponseWriter) { _, _ = io.WriteString(w, "OK") } // a sender that left is its own affair

func wait(r *http.Request, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-r.Context().Done():
	}
}

func runOf(r *http.Request) uint32 {
	v, _ := strconv.ParseUint(param(r.URL.RawQuery, "run"), 16, 32) // no run is run 0, which nobody uses
	return uint32(v)
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // a reader that left is its own affair
}

// param returns the raw value of a query parameter. The values that matter here are never percent-encoded, and parsing the
// whole query would cost more than all else that the sink does for a postback.
func param(query, name string) string {
	for query != "" {
		var pair string
		pair, query, _ = strings.Cut(query, "&")
		if k, v, _ := strings.Cut(pair, "="); k == name {
			return v
		}
	}
	return ""
}

func (s *Sink) visit(r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.paths[r.URL.Path]++
}

// record takes a postback into the account. One whose ymid is no mark counts under its path only.
func (s *Sink) record(r *http.Request) {
	now := time.Now().UnixNano()
	m, marked := mark.Parse(param(r.URL.RawQuery, "ymid"))
	place := m.Seq
	if _, ref, _, err := carom.DeliveryID(param(r.URL.RawQuery, "d")).Place(); err == nil {
		place = ref.Uint64()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.paths[r.URL.Path]++
	if marked {
		s.run(m.Run).record(m, place, now)
	}
}

// run returns the account of a run, made on first use. The caller holds mu.
func (s *Sink) run(id uint32) *run {
	r := s.runs[id]
	if r == nil {
		r = &run{latency: stat.NewLatency(), ends: map[uint64]uint64{}}
		s.runs[id] = r
	}
	return r
}

func (r *run) record(m mark.Mark, place uint64, now int64) {
	r.count++
	if !r.set.Add(m.Seq) {
		return
	}
	if r.first == 0 {
		r.first = now
	}
	r.last = now
	r.note(place)
	if m.At >= r.from {
		r.latency.Record(time.Duration(now - m.At))
	}
}

func (s *Sink) stats(id uint32) Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.run(id)
	paths := make(map[string]int64, len(s.paths))
	for p, n := range s.paths {
		paths[p] = n
	}
	return Stats{
		At: time.Now().UnixNano(), Count: r.count, Unique: r.set.Len(), Duplicates: r.count - r.set.Len(),
		FirstAt: r.first, LastAt: r.last, Displacement: r.displacement, Latency: r.latency.Summary(), Paths: paths,
	}
}

func (s *Sink) expect(id uint32, from int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.run(id).from = from
}

func (s *Sink) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.runs)
	clear(s.paths)
}

// check compares what arrived with the set of acknowledged events in the body.
func (s *Sink) check(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxCheckBytes))
	if err != nil {
		http.Error(w, "the set of acknowledged events could not be read: "+err.Error(), http.StatusBadRequest)
		return
	}
	var acked stat.Set
	_ = acked.UnmarshalBinary(body) // any bytes are a set
	s.mu.Lock()
	defer s.mu.Unlock()
	var c Checked
	c.Missing, c.Examples = s.run(runOf(r)).set.Missing(&acked)
	writeJSON(w, c)
}
