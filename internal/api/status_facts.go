package api

import (
	"context"
	"fmt"
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
	received.From, received.GroupBy = now.Add(-24*time.Hour), []string{"hour", "app", "source", "outcome"}
	if f.RewardDay, err = s.Store.Counts(ctx, received); err != nil {
		return nil, err
	}
	received.Rewards = false
	if f.Day, err = s.Store.Counts(ctx, received); err != nil {
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
