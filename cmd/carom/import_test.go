package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"carom"
	"carom/internal/api"
	"carom/internal/caromtest"
	"carom/internal/objects"

	"github.com/google/go-cmp/cmp"
)

// tracker are the flags of the dialect that the tests import.
var tracker = []string{"--dialect", "tracker", "--open", "[", "--close", "]", "--alias", "click_id=ymid", "--alias", "payout=estimated_price",
	"--alias", "goal=event_type", "--alias", "sub1=field.sub1"}

// writeTemplates writes a file of templates, and returns its path.
func writeTemplates(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "templates.csv")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// importing runs the command against a server's data folder.
func importing(t *testing.T, in, data, file string, args ...string) result {
	t.Helper()
	return carom1(t, in, slices.Concat([]string{"import", file, "--data", data}, args)...)
}

// documentedTemplates is the file that docs/import.md shows.
func documentedTemplates(t *testing.T) string {
	t.Helper()
	for _, s := range samples(t) {
		if s.page == "docs/import.md" && s.kind == "csv" {
			return s.text
		}
	}
	t.Fatal("docs/import.md shows no file of templates")
	return ""
}

// TestImportTranscript: docs/import.md shows what the command prints for the file that it shows.
func TestImportTranscript(t *testing.T) {
	s := caromtest.Start(t, caromtest.Options{})
	file := writeTemplates(t, documentedTemplates(t))
	var transcript strings.Builder
	show := func(code int, shown string, args ...string) {
		t.Helper()
		r := importing(t, "", s.Data, file, args...)
		if r.code != code {
			t.Fatalf("%s: code %d, want %d\n%s%s", args, r.code, code, r.out, r.errOut)
		}
		out := strings.ReplaceAll(r.out, file, "templates.csv")
		if r.errOut != "" {
			out += strings.ReplaceAll(r.errOut, file, "templates.csv")
		}
		fmt.Fprintf(&transcript, "$ carom import templates.csv %s\n%s\n", shown, out)
	}
	show(exitProblem, "--dialect tracker --open '[' --close ']' --alias click_id=ymid --alias payout=estimated_price \\\n    --alias goal=event_type --alias sub1=field.sub1 -v",
		append(slices.Clone(tracker), "-v")...)

	const (
		begin = "<!-- transcript begin: written by `go test ./cmd/carom -run Import -update` -->\n"
		end   = "<!-- transcript end -->"
	)
	page := filepath.Join(root, "docs", "import.md")
	have, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(have), begin)
	got, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the transcript", page)
	}
	want := "```\n" + strings.TrimRight(transcript.String(), "\n") + "\n```\n"
	if *update {
		if err := os.WriteFile(page, []byte(before+begin+want+end+after), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got), -update writes it anew:\n%s", page, diff)
	}
	// Without a dialect the command proposes the flags.
	r := importing(t, "", s.Data, file, "--skip-faulty", "--apply")
	if r.code != exitProblem || !strings.Contains(r.errOut, "most templates write macros as [name], and were read as {name}: give --open '[' --close ']'") {
		t.Errorf("without a dialect: code %d\n%s", r.code, r.errOut)
	}
	for _, flag := range []string{"--open '[' --close ']'", "--alias click_id=ymid  (4 times)", "--alias payout=estimated_price  (4 times)", "--alias goal=event_type", "--alias sub1=field.sub1  (2 times)"} {
		if !strings.Contains(r.out, flag) {
			t.Errorf("the command does not propose %s:\n%s", flag, r.out)
		}
	}
}

