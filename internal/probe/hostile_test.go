package probe

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"carom"
)

// quick are options for runs without books.
func quick() Options { return Options{Settle: time.Millisecond, Run: "t"} }

// verdictOf finds a check.
func verdictOf(t *testing.T, r *Report, id string) *Check {
	t.Helper()
	for i := range r.Checks {
		if r.Checks[i].ID == id {
			return &r.Checks[i]
		}
	}
	t.Fatalf("there is no check %s", id)
	return nil
}

// TestHostileReceivers: each of them ends the run with one clear finding.
func TestHostileReceivers(t *testing.T) {
	drip := func(w http.ResponseWriter, r *http.Request, piece string) {
		for r.Context().Err() == nil {
			if _, err := io.WriteString(w, piece); err != nil {
				return
			}
			if f, ok := w.(http.Flusher); ok {
				f.Flush()
			}
			pause(r.Context(), time.Millisecond)
		}
	}
	// A megabyte of zeros would come out of these bytes, if anybody unpacked them.
	bomb := bytes.Repeat([]byte{0x1f, 0x8b, 0, 0xff}, 64)
	for _, tt := range []struct {
		name    string
		handler http.HandlerFunc
		check   string
		want    string
	}{
		{"never answers", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, "answered", "Nothing came back in time"},
		{"answers endlessly and slowly", func(w http.ResponseWriter, r *http.Request) { drip(w, r, "x") }, "answer-size", "does not end"},
		{"answers endlessly and fast", func(w http.ResponseWriter, r *http.Request) { drip(w, r, strings.Repeat("x", 32<<10)) }, "answer-size", "does not end"},
		{"redirects to itself", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, r.URL.String(), http.StatusMovedPermanently)
		}, "redirect", "leads to /postback?token=***"},
		{"a gzip bomb", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(bomb)
		}, "answer-plain", "compressed (gzip)"},
		{"a login page", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "\n<!DOCTYPE html><title>Log in</title>")
		},
			"answer-page", "A web page answers with success"},
		{"hangs up", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "answered", "breaks before an answer"},
		{"an endless header", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X-Long", strings.Repeat("x", 80<<10)) }, "answered", "breaks before an answer"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			srv := httptest.NewServer(tt.handler)
			t.Cleanup(srv.Close)
			o := quick()
			if tt.check == "answered" || tt.check == "answer-size" { // it is waited for in vain
				o.Timeout = 150 * time.Millisecond
			}
			r, err := Run(t.Context(), Target{URL: srv.URL + "/postback" + fullQuery}, o)
			if err != nil {
				t.Fatal(err)
			}
			c := verdictOf(t, r, tt.check)
			if c.Verdict != Fail || !strings.Contains(c.Meaning, tt.want) || !r.Reached {
				t.Errorf("got %s %q, want it to fail with %q:\n%s", c.Verdict, c.Meaning, tt.want, text(t, r))
			}
			if strings.Contains(text(t, r), secret) {
				t.Errorf("the secret is in the report:\n%s", text(t, r))
			}
		})
	}
}

func TestCertificates(t *testing.T) {
	r := &receiver{seen: map[string]bool{}}
	srv := httptest.NewUnstartedServer(r)
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.StartTLS()
	t.Cleanup(srv.Close)
	report, err := Run(t.Context(), Target{URL: srv.URL + "/postback" + fullQuery}, quick())
	if err != nil {
		t.Fatal(err)
	}
	c := verdictOf(t, report, "certificate")
	if c.Verdict != Fail || !strings.Contains(c.Meaning, "unknown authority") || report.Requests > 0 || report.Reached {
		t.Errorf("got %s %q and %d requests, want the reason and no request", c.Verdict, c.Meaning, report.Requests)
	}
	plain, err := Run(t.Context(), Target{URL: strings.Replace(srv.URL, "https", "http", 1) + "/postback" + fullQuery}, quick())
	if err != nil || plain.Count(Fail) == 0 {
		t.Errorf("http to a server that speaks https: got %v and %d faults, want some", err, plain.Count(Fail))
	}
}

