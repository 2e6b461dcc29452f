package egress

import (
	"strconv"
	"strings"

	"carom"
)

// Request is one HTTP request to send. It is not changed, and nothing of it is kept after Do returns.
type Request struct {
	Method string // GET, HEAD, POST, PUT or PATCH
	URL    string // absolute, http or https, percent-encoded; path and query are sent byte for byte
	Header []carom.Field
	Body   []byte
}

// target is a URL taken apart. Its strings are parts of the URL.
type target struct {
	tls      bool
	hostPort string // as it stands in the URL: names the connections that can be shared
	host     string // without port and brackets
	port     uint16
	field    string // value of the Host field: hostPort without a default port
	path     string // path and query as given, without the fragment
}

// parseTarget takes a URL apart without decoding or encoding anything.
//
// It accepts less than net/url does (no credentials, no backslash in the authority, no percent signs in the host), so
// that no two readers of the URL can disagree about the host. The tests compare it with net/url. The URL may hold
// secrets, so errors never quote it.
func parseTarget(u string) (target, error) {
	for i := range len(u) {
		if u[i] <= ' ' || u[i] > '~' {
			return target{}, carom.Invalid("url", "byte %d of the URL is a space, a control character or not ASCII: "+
				"percent-encode it", i+1)
		}
	}
	var t target
	scheme, rest, ok := strings.Cut(u, "://")
	switch {
	case ok && strings.EqualFold(scheme, "http"):
	case ok && strings.EqualFold(scheme, "https"):
		t.tls = true
	default:
		return target{}, carom.Invalid("url", "the URL does not begin with http:// or https://: give it in full")
	}
	rest, _, _ = strings.Cut(rest, "#")
	end := strings.IndexAny(rest, "/?")
	if end < 0 {
		end = len(rest)
	}
	t.hostPort, t.path = rest[:end], rest[end:]
	if strings.IndexByte(t.hostPort, '@') >= 0 {
		return target{}, carom.Invalid("url", "the URL holds credentials before an @: send them in a header instead")
	}
	return t, t.parseAuthority()
}

// parseAuthority fills in host, port and the Host field from hostPort.
func (t *target) parseAuthority() error {
	const badHost = "the host of the URL is not a name or an address: check what stands between // and the next slash"
	var port string
	var hasPort bool
	if rest, bracket := strings.CutPrefix(t.hostPort, "["); bracket {
		var closed bool
		t.host, rest, closed = strings.Cut(rest, "]")
		port, hasPort = strings.CutPrefix(rest, ":")
		if !closed || !hasPort && rest != "" || strings.IndexByte(t.host, ':') < 0 || !plain(t.host, ".:") {
			return carom.Invalid("url", badHost)
		}
	} else {
		t.host, port, hasPort = strings.Cut(t.hostPort, ":")
		if t.host == "" || !plain(t.host, ".-_") {
			return carom.Invalid("url", badHost)
		}
	}
	t.port, t.field = 80, t.hostPort
	if t.tls {
		t.port = 443
	}
	if !hasPort {
		return nil
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 || port[0] < '0' || port[0] > '9' {
		return carom.Invalid("url", "the port of the URL is not a number from 1 to 65535: correct it or leave it out")
	}
	if uint16(n) == t.port {
		t.field = t.hostPort[:len(t.hostPort)-len(port)-1]
	}
	t.port = uint16(n)
	return nil
}

// plain reports whether s has only ASCII letters, digits and the bytes of others.
func plain(s, others string) bool {
	for i := range len(s) {
		c := s[i]
		if ('a' > c || c > 'z') && ('A' > c || c > 'Z') && ('0' > c || c > '9') && strings.IndexByte(others, c) < 0 {
			return false
		}
	}
	return true
}

// check says what is wrong with the method, the header or the body of r. Values may be secrets: errors name fields only.
func (r *Request) check() error {
	switch r.Method {
	case "POST", "PUT", "PATCH":
	case "GET", "HEAD":
		if len(r.Body) > 0 {
			return carom.Invalid("body", "a %s request has no body: use POST, or leave the body out", r.Method)
		}
	default:
		return carom.Invalid("method", "the method is not GET, HEAD, POST, PUT or PATCH")
	}
	for i := range r.Header {
		name, value := r.Header[i].Name, r.Header[i].Value
		if name == "" || !plain(name, "!#$%&'*+-.^_`|~") {
			return carom.Invalid("headers", "%.60q is not a header name: use letters, digits and hyphens", name)
		}
		if isOwnField(name) {
			return carom.Invalid("headers", "the header %s is set by carom: leave it out", name)
		}
		for j := range len(value) {
			if c := value[j]; c < ' ' && c != '\t' || c == 0x7f {
				return carom.Invalid("headers", "the value of %s has a control character, such as a line break: remove it", name)
			}
		}
	}
	return nil
}

// isOwnField reports whether a header field is for this package alone to set, because it decides where a request ends,
// whom it is for, or what becomes of the connection.
func isOwnField(name string) bool {
	switch len(name) { // spares nearly every field the comparisons
	case 2:
		return strings.EqualFold(name, "TE")
	case 4:
		return strings.EqualFold(name, "Host")
	case 6:
		return strings.EqualFold(name, "Expect")
	case 7:
		return strings.EqualFold(name, "Trailer") || strings.EqualFold(name, "Upgrade")
	case 10:
		return strings.EqualFold(name, "Connection") || strings.EqualFold(name, "Keep-Alive")
	case 14:
		return strings.EqualFold(name, "Content-Length")
	case 16:
		return strings.EqualFold(name, "Proxy-Connection")
	case 17:
		return strings.EqualFold(name, "Transfer-Encoding")
	}
	return false
}

// appendRequest appends r, which check found good, as it goes over the wire.
func appendRequest(b []byte, r *Request, t *target) []byte {
	b = append(b, r.Method...)
	b = append(b, ' ')
	if t.path == "" || t.path[0] == '?' {
		b = append(b, '/')
	}
	b = append(b, t.path...)
	b = append(b, " HTTP/1.1\r\nHost: "...)
	b = append(b, t.field...)
	b = append(b, "\r\n"...)
	agent := false
	for i := range r.Header {
		b = append(b, r.Header[i].Name...)
		b = append(b, ": "...)
		b = append(b, r.Header[i].Value...)
		b = append(b, "\r\n"...)
		agent = agent || strings.EqualFold(r.Header[i].Name, "User-Agent")
	}
	if !agent {
		b = append(b, "User-Agent: carom\r\n"...)
	}
	if r.Method != "GET" && r.Method != "HEAD" {
		b = append(b, "Content-Length: "...)
		b = strconv.AppendInt(b, int64(len(r.Body)), 10)
		b = append(b, "\r\n"...)
	}
	b = append(b, "\r\n"...)
	return append(b, r.Body...)
}
