package postgres

import "carom"

// A place is how the Ref of a row is stored: bucket, node and sequence in one number, which sorts by bucket first. So a time
// bucket is a range of places, and what one node wrote to it a range in that.
const (
	seqBits    = 25
	nodeBits   = 15
	bucketBits = 23 // of the 25 that an id has room for: a place is not negative

	maxSeq    = 1<<seqBits - 1
	maxNode   = 1<<nodeBits - 1
	maxBucket = 1<<bucketBits - 1
)

func placeOf(r carom.Ref) int64 {
	return int64(r.Bucket)<<(nodeBits+seqBits) | int64(r.Node)<<seqBits | int64(r.Seq)
}

func refOf(place int64) carom.Ref {
	return carom.Ref{Bucket: uint32(place >> (nodeBits + seqBits)), Node: uint16(place >> seqBits & maxNode), Seq: uint32(place & maxSeq)}
}

// bucketStart is the place before all those of a bucket.
func bucketStart(bucket uint32) int64 { return placeOf(carom.Ref{Bucket: bucket}) }
