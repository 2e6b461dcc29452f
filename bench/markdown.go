package main

import (
	"fmt"
	"os"
	"strings"
)

// updateMarkdown writes the figures of the report at from into the suite's place in the document at path.
func updateMarkdown(s suite, path, from string) error {
	if _, err := os.Stat(from); err != nil {
		return fmt.Errorf("there are no figures to write: run `make %s` first: %w", s.target, err)
	}
	rep, err := readReport(s, from)
	if err != nil {
		return err
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	before, rest, ok1 := strings.Cut(string(b), s.begin)
	_, after, ok2 := strings.Cut(rest, s.end)
	if !ok1 || !ok2 {
		return fmt.Errorf("%s has no place for the figures: it needs the lines\n%s\n%s", path, s.begin, s.end)
	}
	return os.WriteFile(path, []byte(before+s.begin+"\n\n"+rep.markdown()+"\n"+s.end+after), 0o644)
}

// markdown writes the table of figures that were measured, and where.
func (r *report) markdown() string {
	var b strings.Builder
	m := r.Machine
	fmt.Fprintf(&b, "Measured %s: %d cores (%s), %s, data on %s, %s.\n\n", m.Date, m.Cores, m.CPU, m.Kernel, m.FileSystem, m.Go)
	b.WriteString("| figure | value | target | | meaning |\n|---|---:|---|---|---|\n")
	for _, row := range r.rows() {
		if row.value != "not measured" {
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", row.key, row.value, row.target, row.verdict, row.label)
		}
	}
	for _, name := range r.suite.names() {
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
