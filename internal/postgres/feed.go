package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"carom"
)

// A feed follows what all nodes store. What one node stores becomes visible in the order of its places; but its commits lie between
// those of others, so that what was received earlier can become visible later. That is why a cursor has a place of each node.

// feedNode is a node as a feed sees it.
type feedNode struct {
	no    uint16
	ended bool  // all that it ever stored is visible
	first int64 // the place behind which all lies that it ever stores
	mark  int64 // all of its places before this one that are ever stored are visible
}

// StartFeed begins to follow events: without an event, behind all that is stored now. With one, its result has what was received from
// a minute before it on, but for what its own node had stored before it. What other nodes received in that minute may have been stored
// after it; whoever has seen it is shown it a second time. Of f only App, Source and Limit count.
//
// It returns carom.ErrInvalid for what is no event's id, and carom.ErrNotFound for the id of another database.
func (s *Store) StartFeed(ctx context.Context, f carom.EventFilter, after carom.EventID) (carom.Feed, error) {
	here, err := s.feedEnd(ctx)
	if err != nil || after == "" {
		return carom.Feed{Next: here}, err
	}
	life, ref, err := after.Place()
	if err != nil {
		return carom.Feed{}, err
	}
	ours, err := s.isOurs(ctx, life, ref)
	if err == nil && !ours {
		err = fmt.Errorf("event %s is of another database: %w", after, carom.ErrNotFound)
	}
	if err != nil {
		return carom.Feed{}, err
	}
	since := time.Time{}
	place, at := placeOf(ref), int64(0)
	err = translate(numbered{s.r}.QueryRowContext(ctx, `SELECT at FROM events WHERE place = ?`, place).Scan(&at))
	switch {
	case err == nil:
		since = time.UnixMilli(at).Add(-lag)
	case !errors.Is(err, carom.ErrNotFound): // else retention has dropped it: all that is kept came later
		return carom.Feed{}, fmt.Errorf("event %s: %w", after, err)
	}
	c := feedConditions(f)
	if !since.IsZero() {
		c.add(`at >= ?`, since.UnixMilli())
	}
	limit := cmp.Or(f.Limit, 50)
	var found []stored
	if err := s.newestBuckets(ctx, newest(), since, func(r span) (bool, error) {
		in := c.within(r)
		bucket := uint32(r.bucket)
		in.add(`NOT place BETWEEN ? AND ?`, placeOf(carom.Ref{Bucket: bucket, Node: ref.Node}), min(place, lastPlace(bucket, ref.Node)))
		list, err := s.queryEvents(ctx, s.r, in.where+` ORDER BY at DESC, place DESC LIMIT ?`, append(in.args, limit+1-len(found))...)
		found = append(found, list...)
		return len(found) <= limit, err
	}); err != nil {
		return carom.Feed{}, fmt.Errorf("read the events behind %s: %w", after, err)
	}
	byNode := map[uint16][]stored{}
	slices.SortFunc(found, func(a, b stored) int { return cmp.Compare(b.place, a.place) })
	for _, ev := range found {
		node := refOf(ev.place).Node
		if ev.place <= placeOf(here[node]) { // what came since, the next call has
			byNode[node] = append(byNode[node], ev)
		}
	}
	return carom.Feed{Events: merge(byNode, limit), Next: here, Skipped: len(found) > limit}, nil
}

