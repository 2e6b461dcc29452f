package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"carom"
	"carom/internal/tables"
)

// Rewards returns the rewards that f selects, newest first: by when they were decided, then by number, since each node counts its own.
// It returns carom.ErrInvalid when the cursor is not the id of a reward.
func (s *Store) Rewards(ctx context.Context, f carom.RewardFilter) ([]*carom.Reward, error) {
	c := conditions{where: `true`}
	for _, equal := range []struct{ where, value string }{
		{`app = ?`, f.App}, {`"user" = ?`, f.User}, {`rule = ?`, f.Rule}, {`source = ?`, f.Source}, {`state = ?`, string(f.State)},
	} {
		if equal.value != "" {
			c.add(equal.where, equal.value)
		}
	}
	if !f.From.IsZero() {
		c.add(`at >= ?`, f.From.UnixMilli())
	}
	if !f.To.IsZero() {
		c.add(`at < ?`, f.To.UnixMilli())
	}
	if f.Before != "" {
		_, no, err := f.Before.Number()
		if err != nil {
			return nil, fmt.Errorf("before: %w", err)
		}
		r, err := s.RewardByNumber(ctx, numbered{s.r}, no)
		if errors.Is(err, carom.ErrNotFound) || err == nil && r.ID != f.Before {
			err = carom.Invalid("before", "%q is not the id of a reward of this database", f.Before)
		}
		if err != nil {
			return nil, fmt.Errorf("before: %w", err)
		}
		c.add(`(at, no) < (?, ?)`, r.At.UnixMilli(), no)
	}
	return s.QueryRewards(ctx, c.where+` ORDER BY at DESC, no DESC LIMIT ?`, append(c.args, tables.PageSize(f.Limit))...)
}

// Ledger returns the lines of a user's account, newest first.
func (s *Store) Ledger(ctx context.Context, f carom.LedgerFilter) ([]carom.LedgerLine, error) {
	if f.App == "" || f.User == "" {
		return nil, fmt.Errorf("ledger: %w", carom.Invalid("user", "name the app and the user whose lines to list"))
	}
	c := conditions{`l.app = ? AND l."user" = ?`, []any{f.App, f.User}}
	if f.Currency != "" {
		c.add(`l.currency = ?`, f.Currency)
	}
	before, args, err := s.LinesBefore(ctx, f)
	if err != nil {
		return nil, fmt.Errorf("ledger: %w", err)
	}
	c.add(before, args...)
	return s.Lines(ctx, c.where+` ORDER BY l.at DESC, l.reward DESC, l.n DESC LIMIT ?`, append(c.args, tables.PageSize(f.Limit))...)
}

// Balances returns what a user has, by currency.
func (s *Store) Balances(ctx context.Context, app, user string) ([]carom.Balance, error) {
	out := []carom.Balance{}
	err := readRows(ctx, s.r, func(scan func(...any) error) error {
		b := carom.Balance{App: app, User: user}
		var units, nanos, changed int64
		err := scan(&b.Currency, &units, &nanos, &changed)
		b.Amount, b.Changed = tables.AmountText(units, nanos), time.UnixMilli(changed).UTC()
		out = append(out, b)
		return err
	}, `SELECT currency, units, nanos, changed FROM balances WHERE app = ? AND "user" = ? ORDER BY currency`, app, user)
	if err != nil {
		return nil, err
	}
	return out, nil
}

// balanceCheck finds accounts whose balance is not the sum of their lines. Units and nanos are sums by themselves on both sides, so
// they are compared by themselves.
const balanceCheck = `SELECT app || ' ' || "user" || ' ' || currency, units, nanos FROM (
	SELECT app, "user", currency, sum(units) AS units, sum(nanos) AS nanos FROM (
		SELECT app, "user", currency, units, nanos FROM balances
		UNION ALL SELECT app, "user", currency, -(amount / 1000000000), -(amount % 1000000000) FROM ledger) parts
	GROUP BY app, "user", currency) sums WHERE units <> 0 OR nanos <> 0`

// CheckLedger reads all rewards, lines and balances, and says where they do not agree: a balance that is not the sum of its
// lines, a line without a cause, a reward whose state its lines contradict, a view or transaction that was rewarded twice. It sees one
// moment, and keeps nobody waiting.
//
// Gaps in the numbers of rewards are no fault: each node counts its own, and a commit that fails leaves a gap. A reward that is gone
// shows by its line, and a line that is gone by its reward.
func (s *Store) CheckLedger(ctx context.Context) (carom.LedgerReport, error) {
	report := carom.LedgerReport{Faults: []string{}}
	tx, err := s.r.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
	if err != nil {
		return report, fmt.Errorf("check the ledger: %w", translate(err))
	}
	defer func() { _ = tx.Rollback() }() // it only read
	if err := tx.QueryRowContext(ctx, `SELECT (SELECT count(*) FROM rewards), (SELECT count(*) FROM ledger), (SELECT count(*) FROM balances)`).Scan(
		&report.Rewards, &report.Lines, &report.Balances); err != nil {
		return report, fmt.Errorf("check the ledger: %w", translate(err))
	}
	err = s.LedgerFaults(ctx, numbered{tx}, &report,
		tables.LedgerCheck{Query: balanceCheck, Fault: "the balance of %s differs from the sum of its lines by %d units and %d billionths"})
	return report, err
}
