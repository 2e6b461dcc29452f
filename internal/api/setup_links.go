package api

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"net/http"
	"time"

	"carom"
)

// A link's token is a mark and the base64 of a statement with the MAC over it. The statement is a version, the second in which
// it ends, an id for the log, and the publisher's name. So nothing of a link is stored, and it holds across restarts.
const (
	// LinkPrefix begins the token of every link, and of nothing else.
	LinkPrefix = "cps_"

	linkVersion = 1
	linkIDBytes = 8
	linkHead    = 1 + 8 + linkIDBytes

	defaultLinkFor = "24h"
	minLinkFor     = time.Minute
	maxLinkFor     = 90 * 24 * time.Hour
)

// link is what a token states.
type link struct {
	expires   time.Time
	number    [linkIDBytes]byte
	publisher string
}

// id names the link in the log. It gives nobody access.
func (l *link) id() string { return "lnk_" + hex.EncodeToString(l.number[:]) }

// token writes the link's token.
func (l *link) token(key [32]byte) string {
	text := make([]byte, 0, linkHead+len(l.publisher)+sha256.Size)
	text = append(text, linkVersion)
	text = binary.BigEndian.AppendUint64(text, uint64(l.expires.Unix()))
	text = append(append(text, l.number[:]...), l.publisher...)
	return LinkPrefix + base64.RawURLEncoding.EncodeToString(append(text, linkSum(key, text)...))
}

func linkSum(key [32]byte, text []byte) []byte {
	mac := hmac.New(sha256.New, key[:])
	mac.Write(text)
	return mac.Sum(nil)
}

// readLink believes a token, or says why not.
func (s *service) readLink(token string) (*link, *Problem) {
	if s.Seal == nil {
		return nil, newProblem(http.StatusUnauthorized, "this server makes no links, so that none counts: ask the operator for a key")
	}
	text, err := base64.RawURLEncoding.Strict().DecodeString(token[len(LinkPrefix):])
	if err != nil || len(text) < linkHead+sha256.Size {
		return nil, newProblem(http.StatusUnauthorized, "this link is cut off or altered: copy it whole, or ask the operator for a new one")
	}
	text, sum := text[:len(text)-sha256.Size], text[len(text)-sha256.Size:]
	if !hmac.Equal(sum, linkSum(s.Seal().Key("links"), text)) {
		return nil, newProblem(http.StatusUnauthorized, "this link was altered, or another server made it: copy it whole, or ask the operator for a new one")
	}
	if text[0] != linkVersion {
		return nil, newProblem(http.StatusUnauthorized, "this link was made by another version of carom: ask the operator for a new one")
	}
	l := &link{expires: time.Unix(int64(binary.BigEndian.Uint64(text[1:])), 0).UTC(), number: [linkIDBytes]byte(text[9:]), publisher: string(text[linkHead:])}
	if !s.now().Before(l.expires) {
		return nil, newProblem(http.StatusUnauthorized, "this link ended on "+stamp(l.expires)+": ask the operator for a new one")
	}
	return l, nil
}

// NewLink asks for a link to a publisher's set-up page.
type NewLink struct {
	For string `json:"for,omitempty" default:"24h" doc:"How long it counts, as 30m, 24h or 7d; at most 90d"`
}

// MadeLink is a link that was just made. Whoever has it acts as the publisher until it ends.
type MadeLink struct {
	ID        string    `json:"id" doc:"Names it in the server's log"`
	Publisher string    `json:"publisher"`
	URL       string    `json:"url" doc:"The page on which the publisher sets up what is its own. Shown once" shown:"once"`
	Token     string    `json:"token" doc:"The same without a page: send it as Authorization: Bearer TOKEN. Shown once" shown:"once"`
	ExpiresAt time.Time `json:"expires_at"`
}

type makeLinkIn struct {
	PublisherPath
	Body *NewLink
}

type madeLinkOut struct{ Body MadeLink }

// makeLink makes a link. Nothing is stored: it ends with its time, or with its publisher.
func (s *service) makeLink(ctx context.Context, in *makeLinkIn) (*madeLinkOut, error) {
	if _, err := s.publisher(ctx, in.Publisher); err != nil {
		return nil, err
	}
	if s.Seal == nil {
		return nil, failf(carom.ErrConflict, "this server makes no links: make a key with the scope publisher instead")
	}
	span := defaultLinkFor
	if in.Body != nil && in.Body.For != "" {
		span = in.Body.For
	}
	valid, err := carom.ParseDuration(span)
	if err != nil || valid < minLinkFor || valid > maxLinkFor {
		return nil, carom.Invalid("for", "%q is not a duration from 1m to 90d: give one such as 30m, 24h or 7d", span)
	}
	l := link{expires: s.now().Add(valid).Truncate(time.Second), publisher: in.Publisher}
	_, _ = rand.Read(l.number[:]) // it never fails: the process ends instead
	token := l.token(s.Seal().Key("links"))
	s.Log.InfoContext(ctx, "link made", "publisher", in.Publisher, "link", l.id(), "expires", l.expires, "who", callerOf(ctx).name)
	return &madeLinkOut{MadeLink{ID: l.id(), Publisher: in.Publisher, URL: s.BaseURL + "/setup#" + token, Token: token, ExpiresAt: l.expires}}, nil
}
