package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"carom/internal/route"

	"github.com/google/go-cmp/cmp"
)

const root = "../.."

// blocks returns the fenced blocks of a language in a page.
func blocks(page, language string) []string {
	var out []string
	for _, m := range regexp.MustCompile("(?ms)^```"+language+"\n(.*?)^```").FindAllStringSubmatch(page, -1) {
		out = append(out, m[1])
	}
	return out
}

// TestMacrosTable keeps the table of macros in docs/endpoints.md in step with the template language.
func TestMacrosTable(t *testing.T) {
	const (
		begin = "<!-- macros begin: written by `go test ./cmd/carom -update` -->\n"
		end   = "<!-- macros end -->"
	)
	var table strings.Builder
	table.WriteString("| macro | value | such as |\n|---|---|---|\n")
	for _, m := range route.Macros() {
		sample := ""
		if m.Sample != "" {
			sample = "`" + m.Sample + "`"
		}
		_, _ = fmt.Fprintf(&table, "| `{%s}` | %s | %s |\n", m.Name, m.Meaning, sample)
	}
	path := filepath.Join(root, "docs", "endpoints.md")
	page := allPages(t)["docs/endpoints.md"]
	before, rest, ok := strings.Cut(page, begin)
	got, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no table of macros", path)
	}
	if *update {
		if err := os.WriteFile(path, []byte(before+begin+table.String()+end+after), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(table.String(), got); diff != "" {
		t.Errorf("%s (-want +got), -update writes it anew:\n%s", path, diff)
	}
}

// TestDocumentedMetrics: docs/operations.md lists the metrics that there are, and no others.
func TestDocumentedMetrics(t *testing.T) {
	names := map[string]bool{}
	literal := regexp.MustCompile(`"(carom_[a-z]+_[a-z_]+)"`)
	if err := filepath.WalkDir(filepath.Join(root, "internal"), func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, m := range literal.FindAllStringSubmatch(string(text), -1) {
			names[m[1]] = true
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	var want []string
	for name := range names {
		want = append(want, name)
	}
	slices.Sort(want)
	var got []string
	for _, m := range regexp.MustCompile("(?m)`(carom_[a-z]+_[a-z_]+)").FindAllStringSubmatch(allPages(t)["docs/operations.md"], -1) {
		got = append(got, m[1])
	}
	slices.Sort(got)
	if diff := cmp.Diff(want, slices.Compact(got)); diff != "" {
		t.Errorf("metrics in docs/operations.md (-want +got):\n%s", diff)
	}
}

// TestPackagesAreDescribed: every package of ours has a row in ARCHITECTURE.md, and every row has its package.
func TestPackagesAreDescribed(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "ARCHITECTURE.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), "\n## Packages\n")
	table, _, _ = strings.Cut(table, "\n## ")
	described := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z/]+)`").FindAllStringSubmatch(table, -1) {
		described[m[1]] = true
	}
	for _, pattern := range []string{"receiver", "cmd/*", "internal/*", "bench", "bench/*", "sdk", "web", "tools"} {
		dirs, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, dir := range dirs {
			if files, err := filepath.Glob(filepath.Join(dir, "*.go")); err != nil || len(files) == 0 {
				continue
			}
			name, err := filepath.Rel(root, dir)
			if err != nil {
				t.Fatal(err)
			}
			if name = filepath.ToSlash(name); !described[name] {
				t.Errorf("ARCHITECTURE.md has no row for the package %s: add one to its table", name)
			}
			delete(described, name)
		}
	}
	delete(described, "carom")
	for name := range described {
		t.Errorf("ARCHITECTURE.md describes the package %s, which is not there", name)
	}
}
