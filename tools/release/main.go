// Command release makes what people install: archives for each system with their checksums, the Debian packages, and the
// list of licences of what is linked in. It is a module of its own, so that none of its dependencies reach go.mod.
//
//	release build -version v1.2.3 -epoch 1767225600    writes dist/
//	release licences                                  writes docs/licences.md
//	release licences -check                           fails when that page is out of step
//
// The same commit, built by the same version of Go, gives the same bytes in every folder and on every machine: nothing of
// the machine, its clock or its paths is in what is written. docs/decisions/0005-packaging.md says why it is a program.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	if len(args) == 0 {
		return errors.New("say what to do: build or licences")
	}
	flags := flag.NewFlagSet("release "+args[0], flag.ContinueOnError)
	root := flags.String("root", ".", "the folder of the repository")
	switch args[0] {
	case "build":
		version := flags.String("version", "", "what the binary says it is, such as v1.2.3")
		epoch := flags.Int64("epoch", 0, "the time that all files get, in seconds since 1970: that of the commit")
		dist := flags.String("out", "dist", "the folder to write to, below the repository's; it is emptied first")
		only := flags.String("targets", "", "systems to build for, such as linux/amd64,windows/amd64; empty for all")
		if err := flags.Parse(args[1:]); err != nil {
			return err
		}
		targets, err := parseTargets(*only)
		if err != nil {
			return err
		}
		if *version == "" || *epoch <= 0 {
			return errors.New("build needs -version and -epoch: scripts/release.sh takes them from git")
		}
		r := release{root: *root, dist: filepath.Join(*root, *dist), version: *version, at: time.Unix(*epoch, 0).UTC(), out: out}
		return r.build(ctx, targets)
	case "licences":
		check := flags.Bool("check", false, "compare with docs/licences.md instead of writing it")
		if err := flags.Parse(args[1:]); err != nil {
			return err
		}
		return licencesPage(ctx, *root, *check)
	}
	return fmt.Errorf("%q is neither build nor licences", args[0])
}

// target is a system that carom is released for.
type target struct{ os, arch string }

func (t target) String() string { return t.os + "/" + t.arch }

// released are the systems with archives; those on Linux have a Debian package too.
func released() []target {
	return []target{{"linux", "amd64"}, {"linux", "arm64"}, {"darwin", "arm64"}, {"darwin", "amd64"}, {"windows", "amd64"}}
}

// parseTargets reads a list such as linux/amd64,darwin/arm64. An empty list means all.
func parseTargets(list string) ([]target, error) {
	if list == "" {
		return released(), nil
	}
	var out []target
	for word := range strings.SplitSeq(list, ",") {
		system, arch, ok := strings.Cut(word, "/")
		if !ok || system == "" || arch == "" {
			return nil, fmt.Errorf("-targets: %q is not a system and a processor such as linux/amd64", word)
		}
		out = append(out, target{system, arch})
	}
	return out, nil
}
