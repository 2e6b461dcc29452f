package api

import (
	"context"
	"fmt"
	"slices"
	"strings"
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
	if f.RewardDay, err = s.lastDay(ctx, c.app, true, now); err != nil {
		return nil, err
	}
	if f.Day, err = s.lastDay(ctx, c.app, false, now); err != nil {
		return nil, err
	}
	ended := carom.CountFilter{From: now.Add(-time.Hour), App: c.app, GroupBy: []string{"endpoint", "outcome"}}
	if f.EndedHour, err = s.Store.DeliveryCounts(ctx, ended); err != nil {
		return nil, err
	}
	ended.From, ended.GroupBy = now.Add(-24*time.Hour), []string{"hour", "endpoint", "outcome"}
	if f.EndedDay, err = s.Store.DeliveryCounts(ctx, ended); err != nil {
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

// pastDay is what was counted of the last day up to a moment, when it was read.
type pastDay struct {
	from, until time.Time
	counts      []carom.Count
}

// dayOf tells apart what is kept of the last day.
type dayOf struct {
	app     string // that the caller is limited to; "": all
	rewards bool
}

// lastDay reads the last 24 hours, to the quarter of an hour. Most of them are over and have been read before: only what a quarter of an
// hour cannot have settled is read each time. A row of an hour may come twice, with a part each.
func (s *service) lastDay(ctx context.Context, app string, rewards bool, now time.Time) ([]carom.Count, error) {
	const quarter = carom.QuarterMinutes * time.Minute
	read := func(from, to time.Time) ([]carom.Count, error) {
		return s.Store.Counts(ctx, carom.CountFilter{From: from, To: to, App: app, Rewards: rewards, GroupBy: []string{"hour", "app", "source", "outcome"}})
	}
	from, until := now.Add(-24*time.Hour).Truncate(quarter), now.Truncate(quarter).Add(-quarter)
	past, err := s.keptDay(dayOf{app, rewards}, from, until, read)
	if err != nil {
		return nil, err
	}
	fresh, err := read(until, time.Time{})
	return slices.Concat(past, fresh), err
}

// keptDay is what was counted from one moment until another, read once for all who ask for the same.
func (s *service) keptDay(of dayOf, from, until time.Time, read func(from, to time.Time) ([]carom.Count, error)) ([]carom.Count, error) {
	s.daysMu.Lock()
	defer s.daysMu.Unlock()
	past := s.days[of]
	if past.from.Equal(from) && past.until.Equal(until) {
		return past.counts, nil
	}
	counts, err := read(from, until)
	if err != nil {
		return nil, err
	}
	if s.days == nil {
		s.days = map[dayOf]pastDay{}
	}
	s.days[of] = pastDay{from, until, counts}
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
