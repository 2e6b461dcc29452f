package objects

import (
	"maps"
	"slices"
	"strings"

	"carom"
)

func (r *reader) creative(path, name string, n *node) carom.Creative {
	c := carom.Creative{Name: name}
	before := len(r.faults)
	r.object(path, n, fields{
		"title":          text(r, &c.Title),
		"formats":        r.list("a list such as ["+string(carom.RewardedInterstitial)+"]", r.format(&c.Formats)),
		"zones":          texts(r, &c.Zones),
		"image":          text(r, &c.Image),
		"html":           text(r, &c.HTML),
		"width":          r.count(&c.Width),
		"height":         r.count(&c.Height),
		"landing_url":    text(r, &c.LandingURL),
		"close_after":    r.duration(&c.CloseAfter),
		"weight":         r.count(&c.Weight),
		"per_impression": r.earned(&c.PerImpression),
		"per_click":      r.earned(&c.PerClick),
		"paused":         r.flag(&c.Paused),
	})
	r.faultsBeside(before, path, r.rules.creative(&c))
	return c
}

func (r *reader) format(to *[]carom.Format) read {
	return func(path string, n *node) {
		var f carom.Format
		if text(r, &f)(path, n); r.faulty[path] {
			return
		}
		if !slices.Contains(carom.Formats(), f) {
			r.fault(path, "there is no format %s: %s", quote(string(f)), suggest(string(f), formatNames()))
			return
		}
		*to = append(*to, f)
	}
}

// earned reads what one event is worth.
func (r *reader) earned(to *carom.Nanos) read {
	return scan(r, to, "an amount such as 0.002", exactNanos)
}

func (r *reader) dialect(path, name string, n *node) carom.Dialect {
	d := carom.Dialect{Name: name}
	before := len(r.faults)
	r.object(path, n, fields{
		"open":   text(r, &d.Open),
		"close":  text(r, &d.Close),
		"macros": r.macros(&d.Macros),
	})
	r.faultsBeside(before, path, r.rules.dialect(&d))
	return d
}

// macros reads a map of a dialect's names to carom's. Its keys are any text.
func (r *reader) macros(to *map[string]string) read {
	return func(path string, n *node) {
		if !r.is(path, n, object, "names of the dialect with carom's, such as { click_id: ymid }") {
			return
		}
		for i := range n.entries {
			e := &n.entries[i]
			below := join(path, e.key)
			if !r.visit(below, e.place) {
				return
			}
			var name string
			text(r, &name)(below, e.value)
			if *to == nil {
				*to = make(map[string]string, len(n.entries))
			}
			(*to)[e.key] = name
		}
	}
}

// pendingEndpoint is an endpoint that waits for the dialects, which may stand behind it in the file.
type pendingEndpoint struct {
	carom.Endpoint
	path       string
	secretPath string // of the key that gave its signing secret
}

// compileEndpoints has the endpoints compiled, each in the dialect that its templates are written in.
func (r *reader) compileEndpoints(dialects []carom.Dialect) {
	known, sound := make(map[string]bool, len(dialects)), make(map[string]*carom.Dialect, len(dialects))
	for i := range dialects {
		d := &dialects[i]
		if known[d.Name] = true; !r.faultyIn(join("dialects", d.Name)) {
			sound[d.Name] = d
		}
	}
	for _, e := range r.endpoints {
		if at := e.path + ".dialect"; e.Dialect != "" && !known[e.Dialect] && !r.faulty["dialects"] {
			r.fault(at, "there is no dialect %s: add it under `dialects`, or change it (%s)",
				quote(e.Dialect), suggest(e.Dialect, slices.Collect(maps.Keys(known))))
		}
		d := sound[e.Dialect]
		if d == nil && (e.Dialect != "" || r.faulty[e.path+".dialect"]) {
			// Nobody can read these: what would be said of them follows from the dialect.
			e.Dialect = ""
			r.faulty[e.path+".url"], r.faulty[e.path+".body"] = true, true
			for _, h := range e.Headers {
				r.faulty[join(e.path+".headers", h.Name)] = true
			}
		}
		r.faultsOf(e.path, r.rules.endpoint(e.Endpoint, d), func(field string) string {
			if field == "signing_secrets" && e.secretPath != "" {
				return strings.TrimPrefix(e.secretPath, e.path+".")
			}
			return field
		})
	}
}
