package tables

import (
	"bytes"
	"cmp"
	"context"
	"database/sql/driver"
	"fmt"
	"slices"
	"strings"
	"time"

	"carom"
)

// What comparing with today's receivers finds is kept within these bounds.
const (
	ShadowSlots     = 100                // examples of a kind and source
	shadowExamples  = 3                  // that a report shows of a kind
	shadowPerCommit = 10                 // new examples of a kind and source in one commit
	shadowBatch     = 64                 // entries in one commit: about 4 ms of the committer
	ShadowNotes     = 3 * 24 * time.Hour // how long a view is remembered; copies and second events come sooner
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
func (t *Tables) Compare(ctx context.Context, entries []carom.ShadowEntry) (kept int, err error) {
	for chunk := range slices.Chunk(entries, shadowBatch) {
		if err := t.o.Write(ctx, func(tx Tx) error { return newShadowSums().write(tx, chunk) }); err != nil {
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

func (k shadowCountKey) compare(o shadowCountKey) int {
	return cmp.Or(strings.Compare(k.source, o.source), cmp.Compare(k.hour, o.hour), strings.Compare(k.kind, o.kind))
}

func (k shadowGrantKey) compare(o shadowGrantKey) int {
	return cmp.Or(strings.Compare(k.source, o.source), cmp.Compare(k.hour, o.hour), strings.Compare(k.currency, o.currency))
}

// shadowSums gathers the sums of one commit.
type shadowSums struct {
	counts   map[shadowCountKey]int64
	grants   map[shadowGrantKey]Tally
	examples map[shadowCountKey]int
	notes    map[[16]byte]shadowNote // what is remembered of views and sources, as this commit leaves it
}

type shadowNote struct {
	at      time.Time
	kept    bool // of a source, and outlives the days
	note    []byte
	changed bool
}

func newShadowSums() *shadowSums {
	return &shadowSums{map[shadowCountKey]int64{}, map[shadowGrantKey]Tally{}, map[shadowCountKey]int{}, map[[16]byte]shadowNote{}}
}

func (b *shadowSums) write(tx Tx, entries []carom.ShadowEntry) error {
	if err := b.readNotes(tx, entries); err != nil {
		return err
	}
	for i := range entries {
		e := &entries[i]
		sourceKey := shadowSourceSum(e)
		found := e.Judge(b.notes[e.View].note, b.notes[sourceKey].note)
		if found.View != nil && e.View != [16]byte{} {
			b.notes[e.View] = shadowNote{e.At, false, found.View, true}
		}
		if found.Source != nil {
			b.notes[sourceKey] = shadowNote{e.At, true, found.Source, true}
		}
		if err := b.add(tx, e.App+"/"+e.Source, e, &found); err != nil {
			return err
		}
	}
	if err := b.writeNotes(tx); err != nil {
		return err
	}
	return b.writeSums(tx)
}

// shadowSourceSum is what the note of an entry's source is kept under.
func shadowSourceSum(e *carom.ShadowEntry) [16]byte {
	return carom.SumOf("shadow source", e.App+"/"+e.Source)
}

// readNotes reads what is remembered of the views and sources of the entries.
func (b *shadowSums) readNotes(tx Tx, entries []carom.ShadowEntry) error {
	wanted := map[[16]byte]bool{}
	var sums []any
	for i := range entries {
		for _, sum := range [...][16]byte{entries[i].View, shadowSourceSum(&entries[i])} {
			if sum != ([16]byte{}) && !wanted[sum] {
				wanted[sum] = true
				sums = append(sums, sum[:])
			}
		}
	}
	return tx.Query(`SELECT sum, note FROM shadow_notes WHERE sum IN `+marks(len(sums)), func(v []driver.Value) error {
		note, _ := v[1].([]byte)
		b.notes[SumOf(v[0])] = shadowNote{note: slices.Clone(note)}
		return nil
	}, sums...)
}

func (b *shadowSums) writeNotes(tx Tx) error {
	var args []any
	for sum, n := range inOrder(b.notes, func(x, y [16]byte) int { return bytes.Compare(x[:], y[:]) }) {
		if n.changed {
			args = append(args, sum[:], n.at.UnixMilli(), Truth(n.kept), n.note)
		}
	}
	if len(args) == 0 {
		return nil
	}
	return tx.Exec(`INSERT INTO shadow_notes (sum, at, kept, note) VALUES `+rowsOf(4, len(args)/4)+`
		ON CONFLICT (sum) DO UPDATE SET at = excluded.at, kept = excluded.kept, note = excluded.note`, args...)
}

// add counts one finding, and stores its example.
func (b *shadowSums) add(tx Tx, source string, e *carom.ShadowEntry, found *carom.ShadowFinding) error {
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
		slot, err := tx.Int64(`SELECT coalesce((SELECT slot FROM shadow_examples WHERE source = ?1 AND kind = ?2 ORDER BY at DESC, slot DESC LIMIT 1), -1) + 1`,
			source, string(kind))
		if err != nil {
			return err
		}
		x := &found.Example
		if err := tx.Exec(`INSERT INTO shadow_examples (source, kind, slot, at, id, judged, answered) VALUES (?,?,?,?,?,?,?) ON CONFLICT (source, kind, slot)
			DO UPDATE SET at = excluded.at, id = excluded.id, judged = excluded.judged, answered = excluded.answered`,
			source, string(kind), slot%ShadowSlots, x.At.UnixMilli(), x.ID, x.Judged, x.Answered); err != nil {
			return err
		}
	}
	for _, g := range found.Grants {
		key := shadowGrantKey{source, hour, g.Currency}
		b.grants[key] = b.grants[key].plus(1, g.Amount)
	}
	return nil
}

// writeSums adds what was counted to the tables, in the order of their keys, as whoever else does.
func (b *shadowSums) writeSums(tx Tx) error {
	for k, n := range inOrder(b.counts, shadowCountKey.compare) {
		if err := tx.Exec(`INSERT INTO shadow_counts (source, hour, kind, n) VALUES (?,?,?,?)
			ON CONFLICT (source, hour, kind) DO UPDATE SET n = shadow_counts.n + excluded.n`, k.source, k.hour, k.kind, n); err != nil {
			return err
		}
	}
	for k, total := range inOrder(b.grants, shadowGrantKey.compare) {
		if err := tx.Exec(`INSERT INTO shadow_grants (source, hour, currency, rewards, units, nanos) VALUES (?,?,?,?,?,?)
			ON CONFLICT (source, hour, currency) DO UPDATE SET rewards = shadow_grants.rewards + excluded.rewards,
			units = shadow_grants.units + excluded.units, nanos = shadow_grants.nanos + excluded.nanos`,
			k.source, k.hour, k.currency, total.N, total.Units, total.Nanos); err != nil {
			return err
		}
	}
	return nil
}

// ShadowReport sums up what comparing has found for a source since the start of the hour of since.
func (t *Tables) ShadowReport(ctx context.Context, app, name string, since time.Time) (carom.ShadowReport, error) {
	since = since.UTC().Truncate(time.Hour)
	report := carom.ShadowReport{Since: since}
	source, hour := app+"/"+name, since.Unix()/3600
	err := t.readRows(ctx, t.o.Read, func(scan func(...any) error) error {
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
	}, `SELECT kind, CAST(sum(n) AS bigint) FROM shadow_counts WHERE source = ? AND hour >= ? GROUP BY kind`, source, hour)
	for i := range report.Differences {
		if err != nil {
			break
		}
		d := &report.Differences[i]
		err = t.readRows(ctx, t.o.Read, func(scan func(...any) error) error {
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
		err = t.readRows(ctx, t.o.Read, func(scan func(...any) error) error {
			var g carom.ShadowSum
			var units, nanos int64
			if err := scan(&g.Currency, &g.Rewards, &units, &nanos); err != nil {
				return err
			}
			g.Amount = AmountText(units, nanos)
			report.WouldGrant = append(report.WouldGrant, g)
			return nil
		}, `SELECT currency, CAST(sum(rewards) AS bigint), CAST(sum(units) AS bigint), CAST(sum(nanos) AS bigint) FROM shadow_grants WHERE source = ? AND hour >= ? GROUP BY currency`, source, hour)
	}
	if err != nil {
		return carom.ShadowReport{}, fmt.Errorf("report of shadow: %w", err)
	}
	slices.SortFunc(report.WouldGrant, func(x, y carom.ShadowSum) int { return cmp.Compare(x.Currency, y.Currency) })
	return report, nil
}

// PruneShadow drops what comparing no longer needs: notes of views after days, in slices, and sums and examples of before a moment, as
// other counts.
func (t *Tables) PruneShadow(ctx context.Context, now, counts time.Time) error {
	before := now.Add(-ShadowNotes).UnixMilli()
	for left := int64(1); left > 0; {
		if err := t.o.Write(ctx, func(tx Tx) (err error) {
			if err := tx.Exec(`DELETE FROM shadow_notes WHERE sum IN (SELECT sum FROM shadow_notes WHERE kept = 0 AND at < ? ORDER BY at LIMIT ?)`,
				before, int64(PruneSlice)); err != nil {
				return err
			}
			left, err = tx.Int64(`SELECT count(*) FROM (SELECT 1 FROM shadow_notes WHERE kept = 0 AND at < ? LIMIT 1) AS more`, before)
			return err
		}); err != nil {
			return err
		}
	}
	return t.o.Write(ctx, func(tx Tx) error {
		for _, table := range []string{"shadow_counts", "shadow_grants"} {
			if err := tx.Exec(`DELETE FROM `+table+` WHERE hour < ?`, counts.Unix()/3600); err != nil {
				return err
			}
		}
		return tx.Exec(`DELETE FROM shadow_examples WHERE at < ?`, counts.UnixMilli())
	})
}
