package move

import (
	"bytes"
	"cmp"
	"context"
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"carom"
	"carom/internal/books"
	"carom/internal/postgres"
	"carom/internal/store"
	"carom/internal/tables"
)

// table says how the rows of a table of the folder are written in the database.
type table struct {
	name    string
	columns string            // of the database, in order
	key     string            // those that name a row
	other   map[string]string // columns that are called or written otherwise in the folder: the expression there
	from    string            // the table in the folder; empty: it has the same name
}

// The place of an event in the database, of one in the folder; node 0 wrote all of them.
const eventPlace = `((event >> 25) << 40) | (event & 33554431)`

// ofNobody are columns that tell which node counted, claimed or attempted.
var ofNobody = map[string]string{"node": "0"}

// The tables of a time bucket. {place} stands for the place of its sequence 0, {bucket} for its number.
var (
	events = table{name: "events", from: "events_{bucket}", key: "place", other: map[string]string{"place": "{place} | seq"},
		columns: `place at app source network event_type value ymid zone_id sub_zone_id request_var telegram_id price external_id fields flags held
			strength endpoints method path query content_type headers body client user_id view decided origin`}
	outcomes = table{name: "outcomes", from: "outcomes_{bucket}", key: "place ordinal attempt",
		other:   map[string]string{"place": "{place} | (id >> 26)", "ordinal": "(id >> 16) & 1023", "attempt": "id & 65535", "node": "0"},
		columns: `place ordinal attempt endpoint at took_us state due_at reason flags method url sent status answer node`}
	refused = table{name: "refused", from: "refused_{bucket}", key: "place", other: map[string]string{"place": "{place} | seq"},
		columns: `place at app source network reason detail method path query content_type headers body client`}
	keys = table{name: "keys", key: "sum", columns: `sum place at until agreement`}
)

// The tables that are read in ranges, as they may be long.
var (
	rewards = table{name: "rewards", key: "no", other: map[string]string{"event": eventPlace},
		columns: `no life at app rule additional user currency amount state until changed why event source network view tx view_id ymid zone_id
			request_var external_id counted`}
	ledger         = table{name: "ledger", key: "reward n", columns: `reward n at app user currency amount event why late`}
	views          = table{name: "views", key: "no", columns: `no life app user ymid own placement fixed by_user sources opened_at expires_at`}
	counts         = table{name: "counts", key: "minute app source zone_id request_var event_type value outcome", other: ofNobody, columns: `minute app source zone_id request_var event_type value outcome node n price_units price_nanos`}
	quarterCounts  = table{name: "quarter_counts", key: "quarter app source zone_id event_type value outcome", other: ofNobody, columns: `quarter app source zone_id event_type value outcome node n price_units price_nanos`}
	sourceCounts   = table{name: "source_counts", key: "span quarter app source event_type currency", other: ofNobody, columns: `span quarter app source event_type currency node ` + measures}
	spotCounts     = table{name: "spot_counts", key: "span quarter app zone_id sub_zone_id request_var currency", other: ofNobody, columns: `span quarter app zone_id sub_zone_id request_var currency node ` + measures}
	detailCounts   = table{name: "detail_counts", key: "span quarter app source kind detail", other: ofNobody, columns: `span quarter app source kind detail node n`}
	deliveryCounts = table{name: "delivery_counts", key: "minute endpoint outcome", other: ofNobody, columns: `minute endpoint outcome node n`}
)

// measures are the columns that reports add up.
var (
	measures    = strings.Join(tables.MeasureColumns(), " ")
	measuresSum = rowSum("(" + strings.Join(tables.MeasureColumns(), " + ") + ")")
)

