package server

import (
	"context"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// drain counts the open connections of a server, so that a stop can wait for the last one before http.Server.Shutdown begins.
// Shutdown by itself is not enough: net/http drops a request without an answer when it has just read it at that moment.
type drain struct{ open atomic.Int64 }

// state is the server's ConnState.
func (d *drain) state(_ net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		d.open.Add(1)
	case http.StateClosed, http.StateHijacked:
		d.open.Add(-1)
	}
}

// wait closes what is idle, has the others end after their answer, and returns when none is left, or when ctx ends. Nobody may
// be accepted any more.
func (d *drain) wait(ctx context.Context, srv *http.Server) {
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for srv.SetKeepAlivesEnabled(false); d.open.Load() > 0; srv.SetKeepAlivesEnabled(false) {
		select {
		case <-again.C:
		case <-ctx.Done():
			return
		}
	}
}
