package view

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"carom"
)

// Bounds of those who wait at the same time. A browser and a backend that both wait, with a page or two that were reloaded,
// are fewer than the first; the second costs some 400 MB of connections.
const (
	maxWaitingPerView = 8
	maxWaiting        = 20_000
)

// waiting holds those who wait, by view. The zero value is ready.
type waiting struct {
	most  int64        // at the same time; 0: maxWaiting
	total atomic.Int64 // changed under mu; read without it by tell

	mu     sync.Mutex // guards byView
	byView map[carom.ViewID][]chan carom.ViewOutcome
}

// room says whether one more may wait.
type room int

const (
	hasRoom room = iota
	viewFull
	allFull
)

// join makes a channel that gets what is told of the view from now on; whoever joins leaves in the end. News that nobody
// has taken yet is made one with what comes after.
func (w *waiting) join(id carom.ViewID) (chan carom.ViewOutcome, room) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case len(w.byView[id]) >= maxWaitingPerView:
		return nil, viewFull
	case w.total.Load() >= cmp.Or(w.most, maxWaiting):
		return nil, allFull
	}
	if w.byView == nil {
		w.byView = map[carom.ViewID][]chan carom.ViewOutcome{}
	}
	news := make(chan carom.ViewOutcome, 1)
	w.byView[id] = append(w.byView[id], news)
	w.total.Add(1)
	return news, hasRoom
}

// leave ends what join began. It ignores the nil channel of one who did not get in.
func (w *waiting) leave(id carom.ViewID, news chan carom.ViewOutcome) {
	if news == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	all := w.byView[id]
	i := slices.Index(all, news)
	if all = slices.Delete(all, i, i+1); len(all) == 0 {
		delete(w.byView, id)
	} else {
		w.byView[id] = all
	}
	w.total.Add(-1)
}

// views are those that somebody waits for.
func (w *waiting) views() []carom.ViewID {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Collect(maps.Keys(w.byView))
}

// tell gives an outcome to all who wait for the view.
//
// Nobody is missed by the look without the lock: whoever joins after it reads the store after it, and the store had the
// outcome before.
func (w *waiting) tell(id carom.ViewID, outcome carom.ViewOutcome) {
	if w.total.Load() == 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, news := range w.byView[id] {
		all := outcome
		select {
		case before := <-news:
			all = after(before, outcome)
		default:
		}
		news <- all // there is room: only tell sends, under mu
	}
}

// after returns what has become of a view when o was known and n is told. A later event changes nothing about a view that
// is confirmed, and an unpaid one nothing about what a view is declined for.
func after(o, n carom.ViewOutcome) carom.ViewOutcome {
	unpaid := o.Unpaid || n.Unpaid
	if rank(n.State) < rank(o.State) {
		n = o
	}
	n.Unpaid = unpaid
	return n
}

// rank orders states by which of them stands when both are known.
func rank(s carom.ViewState) int {
	return slices.Index([]carom.ViewState{carom.ViewOpen, carom.ViewExpired, carom.ViewDeclined, carom.ViewConfirmed}, s)
}
