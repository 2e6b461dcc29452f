// Package reference holds the servers that carom is measured against. They are fixed: a change here makes every earlier
// figure incomparable.
//
// Handler is what net/http costs to read a postback and to answer it. Forwarder adds what it costs to pass the postback on,
// with nothing verified, deduplicated, routed or stored: whatever it holds is lost when it dies. Journal adds one synced
// file to the Forwarder: the least that losing nothing costs. HMAC is what net/http costs to read a signed body and to verify it.
package reference

import (
	"context"
	"io"
	"net/http"
	"sync"
)

const (
	// workers is how many requests the forwarder has under way at once.
	workers = 256
	// queued is how many postbacks the forwarder holds before its senders wait.
	queued = 1024
)

// Handler reads the query of each request and answers 200.
func Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("ymid") == "" {
			http.Error(w, "ymid is missing", http.StatusBadRequest)
			return
		}
		_, _ = io.WriteString(w, "OK") // a sender that left is its own affair
	})
}

// Forwarder answers 200 once it has handed a postback to a channel; its workers GET target with the same query.
type Forwarder struct {
	target string
	queue  chan string // ServeHTTP sends, workers receive; never closed
	client *http.Client
}

// NewForwarder makes a forwarder to target, a URL without a query. It does nothing until Run.
func NewForwarder(target string) *Forwarder {
	return &Forwarder{
		target: target,
		queue:  make(chan string, queued),
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: workers}},
	}
}

// ServeHTTP hands the query to the workers, then answers.
func (f *Forwarder) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	select {
	case f.queue <- r.URL.RawQuery:
		_, _ = io.WriteString(w, "OK") // a sender that left is its own affair
	case <-r.Context().Done():
	}
}

// Run forwards until ctx ends.
func (f *Forwarder) Run(ctx context.Context) {
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for {
				select {
				case query := <-f.queue:
					f.forward(query)
				case <-ctx.Done():
					return
				}
			}
		})
	}
	wg.Wait()
	f.client.CloseIdleConnections()
}

// forward makes one request. A failed one is lost: that is what a bare forwarder does, and the sink's account shows it.
func (f *Forwarder) forward(query string) {
	resp, err := f.client.Get(f.target + "?" + query)
	if err != nil {
		return
	}
	_, _ = io.Copy(io.Discard, resp.Body) // read to the end so that the connection is used again
	_ = resp.Body.Close()
}
