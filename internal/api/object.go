package api

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"carom"
	"carom/internal/objects"
)

// What is the same for every noun of the configuration: lists, and one object shown, made, changed and removed. What may be said of
// one is known to package objects alone; the types of each noun describe it for the OpenAPI document.

// ObjectQuery selects objects of one noun. It is exported because huma reads only exported fields.
type ObjectQuery struct {
	App    string `query:"app" doc:"Only those of this app"`
	Q      string `query:"q" maxLength:"200" doc:"Only those whose name or title holds this text"`
	Before string `query:"before" doc:"The cursor: the next of the page before"`
	Limit  int    `query:"limit" minimum:"1" maximum:"10000" default:"1000"`
}

// Edit is what every change of one object can say beside its settings. It is exported because huma reads only exported fields.
type Edit struct {
	Conditions
	Preview
}

// Saved is an object that was just made or changed, or with dry_run would be.
type Saved[T any] struct {
	Object   T              `json:"object"`
	Made     *MadeSecret    `json:"made,omitempty" doc:"Of a source that is new: the URL to enter at the network"`
	Changes  []Change       `json:"changes" nullable:"false" doc:"What differs from before; empty: nothing"`
	Warnings []SetupProblem `json:"warnings" nullable:"false" doc:"What is probably not meant"`
}

// RemovedObjects says what went, or with dry_run would go.
type RemovedObjects struct {
	Changes []Change `json:"changes" nullable:"false" doc:"What goes"`
}

type objectOut[T any] struct {
	ETag string `header:"ETag" doc:"Names this state of the object, for If-Match"`
	Body T
}

type savedObjectOut[T any] struct {
	Status int
	ETag   string `header:"ETag" doc:"Names this state of the object, for If-Match"`
	Body   Saved[T]
}

type removedOut struct{ Body RemovedObjects }

// settingsOf fills a noun's type with what the file would say of an object.
func settingsOf[T any](object any) (T, error) {
	var out T
	text, err := json.Marshal(objects.Settings(object))
	if err != nil {
		return out, err
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&out); err != nil {
		return out, fmt.Errorf("show the settings of an object: %w", err)
	}
	return out, nil
}

// unmasker is a noun's type in whose texts what is secret may be masked. unmask puts back what is stored.
type unmasker interface{ unmask(stored any) error }

// rawSettings are settings in the form that package objects takes.
func rawSettings(config, stored any) (map[string]any, error) {
	if u, ok := config.(unmasker); ok {
		if err := u.unmask(stored); err != nil {
			return nil, err
		}
	}
	text, err := json.Marshal(config)
	if err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var out map[string]any
	return out, d.Decode(&out)
}

// rowsOf is one page of the objects of a noun, sorted by their ids, which show makes of them.
func rowsOf[T, O any](in *ObjectQuery, c caller, list []O, ref func(*O) (id objects.Ref, title string), show func(caller, *O) (*T, error)) (rows []T, next string, err error) {
	app := in.App
	if c.publisher == "" || app != "" { // a publisher's list is of all its apps: those alone are in it
		if app, err = c.narrow(app); err != nil {
			return nil, "", err
		}
	}
	type item struct {
		id     string
		object *O
	}
	var items []item
	q := strings.ToLower(in.Q)
	for i := range list {
		r, title := ref(&list[i])
		of := cmp.Or(r.App, r.Name)
		switch {
		case app != "" && (r.App != "" || r.Kind == objects.KindApp) && of != app:
		case !strings.Contains(strings.ToLower(r.ID()), q) && !strings.Contains(strings.ToLower(title), q):
		case in.Before != "" && r.ID() <= in.Before:
		default:
			items = append(items, item{r.ID(), &list[i]})
		}
	}
	slices.SortFunc(items, func(a, b item) int { return cmp.Compare(a.id, b.id) })
	if len(items) > in.Limit {
		items, next = items[:in.Limit], items[in.Limit-1].id
	}
	rows = make([]T, 0, len(items))
	for _, it := range items {
		row, err := show(c, it.object)
		if err != nil {
			return nil, "", err
		}
		rows = append(rows, *row)
	}
	return rows, next, nil
}

// noObject says that there is none, or none that the caller may see.
func noObject(r objects.Ref) error {
	return failf(carom.ErrNotFound, "there is no %s that you may see: GET /v1/%ss lists those that you may", r, r.Kind)
}

// find finds an object that the caller may see, as much of it as they may.
func find[O any](s *service, c caller, r objects.Ref) (*O, error) {
	found, ok := objects.Find(visible(c, s.Objects.Objects()), r).(*O)
	if !ok {
		return nil, noObject(r)
	}
	return found, nil
}

// get shows one object.
func get[T, O any](ctx context.Context, s *service, r objects.Ref, show func(caller, *O) (*T, error)) (*objectOut[T], error) {
	c := callerOf(ctx)
	object, err := find[O](s, c, r)
	if err != nil {
		return nil, err
	}
	out, err := show(c, object)
	if err != nil {
		return nil, err
	}
	return &objectOut[T]{s.etag(objects.Find(s.Objects.Objects(), r)), *out}, nil
}

