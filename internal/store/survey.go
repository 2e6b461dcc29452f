package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"carom"
	"carom/internal/tables"
)

// Bounds of what a survey of all endpoints reads. Nothing indexes attempts by their endpoints, so the newest of all are looked
// at, and for each endpoint those of the deliveries that wait.
const (
	surveyOutcomes = 100_000 // newest rows of attempts
	surveyEvents   = 50_000  // newest rows of events
	surveyWaiting  = 10      // deliveries of an endpoint that wait after a failed attempt
)

// NewestAttempts returns the newest attempts of every endpoint, by the endpoints' numbers: up to each of them, oldest first, with
// what was answered cut to 2 KiB, and those of some deliveries that wait after a failed attempt. Ends of deliveries without an
// attempt are among them. It looks at so many rows of the newest events and at what waits: what an endpoint of rare events got
// long ago is not found, and neither is what was made before since.
func (s *Store) NewestAttempts(ctx context.Context, since time.Time, each int) (map[int][]carom.Attempt, error) {
	found := tables.FindAttempts(since, each)
	left := surveyOutcomes
	for _, bucket := range s.readableBuckets() {
		if left <= 0 || s.endedBefore(bucket, since) {
			break
		}
		looked, err := s.bucketAttempts(ctx, bucket, left, each, found.Newest)
		if errors.Is(err, errBucketGone) {
			continue // since the list of buckets was made
		}
		if err != nil {
			return nil, fmt.Errorf("read the newest attempts: %w", err)
		}
		left -= looked
	}
	if err := s.waitingAttempts(ctx, found.Add); err != nil {
		return nil, fmt.Errorf("read the attempts of what waits: %w", err)
	}
	return found.Sorted(), nil
}

// bucketAttempts reads up to each attempts of every endpoint among the newest rows of the bucket, and says how many rows it
// looked at.
func (s *Store) bucketAttempts(ctx context.Context, bucket uint32, rows, each int, add func(int, carom.Attempt)) (looked int, err error) {
	newest := fmt.Sprintf(`SELECT id, endpoint FROM outcomes_%d ORDER BY id DESC LIMIT %d`, bucket, rows)
	if err := s.r.QueryRowContext(ctx, `SELECT count(*) FROM (`+newest+`)`).Scan(&looked); err != nil {
		return 0, s.readErr(bucket, err)
	}
	err = s.attempts(ctx, bucket, fmt.Sprintf(`SELECT id FROM (
		SELECT id, row_number() OVER (PARTITION BY endpoint ORDER BY id DESC) AS place FROM (%s)) WHERE place <= %d`, newest, each), add)
	return looked, err
}

// waitingAttempts reads the attempts of deliveries that wait after a failed one, those of each endpoint that are due first.
func (s *Store) waitingAttempts(ctx context.Context, add func(int, carom.Attempt)) error {
	// One look into the index for each endpoint, however much waits.
	rows, err := s.r.QueryContext(ctx, `WITH RECURSIVE e(no) AS (SELECT min(endpoint) FROM due
		UNION ALL SELECT (SELECT min(endpoint) FROM due WHERE endpoint > no) FROM e WHERE no IS NOT NULL)
		SELECT no FROM e WHERE no IS NOT NULL`)
	if err != nil {
		return translate(err)
	}
	defer rows.Close()
	var endpoints []int
	for rows.Next() {
		var endpoint int
		if err := rows.Scan(&endpoint); err != nil {
			return translate(err)
		}
		endpoints = append(endpoints, endpoint)
	}
	if err := rows.Err(); err != nil {
		return translate(err)
	}
	for _, endpoint := range endpoints {
		due, err := s.waitingOf(ctx, endpoint)
		if err != nil {
			return err
		}
		for _, w := range due {
			if !s.readable(w.ref.Bucket) {
				continue
			}
			between := fmt.Sprintf(`SELECT id FROM outcomes_%d WHERE id BETWEEN %d AND %d`, w.ref.Bucket,
				outcomeID(w.ref.Seq, w.ordinal, 0), outcomeID(w.ref.Seq, w.ordinal, 1<<16-1))
			if err := s.attempts(ctx, w.ref.Bucket, between, add); err != nil && !errors.Is(err, errBucketGone) {
				return err
			}
		}
	}
	return nil
}

