package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"carom/internal/probe"
)

// deafReceiver answers OK to everything: the worst there is.
func deafReceiver(t *testing.T) (url string, requests func() int) {
	t.Helper()
	var mu sync.Mutex // guards n
	n := 0
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		n++
		mu.Unlock()
		_, _ = io.WriteString(w, "OK")
	}))
	t.Cleanup(srv.Close)
	return srv.URL, func() int {
		mu.Lock()
		defer mu.Unlock()
		return n
	}
}

func TestProbe(t *testing.T) {
	url, requests := deafReceiver(t)
	target := url + "/postback?token=topsecret"
	junit, html := filepath.Join(t.TempDir(), "r.xml"), filepath.Join(t.TempDir(), "r.html")
	r := carom1(t, "", "probe", target, "--junit", junit, "--html", html)
	if r.code != exitProblem || !strings.Contains(r.out, "2 faults: open door, catch-all page taken for success") || r.errOut != "" {
		t.Errorf("code %d, want %d: %s%s", r.code, exitProblem, r.out, r.errOut)
	}
	if n := requests(); n > probeRequests {
		t.Errorf("it sent %d requests, and asks for leave to send %d", n, probeRequests)
	}
	for _, path := range []string{junit, html} {
		text, err := os.ReadFile(path)
		if err != nil || !strings.Contains(string(text), "secret-forged") || strings.Contains(string(text), "topsecret") {
			t.Errorf("%s: %v: %.200s", path, err, text)
		}
	}
	r = carom1(t, "", "probe", target, "-o", "json")
	var report probe.Report
	if err := json.Unmarshal([]byte(r.out), &report); err != nil || r.code != exitProblem || len(report.Harms()) != 2 {
		t.Errorf("code %d, %v: %.300s%s", r.code, err, r.out, r.errOut)
	}
}

func TestProbeAsksAboutOtherHosts(t *testing.T) {
	const target = "http://receiver.invalid/postback?token=topsecret"
	for _, tt := range []struct {
		in   string
		args []string
		code int
		want string
	}{
		{"", nil, exitUsage, "give --yes"},
		{"n\n", nil, exitProblem, "nothing was sent"},
		{"\n", nil, exitProblem, "nothing was sent"},
		{"y\n", nil, exitUnreachable, "to receiver.invalid? They look like real paid events, for users and ymids that begin with carom-probe-"},
		{"y\n", []string{"--user", "ann"}, exitUnreachable, "for the user ann."},
		{"", []string{"--yes"}, exitUnreachable, "the name receiver.invalid has no address"},
	} {
		r := carom1(t, tt.in, append([]string{"probe", target}, tt.args...)...)
		if r.code != tt.code || !strings.Contains(r.out+r.errOut, tt.want) || strings.Contains(r.out+r.errOut, "topsecret") {
			t.Errorf("%q %q: code %d, want %d and %q: %s%s", tt.in, tt.args, r.code, tt.code, tt.want, r.out, r.errOut)
		}
	}
}

func TestProbeUsage(t *testing.T) {
	const target = "http://127.0.0.1:1/postback?token=abc"
	for _, tt := range []struct {
		args []string
		want string
	}{
		{nil, "accepts 1 arg"},
		{[]string{"shop"}, "it is not a URL"},
		{[]string{target, "--network", "admob"}, "signs its postbacks"},
		{[]string{target, "--ymid", "visit"}, "none of view, session and user"},
		{[]string{target, "--secret-param", "x"}, "no parameter"},
		{[]string{target, "--settle", "soon"}, "--settle needs a duration"},
		{[]string{target, "--limit", "0s"}, "longer than nothing"},
		{[]string{target, "--set", "zone"}, "NAME=VALUE"},
		{[]string{target, "--balance", "http://127.0.0.1/x"}, "has none of {user}"},
		{[]string{target, "--balance", "http://127.0.0.1/{user}", "--balance-command", "x"}, "give one of them"},
		{[]string{target, "--balance-field", "x"}, "belong to --balance"},
		{[]string{target, "--balance", "http://127.0.0.1/{user}", "--balance-header", "x"}, "a name and a value"},
		{[]string{target, "--balance-command", "'"}, "an open quote"},
		{[]string{target, "--balance-command", "false"}, "the books cannot be read"},
	} {
		r := carom1(t, "", append([]string{"probe"}, tt.args...)...)
		if r.code != exitUsage || !strings.Contains(r.errOut, tt.want) {
			t.Errorf("%q: code %d, want %d and %q: %s%s", tt.args, r.code, exitUsage, tt.want, r.out, r.errOut)
		}
	}
	if r := carom1(t, "", "probe", target, "--html", "/nowhere/at/all"); r.code != exitUsage || !strings.Contains(r.errOut, "cannot be written") {
		t.Errorf("code %d: %s", r.code, r.errOut)
	}
}
