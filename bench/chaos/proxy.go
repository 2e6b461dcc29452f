package main

import (
	"errors"
	"io"
	"net"
	"sync"
)

// proxy is the way of one node to one database server. It can be cut.
type proxy struct {
	l      net.Listener
	target string
	wg     sync.WaitGroup

	mu    sync.Mutex // guards what follows
	how   cut
	over  chan struct{}     // closed when a silent cut is over
	conns map[net.Conn]bool // both ends of every connection
}

// cut is what becomes of the bytes.
type cut int

const (
	open   cut = iota
	refuse     // connections are reset, as when a machine rejects them
	silent     // nothing arrives, and nobody says so, as when packets are lost
)

// newProxy listens at a free port of an address of this machine and passes everything on to target.
func newProxy(host, target string) (*proxy, error) {
	l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		return nil, err
	}
	p := &proxy{l: l, target: target, over: make(chan struct{}), conns: map[net.Conn]bool{}}
	close(p.over)
	p.wg.Go(p.serve)
	return p, nil
}

func (p *proxy) addr() string { return p.l.Addr().String() }

// set cuts the way, or opens it. What was on its way in a silent cut arrives afterwards.
func (p *proxy) set(how cut) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.how == silent && how != silent {
		close(p.over)
	}
	if how == silent && p.how != silent {
		p.over = make(chan struct{})
	}
	if p.how = how; how == refuse {
		for c := range p.conns {
			sever(c)
		}
	}
}

func (p *proxy) close() {
	_ = p.l.Close() // nobody connects any more
	p.set(refuse)
	p.wg.Wait()
}

// sever resets a connection.
func sever(c net.Conn) {
	if tcp, is := c.(*net.TCPConn); is {
		_ = tcp.SetLinger(0) // else it is closed in order
	}
	_ = c.Close() // nothing is read from it any more
}

func (p *proxy) serve() {
	for {
		c, err := p.l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		p.wg.Go(func() { p.pass(c) })
	}
}

// pass connects the two ends until one of them has gone, and then resets both: a database server that died says no more.
func (p *proxy) pass(client net.Conn) {
	defer sever(client)
	if !p.keep(client) {
		return
	}
	defer p.forget(client)
	if !p.wait() {
		return
	}
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		return
	}
	defer sever(server)
	if !p.keep(server) {
		return
	}
	defer p.forget(server)
	var wg sync.WaitGroup
	for _, way := range [][2]net.Conn{{client, server}, {server, client}} {
		wg.Go(func() {
			p.copy(way[1], way[0])
			sever(client)
			sever(server)
		})
	}
	wg.Wait()
}

// copy passes bytes on while the way is open.
func (p *proxy) copy(to io.Writer, from io.Reader) {
	b := make([]byte, 64<<10)
	for {
		n, err := from.Read(b)
		if n > 0 {
			if !p.wait() {
				return
			}
			if _, err := to.Write(b[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// keep notes a connection; false when there may be none.
func (p *proxy) keep(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.how == refuse {
		return false
	}
	p.conns[c] = true
	return true
}

func (p *proxy) forget(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
}

// wait waits out a silent cut; false when the way is closed.
func (p *proxy) wait() bool {
	p.mu.Lock()
	over := p.over
	p.mu.Unlock()
	<-over
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.how != refuse
}
