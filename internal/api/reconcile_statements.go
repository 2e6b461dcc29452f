package api

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"path"
	"strings"
	"time"

	"carom"
	"carom/internal/reconcile"

	"github.com/danielgtaylor/huma/v2"
)

// Statement is a file of statistics that a network gave for a source.
type Statement struct {
	ID       carom.StatementID `json:"id,omitempty" doc:"Absent after a dry run"`
	At       time.Time         `json:"at,omitzero" doc:"When it was imported"`
	By       string            `json:"by,omitempty" doc:"Who imported it"`
	Source   string            `json:"source" doc:"app/source"`
	File     string            `json:"file,omitempty" doc:"Its name, as it was given"`
	SHA256   string            `json:"sha256" doc:"Of its bytes"`
	Map      string            `json:"map" doc:"The column map that it was read with; own for one that was given"`
	Currency string            `json:"currency,omitempty"`
	DayZone  string            `json:"day_zone,omitempty" doc:"Of its days; absent when nobody said"`
	From     string            `json:"from" doc:"Its first day"`
	To       string            `json:"to" doc:"Its last day"`
	Rows     int               `json:"rows"`
	Notes    []string          `json:"notes" nullable:"false" doc:"What was left out, or assumed"`
}

// StatementRow is what the network says of one day, zone and sub-zone.
type StatementRow struct {
	Day         string `json:"day"`
	Zone        string `json:"zone,omitempty"`
	SubZone     string `json:"sub_zone,omitempty"`
	Impressions *int64 `json:"impressions,omitempty"`
	Clicks      *int64 `json:"clicks,omitempty"`
	Valued      *int64 `json:"valued,omitempty"`
	Revenue     string `json:"revenue,omitempty"`
}

// ImportedStatement is what came of importing a file.
type ImportedStatement struct {
	Statement Statement      `json:"statement"`
	Again     bool           `json:"again" doc:"The same file was imported before and read in the same way: nothing was kept again"`
	DryRun    bool           `json:"dry_run"`
	Rows      []StatementRow `json:"rows,omitempty" nullable:"false" doc:"What was read, after a dry run"`
}

// StatementList is statements, newest first.
type StatementList struct {
	Statements []Statement `json:"statements" nullable:"false"`
}

// StatementStory is one statement with its rows, by day.
type StatementStory struct {
	Statement Statement      `json:"statement"`
	Rows      []StatementRow `json:"rows" nullable:"false"`
}

func toStatement(st *carom.Statement) Statement {
	return Statement{
		ID: st.ID, At: st.At, By: st.By, Source: st.App + "/" + st.Source, File: st.File, SHA256: st.SHA256, Map: st.Map, Currency: st.Currency,
		DayZone: st.DayZone, From: st.From, To: st.To, Rows: st.Rows, Notes: append([]string{}, st.Notes...),
	}
}

func toStatementRows(rows []carom.StatementRow) []StatementRow {
	out := make([]StatementRow, len(rows))
	for i, r := range rows {
		out[i] = StatementRow{r.Day, r.Zone, r.SubZone, r.Impressions, r.Clicks, r.Valued, r.Revenue.String()}
	}
	return out
}

type importIn struct {
	Selection
	Network  string `query:"network" doc:"Whose column map reads the file. Without it: that of the source's profile, or the generic one"`
	Map      string `query:"map" doc:"A column map of your own, as YAML"`
	Currency string `query:"currency" doc:"Of the revenue, three letters. Without it: what the file or the map says"`
	DayZone  string `query:"day_zone" doc:"The time zone of the file's days by its IANA name. Without it: what the map says"`
	File     string `query:"file" doc:"The name of the file, to know it again by"`
	DryRun   bool   `query:"dry_run" doc:"Only read it"`
	RawBody  []byte `contentType:"text/csv"`
}

type importOut struct{ Body ImportedStatement }

