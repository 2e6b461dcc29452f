package storetest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"carom"
)

// numbersOf names attempts by the ymids of their events and their numbers: "a2" is the second attempt of a's delivery.
func numbersOf(ymid map[carom.DeliveryID]string, list []carom.Attempt) string {
	var out []string
	for _, a := range list {
		out = append(out, fmt.Sprint(ymid[a.Delivery], a.Number))
	}
	return strings.Join(out, " ")
}

// surveyAnswer is to how many bytes answers are cut.
const surveyAnswer = 2 << 10

func newestAttempts(t *testing.T, open Opener) {
	for _, bucketEvents := range []int{0, 2} {
		t.Run(fmt.Sprintf("%d events a bucket", bucketEvents), func(t *testing.T) {
			s := begin(t, open, Options{BucketEvents: bucketEvents})
			ymid := map[carom.DeliveryID]string{}
			// Endpoint 1 gets five events and fails once at the second; endpoint 2 gets the first one alone, which waits for good.
			for i, name := range []string{"a", "b", "c", "d", "e"} {
				at := noon.Add(time.Duration(i) * time.Minute)
				s.set(at)
				targets := []carom.Target{direct(1)}
				if name == "a" {
					targets = append(targets, direct(2))
				}
				sub := accept(t, s, submission(name, at, targets...))
				d := delivery(sub, 0)
				ymid[d.ID] = name
				if name == "b" {
					record(t, s, d, attempt(d, carom.Pending, at, at.Add(time.Second)))
					s.settle(t)
					d = claimDue(t, s, 1, at.Add(time.Second))[0]
				}
				a := attempt(d, carom.Delivered, at.Add(2*time.Second), time.Time{})
				a.Answer = strings.Repeat("x", 3<<10)
				record(t, s, d, a)
				if name == "a" {
					d := delivery(sub, 1)
					ymid[d.ID] = name
					record(t, s, d, attempt(d, carom.Pending, at, at.Add(time.Hour)))
				}
			}
			s.settle(t)
			for _, tt := range []struct {
				name  string
				since time.Time
				each  int
				want  map[int]string
			}{
				{"all", noon, 10, map[int]string{1: "a1 b1 b2 c1 d1 e1", 2: "a1"}},
				{"the newest three", noon, 3, map[int]string{1: "c1 d1 e1", 2: "a1"}},
				{"those since then", noon.Add(150 * time.Second), 10, map[int]string{1: "d1 e1"}},
			} {
				got, err := s.NewestAttempts(t.Context(), tt.since, tt.each)
				if err != nil {
					t.Fatal(err)
				}
				names := map[int]string{}
				for endpoint, list := range got {
					names[endpoint] = numbersOf(ymid, list)
				}
				if diff := cmp.Diff(tt.want, names); diff != "" {
					t.Errorf("%s (-want +got):\n%s", tt.name, diff)
				}
				for _, a := range got[1] {
					if a.State == carom.Delivered && len(a.Answer) != surveyAnswer {
						t.Errorf("%s: an answer of %d bytes, want it cut to %d", tt.name, len(a.Answer), surveyAnswer)
					}
				}
			}
		})
	}
}

func newestEvents(t *testing.T, open Opener) {
	for _, bucketEvents := range []int{0, 3} {
		s := begin(t, open, Options{BucketEvents: bucketEvents})
		for i := range 8 {
			sub := submission(fmt.Sprint(i), s.tick())
			if sub.Event.App = "often"; i == 1 {
				sub.Event.App = "rarely"
			}
			sub.Event.Fields = []carom.Field{{Name: "geo", Value: "DE"}}
			accept(t, s, sub)
		}
		got, err := s.NewestEvents(t.Context(), 3)
		if err != nil {
			t.Fatal(err)
		}
		names := map[string]string{}
		for app, list := range got {
			for _, ev := range list {
				names[app] += ev.YMID
				if len(ev.Fields) != 1 {
					t.Errorf("the event %s has the fields %v, want its own", ev.YMID, ev.Fields)
				}
			}
		}
		if diff := cmp.Diff(map[string]string{"often": "765", "rarely": "1"}, names); diff != "" {
			t.Errorf("%d events a bucket (-want +got):\n%s", bucketEvents, diff)
		}
	}
}
