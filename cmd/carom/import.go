package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"carom"
	"carom/internal/api"
	"carom/internal/route"
	"carom/internal/templates"

	"github.com/spf13/cobra"
)

// importFlags are the flags of carom import.
type importFlags struct {
	dialect, open, shut             string
	aliases, columns                []string
	out                             string
	apply, yes, skipFaulty, verbose bool
}

// imported is what carom import prints as JSON.
type imported struct {
	File    string              `json:"file"`
	Fine    int                 `json:"fine"`
	Copies  int                 `json:"copies"`
	Faulty  int                 `json:"faulty"`
	Rows    []importedRow       `json:"rows"`
	Faults  []*carom.FieldError `json:"faults"` // of the file as a whole
	Ignored []string            `json:"ignored_columns"`
	Guess   *guessed            `json:"guess,omitempty"`
	Applied bool                `json:"applied"`
	Changes []api.Change        `json:"changes,omitempty"`
}

// importedRow is one template.
type importedRow struct {
	*templates.Row
	Endpoint string `json:"endpoint,omitempty"` // its name
	Sample   string `json:"sample,omitempty"`   // the URL with sample values, secrets masked
}

// guessed is what the templates look like they are written in.
type guessed struct {
	Read    bool           `json:"read"` // whether they were read so
	Open    string         `json:"open"`
	Close   string         `json:"close"`
	Unknown map[string]int `json:"unknown"` // names without a macro, and how often each of them stands there
}

func (c *cli) importCommand() *cobra.Command {
	var f importFlags
	cmd := &cobra.Command{
		Use:   "import FILE.csv",
		Short: "Read the URL templates of many publishers from a CSV file into endpoints",
		Long: `Reads a CSV file with a line for each URL template, and says of every one whether it is fine, and if not, what to correct. Nothing
is changed without --apply. The columns are found by their names: publisher, app, zone, name, method, event_types, values, url.
Without a zone, a template is for all zones of the app that no other names.

Templates are stored as they are. Where they write macros in another way than carom, name the dialect: one that the server has, or
one that the flags describe. The exit code is 1 when a line has a fault.`,
		Example: `  carom import templates.csv
  carom import templates.csv --dialect tracker --open '[' --close ']' --alias click_id=ymid --alias payout=estimated_price
  carom import templates.csv --dialect tracker --column url=Ziel --apply
  carom import templates.csv --out endpoints.yaml --skip-faulty`,
		Args: cobra.ExactArgs(1),
		RunE: run(func(ctx context.Context, args []string) error { return c.importTemplates(ctx, args[0], &f) }),
	}
	flags := cmd.Flags()
	flags.StringVar(&f.dialect, "dialect", "", "the dialect that the templates are written in; with --open, the name of a new one (default: templates)")
	flags.StringVar(&f.open, "open", "", "what stands before the name of a macro, such as [")
	flags.StringVar(&f.shut, "close", "", "what stands behind it, such as ]")
	flags.StringArrayVar(&f.aliases, "alias", nil, "a name of the dialect with carom's, such as payout=estimated_price; may be given more than once")
	flags.StringArrayVar(&f.columns, "column", nil, "what is read from which column, such as url=postback; may be given more than once")
	flags.StringVar(&f.out, "out", "", "write the templates without faults to an objects file; - is the standard output")
	flags.BoolVar(&f.apply, "apply", false, "put the endpoints in force")
	flags.BoolVar(&f.yes, "yes", false, "do not ask when --apply changes what is there already")
	flags.BoolVar(&f.skipFaulty, "skip-faulty", false, "leave out lines with faults; without it, nothing is applied or written while there are some")
	flags.BoolVarP(&f.verbose, "verbose", "v", false, "show the first templates with sample values")
	cmd.MarkFlagsMutuallyExclusive("apply", "out")
	return cmd
}

