package tables

import (
	"errors"
	"testing"

	"carom"
)

func TestMentions(t *testing.T) {
	for text, want := range map[string]bool{"user=42": true, "42": true, "42&x": true, "[42]": true, "142": false, "420": false, "x42": false, "é42": false, "": false, "4 2": false} {
		if got := mentions(text, "42"); got != want {
			t.Errorf("mentions(%q, 42) = %v, want %v", text, got, want)
		}
	}
}

func TestEraseSamples(t *testing.T) {
	onEach(t, func(t *testing.T, p *place) {
		u := NewUnverified()
		for _, at := range []struct{ app, source, query string }{
			{"app", "ads", "ymid=42"}, {"app", "ads", "ymid=421"}, {"", "", "user=42"}, {"other", "ads", "ymid=42"},
		} {
			u.Add(carom.Unverified{App: at.app, Source: at.source, Received: carom.Received{At: noon, RawQuery: at.query}})
		}
		entry := carom.ShadowEntry{App: "app", Source: "ads", At: noon, N: 1, Judge: func(_, _ []byte) carom.ShadowFinding {
			return carom.ShadowFinding{Kinds: []carom.ShadowKind{carom.ShadowWords}, Example: carom.ShadowExample{At: noon, Judged: "42 is granted"}}
		}}
		if _, err := p.Compare(t.Context(), []carom.ShadowEntry{entry}); err != nil {
			t.Fatal(err)
		}
		erased, again := 0, 0
		if err := p.write(t.Context(), func(tx Tx) error {
			err := u.Write(tx, NewCounts(), noon)
			var err1, err2 error
			erased, err1 = EraseSamples(tx, "app", "42")
			again, err2 = EraseSamples(tx, "app", "42")
			return errors.Join(err, err1, err2)
		}); err != nil || erased != 3 || again != 0 {
			t.Errorf("EraseSamples = %d, then %d, %v, want 3, then none", erased, again, err)
		}
		if left, err := p.UnverifiedSample(t.Context(), "", "", 10); err != nil || len(left) != 2 {
			t.Errorf("%d samples are left, %v, want those of another number and of another app", len(left), err)
		}
	})
}
