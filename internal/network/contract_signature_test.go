package network

import (
	"slices"
	"strings"
	"testing"

	"carom"
)

// signatureOf finds the signature of a request, and a way to replace it.
func (g *rig) signatureOf(r *Request) (signature string, replace func(string) *Request) {
	for _, name := range g.p.Names("signature") {
		if header, ok := headerAlias(name); ok && r.Header.Get(header) != "" {
			return r.Header.Get(header), func(s string) *Request {
				c := *r
				c.Header = r.Header.Clone()
				if c.Header.Set(header, s); s == "" {
					c.Header.Del(header)
				}
				return &c
			}
		}
		for _, pair := range strings.Split(r.RawQuery, "&") {
			if value, ok := strings.CutPrefix(pair, name+"="); ok {
				return value, func(s string) *Request {
					c := *r
					c.RawQuery = strings.Replace(r.RawQuery, "&"+pair, "&"+name+"="+s, 1)
					if s == "" {
						c.RawQuery = strings.Replace(r.RawQuery, "&"+pair, "", 1)
					}
					return &c
				}
			}
		}
	}
	return r.Header.Get(headerSignature), func(s string) *Request {
		c := *r
		c.Header = r.Header.Clone()
		if c.Header.Set(headerSignature, s); s == "" {
			c.Header.Del(headerSignature)
		}
		return &c
	}
}

// contractSignature: the signature is there once, whole, and of these bytes.
func contractSignature(t *testing.T, g *rig) {
	if g.p.Strength != carom.Signed {
		t.Skip("the network does not sign")
	}
	signature, replace := g.signatureOf(g.genuine())
	other := g.sample
	other.params = slices.Clone(other.params)
	for i := range other.params {
		other.params[i][1] += "9"
	}
	foreign, _ := g.signatureOf(g.sign(other.params, other.body+" ", sampleSecret))
	first := "0"
	if signature[len(signature)/2] == '0' {
		first = "1"
	}
	for _, tt := range []struct {
		name, signature string
		want            carom.Reason
	}{
		{"missing", "", carom.ReasonNoSignature},
		{"truncated", signature[:len(signature)-2], carom.ReasonBadSignature},
		{"longer", signature + "00", carom.ReasonBadSignature},
		{"oversized", strings.Repeat("a", 9000), carom.ReasonBadSignature},
		{"not in its encoding", "%21%21" + signature[6:], carom.ReasonBadSignature},
		{"altered", signature[:len(signature)/2] + first + signature[len(signature)/2+1:], carom.ReasonBadSignature},
		{"of other bytes", foreign, carom.ReasonBadSignature},
	} {
		got := g.verify(replace(tt.signature))
		if got.Verified || got.Reason != tt.want && (got.Reason != carom.ReasonNoSignature || g.p.fact("standard_webhooks") == nil) {
			t.Errorf("Verify(signature %s) = %+v, want %s", tt.name, got, tt.want)
		}
	}
	if g.verify(g.sign(g.sample.params, g.sample.body, otherSecret)).Verified && g.p.NeedsNetworkSecret() {
		t.Error("Verify(under another key) is verified")
	}
	upper := g.verify(replace(strings.Replace(strings.ToUpper(signature), "SHA256=", "sha256=", 1)))
	if hex := strings.Trim(strings.TrimPrefix(signature, "sha256="), "0123456789abcdef") == ""; upper.Verified != hex {
		t.Errorf("Verify(signature in capitals) = %+v, want verified %v", upper, hex)
	} else if hex && upper != g.verify(g.genuine()) {
		t.Errorf("Verify(signature in capitals) = %+v, want what the small letters give", upper)
	}
	contractRepeated(t, g, signature)
}

// contractRepeated: of two different signatures none counts.
func contractRepeated(t *testing.T, g *rig, signature string) {
	r := g.genuine()
	for _, name := range append(g.p.Names("signature"), "header:"+headerSignature) {
		c := *r
		if header, ok := headerAlias(name); ok {
			c.Header = r.Header.Clone()
			if c.Header.Add(header, strings.Repeat("0", len(signature))); len(c.Header[header]) < 2 {
				continue
			}
		} else {
			c.RawQuery = name + "=" + strings.Repeat("0", len(signature)) + "&" + r.RawQuery
		}
		if got := g.verify(&c); got.Verified {
			t.Errorf("Verify(a second signature as %s) = %+v, want it refused", name, got)
		}
	}
}

// contractTampered: what the signature covers cannot be altered, and what it is said not to cover can.
func contractTampered(t *testing.T, g *rig) {
	r := g.genuine()
	for i, param := range g.sample.params {
		f, mapped := g.p.names[param[0]]
		if !mapped || f.proof() {
			continue
		}
		params := slices.Clone(g.sample.params)
		params[i][1] = param[1] + "9"
		c := *r
		c.RawQuery = graft(g.sign(params, "", sampleSecret).RawQuery, r.RawQuery, g.p)
		covered := g.p.covers.has(f)
		if got := g.verify(&c); got.Verified == covered && g.p.Strength == carom.Signed && !g.wholePart(f) {
			t.Errorf("Verify(%s altered) = %+v, and the profile says that it is covered: %v", f, got, covered)
		}
	}
	if len(r.Body) > 0 {
		c := *r
		if c.Body = []byte(strings.Replace(string(r.Body), "4242", "4243", 1) + " "); g.verify(&c).Verified {
			t.Error("Verify(an altered body) is verified")
		}
		c = *r
		if c.RawQuery = "ymid=other&telegram_id=1&user_id=other"; tell(g.judge(&c)) != g.sample.tells {
			t.Errorf("a query beside a signed body makes of it %q", tell(g.judge(&c)))
		}
	}
}

// wholePart reports whether only the whole part of f is signed and used, so that what follows it may be altered.
func (g *rig) wholePart(f field) bool { return g.p.transforms[f].IntTruncate }

// graft puts the signature of the genuine query into an altered one.
func graft(altered, genuine string, p *Profile) string {
	pairs := strings.Split(altered, "&")
	for _, pair := range strings.Split(genuine, "&") {
		name, _, _ := strings.Cut(pair, "=")
		for i := range pairs {
			if mine, _, _ := strings.Cut(pairs[i], "="); mine == name && (p.names[name] == fieldSignature && slices.Contains(p.Names("signature"), name)) {
				pairs[i] = pair
			}
		}
	}
	return strings.Join(pairs, "&")
}
