package api

import (
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"carom"
	"carom/internal/network"
	"carom/internal/route"
)

// What a quickstart makes of its answers: the URL templates of both sides. All of it is pure.

// connection connects an app to a network.
type connection struct {
	network  *network.Profile
	template string // the postback URL as it is at the network today; may be empty
	backend  string // where events go
}

// sourceTemplate is the query to enter at the network: the parameters of the publisher's template that a macro fills, and those
// that it lacks, since carom needs them to tell events apart. Parameters with a text of their own belong to the backend alone.
func (c *connection) sourceTemplate() string {
	_, query, _ := strings.Cut(braces(c.template), "?")
	var params []string
	taken := map[string]bool{}
	macros := c.network.Macros()
	for p := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(p, "=")
		if c.isMacro(value, macros) {
			params, taken[name] = append(params, p), true
		}
	}
	for p := range strings.SplitSeq(c.network.Template, "&") {
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
func (c *connection) isMacro(value string, macros []string) bool {
	return len(macros) > 0 && len(macros[0]) > 0 && strings.Contains(value, macros[0][:1]) || slices.Contains(macros, value)
}

// endpointURL is where events go: the backend with carom's macros. A backend without any gets the parameters that the publisher's
// template has, or those of the network, so that it receives what it would receive from the network itself.
func (c *connection) endpointURL() (string, error) {
	backend := braces(c.backend)
	if c.backend != c.template && strings.Contains(backend, "{") {
		return backend, nil
	}
	base, query, _ := strings.Cut(backend, "?")
	if c.backend == c.template {
		backend, query = base, ""
	}
	_, template, _ := strings.Cut(braces(c.template), "?")
	if template == "" {
		template = c.network.Template
	}
	params, err := c.translate(template)
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
func (c *connection) translate(template string) (string, error) {
	var params []string
	if template == "" {
		for _, field := range c.network.Fields() {
			if macro := caromMacro(field); macro != "" {
				params = append(params, field+"="+macro)
			}
		}
		return strings.Join(params, "&"), nil
	}
	names, err := route.ReadBackwards("?"+template, route.Notation{Macros: c.network.Macros(), Complete: c.network.Complete})
	if err != nil {
		return "", err
	}
	for p := range strings.SplitSeq(template, "&") {
		name, _, _ := strings.Cut(p, "=")
		decoded, err := url.QueryUnescape(name)
		if err != nil {
			return "", carom.Invalid("template", "the parameter %q has a broken percent-encoding: correct it", name)
		}
		macro, ok := names.Params[decoded]
		if !ok {
			params = append(params, p)
			continue
		}
		if field := c.network.FieldOf(macro); field != "" {
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

// braces undoes the percent-encoding of a macro's braces, which address bars and panels like to add.
func braces(template string) string {
	return strings.NewReplacer("%7B", "{", "%7b", "{", "%7D", "}", "%7d", "}").Replace(strings.TrimSpace(template))
}

func withoutQuery(u string) string {
	base, _, _ := strings.Cut(u, "?")
	return base
}

// isWholeURL says whether a text begins as a URL with a host does.
func isWholeURL(text string) bool {
	u, err := url.Parse(withoutQuery(text))
	return err == nil && u.Host != "" && (u.Scheme == "http" || u.Scheme == "https")
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
