package deliver

import "time"

// alarm calls a function at a moment that can be moved. It is a value of its lane, which guards it. The function may also
// be called when it is not due any more: it has to look for itself.
type alarm struct {
	timer *time.Timer
	at    time.Time // zero: not set
}

// set moves the alarm. wait is how long it is until then.
func (a *alarm) set(at time.Time, wait time.Duration, ring func()) {
	if at.Equal(a.at) {
		return
	}
	a.at = at
	if a.timer == nil {
		a.timer = time.AfterFunc(wait, ring)
	} else {
		a.timer.Reset(wait)
	}
}

func (a *alarm) stop() {
	if a.timer != nil {
		a.timer.Stop()
	}
	a.at = time.Time{}
}
