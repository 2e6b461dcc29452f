package probe

import (
	_ "embed"
	"html/template"
	"io"
)

//go:embed report.html
var page string

// WriteHTML writes the report as one page that needs nothing else: no script, no image, no request to anywhere.
func (r *Report) WriteHTML(w io.Writer) error {
	t, err := htmlTemplate()
	if err != nil {
		return err
	}
	type group struct {
		Name   string
		Checks []*Check
	}
	var groups []group
	for i := range r.Checks {
		c := &r.Checks[i]
		if len(groups) == 0 || groups[len(groups)-1].Name != c.Group {
			groups = append(groups, group{Name: c.Group})
		}
		g := &groups[len(groups)-1]
		g.Checks = append(g.Checks, c)
	}
	return t.Execute(w, struct {
		*Report
		Groups []group
	}{r, groups})
}

func htmlTemplate() (*template.Template, error) {
	return template.New("report").Funcs(template.FuncMap{
		"got": func(e Exchange) string { return got(&e) }, "times": times,
		"bad": func(v Verdict) bool { return v != Pass && v != Skip },
	}).Parse(page)
}
