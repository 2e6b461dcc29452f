package probe

import (
	"cmp"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"carom"
	"carom/internal/network"
)

// The values of Target.Network that can be played, and the parts of URLs that are guessed to be the secret.
const (
	defaultNetwork = "monetag"
	masked         = "***"

	minSecretSegment = 16 // characters: a part of the path that is shorter is rather a name
)

var secretNames = []string{
	"token", "secret", "key", "sig", "signature", "auth", "apikey", "api_key", "api-key", "password", "pass", "pwd", "hash", "code",
}

// documentedNames are the parameters of the template that the network's own documentation shows, and of its sample.
const documentedNames = "ymid={ymid}&zone={zone_id}&event={event_type}&value={reward_event_type}&amount={estimated_price}"

// param is one parameter of a query, undecoded.
type param struct{ name, value string }

// urlTemplate is the URL of a receiver as it is entered at a network, taken apart. It is immutable but for names, which the
// session replaces when a receiver turns out to know other ones.
type urlTemplate struct {
	network  string
	origin   string   // "https://app.example.com"
	host     string   // without port
	segments []string // of the path, undecoded
	params   []param
	added    bool // the URL had no macros, so that those in params are the network's usual ones

	secretParam   string // name of the parameter that is the secret; empty: none
	secretSegment int    // index of the part of the path that is the secret; -1: none
	secret        string // its value, undecoded
	guessed       bool
	hidden        []string // every text that no report may show
}

// newTemplate reads the target's URL.
func newTemplate(target Target) (*urlTemplate, error) {
	profile, err := playable(cmp.Or(target.Network, defaultNetwork))
	if err != nil {
		return nil, err
	}
	text := strings.NewReplacer("%7B", "{", "%7b", "{", "%7D", "}", "%7d", "}").Replace(strings.TrimSpace(target.URL))
	text, _, _ = strings.Cut(text, "#")
	base, query, _ := strings.Cut(text, "?")
	u, err := url.Parse(base)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return nil, carom.Invalid("url", "it is not a URL such as http://127.0.0.1:3000/postback?ymid={ymid}: give it in full")
	case u.User != nil:
		return nil, carom.Invalid("url", "it holds credentials before an @, which networks do not send: take them away")
	}
	t := &urlTemplate{network: profile.Name, origin: u.Scheme + "://" + u.Host, host: u.Hostname(), secretSegment: -1}
	path := strings.TrimPrefix(base, base[:strings.Index(base, "://")+3])
	if _, path, _ = strings.Cut(path, "/"); path != "" {
		t.segments = strings.Split(path, "/")
	}
	t.params = split(query)
	if !strings.Contains(path+query, "{") {
		t.params, t.added = append(t.params, split(profile.Template)...), true
	}
	if _, err := url.Parse(t.origin + "/" + strings.ReplaceAll(path, "{", "x")); err != nil {
		return nil, carom.Invalid("url", "its path is not percent-encoded as it should be: correct it")
	}
	return t, t.findSecret(target.SecretParam)
}

// playable returns the profile of a network that can be played, and says why another one cannot.
func playable(name string) (*network.Profile, error) {
	profiles, err := network.Profiles()
	if err != nil {
		return nil, err
	}
	p := profiles[name]
	switch {
	case p == nil:
		return nil, carom.Invalid("network", "there is no network %.40q: give monetag", name)
	case name == defaultNetwork:
		return p, nil
	case p.Strength == carom.Signed:
		return nil, carom.Invalid("network", "%s signs its postbacks, and a probe has no key of it: give monetag for a receiver of plain URLs", p.Title)
	default:
		return nil, carom.Invalid("network", "%s knows no impressions, clicks and unpaid events, which is what a probe plays: give monetag", p.Title)
	}
}

func split(query string) []param {
	var params []param
	for p := range strings.SplitSeq(query, "&") {
		if name, value, _ := strings.Cut(p, "="); p != "" {
			params = append(params, param{name, value})
		}
	}
	return params
}

// findSecret settles which part of the URL is the secret, and what reports may not show.
func (t *urlTemplate) findSecret(given string) error {
	for i, p := range t.params {
		known := slices.Contains(secretNames, strings.ToLower(p.name))
		if p.value == "" || strings.Contains(p.value, "{") {
			continue
		}
		if known || len(p.value) >= minSecretSegment || p.name == given {
			t.hidden = append(t.hidden, p.value)
		}
		if p.name == given || given == "" && known && t.secret == "" {
			t.secretParam, t.secret, t.guessed = t.params[i].name, p.value, given == ""
		}
	}
	for i, part := range t.segments {
		named := given == "path:"+strconv.Itoa(i+1)
		random := len(part) >= minSecretSegment && strings.ContainsAny(part, "0123456789") && !strings.ContainsAny(part, "{.")
		if named || random {
			t.hidden = append(t.hidden, part)
		}
		if named || given == "" && random && t.secret == "" {
			t.secretSegment, t.secret, t.guessed = i, part, given == ""
		}
	}
	if given != "" && t.secret == "" {
		return carom.Invalid("secret-param", "the URL has no parameter %.40q with a fixed value: name one of it, or path:2 for the second part of its path", given)
	}
	for _, text := range t.hidden {
		if plain, err := url.QueryUnescape(text); err == nil && plain != text && plain != "" {
			t.hidden = append(t.hidden, plain)
		}
	}
	// The longest first, so that no part of one is left beside the mask of another.
	slices.SortFunc(t.hidden, func(a, b string) int { return len(b) - len(a) })
	return nil
}

