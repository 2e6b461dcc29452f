package store

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"carom"
	"carom/internal/tables"
)

// Rewards returns the rewards that f selects, newest first.
func (s *Store) Rewards(ctx context.Context, f carom.RewardFilter) ([]*carom.Reward, error) {
	f.Limit = tables.PageSize(f.Limit)
	before := int64(math.MaxInt64)
	if f.Before != "" {
		var err error
		if _, before, err = f.Before.Number(); err != nil {
			return nil, fmt.Errorf("before: %w", err)
		}
	}
	where, args := []string{"1"}, []any{}
	for _, c := range []struct{ column, value string }{
		{"app = ?", f.App}, {"user = ?", f.User}, {"rule = ?", f.Rule}, {"source = ?", f.Source}, {"state = ?", string(f.State)},
	} {
		if c.value != "" {
			where, args = append(where, c.column), append(args, c.value)
		}
	}
	for _, c := range []struct {
		column string
		at     time.Time
	}{{"at >= ?", f.From}, {"at < ?", f.To}} {
		if !c.at.IsZero() {
			where, args = append(where, c.column), append(args, c.at.UnixMilli())
		}
	}
	var out []*carom.Reward
	for len(out) < f.Limit {
		const step = 200
		in, inArgs := append(slices.Clip(where), "no < ?"), append(slices.Clip(args), before)
		var numbers []int64
		if f.App != "" && f.User != "" { // few of many: through the index
			var err error
			if numbers, err = s.findRewards(searchRewardUser, userSearch(f.App, f.User), before, step); err != nil {
				return nil, fmt.Errorf("search rewards: %w", err)
			}
			if len(numbers) == 0 {
				break
			}
			in = append(in, "no IN ("+strings.TrimSuffix(strings.Repeat("?,", len(numbers)), ",")+")")
			for _, no := range numbers {
				inArgs = append(inArgs, no)
			}
		}
		list, err := s.QueryRewards(ctx, strings.Join(in, " AND ")+` ORDER BY no DESC LIMIT ?`, append(inArgs, f.Limit-len(out))...)
		if err != nil {
			return nil, err
		}
		out = append(out, list...)
		if len(numbers) < step {
			break
		}
		before = numbers[len(numbers)-1]
	}
	return out, nil
}

// Ledger returns the lines of a user's account, newest first.
func (s *Store) Ledger(ctx context.Context, f carom.LedgerFilter) ([]carom.LedgerLine, error) {
	if f.App == "" || f.User == "" {
		return nil, fmt.Errorf("ledger: %w", carom.Invalid("user", "name the app and the user whose lines to list"))
	}
	limit := tables.PageSize(f.Limit)
	where, of := `l.app = ? AND l."user" = ?`, []any{f.App, f.User}
	if f.Currency != "" {
		where, of = where+` AND l.currency = ?`, append(of, f.Currency)
	}
	behind, cursor, err := s.LinesBefore(ctx, f)
	if err != nil {
		return nil, fmt.Errorf("ledger: %w", err)
	}
	where, of = where+` AND `+behind, append(of, cursor...)
	// Lines that were written with their reward lie in the order of rewards, which is that of time; the others have an index.
	var lines []carom.LedgerLine
	const step = 200
	for before := int64(math.MaxInt64); len(lines) < limit; {
		numbers, err := s.findRewards(searchRewardUser, userSearch(f.App, f.User), before, step)
		if err != nil {
			return nil, fmt.Errorf("ledger: %w", err)
		}
		if len(numbers) == 0 {
			break
		}
		before = numbers[len(numbers)-1]
		args := slices.Clone(of)
		for _, no := range numbers {
			args = append(args, no)
		}
		list, err := s.Lines(ctx, where+` AND l.late = 0 AND l.reward IN (`+
			strings.TrimSuffix(strings.Repeat("?,", len(numbers)), ",")+`) ORDER BY l.reward DESC`, args...)
		if err != nil {
			return nil, err
		}
		if lines = append(lines, list...); len(numbers) < step {
			break
		}
	}
	late, err := s.Lines(ctx, where+` AND l.late = 1 ORDER BY l.at DESC, l.reward DESC, l.n DESC LIMIT ?`, append(of, limit)...)
	if err != nil {
		return nil, err
	}
	lines = append(lines, late...)
	slices.SortStableFunc(lines, func(x, y carom.LedgerLine) int {
		return cmp.Or(y.At.Compare(x.At), cmp.Compare(y.Reward, x.Reward), cmp.Compare(y.N, x.N))
	})
	return lines[:min(len(lines), limit)], nil
}

