package view

import (
	"context"
	"errors"
	"time"

	"carom"
)

// Nodes is where news of other nodes is heard of, which store what people wait for here.
type Nodes interface {
	// News gets a value when there may be some. It is a hint.
	News() <-chan struct{}
	// ViewsWithNews says which of the views have had an event that was received since.
	ViewsWithNews(ctx context.Context, views []carom.ViewID, since time.Time) ([]carom.ViewID, error)
}

const (
	// lookEvery is how often it is looked for news though nobody has told of any, and lookPace how often at most.
	lookEvery = time.Second
	lookPace  = 50 * time.Millisecond
	// lookBack is how long an event may take from its receipt until others see it.
	lookBack = 15 * time.Second
)

// Follow tells those who wait what other nodes have stored, until ctx ends.
func (d *Door) Follow(ctx context.Context, nodes Nodes) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	told := map[carom.ViewID]bool{} // what was told lately is not looked at again
	for failing := false; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			clear(told)
		case <-nodes.News():
		}
		err := d.look(ctx, nodes, told)
		if err != nil && !failing && ctx.Err() == nil {
			d.opts.Log.Warn("what other nodes have stored for those who wait cannot be read, will try again", "error", err)
		}
		failing = err != nil
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(lookPace):
		}
	}
}

func (d *Door) look(ctx context.Context, nodes Nodes, told map[carom.ViewID]bool) error {
	waiting := d.waiting.views()
	if len(waiting) == 0 {
		return nil
	}
	changed, err := nodes.ViewsWithNews(ctx, waiting, d.opts.Clock().Add(-lookBack))
	if err != nil {
		return err
	}
	for _, id := range changed {
		if told[id] {
			continue
		}
		told[id] = true
		v, err := d.opts.Store.View(ctx, id)
		if errors.Is(err, carom.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		outcome, err := d.opts.Store.ViewOutcome(ctx, v)
		if err != nil {
			return err
		}
		d.Tell(id, outcome)
	}
	return nil
}
