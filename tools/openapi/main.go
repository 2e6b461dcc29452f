// Command openapi says what a change of the HTTP interface would break for callers that were written for the last release.
//
//	openapi RELEASED CURRENT [ACCEPTED]
//
// RELEASED and CURRENT are OpenAPI documents. It prints one line for each change that breaks somebody, and fails if there are any. What
// is broken on purpose stands in ACCEPTED, line by line as it is printed; a line there that nothing breaks any more is a finding too.
package main

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/oasdiff/oasdiff/checker"
	"github.com/oasdiff/oasdiff/diff"
	"github.com/oasdiff/oasdiff/load"
)

func main() {
	found, err := run(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "openapi:", err)
		os.Exit(2)
	}
	for _, line := range found {
		fmt.Println(line)
	}
	if len(found) > 0 {
		fmt.Fprintln(os.Stderr, "openapi: this breaks callers of the last release. Keep what was there; or, if it has to be, add these lines to the "+
			"accepted ones, and one to the changelog")
		os.Exit(1)
	}
}

// run returns what is to be mended.
func run(args []string) ([]string, error) {
	if len(args) < 2 || len(args) > 3 {
		return nil, fmt.Errorf("two documents are needed, and what is accepted at most: openapi RELEASED CURRENT [ACCEPTED]")
	}
	var texts [3][]byte
	for i, name := range args {
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		texts[i] = text
	}
	found, err := breaking(texts[0], texts[1])
	if err != nil {
		return nil, err
	}
	var out []string
	accepted := acceptedLines(string(texts[2]))
	for _, line := range found {
		if !slices.Contains(accepted, line) {
			out = append(out, line)
		}
	}
	for _, line := range accepted {
		if !slices.Contains(found, line) {
			out = append(out, "accepted, but nothing breaks that: "+line)
		}
	}
	return out, nil
}

// acceptedLines are the lines of a list, without comments and empty ones.
func acceptedLines(text string) []string {
	var lines []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			lines = append(lines, line)
		}
	}
	return lines
}

// breaking compares two documents: "GET /v1/events: api removed without deprecation [api-path-removed-without-deprecation]".
func breaking(released, current []byte) ([]string, error) {
	var specs [2]*load.SpecInfo
	for i, text := range [][]byte{released, current} {
		spec, err := load.NewSpecInfoFromData(openapi3.NewLoader(), text, [...]string{"released", "current"}[i])
		if err != nil {
			return nil, fmt.Errorf("the %s document: %w", [...]string{"released", "current"}[i], err)
		}
		specs[i] = spec
	}
	changes, sources, err := diff.GetWithOperationsSourcesMap(diff.NewConfig(), specs[0], specs[1])
	if err != nil {
		return nil, fmt.Errorf("compare: %w", err)
	}
	words := checker.NewDefaultLocalizer()
	var lines []string
	for _, c := range checker.CheckBackwardCompatibility(checker.NewConfig(checker.GetAllChecks(), checker.WithSeverityLevels(alsoBreaking())), changes, sources) {
		lines = append(lines, fmt.Sprintf("%s %s: %s [%s]", c.GetOperation(), c.GetPath(), c.GetUncolorizedText(words), c.GetId()))
	}
	slices.Sort(lines)
	return slices.Compact(lines), nil
}

// alsoBreaking are changes that are counted as breaking though a careful caller survives them: a field that is gone is missed by
// somebody, and generated clients are called by their operation ids.
func alsoBreaking() map[string]checker.Level {
	return map[string]checker.Level{
		checker.ResponseOptionalPropertyRemovedId: checker.ERR,
		checker.APIOperationIdRemovedId:           checker.ERR,
	}
}
