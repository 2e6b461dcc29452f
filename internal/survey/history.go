package survey

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"carom"
)

// trouble is what one kind of failed attempt amounts to.
type trouble struct {
	n        int
	last     carom.Attempt // the newest
	statuses []int         // the different ones
}

// judgeHistory says what the newest attempts, the counts of the day and the lane show.
func (s *subject) judgeHistory(f *Facts) []Finding {
	attempts := slices.DeleteFunc(slices.Clone(f.Attempts[s.e.No]), func(a carom.Attempt) bool { return a.Method == "" && a.Reason == "" })
	slices.SortStableFunc(attempts, func(a, b carom.Attempt) int { return a.At.Compare(b.At) })
	list := s.judgeLane(f)
	list = append(list, s.judgeAttempts(attempts)...)
	list = append(list, judgeSpeed(attempts, s.e.Timeout)...)
	return append(list, s.judgeSilence(f, attempts)...)
}

// judgeLane looks at the breaker and at what ended without success.
func (s *subject) judgeLane(f *Facts) []Finding {
	var list []Finding
	id := s.e.ID()
	if lane := f.Lanes[id]; lane.Breaker == "open" {
		what := "it does not take deliveries, so only one is tried now and then"
		if !lane.Since.IsZero() {
			what += ", since " + lane.Since.UTC().Format("2006-01-02 15:04 MST")
		}
		if lane.LastFailure != "" {
			what += "; last: " + clip(lane.LastFailure)
		}
		list = append(list, Finding{Fault, KindBreakerOpen, what, "repair what the other findings name; it goes on by itself, or at once with: carom resume " + id})
	}
	dead, expired := f.Ended[id][string(carom.Dead)], f.Ended[id][string(carom.Expired)]
	if dead+expired > 0 {
		list = append(list, Finding{Fault, KindLost, fmt.Sprintf("in the last 24 hours %d of its deliveries were given up and %d passed their deadline", dead, expired),
			"repair what the other findings name, then send them again: carom resend --endpoint " + id + " --why \"…\""})
	}
	return list
}

// judgeAttempts sorts attempts by what went wrong. Trouble after which deliveries succeeded is a lesser one.
func (s *subject) judgeAttempts(attempts []carom.Attempt) []Finding {
	repeats := refusedRepeats(attempts)
	troubles := map[Kind]*trouble{}
	var delivered []time.Time
	word := ""
	for i := range attempts {
		a := &attempts[i]
		kind := kindOf(a)
		switch {
		case repeats[i]:
			kind = KindCopiesRefused
		case kind == "" && a.State == carom.Delivered:
			if said := failureWord(a.Answer, a.Number); said != "" {
				kind, word = KindAnswersError, said
			}
		}
		if kind == "" {
			if a.State == carom.Delivered {
				delivered = append(delivered, a.At)
			}
			continue
		}
		t := troubles[kind]
		if t == nil {
			t = &trouble{}
			troubles[kind] = t
		}
		t.n++
		t.last = *a
		if !slices.Contains(t.statuses, a.Status) {
			t.statuses = append(t.statuses, a.Status)
		}
	}
	var list []Finding
	for _, kind := range Kinds() {
		t := troubles[kind]
		if t == nil {
			continue
		}
		since := 0
		for _, at := range delivered {
			if at.After(t.last.At) {
				since++
			}
		}
		list = append(list, s.describe(kind, t, len(attempts), since, word))
	}
	return list
}

// kindOf says what went wrong with an attempt, by its status and by the word with which its reason begins. It returns nothing
// for one that went well, and for one that says nothing of the receiver.
func kindOf(a *carom.Attempt) Kind {
	switch {
	case a.State == carom.Delivered && a.Flags&carom.AttemptHTML != 0:
		return KindAnswersPage
	case a.State == carom.Delivered:
		return ""
	case a.Status >= 200 && a.Status < 300 && strings.HasPrefix(a.Reason, "status "):
		return KindSuccessTexts
	case a.Status >= 300 && a.Status < 400:
		return KindRedirects
	case a.Status == 401, a.Status == 403:
		return KindAccessDenied
	case a.Status == 404, a.Status == 405, a.Status == 410:
		return KindPathMissing
	case a.Status == 429:
		return KindTooMany
	case a.Status >= 500:
		return KindServerErrors
	case a.Status >= 400:
		return KindRefused
	}
	begins, _, _ := strings.Cut(a.Reason, ":")
	return map[string]Kind{
		"timeout": KindTimeouts, "connect": KindUnreachable, "resolve": KindNameUnresolved, "tls": KindCertificate, "read": KindBrokenOff,
		"write": KindBrokenOff, "address refused": KindPrivateAddress, "cannot render the request": KindNotRendered, "unusable request": KindNotRendered,
	}[begins]
}

