package main

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"carom"
	"carom/internal/store"

	_ "modernc.org/sqlite" // the driver the books are read with
)

// finding is one promise that a rebuilt folder breaks.
type finding struct {
	line int // of the ledger
	text string
}

// opened is what opening one rebuilt folder came to.
type opened struct {
	findings  []finding
	recovered store.Recovered
}

// examine writes a folder that a disk could hold, opens it with the store and checks it. acked are the entries that were
// acknowledged before the cut, known the ymids of all that were sent.
func examine(dir string, content map[string][]byte, acked []entry, known map[string]bool) (o opened, err error) {
	if err := fill(dir, content); err != nil {
		return o, err
	}
	s, err := store.Open(dir, store.Options{})
	if err != nil {
		o.add(lineOpen, "it does not open: %v", err)
		return o, nil
	}
	defer func() {
		if cerr := s.Close(); cerr != nil && err == nil {
			o.add(lineOpen, "it does not close: %v", cerr)
		}
	}()
	o.recovered = s.Recovered()
	b, err := readBooks(dir)
	if err != nil {
		o.add(lineDamaged, "its books cannot be read: %v", err)
		return o, nil
	}
	o.compare(b, acked, known)
	o.copies(s, b)
	return o, nil
}

// fill makes dir hold content and nothing else. Files that are there are written over: with memory that is there already,
// a large database takes half the time.
func fill(dir string, content map[string][]byte) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	have, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, f := range have {
		if _, ok := content[f.Name()]; !ok {
			if err := os.Remove(filepath.Join(dir, f.Name())); err != nil {
				return err
			}
		}
	}
	for name, b := range content {
		f, err := os.OpenFile(filepath.Join(dir, name), os.O_WRONLY|os.O_CREATE, 0o600)
		if err != nil {
			return err
		}
		_, err = f.Write(b)
		if err := cmp.Or(err, f.Truncate(int64(len(b))), f.Close()); err != nil {
			return err
		}
	}
	return nil
}

func (o *opened) add(line int, format string, args ...any) {
	o.findings = append(o.findings, finding{line, fmt.Sprintf(format, args...)})
}

// compare holds the books against what was acknowledged and sent.
func (o *opened) compare(b *books, acked []entry, known map[string]bool) {
	for _, text := range b.damage {
		o.add(lineDamaged, "SQLite says: %s", text)
	}
	for _, e := range acked {
		switch {
		case e.refused && !b.refused[e.ymid]:
			o.add(lineRefused, "the refused postback %s was acknowledged and is not there", e.ymid)
		case !e.refused && b.ymids[e.ymid] == 0:
			o.add(lineMissing, "event %s was acknowledged and is not there", e.ymid)
		}
	}
	keys := map[string]bool{}
	for _, e := range b.events {
		if keys[e.key] {
			o.add(lineTwice, "the dedupe key of %s is there twice", e.ymid)
		}
		keys[e.key] = true
		if !known[e.ymid] {
			o.add(lineUnknown, "event %q was never sent", e.ymid)
		}
		for ordinal := range strings.Fields(e.endpoints) {
			d := delivery{e.ref.Uint64(), ordinal}
			if b.ended[d] == b.due[d] {
				o.add(lineDelivery, "delivery %d of %s: ended %v, waits %v", ordinal, e.ymid, b.ended[d], b.due[d])
			}
		}
	}
}

// copies sends every stored event once more: all must be recognised.
func (o *opened) copies(s *store.Store, b *books) {
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	now := time.Now()
	subs := make([]*carom.Submission, len(b.events))
	for i, e := range b.events {
		subs[i] = &carom.Submission{
			Event: &carom.Event{App: "bench", Source: "monetag", Network: "monetag", Type: carom.Impression, Value: carom.Valued, YMID: e.ymid,
				Received: carom.Received{At: now}},
			Key: carom.DedupeKey{Sum: [16]byte([]byte(e.key)), Check: e.check, Window: 30 * 24 * time.Hour},
		}
	}
	s.Accept(subs...)
	for i, sub := range subs {
		switch e := b.events[i]; {
		case sub.Err != nil:
			o.add(lineOpen, "it takes no events: %v", sub.Err)
		case !sub.Receipt.Duplicate || sub.Receipt.Conflict:
			o.add(lineCopies, "a copy of %s was accepted as %+v", e.ymid, sub.Receipt)
		}
	}
	stop()
	if err := <-done; err != nil {
		o.add(lineOpen, "it does not end well: %v", err)
	}
}

