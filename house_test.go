package carom_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"
)

// mayImport is the import graph: which of our packages each package may import, outside its tests. A folder that is not
// listed is judged by its nearest listed parent. "*" stands for all of them, "." for the root.
//
// The graph is a star. Whoever reads one package needs at most the root and the few names in its row.
var mayImport = map[string][]string{
	".":        {},
	"receiver": {"."},

	"internal/backup":    {".", "internal/store"},
	"internal/ads":       {".", "internal/egress"},
	"internal/alert":     {"."},
	"internal/config":    {".", "internal/seal"},
	"internal/machine":   {"."},
	"internal/egress":    {"."},
	"internal/guard":     {"."},
	"internal/keylist":   {".", "internal/egress"},
	"internal/listen":    {"."},
	"internal/network":   {"."},
	"internal/pgtest":    {},
	"internal/reconcile": {"."},
	"internal/reward":    {"."},
	"internal/route":     {".", "receiver"},
	"internal/store":     {".", "internal/books", "internal/seal", "internal/tables"},
	"internal/postgres":  {".", "internal/books", "internal/seal", "internal/tables"},
	"internal/books":     {".", "internal/tables"},
	"internal/move":      {".", "internal/books", "internal/postgres", "internal/seal", "internal/store", "internal/tables"},
	"internal/seal":      {"."},
	"internal/tables":    {".", "internal/seal"},
	"internal/storetest": {".", "internal/reward", "internal/seal"},
	"internal/templates": {".", "internal/route"},
	"internal/survey":    {".", "internal/egress", "internal/route"},
	"internal/telegram":  {"."},
	"internal/view":      {".", "internal/telegram"},
	"internal/watch":     {"."},
	"internal/objects":   {".", "internal/ads", "internal/network", "internal/reward", "internal/route"},
	"internal/ingest":    {".", "internal/network", "internal/reward", "internal/route"},
	"internal/confirm":   {".", "internal/ads", "internal/telegram"},
	"internal/deliver":   {".", "internal/egress", "internal/route", "receiver"},
	"internal/api":       {".", "internal/network", "internal/objects", "internal/reconcile", "internal/reward", "internal/route", "internal/survey", "receiver"},
	"internal/probe":     {".", "internal/egress", "internal/network", "internal/route", "receiver"},
	"internal/server":    {"*"},
	"internal/caromtest": {"*"},

	"bench":    {"*"},
	"cmd":      {"*"},
	"examples": {".", "receiver"},
	"sdk":      {},
	"web":      {},
}

// testsOnly are packages that no code outside tests and benchmarks, and of one another, may import.
var testsOnly = []string{"internal/caromtest", "internal/pgtest", "internal/storetest"}

// banned are the words that this project does not use for its own nouns. See the vocabulary in ARCHITECTURE.md.
var banned = []string{"Webhook", "Message", "Job", "Task", "Hook", "Destination", "Subscription", "Conversion"}

// goFile is a parsed Go file of the main module.
type goFile struct {
	path string // relative to the root, with slashes
	dir  string
	test bool
	*ast.File
}

// skipDir says which folders hold nothing of ours: what git, builds and package managers put there.
func skipDir(path string) bool {
	switch filepath.Base(path) {
	case ".git", "node_modules", "dist":
		return true
	}
	return slices.Contains([]string{"bin", "run", "tmp", "bench/out"}, filepath.ToSlash(path))
}

// walkFiles calls visit for every regular file of the repository, by its path relative to the root.
func walkFiles(t *testing.T, visit func(path string)) {
	t.Helper()
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && skipDir(path):
			return filepath.SkipDir
		case d.Type().IsRegular():
			visit(filepath.ToSlash(path))
		}
		return nil
	})
	if err != nil {
		t.Fatalf("walk the repository: %v", err)
	}
}

// readGo parses every Go file of the main module.
func readGo(t *testing.T) (*token.FileSet, []goFile) {
	t.Helper()
	fset := token.NewFileSet()
	var files []goFile
	walkFiles(t, func(path string) {
		if !strings.HasSuffix(path, ".go") || strings.HasPrefix(path, "tools/") || strings.Contains(path, "testdata/") {
			return
		}
		parsed, err := parser.ParseFile(fset, filepath.FromSlash(path), nil, parser.ParseComments)
		if err != nil {
			t.Errorf("parse: %v", err)
			return
		}
		files = append(files, goFile{path, filepath.ToSlash(filepath.Dir(path)), strings.HasSuffix(path, "_test.go"), parsed})
	})
	return fset, files
}

