package load

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"carom/bench/mark"
)

// Origin is the page that shows the ads of the benchmark. Its app has to list it.
const Origin = "https://bench.example"

// Paths of what a page asks for.
const (
	adPath     = "/sdk/ad"
	BeaconPath = "/sdk/beacon"
)

// ViewableBody is the beacon which says that an ad was seen. Its token is the one that the start of the ad was answered with, and
// the ad has to be SeenAfter old.
const ViewableBody = viewableBefore + Token + viewableBehind

const (
	viewableBefore = `{"token":"`
	viewableBehind = `","beacon":"viewable","shown_ms":1100,"visible_ms":1050,"share":100,"trusted":false,"visible":true}`
)

// SeenAfter is how long after an ad was handed out it can have been seen: a little more than the second that a zone asks for.
const SeenAfter = 1100 * time.Millisecond

// Confirmed stands in the answer to a beacon whose view is confirmed.
const Confirmed = `"confirmed"`

// PageHead returns what a browser says in the head of each request of a page.
func PageHead() []string {
	return []string{
		"Origin: " + Origin,
		"Content-Type: text/plain;charset=UTF-8",
		"User-Agent: Mozilla/5.0 (Linux; Android 13) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Mobile Safari/537.36",
		"Accept-Language: en",
	}
}

// Page asks for ads and says what became of them, as the SDK does on a page. It has one connection and is for one goroutine.
type Page struct {
	addr string
	zone string
	head []byte // all of a request's head but its first line and the length of the body
	conn *Conn  // nil: a new one has to be made
	buf  []byte // of the request
}

// OpenPage connects a page that shows ads of a zone.
func OpenPage(ctx context.Context, addr, zone string) (*Page, error) {
	p := &Page{addr: addr, zone: zone, head: []byte("Host: " + addr + "\r\n")}
	for _, line := range PageHead() {
		p.head = append(append(p.head, line...), "\r\n"...)
	}
	var err error
	p.conn, err = Dial(ctx, addr)
	return p, err
}

// Close drops the connection.
func (p *Page) Close() {
	if p.conn != nil {
		p.conn.Close()
		p.conn = nil
	}
}

// Ad asks for an ad with the mark as its ymid, and returns the ad's token.
func (p *Page) Ad(ctx context.Context, m mark.Mark) (token string, err error) {
	return p.token(ctx, adPath, `{"zone":"`, p.zone, `","format":"rewarded_interstitial","ymid":"`, m.String(),
		`","request_var":"bonus-btn","visible":true,"width":390,"height":844,"sdk":"1.0.0"}`)
}

// Start says that the ad began, and returns the token for what follows.
func (p *Page) Start(ctx context.Context, token string) (next string, err error) {
	return p.token(ctx, BeaconPath, `{"token":"`, token, `","beacon":"start","visible":true}`)
}

// token posts a body and returns the token that it is answered with.
func (p *Page) token(ctx context.Context, path string, body ...string) (string, error) {
	status, answer, err := p.post(ctx, path, body...)
	if err != nil {
		return "", err
	}
	_, rest, _ := bytes.Cut(answer, []byte(`"token":"`))
	token, _, ok := bytes.Cut(rest, []byte(`"`))
	if status != http.StatusOK || !ok || len(token) == 0 {
		return "", fmt.Errorf("%s was answered %d without a token: %.300s", path, status, answer)
	}
	return string(token), nil
}

// post sends a body, whose parts are joined, and returns the answer; its body stands until the next request.
func (p *Page) post(ctx context.Context, path string, body ...string) (status int, answer []byte, err error) {
	if p.conn == nil {
		if p.conn, err = Dial(ctx, p.addr); err != nil {
			return 0, nil, err
		}
	}
	length := 0
	for _, part := range body {
		length += len(part)
	}
	b := append(p.buf[:0], "POST "+path+" HTTP/1.1\r\n"...)
	b = append(append(b, p.head...), "Content-Length: "...)
	b = append(strconv.AppendInt(b, int64(length), 10), "\r\n\r\n"...)
	for _, part := range body {
		b = append(b, part...)
	}
	p.buf = b
	status, answer, err = p.conn.Ask(time.Now(), b)
	if err != nil || p.conn.Closing() {
		p.Close()
	}
	return status, answer, err
}

// StartViews has n ads of a zone begin, and returns the tokens for what follows, in the order of the numbers in their ymids, which
// are marks of run. The last of them can have been seen SeenAfter from now.
func StartViews(ctx context.Context, addr, zone string, run uint32, n uint64, pages int) ([]string, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	tokens := make([]string, n) // each is written by the page that started it
	var next atomic.Uint64
	var wg sync.WaitGroup
	for range pages {
		wg.Go(func() {
			p, err := OpenPage(ctx, addr, zone)
			if err != nil {
				cancel(err)
				return
			}
			defer p.Close()
			for ctx.Err() == nil {
				i := next.Add(1) - 1
				if i >= n {
					return
				}
				token, err := p.Ad(ctx, mark.Mark{Run: run, Seq: i})
				if err == nil {
					tokens[i], err = p.Start(ctx, token)
				}
				if err != nil {
					cancel(fmt.Errorf("start view %d: %w", i, err))
				}
			}
		})
	}
	wg.Wait()
	return tokens, context.Cause(ctx)
}