// EventsBehind returns what was stored behind a cursor, as far as f selects it. Of f only App, Source and Limit count: when there is
// more than the limit, the newest of it.
func (s *Store) EventsBehind(ctx context.Context, f carom.EventFilter, c carom.FeedCursor) (carom.Feed, error) {
	next, buckets, err := s.reach(ctx, c)
	if err != nil {
		return carom.Feed{}, fmt.Errorf("follow events: %w", err)
	}
	limit := cmp.Or(f.Limit, 50)
	byNode, n := map[uint16][]stored{}, 0
	for _, bucket := range buckets { // the newest first: what is beyond the limit need not be read
		var ranges placeRanges
		for no, to := range next {
			from := int64(-1)
			if seen, known := c[no]; known {
				from = placeOf(seen)
			}
			ranges.add(bucket, no, from, placeOf(to))
		}
		if len(ranges.lo) == 0 {
			continue
		}
		in := feedConditions(f)
		in.add(`place >= ? AND place < ? AND place > r.lo AND place <= r.hi`, bucketStart(bucket), bucketStart(bucket+1))
		args := append(append([]any{ranges.lo, ranges.hi}, in.args...), limit+1)
		list, err := s.readEvents(ctx, s.r, `SELECT `+eventColumns+` FROM unnest(CAST(? AS bigint[]), CAST(? AS bigint[])) AS r (lo, hi)
			CROSS JOIN LATERAL (SELECT * FROM events WHERE `+in.where+` ORDER BY place DESC LIMIT ?) e ORDER BY place DESC`, args...)
		if err != nil {
			return carom.Feed{}, fmt.Errorf("follow events: %w", err)
		}
		for _, ev := range list {
			node := refOf(ev.place).Node
			byNode[node] = append(byNode[node], ev)
		}
		if n += len(list); n > limit {
			break
		}
	}
	return carom.Feed{Events: merge(byNode, limit), Next: next, Skipped: n > limit}, nil
}

// OtherEvents is EventsBehind for what other nodes store. Without a cursor it begins behind all that is stored now.
func (s *Store) OtherEvents(ctx context.Context, f carom.EventFilter, c carom.FeedCursor) (carom.Feed, error) {
	if c == nil {
		here, err := s.feedEnd(ctx)
		return carom.Feed{Next: here}, err
	}
	l := s.lease.Load()
	if l == nil {
		return carom.Feed{}, fmt.Errorf("follow other nodes: this one has no lease: %w", carom.ErrUnavailable)
	}
	c = maps.Clone(c)
	c[l.no] = refOf(lastPlace(maxBucket, l.no)) // as if all of its own were seen
	return s.EventsBehind(ctx, f, c)
}

func feedConditions(f carom.EventFilter) (c conditions) {
	if f.App != "" {
		c.add(`app = ?`, f.App)
	}
	if f.Source != "" {
		c.add(`source = ?`, f.Source)
	}
	return c
}

// placeRanges are places of nodes in one bucket: those behind lo, up to hi.
type placeRanges struct{ lo, hi []int64 }

// add adds what lies behind one place of a node and up to another, if any of it can be in the bucket.
func (r *placeRanges) add(bucket uint32, node uint16, behind, upTo int64) {
	lo := max(behind, placeOf(carom.Ref{Bucket: bucket, Node: node})-1)
	hi := min(upTo, lastPlace(bucket, node))
	if lo < hi {
		r.lo, r.hi = append(r.lo, lo), append(r.hi, hi)
	}
}

// lastPlace is behind all that a node can store in a bucket.
func lastPlace(bucket uint32, node uint16) int64 {
	return placeOf(carom.Ref{Bucket: bucket, Node: node, Seq: maxSeq})
}

// merge joins what nodes have stored, each newest first, and keeps the newest of it up to a limit, oldest first.
func merge(byNode map[uint16][]stored, limit int) (out []*carom.Event) {
	for len(out) < limit {
		from, found := uint16(0), false
		for node, list := range byNode {
			if len(list) > 0 && (!found || newer(list[0], byNode[from][0])) {
				from, found = node, true
			}
		}
		if !found {
			break
		}
		out = append(out, byNode[from][0].event)
		byNode[from] = byNode[from][1:]
	}
	slices.Reverse(out)
	return out
}

func newer(a, b stored) bool {
	return cmp.Or(a.event.At.Compare(b.event.At), cmp.Compare(a.place, b.place)) > 0
}