// whole are the tables that are moved at once, when nobody writes to the folder any more.
func whole() []table {
	return []table{
		{name: "objects", key: "kind id", columns: `kind id body`},
		{name: "endpoint_numbers", key: "no", columns: `no id deleted_at`},
		{name: "api_keys", key: "id", columns: `id name app scope created last_used sum publisher`},
		{name: "members", key: "id", columns: `id email name role publisher disabled created last_seen password`},
		{name: "links", key: "sum", columns: `sum member created expires`},
		{name: "filters", key: "member name", columns: `member name page query`},
		{name: "audit", key: "no", columns: `no life at kind actor name role action object outcome status why changes address`},
		{name: "breakers", key: "endpoint", columns: `endpoint opened_at`},
		{name: "kept_answers", key: "id", columns: `id caller asked at status header body withheld`},
		{name: "due", key: "endpoint place ordinal", other: map[string]string{"place": eventPlace, "node": "0"},
			columns: `endpoint place ordinal due_at scheduled_at accepted_at attempts step sending node`},
		{name: "unverified", key: "source slot", columns: `source slot at reason method path query content_type body client`},
		{name: "balances", key: "app user currency", columns: `app user currency units nanos changed`},
		{name: "counters", key: "scope user day", columns: `scope user day rewards amount`},
		{name: "last_grants", key: "rule user", columns: `rule user at`},
		{name: "shadow_counts", key: "source hour kind", columns: `source hour kind n`},
		{name: "shadow_examples", key: "source kind slot", columns: `source kind slot at id judged answered`},
		{name: "shadow_grants", key: "source hour currency", columns: `source hour currency rewards units nanos`},
		{name: "shadow_notes", key: "sum", columns: `sum at kept note`},
		{name: "rolled", key: "span", columns: `span quarter`},
		{name: "statements", key: "no", columns: `no life at by app source file sha256 reading map currency day_zone first last rows notes`},
		{name: "statement_rows", key: "statement day zone_id sub_zone_id", columns: `statement day zone_id sub_zone_id impressions clicks valued revenue`},
	}
}

// numbered are the tables whose rows the folder numbers, never twice.
var numbered = []string{"views", "statements", "endpoint_numbers", "audit"}

// How much one part holds.
const (
	rangeRows  = 100_000 // numbers of rewards, of views
	dayMinutes = 24 * 60
)

// part is one of the database's with what the move knows of it besides.
type part struct {
	postgres.Part
	estimate int64 // about how many rows it has
	keys     bool  // it holds dedupe keys, which later parts may have replaced
	derived  bool  // it is made of what is in the database
}

// with fills in the part's table, its columns and how they are read.
func (p part) with(src *store.Source, t table, where string, replace ...string) part {
	r := strings.NewReplacer(replace...)
	p.Table, p.Columns, p.Key = t.name, strings.Fields(t.columns), strings.Fields(t.key)
	list := make([]string, len(p.Columns))
	for i, c := range p.Columns {
		if list[i] = t.other[c]; list[i] == "" {
			list[i] = `"` + c + `"`
		}
	}
	query := r.Replace(`SELECT ` + strings.Join(list, ", ") + ` FROM ` + cmp.Or(t.from, t.name))
	if where != "" {
		query += ` WHERE ` + where
	}
	p.Rows = func(each func([]driver.Value) error) error { return src.Query(query, each) }
	return p
}

// bucket is a time bucket of the folder.
type bucket struct {
	number         uint32
	opened, closed int64
	life           int64
	readable       bool  // its rows are there
	newest         int64 // when the newest row of an open one was received
}

// lister lists the parts of a folder.
type lister struct {
	src      *store.Source
	live     bool // the folder is being written to: only what does not grow any more
	now      time.Time
	objects  carom.Objects
	recent   map[[16]byte][]books.RecentView // of a folder that nobody writes to
	erasures int64
	buckets  []bucket
	parts    []part
}

// list lists what there is to move now, in the order in which to move it.
func list(ctx context.Context, src *store.Source, now time.Time, recent map[[16]byte][]books.RecentView, live bool) ([]part, error) {
	l := &lister{src: src, live: live, now: now, recent: recent}
	for _, step := range []func(context.Context) error{l.readFolder, l.ofBuckets, l.ofRewards, l.ofViews, l.ofCounts, l.ofRest} {
		if err := step(ctx); err != nil {
			return nil, fmt.Errorf("read the data folder: %w", err)
		}
	}
	return l.parts, nil
}

