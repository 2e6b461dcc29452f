// Package pgbooks reads what nodes of carom have stored in a PostgreSQL database, for the tests that compare it with what was
// acknowledged and with what the endpoints received. It reads the tables themselves: what the nodes say of them is what is tested.
package pgbooks

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver

	"carom"
)

// Books are what is stored.
type Books struct {
	Events  []Event  // in the order of their places
	Rewards []Reward // in the order in which each node made them
	Refused int64    // verified postbacks that were refused
	Nodes   int64    // leases that were ever taken
	Late    int64    // nodes whose lease has ended and which nobody has taken over yet
}

// Event is one stored event with what became of its deliveries.
type Event struct {
	Place      carom.Ref
	YMID, Zone string
	Type       carom.EventType
	Value      carom.RewardEventType
	Deliveries []Delivery // by ordinal, those alone that are owed
}

// Delivery is what became of one delivery.
type Delivery struct {
	Ordinal  int
	Endpoint int  // its number
	Reward   bool // it is about a reward
	State    carom.DeliveryState
	Reason   string // of its end
}

// What the books must not say of a delivery once every node has stopped, or has nothing in memory.
const (
	Unexplained carom.DeliveryState = "unexplained" // it has not ended and nothing will send it
	Twice       carom.DeliveryState = "twice"       // it has ended and waits to be sent all the same
)

// Reward is one stored reward.
type Reward struct {
	ID         carom.RewardID
	YMID, Zone string // of its view
	User       string
	Amount     carom.Nanos
	State      carom.RewardState
}

// A place in the tables is bucket << 40 | node << 25 | sequence.
const (
	nodeShift   = 25
	bucketShift = 40
	nodeMask    = 1<<15 - 1
	seqMask     = 1<<nodeShift - 1
)

// PlaceOf is how a ref is stored.
func PlaceOf(r carom.Ref) int64 {
	return int64(r.Bucket)<<bucketShift | int64(r.Node)<<nodeShift | int64(r.Seq)
}

func refOf(place int64) carom.Ref {
	return carom.Ref{Bucket: uint32(place >> bucketShift), Node: uint16(place >> nodeShift & nodeMask), Seq: uint32(place & seqMask)}
}

// deliveryKey names a delivery.
type deliveryKey struct {
	place   int64
	ordinal int
}

type end struct {
	state  carom.DeliveryState
	reason string
}

// Read reads everything. A delivery that has neither ended nor waits in the due table counts as unexplained: call it when nothing
// lives in the memory of a node, as after it has stopped.
func Read(ctx context.Context, url string) (*Books, error) {
	db, err := sql.Open("pgx", url)
	if err != nil {
		return nil, err
	}
	defer func() { _ = db.Close() }() // only read
	b := &Books{}
	due, ends := map[deliveryKey]bool{}, map[deliveryKey]end{}
	for _, q := range []struct {
		what, query string
		row         func(*sql.Rows) error
	}{
		{"what is due", `SELECT place, ordinal FROM due`, func(rows *sql.Rows) error {
			var k deliveryKey
			err := rows.Scan(&k.place, &k.ordinal)
			due[k] = true
			return err
		}},
		{"the outcomes", `SELECT place, ordinal, state, reason FROM outcomes WHERE state <> 'pending'`, func(rows *sql.Rows) error {
			var k deliveryKey
			var e end
			err := rows.Scan(&k.place, &k.ordinal, &e.state, &e.reason)
			ends[k] = e
			return err
		}},
		{"the events", `SELECT place, ymid, zone_id, event_type, value, endpoints FROM events ORDER BY place`, func(rows *sql.Rows) error {
			return b.readEvent(rows, due, ends)
		}},
		{"the rewards", `SELECT no, life, ymid, zone_id, "user", amount, state FROM rewards ORDER BY no`, b.readReward},
		{"what was refused", `SELECT count(*) FROM refused`, func(rows *sql.Rows) error { return rows.Scan(&b.Refused) }},
		{"the nodes", `SELECT count(*), count(*) FILTER (WHERE ended_at > 0 AND taken_at = 0) FROM nodes`, func(rows *sql.Rows) error {
			return rows.Scan(&b.Nodes, &b.Late)
		}},
	} {
		if err := each(ctx, db, q.query, q.row); err != nil {
			return nil, fmt.Errorf("read %s: %w", q.what, err)
		}
	}
	return b, nil
}

func each(ctx context.Context, db *sql.DB, query string, row func(*sql.Rows) error) error {
	rows, err := db.QueryContext(ctx, query)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }() // Err says what went wrong
	for rows.Next() {
		if err := row(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

func (b *Books) readEvent(rows *sql.Rows, due map[deliveryKey]bool, ends map[deliveryKey]end) error {
	var e Event
	var place int64
	var endpoints string
	if err := rows.Scan(&place, &e.YMID, &e.Zone, &e.Type, &e.Value, &endpoints); err != nil {
		return err
	}
	e.Place = refOf(place)
	for ordinal, word := range strings.Fields(endpoints) {
		if word == "-" {
			continue // nothing was credited, so nothing is owed
		}
		d := Delivery{Ordinal: ordinal}
		number, _, reward := strings.Cut(word, ":")
		d.Reward = reward
		if _, err := fmt.Sscan(number, &d.Endpoint); err != nil {
			return fmt.Errorf("event %d is owed to %q: %w", place, word, err)
		}
		k := deliveryKey{place, ordinal}
		ended, has := ends[k]
		switch {
		case has && due[k]:
			d.State = Twice
		case has:
			d.State, d.Reason = ended.state, ended.reason
		case due[k]:
			d.State = carom.Pending
		default:
			d.State = Unexplained
		}
		e.Deliveries = append(e.Deliveries, d)
	}
	b.Events = append(b.Events, e)
	return nil
}

func (b *Books) readReward(rows *sql.Rows) error {
	var r Reward
	var no, life int64
	if err := rows.Scan(&no, &life, &r.YMID, &r.Zone, &r.User, &r.Amount, &r.State); err != nil {
		return err
	}
	r.ID = carom.NewRewardID(carom.Incarnation(life), no)
	b.Rewards = append(b.Rewards, r)
	return nil
}
