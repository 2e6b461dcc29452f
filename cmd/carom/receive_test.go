package main

import (
	"bytes"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTrialReceiver(t *testing.T) {
	tests := []struct {
		name   string
		status int
		output string
		req    *http.Request
		answer string
		want   string
	}{
		{
			"a GET is one line", 200, "text", httptest.NewRequest("GET", "/postback?ymid=a%20b&event=click", nil), "OK\n",
			"received 12:00:00.000  GET /postback?ymid=a%20b&event=click\n",
		},
		{
			"a POST has its body, and what could move the cursor is not printed", 503, "text",
			signedPOST("{\"ymid\":\"\x1b[2J\"}"), "503 Service Unavailable\n",
			"received 12:00:00.000  POST /postback\n  Content-Type: application/json\n  Webhook-Id: dlv_1\n  {\"ymid\":\"·[2J\"}\n",
		},
		{
			"as JSON", 200, "json", signedPOST("x&y"), "OK\n",
			`{"at":"2026-03-04T12:00:00Z","method":"POST","url":"/postback","headers":{"Content-Type":"application/json","Webhook-Id":"dlv_1"},"body":"x&y"}` + "\n",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			h := &trialReceiver{cli: &cli{out: &out, now: noon, output: tt.output}, status: tt.status}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, tt.req)
			if w.Code != tt.status || w.Body.String() != tt.answer {
				t.Errorf("answered %d %q, want %d %q", w.Code, w.Body, tt.status, tt.answer)
			}
			if diff := cmp.Diff(tt.want, out.String()); diff != "" {
				t.Errorf("printed (-want +got):\n%s", diff)
			}
		})
	}
}

func signedPOST(body string) *http.Request {
	r := httptest.NewRequest("POST", "/postback", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Webhook-Id", "dlv_1")
	r.Header.Set("X-Other", "not printed")
	return r
}

func TestReceiveUsage(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"--status", "42"}, "--status is a number from 200 to 599"},
		{[]string{"--delay", "soon"}, "--delay needs a duration"},
		{[]string{"--listen", l.Addr().String()}, "choose another with --listen"},
		{[]string{"--listen", "nowhere"}, "--listen: "},
	} {
		r := carom1(t, "", append([]string{"receive"}, tt.args...)...)
		if r.code != exitUsage || !strings.Contains(r.errOut, tt.want) {
			t.Errorf("carom receive %q = %d %q, want %d and %q", tt.args, r.code, r.errOut, exitUsage, tt.want)
		}
	}
}

// TestGotRequestIsReadable: what -o json prints can be read back, whatever was sent.
func TestGotRequestIsReadable(t *testing.T) {
	var out bytes.Buffer
	h := &trialReceiver{cli: &cli{out: &out, now: noon, output: "json"}, status: 200}
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("POST", "/?q=%00", strings.NewReader("\x00\xff\n")))
	var got gotRequest
	if err := json.Unmarshal(out.Bytes(), &got); err != nil || got.URL != "/?q=%00" {
		t.Errorf("%q is read as %+v, %v", out.String(), got, err)
	}
}
