//go:build unix

package guard

import (
	"math"
	"syscall"
)

// OpenFiles is how many files this process may open. Go has raised the soft limit to the hard one by then. ok is false where
// there is no limit, or none that is known.
func OpenFiles() (n int, ok bool) {
	var r syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &r); err != nil {
		return 0, false
	}
	cur := uint64(r.Cur) // signed on some systems
	if cur == 0 || cur > math.MaxInt32 {
		return 0, false
	}
	return int(cur), true
}