// TestImportToDelivery moves the documented templates over: dry run, refusal, apply without the faulty ones, and again.
func TestImportToDelivery(t *testing.T) {
	s := caromtest.Start(t, caromtest.Options{})
	file := writeTemplates(t, documentedTemplates(t))
	endpoints := func() map[string]string {
		var list api.ObjectList
		s.Get(t, "/v1/objects", &list)
		out := map[string]string{}
		for _, e := range list.Endpoints {
			out[e.App+"/"+e.Name] = fmt.Sprintf("%s %s %v %v %v", e.URL, e.Dialect, e.Default, e.Zones, e.EventTypes)
		}
		return out
	}
	if r := importing(t, "", s.Data, file, tracker...); r.code != exitProblem || !strings.Contains(r.out, "3 of 5 are fine, 2 with faults.") || len(endpoints()) != 0 {
		t.Errorf("a dry run: code %d\n%s%s", r.code, r.out, r.errOut)
	}
	if r := importing(t, "", s.Data, file, append(slices.Clone(tracker), "--apply")...); r.code != exitProblem || !strings.Contains(r.errOut, "nothing was done: correct the lines with faults") || len(endpoints()) != 0 {
		t.Errorf("with faults: code %d\n%s%s", r.code, r.out, r.errOut)
	}
	apply := append(slices.Clone(tracker), "--apply", "--skip-faulty")
	if r := importing(t, "", s.Data, file, apply...); r.code != exitOK || !strings.Contains(r.out, "Applied: 2 publishers added, 2 apps added, 2 sources added, 3 endpoints added, 1 dialect added.") {
		t.Fatalf("code %d\n%s%s", r.code, r.out, r.errOut)
	}
	want := map[string]string{
		"north-quiz/default":            "https://north.example/postback?click=[click_id]&sum=[payout]&goal=[goal]&key=*** tracker true [] []",
		"north-quiz/zone-48213":         "https://north.example/bonus?click=[click_id]&sum=[payout]&key=*** tracker false [48213] []",
		"south-rewards/default-install": "http://south.example/installs?c=[click_id]&usd=[payout]&s1=[sub1]&token=*** tracker true [] [install]",
	}
	if diff := cmp.Diff(want, endpoints()); diff != "" {
		t.Errorf("endpoints (-want +got):\n%s", diff)
	}
	if r := importing(t, "", s.Data, file, "--dialect", "tracker", "--apply", "--skip-faulty"); r.code != exitOK || !strings.Contains(r.out, "Nothing differs from what is in force.") {
		t.Errorf("again, with the dialect that the server has: code %d\n%s%s", r.code, r.out, r.errOut)
	}
	changed := writeTemplates(t, strings.ReplaceAll(documentedTemplates(t), "/bonus?", "/extra?"))
	again := []string{"--dialect", "tracker", "--apply", "--skip-faulty"}
	if r := importing(t, "no\n", s.Data, changed, again...); r.code != exitProblem || !strings.Contains(r.errOut, "~ endpoint north-quiz/zone-48213") || !strings.Contains(r.errOut, "nothing was changed") {
		t.Errorf("a change that nobody wants: code %d\n%s%s", r.code, r.out, r.errOut)
	}
	if r := importing(t, "", s.Data, changed, append(again, "--yes")...); r.code != exitOK || !strings.Contains(r.out, "Applied: 1 endpoint changed.") {
		t.Errorf("a change: code %d\n%s%s", r.code, r.out, r.errOut)
	}
	if r := importing(t, "", s.Data, file, "--dialect", "tracker", "--alias", "payuot=estimated_price"); r.code != exitProblem || !strings.Contains(r.out, "4 of 5 are fine, 1 with faults.") {
		t.Errorf("one name more: code %d\n%s%s", r.code, r.out, r.errOut)
	}
}

