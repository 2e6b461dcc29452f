package main

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"carom/internal/route"
)

// What a quickstart makes of its answers: the objects, and the URL templates of both sides. All of it is pure.

// defaultTemplate is the query that is entered at Monetag when the publisher has none: all of its macros, each by its own name.
const defaultTemplate = "ymid={ymid}&zone_id={zone_id}&sub_zone_id={sub_zone_id}&request_var={request_var}&telegram_id={telegram_id}" +
	"&event_type={event_type}&reward_event_type={reward_event_type}&estimated_price={estimated_price}"

// yaml writes the objects file of the app.
func (q *quickstart) yaml() (string, error) {
	endpoint, err := q.endpointURL()
	if err != nil {
		return "", err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "apps:\n  %s:\n    sources:\n", q.app)
	template := ""
	if q.template != "" {
		template = "?" + q.sourceTemplate()
	}
	q.writeSource(&b, template)
	fmt.Fprintf(&b, "    endpoints:\n      %s:\n        url: %s\n        filter:\n          values: [valued]\n", quickEndpoint, quoted(endpoint))
	if isLocal(endpoint) {
		b.WriteString("        allow_private: true\n")
	}
	return b.String(), nil
}

// writeSource writes the lines of the source. A key that is not known yet is one that nobody knows, so that the source is closed.
func (q *quickstart) writeSource(b *strings.Builder, template string) {
	fmt.Fprintf(b, "      %s:\n        profile: %s\n        ymid: %s\n", q.source(), q.network.Name, q.ymid)
	if template != "" {
		fmt.Fprintf(b, "        template: %s\n", quoted(template))
	}
	if q.network.NeedsNetworkSecret() {
		fmt.Fprintf(b, "        network_secret: %s\n", quoted(q.secret()))
	}
}

// secret is the network's key, or, until it is known, one that nobody knows.
func (q *quickstart) secret() string {
	if q.key == "" {
		q.key = rand.Text()
	}
	return q.key
}

// hide masks the key in what is shown.
func (q *quickstart) hide(yaml string) string {
	if q.key == "" {
		return yaml
	}
	return strings.ReplaceAll(yaml, quoted(q.key), `"***"`)
}

// sourceTemplate is the query to enter at the network: the parameters of the publisher's template that a macro fills, and those
// that it lacks, since carom needs them to tell events apart. Parameters with a text of their own belong to the backend alone.
func (q *quickstart) sourceTemplate() string {
	_, query, _ := strings.Cut(braces(q.template), "?")
	var params []string
	taken := map[string]bool{}
	macros := q.network.Macros()
	for p := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(p, "=")
		if q.isMacro(value, macros) {
			params, taken[name] = append(params, p), true
		}
	}
	for p := range strings.SplitSeq(q.network.Template, "&") {
		name, value, _ := strings.Cut(p, "=")
		present := slices.ContainsFunc(params, func(p string) bool { return strings.HasSuffix(p, "="+value) })
		for taken[name] && !present {
			name = "carom_" + name
		}
		if !present {
			params, taken[name] = append(params, name+"="+value), true
		}
	}
	return strings.Join(params, "&")
}

// isMacro says whether a parameter's value holds what looks like one of the network's macros, known or not.
func (q *quickstart) isMacro(value string, macros []string) bool {
	return len(macros) > 0 && len(macros[0]) > 0 && strings.Contains(value, macros[0][:1]) || slices.Contains(macros, value)
}

// names reads a template of the network backwards.
func (q *quickstart) names(query string) (route.Names, error) {
	names, err := route.ReadBackwards("?"+query, route.Notation{Macros: q.network.Macros(), Complete: q.network.Complete})
	if err != nil {
		return names, usagef("--template: %w", err)
	}
	return names, nil
}

// endpointURL is where events go: the backend with carom's macros. A backend without any gets the parameters that the publisher's
// template has, or those of the network, so that it receives what it would receive from the network itself.
func (q *quickstart) endpointURL() (string, error) {
	backend := braces(q.backend)
	if q.backend != q.template && strings.Contains(backend, "{") {
		return backend, nil
	}
	base, query, _ := strings.Cut(backend, "?")
	if q.backend == q.template {
		backend, query = base, ""
	}
	_, template, _ := strings.Cut(braces(q.template), "?")
	if template == "" {
		template = q.network.Template
	}
	params, err := q.translate(template)
	if err != nil {
		return "", err
	}
	if query != "" {
		return backend + "&" + params, nil
	}
	return backend + "?" + params, nil
}

// caromMacro writes the macro for a field of an event; empty where there is none.
func caromMacro(field string) string {
	switch field {
	case "transaction_id":
		return "{external_id}"
	case "reward_amount", "reward_item":
		return "{field." + field + "}"
	case "signature", "secret":
		return ""
	}
	return "{" + field + "}"
}

// translate writes a network's query template with carom's macros. Without one, it has a parameter for each field that the
// network fills.
func (q *quickstart) translate(template string) (string, error) {
	var params []string
	if template == "" {
		for _, field := range q.network.Fields() {
			if macro := caromMacro(field); macro != "" {
				params = append(params, field+"="+macro)
			}
		}
		return strings.Join(params, "&"), nil
	}
	names, err := q.names(template)
	if err != nil {
		return "", err
	}
	for p := range strings.SplitSeq(template, "&") {
		name, _, _ := strings.Cut(p, "=")
		decoded, err := url.QueryUnescape(name)
		if err != nil {
			return "", usagef("--template: the parameter %q has a broken percent-encoding", name)
		}
		macro, ok := names.Params[decoded]
		if !ok {
			params = append(params, p)
			continue
		}
		if field := q.network.FieldOf(macro); field != "" {
			macro = caromMacro(field)
		} else {
			macro = "{field." + macro + "}"
		}
		if macro != "" {
			params = append(params, name+"="+macro)
		}
	}
	return strings.Join(params, "&"), nil
}

// paste is the URL to enter at the network, from the one that the server made.
func (q *quickstart) paste(made string) (string, error) {
	if !strings.Contains(made, "?") && q.network.Template != "" {
		query := q.network.Template
		if q.template != "" {
			query = q.sourceTemplate()
		}
		made += "?" + query
	}
	if q.baseURL == "" {
		return made, nil
	}
	return rebase(made, q.baseURL)
}

// braces undoes the percent-encoding of a macro's braces, which address bars and panels like to add.
func braces(template string) string {
	return strings.NewReplacer("%7B", "{", "%7b", "{", "%7D", "}", "%7d", "}").Replace(strings.TrimSpace(template))
}

func withoutQuery(u string) string {
	base, _, _ := strings.Cut(u, "?")
	return base
}

// isLocal says whether a URL leads to this machine or a private network, which an endpoint must be allowed to.
func isLocal(u string) bool {
	p, err := url.Parse(withoutQuery(u))
	if err != nil {
		return false
	}
	host := p.Hostname()
	if addr, err := netip.ParseAddr(host); err == nil {
		addr = addr.Unmap()
		return addr.IsLoopback() || addr.IsPrivate() || addr.IsLinkLocalUnicast()
	}
	return host == "localhost" || !strings.Contains(host, ".") || strings.HasSuffix(host, ".local") || strings.HasSuffix(host, ".internal") ||
		strings.HasSuffix(host, ".localhost")
}

// quoted writes text as a YAML scalar: a JSON string is one.
func quoted(s string) string {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) // a string always encodes
	return strings.TrimSpace(b.String())
}

func indent(text string) string {
	return "  " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n  ") + "\n"
}