// importStatement reads a network's file and keeps it. A file with a bad line is not kept at all.
func (s *service) importStatement(ctx context.Context, in *importIn) (*importOut, error) {
	app, source, err := s.oneSource(ctx, in.Selection)
	if err != nil {
		return nil, err
	}
	columns, err := s.columns(in, app, source)
	if err != nil {
		return nil, err
	}
	name := path.Base(strings.ReplaceAll(in.File, `\`, "/"))
	if in.File == "" {
		name = ""
	}
	if len(name) > 255 {
		name = name[:255]
	}
	st, rows, err := reconcile.Read(in.RawBody, columns, reconcile.ReadOptions{
		File: strings.ToValidUTF8(name, "?"), Currency: in.Currency, DayZone: in.DayZone,
	})
	if err != nil {
		return nil, err
	}
	st.App, st.Source, st.At, st.By = app, source, s.now(), callerOf(ctx).name
	out := &importOut{ImportedStatement{Statement: toStatement(&st), DryRun: in.DryRun}}
	if in.DryRun {
		out.Body.Statement.At, out.Body.Statement.By, out.Body.Rows = time.Time{}, "", toStatementRows(rows)
		return out, nil
	}
	made, again, err := s.Store.AddStatement(ctx, st, rows)
	if err != nil {
		return nil, fmt.Errorf("import statement: %w", err)
	}
	out.Body.Statement, out.Body.Again = toStatement(&made), again
	s.Log.InfoContext(ctx, "statement imported", "who", st.By, "source_id", app+"/"+source, "statement_id", string(made.ID), "rows", made.Rows, "again", again)
	return out, nil
}

// columns is the column map that a request asks for.
func (s *service) columns(in *importIn, app, source string) (*reconcile.Columns, error) {
	switch {
	case in.Map != "" && in.Network != "":
		return nil, carom.Invalid("map", "give a column map of your own or the network, not both")
	case in.Map != "":
		return reconcile.ParseColumns(in.Map)
	case in.Network == "":
		o := s.Objects.Objects()
		return reconcile.ColumnsOf(profileOf(&o, app, source))
	}
	columns, err := reconcile.ColumnsOf(in.Network)
	if err == nil && columns.Name != in.Network && s.Profiles[in.Network] == nil {
		return nil, carom.Invalid("network", "%.40q is no network: column maps are there for %s", in.Network, strings.Join(reconcile.MapNames(), ", "))
	}
	return columns, err
}

type statementsIn struct {
	Selection
	Limit int `query:"limit" minimum:"1" maximum:"1000" default:"50"`
}

type statementsOut struct{ Body StatementList }

func (s *service) listStatements(ctx context.Context, in *statementsIn) (*statementsOut, error) {
	app, source, err := in.resolve(callerOf(ctx))
	if err != nil {
		return nil, err
	}
	list, err := s.Store.Statements(ctx, carom.StatementFilter{App: app, Source: source, Limit: in.Limit})
	if err != nil {
		return nil, fmt.Errorf("list statements: %w", err)
	}
	out := &statementsOut{StatementList{Statements: []Statement{}}}
	for i := range list {
		out.Body.Statements = append(out.Body.Statements, toStatement(&list[i]))
	}
	return out, nil
}

type statementIn struct {
	ID string `path:"id" example:"stm_0c5g21r0000010000000k"`
}

type statementOut struct{ Body StatementStory }

func (s *service) getStatement(ctx context.Context, in *statementIn) (*statementOut, error) {
	st, rows, err := s.Store.Statement(ctx, carom.StatementID(in.ID))
	if err == nil && !callerOf(ctx).sees(st.App) {
		err = carom.ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("statement: %w", err)
	}
	return &statementOut{StatementStory{toStatement(&st), toStatementRows(rows)}}, nil
}

// tabular is an answer that can also be given as CSV.
type tabular interface{ Table() [][]string }

const csvType = "text/csv"

// csvFormat writes answers as CSV to those who ask for text/csv.
func csvFormat() huma.Format {
	return huma.Format{Marshal: func(w io.Writer, v any) error {
		if t, ok := v.(tabular); ok {
			return reconcile.WriteCSV(w, t.Table())
		}
		return json.NewEncoder(w).Encode(v)
	}}
}

// onlyTables answers with JSON wherever there is nothing tabular, whatever the caller accepts.
func onlyTables(ctx huma.Context, next func(huma.Context)) {
	switch ctx.Operation().OperationID {
	case "get-reconcile", "compare-statements":
	default:
		ctx = withoutAccept{ctx}
	}
	next(ctx)
}

// inner is huma's context under a name that its own method Context leaves free.
type inner = huma.Context

type withoutAccept struct{ inner }

// Unwrap lets the adapter find its own context.
func (c withoutAccept) Unwrap() huma.Context { return c.inner }

// Header leaves out what the caller accepts.
func (c withoutAccept) Header(name string) string {
	if strings.EqualFold(name, "Accept") {
		return ""
	}
	return c.inner.Header(name)
}

// describeTables adds CSV to what the OpenAPI document says of reports.
func describeTables(a huma.API) {
	for _, p := range []string{"/v1/reconcile", "/v1/reconcile/comparison"} {
		a.OpenAPI().Paths[p].Get.Responses["200"].Content[csvType] = &huma.MediaType{Schema: &huma.Schema{
			Type: huma.TypeString, Description: "The same as CSV for spreadsheets, to those who accept text/csv",
		}}
	}
}
