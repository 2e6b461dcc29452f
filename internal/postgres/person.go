package postgres

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"

	"carom"
	"carom/internal/tables"
)

// Erasing a user is the one change that is made to rows which are otherwise only appended: the person goes, every amount stays.
// The rows of events go first, in slices; the account, by which they are found, is renamed last and in one transaction, so that the
// ledger adds up at every moment. After a process that died in between, the rewards, lines, views and balances still bear the user's
// name, those rows of events that were reached do not, and erasing again finds the rest. What will still name the user to a receiver
// has to be over before.
//
// What was there before is in no row any more that a query can see. In the files, PostgreSQL keeps the old versions of rows until a
// vacuum takes them away, which it does by itself when enough of a table has changed: VACUUM does it at once. The log of the server,
// its replicas and backups hold the old versions as long as they are kept.

// erasedText takes the place of what was received or sent.
const erasedText = "(erased)"

// Erase removes a user of an app from everything that is kept: see [carom.Erased]. A name that nobody has erases nothing. It
// takes a while where there is much; only while the account is renamed, at its end, do commits wait for it, those of all nodes.
//
// It returns carom.ErrInvalid for a user who was erased already, and carom.ErrConflict when the user earned something meanwhile:
// then it can be asked for again.
func (s *Store) Erase(ctx context.Context, app, user string) (carom.Erased, error) {
	p, err := s.ToErase(ctx, clean(app), clean(user))
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

// eraseSlice is how many events one transaction erases.
const eraseSlice = 100

func (s *Store) eraseEvents(ctx context.Context, p *carom.Person, out *carom.Erased) error {
	for stories := range slices.Chunk(p.Stories, eraseSlice) {
		places := make([]int64, len(stories))
		for i, st := range stories {
			_, ref, err := st.Event.ID.Place()
			if err != nil {
				return err
			}
			places[i] = placeOf(ref)
		}
		var erased int64
		if err := s.transact(ctx, func(tx *tx) (err error) {
			if erased, err = tx.count(`UPDATE events SET user_id = $1, telegram_id = '', ymid = $1 || '-' || place, fields = NULL,
				query = $2, headers = NULL, body = NULL, client = '' WHERE place = ANY ($3)`, out.As, erasedText, places); err != nil {
				return err
			}
			return tx.exec(`UPDATE outcomes SET url = CASE url WHEN '' THEN '' ELSE $1 END, sent = '', answer = NULL WHERE place = ANY ($2)`, erasedText, places)
		}); err != nil {
			return err
		}
		out.Events += int(erased) // those that retention has dropped since are not among them
	}
	return nil
}

func (s *Store) eraseRefused(ctx context.Context, p *carom.Person, out *carom.Erased) error {
	for list := range slices.Chunk(p.Refused, eraseSlice) {
		places := make([]int64, len(list))
		for i, r := range list {
			_, ref, err := r.ID.Place()
			if err != nil {
				return err
			}
			places[i] = placeOf(ref)
		}
		var erased int64
		if err := s.transact(ctx, func(tx *tx) (err error) {
			erased, err = tx.count(`UPDATE refused SET query = $1, headers = NULL, body = NULL, client = '' WHERE place = ANY ($2)`, erasedText, places)
			return err
		}); err != nil {
			return err
		}
		out.Refused += int(erased)
	}
	return s.transact(ctx, func(tx *tx) error {
		n, err := tables.EraseSamples(tx, p.App, p.User)
		out.Refused += n
		return err
	})
}

// lockPatience is how long renaming an account waits for the commits that are under way, while all others wait for it.
const lockPatience = "2s"

// renameAccount gives the user's rewards, lines, balances, counters and views another name, all at once.
//
// Every commit changes its node's row before it does anything else. So while this transaction holds the table of nodes, it has waited
// for the commits that were under way, sees what they wrote, and no commit comes in between that would credit the old name.
func (s *Store) renameAccount(ctx context.Context, p *carom.Person, out *carom.Erased) error {
	return s.transact(ctx, func(tx *tx) error {
		for _, statement := range []string{`SET LOCAL lock_timeout = '` + lockPatience + `'`, `LOCK TABLE nodes IN SHARE ROW EXCLUSIVE MODE`} {
			if err := tx.exec(statement); err != nil {
				return err
			}
		}
		rewards, err := tx.count(`UPDATE rewards SET "user" = $1, ymid = '' WHERE app = $2 AND "user" = $3`, out.As, p.App, p.User)
		if err != nil {
			return err
		}
		if int(rewards) != len(p.Rewards) { // the rest may wait to be told to a receiver
			return fmt.Errorf("the user earned something meanwhile: erase again: %w", carom.ErrConflict)
		}
		views, err := tx.count(`UPDATE views SET "user" = $1, ymid = CASE own WHEN 1 THEN $1 || '-' || no ELSE ymid END WHERE app = $2 AND "user" = $3`, out.As, p.App, p.User)
		if err != nil {
			return err
		}
		for _, statement := range []string{
			`UPDATE ledger SET "user" = $1 WHERE app = $2 AND "user" = $3`,
			`UPDATE balances SET "user" = $1 WHERE app = $2 AND "user" = $3`,
			renameScoped("counters", "scope", `(s.scope >= $2 || '/' OR s.scope < $2 || '!')`),
			renameScoped("last_grants", "rule", `s.rule >= $2 || '/'`),
		} {
			if err := tx.exec(statement, out.As, p.App, p.User); err != nil {
				return err
			}
		}
		out.Rewards, out.Views = int(rewards), int(views)
		return nil
	})
}

// renameScoped renames a user in a table whose key is a scope of the app and the user: "app/…", and "app …" where only says so. There
// are few scopes and many users, and no index by user. So each scope is looked up by itself, one after another, from "app " up to the
// character behind the slash.
func renameScoped(table, scope, only string) string {
	return strings.NewReplacer("{table}", table, "{scope}", scope, "{only}", only).Replace(`WITH RECURSIVE s ({scope}) AS (
			SELECT min({scope}) FROM {table} WHERE {scope} >= $2 || ' ' AND {scope} < $2 || '0'
			UNION ALL SELECT (SELECT min(t.{scope}) FROM {table} t WHERE t.{scope} > s.{scope} AND t.{scope} < $2 || '0') FROM s WHERE s.{scope} IS NOT NULL)
		UPDATE {table} t SET "user" = $1 FROM s WHERE t.{scope} = s.{scope} AND t."user" = $3 AND {only}`)
}
