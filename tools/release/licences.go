package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/google/licensecheck"
)

// allowed are the licences that may be linked into the binary: they ask for their text to be passed on (MPL-2.0: also that
// changes to its own files stay open), and for nothing else.
func allowed() []string {
	return []string{"0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0", "ISC", "MIT", "MPL-2.0", "Unlicense", "Zlib"}
}

// known are files that the scanner cannot name as a whole, by module and file, with what a person read in them about code
// that is linked. No licences means that the file is about something else.
func known() map[string][]string {
	return map[string][]string{
		"modernc.org/libc LICENSE-3RD-PARTY.md":   {"BSD-2-Clause", "BSD-3-Clause", "MIT"}, // of Go, musl, go-netdb and nixpkgs
		"modernc.org/memory LICENSE-LOGO":         {},                                      // of a picture
		"modernc.org/sqlite LICENSE-3RD-PARTY.md": {"BSD-3-Clause", "MIT", "public domain"},
		"modernc.org/sqlite LICENSE-SQLITE":       {"public domain"},
	}
}

// wellCovered is the least part of a licence file, in percent, that has to be text of a licence which the scanner knows.
// The rest is the names of who holds the copyright.
const wellCovered = 75

// module is a dependency that is linked into the binary on some system.
type module struct {
	Path, Version, Dir string
	systems            []string // where it is linked, as Go calls them
	licences           []string // SPDX names
	texts              []file
}

// linked returns the modules whose packages are in the binary of any released system, with their licences, by path. The
// first is Go itself, whose runtime and library are in it too. A licence that is not allowed, or not known, is an error.
func linked(ctx context.Context, root string) ([]module, error) {
	found := map[string]*module{}
	for _, system := range []string{"linux", "darwin", "windows"} {
		env := []string{"CGO_ENABLED=0", "GOOS=" + system, "GOARCH=amd64", "GOFLAGS=", "GOWORK=off"}
		list, err := output(ctx, root, env, "go", "list", "-mod=readonly", "-deps", "-json=Module", "./cmd/carom")
		if err != nil {
			return nil, err
		}
		if err := addModules(found, list, system); err != nil {
			return nil, err
		}
	}
	goroot, err := output(ctx, root, nil, "go", "env", "GOROOT")
	if err != nil {
		return nil, err
	}
	all := []module{{Path: "Go's runtime and library", Dir: strings.TrimSpace(string(goroot))}}
	for _, path := range slices.Sorted(maps.Keys(found)) {
		all = append(all, *found[path])
	}
	var faults []error
	for i := range all {
		if err := all[i].read(); err != nil {
			faults = append(faults, err)
		}
	}
	return all, errors.Join(faults...)
}

// addModules reads what go list printed for one system.
func addModules(found map[string]*module, list []byte, system string) error {
	decoder := json.NewDecoder(bytes.NewReader(list))
	for {
		var p struct {
			Module *struct {
				Path, Version, Dir string
				Main               bool
			}
		}
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("go list: %w", err)
		}
		if p.Module == nil || p.Module.Main {
			continue
		}
		m := found[p.Module.Path]
		if m == nil {
			m = &module{Path: p.Module.Path, Version: p.Module.Version, Dir: p.Module.Dir}
			found[m.Path] = m
		}
		if !slices.Contains(m.systems, system) {
			m.systems = append(m.systems, system)
		}
	}
}

// licenceFile matches the names of files that hold a licence; noticeFile those whose text has to come along with it.
var (
	licenceFile = regexp.MustCompile(`(?i)^((un)?licen[cs]e|copying|[a-z]+-licen[cs]e)([-.].*)?$`)
	noticeFile  = regexp.MustCompile(`(?i)^(notice|patents)([-.].*)?$`)
)

// read finds the module's licence files and judges them.
func (m *module) read() error {
	entries, err := os.ReadDir(m.Dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		isLicence := licenceFile.MatchString(e.Name())
		if e.IsDir() || !isLicence && !noticeFile.MatchString(e.Name()) || strings.HasSuffix(e.Name(), ".go") {
			continue
		}
		text, err := os.ReadFile(filepath.Join(m.Dir, e.Name()))
		if err != nil {
			return err
		}
		m.texts = append(m.texts, file{path: e.Name(), data: text})
		if !isLicence {
			continue
		}
		names, isKnown := known()[m.Path+" "+e.Name()]
		if !isKnown {
			if names, err = judge(text); err != nil {
				return fmt.Errorf("%s: %s: %w", m.Path, e.Name(), err)
			}
		}
		m.licences = append(m.licences, names...)
	}
	if len(m.licences) == 0 {
		return fmt.Errorf("%s: no licence file was found in %s", m.Path, m.Dir)
	}
	slices.Sort(m.licences)
	m.licences = slices.Compact(m.licences)
	return nil
}

// judge names the licences of a text, all of which have to be allowed.
func judge(text []byte) ([]string, error) {
	cover := licensecheck.Scan(text)
	if cover.Percent < wellCovered {
		return nil, fmt.Errorf("%.0f %% of it is text of a known licence: read it, and add it to known() if it may be used", cover.Percent)
	}
	var names []string
	for _, match := range cover.Match {
		if match.IsURL {
			continue
		}
		if !slices.Contains(allowed(), match.ID) {
			return nil, fmt.Errorf("the licence %s is not one that may be linked; see allowed()", match.ID)
		}
		names = append(names, match.ID)
	}
	return names, nil
}

// texts joins the licence texts of all modules, to be shipped with the binary.
func texts(modules []module) []byte {
	var b bytes.Buffer
	b.WriteString("The licences of what is linked into carom. Its own is in the file LICENSE.\n")
	for i := range modules {
		m := &modules[i]
		_, _ = fmt.Fprintf(&b, "\n%s\n%s\n", strings.Repeat("=", 80), strings.TrimSpace(m.Path+" "+m.Version+": "+strings.Join(m.licences, ", ")))
		for _, f := range m.texts {
			_, _ = fmt.Fprintf(&b, "\n--- %s\n\n%s\n", f.path, bytes.TrimSpace(bytes.ReplaceAll(f.data, []byte("\r\n"), []byte("\n"))))
		}
	}
	return b.Bytes()
}

// licencesPage writes docs/licences.md, or says that it is out of step.
func licencesPage(ctx context.Context, root string, check bool) error {
	modules, err := linked(ctx, root)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	b.WriteString(`# Licences

<!-- Generated from go.mod and the modules' own files by scripts/licences.sh, which make docs runs. Do not edit. -->

carom itself is under the [Apache License 2.0](../LICENSE). Its binary holds the modules below. Their full texts come with every
archive and package, in the file ` + "`THIRD-PARTY-LICENCES`" + `. ` + "`make check`" + ` fails when a module is missing here, or when its licence is not one of
` + strings.Join(allowed(), ", ") + `.

| module | version | licence | linked |
|---|---|---|---|
`)
	for i := range modules {
		m := &modules[i]
		where := "everywhere"
		if n := len(m.systems); n > 0 && n < 3 {
			where = "on " + strings.Join(m.systems, " and ")
		}
		name := m.Path
		if m.Version != "" {
			name = "`" + name + "`"
		}
		_, _ = fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", name, m.Version, strings.Join(m.licences, ", "), where)
	}
	path := filepath.Join(root, "docs", "licences.md")
	if !check {
		return os.WriteFile(path, b.Bytes(), 0o644)
	}
	have, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(have, b.Bytes()) {
		return errors.New("docs/licences.md is out of step; run make docs and commit it")
	}
	return nil
}
