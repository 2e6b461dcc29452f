package postgres

import (
	"context"
	"fmt"
	"time"

	"carom"
	"carom/internal/tables"
)

// Bounds of what a survey of all endpoints reads. Nothing indexes attempts by their endpoints, so those of the newest events are looked
// at, and for each endpoint those of the deliveries that wait.
const (
	surveyOutcomes = 100_000 // attempts of the newest events
	surveyEvents   = 50_000  // newest events
	surveyWaiting  = 10      // deliveries of an endpoint that wait after a failed attempt
)

// NewestAttempts returns the newest attempts of every endpoint, by the endpoints' numbers: up to each of them, oldest first, with
// what was answered cut to 2 KiB, and those of some deliveries that wait, in nobody's hands, after a failed attempt. Ends of deliveries
// without an attempt are among them. It looks at so many rows of the newest events and at what waits: what an endpoint of rare events
// got long ago is not found, and neither is what was made before since.
func (s *Store) NewestAttempts(ctx context.Context, since time.Time, each int) (map[int][]carom.Attempt, error) {
	found := tables.FindAttempts(since, each)
	left := surveyOutcomes
	if err := s.newestBuckets(ctx, newest(), since, func(r span) (bool, error) {
		looked, err := s.bucketAttempts(ctx, r, left, each, found.Newest)
		left -= looked
		return left > 0, err
	}); err != nil {
		return nil, fmt.Errorf("read the newest attempts: %w", err)
	}
	if err := s.waitingAttempts(ctx, found.Add); err != nil {
		return nil, fmt.Errorf("read the attempts of what waits: %w", err)
	}
	return found.Sorted(), nil
}

// bucketAttempts reads up to each attempts of every endpoint among those of the newest events of the bucket, and says how many it
// looked at.
func (s *Store) bucketAttempts(ctx context.Context, r span, rows, each int, add func(int, carom.Attempt)) (looked int, err error) {
	from, to := bucketStart(uint32(r.bucket)), bucketStart(uint32(r.bucket+1))
	err = s.attempts(ctx, add, &looked, `WITH newest AS MATERIALIZED (
			SELECT e.at, o.place, o.ordinal, o.attempt, o.endpoint FROM events e JOIN outcomes o ON o.place = e.place
			WHERE e.place >= ?1 AND e.place < ?2 AND o.place >= ?1 AND o.place < ?2
			ORDER BY e.at DESC, e.place DESC, o.ordinal DESC, o.attempt DESC LIMIT ?3),
		ranked AS (SELECT place, ordinal, attempt, row_number() OVER (PARTITION BY endpoint ORDER BY at DESC, place DESC, ordinal DESC, attempt DESC) AS rank FROM newest)
		SELECT `+attemptColumns+`, substr(o.answer, 1, ?5), (SELECT count(*) FROM newest)
		FROM ranked r CROSS JOIN LATERAL (SELECT `+attemptColumns+`, o.answer FROM outcomes o
			WHERE o.place >= ?1 AND o.place < ?2 AND o.place = r.place AND o.ordinal = r.ordinal AND o.attempt = r.attempt LIMIT 1) o
		WHERE r.rank <= ?4 ORDER BY r.rank`, from, to, rows, each, tables.SurveyAnswer)
	return looked, err
}

// waitingAttempts reads the attempts of deliveries that wait after a failed one, those of each endpoint that are due first. It looks at
// a bounded number of those that wait.
func (s *Store) waitingAttempts(ctx context.Context, add func(int, carom.Attempt)) error {
	var looked int
	// One look into the index for each endpoint, however much waits.
	return s.attempts(ctx, add, &looked, `WITH RECURSIVE e (no) AS (SELECT min(endpoint) FROM due WHERE node = 0
			UNION ALL SELECT (SELECT min(endpoint) FROM due WHERE node = 0 AND endpoint > no) FROM e WHERE no IS NOT NULL)
		SELECT `+attemptColumns+`, substr(o.answer, 1, ?3), 0
		FROM e CROSS JOIN LATERAL (SELECT place, ordinal FROM (
				SELECT place, ordinal, attempts FROM due WHERE node = 0 AND endpoint = e.no ORDER BY due_at, place LIMIT ?1) d
			WHERE attempts > 0 LIMIT ?2) w
		JOIN outcomes o ON o.place = w.place AND o.ordinal = w.ordinal ORDER BY o.place DESC, o.ordinal DESC, o.attempt DESC`,
		20*surveyWaiting, surveyWaiting, tables.SurveyAnswer)
}

// attempts hands the attempts that a query selects to add, in its order: attemptColumns, the beginning of the answer, and looked.
func (s *Store) attempts(ctx context.Context, add func(int, carom.Attempt), looked *int, query string, args ...any) error {
	type row struct {
		place             int64
		ordinal, endpoint int
		carom.Attempt
	}
	var list []row
	if err := readRows(ctx, s.r, func(scan func(...any) error) error {
		var one row
		var err error
		one.place, one.ordinal, one.endpoint, one.Attempt, err = scanAttempt(func(to ...any) error { return scan(append(to, looked)...) })
		list = append(list, one)
		return err
	}, query, args...); err != nil {
		return err
	}
	for _, one := range list { // now that the connection is given back: to ask for a life needs one
		ref := refOf(one.place)
		life, err := s.lifeAt(ctx, ref)
		if err != nil {
			return err
		}
		one.Delivery = carom.NewDeliveryID(life, ref, one.ordinal)
		add(one.endpoint, one.Attempt)
	}
	return nil
}

// NewestEvents returns up to each of the newest events of every app, by the apps' names, newest first. It looks at so many of the
// newest events of all: those of an app that brings few may not be among them.
func (s *Store) NewestEvents(ctx context.Context, each int) (map[string][]*carom.Event, error) {
	found := map[string][]*carom.Event{}
	left := surveyEvents
	if err := s.newestBuckets(ctx, newest(), time.Time{}, func(r span) (bool, error) {
		from, to := bucketStart(uint32(r.bucket)), bucketStart(uint32(r.bucket+1))
		const newest = `(SELECT place, at, app FROM events WHERE place >= ?1 AND place < ?2 ORDER BY at DESC, place DESC LIMIT ?3)`
		list, err := s.queryEvents(ctx, s.r, `place >= ?1 AND place < ?2 AND place = ANY (ARRAY(SELECT place FROM (
			SELECT place, row_number() OVER (PARTITION BY app ORDER BY at DESC, place DESC) AS rank FROM `+newest+` newest) ranked WHERE rank <= ?4))
			ORDER BY at DESC, place DESC`, from, to, left, each)
		if err != nil {
			return false, err
		}
		for _, ev := range list {
			if len(found[ev.event.App]) < each {
				found[ev.event.App] = append(found[ev.event.App], ev.event)
			}
		}
		var looked int
		err = translate(numbered{s.r}.QueryRowContext(ctx, `SELECT count(*) FROM `+newest+` newest`, from, to, left).Scan(&looked))
		left -= looked
		return left > 0, err
	}); err != nil {
		return nil, fmt.Errorf("read the newest events: %w", err)
	}
	return found, nil
}
