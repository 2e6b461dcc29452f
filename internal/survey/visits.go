package survey

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"

	"carom"
)

// Host is one server that endpoints send to, and whether they may dial private addresses.
type Host struct {
	Origin       string // scheme, host and port, in lower case and without a port that follows from the scheme: "https://game.example"
	AllowPrivate bool
}

// HostOf returns the host that an endpoint sends to. ok is false when its URL names none.
func HostOf(e *carom.Endpoint) (h Host, ok bool) {
	scheme, rest, found := strings.Cut(e.URL, "://")
	if end := strings.IndexAny(rest, "/?#"); end >= 0 {
		rest = rest[:end]
	}
	scheme, rest = strings.ToLower(scheme), strings.ToLower(rest)
	if !found || rest == "" || scheme != "http" && scheme != "https" {
		return Host{}, false
	}
	rest = strings.TrimSuffix(rest, map[string]string{"http": ":80", "https": ":443"}[scheme])
	return Host{scheme + "://" + rest, e.AllowPrivate}, true
}

// Phase is the stage of a visit that failed. The zero value means that an answer came.
type Phase string

// The phases.
const (
	PhaseResolve Phase = "resolve" // the host name has no address
	PhaseRefused Phase = "refused" // its address may not be dialled
	PhaseConnect Phase = "connect" // nothing accepts connections
	PhaseTLS     Phase = "tls"     // the handshake, or the certificate
	PhaseAnswer  Phase = "answer"  // no answer came, or none of HTTP
	PhaseTimeout Phase = "timeout" // there was a connection, and no answer in time
	PhaseSkipped Phase = "skipped" // the check ended before
)

// Visit is what came of asking a host for a path that nobody has.
type Visit struct {
	Phase    Phase
	Reason   string    // why it failed; holds nothing of a template but its host
	Fix      string    // what to do about it, where that is known
	Ends     time.Time // of the certificate; zero when none was seen
	Path     string    // that was asked for
	Status   int       // 0 when no answer came
	Location string    // where a redirect leads, as sent
}

// Hosts returns the different hosts of the endpoints that send something.
func Hosts(endpoints []carom.Endpoint) []Host {
	var list []Host
	seen := map[Host]bool{}
	for i := range endpoints {
		if h, ok := HostOf(&endpoints[i]); ok && !seen[h] {
			seen[h] = true
			list = append(list, h)
		}
	}
	return list
}

// AtOnce is how many hosts are visited at the same time.
const AtOnce = 8

// VisitAll visits each host once, at most [AtOnce] at the same time. Those whose turn did not come before ctx ended are
// marked as skipped.
func VisitAll(ctx context.Context, visit func(context.Context, Host) Visit, hosts []Host) map[Host]Visit {
	var mu sync.Mutex // guards visits
	visits := make(map[Host]Visit, len(hosts))
	queue := make(chan Host) // closed here, when every host was handed out
	var workers sync.WaitGroup
	for range min(AtOnce, len(hosts)) {
		workers.Go(func() {
			for h := range queue {
				v := Visit{Phase: PhaseSkipped}
				if ctx.Err() == nil {
					v = visit(ctx, h)
				}
				mu.Lock()
				visits[h] = v
				mu.Unlock()
			}
		})
	}
	for _, h := range hosts {
		queue <- h
	}
	close(queue)
	workers.Wait()
	return visits
}

// soonEnds is how long before its end a certificate should have been renewed: automatic renewal begins a month before.
const soonEnds = 14 * 24 * time.Hour