func (c *cli) importTemplates(ctx context.Context, file string, f *importFlags) error {
	text, err := c.readTemplates(file)
	if err != nil {
		return err
	}
	have, err := c.objectsFor(ctx, f)
	if err != nil {
		return err
	}
	options, err := f.options(have)
	if err != nil {
		return err
	}
	result := templates.Read(text, options)
	report := c.reportOf(file, result)
	if open, shut, unknown := templates.Guess(text, options); open != "" && (len(unknown) > 0 || open != openOf(options.Dialect)) {
		report.Guess = &guessed{open == openOf(options.Dialect), open, shut, unknown}
	}
	problem := f.refuses(&report, options.Dialect)
	var yaml []byte
	if problem == nil && (f.apply || f.out != "") {
		o := result.Objects(have)
		if yaml, err = fileOf(o); err != nil {
			return err
		}
		if f.out == "-" {
			_, err := c.out.Write(yaml)
			return err
		}
		if err := c.carryOut(ctx, f, yaml, &report); err != nil {
			return err
		}
	}
	err = c.print(report, func(w io.Writer) {
		writeImported(w, &report, f.verbose)
		switch {
		case yaml == nil:
		case f.out != "":
			_, _ = fmt.Fprintf(w, "Written to %s: check it with `carom check -f`, and add it to your objects file.\n", plain(f.out))
		default:
			writeCounted(w, report.Changes)
		}
	})
	if err != nil {
		return err
	}
	return problem
}

// readTemplates reads the file, or the standard input for "-".
func (c *cli) readTemplates(file string) ([]byte, error) {
	in := c.in
	if file != "-" {
		opened, err := os.Open(file)
		if err != nil {
			return nil, usagef("%w: name a CSV file with templates", err)
		}
		defer func() { _ = opened.Close() }() // it was only read
		in = opened
	}
	text, err := io.ReadAll(io.LimitReader(in, templates.MaxBytes+1))
	if err != nil {
		return nil, usagef("read %s: %w", file, err)
	}
	return text, nil
}

// objectsFor asks the server what it has. A dry run works without one, and says so.
func (c *cli) objectsFor(ctx context.Context, f *importFlags) (carom.Objects, error) {
	cl, err := c.client()
	if err != nil {
		return carom.Objects{}, err
	}
	list, err := cl.objects(ctx)
	var unreachable *unreachableError
	if errors.As(err, &unreachable) && !f.apply && (f.dialect == "" || f.open != "") {
		_, _ = fmt.Fprintln(c.errOut, "No server answers: templates are not compared with the apps, zones and dialects that are there.")
		return carom.Objects{}, nil
	}
	if err != nil {
		return carom.Objects{}, err
	}
	if f.apply && list.File != "" {
		return carom.Objects{}, usagef("the objects come from %s and are read-only here: write the endpoints to a file with --out, and add them there", list.File)
	}
	have := carom.Objects{Publishers: list.Publishers, Apps: list.Apps, Dialects: list.Dialects}
	for _, z := range list.Zones {
		have.Zones = append(have.Zones, carom.Zone{App: z.App, ID: z.ID})
	}
	return have, nil
}

// options turns the flags, and what is there already, into options of the reading.
func (f *importFlags) options(have carom.Objects) (templates.Options, error) {
	o := templates.Options{
		Apps: func(publisher string) (names []string) {
			for _, a := range have.Apps {
				if a.Publisher == publisher {
					names = append(names, a.Name)
				}
			}
			return names
		},
		Zones: func(app string) (ids []string) {
			for i := range have.Zones {
				if have.Zones[i].App == app {
					ids = append(ids, have.Zones[i].ID)
				}
			}
			return ids
		},
		Owner: func(app string) (string, bool) {
			i := slices.IndexFunc(have.Apps, func(a carom.App) bool { return a.Name == app })
			if i < 0 {
				return "", false
			}
			return have.Apps[i].Publisher, true
		},
	}
	var err error
	if o.Columns, err = assignments("column", "url=postback", f.columns); err != nil {
		return o, err
	}
	o.Dialect, err = f.dialectOf(have.Dialects)
	return o, err
}

