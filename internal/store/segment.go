package store

import (
	"cmp"
	"database/sql/driver"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"carom"
	"carom/internal/tables"
)

// Rewards are numbered without a gap and kept for ever. What a view or a transaction has earned is found through their keys,
// as events are: in memory for the segment that is still open, through an index file for each full one.

// segments are all rewards' keys. The committer alone changes them, under searchMu where readers look.
type segments struct {
	newest int64 // number of the newest reward
	open   *openSegment
	closed atomic.Pointer[[]*closedSegment]

	reversals bool // there are some among the keys
}

type openSegment struct {
	number uint32
	first  int64 // number of its first reward
	keys   *openKeys
}

// closedSegment takes no more rewards. It has keys until its index is built. It is immutable: sealing replaces it.
type closedSegment struct {
	number uint32
	first  int64
	keys   *openKeys
	index  *index
}

// The kinds of search key of a reward.
const (
	searchRewardView = iota
	searchRewardUser
	searchRewardTx
)

// userSearch is what a user of an app is searched by.
func userSearch(app, user string) string { return app + "/" + user }

// loadSegments reads the keys of the open segment and opens the indexes of the others, building those that are missing.
func (s *Store) loadSegments() error {
	type row struct {
		number      uint32
		first, last int64
	}
	var rows []row
	if err := s.w.query(`SELECT segment, first, last FROM reward_segments ORDER BY segment`, func(v []driver.Value) error {
		rows = append(rows, row{uint32(v[0].(int64)), v[1].(int64), v[2].(int64)})
		return nil
	}); err != nil {
		return err
	}
	if len(rows) == 0 {
		if err := s.w.exec(`INSERT INTO reward_segments (segment, first) VALUES (1, 1)`); err != nil {
			return err
		}
		rows = append(rows, row{number: 1, first: 1})
	}
	var err error
	if s.rewards.newest, err = s.w.int64(`SELECT max(no) FROM rewards`); err != nil {
		return err
	}
	some, err := s.w.int64(`SELECT count(*) FROM (SELECT 1 FROM reversals LIMIT 1)`)
	if err != nil {
		return err
	}
	s.rewards.reversals = some > 0
	closed := []*closedSegment{}
	s.rewards.closed.Store(&closed)
	for _, r := range rows {
		if r.last == 0 {
			keys, err := s.scanRewards(r.number, r.first, s.rewards.newest, s.opts.SegmentRewards)
			if err != nil {
				return err
			}
			s.rewards.open = &openSegment{number: r.number, first: r.first, keys: keys}
			continue
		}
		seg := &closedSegment{number: r.number, first: r.first}
		path := segmentPath(s.dir, r.number)
		if seg.index, err = openIndex(path, r.number); err != nil {
			if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, errBadIndex) {
				return err
			}
			s.recovered.Rebuilt++
			if seg.keys, err = s.scanRewards(r.number, r.first, r.last, 0); err != nil {
				return err
			}
			if seg.index, err = buildAndOpen(path, r.number, seg.keys); err != nil { // the disk may be full
				s.log.Error("cannot build the index of a segment of rewards; its keys stay in memory, will try again", "segment", r.number, "error", err)
			} else {
				seg.keys = nil
			}
		}
		closed = append(closed, seg)
	}
	return nil
}

// scanRewards reads the keys of a segment, whose rewards are those numbered from and to and between them, from its rows.
func (s *Store) scanRewards(segment uint32, from, to int64, room int) (*openKeys, error) {
	keys := newOpenKeys(max(room, int(to-from+1)))
	if err := s.w.query(`SELECT no, at, app, rule, additional, user, view, tx FROM rewards WHERE no BETWEEN ? AND ? ORDER BY no`, func(v []driver.Value) error {
		r := tables.RewardRow{No: v[0].(int64), Additional: v[4].(int64) != 0}
		r.App, r.Rule, r.User = v[2].(string), v[3].(string), v[5].(string)
		r.At = time.UnixMilli(v[1].(int64))
		r.View, r.Tx = tables.SumOf(v[6]), tables.SumOf(v[7])
		seq := uint32(r.No - from + 1)
		for _, sum := range r.Claims() {
			keys.firsts.put(sum, rewardFirst(&r, seq))
		}
		addSearch(keys, &r, seq)
		return nil
	}, from, to); err != nil {
		return nil, err
	}
	return keys, s.w.query(`SELECT sum FROM reversals WHERE segment = ?`, func(v []driver.Value) error {
		keys.firsts.put(tables.ReversedSum(tables.SumOf(v[0])), first{})
		return nil
	}, int64(segment))
}

// rewardOf finds the reward that claimed a sum, and the hash of its rule. After an error it is not known whether there is one.
func (s *Store) rewardOf(sum [16]byte) (no int64, rule uint32, ok bool, err error) {
	if f, ok := s.rewards.open.keys.firsts.get(sum); ok {
		return s.rewards.open.first + int64(f.seq) - 1, f.check, true, nil
	}
	for _, seg := range *s.rewards.closed.Load() {
		var f first
		if seg.index == nil {
			f, ok = seg.keys.firsts.get(sum)
		} else if f, ok, err = seg.index.first(sum); err != nil {
			return 0, 0, false, translate(err)
		}
		if ok {
			return seg.first + int64(f.seq) - 1, f.check, true, nil
		}
	}
	return 0, 0, false, nil
}