// books are what a folder holds after it was opened.
type books struct {
	events  []event
	ymids   map[string]int
	refused map[string]bool // ymids of refused postbacks
	ended   map[delivery]bool
	due     map[delivery]bool
	damage  []string // what SQLite finds wrong
}

type event struct {
	ref       carom.Ref
	ymid      string
	key       string // 16 bytes
	check     uint32
	endpoints string
}

// delivery names one by its event's place and its ordinal.
type delivery struct {
	event   uint64
	ordinal int
}

// readBooks reads the folder of a store that is open and does nothing.
func readBooks(dir string) (*books, error) {
	u := url.URL{Scheme: "file", Opaque: (&url.URL{Path: filepath.ToSlash(filepath.Join(dir, "carom.db"))}).EscapedPath(), RawQuery: "mode=ro"}
	db, err := sql.Open("sqlite", u.String())
	if err != nil {
		return nil, err
	}
	defer func() { _ = db.Close() }() // only read
	b := &books{ymids: map[string]int{}, refused: map[string]bool{}, ended: map[delivery]bool{}, due: map[delivery]bool{}}
	if err := each(db, `PRAGMA integrity_check`, func(scan func(...any) error) error {
		var text string
		err := scan(&text)
		if text != "ok" {
			b.damage = append(b.damage, text)
		}
		return err
	}); err != nil {
		return nil, err
	}
	if err := each(db, `SELECT event, ordinal FROM due`, func(scan func(...any) error) error {
		var d delivery
		err := scan(&d.event, &d.ordinal)
		b.due[d] = true
		return err
	}); err != nil {
		return nil, err
	}
	var buckets []uint32
	if err := each(db, `SELECT bucket FROM buckets`, func(scan func(...any) error) error {
		var n uint32
		err := scan(&n)
		buckets = append(buckets, n)
		return err
	}); err != nil {
		return nil, err
	}
	slices.Sort(buckets)
	for _, n := range buckets {
		if err := b.readBucket(db, n); err != nil {
			return nil, fmt.Errorf("bucket %d: %w", n, err)
		}
	}
	return b, nil
}

func (b *books) readBucket(db *sql.DB, bucket uint32) error {
	if err := each(db, fmt.Sprintf(`SELECT seq, ymid, key, key_check, endpoints FROM events_%d ORDER BY seq`, bucket), func(scan func(...any) error) error {
		e := event{ref: carom.Ref{Bucket: bucket}}
		err := scan(&e.ref.Seq, &e.ymid, &e.key, &e.check, &e.endpoints)
		b.events = append(b.events, e)
		b.ymids[e.ymid]++
		return err
	}); err != nil {
		return err
	}
	// The id of an outcome is seq << 26 | ordinal << 16 | attempt.
	if err := each(db, fmt.Sprintf(`SELECT id FROM outcomes_%d WHERE state <> 'pending'`, bucket), func(scan func(...any) error) error {
		var id int64
		err := scan(&id)
		b.ended[delivery{carom.Ref{Bucket: bucket, Seq: uint32(id >> 26)}.Uint64(), int(id >> 16 & (1<<10 - 1))}] = true
		return err
	}); err != nil {
		return err
	}
	return each(db, fmt.Sprintf(`SELECT query FROM refused_%d`, bucket), func(scan func(...any) error) error {
		var query string
		if err := scan(&query); err != nil {
			return err
		}
		q, err := url.ParseQuery(query)
		b.refused[q.Get("ymid")] = true
		return err
	})
}

// each calls row for each row of the result of query.
func each(db *sql.DB, query string, row func(scan func(...any) error) error) error {
	rows, err := db.Query(query)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }() // Err says what went wrong
	for rows.Next() {
		if err := row(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}