// secretPlace says where the secret is, for a report.
func (t *urlTemplate) secretPlace() string {
	place := "none"
	switch {
	case t.secretParam != "":
		place = "the parameter " + t.secretParam
	case t.secretSegment >= 0:
		place = "part " + strconv.Itoa(t.secretSegment+1) + " of the path"
	}
	if t.guessed {
		place += " (guessed: --secret-param names another)"
	}
	return place
}

// mask takes the secrets out of a text.
func (t *urlTemplate) mask(text string) string {
	for _, secret := range t.hidden {
		text = strings.ReplaceAll(text, secret, masked)
	}
	return text
}

// shown is the template itself, for a report.
func (t *urlTemplate) shown() string {
	return t.mask(t.url(t.segments, t.params))
}

// has says whether a macro is in the URL.
func (t *urlTemplate) has(macro string) bool {
	in := func(s string) bool { return strings.Contains(s, "{"+macro+"}") }
	return slices.ContainsFunc(t.segments, in) || slices.ContainsFunc(t.params, func(p param) bool { return in(p.value) })
}

// macros are the names of all macros in the URL.
func (t *urlTemplate) macros() []string {
	var names []string
	text := t.url(t.segments, t.params)
	for {
		_, after, ok := strings.Cut(text, "{")
		name, rest, closed := strings.Cut(after, "}")
		if !ok || !closed {
			return names
		}
		names, text = append(names, name), rest
	}
}

func (t *urlTemplate) url(segments []string, params []param) string {
	var b strings.Builder
	b.WriteString(t.origin + "/" + strings.Join(segments, "/"))
	for i, p := range params {
		b.WriteByte("?&"[min(i, 1)])
		b.WriteString(p.name)
		b.WriteByte('=')
		b.WriteString(p.value)
	}
	return b.String()
}

// fill writes the URL of one postback.
func (t *urlTemplate) fill(p *postback) string {
	pairs := make([]string, 0, 2*len(p.values))
	for name, value := range p.values {
		// A space is %20: a plus sign would be one only to those who read the query as a form.
		pairs = append(pairs, "{"+name+"}", strings.ReplaceAll(url.QueryEscape(value), "+", "%20"))
	}
	r := strings.NewReplacer(pairs...)
	segments := slices.Clone(t.segments)
	params := make([]param, 0, len(t.params))
	for i, s := range segments {
		if segments[i] = r.Replace(s); i == t.secretSegment && p.secret != nil {
			segments[i] = *p.secret
		}
	}
	if t.secretSegment >= 0 && p.secret != nil && *p.secret == "" {
		segments = slices.Delete(segments, t.secretSegment, t.secretSegment+1)
	}
	if p.path != "" {
		segments = strings.Split(p.path, "/")
	}
	source := t.params
	if p.query != nil {
		source = p.query
	}
	for _, q := range source {
		if p.dropSecret && q.name == t.secretParam || slices.ContainsFunc(p.drop, func(m string) bool { return strings.Contains(q.value, "{"+m+"}") }) {
			continue
		}
		if q.name == t.secretParam && t.secretParam != "" && p.secret != nil {
			q.value = *p.secret
		}
		params = append(params, param{q.name, r.Replace(q.value)})
	}
	// What is left of braces is a macro that arrives as text; some clients refuse braces in a URL.
	return strings.NewReplacer("{", "%7B", "}", "%7D").Replace(t.url(segments, params))
}

// fixed are the parameters without macros, the secret among them.
func (t *urlTemplate) fixed() []param {
	return slices.DeleteFunc(slices.Clone(t.params), func(p param) bool { return strings.Contains(p.value, "{") })
}

// IsLoopback says whether a URL leads to this machine, so that probing it needs nobody's consent.
func IsLoopback(target string) bool {
	u, err := url.Parse(base(target))
	if err != nil {
		return false
	}
	if addr, err := netip.ParseAddr(u.Hostname()); err == nil {
		return addr.Unmap().IsLoopback()
	}
	return strings.EqualFold(u.Hostname(), "localhost")
}

// Host is host and port of a URL, for a question; empty when it has none.
func Host(target string) string {
	u, err := url.Parse(base(target))
	if err != nil {
		return ""
	}
	if _, _, err := net.SplitHostPort(u.Host); err != nil && strings.Count(u.Host, ":") > 1 && !strings.HasPrefix(u.Host, "[") {
		return ""
	}
	return u.Host
}

// base is a URL without path and query, whose macros and secrets no error needs to meet.
func base(target string) string {
	scheme, rest, _ := strings.Cut(strings.TrimSpace(target), "://")
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		rest = rest[:i]
	}
	return scheme + "://" + rest
}