// findRewards returns the numbers below before of stored rewards that carry a search key, newest first, at most limit. Some
// may carry another value with the same hash.
func (s *Store) findRewards(kind int, value string, before int64, limit int) ([]int64, error) {
	s.searchMu.RLock()
	open := *s.rewards.open
	keys := open.keys.search[kind] // a copy: the committer appends to the original
	closed := *s.rewards.closed.Load()
	s.searchMu.RUnlock()
	var out []int64
	take := func(first int64, seqs []uint32) {
		for _, seq := range seqs {
			out = append(out, first+int64(seq)-1)
		}
	}
	end := func(first int64) uint32 { return uint32(min(max(before-first+1, 0), 1<<searchSeqBits-1)) }
	take(open.first, findOpen(&keys, value, end(open.first), limit))
	for i := len(closed) - 1; i >= 0 && len(out) < limit; i-- {
		seg := closed[i]
		if before <= seg.first || seg.number == open.number {
			continue
		}
		if seg.index == nil {
			take(seg.first, findOpen(&seg.keys.search[kind], value, end(seg.first), limit-len(out)))
			continue
		}
		seqs, err := seg.index.find(kind, value, end(seg.first), limit-len(out))
		if err != nil {
			return nil, translate(err)
		}
		take(seg.first, seqs)
	}
	if kind == searchRewardUser && strings.Contains(value, "/"+carom.ErasedPrefix) {
		return s.addErased(out, value, before, limit)
	}
	return out, nil
}

// addErased adds the rewards of the name that took the place of an erased user. An index knows them if it was built since.
func (s *Store) addErased(found []int64, value string, before int64, limit int) ([]int64, error) {
	_, user, _ := strings.Cut(value, "/")
	rows, err := s.r.Query(`SELECT reward FROM erased WHERE user = ? AND reward < ? ORDER BY reward DESC LIMIT ?`, user, before, limit)
	if err != nil {
		return nil, translate(err)
	}
	defer rows.Close()
	for rows.Next() {
		var no int64
		if err := rows.Scan(&no); err != nil {
			return nil, translate(err)
		}
		found = append(found, no)
	}
	slices.SortFunc(found, func(x, y int64) int { return cmp.Compare(y, x) })
	found = slices.Compact(found)
	return found[:min(len(found), limit)], translate(rows.Err())
}

// rotateSegment closes the open segment and opens the next when it is full.
func (s *Store) rotateSegment() error {
	o := s.rewards.open
	if s.rewards.newest-o.first+1 < int64(s.opts.SegmentRewards) {
		return nil
	}
	next := &openSegment{number: o.number + 1, first: s.rewards.newest + 1, keys: newOpenKeys(s.opts.SegmentRewards)}
	if err := s.w.tx(func() error {
		if err := s.w.exec(`UPDATE reward_segments SET last = ? WHERE segment = ?`, s.rewards.newest, int64(o.number)); err != nil {
			return err
		}
		return s.w.exec(`INSERT INTO reward_segments (segment, first) VALUES (?, ?)`, int64(next.number), next.first)
	}); err != nil {
		return fmt.Errorf("open segment %d of rewards: %w", next.number, err)
	}
	s.searchMu.Lock()
	s.replaceSegments(func(list []*closedSegment) []*closedSegment {
		return append(list, &closedSegment{number: o.number, first: o.first, keys: o.keys})
	})
	s.rewards.open = next
	s.searchMu.Unlock()
	select {
	case s.sealed <- struct{}{}:
	default: // the janitor already knows
	}
	return nil
}

// replaceSegments swaps the list of closed segments for change's result.
func (s *Store) replaceSegments(change func([]*closedSegment) []*closedSegment) {
	s.sealMu.Lock()
	defer s.sealMu.Unlock()
	old := *s.rewards.closed.Load()
	list := change(append(make([]*closedSegment, 0, len(old)+1), old...))
	s.rewards.closed.Store(&list)
}

// sealSegments builds the index of every full segment that has none. The caller holds houseMu.
func (s *Store) sealSegments() {
	for _, seg := range *s.rewards.closed.Load() {
		if seg.index != nil {
			continue
		}
		index, err := buildAndOpen(segmentPath(s.dir, seg.number), seg.number, seg.keys)
		if err != nil {
			s.log.Error("cannot build the index of a segment of rewards; its keys stay in memory, will try again", "segment", seg.number, "error", err)
			return
		}
		s.replaceSegments(func(list []*closedSegment) []*closedSegment {
			for i := range list {
				if list[i].number == seg.number {
					list[i] = &closedSegment{number: seg.number, first: seg.first, index: index}
				}
			}
			return list
		})
	}
}
