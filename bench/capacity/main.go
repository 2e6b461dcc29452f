// Command capacity says what an installation of carom takes for 10,000, 100,000 and 1,000,000 events a second: a small model,
// fitted to the figures of the benchmark, whose every constant is named with its source, a measurement or an assumption.
// docs/scale.md explains it. It measures nothing, and what it says of many machines nobody has tried.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
)

// rates are those that the table is for, in events per second.
var rates = []float64{10_000, 100_000, 1_000_000}

func main() {
	err := run(os.Args[1:], os.Stdout, os.Stderr)
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "capacity:", err)
		os.Exit(1)
	}
}

// run is the command. Faults of flags and help are written to stderr.
func run(args []string, stdout, stderr io.Writer) error {
	var a assumptions
	f := flag.NewFlagSet("capacity", flag.ContinueOnError)
	f.SetOutput(stderr)
	dir := f.String("dir", "bench/out", "folder with the figures, as the benchmark writes them: "+postgresFile+" and "+folderFile)
	keep := f.String("keep", "", "write the figures that the model uses into this folder, too")
	asJSON := f.Bool("json", false, "write JSON")
	page := f.String("markdown", "", "write the tables into their place in this file, and print nothing")
	a.bind(f)
	if err := f.Parse(args); err != nil {
		return err
	}
	if f.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q: everything is a flag, see -help", f.Arg(0))
	}
	if err := a.check(); err != nil {
		return err
	}
	figs, err := readFigures(*dir)
	if err != nil {
		return err
	}
	if *keep != "" {
		if err := figs.write(*keep); err != nil {
			return err
		}
	}
	r := newReport(figs, a)
	switch {
	case *page != "":
		return updatePage(*page, r)
	case *asJSON:
		e := json.NewEncoder(stdout)
		e.SetIndent("", "  ")
		return e.Encode(r)
	}
	_, err = io.WriteString(stdout, r.text())
	return err
}

// The lines of docs/scale.md between which the tables stand.
const (
	begin = "<!-- capacity begin: written by `make capacity` -->"
	end   = "<!-- capacity end -->"
)

// updatePage writes the tables into their place in a page.
func updatePage(path string, r report) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	before, rest, ok1 := strings.Cut(string(b), begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok1 || !ok2 {
		return fmt.Errorf("%s has no place for the tables: it needs the lines\n%s\n%s", path, begin, end)
	}
	return os.WriteFile(path, []byte(before+begin+"\n\n"+r.markdown()+"\n"+end+after), 0o644)
}
