package main

import (
	"go/ast"
	"go/token"
	"slices"
	"strings"

	"golang.org/x/tools/go/analysis"
	"honnef.co/go/tools/unused"
)

// place is a line of a file.
type place struct {
	file string
	line int
}

// obeyIgnores makes a drop the findings that a `//lint:ignore` directive names, and report directives without a reason.
func obeyIgnores(a *analysis.Analyzer) {
	run := a.Run
	a.Run = func(pass *analysis.Pass) (any, error) {
		ignored := ignores(pass, a.Name)
		report := pass.Report
		pass.Report = func(d analysis.Diagnostic) {
			p := pass.Fset.Position(d.Pos)
			if ignored[place{p.Filename, p.Line}] {
				return
			}
			if !strings.Contains(d.Message, a.Name) {
				d.Message += " (" + a.Name + ")"
			}
			report(d)
		}
		return run(pass)
	}
}

// ignores returns the lines on which findings of the analyzer called name do not count.
func ignores(pass *analysis.Pass, name string) map[place]bool {
	lines := map[place]bool{}
	for _, file := range pass.Files {
		for _, group := range file.Comments {
			for _, c := range group.List {
				words := strings.Fields(c.Text)
				if len(words) == 0 || words[0] != "//lint:ignore" {
					continue
				}
				// Without a reason the directive is void, so the finding that it wanted to hide stays.
				if len(words) < 3 || !slices.Contains(strings.Split(words[1], ","), name) {
					continue
				}
				p := pass.Fset.Position(c.Pos())
				lines[place{p.Filename, p.Line}] = true
				lines[place{p.Filename, p.Line + 1}] = true
			}
		}
	}
	return lines
}

// dropDeferredClose makes errcheck accept `defer x.Close()` and `defer tx.Rollback()`: on the paths where their error
// matters the code calls them again, checked, before it returns. It also names the call in the finding.
func dropDeferredClose(a *analysis.Analyzer) *analysis.Analyzer {
	run := a.Run
	a.Run = func(pass *analysis.Pass) (any, error) {
		deferred := map[token.Position]bool{}
		for _, file := range pass.Files {
			ast.Inspect(file, func(n ast.Node) bool {
				if d, ok := n.(*ast.DeferStmt); ok {
					if sel, ok := d.Call.Fun.(*ast.SelectorExpr); ok && closes(sel.Sel.Name) {
						first, last := pass.Fset.Position(d.Pos()), pass.Fset.Position(d.End())
						for line := first.Line; line <= last.Line; line++ {
							deferred[token.Position{Filename: first.Filename, Line: line}] = true
						}
					}
				}
				return true
			})
		}
		report := pass.Report
		pass.Report = func(d analysis.Diagnostic) {
			p := pass.Fset.Position(d.Pos)
			if !deferred[token.Position{Filename: p.Filename, Line: p.Line}] {
				report(d)
			}
		}
		return run(pass)
	}
	return a
}

func closes(name string) bool { return name == "Close" || name == "Rollback" || name == "Unlock" }

// unusedAnalyzer reports what no code of its package uses. `go vet` hands over a package together with its tests, so a
// helper that only tests use counts as used.
var unusedAnalyzer = &analysis.Analyzer{
	Name:     "unused",
	Doc:      "report unexported code that nothing uses",
	Requires: []*analysis.Analyzer{unused.Analyzer.Analyzer},
	Run: func(pass *analysis.Pass) (any, error) {
		result := pass.ResultOf[unused.Analyzer.Analyzer].(unused.Result)
		for _, object := range result.Unused {
			for _, file := range pass.Files {
				f := pass.Fset.File(file.Pos())
				if f.Name() == object.Position.Filename {
					pass.Reportf(f.Pos(object.Position.Offset), "%s %s is unused", object.Kind, object.Name)
				}
			}
		}
		return nil, nil
	},
}
