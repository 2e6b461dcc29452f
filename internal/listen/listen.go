// Package listen opens what a server listens at, and keeps it open while the server changes: sockets, certificates, and the
// hand-over of both from a running process to the next.
//
// A socket comes from one of three places: it is bound, or the service manager passed it (socket activation), or a process
// that is about to end hands it over. In the second and third case connections that arrive while nobody accepts wait in
// the kernel, since the socket itself is never closed: an upgrade refuses nobody. [Sockets] is the set of a process,
// [Sockets.Offer] lets the next one have it, [TakeOver] asks for it. docs/decisions/0004-hand-over.md says what happens when
// either process dies on the way.
//
// [Certs] are the certificates: files of the operator's that are read again when they change ([FromFiles]), or such as an
// ACME server issues ([FromACME]). Either way handshakes get the newest good one, and a certificate that cannot be had stops
// nothing: the old one goes on, [Certs.Certificates] says so.
//
// The package knows nothing of what is served.
package listen

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"carom"
)

// The names of the sockets, as units of systemd give them with FileDescriptorName.
const (
	Public  = "public"  // what networks reach; HTTPS when there are certificates
	HTTP    = "http"    // plain HTTP beside HTTPS
	Private = "private" // everything that is not for networks
	Local   = "local"   // the socket in the data folder
)

// Sockets are what a process listens at, by name. All methods are safe for concurrent use.
type Sockets struct {
	mu    sync.Mutex // guards all below
	held  map[string]socket
	given map[string]bool // the service manager passed it: its unit says the address
	keep  bool            // another process has them too: closing a listener leaves its socket open
}

// socket is what the sockets of both kinds can do.
type socket interface {
	net.Listener
	SetDeadline(time.Time) error
	syscall.Conn
}

// NewSockets returns the sockets that the service manager passed to this process; there need not be any. They are taken out of
// the environment, so that a second call finds none. Its error is carom.ErrInvalid, when a name is none of ours.
func NewSockets() (*Sockets, error) {
	s := &Sockets{held: map[string]socket{}, given: map[string]bool{}}
	for _, p := range activated() {
		if p.err != nil {
			_ = s.closeAll() // the fault says more
			return nil, fmt.Errorf("socket %q of the service manager: %w: give one with ListenStream: %w", p.name, p.err, carom.ErrInvalid)
		}
		name := p.name
		if p.only && !known(name) {
			name = Public // a unit without a name of ours has no other use
		}
		if !known(name) || s.held[name] != nil {
			_ = p.socket.Close() // the fault below says more
			_ = s.closeAll()
			return nil, fmt.Errorf("the service manager passes a socket named %q: pass one of each name, set with FileDescriptorName to %s, %s or %s: %w",
				name, Public, HTTP, Private, carom.ErrInvalid)
		}
		s.held[name], s.given[name] = p.socket, true
	}
	return s, nil
}

// passed is one socket that the service manager passed.
type passed struct {
	name   string
	only   bool // it is the only one
	socket socket
	err    error // it is none that can be listened at
}

func known(name string) bool { return name == Public || name == HTTP || name == Private }

// Given says whether the service manager passed the socket, and the address that it has then.
func (s *Sockets) Given(name string) (address string, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.given[name] {
		return "", false
	}
	return s.held[name].Addr().String(), true
}

// AnyGiven says whether the service manager passed any socket.
func (s *Sockets) AnyGiven() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.given) > 0
}

// Holds says whether there is a socket of that name already, so that Listen will most likely not have to bind it.
func (s *Sockets) Holds(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.held[name] != nil
}

// Listen returns a listener at the socket of that name. It is the one that is held already, if the service manager chose it
// or its address is the one asked for; else one is bound: address is host and port, for [Local] a path. Closing the listener
// closes the socket, unless [Sockets.Keep] was called.
func (s *Sockets) Listen(name, address string) (net.Listener, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	network := "tcp"
	if name == Local {
		network = "unix"
	}
	have := s.held[name]
	if have != nil && !s.given[name] && !sameAddress(have.Addr(), network, address) {
		_ = have.Close() // nothing of ours was accepted from it
		delete(s.held, name)
		have = nil
	}
	if have == nil {
		bound, err := net.Listen(network, address)
		if err != nil {
			return nil, err
		}
		var ok bool
		if have, ok = bound.(socket); !ok {
			_ = bound.Close() // it is of no use
			return nil, fmt.Errorf("listen at %s: %w", address, errors.ErrUnsupported)
		}
		s.held[name] = have
	}
	if err := have.SetDeadline(time.Time{}); err != nil {
		return nil, err
	}
	if u, ok := have.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(!s.keep)
	}
	return &turn{socket: have, name: name, all: s, over: make(chan struct{})}, nil
}

// sameAddress says whether a socket is bound as address asks. Port 0 asks for any.
func sameAddress(have net.Addr, network, address string) bool {
	if network == "unix" {
		_, err := os.Stat(address) // somebody may have removed its name
		return err == nil && have.String() == address
	}
	is, ok := have.(*net.TCPAddr)
	want, err := net.ResolveTCPAddr("tcp", address)
	if !ok || err != nil || want.Port != 0 && want.Port != is.Port {
		return false
	}
	everywhere := func(ip net.IP) bool { return len(ip) == 0 || ip.IsUnspecified() }
	if everywhere(want.IP) || everywhere(is.IP) {
		return everywhere(want.IP) && everywhere(is.IP)
	}
	return want.IP.Equal(is.IP)
}

// Keep makes what is closed from now on leave its socket open, with the connections that wait in it: another process has it
// too. Whoever gets them back asks with Listen again.
func (s *Sockets) Keep(keep bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keep = keep
	for _, have := range s.held {
		if u, ok := have.(*net.UnixListener); ok {
			u.SetUnlinkOnClose(!keep)
		}
	}
}

// Close closes every socket of this process. Twice is safe.
func (s *Sockets) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closeAll()
}

func (s *Sockets) closeAll() error {
	var errs []error
	for name, have := range s.held {
		errs = append(errs, have.Close())
		delete(s.held, name)
	}
	return errors.Join(errs...)
}

// turn is the use that one run of the server makes of a socket.
type turn struct {
	socket
	name string
	all  *Sockets
	once sync.Once
	over chan struct{} // closed by Close
}

// Accept implements net.Listener. After Close it returns net.ErrClosed.
func (t *turn) Accept() (net.Conn, error) {
	conn, err := t.socket.Accept()
	if err != nil {
		select {
		case <-t.over:
			return nil, net.ErrClosed
		default:
		}
	}
	return conn, err
}

// Close implements net.Listener. A socket that is kept is only made to return from Accept.
func (t *turn) Close() (err error) {
	t.once.Do(func() {
		close(t.over)
		t.all.mu.Lock()
		defer t.all.mu.Unlock()
		switch {
		case t.all.held[t.name] != t.socket: // all were closed
		case t.all.keep:
			err = t.socket.SetDeadline(time.Unix(1, 0))
		default:
			delete(t.all.held, t.name)
			err = t.socket.Close()
		}
	})
	return err
}
