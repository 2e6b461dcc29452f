package tables

import (
	"cmp"
	"slices"
	"time"

	"carom"
)

// SurveyAnswer is to how many bytes answers are cut in a survey of all endpoints.
const SurveyAnswer = 2 << 10

// AttemptsFound gathers attempts by their endpoints for a survey. It is for one goroutine.
type AttemptsFound struct {
	since time.Time
	each  int
	found map[int][]carom.Attempt
	seen  map[attemptKey]bool
}

// attemptKey names an attempt.
type attemptKey struct {
	delivery carom.DeliveryID
	number   int
}

// FindAttempts begins to gather attempts that were made from since on: up to each of every endpoint by [AttemptsFound.Newest], and
// more by [AttemptsFound.Add].
func FindAttempts(since time.Time, each int) *AttemptsFound {
	return &AttemptsFound{since: since, each: each, found: map[int][]carom.Attempt{}, seen: map[attemptKey]bool{}}
}

// Newest takes up an attempt, unless there are enough of the endpoint. The newest are to be given first.
func (f *AttemptsFound) Newest(endpoint int, a carom.Attempt) {
	if len(f.found[endpoint]) < f.each {
		f.Add(endpoint, a)
	}
}

// Add takes up an attempt. Twice is once.
func (f *AttemptsFound) Add(endpoint int, a carom.Attempt) {
	key := attemptKey{a.Delivery, a.Number}
	if !a.At.Before(f.since) && !f.seen[key] {
		f.seen[key] = true
		f.found[endpoint] = append(f.found[endpoint], a)
	}
}

// Sorted returns what was gathered, by the endpoints' numbers, oldest first.
func (f *AttemptsFound) Sorted() map[int][]carom.Attempt {
	for _, list := range f.found {
		slices.SortFunc(list, func(a, b carom.Attempt) int {
			return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Delivery, b.Delivery), cmp.Compare(a.Number, b.Number))
		})
	}
	return f.found
}
