package carom

import (
	"crypto/sha256"
	"encoding/binary"
)

// SumOf is the first 128 bits of a SHA-256 over parts, each with its length before it, so that no other split of the same
// text has the same sum.
func SumOf(parts ...string) [16]byte {
	var room [512]byte
	b := room[:0]
	for _, part := range parts {
		b = append(binary.AppendUvarint(b, uint64(len(part))), part...)
	}
	sum := sha256.Sum256(b)
	return [16]byte(sum[:16])
}
