package store

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"carom"
	"carom/internal/tables"
)

// Bounds of one page of an endpoint's deliveries. Nothing indexes events by their endpoints, so what is rare is looked for over
// several pages.
const (
	deliveryScan    = 200_000 // places of events that are looked at
	deliveryStories = 2_000   // deliveries whose attempts are read
	deliveryChunk   = 10_000  // places that one query looks at
)

// Deliveries returns what one endpoint, by its number, was owed: stories with the deliveries to it alone, newest event first.
// Of f, App (to which the endpoint belongs), Before and Limit count; an empty state lets all through. A page may be shorter than
// the limit, even empty, and yet have a next: there to go on. It returns carom.ErrInvalid when the cursor is not an event id.
func (s *Store) Deliveries(ctx context.Context, endpoint int, state carom.DeliveryState, f carom.EventFilter) (list []*carom.Story, next carom.EventID, err error) {
	p := deliveryPage{s: s, endpoint: endpoint, state: state, app: f.App, limit: tables.PageSize(f.Limit), scan: deliveryScan, stories: deliveryStories,
		chunk: deliveryChunk}
	before := carom.Ref{Bucket: math.MaxUint32}
	if f.Before != "" {
		inc, ref, err := f.Before.Place()
		if err != nil || !s.isOurs(inc, ref.Bucket) {
			return nil, "", fmt.Errorf("before: %w", carom.Invalid("before", "%q is not the id of an event of this data folder", f.Before))
		}
		before = ref
	}
	names, err := s.EndpointNames(ctx)
	if err != nil {
		return nil, "", fmt.Errorf("list deliveries: %w", err)
	}
	p.name = names[endpoint]
	for _, bucket := range s.readableBuckets() {
		if bucket > before.Bucket {
			continue
		}
		end := uint32(1<<searchSeqBits - 1)
		if bucket == before.Bucket {
			end = before.Seq
		}
		err := p.bucket(ctx, bucket, end)
		if errors.Is(err, errBucketGone) {
			continue // since the list of buckets was made
		}
		if err != nil {
			return nil, "", fmt.Errorf("list deliveries: %w", err)
		}
		if p.next != "" {
			break
		}
	}
	return p.list, p.next, nil
}

// deliveryPage is one page as it is gathered.
type deliveryPage struct {
	s        *Store
	endpoint int
	name     string
	state    carom.DeliveryState
	app      string

	limit, scan, stories int // what may still be found, looked at, and read
	chunk                uint32

	list []*carom.Story
	next carom.EventID // set when the page is full
}

// bucket gathers from the bucket's events before end.
func (p *deliveryPage) bucket(ctx context.Context, bucket, end uint32) error {
	var newest uint32
	if err := p.s.r.QueryRowContext(ctx, fmt.Sprintf(`SELECT coalesce(max(seq), 0) FROM events_%d`, bucket)).Scan(&newest); err != nil {
		return p.s.readErr(bucket, err)
	}
	for end = min(end, newest+1); end > 1; {
		if p.scan <= 0 {
			p.next = p.s.eventID(carom.Ref{Bucket: bucket, Seq: end})
			return nil
		}
		begin := end - min(end-1, p.chunk)
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

// candidates are the events from begin on and before end, newest first, that are owed to the endpoint and may have a delivery in
// the state.
func (p *deliveryPage) candidates(ctx context.Context, bucket, begin, end uint32) ([]uint32, error) {
	owed, err := p.numbers(ctx, fmt.Sprintf(`SELECT seq FROM events_%d WHERE seq >= ? AND seq < ? AND app = ?
		AND (instr(' ' || endpoints || ' ', ?) > 0 OR instr(' ' || endpoints, ?) > 0) ORDER BY seq DESC`, bucket),
		begin, end, p.app, fmt.Sprintf(" %d ", p.endpoint), fmt.Sprintf(" %d:", p.endpoint))
	if err != nil || p.state == "" || len(owed) == 0 {
		return seqsOf(owed), err
	}
	query := `state = ?`
	if p.state == carom.Pending {
		query = `state <> ?` // what has ended is not pending, unless it waits again
	}
	ended, err := p.numbers(ctx, fmt.Sprintf(`SELECT DISTINCT id >> 26 FROM outcomes_%d WHERE id >= ? AND id < ? AND endpoint = ? AND `+query, bucket),
		outcomeID(begin, 0, 0), outcomeID(end, 0, 0), p.endpoint, string(p.state))
	if err != nil {
		return nil, err
	}
	has := make(map[int64]bool, len(ended))
	for _, seq := range ended {
		has[seq] = true
	}
	if p.state == carom.Pending {
		first := carom.Ref{Bucket: bucket, Seq: begin}.Uint64()
		waiting, err := p.numbers(ctx, `SELECT event FROM due WHERE endpoint = ? AND event >= ? AND event < ?`,
			p.endpoint, int64(first), int64(first)+int64(end-begin))
		if err != nil {
			return nil, err
		}
		for _, event := range waiting {
			delete(has, int64(carom.RefOf(uint64(event)).Seq))
		}
	}
	return seqsOf(slices.DeleteFunc(owed, func(seq int64) bool { return has[seq] == (p.state == carom.Pending) })), nil
}

func seqsOf(list []int64) []uint32 {
	out := make([]uint32, len(list))
	for i, seq := range list {
		out[i] = uint32(seq)
	}
	return out
}

// numbers reads a column of numbers.
func (p *deliveryPage) numbers(ctx context.Context, query string, args ...any) ([]int64, error) {
	rows, err := p.s.r.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, translate(err)
	}
	defer rows.Close()
	var out []int64
	for rows.Next() {
		var n int64
		if err := rows.Scan(&n); err != nil {
			return nil, translate(err)
		}
		out = append(out, n)
	}
	return out, translate(rows.Err())
}

// take adds the event's deliveries to the endpoint that are in the state.
func (p *deliveryPage) take(ctx context.Context, ref carom.Ref) error {
	story, read, err := p.s.StoryFor(ctx, p.s.eventID(ref), p.endpoint, p.name, p.state)
	if err != nil {
		return err
	}
	if p.stories -= read; len(story.Deliveries) > 0 {
		p.list = append(p.list, story)
		p.limit -= len(story.Deliveries)
	}
	return nil
}