// dialectOf is the dialect that the flags describe, or name. Nil is carom's own notation.
func (f *importFlags) dialectOf(have []carom.Dialect) (*carom.Dialect, error) {
	aliases, err := assignments("alias", "payout=estimated_price", f.aliases)
	switch {
	case err != nil:
		return nil, err
	case (f.open == "") != (f.shut == ""):
		return nil, usagef("give both --open and --close, such as --open '[' --close ']'")
	case f.dialect == "" && f.open == "" && len(aliases) == 0:
		return nil, nil
	}
	d := carom.Dialect{Name: f.dialect, Open: f.open, Close: f.shut, Macros: map[string]string{}}
	if d.Name == "" {
		d.Name = "templates"
	}
	if err := carom.CheckName("--dialect", d.Name); err != nil {
		return nil, &exitError{exitUsage, err}
	}
	if d.Open == "" {
		known := slices.IndexFunc(have, func(k carom.Dialect) bool { return k.Name == f.dialect })
		switch {
		case known >= 0:
			d.Open, d.Close = have[known].Open, have[known].Close
			maps.Copy(d.Macros, have[known].Macros)
		case f.dialect != "":
			return nil, usagef("the server has no dialect %q: describe it with --open, --close and --alias", f.dialect)
		default:
			d.Open, d.Close = "{", "}" // carom's delimiters with other names
		}
	}
	maps.Copy(d.Macros, aliases)
	if err := route.CheckDialect(&d); err != nil {
		faults := faultsOf(err, nil)
		for i := range faults {
			if name, ok := strings.CutPrefix(faults[i].Field, "macros."); ok {
				faults[i].Field = "alias " + name
			}
			faults[i].Field = "--" + faults[i].Field
		}
		var lines []error
		for i := range faults {
			lines = append(lines, &faults[i])
		}
		return nil, &exitError{exitUsage, errors.Join(lines...)}
	}
	return &d, nil
}

func openOf(d *carom.Dialect) string {
	if d == nil {
		return "{"
	}
	return d.Open
}

// assignments reads flags of the form name=value.
func assignments(flag, sample string, list []string) (map[string]string, error) {
	out := make(map[string]string, len(list))
	for _, text := range list {
		name, value, ok := strings.Cut(text, "=")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		if _, twice := out[name]; !ok || name == "" || value == "" || twice {
			return nil, usagef("--%s %q cannot be read: write it once, as --%s %s", flag, text, flag, sample)
		}
		out[name] = value
	}
	return out, nil
}

func (c *cli) reportOf(file string, result *templates.Result) imported {
	r := imported{File: file, Rows: make([]importedRow, len(result.Rows)), Faults: result.Faults, Ignored: result.Ignored}
	r.Fine, r.Copies, r.Faulty = result.Counts()
	for i := range result.Rows {
		row := &result.Rows[i]
		r.Rows[i] = importedRow{Row: row, Endpoint: row.Endpoint.Name}
		if row.Compiled != nil {
			if req, err := row.Compiled.Preview(); err == nil { // an endpoint for events renders every event
				r.Rows[i].Sample = req.ShownURL
			}
		}
		for _, fe := range row.Faults {
			fe.File = file
		}
	}
	for _, fe := range r.Faults {
		fe.File = file
	}
	if r.Faults == nil {
		r.Faults = []*carom.FieldError{}
	}
	if r.Ignored == nil {
		r.Ignored = []string{}
	}
	return r
}

// refuses says why nothing is applied or written, or that lines have faults.
func (f *importFlags) refuses(r *imported, d *carom.Dialect) error {
	act := f.apply || f.out != ""
	switch {
	case d == nil && r.Guess != nil && !r.Guess.Read:
		// Macros that are sent as text are worth nothing to any publisher. Who means them so names a dialect.
		return &exitError{exitProblem, fmt.Errorf("most templates write macros as %[1]sname%[2]s, and were read as {name}: give --open '%[1]s' --close '%[2]s'",
			r.Guess.Open, r.Guess.Close)}
	case len(r.Faults) > 0, r.Faulty > 0 && !act:
		return &exitError{code: exitProblem}
	case r.Faulty > 0 && !f.skipFaulty:
		return &exitError{exitProblem, errors.New("nothing was done: correct the lines with faults, or leave them out with --skip-faulty")}
	case act && r.Fine == 0:
		return &exitError{exitProblem, errors.New("nothing was done: no template is without a fault")}
	}
	return nil
}

