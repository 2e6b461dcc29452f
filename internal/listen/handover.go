package listen

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"time"

	"carom"
)

// The two processes speak in lines over a socket in the data folder. The one that starts is the successor, the one that
// serves the predecessor.
//
//	successor    hello        it wants the sockets
//	predecessor  names of the sockets, which come along with the line
//	successor    ready        settings, profiles and certificates are read: it waits for the data folder alone
//	predecessor  stopping     it has told its callers to connect anew; from here on it accepts nobody
//	successor    go           it is still there. Without this line the predecessor goes on as before
//	predecessor  released     the data folder is free
//	successor    serving      the predecessor ends. If the successor ends instead, the predecessor serves again
const (
	lineHello    = "carom takeover 1"
	lineReady    = "ready"
	lineStopping = "stopping"
	lineGo       = "go"
	lineReleased = "released"
	lineServing  = "serving"
)

// The bounds of the conversation.
const (
	answerWithin  = 10 * time.Second // what the other process answers without having to do anything; callers are served meanwhile
	prepareWithin = 60 * time.Second // until the successor is ready
	releaseWithin = 60 * time.Second // until the predecessor has let go of the data folder
)

// socketFile is the socket's name in the data folder.
const socketFile = "takeover.sock"

// maxSocketPath is what the smallest of the operating systems allows.
const maxSocketPath = 103

// talk is one side of the conversation.
type talk struct {
	conn *net.UnixConn
	in   *bufio.Reader
}

func newTalk(conn *net.UnixConn) *talk { return &talk{conn, bufio.NewReaderSize(conn, 256)} }

func (t *talk) say(line string) error {
	if err := t.conn.SetWriteDeadline(time.Now().Add(answerWithin)); err != nil {
		return err
	}
	_, err := t.conn.Write([]byte(line + "\n"))
	return err
}

// hear waits for a line, which has to be want, until the time has passed or ctx ends. within 0 waits for ever.
func (t *talk) hear(ctx context.Context, want string, within time.Duration) error {
	var until time.Time
	if within > 0 {
		until = time.Now().Add(within)
	}
	if err := t.conn.SetReadDeadline(until); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = t.conn.SetReadDeadline(time.Unix(1, 0)) }) // a closed connection ends the read by itself
	defer stop()
	got, err := t.in.ReadSlice('\n')
	if err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return err
	}
	if strings.TrimSuffix(string(got), "\n") != want {
		return errOther
	}
	return nil
}

// errOther is what a process of another version is told with.
var errOther = errors.New("the other process speaks another version of the hand-over: stop it, then start this one")

// Predecessor is the process that served until now, as the next one sees it. Its methods are for one goroutine.
type Predecessor struct {
	talk    *talk
	sockets *Sockets
}

// Sockets are those that it handed over.
func (p *Predecessor) Sockets() *Sockets { return p.sockets }

// Await tells the predecessor that this process is ready, and returns when the data folder is free, or when the predecessor
// has ended: then its lock went with it. It returns carom.ErrConflict when the predecessor does not let go within a minute.
func (p *Predecessor) Await(ctx context.Context) error {
	err := p.talk.say(lineReady)
	if err == nil {
		err = p.talk.hear(ctx, lineStopping, releaseWithin)
	}
	if err == nil {
		err = p.talk.say(lineGo)
	}
	if err == nil {
		err = p.talk.hear(ctx, lineReleased, releaseWithin)
	}
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, errOther):
		return fmt.Errorf("takeover: %w: %w", err, carom.ErrConflict)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("takeover: the running carom did not let go of the data folder within %s and goes on: look into its log: %w",
			releaseWithin, carom.ErrConflict)
	}
	return nil // it has hung up: opening the folder shows whether it has ended
}

// Serving tells the predecessor that it may end. Nil stands for none.
func (p *Predecessor) Serving() {
	if p != nil {
		_ = p.talk.say(lineServing) // one that has ended needs not be told
		p.Close()
	}
}

// Close ends the conversation. A predecessor that was not told of success serves again. Twice is safe; nil stands for none.
func (p *Predecessor) Close() {
	if p != nil {
		_ = p.talk.conn.Close() // nothing waits to be written
	}
}

// Offer lets another process take the sockets over. Make it with [Sockets.Offer] and run it.
type Offer struct {
	sockets *Sockets
	at      *net.UnixListener // nil: nobody can ask
	ready   chan *Successor   // Run sends; without room, so that nobody is forgotten in it
	log     *slog.Logger
}

// Ready delivers a process that is ready to serve.
func (o *Offer) Ready() <-chan *Successor { return o.ready }

// Successor is the process that is to serve next, as the one that serves sees it. Its methods are for one goroutine.
type Successor struct{ talk *talk }

// Commit tells the successor that this process is about to accept nobody any more, and says whether it is still there.
// If it is not, the conversation is over.
func (s *Successor) Commit(ctx context.Context) bool {
	if s.talk.say(lineStopping) == nil && s.talk.hear(ctx, lineGo, answerWithin) == nil {
		return true
	}
	_ = s.talk.conn.Close() // nothing waits to be written
	return false
}

// Serves tells the successor that the data folder is free, and waits until it serves. It returns false when the successor
// has given up or died, and when ctx ends. The conversation is over then.
func (s *Successor) Serves(ctx context.Context) bool {
	defer func() { _ = s.talk.conn.Close() }() // nothing waits to be written
	return s.talk.say(lineReleased) == nil && s.talk.hear(ctx, lineServing, 0) == nil
}
