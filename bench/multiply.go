package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"carom"
	"carom/bench/load"
	"carom/bench/mark"
	"carom/internal/api"

	"github.com/jackc/pgx/v5"
)

const (
	bucketEvents = 1_000_000      // events in a time bucket of one node
	bucketSpan   = 24 * time.Hour // in which they came
	smallBucket  = 1000           // the smallest that a node can be set to
	modelEvents  = 200            // stored events that are copied in turn

	// What the store makes places and the times of keys of: see place.go and commit.go in internal/postgres.
	bucketBits = 40 // where the bucket begins
	seqBits    = 25 // where the node does
	since2020  = 1_577_836_800
)

// sample has a node fill as many small buckets as asked for, with events that are delivered.
func (r *rig) sample(ctx context.Context, f filled, buckets int) error {
	t, err := r.onDatabase(ctx, f.name, f.secret, 1, "CAROM_BUCKET_EVENTS="+strconv.Itoa(smallBucket))
	if err != nil {
		return err
	}
	run := r.run()
	// A commit may carry a bucket beyond its size by all that wait.
	n := uint64(buckets * (smallBucket + r.Senders))
	res, _, err := r.load(load.Config{Addr: t.addr, Paths: t.traffic.Paths, Run: run, Senders: r.Senders, Count: n})
	if err == nil && uint64(res.Acked) != n {
		err = fmt.Errorf("of %d events %d were acknowledged: statuses %v, %s", n, res.Acked, res.Statuses, res.Error)
	}
	if err == nil {
		_, err = r.drain(ctx, r.client, run, int64(n))
	}
	return errors.Join(err, t.stop())
}

// copies are the events that a database is filled with: who they are, each by its number from 0.
type copies struct {
	events  uint64
	buckets int
	run     uint32    // of their marks
	until   time.Time // the end of the last bucket

	first int64 // bucket
	node  int64 // the bits of a place that tell the node
}

// copied is one event of them.
type copied struct {
	place int64
	at    time.Time
	mark  string
	user  uint64
}

func (c *copies) perBucket() uint64 { return (c.events + uint64(c.buckets) - 1) / uint64(c.buckets) }

func (c *copies) opened(bucket uint64) time.Time {
	return c.until.Add(-time.Duration(uint64(c.buckets)-bucket) * bucketSpan)
}

func (c *copies) event(n uint64) copied {
	bucket, i := n/c.perBucket(), n%c.perBucket()
	at := c.opened(bucket).Add(time.Duration(float64(i) / float64(c.perBucket()) * float64(bucketSpan)))
	return copied{
		place: (c.first+int64(bucket))<<bucketBits | c.node | int64(i+1), at: at,
		mark: mark.Mark{Run: c.run, Seq: n, At: at.UnixNano()}.String(), user: load.User(n),
	}
}

// segment is a piece of a row in the text format of COPY: what stands there, and what follows it.
type segment struct {
	text  []byte
	slot  slot
	delta int64 // of an instant, to the event's
}

// slot is what differs between the copies of a row.
type slot int

const (
	slotNone slot = iota
	slotPlace
	slotMillis  // since 1970
	slotSeconds // since 2020
	slotMark
	slotUser
	slotSum   // 128 bits at random
	slotCheck // 32 bits at random
)

// line is a row with its slots.
type line []segment

// append appends the row as it is for an event.
func (l line) append(b []byte, e copied) []byte {
	for _, s := range l {
		b = append(b, s.text...)
		switch s.slot {
		case slotNone:
		case slotPlace:
			b = strconv.AppendInt(b, e.place, 10)
		case slotMillis:
			b = strconv.AppendInt(b, e.at.UnixMilli()+s.delta, 10)
		case slotSeconds:
			b = strconv.AppendInt(b, e.at.Unix()-since2020+s.delta, 10)
		case slotMark:
			b = append(b, e.mark...)
		case slotUser:
			b = strconv.AppendUint(b, e.user, 10)
		case slotSum:
			var sum [16]byte
			for i := range sum {
				sum[i] = byte(rand.Uint32())
			}
			b = hex.AppendEncode(b, sum[:])
		case slotCheck:
			b = strconv.AppendInt(b, int64(int32(rand.Uint32())), 10)
		}
	}
	return append(b, '\n')
}

// stored is a table of the sample.
type stored struct {
	name    string
	columns []string
	rows    map[string][][]string // fields as COPY writes them, by the place
}

