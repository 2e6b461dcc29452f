package carom_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"carom"
)

// maxRef is the last place that an id can name.
var maxRef = carom.Ref{Bucket: 1<<25 - 1, Node: 1<<15 - 1, Seq: 1<<25 - 1}

const maxIncarnation carom.Incarnation = 1<<40 - 1

func TestIDsRoundTrip(t *testing.T) {
	tests := []struct {
		name    string
		inc     carom.Incarnation
		ref     carom.Ref
		ordinal int
		event   carom.EventID
	}{
		{"the zero place", 0, carom.Ref{}, 0, "evt_000000000000000000000"},
		{"the first row", 1, carom.Ref{Seq: 1}, 1, "evt_000000010000000000001"},
		{"every part set", 0x0123456789, carom.Ref{Bucket: 17, Node: 3, Seq: 4711}, 31, "evt_04hmasw90000h003004k7"},
		{"the last place", maxIncarnation, maxRef, carom.MaxFanOut - 1, "evt_zzzzzzzzzzzzzzzzzzzzz"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			event := carom.NewEventID(tt.inc, tt.ref)
			if event != tt.event {
				t.Errorf("NewEventID(%d, %+v) = %q, want %q", tt.inc, tt.ref, event, tt.event)
			}
			if inc, ref, err := event.Place(); inc != tt.inc || ref != tt.ref || err != nil {
				t.Errorf("%q.Place() = %d, %+v, %v, want %d, %+v", event, inc, ref, err, tt.inc, tt.ref)
			}

			received := carom.NewReceivedID(tt.inc, tt.ref)
			if inc, ref, err := received.Place(); inc != tt.inc || ref != tt.ref || err != nil {
				t.Errorf("%q.Place() = %d, %+v, %v, want %d, %+v", received, inc, ref, err, tt.inc, tt.ref)
			}

			delivery := carom.NewDeliveryID(tt.inc, tt.ref, tt.ordinal)
			inc, ref, ordinal, err := delivery.Place()
			if inc != tt.inc || ref != tt.ref || ordinal != tt.ordinal || err != nil {
				t.Errorf("%q.Place() = %d, %+v, %d, %v, want %d, %+v, %d",
					delivery, inc, ref, ordinal, err, tt.inc, tt.ref, tt.ordinal)
			}
			if got := event.Delivery(tt.ordinal); got != delivery {
				t.Errorf("%q.Delivery(%d) = %q, want %q", event, tt.ordinal, got, delivery)
			}
		})
	}
}

// TestIDsSortByPlace: what was accepted later has the greater id, so that a list of ids is a timeline.
func TestIDsSortByPlace(t *testing.T) {
	refs := []carom.Ref{
		{}, {Seq: 1}, {Seq: 31}, {Seq: 32}, {Seq: 1<<25 - 1}, {Bucket: 1, Seq: 1}, {Bucket: 9, Seq: 9}, {Bucket: 10}, maxRef,
	}
	var ids []carom.EventID
	for _, inc := range []carom.Incarnation{0, 7, maxIncarnation} {
		for _, ref := range refs {
			ids = append(ids, carom.NewEventID(inc, ref))
		}
	}
	if !slices.IsSorted(ids) {
		t.Errorf("ids of growing places are not sorted: %q", ids)
	}
}

