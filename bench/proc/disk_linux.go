package proc

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// FileSystem returns the name of the file system that dir lies on. inMemory says that what is written there never
// reaches a disk.
func FileSystem(dir string) (name string, inMemory bool, err error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return "", false, fmt.Errorf("ask for the file system of %s: %w", dir, err)
	}
	switch int64(s.Type) {
	case unix.TMPFS_MAGIC:
		return "tmpfs", true, nil
	case unix.RAMFS_MAGIC:
		return "ramfs", true, nil
	case unix.EXT4_SUPER_MAGIC:
		return "ext4", false, nil
	case unix.XFS_SUPER_MAGIC:
		return "xfs", false, nil
	case unix.BTRFS_SUPER_MAGIC:
		return "btrfs", false, nil
	case unix.OVERLAYFS_SUPER_MAGIC:
		return "overlay", false, nil
	case unix.NFS_SUPER_MAGIC:
		return "nfs", false, nil
	}
	return fmt.Sprintf("0x%x", s.Type), false, nil
}

// DropCache makes the files below dir be read from the disk again, and says how: "dropped", the whole page cache of the
// machine; "advised", the kernel was asked to let go of these files, which needs no privilege.
func DropCache(dir string) (how string, err error) {
	syscall.Sync()
	if err := os.WriteFile("/proc/sys/vm/drop_caches", []byte("3\n"), 0); err == nil {
		return "dropped", nil
	}
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }() // only read
		return unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
	})
	if err != nil {
		return "", fmt.Errorf("drop the page cache: %w", err)
	}
	return "advised", nil
}

// Kernel returns the release of the running kernel.
func Kernel() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return ""
	}
	return unix.ByteSliceToString(u.Sysname[:]) + " " + unix.ByteSliceToString(u.Release[:])
}
