package store

import (
	"database/sql/driver"
	"slices"
	"sync"
	"time"

	"carom"
	"carom/internal/tables"
)

// Accept stores the events of subs that are not copies, with their deliveries and counts, and returns when all of it is
// synced. Each submission gets its own Receipt or Err.
//
// It waits as long as the disk takes: giving up earlier would leave the caller not knowing whether the event is stored.
func (s *Store) Accept(subs ...*carom.Submission) {
	for chunk := range slices.Chunk(subs, maxSubmissions) {
		op := acceptOps.Get().(*acceptOp)
		op.subs = append(op.subs[:0], chunk...)
		if err := s.queue.putAccept(op); err != nil {
			for _, sub := range chunk {
				sub.Err = err
			}
		} else {
			<-op.done
		}
		clear(op.subs)
		acceptOps.Put(op)
	}
}

var acceptOps = sync.Pool{New: func() any { return &acceptOp{done: make(chan struct{}, 1)} }}

// Refuse journals a verified postback that can never be used, and returns once that is synced. It sets r.ID.
// It returns carom.ErrUnavailable when it could not be stored.
func (s *Store) Refuse(r *carom.Refused) error {
	op := &refuseOp{refused: r, done: make(chan struct{})}
	if err := s.queue.putRefusal(op); err != nil {
		return err
	}
	<-op.done
	return op.err
}

// lateAfter is how old the first of a view source's copies must be to count as late: no network repeats a callback that
// long after, so its ymids repeat.
const lateAfter = time.Hour

// writeEvent decides whether the event is a copy and appends it if not.
func (s *Store) writeEvent(b *batch, sub *carom.Submission) error {
	ev := sub.Event
	at := ev.Received.At.UTC().Truncate(time.Millisecond)
	ev.At = at
	ref, f, ok, err := s.original(&sub.Key, at)
	if err != nil {
		return err
	}
	if ok {
		sub.Receipt = carom.Receipt{ID: s.eventID(ref), Duplicate: true, Conflict: f.check != sub.Key.Check}
		sub.Receipt.Late = at.Unix()-int64(f.at) >= int64(lateAfter/time.Second)
		outcome := carom.OutcomeDuplicate
		switch {
		case sub.Receipt.Late: // whether it agrees or not: another showing under the same ymid
			outcome = carom.OutcomeDuplicateLate
		case sub.Receipt.Conflict:
			outcome = carom.OutcomeConflict
		}
		s.counts.Event(ev, outcome, at)
		return nil
	}
	o := s.open
	o.seq++
	if at.After(o.lastAt) {
		o.lastAt = at
	}
	ref = carom.Ref{Bucket: o.number, Seq: o.seq}
	ev.ID = carom.NewEventID(o.life, ref)
	sub.Receipt = carom.Receipt{ID: ev.ID}

	f = first{seq: o.seq, at: uint32(at.Unix()), check: sub.Key.Check}
	for _, sum := range [...][16]byte{sub.Key.Sum, sub.Key.Also} {
		if sum == ([16]byte{}) {
			continue
		}
		old, had := o.keys.firsts.put(sum, f)
		b.undo = append(b.undo, undoFirst{&o.keys.firsts, sum, old, had})
	}

	if err := s.decide(b, sub, ref); err != nil {
		return err
	}
	if err := s.insertEvent(o.seq, ev, sub); err != nil {
		return err
	}
	owed := 0
	for i, t := range sub.Targets {
		if t.Unowed {
			continue
		}
		if owed++; t.Direct {
			continue
		}
		ms := at.UnixMilli()
		if err := s.st.putDue.exec(int64(t.Endpoint), int64(ref.Uint64()), int64(i), ms, ms, ms, int64(0), int64(0), int64(0)); err != nil {
			return err
		}
	}
	outcome := carom.OutcomeAccepted
	switch {
	case ev.Held != "":
		outcome = carom.OutcomeHeld
	case owed == 0 && ev.Source != carom.SourceCarom:
		outcome = carom.OutcomeUnmatched
	}
	s.counts.Event(ev, outcome, at)
	s.counts.Confirmed(sub)
	if sub.Uncounted {
		s.counts.Other(ev.App, ev.Source, carom.OutcomeUncounted, at, 1)
	}
	return nil
}

// original finds the event that the key makes this one a copy of: by its tuple, or by the signature that vouches for it.
func (s *Store) original(key *carom.DedupeKey, at time.Time) (ref carom.Ref, f first, ok bool, err error) {
	for _, sum := range [...][16]byte{key.Sum, key.Also} {
		if sum == ([16]byte{}) {
			continue
		}
		if ref, f, ok, err = s.lookup(sum, key.Window, at); ok || err != nil {
			break
		}
	}
	return ref, f, ok, err
}

func (s *Store) insertEvent(seq uint32, ev *carom.Event, sub *carom.Submission) error {
	var price driver.Value
	if ev.Price.Set {
		price = int64(ev.Price.Nanos)
	}
	var also driver.Value
	if sub.Key.Also != ([16]byte{}) {
		also = sub.Key.Also[:]
	}
	r := &ev.Received
	return s.st.event.exec(int64(seq), ev.At.UnixMilli(), ev.App, ev.Source, ev.Network, string(ev.Type), string(ev.Value), ev.YMID,
		ev.ZoneID, ev.SubZoneID, ev.RequestVar, ev.TelegramID, price, ev.ExternalID, fieldsValue(ev.Fields), int64(ev.Flags), ev.Held,
		string(ev.Strength), tables.JoinTargets(sub), sub.Key.Sum[:], int64(sub.Key.Check), r.Method, r.Path, r.RawQuery,
		r.ContentType, fieldsValue(r.Header), tables.Blob(r.Body), tables.ClientText(r), ev.UserID, also, string(ev.View), tables.DecidedJSON(sub.Receipt.Decided), ev.Origin)
}

func (s *Store) writeRefused(r *carom.Refused) error {
	o := s.open
	o.refusedSeq++
	r.ID = carom.NewReceivedID(o.life, carom.Ref{Bucket: o.number, Seq: o.refusedSeq})
	rc := &r.Received
	at := rc.At.UTC().Truncate(time.Millisecond)
	s.counts.Other(r.App, r.Source, carom.OutcomeRefused+":"+string(r.Reason), at, 1)
	return s.st.refused.exec(int64(o.refusedSeq), at.UnixMilli(), r.App, r.Source, r.Network, string(r.Reason), r.Detail,
		rc.Method, rc.Path, rc.RawQuery, rc.ContentType, fieldsValue(rc.Header), tables.Blob(rc.Body), tables.ClientText(rc))
}

func directTargets(targets []carom.Target) int {
	n := 0
	for _, t := range targets {
		if t.Direct && !t.Unowed {
			n++
		}
	}
	return n
}

// fieldsValue is the column of fields.
func fieldsValue(fields []carom.Field) driver.Value {
	if text, some := tables.FieldsJSON(fields); some {
		return text
	}
	return nil
}