func (l *lister) add(p part) { l.parts = append(l.parts, p) }

// readFolder reads what decides about the parts.
func (l *lister) readFolder(context.Context) error {
	var err error
	if l.erasures, err = l.src.Int64(`SELECT value FROM meta WHERE key = 'erasures'`); err != nil {
		return err
	}
	if err := l.src.Query(`SELECT kind, id, body FROM objects WHERE kind = 'source'`, func(v []driver.Value) error {
		var s carom.Source
		body, err := tables.OpenObject(l.src.Keys, v[0].(string), v[1].(string), v[2].(string))
		if err != nil {
			return err
		}
		if err := json.Unmarshal(body, &s); err != nil {
			return fmt.Errorf("a stored source: %w", err)
		}
		l.objects.Sources = append(l.objects.Sources, s)
		return nil
	}); err != nil {
		return err
	}
	return l.src.Query(`SELECT bucket, opened_at, closed_at, life, dropped FROM buckets ORDER BY bucket`, func(v []driver.Value) error {
		l.buckets = append(l.buckets, bucket{number: uint32(v[0].(int64)), opened: v[1].(int64), closed: v[2].(int64), life: v[3].(int64), readable: v[4].(int64) == 0})
		return nil
	})
}

// rowSum is a cheap sum over a column, which tells whether rows were added or changed.
func rowSum(column string) string {
	return `coalesce(sum(` + column + ` & 4294967295), 0)`
}

// version asks the folder for what tells one state of some rows from another.
func (l *lister) version(query string, args ...driver.Value) (version string, rows int64, err error) {
	err = l.src.Query(query, func(v []driver.Value) error {
		var words []string
		for _, x := range v {
			n, _ := x.(int64)
			words = append(words, fmt.Sprint(n))
		}
		rows, _ = v[0].(int64)
		version = strings.Join(append(words, fmt.Sprint(l.erasures)), " ")
		return nil
	}, args...)
	return version, rows, err
}

// ofBuckets lists the time buckets. One that is open is moved when nobody writes to it any more, as a closed one.
func (l *lister) ofBuckets(context.Context) error {
	p := part{Part: postgres.Part{Name: "buckets", Where: `life <> 0`}}.with(l.src, table{name: "buckets", key: "bucket", columns: `bucket opened_at closed_at dropped life`}, "")
	var rows [][]driver.Value
	for i := range l.buckets {
		b := &l.buckets[i]
		if b.closed == 0 && l.live {
			continue
		}
		if b.readable {
			if err := l.ofBucket(b); err != nil {
				return err
			}
		}
		if err := l.keysOf(b); err != nil {
			return err
		}
		dropped := int64(0)
		if !b.readable {
			dropped = 2
		}
		rows = append(rows, []driver.Value{int64(b.number), b.opened, cmp.Or(b.closed, b.newest), dropped, b.life})
	}
	p.Rows = func(each func([]driver.Value) error) error {
		for _, row := range rows {
			if err := each(row); err != nil {
				return err
			}
		}
		return nil
	}
	l.add(p)
	return nil
}

func (l *lister) ofBucket(b *bucket) error {
	b.newest = b.opened
	for _, t := range []struct {
		table
		version string
		newest  string
	}{
		{events, `SELECT max(seq) FROM events_%d`, `SELECT max(at) FROM events_%d`},
		{refused, `SELECT max(seq) FROM refused_%d`, `SELECT max(at) FROM refused_%d`},
		{outcomes, `SELECT count(*), ` + rowSum("at") + `, ` + rowSum("id") + ` FROM outcomes_%d`, ""},
	} {
		version, rows, err := l.version(fmt.Sprintf(t.version, b.number))
		if err != nil {
			return err
		}
		if b.closed == 0 && t.newest != "" {
			newest, err := l.src.Int64(fmt.Sprintf(t.newest, b.number))
			if err != nil {
				return err
			}
			b.newest = max(b.newest, newest)
		}
		p := part{Part: postgres.Part{Name: fmt.Sprintf("%s/%d", t.name, b.number), Version: version, Bucket: b.number}, estimate: rows}
		l.add(p.with(l.src, t.table, "", "{bucket}", fmt.Sprint(b.number), "{place}", fmt.Sprint(int64(b.number)<<40)))
	}
	return nil
}

