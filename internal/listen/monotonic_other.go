//go:build !linux

package listen

// monotonic adds nothing where there is no systemd.
func monotonic() string { return "" }
