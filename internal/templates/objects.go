package templates

import (
	"bytes"
	"maps"
	"slices"

	"github.com/goccy/go-yaml"

	"carom"
)

// SourceName is the name of the source that a new app gets, by which trusted servers report its events.
const SourceName = "server"

// Objects makes objects of the rows without faults: endpoints, their apps and publishers, and the dialect. have is what there is
// already: its publishers and apps are taken over as they are, so that an apply changes nothing about them. An app that is new
// gets a source for trusted servers.
func (r *Result) Objects(have carom.Objects) carom.Objects {
	var out carom.Objects
	apps, publishers := map[string]*carom.App{}, map[string]*carom.Publisher{}
	for i := range have.Apps {
		apps[have.Apps[i].Name] = &have.Apps[i]
	}
	for i := range have.Publishers {
		publishers[have.Publishers[i].Name] = &have.Publishers[i]
	}
	named, owned := map[string]bool{}, map[string]bool{}
	own := func(name, title string) {
		if name == "" || owned[name] {
			return
		}
		owned[name] = true
		p := carom.Publisher{Name: name}
		if title != name {
			p.Title = title
		}
		if known := publishers[name]; known != nil {
			p = *known
		}
		out.Publishers = append(out.Publishers, p)
	}
	for i := range r.Rows {
		row := &r.Rows[i]
		if !row.Good() {
			continue
		}
		out.Endpoints = append(out.Endpoints, row.Endpoint)
		if named[row.App] {
			continue
		}
		named[row.App] = true
		a := carom.App{Name: row.App, Publisher: row.Publisher}
		if known := apps[row.App]; known != nil {
			a = *known
			own(a.Publisher, "")
		} else {
			out.Sources = append(out.Sources, carom.Source{App: row.App, Name: SourceName, Profile: carom.ProfileAPI})
			own(row.Publisher, row.title)
		}
		out.Apps = append(out.Apps, a)
	}
	if r.dialect != nil && len(out.Endpoints) > 0 {
		out.Dialects = []carom.Dialect{*r.dialect}
	}
	return out
}

// The members of an objects file that an import writes.
type (
	fileObjects struct {
		Publishers map[string]filePublisher `yaml:"publishers,omitempty"`
		Dialects   map[string]fileDialect   `yaml:"dialects,omitempty"`
		Apps       map[string]fileApp       `yaml:"apps,omitempty"`
	}
	filePublisher struct {
		Title string `yaml:"title,omitempty"`
	}
	fileDialect struct {
		Open   string            `yaml:"open"`
		Close  string            `yaml:"close"`
		Macros map[string]string `yaml:"macros,omitempty"`
	}
	fileApp struct {
		Title      string                  `yaml:"title,omitempty"`
		Publisher  string                  `yaml:"publisher,omitempty"`
		TimeZone   string                  `yaml:"time_zone,omitempty"`
		Currencies map[string]int          `yaml:"currencies,omitempty"`
		Origins    []string                `yaml:"origins,omitempty"`
		Telegram   *fileTelegram           `yaml:"telegram,omitempty"`
		Sources    map[string]fileSource   `yaml:"sources,omitempty"`
		Endpoints  map[string]fileEndpoint `yaml:"endpoints,omitempty"`
	}
	fileTelegram struct {
		BotID int64 `yaml:"bot_id"`
	}
	fileSource struct {
		Profile string `yaml:"profile"`
	}
	fileEndpoint struct {
		Dialect string      `yaml:"dialect,omitempty"`
		URL     string      `yaml:"url"`
		Method  string      `yaml:"method,omitempty"`
		Default bool        `yaml:"default,omitempty"`
		Filter  *fileFilter `yaml:"filter,omitempty"`
	}
	fileFilter struct {
		EventTypes []string `yaml:"event_types,omitempty"`
		Values     []string `yaml:"values,omitempty"`
		Zones      []string `yaml:"zones,omitempty"`
	}
)

// File writes what [Result.Objects] returned as an objects file. Secrets of apps are not in it: what has some cannot be written
// whole, and a bot's token becomes its number.
func File(o carom.Objects) ([]byte, error) {
	f := fileObjects{Publishers: map[string]filePublisher{}, Dialects: map[string]fileDialect{}, Apps: map[string]fileApp{}}
	for _, p := range o.Publishers {
		f.Publishers[p.Name] = filePublisher{p.Title}
	}
	for _, d := range o.Dialects {
		f.Dialects[d.Name] = fileDialect{d.Open, d.Close, d.Macros}
	}
	for _, a := range o.Apps {
		app := fileApp{
			Title: a.Title, Publisher: a.Publisher, TimeZone: a.TimeZone, Currencies: maps.Clone(a.Currencies), Origins: slices.Clone(a.Origins),
			Sources: map[string]fileSource{}, Endpoints: map[string]fileEndpoint{},
		}
		if a.BotID != 0 {
			app.Telegram = &fileTelegram{a.BotID}
		}
		f.Apps[a.Name] = app
	}
	for _, s := range o.Sources {
		f.Apps[s.App].Sources[s.Name] = fileSource{s.Profile}
	}
	for _, e := range o.Endpoints {
		end := fileEndpoint{Dialect: e.Dialect, URL: e.URL, Method: e.Method, Default: e.Default}
		filter := fileFilter{Zones: e.Filter.Zones}
		for _, t := range e.Filter.EventTypes {
			filter.EventTypes = append(filter.EventTypes, string(t))
		}
		for _, v := range e.Filter.Values {
			if v == carom.ValueEmpty {
				v = "empty"
			}
			filter.Values = append(filter.Values, string(v))
		}
		if len(filter.EventTypes)+len(filter.Values)+len(filter.Zones) > 0 {
			end.Filter = &filter
		}
		f.Apps[e.App].Endpoints[e.Name] = end
	}
	text, err := yaml.Marshal(f)
	if err != nil {
		return nil, err
	}
	return append(bytes.TrimRight(text, "\n"), '\n'), nil
}
