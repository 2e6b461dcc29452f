package deliver

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"carom"
	"carom/internal/egress"
)

func TestClassify(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	in := func(wait time.Duration) string { return now.Add(wait).Format(http.TimeFormat) }
	status := func(code int, retryAfter string) egress.Result {
		return egress.Result{Status: code, RetryAfter: retryAfter, Sent: true}
	}
	body := func(contentType, text string) egress.Result {
		return egress.Result{Status: 200, ContentType: contentType, Body: []byte(text), Sent: true}
	}
	failed := func(phase egress.Phase, sent bool) egress.Result {
		return egress.Result{Err: errors.New("cause"), Phase: phase, Sent: sent}
	}
	refused := egress.Result{
		Err:   fmt.Errorf("dial: %w", &egress.Refusal{Addr: netip.MustParseAddr("10.0.0.1"), Reason: egress.ReasonPrivate}),
		Phase: egress.PhaseRefused,
	}
	plain, once := carom.Endpoint{}, carom.Endpoint{Once: true}
	says := carom.Endpoint{Success: carom.SuccessRule{Contains: "OK"}}
	silent := carom.Endpoint{Success: carom.SuccessRule{NotContains: "error"}}

	tests := []struct {
		name     string
		endpoint carom.Endpoint
		result   egress.Result
		want     Outcome // with the beginning of the reason
	}{
		{"200 delivers", plain, status(200, ""), Outcome{State: carom.Delivered}},
		{"204 delivers", plain, status(204, ""), Outcome{State: carom.Delivered}},
		{"299 delivers", plain, status(299, ""), Outcome{State: carom.Delivered}},
		{"an answer in words delivers", plain, body("text/plain", "thank you"), Outcome{State: carom.Delivered}},
		{"the text for success is there", says, body("", "all OK"), Outcome{State: carom.Delivered}},
		{"the text for success is missing", says, body("", "all well"), Outcome{State: carom.Pending, Reason: "status 200, but the answer lacks"}},
		{"the text for failure is missing", silent, body("", "fine"), Outcome{State: carom.Delivered}},
		{"the text for failure is there", silent, body("", "an error"), Outcome{State: carom.Pending, Reason: "status 200, but the answer has"}},

		{"a page by its first tag", plain, body("", "\n <!DOCTYPE html><p>"), Outcome{State: carom.Delivered, Flags: carom.AttemptHTML, Reason: "answered with an HTML page"}},
		{"a page behind a byte order mark", plain, body("", "\xef\xbb\xbf<HTML lang=en>"), Outcome{State: carom.Delivered, Flags: carom.AttemptHTML, Reason: "answered with an HTML page"}},
		{"a page by its type", plain, body("Text/HTML; charset=utf-8", "<body>"), Outcome{State: carom.Delivered, Flags: carom.AttemptHTML, Reason: "answered with an HTML page"}},
		{"words sent as text/html are no page", plain, body("text/html", "OK"), Outcome{State: carom.Delivered}},
		{"XML is no page", plain, body("application/xml", "<ok/>"), Outcome{State: carom.Delivered}},
		{"a page without the text for success", says, body("text/html", "<html>"), Outcome{State: carom.Pending, Flags: carom.AttemptHTML, Reason: "status 200, but the answer lacks"}},

		{"101 is no answer to a postback", plain, status(101, ""), Outcome{State: carom.Pending, Reason: "status 101"}},
		{"302 is not followed", plain, status(302, ""), Outcome{State: carom.Pending, Flags: carom.AttemptRedirect, Reason: "status 302: redirects are not followed"}},
		{"400 is repeated and flagged", plain, status(400, ""), Outcome{State: carom.Pending, Flags: carom.AttemptClientError, Reason: "status 400"}},
		{"408 is a 4xx like others", plain, status(408, ""), Outcome{State: carom.Pending, Flags: carom.AttemptClientError, Reason: "status 408"}},
		{"425 is a 4xx like others", plain, status(425, "7"), Outcome{State: carom.Pending, Flags: carom.AttemptClientError, Reason: "status 425", Wait: 7 * time.Second}},
		{"410 ends it", plain, status(410, "5"), Outcome{State: carom.Dead, Reason: "status 410"}},
		{"429 is not well", plain, status(429, ""), Outcome{State: carom.Pending, Ill: true, Reason: "status 429"}},
		{"500 is not well", plain, status(500, ""), Outcome{State: carom.Pending, Ill: true, Reason: "status 500"}},
		{"599 is not well", plain, status(599, ""), Outcome{State: carom.Pending, Ill: true, Reason: "status 599"}},

		{"Retry-After in seconds", plain, status(503, "90"), Outcome{State: carom.Pending, Ill: true, Reason: "status 503", Wait: 90 * time.Second}},
		{"Retry-After as a date", plain, status(503, in(time.Minute)), Outcome{State: carom.Pending, Ill: true, Reason: "status 503", Wait: time.Minute}},
		{"Retry-After in the past", plain, status(503, in(-time.Minute)), Outcome{State: carom.Pending, Ill: true, Reason: "status 503"}},
		{"Retry-After capped", plain, status(503, "999999"), Outcome{State: carom.Pending, Ill: true, Reason: "status 503", Wait: 2 * time.Hour}},
		{"Retry-After beyond all numbers", plain, status(503, strings.Repeat("9", 40)), Outcome{State: carom.Pending, Ill: true, Reason: "status 503", Wait: 2 * time.Hour}},
		{"Retry-After as a date, capped", plain, status(503, in(24*time.Hour)), Outcome{State: carom.Pending, Ill: true, Reason: "status 503", Wait: 2 * time.Hour}},
		{"Retry-After of nonsense", plain, status(503, "soon"), Outcome{State: carom.Pending, Ill: true, Reason: "status 503"}},
		{"Retry-After below zero", plain, status(503, "-5"), Outcome{State: carom.Pending, Ill: true, Reason: "status 503"}},

		{"a timeout is not well", plain, failed(egress.PhaseTimeout, true), Outcome{State: carom.Pending, Ill: true, Reason: "timeout: cause"}},
		{"no connection is not well", plain, failed(egress.PhaseConnect, false), Outcome{State: carom.Pending, Ill: true, Reason: "connect: cause"}},
		{"an unknown name is not well", plain, failed(egress.PhaseResolve, false), Outcome{State: carom.Pending, Ill: true, Reason: "resolve: cause"}},
		{"a broken answer is not well", plain, failed(egress.PhaseRead, true), Outcome{State: carom.Pending, Ill: true, Reason: "read: cause"}},
		{"a refused address says nothing", plain, refused, Outcome{State: carom.Pending, NoNews: true, Reason: "address refused: 10.0.0.1 is a private address"}},
		{"an unusable request says nothing", plain, failed(egress.PhaseRequest, false), Outcome{State: carom.Pending, NoNews: true, Reason: "unusable request: cause"}},
		{"a cancelled attempt says nothing", plain, failed(egress.PhaseCanceled, true), Outcome{State: carom.Pending, NoNews: true, Reason: "cancelled"}},

		{"once: sent and failed is the end", once, status(500, ""), Outcome{State: carom.Dead, Ill: true, Reason: "status 500; not repeated"}},
		{"once: sent and timed out is the end", once, failed(egress.PhaseTimeout, true), Outcome{State: carom.Dead, Ill: true, Reason: "timeout: cause; not repeated"}},
		{"once: sent and cancelled is the end", once, failed(egress.PhaseCanceled, true), Outcome{State: carom.Dead, NoNews: true, Reason: "cancelled: carom was stopping; not repeated"}},
		{"once: not sent is tried again", once, failed(egress.PhaseConnect, false), Outcome{State: carom.Pending, Ill: true, Reason: "connect: cause"}},
		{"once: delivered", once, status(200, ""), Outcome{State: carom.Delivered}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := classify(now, &tt.endpoint, &tt.result)
			if !strings.HasPrefix(got.Reason, tt.want.Reason) || tt.want.Reason == "" && got.Reason != "" {
				t.Errorf("reason %q, want one that begins with %q", got.Reason, tt.want.Reason)
			}
			got.Reason = tt.want.Reason
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("outcome (-want +got):\n%s", diff)
			}
		})
	}
}

