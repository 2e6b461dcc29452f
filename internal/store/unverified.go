package store

import (
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"carom"
)

// The sample of what proved nothing is bounded per source and in size, and kept off the accept path: a flood costs a map
// update per request and at most samplesPerFlush rows a second and source.
const (
	sampleSlots      = 200  // rows per source
	samplesPerFlush  = 10   // new rows per source and flush
	sampleBytes      = 2048 // of query and of body, each
	unknownSourceKey = "?"
)

// unverified gathers counts and samples between commits.
type unverified struct {
	mu      sync.Mutex // guards all below
	counts  map[unverifiedKey]int64
	samples map[string][]carom.Unverified // by source key
	seen    map[string]int64              // by source key, since the last flush
	next    map[string]int64              // next slot by source key

	inFlight map[unverifiedKey]int64 // being written: given back if the commit fails
}

type unverifiedKey struct {
	app, source string
	reason      carom.Reason
}

func (u *unverified) init() {
	u.counts = map[unverifiedKey]int64{}
	u.samples = map[string][]carom.Unverified{}
	u.seen = map[string]int64{}
	u.next = map[string]int64{}
}

// Unverified counts a received postback that proved nothing, and may keep it in the sample. It never waits for the disk:
// counts and samples are stored within about a second.
func (s *Store) Unverified(v carom.Unverified) {
	u := &s.unverified
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
	if len(kept) < samplesPerFlush {
		u.samples[key] = append(kept, clipSample(v))
	} else if i := rand.Int64N(u.seen[key]); i < samplesPerFlush { // reservoir: each has the same chance
		kept[i] = clipSample(v)
	}
}

func clipSample(v carom.Unverified) carom.Unverified {
	r := &v.Received
	r.RawQuery = r.RawQuery[:min(len(r.RawQuery), sampleBytes)]
	r.Path = r.Path[:min(len(r.Path), sampleBytes)]
	r.ContentType = r.ContentType[:min(len(r.ContentType), 200)]
	r.Body = append([]byte(nil), r.Body[:min(len(r.Body), sampleBytes)]...) // the rest of a large body is not kept alive
	return v
}

func (u *unverified) waiting() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.counts) > 0
}

// writeUnverified puts what has gathered into the open transaction.
func (s *Store) writeUnverified(now time.Time) error {
	u := &s.unverified
	u.mu.Lock()
	counts, samples := u.counts, u.samples
	if len(counts) == 0 {
		u.mu.Unlock()
		return nil
	}
	u.inFlight = counts
	u.counts, u.samples = map[unverifiedKey]int64{}, map[string][]carom.Unverified{}
	clear(u.seen)
	u.mu.Unlock()

	for k, n := range counts {
		s.counts.other(k.app, k.source, carom.OutcomeUnverified+":"+string(k.reason), now, n)
	}
	for key, list := range samples {
		// In order, so that the ring's newest slot can be told after a restart.
		slices.SortFunc(list, func(a, b carom.Unverified) int { return a.Received.At.Compare(b.Received.At) })
		for _, v := range list {
			if err := s.writeSample(key, v); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Store) writeSample(key string, v carom.Unverified) error {
	slot, ok := s.unverified.next[key]
	if !ok { // the first since the start: go on after the newest
		var err error
		if slot, err = s.w.int64(`SELECT coalesce((SELECT slot FROM unverified WHERE source = ?1 ORDER BY at DESC, slot DESC LIMIT 1), -1) + 1`, key); err != nil {
			return err
		}
	}
	s.unverified.next[key] = (slot + 1) % sampleSlots
	r := &v.Received
	return s.w.exec(`INSERT OR REPLACE INTO unverified (source, slot, at, reason, method, path, query, content_type, body, client)
		VALUES (?,?,?,?,?,?,?,?,?,?)`, key, slot%sampleSlots, r.At.UnixMilli(), string(v.Reason), r.Method, r.Path, r.RawQuery,
		r.ContentType, blob(r.Body), clientText(r))
}

func (u *unverified) written() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.inFlight = nil
}

// giveBack keeps the counts of a failed commit, which must be exact; its samples are lost.
func (u *unverified) giveBack() {
	u.mu.Lock()
	defer u.mu.Unlock()
	for k, n := range u.inFlight {
		u.counts[k] += n
	}
	u.inFlight = nil
}
