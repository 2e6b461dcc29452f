package api

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"

	"carom"
)

// Grant asks to credit an amount to a user.
type Grant struct {
	App      string `json:"app,omitempty" doc:"Needed unless the key is limited to one"`
	User     string `json:"user" minLength:"1" maxLength:"256" doc:"To whom it is credited, by the id that events carry"`
	Currency string `json:"currency" minLength:"1" doc:"One of the app's"`
	Amount   string `json:"amount" minLength:"1" maxLength:"40" doc:"A decimal above zero, with no more decimals than the currency has"`
	Key      string `json:"key" minLength:"1" maxLength:"256" doc:"Of your own, unique to this grant: whatever is sent again with it is granted once"`
	Why      string `json:"why" minLength:"1" maxLength:"500" doc:"Kept in the ledger, and shown with the reward"`
}

// Granted is a grant by hand.
type Granted struct {
	DryRun    bool          `json:"dry_run"`
	Duplicate bool          `json:"duplicate" doc:"The key was used before for the same grant: this is the one from then, and nothing was credited now"`
	Event     carom.EventID `json:"event,omitempty" doc:"Its event, of carom's own source; absent in a preview"`
	Reward    Reward        `json:"reward"`
}

type grantIn struct {
	Preview
	Body Grant
}

type grantOut struct{ Body Granted }

func (s *service) grantReward(ctx context.Context, in *grantIn) (*grantOut, error) {
	by, err := by(ctx, in.Body.Why)
	if err != nil {
		return nil, err
	}
	r, err := s.grantable(ctx, &in.Body)
	if err != nil {
		return nil, err
	}
	out := &grantOut{Granted{DryRun: in.DryRun}}
	if in.DryRun {
		r.Rule, r.State, r.Why = carom.RuleByHand, carom.RewardGranted, by.String()
		out.Body.Reward = rewardOf(r)
		return out, s.grantedBefore(ctx, in.Body.Key, r, &out.Body)
	}
	made, event, err := s.Door.Grant(*r, in.Body.Key, by)
	if err != nil {
		return nil, err
	}
	if made != nil {
		s.audit(ctx, "grant", by, "reward", string(made.ID))
		out.Body.Event, out.Body.Reward = event, rewardOf(made)
		return out, nil
	}
	return out, s.sameGrant(ctx, event, r, &out.Body)
}

// grantable makes the reward that is to be granted, or says what is wrong with it.
func (s *service) grantable(ctx context.Context, g *Grant) (*carom.Reward, error) {
	app, err := callerOf(ctx).narrow(g.App)
	if err != nil {
		return nil, err
	}
	if app == "" {
		return nil, carom.Invalid("app", "name the app whose user is to get it")
	}
	apps := s.Objects.Objects().Apps
	i := slices.IndexFunc(apps, func(a carom.App) bool { return a.Name == app })
	if i < 0 {
		return nil, carom.Invalid("app", "there is no app %q: GET /v1/objects lists them", app)
	}
	for _, f := range []struct{ name, value string }{{"user", g.User}, {"key", g.Key}} {
		if strings.TrimSpace(f.value) != f.value || strings.ContainsFunc(f.value, unicode.IsControl) {
			return nil, carom.Invalid(f.name, "it begins or ends with a space, or holds a control character: remove that")
		}
	}
	decimals, known := apps[i].Currencies[g.Currency]
	if !known {
		names := slices.Sorted(maps.Keys(apps[i].Currencies))
		if len(names) == 0 {
			return nil, carom.Invalid("currency", "the app %s has no currency: write `currencies: { coins: 0 }` for it in the objects file", app)
		}
		return nil, carom.Invalid("currency", "the app %s has no currency %q: write one of %s", app, g.Currency, strings.Join(names, ", "))
	}
	amount, truncated, err := carom.ParseNanos(g.Amount)
	step := carom.Nanos(1)
	for range 9 - min(max(decimals, 0), 9) {
		step *= 10
	}
	switch {
	case err != nil:
		return nil, carom.Invalid("amount", "it is not a decimal number: write one such as 5 or 0.25")
	case amount <= 0:
		return nil, carom.Invalid("amount", "it is not above zero: to take something back, void its reward")
	case truncated || amount%step != 0:
		return nil, carom.Invalid("amount", "%s has %s at most: round it", g.Currency, plural(decimals, "decimal"))
	}
	return &carom.Reward{App: app, User: g.User, Currency: g.Currency, Amount: amount}, nil
}

// grantedBefore looks among the newest grants and voids of the user whether the key was used. A preview that misses an older
// one promises what the grant then does not do: it says so itself.
func (s *service) grantedBefore(ctx context.Context, key string, r *carom.Reward, out *Granted) error {
	events, err := s.Store.Events(ctx, carom.EventFilter{App: r.App, Source: carom.SourceCarom, User: r.User, Limit: scanPage})
	if err != nil {
		return fmt.Errorf("find earlier grants: %w", err)
	}
	for _, e := range events {
		if e.ExternalID == key && e.Type == carom.Completion {
			return s.sameGrant(ctx, e.ID, r, out)
		}
	}
	return nil
}

// sameGrant fills in the grant that used the key before. It returns carom.ErrConflict when that was another one.
func (s *service) sameGrant(ctx context.Context, event carom.EventID, r *carom.Reward, out *Granted) error {
	st, err := s.Store.Story(ctx, event)
	if errors.Is(err, carom.ErrNotFound) {
		return failf(carom.ErrConflict, "this key was used before, by the event %s, which is not kept any more: see the user's ledger, and take another key if this is another grant", event)
	}
	if err != nil {
		return fmt.Errorf("get event %s: %w", event, err)
	}
	if len(st.Event.Decided) == 0 || st.Event.Decided[0].Reward == nil {
		return failf(carom.ErrConflict, "this key was used before, by the event %s: take another one", event)
	}
	was := st.Event.Decided[0].Reward
	if was.User != r.User || was.Currency != r.Currency || was.Amount != r.Amount {
		return failf(carom.ErrConflict, "this key was used before, for %s %s: give each grant a key of its own", was.Amount, was.Currency)
	}
	out.Duplicate, out.Event, out.Reward = true, event, rewardOf(was)
	return nil
}
