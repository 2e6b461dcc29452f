package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"

	"carom"
)

// What one request may change by hand, and how much it may read to find it. More is left for the next request, which goes on
// where this one ended: each ends well within the 30 s that a server allows a request.
const (
	maxVoids     = 10_000
	maxReprocess = 1_000
	maxResends   = 500

	scanPage    = 1_000   // rows in one read
	scanRewards = 100_000 // rewards looked at
	scanEvents  = 100_000 // events looked at
	scanStories = 5_000   // events whose deliveries are looked at, each of which takes a few reads
)

// Preview says whether a request only shows what it would do. It is exported because huma reads only exported fields.
type Preview struct {
	DryRun bool `query:"dry_run" doc:"Only show what would change: the answer has the same shape, and nothing does"`
}

// Sum is an amount by currency and by what became of it.
type Sum struct {
	App      string            `json:"app"`
	Currency string            `json:"currency"`
	State    carom.RewardState `json:"state"`
	Rewards  int               `json:"rewards"`
	Amount   string            `json:"amount"`
}

// sums adds up rewards. Units and billionths are kept apart, so that neither can overflow.
type sums map[Sum]struct {
	n            int
	units, nanos int64
}

func (m sums) add(r *carom.Reward, state carom.RewardState) {
	const unit = 1_000_000_000
	key := Sum{App: r.App, Currency: r.Currency, State: state}
	total := m[key]
	total.n++
	total.units += int64(r.Amount / unit)
	total.nanos += int64(r.Amount % unit)
	total.units, total.nanos = total.units+total.nanos/unit, total.nanos%unit
	m[key] = total
}

func (m sums) list() []Sum {
	out := []Sum{}
	for _, key := range slices.SortedFunc(maps.Keys(m), func(a, b Sum) int {
		return cmp.Or(cmp.Compare(a.App, b.App), cmp.Compare(a.Currency, b.Currency), cmp.Compare(a.State, b.State))
	}) {
		total := m[key]
		key.Rewards = total.n
		key.Amount = fmt.Sprint(total.units) + strings.TrimPrefix(carom.Nanos(total.nanos).String(), "0")
		out = append(out, key)
	}
	return out
}

// by is who asks and why, as it is kept with what is done.
func by(ctx context.Context, why string) (carom.By, error) {
	why = strings.TrimSpace(why)
	if why == "" || strings.ContainsFunc(why, unicode.IsControl) {
		return carom.By{}, carom.Invalid("why", "write the reason in one line of text: it is kept in the ledger and in the log")
	}
	traceOf(ctx).why = why
	return carom.By{Who: callerOf(ctx).name, Why: why}, nil
}

// audit logs what was changed by hand, and notes it for the audit log: attrs are names and values in turn.
func (s *service) audit(ctx context.Context, what string, by carom.By, attrs ...any) {
	t := traceOf(ctx)
	for i := 0; i+1 < len(attrs); i += 2 {
		t.changes = append(t.changes, carom.AuditChange{Field: fmt.Sprint(attrs[i]), After: fmt.Sprint(attrs[i+1])})
	}
	s.Log.InfoContext(ctx, "changed by hand", append([]any{"what", what, "who", by.Who, "why", by.Why}, attrs...)...)
}

// partly is the error of a change that ended in its middle. What was done is not undone, and to repeat the request is safe.
func partly(err error, done int, noun string) error {
	if errors.Is(err, carom.ErrUnavailable) {
		return failf(carom.ErrUnavailable, "%s changed before the server could store nothing more: send the same request again in some seconds, nothing is done twice",
			plural(done, noun))
	}
	return err
}

// filterOrIDs checks that a request says in one of two ways what it is about.
func filterOrIDs(filter bool, ids int) error {
	switch {
	case filter && ids > 0:
		return carom.Invalid("ids", "give filter or ids, not both")
	case !filter && ids == 0:
		return carom.Invalid("filter", "say what this is about: a filter with an app, or ids")
	}
	return nil
}

// appOf returns the app of a filter, which has to name one unless the key does. source is the filter's, by its name alone.
func (c caller) appOf(app, source string) (string, error) {
	if strings.Contains(source, "/") {
		return "", carom.Invalid("filter.source", "write the source's name alone, without its app")
	}
	app, err := c.narrow(app)
	if err == nil && app == "" {
		err = carom.Invalid("filter.app", "name the app: a change by filter concerns one app")
	}
	return app, err
}
