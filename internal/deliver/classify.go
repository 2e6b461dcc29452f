package deliver

import (
	"bytes"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"carom"
	"carom/internal/egress"
)

// Outcome is what an attempt came to.
type Outcome struct {
	State  carom.DeliveryState // Pending: try again
	Reason string              // for people; empty when delivered as expected
	Flags  carom.AttemptFlags
	Wait   time.Duration // what the receiver asked for with Retry-After; it only lengthens the schedule's wait
	Ill    bool          // the receiver is not well: counts for the breaker
	NoNews bool          // the receiver was not asked: says nothing of its health
}

// maxRetryAfter caps what a receiver may ask for: the schedule's longest step.
const maxRetryAfter = 2 * time.Hour

// classify says what came of an exchange. It is pure: now is when the answer came.
func classify(now time.Time, e *carom.Endpoint, r *egress.Result) Outcome {
	switch {
	case r.Err != nil:
		return once(e, r, classifyError(r))
	case r.Status >= 200 && r.Status < 300:
		return once(e, r, classifySuccess(e, r))
	}
	o := Outcome{State: carom.Pending, Reason: "status " + strconv.Itoa(r.Status), Wait: retryAfter(now, r.RetryAfter)}
	switch {
	case r.Status == http.StatusGone:
		o.State, o.Wait, o.Reason = carom.Dead, 0, "status 410: the receiver says that this is gone"
	case r.Status == http.StatusTooManyRequests, r.Status >= 500:
		o.Ill = true
	case r.Status >= 400:
		o.Flags |= carom.AttemptClientError
	case r.Status >= 300:
		o.Flags |= carom.AttemptRedirect
		o.Reason += ": redirects are not followed; enter the final URL"
	}
	return once(e, r, o)
}

func classifyError(r *egress.Result) Outcome {
	var refusal *egress.Refusal
	switch {
	case errors.As(r.Err, &refusal):
		return Outcome{State: carom.Pending, NoNews: true, Reason: "address refused: " + refusal.Error()}
	case r.Phase == egress.PhaseRequest:
		return Outcome{State: carom.Pending, NoNews: true, Reason: "unusable request: " + r.Err.Error()}
	case r.Phase == egress.PhaseCanceled:
		return Outcome{State: carom.Pending, NoNews: true, Reason: "cancelled: carom was stopping"}
	}
	return Outcome{State: carom.Pending, Ill: true, Reason: string(r.Phase) + ": " + r.Err.Error()}
}

// once ends a delivery that must not be repeated when the receiver may have seen it.
func once(e *carom.Endpoint, r *egress.Result, o Outcome) Outcome {
	if e.Once && r.Sent && o.State == carom.Pending {
		o.State = carom.Dead
		o.Reason += "; not repeated, as the endpoint asks"
	}
	return o
}

func classifySuccess(e *carom.Endpoint, r *egress.Result) Outcome {
	o := Outcome{State: carom.Delivered}
	if isHTML(r) {
		o.Flags |= carom.AttemptHTML
	}
	switch {
	case e.Success.Contains != "" && !bytes.Contains(r.Body, []byte(e.Success.Contains)):
		o.State, o.Reason = carom.Pending, "status "+strconv.Itoa(r.Status)+", but the answer lacks the text that means success"
	case e.Success.NotContains != "" && bytes.Contains(r.Body, []byte(e.Success.NotContains)):
		o.State, o.Reason = carom.Pending, "status "+strconv.Itoa(r.Status)+", but the answer has the text that means failure"
	case o.Flags&carom.AttemptHTML != 0:
		o.Reason = "answered with an HTML page: probably the wrong route"
	}
	return o
}

// isHTML says whether the answer is a web page, which no receiver of postbacks sends.
func isHTML(r *egress.Result) bool {
	body := bytes.TrimSpace(bytes.TrimPrefix(r.Body, []byte("\xef\xbb\xbf"))) // a byte order mark
	if len(body) == 0 || body[0] != '<' {
		return false
	}
	return hasPrefixFold(body, "<!doctype html") || hasPrefixFold(body, "<html") || hasPrefixFold([]byte(r.ContentType), "text/html")
}

func hasPrefixFold(b []byte, prefix string) bool {
	return len(b) >= len(prefix) && strings.EqualFold(string(b[:len(prefix)]), prefix)
}

// retryAfter reads the header field: seconds, or a date. Anything else asks for nothing.
func retryAfter(now time.Time, text string) time.Duration {
	if text == "" {
		return 0
	}
	wait := time.Duration(0)
	if strings.Trim(text, "0123456789") == "" {
		seconds, err := strconv.Atoi(text)
		if err != nil || seconds > int(maxRetryAfter/time.Second) { // more digits than fit: a long time
			return maxRetryAfter
		}
		wait = time.Duration(seconds) * time.Second
	} else if at, err := http.ParseTime(text); err == nil {
		wait = at.Sub(now)
	}
	return min(max(wait, 0), maxRetryAfter)
}
