package api

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"carom"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

const (
	tailEvery = 500 * time.Millisecond
	// tailPage and tailPages bound what one look reads: beyond 2,000 events in half a second nobody can read along, and
	// the tail says that it skips.
	tailPage  = 500
	tailPages = 4
	// tailQuiet is how long the tail says nothing before it sends a comment, so that proxies keep the connection.
	tailQuiet = 15 * time.Second
)

type tailIn struct {
	Selection
	LastID string `header:"Last-Event-ID" doc:"Go on after this event, as browsers do by themselves"`
}

// tail sends events as server-sent events while they are accepted, oldest first.
func (s *service) tail(ctx context.Context, in *tailIn) (*huma.StreamResponse, error) {
	app, source, err := in.resolve(callerOf(ctx))
	if err != nil {
		return nil, err
	}
	cursor := carom.EventID(in.LastID)
	if cursor != "" {
		if _, _, err := cursor.Place(); err != nil {
			return nil, carom.Invalid("Last-Event-ID", "this is not an event id: leave the header away to begin with the next event")
		}
	}
	filter := carom.EventFilter{App: app, Source: source}
	if cursor == "" {
		if cursor, err = s.newest(ctx, filter); err != nil {
			return nil, err
		}
	}
	return &huma.StreamResponse{Body: func(hctx huma.Context) {
		_, w := humago.Unwrap(hctx)
		w.Header().Set("Content-Type", "text/event-stream")
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Accel-Buffering", "no") // nginx would hold events back
		rc := http.NewResponseController(w)
		_ = rc.SetWriteDeadline(time.Time{}) // a server without deadlines has none to lift
		w.WriteHeader(http.StatusOK)
		if err := rc.Flush(); err != nil {
			return
		}
		err := s.follow(hctx.Context(), filter, cursor, flushing{w, rc})
		if err != nil && hctx.Context().Err() == nil {
			s.Log.WarnContext(hctx.Context(), "tail ended", "error", err)
		}
	}}, nil
}

// flushing sends each write on at once.
type flushing struct {
	io.Writer
	rc *http.ResponseController
}

func (f flushing) Write(p []byte) (int, error) {
	n, err := f.Writer.Write(p)
	if err == nil {
		err = f.rc.Flush()
	}
	return n, err
}

func (s *service) newest(ctx context.Context, f carom.EventFilter) (carom.EventID, error) {
	f.Limit = 1
	events, err := s.Store.Events(ctx, f)
	if err != nil || len(events) == 0 {
		return "", err
	}
	return events[0].ID, nil
}

// follow writes the events after cursor to w until ctx ends, the server stops, or the reader is gone.
func (s *service) follow(ctx context.Context, f carom.EventFilter, cursor carom.EventID, w io.Writer) error {
	tick := time.NewTicker(tailEvery)
	defer tick.Stop()
	quiet := time.Duration(0)
	for {
		events, skipped, err := s.newer(ctx, f, cursor)
		if err != nil {
			return fmt.Errorf("read new events: %w", err)
		}
		if skipped {
			if _, err := io.WriteString(w, "event: skipped\ndata: {\"reason\":\"events come faster than they can be shown: some are left out\"}\n\n"); err != nil {
				return err
			}
		}
		for _, e := range events {
			data, err := json.Marshal(EventOf(e))
			if err != nil {
				return err
			}
			if _, err := fmt.Fprintf(w, "id: %s\nevent: event\ndata: %s\n\n", e.ID, data); err != nil {
				return err
			}
			cursor = e.ID
		}
		if quiet += tailEvery; len(events) > 0 {
			quiet = 0
		}
		if quiet >= tailQuiet {
			quiet = 0
			if _, err := io.WriteString(w, ": nothing new\n\n"); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-s.Done:
			return nil
		case <-tick.C:
		}
	}
}

// newer returns the events after cursor, oldest first. skipped says that there were more than one look may read.
func (s *service) newer(ctx context.Context, f carom.EventFilter, cursor carom.EventID) (events []*carom.Event, skipped bool, err error) {
	f.Limit = tailPage
	for range tailPages {
		page, err := s.Store.Events(ctx, f)
		if err != nil {
			return nil, false, err
		}
		for _, e := range page {
			if e.ID <= cursor { // ids sort by time
				slices.Reverse(events)
				return events, false, nil
			}
			events = append(events, e)
		}
		if len(page) < tailPage {
			slices.Reverse(events)
			return events, false, nil
		}
		f.Before = page[len(page)-1].ID
	}
	slices.Reverse(events)
	return events, true, nil
}
