package store

import (
	"cmp"
	"context"
	"database/sql/driver"
	"fmt"
	"slices"
	"time"

	"carom"
)

// What comparing with today's receivers finds is kept within these bounds.
const (
	shadowSlots     = 100                // examples of a kind and source
	shadowExamples  = 3                  // that a report shows of a kind
	shadowPerCommit = 10                 // new examples of a kind and source in one commit
	shadowBatch     = 64                 // entries in one commit: about 4 ms of the committer
	shadowNotes     = 3 * 24 * time.Hour // how long a view is remembered; copies and second events come sooner
)

// The kinds of counts that are no differences.
const (
	shadowRequests = "requests"
	shadowCompared = "compared"
	shadowAgreed   = "agreed"
	shadowMissed   = "missed"
)

// Compare counts what entries come to, in their order, and keeps a bounded number of examples. It returns once that is synced.
// An error is that of the first entry that is not counted; those before it may be: kept says how many of them are.
func (s *Store) Compare(ctx context.Context, entries []carom.ShadowEntry) (kept int, err error) {
	for chunk := range slices.Chunk(entries, shadowBatch) {
		if err := s.control(ctx, func(w *writer) error { return newShadowSums().write(w, chunk) }); err != nil {
			return kept, fmt.Errorf("compare in shadow: %w", err)
		}
		kept += len(chunk)
	}
	return kept, nil
}

// shadowCountKey and shadowGrantKey name a row that a batch adds to.
type shadowCountKey struct {
	source string
	hour   int64
	kind   string
}

type shadowGrantKey struct {
	source   string
	hour     int64
	currency string
}

// shadowSums gathers the sums of one commit.
type shadowSums struct {
	counts   map[shadowCountKey]int64
	grants   map[shadowGrantKey]sum
	rewards  map[shadowGrantKey]int64
	examples map[shadowCountKey]int
}

func newShadowSums() *shadowSums {
	return &shadowSums{map[shadowCountKey]int64{}, map[shadowGrantKey]sum{}, map[shadowGrantKey]int64{}, map[shadowCountKey]int{}}
}

func (b *shadowSums) write(w *writer, entries []carom.ShadowEntry) error {
	get, err := w.prepare(`SELECT note FROM shadow_notes WHERE sum = ?`)
	if err != nil {
		return err
	}
	defer get.Close()
	put, err := w.prepare(`INSERT OR REPLACE INTO shadow_notes (sum, at, kept, note) VALUES (?, ?, ?, ?)`)
	if err != nil {
		return err
	}
	defer put.Close()
	note := func(key [16]byte) (found []byte, err error) {
		if key == ([16]byte{}) {
			return nil, nil
		}
		err = get.query(func(v []driver.Value) error {
			text, _ := v[0].([]byte)
			found = slices.Clone(text)
			return nil
		}, key[:])
		return found, err
	}
	for i := range entries {
		e := &entries[i]
		source := e.App + "/" + e.Source
		sourceKey := carom.SumOf("shadow source", source)
		ofView, err := note(e.View)
		if err != nil {
			return err
		}
		ofSource, err := note(sourceKey)
		if err != nil {
			return err
		}
		found := e.Judge(ofView, ofSource)
		if found.View != nil && e.View != [16]byte{} {
			if err := put.exec(e.View[:], e.At.UnixMilli(), int64(0), found.View); err != nil {
				return err
			}
		}
		if found.Source != nil {
			if err := put.exec(sourceKey[:], e.At.UnixMilli(), int64(1), found.Source); err != nil {
				return err
			}
		}
		if err := b.add(w, source, e, &found); err != nil {
			return err
		}
	}
	return b.writeSums(w)
}

// add counts one finding, and stores its example.
func (b *shadowSums) add(w *writer, source string, e *carom.ShadowEntry, found *carom.ShadowFinding) error {
	hour := e.At.Unix() / 3600
	count := func(kind string) { b.counts[shadowCountKey{source, hour, kind}] += e.N }
	count(shadowRequests)
	switch {
	case found.Missed:
		count(shadowMissed)
	case found.Compared:
		count(shadowCompared)
		if len(found.Kinds) == 0 {
			count(shadowAgreed)
		}
	}
	for _, kind := range found.Kinds {
		count(string(kind))
		key := shadowCountKey{source: source, kind: string(kind)}
		if b.examples[key]++; b.examples[key] > shadowPerCommit {
			continue
		}
		slot, err := w.int64(`SELECT coalesce((SELECT slot FROM shadow_examples WHERE source = ?1 AND kind = ?2 ORDER BY at DESC, slot DESC LIMIT 1), -1) + 1`,
			source, string(kind))
		if err != nil {
			return err
		}
		x := &found.Example
		if err := w.exec(`INSERT OR REPLACE INTO shadow_examples (source, kind, slot, at, id, judged, answered) VALUES (?, ?, ?, ?, ?, ?, ?)`,
			source, string(kind), slot%shadowSlots, x.At.UnixMilli(), x.ID, x.Judged, x.Answered); err != nil {
			return err
		}
	}
	const unit = 1_000_000_000
	for _, g := range found.Grants {
		key := shadowGrantKey{source, hour, g.Currency}
		total := b.grants[key]
		total.units += int64(g.Amount / unit)
		total.nanos += int64(g.Amount % unit)
		b.grants[key] = total
		b.rewards[key]++
	}
	return nil
}

