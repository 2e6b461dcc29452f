package tables

import (
	"context"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"carom"
)

// The sample of what proved nothing is bounded per source and in size, and kept off the accept path: a flood costs a map
// update per request and at most SamplesPerFlush rows a flush and source.
const (
	SampleSlots      = 200  // rows per source
	SamplesPerFlush  = 10   // new rows per source and flush
	SampleBytes      = 2048 // of query and of body, each
	unknownSourceKey = "?"
)

// Unverified gathers what proved nothing between two flushes: counts, which are exact, and a sample. All methods are safe for
// concurrent use, but for Write, Written and GiveBack, which belong to whoever flushes.
type Unverified struct {
	mu      sync.Mutex // guards counts, samples and seen
	counts  map[unverifiedKey]int64
	samples map[string][]carom.Unverified // by source key
	seen    map[string]int64              // by source key, since the last flush

	next     map[string]int64        // next slot by source key
	inFlight map[unverifiedKey]int64 // being written: given back if the commit fails
}

type unverifiedKey struct {
	app, source string
	reason      carom.Reason
}

// NewUnverified makes one that has gathered nothing.
func NewUnverified() *Unverified {
	return &Unverified{counts: map[unverifiedKey]int64{}, samples: map[string][]carom.Unverified{}, seen: map[string]int64{}, next: map[string]int64{}}
}

// Add counts a received postback that proved nothing, and may take it up into the sample, cut to its bounds and without its headers.
func (u *Unverified) Add(v carom.Unverified) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.counts[unverifiedKey{v.App, v.Source, v.Reason}]++
	key := unknownSourceKey
	if v.App != "" && v.Source != "" {
		key = v.App + "/" + v.Source
	}
	u.seen[key]++
	v.Received.Header = nil
	kept := u.samples[key]
	if len(kept) < SamplesPerFlush {
		u.samples[key] = append(kept, clipSample(v))
	} else if i := rand.Int64N(u.seen[key]); i < SamplesPerFlush { // reservoir: each has the same chance
		kept[i] = clipSample(v)
	}
}

func clipSample(v carom.Unverified) carom.Unverified {
	r := &v.Received
	r.RawQuery = r.RawQuery[:min(len(r.RawQuery), SampleBytes)]
	r.Path = r.Path[:min(len(r.Path), SampleBytes)]
	r.ContentType = r.ContentType[:min(len(r.ContentType), 200)]
	r.Body = append([]byte(nil), r.Body[:min(len(r.Body), SampleBytes)]...) // the rest of a large body is not kept alive
	return v
}

// Waiting says whether there is something to flush.
func (u *Unverified) Waiting() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.counts) > 0
}

// Write adds what has gathered to the counts, and puts the sample into the transaction. Once that is committed Written follows, and
// GiveBack when it failed.
func (u *Unverified) Write(tx Tx, counts *Counts, now time.Time) error {
	u.mu.Lock()
	gathered, samples := u.counts, u.samples
	if len(gathered) == 0 {
		u.mu.Unlock()
		return nil
	}
	u.counts, u.samples = map[unverifiedKey]int64{}, map[string][]carom.Unverified{}
	clear(u.seen)
	u.mu.Unlock()

	u.inFlight = gathered
	for k, n := range gathered {
		counts.Other(k.app, k.source, carom.OutcomeUnverified+":"+string(k.reason), now, n)
	}
	for _, key := range slices.Sorted(maps.Keys(samples)) {
		list := samples[key]
		// In order, so that the ring's newest slot can be told after a restart.
		slices.SortFunc(list, func(a, b carom.Unverified) int { return a.Received.At.Compare(b.Received.At) })
		for _, v := range list {
			if err := u.writeSample(tx, key, v); err != nil {
				return err
			}
		}
	}
	return nil
}

func (u *Unverified) writeSample(tx Tx, key string, v carom.Unverified) error {
	slot, ok := u.next[key]
	if !ok { // the first since the start: go on after the newest
		var err error
		if slot, err = tx.Int64(`SELECT coalesce((SELECT slot FROM unverified WHERE source = ? ORDER BY at DESC, slot DESC LIMIT 1), -1) + 1`, key); err != nil {
			return err
		}
	}
	u.next[key] = (slot + 1) % SampleSlots
	r := &v.Received
	return tx.Exec(`INSERT INTO unverified (source, slot, at, reason, method, path, query, content_type, body, client)
		VALUES (?,?,?,?,?,?,?,?,?,?) ON CONFLICT (source, slot) DO UPDATE SET at = excluded.at, reason = excluded.reason, method = excluded.method,
		path = excluded.path, query = excluded.query, content_type = excluded.content_type, body = excluded.body, client = excluded.client`,
		key, slot%SampleSlots, r.At.UnixMilli(), string(v.Reason), r.Method, r.Path, r.RawQuery, r.ContentType, Blob(r.Body), ClientText(r))
}

// Written forgets what was written: it is committed.
func (u *Unverified) Written() { u.inFlight = nil }

// GiveBack keeps the counts of a failed commit, which must be exact; its samples are lost.
func (u *Unverified) GiveBack() {
	u.mu.Lock()
	defer u.mu.Unlock()
	for k, n := range u.inFlight {
		u.counts[k] += n
	}
	u.inFlight = nil
}

// UnverifiedSample returns the newest of the sample of received postbacks that proved nothing, newest first. Empty app and
// source select all.
func (t *Tables) UnverifiedSample(ctx context.Context, app, source string, limit int) ([]*carom.Unverified, error) {
	key := ""
	if app != "" && source != "" {
		key = app + "/" + source
	}
	var out []*carom.Unverified
	err := t.readRows(ctx, t.o.Read, func(scan func(...any) error) error {
		var v carom.Unverified
		var at int64
		var source, client string
		r := &v.Received
		if err := scan(&source, &at, &v.Reason, &r.Method, &r.Path, &r.RawQuery, &r.ContentType, &r.Body, &client); err != nil {
			return err
		}
		v.App, v.Source, _ = strings.Cut(source, "/")
		if source == unknownSourceKey {
			v.App = ""
		}
		r.At, r.Client = time.UnixMilli(at).UTC(), ParseClient(client)
		out = append(out, &v)
		return nil
	}, `SELECT source, at, reason, method, path, query, content_type, body, client FROM unverified WHERE (?1 = '' OR source = ?1)
		AND (CAST(?2 AS text) = '' OR substr(source, 1, length(CAST(?2 AS text)) + 1) = CAST(?2 AS text) || '/') ORDER BY at DESC LIMIT ?3`,
		key, app, PageSize(limit))
	return out, err
}
