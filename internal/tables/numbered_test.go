package tables

import "testing"

func TestNumbered(t *testing.T) {
	for _, tt := range []struct{ name, query, want string }{
		{"in order", `a = ? AND b = ?`, `a = $1 AND b = $2`},
		{"by number", `?2 = '' OR a = ?2 AND b = ?1`, `$2 = '' OR a = $2 AND b = $1`},
		{"behind the highest", `a = ?3 AND b IN (?,?)`, `a = $3 AND b IN ($4,$5)`},
		{"two digits", `?10?`, `$10$11`},
		{"quoted text", `a = 'what?' AND b = 'it''s ?1' AND c = ?`, `a = 'what?' AND b = 'it''s ?1' AND c = $1`},
		{"quoted name", `"a?" = ? AND "b""?" = ?`, `"a?" = $1 AND "b""?" = $2`},
		{"comments", "a = ? -- why?\n AND b = ? /* and ? */ AND c = ?", "a = $1 -- why?\n AND b = $2 /* and ? */ AND c = $3"},
		{"a quote that does not end", `a = ? AND b = '?`, `a = $1 AND b = '?`},
		{"no parameters", `SELECT 1`, `SELECT 1`},
		{"more than ASCII", `a = 'ä?' AND b = ?`, `a = 'ä?' AND b = $1`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for range 2 { // the second time it is remembered
				if got := Numbered(tt.query); got != tt.want {
					t.Errorf("Numbered(%q) = %q, want %q", tt.query, got, tt.want)
				}
			}
		})
	}
}
