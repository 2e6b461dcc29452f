package caromtest

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
)

// Reply is how an endpoint answers one request. The zero value is an empty 200.
type Reply struct {
	Status      int
	ContentType string
	Body        string
	Header      map[string]string
	Hang        bool // answer nothing until the sender gives up
	Reset       bool // break the connection off with a TCP reset
}

// The commonest replies.
var (
	OK     = Reply{Body: "ok"}
	Failed = Reply{Status: http.StatusInternalServerError, Body: "it broke"}
	Page   = Reply{ContentType: "text/html", Body: "<!doctype html><title>Welcome</title>"}
	Hang   = Reply{Hang: true}
	Reset  = Reply{Reset: true}
)

// Sent is one postback that an endpoint got.
type Sent struct {
	Method string
	Path   string
	Query  string // raw
	Header http.Header
	Body   string
}

// Endpoint records what it is sent and answers as it is told. It is safe for concurrent use.
type Endpoint struct {
	URL string

	mu      sync.Mutex // guards all below
	replies map[string][]Reply
	sent    map[string][]Sent
	closing chan struct{}
}

// NewEndpoint starts an endpoint that ends with the test. Every path answers 200 until it has a script.
func NewEndpoint(t testing.TB) *Endpoint {
	e := &Endpoint{replies: map[string][]Reply{}, sent: map[string][]Sent{}, closing: make(chan struct{})}
	srv := httptest.NewServer(e)
	e.URL = srv.URL
	t.Cleanup(func() {
		close(e.closing)
		srv.CloseClientConnections()
		srv.Close()
	})
	return e
}

// Script says how requests for a path are answered, one after the other. The last reply is repeated.
func (e *Endpoint) Script(path string, replies ...Reply) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.replies[path] = replies
}

// Sent returns what came for a path, in order of arrival.
func (e *Endpoint) Sent(path string) []Sent {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.sent[path])
}

// Wait waits until n postbacks have come for a path and returns them.
func (e *Endpoint) Wait(t testing.TB, path string, n int) []Sent {
	t.Helper()
	Until(t, "postbacks at "+path, func() bool { return len(e.Sent(path)) >= n })
	return e.Sent(path)
}

// ServeHTTP implements http.Handler.
func (e *Endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body) // what is missing shows in the record
	reply := e.record(r, string(body))
	switch {
	case reply.Hang:
		select {
		case <-r.Context().Done():
		case <-e.closing:
		}
		return
	case reply.Reset:
		reset(w)
		return
	}
	for name, value := range reply.Header {
		w.Header().Set(name, value)
	}
	if reply.ContentType != "" {
		w.Header().Set("Content-Type", reply.ContentType)
	}
	if reply.Status != 0 {
		w.WriteHeader(reply.Status)
	}
	_, _ = io.WriteString(w, reply.Body) // a sender that is gone sees nothing anyway
}

func (e *Endpoint) record(r *http.Request, body string) Reply {
	e.mu.Lock()
	defer e.mu.Unlock()
	path := r.URL.Path
	e.sent[path] = append(e.sent[path], Sent{r.Method, path, r.URL.RawQuery, r.Header.Clone(), body})
	replies := e.replies[path]
	switch len(replies) {
	case 0:
		return Reply{}
	case 1:
	default:
		e.replies[path] = replies[1:]
	}
	return replies[0]
}

func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return // HTTP/2, which a test server does not speak
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // so that Close resets
	}
	_ = conn.Close() // that is the point
}
