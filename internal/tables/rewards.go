package tables

import (
	"context"
	"database/sql/driver"
	"fmt"
	"time"

	"carom"
)

// RewardRow is a reward as it is stored.
type RewardRow struct {
	carom.Reward
	No         int64             // its number, from 1 on
	Life       carom.Incarnation // in which its id, and its event's, was given out
	Ref        carom.Ref         // its event
	Additional bool              // its rule pays beside the others
	View, Tx   [16]byte          // sums over the view's identity, and over source and transaction; zero: none
	Counted    string            // what it counted for, in the store's own words. Not read by ReadReward
}

// Claims are the sums under which a reward is found again by what must not earn twice. A reward of a rule that is not
// additional stands in the way of all others, so it claims the view and the transaction themselves.
func (r *RewardRow) Claims() [][16]byte {
	var out [][16]byte
	for _, sum := range [...][16]byte{r.View, r.Tx} {
		switch {
		case sum == [16]byte{}:
		case r.Additional:
			out = append(out, OwnSum(sum, r.App+"/"+r.Rule))
		default:
			out = append(out, sum)
		}
	}
	return out
}

// OwnSum is what a rule ("app/rule") that is additional claims of a view or a transaction.
func OwnSum(sum [16]byte, rule string) [16]byte {
	return carom.SumOf("additional", rule, string(sum[:]))
}

// ReversedSum is what stands among the keys of rewards for a view or transaction that was taken back.
func ReversedSum(sum [16]byte) [16]byte { return carom.SumOf("reversed", string(sum[:])) }

// RewardColumns are the columns of a reward, in the order of [RewardRow.Values] and [ReadReward].
const RewardColumns = `no, life, at, app, rule, additional, "user", currency, amount, state, until, changed, why, event, source, network,
	view, tx, view_id, ymid, zone_id, request_var, external_id, counted`

// rewardWidth is how many columns RewardColumns are.
const rewardWidth = 24

// Values are the values of RewardColumns. place is how the store writes the place of an event.
func (r *RewardRow) Values(place func(carom.Ref) int64) []driver.Value {
	return []driver.Value{r.No, int64(r.Life), r.At.UnixMilli(), r.App, r.Rule, Truth(r.Additional), r.User, r.Currency, int64(r.Amount),
		string(r.State), Millis(r.Until), r.Changed.UnixMilli(), r.Why, place(r.Ref), r.Source, r.Network,
		SumBlob(r.View), SumBlob(r.Tx), string(r.Reward.View), r.YMID, r.ZoneID, r.RequestVar, r.Transaction, r.Counted}
}

// ReadReward reads a row of RewardColumns. ref is the inverse of the place that Values was given.
func ReadReward(v []driver.Value, ref func(int64) carom.Ref) *RewardRow {
	text := func(i int) string { s, _ := v[i].(string); return s }
	number := func(i int) int64 { n, _ := v[i].(int64); return n }
	r := &RewardRow{No: number(0), Life: carom.Incarnation(number(1)), Additional: number(5) != 0,
		Ref: ref(number(13)), View: SumOf(v[16]), Tx: SumOf(v[17])}
	r.Reward = carom.Reward{
		ID: carom.NewRewardID(r.Life, r.No), At: time.UnixMilli(number(2)).UTC(), App: text(3), Rule: text(4), User: text(6),
		Currency: text(7), Amount: carom.Nanos(number(8)), State: carom.RewardState(text(9)), Until: Instant(number(10)),
		Changed: Instant(number(11)), Why: text(12), Event: carom.NewEventID(r.Life, r.Ref), Source: text(14), Network: text(15),
		View: carom.ViewID(text(18)), YMID: text(19), ZoneID: text(20), RequestVar: text(21), Transaction: text(22),
	}
	return r
}

// scanReward reads a row of RewardColumns through database/sql.
func (t *Tables) scanReward(scan func(...any) error) (*RewardRow, error) {
	var v [rewardWidth]any
	var to [rewardWidth]any
	for i := range v {
		to[i] = &v[i]
	}
	if err := scan(to[:]...); err != nil {
		return nil, t.o.Translate(err)
	}
	values := make([]driver.Value, len(v))
	for i := range v {
		values[i] = v[i]
	}
	return ReadReward(values, t.o.RefOf), nil
}

// RewardByNumber reads a reward with db. It returns carom.ErrNotFound when there is none.
func (t *Tables) RewardByNumber(ctx context.Context, db Reader, no int64) (*RewardRow, error) {
	return t.scanReward(db.QueryRowContext(ctx, `SELECT `+RewardColumns+` FROM rewards WHERE no = ?`, no).Scan)
}

