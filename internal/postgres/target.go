package postgres

import (
	"context"
	"crypto/sha256"
	"database/sql/driver"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"carom"
	"carom/internal/seal"
	"carom/internal/tables"
)

// Target is a database that a move from a data folder fills. It takes no lease: no node may work on the database until the move has
// ended, nor may another move. One goroutine may use it at a time.
type Target struct {
	s       *Store
	conn    *pgx.Conn // writes, and holds the lock that keeps other moves away
	columns map[string]map[string]targetColumn
}

// targetColumn is how a column is written.
type targetColumn struct {
	kind
	nulls bool
}

// The states of a move, in meta under the key "moving".
const (
	moveEnded    = 0
	moveUnderWay = 1
)

// refuseHalfMoved keeps nodes away from a database that does not have everything yet.
func refuseHalfMoved(tx *tx) error {
	state := 0
	if err := tx.row(`SELECT coalesce(max(value), 0) FROM meta WHERE key = 'moving'`, nil, &state); err != nil {
		return err
	}
	if state == moveUnderWay {
		return fmt.Errorf("a move from a data folder into this database has not ended: run `carom move` again, to its end; until then the data folder is what counts: %w", carom.ErrConflict)
	}
	return nil
}

// OpenTarget connects to the database and makes its tables or brings them up to date. The caller closes it.
//
// It returns carom.ErrInvalid for a URL, a database or rights that cannot be used, carom.ErrConflict while another move writes to it, and
// carom.ErrUnavailable when it cannot be reached now.
func OpenTarget(ctx context.Context, url string, log *slog.Logger) (_ *Target, err error) {
	s, err := aside(ctx, Options{URL: url, Log: log})
	if err != nil {
		return nil, err
	}
	t := &Target{s: s, columns: map[string]map[string]targetColumn{}}
	defer func() {
		if err != nil {
			_ = t.Close() // the first error says more
		}
	}()
	if s.pooled {
		return nil, carom.Invalid("database", "a pooler stands between: name the database itself for the move")
	}
	if err := s.migrate(ctx); err != nil {
		return nil, fmt.Errorf("database: %w", err)
	}
	if t.conn, err = pgx.ConnectConfig(ctx, s.config.Copy()); err != nil {
		return nil, fmt.Errorf("database: %w", translate(err))
	}
	free := false
	if err := t.conn.QueryRow(ctx, `SELECT pg_try_advisory_lock($1)`, int64(lockMove)).Scan(&free); err != nil {
		return nil, fmt.Errorf("database: %w", translate(err))
	}
	if !free {
		return nil, fmt.Errorf("another move writes to this database, or one that was killed a moment ago: wait for its end: %w", carom.ErrConflict)
	}
	return t, nil
}

// Close ends the connections.
func (t *Target) Close() error {
	if t.conn != nil {
		_ = t.conn.Close(context.Background()) // what it did is committed
	}
	return t.s.Close()
}

// Name is what people call the database, without a password.
func (t *Target) Name() string {
	return fmt.Sprintf("postgres://%s:%d/%s", t.s.config.Host, t.s.config.Port, t.s.config.Database)
}

