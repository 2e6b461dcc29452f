package store

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"slices"
)

// first is where and when the first event of a dedupe key was accepted.
type first struct {
	seq   uint32 // in its bucket
	at    uint32 // seconds since 1970 UTC
	check uint32 // hash over amount and user, see carom.DedupeKey
}

// firstOf is the first event of the key with this sum.
type firstOf struct {
	sum [16]byte
	first
}

// keyTable maps the dedupe keys of one bucket to their first events: records in the order they came, and a hash table of
// their numbers. It takes 28 bytes a key and 8 to 16 for its place, half of what a Go map takes, and does not stop to move
// them as it grows. Keys are sums of a cryptographic hash already, so their own bits say where to look.
//
// One goroutine writes; others may read once nobody writes any more.
type keyTable struct {
	records list[firstOf]
	slots   []uint32 // 1 + number of a record, found by linear probing; 0 is free. At most half are taken
}

// newKeyTable makes a table for about n keys. More are taken too, but then it stops to make a larger hash table.
func newKeyTable(n int) keyTable {
	return keyTable{slots: make([]uint32, 2<<bits.Len(uint(n)))}
}

func (t *keyTable) len() int { return t.records.len() }

// find returns the key's record, nil when there is none, and the slot it is or would be in.
func (t *keyTable) find(sum [16]byte) (*firstOf, int) {
	mask := len(t.slots) - 1
	for i := int(binary.LittleEndian.Uint32(sum[8:])) & mask; ; i = (i + 1) & mask {
		n := t.slots[i]
		if n == 0 {
			return nil, i
		}
		if r := t.records.at(int(n - 1)); r.sum == sum {
			return r, i
		}
	}
}

func (t *keyTable) get(sum [16]byte) (first, bool) {
	if r, _ := t.find(sum); r != nil {
		return r.first, true
	}
	return first{}, false
}

// put sets a key's first event and returns the one it had before.
func (t *keyTable) put(sum [16]byte, f first) (old first, had bool) {
	r, slot := t.find(sum)
	if r != nil {
		old = r.first
		r.first = f
		return old, true
	}
	t.records.push(firstOf{sum, f})
	if t.slots[slot] = uint32(t.len()); 2*t.len() > len(t.slots) {
		t.slots = make([]uint32, 2*len(t.slots))
		for i := range t.len() {
			_, slot := t.find(t.records.at(i).sum)
			t.slots[slot] = uint32(i + 1)
		}
	}
	return first{}, false
}

// takeBack undoes the newest put that has not been undone, which was of this key and returned old and had.
func (t *keyTable) takeBack(sum [16]byte, old first, had bool) {
	r, slot := t.find(sum)
	if had {
		r.first = old
		return
	}
	// The newest of all: no other key's search passes its slot.
	t.slots[slot] = 0
	t.records.pop()
}

// sorted returns the numbers of the records in the order of their sums. It takes 4.5 bytes a key.
func (t *keyTable) sorted() []uint32 {
	// Sums are spread evenly: first into groups of about eight by their highest bits, then each group by itself.
	n := t.len()
	groupBits := max(bits.Len(uint(n/8)), 1)
	group := func(i int) uint32 { return binary.BigEndian.Uint32(t.records.at(i).sum[:4]) >> (32 - groupBits) }
	ends := make([]uint32, 1<<groupBits)
	for i := range n {
		ends[group(i)]++
	}
	var sum uint32
	for g, count := range ends {
		ends[g] = sum
		sum += count
	}
	order := make([]uint32, n)
	for i := range n { // each group's start moves to its end
		g := group(i)
		order[ends[g]] = uint32(i)
		ends[g]++
	}
	start := uint32(0)
	for _, end := range ends {
		slices.SortFunc(order[start:end], func(a, b uint32) int {
			return bytes.Compare(t.records.at(int(a)).sum[:], t.records.at(int(b)).sum[:])
		})
		start = end
	}
	return order
}

// listChunk is how many elements a list makes room for at once.
const listChunk = 4096

// list is a slice that grows in chunks, so that nothing is copied and no more is held than a chunk beyond what it needs.
// A copy of a list goes on showing what it showed while the original grows.
type list[T any] struct {
	chunks [][]T // all full but the last
	n      int
}

func (l *list[T]) len() int { return l.n }

func (l *list[T]) at(i int) *T { return &l.chunks[i/listChunk][i%listChunk] }

func (l *list[T]) push(v T) {
	if l.n == len(l.chunks)*listChunk {
		l.chunks = append(l.chunks, make([]T, listChunk))
	}
	*l.at(l.n) = v
	l.n++
}

// pop removes the last element.
func (l *list[T]) pop() { l.n-- }

// appendTo appends the elements to s.
func (l *list[T]) appendTo(s []T) []T {
	for i, c := range l.chunks {
		s = append(s, c[:min(listChunk, l.n-i*listChunk)]...)
	}
	return s
}