// maxApplied is how large an objects file may be, see internal/objects.
const maxApplied = 4 << 20

// fileOf writes the objects file that an import applies.
func fileOf(o carom.Objects) ([]byte, error) {
	yaml, err := templates.File(o)
	if err != nil {
		return nil, fmt.Errorf("write the objects: %w", err)
	}
	if len(yaml) > maxApplied {
		return nil, usagef("the endpoints make an objects file of %d bytes, and %d are read at once: split the file", len(yaml), maxApplied)
	}
	return yaml, nil
}

// carryOut writes the file, or puts the endpoints in force.
func (c *cli) carryOut(ctx context.Context, f *importFlags, yaml []byte, report *imported) error {
	if f.out != "" {
		return os.WriteFile(f.out, yaml, 0o600)
	}
	cl, err := c.client()
	if err != nil {
		return err
	}
	would, err := cl.apply(ctx, yaml, true, false)
	if err != nil {
		return err
	}
	changed, err := changesOf(would.Changes)
	if err != nil {
		return err
	}
	if len(changed) > 0 && !f.yes {
		writeChanges(c.errOut, changed)
		if err := c.confirm("Change what is there already?"); err != nil {
			return err
		}
	}
	done, err := cl.apply(ctx, yaml, false, false)
	if err != nil {
		return err
	}
	report.Applied = done.Applied
	for _, ch := range done.Changes {
		if ch.Action != "kept" {
			report.Changes = append(report.Changes, ch)
		}
	}
	return nil
}

// changesOf returns what an apply would change of what is there already. What an import cannot write whole it must not change.
func changesOf(all []api.Change) ([]api.Change, error) {
	var changed []api.Change
	for _, ch := range all {
		if ch.Action != "changed" {
			continue
		}
		changed = append(changed, ch)
		for _, f := range ch.Fields {
			lost := f.Before != "" && f.After == ""
			if ch.Kind == "app" || ch.Kind == "publisher" || lost && strings.HasPrefix(f.Before, "(") {
				return nil, &exitError{exitProblem, fmt.Errorf("nothing was done: the %s %s has %s, which an import would take away: "+
					"write the endpoints to a file with --out, and add them to your objects file by hand", ch.Kind, ch.ID, f.Field)}
			}
		}
	}
	return changed, nil
}

func writeImported(w io.Writer, r *imported, verbose bool) {
	for _, fe := range r.Faults {
		_, _ = fmt.Fprintln(w, plain(fe.Error()))
	}
	if len(r.Rows) > 0 {
		table(w, importedRows(r.Rows))
	}
	writeWarnings(w, r.Rows)
	if verbose {
		writeSamples(w, r.Rows)
	}
	if len(r.Ignored) > 0 {
		_, _ = fmt.Fprintf(w, "\nNot read: the columns %s.\n", plain(strings.Join(r.Ignored, ", ")))
	}
	writeGuess(w, r.Guess)
	total := r.Fine + r.Copies + r.Faulty
	_, _ = fmt.Fprintf(w, "\n%d of %d are fine", r.Fine, total)
	if r.Faulty > 0 {
		_, _ = fmt.Fprintf(w, ", %d with faults", r.Faulty)
	}
	if r.Copies > 0 {
		_, _ = fmt.Fprintf(w, ", %d left out as copies", r.Copies)
	}
	_, _ = fmt.Fprintln(w, ".")
}

func importedRows(list []importedRow) [][]string {
	rows := [][]string{{"LINE", "PUBLISHER", "APP", "ZONE", "ENDPOINT", "RESULT"}}
	for _, r := range list {
		row := []string{fmt.Sprint(r.Line), orDash(r.Publisher), orDash(r.App), clip(orDash(r.Zone), 20), orDash(r.Endpoint)}
		switch {
		case r.CopyOf > 0 && len(r.Faults) == 0:
			rows = append(rows, append(row, fmt.Sprintf("copy of line %d", r.CopyOf)))
			continue
		case len(r.Faults) > 0:
		case len(r.Warnings) > 0:
			rows = append(rows, append(row, fmt.Sprintf("ok, %s", many(len(r.Warnings), "warning"))))
			continue
		default:
			rows = append(rows, append(row, "ok"))
			continue
		}
		for i, fe := range r.Faults {
			if i > 0 {
				row = []string{"", "", "", "", ""}
			}
			rows = append(rows, append(slices.Clip(row), "fault: "+orEmptyBehind(fe.Field, ": ")+fe.Message))
		}
	}
	return rows
}

