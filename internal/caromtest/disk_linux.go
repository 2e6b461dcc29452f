package caromtest

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
)

// SmallDisk mounts a file system of its own with room for some megabytes, and unmounts it when the test ends. The test is
// skipped where this process may not do that; with CAROM_TEST_ALL=1 and as root it fails.
func SmallDisk(t testing.TB, megabytes int) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("skipped: a small file system can be mounted by root only")
	}
	dir := Folder(t)
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+strconv.Itoa(megabytes)+"m"); err != nil {
		if os.Getenv("CAROM_TEST_ALL") == "1" {
			t.Fatalf("CAROM_TEST_ALL=1, and a small file system cannot be mounted: %v", err)
		}
		t.Skipf("skipped: a small file system cannot be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Errorf("unmount %s: %v", dir, err)
			_ = syscall.Unmount(dir, syscall.MNT_DETACH) // better than leaving it behind
		}
	})
	return dir
}

// FillDisk writes a file that takes all room that is left in a folder's file system. The returned function removes it.
func FillDisk(t testing.TB, dir string) (free func()) {
	t.Helper()
	path := filepath.Join(dir, "ballast")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	chunk := make([]byte, 64<<10)
	for size := len(chunk); size > 0; { // ever smaller pieces, until not even a page fits
		if _, err := f.Write(chunk[:size]); errors.Is(err, syscall.ENOSPC) || errors.Is(err, io.ErrShortWrite) {
			size /= 2
		} else if err != nil {
			t.Fatalf("fill %s: %v", dir, err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

// MakeReadOnly makes a file system that [SmallDisk] mounted one that can be read only.
func MakeReadOnly(t testing.TB, dir string) {
	t.Helper()
	if err := syscall.Mount("", dir, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Fatalf("make %s read-only: %v", dir, err)
	}
}
