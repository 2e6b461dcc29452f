// Command lint is the one program behind `make check`: every analyzer that carom's code must pass, run by
// `go vet -vettool`, which caches results per package and analyzes packages in parallel.
//
// It lives in a module of its own, so that nothing it needs appears in carom's go.mod. An analyzer is on this list or it
// is not: there are no severities. A finding that is wrong is silenced where it stands, by name and with a reason:
//
//	//lint:ignore errcheck the connection is closed anyway
//
// A directive counts for its own line and for the line below it. Several names are separated by commas.
package main

import (
	"github.com/jingyugao/rowserrcheck/passes/rowserr"
	"github.com/kisielk/errcheck/errcheck"
	"github.com/polyfloyd/go-errorlint/errorlint"
	sqlclose "github.com/ryanrolds/sqlclosecheck/pkg/analyzer"
	"github.com/timakin/bodyclose/passes/bodyclose"
	"go-simpler.org/sloglint"
	"golang.org/x/tools/go/analysis"
	"golang.org/x/tools/go/analysis/unitchecker"
	"honnef.co/go/tools/analysis/lint"
	"honnef.co/go/tools/quickfix/qf1004"
	"honnef.co/go/tools/simple"
	"honnef.co/go/tools/staticcheck"
	"honnef.co/go/tools/stylecheck"
)

// leftOut are checks of staticcheck's that its own command also leaves out by default, or that this code has a reason
// not to follow.
var leftOut = map[string]string{
	"ST1000": "package comments: the house test asks for more",
	"ST1003": "names: initialisms such as YMID are ours",
	"ST1013": "status codes as numbers read better in tables",
	"ST1020": "doc comments: the house test checks presence, and form is free",
	"ST1021": "as above",
	"ST1022": "as above",
	"ST1023": "a redundant type can be documentation",
	"SA9003": "an empty branch with a comment says why nothing is done",
}

// uncheckedErrors names functions whose error tells nothing that the caller could act on: writing to a terminal, to a
// client that may be gone, or to a test's log.
var uncheckedErrors = []string{
	"fmt.Fprint",
	"fmt.Fprintf",
	"fmt.Fprintln",
	"io.WriteString(net/http.ResponseWriter)",
	"(net/http.ResponseWriter).Write",
	"(*net/http/httptest.ResponseRecorder).Write",
	"(*text/tabwriter.Writer).Flush",
}

func main() {
	unitchecker.Main(analyzers()...)
}

// analyzers returns the list, each wrapped so that it obeys the ignore directives.
func analyzers() []*analysis.Analyzer {
	errcheck.DefaultExcludedSymbols = append(errcheck.DefaultExcludedSymbols, uncheckedErrors...)
	list := []*analysis.Analyzer{
		dropDeferredClose(errcheck.Analyzer),
		errorlint.NewAnalyzer(),
		bodyclose.Analyzer,
		sqlclose.NewAnalyzer(),
		rowserr.NewAnalyzer("database/sql"),
		sloglint.New(&sloglint.Options{
			NoGlobalLogger:   "all",
			StaticMessage:    true,
			MessageStyle:     "lowercased",
			NoMixedArguments: true,
			KeyNamingCase:    "snake",
		}),
		unusedAnalyzer,
		qf1004.Analyzer,
	}
	for _, group := range [][]*lint.Analyzer{staticcheck.Analyzers, simple.Analyzers, stylecheck.Analyzers} {
		for _, a := range group {
			if _, out := leftOut[a.Analyzer.Name]; !out {
				list = append(list, a.Analyzer)
			}
		}
	}
	for _, a := range list {
		obeyIgnores(a)
	}
	return list
}
