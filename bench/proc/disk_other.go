//go:build !linux

package proc

import "runtime"

// FileSystem cannot name the file system on this platform.
func FileSystem(string) (name string, inMemory bool, err error) { return "unknown", false, nil }

// DropCache cannot drop the page cache on this platform: it says "kept".
func DropCache(string) (how string, err error) { return "kept", nil }

// Kernel returns the name of the platform.
func Kernel() string { return runtime.GOOS }