// refusedRepeats finds the attempts that are answered 4xx after an earlier one of the same delivery which the receiver may have
// taken: it broke off, took too long, or was answered 5xx.
func refusedRepeats(attempts []carom.Attempt) map[int]bool {
	taken := map[carom.DeliveryID]int{} // the number of the attempt that may have been taken
	found := map[int]bool{}
	for i := range attempts {
		a := &attempts[i]
		switch kindOf(a) {
		case KindTimeouts, KindBrokenOff, KindServerErrors:
			if before, ok := taken[a.Delivery]; !ok || a.Number < before {
				taken[a.Delivery] = a.Number
			}
		case KindRefused, KindAccessDenied, KindPathMissing:
			if before, ok := taken[a.Delivery]; ok && a.Number > before && a.Status != 401 && a.Status != 405 && a.Status != 410 {
				found[i] = true
			}
		}
	}
	return found
}

// failing are the words with which receivers say in a successful answer that they failed.
var failing = regexp.MustCompile(`(?i)\b(errors?|fail|failed|failure|invalid|exception|unauthorized|forbidden|denied|duplicate)\b`)

// harmless is what makes such a word harmless when it follows: "error":false, errors=0, "error": null, "errors":[].
var harmless = regexp.MustCompile(`(?i)^["']?\s*[:=]\s*["']?(false|null|none|no|nil|0|\[\s*\]|\{\s*\}|""|'')(\W|$)`)

// negated is what makes it harmless when it stands before: "no error", "0 errors".
var negated = regexp.MustCompile(`(?i)\b(no|0|without)\s+$`)

// failureWord finds a word in the body of a successful answer by which the receiver says that it failed, as it is written there.
// That a repeat is a duplicate is no failure.
func failureWord(answer string, number int) string {
	if i := strings.Index(answer, `"error":""`); i >= 0 {
		answer = answer[:i] + answer[i+len(`"error":""`):]
	}
	for _, at := range failing.FindAllStringIndex(answer, -1) {
		word := answer[at[0]:at[1]]
		if harmless.MatchString(answer[at[1]:]) || negated.MatchString(answer[:at[0]]) || number > 1 && strings.EqualFold(word, "duplicate") {
			continue
		}
		return word
	}
	return ""
}

// describe puts trouble into words. since is how many deliveries succeeded after the last of it.
func (s *subject) describe(kind Kind, t *trouble, all, since int, word string) Finding {
	found := Finding{Level: Fault, Kind: kind}
	var softer Level = Warning // when deliveries succeeded since
	status := statusText(t.statuses)
	switch kind {
	case KindRedirects:
		found.What = "it is answered " + status + ", a redirect, which is not followed"
		found.Fix = "enter the URL to which it leads: compare scheme, www and the closing slash with what a browser shows"
	case KindAnswersPage:
		found.What = "it is answered with success and a web page: most likely the wrong route, and what is sent to it is lost"
		found.Fix = "correct the path in the URL, then send them again: carom resend --endpoint " + s.e.ID() + " --state delivered --why \"…\""
	case KindAnswersError:
		found.Level = Warning
		found.What = fmt.Sprintf("its answers count as success and say %q", clip(word))
		if strings.EqualFold(word, "duplicate") {
			found.What += " at the first attempt: the receiver takes different events for the same one"
		}
		found.Fix = fmt.Sprintf("if that means failure, set success.not_contains: %q; better have the receiver answer 4xx or 5xx", clip(word))
	case KindSuccessTexts:
		found.What = "it is answered " + status + ", and the answer does not count: " + clip(t.last.Reason)
		found.Fix = "compare success.contains and success.not_contains with what it answers: carom show " + eventOf(t.last.Delivery)
	case KindCopiesRefused:
		found.What = "it answers " + status + " when a delivery comes again after an attempt that it may have taken: it probably has the event, which is repeated for nothing until it expires"
		found.Fix = "have the receiver answer copies with 200"
	case KindAccessDenied:
		found.What = "it is answered " + status + ": the receiver does not accept the secret, or not this address"
		found.Fix = "compare the secret in the URL or the headers with the receiver's, and the addresses that it lets in"
	case KindPathMissing:
		found.What = "it is answered " + status + ": nothing is there that takes it"
		found.Fix = "correct path and method"
		if slices.Contains(t.statuses, 405) {
			found.Fix = "the receiver takes another method: set `method`, and correct the path"
		}
	case KindRefused:
		found.What = "it is answered " + status + ": the receiver says that the request is wrong"
		found.Fix = "compare the names of its parameters with those that the receiver reads; what it answered shows: carom show " + eventOf(t.last.Delivery)
	case KindTooMany:
		found.Level, softer = Warning, Warning
		found.What = "it is answered 429: it gets more at once than it takes"
		found.Fix = "set `rate` to the attempts per second that it allows, or have its owner lift the limit for postbacks"
		if s.e.Rate > 0 {
			found.Fix = fmt.Sprintf("lower `rate`, which is %v, for instance to %v, or have its owner lift the limit for postbacks", s.e.Rate, s.e.Rate/2)
		}
	case KindServerErrors:
		softer = Note
		found.What = "it is answered " + status + ": the receiver has a fault of its own"
		found.Fix = "have its owner look at its log; deliveries are repeated meanwhile"
	case KindTimeouts:
		found.What = fmt.Sprintf("it does not answer within its timeout of %v", s.e.Timeout)
		found.Fix = "have the receiver answer as soon as the event is stored; or raise `timeout`, up to 1m"
	case KindBrokenOff:
		softer = Note
		found.What = "its connections break off before an answer comes"
		found.Fix = "have its owner look at its log, and at what stands before it"
	case KindUnreachable:
		softer = Note
		found.What = "nothing accepts connections there"
		found.Fix = "have its owner start the server, and open its port to this machine"
	case KindCertificate:
		found.What = "no secure connection comes about: " + clip(strings.TrimPrefix(t.last.Reason, "tls: "))
		found.Fix = "have its owner repair the certificate: for exactly this host name, with the whole chain"
	case KindNameUnresolved:
		found.What = "its host name has no address"
		found.Fix = "correct the host in the URL, or have its owner repair the DNS entry"
	case KindPrivateAddress:
		found.What = "nothing is sent to it: " + clip(strings.TrimPrefix(t.last.Reason, "address refused: "))
		found.Fix = "if the receiver is your own, add the line `allow_private: true` to the endpoint; else ask its owner for the public address"
	case KindNotRendered:
		found.What = "its requests cannot be made: " + clip(t.last.Reason)
		found.Fix = "look at its templates and its signing secret"
	}
	if passes(kind) && t.n*5 < all {
		found.Level = Warning
	}
	found.What += fmt.Sprintf(" (%d of the newest %s, last on %s", t.n, plural(all, "attempt"), t.last.At.UTC().Format("2006-01-02 15:04 MST"))
	if since > 0 {
		found.What += fmt.Sprintf("; %d succeeded since", since)
		if found.Level.rank() < softer.rank() {
			found.Level = softer
		}
	}
	found.What += ")"
	return found
}

