package probe

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Verdict is what a check came to.
type Verdict string

// The verdicts.
const (
	Pass    Verdict = "pass"
	Fail    Verdict = "fail"    // a fault: money is lost, or paid that should not be
	Warn    Verdict = "warn"    // works today, and will hurt one day
	Unknown Verdict = "unknown" // answers alone cannot tell
	Skip    Verdict = "skip"    // not tried; Meaning says why
)

// Harm is what a fault does, in the words of a summary: "pays twice".
type Harm string

// The harms.
const (
	Unreachable  Harm = "cannot be reached"
	OpenDoor     Harm = "open door"
	PaysTwice    Harm = "pays twice"
	PaysBoth     Harm = "pays impression and click"
	PaysUnpaid   Harm = "pays unpaid"
	PaysAmounts  Harm = "pays any amount"
	PaysMacros   Harm = "takes macros for values"
	Loses        Harm = "loses paid events"
	LosesOnRetry Harm = "loses on retry"
	LosesCents   Harm = "rounds to nothing"
	Floats       Harm = "counts in floats"
	Words        Harm = "does not know the network's words"
	Repeats      Harm = "causes repeats"
	Limits       Harm = "limits honest postbacks"
	Slow         Harm = "answers too late"
	CatchAll     Harm = "catch-all page taken for success"
	Breaks       Harm = "breaks on odd input"
)

// Exchange is one request and what came back. Secrets are masked, and what the receiver wrote is cut and made safe to show.
type Exchange struct {
	Sent   string `json:"sent"`            // "GET /postback?token=***&ymid=…"
	Times  int    `json:"times,omitempty"` // how many equal ones were sent at once and answered alike, when more than one
	Status int    `json:"status,omitempty"`
	Answer string `json:"answer,omitempty"` // the beginning of the body, or where a redirect leads
	Error  string `json:"error,omitempty"`  // why there is no complete answer
	TookMS int64  `json:"took_ms"`
}

// Check is one check and what came of it.
type Check struct {
	ID      string     `json:"id"`    // "duplicate": see docs/probe.md
	Group   string     `json:"group"` // "identity"
	Title   string     `json:"title"` // what a right receiver does
	Verdict Verdict    `json:"verdict"`
	Harm    Harm       `json:"harm,omitempty"`    // of a fault
	Meaning string     `json:"meaning,omitempty"` // for money
	Fix     string     `json:"fix,omitempty"`
	Sent    []Exchange `json:"sent,omitempty"`
}

// Report is what a run came to.
type Report struct {
	Target   string  `json:"target"` // secrets masked
	Network  string  `json:"network"`
	YMID     string  `json:"ymid"`   // view, session or user
	Secret   string  `json:"secret"` // where in the URL it is
	Users    string  `json:"users"`  // what every user that was made up begins with
	Books    bool    `json:"books"`  // balances were read
	Reached  bool    `json:"reached"`
	Requests int     `json:"requests"`
	Ended    string  `json:"ended,omitempty"` // why the run ended early
	Checks   []Check `json:"checks"`
}

// Count says how many checks have a verdict.
func (r *Report) Count(v Verdict) int {
	n := 0
	for i := range r.Checks {
		if r.Checks[i].Verdict == v {
			n++
		}
	}
	return n
}

// Harms are those of the faults, each once, in the order of the checks.
func (r *Report) Harms() []Harm {
	var harms []Harm
	for i := range r.Checks {
		if c := &r.Checks[i]; c.Verdict == Fail && !slices.Contains(harms, c.Harm) {
			harms = append(harms, c.Harm)
		}
	}
	return harms
}

// Summary is one line: how many faults there are, and which.
func (r *Report) Summary() string {
	harms := r.Harms()
	names := make([]string, len(harms))
	for i, h := range harms {
		names[i] = string(h)
	}
	var b strings.Builder
	switch len(harms) {
	case 0:
		b.WriteString("no fault was found")
	case 1:
		b.WriteString("1 fault: " + names[0])
	default:
		_, _ = fmt.Fprintf(&b, "%d faults: %s", len(harms), strings.Join(names, ", "))
	}
	_, _ = fmt.Fprintf(&b, " (%d checks: %d passed, %d failed", len(r.Checks), r.Count(Pass), r.Count(Fail))
	for _, more := range []struct {
		v    Verdict
		text string
	}{{Warn, "may hurt one day"}, {Unknown, "cannot be told"}, {Skip, "not tried"}} {
		if n := r.Count(more.v); n > 0 {
			_, _ = fmt.Fprintf(&b, ", %d %s", n, more.text)
		}
	}
	b.WriteString(")")
	if r.Ended != "" {
		b.WriteString("; ended early: " + r.Ended)
	}
	return b.String()
}

// report collects what the session found.
func (s *session) report(ctx context.Context) *Report {
	r := &Report{
		Target: s.tmpl.shown(), Network: s.tmpl.network, YMID: string(s.kind), Secret: s.tmpl.secretPlace(), Users: s.mark,
		Books: s.books != nil, Reached: s.reached, Requests: s.requests, Checks: s.checks,
	}
	if s.user != "" {
		r.Users = s.user
	}
	if ctx.Err() != nil {
		r.Ended = context.Cause(ctx).Error()
	}
	return r
}

// exchange describes an answer for a report.
func (s *session) exchange(sent string, a *answer) Exchange {
	e := Exchange{Sent: sent, Status: a.status, TookMS: a.took.Milliseconds(), Answer: s.tmpl.mask(safe(string(a.body)))}
	if a.err != nil {
		e.Error = s.tmpl.mask(safe(a.err.Error()))
	}
	if a.location != "" {
		e.Answer = "leads to " + s.tmpl.mask(safe(a.location))
	}
	return e
}

// safe makes text from outside safe to show: one line, no control characters, not long.
func safe(text string) string {
	const most = 120
	var b strings.Builder
	n := 0
	for _, r := range strings.TrimSpace(text) {
		if n++; n > most {
			b.WriteRune('…')
			break
		}
		if r < ' ' || r >= 0x7f && r < 0xa0 || r == utf8.RuneError || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
			r = '·'
		}
		b.WriteRune(r)
	}
	return b.String()
}
