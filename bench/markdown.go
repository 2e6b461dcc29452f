package main

import (
	"fmt"
	"os"
	"strings"
)

// The table of figures stands between these lines of docs/performance.md.
const (
	resultsBegin = "<!-- results begin: written by `go run ./bench -markdown docs/performance.md` -->"
	resultsEnd   = "<!-- results end -->"
)

// updateMarkdown writes the figures of the report at from into the document at path.
func updateMarkdown(path, from string) error {
	if _, err := os.Stat(from); err != nil {
		return fmt.Errorf("there are no figures to write: run `make bench` first: %w", err)
	}
	rep, err := readReport(from)
	if err != nil {
		return err
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	before, rest, ok1 := strings.Cut(string(b), resultsBegin)
	_, after, ok2 := strings.Cut(rest, resultsEnd)
	if !ok1 || !ok2 {
		return fmt.Errorf("%s has no place for the figures: it needs the lines\n%s\n%s", path, resultsBegin, resultsEnd)
	}
	return os.WriteFile(path, []byte(before+resultsBegin+"\n\n"+rep.markdown()+"\n"+resultsEnd+after), 0o644)
}

// markdown writes the table of figures that were measured, and where.
func (r *report) markdown() string {
	var b strings.Builder
	m := r.Machine
	fmt.Fprintf(&b, "Measured %s: %d cores (%s), %s, data folder on %s, %s.\n\n", m.Date, m.Cores, m.CPU, m.Kernel, m.FileSystem, m.Go)
	b.WriteString("| figure | value | target | | meaning |\n|---|---:|---|---|---|\n")
	for _, row := range r.rows() {
		if row.value != "not measured" {
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", row.key, row.value, row.target, row.verdict, row.label)
		}
	}
	for _, name := range partNames {
		if p := r.Parts[name]; p != nil {
			trial := ""
			if p.Quick {
				trial = " A trial run, which proves nothing."
			}
			fmt.Fprintf(&b, "\nPart `%s`: %s, %s.%s", name, p.At, p.Carom, trial)
			for _, n := range p.Notes {
				fmt.Fprintf(&b, " Note: %s.", n)
			}
		}
	}
	b.WriteString("\n")
	return b.String()
}
