package api

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"carom"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

// Follower is what has happened since it was last asked, as far as it is remembered.
type Follower interface {
	// Take returns at most the newest so many, oldest first, and how many were left out.
	Take(most int) (list []carom.Watched, skipped int)
	Close()
}

const (
	liveEvery  = 200 * time.Millisecond
	liveMost   = 1000 // that one look looks at: 5,000 a second
	liveShown  = 200  // of them, of each kind, that are sent: more than 1,000 a second nobody can read, and each costs as much as a tenth of an event
	liveOthers = 3    // looks between two at what other nodes have stored
	liveWrite  = 30 * time.Second
)

// LiveReceived is a received postback or a reported event with what became of it, as GET /v1/live sends it.
type LiveReceived struct {
	ID              string    `json:"id,omitempty" doc:"Of the event or the refused postback; of a copy, the event that it is a copy of; absent for unverified ones"`
	At              time.Time `json:"at"`
	App             string    `json:"app"`
	Source          string    `json:"source"`
	Network         string    `json:"network"`
	EventType       string    `json:"event_type"`
	RewardEventType string    `json:"reward_event_type"`
	YMID            string    `json:"ymid"`
	User            string    `json:"user"`
	Zone            string    `json:"zone"`
	Outcome         string    `json:"outcome" enum:"accepted,held,unmatched,duplicate,refused,unverified"`
	Reason          string    `json:"reason,omitempty"`
	Words           string    `json:"words"`
}

// LiveSent is an attempt, as GET /v1/live sends it.
type LiveSent struct {
	Delivery carom.DeliveryID    `json:"delivery"`
	Event    carom.EventID       `json:"event"`
	Endpoint string              `json:"endpoint"`
	Number   int                 `json:"number"`
	At       time.Time           `json:"at"`
	TookMS   float64             `json:"took_ms"`
	State    carom.DeliveryState `json:"state" enum:"pending,delivered,dead,expired"`
	Status   int                 `json:"status"`
	Reason   string              `json:"reason"`
	URL      string              `json:"url"`
}

type liveIn struct {
	Selection
	EndpointSelector
	Kind []string `query:"kind" enum:"received,sent" doc:"Comma-separated; without it: both"`
}

// liveFilter is what a feed is limited to.
type liveFilter struct {
	app, source, endpoint string
	received, sent        bool
}

// followLive sends what is received and sent as server-sent events, while it happens.
func (s *service) followLive(ctx context.Context, in *liveIn) (*huma.StreamResponse, error) {
	c, o := callerOf(ctx), s.Objects.Objects()
	app, source, err := in.Selection.resolve(c)
	if err != nil {
		return nil, err
	}
	of, no, err := in.EndpointSelector.resolve(c, &o, app)
	if err != nil {
		return nil, err
	}
	f := liveFilter{app: of, source: source, received: len(in.Kind) == 0 || slices.Contains(in.Kind, "received"), sent: len(in.Kind) == 0 || slices.Contains(in.Kind, "sent")}
	for i := range o.Endpoints {
		if no != 0 && o.Endpoints[i].No == no {
			f.endpoint = o.Endpoints[i].ID()
		}
	}
	if s.Live == nil {
		return nil, failf(carom.ErrUnavailable, "this server keeps nothing of what happens: use GET /v1/tail")
	}
	follower, err := s.Live()
	if err != nil {
		return nil, failf(carom.ErrUnavailable, "%v", err)
	}
	var others carom.Feed
	if s.OtherEvents != nil {
		if others, err = s.OtherEvents(ctx, carom.EventFilter{App: f.app, Source: f.source, Limit: liveMost}, nil); err != nil {
			follower.Close()
			return nil, err
		}
	}
	return &huma.StreamResponse{Body: func(hctx huma.Context) {
		defer follower.Close()
		_, w := humago.Unwrap(hctx)
		rc, err := startStream(w)
		if err != nil {
			return
		}
		err = s.sendLive(hctx.Context(), f, follower, others.Next, bounded{flushing{w, rc}})
		if err != nil && hctx.Context().Err() == nil {
			s.Log.DebugContext(hctx.Context(), "live feed ended", "error", err)
		}
	}}, nil
}

// startStream begins an answer of server-sent events.
func startStream(w http.ResponseWriter) (*http.ResponseController, error) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Accel-Buffering", "no") // nginx would hold events back
	rc := http.NewResponseController(w)
	_ = rc.SetWriteDeadline(time.Time{}) // a server without deadlines has none to lift
	w.WriteHeader(http.StatusOK)
	return rc, rc.Flush()
}

// bounded gives up on a reader who takes nothing.
type bounded struct{ flushing }

func (b bounded) Write(p []byte) (int, error) {
	_ = b.rc.SetWriteDeadline(time.Now().Add(liveWrite)) // a server that cannot has another way to end
	return b.flushing.Write(p)
}

