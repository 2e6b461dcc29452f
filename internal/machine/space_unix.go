//go:build linux || darwin

package machine

import "golang.org/x/sys/unix"

// Space returns how many bytes this process may still use on the disk of a folder, and how many the disk has.
func Space(dir string) (free, total uint64, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, 0, err
	}
	size := uint64(st.Bsize)
	return st.Bavail * size, st.Blocks * size, nil
}
