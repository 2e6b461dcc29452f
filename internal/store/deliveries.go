package store

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"carom"
	"carom/internal/tables"
)

// Bounds of one page of an endpoint's deliveries. Nothing indexes events by their endpoints, so what is rare is looked for over
// several pages.
const (
	deliveryScan    = 200_000 // places of events that are looked at
	deliveryStories = 2_000   // deliveries whose attempts are read
	stateScan       = 20_000  // the same, where the outcomes of every endpoint are looked at as well
	deliveryChunk   = 10_000  // places that one query looks at
)

// Deliveries returns what one endpoint, by its number, or every endpoint with 0 was owed: stories with those deliveries alone, newest
// event first. Of f, App (to which the endpoint belongs), Since, To, Before and Limit count; an empty state lets all through. A page may
// be shorter than the limit, even empty, and yet have a next: there to go on. It returns carom.ErrInvalid when the cursor is not an
// event id.
func (s *Store) Deliveries(ctx context.Context, endpoint int, state carom.DeliveryState, f carom.EventFilter) (list []*carom.Story, next carom.EventID, err error) {
	p := deliveryPage{s: s, endpoint: endpoint, state: state, limit: tables.PageSize(f.Limit), scan: deliveryScan, stories: deliveryStories,
		chunk: deliveryChunk}
	switch {
	case endpoint == 0 && state != "":
		p.scan, p.chunk = stateScan, findChunk
	case endpoint == 0:
		p.scan, p.chunk = findScan, findChunk // whose rows are all read
	}
	p.where, p.args = eventConditions(carom.EventFilter{App: f.App, Since: f.Since, To: f.To})
	if p.names, err = s.EndpointNames(ctx); err == nil {
		p.numbers = tables.EndpointNumbers(p.names, f.App, endpoint)
		err = s.spans(ctx, f, func(bucket, behind, end uint32) (bool, error) {
			err := p.bucket(ctx, bucket, behind, end)
			return p.next == "", err
		})
	}
	if err != nil {
		return nil, "", fmt.Errorf("list deliveries: %w", err)
	}
	return p.list, p.next, nil
}

// deliveryPage is one page as it is gathered.
type deliveryPage struct {
	s        *Store
	endpoint int            // 0: any
	numbers  []int          // of it, or of all that there are of the app
	names    map[int]string // of all
	state    carom.DeliveryState
	where    []string // what is asked of events
	args     []any

	limit, scan, stories int // what may still be found, looked at, and read
	chunk                uint32

	list []*carom.Story
	next carom.EventID // set when the page is full
}

// bucket gathers from the bucket's events behind one place and before another.
func (p *deliveryPage) bucket(ctx context.Context, bucket, behind, end uint32) error {
	for end > behind+1 {
		if p.scan <= 0 {
			p.next = p.s.eventID(carom.Ref{Bucket: bucket, Seq: end})
			return nil
		}
		begin := max(behind+1, end-min(end-1, p.chunk))
		seqs, err := p.candidates(ctx, bucket, begin, end)
		if err != nil {
			return p.s.readErr(bucket, err)
		}
		for _, seq := range seqs {
			ref := carom.Ref{Bucket: bucket, Seq: seq}
			if err := p.take(ctx, ref); err != nil {
				return err
			}
			if p.limit <= 0 || p.stories <= 0 {
				p.next = p.s.eventID(ref)
				return nil
			}
		}
		p.scan -= int(end - begin)
		end = begin
	}
	return nil
}

// candidates are the events from begin on and before end, newest first, that are owed to an endpoint of the page and may have a delivery
// in the state.
func (p *deliveryPage) candidates(ctx context.Context, bucket, begin, end uint32) ([]uint32, error) {
	where, args := append(slices.Clip(p.where), "seq >= ?", "seq < ?"), append(slices.Clip(p.args), begin, end)
	if p.endpoint == 0 {
		where = append(where, "endpoints GLOB '*[0-9]*'")
	} else {
		where = append(where, "(instr(' ' || endpoints || ' ', ?) > 0 OR instr(' ' || endpoints, ?) > 0)")
		args = append(args, fmt.Sprintf(" %d ", p.endpoint), fmt.Sprintf(" %d:", p.endpoint))
	}
	// How many deliveries an event has: one more than there are spaces, less those that are owed nothing.
	owed, err := p.pairs(ctx, fmt.Sprintf(`SELECT seq, 1 + length(endpoints) - length(replace(endpoints, ' ', '')) - length(endpoints) + length(replace(endpoints, '-', ''))
		FROM events_%d WHERE %s ORDER BY seq DESC`, bucket, strings.Join(where, " AND ")), args...)
	if err != nil || p.state == "" || len(owed) == 0 {
		return seqsOf(owed), err
	}
	query, args := fmt.Sprintf(`SELECT id >> 26, count(DISTINCT id >> 16) FROM outcomes_%d WHERE id >= ? AND id < ?`, bucket),
		[]any{outcomeID(begin, 0, 0), outcomeID(end, 0, 0)}
	if p.endpoint != 0 {
		query, args = query+` AND endpoint = ?`, append(args, p.endpoint)
	}
	if p.state == carom.Pending {
		query += ` AND state <> ?` // what has ended is not pending, unless it waits again
	} else {
		query += ` AND state = ?`
	}
	ended, err := p.pairs(ctx, query+` GROUP BY 1`, append(args, string(p.state))...)
	if err != nil {
		return nil, err
	}
	has := make(map[int64]int64, len(ended))
	for _, e := range ended {
		has[e[0]] = e[1]
	}
	if p.state != carom.Pending {
		return seqsOf(slices.DeleteFunc(owed, func(o [2]int64) bool { return has[o[0]] == 0 })), nil
	}
	first := int64(carom.Ref{Bucket: bucket, Seq: begin}.Uint64())
	args = []any{first, first + int64(end-begin)}
	for _, no := range p.numbers {
		args = append(args, no)
	}
	waiting, err := p.pairs(ctx, `SELECT event, 0 FROM due WHERE event >= ? AND event < ? AND endpoint IN (`+
		strings.TrimSuffix(strings.Repeat("?,", len(p.numbers)), ",")+`)`, args...)
	if err != nil {
		return nil, err
	}
	for _, w := range waiting {
		delete(has, int64(carom.RefOf(uint64(w[0])).Seq))
	}
	return seqsOf(slices.DeleteFunc(owed, func(o [2]int64) bool {
		all := o[1]
		if p.endpoint != 0 {
			all = 1
		}
		return has[o[0]] >= all
	})), nil
}