// waitingOne is the place of a delivery that waits.
type waitingOne struct {
	ref     carom.Ref
	ordinal int
}

// waitingOf finds deliveries of the endpoint that wait after a failed attempt. It looks at a bounded number of those that wait.
func (s *Store) waitingOf(ctx context.Context, endpoint int) ([]waitingOne, error) {
	rows, err := s.r.QueryContext(ctx, fmt.Sprintf(`SELECT event, ordinal FROM (
		SELECT event, ordinal, attempts FROM due WHERE endpoint = ? ORDER BY due_at, event LIMIT %d) WHERE attempts > 0 LIMIT %d`,
		20*surveyWaiting, surveyWaiting), endpoint)
	if err != nil {
		return nil, translate(err)
	}
	defer rows.Close()
	var out []waitingOne
	for rows.Next() {
		var event int64
		var w waitingOne
		if err := rows.Scan(&event, &w.ordinal); err != nil {
			return nil, translate(err)
		}
		w.ref = carom.RefOf(uint64(event))
		out = append(out, w)
	}
	return out, translate(rows.Err())
}

// attempts hands the attempts of a bucket whose ids the query selects to add, those of the newest events first.
func (s *Store) attempts(ctx context.Context, bucket uint32, ids string, add func(int, carom.Attempt), args ...any) error {
	rows, err := s.r.QueryContext(ctx, fmt.Sprintf(`SELECT id, endpoint, at, took_us, state, due_at, reason, flags, method, url, sent, status,
		substr(answer, 1, %d) FROM outcomes_%d WHERE id IN (%s) ORDER BY id DESC`, tables.SurveyAnswer, bucket, ids), args...)
	if err != nil {
		return s.readErr(bucket, err)
	}
	defer rows.Close()
	life := s.lifeOf(bucket)
	for rows.Next() {
		var a carom.Attempt
		var id, at, took, due int64
		var endpoint int
		var answer []byte
		if err := rows.Scan(&id, &endpoint, &at, &took, &a.State, &due, &a.Reason, &a.Flags, &a.Method, &a.URL, &a.Sent, &a.Status, &answer); err != nil {
			return translate(err)
		}
		seq, ordinal, number := splitOutcomeID(id)
		a.Delivery, a.Number = carom.NewDeliveryID(life, carom.Ref{Bucket: bucket, Seq: seq}, ordinal), number
		a.At, a.Took, a.Answer = time.UnixMilli(at).UTC(), time.Duration(took)*time.Microsecond, string(answer)
		if due != 0 {
			a.Due = time.UnixMilli(due).UTC()
		}
		add(endpoint, a)
	}
	return s.readErr(bucket, rows.Err())
}

// NewestEvents returns up to each of the newest events of every app, by the apps' names, newest first. It looks at so many of the
// newest events of all: those of an app that brings few may not be among them.
func (s *Store) NewestEvents(ctx context.Context, each int) (map[string][]*carom.Event, error) {
	found := map[string][]*carom.Event{}
	left := surveyEvents
	for _, bucket := range s.readableBuckets() {
		if left <= 0 {
			break
		}
		newest := fmt.Sprintf(`SELECT seq, app FROM events_%d ORDER BY seq DESC LIMIT %d`, bucket, left)
		var looked int
		err := s.r.QueryRowContext(ctx, `SELECT count(*) FROM (`+newest+`)`).Scan(&looked)
		var events []*carom.Event
		if err = s.readErr(bucket, err); err == nil {
			events, err = s.queryEvents(ctx, bucket, []string{fmt.Sprintf(`seq IN (SELECT seq FROM (
				SELECT seq, row_number() OVER (PARTITION BY app ORDER BY seq DESC) AS place FROM (%s)) WHERE place <= %d)`, newest, each)}, nil, left)
		}
		if errors.Is(err, errBucketGone) {
			continue // since the list of buckets was made
		}
		if err != nil {
			return nil, fmt.Errorf("read the newest events: %w", err)
		}
		left -= looked
		for _, ev := range events {
			if len(found[ev.App]) < each {
				found[ev.App] = append(found[ev.App], ev)
			}
		}
	}
	return found, nil
}
