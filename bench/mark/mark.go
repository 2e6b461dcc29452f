// Package mark writes and reads the ymids of the benchmark.
//
// A mark carries the run it belongs to, its number in that run and the moment its event was meant to be sent. With it the
// sink computes end-to-end latency, finds what is missing and counts duplicates without asking anybody. Marks have a fixed
// width, so a sender patches them into a request that was formatted once. The package keeps no state.
package mark

// Len is the length of a mark in bytes: "0a1b2c3d-000000000f-18c2f3a4b5c6d7e8".
const Len = runDigits + 1 + seqDigits + 1 + atDigits

const (
	runDigits = 8
	seqDigits = 10
	atDigits  = 16
)

// MaxSeq is the largest number that a mark can carry.
const MaxSeq = 1<<(4*seqDigits) - 1

// Mark is what a ymid of the benchmark says.
type Mark struct {
	Run uint32 // which run of a load generator
	Seq uint64 // number within the run, from 0; at most MaxSeq
	At  int64  // when it was meant to be sent, Unix nanoseconds
}

// Put writes m over the first Len bytes of b, which must be that long.
func Put(b []byte, m Mark) {
	_ = b[Len-1]
	putHex(b[:runDigits], uint64(m.Run))
	b[runDigits] = '-'
	putHex(b[runDigits+1:runDigits+1+seqDigits], m.Seq)
	b[runDigits+1+seqDigits] = '-'
	putHex(b[Len-atDigits:Len], uint64(m.At))
}

// String writes m as text.
func (m Mark) String() string {
	b := make([]byte, Len)
	Put(b, m)
	return string(b)
}

// Parse reads a mark. ok is false for any other text.
func Parse(s string) (m Mark, ok bool) {
	if len(s) != Len || s[runDigits] != '-' || s[runDigits+1+seqDigits] != '-' {
		return Mark{}, false
	}
	run, ok1 := hex(s[:runDigits])
	seq, ok2 := hex(s[runDigits+1 : runDigits+1+seqDigits])
	at, ok3 := hex(s[Len-atDigits:])
	if !ok1 || !ok2 || !ok3 {
		return Mark{}, false
	}
	return Mark{Run: uint32(run), Seq: seq, At: int64(at)}, true
}

func putHex(b []byte, v uint64) {
	for i := len(b) - 1; i >= 0; i-- {
		b[i] = "0123456789abcdef"[v&15]
		v >>= 4
	}
}

func hex(s string) (v uint64, ok bool) {
	for i := range len(s) {
		switch c := s[i]; {
		case c >= '0' && c <= '9':
			v = v<<4 | uint64(c-'0')
		case c >= 'a' && c <= 'f':
			v = v<<4 | uint64(c-'a'+10)
		default:
			return 0, false
		}
	}
	return v, true
}
