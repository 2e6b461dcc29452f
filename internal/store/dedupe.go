package store

import (
	"time"

	"carom"
)

// openKeys holds what must be found quickly in a bucket that has no index yet: the dedupe keys by their sum, and the
// search keys in order of sequence.
//
// The committer alone writes it. Searches copy a list of search under searchMu; what it shows never changes.
type openKeys struct {
	firsts keyTable
	search [searchKinds]list[uint64] // see searchKey
}

// newOpenKeys makes room for the keys of n events.
func newOpenKeys(n int) *openKeys { return &openKeys{firsts: newKeyTable(n)} }

// The kinds of search key, in the order of their sections in an index file.
const (
	searchYMID = iota
	searchUser
	searchZone
	searchKinds
)

// searchSeqBits is how many of a search key's bits hold the sequence; the others hold a hash of what is searched for.
// A bucket therefore holds fewer than 2^22 events.
const searchSeqBits = 22

// MaxBucketEvents is how many events a bucket can hold at most, with room for one batch beyond it.
const MaxBucketEvents = 1<<searchSeqBits - maxBatch - maxSubmissions - 1

// searchKey joins the hash of a value and a sequence, so that sorting groups a value's events in order.
func searchKey(value string, seq uint32) uint64 {
	return searchHash(value)<<searchSeqBits | uint64(seq)
}

// searchHash is FNV-1a over the value. It only narrows a search: rows are compared in full afterwards.
func searchHash(value string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(value) {
		h = (h ^ uint64(value[i])) * 1099511628211
	}
	return (h ^ h>>32) & (1<<(64-searchSeqBits) - 1)
}

// addSearch appends the search keys of an event. Empty values are not searched for.
func (k *openKeys) addSearch(ymid, user, zone string, seq uint32) {
	for kind, value := range [searchKinds]string{searchYMID: ymid, searchUser: user, searchZone: zone} {
		if value != "" {
			k.search[kind].push(searchKey(value, seq))
		}
	}
}

// within says whether an event at now is a copy of the one at f. A clock that jumped back makes nothing old: it counts.
func (f first) within(now time.Time, window time.Duration) bool {
	return now.Unix()-int64(f.at) < int64(window/time.Second)
}

// lookup finds the first event of a key that still counts, in the open bucket, those being sealed, and the closed ones. After
// an error it is not known whether there is one.
func (s *Store) lookup(sum [16]byte, window time.Duration, now time.Time) (carom.Ref, first, bool, error) {
	if f, ok := s.open.keys.firsts.get(sum); ok && f.within(now, window) {
		return carom.Ref{Bucket: s.open.number, Seq: f.seq}, f, true, nil
	}
	closed := *s.closed.Load()
	for i := len(closed) - 1; i >= 0; i-- { // the newest first: copies come soon
		b := closed[i]
		if now.Sub(b.lastAt) >= window {
			continue // nothing in it counts any more
		}
		var f first
		var ok bool
		var err error
		if b.index != nil {
			f, ok, err = b.index.first(sum)
		} else {
			f, ok = b.keys.firsts.get(sum)
		}
		if err != nil {
			return carom.Ref{}, first{}, false, translate(err)
		}
		if ok && f.within(now, window) {
			return carom.Ref{Bucket: b.number, Seq: f.seq}, f, true, nil
		}
	}
	return carom.Ref{}, first{}, false, nil
}
