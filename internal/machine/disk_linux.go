package machine

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// dataSync makes what was written safe, as commits do.
func dataSync(f *os.File) error { return unix.Fdatasync(int(f.Fd())) }

// fsType names the file system of a folder. Source: statfs(2), read 2026-11-22.
func fsType(dir string) (string, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return "", err
	}
	magic := uint32(st.Type)
	for _, kind := range []struct {
		magic uint32
		name  string
	}{
		{unix.EXT4_SUPER_MAGIC, "ext4"}, {unix.XFS_SUPER_MAGIC, "xfs"}, {unix.BTRFS_SUPER_MAGIC, "btrfs"}, {0x2fc12fc1, "zfs"},
		{unix.F2FS_SUPER_MAGIC, "f2fs"}, {unix.TMPFS_MAGIC, "tmpfs"}, {unix.RAMFS_MAGIC, "ramfs"}, {unix.OVERLAYFS_SUPER_MAGIC, "overlay"},
		{unix.NFS_SUPER_MAGIC, "nfs"}, {unix.SMB_SUPER_MAGIC, "smb"}, {0xff534d42, "cifs"}, {0xfe534d42, "smb2"}, {unix.AFS_SUPER_MAGIC, "afs"},
		{0x00c36400, "ceph"}, {unix.V9FS_MAGIC, "9p"}, {0x65735546, "fuse"},
	} {
		if magic == kind.magic {
			return kind.name, nil
		}
	}
	return fmt.Sprintf("number %#x", magic), nil
}
