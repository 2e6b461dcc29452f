package postgres

import (
	"slices"
	"sync"
	"time"

	"carom"
	"carom/internal/tables"
)

// Accept stores the events of subs that are not copies, with their deliveries and counts, and returns when all of it is
// committed. Each submission gets its own Receipt or Err.
//
// It waits no longer than the database is given to answer: then the sender is told to try later, and what was stored after all
// makes the repeat a copy.
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

// Unverified counts a received postback that proved nothing, and may keep it in the sample. It never waits for the database:
// counts and samples are stored within about a second.
func (s *Store) Unverified(v carom.Unverified) { s.unverified.Add(v) }

// Refuse journals a verified postback that can never be used, and returns once that is committed. It sets r.ID.
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

// decideCopy says whether a submission is a copy: of an event that was stored before, on any node, or of one before it in the
// batch.
func (s *Store) decideCopy(b *batch, e *entry) {
	key := &e.sub.Key
	for _, sum := range [...][16]byte{key.Sum, key.Also} {
		if sum == ([16]byte{}) {
			continue
		}
		o := b.owners[sum]
		if o.place == e.place {
			continue
		}
		at := secondsOf(e.sub.Event.At)
		first := b.entryAt(o.place)
		claimedForNothing := first != nil && first.copy
		if claimedForNothing || at-o.at >= seconds(key.Window) { // the next in line has it
			o = owner{e.place, at, key.Check}
			b.owners[sum] = o
			s.writeKey(s.out.give, sum, o, at+seconds(key.Window))
			continue
		}
		e.copy = true
		s.noteCopy(e.sub, o)
		return
	}
}

// entryAt finds the batch's entry with a place; nil for the place of another event.
func (b *batch) entryAt(place int64) *entry {
	if len(b.entries) == 0 {
		return nil
	}
	if i := place - b.entries[0].place; i >= 0 && i < int64(len(b.entries)) { // places of a batch follow one another
		return &b.entries[i]
	}
	return nil
}

// returnKeys gives back the keys that copies of this batch claimed and nobody else has taken.
func (s *Store) returnKeys(b *batch) {
	for i := range b.entries {
		e := &b.entries[i]
		if !e.copy {
			continue
		}
		for _, sum := range [...][16]byte{e.sub.Key.Sum, e.sub.Key.Also} {
			if b.owners[sum].place == e.place {
				s.out.back.uuid(sum)
				delete(b.owners, sum)
			}
		}
	}
}

// noteCopy writes the receipt of a copy, and counts it.
func (s *Store) noteCopy(sub *carom.Submission, o owner) {
	ev := sub.Event
	sub.Receipt = carom.Receipt{ID: s.eventID(refOf(o.place)), Duplicate: true, Conflict: o.agreement != sub.Key.Check}
	sub.Receipt.Late = secondsOf(ev.At)-o.at >= int32(lateAfter/time.Second)
	outcome := carom.OutcomeDuplicate
	switch {
	case sub.Receipt.Late: // whether it agrees or not: another showing under the same ymid
		outcome = carom.OutcomeDuplicateLate
	case sub.Receipt.Conflict:
		outcome = carom.OutcomeConflict
	}
	s.counts.Event(ev, outcome, ev.At)
}

// writeEvent appends an event that is no copy.
func (s *Store) writeEvent(e *entry) {
	sub, ev := e.sub, e.sub.Event
	owed := 0
	for i, t := range sub.Targets {
		if t.Unowed {
			continue
		}
		if owed++; !t.Direct {
			at := ev.At.UnixMilli()
			s.out.putDue(dueRow{endpoint: t.Endpoint, place: e.place, ordinal: i, due: at, scheduled: at, accepted: at})
		}
	}
	s.writeEventRow(e.place, ev, sub)
	outcome := carom.OutcomeAccepted
	switch {
	case ev.Held != "":
		outcome = carom.OutcomeHeld
	case owed == 0 && ev.Source != carom.SourceCarom:
		outcome = carom.OutcomeUnmatched
	}
	s.counts.Event(ev, outcome, ev.At)
	s.counts.Confirmed(sub)
	if sub.Uncounted {
		s.counts.Other(ev.App, ev.Source, carom.OutcomeUncounted, ev.At, 1)
	}
}

func (s *Store) writeEventRow(place int64, ev *carom.Event, sub *carom.Submission) {
	r, rc := s.out.events, &ev.Received
	r.int8(place)
	r.int8(ev.At.UnixMilli())
	r.text(ev.App)
	r.text(ev.Source)
	r.text(ev.Network)
	r.text(string(ev.Type))
	r.text(string(ev.Value))
	r.text(ev.YMID)
	r.text(ev.ZoneID)
	r.text(ev.SubZoneID)
	r.text(ev.RequestVar)
	r.text(ev.TelegramID)
	if ev.Price.Set {
		r.int8(int64(ev.Price.Nanos))
	} else {
		r.null()
	}
	r.text(ev.ExternalID)
	r.textOrNull(tables.FieldsJSON(ev.Fields))
	r.int4(int(ev.Flags))
	r.text(ev.Held)
	r.text(string(ev.Strength))
	r.text(tables.JoinTargets(sub))
	r.text(rc.Method)
	r.text(rc.Path)
	r.text(rc.RawQuery)
	r.text(rc.ContentType)
	r.textOrNull(tables.FieldsJSON(rc.Header))
	r.bytes(rc.Body)
	r.text(tables.ClientText(rc))
	r.text(ev.UserID)
	r.text(string(ev.View))
	r.text(tables.DecidedJSON(sub.Receipt.Decided))
	r.text(ev.Origin)
}

func (s *Store) writeRefused(v *carom.Refused) error {
	if s.bucket.refusedSeq >= maxSeq {
		return errBucketFull(s.bucket.number)
	}
	s.bucket.refusedSeq++
	l := s.lease.Load()
	ref := carom.Ref{Bucket: s.bucket.number, Node: l.no, Seq: s.bucket.refusedSeq}
	v.ID = carom.NewReceivedID(l.life, ref)
	r, rc := s.out.refused, &v.Received
	at := rc.At.UTC().Truncate(time.Millisecond)
	s.counts.Other(v.App, v.Source, carom.OutcomeRefused+":"+string(v.Reason), at, 1)
	r.int8(placeOf(ref))
	r.int8(at.UnixMilli())
	r.text(v.App)
	r.text(v.Source)
	r.text(v.Network)
	r.text(string(v.Reason))
	r.text(v.Detail)
	r.text(rc.Method)
	r.text(rc.Path)
	r.text(rc.RawQuery)
	r.text(rc.ContentType)
	r.textOrNull(tables.FieldsJSON(rc.Header))
	r.bytes(rc.Body)
	r.text(tables.ClientText(rc))
	return nil
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