// TestImportedIsSent: what an import writes is sent byte for byte, by default and by zone.
func TestImportedIsSent(t *testing.T) {
	e := caromtest.NewEndpoint(t)
	s := caromtest.Start(t, caromtest.Options{})
	file := writeTemplates(t, "app,zone,url\n"+
		"quiz,,https://north.example/all?c=[click_id]&usd=[payout]&s=%20[sub1]&g=%5Bgoal%5D&z[]=1&key=a\n"+
		"quiz,7,https://north.example/seven?c=[CLICK_ID]&key=a\n")
	out := filepath.Join(t.TempDir(), "endpoints.yaml")
	if r := importing(t, "", s.Data, file, append(slices.Clone(tracker), "--out", out)...); r.code != exitOK || !strings.Contains(r.out, "Written to "+out) {
		t.Fatalf("code %d\n%s%s", r.code, r.out, r.errOut)
	}
	yaml, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := objects.Parse(out, yaml, objects.Env{}); err != nil {
		t.Fatalf("%v in\n%s", err, yaml)
	}
	if r := carom1(t, "", "check", "-f", out); r.code != exitOK {
		t.Errorf("carom check: code %d\n%s%s", r.code, r.out, r.errOut)
	}
	local := strings.ReplaceAll(strings.ReplaceAll(string(yaml), "https://north.example", e.URL), "dialect: tracker", "dialect: tracker\n        allow_private: true")
	s.Apply(t, local)
	events := `[{"app":"quiz","id":"1","event_type":"lead","reward_event_type":"valued","ymid":"u&1","zone_id":"6","estimated_price":"0.0023","fields":{"sub1":"a b"}},` +
		`{"app":"quiz","id":"2","event_type":"click","ymid":"u2","zone_id":"7"}]`
	if a := s.Local(t, "POST", "/v1/events", events, "Content-Type", "application/json"); a.Status != http.StatusOK || strings.Count(a.Body, `"accepted"`) != 2 {
		t.Fatalf("the events were answered %d %s", a.Status, a.Body)
	}
	if got, want := e.Wait(t, "/all", 1)[0].Query, "c=u%261&usd=0.0023&s=%20a%20b&g=lead&z[]=1&key=a"; got != want {
		t.Errorf("the default endpoint was sent %s, want %s", got, want)
	}
	if got, want := e.Wait(t, "/seven", 1)[0].Query, "c=u2&key=a"; got != want {
		t.Errorf("the zone's endpoint was sent %s, want %s", got, want)
	}
	if n := len(e.Sent("/all")); n != 1 {
		t.Errorf("the default endpoint was sent %d postbacks, want one: the other zone is named", n)
	}
}

// TestImportedFileReadsBack: names, zones and signs that YAML would read as something else arrive as they are.
func TestImportedFileReadsBack(t *testing.T) {
	file := writeTemplates(t, "publisher,app,zone,values,url\n\"null\",true,007,empty,https://a.example/?x=#{y}&k=a\n123,1e5,0x1F,,https://a.example/?x=1&y=a:b&k='q'\n")
	for _, signs := range []string{"% %", "#{ }", "*| |*", "! !", "[ ]", "{ }", "~ ~", "@ @", "%% %%", "> <", "| |", "` `"} {
		open, shut, _ := strings.Cut(signs, " ")
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		own := writeTemplates(t, strings.ReplaceAll(string(text), "#{y}", open+"y"+shut))
		out := filepath.Join(t.TempDir(), "out.yaml")
		if r := importing(t, "", t.TempDir(), own, "--open", open, "--close", shut, "--alias", "y=ymid", "--alias", "null=field.true", "--out", out); r.code != exitOK {
			t.Errorf("%s: code %d\n%s%s", signs, r.code, r.out, r.errOut)
			continue
		}
		yaml, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		f, err := objects.Parse(out, yaml, objects.Env{})
		if err != nil {
			t.Errorf("%s: %v\n%s", signs, err, yaml)
			continue
		}
		d := carom.Dialect{Name: "templates", Open: open, Close: shut, Macros: map[string]string{"y": "ymid", "null": "field.true"}}
		want := []carom.Endpoint{
			{App: "1e5", Name: "zone-0x1f", Dialect: "templates", URL: "https://a.example/?x=1&y=a:b&k='q'", Filter: carom.Filter{Zones: []string{"0x1F"}}},
			{App: "true", Name: "zone-007", Dialect: "templates", URL: "https://a.example/?x=" + open + "y" + shut + "&k=a",
				Filter: carom.Filter{Zones: []string{"007"}, Values: []carom.RewardEventType{""}}},
		}
		slices.SortFunc(f.Objects.Endpoints, func(a, b carom.Endpoint) int { return strings.Compare(a.App, b.App) })
		if diff := cmp.Diff(want, f.Objects.Endpoints); diff != "" {
			t.Errorf("%s: endpoints (-want +got):\n%s", signs, diff)
		}
		if diff := cmp.Diff([]carom.Dialect{d}, f.Objects.Dialects); diff != "" {
			t.Errorf("%s: dialects (-want +got):\n%s", signs, diff)
		}
	}
}

