package examples_test

import (
	"flag"
	"go/format"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the code into docs/backends.md anew")

// What stands in an example for the tests alone: marked blocks with the empty lines before them, and marked lines.
var (
	testBlock = regexp.MustCompile(`(?ms)\n+^(?://|#) tests: begin$.*?^(?://|#) tests: end$`)
	testLine  = regexp.MustCompile(`(?m)^[^\n]*(?://|#) only for the tests\n`)
)

// TestDocs checks that docs/backends.md shows the code of the examples as it is, but for what only the tests need.
func TestDocs(t *testing.T) {
	const page = "../docs/backends.md"
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	want := string(text)
	for file, language := range map[string]string{
		"go/main.go": "go", "node/app.js": "js", "php/index.php": "php", "python/app.py": "python",
	} {
		source, err := os.ReadFile(filepath.FromSlash(file))
		if err != nil {
			t.Fatal(err)
		}
		shown := testLine.ReplaceAllString(testBlock.ReplaceAllString(string(source), ""), "")
		shown = strings.TrimSpace(shown) + "\n"
		if strings.Contains(strings.ToLower(shown), "crash_at") || strings.Contains(strings.ToLower(shown), "crashat") {
			t.Errorf("%s: a line for the tests is not marked as one, and would be shown in %s", file, page)
		}
		if language == "go" {
			if formatted, err := format.Source([]byte(shown)); err != nil || string(formatted) != shown {
				t.Errorf("%s: what remains without the lines for the tests is not formatted Go: %v", file, err)
			}
		}
		begin := "<!-- examples/" + file + " begin: written by `go test ./examples -update` -->\n"
		end := "<!-- examples/" + file + " end -->\n"
		before, rest, found := strings.Cut(want, begin)
		_, after, ended := strings.Cut(rest, end)
		if !found || !ended {
			t.Errorf("%s has no place for %s: put these lines there:\n%s%s", page, file, begin, end)
			continue
		}
		want = before + begin + "```" + language + "\n" + shown + "```\n" + end + after
	}
	if *update {
		if err := os.WriteFile(page, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, string(text)); diff != "" {
		t.Errorf("%s (-want +got), `go test ./examples -update` writes it anew:\n%s", page, diff)
	}
}
