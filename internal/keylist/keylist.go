// Package keylist fetches and caches the lists of public keys that ad networks publish for their signatures.
//
// It hides how old a list may be, when it is fetched again, and what an unknown key id means at that moment. A key comes
// from a fresh list or not at all: without one the answer is "try later", so that a postback is neither accepted nor
// refused on old knowledge. Senders cannot cause fetches at will: see [Lists.Key].
//
// Fetches go over https through the guarded dialler of package egress, without proxies, redirects or compression. They
// run beside the callers and end with [Lists.Close]. The package verifies no signature and stores nothing on disk;
// [FromJSON] makes a list from a file, for work without a network.
package keylist

import (
	"cmp"
	"context"
	"crypto"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"carom"
)

// The times that bound a list's life and its fetches.
const (
	// maxAge is the most that Google allows for its list (AdMob's page on server-side verification); other networks get
	// the same.
	maxAge = 24 * time.Hour
	// minAge is how long a list counts as fresh when its server allows less. It bounds the fetches that a server's
	// header can ask for.
	minAge = time.Minute
	// missInterval is both how often ids that the list lacks may cause a fetch, and how young a list has to be for its
	// lack of an id to count. The two are one number, so that ids made up by a forger change nothing for others as long
	// as fetches succeed.
	missInterval = time.Minute
	// retryInterval is the pause after a failed fetch while there is no fresh list. It is short, because AdMob repeats a
	// postback for a few seconds only.
	retryInterval = 5 * time.Second
	// fetchTimeout covers a whole fetch.
	fetchTimeout = 10 * time.Second
)

// maxIDBytes is the length of the longest key id; those of AdMob have ten digits.
const maxIDBytes = 64

var errClosed = errors.New("the key lists are closed")

// Options is what Lists need. The zero value is usable.
type Options struct {
	Client *http.Client     // its redirects and cookies are not used; nil: one that dials the public internet only
	Clock  func() time.Time // nil: time.Now
	Log    *slog.Logger     // nil: nothing is logged
	MaxAge time.Duration    // how long a list is used at most: from a minute to 24 h; zero: 24 h
}

// Lists holds a list of keys for each URL that was asked for, and keeps them fresh as long as they are asked for. URLs
// come from profiles and settings, never from a request: nothing removes one. It may be used concurrently. Make it with
// New and Close it.
type Lists struct {
	client *http.Client
	clock  func() time.Time
	log    *slog.Logger
	maxAge time.Duration

	ctx    context.Context // the life of the fetches, which callers share: it ends with Close
	cancel context.CancelFunc
	wg     sync.WaitGroup // the fetches under way

	mu     sync.Mutex // guards everything below and the lists themselves
	lists  map[string]*list
	closed bool
}

// list is what is known of one URL.
type list struct {
	keys    map[string]entry // by key id; nil before the first fetch that succeeded
	fetched time.Time        // when the fetch that brought keys began
	refresh time.Time        // from then on a call starts the next fetch, and does not wait for it
	expires time.Time        // from then on keys are not used
	pace    time.Duration    // between two attempts to refresh

	tried  time.Time     // when the last attempt failed, or began if it succeeded
	err    error         // why it failed
	flight chan struct{} // closed, under the lock, when the attempt under way ends; nil when there is none
}