// passes says whether trouble of the kind is everyday as long as it is rare: repeats heal it.
func passes(kind Kind) bool {
	switch kind {
	case KindServerErrors, KindTimeouts, KindBrokenOff, KindUnreachable:
		return true
	}
	return false
}

// statusText lists statuses.
func statusText(statuses []int) string {
	statuses = slices.Clone(statuses)
	slices.Sort(statuses)
	texts := make([]string, len(statuses))
	for i, status := range statuses {
		texts[i] = fmt.Sprint(status)
	}
	return strings.Join(texts, ", ")
}

// eventOf is the id of the event that a delivery is of, for a command line.
func eventOf(id carom.DeliveryID) string {
	if len(id) < len("dlv_")+21 {
		return ""
	}
	return "evt_" + string(id[4:4+21])
}

// judgeSpeed looks at how long answers take. It needs some of them, since a single one may have had bad luck.
func judgeSpeed(attempts []carom.Attempt, timeout time.Duration) []Finding {
	const some = 5
	var took []time.Duration
	for i := range attempts {
		if attempts[i].Status > 0 {
			took = append(took, attempts[i].Took)
		}
	}
	if len(took) < some {
		return nil
	}
	slices.SortFunc(took, cmp.Compare[time.Duration])
	tenth := took[len(took)*9/10]
	if tenth < timeout/2 {
		return nil
	}
	return []Finding{{Warning, KindSlow, fmt.Sprintf("one answer in ten takes %v or more, and the timeout is %v: under load deliveries are cut off and repeated, though they were taken",
		tenth.Round(10*time.Millisecond), timeout), "have the receiver answer as soon as the event is stored, and do the rest afterwards; or raise `timeout`, up to 1m"}}
}

// judgeSilence looks for an endpoint to which nothing was ever delivered, as far as is known.
func (s *subject) judgeSilence(f *Facts, attempts []carom.Attempt) []Finding {
	id := s.e.ID()
	ok := slices.ContainsFunc(attempts, func(a carom.Attempt) bool { return a.State == carom.Delivered })
	if f.Attempts == nil || ok || !f.Lanes[id].LastSuccess.IsZero() || f.Ended[id][string(carom.Delivered)] > 0 {
		return nil
	}
	if len(attempts) > 0 {
		return []Finding{{Warning, KindNothingDelivered, "nothing is known to have ever been delivered to it", "repair what the other findings name; a test shows whether that helped"}}
	}
	return []Finding{{Note, KindNothingDelivered, "nothing was sent to it lately, so its receiver has not shown yet what it answers", "send it a test event: carom send"}}
}