// field returns a row's field by the name of its column.
func (t *stored) field(row []string, column string) string {
	return row[slices.Index(t.columns, column)]
}

// lines makes the rows of one event ones with slots.
func (t *stored) lines(place string, at int64, ymid, user string) []line {
	var out []line
	for _, row := range t.rows[place] {
		var l line
		var text []byte
		put := func(s slot, delta int64) {
			l = append(l, segment{text, s, delta})
			text = nil
		}
		for i, field := range row {
			if i > 0 {
				text = append(text, '\t')
			}
			number, _ := strconv.ParseInt(field, 10, 64) // only asked for where it is one
			switch column := t.columns[i]; {
			case column == "place":
				put(slotPlace, 0)
			case column == "sum":
				put(slotSum, 0)
			case column == "agreement":
				put(slotCheck, 0)
			case t.name == "keys" && (column == "at" || column == "until"):
				put(slotSeconds, number-(at/1000-since2020))
			case column == "at":
				put(slotMillis, number-at)
			default:
				for field != "" {
					i, s, end := len(field), slotNone, len(field)
					for what, its := range map[string]slot{ymid: slotMark, user: slotUser} {
						if at := strings.Index(field, what); what != "" && at >= 0 && at < i {
							i, s, end = at, its, at+len(what)
						}
					}
					if text = append(text, field[:i]...); s != slotNone {
						put(s, 0)
					}
					field = field[end:]
				}
			}
		}
		put(slotNone, 0)
		out = append(out, l)
	}
	return out
}

// rowsOf reads the rows of a table that a query selects, the place of each event among their columns.
func rowsOf(ctx context.Context, conn *pgx.Conn, table, selects string) (*stored, error) {
	t := &stored{name: table, rows: map[string][][]string{}}
	if err := conn.QueryRow(ctx, `SELECT array_agg(attname::text ORDER BY attnum) FROM pg_attribute
		WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped`, table).Scan(&t.columns); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if _, err := conn.PgConn().CopyTo(ctx, &b, `COPY (SELECT * FROM `+table+` WHERE `+selects+`) TO STDOUT`); err != nil {
		return nil, fmt.Errorf("read the sample's %s: %w", table, err)
	}
	for text := range strings.Lines(b.String()) {
		row := strings.Split(strings.TrimSuffix(text, "\n"), "\t")
		place := t.field(row, "place")
		t.rows[place] = append(t.rows[place], row)
	}
	return t, nil
}