func TestHouse(t *testing.T) {
	fset, files := readGo(t)
	t.Run("imports follow the graph", func(t *testing.T) { checkImports(t, files) })
	t.Run("every package has a comment", func(t *testing.T) { checkPackageComments(t, files) })
	t.Run("every exported name has a comment", func(t *testing.T) { checkDocs(t, fset, files) })
	t.Run("exported names keep to the vocabulary", func(t *testing.T) { checkVocabulary(t, fset, files) })
	t.Run("nothing runs at import", func(t *testing.T) { checkNoInit(t, fset, files) })
}

func checkImports(t *testing.T, files []goFile) {
	for _, f := range files {
		allowed, known := rowFor(f.dir)
		if !known {
			t.Errorf("%s: package %s has no row in mayImport (house_test.go): add one", f.path, f.dir)
			continue
		}
		for _, spec := range f.Imports {
			path, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatalf("%s: import %s: %v", f.path, spec.Path.Value, err)
			}
			if strings.HasPrefix(path, "github.com/stretchr/testify") {
				t.Errorf("%s imports %s: tests use the standard library and go-cmp", f.path, path)
			}
			ours, isOurs := ourPackage(path)
			switch {
			case f.test:
			case !isOurs:
				if (f.dir == "." || f.dir == "receiver") && strings.Contains(path, ".") {
					t.Errorf("%s imports %s: package %s imports only the standard library", f.path, path, f.dir)
				}
			case slices.Contains(testsOnly, ours) && !slices.Contains(testsOnly, f.dir) && !within(f.dir, "bench") && f.dir != "bench":
				t.Errorf("%s imports %s, which is for tests and benchmarks", f.path, ours)
			case !slices.Contains(allowed, "*") && !slices.Contains(allowed, ours) && !within(ours, f.dir):
				t.Errorf("%s imports %s: package %s may import %s of ours; see mayImport in house_test.go",
					f.path, ours, f.dir, strings.Join(allowed, ", "))
			}
		}
	}
}

// rowFor returns the row of mayImport for dir or its nearest listed parent. The root's row is its own alone.
func rowFor(dir string) (allowed []string, known bool) {
	for d := dir; ; d = filepath.ToSlash(filepath.Dir(d)) {
		if d == "." && dir != "." {
			return nil, false
		}
		if row, ok := mayImport[d]; ok {
			return row, true
		}
	}
}

// ourPackage turns an import path into a folder of this module.
func ourPackage(path string) (dir string, ours bool) {
	if path == "carom" {
		return ".", true
	}
	return strings.CutPrefix(path, "carom/")
}

// within says whether one of the two folders holds the other.
func within(a, b string) bool {
	return a != "." && b != "." && (strings.HasPrefix(a, b+"/") || strings.HasPrefix(b, a+"/"))
}

func checkPackageComments(t *testing.T, files []goFile) {
	comments := map[string]string{}
	for _, f := range files {
		if strings.HasSuffix(f.Name.Name, "_test") {
			continue
		}
		comments[f.dir] += f.Doc.Text()
	}
	for dir, text := range comments {
		// Forty characters are less than a sentence that says what a package hides.
		if len(text) < 40 {
			t.Errorf("package in %s has no package comment, or a very short one: say what it hides, promises and does not do", dir)
		}
	}
}

// selfExplained are methods whose meaning the standard library fixes.
var selfExplained = []string{"Error", "Len", "Less", "Swap"}

func checkDocs(t *testing.T, fset *token.FileSet, files []goFile) {
	documented := documentedTypes(files)
	missing := func(pos token.Pos, name string) {
		t.Errorf("%s: %s is exported and has no comment", fset.Position(pos), name)
	}
	for _, f := range files {
		if f.test || f.Name.Name == "main" {
			continue
		}
		for _, decl := range f.Decls {
			switch d := decl.(type) {
			case *ast.FuncDecl:
				method := d.Recv != nil
				if method && (!ast.IsExported(receiverType(d)) || slices.Contains(selfExplained, d.Name.Name)) {
					continue
				}
				if d.Name.IsExported() && d.Doc == nil {
					missing(d.Pos(), d.Name.Name)
				}
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					checkSpec(f.dir, d, spec, documented, missing)
				}
			}
		}
	}
}

// checkSpec reports the exported names of spec that neither it, its group, nor (for a value of a closed set) its type
// explains.
func checkSpec(dir string, d *ast.GenDecl, spec ast.Spec, documented map[string]bool, missing func(token.Pos, string)) {
	switch s := spec.(type) {
	case *ast.TypeSpec:
		if s.Name.IsExported() && d.Doc == nil && s.Doc == nil && s.Comment == nil {
			missing(s.Pos(), s.Name.Name)
		}
	case *ast.ValueSpec:
		if d.Doc != nil || s.Doc != nil || s.Comment != nil {
			return
		}
		if typ, ok := s.Type.(*ast.Ident); ok && documented[dir+"."+typ.Name] {
			return
		}
		for _, name := range s.Names {
			if name.IsExported() {
				missing(name.Pos(), name.Name)
			}
		}
	}
}

