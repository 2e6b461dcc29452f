package store

import (
	"fmt"
	"os"
	"syscall"
)

// identity tells a file from its copies: by its number, and, if changed is set, by when it was last changed in any way, which
// nobody can set back.
func identity(path string, changed bool) string {
	info, err := os.Stat(path)
	if err != nil {
		return ""
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return ""
	}
	if changed {
		return fmt.Sprint(st.Ino, " ", st.Ctim.Sec, ".", st.Ctim.Nsec)
	}
	return fmt.Sprint(st.Ino)
}
