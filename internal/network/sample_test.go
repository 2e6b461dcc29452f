package network

import (
	"errors"
	"slices"
	"testing"

	"carom"
)

// Every network's test postback passes as a paid event that is known by the id, or it is said that carom cannot make one.
func TestSample(t *testing.T) {
	unmakable := []string{"admob", "standardwebhooks"}
	for name, p := range testProfiles(t) {
		t.Run(name, func(t *testing.T) {
			g := newRig(t, p)
			r, err := g.b.Sample("test-1", g.path, "", sampleTime)
			if err != nil {
				if !errors.Is(err, carom.ErrInvalid) || p.Evidence != "" && slices.Contains(p.Methods, "GET") && !slices.Contains(unmakable, name) {
					t.Fatalf("Sample() = %v", err)
				}
				return
			}
			r.Client = sampleClient
			if p.WantsPathSecret() {
				r.Secret = testSecret
			}
			if proof := g.verify(r); !proof.Verified {
				t.Fatalf("Verify(%s) = %+v, want it verified", r.RawQuery, proof)
			}
			v := g.judge(r)
			if v.Event == nil || v.Event.Value != carom.Valued || v.Event.Held != "" {
				t.Fatalf("Judge(%s) = %+v, want a valued event", r.RawQuery, v)
			}
			if e := v.Event; e.YMID != "test-1" && e.UserID != "test-1" && e.TelegramID != "1" {
				t.Errorf("Judge(%s) = %+v, want it known by the id", r.RawQuery, e)
			}
			other, err := g.b.Sample("test-2", g.path, "", sampleTime)
			if err != nil || other.RawQuery == r.RawQuery && !p.NoID {
				t.Errorf("Sample() of another id = %+v, %v", other, err)
			}
		})
	}
}