func TestNothingListens(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for _, url := range []string{"http://" + addr + "/", "http://169.254.169.254/", "http://name.invalid/"} {
		r, err := Run(t.Context(), Target{URL: url}, quick())
		if err != nil {
			t.Fatal(err)
		}
		if c := verdictOf(t, r, "answered"); r.Reached || c.Verdict != Fail || c.Harm != Unreachable {
			t.Errorf("%s: got reached %v, %s: %s", url, r.Reached, c.Verdict, c.Meaning)
		}
	}
}

// TestInterrupted: a run that is ended says what was done until then.
func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	var n atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if n.Add(1) == 5 {
			cancel(errors.New("enough"))
		}
		_, _ = io.WriteString(w, "OK")
	}))
	defer srv.Close()
	report, err := Run(ctx, Target{URL: srv.URL + fullQuery}, quick())
	if err != nil || report.Ended != "enough" || report.Count(Skip) < 10 || report.Requests < 4 {
		t.Errorf("got %v, ended %q, %d requests, %d skipped", err, report.Ended, report.Requests, report.Count(Skip))
	}
	limited := quick()
	limited.Limit = time.Nanosecond
	if report, err = Run(t.Context(), Target{URL: srv.URL + fullQuery}, limited); err != nil || !strings.Contains(report.Summary(), "the limit of the whole run passed") {
		t.Errorf("got %v, %s; want the limit to be named", err, report.Summary())
	}
}

func TestUnusableTargets(t *testing.T) {
	const url = "http://127.0.0.1:1/postback?token=abc"
	for name, tt := range map[string]struct {
		target Target
		want   string
	}{
		"no URL":             {Target{URL: "shop"}, "it is not a URL"},
		"another scheme":     {Target{URL: "ftp://127.0.0.1/x"}, "it is not a URL"},
		"credentials":        {Target{URL: "http://me:pass@127.0.0.1/x"}, "credentials"},
		"bad escape":         {Target{URL: "http://127.0.0.1/%zz?x=1"}, "url: "},
		"unknown network":    {Target{URL: url, Network: "nobody"}, "there is no network"},
		"a signed network":   {Target{URL: url, Network: "admob"}, "signs its postbacks"},
		"another network":    {Target{URL: url, Network: "adsgram"}, "give monetag"},
		"a secret not there": {Target{URL: url, SecretParam: "nothing"}, "no parameter"},
		"an ymid of no kind": {Target{URL: url, YMID: "visit"}, "none of view, session and user"},
		"a fixed ymid":       {Target{URL: url, YMIDFormat: "{user}"}, "no {id}"},
	} {
		if _, err := Run(t.Context(), tt.target, quick()); err == nil || !errors.Is(err, carom.ErrInvalid) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", name, err, tt.want)
		}
	}
}

// TestTemplates: a URL is judged before anything is sent.
func TestTemplates(t *testing.T) {
	srv := newReceiver(t, mistakes{})
	for query, want := range map[string]string{
		"?token=x&ymid={click_id}&value={reward_event_type}&e={event_type}": "has no macro {click_id}",
		"?token=x&ymid={ymid}&e={event_type}":                               "Nothing tells events that the network pays for",
		"?token=x&value={reward_event_type}&e={event_type}":                 "a copy looks like a second view",
		"?token=x&value={reward_event_type}&ymid={ymid}":                    "an impression from a click",
		"?ymid={ymid}&value={reward_event_type}&e={event_type}":             "",
	} {
		r, err := Run(t.Context(), Target{URL: srv.URL + "/postback" + query}, quick())
		if err != nil {
			t.Fatal(err)
		}
		if c := verdictOf(t, r, "template"); want == "" && c.Verdict != Pass || !strings.Contains(c.Meaning, want) {
			t.Errorf("%s: got %s %q, want %q", query, c.Verdict, c.Meaning, want)
		}
		if c := verdictOf(t, r, "paid-event"); c.Verdict != Fail || c.Harm != Loses {
			t.Errorf("%s: a receiver that refuses everything passed: %s", query, c.Verdict)
		}
	}
}
