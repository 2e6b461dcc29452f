package tables

import (
	"context"
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"time"

	"carom"
)

// BeginRequest notes that a request is carried out now, and returns nil; or what is known of an earlier one with the same id, which is
// not older than [carom.KeepAnswers]. Of several at the same time, one alone gets nil, in whichever process. It returns
// carom.ErrConflict when most answers are kept of the caller already.
func (t *Tables) BeginRequest(ctx context.Context, r carom.KeptRequest, most int) (*carom.KeptAnswer, error) {
	var kept *carom.KeptAnswer
	now := t.o.Clock().UTC()
	if err := t.o.Write(ctx, func(tx Tx) error {
		kept = nil // it may run again
		if err := tx.Query(`SELECT asked, at, status, header, body, withheld FROM kept_answers WHERE id = ? AND at > ?`, func(v []driver.Value) (err error) {
			kept, err = keptAnswer(v)
			return err
		}, r.ID[:], now.Add(-carom.KeepAnswers).UnixMilli()); err != nil || kept != nil {
			return err
		}
		n, err := tx.Int64(`SELECT count(*) FROM (SELECT 1 FROM kept_answers WHERE caller = ? LIMIT ?) AS kept`, r.Caller[:], int64(most))
		if err != nil {
			return err
		}
		if n >= int64(most) {
			return fmt.Errorf("%d answers of this caller are kept: %w", n, carom.ErrConflict)
		}
		return tx.Exec(`INSERT INTO kept_answers (id, caller, asked, at, status, header, body, withheld) VALUES (?,?,?,?,0,'[]',?,'')
			ON CONFLICT (id) DO UPDATE SET asked = excluded.asked, at = excluded.at, status = 0, header = '[]', body = excluded.body, withheld = ''`,
			r.ID[:], r.Caller[:], r.Asked[:], now.UnixMilli(), []byte{})
	}); err != nil {
		return nil, fmt.Errorf("note a request: %w", err)
	}
	return kept, nil
}

func keptAnswer(v []driver.Value) (*carom.KeptAnswer, error) {
	a := &carom.KeptAnswer{Asked: SumOf(v[0]), At: time.UnixMilli(v[1].(int64)).UTC(), Status: int(v[2].(int64)), Withheld: carom.Withheld(v[5].(string))}
	if body, _ := v[4].([]byte); len(body) > 0 {
		a.Body = append([]byte{}, body...)
	}
	if err := json.Unmarshal([]byte(v[3].(string)), &a.Header); err != nil {
		return nil, fmt.Errorf("kept answer: %w", err)
	}
	return a, nil
}

// EndRequest keeps what a request that BeginRequest noted was answered.
func (t *Tables) EndRequest(ctx context.Context, id [16]byte, a carom.KeptAnswer) error {
	header, err := json.Marshal(append([]carom.Field{}, a.Header...))
	if err != nil {
		return fmt.Errorf("keep an answer: %w", err)
	}
	if err := t.o.Write(ctx, func(tx Tx) error {
		return tx.Exec(`UPDATE kept_answers SET status = ?, header = ?, body = ?, withheld = ? WHERE id = ?`,
			int64(a.Status), string(header), append([]byte{}, a.Body...), string(a.Withheld), id[:])
	}); err != nil {
		return fmt.Errorf("keep an answer: %w", err)
	}
	return nil
}

// ForgetRequest takes back what BeginRequest noted: the request was not carried out, and may be asked again.
func (t *Tables) ForgetRequest(ctx context.Context, id [16]byte) error {
	if err := t.o.Write(ctx, func(tx Tx) error { return tx.Exec(`DELETE FROM kept_answers WHERE id = ?`, id[:]) }); err != nil {
		return fmt.Errorf("forget a request: %w", err)
	}
	return nil
}

// PruneAnswers drops what is older than [carom.KeepAnswers], in slices.
func (t *Tables) PruneAnswers(ctx context.Context, now time.Time) error {
	before := now.Add(-carom.KeepAnswers).UnixMilli()
	for left := int64(PruneSlice); left == PruneSlice; {
		if err := t.o.Write(ctx, func(tx Tx) (err error) {
			left, err = tx.ExecCount(`DELETE FROM kept_answers WHERE id IN (SELECT id FROM kept_answers WHERE at <= ? ORDER BY at LIMIT ?)`,
				before, int64(PruneSlice))
			return err
		}); err != nil {
			return fmt.Errorf("kept answers: %w", err)
		}
	}
	return nil
}

// eraseAnswers withholds the kept answers that name a user. That they were given stays known, so that nothing is done twice.
func eraseAnswers(tx Tx, user string) error {
	written, err := json.Marshal(user) // as it stands in a body of JSON
	if err != nil {
		return err
	}
	text := string(written[1 : len(written)-1])
	var found [][16]byte
	if err := tx.Query(`SELECT id, body FROM kept_answers WHERE length(body) > 0`, func(v []driver.Value) error {
		if body, _ := v[1].([]byte); mentions(string(body), user) || mentions(string(body), text) {
			found = append(found, SumOf(v[0]))
		}
		return nil
	}); err != nil {
		return err
	}
	for _, id := range found {
		if err := tx.Exec(`UPDATE kept_answers SET header = '[]', body = ?, withheld = ? WHERE id = ?`, []byte{}, string(carom.WithheldErased), id[:]); err != nil {
			return err
		}
	}
	return nil
}
