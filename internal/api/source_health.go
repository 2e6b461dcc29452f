package api

import (
	"context"
	"fmt"
	"slices"
	"time"

	"carom"
	"carom/internal/objects"
)

// SourceHealth says whether postbacks come in by a source, and why not.
type SourceHealth struct {
	State           string            `json:"state" enum:"waiting,verified,refused" doc:"waiting: nothing has come. refused: something has come, and nothing of it became an event. verified: events come in"`
	FirstVerifiedAt time.Time         `json:"first_verified_at,omitzero" doc:"When its first event came; to the day once there are many"`
	LastEvent       carom.EventID     `json:"last_event,omitempty" doc:"Its newest event"`
	LastEventAt     time.Time         `json:"last_event_at,omitzero" doc:"When that came"`
	LastRefused     *HealthRefused    `json:"last_refused,omitempty" doc:"The newest of the last seven days that was verified and is of no use"`
	LastUnverified  *HealthUnverified `json:"last_unverified,omitempty" doc:"The newest that proved nothing, of a bounded sample"`
}

// HealthRefused is a postback that was verified and is of no use.
type HealthRefused struct {
	ID     carom.ReceivedID `json:"id"`
	Reason carom.Reason     `json:"reason"`
	Words  string           `json:"words" doc:"What is wrong, and the fix"`
	At     time.Time        `json:"at"`
}

// HealthUnverified is a postback that proved nothing.
type HealthUnverified struct {
	Reason carom.Reason `json:"reason"`
	Words  string       `json:"words" doc:"What is wrong"`
	Why    string       `json:"why" doc:"What it most often comes from, and the fix"`
	At     time.Time    `json:"at"`
}

type healthOut struct{ Body SourceHealth }

// fewEvents is how many events of a source are read to find its first.
const fewEvents = 50

// refusedSpan is how old a refusal may be to say why nothing comes. Without one, a source of which none was refused would be looked for in
// every time bucket.
const refusedSpan = 7 * 24 * time.Hour

// sourceHealth is asked every few seconds by people who wait for the first postback.
func (s *service) sourceHealth(ctx context.Context, in *ObjectPath) (*healthOut, error) {
	if _, err := find[carom.Source](s, callerOf(ctx), in.ref(objects.KindSource)); err != nil {
		return nil, err
	}
	h := SourceHealth{State: "waiting"}
	refused, err := s.Store.Refused(ctx, carom.RefusedFilter{App: in.App, Source: in.Name, From: s.now().Add(-refusedSpan), Limit: 1})
	if err != nil {
		return nil, fmt.Errorf("list refused postbacks: %w", err)
	}
	for _, r := range refused[:min(len(refused), 1)] {
		h.State = "refused"
		h.LastRefused = &HealthRefused{ID: r.ID, Reason: r.Reason, Words: r.Detail, At: r.Received.At.UTC()}
	}
	unverified, err := s.Store.Unverified(ctx, in.App, in.Name, 1)
	if err != nil {
		return nil, fmt.Errorf("list unverified postbacks: %w", err)
	}
	for _, u := range unverified[:min(len(unverified), 1)] {
		h.State = "refused"
		words, why := unverifiedWords(u.Reason)
		h.LastUnverified = &HealthUnverified{Reason: u.Reason, Words: words, Why: why, At: u.Received.At.UTC()}
	}
	if err := s.addEvents(ctx, &h, in); err != nil {
		return nil, err
	}
	return &healthOut{h}, nil
}

// addEvents says which event of the source is the newest, and when the first came. Tests do not count.
func (s *service) addEvents(ctx context.Context, h *SourceHealth, in *ObjectPath) error {
	few := fewEvents
	if _, known := s.firstDays.Load(in.App + "/" + in.Name); known {
		few = 1 // the first is known, so that only the newest is missing
	}
	events, full, err := s.inEarnest(ctx, in, few)
	if err == nil && len(events) == 0 && full && few < fewEvents {
		events, full, err = s.inEarnest(ctx, in, fewEvents)
	}
	if err != nil || len(events) == 0 {
		return err
	}
	h.State, h.LastEvent, h.LastEventAt = "verified", events[0].ID, events[0].At.UTC()
	h.FirstVerifiedAt = events[len(events)-1].At.UTC()
	if !full {
		return nil
	}
	first, err := s.firstDay(ctx, in.App, in.Name)
	if err == nil && !first.IsZero() && first.Before(h.FirstVerifiedAt) {
		h.FirstVerifiedAt = first
	}
	return err
}

// inEarnest reads the newest so many events of a source, and leaves out the tests: that the path is right shows a test as well; that the
// network has entered the URL shows only what it sent in earnest. full says that there may be older ones.
func (s *service) inEarnest(ctx context.Context, in *ObjectPath, most int) (events []*carom.Event, full bool, err error) {
	events, err = s.Store.Events(ctx, carom.EventFilter{App: in.App, Source: in.Name, Limit: most})
	if err != nil {
		return nil, false, fmt.Errorf("list events: %w", err)
	}
	full = len(events) == most
	return slices.DeleteFunc(events, func(ev *carom.Event) bool { return ev.Flags&carom.FlagTest != 0 }), full, nil
}

// firstDay is the first day, in UTC, on which an event of a source was counted; zero when none was. It is read once: it does not change.
func (s *service) firstDay(ctx context.Context, app, source string) (time.Time, error) {
	id := app + "/" + source
	if day, ok := s.firstDays.Load(id); ok {
		return day.(time.Time), nil
	}
	const days = 400 // as long as counts are kept
	f := carom.ReportFilter{App: app, Source: source, By: []string{"source"}}
	for today, i := s.now().UTC().Truncate(24*time.Hour), -days; i <= 1; i++ {
		f.Cuts = append(f.Cuts, today.AddDate(0, 0, i))
	}
	counts, err := s.Store.ReportCounts(ctx, f)
	if err != nil {
		return time.Time{}, fmt.Errorf("count received: %w", err)
	}
	for _, n := range counts { // the oldest first
		if n.Accepted+n.Held > 0 {
			s.firstDays.Store(id, n.At)
			return n.At, nil
		}
	}
	return time.Time{}, nil
}

// unverifiedWords says why a postback proved nothing, and what that most often comes from.
func unverifiedWords(reason carom.Reason) (words, why string) {
	for _, known := range []struct {
		reason     carom.Reason
		words, why string
	}{
		{carom.ReasonWrongSecret, "the secret is missing or differs",
			"an older URL is entered at the network, or a part of it was lost: enter the URL as it was shown, or make a new one with POST …/rotate"},
		{carom.ReasonNoSignature, "the signature is missing, or not where it has to be",
			"the network does not sign yet: enter the key there as well, or have its manager enable it"},
		{carom.ReasonBadSignature, "the signature is of other bytes or another key",
			"the key of the source is not the network's, or a proxy changes the URL on the way: enter the key again, exactly as the network shows it"},
		{carom.ReasonUnknownKey, "the network publishes no key of this id", "it was made up, or the network has changed its keys a moment ago: wait for the next one"},
		{carom.ReasonStale, "it was signed longer ago, or further ahead, than the clocks may differ", "check the clock of this server"},
		{carom.ReasonWrongAddress, "it came from an address that the source does not list",
			"the network has new addresses, or a proxy stands before this server and is not listed under trusted_proxies"},
	} {
		if known.reason == reason {
			return known.words, known.why
		}
	}
	return "it proves nothing", "compare the URL that is entered at the network with the one that was shown"
}