// feedEnd is the cursor behind all that is stored.
func (s *Store) feedEnd(ctx context.Context) (carom.FeedCursor, error) {
	nodes, err := s.feedNodes(ctx)
	if err != nil {
		return nil, fmt.Errorf("follow events: %w", err)
	}
	c := carom.FeedCursor{}
	for _, n := range nodes {
		if n.ended {
			c[n.no] = refOf(lastPlace(maxBucket, n.no))
		} else {
			c[n.no] = refOf(max(n.first, n.mark-1))
		}
	}
	if c, _, err = s.reach(ctx, c); err != nil {
		return nil, fmt.Errorf("follow events: %w", err)
	}
	return c, nil
}

// reach says how far each node has come: to a place up to which all that it ever stores is visible now. It returns the buckets, newest
// first, in which something can lie that is behind the cursor.
func (s *Store) reach(ctx context.Context, c carom.FeedCursor) (next carom.FeedCursor, buckets []uint32, err error) {
	nodes, err := s.feedNodes(ctx) // before their rows: what these say of the past is visible in what is read from now on
	if err != nil {
		return nil, nil, err
	}
	next = make(carom.FeedCursor, len(nodes))
	working := map[uint16]int64{} // nodes that may go on storing, and from where on their newest place is looked for
	oldest := uint32(maxBucket)
	for _, n := range nodes {
		seen, last := n.first, lastPlace(maxBucket, n.no)
		if ref, known := c[n.no]; known {
			seen = placeOf(ref)
		}
		if seen < last {
			oldest = min(oldest, refOf(seen).Bucket)
		}
		if n.ended {
			next[n.no] = refOf(last)
			continue
		}
		working[n.no] = max(seen, n.mark-1)
		next[n.no] = refOf(working[n.no])
	}
	if buckets, err = s.keptBuckets(ctx, oldest); err != nil {
		return nil, nil, err
	}
	// The newest bucket first: once rows of a node are seen in one, all that it stored in older ones is visible, and lies before them.
	for _, bucket := range buckets {
		var ranges placeRanges
		for no, behind := range working {
			ranges.add(bucket, no, behind, lastPlace(bucket, no))
		}
		if len(ranges.lo) == 0 {
			continue
		}
		if err := readRows(ctx, s.r, func(scan func(...any) error) error {
			var place int64
			err := scan(&place)
			ref := refOf(place)
			next[ref.Node] = ref
			delete(working, ref.Node)
			return err
		}, `SELECT e.place FROM unnest(CAST(? AS bigint[]), CAST(? AS bigint[])) AS r (lo, hi)
			CROSS JOIN LATERAL (SELECT place FROM events WHERE place >= ? AND place < ? AND place > r.lo AND place <= r.hi ORDER BY place DESC LIMIT 1) e`,
			ranges.lo, ranges.hi, bucketStart(bucket), bucketStart(bucket+1)); err != nil {
			return nil, nil, err
		}
	}
	return next, buckets, nil
}

// feedNodes are all nodes that have ever been.
func (s *Store) feedNodes(ctx context.Context) ([]feedNode, error) {
	var out []feedNode
	err := readRows(ctx, s.r, func(scan func(...any) error) error {
		var n feedNode
		var first uint32
		err := scan(&n.no, &n.mark, &n.ended, &first)
		n.first = placeOf(carom.Ref{Bucket: first, Node: n.no})
		out = append(out, n)
		return err
	}, `SELECT no, mark, ended_at > 0, first_bucket FROM nodes`)
	return out, err
}

// keptBuckets are the buckets from a number on, newest first.
func (s *Store) keptBuckets(ctx context.Context, from uint32) ([]uint32, error) {
	var out []uint32
	err := readRows(ctx, s.r, func(scan func(...any) error) error {
		var number uint32
		err := scan(&number)
		out = append(out, number)
		return err
	}, `SELECT bucket FROM buckets WHERE bucket >= ? AND opened_at > 0 AND dropped = 0 ORDER BY bucket DESC`, int64(from))
	return out, err
}
