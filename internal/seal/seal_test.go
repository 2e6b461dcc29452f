package seal_test

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"

	"carom"
	"carom/internal/seal"
)

const (
	oldKey = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
	newKey = "202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f"
)

func ring(t *testing.T, text string) *seal.Ring {
	t.Helper()
	r, err := seal.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestParse(t *testing.T) {
	raw, err := hex.DecodeString(newKey)
	if err != nil {
		t.Fatal(err)
	}
	id := ring(t, newKey).ID()
	both := id + "," + ring(t, oldKey).ID()
	for _, c := range []struct{ name, text, want string }{
		{"nothing", "", ""},
		{"only comments", "# none yet\n\n  # nor here\n", ""},
		{"hexadecimal", newKey, id},
		{"hexadecimal in capitals", strings.ToUpper(newKey), id},
		{"base64", base64.StdEncoding.EncodeToString(raw), id},
		{"base64 for URLs, not padded", base64.RawURLEncoding.EncodeToString(raw), id},
		{"two by a comma", newKey + ", " + oldKey, both},
		{"two lines of a file", "# since May\r\n" + newKey + "\r\n# before\r\n" + oldKey + "\r\n", both},
		{"the same twice", newKey + "\n" + newKey, id},
	} {
		if got := ring(t, c.text).String(); got != c.want {
			t.Errorf("%s: keys %q, want %q", c.name, got, c.want)
		}
	}
	for _, text := range []string{"CHANGE", newKey[2:], newKey + "00", oldKey + " secret", strings.Repeat("x", 64), "é" + newKey[2:]} {
		r, err := seal.Parse(text)
		if !errors.Is(err, carom.ErrInvalid) || !strings.Contains(err.Error(), "carom keys secret") || strings.Contains(err.Error(), text) {
			t.Errorf("Parse(%q) = %v, %v; want carom.ErrInvalid with the fix, and nothing of the text", text, r, err)
		}
	}
	if made := seal.NewKey(); ring(t, made).Text() != made+"\n" || made == seal.NewKey() {
		t.Errorf("NewKey() = %q, want a new key each time that Parse reads", made)
	}
}

func TestSealAndOpen(t *testing.T) {
	old, both := ring(t, oldKey), ring(t, newKey+","+oldKey)
	plain := []byte(`{"name":"shop","bot_token":"123:secret"}`)
	sealed := old.Seal("objects/app/shop", plain)
	if strings.Contains(string(sealed), "secret") || string(sealed) == string(old.Seal("objects/app/shop", plain)) {
		t.Errorf("sealed twice: %s: want other bytes each time, and nothing of what is in it", sealed)
	}
	for name, r := range map[string]*seal.Ring{"the key itself": old, "a newer key in front": both, "added behind": ring(t, newKey).With(old)} {
		if got, err := r.Open("objects/app/shop", sealed); err != nil || string(got) != string(plain) {
			t.Errorf("%s: Open = %q, %v", name, got, err)
		}
	}
	if id, is := seal.SealedBy(both.Seal("p", plain)); !is || id != both.ID() || id == old.ID() {
		t.Errorf("sealed by %q, want the newest key %q", id, both.ID())
	}
	for name, r := range map[string]*seal.Ring{"no key": nil, "another key": ring(t, newKey)} {
		var unknown *seal.UnknownKeyError
		if _, err := r.Open("objects/app/shop", sealed); !errors.As(err, &unknown) || unknown.ID != old.ID() || !errors.Is(err, carom.ErrInvalid) || r.Opens(old.ID()) {
			t.Errorf("%s: Open: %v, want the id of the key that is missing", name, err)
		}
	}
	flipped := []byte(string(sealed))
	flipped[len(flipped)-3] ^= 1
	for name, c := range map[string]struct {
		place  string
		stored []byte
	}{
		"the place of another": {"objects/app/other", sealed},
		"changed":              {"objects/app/shop", flipped},
		"cut off":              {"objects/app/shop", sealed[:len(sealed)-8]},
		"without an end":       {"objects/app/shop", sealed[:len("sealed:1:")+9]},
	} {
		if got, err := old.Open(c.place, c.stored); !errors.Is(err, carom.ErrInvalid) {
			t.Errorf("%s: Open = %q, %v, want carom.ErrInvalid", name, got, err)
		}
	}
}

// A folder of an earlier release, and a database without the setting, hold things as they are.
func TestWhatIsNotSealed(t *testing.T) {
	var none *seal.Ring
	for _, stored := range []string{"", `{"name":"sealed:1:00000000:x"}`, "sealed", "sealed:1:"} {
		for _, r := range []*seal.Ring{none, ring(t, oldKey)} {
			if got, err := r.Open("p", []byte(stored)); err != nil || string(got) != stored {
				t.Errorf("Open(%q) = %q, %v, want it as it is", stored, got, err)
			}
		}
	}
	if got := none.Seal("p", []byte("x")); string(got) != "x" || none.ID() != "" || none.Text() != "" || none.With(nil) != nil || !none.Opens("") {
		t.Errorf("without keys Seal = %q", got)
	}
}

// A ring that lands in a log or an error tells no key.
func TestARingPrintsNoKey(t *testing.T) {
	r := ring(t, newKey)
	holder := struct{ Keys *seal.Ring }{r}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		for _, v := range []any{r, *r, holder} {
			if text := fmt.Sprintf(verb, v); strings.Contains(text, newKey[:16]) || strings.Contains(text, "32 33 34") || strings.Contains(text, "32, 33, 34") {
				t.Errorf("%s prints %s", verb, text)
			}
		}
	}
}
