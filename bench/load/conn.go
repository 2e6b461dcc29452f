package load

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// answerTimeout is how long a sender waits for an answer before it gives the connection up, unless it says otherwise.
const answerTimeout = 30 * time.Second

// Conn is one keep-alive connection that sends requests formatted by the caller and reads only what it must of the answers:
// the status and the length of the body. It is for one goroutine.
type Conn struct {
	// Patience is how long to wait for an answer at most; up to a second less may pass. 0: 30 s. Set it before the first request.
	Patience time.Duration

	c        net.Conn
	r        *bufio.Reader
	deadline time.Time
	closing  bool // the server said that it closes the connection
}

// Dial connects to addr.
func Dial(ctx context.Context, addr string) (*Conn, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	return &Conn{c: c, r: bufio.NewReaderSize(c, 4096)}, nil
}

// Close drops the connection.
func (c *Conn) Close() { _ = c.c.Close() } // nothing is buffered for sending

// errClosing says that the answer was read in full and that the connection cannot be used again.
var errClosing = errors.New("the server closes the connection")

// Do sends one request and returns the status once the whole answer has been read.
//
// After an error the connection is of no further use. The status is not zero when the answer itself arrived in full.
func (c *Conn) Do(now time.Time, request []byte) (status int, err error) {
	if err := c.send(now, request); err != nil {
		return 0, err
	}
	status, length, err := c.readHead()
	if err != nil {
		return 0, err
	}
	if _, err := c.r.Discard(length); err != nil {
		return 0, cut(err)
	}
	return status, nil
}

// Ask is Do for callers that look at the body of the answer, which stands until the next request.
func (c *Conn) Ask(now time.Time, request []byte) (status int, body []byte, err error) {
	if err := c.send(now, request); err != nil {
		return 0, nil, err
	}
	status, length, err := c.readHead()
	switch {
	case err != nil:
		return 0, nil, err
	case length > c.r.Size():
		body = make([]byte, length)
		_, err = io.ReadFull(c.r, body)
	default:
		if body, err = c.r.Peek(length); err == nil {
			_, err = c.r.Discard(length)
		}
	}
	if err != nil {
		return 0, nil, cut(err)
	}
	return status, body, nil
}

// cut says of an answer's end before its time that it was cut.
func cut(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

func (c *Conn) send(now time.Time, request []byte) error {
	if c.closing {
		return errClosing
	}
	// Moving a deadline costs about as much as the rest of a request, so it is moved once a second.
	patience := cmp.Or(c.Patience, answerTimeout)
	if c.deadline.Sub(now) < patience-time.Second {
		c.deadline = now.Add(patience)
		if err := c.c.SetDeadline(c.deadline); err != nil {
			return err
		}
	}
	_, err := c.c.Write(request)
	return err
}

// Closing reports whether the server said that it closes the connection after the last answer.
func (c *Conn) Closing() bool { return c.closing }

// readHead reads an answer up to its body and says how long that is.
func (c *Conn) readHead() (status, length int, err error) {
	line, err := c.r.ReadSlice('\n')
	if err != nil {
		return 0, 0, err
	}
	status, ok := parseStatus(line)
	if !ok {
		return 0, 0, fmt.Errorf("the answer begins with %q, which is no HTTP/1.1 status line", line)
	}
	length = -1
	for {
		line, err := c.r.ReadSlice('\n')
		if err != nil {
			return 0, 0, err
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			break
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimSpace(value)
		switch {
		case bytes.EqualFold(name, []byte("content-length")):
			if length, ok = parseDigits(value); !ok {
				return 0, 0, fmt.Errorf("the answer has a content length of %q", value)
			}
		case bytes.EqualFold(name, []byte("transfer-encoding")):
			return 0, 0, fmt.Errorf("the answer has the transfer encoding %q, which this sender does not read", value)
		case bytes.EqualFold(name, []byte("connection")) && bytes.EqualFold(value, []byte("close")):
			c.closing = true
		}
	}
	switch {
	case status == 204 || status == 304:
		return status, 0, nil
	case length < 0:
		return 0, 0, errors.New("the answer has no content length")
	}
	return status, length, nil
}

// parseStatus reads "HTTP/1.1 200 …".
func parseStatus(line []byte) (int, bool) {
	const prefix = "HTTP/1.1 "
	if len(line) < len(prefix)+3 || string(line[:len(prefix)]) != prefix {
		return 0, false
	}
	return parseDigits(line[len(prefix) : len(prefix)+3])
}

func parseDigits(b []byte) (int, bool) {
	if len(b) == 0 || len(b) > 9 {
		return 0, false
	}
	n := 0
	for _, d := range b {
		if d < '0' || d > '9' {
			return 0, false
		}
		n = n*10 + int(d-'0')
	}
	return n, true
}
