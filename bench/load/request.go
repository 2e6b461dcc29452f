package load

import (
	"bytes"
	"fmt"
	"os"
	"strings"

	"carom/bench/mark"
)

// Placeholders in paths, header lines and bodies: a mark, ten digits that tell users apart, and what a file has for the event.
const (
	YMID       = "{ymid}"
	TelegramID = "{telegram_id}"
	Token      = "{token}"
	Signature  = "{signature}"
)

const telegramDigits = 10

// Events are of so many users, who come as if at random: a number and the product with a large prime have nothing in common.
const (
	users  = 100_000
	spread = 2_654_435_761
)

// User is the Telegram id of an event's user, which has as many digits as any other.
func User(seq uint64) uint64 { return 7_000_000_000 + seq*spread%users }

// tokens are what a file has for each event. It is kept as it was read, so that a token is copied from it and nothing is made.
type tokens struct {
	b         []byte
	lines     uint64
	line      int // bytes of a line, its end included
	token     int // bytes of a token
	signature int // and of a signature, which may be absent
}

// readTokens reads a file whose lines each hold a token, and a signature behind a blank if there are any. All lines have words of
// the same lengths, so that requests are formatted once.
func readTokens(path string) (*tokens, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the tokens: %w", err)
	}
	first, _, _ := strings.Cut(string(b[:min(len(b), 1<<16)]), "\n")
	token, signature, _ := strings.Cut(first, " ")
	t := &tokens{b: b, line: len(first) + 1, token: len(token), signature: len(signature)}
	t.lines = uint64(len(b) / t.line)
	for i := range t.lines {
		end := int(i+1) * t.line
		line := b[end-t.line : end]
		if line[t.line-1] != '\n' || bytes.IndexByte(line, '\n') != t.line-1 || (t.signature > 0 && bytes.IndexByte(line, ' ') != t.token) {
			return nil, fmt.Errorf("line %d of the tokens is not as long as the first", i+1)
		}
	}
	if t.token == 0 || len(b)%t.line != 0 {
		return nil, fmt.Errorf("the tokens are not lines of %d bytes, as the first is", t.line)
	}
	return t, nil
}

// of returns the token and the signature of an event. Lines are taken again when they are used up.
func (t *tokens) of(seq uint64) (token, signature []byte) {
	line := t.b[int(seq%t.lines)*t.line:][:t.line-1]
	if t.signature == 0 {
		return line, nil
	}
	return line[:t.token], line[t.token+1:]
}

// request is a formatted request and where its placeholders stand.
type request struct {
	b      []byte
	slots  []slot
	tokens *tokens
}

// slot is the place of a placeholder.
type slot struct {
	at   int
	name string
}

// newRequest formats the i-th request of a load: the path and the body that are taken in turn.
func newRequest(cfg *Config, i int, t *tokens) request {
	r := request{tokens: t}
	var body []byte
	if len(cfg.Bodies) > 0 {
		r.add(cfg.Bodies[i%len(cfg.Bodies)])
		body, r = r.b, request{tokens: t}
	}
	method := "GET"
	if body != nil {
		method = "POST"
	}
	r.add(fmt.Sprintf("%s %s HTTP/1.1\r\nHost: %s\r\n", method, cfg.Paths[i%len(cfg.Paths)], cfg.Addr))
	agent := "User-Agent: carom-bench\r\n"
	for _, line := range cfg.Head {
		if strings.HasPrefix(line, "User-Agent:") {
			agent = ""
		}
		r.add(line + "\r\n")
	}
	r.add(agent)
	if body != nil {
		r.add(fmt.Sprintf("Content-Length: %d\r\n", len(body)))
	}
	r.add("\r\n")
	if body != nil {
		r.add(cfg.Bodies[i%len(cfg.Bodies)])
	}
	return r
}

// add appends text with its placeholders made as wide as what stands for them.
func (r *request) add(text string) {
	for text != "" {
		at, name := len(text), ""
		for _, p := range []string{YMID, TelegramID, Token, Signature} {
			if i := strings.Index(text, p); i >= 0 && i < at {
				at, name = i, p
			}
		}
		r.b = append(r.b, text[:at]...)
		if name != "" {
			r.slots = append(r.slots, slot{len(r.b), name})
			r.b = append(r.b, bytes.Repeat([]byte("0"), r.width(name))...)
		}
		text = text[at+len(name):]
	}
}

func (r *request) width(name string) int {
	switch {
	case name == YMID:
		return mark.Len
	case name == TelegramID:
		return telegramDigits
	case r.tokens == nil:
		return 0
	case name == Token:
		return r.tokens.token
	}
	return r.tokens.signature
}

// patch writes the event's mark, user and token into the request.
func (r *request) patch(m mark.Mark) {
	var token, signature []byte
	if r.tokens != nil {
		token, signature = r.tokens.of(m.Seq)
	}
	for _, s := range r.slots {
		switch s.name {
		case YMID:
			mark.Put(r.b[s.at:], m)
		case TelegramID:
			u := User(m.Seq)
			for i := telegramDigits - 1; i >= 0; i-- {
				r.b[s.at+i] = byte('0' + u%10)
				u /= 10
			}
		case Token:
			copy(r.b[s.at:], token)
		case Signature:
			copy(r.b[s.at:], signature)
		}
	}
}
