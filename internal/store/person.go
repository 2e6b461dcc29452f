package store

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"carom"
	"carom/internal/books"
	"carom/internal/tables"
)

// Erasing a user is the one change that is made to rows which are otherwise only appended: the person goes, every amount stays.
// The rows of events go first, in slices; the account, by which they are found, is renamed last and in one transaction, in the
// tables and in the memory of what is not folded yet, so that the ledger adds up at every moment. After a process that died in
// between, erasing again finds the rest. What will still name the user to a receiver has to be over before.

// erasedText takes the place of what was received or sent.
const erasedText = "(erased)"

// Person returns everything that is kept about a user of an app.
func (s *Store) Person(ctx context.Context, app, user string) (*carom.Person, error) {
	p := &carom.Person{App: app, User: user}
	var err error
	if p.Balances, err = s.Balances(ctx, app, user); err != nil {
		return nil, err
	}
	if p.Rewards, err = s.allRewards(ctx, app, user); err != nil {
		return nil, err
	}
	for _, r := range p.Rewards {
		_, lines, err := s.Reward(ctx, r.ID)
		if err != nil {
			return nil, err
		}
		p.Lines = append(p.Lines, lines...)
	}
	if p.Views, err = s.ViewsOf(ctx, app, user); err != nil {
		return nil, err
	}
	ids, err := s.eventsOf(ctx, p)
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		st, err := s.Story(ctx, id)
		if errors.Is(err, carom.ErrNotFound) {
			continue // retention dropped it since
		}
		if err != nil {
			return nil, err
		}
		p.Stories = append(p.Stories, st)
	}
	p.Refused, err = s.refusedOf(ctx, app, user)
	return p, err
}

