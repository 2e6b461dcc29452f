package postgres

import (
	"context"
	"errors"
	"fmt"

	"carom"
	"carom/internal/tables"
)

// Bounds of one page of an endpoint's deliveries. Nothing indexes events by their endpoints, so what is rare is looked for over
// several pages.
const (
	deliveryScan    = 200_000 // events that are looked at
	deliveryStories = 2_000   // deliveries whose attempts are read
	stateScan       = 20_000  // the same, where the outcomes of every endpoint are looked at as well
	deliveryChunk   = 10_000  // events that one query looks at
)

// Deliveries returns what one endpoint, by its number, or every endpoint with 0 was owed: stories with those deliveries alone, newest
// event first. Of f, App (to which the endpoint belongs), Since, To, Before and Limit count; an empty state lets all through. A page may
// be shorter than the limit, even empty, and yet have a next: there to go on. It returns carom.ErrInvalid when the cursor is not an
// event id.
func (s *Store) Deliveries(ctx context.Context, endpoint int, state carom.DeliveryState, f carom.EventFilter) (list []*carom.Story, next carom.EventID, err error) {
	p := deliveryPage{s: s, endpoint: endpoint, state: state, filter: f, limit: tables.PageSize(f.Limit), scan: deliveryScan, stories: deliveryStories,
		chunk: deliveryChunk}
	switch {
	case endpoint == 0 && state != "":
		p.scan, p.chunk = stateScan, findChunk
	case endpoint == 0:
		p.scan, p.chunk = findScan, findChunk // all of whose deliveries are looked for
	}
	before, err := s.beforeEvent(ctx, f.Before)
	if err != nil {
		return nil, "", err
	}
	if p.names, err = s.EndpointNames(ctx); err != nil {
		return nil, "", fmt.Errorf("list deliveries: %w", err)
	}
	if err := s.newestBuckets(ctx, before, f.Since, func(r span) (bool, error) {
		err := p.look(ctx, r)
		return p.next == "", err
	}); err != nil {
		return nil, "", fmt.Errorf("list deliveries: %w", err)
	}
	return p.list, p.next, nil
}

// deliveryPage is one page as it is gathered.
type deliveryPage struct {
	s        *Store
	endpoint int            // 0: any
	names    map[int]string // of all
	state    carom.DeliveryState
	filter   carom.EventFilter

	limit, scan, stories int // what may still be found, looked at, and read
	chunk                int

	list []*carom.Story
	next carom.EventID // set when the page is full: the last event that was looked at
}

// look gathers from a bucket's events.
func (p *deliveryPage) look(ctx context.Context, r span) error {
	for {
		found, looked, err := p.candidates(ctx, r)
		if err != nil {
			return err
		}
		for _, c := range found {
			r.at, r.place = c.at, c.place
			if c.owed {
				if err := p.take(ctx, c.place); err != nil {
					return err
				}
			}
			if p.limit <= 0 || p.stories <= 0 {
				return p.endAt(ctx, c.place)
			}
		}
		if p.scan -= looked; looked < p.chunk {
			return nil
		}
		if p.scan <= 0 {
			return p.endAt(ctx, r.place)
		}
	}
}

func (p *deliveryPage) endAt(ctx context.Context, place int64) error {
	ref := refOf(place)
	life, err := p.s.lifeAt(ctx, ref)
	p.next = carom.NewEventID(life, ref)
	return err
}

// candidate is an event that may belong to a page.
type candidate struct {
	at, place int64
	owed      bool // it does; else it is only the last that was looked at
}

// candidates looks at the next chunk of a bucket's events. It returns those, newest first, that are owed to an endpoint of the page and may have a
// delivery in the state, and the last one of all.
func (p *deliveryPage) candidates(ctx context.Context, r span) (found []candidate, looked int, err error) {
	times := timeConditions(p.filter)
	in := times.within(r)
	from, to := bucketStart(uint32(r.bucket)), bucketStart(uint32(r.bucket+1))
	var owed conditions
	if p.filter.App != "" {
		owed.add(`app = ?`, p.filter.App)
	}
	outcomes, waits := conditions{`o.place = e.place AND o.place >= ? AND o.place < ?`, []any{from, to}}, conditions{where: `d.place = e.place`}
	if p.endpoint == 0 {
		owed.add(`endpoints ~ '[0-9]'`)
	} else {
		owed.add(`(position(? IN ' ' || endpoints || ' ') > 0 OR position(? IN ' ' || endpoints) > 0)`, fmt.Sprintf(" %d ", p.endpoint), fmt.Sprintf(" %d:", p.endpoint))
		outcomes.add(`o.endpoint = ?`, p.endpoint)
	}
	waits.add(`d.endpoint = ANY (?)`, tables.EndpointNumbers(p.names, p.filter.App, p.endpoint))
	switch p.state {
	case "":
	case carom.Pending: // what has ended is not pending, unless it waits again
		all := `1`
		if p.endpoint == 0 {
			all = `cardinality(array_remove(string_to_array(endpoints, ' '), '-'))`
		}
		owed.add(`((SELECT count(DISTINCT o.ordinal) FROM outcomes o WHERE `+outcomes.where+` AND o.state <> 'pending') < `+all+`
			OR EXISTS (SELECT 1 FROM due d WHERE `+waits.where+`))`, append(outcomes.args, waits.args...)...)
	case carom.Dead, carom.Expired: // of which there is an index, with just this condition
		outcomes.where += ` AND o.state IN ('dead', 'expired')`
		fallthrough
	default:
		owed.add(`EXISTS (SELECT 1 FROM outcomes o WHERE `+outcomes.where+` AND o.state = ?)`, append(outcomes.args, string(p.state))...)
	}
	args := append(append(owed.args, in.args...), p.chunk) // as they stand in the text
	err = readRows(ctx, p.s.r, func(scan func(...any) error) error {
		var one candidate
		err := scan(&one.at, &one.place, &one.owed, &looked)
		found = append(found, one)
		return err
	}, `SELECT at, place, owed, looked FROM (
		SELECT at, place, `+owed.where+` AS owed, row_number() OVER (ORDER BY at DESC, place DESC) AS n, count(*) OVER () AS looked
		FROM (SELECT at, place, app, endpoints FROM events WHERE `+in.where+` ORDER BY at DESC, place DESC LIMIT ?) e) chunk
		WHERE owed OR n = looked ORDER BY n`, args...)
	return found, looked, err
}

// take adds the event's deliveries to the endpoint that are in the state.
func (p *deliveryPage) take(ctx context.Context, place int64) error {
	ref := refOf(place)
	life, err := p.s.lifeAt(ctx, ref)
	if err != nil {
		return err
	}
	story, read, err := p.s.StoryFor(ctx, carom.NewEventID(life, ref), p.endpoint, p.names, p.state)
	if errors.Is(err, carom.ErrNotFound) {
		return nil // retention dropped it since
	}
	if err != nil {
		return err
	}
	if p.stories -= read; len(story.Deliveries) > 0 {
		p.list = append(p.list, story)
		p.limit -= len(story.Deliveries)
	}
	return nil
}
