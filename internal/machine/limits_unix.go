//go:build linux || darwin

package machine

import "golang.org/x/sys/unix"

// openFiles is how many files this process may open.
func openFiles() (uint64, error) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0, err
	}
	return limit.Cur, nil
}
