package carom

import (
	"fmt"
	"strings"
)

// Ids are distinct types so that two of them cannot be swapped by accident. Each has a visible prefix and sorts by time.
type (
	EventID    string // "evt_0c5g21r0000010000000k": 4 + 21 characters
	DeliveryID string // "dlv_0c5g21r0000010000000k00": an event's place and the ordinal of the endpoint in it
	ReceivedID string // "rcv_0c5g21r0000010000000k": a refused postback
)

// Incarnation numbers a data folder's life: 40 bits, changed by a restore, so that no id is ever given out twice.
type Incarnation uint64

// Ref is the place of a row: its time bucket, the node that wrote it (0 on SQLite), and its sequence in the bucket.
// The zero Ref is no row: sequences begin at 1.
type Ref struct {
	Bucket uint32 // 25 bits
	Node   uint16 // 15 bits
	Seq    uint32 // 25 bits
}

// Limits of the parts of an id, in bits.
const (
	incarnationBits = 40
	bucketBits      = 25
	nodeBits        = 15
	seqBits         = 25
	ordinalBits     = 10

	// MaxFanOut is how many endpoints one event can be owed to.
	MaxFanOut = 1 << ordinalBits
)

// crockford is base 32 without i, l, o and u. Its digits sort as their values do.
const crockford = "0123456789abcdefghjkmnpqrstvwxyz"

func appendDigits(b []byte, v uint64, bits int) []byte {
	for shift := bits - 5; shift >= 0; shift -= 5 {
		b = append(b, crockford[v>>shift&31])
	}
	return b
}

func readDigits(s string, bits int) (v uint64, rest string, ok bool) {
	n := bits / 5
	if len(s) < n {
		return 0, s, false
	}
	for i := range n {
		d := strings.IndexByte(crockford, s[i])
		if d < 0 {
			return 0, s, false
		}
		v = v<<5 | uint64(d)
	}
	return v, s[n:], true
}

func appendPlace(b []byte, inc Incarnation, r Ref) []byte {
	b = appendDigits(b, uint64(inc), incarnationBits)
	b = appendDigits(b, uint64(r.Bucket), bucketBits)
	b = appendDigits(b, uint64(r.Node), nodeBits)
	return appendDigits(b, uint64(r.Seq), seqBits)
}

func readPlace(s string) (inc Incarnation, r Ref, rest string, ok bool) {
	var v [4]uint64
	for i, bits := range []int{incarnationBits, bucketBits, nodeBits, seqBits} {
		if v[i], s, ok = readDigits(s, bits); !ok {
			return 0, Ref{}, s, false
		}
	}
	return Incarnation(v[0]), Ref{Bucket: uint32(v[1]), Node: uint16(v[2]), Seq: uint32(v[3])}, s, true
}

// NewEventID makes the id of the event at r.
func NewEventID(inc Incarnation, r Ref) EventID {
	b := make([]byte, 0, 4+21)
	return EventID(appendPlace(append(b, "evt_"...), inc, r))
}

// NewDeliveryID makes the id of the delivery of the event at r to the endpoint at ordinal in the event's list.
func NewDeliveryID(inc Incarnation, r Ref, ordinal int) DeliveryID {
	b := make([]byte, 0, 4+23)
	b = appendPlace(append(b, "dlv_"...), inc, r)
	return DeliveryID(appendDigits(b, uint64(ordinal), ordinalBits))
}

// NewReceivedID makes the id of the refused postback at r.
func NewReceivedID(inc Incarnation, r Ref) ReceivedID {
	b := make([]byte, 0, 4+21)
	return ReceivedID(appendPlace(append(b, "rcv_"...), inc, r))
}

// Delivery makes the id of the delivery of this event to the endpoint at ordinal in the event's list.
func (id EventID) Delivery(ordinal int) DeliveryID {
	b := make([]byte, 0, len(id)+2)
	b = append(append(b, "dlv_"...), id[4:]...)
	return DeliveryID(appendDigits(b, uint64(ordinal), ordinalBits))
}

// Place says where the event lies. It returns ErrInvalid when id is not an event id.
func (id EventID) Place() (Incarnation, Ref, error) {
	s, prefixed := strings.CutPrefix(string(id), "evt_")
	inc, r, rest, ok := readPlace(s)
	if !prefixed || !ok || rest != "" {
		return 0, Ref{}, fmt.Errorf("%q is not an event id: %w", string(id), ErrInvalid)
	}
	return inc, r, nil
}

// Place says where the refused postback lies. It returns ErrInvalid when id is not the id of one.
func (id ReceivedID) Place() (Incarnation, Ref, error) {
	s, prefixed := strings.CutPrefix(string(id), "rcv_")
	inc, r, rest, ok := readPlace(s)
	if !prefixed || !ok || rest != "" {
		return 0, Ref{}, fmt.Errorf("%q is not the id of a refused postback: %w", string(id), ErrInvalid)
	}
	return inc, r, nil
}

// Place says which event the delivery belongs to, and the ordinal of its endpoint there. It returns ErrInvalid when id is
// not a delivery id.
func (id DeliveryID) Place() (inc Incarnation, r Ref, ordinal int, err error) {
	s, prefixed := strings.CutPrefix(string(id), "dlv_")
	inc, r, s, ok := readPlace(s)
	n, rest, ok2 := readDigits(s, ordinalBits)
	if !prefixed || !ok || !ok2 || rest != "" {
		return 0, Ref{}, 0, fmt.Errorf("%q is not a delivery id: %w", string(id), ErrInvalid)
	}
	return inc, r, int(n), nil
}

// Uint64 packs the place of a row of one node into an integer that sorts as the place does.
func (r Ref) Uint64() uint64 { return uint64(r.Bucket)<<seqBits | uint64(r.Seq) }

// RefOf is the inverse of [Ref.Uint64], for node 0.
func RefOf(v uint64) Ref { return Ref{Bucket: uint32(v >> seqBits), Seq: uint32(v & (1<<seqBits - 1))} }