// orEmptyBehind puts after behind a text, if there is one.
func orEmptyBehind(s, after string) string {
	if s == "" {
		return ""
	}
	return s + after
}

// many writes a number with its noun.
func many(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// writeWarnings groups rows by what they are warned of.
func writeWarnings(w io.Writer, rows []importedRow) {
	lines := map[string][]string{}
	var texts []string
	for _, r := range rows {
		for _, text := range r.Warnings {
			if r.CopyOf > 0 {
				continue // the table says so
			}
			if lines[text] == nil {
				texts = append(texts, text)
			}
			lines[text] = append(lines[text], fmt.Sprint(r.Line))
		}
	}
	if len(texts) > 0 {
		_, _ = fmt.Fprintln(w, "\nWarnings:")
	}
	const most = 10
	for _, text := range texts {
		where, rest := lines[text], ""
		if len(where) > most {
			rest = fmt.Sprintf(" and %d more", len(where)-most)
			where = where[:most]
		}
		_, _ = fmt.Fprintf(w, "  %s\n    %s %s%s\n", plain(text), map[bool]string{true: "line", false: "lines"}[len(lines[text]) == 1],
			strings.Join(where, ", "), rest)
	}
}

// writeSamples shows the first templates without faults, with sample values.
func writeSamples(w io.Writer, rows []importedRow) {
	const most = 5
	shown := 0
	for _, r := range rows {
		if r.Sample == "" {
			continue
		}
		if shown == 0 {
			_, _ = fmt.Fprintln(w, "\nWith sample values:")
		}
		_, _ = fmt.Fprintf(w, "  line %d: %s\n", r.Line, plain(r.Sample))
		if shown++; shown == most {
			break
		}
	}
}

// writeGuess says how the templates write macros, when that is not how they were read.
func writeGuess(w io.Writer, g *guessed) {
	if g == nil {
		return
	}
	if g.Read {
		_, _ = fmt.Fprint(w, "\nNames that nothing stands for, with what to add for those that are no slips:")
	} else {
		_, _ = fmt.Fprintf(w, "\nMost templates write macros as %s. To read them so: --open '%s' --close '%s'", g.Open+"name"+g.Close, g.Open, g.Close)
	}
	names := slices.SortedFunc(maps.Keys(g.Unknown), func(a, b string) int {
		if n := g.Unknown[b] - g.Unknown[a]; n != 0 {
			return n
		}
		return strings.Compare(a, b)
	})
	const most = 20
	for i, name := range names {
		if i == 0 && !g.Read {
			_, _ = fmt.Fprint(w, ", and for the names that nothing stands for yet:")
		}
		if i == most {
			_, _ = fmt.Fprintf(w, "\n  and %d more", len(names)-most)
			break
		}
		ours, ok := route.MacroFor(name)
		if !ok {
			ours = "field." + name
		}
		_, _ = fmt.Fprintf(w, "\n  --alias %s=%s  (%s)", plain(name), plain(ours), many(g.Unknown[name], "time"))
	}
	_, _ = fmt.Fprintln(w)
}

// writeCounted says how many objects of each kind were added and changed.
func writeCounted(w io.Writer, changes []api.Change) {
	if len(changes) == 0 {
		_, _ = fmt.Fprintln(w, "Nothing differs from what is in force.")
		return
	}
	counts := map[string]int{}
	var order []string
	for _, ch := range changes {
		key := string(ch.Action) + " " + string(ch.Kind)
		if counts[key] == 0 {
			order = append(order, key)
		}
		counts[key]++
	}
	parts := make([]string, len(order))
	for i, key := range order {
		action, kind, _ := strings.Cut(key, " ")
		parts[i] = many(counts[key], kind) + " " + action
	}
	_, _ = fmt.Fprintf(w, "Applied: %s.\n", strings.Join(parts, ", "))
}
