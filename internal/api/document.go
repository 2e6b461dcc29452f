package api

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// tags says what each group of routes is about. A route is in the group that its path begins with.
func tags() map[string]string {
	return map[string]string{
		"alerts":     "What people were told of, and whether they can be told.",
		"apply":      "Everything that is configured, as one objects file.",
		"apps":       "Mini Apps, games and sites: what postbacks are about.",
		"attempts":   "HTTP exchanges made for deliveries, newest first.",
		"audit":      "Who changed what, and who was refused.",
		"backup":     "A copy of everything, while it is in use.",
		"balances":   "What users have.",
		"creatives":  "House creatives: ads of the operator's own.",
		"deliveries": "Events and rewards owed to endpoints, with the attempts made for them.",
		"dialects":   "Other ways to write macros than carom's.",
		"endpoints":  "Ways out: where postbacks are sent, and how that goes.",
		"events":     "Verified ad actions with what became of them, and reports of trusted servers.",
		"filters":    "Filters that the signed-in member has saved.",
		"keys":       "API keys: who may ask what.",
		"ledger":     "Credits and debits, which balances are the sum of.",
		"live":       "What comes in and goes out, as it happens.",
		"macros":     "What templates can hold.",
		"members":    "The people who may sign in, and what each may do.",
		"networks":   "The ad networks that carom knows.",
		"nodes":      "The processes that share a database.",
		"objects":    "Everything that is configured, without secrets.",
		"overview":   "How today goes, beside yesterday.",
		"publishers": "What publishers set up by themselves: apps, zones, endpoints.",
		"quickstart": "Connecting a network in one step.",
		"received":   "Postbacks that became no event: refused, or unverified.",
		"reconcile":  "Why a network's numbers differ from what was counted.",
		"reports":    "Counts over days: by what, how far, how fast, why not.",
		"reprocess":  "Judging again, after a fix, what was held or refused.",
		"resend":     "Sending again what ended without success.",
		"rewards":    "What views and people entitled users to.",
		"rules":      "Which events earn what.",
		"search":     "Finding anything by what is known of it.",
		"session":    "Signing in and out.",
		"settings":   "The settings of the process.",
		"setup-link": "The link that makes the first operator.",
		"sources":    "Ways in: where postbacks come from, and whether they are believed.",
		"stats":      "Counts of postbacks and deliveries.",
		"status":     "Whether money is being lost, since when, whose fault it is, and what to do.",
		"stories":    "All that is known about one thing, whatever it is.",
		"tail":       "Events as they come.",
		"users":      "What is kept about a person: getting it, erasing it.",
		"version":    "What runs.",
		"views":      "Showings of ads that an app asked for.",
		"zones":      "Where ads are shown: main zones with their sub-zones.",
	}
}

// tidy makes a whole document of what the routes have registered: what huma declares for errors of its own goes, since these
// never leave this package, and all is described.
func tidy(doc *huma.OpenAPI) {
	schemas := doc.Components.Schemas.Map()
	delete(schemas, "ErrorModel")
	delete(schemas, "ErrorDetail")
	doc.Info.License = &huma.License{Name: "Apache-2.0", Identifier: "Apache-2.0"}
	doc.Servers = []*huma.Server{{
		URL: "{base_url}", Description: "A server of yours",
		Variables: map[string]*huma.ServerVariable{"base_url": {Default: "http://127.0.0.1:8080", Description: "Where it is reached: its setting base_url"}},
	}}
	body := doc.Paths["/v1/apply"].Post.RequestBody
	yaml := &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeString, Description: "An objects file: publishers and apps, with their sources and endpoints"}, Example: "apps: {}\n"}
	body.Content = map[string]*huma.MediaType{"application/yaml": yaml, "text/yaml": yaml}

	describeOnce(doc)
	explained, used := words(), map[string]bool{}
	for _, op := range operationsOf(doc) {
		describeOperation(op, explained)
		for _, tag := range op.Tags {
			used[tag] = true
		}
	}
	about := tags()
	for _, tag := range slices.Sorted(maps.Keys(used)) {
		doc.Tags = append(doc.Tags, &huma.Tag{Name: tag, Description: about[tag]})
	}
	for name, schema := range schemas {
		describeProperties(name, schema, explained)
	}
}

// operationsOf lists the operations of a document by path and method.
func operationsOf(doc *huma.OpenAPI) []*huma.Operation {
	var list []*huma.Operation
	for _, path := range slices.Sorted(maps.Keys(doc.Paths)) {
		item := doc.Paths[path]
		for _, op := range []*huma.Operation{item.Get, item.Post, item.Put, item.Patch, item.Delete} {
			if op != nil {
				list = append(list, op)
			}
		}
	}
	return list
}

// describeOperation says of an operation what its route does not.
func describeOperation(op *huma.Operation, explained map[string]word) {
	for _, p := range op.Parameters {
		w := explained[p.Name]
		p.Description = cmp.Or(p.Description, w.meaning)
		if p.In == "path" && p.Example == nil && len(p.Schema.Examples) == 0 {
			p.Example = w.sample
		}
	}
	for status, r := range op.Responses {
		switch {
		case strings.HasPrefix(status, "2") && r.Content == nil:
			r.Description = "It is done; there is nothing to say"
		case r.Description == "OK":
			r.Description = "The answer"
		case r.Description == "Created":
			r.Description = "It is made"
		}
	}
}

// describeProperties gives the properties of a schema that have no description the one of their word.
func describeProperties(name string, schema *huma.Schema, explained map[string]word) {
	for property, p := range schema.Properties {
		w, special := explained[name+"."+property]
		if !special {
			w = explained[property]
		}
		if p.Ref == "" {
			p.Description = cmp.Or(p.Description, w.meaning)
		}
	}
}
