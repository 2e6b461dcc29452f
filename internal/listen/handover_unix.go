//go:build unix

package listen

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"carom"
)

// maxSockets bounds how many sockets come along with a line.
const maxSockets = 16

// TakeOver asks the process that uses the data folder for its sockets. It returns nil without an error when no process
// answers there: then there is nothing to take over.
//
// The predecessor goes on serving until [Predecessor.Await]. End the conversation with [Predecessor.Serving] or Close.
func TakeOver(ctx context.Context, data string) (*Predecessor, error) {
	path := filepath.Join(data, socketFile)
	conn, err := new(net.Dialer).DialContext(ctx, "unix", path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.EINVAL) {
		return nil, nil // nobody was there, or died, or the path is too long for anybody to be there
	}
	if err != nil {
		return nil, fmt.Errorf("takeover: %s cannot be used: %w: run it as the user of the running carom: %w", path, err, carom.ErrUnavailable)
	}
	unix := conn.(*net.UnixConn) // as the network says
	sockets, err := receive(unix)
	if err != nil {
		_ = conn.Close() // the error below says more
		return nil, fmt.Errorf("takeover: the running carom hands nothing over: %w: try again, or stop it: %w", err, carom.ErrConflict)
	}
	return &Predecessor{talk: newTalk(unix), sockets: sockets}, nil
}

// receive asks for the sockets and takes them.
func receive(conn *net.UnixConn) (*Sockets, error) {
	if err := conn.SetDeadline(time.Now().Add(answerWithin)); err != nil {
		return nil, err
	}
	if _, err := conn.Write([]byte(lineHello + "\n")); err != nil {
		return nil, err
	}
	line, rights := make([]byte, 256), make([]byte, syscall.CmsgSpace(4*maxSockets))
	n, m, _, _, err := conn.ReadMsgUnix(line, rights)
	if err != nil {
		return nil, err
	}
	files, err := filesIn(rights[:m])
	defer func() {
		for _, f := range files {
			_ = f.Close() // the listeners have copies
		}
	}()
	if err != nil {
		return nil, err
	}
	text, whole := strings.CutSuffix(string(line[:n]), "\n")
	names := strings.Fields(text)
	if !whole || len(names) != len(files) {
		return nil, errOther
	}
	s := &Sockets{held: map[string]socket{}, given: map[string]bool{}, keep: true}
	for i, f := range files {
		ln, err := net.FileListener(f)
		if err != nil {
			_ = s.closeAll() // the error says more
			return nil, err
		}
		s.held[names[i]], _ = ln.(socket) // listeners of the system are all such
	}
	return s, nil
}

// filesIn unpacks the files that came along with a line.
func filesIn(rights []byte) ([]*os.File, error) {
	parts, err := syscall.ParseSocketControlMessage(rights)
	if err != nil {
		return nil, err
	}
	var files []*os.File
	for i := range parts {
		fds, err := syscall.ParseUnixRights(&parts[i])
		if err != nil {
			return files, err
		}
		for _, fd := range fds {
			syscall.CloseOnExec(fd)
			files = append(files, os.NewFile(uintptr(fd), "socket"))
		}
	}
	return files, nil
}

// Offer opens the socket in the data folder at which another process can ask for the sockets. The caller has the lock of
// the folder: what is there already was left behind. Where the folder's path is too long for a socket nobody can ask, and
// the log says so.
func (s *Sockets) Offer(data string, log *slog.Logger) (*Offer, error) {
	o := &Offer{sockets: s, ready: make(chan *Successor), log: log}
	path := filepath.Join(data, socketFile)
	if len(path) > maxSocketPath {
		log.Warn("the path of the data folder is too long for a hand-over: an upgrade has to stop this process first, or use a shorter path", "path", path)
		return o, nil
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("socket for a hand-over: %w", err)
	}
	at, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("socket for a hand-over: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		_ = at.Close() // the error says more
		return nil, fmt.Errorf("socket for a hand-over: %w", err)
	}
	o.at = at
	return o, nil
}

// Run answers those who ask, one after another, until ctx ends.
func (o *Offer) Run(ctx context.Context) error {
	if o.at == nil {
		<-ctx.Done()
		return nil
	}
	closed := make(chan struct{}) // closed when nothing in the data folder is open any more
	context.AfterFunc(ctx, func() {
		_ = o.at.Close() // Accept returns, and the path is gone
		close(closed)
	})
	for {
		conn, err := o.at.AcceptUnix()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				_ = conn.Close() // nothing was said
			}
			<-closed
			return nil
		case err != nil:
			return fmt.Errorf("socket for a hand-over: %w", err)
		}
		if err := o.answer(ctx, newTalk(conn)); err != nil {
			_ = conn.Close() // the error says more
			if ctx.Err() == nil {
				o.log.Warn("a process asked to take over and then did not; this one goes on", "error", err)
			}
		}
	}
}

// answer gives one process the sockets and, once it is ready, passes the conversation on.
func (o *Offer) answer(ctx context.Context, t *talk) error {
	if err := t.hear(ctx, lineHello, answerWithin); err != nil {
		return err
	}
	if err := o.give(t.conn); err != nil {
		return err
	}
	if err := t.hear(ctx, lineReady, prepareWithin); err != nil {
		return err
	}
	select {
	case o.ready <- &Successor{t}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// give sends the sockets. It copies their descriptors, since net.FileListener and File could make a socket block that
// this process still accepts from.
func (o *Offer) give(conn *net.UnixConn) (err error) {
	var fds []int
	defer func() {
		for _, fd := range fds {
			_ = syscall.Close(fd) // a copy
		}
	}()
	var names []string
	o.sockets.mu.Lock()
	for name, have := range o.sockets.held {
		raw, rawErr := have.SyscallConn()
		if rawErr == nil {
			rawErr = raw.Control(func(fd uintptr) {
				var copied int
				if copied, err = syscall.Dup(int(fd)); err == nil {
					syscall.CloseOnExec(copied)
					fds, names = append(fds, copied), append(names, name)
				}
			})
		}
		if err = errors.Join(err, rawErr); err != nil {
			break
		}
	}
	o.sockets.mu.Unlock()
	if err != nil {
		return err
	}
	if err := conn.SetWriteDeadline(time.Now().Add(answerWithin)); err != nil {
		return err
	}
	_, _, err = conn.WriteMsgUnix([]byte(strings.Join(names, " ")+"\n"), syscall.UnixRights(fds...), nil)
	return err
}