// sendLive writes what happens until ctx ends, the server stops, or the reader is gone.
func (s *service) sendLive(ctx context.Context, f liveFilter, follower Follower, others carom.FeedCursor, w io.Writer) error {
	tick := time.NewTicker(liveEvery)
	defer tick.Stop()
	quiet := time.Duration(0)
	for look := 1; ; look++ {
		var b strings.Builder
		list, skipped := follower.Take(liveMost)
		if others != nil && look%liveOthers == 0 && f.received {
			feed, err := s.OtherEvents(ctx, carom.EventFilter{App: f.app, Source: f.source, Limit: liveMost}, others)
			if err != nil {
				return fmt.Errorf("read what other nodes have stored: %w", err)
			}
			if others = feed.Next; feed.Skipped {
				skipped++
			}
			for _, ev := range feed.Events {
				if ev.Source != carom.SourceCarom {
					list = append(list, carom.Watched{Event: ev, Outcome: storedOutcome(ev)})
				}
			}
		}
		list = slices.DeleteFunc(list, func(w carom.Watched) bool { return !f.wants(&w) })
		matched := len(list)
		list = newestOfEach(list, liveShown)
		skipped += matched - len(list)
		if skipped > 0 {
			fmt.Fprintf(&b, "event: skipped\ndata: {\"n\":%d,\"reason\":\"more has happened than can be shown: some is left out\"}\n\n", skipped)
		}
		for i := range list {
			if err := writeLive(&b, &list[i]); err != nil {
				return err
			}
		}
		if quiet += liveEvery; b.Len() > 0 {
			quiet = 0
		}
		if quiet >= tailQuiet {
			quiet = 0
			b.WriteString(": nothing new\n\n")
		}
		if b.Len() > 0 {
			if _, err := io.WriteString(w, b.String()); err != nil {
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

// newestOfEach leaves the newest so many of what was received and of what was sent, so that neither crowds out the other: a page may show
// one of them alone.
func newestOfEach(list []carom.Watched, most int) []carom.Watched {
	sent := 0
	for i := range list {
		if list[i].Sent != nil {
			sent++
		}
	}
	received := len(list) - sent
	return slices.DeleteFunc(list, func(w carom.Watched) bool { // the oldest come first
		if w.Sent != nil {
			sent--
			return sent >= most
		}
		received--
		return received >= most
	})
}

// storedOutcome is what became of an event as far as it tells by itself.
func storedOutcome(ev *carom.Event) string {
	if ev.Held != "" {
		return carom.OutcomeHeld
	}
	return carom.OutcomeAccepted
}

// wants says whether the filter lets something through.
func (f liveFilter) wants(w *carom.Watched) bool {
	app, source := "", ""
	switch {
	case w.Sent != nil:
		if !f.sent || w.For == nil || f.endpoint != "" && w.Sent.Endpoint != f.endpoint {
			return false
		}
		app, source = w.For.App, w.For.Source
	case !f.received:
		return false
	case w.Refused != nil:
		app, source = w.Refused.App, w.Refused.Source
	case w.Unverified != nil:
		app, source = w.Unverified.App, w.Unverified.Source
	default:
		app, source = w.Event.App, w.Event.Source
	}
	return (f.app == "" || app == f.app) && (f.source == "" || source == f.source)
}

// writeLive writes one thing.
func writeLive(b *strings.Builder, w *carom.Watched) error {
	name, v := "received", any(nil)
	if w.Sent != nil {
		name, v = "sent", liveSent(w)
	} else {
		v = liveReceived(w)
	}
	data, err := json.Marshal(v)
	if err == nil {
		fmt.Fprintf(b, "event: %s\ndata: %s\n\n", name, data)
	}
	return err
}

func liveSent(w *carom.Watched) LiveSent {
	a := w.Sent
	return LiveSent{Delivery: a.Delivery, Event: w.For.ID, Endpoint: a.Endpoint, Number: a.Number, At: a.At.UTC(), TookMS: float64(a.Took.Microseconds()) / 1000,
		State: a.State, Status: a.Status, Reason: a.Reason, URL: a.URL}
}

func liveReceived(w *carom.Watched) LiveReceived {
	switch {
	case w.Refused != nil:
		r := w.Refused
		return LiveReceived{ID: string(r.ID), At: r.Received.At.UTC(), App: r.App, Source: r.Source, Network: r.Network, Outcome: carom.OutcomeRefused,
			Reason: string(r.Reason), Words: "refused: " + r.Detail}
	case w.Unverified != nil:
		u := w.Unverified
		return LiveReceived{At: u.Received.At.UTC(), App: u.App, Source: u.Source, Outcome: carom.OutcomeUnverified, Reason: string(u.Reason),
			Words: "proved nothing: " + reasonWords(string(u.Reason))}
	}
	ev := w.Event
	at := ev.At
	if at.IsZero() {
		at = ev.Received.At
	}
	return LiveReceived{ID: string(ev.ID + w.First), At: at.UTC(), App: ev.App, Source: ev.Source, Network: ev.Network, EventType: string(ev.Type),
		RewardEventType: string(ev.Value), YMID: ev.YMID, User: ev.User(false), Zone: ev.ZoneID, Outcome: w.Outcome, Reason: ev.Held, Words: liveWords(w)}
}

// liveWords says what became of an event.
func liveWords(w *carom.Watched) string {
	ev := w.Event
	switch w.Outcome {
	case carom.OutcomeDuplicate:
		return "a copy of " + string(w.First)
	case carom.OutcomeHeld:
		return "held: " + reasonWords(ev.Held)
	}
	words := []string{"accepted"}
	if w.Outcome == carom.OutcomeUnmatched {
		words[0] = "accepted, and owed to no endpoint"
	}
	for i := range ev.Decided {
		words = append(words, decisionWords(&ev.Decided[i]))
	}
	return strings.Join(words, "; ")
}
