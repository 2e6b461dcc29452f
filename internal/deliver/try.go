package deliver

import (
	"context"
	"time"

	"carom"
	"carom/internal/egress"
	"carom/internal/route"
)

// Tried is what one exchange came to that belongs to no delivery.
type Tried struct {
	egress.Result
	Outcome
	Took time.Duration
}

// Try makes one exchange with an endpoint's server, by the rules of an attempt, and judges it as one. Nothing is recorded, no
// lane waits for it and no breaker learns of it. Cancelling ctx ends it.
func Try(ctx context.Context, client Client, e *carom.Endpoint, req route.Request, clock func() time.Time) Tried {
	begun := clock()
	res := client.Do(ctx, egress.Policy{AllowPrivate: e.AllowPrivate},
		egress.Request{Method: req.Method, URL: req.URL, Header: req.Header, Body: req.Body},
		egress.Options{Timeout: e.Timeout, Once: true})
	ended := clock()
	return Tried{res, classify(ended, e, &res), ended.Sub(begun)}
}
