package api

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"carom"
)

// SentPostback is an attempt in a list, with what it was made for.
type SentPostback struct {
	Delivery carom.DeliveryID `json:"delivery"`
	Event    carom.EventID    `json:"event"`
	Endpoint string           `json:"endpoint" doc:"app/endpoint; #7 when the endpoint is deleted"`
	Attempt
}

// AttemptPage is a page of attempts, those of the newest events first.
type AttemptPage struct {
	Attempts []SentPostback `json:"attempts" nullable:"false"`
	Next     string         `json:"next,omitempty" doc:"Give it as before to get the next page; absent on the last one. A page may be short, even empty, and have one: each looks at so many events"`
}

type attemptsIn struct {
	App string `query:"app" doc:"Only those to endpoints of this app"`
	EndpointSelector
	State  string `query:"state" enum:"pending,delivered,dead,expired" doc:"What the delivery became by it: pending says that it failed and is repeated"`
	Before string `query:"before" doc:"The cursor: the next of the page before"`
	Limit  int    `query:"limit" minimum:"1" maximum:"500" default:"50"`
}

type attemptsOut struct{ Body AttemptPage }

// listAttempts lists the newest sent postbacks, by their events and then by number.
func (s *service) listAttempts(ctx context.Context, in *attemptsIn) (*attemptsOut, error) {
	o := s.Objects.Objects()
	app, no, err := in.resolve(callerOf(ctx), &o, in.App)
	if err != nil {
		return nil, err
	}
	before, err := readAttemptCursor(in.Before)
	if err != nil {
		return nil, err
	}
	list, next, err := s.Store.SentAttempts(ctx, carom.AttemptFilter{App: app, Endpoint: no, State: carom.DeliveryState(in.State), Before: before, Limit: in.Limit})
	if err != nil {
		return nil, fmt.Errorf("list attempts: %w", err)
	}
	out := &attemptsOut{AttemptPage{Attempts: []SentPostback{}, Next: attemptCursor(next)}}
	for i := range list {
		out.Body.Attempts = append(out.Body.Attempts, sentPostback(&list[i]))
	}
	return out, nil
}

func sentPostback(a *carom.SentAttempt) SentPostback {
	v := SentPostback{Delivery: a.Delivery, Endpoint: a.Endpoint, Attempt: attemptOf(&a.Attempt)}
	v.Answer = cutText(v.Answer, maxShownAnswer)
	if life, ref, _, err := a.Delivery.Place(); err == nil {
		v.Event = carom.NewEventID(life, ref)
	}
	return v
}

// attemptOf is how the API shows an attempt.
func attemptOf(a *carom.Attempt) Attempt {
	return Attempt{
		Number: a.Number, At: a.At.UTC(), TookMS: float64(a.Took.Microseconds()) / 1000, State: a.State, Due: a.Due, Reason: a.Reason, Flags: a.Flags.Names(),
		Method: a.Method, URL: a.URL, Sent: a.Sent, Status: a.Status, Answer: a.Answer,
	}
}

// attemptCursor writes a cursor of attempts as "dlv_….3", and the end as nothing.
func attemptCursor(c carom.AttemptCursor) string {
	if c.Delivery == "" {
		return ""
	}
	return string(c.Delivery) + "." + strconv.Itoa(c.Number)
}

func readAttemptCursor(text string) (c carom.AttemptCursor, err error) {
	if text == "" {
		return c, nil
	}
	id, number, _ := strings.Cut(text, ".")
	c.Delivery = carom.DeliveryID(id)
	if c.Number, err = strconv.Atoi(number); err == nil {
		_, _, _, err = c.Delivery.Place()
	}
	if err != nil || c.Number < 0 {
		return c, carom.Invalid("before", "this is no cursor of a list of attempts: give the `next` of the page before")
	}
	return c, nil
}