// Begin begins a move from the data folder of that life and key of views, or goes on with it. The key is as the folder has stored it, sealed
// by one of keys. ended says that the move has come to its end before. It returns carom.ErrConflict when nodes work on the database, and
// when it holds what is not from this folder.
func (t *Target) Begin(ctx context.Context, life carom.Incarnation, viewSeal []byte, keys *seal.Ring) (ended bool, err error) {
	err = t.transact(ctx, func(tx pgx.Tx) error {
		for _, lock := range []int64{lockBuckets, lockNodes} {
			if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, lock); err != nil {
				return err
			}
		}
		var state, from, nodes, some int64
		var have []byte
		if err := tx.QueryRow(ctx, `SELECT coalesce((SELECT value FROM meta WHERE key = 'moving'), -1), coalesce((SELECT value FROM meta WHERE key = 'moved_from'), 0),
			(SELECT value FROM secrets WHERE name = 'view_seal'), (SELECT count(*) FROM nodes WHERE no > 0), (SELECT count(*) FROM buckets) + (SELECT count(*) FROM objects)`).Scan(
			&state, &from, &have, &nodes, &some); err != nil {
			return err
		}
		switch {
		case state < 0 && nodes+some > 0:
			return fmt.Errorf("the database %s is not empty: a node has worked on it, or does. Make an empty one to move into: %w", t.Name(), carom.ErrConflict)
		case state >= 0 && (from != int64(life) || !sameViewSeal(keys, have, viewSeal)):
			return fmt.Errorf("the database %s holds a move from another data folder, or from this one before it was restored from a copy. Make an empty one to move into: %w", t.Name(), carom.ErrConflict)
		case state == moveEnded && nodes > 0:
			return fmt.Errorf("nodes have worked on the database %s since everything was moved there: it holds more than the data folder, and nothing can be moved or compared any more: %w", t.Name(), carom.ErrConflict)
		case state >= 0:
			if ended = state == moveEnded; ended {
				return nil
			}
			if _, err := tx.Exec(ctx, `UPDATE secrets SET value = $1 WHERE name = 'view_seal'`, viewSeal); err != nil { // the folder may have got another key since
				return err
			}
			return unmakeBuckets(ctx, tx)
		}
		if _, err := tx.Exec(ctx, `INSERT INTO meta (key, value) VALUES ('moving', $1), ('moved_from', $2)`, moveUnderWay, int64(life)); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `INSERT INTO secrets (name, value) VALUES ('view_seal', $1)`, viewSeal)
		return err
	})
	return ended, err
}

// sameViewSeal says whether two rows hold the same key of views. Sealed twice, they differ.
func sameViewSeal(keys *seal.Ring, a, b []byte) bool {
	one, err := tables.OpenViewSeal(keys, a)
	other, otherErr := tables.OpenViewSeal(keys, b)
	return err == nil && otherErr == nil && one == other
}

// unmakeBuckets removes the time buckets that an interrupted [Target.End] has made: the folder may get one of that number yet.
func unmakeBuckets(ctx context.Context, tx pgx.Tx) error {
	rows, err := tx.Query(ctx, `DELETE FROM buckets WHERE life = 0 RETURNING bucket`)
	if err != nil {
		return err
	}
	made, err := pgx.CollectRows(rows, pgx.RowTo[int32])
	for _, bucket := range made {
		for _, table := range partitioned {
			if err == nil {
				_, err = tx.Exec(ctx, fmt.Sprintf(`DROP TABLE IF EXISTS %s_%d`, table, bucket))
			}
		}
	}
	return err
}

// Part is what a move brings in one transaction: some rows of one table. A part that is brought again takes the place of what it brought
// before.
type Part struct {
	Name    string // "events/12"
	Version string // of the rows in the folder
	Table   string
	Columns []string // in the order of the values of Rows
	Key     []string // those that name a row
	Where   string   // which rows of the table are the part's; empty: all of them
	Bucket  uint32   // of the partition that the part is; 0: it is none
	// Merge puts the rows, which are gathered in a temporary table named staged, into the table; with it, nothing is deleted before.
	// Without Rows it is a statement that works on what is there.
	Merge string
	Rows  func(each func([]driver.Value) error) error
}

// Brought is what is known of a part that was brought.
type Brought struct {
	Version string
	Rows    int64
	Sum     int64 // over all columns of all rows: the same in any order
	Checked bool  // the database was found to hold the same
}

// Brought says which parts have been brought.
func (t *Target) Brought(ctx context.Context) (map[string]Brought, error) {
	out := map[string]Brought{}
	return out, readRows(ctx, t.s.r, func(scan func(...any) error) error {
		var name string
		var b Brought
		err := scan(&name, &b.Version, &b.Rows, &b.Sum, &b.Checked)
		out[name] = b
		return err
	}, `SELECT unit, version, rows, sum, checked = 1 FROM moved`)
}