func seqsOf(list [][2]int64) []uint32 {
	out := make([]uint32, len(list))
	for i := range list {
		out[i] = uint32(list[i][0])
	}
	return out
}

// pairs reads two columns of numbers.
func (p *deliveryPage) pairs(ctx context.Context, query string, args ...any) ([][2]int64, error) {
	rows, err := p.s.r.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, translate(err)
	}
	defer rows.Close()
	var out [][2]int64
	for rows.Next() {
		var n [2]int64
		if err := rows.Scan(&n[0], &n[1]); err != nil {
			return nil, translate(err)
		}
		out = append(out, n)
	}
	return out, translate(rows.Err())
}

// take adds the event's deliveries that are in the state.
func (p *deliveryPage) take(ctx context.Context, ref carom.Ref) error {
	story, read, err := p.s.StoryFor(ctx, p.s.eventID(ref), p.endpoint, p.names, p.state)
	if err != nil {
		return err
	}
	if p.stories -= read; len(story.Deliveries) > 0 {
		p.list = append(p.list, story)
		p.limit -= len(story.Deliveries)
	}
	return nil
}

// SentAttempts returns the attempts that f selects: those of the newest events first, and of a delivery the last one first. It looks at
// those of so many events and no more: more says that there may be others, which the last attempt, or last where the list is empty, is
// the cursor of. It returns carom.ErrInvalid when the cursor is not the id of a delivery.
func (s *Store) SentAttempts(ctx context.Context, f carom.AttemptFilter) (list []carom.SentAttempt, next carom.AttemptCursor, err error) {
	limit, left := tables.PageSize(f.Limit), findScan
	names, err := s.EndpointNames(ctx)
	if err != nil {
		return nil, next, fmt.Errorf("list attempts: %w", err)
	}
	query, args := attemptConditions(f, tables.EndpointNumbers(names, f.App, f.Endpoint))
	var places carom.EventFilter
	below := int64(math.MaxInt64) // in the bucket of the cursor
	var at carom.Ref
	if f.Before.Delivery != "" {
		life, ref, ordinal, err := f.Before.Delivery.Place()
		if err != nil {
			return nil, next, fmt.Errorf("before: %w", err)
		}
		at, below = ref, outcomeID(ref.Seq, ordinal, f.Before.Number)
		places.Before = carom.NewEventID(life, carom.Ref{Bucket: ref.Bucket, Seq: ref.Seq + 1}) // the rest of its own event is behind it
	}
	err = s.spans(ctx, places, func(bucket, behind, end uint32) (bool, error) {
		for end > behind+1 {
			if left <= 0 {
				next = carom.AttemptCursor{Delivery: s.eventID(carom.Ref{Bucket: bucket, Seq: end}).Delivery(0)}
				return false, nil
			}
			begin := max(behind+1, end-min(end-1, findChunk))
			to := outcomeID(end, 0, 0)
			if bucket == at.Bucket {
				to = min(to, below)
			}
			err := s.attempts(ctx, bucket, fmt.Sprintf(`SELECT id FROM outcomes_%d WHERE id >= ? AND id < ?%s ORDER BY id DESC LIMIT ?`, bucket, query),
				func(endpoint int, a carom.Attempt) {
					list = append(list, carom.SentAttempt{Attempt: a, Endpoint: tables.NameOf(names, endpoint)})
				}, append(append([]any{outcomeID(begin, 0, 0), to}, args...), limit-len(list))...)
			if err != nil {
				return false, err
			}
			if len(list) >= limit {
				last := &list[len(list)-1]
				next = carom.AttemptCursor{Delivery: last.Delivery, Number: last.Number}
				return false, nil
			}
			left -= int(end - begin)
			end = begin
		}
		return true, nil
	})
	if err != nil {
		return nil, next, fmt.Errorf("list attempts: %w", err)
	}
	return list, next, nil
}

// attemptConditions are what a query asks of attempts, each behind an AND.
func attemptConditions(f carom.AttemptFilter, endpoints []int) (query string, args []any) {
	if f.App != "" || f.Endpoint != 0 {
		query = ` AND endpoint IN (` + strings.TrimSuffix(strings.Repeat("?,", len(endpoints)), ",") + `)`
		for _, no := range endpoints {
			args = append(args, no)
		}
	}
	if f.State != "" {
		query, args = query+` AND state = ?`, append(args, string(f.State))
	}
	return query, args
}
