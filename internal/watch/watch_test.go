package watch

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"carom"
)

func put(r *Ring, from, n int) {
	for i := range n {
		r.Put(carom.Watched{Outcome: fmt.Sprint(from + i)})
	}
}

func take(f *Follower, most int) (words []string, skipped int) {
	list, skipped := f.Take(most)
	for _, w := range list {
		words = append(words, w.Outcome)
	}
	return words, skipped
}

// Everybody gets what happened since, in order, and is told what was left out.
func TestFollow(t *testing.T) {
	var r Ring
	put(&r, 0, 10) // nobody watches
	early, err := r.Follow()
	if err != nil {
		t.Fatal(err)
	}
	put(&r, 10, 3)
	late, err := r.Follow()
	if err != nil {
		t.Fatal(err)
	}
	put(&r, 13, 2)
	if got, skipped := take(early, 100); fmt.Sprint(got) != "[10 11 12 13 14]" || skipped != 0 {
		t.Errorf("early got %v, %d skipped", got, skipped)
	}
	if got, skipped := take(late, 1); fmt.Sprint(got) != "[14]" || skipped != 1 {
		t.Errorf("late got %v, %d skipped, want the newest and 1", got, skipped)
	}
	if got, skipped := take(late, 1); len(got) != 0 || skipped != 0 {
		t.Errorf("nothing new: %v, %d skipped", got, skipped)
	}
	put(&r, 100, kept+50)
	if got, skipped := take(early, 2*kept); len(got) != kept || skipped != 50 || got[0] != "150" {
		t.Errorf("behind by more than is kept: %d from %s, %d skipped", len(got), got[0], skipped)
	}
	early.Close()
	early.Close()
	put(&r, 0, 1)
	if got, _ := take(late, 5); len(got) != 5 {
		t.Errorf("late got %d after the other had gone, want the newest 5", len(got))
	}
	if got, _ := take(early, 5); got != nil {
		t.Errorf("a closed one got %v", got)
	}
	late.Close()
	if r.Watched() || r.items != nil {
		t.Error("something is kept while nobody watches")
	}
	put(&r, 0, 5)
	if again, err := r.Follow(); err != nil {
		t.Fatal(err)
	} else if got, skipped := take(again, 9); got != nil || skipped != 0 {
		t.Errorf("who begins now got %v, %d skipped", got, skipped)
	}
}

func TestFollowersAreBounded(t *testing.T) {
	var r Ring
	for range followers {
		if _, err := r.Follow(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.Follow(); !errors.Is(err, carom.ErrUnavailable) {
		t.Errorf("one more: %v, want carom.ErrUnavailable", err)
	}
}

// Nothing is lost or told twice beside those who put things in, as long as the reader keeps up.
func TestFollowBesideWriters(t *testing.T) {
	var r Ring
	f, err := r.Follow()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var writers sync.WaitGroup
	for w := range 4 {
		writers.Go(func() { put(&r, w*1000, 1000) })
	}
	done := make(chan struct{})
	go func() { writers.Wait(); close(done) }()
	seen, skipped := map[string]int{}, 0
	for ending := false; !ending; {
		select {
		case <-done:
			ending = true
		default:
		}
		words, n := take(f, kept)
		skipped += n
		for _, word := range words {
			seen[word]++
		}
	}
	if len(seen) != 4000 || skipped != 0 {
		t.Errorf("saw %d, %d skipped, want 4000", len(seen), skipped)
	}
}

// BenchmarkPut measures what the door pays for each postback, unwatched and watched.
func BenchmarkPut(b *testing.B) {
	for _, watched := range []bool{false, true} {
		b.Run(fmt.Sprint("watched=", watched), func(b *testing.B) {
			var r Ring
			if watched {
				f, err := r.Follow()
				if err != nil {
					b.Fatal(err)
				}
				defer f.Close()
			}
			ev := &carom.Event{}
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					r.Put(carom.Watched{Event: ev, Outcome: carom.OutcomeAccepted})
				}
			})
		})
	}
}
