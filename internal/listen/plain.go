package listen

import (
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// Plain is what plain HTTP serves beside HTTPS: received postbacks (/in/…) and health checks as they are, since networks and
// balancers do not follow redirects; people are sent to HTTPS with 308; all else is refused, as keys would travel in the clear.
//
// https is this server's public URL, whose host people are sent to unless they asked for one of domains. Without an
// https URL they are sent to the host that they asked for.
func Plain(next http.Handler, https string, domains []string) http.Handler {
	base, err := url.Parse(https)
	if err != nil || base.Scheme != "https" {
		base = &url.URL{}
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch path := r.URL.Path; {
		case strings.HasPrefix(path, "/in/"), path == "/healthz", path == "/readyz":
			next.ServeHTTP(w, r)
		case r.Method == http.MethodGet, r.Method == http.MethodHead:
			http.Redirect(w, r, "https://"+httpsHost(r.Host, base, domains)+r.URL.RequestURI(), http.StatusPermanentRedirect)
		default:
			http.Error(w, "this is plain HTTP, where keys can be read on the way: use https", http.StatusForbidden)
		}
	})
}

// httpsHost is the host, with its port where it needs one, at which HTTPS is reached.
func httpsHost(asked string, base *url.URL, domains []string) string {
	host, _, err := net.SplitHostPort(asked)
	if err != nil {
		host = asked
	}
	if base.Host != "" && !slices.Contains(domains, strings.ToLower(host)) {
		return base.Host
	}
	if port := base.Port(); port != "" {
		return net.JoinHostPort(host, port)
	}
	return host
}
