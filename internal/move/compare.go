package move

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"carom"
	"carom/internal/postgres"
)

// compare compares both sides. With all it reads everything again, also what an earlier run has compared; else the database has to hold
// what was read when it was brought.
func (m *mover) compare(ctx context.Context, parts []part, all bool) error {
	began := time.Now()
	brought, err := m.target.Brought(ctx)
	if err != nil {
		return err
	}
	waiting := slices.DeleteFunc(slices.Clone(parts), func(p part) bool { return !all && brought[p.Name].Checked })
	var rows, left int64
	for i := range waiting {
		left += waiting[i].estimate
	}
	for i := range waiting {
		p := &waiting[i]
		n, found, err := m.comparePart(ctx, p, brought, all)
		if err != nil {
			return err
		}
		m.report.Differences = append(m.report.Differences, found...)
		if m.report.Checked++; len(found) == 0 {
			if err := m.target.Checked(ctx, &p.Part); err != nil {
				return err
			}
		}
		rows, left = rows+n, left-p.estimate
		m.Progress(Progress{Checking: true, Part: p.Name, Done: i + 1, Parts: len(waiting), Rows: rows, Left: left, Took: time.Since(began)})
	}
	if m.store != nil {
		if err := m.compareLedgers(ctx); err != nil {
			return err
		}
		if err := m.compareStories(ctx, parts); err != nil {
			return err
		}
	}
	m.report.Check = time.Since(began)
	return nil
}

// comparePart says how a part differs, and how many rows it has.
func (m *mover) comparePart(ctx context.Context, p *part, brought map[string]postgres.Brought, all bool) (rows int64, found []string, err error) {
	have, there := brought[p.Name]
	switch {
	case !there:
		return 0, []string{p.Name + ": it was not moved"}, nil
	case have.Version != p.Version && p.Version != always:
		return 0, []string{p.Name + ": its rows have changed since it was moved: run `carom move` again"}, nil
	case p.derived:
		return m.compareClaims(ctx, p)
	case p.keys:
		missing, err := m.target.MissingKeys(ctx, &p.Part)
		if missing > 0 {
			found = append(found, fmt.Sprintf("%s: the database does not know %d of the dedupe keys as the folder does: copies of their events would count twice", p.Name, missing))
		}
		return p.estimate, found, err
	}
	want := have
	if all {
		if want, err = m.target.SumRows(ctx, &p.Part); err != nil {
			return 0, nil, err
		}
	}
	got, err := m.target.Sum(ctx, &p.Part)
	if err != nil || got.Rows == want.Rows && got.Sum == want.Sum {
		return got.Rows, nil, err
	}
	if found, err = m.target.Differences(ctx, &p.Part, maxDifferences); err != nil {
		return 0, nil, err
	}
	if len(found) == 0 { // what was brought is not what the folder has now
		found = []string{fmt.Sprintf("%s: it was moved with other content than the folder has now: run `carom move` again", p.Name)}
	}
	if got.Rows != want.Rows {
		found = append(found, fmt.Sprintf("%s: the folder has %d rows, the database %d", p.Name, want.Rows, got.Rows))
	}
	return got.Rows, found, nil
}

// claimsMissing finds rewards of a range whose view or transaction could earn again.
const claimsMissing = `SELECT r.no || ' (' || r.app || '/' || r.rule || ')' FROM (
		SELECT encode(view, 'hex')::uuid AS sum, no, app, rule, additional FROM rewards WHERE {range} AND view IS NOT NULL
		UNION ALL SELECT encode(tx, 'hex')::uuid, no, app, rule, additional FROM rewards WHERE {range} AND tx IS NOT NULL) r
	LEFT JOIN claims c ON c.sum = r.sum
	WHERE c.sum IS NULL OR r.additional = 0 AND c.reward < r.no OR r.additional = 1 AND NOT r.app || '/' || r.rule = ANY (string_to_array(c.beside, E'\n'))
	ORDER BY r.no LIMIT {limit}`

func (m *mover) compareClaims(ctx context.Context, p *part) (int64, []string, error) {
	var n int64
	if _, err := fmt.Sscanf(p.Name, "claims/%d", &n); err != nil {
		return 0, nil, fmt.Errorf("the part %s: %w", p.Name, carom.ErrInvalid)
	}
	in := fmt.Sprintf(`no BETWEEN %d AND %d`, n*rangeRows+1, (n+1)*rangeRows)
	found, err := m.target.Lines(ctx, strings.NewReplacer("{range}", in, "{limit}", fmt.Sprint(maxDifferences)).Replace(claimsMissing))
	for i := range found {
		found[i] = "the view or the transaction of reward " + found[i] + " could earn again: the database does not know that it is claimed"
	}
	return 0, found, err
}