func TestImportKeepsWhatItCannotWrite(t *testing.T) {
	const head = "publisher,app,url\n"
	const fine = "https://north.example/p?c={ymid}&key=a\n"
	s := caromtest.Start(t, caromtest.Options{Objects: `
publishers: { north: { title: North Games } }
apps:
  quiz: { publisher: north, title: Quiz, time_zone: Europe/Berlin, currencies: { coins: 2 }, origins: ["https://quiz.example"], telegram: { bot_id: 123456 } }
  bot: { publisher: north, telegram: { bot_token: "123456:a-secret-of-a-test-bot" } }
  signed:
    publisher: north
    endpoints:
      default: { url: "https://north.example/p?c={ymid}&sig={signature}", signing_secret: "a text of 16 bytes or more" }
`})
	r := importing(t, "", s.Data, writeTemplates(t, head+"north,quiz,"+fine), "--apply")
	if r.code != exitOK || !strings.Contains(r.out, "Applied: 1 endpoint added.") {
		t.Errorf("an app with settings: code %d\n%s%s", r.code, r.out, r.errOut)
	}
	var list api.ObjectList
	s.Get(t, "/v1/objects", &list)
	for _, a := range list.Apps {
		if a.Name == "quiz" && (a.Title != "Quiz" || a.TimeZone != "Europe/Berlin" || a.Currencies["coins"] != 2 || len(a.Origins) != 1 || a.BotID != 123456) {
			t.Errorf("the app has become %+v", a)
		}
	}
	for app, lost := range map[string]string{"bot": "telegram.bot_token", "signed": "signing_secret"} {
		r := importing(t, "", s.Data, writeTemplates(t, head+"north,"+app+","+fine), "--apply", "--yes")
		if r.code != exitProblem || !strings.Contains(r.errOut, lost+", which an import would take away") {
			t.Errorf("%s: code %d\n%s%s", app, r.code, r.out, r.errOut)
		}
	}
	// A publisher's only line is for every app that it has.
	r = importing(t, "", s.Data, writeTemplates(t, "publisher,url\nNorth,"+fine))
	if r.code != exitOK || !strings.Contains(r.out, "3 of 3 are fine.") {
		t.Errorf("without an app: code %d\n%s%s", r.code, r.out, r.errOut)
	}
	followed := caromtest.Start(t, caromtest.Options{File: true, Objects: "apps: { quiz: {} }\n"})
	r = importing(t, "", followed.Data, writeTemplates(t, head+"north,quiz,"+fine), "--apply")
	if r.code != exitUsage || !strings.Contains(r.errOut, "are read-only here: write the endpoints to a file with --out") {
		t.Errorf("objects of a file: code %d\n%s%s", r.code, r.out, r.errOut)
	}
}

