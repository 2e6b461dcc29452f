package stat

import "math/bits"

// maxMember bounds a set to 128 MiB, so that a broken sequence number cannot eat the memory of the machine.
const maxMember = 1 << 30

// Set is a set of small sequence numbers, one bit each. The zero value is empty. It is not safe for concurrent use.
type Set struct {
	words []uint64
	n     int64
}

// Add puts i into the set and reports whether it is new. Numbers beyond 2^30 are not kept and count as known.
func (s *Set) Add(i uint64) (fresh bool) {
	if i >= maxMember {
		return false
	}
	w := int(i >> 6)
	if w >= len(s.words) {
		grown := make([]uint64, max(w+1, 2*len(s.words), 1024))
		copy(grown, s.words)
		s.words = grown
	}
	bit := uint64(1) << (i & 63)
	if s.words[w]&bit != 0 {
		return false
	}
	s.words[w] |= bit
	s.n++
	return true
}

// Has reports whether i is in the set.
func (s *Set) Has(i uint64) bool {
	w := i >> 6
	return w < uint64(len(s.words)) && s.words[w]&(1<<(i&63)) != 0
}

// Len returns how many numbers are in the set.
func (s *Set) Len() int64 { return s.n }

// Merge adds every member of other.
func (s *Set) Merge(other *Set) {
	if len(other.words) > len(s.words) {
		s.words = append(s.words, make([]uint64, len(other.words)-len(s.words))...)
	}
	for i, w := range other.words {
		s.n += int64(bits.OnesCount64(w &^ s.words[i]))
		s.words[i] |= w
	}
}

// Missing returns how many members of want are not in s, and the first few of them.
func (s *Set) Missing(want *Set) (n int64, examples []uint64) {
	const shown = 8
	for i, w := range want.words {
		if i < len(s.words) {
			w &^= s.words[i]
		}
		n += int64(bits.OnesCount64(w))
		for ; w != 0 && len(examples) < shown; w &= w - 1 {
			examples = append(examples, uint64(i)<<6|uint64(bits.TrailingZeros64(w)))
		}
	}
	return n, examples
}

// MarshalBinary writes the set as its bits, lowest number first, without trailing zeros.
func (s *Set) MarshalBinary() ([]byte, error) {
	b := make([]byte, 0, len(s.words)*8)
	for _, w := range s.words {
		for shift := 0; shift < 64; shift += 8 {
			b = append(b, byte(w>>shift))
		}
	}
	for len(b) > 0 && b[len(b)-1] == 0 {
		b = b[:len(b)-1]
	}
	return b, nil
}

// UnmarshalBinary is the inverse of MarshalBinary. It never fails.
func (s *Set) UnmarshalBinary(b []byte) error {
	s.words, s.n = make([]uint64, (len(b)+7)/8), 0
	for i, c := range b {
		s.words[i>>3] |= uint64(c) << (8 * (i & 7))
		s.n += int64(bits.OnesCount8(c))
	}
	return nil
}
