package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"carom/internal/config"
	"carom/internal/network"
	"carom/internal/objects"
)

// sample is a fenced block of a page.
type sample struct {
	page string // its path in the repository, "docs/api.md"
	line int    // of the fence
	kind string // what stands behind the fence: the language, and a word more where that is not enough
	text string // without the indentation of the fence
	from string // the comment that begins the part of the page that the block is in: it says which test writes that
}

func (s sample) String() string { return fmt.Sprintf("%s:%d", s.page, s.line) }

var fence = regexp.MustCompile("^( *)(```+|~~~+) *(.*)$")

// allPages returns every page of the repository that is for readers, by its path.
func allPages(t *testing.T) map[string]string {
	t.Helper()
	var paths []string
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/*/*.md"} {
		found, err := filepath.Glob(filepath.Join(root, filepath.FromSlash(pattern)))
		if err != nil {
			t.Fatal(err)
		}
		paths = append(paths, found...)
	}
	out := map[string]string{}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			t.Fatal(err)
		}
		out[filepath.ToSlash(name)] = string(text)
	}
	return out
}

// samples returns every fenced block of every page, page by page.
func samples(t *testing.T) []sample {
	t.Helper()
	all := allPages(t)
	names := make([]string, 0, len(all))
	for name := range all {
		names = append(names, name)
	}
	slices.Sort(names)
	var out []sample
	for _, name := range names {
		var open *sample
		var indent, ticks, part string
		for n, line := range strings.Split(all[name], "\n") {
			m := fence.FindStringSubmatch(line)
			switch {
			case open == nil && m != nil:
				indent, ticks = m[1], m[2]
				open = &sample{page: name, line: n + 1, kind: strings.TrimSpace(m[3]), from: part}
			case open != nil && m != nil && m[2] == ticks && m[3] == "":
				out = append(out, *open)
				open = nil
			case open != nil:
				open.text += strings.TrimPrefix(line, indent) + "\n"
			}
			switch {
			case open != nil || !strings.HasPrefix(line, "<!-- "):
			case strings.HasSuffix(line, " end -->") || strings.HasSuffix(line, ": end -->"):
				part = ""
			case strings.Contains(line, " begin") || strings.Contains(line, ": begin"):
				part = line
			}
		}
		if open != nil {
			t.Errorf("%s: the block has no end", *open)
		}
	}
	return out
}

// TestSamples: every fenced block of every page is checked by something, and this test says by what. A block of a kind that
// nobody has met fails, as does one of text that no test compares: what nobody runs is wrong before long.
func TestSamples(t *testing.T) {
	all := samples(t)
	for i, s := range all {
		how, err := s.check(t, all[:i])
		if err != nil {
			t.Errorf("%s: %v in\n%s", s, err, s.text)
			continue
		}
		t.Logf("%-36s %-14s %s", s, s.kind, how)
	}
}

// written is a comment that names the test which writes what follows it.
var written = regexp.MustCompile("go test \\./([a-z/]+) (?:-run [A-Za-z]+ )?-update|`npm run build` in ([a-z]+)")

// check checks a sample as far as that goes without a server, and says how it is checked.
func (s sample) check(t *testing.T, before []sample) (how string, err error) {
	if m := written.FindStringSubmatch(s.from); m != nil {
		return "written by " + m[0], exists(m[1] + m[2])
	}
	if s.page == "docs/install.md" && s.from != "" {
		return "compared on a bare machine by make install-test", exists("scripts/install-test.sh")
	}
	switch s.kind {
	case "yaml":
		return checkYAML(s)
	case "yaml settings":
		return "read as settings", checkSettings(t, s.text)
	case "json":
		dec := json.NewDecoder(strings.NewReader(s.text))
		for err = error(nil); err == nil; {
			var v any
			err = dec.Decode(&v)
		}
		if errors.Is(err, io.EOF) {
			err = nil
		}
		return "parsed", err
	case "sh":
		return s.checkShell()
	case "console":
		how, err := s.checkShell()
		if err != nil || strings.HasPrefix(s.text, "$ curl") {
			return how, err
		}
		return s.compared()
	case "js", "html", "php", "python", "go":
		return checkCode(s)
	case "nginx":
		return "run by TestNginxSamples", nil
	case "", "text":
		return s.checkText(before)
	}
	for _, e := range elsewhere {
		if e.kind == s.kind && e.page == s.page {
			return "such a file is read by " + e.test + " in " + e.file, testExists(e.file, e.test)
		}
	}
	return "", fmt.Errorf("nothing checks a block of the kind %q: write what does into check", s.kind)
}

// elsewhere are kinds of blocks that a test of another package reads.
var elsewhere = []struct{ kind, page, file, test string }{
	{"yml", "docs/backup.md", "internal/backup/litestream_test.go", "TestLitestream"},
	{"csv", "docs/import.md", "cmd/carom/import_test.go", "TestImportTranscript"},
	{"yml", "docs/reconcile.md", "internal/reconcile/read_test.go", "TestColumnMaps"},
	{"sql", "docs/postgresql.md", "internal/postgres/page_test.go", "TestSQLOfThePage"},
}

func checkYAML(s sample) (string, error) {
	first, _, _ := strings.Cut(strings.TrimLeft(regexp.MustCompile(`(?m)^#.*\n`).ReplaceAllString(s.text, ""), "\n"), ":")
	switch first {
	case "apps", "publishers", "creatives", "dialects":
		secrets := func(string) ([]byte, error) { return []byte("00112233445566778899aabbccddeeff"), nil }
		_, err := objects.Parse(s.page, []byte(s.text), objects.Env{ReadFile: secrets})
		return "read as an objects file", err
	case "title":
		_, err := network.LoadProfile("sample", s.page, []byte(s.text))
		return "read as a profile", err
	}
	return "", fmt.Errorf("a YAML block that begins with %q is neither an objects file nor a profile; mark settings as yaml settings", first)
}

// checkSettings reads a block as the settings file of the process.
func checkSettings(t *testing.T, text string) error {
	t.Helper()
	dir := t.TempDir()
	// The files that a sample names are not on this machine.
	text = regexp.MustCompile(`/etc/carom/[a-z.-]+`).ReplaceAllStringFunc(text, func(name string) string {
		file := filepath.Join(dir, filepath.Base(name))
		text := "123456:a-secret-of-a-sample"
		if strings.Contains(name, "url") {
			text = "https://chat.example.com/incoming/a-secret-of-a-sample"
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	})
	file := filepath.Join(dir, "settings.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return err
	}
	_, err := config.Load(nil, func() []string { return []string{"CAROM_SETTINGS=" + file} })
	return err
}

// exists says whether a folder of the repository is there.
func exists(dir string) error {
	_, err := os.Stat(filepath.Join(root, filepath.FromSlash(dir)))
	return err
}

// urlTemplate is a line that is nothing but a URL.
var urlTemplate = regexp.MustCompile(`^https://\S+\n$`)

// drawn are the characters of diagrams.
const drawn = "─│►▼┌"

// outputs are blocks of text that are compared, or made, by a test that is named here. Each begins with begins.
var outputs = []struct{ page, begins, file, test string }{
	{"docs/check-endpoints.md", "game/backend", "cmd/carom/check_test.go", "TestDocumentedCheckOfEndpoints"},
	{"docs/rewards.md", "?id=rwd_", "internal/route/reward_test.go", "TestDocumentedReward"},
	{"docs/shadow.md", "game/ads (shadow) since", "cmd/carom/shadow_test.go", "TestShadowText"},
	{"docs/sources.md", "VERIFIED (signed).", "cmd/carom/samples_run_test.go", "TestSamplesOfCommands"},
	{"docs/start-network.md", "GET /postback?", "cmd/carom/samples_run_test.go", "TestSamplesOfHTTP"},
	{"docs/start-publisher.md", "received ", "cmd/carom/samples_run_test.go", "TestSamplesOfStartPublisher"},
	{"docs/start-publisher.md", "$ bin/carom show", "cmd/carom/samples_run_test.go", "TestSamplesOfStartPublisher"},
	{"docs/operations.md", "$ carom status", "cmd/carom/samples_run_test.go", "TestStatusTranscript"},
	{"docs/operations.md", "level=INFO", "cmd/carom/samples_run_test.go", "TestSamplesOfCommands"},
}

// checkText checks a block that is in no language: a command, a drawing, a template, or what a test compares.
func (s sample) checkText(before []sample) (string, error) {
	first, _, _ := strings.Cut(s.text, "\n")
	program, _, _ := strings.Cut(first, " ")
	switch {
	case s.page == "docs/commands.md":
		return "written by go test ./cmd/carom -update", nil
	case program == "carom" || program == "make":
		return s.checkShell()
	case strings.ContainsAny(s.text, drawn):
		return "a drawing", nil
	case strings.HasPrefix(first, "https://HOST/in/APP/SOURCE"):
		return "compared with the profile", s.checkPasted()
	case urlTemplate.MatchString(s.text):
		yaml := fmt.Sprintf("apps: {game: {sources: {monetag: {profile: monetag}}, endpoints: {backend: {url: %q, signing_secret: a text of 16 bytes or more}}}}", strings.TrimSpace(s.text))
		_, err := objects.Parse(s.page, []byte(yaml), objects.Env{})
		return "read as the URL of an endpoint", err
	case strings.HasPrefix(first, "carom.yaml:"):
		return "compared with the error", s.checkError(before)
	}
	return s.compared()
}

// compared says which test compares a block, or why none does.
func (s sample) compared() (string, error) {
	for _, o := range outputs {
		if o.page == s.page && strings.HasPrefix(s.text, o.begins) {
			return "compared by " + o.test + " in " + o.file, testExists(o.file, o.test)
		}
	}
	for _, r := range reasons {
		if r.page == s.page && strings.HasPrefix(s.text, r.begins) {
			return "not run: " + r.why, nil
		}
	}
	return "", errors.New("no test compares this text: mark its language, or name its test in outputs or the reason in reasons")
}

// reasons are the blocks of text that nothing compares, with the reason.
var reasons = []struct{ page, begins, why string }{
	{"docs/alerts.md", "email     sent", "the times and the words of other servers; internal/alert tests the lines"},
	{"docs/alerts.md", "Subject: ", "what an e-mail looks like; internal/alert tests the text with golden files"},
	{"docs/install.md", "", "comes from a bare machine: the test of the packages compares it"},
	{"docs/people.md", "Nobody can sign in", "the link is another each time; TestFirstLinkIsPrinted looks at it"},
	{"docs/backup.md", "", "what backup and restore print, with times and sizes of a machine; cmd/carom/backup_test.go tests the words"},
}

// checkPasted compares the template that a network's page says to enter with the one that its profile has.
func (s sample) checkPasted() error {
	name := strings.TrimSuffix(filepath.Base(s.page), ".md")
	r := networksShow(name)
	_, query, _ := strings.Cut(strings.TrimSpace(s.text), "?")
	if !strings.Contains(r, "?"+query) {
		return fmt.Errorf("the profile %s says otherwise:\n%s", name, r)
	}
	return nil
}

// networksShow is what `carom networks show` prints for a profile.
func networksShow(name string) string {
	var out strings.Builder
	c := &cli{in: strings.NewReader(""), out: &out, errOut: &out, now: noon, environ: func() []string { return nil }}
	top := c.root()
	top.SetArgs([]string{"networks", "show", name})
	top.SetOut(&out)
	top.SetErr(&out)
	_ = top.Execute() // what went wrong is in out
	return out.String()
}

// checkError makes the fault that a page shows the error of: the first objects file of the page with the macro spelled wrong.
func (s sample) checkError(before []sample) error {
	want := strings.TrimSpace(s.text)
	m := regexp.MustCompile(`unknown macro (\{[a-z_]+\}): did you mean (\{[a-z_]+\})\?`).FindStringSubmatch(want)
	if m == nil {
		return errors.New("only errors of unknown macros are known here")
	}
	for _, b := range before {
		if b.page != s.page || b.kind != "yaml" {
			continue
		}
		_, err := objects.Parse("carom.yaml", []byte(strings.Replace(b.text, m[2], m[1], 1)), objects.Env{})
		if err == nil || !strings.Contains(err.Error(), strings.TrimPrefix(want, "carom.yaml:")) {
			return fmt.Errorf("the error is now: %v", err)
		}
		return nil
	}
	return errors.New("no objects file stands before it on the page")
}

// testExists says whether a file of tests declares a test.
func testExists(file, test string) error {
	text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(file)))
	if err != nil {
		return err
	}
	if !strings.Contains(string(text), "\nfunc "+test+"(t *testing.T") {
		return fmt.Errorf("%s has no test %s", file, test)
	}
	return nil
}

// checkCode checks the syntax of a block of code, with the language's own program where that is installed.
func checkCode(s sample) (string, error) {
	if s.kind == "go" {
		_, err := parser.ParseFile(token.NewFileSet(), "", s.text, 0)
		return "parsed", err
	}
	if s.kind == "html" {
		return "", errors.New("no test runs a block of HTML that is not generated")
	}
	program, file, args, text := "", "", []string{}, s.text
	switch s.kind {
	case "js":
		program, file, args = "node", "sample.mjs", []string{"--check"}
		if strings.HasPrefix(text, "show: ") { // a member of an object
			text = "({" + text + "})"
		}
	case "php":
		program, file, args = "php", "sample.php", []string{"-l"}
		if !strings.HasPrefix(text, "<?php") {
			text = "<?php " + text
		}
	case "python":
		program, file, args = "python3", "sample.py", []string{"-m", "py_compile"}
	}
	if _, err := exec.LookPath(program); err != nil {
		if os.Getenv("CAROM_TEST_ALL") == "1" {
			return "", err
		}
		return "not checked: " + program + " is missing", nil
	}
	dir, err := os.MkdirTemp("", "carom-sample")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	file = filepath.Join(dir, file)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return "", err
	}
	if out, err := exec.Command(program, append(args, file)...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("%s: %w: %s", program, err, out)
	}
	return "syntax checked by " + program, nil
}
