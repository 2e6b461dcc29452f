package network

import (
	"net/http"
	"strings"

	"carom"
)

// Outcome is what became of a received postback at the door.
type Outcome string

// The outcomes. Success is answered only after the commit.
const (
	Accepted       Outcome = "accepted"   // stored, synced
	Duplicate      Outcome = "duplicate"  // its original is stored and synced
	RefusedOutcome Outcome = "refused"    // verified, journaled, and can never be used as it is
	TryLater       Outcome = "try_later"  // the fault is ours or passes: the network should repeat
	Unverified     Outcome = "unverified" // proved nothing
)

// Answer is the response to a received postback, in the network's words. The door adds Retry-After to [TryLater].
type Answer struct {
	Status      int
	ContentType string
	Body        string
}

// plainText is the content type of every answer.
const plainText = "text/plain; charset=utf-8"

// Forbidden is the answer to everything unverified. It is the same for an unknown app, an unknown source, a wrong secret
// and every profile, so that it tells a stranger nothing.
func Forbidden() Answer {
	return Answer{Status: http.StatusForbidden, ContentType: plainText, Body: "forbidden"}
}

// Answer says what to answer for outcome. v matters for [RefusedOutcome] only, whose body may name the fault.
func (p *Profile) Answer(outcome Outcome, v Verdict) Answer {
	a, ok := p.answers[outcome]
	if !ok {
		return Forbidden()
	}
	body := a.Body
	if outcome == RefusedOutcome {
		body = strings.Replace(body, detailMark, v.Detail, 1)
	}
	return Answer{Status: a.Status, ContentType: plainText, Body: body}
}

// detailMark stands in the body of a refusal for the sentence that names the fault.
const detailMark = "{detail}"

// answersFile is the answers' part of a profile's file.
type answersFile struct {
	Accepted  answer `yaml:"accepted"`
	Duplicate answer `yaml:"duplicate"`
	Refused   answer `yaml:"refused"`
	TryLater  answer `yaml:"try_later"`
}

type answer struct {
	Status int    `yaml:"status"`
	Body   string `yaml:"body"`
}

// setAnswers checks that each answer has the sense of its outcome: success for what is stored, a fault for try later.
func (p *Profile) setAnswers(f *profileFile) error {
	p.answers = map[Outcome]answer{
		Accepted:       f.Answers.Accepted,
		Duplicate:      f.Answers.Duplicate,
		RefusedOutcome: f.Answers.Refused,
		TryLater:       f.Answers.TryLater,
	}
	for outcome, a := range p.answers {
		field := "answers." + string(outcome)
		switch {
		case (outcome == Accepted || outcome == Duplicate) && a.Status/100 != 2:
			return carom.Invalid(field, "the status %d does not say that the postback is stored: use 2xx", a.Status)
		case outcome == RefusedOutcome && a.Status/100 != 2 && a.Status/100 != 4:
			return carom.Invalid(field, "the status %d does not say that a repeat is useless: use 2xx or 4xx", a.Status)
		case outcome == TryLater && a.Status/100 != 5 && a.Status != http.StatusTooManyRequests:
			return carom.Invalid(field, "the status %d does not ask for a repeat: use 5xx or 429", a.Status)
		}
	}
	return nil
}
