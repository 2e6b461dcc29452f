package api

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"

	"carom"

	"github.com/danielgtaylor/huma/v2"
)

func TestReferenceIsInStep(t *testing.T) {
	doc, _ := document(t)
	inStep(t, "reference.md", []byte(reference(doc)))
}

// TestExamplesAreValid: what the reference sends is what the routes take.
func TestExamplesAreValid(t *testing.T) {
	doc, _ := document(t)
	p := page{doc: doc, words: words()}
	for _, op := range operationsOf(doc) {
		schema := jsonBody(op)
		if schema == nil {
			continue
		}
		text, err := json.Marshal(p.example("", "", schema))
		if err != nil {
			t.Fatal(err)
		}
		var value any
		if err := json.Unmarshal(text, &value); err != nil {
			t.Fatal(err)
		}
		var res huma.ValidateResult
		huma.Validate(doc.Components.Schemas, schema, huma.NewPathBuffer(nil, 0), huma.ModeWriteToServer, value, &res)
		for _, err := range res.Errors {
			t.Errorf("%s: the example %s: %v", op.OperationID, text, err)
		}
	}
}

// page writes docs/reference.md.
type page struct {
	strings.Builder

	doc    *huma.OpenAPI
	words  map[string]word
	shapes map[string]bool // that are linked to
}