func (s *Store) allRewards(ctx context.Context, app, user string) ([]*carom.Reward, error) {
	var all []*carom.Reward
	f := carom.RewardFilter{App: app, User: user, Limit: 1000}
	for {
		list, err := s.Rewards(ctx, f)
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
func (s *Store) eventsOf(ctx context.Context, p *carom.Person) ([]carom.EventID, error) {
	objects, err := s.Objects(ctx)
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
			list, err := s.Events(ctx, f)
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
func (s *Store) refusedOf(ctx context.Context, app, user string) ([]*carom.Refused, error) {
	var found []*carom.Refused
	f := carom.RefusedFilter{App: app, Limit: 1000}
	for {
		list, err := s.Refused(ctx, f)
		if err != nil {
			return nil, err
		}
		for _, r := range list {
			if tables.Names(&r.Received, user) {
				found = append(found, r)
			}
		}
		if len(list) < f.Limit {
			return found, nil
		}
		f.Before = list[len(list)-1].ID
	}
}

// Erase removes a user of an app from everything that is kept: see [carom.Erased]. A name that nobody has erases nothing. It
// takes a while where there is much, and nothing waits for it.
//
// It returns carom.ErrInvalid for a user who was erased already, and carom.ErrConflict when the user earned something meanwhile:
// then it can be asked for again.
func (s *Store) Erase(ctx context.Context, app, user string) (carom.Erased, error) {
	if app == "" || user == "" || strings.HasPrefix(user, carom.ErasedPrefix) {
		return carom.Erased{}, carom.Invalid("user", "name the app, and a user of it who was not erased already")
	}
	p, err := s.Person(ctx, app, user)
	if err != nil {
		return carom.Erased{}, fmt.Errorf("erase a user: %w", err)
	}
	if n := p.Waiting(); n > 0 {
		return carom.Erased{Waiting: n}, nil
	}
	out := carom.Erased{As: carom.ErasedPrefix + strings.ToLower(rand.Text()[:16])}
	if err := s.eraseEvents(ctx, p, &out); err != nil {
		return out, fmt.Errorf("erase a user: events: %w", err)
	}
	if err := s.eraseRefused(ctx, p, &out); err != nil {
		return out, fmt.Errorf("erase a user: refused postbacks: %w", err)
	}
	if err := s.renameAccount(ctx, p, &out); err != nil {
		return out, fmt.Errorf("erase a user: rewards: %w", err)
	}
	return out, nil
}

// renameAccount gives the user's rewards, lines, balances, counters and views another name, all at once. It waits for a fold that
// is under way, whose keys hold the old one.
func (s *Store) renameAccount(ctx context.Context, p *carom.Person, out *carom.Erased) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := s.erase(ctx, func(w *writer) error {
			if s.tallies.older != nil {
				return errFolding
			}
			return s.renameRows(w, p, out)
		}, func() { s.tallies.rename(p.App, p.User, out.As) })
		if !errors.Is(err, errFolding) {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}

var errFolding = errors.New("balances are being folded")

func (s *Store) renameRows(w *writer, p *carom.Person, out *carom.Erased) error {
	out.Rewards, out.Views = 0, 0
	numbers, err := s.findRewards(searchRewardUser, userSearch(p.App, p.User), math.MaxInt64, math.MaxInt32)
	if err != nil {
		return err
	}
	for _, no := range numbers {
		n, err := w.execCount(`UPDATE rewards SET user = ?, ymid = '' WHERE no = ? AND app = ? AND user = ?`, out.As, no, p.App, p.User)
		if err != nil {
			return err
		}
		if n == 0 {
			continue // the index found another one
		}
		out.Rewards++
		if err := w.exec(`UPDATE ledger SET user = ? WHERE reward = ?`, out.As, no); err != nil {
			return err
		}
		if err := w.exec(`INSERT INTO erased (user, reward) VALUES (?, ?)`, out.As, no); err != nil {
			return err
		}
	}
	if out.Rewards != len(p.Rewards) { // the rest may wait to be told to a receiver
		return fmt.Errorf("the user earned something meanwhile: erase again: %w", carom.ErrConflict)
	}
	views, err := w.execCount(`UPDATE views SET user = ?1, ymid = iif(own = 1, ?1 || '-' || no, ymid) WHERE app = ?2 AND user = ?3`, out.As, p.App, p.User)
	if err != nil {
		return err
	}
	out.Views = int(views)
	for _, statement := range []string{
		`UPDATE balances SET user = ?1 WHERE app = ?2 AND user = ?3`,
		`UPDATE counters SET user = ?1 WHERE user = ?3 AND substr(scope, 1, length(?2) + 1) IN (?2 || '/', ?2 || ' ')`,
		`UPDATE last_grants SET user = ?1 WHERE user = ?3 AND substr(rule, 1, length(?2) + 1) = ?2 || '/'`,
	} {
		if err := w.exec(statement, out.As, p.App, p.User); err != nil {
			return err
		}
	}
	return nil
}

// rename gives an account another name in what is not folded yet. No fold is under way. The caller holds mu.
func (t *tallies) rename(app, user, to string) {
	clear(t.stored)
	for a, n := range t.newer.balances {
		if a.app == app && a.user == user {
			delete(t.newer.balances, a)
			t.newer.balances[account{app, to, a.currency}] = n
		}
	}
	for k, n := range t.newer.counters {
		if k.User == user && (strings.HasPrefix(k.Scope, app+"/") || strings.HasPrefix(k.Scope, app+" ")) {
			delete(t.newer.counters, k)
			k.User = to
			t.newer.counters[k] = n
		}
	}
	for k, at := range t.newer.lasts {
		if k.User == user && strings.HasPrefix(k.Rule, app+"/") {
			delete(t.newer.lasts, k)
			t.newer.lasts[books.LastKey{Rule: k.Rule, User: to}] = at
		}
	}
}

// erase is control for a change that has to leave nothing behind: SQLite overwrites what it deletes.
func (s *Store) erase(ctx context.Context, f func(*writer) error, after func()) error {
	return s.controlThen(ctx, func(w *writer) error {
		if err := w.exec("PRAGMA secure_delete = ON"); err != nil {
			return err
		}
		return errors.Join(f(w), w.exec("PRAGMA secure_delete = OFF"))
	}, after)
}

// eraseSlice is how many events one transaction of the committer erases.
const eraseSlice = 100

func (s *Store) eraseEvents(ctx context.Context, p *carom.Person, out *carom.Erased) error {
	for stories := range slices.Chunk(p.Stories, eraseSlice) {
		if err := s.erase(ctx, func(w *writer) error {
			for _, st := range stories {
				erased, err := s.eraseEvent(w, st.Event.ID, p.User, out.As)
				if err != nil {
					return err
				}
				out.Events += erased
			}
			return nil
		}, nil); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) eraseEvent(w *writer, id carom.EventID, user, as string) (int, error) {
	_, ref, err := id.Place()
	if err != nil || !slices.Contains(s.bucketNumbers(), ref.Bucket) {
		return 0, err // retention has dropped it since
	}
	if err := w.exec(fmt.Sprintf(`UPDATE events_%d SET user_id = ?1, telegram_id = '', ymid = ?1 || '-' || seq, fields = NULL,
		query = ?2, headers = NULL, body = NULL, client = '' WHERE seq = ?3`, ref.Bucket), as, erasedText, int64(ref.Seq)); err != nil {
		return 0, err
	}
	from, to := outcomeID(ref.Seq, 0, 0), outcomeID(ref.Seq+1, 0, 0)
	return 1, w.exec(fmt.Sprintf(`UPDATE outcomes_%d SET url = iif(url = '', '', ?1), sent = '', answer = NULL WHERE id >= ?2 AND id < ?3`, ref.Bucket),
		erasedText, from, to)
}

func (s *Store) eraseRefused(ctx context.Context, p *carom.Person, out *carom.Erased) error {
	for list := range slices.Chunk(p.Refused, eraseSlice) {
		if err := s.erase(ctx, func(w *writer) error {
			for _, r := range list {
				_, ref, err := r.ID.Place()
				if err != nil {
					return err
				}
				if !slices.Contains(s.bucketNumbers(), ref.Bucket) {
					continue // retention has dropped it since
				}
				if err := w.exec(fmt.Sprintf(`UPDATE refused_%d SET query = ?, headers = NULL, body = NULL, client = '' WHERE seq = ?`, ref.Bucket),
					erasedText, int64(ref.Seq)); err != nil {
					return err
				}
				out.Refused++
			}
			return nil
		}, nil); err != nil {
			return err
		}
	}
	return s.eraseSamples(ctx, p, out)
}

// eraseSamples removes what names the user from the samples that are kept: of unverified requests and of comparisons in shadow.
func (s *Store) eraseSamples(ctx context.Context, p *carom.Person, out *carom.Erased) error {
	return s.erase(ctx, func(w *writer) error {
		n, err := tables.EraseSamples(tx{w}, p.App, p.User)
		out.Refused += n
		return err
	}, nil)
}
