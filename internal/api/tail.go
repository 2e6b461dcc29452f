package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"carom"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

const (
	tailEvery = 500 * time.Millisecond
	// tailMost bounds what one look reads: beyond 2,000 events in half a second nobody can read along, and the tail says that it skips.
	tailMost = 2000
	// tailQuiet is how long the tail says nothing before it sends a comment, so that proxies keep the connection.
	tailQuiet = 15 * time.Second
)

type tailIn struct {
	Selection
	LastID string `header:"Last-Event-ID" doc:"Go on after this event, as browsers do by themselves. Where several nodes share a database, some events are sent a second time: those that other nodes received from a minute before it on"`
}

// tail sends events as server-sent events while they are stored, oldest first.
func (s *service) tail(ctx context.Context, in *tailIn) (*huma.StreamResponse, error) {
	app, source, err := in.resolve(callerOf(ctx))
	if err != nil {
		return nil, err
	}
	filter := carom.EventFilter{App: app, Source: source, Limit: tailMost}
	feed, err := s.Store.StartFeed(ctx, filter, carom.EventID(in.LastID))
	switch {
	case errors.Is(err, carom.ErrInvalid):
		return nil, carom.Invalid("Last-Event-ID", "this is not an event id: leave the header away to begin with the next event")
	case errors.Is(err, carom.ErrNotFound): // such as of before a restore: what came between nobody can tell
		if feed, err = s.Store.StartFeed(ctx, filter, ""); err == nil {
			feed.Skipped = true
		}
	}
	if err != nil {
		return nil, err
	}
	return &huma.StreamResponse{Body: func(hctx huma.Context) {
		_, w := humago.Unwrap(hctx)
		rc, err := startStream(w)
		if err != nil {
			return
		}
		err = s.follow(hctx.Context(), filter, feed, flushing{w, rc})
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

// follow writes a feed, and what is stored behind it, to w until ctx ends, the server stops, or the reader is gone.
func (s *service) follow(ctx context.Context, f carom.EventFilter, feed carom.Feed, w io.Writer) error {
	tick := time.NewTicker(tailEvery)
	defer tick.Stop()
	quiet := time.Duration(0)
	for {
		if err := writeFeed(w, feed); err != nil {
			return err
		}
		if quiet += tailEvery; len(feed.Events) > 0 {
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
		var err error
		if feed, err = s.Store.EventsBehind(ctx, f, feed.Next); err != nil {
			return fmt.Errorf("read new events: %w", err)
		}
	}
}

func writeFeed(w io.Writer, feed carom.Feed) error {
	if feed.Skipped {
		if _, err := io.WriteString(w, "event: skipped\ndata: {\"reason\":\"there are more events than can be shown: some are left out\"}\n\n"); err != nil {
			return err
		}
	}
	for _, e := range feed.Events {
		data, err := json.Marshal(EventOf(e))
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(w, "id: %s\nevent: event\ndata: %s\n\n", e.ID, data); err != nil {
			return err
		}
	}
	return nil
}
