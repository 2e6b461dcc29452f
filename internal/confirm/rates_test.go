package confirm

import (
	"strconv"
	"sync"
	"testing"
	"time"

	"carom"
)

// counter is one thing that is counted, with a clock.
type counter struct {
	*rates
	limit carom.ViewLimit
	now   time.Time
}

func newCounter(views int, within time.Duration) *counter {
	return &counter{newRates(), carom.ViewLimit{Views: views, Within: within}, time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
}

func (c *counter) one() (count, bool) { return c.take(c.limit, c.now, "kind", "scope", "name") }

// many counts up to n, and returns how many were allowed.
func (c *counter) many(n int) (allowed int) {
	for range n {
		if _, ok := c.one(); ok {
			allowed++
		}
	}
	return allowed
}

func (c *counter) want(t *testing.T, n, want int, when string) {
	t.Helper()
	if got := c.many(n); got != want {
		t.Errorf("%s, %d of %d are allowed, want %d", when, got, n, want)
	}
}

func TestRatesSlide(t *testing.T) {
	c := newCounter(10, time.Minute)
	c.want(t, 20, 10, "at first")
	c.now = c.now.Add(59 * time.Second)
	c.want(t, 20, 0, "before the span is over")
	c.now = c.now.Add(31 * time.Second) // half of the span before still counts
	c.want(t, 20, 5, "half a span later")
	c.now = c.now.Add(30 * time.Second)
	c.want(t, 20, 5, "another half later")
	c.now = c.now.Add(2 * time.Minute)
	c.want(t, 20, 10, "after two spans in which nothing came")
}

// TestRatesNeverAllowMoreThanTwice counts as fast as is allowed over a long time, in any window of the span.
func TestRatesNeverAllowMoreThanTwice(t *testing.T) {
	c := newCounter(30, time.Minute)
	var allowed []time.Time
	for range 10 * 60 * 4 {
		if _, ok := c.one(); ok {
			allowed = append(allowed, c.now)
		}
		c.now = c.now.Add(250 * time.Millisecond)
	}
	for i, first := range allowed {
		n := 0
		for _, at := range allowed[i:] {
			if at.Sub(first) < time.Minute {
				n++
			}
		}
		if n > 2*30 {
			t.Fatalf("%d were allowed within a minute, the limit is 30", n)
		}
	}
	if n := len(allowed); n < 250 || n > 330 {
		t.Errorf("%d were allowed in ten minutes, want about 300", n)
	}
}

func TestRatesUndo(t *testing.T) {
	c := newCounter(3, time.Minute)
	first, _ := c.one()
	c.many(2)
	c.undo(first)
	c.want(t, 5, 1, "after one was taken back")
	c.undo(count{})
	c.want(t, 5, 0, "after nothing was taken back")
	c.now = c.now.Add(5 * time.Minute)
	c.want(t, 1, 1, "later")
	c.undo(first)
	c.want(t, 5, 2, "after one of long ago was taken back")
}

func TestRatesLimits(t *testing.T) {
	c := newCounter(-1, time.Minute)
	c.want(t, 1000, 1000, "without a limit")
	if n := c.size(); n != 0 {
		t.Errorf("%d windows are kept for what has no limit", n)
	}
	c.limit = carom.ViewLimit{Views: 0, Within: time.Minute}
	c.want(t, 10, 0, "with a limit of none")
	c.limit = carom.ViewLimit{Views: 5, Within: time.Minute}
	c.want(t, 10, 5, "with a limit of five")
	c.limit = carom.ViewLimit{Views: 5, Within: time.Hour}
	c.want(t, 10, 5, "after the limit was changed")
}

func TestRatesWhenTheClockGoesBack(t *testing.T) {
	c := newCounter(5, time.Minute)
	c.want(t, 3, 3, "at first")
	c.now = c.now.Add(-time.Hour)
	c.want(t, 10, 2, "an hour before")
	c.now = c.now.Add(2 * time.Minute)
	c.want(t, 10, 5, "two minutes later")
}

func TestRatesTellApart(t *testing.T) {
	c := newCounter(1, time.Minute)
	for _, kind := range []string{"a", "b"} {
		for _, scope := range []string{"a", "b"} {
			for _, name := range []string{"a", "b"} {
				if _, ok := c.take(c.limit, c.now, kind, scope, name); !ok {
					t.Errorf("%s %s %s is counted as another", kind, scope, name)
				}
			}
		}
	}
}

// size is how many windows are kept.
func (r *rates) size() (n int) {
	for i := range r.shards {
		n += len(r.shards[i].seen)
	}
	return n
}

func TestRatesForgetWhatIsOver(t *testing.T) {
	c := newCounter(1, time.Minute)
	s := &c.shards[0]
	fill := func() {
		for i := range uint64(maxRates) {
			s.seen[i*rateShards] = &window{began: c.now, span: time.Minute}
		}
	}
	name := func() string { // one of the full shard
		for i := 0; ; i++ {
			other := *c
			other.rates = newRates()
			other.seed = c.seed
			if _, ok := other.take(c.limit, c.now, "kind", "scope", strconv.Itoa(i)); ok && len(other.shards[0].seen) > 0 {
				return strconv.Itoa(i)
			}
		}
	}()
	fill()
	for range 3 {
		if _, ok := c.take(c.limit, c.now, "kind", "scope", name); !ok {
			t.Error("somebody is declined because there is no room")
		}
	}
	if len(s.seen) != maxRates {
		t.Errorf("%d windows are kept, the bound is %d", len(s.seen), maxRates)
	}
	c.now = c.now.Add(2 * time.Minute)
	c.take(c.limit, c.now, "kind", "scope", name)
	if len(s.seen) != 1 {
		t.Errorf("%d windows are kept after all but one are over", len(s.seen))
	}
	if _, ok := c.take(c.limit, c.now, "kind", "scope", name); ok {
		t.Error("what is counted again has no limit")
	}
}

func TestRatesAtOnce(t *testing.T) {
	c := newCounter(777, time.Hour)
	var group sync.WaitGroup
	var mu sync.Mutex
	allowed := 0
	for range 16 {
		group.Go(func() {
			n := 0
			for range 200 {
				if _, ok := c.one(); ok {
					n++
				}
			}
			mu.Lock()
			defer mu.Unlock()
			allowed += n
		})
	}
	group.Wait()
	if allowed != 777 {
		t.Errorf("%d of 3200 at once are allowed, want 777", allowed)
	}
}