// Bring writes a part, in one transaction. Interrupted before its end, nothing of it is there.
func (t *Target) Bring(ctx context.Context, p *Part) (Brought, error) {
	out := Brought{Version: p.Version}
	err := t.transact(ctx, func(tx pgx.Tx) (err error) {
		// The rows come in bulk, and a part that was not brought is brought again: what a lost one costs is known.
		for _, statement := range append([]string{`SET LOCAL maintenance_work_mem = '128MB'`, `SET LOCAL work_mem = '64MB'`}, p.before()...) {
			if _, err := tx.Exec(ctx, statement); err != nil {
				return fmt.Errorf("%.60s…: %w", statement, err)
			}
		}
		if p.Rows != nil {
			if out.Rows, out.Sum, err = t.copyRows(ctx, tx, p); err != nil {
				return err
			}
		}
		for _, statement := range p.after() {
			if _, err := tx.Exec(ctx, statement); err != nil {
				return fmt.Errorf("%.60s…: %w", statement, err)
			}
		}
		_, err = tx.Exec(ctx, `INSERT INTO moved (unit, version, rows, sum) VALUES ($1, $2, $3, $4)
			ON CONFLICT (unit) DO UPDATE SET version = excluded.version, rows = excluded.rows, sum = excluded.sum, checked = 0`, p.Name, p.Version, out.Rows, out.Sum)
		return err
	})
	if err != nil {
		return out, fmt.Errorf("move %s: %w", p.Name, err)
	}
	return out, nil
}

// Checked notes that the database was found to hold what was brought.
func (t *Target) Checked(ctx context.Context, p *Part) error {
	_, err := t.conn.Exec(ctx, `UPDATE moved SET checked = 1 WHERE unit = $1`, p.Name)
	return translate(err)
}

// Forget deletes a part that the folder has dropped since it was brought.
func (t *Target) Forget(ctx context.Context, p *Part) error {
	err := t.transact(ctx, func(tx pgx.Tx) error {
		statements := p.before()
		if p.Bucket != 0 {
			statements = statements[:1]
		}
		for _, statement := range statements {
			if _, err := tx.Exec(ctx, statement); err != nil {
				return err
			}
		}
		_, err := tx.Exec(ctx, `DELETE FROM moved WHERE unit = $1`, p.Name)
		return err
	})
	if err != nil {
		return fmt.Errorf("forget %s: %w", p.Name, err)
	}
	return nil
}

func (p *Part) partition() string { return fmt.Sprintf("%s_%d", p.Table, p.Bucket) }

// into is the table that the rows are copied to.
func (p *Part) into() string {
	switch {
	case p.Merge != "":
		return "staged"
	case p.Bucket != 0:
		return p.partition()
	}
	return p.Table
}

// before are the statements that make room for the rows.
func (p *Part) before() []string {
	switch {
	case p.Merge != "" && p.Rows == nil:
		return nil
	case p.Merge != "":
		return []string{`CREATE TEMPORARY TABLE staged ON COMMIT DROP AS SELECT ` + quotedColumns(p.Columns) + ` FROM ` + p.Table + ` WITH NO DATA`}
	case p.Bucket != 0:
		return []string{
			`DROP TABLE IF EXISTS ` + p.partition(),
			`CREATE TABLE ` + p.partition() + ` (LIKE ` + p.Table + ` INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING STORAGE)`,
		}
	}
	return []string{`DELETE FROM ` + p.Table + p.where()}
}

// after are the statements that finish what was copied. The indexes of a partition are built when it is attached, of all rows at once.
func (p *Part) after() []string {
	switch {
	case p.Merge != "":
		return []string{p.Merge}
	case p.Bucket != 0:
		name, from, to := p.partition(), bucketStart(p.Bucket), bucketStart(p.Bucket+1)
		return []string{
			fmt.Sprintf(`ALTER TABLE %[1]s ADD CONSTRAINT %[1]s_range CHECK (place >= %[2]d AND place < %[3]d)`, name, from, to),
			fmt.Sprintf(`ALTER TABLE %s ATTACH PARTITION %s FOR VALUES FROM (%d) TO (%d)`, p.Table, name, from, to),
			fmt.Sprintf(`ALTER TABLE %[1]s DROP CONSTRAINT %[1]s_range`, name),
		}
	}
	return nil
}

