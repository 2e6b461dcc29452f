package probe

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"carom"
)

// Account is by what a receiver may know whom a postback pays.
type Account struct {
	User       string // {user}
	YMID       string // {ymid}: of the account's first view
	TelegramID string // {telegram_id}
}

// Books read the balances of a receiver.
type Books interface {
	// Balance returns what an account has, exactly. An account that is not there yet has nothing. The error is
	// carom.ErrInvalid when what the books hold is no number.
	Balance(ctx context.Context, a Account) (*big.Rat, error)
}

const booksTimeout = 10 * time.Second // of one reading

// fillAccount puts an account into the placeholders of a text.
func fillAccount(text string, a Account, escape func(string) string) string {
	return strings.NewReplacer("{user}", escape(a.User), "{ymid}", escape(a.YMID), "{telegram_id}", escape(a.TelegramID)).Replace(text)
}

// urlBooks read a balance with a GET.
type urlBooks struct {
	url, field string
	header     http.Header
	client     *client
}

// NewURLBooks makes books of a URL that holds {user}, {ymid} or {telegram_id} and answers with a decimal number, or with JSON
// in which field leads to one ("user.coins", "balances.0.amount"). A 404 and an index beyond the end of a list stand for nothing.
// header is sent along, for a key; it may be nil. It returns an error that is carom.ErrInvalid for anything else.
func NewURLBooks(target, field string, header http.Header) (Books, error) {
	u, err := url.Parse(base(target))
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return nil, carom.Invalid("balance", "it is not a URL such as http://127.0.0.1:3000/balance/{user}: give it in full")
	case fillAccount(target, Account{}, func(string) string { return "" }) == target:
		return nil, carom.Invalid("balance", "the URL has none of {user}, {ymid} and {telegram_id}, so it cannot say whose balance is asked for: put one in")
	}
	return &urlBooks{url: target, field: field, header: header, client: newClient(booksTimeout, nil)}, nil
}

// Balance implements Books.
func (b *urlBooks) Balance(ctx context.Context, a Account) (*big.Rat, error) {
	escape := func(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }
	got := b.client.do(ctx, http.MethodGet, fillAccount(b.url, a, escape), b.header)
	switch {
	case got.err != nil:
		return nil, fmt.Errorf("ask for the balance: %w", got.err)
	case got.status == http.StatusNotFound:
		return new(big.Rat), nil
	case got.status != http.StatusOK:
		return nil, fmt.Errorf("ask for the balance: the answer is %d, not 200", got.status)
	}
	return readBalance(got.body, b.field)
}

// commandBooks read a balance with a program.
type commandBooks struct {
	words []string
	field string
}

// NewCommandBooks makes books of a program that prints what [NewURLBooks] reads; nothing at all stands for nothing. The command
// is split at spaces outside quotes and run without a shell, so that no account can become a command. Its placeholders are those
// of NewURLBooks; CAROM_USER, CAROM_YMID and CAROM_TELEGRAM_ID in its environment say the same.
func NewCommandBooks(command, field string) (Books, error) {
	words, err := splitWords(command)
	if err != nil {
		return nil, err
	}
	return &commandBooks{words, field}, nil
}

// Balance implements Books.
func (b *commandBooks) Balance(ctx context.Context, a Account) (*big.Rat, error) {
	ctx, cancel := context.WithTimeout(ctx, booksTimeout)
	defer cancel()
	words := make([]string, len(b.words))
	for i, w := range b.words {
		words[i] = fillAccount(w, a, func(s string) string { return s })
	}
	cmd := exec.CommandContext(ctx, words[0], words[1:]...)
	cmd.Env = append(os.Environ(), "CAROM_USER="+a.User, "CAROM_YMID="+a.YMID, "CAROM_TELEGRAM_ID="+a.TelegramID)
	cmd.WaitDelay = time.Second // what it started may keep its output open
	out := &limited{left: maxAnswerBytes, full: cancel}
	cmd.Stdout = out
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("run the balance command %.60q: %w", words[0], err)
	}
	return readBalance(out.kept.Bytes(), b.field)
}