// judgeVisit says what the visit to the endpoint's host shows.
func (s *subject) judgeVisit(f *Facts) []Finding {
	v, ok := f.Visits[s.host]
	if !ok {
		return nil
	}
	list := s.judgeConnection(&v)
	if left := v.Ends.Sub(f.Now); !v.Ends.IsZero() && v.Phase != PhaseTLS && left < soonEnds {
		list = append(list, Finding{Warning, KindCertificateEnds, fmt.Sprintf("the certificate of %s ends on %s, in %s: then nothing is delivered any more",
			s.host.Origin, v.Ends.UTC().Format("2006-01-02 15:04 MST"), plural(int(left/(24*time.Hour)), "day")), "have its owner renew it, and look why that did not happen by itself"})
	}
	switch {
	case v.Status >= 200 && v.Status < 300:
		list = append(list, Finding{Warning, KindCatchAll, fmt.Sprintf("%s answers %d to a path that cannot be there (%s): with a wrong path in the URL, everything would look delivered and be lost",
			s.host.Origin, v.Status, v.Path), "ask its owner to answer 404 to unknown paths; until then, set success.contains to a word that only the right route answers"})
	case v.Status >= 300 && v.Status < 400:
		list = append(list, s.judgeRedirect(&v))
	case v.Status >= 500:
		list = append(list, Finding{Warning, KindUnwell, fmt.Sprintf("%s answers %d to a path that cannot be there, where 404 is usual", s.host.Origin, v.Status),
			"look whether the application behind the web server runs"})
	}
	return list
}

// judgeConnection says why no answer came, if so.
func (s *subject) judgeConnection(v *Visit) []Finding {
	host := strings.TrimPrefix(strings.TrimPrefix(s.host.Origin, "https://"), "http://")
	fix := func(text string) string {
		if v.Fix != "" {
			return v.Fix
		}
		return text
	}
	switch v.Phase {
	case PhaseResolve:
		return []Finding{{Fault, KindNameUnresolved, host + " has no address: " + clip(v.Reason), fix("correct the host in the URL, or have its owner repair the DNS entry")}}
	case PhaseRefused:
		return []Finding{{Fault, KindPrivateAddress, "nothing is sent to it: " + clip(v.Reason), fix("if the receiver is your own, add the line `allow_private: true` to the endpoint; else ask its owner for the public address")}}
	case PhaseConnect:
		return []Finding{{Fault, KindUnreachable, "nothing accepts connections at " + host + ": " + clip(v.Reason), fix("have its owner start the server, and open its port to this machine")}}
	case PhaseTLS:
		return []Finding{{Fault, KindCertificate, "no secure connection to " + host + " comes about: " + clip(v.Reason), fix("have its owner repair the certificate: for exactly this host name, with the whole chain")}}
	case PhaseAnswer, PhaseTimeout:
		return []Finding{{Warning, KindUnwell, host + " takes connections and does not answer: " + clip(v.Reason), fix("look whether the application behind it runs")}}
	case PhaseSkipped:
		return []Finding{{Note, KindNotVisited, "its host was not visited: there was no time left", "check it by itself: carom check --endpoints " + s.e.ID()}}
	}
	return nil
}

// judgeRedirect says what it means that a path which nobody has leads elsewhere.
func (s *subject) judgeRedirect(v *Visit) Finding {
	base, err := url.Parse(s.host.Origin + v.Path)
	var to *url.URL
	if err == nil {
		to, err = base.Parse(v.Location)
	}
	if err != nil || v.Location == "" {
		return Finding{Note, KindRedirectsAny, fmt.Sprintf("%s answers %d to a path that cannot be there", s.host.Origin, v.Status),
			"see that the endpoint's own path is answered by itself: redirects are not followed"}
	}
	origin := to.Scheme + "://" + to.Host
	if to.Path == v.Path && !strings.EqualFold(origin, s.host.Origin) {
		return Finding{Warning, KindRedirects, fmt.Sprintf("%s sends everything on to %s (%d), and redirects are not followed: what is sent to it is lost",
			s.host.Origin, clip(origin), v.Status), "enter the URL with " + clip(origin) + " at its beginning"}
	}
	where := clip(origin + to.Path)
	if strings.EqualFold(origin, s.host.Origin) {
		where = clip(to.Path)
	}
	what := fmt.Sprintf("%s sends a path that cannot be there on to %s (%d)", s.host.Origin, where, v.Status)
	for _, word := range []string{"login", "signin", "sign-in", "sign_in", "auth", "sso"} {
		if strings.Contains(strings.ToLower(to.Path), word) {
			return Finding{Note, KindRedirectsAny, what + ", a login page: so does it perhaps with a wrong path, or with the right one",
				"see that the endpoint's own path needs no login: redirects are not followed"}
		}
	}
	return Finding{Note, KindRedirectsAny, what + ": a wrong path would be answered so, and redirects are not followed", "see that the endpoint's own path is answered by itself"}
}
