package tables

import "carom"

// Mark follows which accepted events still have deliveries that live in memory only, so that recovery knows from where to
// look: everything before the low-water mark has, for each delivery, a final outcome or a row in the due table.
//
// The committer owns it. Events enter in order of acceptance, each with the number of its direct deliveries; the front
// leaves as soon as its own are done.
type Mark struct {
	base   uint64 // ticket of the first entry
	events []markEntry
	head   int // index of the front in events: popping does not move the rest
}

type markEntry struct {
	ref     carom.Ref
	waiting uint16
}

// Add takes up an event with n direct deliveries and returns its ticket, which is never 0.
func (m *Mark) Add(ref carom.Ref, n int) uint64 {
	if m.base == 0 {
		m.base = 1
	}
	ticket := m.base + uint64(len(m.events)-m.head)
	m.events = append(m.events, markEntry{ref: ref, waiting: uint16(n)})
	return ticket
}

// Done notes that one direct delivery of the ticket's event has a final outcome or a due row now.
func (m *Mark) Done(ticket uint64) {
	if ticket < m.base {
		return // its event has left: nothing of it was waiting
	}
	if i := int(ticket-m.base) + m.head; i < len(m.events) && m.events[i].waiting > 0 {
		m.events[i].waiting--
	}
}

// Low pops what is done and returns the place of the oldest event that still waits; ok is false when none does.
func (m *Mark) Low() (ref carom.Ref, ok bool) {
	for m.head < len(m.events) && m.events[m.head].waiting == 0 {
		m.head++
		m.base++
	}
	if m.head > 1024 && m.head*2 > len(m.events) {
		m.events = append(m.events[:0], m.events[m.head:]...)
		m.head = 0
	}
	if m.head == len(m.events) {
		return carom.Ref{}, false
	}
	return m.events[m.head].ref, true
}
