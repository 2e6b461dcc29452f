package network

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"slices"

	"carom"
)

// ReportedKey is the dedupe key of an event that a trusted server reported to s: its source and its ExternalID. Check
// covers amount and user. The first part keeps it apart from every key of a received postback, whose first part is a
// source's id and holds a slash.
func ReportedKey(s *carom.Source, e *carom.Event) carom.DedupeKey {
	var room [512]byte
	t := tuple(room[:0]).withPrice(e.Price).with(e.YMID).with(e.TelegramID)
	return carom.DedupeKey{
		Sum:    carom.SumOf("api", s.ID(), e.ExternalID),
		Check:  t.check(),
		Window: s.WithDefaults().DedupeWindow,
	}
}

// tuple is the text that a key is taken over.
type tuple []byte

func (t tuple) with(part string) tuple {
	t = binary.AppendUvarint(t, uint64(len(part)))
	return append(t, part...)
}

func (t tuple) withPrice(p carom.Price) tuple {
	if !p.Set {
		return append(t, 0)
	}
	return binary.BigEndian.AppendUint64(append(t, 1), uint64(p.Nanos))
}

func (t tuple) sum() [16]byte {
	sum := sha256.Sum256(t)
	return [16]byte(sum[:16])
}

func (t tuple) check() uint32 {
	sum := sha256.Sum256(t)
	return binary.BigEndian.Uint32(sum[:4])
}

// key makes the dedupe key, after the parameters are no longer needed in their order.
func (b *Binding) key(e *carom.Event, m *mapped, params []param, proof Proof) carom.DedupeKey {
	p := b.Profile
	if p.byTransaction {
		key := b.tupleKey("transaction", e, m)
		if proof.signature != "" && p.covers.has(fieldTransactionID) {
			var room [512]byte
			key.Also = tuple(room[:0]).with(b.sourceID).with("signature").with(proof.signature).with(string(e.Type)).sum()
		}
		return key
	}
	if b.Source.YMID != carom.YMIDView {
		return b.repeatKey(params)
	}
	if p.NoID || e.YMID == "" || e.YMID == e.TelegramID || e.YMID == e.UserID {
		e.Flags |= carom.FlagYMIDAsUser
		return b.repeatKey(params)
	}
	return b.tupleKey("view", e, m)
}

// tupleKey is the key where a transaction, or a ymid that is unique, tells events apart: the profile's tuple, scoped to the
// source. The check covers amount and user.
func (b *Binding) tupleKey(kind string, e *carom.Event, m *mapped) carom.DedupeKey {
	var room [512]byte
	t := tuple(room[:0]).with(b.sourceID).with(kind)
	for _, f := range b.Profile.dedupe {
		switch f {
		case fieldEventType:
			t = t.with(string(e.Type))
		case fieldValue:
			t = t.with(string(e.Value))
		default:
			t = t.with(m.values[f])
		}
	}
	c := tuple(t[len(t):]).withPrice(e.Price) // begins where t ends, so both lie on the stack
	for _, f := range b.Profile.identity {
		c = c.with(m.values[f])
	}
	if b.Profile.mapped.has(fieldAmount) {
		c = c.with(m.values[fieldAmount])
	}
	return carom.DedupeKey{Sum: t.sum(), Check: c.check(), Window: b.Source.DedupeWindow}
}

// repeatKey is the key where the ymid repeats: only a callback equal in every parameter is the same one. It sorts params.
func (b *Binding) repeatKey(params []param) carom.DedupeKey {
	slices.SortFunc(params, func(x, y param) int {
		return cmp.Or(cmp.Compare(x.name, y.name), cmp.Compare(x.value, y.value))
	})
	var room [512]byte
	t := tuple(room[:0]).with(b.sourceID).with("repeat")
	for i := range params {
		t = t.with(params[i].name).with(params[i].value)
	}
	return carom.DedupeKey{Sum: t.sum(), Window: b.Source.RepeatWindow}
}
