//go:build unix

package egress

import (
	"errors"
	"syscall"
)

// probe looks whether an idle connection is still good: open, and with nothing to read.
//
// Bytes that nobody asked for make it bad as well. They are a goodbye (a closing alert, a 408 that some proxies send
// before they close), or the rest of an earlier answer, which must never be taken for the next one.
type probe struct {
	rc    syscall.RawConn
	look  func(fd uintptr) bool // made once, so that looking allocates nothing
	quiet bool                  // what look found
	one   [1]byte
}

// init prepares the probe, unless the connection gives no access to its socket.
func (p *probe) init(sc syscall.Conn) {
	rc, err := sc.SyscallConn()
	if err != nil {
		return
	}
	p.rc = rc
	p.look = func(fd uintptr) bool {
		// A plain read of the non-blocking socket: a byte that it takes belongs to a connection that is closed next.
		n, err := syscall.Read(int(fd), p.one[:])
		p.quiet = n < 0 && (errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EWOULDBLOCK))
		return true
	}
}

// able reports whether open can tell.
func (p *probe) able() bool { return p.rc != nil }

// open reports whether the connection is still good.
func (p *probe) open() bool {
	err := p.rc.Read(p.look)
	return err == nil && p.quiet
}

// isReset reports whether err says that the other side broke the connection off.
func isReset(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}
