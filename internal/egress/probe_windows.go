package egress

import (
	"errors"
	"syscall"
)

// probe knows nothing on Windows, whose sockets cannot be read without waiting from here. Requests that may be repeated
// rely on the retry of Do; the others get a fresh connection.
type probe struct{}

func (*probe) init(syscall.Conn) {}

func (*probe) able() bool { return false }

func (*probe) open() bool { return false }

// isReset reports whether err says that the other side broke the connection off.
func isReset(err error) bool {
	return errors.Is(err, syscall.WSAECONNRESET) || errors.Is(err, syscall.WSAECONNABORTED)
}
