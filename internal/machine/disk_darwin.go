package machine

import (
	"os"

	"golang.org/x/sys/unix"
)

// dataSync makes what was written safe, as commits do.
func dataSync(f *os.File) error { return f.Sync() }

// fsType names the file system of a folder.
func fsType(dir string) (string, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return "", err
	}
	return unix.ByteSliceToString(st.Fstypename[:]), nil
}
