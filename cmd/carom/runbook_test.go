package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"carom/internal/api"
	"carom/internal/objects"

	"github.com/google/go-cmp/cmp"
)

// TestEveryKindHasItsPage: what the status and the alerts name leads to a page, every page is of a kind, and the list of the
// pages is whole.
func TestEveryKindHasItsPage(t *testing.T) {
	var want, got []string
	for _, kind := range api.Kinds() {
		want = append(want, string(kind)+".md")
	}
	dir := filepath.Join(root, "docs", "runbook")
	index, err := os.ReadFile(filepath.Join(dir, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if f.Name() == "README.md" {
			continue
		}
		got = append(got, f.Name())
		if !strings.Contains(string(index), "("+f.Name()+")") {
			t.Errorf("docs/runbook/README.md does not list %s", f.Name())
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("pages in docs/runbook (-want +got):\n%s", diff)
	}
}

// TestRunbookPages: each page has the four parts, its commands and flags are there, and its objects can be applied.
func TestRunbookPages(t *testing.T) {
	for _, kind := range api.Kinds() {
		path := filepath.Join(root, "docs", "runbook", string(kind)+".md")
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		page, at := string(data), 0
		if !strings.HasPrefix(page, "# "+string(kind)+": ") {
			t.Errorf("%s does not begin with its kind", path)
		}
		for _, part := range []string{"\n## What it means for money\n", "\n## How to see it\n", "\n## What to do\n", "\n## When it is over\n"} {
			i := strings.Index(page, part)
			if i < at {
				t.Errorf("%s: the part %q is missing, or not in its place", path, strings.TrimSpace(part))
			}
			at = i
		}
		for _, block := range blocks(page, "sh") {
			for line := range strings.Lines(block) {
				args := shellWords(strings.TrimSpace(line))
				if len(args) == 0 || args[0] != "carom" {
					continue
				}
				c := &cli{environ: func() []string { return nil }}
				cmd, rest, err := c.root().Find(args[1:])
				if err == nil {
					err = cmd.ParseFlags(rest)
				}
				if err == nil {
					err = cmd.ValidateArgs(cmd.Flags().Args())
				}
				if err != nil {
					t.Errorf("%s: %q: %v", path, strings.TrimSpace(line), err)
				}
			}
		}
		for _, text := range blocks(page, "yaml") {
			if _, err := objects.Parse(path, []byte(text), objects.Env{}); err != nil {
				t.Errorf("%s: %v in\n%s", path, err, text)
			}
		}
	}
}
