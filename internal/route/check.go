package route

import (
	"fmt"
	"net/textproto"
	"slices"
	"strings"
	"time"

	"carom"
	"carom/receiver"
)

// Bounds of an endpoint's limits. They keep a slip of the pen from stopping a lane or flooding a receiver.
const (
	minTimeout      = 100 * time.Millisecond
	maxTimeout      = time.Minute
	maxConcurrency  = 1024
	maxRate         = 100_000
	minDeadline     = time.Minute
	maxDeadline     = 30 * 24 * time.Hour
	minStep         = time.Second
	maxStep         = 24 * time.Hour
	maxSteps        = 50
	maxHeaders      = 32
	maxSecrets      = 8 // two live ones during a rotation, and some that have ended
	maxSuccessBytes = 1024
)

func checkLimits(e *carom.Endpoint, f *faults) {
	if e.Timeout < minTimeout || e.Timeout > maxTimeout {
		f.add("timeout", "%s is not from %s to %s: choose one in between", e.Timeout, minTimeout, maxTimeout)
	}
	if e.Concurrency < 1 || e.Concurrency > maxConcurrency {
		f.add("concurrency", "%d is not from 1 to %d: choose one in between", e.Concurrency, maxConcurrency)
	}
	// Written so that NaN is refused as well.
	if !(e.Rate >= 0 && e.Rate <= maxRate) {
		f.add("rate", "%v attempts a second is not from 0 (no limit) to %d: choose one in between", e.Rate, maxRate)
	}
	if e.Deadline < minDeadline || e.Deadline > maxDeadline {
		f.add("deadline", "%s is not from 1m to 720h (30 days): choose one in between", e.Deadline)
	}
	if len(e.Schedule) > maxSteps {
		f.add("schedule", "it has %d steps: keep at most %d, the last one repeats", len(e.Schedule), maxSteps)
	}
	for i, step := range e.Schedule {
		if step < minStep || step > maxStep {
			f.add("schedule", "step %d, %s, is not from 1s to 24h: choose one in between", i+1, step)
			break
		}
	}
}

// checkFilter refuses what can never match, since an endpoint that gets nothing looks like a lost postback.
func checkFilter(e *carom.Endpoint, f *faults) {
	for _, list := range []struct {
		name  string
		empty bool
	}{
		{"filter.sources", slices.Contains(e.Filter.Sources, "")},
		{"filter.rules", slices.Contains(e.Filter.Rules, "")},
	} {
		if list.empty {
			f.add(list.name, "it holds an empty text, which is no name: remove it")
		}
	}
	if e.Default {
		checkDefault(e, f)
	}
	switch e.Sends {
	case carom.SendsEvents:
		checkEventFilter(e, f)
	case carom.SendsRewards:
		checkRewardFilter(e, f)
	default:
		f.add("sends", "%q is not known: use events or rewards", clip(string(e.Sends)))
	}
}

// checkDefault refuses a default endpoint for which the zones that no other names have no meaning.
func checkDefault(e *carom.Endpoint, f *faults) {
	if len(e.Filter.Zones) > 0 {
		f.add("default", "a default endpoint is for the zones that no other names, and this one names zones in filter.zones: remove one of the two")
	}
	if e.Sends == carom.SendsRewards {
		f.add("default", "an endpoint that gets rewards looks at no zones: remove it, or the line `sends: rewards`")
	}
}

// checkRewardFilter refuses the lists that look at events: what a reward rests on is said by its rule.
func checkRewardFilter(e *carom.Endpoint, f *faults) {
	for _, list := range []struct {
		name  string
		items int
	}{
		{"filter.event_types", len(e.Filter.EventTypes)}, {"filter.values", len(e.Filter.Values)},
		{"filter.zones", len(e.Filter.Zones)}, {"filter.request_vars", len(e.Filter.RequestVars)},
	} {
		if list.items > 0 {
			f.add(list.name, "an endpoint that gets rewards looks at rules and sources alone: remove it, "+
				"and name the rules whose rewards it shall get in filter.rules")
		}
	}
}

func checkEventFilter(e *carom.Endpoint, f *faults) {
	if len(e.Filter.Rules) > 0 {
		f.add("filter.rules", "an endpoint that gets events looks at no rules: add the line `sends: rewards`, or remove it")
	}
	for _, value := range e.Filter.Values {
		switch value {
		case carom.Valued, carom.NotValued, carom.ValueEmpty:
		case carom.ValueUnknown:
			f.add("filter.values", "events of an unknown value are held and reach no endpoint: remove it")
		default:
			f.add("filter.values", "%q is no value: use valued, not_valued, or the empty text for events without one", clip(string(value)))
		}
	}
	if slices.Contains(e.Filter.EventTypes, "") {
		f.add("filter.event_types", "it holds an empty text, which no event has: remove it")
	}
}