// documentedTypes returns the types that have a comment, as "folder.Type".
func documentedTypes(files []goFile) map[string]bool {
	types := map[string]bool{}
	for _, f := range files {
		for _, decl := range f.Decls {
			if d, ok := decl.(*ast.GenDecl); ok && d.Tok == token.TYPE {
				for _, spec := range d.Specs {
					s := spec.(*ast.TypeSpec)
					types[f.dir+"."+s.Name.Name] = d.Doc != nil || s.Doc != nil || s.Comment != nil
				}
			}
		}
	}
	return types
}

// receiverType returns the name of the type that a method belongs to.
func receiverType(d *ast.FuncDecl) string {
	expr := d.Recv.List[0].Type
	for {
		switch e := expr.(type) {
		case *ast.StarExpr:
			expr = e.X
		case *ast.IndexExpr:
			expr = e.X
		case *ast.IndexListExpr:
			expr = e.X
		case *ast.Ident:
			return e.Name
		default:
			return ""
		}
	}
}

func checkVocabulary(t *testing.T, fset *token.FileSet, files []goFile) {
	check := func(name *ast.Ident) {
		for _, word := range camelWords(name.Name) {
			if name.IsExported() && slices.Contains(banned, strings.TrimSuffix(word, "s")) {
				t.Errorf("%s: %s uses the word %q, which is not in our vocabulary", fset.Position(name.Pos()), name.Name, word)
			}
		}
	}
	for _, f := range files {
		for _, decl := range f.Decls {
			switch d := decl.(type) {
			case *ast.FuncDecl:
				if !f.test {
					check(d.Name)
				}
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					switch s := spec.(type) {
					case *ast.TypeSpec:
						check(s.Name)
					case *ast.ValueSpec:
						for _, name := range s.Names {
							check(name)
						}
					}
				}
			}
		}
	}
}

// camelWords splits an identifier: "SentPostbackURL" is Sent, Postback, URL.
func camelWords(name string) []string {
	var words []string
	runes, from := []rune(name), 0
	for i := 1; i <= len(runes); i++ {
		if i == len(runes) || unicode.IsUpper(runes[i]) && (!unicode.IsUpper(runes[i-1]) || i+1 < len(runes) && unicode.IsLower(runes[i+1])) {
			words = append(words, string(runes[from:i]))
			from = i
		}
	}
	return words
}

func checkNoInit(t *testing.T, fset *token.FileSet, files []goFile) {
	for _, f := range files {
		for _, decl := range f.Decls {
			if d, ok := decl.(*ast.FuncDecl); ok && d.Recv == nil && d.Name.Name == "init" {
				t.Errorf("%s: func init: nothing runs at import; build it where it is used", fset.Position(d.Pos()))
			}
		}
	}
}

// TestCamelWords guards the vocabulary check itself.
func TestCamelWords(t *testing.T) {
	for name, want := range map[string]string{
		"Event":           "Event",
		"SentPostbackURL": "Sent Postback URL",
		"URLTemplate":     "URL Template",
		"YMIDKind":        "YMID Kind",
		"WebhookID":       "Webhook ID",
	} {
		if got := strings.Join(camelWords(name), " "); got != want {
			t.Errorf("camelWords(%q) = %q, want %q", name, got, want)
		}
	}
}

// TestForbiddenText looks for what may not be in any file: paths of one person's machine, and work left without an issue.
func TestForbiddenText(t *testing.T) {
	// Each pattern is written so that it does not match itself.
	forbidden := []struct{ pattern, why string }{
		{`(?:^|[^\w.])/(?:work|root)/[\w.]`, "a path of one machine"},
		{`\.\./share[d]\b`, "a folder outside the repository"},
		{`\b(?:TO` + `DO|FIX` + `ME)\b(?:[^(]|\([^#]|$)`, "work left without an issue: write TO" + "DO(#123): …"},
		{`//nolin` + `t\b`, "a directive that our linters do not read: write //lint:ignore NAME REASON"},
	}
	var patterns []*regexp.Regexp
	for _, f := range forbidden {
		patterns = append(patterns, regexp.MustCompile(f.pattern))
	}
	// Larger files are recorded data, not text that somebody writes.
	const maxBytes = 512 << 10
	walkFiles(t, func(path string) {
		info, err := os.Stat(path)
		if err != nil || info.Size() > maxBytes || path == "house_test.go" || strings.HasSuffix(path, "go.sum") {
			return
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Errorf("read: %v", err)
			return
		}
		if slices.Contains(text, 0) {
			return
		}
		for n, line := range strings.Split(string(text), "\n") {
			for i, p := range patterns {
				if found := p.FindString(line); found != "" {
					t.Errorf("%s:%d: %q is %s", path, n+1, strings.TrimSpace(found), forbidden[i].why)
				}
			}
		}
	})
}
