package api

import (
	"context"
	"fmt"
	"slices"
	"time"

	"carom"
)

// Stats is how many postbacks were received and how many deliveries ended in a stretch of time.
type Stats struct {
	From       time.Time             `json:"from"`
	To         time.Time             `json:"to"`
	Counts     []carom.Count         `json:"counts" nullable:"false" doc:"Received postbacks and reported events"`
	Deliveries []carom.DeliveryCount `json:"deliveries" nullable:"false" doc:"Deliveries that ended, and attempts that failed"`
}

type statsIn struct {
	Selection
	From    time.Time `query:"from" doc:"Start, RFC 3339. Without it: 24 hours before to"`
	To      time.Time `query:"to" doc:"End, RFC 3339, not included. Without it: now"`
	GroupBy []string  `query:"group_by" enum:"minute,hour,day,app,source,zone,request_var,event_type,value,outcome,endpoint" doc:"Comma-separated. The endpoint is a dimension of deliveries only"`
}

type statsOut struct{ Body Stats }

func (s *service) getStats(ctx context.Context, in *statsIn) (*statsOut, error) {
	app, source, err := in.resolve(callerOf(ctx))
	if err != nil {
		return nil, err
	}
	f := carom.CountFilter{From: in.From.UTC(), To: in.To.UTC(), App: app, Source: source}
	if in.To.IsZero() {
		f.To = s.now()
	}
	if in.From.IsZero() {
		f.From = f.To.Add(-24 * time.Hour)
	}
	if !f.From.Before(f.To) {
		return nil, carom.Invalid("from", "the start is not before the end: swap from and to")
	}
	out := &statsOut{Stats{From: f.From, To: f.To}}
	f.GroupBy = slices.DeleteFunc(slices.Clone(in.GroupBy), func(dim string) bool { return dim == "endpoint" })
	if out.Body.Counts, err = s.Store.Counts(ctx, f); err != nil {
		return nil, fmt.Errorf("count received: %w", err)
	}
	f.GroupBy = deliveryDimensions(in.GroupBy)
	if out.Body.Deliveries, err = s.Store.DeliveryCounts(ctx, f); err != nil {
		return nil, fmt.Errorf("count deliveries: %w", err)
	}
	if out.Body.Counts == nil {
		out.Body.Counts = []carom.Count{}
	}
	if out.Body.Deliveries == nil {
		out.Body.Deliveries = []carom.DeliveryCount{}
	}
	return out, nil
}

// deliveryDimensions are those of dims that counts of deliveries have.
func deliveryDimensions(dims []string) []string {
	var kept []string
	for _, dim := range dims {
		switch dim {
		case "endpoint", "outcome", "minute", "hour", "day":
			kept = append(kept, dim)
		}
	}
	return kept
}
