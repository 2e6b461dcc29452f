package network

import (
	"encoding/json"
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

// The content types of answers.
const (
	plainText = "text/plain; charset=utf-8"
	jsonText  = "application/json"
)

// Forbidden is the answer to everything unverified. It is the same for an unknown app, an unknown source, a wrong secret
// and every profile, so that it tells a stranger nothing.
func Forbidden() Answer {
	return Answer{Status: http.StatusForbidden, ContentType: plainText, Body: "forbidden"}
}

// Answer says what to answer for outcome. v is what became of the postback: an answer may name its transaction, its event or,
// for [RefusedOutcome], the fault. A test of the network's own is answered as accepted.
func (p *Profile) Answer(outcome Outcome, v Verdict) Answer {
	if outcome == RefusedOutcome && v.Refused == carom.ReasonTest {
		outcome = Accepted
	}
	a, ok := p.answers[outcome]
	if !ok {
		return Forbidden()
	}
	body := a.Body
	if strings.Contains(body, "{") && a.contentType == plainText {
		transaction, event := v.transaction, ""
		if v.Event != nil {
			transaction, event = v.Event.ExternalID, string(v.Event.ID)
		}
		body = strings.NewReplacer("{detail}", v.Detail, "{transaction_id}", transaction, "{event_id}", event).Replace(body)
	}
	return Answer{Status: a.Status, ContentType: a.contentType, Body: body}
}

// answersFile is the answers' part of a profile's file.
type answersFile struct {
	Accepted  answer `yaml:"accepted"`
	Duplicate answer `yaml:"duplicate"`
	Refused   answer `yaml:"refused"`
	TryLater  answer `yaml:"try_later"`
}

type answer struct {
	Status int    `yaml:"status"`
	Type   string `yaml:"type"` // empty for plain text, or json
	Body   string `yaml:"body"` // in plain text with {transaction_id}, {event_id}, and in a refusal {detail}

	contentType string
}

// setAnswers checks that each answer has the sense of its outcome: success for what is stored, a fault for try later.
func (p *Profile) setAnswers(f *profileFile) error {
	p.answers = make(map[Outcome]answer, 4)
	for _, one := range []struct {
		outcome Outcome
		answer  answer
	}{{Accepted, f.Answers.Accepted}, {Duplicate, f.Answers.Duplicate}, {RefusedOutcome, f.Answers.Refused}, {TryLater, f.Answers.TryLater}} {
		a, field := one.answer, "answers."+string(one.outcome)
		switch {
		case (one.outcome == Accepted || one.outcome == Duplicate) && a.Status/100 != 2:
			return carom.Invalid(field, "the status %d does not say that the postback is stored: use 2xx", a.Status)
		case one.outcome == RefusedOutcome && a.Status/100 != 2 && a.Status/100 != 4:
			return carom.Invalid(field, "the status %d does not say that a repeat is useless: use 2xx or 4xx", a.Status)
		case one.outcome == TryLater && a.Status/100 != 5 && a.Status != http.StatusTooManyRequests:
			return carom.Invalid(field, "the status %d does not ask for a repeat: use 5xx or 429", a.Status)
		}
		if err := a.check(field, one.outcome); err != nil {
			return err
		}
		p.answers[one.outcome] = a
	}
	return nil
}

// check settles the content type, and looks at the body.
func (a *answer) check(field string, outcome Outcome) error {
	switch a.Type {
	case "":
		a.contentType = plainText
	case "json":
		a.contentType = jsonText
		if !json.Valid([]byte(a.Body)) {
			return carom.Invalid(field, "the body is not JSON: correct it, or leave the type out")
		}
		return nil
	default:
		return carom.Invalid(field, "the type %q is neither empty nor json", clip(a.Type))
	}
	rest := strings.NewReplacer("{transaction_id}", "", "{event_id}", "").Replace(a.Body)
	if outcome == RefusedOutcome {
		rest = strings.Replace(rest, "{detail}", "", 1)
	}
	if strings.ContainsAny(rest, "{}") {
		return carom.Invalid(field, "the body has a placeholder that it cannot fill: use {transaction_id}, {event_id} or, in a refusal, {detail}")
	}
	// Some networks read the body and take these words for a failure, whatever the status.
	if low := strings.ToLower(a.Body); (outcome == Accepted || outcome == Duplicate) && (strings.Contains(low, "fail") || strings.Contains(low, "error")) {
		return carom.Invalid(field, "the body of a success says fail or error, which some networks take for one: say it otherwise")
	}
	return nil
}
