package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"carom"
)

// keptByOne is how many answers of a caller are kept here.
const keptByOne = 20

// asked is a request of a caller with a key.
func asked(caller, key, what string) carom.KeptRequest {
	return carom.KeptRequest{ID: carom.SumOf(caller, key), Caller: carom.SumOf(caller), Asked: carom.SumOf(what)}
}

// wantAnswer asks again, and compares what is known of the request.
func wantAnswer(t testing.TB, s *world, r carom.KeptRequest, want *carom.KeptAnswer) {
	t.Helper()
	got, err := s.BeginRequest(t.Context(), r, keptByOne)
	if err != nil {
		t.Fatalf("BeginRequest: %v", err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("what is known of a request (-want +got):\n%s", diff)
	}
}

func end(t testing.TB, s *world, r carom.KeptRequest, a carom.KeptAnswer) {
	t.Helper()
	if err := s.EndRequest(t.Context(), r.ID, a); err != nil {
		t.Fatalf("EndRequest: %v", err)
	}
}

func answersAreKept(t *testing.T, open Opener) {
	s := begin(t, open, Options{})
	whole, withheld, running, forgotten := asked("a", "1", "x"), asked("a", "2", "x"), asked("a", "3", "x"), asked("a", "4", "x")
	for _, r := range []carom.KeptRequest{whole, withheld, running, forgotten} {
		wantAnswer(t, s, r, nil)
	}
	full := carom.KeptAnswer{Asked: whole.Asked, At: noon, Status: 201, Header: []carom.Field{{Name: "ETag", Value: `"5"`}}, Body: []byte("{\"a\":\"\x00ü\"}")}
	end(t, s, whole, full)
	secret := carom.KeptAnswer{Asked: withheld.Asked, At: noon, Status: 200, Header: []carom.Field{}, Withheld: carom.WithheldSecret}
	end(t, s, withheld, secret)
	if err := s.ForgetRequest(t.Context(), forgotten.ID); err != nil {
		t.Fatal(err)
	}
	for _, how := range []string{"at once", "after a restart", "after a crash"} {
		move(t, s, how)
		s.advance(time.Hour)
		wantAnswer(t, s, whole, &full)
		other := whole
		other.Asked = carom.SumOf("y")
		wantAnswer(t, s, other, &full)
		wantAnswer(t, s, withheld, &secret)
		wantAnswer(t, s, running, &carom.KeptAnswer{Asked: running.Asked, At: noon, Header: []carom.Field{}})
	}
	wantAnswer(t, s, forgotten, nil)
	wantAnswer(t, s, asked("b", "1", "x"), nil)

	s.set(noon.Add(carom.KeepAnswers - time.Millisecond))
	wantAnswer(t, s, whole, &full)
	s.set(noon.Add(carom.KeepAnswers))
	wantAnswer(t, s, whole, nil)
	wantAnswer(t, s, whole, &carom.KeptAnswer{Asked: whole.Asked, At: noon.Add(carom.KeepAnswers), Header: []carom.Field{}})
	end(t, s, withheld, carom.KeptAnswer{Status: 200, Body: []byte("needle in a stack")})
	if len(s.place.Find(t, "needle")) == 0 {
		t.Error("a body is found nowhere, so nothing would be")
	}
	if err := s.Prune(t.Context()); err != nil {
		t.Fatal(err)
	}
	if found := s.place.Find(t, "needle"); len(found) > 0 {
		t.Errorf("after a day there is still %q", found)
	}
}

func requestsAtTheSameTime(t *testing.T, open Opener) {
	s := begin(t, open, Options{})
	var wg sync.WaitGroup
	const copies = 16
	var firsts [copies]bool
	for i := range copies {
		wg.Go(func() {
			kept, err := s.BeginRequest(t.Context(), asked("a", "1", "x"), keptByOne)
			if err != nil {
				t.Errorf("BeginRequest: %v", err)
			}
			firsts[i] = kept == nil
		})
	}
	wg.Wait()
	if n := slices.Index(firsts[:], true); n < 0 || slices.Contains(firsts[n+1:], true) {
		t.Errorf("first of the copies: %v, want one alone", firsts)
	}
}

func answersOfTheErased(t *testing.T, open Opener) {
	s := begin(t, open, Options{})
	user, other := `per"son`, `per"son-2`
	acceptAll(t, s, paid("view of a", user, carom.Click, noon, pays("watch", 5)), paid("view of b", other, carom.Click, noon, pays("watch", 5)))
	names, spares := asked("a", "1", "x"), asked("a", "2", "x")
	for r, body := range map[carom.KeptRequest]string{names: `{"user":"per\"son"}`, spares: `{"user":"someone"}`} {
		wantAnswer(t, s, r, nil)
		end(t, s, r, carom.KeptAnswer{Status: 200, Body: []byte(body)})
	}
	if _, err := s.Erase(t.Context(), "app", user); err != nil {
		t.Fatal(err)
	}
	wantAnswer(t, s, names, &carom.KeptAnswer{Asked: names.Asked, At: noon, Status: 200, Header: []carom.Field{}, Withheld: carom.WithheldErased})
	wantAnswer(t, s, spares, &carom.KeptAnswer{Asked: spares.Asked, At: noon, Status: 200, Header: []carom.Field{}, Body: []byte(`{"user":"someone"}`)})
}

func answersAreBounded(t *testing.T, open Opener) {
	s := begin(t, open, Options{})
	body := bytes.Repeat([]byte("x"), carom.MaxKeptBody)
	for i := range keptByOne {
		wantAnswer(t, s, asked("a", fmt.Sprint(i), "x"), nil)
	}
	if _, err := s.BeginRequest(t.Context(), asked("a", "one more", "x"), keptByOne); !errors.Is(err, carom.ErrConflict) {
		t.Errorf("one more request: %v, want carom.ErrConflict", err)
	}
	first := asked("a", "0", "x")
	end(t, s, first, carom.KeptAnswer{Status: 200, Body: body})
	wantAnswer(t, s, first, &carom.KeptAnswer{Asked: first.Asked, At: noon, Status: 200, Header: []carom.Field{}, Body: body})
	wantAnswer(t, s, asked("b", "1", "x"), nil)
	s.advance(carom.KeepAnswers)
	if err := s.Prune(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantAnswer(t, s, asked("a", "one more", "x"), nil)
}
