package probe

import (
	"bytes"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"

	"carom/internal/network"
)

// checkTemplate looks at the URL alone.
func checkTemplate(t *trial) {
	var known []string
	if profiles, err := network.Profiles(); err == nil && profiles[t.tmpl.network] != nil {
		known = profiles[t.tmpl.network].Macros()
	}
	for _, m := range t.tmpl.macros() {
		if !slices.Contains(known, "{"+m+"}") {
			t.fail(PaysMacros, fmt.Sprintf("The network has no macro {%s}: it arrives as text, in every postback alike.", safe(m)),
				"Take it out of the URL. The macros are "+strings.Join(known, ", ")+".")
		}
	}
	for _, need := range []struct {
		macro   string
		harm    Harm
		meaning string
	}{
		{"reward_event_type", PaysUnpaid, "Nothing tells events that the network pays for from those that it does not: either all are paid or none."},
		{"ymid", PaysTwice, "Nothing tells one view from the next, so a copy looks like a second view."},
	} {
		if !t.tmpl.has(need.macro) {
			t.fail(need.harm, need.meaning, "Add a parameter with {"+need.macro+"} to the URL at the network.")
		}
	}
	if !t.tmpl.has("event_type") {
		t.warn("Nothing tells an impression from a click.", "Add a parameter with {event_type} to the URL at the network.")
	}
}

// checkCertificate shakes hands without sending anything.
func checkCertificate(t *trial) {
	if !strings.HasPrefix(t.tmpl.origin, "https:") {
		if t.tmpl.isLocal() {
			t.pass("On this machine no certificate is needed.")
			return
		}
		t.warn("The URL is not https: everybody between the network and the receiver can read the secret.", "Serve the receiver by https, and enter that URL.")
		return
	}
	if err := t.client.handshake(t.ctx, t.tmpl.origin); err != nil {
		why := t.tmpl.mask(safe(err.Error()))
		t.check.Sent = append(t.check.Sent, Exchange{Sent: "a TLS handshake", Error: why})
		t.fail(Unreachable, "Networks refuse to connect, and no paid event arrives: "+why+".", "Renew the certificate for exactly this host name, with the whole chain.")
		t.stop = "Not tried, since the certificate is not believed."
	}
}

// checkAnswered sends the first postback, which checkPaidEvent and others judge.
func checkAnswered(t *trial) {
	t.firstOf = t.account()
	t.first = t.send(t.view(t.firstOf, click, valued))
	a := &t.first
	t.reached = a.status > 0 || a.phase == phaseBroken || a.phase == phaseTimeout
	switch {
	case a.status > 0:
	case a.phase == phaseEnded:
		t.unknown("The run was ended before the answer came.")
		t.stop = "The run was ended before."
	case a.phase == phaseConnect:
		t.fail(Unreachable, "No paid event arrives: "+t.tmpl.mask(safe(a.err.Error()))+".", "Start the receiver, and check host and port.")
	case a.phase == phaseTimeout:
		t.fail(Slow, "Nothing came back in time: networks give up, and may never send it again.", "Answer as soon as the event is stored, and do the rest afterwards.")
	default:
		t.fail(Unreachable, "The connection breaks before an answer comes: every paid event is repeated or lost.", "Look at the receiver's log; check that http and https are not mixed up.")
	}
	if a.status == 0 {
		t.stop = "Not tried, since the first postback was not answered."
	}
}

// checkRedirect judges the first answer.
func checkRedirect(t *trial) {
	if t.first.status/100 != 3 {
		return
	}
	where := "elsewhere"
	if to := t.first.location; to != "" {
		where = "to " + t.tmpl.mask(safe(to))
	}
	t.fail(Unreachable, fmt.Sprintf("A redirect (%d) leads %s: networks do not follow it, and every paid event is lost.", t.first.status, where),
		"Enter the URL at the network that answers by itself, with the right scheme, host and closing slash.")
	t.stop = "Not tried, since the receiver only redirects."
}

// checkAnswerSize judges the first answer.
func checkAnswerSize(t *trial) {
	if t.first.endless {
		t.fail(Slow, "The answer does not end, or is larger than 64 KiB: a network that reads it gives up, and repeats.", "Answer with a word, such as OK.")
		t.stop = "Not tried, since the answers do not end."
		return
	}
	if t.first.err != nil {
		t.fail(Unreachable, "The answer breaks off: "+t.tmpl.mask(safe(t.first.err.Error()))+". A network takes it for a fault, and repeats.", "Answer with a word, such as OK.")
		t.stop = "Not tried, since the answers break off."
	}
}

