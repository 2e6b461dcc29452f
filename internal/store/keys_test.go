package store

import (
	"strings"
	"testing"

	"carom"
)

// A revoked key is revoked at once, also when that cannot be stored.
func TestDeleteKeyOnAFullDisk(t *testing.T) {
	r := newRig()
	s, _ := open(t, t.TempDir(), Options{Clock: r.now})
	k := carom.APIKey{ID: "key_1", Name: "a", Created: noon, Sum: [32]byte{1}}
	if err := s.CreateKey(t.Context(), k); err != nil {
		t.Fatal(err)
	}
	d := delivery(accept(t, s, submission("a", noon, direct(1))), 0)
	r.fill(t, s)
	outcome := attempt(d, carom.Delivered, noon, noon)
	outcome.Answer = strings.Repeat("x", 64<<10)
	record(t, s, d, outcome) // no commit succeeds while this one waits
	wantUnavailable(t, "DeleteKey", s.DeleteKey(t.Context(), k.ID))
	if _, ok := s.KeyBySum(k.Sum); ok {
		t.Error("the key still counts")
	}
	r.free(t, s)
}
