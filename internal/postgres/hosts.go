package postgres

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// hosts remembers which of several hosts of a URL was the right one, so that not every new connection waits anew for a machine
// that has gone.
type hosts struct {
	right atomic.Pointer[host]
}

type host struct {
	addr   string
	proven time.Time // it was connected to, or a commit was made
}

// trusted is for how long a host is taken for the right one after it has proven so.
const trusted = 5 * time.Second

var errOtherHost = errors.New("another host of the URL has just proven to be the right one")

// follow has connections that config describes go to the right host, where one is known, and notes which one it is.
func (h *hosts) follow(config *pgx.ConnConfig) {
	dial, validate := config.DialFunc, config.ValidateConnect
	config.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		if r := h.right.Load(); r != nil && r.addr != addr && strings.HasPrefix(network, "tcp") && time.Since(r.proven) < trusted {
			return nil, errOtherHost
		}
		c, err := dial(ctx, network, addr)
		if err != nil {
			h.doubt(addr)
		}
		return c, err
	}
	config.ValidateConnect = func(ctx context.Context, conn *pgconn.PgConn) error {
		addr := conn.Conn().RemoteAddr().String()
		if validate != nil {
			if err := validate(ctx, conn); err != nil {
				h.doubt(addr)
				return err
			}
		}
		h.right.Store(&host{addr, time.Now()})
		return nil
	}
}

// doubt takes back that a host is the right one.
func (h *hosts) doubt(addr string) {
	if r := h.right.Load(); r != nil && r.addr == addr {
		h.right.CompareAndSwap(r, nil)
	}
}

// proven notes that the host is the right one still.
func (h *hosts) proven(addr net.Addr) {
	h.right.Store(&host{addr.String(), time.Now()})
}
