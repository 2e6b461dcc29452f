package egress

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"syscall"
	"time"
)

// DefaultConnectTimeout is how long the TCP connect may take, over all addresses of a host.
const DefaultConnectTimeout = 3 * time.Second

// minConnectShare is what one address gets of the connect budget at least: three lost SYNs would need seconds, but an
// answer from across the world takes less than half of one.
const minConnectShare = 750 * time.Millisecond

// ErrNoAddress is why a host that exists cannot be dialled when its name leads to no IP address.
var ErrNoAddress = errors.New("the name has no address")

// Resolver finds the addresses of a host name. *net.Resolver is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// DialFunc connects to address, an IP address with a port.
type DialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// Dialer connects to hosts under a Policy. The zero value dials the public internet. It keeps no state, uses no proxy
// from the environment, and may be used concurrently.
type Dialer struct {
	Policy   Policy
	Resolver Resolver      // nil: the system's
	Timeout  time.Duration // of the TCP connect; zero: DefaultConnectTimeout

	// Dial replaces the network in tests. It is called with vetted addresses only. When nil, the dialer checks the
	// address a second time, on the socket, just before it connects.
	Dial DialFunc
}

// DialContext resolves the host of address ("host:port") once, refuses it when any of its addresses is forbidden, and
// connects to the addresses that were vetted, one after another, until one accepts. It has the shape that
// http.Transport expects; network is "tcp". A refusal is a *Refusal.
func (d *Dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	if network != "tcp" {
		return nil, fmt.Errorf("dial: the network %q is not supported: use tcp", network)
	}
	host, portText, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("dial: %w", err)
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil || port == 0 {
		return nil, errors.New("dial: the port is not a number from 1 to 65535")
	}
	nc, _, err := d.dial(ctx, host, uint16(port))
	return nc, err
}

// stageError is an error that knows which stage of an exchange it ended.
type stageError struct {
	phase Phase
	err   error
}

func (e *stageError) Error() string { return e.err.Error() }
func (e *stageError) Unwrap() error { return e.err }

// dial is DialContext without parsing. It also returns the address that accepted. Its errors are of type *stageError.
func (d *Dialer) dial(ctx context.Context, host string, port uint16) (net.Conn, netip.AddrPort, error) {
	addrs, err := d.vet(ctx, host)
	if err != nil {
		return nil, netip.AddrPort{}, err
	}
	dial := d.Dial
	if dial == nil {
		// Keep-alive probes are off: no connection outlives its idle timeout, and each option costs a system call.
		nd := net.Dialer{KeepAlive: -1, Control: d.control}
		dial = nd.DialContext
	}
	budget := cmp.Or(d.Timeout, DefaultConnectTimeout)
	end := time.Now().Add(budget)
	var first error
	for i, addr := range addrs {
		left := time.Until(end)
		if left <= 0 || ctx.Err() != nil {
			break
		}
		share := min(max(left/time.Duration(len(addrs)-i), minConnectShare), left)
		attempt, cancel := context.WithTimeout(ctx, share)
		to := netip.AddrPortFrom(addr, port)
		nc, err := dial(attempt, "tcp", to.String())
		cancel()
		if err == nil {
			return nc, to, nil
		}
		if first == nil {
			first = err
		}
	}
	var refusal *Refusal
	if errors.As(first, &refusal) { // from the second check, on the socket
		return nil, netip.AddrPort{}, &stageError{PhaseRefused, refusal}
	}
	if first == nil {
		first = context.Cause(ctx)
	}
	if first == nil { // only when the budget is too short to try anything
		first = context.DeadlineExceeded
	}
	if errors.Is(first, context.DeadlineExceeded) && ctx.Err() == nil {
		first = fmt.Errorf("no connection within %v: %w", budget, first)
	}
	return nil, netip.AddrPort{}, &stageError{PhaseConnect, first}
}

// vet returns the addresses of host in the resolver's order, all of them allowed.
//
// One forbidden address refuses the whole host. A name that points to a private address beside a public one is a mistake
// or an attack, and trying the public one only would make the outcome depend on luck.
func (d *Dialer) vet(ctx context.Context, host string) ([]netip.Addr, error) {
	addr, refusal := d.Policy.literal(host)
	if refusal != nil {
		return nil, &stageError{PhaseRefused, refusal}
	}
	if addr.IsValid() {
		return []netip.Addr{addr}, nil
	}
	var resolver Resolver = net.DefaultResolver
	if d.Resolver != nil {
		resolver = d.Resolver
	}
	answers, err := resolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, &stageError{PhaseResolve, err}
	}
	if len(answers) == 0 {
		return nil, &stageError{PhaseResolve, fmt.Errorf("%s: %w", host, ErrNoAddress)}
	}
	addrs := make([]netip.Addr, len(answers)) // a copy: the resolver may own its slice
	for i, answer := range answers {
		// Resolvers hand out IPv4 addresses in either form; what counts is where the packets go.
		addrs[i] = answer.Unmap()
		if reason := d.Policy.Check(addrs[i]); reason != "" {
			return nil, &stageError{PhaseRefused, &Refusal{Host: host, Addr: addrs[i], Reason: reason}}
		}
	}
	return addrs, nil
}

// control is the second line: it sees the address that the kernel is about to connect to, whatever led there.
func (d *Dialer) control(_, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return &Refusal{Host: address, Reason: ReasonBadHost}
	}
	addr := to.Addr().Unmap()
	if reason := d.Policy.Check(addr); reason != "" {
		return &Refusal{Addr: addr, Reason: reason}
	}
	return nil
}