// Reward returns a reward with its lines, oldest first. It returns carom.ErrNotFound when there is none, carom.ErrInvalid
// when id is not a reward id.
func (t *Tables) Reward(ctx context.Context, id carom.RewardID) (*carom.Reward, []carom.LedgerLine, error) {
	_, no, err := id.Number()
	if err != nil {
		return nil, nil, err
	}
	r, err := t.RewardByNumber(ctx, t.o.Read, no)
	if err == nil && r.ID != id {
		err = fmt.Errorf("it is of another data folder: %w", carom.ErrNotFound)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("reward %s: %w", id, err)
	}
	lines, err := t.Lines(ctx, `l.reward = ? ORDER BY l.n`, no)
	return &r.Reward, lines, err
}

// QueryRewards reads the rewards that the end of a query, behind WHERE, selects, in its order.
func (t *Tables) QueryRewards(ctx context.Context, selects string, args ...any) ([]*carom.Reward, error) {
	rows, err := t.RewardRows(ctx, selects, args...)
	if len(rows) == 0 {
		return nil, err
	}
	out := make([]*carom.Reward, len(rows))
	for i, r := range rows {
		out[i] = &r.Reward
	}
	return out, err
}

// RewardRows is QueryRewards with what is stored beside a reward.
func (t *Tables) RewardRows(ctx context.Context, selects string, args ...any) ([]*RewardRow, error) {
	var out []*RewardRow
	err := t.readRows(ctx, t.o.Read, func(scan func(...any) error) error {
		r, err := t.scanReward(scan)
		if err == nil {
			out = append(out, r)
		}
		return err
	}, `SELECT `+RewardColumns+` FROM rewards WHERE `+selects, args...)
	return out, err
}

// HeldDue returns up to limit held rewards whose hold ends by now, the earliest first.
func (t *Tables) HeldDue(ctx context.Context, now time.Time, limit int) ([]*carom.Reward, error) {
	return t.QueryRewards(ctx, `state = 'held' AND until <= ? ORDER BY until LIMIT ?`, now.UnixMilli(), limit)
}

// Lines reads the lines of the ledger that the end of a query, behind WHERE, selects, in its order. There l is the line.
func (t *Tables) Lines(ctx context.Context, selects string, args ...any) ([]carom.LedgerLine, error) {
	var out []carom.LedgerLine
	err := t.readRows(ctx, t.o.Read, func(scan func(...any) error) error {
		var l carom.LedgerLine
		var no, life, at int64
		if err := scan(&no, &life, &l.N, &at, &l.App, &l.User, &l.Currency, &l.Amount, &l.Event, &l.Why); err != nil {
			return err
		}
		l.Reward, l.At = carom.NewRewardID(carom.Incarnation(life), no), time.UnixMilli(at).UTC()
		out = append(out, l)
		return nil
	}, `SELECT l.reward, r.life, l.n, l.at, l.app, l."user", l.currency, l.amount, l.event, l.why
		FROM ledger l JOIN rewards r ON r.no = l.reward WHERE `+selects, args...)
	return out, err
}

// LinesBefore is what is asked of a user's lines, called l, that stand behind the cursor of a list, the newest first. It returns
// carom.ErrInvalid when the cursor is none of the user's lines.
func (t *Tables) LinesBefore(ctx context.Context, f carom.LedgerFilter) (where string, args []any, err error) {
	if f.Before == (carom.LedgerCursor{}) {
		return `1 = 1`, nil, nil
	}
	_, no, err := f.Before.Reward.Number()
	if err != nil {
		return "", nil, fmt.Errorf("before: %w", err)
	}
	list, err := t.Lines(ctx, `l.reward = ? AND l.n = ? AND l.app = ? AND l."user" = ?`, no, f.Before.N, f.App, f.User)
	if err == nil && (len(list) == 0 || list[0].Reward != f.Before.Reward) {
		err = carom.Invalid("before", "%s, line %d, is no line of this user's account", f.Before.Reward, f.Before.N)
	}
	if err != nil {
		return "", nil, fmt.Errorf("before: %w", err)
	}
	return `(l.at, l.reward, l.n) < (?, ?, ?)`, []any{list[0].At.UnixMilli(), no, f.Before.N}, nil
}

// Owed is the reward that a delivery of the event at this ordinal is about, as it is told: credited, or taken back where the
// event is a reversal. Nil when the delivery is about the event. targets is what [JoinTargets] wrote.
func (t *Tables) Owed(ctx context.Context, db Reader, ev *carom.Event, targets string, ordinal int) (*carom.Reward, error) {
	list, err := ParseTargets(targets)
	if err != nil || ordinal >= len(list) || list[ordinal].Reward == 0 {
		return nil, err
	}
	r, err := t.RewardByNumber(ctx, db, list[ordinal].Reward)
	if err != nil {
		return nil, fmt.Errorf("the reward that %s is owed: %w", ev.ID, err)
	}
	r.State = carom.RewardGranted
	if ev.Type == carom.Reversal {
		r.State = carom.RewardReversed
	}
	return &r.Reward, nil
}
