package postgres

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/jackc/pgx/v5/pgconn"
)

// link is the committer's connection. It speaks the protocol itself, so that a commit is few round trips: what one step of it
// needs goes out at once, and the answers are read one after another.
type link struct {
	conn   *pgconn.PgConn
	pooled bool        // a pooler stands between: nothing can be kept prepared
	limit  *statement  // what a transaction begins with then
	warned atomic.Bool // the database warned since this was last cleared
}

// query is one statement of an exchange, with its parameters in binary format. row is given each row of its answer, whose
// values are in binary format too and gone when it returns; affected, how many rows it changed. Both may be nil.
type query struct {
	st       *statement
	params   [][]byte
	row      func(v [][]byte) error
	affected func(n int64) error
}

var (
	allBinary = []int16{1}

	begin    = one("begin", "BEGIN ISOLATION LEVEL READ COMMITTED") // whatever the role's default is
	commit   = one("commit", "COMMIT")
	rollback = one("rollback", "ROLLBACK")
)

// errUncommitted says that the database rolled back where it was told to commit.
var errUncommitted = errors.New("the transaction was rolled back")

// prepare has the connection keep the statements, unless it cannot.
func (l *link) prepare(ctx context.Context, statements ...*statement) (err error) {
	if l.pooled {
		return nil
	}
	p := l.conn.StartPipeline(ctx)
	defer func() {
		if closing := p.Close(); err == nil {
			err = closing
		}
	}()
	for _, st := range statements {
		p.SendPrepare(st.name, st.sql, st.oids())
	}
	if err := p.Sync(); err != nil {
		return err
	}
	for _, st := range statements {
		if _, err := p.GetResults(); err != nil {
			return fmt.Errorf("%s: %w", st.name, err)
		}
	}
	return nil
}

// exchange runs the queries in their order, in one round trip. It returns the first error; those behind it were not run then.
// After an error that is none of the database's own, or when ctx ends, the connection is of no use any more.
func (l *link) exchange(ctx context.Context, queries ...query) (err error) {
	p := l.conn.StartPipeline(ctx)
	defer func() {
		if closing := p.Close(); err == nil {
			err = closing
		}
	}()
	for _, q := range queries {
		if l.pooled {
			p.SendQueryParams(q.st.sql, q.params, q.st.oids(), allBinary, allBinary)
		} else {
			p.SendQueryPrepared(q.st.name, q.params, allBinary, allBinary)
		}
	}
	if err := p.Sync(); err != nil {
		return err
	}
	for i := range queries {
		if err := answer(p, &queries[i]); err != nil {
			return err
		}
	}
	return nil
}

// answer reads the answer to one query.
func answer(p *pgconn.Pipeline, q *query) error {
	results, err := p.GetResults()
	if err != nil {
		return fmt.Errorf("%s: %w", q.st.name, err)
	}
	reader, ok := results.(*pgconn.ResultReader)
	if !ok {
		return fmt.Errorf("%s: the database answers with %T", q.st.name, results)
	}
	var failed error
	for reader.NextRow() {
		if q.row != nil && failed == nil {
			failed = q.row(reader.Values())
		}
	}
	tag, err := reader.Close()
	if err = errors.Join(failed, err); err != nil {
		return fmt.Errorf("%s: %w", q.st.name, err)
	}
	if q.st == commit && tag.String() != "COMMIT" {
		return errUncommitted
	}
	if q.affected != nil {
		return q.affected(tag.RowsAffected())
	}
	return nil
}

// alive says whether the connection can still be used.
func (l *link) alive() bool { return l != nil && !l.conn.IsClosed() }

// Values of an answer.

func int8Of(v []byte) int64 {
	switch len(v) {
	case 8:
		return int64(binary.BigEndian.Uint64(v))
	case 4:
		return int64(int32(binary.BigEndian.Uint32(v)))
	case 2:
		return int64(int16(binary.BigEndian.Uint16(v)))
	}
	return 0 // NULL counts as 0
}

func sumOf(v []byte) (sum [16]byte) {
	if len(v) == 16 {
		sum = [16]byte(v)
	}
	return sum
}

// Parameters that are no arrays.

func int8Param(v int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(v)) }
func int4Param(v int) []byte   { return binary.BigEndian.AppendUint32(nil, uint32(v)) }
