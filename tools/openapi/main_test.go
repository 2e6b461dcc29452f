package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// object walks down into a decoded document.
func object(t *testing.T, v any, path ...string) map[string]any {
	t.Helper()
	for _, name := range path {
		next, ok := v.(map[string]any)[name]
		if !ok {
			t.Fatalf("the document has no %q of %q", name, path)
		}
		v = next
	}
	return v.(map[string]any)
}

func TestBreaking(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "openapi.json"))
	if err != nil {
		t.Fatal(err)
	}
	list := []string{"paths", "/v1/events", "get"}
	tests := []struct {
		name   string
		change func(t *testing.T, doc map[string]any)
		want   string // part of the only line; empty: nothing breaks
	}{
		{"nothing", func(*testing.T, map[string]any) {}, ""},
		{"a route is removed", func(t *testing.T, doc map[string]any) { delete(object(t, doc, "paths"), "/v1/version") }, "GET /v1/version: "},
		{"a method is removed", func(t *testing.T, doc map[string]any) { delete(object(t, doc, "paths", "/v1/keys"), "post") }, "POST /v1/keys: "},
		{"a field of an answer is removed", func(t *testing.T, doc map[string]any) {
			schema := object(t, doc, "components", "schemas", "Version")
			delete(object(t, schema, "properties"), "go")
			schema["required"] = []any{"version", "os", "arch"}
		}, "GET /v1/version: "},
		{"a field of an answer that need not be there is removed", func(t *testing.T, doc map[string]any) {
			delete(object(t, doc, "components", "schemas", "EventList", "properties"), "next")
		}, "GET /v1/events: "},
		{"a field of an answer is of another type", func(t *testing.T, doc map[string]any) {
			object(t, doc, "components", "schemas", "Version", "properties", "os")["type"] = "integer"
		}, "GET /v1/version: "},
		{"a parameter is removed", func(t *testing.T, doc map[string]any) {
			op := object(t, doc, list...)
			op["parameters"] = op["parameters"].([]any)[1:]
		}, "GET /v1/events: "},
		{"a parameter becomes required", func(t *testing.T, doc map[string]any) {
			object(t, doc, list...)["parameters"].([]any)[0].(map[string]any)["required"] = true
		}, "GET /v1/events: "},
		{"a new parameter is required", func(t *testing.T, doc map[string]any) {
			op := object(t, doc, list...)
			op["parameters"] = append(op["parameters"].([]any), map[string]any{"name": "colour", "in": "query", "required": true, "schema": map[string]any{"type": "string"}})
		}, "GET /v1/events: "},
		{"a field of a request becomes required", func(t *testing.T, doc map[string]any) {
			schema := object(t, doc, "components", "schemas", "NewKey")
			schema["required"] = append(schema["required"].([]any), "app")
		}, "POST /v1/keys: "},
		{"a value is taken away", func(t *testing.T, doc map[string]any) {
			object(t, doc, "components", "schemas", "NewKey", "properties", "scope")["enum"] = []any{"read", "admin"}
		}, "POST /v1/keys: "},
		{"an operation has another id", func(t *testing.T, doc map[string]any) { object(t, doc, list...)["operationId"] = "find-events" }, "GET /v1/events: "},
		{"a route is added", func(t *testing.T, doc map[string]any) {
			paths := object(t, doc, "paths")
			paths["/v1/weather"] = map[string]any{"get": map[string]any{
				"operationId": "get-weather", "responses": map[string]any{"200": map[string]any{"description": "Sun"}},
			}}
		}, ""},
		{"a field is added to an answer", func(t *testing.T, doc map[string]any) {
			object(t, doc, "components", "schemas", "Version", "properties")["commit"] = map[string]any{"type": "string"}
		}, ""},
		{"a field that need not be there is added to a request", func(t *testing.T, doc map[string]any) {
			object(t, doc, "components", "schemas", "NewKey", "properties")["note"] = map[string]any{"type": "string"}
		}, ""},
		{"a text is changed", func(t *testing.T, doc map[string]any) { object(t, doc, list...)["summary"] = "List them" }, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var doc map[string]any
			if err := json.Unmarshal(text, &doc); err != nil {
				t.Fatal(err)
			}
			tt.change(t, doc)
			changed, err := json.Marshal(doc)
			if err != nil {
				t.Fatal(err)
			}
			lines, err := breaking(text, changed)
			if err != nil {
				t.Fatal(err)
			}
			switch {
			case tt.want == "" && len(lines) > 0:
				t.Errorf("it breaks nothing, and is said to: %q", lines)
			case tt.want != "" && !strings.Contains(strings.Join(lines, "\n"), tt.want):
				t.Errorf("found %q, want a line with %q", lines, tt.want)
			}
		})
	}
}

func TestAccepted(t *testing.T) {
	write := func(name, text string) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const head = `{"openapi": "3.1.0", "info": {"title": "x", "version": "1"}, "paths": {`
	const route = `": {"get": {"operationId": "OP", "responses": {"200": {"description": "x"}}}}`
	released := write("released.json", head+`"/a`+strings.ReplaceAll(route, "OP", "a")+`, "/b`+strings.ReplaceAll(route, "OP", "b")+`}}`)
	current := write("current.json", head+`"/a`+strings.ReplaceAll(route, "OP", "a")+`}}`)
	found, err := run([]string{released, current})
	if err != nil || len(found) != 1 || !strings.HasPrefix(found[0], "GET /b: ") {
		t.Fatalf("found %q, %v, want that GET /b is gone", found, err)
	}
	accepted := write("accepted.txt", "# The way b was of no use to anybody.\n\n"+found[0]+"\n")
	if left, err := run([]string{released, current, accepted}); err != nil || len(left) != 0 {
		t.Errorf("found %q, %v, though it is accepted", left, err)
	}
	if left, err := run([]string{released, released, accepted}); err != nil || len(left) != 1 || !strings.Contains(left[0], "nothing breaks") {
		t.Errorf("found %q, %v, want that a line is not needed any more", left, err)
	}
}