func (b *shadowSums) writeSums(w *writer) error {
	for k, n := range b.counts {
		if err := w.exec(`INSERT INTO shadow_counts (source, hour, kind, n) VALUES (?1, ?2, ?3, ?4)
			ON CONFLICT (source, hour, kind) DO UPDATE SET n = n + ?4`, k.source, k.hour, k.kind, n); err != nil {
			return err
		}
	}
	for k, total := range b.grants {
		if err := w.exec(`INSERT INTO shadow_grants (source, hour, currency, rewards, units, nanos) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
			ON CONFLICT (source, hour, currency) DO UPDATE SET rewards = rewards + ?4, units = units + ?5, nanos = nanos + ?6`,
			k.source, k.hour, k.currency, b.rewards[k], total.units, total.nanos); err != nil {
			return err
		}
	}
	return nil
}

// ShadowReport sums up what comparing has found for a source since the start of the hour of since.
func (s *Store) ShadowReport(ctx context.Context, app, name string, since time.Time) (carom.ShadowReport, error) {
	since = since.UTC().Truncate(time.Hour)
	report := carom.ShadowReport{Since: since}
	source, hour := app+"/"+name, since.Unix()/3600
	err := s.readRows(ctx, func(scan func(...any) error) error {
		var kind string
		var n int64
		if err := scan(&kind, &n); err != nil {
			return err
		}
		switch kind {
		case shadowRequests:
			report.Requests = n
		case shadowCompared:
			report.Compared = n
		case shadowAgreed:
			report.Agreed = n
		case shadowMissed:
			report.Missed = n
		default:
			report.Differences = append(report.Differences, carom.ShadowDifference{Kind: carom.ShadowKind(kind), Count: n})
		}
		return nil
	}, `SELECT kind, sum(n) FROM shadow_counts WHERE source = ? AND hour >= ? GROUP BY kind`, source, hour)
	for i := range report.Differences {
		if err != nil {
			break
		}
		d := &report.Differences[i]
		err = s.readRows(ctx, func(scan func(...any) error) error {
			var x carom.ShadowExample
			var at int64
			if err := scan(&at, &x.ID, &x.Judged, &x.Answered); err != nil {
				return err
			}
			x.At = time.UnixMilli(at).UTC()
			d.Examples = append(d.Examples, x)
			return nil
		}, `SELECT at, id, judged, answered FROM shadow_examples WHERE source = ? AND kind = ? AND at >= ? ORDER BY at DESC, slot DESC LIMIT ?`,
			source, string(d.Kind), since.UnixMilli(), shadowExamples)
	}
	if err == nil {
		err = s.readRows(ctx, func(scan func(...any) error) error {
			var g carom.ShadowSum
			var units, nanos int64
			if err := scan(&g.Currency, &g.Rewards, &units, &nanos); err != nil {
				return err
			}
			g.Amount = amountText(units, nanos)
			report.WouldGrant = append(report.WouldGrant, g)
			return nil
		}, `SELECT currency, sum(rewards), sum(units), sum(nanos) FROM shadow_grants WHERE source = ? AND hour >= ? GROUP BY currency`, source, hour)
	}
	if err != nil {
		return carom.ShadowReport{}, fmt.Errorf("report of shadow: %w", translate(err))
	}
	slices.SortFunc(report.WouldGrant, func(x, y carom.ShadowSum) int { return cmp.Compare(x.Currency, y.Currency) })
	return report, nil
}

// readRows calls row for each row of a query.
func (s *Store) readRows(ctx context.Context, row func(scan func(...any) error) error, query string, args ...any) error {
	rows, err := s.r.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }() // it only read
	for rows.Next() {
		if err := row(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

// pruneShadow drops what comparing no longer needs: notes of views after days, sums with the other counts.
func (s *Store) pruneShadow(ctx context.Context, now time.Time) error {
	for left := int64(1); left > 0; {
		if err := s.control(ctx, func(w *writer) (err error) {
			before := now.Add(-shadowNotes).UnixMilli()
			if err := w.exec(`DELETE FROM shadow_notes WHERE sum IN (SELECT sum FROM shadow_notes WHERE kept = 0 AND at < ? ORDER BY at LIMIT ?)`,
				before, int64(pruneSlice)); err != nil {
				return err
			}
			left, err = w.int64(`SELECT count(*) FROM (SELECT 1 FROM shadow_notes WHERE kept = 0 AND at < ? LIMIT 1)`, before)
			return err
		}); err != nil {
			return err
		}
	}
	return s.control(ctx, func(w *writer) error {
		hour := now.Add(-s.opts.CountRetention).Unix() / 3600
		for _, table := range []string{"shadow_counts", "shadow_grants"} {
			if err := w.exec(`DELETE FROM `+table+` WHERE hour < ?`, hour); err != nil {
				return err
			}
		}
		return w.exec(`DELETE FROM shadow_examples WHERE at < ?`, now.Add(-s.opts.CountRetention).UnixMilli())
	})
}