func (p *Part) where() string {
	switch {
	case p.Bucket != 0:
		return fmt.Sprintf(` WHERE place >= %d AND place < %d`, bucketStart(p.Bucket), bucketStart(p.Bucket+1))
	case p.Where != "":
		return ` WHERE ` + p.Where
	}
	return ""
}

func quotedColumns(columns []string) string {
	list := make([]string, len(columns))
	for i, c := range columns {
		list[i] = `"` + c + `"`
	}
	return strings.Join(list, ", ")
}

// folderNode makes the folder a node among others, which has ended long ago: feeds follow events node by node. It needs a number of its
// own in place of a life, for its ids have the life of their bucket.
const folderNode = `INSERT INTO nodes (no, life, name, version, schema, began_at, seen_at, ended_at, taken_at) VALUES (0, 0, '', '', 0, 1, 1, 1, 1) ON CONFLICT (no) DO NOTHING`

// The apps that opened views with ymids of their own: no node looks for such views of any other app.
var ownOfFolder = []string{
	`INSERT INTO own_ymids (app, known) SELECT DISTINCT app, 1 FROM views WHERE own = 1 ON CONFLICT (app) DO NOTHING`,
	`INSERT INTO meta (key, value) SELECT 'own_ymids', 1 WHERE EXISTS (SELECT 1 FROM own_ymids) ON CONFLICT (key) DO NOTHING`,
}

// End makes the database one that nodes may work on: its numbers go on behind those of the folder, its next time bucket is open, and it
// knows what nodes find in the tables of their own that the folder has not.
// newest are the newest numbers that the folder has given out, by table.
func (t *Target) End(ctx context.Context, newest map[string]int64) error {
	last := 0
	if err := t.s.lanes.QueryRowContext(ctx, `SELECT coalesce(max(bucket), 0) FROM buckets WHERE life <> 0`).Scan(&last); err != nil {
		return translate(err)
	}
	next := uint32(last) + 1
	if err := t.s.makeBuckets(ctx, next+bucketsAhead-1); err != nil {
		return err
	}
	if err := t.s.openBucket(ctx, next); err != nil {
		return err
	}
	return t.transact(ctx, func(tx pgx.Tx) error {
		for table, no := range newest {
			if _, err := tx.Exec(ctx, `SELECT setval(pg_get_serial_sequence($1, 'no'), greatest($2, 1), $2 > 0)`, table, no); err != nil {
				return err
			}
		}
		for _, statement := range append([]string{folderNode}, ownOfFolder...) {
			if _, err := tx.Exec(ctx, statement); err != nil {
				return err
			}
		}
		_, err := tx.Exec(ctx, `UPDATE meta SET value = $1 WHERE key = 'moving'`, moveEnded)
		return err
	})
}

// Story is [Store.Story].
func (t *Target) Story(ctx context.Context, id carom.EventID) (*carom.Story, error) {
	return t.s.Story(ctx, id)
}

// CheckLedger is [Store.CheckLedger].
func (t *Target) CheckLedger(ctx context.Context) (carom.LedgerReport, error) {
	return t.s.CheckLedger(ctx)
}

// Lines reads a column of text, for what is compared within the database.
func (t *Target) Lines(ctx context.Context, query string) (out []string, err error) {
	return out, readRows(ctx, t.s.r, func(scan func(...any) error) error {
		var line string
		err := scan(&line)
		out = append(out, line)
		return err
	}, query)
}

func (t *Target) transact(ctx context.Context, f func(pgx.Tx) error) error {
	return translate(pgx.BeginFunc(ctx, t.conn, f))
}

// kindsOf finds out how the columns of a table are written.
func (t *Target) kindsOf(ctx context.Context, table string, names []string) ([]targetColumn, error) {
	known := t.columns[table]
	if known == nil {
		known = map[string]targetColumn{}
		if err := readRows(ctx, t.s.r, func(scan func(...any) error) error {
			var name string
			var oid int64
			var c targetColumn
			if err := scan(&name, &oid, &c.nulls); err != nil {
				return err
			}
			for _, k := range []kind{kindInt2, kindInt4, kindInt8, kindText, kindBytes, kindUUID} {
				if int64(k.elem) == oid {
					c.kind = k
				}
			}
			known[name] = c
			return nil
		}, `SELECT attname::text, atttypid::bigint, NOT attnotnull FROM pg_attribute WHERE attrelid = to_regclass(?) AND attnum > 0 AND NOT attisdropped`, table); err != nil {
			return nil, err
		}
		t.columns[table] = known
	}
	out := make([]targetColumn, len(names))
	for i, name := range names {
		c, there := known[name]
		if !there || c.sql == "" {
			return nil, fmt.Errorf("the table %s has no column %s that can be moved: %w", table, name, carom.ErrInvalid)
		}
		out[i] = c
	}
	return out, nil
}

