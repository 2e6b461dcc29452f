package store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
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

// Erase removes a user of an app from everything that is kept: see [carom.Erased]. A name that nobody has erases nothing. It
// takes a while where there is much, and nothing waits for it.
//
// It returns carom.ErrInvalid for a user who was erased already, and carom.ErrConflict when the user earned something meanwhile:
// then it can be asked for again.
func (s *Store) Erase(ctx context.Context, app, user string) (carom.Erased, error) {
	p, err := s.ToErase(ctx, app, user)
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

// erase is control for a change that has to leave nothing behind: SQLite overwrites what it deletes. Each is counted, so that a copy
// that was made of the rows before is known to be out of date.
func (s *Store) erase(ctx context.Context, f func(*writer) error, after func()) error {
	return s.controlThen(ctx, func(w *writer) error {
		if err := w.exec("PRAGMA secure_delete = ON"); err != nil {
			return err
		}
		return errors.Join(f(w), w.exec(countErasure), w.exec("PRAGMA secure_delete = OFF"))
	}, after)
}

const countErasure = `INSERT INTO meta (key, value) VALUES ('erasures', 1) ON CONFLICT (key) DO UPDATE SET value = value + 1`

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
	return s.erase(ctx, func(w *writer) error {
		n, err := tables.EraseSamples(tx{w}, p.App, p.User)
		out.Refused += n
		return err
	}, nil)
}
