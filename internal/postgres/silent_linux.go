package postgres

import (
	"errors"
	"strings"
	"syscall"
)

// userTimeout is TCP_USER_TIMEOUT of tcp(7): for how many milliseconds what was sent may stay unacknowledged.
const userTimeout = 0x12

// breakWhenSilent has the system give a connection up when the other machine has gone in the middle of a request.
func breakWhenSilent(network, _ string, c syscall.RawConn) error {
	if !strings.HasPrefix(network, "tcp") {
		return nil
	}
	var failed error
	err := c.Control(func(fd uintptr) {
		failed = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, userTimeout, int(silentFor.Milliseconds()))
	})
	return errors.Join(err, failed)
}