// checkAnswerPlain judges the first answer. Its body was not unpacked, so a bomb does nothing.
func checkAnswerPlain(t *trial) {
	if e := t.first.encoding; e != "" && !strings.EqualFold(e, "identity") {
		t.fail(Repeats, "The answer is compressed ("+safe(e)+") though nobody asked for it: a network that looks for a word in it finds none, and repeats.",
			"Answer with a plain word, and compress only for clients that ask.")
	}
}

// checkAnswerPage judges an accepted answer: what frameworks call text/html may be a plain word.
func checkAnswerPage(t *trial) {
	start := bytes.ToLower(bytes.TrimSpace(t.genuine.body))
	if !bytes.HasPrefix(start, []byte("<!doctype html")) && !bytes.HasPrefix(start, []byte("<html")) {
		return
	}
	if t.paid[t.pays] != nil {
		t.pass("The answer is a page, but the event was credited.")
		return
	}
	t.fail(CatchAll, "A web page answers with success: whatever is sent is lost, and the network believes that all is well.", "Enter the receiver's own path; a login page or the app's start page may stand in its place.")
}

// checkPaidEvent learns what pays. Later checks rest on it.
func checkPaidEvent(t *trial) {
	t.paid = map[string]*big.Rat{}
	t.genuine = t.first
	credited, sure := t.learn(click, t.first, t.firstOf)
	if !sure {
		return
	}
	if !credited && t.first.ok() {
		a := t.account()
		if credited, sure = t.learn(impression, t.send(t.view(a, impression, valued)), a); credited {
			t.pays = impression
			t.pass("It pays for impressions and not for clicks.")
		}
	}
	if !credited && sure && t.tmpl.added {
		credited = t.otherNames()
	}
	switch {
	case credited || !sure:
	case !t.first.ok():
		t.refused()
	default:
		t.fail(Loses, fmt.Sprintf("A genuine paid event was answered %d and never credited: users are not paid.", t.first.status),
			"Compare the names of the URL's parameters with those that the receiver reads; check --ymid-format, --user and --balance if it does pay real events.")
	}
}

// learn says whether an event was credited, or without books whether it was accepted. sure is false when that ended the check.
func (t *trial) learn(eventType string, a answer, of *account) (credited, sure bool) {
	if !a.ok() {
		return false, a.phase != phaseEnded
	}
	if t.books == nil {
		return true, true
	}
	got, ok := t.await(of, new(big.Rat))
	if !ok {
		return false, false
	}
	if got.Sign() > 0 {
		t.paid[eventType], t.genuine = got, a
	}
	return got.Sign() > 0, true
}

// otherNames tries the parameter names of the network's documentation where the URL has none of its own.
func (t *trial) otherNames() (credited bool) {
	usual := t.tmpl.params
	t.tmpl.params = append(t.tmpl.fixed(), split(documentedNames)...)
	for _, eventType := range []string{click, impression} {
		a := t.account()
		answer := t.send(t.view(a, eventType, valued))
		if credited, _ = t.learn(eventType, answer, a); credited {
			t.genuine, t.pays = answer, eventType
			t.fail(Words, "It credits an event under the names event and value, and none under event_type and reward_event_type, the macros' own names.",
				"Read both spellings, or enter this query at the network: "+documentedNames)
			return true
		}
	}
	t.tmpl.params = usual
	return false
}

// refused decides about a receiver that does not accept a genuine event.
func (t *trial) refused() {
	status := t.first.status
	t.stop = "Not tried, since a genuine event was not accepted."
	fix := "Look at the receiver's log for this request."
	switch status {
	case 401, 403:
		fix = "Check the secret in the URL, and that the receiver does not insist on the network's addresses."
	case 404, 405:
		fix = "Check the path, and that it takes GET."
	case 400, 422:
		fix = "Compare the names of the URL's parameters with those that the receiver reads; check --ymid-format and --user."
	case 429:
		fix = "Take the rate limiter away from the postback route, or wait until it lets the probe in again."
	}
	t.fail(Loses, fmt.Sprintf("A genuine paid event was answered %d: it is repeated until the network gives up, and users are not paid.", status), fix)
}

// checkInTime looks back at all answers.
func checkInTime(t *trial) {
	limit := t.client.timeout
	var slowest int64
	for i := range t.checks {
		for _, e := range t.checks[i].Sent {
			if e.Status > 0 && e.Times == 0 {
				slowest = max(slowest, e.TookMS)
			}
		}
	}
	if took := time.Duration(slowest) * time.Millisecond; took > limit/2 {
		t.warn(fmt.Sprintf("The slowest answer took %v, and networks give up at about %v: under load paid events are lost.", took, limit),
			"Answer as soon as the event is stored, and do the rest afterwards.")
	}
}
