package tables

import (
	"context"
	"fmt"

	"carom"
)

// MaxFaults is how many faults a check of the ledger lists.
const MaxFaults = 100

// LedgerCheck is a query that finds nothing in a ledger in order, with how to say what it found: a text and two numbers.
type LedgerCheck struct {
	Query, Fault string
	Args         []any
}

// The checks of the ledger that are the same in every database.
var ledgerChecks = []LedgerCheck{
	{`SELECT l.reward, l.n, l.amount FROM ledger l LEFT JOIN rewards r ON r.no = l.reward WHERE r.no IS NULL OR l.event = ''
		OR r.app <> l.app OR r."user" <> l."user" OR r.currency <> l.currency OR abs(l.amount) <> r.amount`,
		"reward %v, line %d: it has no cause, since there is no reward of that user, currency and its %d billionths", nil},
	{`SELECT r.no || ' (' || r.state || ')', coalesce(sum(l.amount), 0), count(l.n) FROM rewards r LEFT JOIN ledger l ON l.reward = r.no GROUP BY r.no
		HAVING count(l.n) <> CASE r.state WHEN 'granted' THEN 1 WHEN 'reversed' THEN 2 WHEN 'held' THEN 0 WHEN 'canceled' THEN 0 ELSE -1 END
			OR coalesce(max(l.n), 0) <> count(l.n) OR sum(l.amount) <> CASE r.state WHEN 'granted' THEN r.amount ELSE 0 END
			OR sum(CASE WHEN l.n = 1 AND l.amount <> r.amount THEN 1 ELSE 0 END) > 0`,
		"the lines of reward %s contradict its state: they sum up to %d billionths in %d lines", nil},
	{`SELECT app || '/' || rule, count(*), min(no) FROM rewards WHERE view IS NOT NULL GROUP BY view, app, rule HAVING count(*) > 1`,
		"the rule %s rewarded one view %d times, first with reward %d", nil},
	{`SELECT app || '/' || rule, count(*), min(no) FROM rewards WHERE tx IS NOT NULL GROUP BY tx, app, rule HAVING count(*) > 1`,
		"the rule %s rewarded one transaction %d times, first with reward %d", nil},
	{`SELECT app, count(*), min(no) FROM rewards WHERE view IS NOT NULL AND additional = 0 GROUP BY view, app HAVING count(*) > 1`,
		"one view of the app %s was rewarded %d times by rules that are not additional, first with reward %d", nil},
	{`SELECT app, count(*), min(no) FROM rewards WHERE tx IS NOT NULL AND additional = 0 GROUP BY tx, app HAVING count(*) > 1`,
		"one transaction of the app %s was rewarded %d times by rules that are not additional, first with reward %d", nil},
}

// LedgerFaults adds to the report what does not agree in the ledger as db sees it, which must be one moment: a line without a cause, a
// reward whose state its lines contradict, a view or transaction that was rewarded twice, and what a store's own checks, which come
// first, find.
func (t *Tables) LedgerFaults(ctx context.Context, db Reader, report *carom.LedgerReport, own ...LedgerCheck) error {
	for _, checks := range [][]LedgerCheck{own, ledgerChecks} {
		for _, c := range checks {
			if err := t.readRows(ctx, db, func(scan func(...any) error) error {
				var what any
				var a, b int64
				if err := scan(&what, &a, &b); err != nil {
					return err
				}
				report.Faults = append(report.Faults, fmt.Sprintf(c.Fault, what, a, b))
				return nil
			}, c.Query+` LIMIT ?`, append(c.Args[:len(c.Args):len(c.Args)], MaxFaults-len(report.Faults))...); err != nil {
				return fmt.Errorf("check the ledger: %w", err)
			}
		}
	}
	return nil
}
