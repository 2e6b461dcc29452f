package main

import (
	"database/sql"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"

	"carom"

	_ "modernc.org/sqlite" // the driver the books are read with
)

// books are what the server stored, read from its data folder while it does not run.
type books struct {
	events  []bookEvent
	refused int64 // verified postbacks that were refused
	rewards []bookReward
	ledger  carom.LedgerReport
}

// bookEvent is one stored event with what became of its deliveries.
type bookEvent struct {
	key
	place      carom.Ref
	rewards    []carom.DeliveryState // of its deliveries that are about a reward
	deliveries []carom.DeliveryState // by ordinal; stateUnexplained and stateTwice are the harness's own
}

// What the books must not say of a delivery.
const (
	stateUnexplained carom.DeliveryState = "unexplained" // it has not ended and nothing will send it
	stateTwice       carom.DeliveryState = "twice"       // it has ended and waits to be sent all the same
)

// place of an attempt in the id of its outcome: seq << 26 | ordinal << 16 | attempt.
const (
	outcomeSeqShift     = 26
	outcomeOrdinalShift = 16
	outcomeOrdinalMask  = 1<<10 - 1
)

// readBooks reads the data folder of a server that was stopped.
func readBooks(dir string) (b books, err error) {
	u := url.URL{Scheme: "file", Opaque: (&url.URL{Path: filepath.ToSlash(filepath.Join(dir, "carom.db"))}).EscapedPath(), RawQuery: "mode=ro"}
	db, err := sql.Open("sqlite", u.String())
	if err != nil {
		return b, err
	}
	defer func() { _ = db.Close() }() // only read
	due, err := readDue(db)
	if err != nil {
		return b, err
	}
	// Deliveries of events from this place on live in memory while the server runs; the next start finds them again.
	var mark int64
	if err := db.QueryRow(`SELECT coalesce(max(value), 0) FROM meta WHERE key = 'mark'`).Scan(&mark); err != nil {
		return b, fmt.Errorf("read the low-water mark: %w", err)
	}
	if err := b.readRewards(db); err != nil {
		return b, err
	}
	buckets, err := readBuckets(db)
	if err != nil {
		return b, err
	}
	for _, n := range buckets {
		if err := b.readBucket(db, n, due, uint64(mark)); err != nil {
			return b, fmt.Errorf("bucket %d: %w", n, err)
		}
	}
	return b, nil
}

// dueKey names a delivery: its event's place and its ordinal.
type dueKey struct {
	event   uint64
	ordinal int
}

func readDue(db *sql.DB) (map[dueKey]bool, error) {
	rows, err := db.Query(`SELECT event, ordinal FROM due`)
	if err != nil {
		return nil, fmt.Errorf("read what is due: %w", err)
	}
	defer func() { _ = rows.Close() }() // Err says what went wrong
	due := map[dueKey]bool{}
	for rows.Next() {
		var event int64
		var ordinal int
		if err := rows.Scan(&event, &ordinal); err != nil {
			return nil, fmt.Errorf("read what is due: %w", err)
		}
		due[dueKey{uint64(event), ordinal}] = true
	}
	return due, rows.Err()
}

func readBuckets(db *sql.DB) ([]uint32, error) {
	rows, err := db.Query(`SELECT bucket FROM buckets WHERE dropped < 2 ORDER BY bucket`)
	if err != nil {
		return nil, fmt.Errorf("list the buckets: %w", err)
	}
	defer func() { _ = rows.Close() }() // Err says what went wrong
	var out []uint32
	for rows.Next() {
		var n uint32
		if err := rows.Scan(&n); err != nil {
			return nil, fmt.Errorf("list the buckets: %w", err)
		}
		out = append(out, n)
	}
	return out, rows.Err()
}

// readBucket adds the events of one bucket.
func (b *books) readBucket(db *sql.DB, bucket uint32, due map[dueKey]bool, mark uint64) error {
	ended, err := readEnds(db, bucket)
	if err != nil {
		return err
	}
	var refused int64
	if err := db.QueryRow(fmt.Sprintf(`SELECT count(*) FROM refused_%d`, bucket)).Scan(&refused); err != nil {
		return fmt.Errorf("count what was refused: %w", err)
	}
	b.refused += refused
	rows, err := db.Query(fmt.Sprintf(`SELECT seq, ymid, zone_id, event_type, value, endpoints FROM events_%d ORDER BY seq`, bucket))
	if err != nil {
		return fmt.Errorf("read the events: %w", err)
	}
	defer func() { _ = rows.Close() }() // Err says what went wrong
	for rows.Next() {
		e := bookEvent{place: carom.Ref{Bucket: bucket}}
		var endpoints string
		if err := rows.Scan(&e.place.Seq, &e.ymid, &e.zone, &e.event, &e.value, &endpoints); err != nil {
			return fmt.Errorf("read the events: %w", err)
		}
		for ordinal, word := range strings.Fields(endpoints) {
			if word == "-" {
				continue // nothing was credited, so nothing is owed
			}
			state := ended[int64(e.place.Seq)<<10|int64(ordinal)]
			waits := due[dueKey{e.place.Uint64(), ordinal}]
			switch {
			case state != "" && waits:
				state = stateTwice
			case state == "" && (waits || e.place.Uint64() >= mark):
				state = carom.Pending
			case state == "":
				state = stateUnexplained
			}
			if strings.Contains(word, ":") {
				e.rewards = append(e.rewards, state)
			} else {
				e.deliveries = append(e.deliveries, state)
			}
		}
		b.events = append(b.events, e)
	}
	return rows.Err()
}

// readEnds returns the final states of the deliveries of a bucket, by seq << 10 | ordinal.
func readEnds(db *sql.DB, bucket uint32) (map[int64]carom.DeliveryState, error) {
	rows, err := db.Query(fmt.Sprintf(`SELECT id, state FROM outcomes_%d WHERE state <> 'pending' ORDER BY id`, bucket))
	if err != nil {
		return nil, fmt.Errorf("read the outcomes: %w", err)
	}
	defer func() { _ = rows.Close() }() // Err says what went wrong
	out := map[int64]carom.DeliveryState{}
	for rows.Next() {
		var id int64
		var state carom.DeliveryState
		if err := rows.Scan(&id, &state); err != nil {
			return nil, fmt.Errorf("read the outcomes: %w", err)
		}
		out[id>>outcomeSeqShift<<10|id>>outcomeOrdinalShift&outcomeOrdinalMask] = state
	}
	return out, rows.Err()
}