// copyRows copies the rows of a part. While they are sent, more are read.
func (t *Target) copyRows(ctx context.Context, tx pgx.Tx, p *Part) (rows, sum int64, err error) {
	columns, err := t.kindsOf(ctx, p.Table, p.Columns)
	if err != nil {
		return 0, 0, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	enc := &encoder{columns: columns}
	chunks := make(chan []byte, copyAhead)
	read := make(chan error, 1)
	go func() {
		defer close(chunks)
		send := func() error {
			select {
			case chunks <- enc.buf:
				enc.buf = make([]byte, 0, cap(enc.buf))
				return nil
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		enc.buf = append(make([]byte, 0, copyChunk+copyChunk/4), copyHeader...)
		err := p.Rows(func(v []driver.Value) error {
			if err := enc.row(v); err != nil {
				return err
			}
			if len(enc.buf) < copyChunk {
				return nil
			}
			return send()
		})
		if err == nil {
			enc.buf = binary.BigEndian.AppendUint16(enc.buf, 0xffff)
			err = send()
		}
		read <- err
	}()
	freeze := ""
	if p.Bucket != 0 && p.Merge == "" { // its table was made in this transaction
		freeze = ", FREEZE"
	}
	_, copyErr := tx.Conn().PgConn().CopyFrom(ctx, &chunkReader{chunks: chunks, failed: func() error {
		err := <-read
		read <- err
		return err
	}}, fmt.Sprintf(`COPY %s (%s) FROM STDIN (FORMAT binary%s)`, p.into(), quotedColumns(p.Columns), freeze))
	cancel() // if the database refused, nobody reads on
	readErr := <-read
	if copyErr != nil && (readErr == nil || errors.Is(readErr, context.Canceled)) {
		return 0, 0, copyErr
	}
	return enc.rows, int64(enc.sum), readErr
}

const (
	copyChunk  = 1 << 20
	copyAhead  = 4
	copyHeader = "PGCOPY\n\xff\r\n\x00\x00\x00\x00\x00\x00\x00\x00\x00"
)

// chunkReader is a stream of chunks. It ends with the error of who makes them.
type chunkReader struct {
	chunks <-chan []byte
	left   []byte
	failed func() error // after the last chunk
}

func (r *chunkReader) Read(p []byte) (int, error) {
	for len(r.left) == 0 {
		chunk, more := <-r.chunks
		if !more {
			if err := r.failed(); err != nil {
				return 0, err
			}
			return 0, io.EOF
		}
		r.left = chunk
	}
	n := copy(p, r.left)
	r.left = r.left[n:]
	return n, nil
}

// encoder writes rows in the binary format of COPY, and adds up what they hold: of each row the first 64 bits of a SHA-256 over its
// columns as text, joined by exclusive or. The database can do the same, see sumOf.
type encoder struct {
	columns []targetColumn
	buf     []byte
	text    []byte
	rows    int64
	sum     uint64
}

// What stands between the columns of a row's text, and for NULL.
const (
	betweenColumns = 0x1f
	noValue        = 0x1e
)

func (e *encoder) row(v []driver.Value) error {
	if len(v) != len(e.columns) {
		return fmt.Errorf("a row has %d columns, not %d: %w", len(v), len(e.columns), carom.ErrInvalid)
	}
	e.buf = binary.BigEndian.AppendUint16(e.buf, uint16(len(v)))
	e.text = e.text[:0]
	for i, value := range v {
		if i > 0 {
			e.text = append(e.text, betweenColumns)
		}
		if value == nil {
			e.buf = binary.BigEndian.AppendUint32(e.buf, 0xffffffff)
			e.text = append(e.text, noValue)
			continue
		}
		if err := e.value(e.columns[i].kind, value); err != nil {
			return fmt.Errorf("column %d: %w", i+1, err)
		}
	}
	e.sum ^= sumOfText(e.text)
	e.rows++
	return nil
}

func sumOfText(text []byte) uint64 {
	sum := sha256.Sum256(text)
	return binary.BigEndian.Uint64(sum[:])
}

func (e *encoder) value(k kind, value driver.Value) error {
	switch v := value.(type) {
	case int64:
		switch k {
		case kindInt2:
			e.buf = binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint32(e.buf, 2), uint16(v))
			v = int64(int16(v))
		case kindInt4:
			e.buf = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(e.buf, 4), uint32(v))
			v = int64(int32(v))
		case kindInt8:
			e.buf = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint32(e.buf, 8), uint64(v))
		default:
			return fmt.Errorf("a number, where the database has %s: %w", k.sql, carom.ErrInvalid)
		}
		e.text = strconv.AppendInt(e.text, v, 10)
		return nil
	case string:
		if k == kindText {
			v = clean(v)
			e.buf = append(binary.BigEndian.AppendUint32(e.buf, uint32(len(v))), v...)
			e.text = append(e.text, v...)
			return nil
		}
		return e.value(k, []byte(v))
	case []byte:
		if k == kindText {
			return e.value(k, string(v))
		}
		if k == kindBytes || k == kindUUID && len(v) == 16 {
			e.buf = append(binary.BigEndian.AppendUint32(e.buf, uint32(len(v))), v...)
			e.text = hex.AppendEncode(e.text, v)
			return nil
		}
	}
	return fmt.Errorf("a %T, where the database has %s: %w", value, k.sql, carom.ErrInvalid)
}

