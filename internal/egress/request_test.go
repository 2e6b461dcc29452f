package egress

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"carom"

	"github.com/google/go-cmp/cmp"
)

func TestParseTarget(t *testing.T) {
	tests := []struct {
		url  string
		want target
	}{
		{"http://backend.example", target{hostPort: "backend.example", host: "backend.example", port: 80, field: "backend.example"}},
		{"HTTPS://Backend.Example./p?a=b", target{tls: true, hostPort: "Backend.Example.", host: "Backend.Example.", port: 443, field: "Backend.Example.", path: "/p?a=b"}},
		{"http://backend.example:80/", target{hostPort: "backend.example:80", host: "backend.example", port: 80, field: "backend.example", path: "/"}},
		{"http://backend.example:443/", target{hostPort: "backend.example:443", host: "backend.example", port: 443, field: "backend.example:443", path: "/"}},
		{"https://[2001:db8::1]:443?x#y", target{tls: true, hostPort: "[2001:db8::1]:443", host: "2001:db8::1", port: 443, field: "[2001:db8::1]", path: "?x"}},
		{"http://a/%zz//../\\x?q={\"a\":1}&u=http://b@c/", target{hostPort: "a", host: "a", port: 80, field: "a", path: "/%zz//../\\x?q={\"a\":1}&u=http://b@c/"}},
	}
	for _, tt := range tests {
		got, err := parseTarget(tt.url)
		if err != nil {
			t.Errorf("parseTarget(%q): %v", tt.url, err)
		}
		if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(target{})); diff != "" {
			t.Errorf("parseTarget(%q) (-want +got):\n%s", tt.url, diff)
		}
	}
}

func TestUnusableURLs(t *testing.T) {
	for _, u := range []string{
		"", "/path", "backend.example/x", "ftp://backend.example/", "file:///etc/passwd", "http:/backend.example", "http://",
		"http:///s3cret", "http://?s3cret", "http://#s3cret", "http://user:s3cret@backend.example/", "http://8.8.8.8@127.0.0.1/",
		"http://127.0.0.1\\@8.8.8.8/", "http://back end.example/", "http://backend.example/s3cret x", "http://backend.example/\r\nX: s3cret",
		"http://backend.example/é", "http://backend.example:/", "http://backend.example:0/", "http://backend.example:65536/",
		"http://backend.example:+80/", "http://backend.example:80:80/", "http://backend.example:8a/", "http://[::1/", "http://::1/",
		"http://[127.0.0.1]/", "http://[::1]x/", "http://[::1%25lo]/", "http://back%65nd.example/", "http://back;end.example/",
	} {
		_, err := parseTarget(u)
		if !errors.Is(err, carom.ErrInvalid) {
			t.Errorf("parseTarget(%q): got error %v, want carom.ErrInvalid", u, err)
		} else if strings.Contains(err.Error(), "s3cret") {
			t.Errorf("parseTarget(%q): the error %q holds a part of the URL", u, err)
		}
	}
}

func TestUnusableRequests(t *testing.T) {
	header := func(name, value string) Request {
		return Request{Method: "GET", URL: "http://8.8.8.8/", Header: []carom.Field{{Name: name, Value: value}}}
	}
	tests := []struct {
		name string
		r    Request
	}{
		{"line break in a value", header("X-Key", "s3cret\r\nHost: evil.example")},
		{"line feed in a value", header("X-Key", "s3cret\nx")},
		{"carriage return in a value", header("X-Key", "s3cret\rx")},
		{"NUL in a value", header("X-Key", "s3cret\x00")},
		{"line break in a name", header("X-Key\r\nX", "s3cret")},
		{"colon in a name", header("X:Key", "s3cret")},
		{"space in a name", header("X Key", "s3cret")},
		{"empty name", header("", "s3cret")},
		{"Host", header("hOST", "s3cret")},
		{"Content-Length", header("content-length", "3")},
		{"Transfer-Encoding", header("Transfer-Encoding", "chunked")},
		{"Connection", header("Connection", "close")},
		{"Keep-Alive", header("Keep-Alive", "1")},
		{"Proxy-Connection", header("Proxy-Connection", "close")},
		{"Upgrade", header("Upgrade", "h2c")},
		{"Trailer", header("Trailer", "X")},
		{"TE", header("te", "trailers")},
		{"Expect", header("Expect", "100-continue")},
		{"method", Request{Method: "GET / HTTP/1.1\r\nX: s3cret\r\n\r\nGET", URL: "http://8.8.8.8/"}},
		{"no method", Request{URL: "http://8.8.8.8/"}},
		{"CONNECT", Request{Method: "CONNECT", URL: "http://8.8.8.8/"}},
		{"body of a GET", Request{Method: "GET", URL: "http://8.8.8.8/", Body: []byte("s3cret")}},
		{"URL", Request{Method: "GET", URL: "http://u:s3cret@8.8.8.8/"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var dialled dials
			c := New(Config{Dial: dialled.dial})
			defer c.Close()
			res := c.Do(t.Context(), Policy{}, tt.r, Options{})
			if res.Phase != PhaseRequest || !errors.Is(res.Err, carom.ErrInvalid) || res.Sent || len(dialled.addrs) > 0 {
				t.Fatalf("got phase %q, error %v, sent %v, dialled %q; want it refused as invalid before dialling",
					res.Phase, res.Err, res.Sent, dialled.addrs)
			}
			if strings.Contains(res.Err.Error(), "s3cret") {
				t.Errorf("the error %q holds a value", res.Err)
			}
		})
	}
}

