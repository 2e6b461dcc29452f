package probe

import (
	"strings"
	"testing"
)

func TestSecretIsFoundAndMasked(t *testing.T) {
	for _, tt := range []struct {
		url, param  string
		place, mask string
	}{
		{"http://a/p?token=abc&ymid={ymid}", "", "the parameter token (guessed: --secret-param names another)", "http://a/p?token=***&ymid={ymid}"},
		{"http://a/p?Key=abc&sig=def&ymid=%7Bymid%7D", "", "the parameter Key (guessed: --secret-param names another)", "http://a/p?Key=***&sig=***&ymid={ymid}"},
		{"http://a/p?k=abc&ymid={ymid}", "k", "the parameter k", "http://a/p?k=***&ymid={ymid}"},
		{"http://a/p?token=a%2Fb+c%25&ymid={ymid}", "", "the parameter token (guessed: --secret-param names another)", "http://a/p?token=***&ymid={ymid}"},
		{"https://a:8443/in/0f1e2d3c4b5a69788796?ymid={ymid}#x", "", "part 2 of the path (guessed: --secret-param names another)", "https://a:8443/in/***?ymid={ymid}"},
		{"http://a/in/short/x?ymid={ymid}", "path:2", "part 2 of the path", "http://a/in/***/x?ymid={ymid}"},
		{"http://a/p?ymid={ymid}", "", "none", "http://a/p?ymid={ymid}"},
		{"http://a/p?campaign=1234567890abcdefg&ymid={ymid}", "", "none", "http://a/p?campaign=***&ymid={ymid}"},
	} {
		tmpl, err := newTemplate(Target{URL: tt.url, SecretParam: tt.param})
		if err != nil {
			t.Errorf("%s: %v", tt.url, err)
			continue
		}
		if tmpl.secretPlace() != tt.place || tmpl.shown() != tt.mask {
			t.Errorf("%s: got %s in %s, want %s in %s", tt.url, tmpl.secretPlace(), tmpl.shown(), tt.place, tt.mask)
		}
	}
}

func TestFill(t *testing.T) {
	other, empty := "wrong", ""
	values := map[string]string{"ymid": "a b&c{d}", "event_type": "click"}
	for _, tt := range []struct {
		url, want string
		p         postback
	}{
		{"http://a/p?token=abc&y={ymid}&x={nothing}", "http://a/p?token=abc&y=a%20b%26c%7Bd%7D&x=%7Bnothing%7D", postback{}},
		{"http://a/p/{ymid}/end?token=abc", "http://a/p/a%20b%26c%7Bd%7D/end?token=wrong", postback{secret: &other}},
		{"http://a/p?token=abc&e={event_type}", "http://a/p?e=click", postback{dropSecret: true, secret: &empty}},
		{"http://a/p?token=abc&e={event_type}", "http://a/p?token=abc", postback{drop: []string{"event_type"}}},
		{"http://a/in/0f1e2d3c4b5a69788796?e={event_type}", "http://a/in?e=click", postback{dropSecret: true, secret: &empty}},
		{"http://a/in/0f1e2d3c4b5a69788796?e={event_type}", "http://a/other?e=click", postback{path: "other"}},
	} {
		tmpl, err := newTemplate(Target{URL: tt.url})
		if err != nil {
			t.Fatal(err)
		}
		tt.p.values = values
		if got := tmpl.fill(&tt.p); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.url, got, tt.want)
		}
	}
}

// TestForgedSecretDiffers: whatever the secret ends with, the forged one is another of the same length.
func TestForgedSecretDiffers(t *testing.T) {
	for last := byte(' ' + 1); last < 0x7f; last++ {
		right := "secret" + string(last)
		if wrong := forged(right); wrong == right || len(wrong) != len(right) || strings.ContainsAny(wrong[6:], "&=#%/?") {
			t.Errorf("%q became %q", right, wrong)
		}
	}
}

func TestLoopbackAndHost(t *testing.T) {
	for url, want := range map[string]struct {
		local bool
		host  string
	}{
		"http://127.0.0.1:3000/x?y={z}":   {true, "127.0.0.1:3000"},
		"http://[::1]:3000":               {true, "[::1]:3000"},
		"https://LOCALHOST/x":             {true, "LOCALHOST"},
		"https://app.example.com/x?y=%zz": {false, "app.example.com"},
		"http://localhost.example.com":    {false, "localhost.example.com"},
		"http://127.0.0.1.example.com":    {false, "127.0.0.1.example.com"},
		"http://10.0.0.1/":                {false, "10.0.0.1"},
		"http://2130706433/":              {false, "2130706433"},
		"nothing":                         {false, ""},
	} {
		if local, host := IsLoopback(url), Host(url); local != want.local || host != want.host {
			t.Errorf("%s: got %v %q, want %v %q", url, local, host, want.local, want.host)
		}
	}
}
