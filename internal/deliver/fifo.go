package deliver

import "carom"

// fifo is a queue of deliveries. The zero value is empty.
type fifo struct {
	items []*carom.Delivery
	head  int // of items: those before it have been taken
}

func (q *fifo) len() int               { return len(q.items) - q.head }
func (q *fifo) front() *carom.Delivery { return q.items[q.head] }

func (q *fifo) push(deliveries ...*carom.Delivery) {
	if q.head > 64 && q.head*2 > len(q.items) {
		n := copy(q.items, q.items[q.head:])
		clear(q.items[n:])
		q.items, q.head = q.items[:n], 0
	}
	q.items = append(q.items, deliveries...)
}

func (q *fifo) pop() *carom.Delivery {
	d := q.items[q.head]
	q.items[q.head] = nil
	if q.head++; q.head == len(q.items) {
		q.items, q.head = q.items[:0], 0
	}
	return d
}

// takeAll empties the queue and gives its memory away.
func (q *fifo) takeAll() []*carom.Delivery {
	all := q.items[q.head:]
	*q = fifo{}
	return all
}
