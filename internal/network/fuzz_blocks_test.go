package network

import (
	"net/http"
	"strings"
	"testing"

	"carom"
)

// fuzzBlock sends anything to a profile whose key nobody has. Nothing of it may be verified, and nothing may panic; the seeds are
// postbacks that are genuine under another key.
func fuzzBlock(f *testing.F, name string) {
	p := testProfiles(f)[name]
	g := newRig(f, p)
	s := sourceOf(p, otherSecret)
	if p.WantsPathSecret() {
		s.Secrets[0].Sum = [32]byte{1} // of a text that nobody knows
	}
	if p.Strength == carom.Address {
		s.RequireAddress, s.Addresses = true, sampleAddresses
	}
	b, err := p.Bind(s, nil, nil, sampleURL)
	if err != nil {
		f.Fatal(err)
	}
	genuine := g.genuine()
	signature, _ := g.signatureOf(genuine)
	f.Add(genuine.RawQuery, signature, genuine.Body)
	f.Add("", "", []byte(nil))
	f.Add(genuine.RawQuery+"&"+genuine.RawQuery, strings.ToUpper(signature), []byte(`{"a":{"b":[1]}}`))
	f.Add("&=&%&signature=&hash=&key_id=1", signature+signature, []byte("a=%zz"))
	keys := keyList{sampleKeyID: newRig(f, testProfiles(f)["admob"]).keys[sampleKeyID]}
	f.Fuzz(func(t *testing.T, query, header string, body []byte) {
		r := &Request{Method: "GET", Path: "/in/game/main", RawQuery: query, Header: http.Header{}}
		if len(body) > 0 {
			r.Method, r.ContentType, r.Body = "POST", "application/json", body
		}
		for _, name := range p.Headers() {
			r.Header.Set(name, genuine.Header.Get(name))
		}
		for _, name := range append(p.Names("signature"), headerPrefix+headerSignature) {
			if name, ok := headerAlias(name); ok {
				r.Header.Set(name, header)
			}
		}
		proof := b.Verify(t.Context(), r, sampleTime, keys)
		if proof.Verified || proof.TryLater || proof.Reason == "" || proof.signature != "" {
			t.Fatalf("Verify(%q, %q, %q) = %+v without the key", query, header, body, proof)
		}
		if x := b.Explain(t.Context(), r, sampleTime, keys); x.Proof != proof {
			t.Errorf("Explain() = %+v, want the proof %+v", x, proof)
		}
		rc := received(b, r, sampleTime)
		checkVerdict(t, b, rc, proof)
	})
}

func FuzzPathSecret(f *testing.F)       { fuzzBlock(f, "monetag") }
func FuzzSecret(f *testing.F)           { fuzzBlock(f, "monlix") }
func FuzzHash(f *testing.F)             { fuzzBlock(f, "levelplay") }
func FuzzHashTwice(f *testing.F)        { fuzzBlock(f, "vungle") }
func FuzzHMAC(f *testing.F)             { fuzzBlock(f, "adiscope") }
func FuzzHMACSorted(f *testing.F)       { fuzzBlock(f, "unityads") }
func FuzzHMACSortedForm(f *testing.F)   { fuzzBlock(f, "ayet") }
func FuzzHMACURL(f *testing.F)          { fuzzBlock(f, "bitlabs") }
func FuzzHMACBody(f *testing.F)         { fuzzBlock(f, "botads") }
func FuzzStandardWebhooks(f *testing.F) { fuzzBlock(f, "standardwebhooks") }
func FuzzECDSAQuery(f *testing.F)       { fuzzBlock(f, "admob") }
func FuzzAddress(f *testing.F)          { fuzzBlock(f, "yungpoints") }
