package tables

import (
	"context"
	"time"

	"carom"
)

// Archive is what a store finds by its own ways. [Tables] puts together from it what is told of an event, a view and a person, so
// that it is told alike in every database.
type Archive interface {
	// Events, Refused and Rewards return a page of what the filter selects, newest first.
	Events(ctx context.Context, f carom.EventFilter) ([]*carom.Event, error)
	Refused(ctx context.Context, f carom.RefusedFilter) ([]*carom.Refused, error)
	Rewards(ctx context.Context, f carom.RewardFilter) ([]*carom.Reward, error)
	// Balances returns what a user has, by currency.
	Balances(ctx context.Context, app, user string) ([]carom.Balance, error)
	// StoredEvent returns an event, and its endpoints as JoinTargets wrote them. Its errors are those of [Tables.Story], and name
	// the event.
	StoredEvent(ctx context.Context, id carom.EventID) (ev *carom.Event, endpoints string, err error)
	// Attempts returns the attempts of a delivery to the endpoint of that number, oldest first, and when the next is due: zero
	// unless it waits in the due table.
	Attempts(ctx context.Context, id carom.DeliveryID, endpoint int) (list []carom.Attempt, due time.Time, err error)
	// RewardsOfView returns the rewards that may have been made for the view of this sum, oldest first.
	RewardsOfView(ctx context.Context, sum [16]byte) ([]*RewardRow, error)
}
