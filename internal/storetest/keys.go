package storetest

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"carom"
)

func keys(t *testing.T, open Opener) {
	s := begin(t, open, Options{})
	key := func(id, name string) carom.APIKey {
		return carom.APIKey{ID: id, Name: name, App: "app", Scope: carom.ScopeRead, Created: noon, Sum: sha256.Sum256([]byte("text of " + id))}
	}
	b, a := key("key_1", "b"), key("key_2", "a")
	a.App, a.Publisher, a.Scope = "", "acme", carom.ScopePublisher
	for _, k := range []carom.APIKey{b, a} {
		if err := s.CreateKey(t.Context(), k); err != nil {
			t.Fatalf("CreateKey: %v", err)
		}
	}
	same := key("key_1", "another with this id")
	same.Sum[0]++
	sum := key("key_3", "another with this sum")
	sum.Sum = a.Sum
	for _, k := range []carom.APIKey{same, sum} {
		if err := s.CreateKey(t.Context(), k); !errors.Is(err, carom.ErrConflict) {
			t.Errorf("CreateKey of %s: %v, want carom.ErrConflict", k.Name, err)
		}
	}
	check := func(where string, want ...carom.APIKey) {
		t.Helper()
		got, err := s.Keys(t.Context())
		for i := range got {
			got[i].LastUsed = time.Time{} // see keyUses
		}
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("Keys %s (-want +got), %v:\n%s", where, err, diff)
		}
		for _, k := range []carom.APIKey{a, b, same} {
			found, ok := s.KeyBySum(k.Sum)
			wanted := false
			for _, w := range want {
				wanted = wanted || w.Sum == k.Sum
			}
			found.LastUsed = time.Time{}
			if ok != wanted || ok && found != k {
				t.Errorf("KeyBySum of %s %s = %+v, %v, want found %v", k.Name, where, found, ok, wanted)
			}
		}
	}
	check("at first", a, b)
	if text, err := json.Marshal(a); err != nil || strings.Contains(string(text), "um") {
		t.Errorf("JSON of a key, %v, shows its sum: %s", err, text)
	}
	s.restart(t)
	check("after reopening", a, b)
	if err := s.DeleteKey(t.Context(), a.ID); err != nil {
		t.Errorf("DeleteKey: %v", err)
	}
	if err := s.DeleteKey(t.Context(), a.ID); !errors.Is(err, carom.ErrNotFound) {
		t.Errorf("DeleteKey twice: %v, want carom.ErrNotFound", err)
	}
	check("after deleting one", b)
	s.restart(t)
	check("after reopening again", b)
}
