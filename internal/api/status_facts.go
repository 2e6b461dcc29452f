package api

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"carom"
)

type statusOut struct{ Body Status }

func (s *service) getStatus(ctx context.Context, _ *struct{}) (*statusOut, error) {
	f, err := s.facts(ctx)
	if err != nil {
		return nil, fmt.Errorf("gather the status: %w", err)
	}
	return &statusOut{judge(f)}, nil
}

// facts gathers what the status is judged from, as far as the caller may see it.
func (s *service) facts(ctx context.Context) (*facts, error) {
	c, now := callerOf(ctx), s.now()
	f := &facts{Now: now, Started: s.started, Objects: visible(c, s.Objects.Objects()), Lanes: s.Lanes.Lanes(), Trouble: s.Store.Trouble()}
	var err error
	if c.app == "" {
		s.machineFacts(f)
		if s.Nodes != nil {
			if f.Nodes, err = s.Nodes(ctx); err != nil {
				return nil, err
			}
		}
	}
	if f.Backlogs, err = s.Store.Backlogs(ctx); err != nil {
		return nil, err
	}
	received := carom.CountFilter{From: now.Add(-time.Hour), App: c.app, GroupBy: []string{"minute", "app", "source", "outcome"}}
	if f.Hour, err = s.Store.Counts(ctx, received); err != nil {
		return nil, err
	}
	received.Rewards, received.GroupBy = true, []string{"app", "source", "outcome"}
	if f.RewardHour, err = s.Store.Counts(ctx, received); err != nil {
		return nil, err
	}
	for _, day := range []struct {
		rewards bool
		into    *[]carom.Count
	}{{true, &f.RewardDay}, {false, &f.Day}} {
		if *day.into, err = s.received.read(dayOf{c.app, day.rewards}, now, func(from, to time.Time) ([]carom.Count, error) {
			return s.Store.Counts(ctx, carom.CountFilter{From: from, To: to, App: c.app, Rewards: day.rewards, GroupBy: []string{"hour", "app", "source", "outcome"}})
		}); err != nil {
			return nil, err
		}
	}
	ended := carom.CountFilter{From: now.Add(-time.Hour), App: c.app, GroupBy: []string{"endpoint", "outcome"}}
	if f.EndedHour, err = s.Store.DeliveryCounts(ctx, ended); err != nil {
		return nil, err
	}
	if f.EndedDay, err = s.ended.read(dayOf{app: c.app}, now, func(from, to time.Time) ([]carom.DeliveryCount, error) {
		return s.Store.DeliveryCounts(ctx, carom.CountFilter{From: from, To: to, App: c.app, GroupBy: []string{"hour", "endpoint", "outcome"}})
	}); err != nil {
		return nil, err
	}
	if err := s.rhythms(ctx, c.app, f); err != nil {
		return nil, err
	}
	if err := s.waiting(ctx, f); err != nil {
		return nil, err
	}
	return f, s.refusedDetails(ctx, f)
}

// lastDays reads the counts of the last 24 hours, to the quarter of an hour. Most of them are over and have been read before: only what a
// quarter of an hour cannot have settled is read each time. A row of an hour may come twice, with a part each.
type lastDays[T any] struct {
	mu   sync.Mutex
	past map[dayOf]pastDay[T]
}

// dayOf tells apart what is kept of the last day.
type dayOf struct {
	app     string // that the caller is limited to; "": all
	rewards bool
}

// pastDay is what was counted of the last day up to a moment, when it was read.
type pastDay[T any] struct {
	from, until time.Time
	counts      []T
}

// read asks for what is not known yet.
func (d *lastDays[T]) read(of dayOf, now time.Time, ask func(from, to time.Time) ([]T, error)) ([]T, error) {
	const quarter = carom.QuarterMinutes * time.Minute
	from, until := now.Add(-24*time.Hour).Truncate(quarter), now.Truncate(quarter).Add(-quarter)
	past, err := d.kept(of, from, until, ask)
	if err != nil {
		return nil, err
	}
	fresh, err := ask(until, time.Time{})
	return slices.Concat(past, fresh), err
}

// kept is what was counted from one moment until another, read once for all who ask for the same.
func (d *lastDays[T]) kept(of dayOf, from, until time.Time, ask func(from, to time.Time) ([]T, error)) ([]T, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if past, ok := d.past[of]; ok && past.from.Equal(from) && past.until.Equal(until) {
		return past.counts, nil
	}
	counts, err := ask(from, until)
	if err != nil {
		return nil, err
	}
	if d.past == nil {
		d.past = map[dayOf]pastDay[T]{}
	}
	d.past[of] = pastDay[T]{from, until, counts}
	return counts, nil
}

// machineFacts adds what concerns the whole server: a caller who sees one app is not told.
func (s *service) machineFacts(f *facts) {
	f.PublicURL, f.InClear = s.PublicURL, s.InClear
	f.ClockStep = f.Now.Round(0).Sub(s.started.Round(0)) - f.Now.Sub(s.started) // Round takes the monotonic reading away
	if s.Machine != nil {
		f.Machine = s.Machine()
	}
	if s.Certificates != nil {
		f.Certificates = s.Certificates()
	}
	if s.Alerts != nil {
		f.Channels = s.Alerts.Alerts().Channels
	}
}

// waiting counts what waits at the sources that are frozen or held something today. It looks at the newest events of each
// alone, so that the status stays cheap.
func (s *service) waiting(ctx context.Context, f *facts) error {
	const scan = 10_000
	f.Waiting = map[string]waiting{}
	for i := range f.Objects.Sources {
		src := &f.Objects.Sources[i]
		if src.Mode == carom.SourceShadow || src.Mode == carom.SourceLive && count(f, src, carom.OutcomeHeld).day == 0 {
			continue
		}
		n, err := s.waits(ctx, src.App, src.Name, scan)
		if err != nil {
			return err
		}
		f.Waiting[src.ID()] = n
	}
	return nil
}

// refusedDetails finds the newest detail of each reason for which a source refused something today.
func (s *service) refusedDetails(ctx context.Context, f *facts) error {
	f.RefusedDetails = map[string]string{}
	asked := map[string]bool{}
	for _, c := range f.Day {
		id := c.App + "/" + c.Source
		if asked[id] || !strings.HasPrefix(c.Outcome, carom.OutcomeRefused+":") {
			continue
		}
		asked[id] = true
		list, err := s.Store.Refused(ctx, carom.RefusedFilter{App: c.App, Source: c.Source, Limit: 50})
		if err != nil {
			return err
		}
		for _, r := range list {
			key := id + " " + string(r.Reason)
			if _, ok := f.RefusedDetails[key]; !ok {
				f.RefusedDetails[key] = r.Detail
			}
		}
	}
	return nil
}