// Balances returns what a user has, by currency.
func (s *Store) Balances(ctx context.Context, app, user string) ([]carom.Balance, error) {
	sums, err := s.balanceSums(ctx, app, user)
	if err != nil {
		return nil, err
	}
	out := []carom.Balance{}
	for _, currency := range sortedBy(sums, cmp.Compare[string]) {
		n := sums[currency]
		out = append(out, carom.Balance{App: app, User: user, Currency: currency, Amount: tables.AmountText(n.units, n.nanos), Changed: time.UnixMilli(n.at).UTC()})
	}
	return out, nil
}

// balanceSums adds up what is in the table and what waits to be.
func (s *Store) balanceSums(ctx context.Context, app, user string) (map[string]sum, error) {
	// The committer waits for the lock below: who holds it must not wait for a connection that other reads have.
	conn, err := s.r.Conn(ctx)
	if err != nil {
		return nil, translate(err)
	}
	defer conn.Close()
	s.tallies.mu.RLock()
	defer s.tallies.mu.RUnlock()
	sums := map[string]sum{}
	rows, err := conn.QueryContext(ctx, `SELECT currency, units, nanos, changed FROM balances WHERE app = ? AND user = ?`, app, user)
	if err != nil {
		return nil, translate(err)
	}
	defer rows.Close()
	for rows.Next() {
		var currency string
		var n sum
		if err := rows.Scan(&currency, &n.units, &n.nanos, &n.at); err != nil {
			return nil, translate(err)
		}
		sums[currency] = n
	}
	for _, currency := range s.tallies.currencies[app] {
		if n := s.tallies.waits(account{app, user, currency}); n != (sum{}) {
			sums[currency] = sums[currency].plus(n)
		}
	}
	return sums, translate(rows.Err())
}

// CheckLedger reads all rewards, lines and balances, and says where they do not agree: a balance that is not the sum of its
// lines, a line without a cause, a reward whose state its lines contradict, a view or transaction that was rewarded twice.
func (s *Store) CheckLedger(ctx context.Context) (carom.LedgerReport, error) {
	report := carom.LedgerReport{Faults: []string{}}
	tx, waiting, err := s.ledgerNow(ctx, &report)
	if err != nil {
		return report, fmt.Errorf("check the ledger: %w", err)
	}
	defer func() { _ = tx.Rollback() }() // it only read
	err = s.LedgerFaults(ctx, tx, &report, tables.LedgerCheck{Query: balanceCheck, Fault: "the balance of %s differs from the sum of its lines by %d units and %d billionths",
		Args: []any{waiting}}, tables.LedgerCheck{Query: numberCheck, Fault: "of the %s there are %d, and the newest is number %d: some are gone"})
	return report, err
}

// ledgerNow holds one moment of the ledger: a transaction that sees it, and what of the balances was not in the tables then. It
// counts what there is.
func (s *Store) ledgerNow(ctx context.Context, report *carom.LedgerReport) (_ *sql.Tx, waiting string, err error) {
	tx, err := s.r.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return nil, "", translate(err)
	}
	defer func() {
		if err != nil {
			_ = tx.Rollback() // the first error says more
		}
	}()
	s.tallies.mu.RLock()
	if err = tx.QueryRowContext(ctx, `SELECT coalesce(max(no), 0) FROM rewards`).Scan(&report.Rewards); err == nil { // from here on it sees this moment
		waiting, err = s.tallies.waitingJSON()
	}
	s.tallies.mu.RUnlock()
	if err != nil {
		return nil, "", translate(err)
	}
	err = tx.QueryRowContext(ctx, `SELECT (SELECT count(*) FROM rewards), (SELECT count(*) FROM ledger), (SELECT count(*) FROM (
		SELECT app, user, currency FROM balances UNION SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each(?1)))`, waiting).Scan(
		&report.Rewards, &report.Lines, &report.Balances)
	return tx, waiting, translate(err)
}

// balanceCheck finds accounts whose balance is not the sum of their lines; ?1 is what of the balances is not in the table. Units and
// nanos are sums by themselves on both sides, so they are compared by themselves.
const balanceCheck = `SELECT app || ' ' || user || ' ' || currency, units, nanos FROM (
	SELECT app, user, currency, sum(units) AS units, sum(nanos) AS nanos FROM (
		SELECT app, user, currency, units, nanos FROM balances
		UNION ALL SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4 FROM json_each(?1)
		UNION ALL SELECT app, user, currency, -(amount / 1000000000), -(amount % 1000000000) FROM ledger)
	GROUP BY app, user, currency) WHERE units <> 0 OR nanos <> 0`

// numberCheck finds gaps: rewards are numbered without any.
const numberCheck = `SELECT 'rewards', count(*), max(no) FROM rewards HAVING count(*) <> max(no)`