// compareLedgers has both stores check their ledgers, and compares what they count.
func (m *mover) compareLedgers(ctx context.Context) error {
	here, err := m.store.CheckLedger(ctx)
	if err != nil {
		return err
	}
	there, err := m.target.CheckLedger(ctx)
	if err != nil {
		return err
	}
	for _, c := range []struct {
		what        string
		here, there int64
	}{{"rewards", here.Rewards, there.Rewards}, {"ledger lines", here.Lines, there.Lines}, {"balances", here.Balances, there.Balances}} {
		if c.here != c.there {
			m.report.Differences = append(m.report.Differences, fmt.Sprintf("the folder has %d %s, the database %d", c.here, c.what, c.there))
		}
	}
	for _, fault := range there.Faults { // one that the folder has too was moved as it is
		if !slices.Contains(here.Faults, fault) {
			m.report.Differences = append(m.report.Differences, "the check of the ledger finds in the database alone: "+fault)
		}
	}
	return nil
}

// compareStories compares events, picked at random, as the two stores tell them.
func (m *mover) compareStories(ctx context.Context, parts []part) error {
	type place struct {
		bucket uint32
		events int64
	}
	var places []place
	var all int64
	for i := range parts {
		if p := &parts[i]; p.Table == events.name && p.estimate > 0 {
			places = append(places, place{p.Bucket, p.estimate})
			all += p.estimate
		}
	}
	lives := map[uint32]carom.Incarnation{}
	for _, p := range places {
		life, err := m.src.Int64(`SELECT life FROM buckets WHERE bucket = ?`, int64(p.bucket))
		if err != nil {
			return fmt.Errorf("read the data folder: %w", err)
		}
		lives[p.bucket] = carom.Incarnation(life)
	}
	for range min(int64(m.Sample), all) {
		n := rand.Int64N(all)
		i := 0
		for ; n >= places[i].events; i++ {
			n -= places[i].events
		}
		id := carom.NewEventID(lives[places[i].bucket], carom.Ref{Bucket: places[i].bucket, Seq: uint32(n + 1)})
		here, err := m.store.Story(ctx, id)
		if errors.Is(err, carom.ErrNotFound) {
			continue // a commit that failed has left a gap
		}
		if err != nil {
			return err
		}
		m.report.Sampled++
		there, err := m.target.Story(ctx, id)
		if errors.Is(err, carom.ErrNotFound) {
			m.report.Differences = append(m.report.Differences, fmt.Sprintf("event %s: the database does not find it", id))
			continue
		}
		if err != nil {
			return err
		}
		if path := differs("", plain(here), plain(there)); path != "" {
			m.report.Differences = append(m.report.Differences, fmt.Sprintf("event %s: its story differs in %s", id, path))
		}
	}
	return nil
}

// plain is a value as JSON has it, with every text as the database would take it.
func plain(v any) (out any) {
	text, err := json.Marshal(v)
	if err == nil {
		err = json.Unmarshal(text, &out)
	}
	if err != nil {
		return err.Error() // stories are of texts, numbers and times alone
	}
	return cleaned(out)
}

// cleaned has every text as the database takes it: NUL has a sign, and what is not UTF-8 one for each run of it.
func cleaned(v any) any {
	switch v := v.(type) {
	case string:
		v = strings.ReplaceAll(v, "\x00", "\u2400")
		for bad := string(utf8.RuneError); strings.Contains(v, bad+bad); {
			v = strings.ReplaceAll(v, bad+bad, bad)
		}
		return v
	case []any:
		for i := range v {
			v[i] = cleaned(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = cleaned(v[k])
		}
	}
	return v
}

// differs is where two values as JSON has them differ first; empty when they are the same.
func differs(path string, x, y any) string {
	switch x := x.(type) {
	case map[string]any:
		y, same := y.(map[string]any)
		if !same || len(x) != len(y) {
			return path
		}
		for _, k := range slices.Sorted(maps.Keys(x)) {
			if found := differs(strings.TrimPrefix(path+"."+k, "."), x[k], y[k]); found != "" {
				return found
			}
		}
		return ""
	case []any:
		y, same := y.([]any)
		if !same || len(x) != len(y) {
			return path
		}
		for i := range x {
			if found := differs(fmt.Sprintf("%s[%d]", path, i), x[i], y[i]); found != "" {
				return found
			}
		}
		return ""
	}
	if x != y {
		return path
	}
	return ""
}
