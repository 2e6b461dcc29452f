package api

import (
	"context"

	"carom"
	"carom/internal/objects"
	"carom/internal/route"
)

// DialectConfig is what is set for a dialect.
type DialectConfig struct {
	Open   string            `json:"open" example:"[" doc:"What stands before a macro's name"`
	Close  string            `json:"close" example:"]" doc:"What stands behind it"`
	Macros map[string]string `json:"macros,omitempty" doc:"Names of the dialect with carom's, such as click_id with ymid. carom's own names count as well"`
}

// DialectObject is a dialect as it is set.
type DialectObject struct {
	Name string `json:"name" readOnly:"true"`
	DialectConfig
}

// DialectList is a page of dialects.
type DialectList struct {
	Dialects []DialectObject `json:"dialects" nullable:"false"`
	Next     string          `json:"next,omitempty" doc:"Give it as before to get the next page; absent on the last one"`
	File     string          `json:"file,omitempty" doc:"The file they come from; they are read-only here while there is one"`
}

type replaceDialectIn struct {
	NamePath
	Edit
	Body DialectObject
}

type dialectsOut struct{ Body DialectList }

func showDialect(_ caller, d *carom.Dialect) (*DialectObject, error) {
	config, err := settingsOf[DialectConfig](d)
	return &DialectObject{d.Name, config}, err
}

func (s *service) listDialects(ctx context.Context, in *ObjectQuery) (*dialectsOut, error) {
	c := callerOf(ctx)
	rows, next, err := rowsOf(in, c, visible(c, s.Objects.Objects()).Dialects, func(d *carom.Dialect) (objects.Ref, string) {
		return objects.Ref{Kind: objects.KindDialect, Name: d.Name}, ""
	}, showDialect)
	return &dialectsOut{DialectList{rows, next, s.Objects.File()}}, err
}

func (s *service) getDialect(ctx context.Context, in *NamePath) (*objectOut[DialectObject], error) {
	return get(ctx, s, in.ref(objects.KindDialect), showDialect)
}

func (s *service) replaceDialect(ctx context.Context, in *replaceDialectIn) (*savedObjectOut[DialectObject], error) {
	return put(ctx, s, in.ref(objects.KindDialect), &in.Edit, &in.Body.DialectConfig, showDialect)
}

func (s *service) removeDialect(ctx context.Context, in *removeNamedIn) (*removedOut, error) {
	return s.remove(ctx, in.ref(objects.KindDialect), &in.Edit, false)
}

// MacroList is what a template can hold.
type MacroList struct {
	Macros   []SetupMacro   `json:"macros" nullable:"false" doc:"As carom writes them"`
	Dialects []SetupDialect `json:"dialects" nullable:"false" doc:"The other ways to write them"`
}

type macrosOut struct{ Body MacroList }

func (s *service) listMacros(ctx context.Context, _ *struct{}) (*macrosOut, error) {
	return &macrosOut{macrosOf(visible(callerOf(ctx), s.Objects.Objects()).Dialects)}, nil
}

// macrosOf is what a template can hold, in carom's notation and in the dialects.
func macrosOf(dialects []carom.Dialect) MacroList {
	list := MacroList{Macros: []SetupMacro{}, Dialects: []SetupDialect{}}
	for _, m := range route.Macros() {
		list.Macros = append(list.Macros, SetupMacro{Name: m.Name, Written: route.WriteMacro(nil, m.Name), Meaning: m.Meaning, Sample: m.Sample})
	}
	for i := range dialects {
		list.Dialects = append(list.Dialects, dialectOf(&dialects[i]))
	}
	return list
}
