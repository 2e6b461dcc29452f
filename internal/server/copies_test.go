package server_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"

	"carom/internal/caromtest"
)

// postbacks sends GETs on a connection of its own, and reads the answers itself: the sender shares two cores with the server.
type postbacks struct {
	conn net.Conn
	in   *bufio.Reader
	text *textproto.Reader
}

func dial(url string) (*postbacks, error) {
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		return nil, err
	}
	in := bufio.NewReader(conn)
	return &postbacks{conn, in, textproto.NewReader(in)}, nil
}

// get sends one postback and returns its status.
func (p *postbacks) get(query string) (status int, err error) {
	if err := p.send(query); err != nil {
		return 0, err
	}
	return p.answer()
}

// send sends postbacks without waiting for their answers.
func (p *postbacks) send(queries ...string) error {
	var b strings.Builder
	for _, query := range queries {
		b.WriteString("GET " + caromtest.Door + "?" + query + " HTTP/1.1\r\nHost: carom\r\n\r\n")
	}
	_, err := io.WriteString(p.conn, b.String())
	return err
}

// answer reads the next answer and returns its status.
func (p *postbacks) answer() (status int, err error) {
	line, err := p.text.ReadLine()
	if err != nil {
		return 0, err
	}
	if _, err := fmt.Sscanf(line, "HTTP/1.1 %d", &status); err != nil {
		return 0, fmt.Errorf("%q: %w", line, err)
	}
	header, err := p.text.ReadMIMEHeader()
	if err != nil {
		return 0, err
	}
	length, err := strconv.Atoi(header.Get("Content-Length"))
	if err != nil {
		return 0, errors.New("the answer has no length")
	}
	_, err = p.in.Discard(length)
	return status, err
}

// Issue 2 shows 200 parallel copies of 1,000 postbacks, which CAROM_TEST_ALL=1 makes of it without the race detector.
func TestParallelCopiesCountOnce(t *testing.T) {
	copies, different := 200, 100
	switch {
	case caromtest.Race || testing.Short():
		copies = 50
	case os.Getenv("CAROM_TEST_ALL") == "1":
		different = 1000
	}
	endpoint := caromtest.NewEndpoint(t)
	s := caromtest.Start(t, caromtest.Options{Objects: caromtest.Monetag("", endpoint.URL+"/p?ymid={ymid}")})
	var senders sync.WaitGroup
	for range copies {
		senders.Go(func() { sendCopies(t, s.URL, different) })
	}
	senders.Wait()

	ymids := map[string]int{}
	for _, e := range s.Events(t, "") {
		ymids[e.YMID]++
	}
	if len(ymids) != different {
		t.Errorf("%d different postbacks became %d", different, len(ymids))
	}
	for ymid, n := range ymids {
		if n != 1 {
			t.Errorf("%s is stored %d times", ymid, n)
		}
	}
	if sent := endpoint.Wait(t, "/p", different); len(sent) != different {
		t.Errorf("the endpoint got %d postbacks, want %d", len(sent), different)
	}
}

// sendCopies sends a copy of each postback on one connection, some at a time.
func sendCopies(t *testing.T, url string, different int) {
	p, err := dial(url)
	if err != nil {
		t.Error(err)
		return
	}
	defer func() { _ = p.conn.Close() }() // all answers are read
	const atOnce = 20
	for first := 0; first < different; first += atOnce {
		var queries []string
		for i := first; i < min(first+atOnce, different); i++ {
			queries = append(queries, "ymid=copy"+strconv.Itoa(i)+"&event=impression&zone_id=1&value=yes")
		}
		if err := p.send(queries...); err != nil {
			t.Error(err)
			return
		}
		for i := range queries {
			if status, err := p.answer(); status != 200 || err != nil {
				t.Errorf("a copy of postback %d was answered %d, %v", first+i, status, err)
				return
			}
		}
	}
}
