package tables

import "testing"

func TestMentions(t *testing.T) {
	for text, want := range map[string]bool{"user=42": true, "42": true, "42&x": true, "[42]": true, "142": false, "420": false, "x42": false, "é42": false, "": false, "4 2": false} {
		if got := mentions(text, "42"); got != want {
			t.Errorf("mentions(%q, 42) = %v, want %v", text, got, want)
		}
	}
}