// put makes or changes one object. config points to its settings, which are those of a type that describes them.
func put[T, O any](ctx context.Context, s *service, r objects.Ref, edit *Edit, config any, show func(caller, *O) (*T, error)) (*savedObjectOut[T], error) {
	if err := callerOf(ctx).all(); err != nil {
		return nil, err
	}
	s.change.Lock()
	defer s.change.Unlock()
	have := s.Objects.Objects()
	stored := objects.Find(have, r)
	if err := s.check(edit.Conditions, r, stored); err != nil {
		return nil, err
	}
	settings, err := rawSettings(config, stored)
	if err != nil {
		return nil, err
	}
	placed, err := objects.Put(have, r, settings, objects.Env{Profiles: s.Profiles})
	if err != nil {
		return nil, inWords(err)
	}
	changes := ChangesOf(objects.Diff(have, placed.Objects, true))
	if err := s.putInForce(ctx, placed.Objects, changes, edit.DryRun, r); err != nil {
		return nil, err
	}
	after, _ := objects.Find(placed.Objects, r).(*O)
	object, err := show(callerOf(ctx), after)
	if err != nil {
		return nil, err
	}
	out := &savedObjectOut[T]{Status: http.StatusOK, ETag: s.etag(after), Body: Saved[T]{Object: *object, Changes: changes, Warnings: []SetupProblem{}}}
	if stored == nil && !edit.DryRun {
		out.Status = http.StatusCreated
	}
	for _, w := range placed.Warnings {
		out.Body.Warnings = append(out.Body.Warnings, SetupProblem{Level: levelWarning, Field: w.Field, Message: w.Message})
	}
	if source, ok := any(after).(*carom.Source); ok && placed.Made && !edit.DryRun {
		out.Body.Made = &MadeSecret{Source: source.ID(), URL: s.SourceURL(*source, placed.Secret)}
	}
	return out, nil
}

// remove removes one object; with all, an app with everything in it.
func (s *service) remove(ctx context.Context, r objects.Ref, edit *Edit, all bool) (*removedOut, error) {
	if err := callerOf(ctx).all(); err != nil {
		return nil, err
	}
	s.change.Lock()
	defer s.change.Unlock()
	have := s.Objects.Objects()
	stored := objects.Find(have, r)
	if stored == nil {
		return nil, noObject(r)
	}
	if err := s.check(edit.Conditions, r, stored); err != nil {
		return nil, err
	}
	want, err := objects.Remove(have, r, all)
	if err != nil {
		return nil, inWords(err)
	}
	changes := ChangesOf(objects.Diff(have, want, true))
	if err := s.putInForce(ctx, want, changes, edit.DryRun, r); err != nil {
		return nil, err
	}
	return &removedOut{RemovedObjects{changes}}, nil
}

// putInForce stores want and puts it in force, if it differs from what is. The caller holds s.change.
func (s *service) putInForce(ctx context.Context, want carom.Objects, changes []Change, dryRun bool, about objects.Ref) error {
	if dryRun {
		return nil
	}
	if file := s.Objects.File(); file != "" {
		return failf(carom.ErrConflict, "the objects come from %s and are read-only here: change the %s there, the file is read again by itself", file, about)
	}
	if len(changes) == 0 {
		return nil
	}
	if err := s.Objects.Apply(ctx, want); err != nil {
		return fmt.Errorf("change the %s: %w", about, err)
	}
	for _, ch := range changes {
		s.Log.InfoContext(ctx, "object changed", "action", ch.Action, "kind", ch.Kind, "id", ch.ID, "who", callerOf(ctx).name)
	}
	return nil
}

// inWords leaves the kind out of the text of an error of package objects.
func inWords(err error) error {
	for _, kind := range []error{carom.ErrNotFound, carom.ErrConflict} {
		if errors.Is(err, kind) {
			return failf(kind, "%s", strings.TrimSuffix(err.Error(), ": "+kind.Error()))
		}
	}
	return err
}

// ChangesOf is what package objects found to differ, as /v1 shows it.
func ChangesOf(changes []objects.Change) []Change {
	out := make([]Change, len(changes))
	for i, c := range changes {
		out[i] = Change{Kind: string(c.Kind), ID: c.ID, Action: string(c.Action)}
		for _, f := range c.Fields {
			out[i].Fields = append(out[i].Fields, FieldChange(f))
		}
	}
	return out
}

// secretsOf shows secrets of which nothing is shown but their end.
func secretsOf(list []carom.SigningSecret) []SourceSecret {
	out := []SourceSecret{}
	for _, secret := range list {
		out = append(out, SourceSecret{NotAfter: secret.NotAfter})
	}
	return out
}

// notMasked refuses a text in which *** stands for a secret that nothing is known of.
func notMasked(field, text string) error {
	if strings.Contains(text, mask) {
		return carom.Invalid(field, "*** stands where a secret was hidden: write the secret itself, or leave host and parameter as they were")
	}
	return nil
}