// limited keeps the first bytes that are written to it, and calls full when there are more.
type limited struct {
	kept bytes.Buffer // not embedded: its ReadFrom would read all there is
	left int
	full func()
}

// Write implements io.Writer.
func (l *limited) Write(p []byte) (int, error) {
	n := min(len(p), l.left)
	l.left -= n
	_, _ = l.kept.Write(p[:n]) // a buffer takes everything
	if n < len(p) {
		l.full() // whoever writes without end would wait for a reader for ever
		return n, io.ErrShortWrite
	}
	return n, nil
}

// splitWords splits a command at spaces outside single or double quotes.
func splitWords(command string) ([]string, error) {
	var words []string
	var word strings.Builder
	var quote rune
	open := false
	for _, r := range command {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote == 0 && (r == '\'' || r == '"'):
			quote, open = r, true
		case quote == 0 && (r == ' ' || r == '\t' || r == '\n'):
			if open {
				words, open = append(words, word.String()), false
				word.Reset()
			}
		default:
			word.WriteRune(r)
			open = true
		}
	}
	if open {
		words = append(words, word.String())
	}
	if quote != 0 || len(words) == 0 || words[0] == "" {
		return nil, carom.Invalid("balance-command", "it is empty or has an open quote: give a program and its arguments")
	}
	return words, nil
}

// readBalance reads a balance: a decimal number alone, or the one that field leads to in JSON.
func readBalance(text []byte, field string) (*big.Rat, error) {
	text = bytes.TrimSpace(text)
	if field == "" {
		if len(text) == 0 || string(text) == "null" {
			return new(big.Rat), nil
		}
		return parseAmount(strings.Trim(string(text), `"`))
	}
	if len(text) == 0 {
		return new(big.Rat), nil
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber() // a float would round
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil, errors.New("the balance is not JSON, though a field of it was named")
	}
	for name := range strings.SplitSeq(field, ".") {
		switch in := v.(type) {
		case nil:
			return new(big.Rat), nil
		case map[string]any:
			var ok bool
			if v, ok = in[name]; !ok {
				return nil, carom.Invalid("balance-field", "the JSON has no field %.40q: correct the path", name)
			}
		case []any:
			i, err := strconv.Atoi(name)
			if err != nil || i < 0 {
				return nil, carom.Invalid("balance-field", "%.40q stands at a list: give the number of its element, from 0", name)
			}
			if i >= len(in) {
				return new(big.Rat), nil
			}
			v = in[i]
		default:
			return nil, carom.Invalid("balance-field", "there is nothing below %.40q: correct the path", name)
		}
	}
	switch n := v.(type) {
	case nil:
		return new(big.Rat), nil
	case json.Number:
		return parseAmount(n.String())
	case string:
		return parseAmount(n)
	}
	return nil, carom.Invalid("balance-field", "it leads to no number: correct the path")
}

// parseAmount reads a decimal number exactly. Its length and exponent are bounded, so that no balance takes all memory.
func parseAmount(text string) (*big.Rat, error) {
	mantissa, exponent := text, "0"
	if i := strings.IndexAny(text, "eE"); i >= 0 {
		mantissa, exponent = text[:i], text[i+1:]
	}
	e, err := strconv.Atoi(exponent)
	digits := strings.TrimPrefix(strings.TrimPrefix(mantissa, "-"), "+")
	if err != nil || e < -400 || e > 400 || digits == "" || len(digits) > 400 || strings.Trim(digits, "0123456789.") != "" {
		return nil, carom.Invalid("balance", "%.40q is no decimal number", text)
	}
	n, ok := new(big.Rat).SetString(text)
	if !ok {
		return nil, carom.Invalid("balance", "%.40q is no decimal number", text)
	}
	return n, nil
}
