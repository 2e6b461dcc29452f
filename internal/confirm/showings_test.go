package confirm

import (
	"encoding/binary"
	"strconv"
	"strings"
	"testing"
	"time"

	"carom"
)

var showingsAt = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func numbered(n int) *showing {
	v := sample()
	binary.BigEndian.PutUint64(v.id[:], uint64(n)+1)
	return &v
}

// put begins the showing of a number, whose token is the number.
func (s *showings) put(n int, now time.Time) bool {
	return s.begin(numbered(n).id, strconv.Itoa(n), now)
}

// over returns the numbers of the showings whose time is over.
func over(s *showings, now time.Time) (list []int) {
	for _, token := range s.expired(now) {
		n, _ := strconv.Atoi(token) // put made it
		list = append(list, n)
	}
	return list
}

// ended fails the test unless a claim has ended, for whoever waits too.
func ended(t *testing.T, c *claim, done <-chan struct{}) {
	t.Helper()
	select {
	case <-done:
	default:
		t.Error("whoever waits is not told")
	}
	if !c.ended {
		t.Error("the claim has not ended")
	}
}

func TestShowingsExpireOnce(t *testing.T) {
	s := newShowings()
	for i := range 3 {
		s.put(i, showingsAt.Add(time.Duration(i)*time.Second))
	}
	s.put(0, showingsAt.Add(time.Minute)) // a start that is repeated
	if got := over(s, showingsAt.Add(ShowLife)); got != nil {
		t.Errorf("at the end of their time %v are over", got)
	}
	if got := over(s, showingsAt.Add(ShowLife+1500*time.Millisecond)); len(got) != 2 || got[0] != 0 || got[1] != 1 {
		t.Errorf("%v are over, want 0 and 1", got)
	}
	if got := over(s, showingsAt.Add(ShowLife+1500*time.Millisecond)); got != nil {
		t.Errorf("%v are over once more", got)
	}
	if n := s.len(); n != 3 {
		t.Errorf("%d are remembered, want all 3 until they are claimed", n)
	}
}

func TestShowingsAreSettledOnce(t *testing.T) {
	s := newShowings()
	v := numbered(1)
	s.put(1, showingsAt)
	c, first, _ := s.claim(v.id)
	if !first {
		t.Fatal("the first one may not settle it")
	}
	other, again, done := s.claim(v.id)
	if again || other != c || done == nil {
		t.Error("a second one settles it as well")
	}
	s.settle(v.id, c, outcome{value: carom.Valued}, showingsAt.Add(time.Second))
	ended(t, c, done)
	if other, again, _ := s.claim(v.id); again || other.outcome.value != carom.Valued {
		t.Error("its outcome is not remembered")
	}
	if got := over(s, showingsAt.Add(time.Hour)); got != nil {
		t.Errorf("%v are over, and they are settled", got)
	}
	if n := s.len(); n != 0 {
		t.Errorf("%d are remembered long after they were settled", n)
	}
	if _, first, _ := s.claim(v.id); !first {
		t.Error("what is forgotten cannot be asked for again")
	}
}

func TestShowingsDropped(t *testing.T) {
	s := newShowings()
	v := numbered(1)
	s.put(1, showingsAt)
	drop := func(now time.Time, again bool) {
		t.Helper()
		c, first, _ := s.claim(v.id)
		if !first {
			t.Fatal("it cannot be claimed")
		}
		_, _, done := s.claim(v.id)
		s.drop(v.id, c, now, again)
		if ended(t, c, done); !c.failed {
			t.Error("whoever waits is not told")
		}
	}
	for i := range 100 { // as long as it is shown
		drop(showingsAt.Add(time.Duration(i)*time.Second), true)
	}
	if n := len(s.begun.items) + len(s.again.items); n != 1 {
		t.Errorf("one showing that was tried often takes %d places", n)
	}
	now := showingsAt.Add(ShowLife + time.Second)
	for range 5 { // when its time is over, until it can be stored
		if got := over(s, now); len(got) != 1 {
			t.Fatalf("%v are over, want one", got)
		}
		drop(now, true)
		if got := over(s, now.Add(settleAgain)); got != nil {
			t.Errorf("%v are over at once", got)
		}
		now = now.Add(settleAgain + time.Millisecond)
	}
	drop(now, false)
	if n := s.len(); n != 0 {
		t.Errorf("%d are remembered for which nothing helps", n)
	}
	if got := over(s, now.Add(time.Hour)); got != nil {
		t.Errorf("%v are over, and they were forgotten", got)
	}
}

func TestShowingsOfOthersAreForgottenWhenDropped(t *testing.T) {
	s := newShowings()
	v := numbered(1)
	c, first, _ := s.claim(v.id) // it began at another node
	if !first {
		t.Fatal("it cannot be claimed")
	}
	s.drop(v.id, c, showingsAt, true)
	if n := s.len(); n != 0 {
		t.Errorf("%d are remembered", n)
	}
}

func TestShowingsAreBounded(t *testing.T) {
	s := newShowings()
	for i := range maxShowings - 1 {
		s.byID[numbered(i+10).id] = entry{}
	}
	if !s.put(0, showingsAt) || s.put(1, showingsAt) {
		t.Error("the bound is not kept")
	}
	if !s.put(0, showingsAt) {
		t.Error("one that is known is refused")
	}
	c, _, _ := s.claim(numbered(0).id)
	s.settle(numbered(0).id, c, outcome{}, showingsAt)
	if !s.put(1, showingsAt) {
		t.Error("an outcome that the store knows takes the place of one that is shown")
	}
	if _, first, _ := s.claim(numbered(0).id); !first {
		t.Error("it was not the settled one that was forgotten")
	}
	if s.put(2, showingsAt) {
		t.Error("the bound is not kept when nothing is settled")
	}
}

// TestQueueKeepsNoMemory passes many through a queue that stays short.
func TestQueueKeepsNoMemory(t *testing.T) {
	var q fifo
	for i := range 200_000 {
		at := showingsAt.Add(time.Duration(i) * time.Millisecond)
		q.push(numbered(i).id, at)
		for {
			if _, ok := q.pop(at.Add(-100 * time.Millisecond)); !ok {
				break
			}
		}
	}
	if n := cap(q.items); n > 10_000 {
		t.Errorf("a queue of 100 keeps room for %d", n)
	}
}

func TestPileKeepsWhatIsNotTaken(t *testing.T) {
	var s pile
	text := func(i int) string { return strings.Repeat(strconv.Itoa(i)+" ", 100) }
	places := map[int]place{}
	for i := range 20_000 {
		places[i] = s.put(text(i))
		if i >= 1000 && i%97 != 0 { // some stay
			s.take(places[i-1000])
			delete(places, i-1000)
		}
	}
	for i, at := range places {
		if got := s.text(at); got != text(i) {
			t.Fatalf("text %d reads as %.20q", i, got)
		}
	}
	for _, at := range places {
		s.take(at)
	}
	if n := len(s.pieces); n > 1 {
		t.Errorf("%d pieces are kept of which nothing is left", n)
	}
	s.take(place{})
	if long := strings.Repeat("x", 2*pieceBytes); s.text(s.put(long)) != long {
		t.Error("a text that is longer than a piece is not kept")
	}
}
