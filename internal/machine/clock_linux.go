package machine

import "golang.org/x/sys/unix"

// synced says whether the kernel's clock is kept by a time server.
func synced() (bool, error) {
	var t unix.Timex
	if _, err := unix.Adjtimex(&t); err != nil {
		return false, err
	}
	return t.Status&unix.STA_UNSYNC == 0, nil
}
