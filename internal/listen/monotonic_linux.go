package listen

import (
	"strconv"

	"golang.org/x/sys/unix"
)

// monotonic is the line with which units of Type=notify-reload want to be told of a reload: the time since the system's
// start, in microseconds.
func monotonic() string {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return ""
	}
	return "\nMONOTONIC_USEC=" + strconv.FormatInt(now.Nano()/1000, 10)
}
