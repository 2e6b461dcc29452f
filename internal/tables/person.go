package tables

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"carom"
)

// Person returns everything that is kept about a user of an app.
func (t *Tables) Person(ctx context.Context, app, user string) (*carom.Person, error) {
	p := &carom.Person{App: app, User: user}
	var err error
	if p.Balances, err = t.o.Archive.Balances(ctx, app, user); err != nil {
		return nil, err
	}
	if p.Rewards, err = t.allRewards(ctx, app, user); err != nil {
		return nil, err
	}
	for _, r := range p.Rewards {
		_, lines, err := t.Reward(ctx, r.ID)
		if err != nil {
			return nil, err
		}
		p.Lines = append(p.Lines, lines...)
	}
	if p.Views, err = t.ViewsOf(ctx, app, user); err != nil {
		return nil, err
	}
	ids, err := t.eventsOf(ctx, p)
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		st, err := t.Story(ctx, id)
		if errors.Is(err, carom.ErrNotFound) {
			continue // retention dropped it since
		}
		if err != nil {
			return nil, err
		}
		p.Stories = append(p.Stories, st)
	}
	p.Refused, err = t.refusedOf(ctx, app, user)
	return p, err
}

func (t *Tables) allRewards(ctx context.Context, app, user string) ([]*carom.Reward, error) {
	var all []*carom.Reward
	f := carom.RewardFilter{App: app, User: user, Limit: 1000}
	for {
		list, err := t.o.Archive.Rewards(ctx, f)
		if err != nil {
			return nil, err
		}
		if all = append(all, list...); len(list) < f.Limit {
			return all, nil
		}
		f.Before = list[len(list)-1].ID
	}
}

// eventsOf finds the events of a person: those that name the user, those whose ymid is the user, and those of the user's views
// and rewards.
func (t *Tables) eventsOf(ctx context.Context, p *carom.Person) ([]carom.EventID, error) {
	objects, err := t.Objects(ctx)
	if err != nil {
		return nil, err
	}
	asUser := map[string]bool{}
	for _, src := range objects.Sources {
		asUser[src.ID()] = src.YMID == carom.YMIDUser
	}
	found := map[carom.EventID]time.Time{}
	search := func(f carom.EventFilter, is func(*carom.Event) bool) error {
		f.App, f.Limit = p.App, 1000
		for {
			list, err := t.o.Archive.Events(ctx, f)
			if err != nil {
				return err
			}
			for _, ev := range list {
				if is(ev) {
					found[ev.ID] = ev.At
				}
			}
			if len(list) < f.Limit {
				return nil
			}
			f.Before = list[len(list)-1].ID
		}
	}
	all := func(*carom.Event) bool { return true }
	errs := []error{search(carom.EventFilter{User: p.User}, all), search(carom.EventFilter{YMID: p.User}, func(ev *carom.Event) bool {
		return asUser[ev.App+"/"+ev.Source] || ev.Flags&carom.FlagYMIDAsUser != 0
	})}
	for _, v := range p.Views {
		errs = append(errs, search(carom.EventFilter{YMID: v.YMID}, func(ev *carom.Event) bool { return ev.View == v.ID }))
	}
	for _, r := range p.Rewards {
		if r.Event != "" {
			found[r.Event] = r.At
		}
	}
	return slices.SortedFunc(maps.Keys(found), func(x, y carom.EventID) int { return cmp.Or(found[y].Compare(found[x]), cmp.Compare(y, x)) }), errors.Join(errs...)
}

// refusedOf finds the refused postbacks of the app that name the user. They have no index by user, so all of the app's are read.
func (t *Tables) refusedOf(ctx context.Context, app, user string) ([]*carom.Refused, error) {
	var found []*carom.Refused
	f := carom.RefusedFilter{App: app, Limit: 1000}
	for {
		list, err := t.o.Archive.Refused(ctx, f)
		if err != nil {
			return nil, err
		}
		for _, r := range list {
			if Names(&r.Received, user) {
				found = append(found, r)
			}
		}
		if len(list) < f.Limit {
			return found, nil
		}
		f.Before = list[len(list)-1].ID
	}
}

// ToErase returns the user of an app who is to be erased. It returns carom.ErrInvalid unless both are named and the user was not
// erased already.
func (t *Tables) ToErase(ctx context.Context, app, user string) (*carom.Person, error) {
	if app == "" || user == "" || strings.HasPrefix(user, carom.ErasedPrefix) {
		return nil, carom.Invalid("user", "name the app, and a user of it who was not erased already")
	}
	return t.Person(ctx, app, user)
}