// mergeKeys keeps, of two events with one key, the later one: it came after the window of the other, and counts from then on.
const mergeKeys = `INSERT INTO keys AS k (sum, place, at, until, agreement) SELECT sum, place, at, until, agreement FROM staged ORDER BY sum
	ON CONFLICT (sum) DO UPDATE SET place = excluded.place, at = excluded.at, until = greatest(k.until, excluded.until), agreement = excluded.agreement
	WHERE excluded.place >= k.place`

// since2020 is where the database's seconds begin.
const since2020 = 1_577_836_800

// forever is how long the key of what people do counts: such an event is made once.
const forever = 1 << 30

// keysOf lists the dedupe keys of a bucket. Of one whose rows retention has dropped they are in its index alone.
func (l *lister) keysOf(b *bucket) error {
	longest, _ := tables.Windows(l.objects.Sources)
	longest = max(longest, carom.DefaultDedupeWindow)
	windows := map[string]time.Duration{}
	for _, s := range l.objects.Sources {
		full := s.WithDefaults()
		windows[s.ID()] = max(full.DedupeWindow, full.RepeatWindow)
	}
	version := fmt.Sprint(longest)
	for _, id := range slices.Sorted(maps.Keys(windows)) {
		version += fmt.Sprint(" ", id, " ", windows[id])
	}
	rows := int64(0)
	if b.readable {
		newest, err := l.src.Int64(fmt.Sprintf(`SELECT max(seq) FROM events_%d`, b.number))
		if err != nil {
			return err
		}
		rows = newest
	}
	now := l.now.Unix() - since2020
	p := part{Part: postgres.Part{Name: fmt.Sprintf("keys/%d", b.number), Version: fmt.Sprintf("%x %d", carom.SumOf(version), rows), Table: keys.name,
		Columns: strings.Fields(keys.columns), Key: strings.Fields(keys.key), Merge: mergeKeys}, estimate: rows, keys: true}
	if !b.readable {
		p.Version = strings.Fields(p.Version)[0]
	}
	p.Rows = func(each func([]driver.Value) error) error {
		found := map[[16]byte][4]int64{} // place, at, until, agreement
		note := func(sum [16]byte, seq, at, check int64, window time.Duration) {
			at -= since2020
			until := at + min(int64(window/time.Second), forever)
			if until > now {
				found[sum] = [4]int64{int64(b.number)<<40 | seq, at, until, check}
			}
		}
		var err error
		if b.readable {
			err = l.src.Query(fmt.Sprintf(`SELECT seq, at, app, source, key, key_check, also, origin FROM events_%d ORDER BY seq`, b.number), func(v []driver.Value) error {
				app, source := v[2].(string), v[3].(string)
				window, known := windows[app+"/"+source]
				switch {
				case source == carom.SourceCarom, v[7].(string) != "":
					window = forever * time.Second
				case !known:
					window = longest
				}
				for _, column := range []int{4, 6} {
					if sum := tables.SumOf(v[column]); sum != ([16]byte{}) {
						note(sum, v[0].(int64), v[1].(int64)/1000, v[5].(int64), window)
					}
				}
				return nil
			})
		} else {
			err = l.src.IndexKeys(b.number, func(k store.IndexKey) error {
				note(k.Sum, int64(k.Seq), int64(k.At), int64(k.Check), longest)
				return nil
			})
		}
		if err != nil {
			return err
		}
		// In the order of the index that they go into.
		for _, sum := range slices.SortedFunc(maps.Keys(found), func(x, y [16]byte) int { return bytes.Compare(x[:], y[:]) }) {
			f := found[sum]
			if err := each([]driver.Value{sum[:], f[0], f[1], f[2], f[3]}); err != nil {
				return err
			}
		}
		return nil
	}
	l.add(p)
	return nil
}