func TestRequestOnTheWire(t *testing.T) {
	tests := []struct {
		name string
		r    Request
		want string
	}{
		{
			"GET without path",
			Request{Method: "GET", URL: "http://backend.example?ymid=a%20b&x={}|"},
			"GET /?ymid=a%20b&x={}| HTTP/1.1\r\nHost: backend.example\r\nUser-Agent: carom\r\n\r\n",
		},
		{
			"POST with header fields",
			Request{
				Method: "POST", URL: "http://backend.example:8080/in/%2F", Body: []byte(`{"a":1}`),
				Header: []carom.Field{{Name: "Content-Type", Value: "application/json"}, {Name: "user-agent", Value: "own/1"}},
			},
			"POST /in/%2F HTTP/1.1\r\nHost: backend.example:8080\r\nContent-Type: application/json\r\nuser-agent: own/1\r\n" +
				"Content-Length: 7\r\n\r\n{\"a\":1}",
		},
		{
			"POST without body",
			Request{Method: "POST", URL: "https://backend.example:443/"},
			"POST / HTTP/1.1\r\nHost: backend.example\r\nUser-Agent: carom\r\nContent-Length: 0\r\n\r\n",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			to, err := parseTarget(tt.r.URL)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, string(appendRequest(nil, &tt.r, &to))); diff != "" {
				t.Errorf("on the wire (-want +got):\n%s", diff)
			}
		})
	}
}

// FuzzRequest checks that net/url and net/http read the host and the request as this package does, whatever is given.
func FuzzRequest(f *testing.F) {
	f.Add("GET", "http://backend.example/p?ymid=1", "X-Key", "v", []byte(nil))
	f.Add("POST", "https://[2606:4700::1]:8443?a", "Content-Type", "text/plain", []byte("GET / HTTP/1.1\r\n\r\n"))
	f.Add("POST", "http://a:80#f", "X", "\t\x80", []byte("x"))
	f.Add("GET", "http://[a:b]/", "Host", "x\r\n", []byte(nil))
	f.Fuzz(func(t *testing.T, method, rawURL, name, value string, body []byte) {
		to, err := parseTarget(rawURL)
		if err != nil {
			return
		}
		scheme, _, _ := strings.Cut(rawURL, "://")
		u, err := url.Parse(scheme + "://" + to.hostPort)
		switch {
		case err != nil:
			if (Policy{AllowPrivate: true}).CheckHost(to.host) == nil {
				t.Fatalf("%q is accepted, but net/url says %v", rawURL, err)
			}
			return
		case u.Hostname() != to.host, u.Scheme == "https" != to.tls, u.User != nil, u.Path != "", u.RawQuery != "":
			t.Fatalf("%q: net/url reads %#v, want %+v", rawURL, u, to)
		case u.Port() != "":
			if n, _ := strconv.Atoi(u.Port()); n != int(to.port) {
				t.Fatalf("%q: net/url reads port %s, want %d", rawURL, u.Port(), to.port)
			}
		}
		r := Request{Method: method, URL: rawURL, Header: []carom.Field{{Name: name, Value: value}}, Body: body}
		if r.check() != nil {
			return
		}
		in := bufio.NewReader(bytes.NewReader(appendRequest(nil, &r, &to)))
		got, err := http.ReadRequest(in)
		if err != nil {
			if _, urlErr := url.ParseRequestURI("/" + strings.TrimPrefix(to.path, "/")); urlErr == nil {
				t.Fatalf("net/http refuses what is sent for %+v: %v", r, err)
			}
			return // net/url is stricter than a receiver about percent signs in a path
		}
		sent, err := io.ReadAll(got.Body)
		if err != nil || !bytes.Equal(sent, body) || got.Method != method || got.Host != to.field || len(got.Header) > 3 {
			t.Fatalf("net/http reads %+v with body %q (%v), want %+v", got, sent, err, r)
		}
		if rest, _ := io.ReadAll(in); len(rest) > 0 {
			t.Fatalf("%q is left over after the request %+v", rest, r)
		}
	})
}
