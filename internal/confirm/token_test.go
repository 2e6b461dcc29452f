package confirm

import (
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"carom"
)

var sameShowing = cmp.Options{cmp.AllowUnexported(showing{}), cmpopts.EquateComparable(netip.Addr{})}

// sample is a showing with something in each field.
func sample() showing {
	at := time.Date(2026, 3, 1, 12, 0, 0, 123e6, time.UTC)
	return showing{
		id: [16]byte{1, 2, 3, 255}, app: game, zone: gameZone, subZone: "110003", format: carom.InAppInterstitial, creative: "summer",
		prices: [2]carom.Nanos{perImpression, perClick}, viewable: 1500 * time.Millisecond, ymid: "ымид \"&%\n😀", requestVar: "bonus-btn", telegramID: "279058397",
		user: userForged, client: netip.MustParseAddr("203.0.113.7"), browser: 1<<63 | 1, flags: flagAutomated | flagYMIDIsUser,
		issued: at, started: at.Add(3 * time.Second),
	}
}

func TestTokenKeepsWhatWasSealed(t *testing.T) {
	long := strings.Repeat("я", MaxTextBytes/2)
	tests := []struct {
		name   string
		change func(v *showing)
	}{
		{"each field", func(*showing) {}},
		{"not started", func(v *showing) { v.started = time.Time{} }},
		{"no address", func(v *showing) { v.client = netip.Addr{} }},
		{"IPv6", func(v *showing) { v.client = netip.MustParseAddr("2001:db8::1") }},
		{"the start is enough", func(v *showing) { v.viewable = 0 }},
		{"no texts", func(v *showing) { v.creative, v.ymid, v.requestVar, v.telegramID = "", "", "", "" }},
		{"the longest texts", func(v *showing) {
			v.app, v.zone, v.subZone = strings.Repeat("a", 63), strings.Repeat("1", 64), strings.Repeat("2", 64)
			v.creative, v.ymid, v.requestVar, v.telegramID = strings.Repeat("c", 256), long, long, strings.Repeat("9", 20)
		}},
		{"the highest price", func(v *showing) { v.prices = [2]carom.Nanos{1<<63 - 1, 0} }},
	}
	s := newSealer(sdkKey)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			want := sample()
			tt.change(&want)
			token := s.seal(&want)
			got, ok := s.open(token)
			if !ok {
				t.Fatalf("open(%q) refuses what was sealed", token)
			}
			if diff := cmp.Diff(want, got, sameShowing); diff != "" {
				t.Errorf("open (-want +got):\n%s", diff)
			}
			if len(token) > 3*MaxBeaconBytes/4 {
				t.Errorf("the token has %d bytes, too many for a beacon", len(token))
			}
			if _, ok := newSealer([32]byte{9}).open(token); ok {
				t.Error("another key opens it")
			}
		})
	}
}

// TestTokenOfEachBit changes one bit after the other of what a token holds.
func TestTokenOfEachBit(t *testing.T) {
	s := newSealer(sdkKey)
	v := sample()
	b, err := tokenText.DecodeString(s.seal(&v))
	if err != nil {
		t.Fatal(err)
	}
	for i := range b {
		for bit := range 8 {
			b[i] ^= 1 << bit
			if _, ok := s.open(tokenText.EncodeToString(b)); ok {
				t.Errorf("a token whose bit %d of byte %d was changed is opened", bit, i)
			}
			b[i] ^= 1 << bit
		}
	}
}

// TestTokenOfFewerFields has the right MAC over something that this version did not write.
func TestTokenOfFewerFields(t *testing.T) {
	s := newSealer(sdkKey)
	v := sample()
	whole, err := tokenText.DecodeString(s.seal(&v))
	if err != nil {
		t.Fatal(err)
	}
	said := whole[:len(whole)-tokenMAC]
	for n := range said {
		if _, ok := s.open(tokenText.EncodeToString(withMAC(s, append([]byte{}, said[:n]...)))); ok {
			t.Errorf("the first %d bytes with a MAC of their own are opened", n)
		}
	}
	for _, wrong := range []struct {
		name string
		at   int
	}{{"version", 0}, {"format", 17}, {"proof of the user", 18}} {
		b := append([]byte{}, said...)
		b[wrong.at] = 200
		if _, ok := s.open(tokenText.EncodeToString(withMAC(s, b))); ok {
			t.Errorf("a token with an unknown %s is opened", wrong.name)
		}
	}
}

// FuzzToken looks for texts that are opened and were not sealed.
func FuzzToken(f *testing.F) {
	s := newSealer(sdkKey)
	v := sample()
	token := s.seal(&v)
	rng := rand.New(rand.NewPCG(1, 2))
	for _, seed := range []string{"", "AQ", token, token[:len(token)-1], token + "\n", "\r" + token, token + "=", strings.ToUpper(token)} {
		f.Add(seed)
	}
	for range 20 {
		b := []byte(token)
		b[rng.IntN(len(b))] = byte(rng.IntN(256))
		f.Add(string(b))
	}
	f.Fuzz(func(t *testing.T, text string) {
		v, ok := s.open(text)
		if ok && s.seal(&v) != text {
			t.Errorf("open takes %q, which is sealed as %q", text, s.seal(&v))
		}
	})
}

// withMAC appends the MAC of b to itself.
func withMAC(s *sealer, b []byte) []byte {
	c := s.pool.Get().(*scratch)
	defer s.pool.Put(c)
	return append(b, c.over(b)...)
}