// ranges calls each for the ranges of numbers up to newest: while the folder is written to, for those that are full.
func (l *lister) ranges(newest int64, each func(i, from, to int64) error) error {
	for i := int64(0); i*rangeRows < newest; i++ {
		from, to := i*rangeRows+1, (i+1)*rangeRows
		if l.live && to > newest {
			break
		}
		if err := each(i, from, to); err != nil {
			return err
		}
	}
	return nil
}

// mergeClaims notes what the rewards of a range claim. Those of additional rules stand beside the one that bars all others.
const mergeClaims = `INSERT INTO claims AS c (sum, reward, rule, beside, reversed)
	SELECT sum, coalesce(max(no) FILTER (WHERE additional = 0), 0), coalesce((array_agg(app || '/' || rule ORDER BY no DESC) FILTER (WHERE additional = 0))[1], ''),
		coalesce(string_agg(DISTINCT app || '/' || rule, E'\n') FILTER (WHERE additional = 1), ''), 0
	FROM (SELECT encode(view, 'hex')::uuid AS sum, no, app, rule, additional FROM rewards WHERE no BETWEEN {from} AND {to} AND view IS NOT NULL
		UNION ALL SELECT encode(tx, 'hex')::uuid, no, app, rule, additional FROM rewards WHERE no BETWEEN {from} AND {to} AND tx IS NOT NULL) r
	GROUP BY sum ORDER BY sum
	ON CONFLICT (sum) DO UPDATE SET
		reward = CASE WHEN excluded.reward = 0 THEN c.reward ELSE excluded.reward END,
		rule = CASE WHEN excluded.reward = 0 THEN c.rule ELSE excluded.rule END,
		beside = (SELECT coalesce(string_agg(DISTINCT w, E'\n'), '') FROM string_to_table(c.beside || E'\n' || excluded.beside, E'\n') w WHERE w <> '')`

func (l *lister) ofRewards(context.Context) error {
	newest, err := l.src.Int64(`SELECT max(no) FROM rewards`)
	if err != nil {
		return err
	}
	return l.ranges(newest, func(i, from, to int64) error {
		for _, t := range []struct {
			table
			column, sum string
		}{{rewards, "no", rowSum("changed")}, {ledger, "reward", rowSum("at")}} {
			in := fmt.Sprintf(`%s BETWEEN %d AND %d`, t.column, from, to)
			version, rows, err := l.version(`SELECT count(*), ` + t.sum + ` FROM ` + t.name + ` WHERE ` + in)
			if err != nil {
				return err
			}
			l.add(part{Part: postgres.Part{Name: fmt.Sprintf("%s/%d", t.name, i), Version: version, Where: in}, estimate: rows}.with(l.src, t.table, in))
		}
		r := strings.NewReplacer("{from}", fmt.Sprint(from), "{to}", fmt.Sprint(to))
		l.add(part{Part: postgres.Part{Name: fmt.Sprintf("claims/%d", i), Version: fmt.Sprint(min(newest, to)), Merge: r.Replace(mergeClaims)}, derived: true})
		return nil
	})
}

func (l *lister) ofViews(context.Context) error {
	newest, err := l.src.Int64(`SELECT seq FROM sqlite_sequence WHERE name = 'views'`)
	if err != nil {
		return err
	}
	return l.ranges(newest, func(i, from, to int64) error {
		in := fmt.Sprintf(`no BETWEEN %d AND %d`, from, to)
		version, rows, err := l.version(`SELECT count(*), ` + rowSum("expires_at") + ` FROM views WHERE ` + in)
		if err != nil {
			return err
		}
		l.add(part{Part: postgres.Part{Name: fmt.Sprintf("views/%d", i), Version: version, Where: in}, estimate: rows}.with(l.src, views, in))
		return nil
	})
}