// checkRewardTemplates refuses templates for rewards of which a receiver cannot grant each once, or cannot tell a grant from its
// reversal. The bodies that carom writes by itself say both.
func checkRewardTemplates(e *Endpoint, l language, f *faults) {
	if e.Sends != carom.SendsRewards || e.Method == "POST" && e.Body == "" {
		return
	}
	name, fix := "url", func(m macro) string {
		return fmt.Sprintf("add &%s=%s to the query", macros[m].Name, l.write(m, ""))
	}
	if e.Method == "POST" {
		name, fix = "body", func(macro) string { return "add it, or leave the body to carom" }
	}
	count := func(m macro) int {
		n := e.url.count(m) + e.body.count(m)
		for _, h := range e.headers {
			n += h.value.count(m)
		}
		return n
	}
	switch {
	case count(rewardID) == 0:
		f.add(name, "without %s the receiver cannot grant once: %s", l.write(rewardID, ""), fix(rewardID))
	case count(rewardState) == 0 && count(eventType) == 0:
		f.add(name, "without %s the receiver takes a reversal for a grant: %s", l.write(rewardState, ""), fix(rewardState))
	}
}

func checkSuccess(e *carom.Endpoint, f *faults) {
	for _, rule := range []struct{ name, text string }{
		{"success.contains", e.Success.Contains}, {"success.not_contains", e.Success.NotContains},
	} {
		if len(rule.text) > maxSuccessBytes {
			f.add(rule.name, "it has %d bytes: shorten it to %d", len(rule.text), maxSuccessBytes)
		}
	}
	if no := e.Success.NotContains; no != "" && strings.Contains(e.Success.Contains, no) {
		f.add("success.not_contains", "success.contains holds it, so that no answer could succeed: change one of the two")
	}
}

func checkSigningSecrets(e *carom.Endpoint, f *faults) {
	const name = "signing_secrets"
	if len(e.SigningSecrets) > maxSecrets {
		f.add(name, "there are %d: remove those that have ended, keep at most %d", len(e.SigningSecrets), maxSecrets)
	}
	lasting := len(e.SigningSecrets) == 0
	for i, secret := range e.SigningSecrets {
		if _, err := receiver.ParseSecret(string(secret.Key)); err != nil {
			f.add(name, "number %d cannot be used (%v): take whsec_ and the base64 of 24 to 64 random bytes, or a text of at least 16 bytes",
				i+1, err)
		}
		lasting = lasting || secret.NotAfter.IsZero()
	}
	if !lasting {
		f.add(name, "each of them ends some day, after which nothing could be signed: leave not_after out of the newest")
	}
}

// header is one header of an endpoint: its canonical name, and the template of its value.
type header struct {
	name  string
	value template
}

func compileHeaders(e *carom.Endpoint, l language, f *faults) []header {
	if len(e.Headers) > maxHeaders {
		f.add("headers", "there are %d: keep at most %d", len(e.Headers), maxHeaders)
		return nil
	}
	var out []header
	typed := false
	seen := make(map[string]bool, len(e.Headers))
	for _, h := range e.Headers {
		name := textproto.CanonicalMIMEHeaderKey(h.Name)
		place := "headers." + clip(h.Name)
		if fault := headerNameFault(name); fault != "" {
			f.add(place, "%s", fault)
			continue
		}
		if seen[name] {
			f.add(place, "it is there twice: keep one")
			continue
		}
		seen[name] = true
		typed = typed || name == "Content-Type"
		out = append(out, header{name, l.compileHeaderValue(place, h.Value, f)})
	}
	if e.Method == "POST" && !typed {
		mediaType := "application/json"
		if e.ContentType == "form" {
			mediaType = "application/x-www-form-urlencoded"
		}
		out = append([]header{{"Content-Type", template{{text: mediaType}}}}, out...)
	}
	return out
}

func (l language) compileHeaderValue(place, text string, f *faults) template {
	t := l.parse(place, text, plainText, f)
	t.encode(inHeader)
	l.refuseSignature(place, t, f)
	for i := range len(text) {
		if c := text[i]; c < ' ' || c == 0x7f {
			f.add(place, "a line break or another control character stands in its value: remove it")
			break
		}
	}
	return t
}

// headerNameFault says what is wrong with a header's canonical name and how to fix it, or returns nothing.
func headerNameFault(name string) string {
	if name == "" {
		return "a header has no name: give it one, or remove it"
	}
	for _, c := range []byte(name) {
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if !letter && strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0 {
			return "a header's name holds letters, digits and hyphens: rename it"
		}
	}
	switch name {
	case "Host", "Content-Length":
		return "it follows from the URL and the body: remove it"
	case "Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection", "Te", "Trailer",
		"Transfer-Encoding", "Upgrade", "Expect":
		return "it is about the connection, which carom manages: remove it"
	case receiver.HeaderID, receiver.HeaderTimestamp, receiver.HeaderSignature:
		return "it is set by carom when a POST is signed: remove it"
	}
	return ""
}
