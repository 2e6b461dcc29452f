package api

import (
	"container/list"
	"fmt"
	"math"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Limits is how often one caller may ask: a key, a link, a member, or the address of whoever proves nothing. The local socket has none.
type Limits struct {
	Rate  int // requests a second; 0: no limit
	Burst int // that may come at once
	// Exempt are addresses from which nobody who proves nothing is limited.
	Exempt []netip.Prefix
}

// maxCallers bounds how many callers are remembered. Whoever has not asked for the longest time is forgotten first, which at worst lets it
// ask as often as a newcomer.
const maxCallers = 10_000

// limiter counts requests by caller.
type limiter struct {
	Limits
	now func() time.Time

	mu     sync.Mutex
	known  map[string]*list.Element // guarded by mu; of recent
	recent *list.List               // of *bucket, the latest to ask first; guarded by mu
}

type bucket struct {
	caller string
	*rate.Limiter
}

func newLimiter(l Limits, now func() time.Time) *limiter {
	l.Burst = max(l.Burst, l.Rate)
	return &limiter{Limits: l, now: now, known: map[string]*list.Element{}, recent: list.New()}
}

// take counts a request, and writes into the header how many are left. It returns a problem when there are none.
func (l *limiter) take(header http.Header, caller string) *Problem {
	if l.Rate == 0 {
		return nil
	}
	l.mu.Lock()
	e, ok := l.known[caller]
	if !ok {
		e = l.recent.PushFront(&bucket{caller, rate.NewLimiter(rate.Limit(l.Rate), l.Burst)})
		l.known[caller] = e
		if l.recent.Len() > maxCallers {
			last := l.recent.Remove(l.recent.Back()).(*bucket)
			delete(l.known, last.caller)
		}
	}
	l.recent.MoveToFront(e)
	l.mu.Unlock()

	b, now := e.Value.(*bucket), l.now()
	allowed := b.AllowN(now, 1)
	left := max(b.TokensAt(now), 0)
	refill := time.Duration((float64(l.Burst) - left) / float64(l.Rate) * float64(time.Second))
	// The fields are those of draft-ietf-httpapi-ratelimit-headers: q requests within w seconds; r of them left, all again in t seconds.
	window := (l.Burst + l.Rate - 1) / l.Rate
	header.Set("RateLimit-Policy", fmt.Sprintf(`"caller";q=%d;w=%d`, l.Burst, window))
	header.Set("RateLimit", fmt.Sprintf(`"caller";r=%d;t=%d`, int(left), seconds(refill)))
	if allowed {
		return nil
	}
	header.Set("Retry-After", strconv.Itoa(max(seconds(time.Duration((1-left)/float64(l.Rate)*float64(time.Second))), 1)))
	return newProblem(http.StatusTooManyRequests, fmt.Sprintf("you ask too often: %d requests a second are answered, and %d at once", l.Rate, l.Burst))
}

func seconds(d time.Duration) int { return int(math.Ceil(d.Seconds())) }

// limit counts a request of a caller, and says whether it may be answered: if not, it was.
func (s *service) limit(w http.ResponseWriter, r *http.Request, c caller) bool {
	if IsLocal(r.Context()) {
		return true
	}
	from := s.addressOf(r)
	if !c.known() && from.IsValid() && slices.ContainsFunc(s.limits.Exempt, func(p netip.Prefix) bool { return p.Contains(from) }) {
		return true
	}
	if p := s.limits.take(w.Header(), c.key(neighbourhood(from))); p != nil {
		writeProblem(w, p)
		return false
	}
	return true
}

// limited counts requests to what is not described as an operation.
func (s *service) limited(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if s.limit(w, r, nobody()) {
			h(w, r)
		}
	}
}
