package postgres

import (
	"encoding/binary"
	"fmt"
	"strings"
	"unicode/utf8"
)

// kind is the type of a column, as PostgreSQL numbers types.
type kind struct {
	sql   string // of one element
	elem  uint32
	array uint32
}

// The kinds that the committer writes.
var (
	kindInt2  = kind{"smallint", 21, 1005}
	kindInt4  = kind{"integer", 23, 1007}
	kindInt8  = kind{"bigint", 20, 1016}
	kindText  = kind{"text", 25, 1009}
	kindBytes = kind{"bytea", 17, 1001}
	kindUUID  = kind{"uuid", 2950, 2951}
)

// rows are the rows that one statement writes: an array for each column, in PostgreSQL's binary format, which unnest makes rows
// of again. Written by hand it costs a tenth of what it does through reflection. A row is given value by value, in the order of
// the columns; the memory is used again.
type rows struct {
	st   *statement
	cols []column
	at   int // the column of the next value
	n    int // whole rows
}

type column struct {
	buf   []byte
	nulls bool
}

// arrayHeader is the number of dimensions, whether there are nulls, the kind of the elements, how many there are, and the number
// of the first.
const arrayHeader = 20

func newRows(st *statement) *rows {
	r := &rows{st: st, cols: make([]column, len(st.params))}
	r.reset()
	return r
}

func (r *rows) reset() {
	for i := range r.cols {
		c := &r.cols[i]
		if cap(c.buf) > maxKept {
			c.buf = nil
		}
		c.buf, c.nulls = append(c.buf[:0], make([]byte, arrayHeader)...), false
	}
	r.at, r.n = 0, 0
}

// maxKept is how large a column's memory may be to be kept: a batch of large bodies does not stay.
const maxKept = 1 << 20

// next returns the column that the next value goes to.
func (r *rows) next() *column {
	c := &r.cols[r.at]
	if r.at++; r.at == len(r.cols) {
		r.at = 0
		r.n++
	}
	return c
}

func (r *rows) int2(v int) {
	c := r.next()
	c.buf = binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint32(c.buf, 2), uint16(v))
}

func (r *rows) int4(v int) {
	c := r.next()
	c.buf = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(c.buf, 4), uint32(v))
}

func (r *rows) int8(v int64) {
	c := r.next()
	c.buf = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint32(c.buf, 8), uint64(v))
}

func (r *rows) text(v string) {
	c := r.next()
	v = clean(v)
	c.buf = append(binary.BigEndian.AppendUint32(c.buf, uint32(len(v))), v...)
}

// bytes writes a value that is NULL when it is nil.
func (r *rows) bytes(v []byte) {
	if v == nil {
		r.null()
		return
	}
	c := r.next()
	c.buf = append(binary.BigEndian.AppendUint32(c.buf, uint32(len(v))), v...)
}

func (r *rows) uuid(v [16]byte) {
	c := r.next()
	c.buf = append(binary.BigEndian.AppendUint32(c.buf, 16), v[:]...)
}

func (r *rows) null() {
	c := r.next()
	c.nulls = true
	c.buf = binary.BigEndian.AppendUint32(c.buf, 0xffffffff)
}

// textOrNull writes NULL unless some.
func (r *rows) textOrNull(v string, some bool) {
	if !some {
		r.null()
		return
	}
	r.text(v)
}

// values are the finished arrays. They point into the rows' memory.
func (r *rows) values() [][]byte {
	out := make([][]byte, len(r.cols))
	for i := range r.cols {
		c := &r.cols[i]
		b := c.buf
		binary.BigEndian.PutUint32(b[8:], r.st.params[i].elem)
		if r.n == 0 {
			binary.BigEndian.PutUint32(b, 0)
			binary.BigEndian.PutUint32(b[4:], 0)
			out[i] = b[:12] // an array without dimensions
			continue
		}
		nulls := uint32(0)
		if c.nulls {
			nulls = 1
		}
		binary.BigEndian.PutUint32(b, 1)
		binary.BigEndian.PutUint32(b[4:], nulls)
		binary.BigEndian.PutUint32(b[12:], uint32(r.n))
		binary.BigEndian.PutUint32(b[16:], 1)
		out[i] = b
	}
	return out
}

// clean makes a text one that PostgreSQL takes: it refuses NUL, and bytes that are not UTF-8. Events hold neither; what was
// refused, and what endpoints answer, may.
func clean(v string) string {
	if utf8.ValidString(v) && strings.IndexByte(v, 0) < 0 {
		return v
	}
	return strings.ReplaceAll(strings.ToValidUTF8(v, "\uFFFD"), "\x00", "\u2400")
}

// statement is a statement of the committer: what it says, and the kinds of its parameters. Those of one that writes rows are
// arrays.
type statement struct {
	name   string // under which a connection keeps it prepared
	sql    string
	params []kind
	arrays bool
}

// oids are the types of the parameters.
func (st *statement) oids() []uint32 {
	out := make([]uint32, len(st.params))
	for i, k := range st.params {
		out[i] = k.elem
		if st.arrays {
			out[i] = k.array
		}
	}
	return out
}

// many makes a statement that is given rows: {rows} in its text stands for them, as a relation named r with the columns that
// are listed, each with its kind: "place bigint, app text". The arrays are unnested where a query lists its columns, which the
// database does row by row; in a FROM clause it would store each column first.
func many(name, columns, sql string) *statement {
	st := &statement{name: "carom_" + name, arrays: true}
	var names, arrays []string
	for i, column := range strings.Split(columns, ",") {
		part := strings.Fields(column)
		k := kindNamed(part[1])
		st.params = append(st.params, k)
		names = append(names, part[0])
		arrays = append(arrays, fmt.Sprintf("unnest($%d::%s[]) AS %s", i+1, k.sql, part[0]))
	}
	st.sql = strings.NewReplacer(
		"{rows}", "(SELECT "+strings.Join(arrays, ", ")+") AS r",
		"{names}", strings.Join(names, ", "),
	).Replace(sql)
	return st
}

// one makes a statement with single parameters of the given kinds.
func one(name, sql string, params ...kind) *statement {
	return &statement{name: "carom_" + name, sql: sql, params: params}
}

func kindNamed(name string) kind {
	for _, k := range []kind{kindInt2, kindInt4, kindInt8, kindText, kindBytes, kindUUID} {
		if k.sql == name {
			return k
		}
	}
	panic("a kind of column that is not known: " + name) // a statement of ours is misspelt
}
