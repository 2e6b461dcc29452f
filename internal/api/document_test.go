package api

import (
	"bytes"
	"encoding/json"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write docs/openapi.json and docs/reference.md anew")

// document is the OpenAPI document as a release has it: it names no version of carom, so that it differs when the routes do.
func document(t *testing.T) (*huma.OpenAPI, []byte) {
	t.Helper()
	_, doc := routes(&service{Options: Options{Version: "v1"}})
	text, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := json.Indent(&out, text, "", "  "); err != nil {
		t.Fatal(err)
	}
	return doc, append(out.Bytes(), '\n')
}

// inStep compares a generated file of docs with what it should hold; with -update it writes it.
func inStep(t *testing.T, name string, want []byte) {
	t.Helper()
	path := filepath.Join("..", "..", "docs", name)
	if *update {
		if err := os.WriteFile(path, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(strings.ReplaceAll(string(got), "\r\n", "\n"), "\n")); diff != "" {
		t.Errorf("docs/%s is out of step, run `go test ./internal/api -update` (-want +got):\n%s", name, diff)
	}
}

func TestDocumentIsInStep(t *testing.T) {
	_, text := document(t)
	inStep(t, "openapi.json", text)
}

// TestEverythingIsDescribed: nobody has to guess what a parameter or a field is. What has a name of its own gets a doc tag; what means
// the same everywhere, a row of words.
func TestEverythingIsDescribed(t *testing.T) {
	doc, _ := document(t)
	about := tags()
	for _, op := range operationsOf(doc) {
		for _, p := range op.Parameters {
			if p.Description == "" {
				t.Errorf("%s %s: the parameter %s has no description: give it a doc tag, or a row of words", op.Method, op.Path, p.Name)
			}
			if p.In == "path" && p.Example == nil && len(p.Schema.Examples) == 0 {
				t.Errorf("%s %s: the parameter %s has no example: give it a tag, or a row of words", op.Method, op.Path, p.Name)
			}
		}
		for _, tag := range op.Tags {
			if about[tag] == "" {
				t.Errorf("%s %s: nothing says what the group %s is about: add it to tags", op.Method, op.Path, tag)
			}
		}
	}
	schemas := doc.Components.Schemas.Map()
	for _, name := range slices.Sorted(maps.Keys(schemas)) {
		for _, property := range slices.Sorted(maps.Keys(schemas[name].Properties)) {
			if p := schemas[name].Properties[property]; p.Ref == "" && p.Description == "" {
				t.Errorf("%s.%s has no description: give it a doc tag, or a row of words", name, property)
			}
		}
	}
	used := map[string]bool{}
	for name, schema := range schemas {
		for property := range schema.Properties {
			used[property], used[name+"."+property] = true, true
		}
	}
	for _, op := range operationsOf(doc) {
		for _, p := range op.Parameters {
			used[p.Name] = true
		}
	}
	for name := range words() {
		if !used[name] {
			t.Errorf("nothing is called %s any more: remove its row of words", name)
		}
	}
}
