//go:build unix

package listen

import (
	"net"

	"github.com/coreos/go-systemd/v22/activation"
)

// activated returns the sockets that the service manager passed.
func activated() []passed {
	files := activation.Files(true)
	list := make([]passed, len(files))
	for i, f := range files {
		list[i].name, list[i].only = f.Name(), len(files) == 1
		ln, err := net.FileListener(f)
		_ = f.Close() // the listener has a copy
		if list[i].err = err; err == nil {
			list[i].socket, _ = ln.(socket) // listeners of the system are all such
		}
	}
	return list
}