// sumExpr is what encoder adds up of a row, as the database computes it.
func sumExpr(names []string, columns []targetColumn) string {
	return `('x' || left(encode(sha256(convert_to(` + textExpr(names, columns) + `, 'UTF8')), 'hex'), 16))::bit(64)::bigint`
}

// textExpr is a row's text. No value holds the text that stands for NULL.
func textExpr(names []string, columns []targetColumn) string {
	list := make([]string, len(columns))
	for i, c := range columns {
		list[i] = `"` + names[i] + `"`
		switch c.kind {
		case kindBytes:
			list[i] = `encode(` + list[i] + `, 'hex')`
		case kindUUID:
			list[i] = `encode(uuid_send(` + list[i] + `), 'hex')`
		}
		if c.nulls {
			list[i] = fmt.Sprintf(`coalesce(%s::text, chr(%d))`, list[i], noValue)
		}
	}
	return fmt.Sprintf(`concat_ws(chr(%d), %s)`, betweenColumns, strings.Join(list, ", "))
}

// Sum adds up a part as the database has it.
func (t *Target) Sum(ctx context.Context, p *Part) (b Brought, err error) {
	columns, err := t.kindsOf(ctx, p.Table, p.Columns)
	if err != nil {
		return b, err
	}
	err = t.s.r.QueryRowContext(ctx, `SELECT count(*), coalesce(bit_xor(`+sumExpr(p.Columns, columns)+`), 0) FROM `+p.Table+p.where()).Scan(&b.Rows, &b.Sum)
	if err != nil {
		return b, fmt.Errorf("add up %s: %w", p.Name, translate(err))
	}
	return b, nil
}

// SumRows adds up a part as the folder has it now.
func (t *Target) SumRows(ctx context.Context, p *Part) (b Brought, err error) {
	columns, err := t.kindsOf(ctx, p.Table, p.Columns)
	if err != nil {
		return b, err
	}
	e := &encoder{columns: columns}
	if err := p.Rows(func(v []driver.Value) error {
		e.buf = e.buf[:0]
		return e.row(v)
	}); err != nil {
		return b, fmt.Errorf("read %s: %w", p.Name, err)
	}
	return Brought{Version: p.Version, Rows: e.rows, Sum: int64(e.sum)}, nil
}