// reference is the page of a document: its operations by group, then the shapes that they share.
func reference(doc *huma.OpenAPI) string {
	p := &page{doc: doc, words: words(), shapes: map[string]bool{}}
	p.WriteString(`# HTTP reference

<!-- go test ./internal/api -update: begin -->

Every route of ` + "`/v1`" + `, made from [openapi.json](openapi.json), which each server also tells: ` + "`GET /v1/openapi.json`" + `. How to begin, what keys
are and what holds for all routes: [api.md](api.md). In the examples, ` + "`$CAROM`" + ` is where the server is reached, ` + "`$KEY`" + ` an API key and
` + "`$SESSION`" + ` the cookie of a member who is signed in; they give what is needed and no more. A name with ? may be left out, or be absent.

| route | |
|---|---|
`)
	list := operationsOf(doc)
	for _, op := range list {
		fmt.Fprintf(p, "| [`%s %s`](#%s) | %s |\n", op.Method, op.Path, op.OperationID, cell(op.Summary))
	}
	for _, tag := range doc.Tags {
		fmt.Fprintf(p, "\n## /v1/%s\n\n%s\n", tag.Name, tag.Description)
		for _, op := range list {
			if slices.Contains(op.Tags, tag.Name) {
				p.operation(op)
			}
		}
	}
	p.WriteString("\n## Shapes\n\nWhat the answers and requests above hold.\n")
	schemas := doc.Components.Schemas.Map()
	for written := map[string]bool{}; len(written) < len(p.shapes); { // a shape may link to others
		for _, name := range slices.Sorted(maps.Keys(p.shapes)) {
			if !written[name] {
				written[name] = true
				p.named(schemas[name].Properties)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(p.shapes)) {
		fmt.Fprintf(p, "\n### Shape %s\n", name)
		p.fields(name, schemas[name])
	}
	p.WriteString("\n<!-- go test ./internal/api -update: end -->\n")
	return p.String()
}

// named notes the shapes that fields are linked to.
func (p *page) named(fields map[string]*huma.Schema) {
	for _, f := range fields {
		p.typeOf(f)
	}
}

func (p *page) operation(op *huma.Operation) {
	fmt.Fprintf(p, "\n### %s\n\n`%s %s`: %s.", op.OperationID, op.Method, op.Path, text(op.Summary))
	if op.Description != "" {
		fmt.Fprintf(p, " %s", text(strings.TrimSuffix(op.Description, ".")+"."))
	}
	fmt.Fprintf(p, " %s\n", mayCall(op))
	var rows []string
	for _, param := range op.Parameters {
		rows = append(rows, fmt.Sprintf("| `%s`%s | %s | %s | %s |\n", param.Name, needed(param.Required), param.In, p.typeOf(param.Schema), p.about(param.Description, param.Schema)))
	}
	if len(rows) > 0 {
		p.WriteString("\n| parameter | in | type | |\n|---|---|---|---|\n" + strings.Join(rows, ""))
	}
	if op.RequestBody != nil {
		p.bodies("Request", op.RequestBody.Content)
	}
	for _, status := range slices.Sorted(maps.Keys(op.Responses)) {
		if r := op.Responses[status]; strings.HasPrefix(status, "2") {
			if len(r.Content) == 0 {
				fmt.Fprintf(p, "\nAnswer: %s. %s.\n", status, text(strings.TrimSuffix(r.Description, ".")))
			}
			p.bodies("Answer, "+status, r.Content)
		}
	}
	p.request(op)
}

// mayCall says whose requests an operation takes.
func mayCall(op *huma.Operation) string {
	row := classOf(op.OperationID)
	switch {
	case row&anybody != 0:
		return "Anybody may."
	case row&signedIn != 0:
		return "Any member who is signed in."
	}
	var scopes, roles []string
	for _, s := range op.Security {
		for _, scope := range s["key"] {
			scopes = append(scopes, "`"+scope+"`")
		}
	}
	for _, r := range []struct {
		row  class
		role carom.Role
	}{{operators, carom.RoleOperator}, {supporters | supportAsks, carom.RoleSupport}, {viewers, carom.RoleViewer}, {publishers, carom.RolePublisher}} {
		if row&r.row != 0 {
			roles = append(roles, string(r.role))
		}
	}
	return "Keys with the scope " + strings.Join(scopes, " or ") + "; members who are " + strings.Join(roles, ", ") + "."
}

// bodies describes a request or an answer, in each of its types.
func (p *page) bodies(what string, content map[string]*huma.MediaType) {
	types := slices.Sorted(maps.Keys(content))
	shown := map[*huma.Schema]bool{}
	for _, ct := range types {
		schema := content[ct].Schema
		name, s := p.deref(schema)
		switch {
		case shown[schema]:
			continue
		case s.Type == huma.TypeObject && len(s.Properties) > 0:
			fmt.Fprintf(p, "\n%s (`%s`):\n", what, ct)
			p.fields(name, s)
		default:
			fmt.Fprintf(p, "\n%s (`%s`): %s. %s\n", what, ct, p.typeOf(schema), text(s.Description))
		}
		shown[schema] = true
	}
}

// fields writes the table of an object's fields: those that are always there first, as the schema orders them.
func (p *page) fields(name string, s *huma.Schema) {
	p.WriteString("\n| field | type | |\n|---|---|---|\n")
	for _, field := range slices.Sorted(maps.Keys(s.Properties)) {
		f := s.Properties[field]
		fmt.Fprintf(p, "| `%s`%s | %s | %s |\n", field, needed(slices.Contains(s.Required, field)), p.typeOf(f), p.about(f.Description, f))
	}
}

func needed(required bool) string {
	if required {
		return ""
	}
	return " ?"
}

// deref returns the schema that a reference leads to, with its name.
func (p *page) deref(s *huma.Schema) (string, *huma.Schema) {
	if s.Ref == "" {
		return "", s
	}
	name := s.Ref[strings.LastIndexByte(s.Ref, '/')+1:]
	return name, p.doc.Components.Schemas.Map()[name]
}

// typeOf names the type of a value; of an object, by a link to its shape.
func (p *page) typeOf(s *huma.Schema) string {
	name, target := p.deref(s)
	switch {
	case name != "" && target.Type == huma.TypeObject:
		if p.shapes != nil {
			p.shapes[name] = true
		}
		return fmt.Sprintf("[%s](#shape-%s)", name, strings.ToLower(name))
	case len(target.OneOf) > 0:
		var parts []string
		for _, one := range target.OneOf {
			parts = append(parts, p.typeOf(one))
		}
		return strings.Join(parts, " or ")
	case target.Type == huma.TypeArray:
		return "list of " + p.typeOf(target.Items)
	case target.Type == huma.TypeObject:
		if of, ok := target.AdditionalProperties.(*huma.Schema); ok {
			return "map of " + p.typeOf(of)
		}
		return "object"
	case target.Format == "date-time":
		return "time"
	case target.Type == "":
		return "any"
	}
	return target.Type
}

// about is what is said of a value, with its bounds.
func (p *page) about(description string, s *huma.Schema) string {
	_, s = p.deref(s)
	var parts []string
	if len(s.Enum) > 0 {
		var values []string
		for _, v := range s.Enum {
			values = append(values, fmt.Sprintf("`%v`", v))
		}
		parts = append(parts, "One of "+strings.Join(values, ", "))
	}
	if s.Default != nil {
		parts = append(parts, fmt.Sprintf("Default `%v`", s.Default))
	}
	if s.Maximum != nil {
		parts = append(parts, fmt.Sprintf("At most %v", *s.Maximum))
	}
	out := strings.TrimSuffix(cell(description), ".")
	for _, part := range parts {
		if out != "" {
			out += ". "
		}
		out += part
	}
	return out
}

// text and cell make plain text stand as it is in Markdown, the latter in a table.
func text(s string) string {
	return strings.NewReplacer("<", "&lt;", "{{", "{ {", "\n", " ").Replace(s)
}

func cell(s string) string { return strings.ReplaceAll(text(s), "|", `\|`) }

// request writes an example of a request: what has to be given, and nothing else.
func (p *page) request(op *huma.Operation) {
	path, query := op.Path, url.Values{}
	for _, param := range op.Parameters {
		switch {
		case param.In == "path":
			path = strings.Replace(path, "{"+param.Name+"}", fmt.Sprint(exampleOf(param)), 1)
		case param.In == "query" && param.Required:
			query.Set(param.Name, fmt.Sprint(exampleOf(param)))
		}
	}
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	line := "curl "
	if op.Method != "GET" {
		line += "-X " + op.Method + " "
	}
	line += `"$CAROM` + path + `"`
	switch row := classOf(op.OperationID); {
	case row&anybody != 0:
	case row&signedIn != 0: // keys are nobody's
		line += ` -b "` + secureCookie + `=$SESSION" -H "` + requestHeader + `: 1"`
	default:
		line += ` -H "Authorization: Bearer $KEY"`
	}
	if schema := jsonBody(op); schema != nil {
		body, err := json.Marshal(p.example("", "", schema))
		if err != nil {
			panic(err) // a sample of words that JSON cannot hold
		}
		line += " \\\n  -H \"Content-Type: application/json\" -d '" + string(body) + "'"
	} else if op.RequestBody != nil {
		line += " \\\n  -H \"Content-Type: " + slices.Sorted(maps.Keys(op.RequestBody.Content))[0] + "\" --data-binary @FILE"
	}
	fmt.Fprintf(p, "\n```sh\n%s\n```\n", line)
}

func exampleOf(param *huma.Param) any {
	if param.Example == nil && len(param.Schema.Examples) > 0 {
		return param.Schema.Examples[0]
	}
	if param.Example == nil {
		return words()[param.Name].sample
	}
	return param.Example
}

// jsonBody is the schema of an operation's JSON body, nil for none.
func jsonBody(op *huma.Operation) *huma.Schema {
	if op.RequestBody == nil || op.RequestBody.Content["application/json"] == nil {
		return nil
	}
	return op.RequestBody.Content["application/json"].Schema
}

// example makes a value of a schema, of the fields that it needs alone.
func (p *page) example(in, field string, s *huma.Schema) any {
	name, s := p.deref(s)
	w, special := p.words[in+"."+field]
	if !special {
		w = p.words[field]
	}
	switch {
	case len(s.Examples) > 0:
		return s.Examples[0]
	case len(s.OneOf) > 0:
		return p.example(in, field, s.OneOf[0])
	case len(s.Enum) > 0:
		return s.Enum[0]
	case s.Type == huma.TypeObject:
		out := map[string]any{}
		for _, field := range s.Required {
			out[field] = p.example(name, field, s.Properties[field])
		}
		return out
	case s.Type == huma.TypeArray:
		return []any{p.example(in, field, s.Items)}
	case w.sample != nil && kindOf(w.sample) == s.Type:
		return w.sample
	case s.Type == huma.TypeBoolean:
		return true
	case s.Type == huma.TypeString && s.Format == "date-time":
		return "2026-03-04T12:00:00Z"
	case s.Type == huma.TypeString:
		return "example"
	}
	return 1
}

func kindOf(v any) string {
	switch reflect.TypeOf(v).Kind() {
	case reflect.String:
		return huma.TypeString
	case reflect.Bool:
		return huma.TypeBoolean
	case reflect.Int:
		return huma.TypeInteger
	}
	return huma.TypeNumber
}