func TestBackoffFollowsTheScheduleWithinItsJitter(t *testing.T) {
	want := []time.Duration{
		5 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 2 * time.Hour, 2 * time.Hour,
	}
	for step, wait := range want {
		for _, tt := range []struct {
			random float64
			want   time.Duration
		}{{0, wait * 8 / 10}, {0.5, wait}, {1, wait * 12 / 10}} {
			if got := backoff(carom.DefaultSchedule, step, tt.random); (got - tt.want).Abs() > time.Microsecond {
				t.Errorf("step %d, random %v: %v, want %v", step, tt.random, got, tt.want)
			}
		}
	}
}

func TestBreakerOpens(t *testing.T) {
	well, ill, silent := Outcome{}, Outcome{Ill: true}, Outcome{NoNews: true}
	repeat := func(o Outcome, n int) (out []Outcome) {
		for range n {
			out = append(out, o)
		}
		return out
	}
	mixed := func(n int, wellEvery int) (out []Outcome) {
		for i := range n {
			if i%wellEvery == 0 {
				out = append(out, well)
			} else {
				out = append(out, ill)
			}
		}
		return out
	}
	tests := []struct {
		name     string
		outcomes []Outcome
		every    time.Duration
		opensAt  int // the number of outcomes after which it is open; 0: never
	}{
		{"ten failures in a row", repeat(ill, 12), time.Second, 10},
		{"ten in a row, however slow", repeat(ill, 12), time.Minute, 10},
		{"nine, and one that worked", append(repeat(ill, 9), append([]Outcome{well}, repeat(ill, 9)...)...), time.Second, 0},
		{"what says nothing breaks no row", append(repeat(ill, 9), append(repeat(silent, 3), ill)...), time.Second, 13},
		{"what says nothing is no failure", repeat(silent, 100), time.Second, 0},
		{"four of five of fifty", mixed(60, 5), 100 * time.Millisecond, 50},
		{"four of five, but never fifty within the window", mixed(100, 5), time.Second, 0},
		{"three of four of fifty", mixed(200, 4), 100 * time.Millisecond, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
			var b breaker
			openedAt := 0
			for i, o := range tt.outcomes {
				if b.note(now, &o, 0.5) {
					openedAt = i + 1
					break
				}
				now = now.Add(tt.every)
			}
			if openedAt != tt.opensAt {
				t.Errorf("opened after %d outcomes, want %d", openedAt, tt.opensAt)
			}
		})
	}
}

func TestBreakerProbeTimes(t *testing.T) {
	for _, random := range []float64{0, 0.5, 1} {
		now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		var b breaker
		for range 10 {
			b.note(now, &Outcome{Ill: true}, random)
		}
		for _, wait := range []time.Duration{5, 10, 20, 40, 60, 60} {
			want := time.Duration(float64(wait*time.Second) * (0.8 + 0.4*random))
			if got := b.probeAt.Sub(now); (got - want).Abs() > time.Microsecond {
				t.Errorf("random %v: the next probe comes after %v, want %v", random, got, want)
			}
			now = b.probeAt
			if !b.mayProbe(now) || b.mayProbe(now.Add(-1)) {
				t.Errorf("random %v: the probe at %v is not due exactly then", random, b.probeAt)
			}
			b.noteProbe(now, &Outcome{Ill: true}, random)
		}
		if b.noteProbe(now, &Outcome{NoNews: true}, random) {
			t.Error("a probe that did not reach the receiver closed the breaker")
		}
		if !b.noteProbe(now, &Outcome{}, random) || b.open {
			t.Error("a probe that was answered well did not close the breaker")
		}
	}
}