// Differences says which rows of a part are not the same in the folder and in the database, at most limit of them: "events/12: place
// 13194139533313 has another ymid".
func (t *Target) Differences(ctx context.Context, p *Part, limit int) (out []string, err error) {
	columns, err := t.kindsOf(ctx, p.Table, p.Columns)
	if err != nil {
		return nil, err
	}
	key := func(prefix string) string {
		list := make([]string, len(p.Key))
		for i, k := range p.Key {
			list[i] = fmt.Sprintf(`%s"%s"`, prefix, k)
		}
		return strings.Join(list, ", ")
	}
	var named, differs []string
	for _, k := range p.Key {
		named = append(named, fmt.Sprintf(`'%s ' || coalesce(f."%s", d."%s")::text`, k, k, k))
	}
	for _, c := range p.Columns {
		differs = append(differs, fmt.Sprintf(`CASE WHEN f."%[1]s" IS DISTINCT FROM d."%[1]s" THEN '%[1]s' END`, c))
	}
	q := *p
	q.Merge = `SELECT 1` // only so that the rows are staged
	err = t.transact(ctx, func(tx pgx.Tx) error {
		for _, statement := range q.before() {
			if _, err := tx.Exec(ctx, statement); err != nil {
				return err
			}
		}
		if _, _, err := t.copyRows(ctx, tx, &q); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, `SELECT concat_ws(', ', `+strings.Join(named, ", ")+`), f."`+p.Key[0]+`" IS NULL, d."`+p.Key[0]+`" IS NULL, concat_ws(', ', `+strings.Join(differs, ", ")+`)
			FROM staged f FULL JOIN (SELECT `+quotedColumns(p.Columns)+` FROM `+p.Table+p.where()+`) d USING (`+key("")+`)
			WHERE f."`+p.Columns[0]+`" IS NULL OR d."`+p.Columns[0]+`" IS NULL OR `+sumExpr(prefixed("f", p.Columns), columns)+` <> `+sumExpr(prefixed("d", p.Columns), columns)+`
			ORDER BY `+key("")+` LIMIT $1`, limit)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var what, which string
			var onlyThere, onlyHere bool
			if err := rows.Scan(&what, &onlyThere, &onlyHere, &which); err != nil {
				return err
			}
			switch {
			case onlyThere:
				out = append(out, fmt.Sprintf("%s: the database has a row that the folder has not: %s", p.Name, what))
			case onlyHere:
				out = append(out, fmt.Sprintf("%s: the database lacks a row: %s", p.Name, what))
			default:
				out = append(out, fmt.Sprintf("%s: the row %s differs in %s", p.Name, what, which))
			}
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("compare %s: %w", p.Name, err)
	}
	return out, nil
}

// prefixed are columns of a relation, for a place where they are quoted once more.
func prefixed(relation string, columns []string) []string {
	out := make([]string, len(columns))
	for i, c := range columns {
		out[i] = relation + `"."` + c
	}
	return out
}

// MissingKeys counts dedupe keys of a part that the database does not know as well as the folder does: one that is not there, that
// leads to an older event, or to the same with other facts.
func (t *Target) MissingKeys(ctx context.Context, p *Part) (n int64, err error) {
	q := *p
	q.Merge = `SELECT 1` // only so that the rows are staged
	err = t.transact(ctx, func(tx pgx.Tx) error {
		for _, statement := range append([]string{`SET LOCAL work_mem = '64MB'`}, q.before()...) {
			if _, err := tx.Exec(ctx, statement); err != nil {
				return err
			}
		}
		if _, _, err := t.copyRows(ctx, tx, &q); err != nil {
			return err
		}
		return tx.QueryRow(ctx, `SELECT count(*) FROM staged f LEFT JOIN keys k ON k.sum = f.sum
			WHERE k.sum IS NULL OR k.place < f.place OR k.place = f.place AND (k.at, k.agreement) <> (f.at, f.agreement) OR k.until < f.until AND k.place = f.place`).Scan(&n)
	})
	if err != nil {
		return 0, fmt.Errorf("compare %s: %w", p.Name, err)
	}
	return n, nil
}
