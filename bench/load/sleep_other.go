//go:build !linux

package load

import "time"

// sleepUntil waits for t, with the precision of the runtime's timers.
func sleepUntil(t time.Time) { time.Sleep(time.Until(t)) }