// New makes Lists. It fetches nothing.
func New(o Options) *Lists {
	client := guarded()
	if o.Client != nil {
		copied := *o.Client
		client = &copied
	}
	client.Jar = nil
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	s := &Lists{
		client: client,
		clock:  o.Clock,
		log:    o.Log,
		maxAge: max(min(cmp.Or(o.MaxAge, maxAge), maxAge), minAge),
		lists:  map[string]*list{},
	}
	if s.clock == nil {
		s.clock = time.Now
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// Key returns the key that the list at url, an https URL, holds under id. It is an *ecdsa.PublicKey on P-256. A list
// that is fresh answers at once; where there is none, Key waits for the fetch that it starts or finds under way.
//
// It returns carom.ErrNotFound if the network has no such key, and carom.ErrUnavailable, with the cause, if that cannot
// be known now: there is no fresh list, ctx is done, the Lists are closed, or the network has such a key but carom
// cannot use it. No other kinds of error come back, and no error holds url or id.
//
// An id that a fresh list lacks may be forged, or be that of a key younger than the list. The list is therefore fetched
// again, unless that was done within the last minute. A list fetched within the last minute settles it: not found. If
// fetching failed, the older list settles nothing: unavailable. So a forger causes one fetch a minute at most, and a
// genuine postback is refused only if it was signed with a key published less than a minute before.
func (s *Lists) Key(ctx context.Context, url, id string) (crypto.PublicKey, error) {
	if id == "" || len(id) > maxIDBytes {
		return nil, notFound()
	}
	for {
		key, flight, err := s.look(url, id)
		if flight == nil {
			return key, err
		}
		select {
		case <-flight:
		case <-ctx.Done():
			return nil, unavailable(context.Cause(ctx))
		}
	}
}

// look answers for id from what is known, or returns the flight to wait for.
func (s *Lists) look(url, id string) (crypto.PublicKey, <-chan struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, nil, unavailable(errClosed)
	}
	l := s.lists[url]
	if l == nil {
		l = &list{}
		s.lists[url] = l
	}
	now := s.clock()
	age, fresh := now.Sub(l.fetched), now.Before(l.expires)
	pause := retryInterval
	if fresh {
		if found, ok := l.keys[id]; ok {
			// A list from the future means that the clock was set back: its age is unknown.
			if (age < 0 || !now.Before(l.refresh)) && l.rested(now, l.pace) {
				s.fetch(l, url, now)
			}
			key, err := found.get()
			return key, nil, err
		}
		if age >= 0 && age < missInterval {
			return nil, nil, notFound()
		}
		pause = missInterval
	}
	if l.flight == nil && !l.rested(now, pause) {
		return nil, nil, unavailable(l.err)
	}
	s.fetch(l, url, now)
	return nil, l.flight, nil
}

// rested reports whether the last attempt is at least pause ago, or in the future because the clock was set back.
func (l *list) rested(now time.Time, pause time.Duration) bool {
	since := now.Sub(l.tried)
	return since < 0 || since >= pause
}

// fetch starts an attempt to fetch l, unless one is under way. The caller holds the lock.
func (s *Lists) fetch(l *list, url string, now time.Time) {
	if l.flight != nil {
		return
	}
	l.flight = make(chan struct{})
	s.wg.Go(func() {
		ctx, cancel := context.WithTimeout(s.ctx, fetchTimeout)
		defer cancel()
		got, err := s.get(ctx, url)
		s.settle(l, now, got, err)
		s.report(url, got, err)
	})
}

// settle ends the attempt that began at began. A failed one leaves the list as it is, until it expires.
func (s *Lists) settle(l *list, began time.Time, got answer, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(l.flight)
	l.flight = nil
	if err != nil {
		l.tried, l.err = s.clock(), err
		return
	}
	l.tried, l.err = began, nil
	l.keys, l.fetched = got.keys, began
	// A quarter of the lifetime is left for attempts that fail: six hours of a day.
	l.refresh, l.expires = began.Add(got.life/4*3), began.Add(got.life)
	l.pace = min(missInterval, got.life/4)
}

// Close ends the fetches under way and waits for them. From then on Key is unavailable. Closing twice is safe.
func (s *Lists) Close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.cancel()
	s.wg.Wait()
}

func notFound() error {
	return fmt.Errorf("key list: the network publishes no key with this id: %w", carom.ErrNotFound)
}

func unavailable(cause error) error {
	return fmt.Errorf("key list: %w: %w", carom.ErrUnavailable, cause)
}
