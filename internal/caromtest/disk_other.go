//go:build !linux

package caromtest

import "testing"

// SmallDisk skips the test: only on Linux can a test mount a small file system by itself.
func SmallDisk(t testing.TB, _ int) string {
	t.Helper()
	t.Skip("skipped: a small file system can be mounted on Linux only")
	return ""
}

// FillDisk is for Linux only, see [SmallDisk].
func FillDisk(testing.TB, string) (free func()) { return func() {} }

// MakeReadOnly is for Linux only, see [SmallDisk].
func MakeReadOnly(testing.TB, string) {}
