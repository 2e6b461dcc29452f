package load

import (
	"syscall"
	"time"
)

// sleepUntil waits for t with the precision of the kernel, about 50 µs. The runtime's own timers wake up to a millisecond
// late when a process is otherwise idle, which would show as latency of the server.
func sleepUntil(t time.Time) {
	for d := time.Until(t); d > 0; d = time.Until(t) {
		ts := syscall.NsecToTimespec(int64(d))
		_ = syscall.Nanosleep(&ts, nil) // interrupted: the loop sleeps the rest
	}
}
