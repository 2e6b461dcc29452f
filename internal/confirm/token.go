package confirm

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"hash"
	"net/netip"
	"strings"
	"sync"
	"time"

	"carom"
)

// showing is one ad that was handed out: everything that its events say, so that a beacon can add nothing to it but when and
// how. It travels in the token.
type showing struct {
	id       [16]byte
	app      string
	zone     string
	subZone  string
	format   carom.Format
	creative string
	prices   [2]carom.Nanos // of the impression, of the click
	viewable time.Duration  // for how long it has to be visible, as the page was told; 0: its start is enough

	ymid       string
	requestVar string
	telegramID string
	user       userProof
	client     netip.Addr
	browser    uint64 // a sum over what a browser says of itself with each request
	flags      showingFlags
	issued     time.Time
	started    time.Time // zero until the start beacon came
}

// userProof says what the init data proved.
type userProof byte

const (
	userUnproven userProof = iota // there were none, or nothing to check them with
	userProven
	userExpired
	userForged
)

// word is how it stands in an event; empty for nothing to say.
func (p userProof) word() string { return [...]string{"", "proven", "expired", "forged"}[p] }

// showingFlags are the oddities of a request for an ad.
type showingFlags byte

const (
	flagAutomated  showingFlags = 1 << iota // the browser says that a program drives it, or it is no browser
	flagOtherUser                           // the page names another user than the init data
	flagTooSmall                            // the page is smaller than an ad
	flagFromServer                          // the ad server's ad
	flagYMIDIsUser                          // the app passed no ymid of its own: it is the user, or empty
)

// tokenVersion is the first byte of a token's text. A token of another version is not ours.
const (
	tokenVersion = 1
	tokenMAC     = 16 // bytes of the HMAC that are kept: a token is guessed against the server
)

var tokenText = base64.RawURLEncoding.Strict()

// formatCodes are the formats as tokens write them. Their order is never changed.
var formatCodes = [...]carom.Format{carom.RewardedInterstitial, carom.RewardedPopup, carom.InAppInterstitial}

// sealer makes tokens and opens them.
type sealer struct{ pool sync.Pool } // of *scratch

// scratch is the memory of one token.
type scratch struct {
	mac hash.Hash
	b   []byte
	sum [sha256.Size]byte
}

func newSealer(key [32]byte) *sealer {
	return &sealer{sync.Pool{New: func() any { return &scratch{mac: hmac.New(sha256.New, key[:]), b: make([]byte, 0, 1024)} }}}
}

// over returns the MAC of b. It is good until the next call.
func (c *scratch) over(b []byte) []byte {
	c.mac.Reset()
	c.mac.Write(b)
	return c.mac.Sum(c.sum[:0])[:tokenMAC]
}

// seal makes the token of a showing.
func (s *sealer) seal(v *showing) string {
	c := s.pool.Get().(*scratch)
	defer s.pool.Put(c)
	b := append(c.b[:0], tokenVersion)
	b = append(b, v.id[:]...)
	code := byte(0)
	for i, f := range formatCodes {
		if f == v.format {
			code = byte(i)
		}
	}
	b = append(b, code, byte(v.user), byte(v.flags))
	b = binary.BigEndian.AppendUint64(b, v.browser)
	b = binary.AppendUvarint(b, uint64(v.issued.UnixMilli()))
	started := uint64(0)
	if !v.started.IsZero() {
		started = uint64(v.started.UnixMilli())
	}
	b = binary.AppendUvarint(b, started)
	b = binary.AppendUvarint(b, uint64(v.prices[0]))
	b = binary.AppendUvarint(b, uint64(v.prices[1]))
	b = binary.AppendUvarint(b, uint64(v.viewable.Milliseconds()))
	addr := v.client.AsSlice()
	b = append(append(b, byte(len(addr))), addr...)
	for _, text := range [...]string{v.app, v.zone, v.subZone, v.creative, v.ymid, v.requestVar, v.telegramID} {
		b = append(binary.AppendUvarint(b, uint64(len(text))), text...)
	}
	b = append(b, c.over(b)...)
	c.b = b
	return tokenText.EncodeToString(b)
}

// open reads a token. ok is false for every text that seal did not make.
func (s *sealer) open(text string) (v showing, ok bool) {
	if strings.ContainsAny(text, "\r\n") { // which the decoder skips
		return v, false
	}
	c := s.pool.Get().(*scratch)
	defer s.pool.Put(c)
	b, err := tokenText.AppendDecode(c.b[:0], []byte(text))
	c.b = b
	if err != nil || len(b) < tokenMAC+1 || b[0] != tokenVersion {
		return v, false
	}
	said := b[:len(b)-tokenMAC]
	if !hmac.Equal(c.over(said), b[len(said):]) {
		return v, false
	}
	r := tokenReader{b: said[1:]}
	copy(v.id[:], r.take(len(v.id)))
	code := r.byte()
	v.user, v.flags = userProof(r.byte()), showingFlags(r.byte())
	if eight := r.take(8); eight != nil {
		v.browser = binary.BigEndian.Uint64(eight)
	}
	v.issued = time.UnixMilli(int64(r.uvarint())).UTC()
	if ms := r.uvarint(); ms != 0 {
		v.started = time.UnixMilli(int64(ms)).UTC()
	}
	v.prices = [2]carom.Nanos{carom.Nanos(r.uvarint()), carom.Nanos(r.uvarint())}
	v.viewable = time.Duration(r.uvarint()) * time.Millisecond
	v.client, _ = netip.AddrFromSlice(r.take(int(r.byte())))
	rest := string(r.b) // one copy, of which each text is a part
	for _, to := range [...]*string{&v.app, &v.zone, &v.subZone, &v.creative, &v.ymid, &v.requestVar, &v.telegramID} {
		n := int(min(r.uvarint(), 1<<16))
		at := len(rest) - len(r.b)
		if r.take(n); !r.short {
			*to = rest[at : at+n]
		}
	}
	if r.short || int(code) >= len(formatCodes) || v.user > userForged {
		return v, false // a version that wrote other fields: it has the same number by mistake
	}
	v.format = formatCodes[code]
	return v, true
}

// tokenReader takes a token apart. short says that it ended early; what is read then is zero.
type tokenReader struct {
	b     []byte
	short bool
}

func (r *tokenReader) take(n int) []byte {
	if n > len(r.b) {
		r.short, r.b = true, nil
		return nil
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

func (r *tokenReader) byte() byte {
	if one := r.take(1); one != nil {
		return one[0]
	}
	return 0
}

func (r *tokenReader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.short, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return v
}