// ofCounts lists counts day by day: days that are over hardly change.
func (l *lister) ofCounts(context.Context) error {
	for _, t := range []struct {
		table
		column string
		day    int64
		sums   string
	}{
		{counts, "minute", dayMinutes, rowSum("n") + `, ` + rowSum("price_nanos")}, {quarterCounts, "quarter", dayMinutes / 15, rowSum("n") + `, ` + rowSum("price_nanos")},
		{deliveryCounts, "minute", dayMinutes, rowSum("n")}, {sourceCounts, "quarter", dayMinutes / 15, measuresSum}, {spotCounts, "quarter", dayMinutes / 15, measuresSum},
		{detailCounts, "quarter", dayMinutes / 15, rowSum("n")},
	} {
		oldest, err := l.src.Int64(`SELECT min(` + t.column + `) FROM ` + t.name)
		if err != nil {
			return err
		}
		newest, err := l.src.Int64(`SELECT max(` + t.column + `) FROM ` + t.name)
		if err != nil {
			return err
		}
		for d := oldest / t.day; d <= newest/t.day; d++ {
			if l.live && d == newest/t.day {
				break
			}
			in := fmt.Sprintf(`%[1]s >= %[2]d AND %[1]s < %[3]d`, t.column, d*t.day, (d+1)*t.day)
			version, rows, err := l.version(`SELECT count(*), ` + t.sums + ` FROM ` + t.name + ` WHERE ` + in)
			if err != nil {
				return err
			}
			if rows > 0 {
				l.add(part{Part: postgres.Part{Name: fmt.Sprintf("%s/%d", t.name, d), Version: version, Where: in}, estimate: rows}.with(l.src, t.table, in))
			}
		}
	}
	return nil
}

// always is the version of what is moved again whenever the folder has been free to be written to.
const always = ""

// mergeReversed notes which views and transactions were taken back.
const mergeReversed = `INSERT INTO claims AS c (sum, reward, rule, beside, reversed) SELECT sum, 0, '', '', 1 FROM staged
	ON CONFLICT (sum) DO UPDATE SET reversed = 1`

// ofRest lists what is moved at the end alone.
func (l *lister) ofRest(context.Context) error {
	if l.live {
		return nil
	}
	for _, t := range whole() {
		rows, err := l.src.Int64(`SELECT count(*) FROM ` + t.name)
		if err != nil {
			return err
		}
		l.add(part{Part: postgres.Part{Name: t.name, Version: always}, estimate: rows}.with(l.src, t, ""))
	}
	version := part{Part: postgres.Part{Name: "objects_version", Version: always, Where: `key = 'objects_version'`}}
	l.add(version.with(l.src, table{name: "meta", key: "key", columns: `key value`}, `key = 'objects_version'`))

	reversed := part{Part: postgres.Part{Name: "reversed", Version: always, Where: `reversed = 1`, Merge: mergeReversed}}
	l.add(reversed.with(l.src, table{name: "claims", key: "sum", columns: `sum`, from: `(SELECT DISTINCT sum FROM reversals)`}, ""))

	joins := part{Part: postgres.Part{Name: "joins", Version: always, Table: "joins", Columns: []string{"sum", "at", "views"}, Key: []string{"sum"}}}
	joins.Rows = l.joins
	l.add(joins)
	return nil
}

// joinable is a recent view as the database keeps it.
type joinable struct {
	First int64             `json:"first"` // place
	At    int64             `json:"at"`    // milliseconds
	Types []carom.EventType `json:"types"`
}

// joins reads the views whose ymid repeats and which an event may still join.
func (l *lister) joins(each func([]driver.Value) error) error {
	for _, sum := range slices.SortedFunc(maps.Keys(l.recent), func(x, y [16]byte) int { return bytes.Compare(x[:], y[:]) }) {
		var stored []joinable
		var newest int64
		for _, v := range l.recent[sum] {
			stored = append(stored, joinable{int64(v.First.Bucket)<<40 | int64(v.First.Seq), v.At.UnixMilli(), v.Types})
			newest = max(newest, v.At.UnixMilli())
		}
		text, err := json.Marshal(stored)
		if err != nil {
			return err
		}
		if err := each([]driver.Value{sum[:], newest, string(text)}); err != nil {
			return err
		}
	}
	return nil
}
