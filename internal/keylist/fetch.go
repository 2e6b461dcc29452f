package keylist

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"carom/internal/egress"
)

// maxListBytes bounds a list. A key takes about 350 bytes, and AdMob publishes a handful.
const maxListBytes = 1 << 20

// answer is what a fetch brought.
type answer struct {
	keys   map[string]entry
	faults []error       // of the entries that cannot be used
	life   time.Duration // how long the list may be used, from the start of the fetch
}

// guarded returns a client that dials addresses of the public internet only.
func guarded() *http.Client {
	return &http.Client{Transport: &http.Transport{
		DialContext:            (&egress.Dialer{}).DialContext,
		TLSHandshakeTimeout:    fetchTimeout,
		MaxResponseHeaderBytes: 64 << 10,
		DisableCompression:     true, // a list is small, and nothing has to be unpacked within a limit
		DisableKeepAlives:      true, // the next fetch is minutes or hours away
	}}
}

// get fetches the list at link once. Its errors do not hold the URL, which may be private to an operator.
func (s *Lists) get(ctx context.Context, link string) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, link, nil)
	if err != nil || req.URL.Host == "" {
		return answer{}, errors.New("the URL of the list cannot be read: give it in full, as https://…")
	}
	if req.URL.Scheme != "https" {
		return answer{}, errors.New("the URL of the list is not https, so anybody on the way could put in a key: use https")
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "carom")
	resp, err := s.client.Do(req)
	if err != nil {
		var wrapped *url.Error
		if errors.As(err, &wrapped) { // its text begins with the URL
			err = wrapped.Err
		}
		return answer{}, fmt.Errorf("fetch: %w", err)
	}
	defer func() { _ = resp.Body.Close() }() // it was only read
	switch {
	case resp.StatusCode >= 300 && resp.StatusCode < 400:
		return answer{}, fmt.Errorf("the server redirects (status %d), which is not followed: give the final URL", resp.StatusCode)
	case resp.StatusCode != http.StatusOK:
		return answer{}, fmt.Errorf("the server answers with status %d instead of 200", resp.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxListBytes+1))
	switch {
	case err != nil:
		return answer{}, fmt.Errorf("read the list: %w", err)
	case len(body) > maxListBytes:
		return answer{}, errors.New("the list is larger than 1 MiB")
	}
	keys, faults, err := parse(body)
	return answer{keys, faults, lifetime(resp.Header, s.maxAge)}, err
}

// lifetime is how long a list with these header fields may be used: longest, or less if Cache-Control says so, minus the
// time that it has already spent in caches on the way; never less than minAge.
func lifetime(h http.Header, longest time.Duration) time.Duration {
	life := longest
	for directive := range strings.SplitSeq(strings.Join(h.Values("Cache-Control"), ","), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(directive), "=")
		switch strings.ToLower(name) {
		case "no-store", "no-cache":
			life = 0
		case "max-age":
			if d, ok := seconds(strings.Trim(value, `"`)); ok {
				life = min(life, d)
			}
		}
	}
	if spent, ok := seconds(h.Get("Age")); ok {
		life -= spent
	}
	return max(life, minAge)
}

// seconds reads a number of seconds as header fields give it.
func seconds(s string) (time.Duration, bool) {
	n, err := strconv.ParseUint(s, 10, 31)
	return time.Duration(n) * time.Second, err == nil
}

// report logs what came of a fetch, unless Close ended it.
func (s *Lists) report(link string, got answer, err error) {
	if s.ctx.Err() != nil {
		return
	}
	host := ""
	if u, parseErr := url.Parse(link); parseErr == nil { // the whole URL may be private
		host = u.Host
	}
	switch {
	case err != nil:
		s.log.Warn("fetching a key list failed", "host", host, "error", err)
	case len(got.faults) > 0:
		s.log.Warn("fetched a key list with entries that cannot be used", "host", host, "keys", len(got.keys),
			"unusable", len(got.faults), "error", got.faults[0])
	default:
		s.log.Debug("fetched a key list", "host", host, "keys", len(got.keys), "life", got.life)
	}
}
