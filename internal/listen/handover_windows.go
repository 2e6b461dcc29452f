package listen

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"carom"
)

// activated returns nothing: there is no socket activation on Windows.
func activated() []passed { return nil }

// TakeOver is not supported on Windows, where processes cannot pass sockets in this way.
func TakeOver(context.Context, string) (*Predecessor, error) {
	return nil, fmt.Errorf("takeover: one process cannot take over from another on Windows: stop the running one, then start this one: %w",
		errors.Join(carom.ErrInvalid, errors.ErrUnsupported))
}

// Offer offers nothing on Windows: its Run waits for ctx to end.
func (s *Sockets) Offer(string, *slog.Logger) (*Offer, error) {
	return &Offer{ready: make(chan *Successor)}, nil
}

// Run waits for ctx to end.
func (o *Offer) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}