func TestBadIDs(t *testing.T) {
	event := string(carom.NewEventID(5, carom.Ref{Bucket: 1, Seq: 2}))
	delivery := string(carom.NewDeliveryID(5, carom.Ref{Bucket: 1, Seq: 2}, 3))
	received := string(carom.NewReceivedID(5, carom.Ref{Bucket: 1, Seq: 2}))
	bad := []string{
		"", "evt_", "dlv_", "rcv_", "evt", strings.TrimPrefix(event, "evt_"), "x" + event,
		event[:len(event)-1], event + "0", strings.ToUpper(event), strings.Replace(event, "0", "o", 1),
		event[:8] + "é" + event[10:], "evt_" + strings.Repeat("\x00", 21),
		delivery[:len(delivery)-1], delivery + "0", received + " ", strings.Repeat("0", 1<<16),
	}
	for _, id := range bad {
		if _, _, err := carom.EventID(id).Place(); !errors.Is(err, carom.ErrInvalid) {
			t.Errorf("EventID(%.60q).Place() error = %v, want ErrInvalid", id, err)
		}
		if _, _, err := carom.ReceivedID(id).Place(); !errors.Is(err, carom.ErrInvalid) {
			t.Errorf("ReceivedID(%.60q).Place() error = %v, want ErrInvalid", id, err)
		}
		if _, _, _, err := carom.DeliveryID(id).Place(); !errors.Is(err, carom.ErrInvalid) {
			t.Errorf("DeliveryID(%.60q).Place() error = %v, want ErrInvalid", id, err)
		}
	}
}

// TestIDsAreNotInterchangeable: an id of one kind is not taken for one of another, even with its parts in order.
func TestIDsAreNotInterchangeable(t *testing.T) {
	ref := carom.Ref{Bucket: 1, Seq: 2}
	event, delivery, received := carom.NewEventID(5, ref), carom.NewDeliveryID(5, ref, 0), carom.NewReceivedID(5, ref)
	if _, _, err := carom.EventID(delivery).Place(); !errors.Is(err, carom.ErrInvalid) {
		t.Errorf("the delivery id %q passes for an event id: %v", delivery, err)
	}
	if _, _, err := carom.ReceivedID(event).Place(); !errors.Is(err, carom.ErrInvalid) {
		t.Errorf("the event id %q passes for a refused postback's: %v", event, err)
	}
	if _, _, _, err := carom.DeliveryID(received).Place(); !errors.Is(err, carom.ErrInvalid) {
		t.Errorf("the refused postback's id %q passes for a delivery id: %v", received, err)
	}
}

func TestRefUint64(t *testing.T) {
	refs := []carom.Ref{{}, {Seq: 1}, {Seq: 1<<25 - 1}, {Bucket: 1}, {Bucket: 1<<25 - 1, Seq: 1<<25 - 1}}
	var last uint64
	for i, ref := range refs {
		v := ref.Uint64()
		if got := carom.RefOf(v); got != ref {
			t.Errorf("RefOf(%+v.Uint64()) = %+v", ref, got)
		}
		if i > 0 && v <= last {
			t.Errorf("%+v.Uint64() = %d, want more than %d of the place before it", ref, v, last)
		}
		last = v
	}
}

// FuzzPlace: whatever is taken for an id is exactly what its place would be written as.
func FuzzPlace(f *testing.F) {
	f.Add("evt_000000010000000000001")
	f.Add("dlv_0000000100000000000010z")
	f.Add("rcv_zzzzzzzzzzzzzzzzzzzzz")
	f.Fuzz(func(t *testing.T, s string) {
		if inc, ref, err := carom.EventID(s).Place(); err == nil && string(carom.NewEventID(inc, ref)) != s {
			t.Errorf("event id %q is written %q", s, carom.NewEventID(inc, ref))
		}
		if inc, ref, err := carom.ReceivedID(s).Place(); err == nil && string(carom.NewReceivedID(inc, ref)) != s {
			t.Errorf("id of a refused postback %q is written %q", s, carom.NewReceivedID(inc, ref))
		}
		if inc, ref, n, err := carom.DeliveryID(s).Place(); err == nil && string(carom.NewDeliveryID(inc, ref, n)) != s {
			t.Errorf("delivery id %q is written %q", s, carom.NewDeliveryID(inc, ref, n))
		}
	})
}

func TestSumOfSeparatesParts(t *testing.T) {
	if carom.SumOf("ab", "c") == carom.SumOf("a", "bc") || carom.SumOf("a") == carom.SumOf("a", "") {
		t.Error("SumOf gives one sum to two splits of the same text")
	}
}