// multiply makes copies of what a node has stored, each an event of its own with its outcome and its keys, and removes the rest. It
// returns them with what it learned of their places.
func (d *database) multiply(ctx context.Context, name string, c copies) (copies, error) {
	lines := map[string][][]line{} // by table, for each model
	err := d.use(ctx, name, func(conn *pgx.Conn) error {
		var closed, due int
		var place int64
		if err := conn.QueryRow(ctx, `SELECT count(*) FILTER (WHERE closed_at > 0), min(bucket), (SELECT count(*) FROM due), (SELECT max(place) FROM events)
			FROM buckets`).Scan(&closed, &c.first, &due, &place); err != nil {
			return err
		}
		if closed < c.buckets || due > 0 {
			return fmt.Errorf("the sample has filled %d time buckets instead of %d, and %d deliveries wait", closed, c.buckets, due)
		}
		c.node = place % (1 << bucketBits) >> seqBits << seqBits
		const of = `place IN (SELECT place FROM outcomes WHERE state = 'delivered' ORDER BY place LIMIT `
		limit := strconv.Itoa(modelEvents) + `)`
		var tables []*stored
		for _, table := range []string{"events", "outcomes", "keys"} {
			t, err := rowsOf(ctx, conn, table, of+limit)
			if err != nil {
				return err
			}
			tables = append(tables, t)
		}
		events := tables[0]
		for place, rows := range events.rows {
			at, err := strconv.ParseInt(events.field(rows[0], "at"), 10, 64)
			if err != nil {
				return err
			}
			for _, t := range tables {
				lines[t.name] = append(lines[t.name], t.lines(place, at, events.field(rows[0], "ymid"), events.field(rows[0], "telegram_id")))
			}
		}
		for b := range c.buckets {
			opened := c.opened(uint64(b))
			if _, err := conn.Exec(ctx, `UPDATE buckets SET opened_at = $2, closed_at = $3 WHERE bucket = $1`, c.first+int64(b), opened.UnixMilli(),
				opened.Add(bucketSpan).UnixMilli()); err != nil {
				return err
			}
		}
		_, err := conn.Exec(ctx, `TRUNCATE events, outcomes, keys`)
		return err
	})
	if err != nil {
		return c, err
	}
	var wg sync.WaitGroup
	errs := make([]error, 0, len(lines))
	var mu sync.Mutex // guards errs
	for table, models := range lines {
		wg.Go(func() {
			err := d.use(ctx, name, func(conn *pgx.Conn) error {
				_, err := conn.PgConn().CopyFrom(ctx, &copier{copies: &c, models: models}, `COPY `+table+` FROM STDIN`)
				return err
			})
			if err != nil {
				mu.Lock()
				errs = append(errs, fmt.Errorf("copy %s: %w", table, err))
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return c, errors.Join(errs...)
}

// copier reads as the rows of one table of all copies.
type copier struct {
	*copies
	models [][]line
	n      uint64 // the next event
	b      []byte // what nobody has read yet
	buffer []byte
}

// Read implements io.Reader.
func (c *copier) Read(p []byte) (int, error) {
	for len(c.b) == 0 {
		if c.n == c.events {
			return 0, io.EOF
		}
		c.buffer = c.buffer[:0]
		for ; c.n < c.events && len(c.buffer) < 1<<16; c.n++ {
			e := c.event(c.n)
			for _, l := range c.models[c.n%uint64(len(c.models))] {
				c.buffer = l.append(c.buffer, e)
			}
		}
		c.b = c.buffer
	}
	n := copy(p, c.b)
	c.b = c.b[n:]
	return n, nil
}

// checkCopies asks a node for some of the copies, which have to look to it like events that it has taken and delivered.
func (r *rig) checkCopies(ctx context.Context, f filled, c copies) error {
	t, err := r.onDatabase(ctx, f.name, f.secret, 1)
	if err != nil {
		return err
	}
	for _, n := range []uint64{0, c.perBucket(), c.events / 2, c.events - 1} {
		if err == nil {
			err = checkCopy(ctx, &t, c.event(n))
		}
	}
	return errors.Join(err, t.stop())
}

func checkCopy(ctx context.Context, t *target, e copied) error {
	var found struct{ Events []api.Event }
	var story api.Story
	text, err := t.carom.Local(ctx, "/v1/events?ymid="+e.mark)
	if err == nil {
		err = json.Unmarshal([]byte(text), &found)
	}
	if err == nil && len(found.Events) != 1 {
		err = fmt.Errorf("%d events are found", len(found.Events))
	}
	if err == nil {
		text, err = t.carom.Local(ctx, "/v1/events/"+string(found.Events[0].ID))
	}
	if err == nil {
		err = json.Unmarshal([]byte(text), &story)
	}
	if err == nil && (story.Event.YMID != e.mark || story.Event.TelegramID != strconv.FormatUint(e.user, 10) || !story.Event.At.Equal(e.at.UTC().Truncate(time.Millisecond)) ||
		len(story.Deliveries) != 1 || story.Deliveries[0].State != carom.Delivered || len(story.Deliveries[0].Attempts) != 1) {
		err = fmt.Errorf("its story is %s", text)
	}
	if err != nil {
		return fmt.Errorf("the copied event %s: %w", e.mark, err)
	}
	return nil
}

// perEvent is what a filled database stores for each event of a table: bytes of the table, bytes of its indexes, rows.
type perEvent struct{ table, index, rows float64 }

// sizes is that of the tables that belong to events, for so many of them.
func (d *database) sizes(ctx context.Context, name string, events float64) (map[string]perEvent, error) {
	out := map[string]perEvent{}
	for _, table := range []string{"events", "outcomes", "keys"} {
		var s perEvent
		if err := d.query(ctx, name, `SELECT sum(pg_table_size(p.relid))::float8, sum(pg_indexes_size(p.relid))::float8, (SELECT count(*) FROM `+table+`)::float8
			FROM pg_partition_tree('`+table+`') p WHERE p.isleaf`, &s.table, &s.index, &s.rows); err != nil {
			return nil, err
		}
		out[table] = perEvent{s.table / events, s.index / events, s.rows / events}
	}
	return out, nil
}