func TestImportUsage(t *testing.T) {
	nowhere := t.TempDir()
	file := writeTemplates(t, "publisher,url,Ziel\nnorth,x,https://north.example/p?c={ymid}&key=a\n")
	tests := []struct {
		name string
		args []string
		code int
		want string // on the standard error
	}{
		{"no server, and none is needed", []string{"--column", "url=ziel"}, exitOK, "No server answers: templates are not compared"},
		{"no server, and one is needed", []string{"--column", "url=ziel", "--apply"}, exitUnreachable, "no server answers"},
		{"a dialect of the server's", []string{"--dialect", "tracker"}, exitUnreachable, "no server answers"},
		{"half a dialect", []string{"--open", "["}, exitUsage, "give both --open and --close"},
		{"signs that cannot be", []string{"--open", "a", "--close", "]"}, exitUsage, "--open: 'a' stands in it"},
		{"a name for nothing", []string{"--open", "[", "--close", "]", "--alias", "payout=estimated_prize"}, exitUsage, "--alias payout: unknown macro estimated_prize: did you mean estimated_price?"},
		{"no assignment", []string{"--alias", "payout"}, exitUsage, "write it once, as --alias payout=estimated_price"},
		{"twice", []string{"--column", "url=a", "--column", "url=b"}, exitUsage, "write it once, as --column url=postback"},
		{"a name that is none", []string{"--dialect", "My Dialect", "--open", "[", "--close", "]"}, exitUsage, "may hold lower-case letters"},
		{"two ends", []string{"--apply", "--out", "x"}, exitUsage, "none of the others can be"},
		{"a fault alone", nil, exitProblem, ""},
		{"nothing without a fault", []string{"--out", filepath.Join(nowhere, "out.yaml"), "--skip-faulty"}, exitProblem, "no template is without a fault"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := importing(t, "", nowhere, file, tt.args...)
			if r.code != tt.code || !strings.Contains(r.errOut, tt.want) {
				t.Errorf("code %d, want %d\n%s\n%swant %q", r.code, tt.code, r.out, r.errOut, tt.want)
			}
		})
	}
	if r := importing(t, "", nowhere, filepath.Join(nowhere, "absent.csv")); r.code != exitUsage || !strings.Contains(r.errOut, "name a CSV file") {
		t.Errorf("no file: code %d %s", r.code, r.errOut)
	}
	r := importing(t, "publisher,url\nnorth,https://north.example/p?c=[click_id]&key=a\nsouth,\n", nowhere, "-", append(slices.Clone(tracker), "-o", "json")...)
	var got imported
	if err := json.Unmarshal([]byte(r.out), &got); err != nil || r.code != exitProblem {
		t.Fatalf("JSON: code %d, %v\n%s%s", r.code, err, r.out, r.errOut)
	}
	if got.Fine != 1 || got.Faulty != 1 || len(got.Rows) != 2 || got.Rows[0].Sample != "https://north.example/p?c=user123&key=***" || got.Rows[1].Faults[0].Field != "url" {
		t.Errorf("JSON: %s", r.out)
	}
}

// TestImportOfManyTemplates applies two templates of each of 300 publishers at once.
func TestImportOfManyTemplates(t *testing.T) {
	s := caromtest.Start(t, caromtest.Options{})
	var b strings.Builder
	b.WriteString("publisher,zone,url\n")
	for i := range 300 {
		fmt.Fprintf(&b, "Publisher %d,,https://p%d.example/postback?c=[click_id]&sum=[payout]&goal=[goal]&key=k%d\n", i, i, i)
		fmt.Fprintf(&b, "Publisher %d,%d,https://p%d.example/zone?c=[click_id]&sum=[payout]&key=k%d\n", i, 1000+i, i, i)
	}
	r := importing(t, "", s.Data, writeTemplates(t, b.String()), append(slices.Clone(tracker), "--apply")...)
	if want := "Applied: 300 publishers added, 300 apps added, 300 sources added, 600 endpoints added, 1 dialect added."; r.code != exitOK || !strings.Contains(r.out, want) {
		t.Errorf("code %d, want %q in\n%.400s%s", r.code, want, r.out, r.errOut)
	}
}
