package templates_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"carom"
	"carom/internal/route"
	"carom/internal/templates"
)

// tracker is a dialect as a network has it.
func tracker() *carom.Dialect {
	return &carom.Dialect{Name: "tracker", Open: "[", Close: "]", Macros: map[string]string{
		"click_id": "ymid", "payout": "estimated_price", "goal": "event_type", "offer_id": "app", "sub1": "field.sub1", "sub2": "field.sub2",
	}}
}

// good is a template without a fault or a warning.
const good = "https://north.example/postback?id={ymid}&type={event_type}&token=abc"

func read(t *testing.T, text string, o templates.Options) *templates.Result {
	t.Helper()
	r := templates.Read([]byte(text), o)
	for _, fe := range r.Faults {
		checkFault(t, fe)
	}
	for i := range r.Rows {
		for _, fe := range r.Rows[i].Faults {
			checkFault(t, fe)
			if fe.Line < r.Rows[i].Line || fe.Column < 1 {
				t.Errorf("line %d: the fault stands at %d:%d: %v", r.Rows[i].Line, fe.Line, fe.Column, fe)
			}
		}
		if row := &r.Rows[i]; row.Good() != (row.Compiled != nil) {
			t.Errorf("line %d: good %v, compiled %v", row.Line, row.Good(), row.Compiled != nil)
		}
	}
	return r
}

// checkFault checks that a fault says what to do.
func checkFault(t *testing.T, fe *carom.FieldError) {
	t.Helper()
	if !errors.Is(fe, carom.ErrInvalid) || len(fe.Message) < 20 {
		t.Errorf("a fault without words: %v", fe)
	}
}

// describe writes each row in a line: where, what, and what is wrong.
func describe(r *templates.Result) string {
	var b strings.Builder
	for _, fe := range r.Faults {
		fmt.Fprintf(&b, "file: %v\n", fe)
	}
	for i := range r.Rows {
		row := &r.Rows[i]
		fmt.Fprintf(&b, "%d %s %s %q", row.Line, row.Publisher, row.Endpoint.ID(), row.Zone)
		if row.Endpoint.Default {
			b.WriteString(" default")
		}
		if row.CopyOf > 0 {
			fmt.Fprintf(&b, " copy of %d", row.CopyOf)
		}
		b.WriteByte('\n')
		for _, fe := range row.Faults {
			fmt.Fprintf(&b, "  fault %d:%d %s: %s\n", fe.Line, fe.Column, fe.Field, fe.Message)
		}
		for _, w := range row.Warnings {
			fmt.Fprintf(&b, "  warning %s\n", w)
		}
	}
	return b.String()
}

func TestReadForms(t *testing.T) {
	const want = `2 north game/default "" default
3 north game/zone-7 "7"
4 south south/default "" default
`
	const warned = `2 north game/default "" default
3 north game/zone-7 "7"
  warning its publisher "north" and "North!" in line 2 both become north: they count as one
  warning its app "GAME" and "_Game_" in line 2 both become game: they count as one
4 south south/default "" default
`
	tests := []struct{ name, text, want string }{ // @ stands for the template
		{"commas", "publisher,app,zone,url\nnorth,game,,@\nnorth,game,7,@\nsouth,,,@\n", want},
		{"semicolons, of a spreadsheet", "\ufeffPublisher;App;Zone;URL\r\nnorth;game;;@\r\nnorth;game;7;@\r\nsouth;;;@\r\n", want},
		{"tabs", "Partner\tOffer\tPlacement\tPostback URL\nnorth\tgame\t\t@\nnorth\tgame\t7\t@\nsouth\t\t\t@", want},
		{"bars", "pub|site|source_id|link\nnorth|game||@\nnorth|game|7|@\nsouth|||@\n", want},
		{"quotation marks", `"publisher","app","zone","url"` + "\n" + `"north","game","","@"` + "\n" + `"north", "game" ,"7","@"` + "\n" + `south,,,"@"`, want},
		{"another order, and columns of no use", "Notes,template,ZONE_ID,affiliate,application\n\"said \"\"hello\"\"\",@,,north,game\n,@,7,north,game\n,@,,south,\n", want},
		{"spaces around", " publisher , app , zone , url \n north , game ,, @\n\tnorth\t,game,7,\u00a0@\u200b\nsouth,,,@ \n", want},
		{"more separators than columns", "publisher,app,zone,url,,\nnorth,game,,@,,\nnorth,game,7,@,,,,\nsouth,,,@,,\n", want},
		{"line breaks of old machines", "publisher,app,zone,url\rnorth,game,,@\rnorth,game,7,@\rsouth,,,@\r", want},
		{"names to be made valid", "publisher,app,zone,url\nNorth!,_Game_,,@\nnorth,GAME,7,@\n South ,,,@\n", warned},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := read(t, strings.ReplaceAll(tt.text, "@", good), templates.Options{})
			if diff := cmp.Diff(tt.want, describe(r)); diff != "" {
				t.Errorf("rows (-want +got):\n%s", diff)
			}
			for i := range r.Rows {
				if r.Rows[i].Endpoint.URL != good {
					t.Errorf("line %d has the template %q", r.Rows[i].Line, r.Rows[i].Endpoint.URL)
				}
			}
		})
	}
}

func TestReadFileFaults(t *testing.T) {
	tests := []struct {
		name, text string
		columns    map[string]string
		want       string
	}{
		{"empty", "", nil, "file: the file is empty"},
		{"blank lines", "\n , ,\n\n", nil, "file: the file is empty"},
		{"UTF-16", "\xff\xfep\x00u\x00", nil, "file: it is no text in UTF-8: save it as CSV in UTF-8"},
		{"a spreadsheet", "PK\x03\x04\x00\x00", nil, "file: it is no text in UTF-8"},
		{"no header", "north,game,7," + good + "\n", nil, "file: :1:1: the first line holds a template, and has to name the columns"},
		{"no column with templates", "publisher,app,address\nnorth,game,x\n", nil, `file: :1:1: url: no column holds the templates: name it url, postback, postback_url, template, or say which with url=NAME (the file has "publisher", "app", "address")`},
		{"two columns", "publisher,postback,link\n", nil, `file: :1:1: url: two columns could be it, "postback" and "link": say which with url=postback`},
		{"a column that is not there", "publisher,url\n", map[string]string{"app": "Game"}, `file: :1:1: app: the file has no column "Game": it has "publisher", "url"`},
		{"a name that is not read", "publisher,url\n", map[string]string{"colour": "url"}, `file: :1:1: there is no column "colour" to read: the names are publisher, app,`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := read(t, tt.text, templates.Options{Columns: tt.columns})
			if got := describe(r); !strings.HasPrefix(got, tt.want) || len(r.Faults) != 1 || len(r.Rows) != 0 {
				t.Errorf("got  %swant one fault, %s", got, tt.want)
			}
		})
	}
	r := read(t, "publisher,Ziel,url\nnorth,"+good+",x\n", templates.Options{Columns: map[string]string{"url": "ziel"}})
	if len(r.Rows) != 1 || !r.Rows[0].Good() || !slices.Equal(r.Ignored, []string{"url"}) {
		t.Errorf("a column of another name: %sleft out: %q", describe(r), r.Ignored)
	}
	r = read(t, "publisher,url,link\nnorth,"+good+",x\n", templates.Options{})
	if len(r.Rows) != 1 || !r.Rows[0].Good() || !slices.Equal(r.Ignored, []string{"link"}) {
		t.Errorf("the plain name goes first: %sleft out: %q", describe(r), r.Ignored)
	}
}

func TestTooManyLines(t *testing.T) {
	text := "publisher,zone,url\n" + strings.Repeat("p,z,"+good+"\n", templates.MaxRows+1)
	r := read(t, text, templates.Options{})
	if len(r.Rows) != templates.MaxRows || len(r.Faults) != 1 || !strings.Contains(r.Faults[0].Message, "split the file") {
		t.Errorf("%d rows and the faults %v", len(r.Rows), r.Faults)
	}
	if fine, copies, faulty := r.Counts(); fine != 1 || copies != templates.MaxRows-1 || faulty != 0 {
		t.Errorf("%d fine, %d copies, %d faulty", fine, copies, faulty)
	}
	r = read(t, string(make([]byte, templates.MaxBytes+1)), templates.Options{})
	if len(r.Faults) != 1 || !strings.Contains(r.Faults[0].Message, "split it") {
		t.Errorf("a large file: %v", r.Faults)
	}
}

func TestWhatIsThereAlready(t *testing.T) {
	o := templates.Options{
		Apps: func(publisher string) []string {
			return map[string][]string{"north": {"quiz", "farm"}, "south": {"shop"}}[publisher]
		},
		Zones: func(app string) []string { return map[string][]string{"quiz": {"1", "2"}}[app] },
		Owner: func(app string) (string, bool) {
			owner, ok := map[string]string{"quiz": "north", "farm": "north", "shop": "south", "alone": ""}[app]
			return owner, ok
		},
	}
	text := strings.ReplaceAll(`publisher,app,zone,url
north,,,G
north,quiz,1,G
north,quiz,3,G
south,,9,G
east,,,G
east,quiz,2,G
,farm,5,G
west,alone,,G
`, "G", good)
	const want = `2 north quiz/default "" default
2 north farm/default "" default
3 north quiz/zone-1 "1"
4 north quiz/zone-3 "3"
  warning the app quiz has no zone "3": nothing is sent until it has
5 south shop/zone-9 "9"
6 east east/default "" default
7 east quiz/ "2"
  fault 7:6 app: the app quiz belongs to the publisher north already: give this one another name, such as east-quiz
8 north farm/zone-5 "5"
9 west alone/default "" default
`
	r := read(t, text, o)
	if diff := cmp.Diff(want, describe(r)); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
	have := carom.Objects{
		Publishers: []carom.Publisher{{Name: "north", Title: "North Games"}},
		Apps:       []carom.App{{Name: "quiz", Publisher: "north", TimeZone: "Europe/Berlin", Currencies: map[string]int{"coins": 0}}, {Name: "alone"}},
	}
	got := r.Objects(have)
	if diff := cmp.Diff([]carom.Publisher{{Name: "north", Title: "North Games"}, {Name: "south"}, {Name: "east"}}, got.Publishers); diff != "" {
		t.Errorf("publishers (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]carom.App{have.Apps[0], {Name: "farm", Publisher: "north"}, {Name: "shop", Publisher: "south"}, {Name: "east", Publisher: "east"}, {Name: "alone"}}, got.Apps); diff != "" {
		t.Errorf("apps (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]carom.Source{{App: "farm", Name: "server", Profile: "api"}, {App: "shop", Name: "server", Profile: "api"}, {App: "east", Name: "server", Profile: "api"}}, got.Sources); diff != "" {
		t.Errorf("sources (-want +got):\n%s", diff)
	}
	if len(got.Endpoints) != 8 || got.Dialects != nil {
		t.Errorf("%d endpoints, dialects %v", len(got.Endpoints), got.Dialects)
	}
}

// TestLinesAmongEachOther: what lines are to one another.
func TestLinesAmongEachOther(t *testing.T) {
	text := strings.ReplaceAll(`publisher,app,zone,event_types,values,name,url
north,game,1,,,,G
north,game,1,,,,G
north,game,1,,,,G&other=1
north,game,2,lead,,,G
north,game,2,install;Click,,,G
north,game,2,click,,,G&other=1
north,game,,,valued,,G
north,game,,,not_valued|empty,,G&other=1
north,game,5 6,,,,G
north,game,6,,,,G&other=1
north,game,7,,,zone-1,G
south,game,,,,,G
north media,a,,,,,G
North-Media,a,1,,,,G
north,game,A,,,,G
north,game,a,,,,G
north,game,—,,,,G
,x,,,,,G
south,x,1,,,,G
,x,2,,,,G
`, "G", good)
	const want = `2 north game/zone-1 "1"
3 north game/ "1" copy of 2
  warning an earlier line says the same: this one is left out
4 north game/ "1"
  fault 4:17 url: line 2 has a template for the zone 1 of the app game already: keep one of the two, or tell them apart by event_types
5 north game/zone-2-lead "2"
6 north game/zone-2-install-click "2"
7 north game/ "2"
  fault 7:22 url: line 6 has a template for the zone 2 of the app game already: keep one of the two, or tell them apart by event_types
8 north game/default-valued "" default
9 north game/default-not_valued-empty "" default
10 north game/zone-5-6 "5 6"
11 north game/ "6"
  fault 11:17 url: line 10 has a template for the zone 6 of the app game already: keep one of the two, or tell them apart by event_types
12 north game/zone-1 "7"
  fault 12:16 name: the app game has the endpoint zone-1 in line 2 already: give this one another name in the column name
13 south game/ "" default
  fault 13:7 app: the app game belongs to the publisher north, in line 2: give this one another name, such as south-game
14 north-media a/default "" default
15 north-media a/zone-1 "1"
  warning its publisher "North-Media" and "north media" in line 14 both become north-media: they count as one
16 north game/zone-a "A"
17 north game/zone-a "a"
  fault 17:16 name: the app game has the endpoint zone-a in line 16 already: give this one another name in the column name
18 north game/ "—"
  fault 18:12 zone: no name can be made of the zone "—": give the endpoint one in the column name
19 south x/default "" default
20 south x/zone-1 "1"
21 south x/zone-2 "2"
`
	r := read(t, text, templates.Options{})
	if diff := cmp.Diff(want, describe(r)); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
}

func TestFanOut(t *testing.T) {
	var b strings.Builder
	b.WriteString("app,zone,url\n")
	for i := range carom.MaxFanOut + 2 {
		fmt.Fprintf(&b, "game,%d,%s\n", i, good)
	}
	r := read(t, b.String(), templates.Options{})
	if fine, _, faulty := r.Counts(); fine != carom.MaxFanOut || faulty != 2 {
		t.Errorf("%d fine, %d with faults, want %d and 2", fine, faulty, carom.MaxFanOut)
	}
}

// mistakes are all that can be wrong with a line, each with how many of the 300 lines have it and what is said of it.
var mistakes = []struct {
	name string
	n    int
	line func(i int) string // publisher, app, zone, method, event_types and url
	want string             // "fault field: words", "warning: words", "copy"; several joined by " + "
}{
	{"fine", 156, func(i int) string { return row(i, "", goodIn(i)) }, ""},
	{"fine, for a zone", 27, func(i int) string { return row(i, fmt.Sprint(1000+i), goodIn(i)) }, ""},
	{"fine, in quotation marks", 3, func(i int) string { return row(i, "", `"`+goodIn(i)+`"`) }, ""},
	{"fine, spaces around", 3, func(i int) string { return row(i, " ", "  "+goodIn(i)+"\t") }, ""},
	{"fine, pasted from a browser", 3, func(i int) string {
		return row(i, "", strings.NewReplacer("[", "%5B", "]", "%5D").Replace(goodIn(i)))
	}, ""},
	{"fine, any case", 3, func(i int) string { return row(i, "", strings.ReplaceAll(goodIn(i), "click_id", "CLICK_ID")) }, ""},
	{"fine, a method", 3, func(i int) string { return fmt.Sprintf("p%d,,,post,lead,%s", i, goodIn(i)) }, ""},
	{"no template", 4, func(i int) string { return row(i, "", "") }, "fault url: the template is missing"},
	{"not encrypted", 5, func(i int) string { return row(i, "", strings.Replace(goodIn(i), "https", "http", 1)) }, "warning: it is not encrypted"},
	{"a private address", 2, func(i int) string { return row(i, "", "https://192.168.1.9/p?id=[click_id]&token=a") }, "fault url: 192.168.1.9 is not a public address"},
	{"this machine", 2, func(i int) string { return row(i, "", "https://localhost/p?id=[click_id]&token=a") }, "fault url: localhost is not a public address"},
	{"an unknown macro", 6, func(i int) string { return row(i, "", goodIn(i)+"&x=[payuot]") }, "fault url: unknown macro [payuot]: did you mean [payout]?"},
	{"carom's notation", 3, func(i int) string { return row(i, "", "https://a.example/p?id={ymid}&token=a") }, "fault url: {ymid} is not how the endpoint's dialect writes macros: write [click_id]"},
	{"another notation", 2, func(i int) string { return row(i, "", goodIn(i)+"&x=$payout&y=__payout__") }, "warning: __payout__ is sent as text"},
	{"not closed", 2, func(i int) string { return row(i, "", goodIn(i)+"&x=[payout") }, "fault url: [payout is not closed: write [payout]"},
	{"no ymid", 5, func(i int) string { return row(i, "", fmt.Sprintf("https://a%d.example/p?sum=[payout]&token=a", i)) }, "warning: it has no [click_id], so that the receiver cannot tell which view is meant"},
	{"no secret", 6, func(i int) string { return row(i, "", fmt.Sprintf("https://a%d.example/p?id=[click_id]", i)) }, "warning: nothing in it is secret"},
	{"the same again", 4, func(int) string { return "same,,,,,https://same.example/p?id=[click_id]&token=a" }, "copy"},
	{"another for the same", 3, func(i int) string {
		return fmt.Sprintf("same,,,,,https://same.example/p?id=[click_id]&token=a&n=%d", i)
	}, "fault url: has a template for all zones without a template of their own of the app same already"},
	{"too few columns", 3, func(i int) string { return fmt.Sprintf("p%d,,%s", i, goodIn(i)) }, "fault : the line has 3 columns, and the header 6: write a separator"},
	{"too many columns", 3, func(i int) string { return row(i, "", goodIn(i)+"&x=a,b") }, "fault : the line has 7 columns, and the header 6: put a template that holds the separator in quotation marks"},
	{"Windows-1251", 2, func(i int) string { return row(i, "", goodIn(i)+"&n=\xcf\xf0\xe8\xe2\xe5\xf2") }, "fault : it looks like Windows-1251"},
	{"Windows-1252", 2, func(i int) string { return row(i, "", goodIn(i)+"&n=\xe9t\xe9") }, "fault : it looks like Windows-1252"},
	{"a long line", 1, func(i int) string { return row(i, "", goodIn(i)+strings.Repeat("x", 65<<10)) }, "fault : shorten it to 65536"},
	{"a long template", 2, func(i int) string { return row(i, "", goodIn(i)+"&x="+strings.Repeat("x", 8<<10)) }, "fault url: shorten it to 8192"},
	{"of a page", 4, func(i int) string { return row(i, "", strings.ReplaceAll(goodIn(i), "&", "&amp;")) }, "fault url: &amp; stands in it, which HTML needs and a URL does not: write &"},
	{"two URLs", 3, func(i int) string { return row(i, "", goodIn(i)+" https://b.example/p") }, "fault url: two URLs stand in it, the second is https://b.example…: give each a line of its own"},
	{"another scheme", 2, func(i int) string { return row(i, "", "ftp://a.example/p?id=[click_id]") }, `fault url: the scheme "ftp" cannot be sent to`},
	{"no scheme", 3, func(i int) string { return row(i, "", "a.example/p?id=[click_id]") }, "fault url: it has no scheme"},
	{"a fragment", 2, func(i int) string { return row(i, "", goodIn(i)+"#top") }, "fault url: it has a fragment"},
	{"credentials", 2, func(i int) string { return row(i, "", "https://user:hunter2@a.example/p?id=[click_id]") }, "fault url: send them in the header Authorization"},
	{"a space inside", 3, func(i int) string { return row(i, "", goodIn(i)+"&n=a b") }, "fault url: a space stands in it: write %20"},
	{"not ASCII", 2, func(i int) string { return row(i, "", goodIn(i)+"&n=é") }, "fault url: percent-encode it"},
	{"a broken encoding", 2, func(i int) string { return row(i, "", goodIn(i)+"&n=5%") }, "fault url: write a literal % as %25"},
	{"a macro as the host", 2, func(i int) string { return row(i, "", "https://[sub1]/p?id=[click_id]") }, "fault url: a macro stands in its host"},
	{"a quotation mark left open", 2, func(i int) string { return row(i, "", `"`+goodIn(i)) }, "fault : a quotation mark is not closed"},
	{"text behind a quotation mark", 2, func(i int) string { return row(i, "", `"`+goodIn(i)+`"x`) }, "fault : text stands behind a closing quotation mark"},
	{"curly quotation marks", 1, func(i int) string { return row(i, "", "\u201c"+goodIn(i)+"\u201d") }, "fault url: it begins with a quotation mark"},
	{"an unknown method", 2, func(i int) string { return fmt.Sprintf("p%d,,,PUT,,%s", i, goodIn(i)) }, `fault method: "PUT" is not known: use GET or POST`},
	{"an event type that is none", 2, func(i int) string { return fmt.Sprintf("p%d,,,,fertig!,%s", i, goodIn(i)) }, `fault event_types: "fertig!" is no event type`},
	{"nobody", 2, func(i int) string { return ",,,,," + goodIn(i) }, "fault : it names neither a publisher nor an app"},
	{"no name to be made", 2, func(i int) string { return "Игра,,,,," + goodIn(i) }, "fault publisher: holds no letter from a to z"},
	{"another publisher's app", 2, func(i int) string { return fmt.Sprintf("p%d,taken,,,,%s", i, goodIn(i)) }, "fault app: the app taken belongs to the publisher owner"},
	{"two at once", 3, func(i int) string { return fmt.Sprintf("p%d,,,PUT,?,%s&x=[payuot]#x", i, goodIn(i)) },
		"fault event_types: no event type + fault method: use GET or POST"},
	{"a spaced macro", 1, func(i int) string { return row(i, "", goodIn(i)+"&x=[ payout ]") }, "fault url: spaces stand around the name in [ payout ]: write [payout]"},
	{"an unknown zone", 1, func(i int) string { return "owner,taken,99,,," + goodIn(i) }, `warning: the app taken has no zone "99"`},
}

func row(i int, zone, url string) string { return fmt.Sprintf("p%d,,%s,,,%s", i, zone, url) }

func goodIn(i int) string {
	return fmt.Sprintf("https://p%d.example/postback?id=[click_id]&sum=[payout]&goal=[goal]&s1=[sub1]&key=k%d", i, i)
}

// TestEveryMistake reads a file of 300 templates, and one line before them that others repeat, with every mistake in it.
func TestEveryMistake(t *testing.T) {
	o := templates.Options{
		Dialect: tracker(),
		Owner:   func(app string) (string, bool) { return "owner", app == "taken" },
		Zones:   func(app string) []string { return map[string][]string{"taken": {"1"}}[app] },
	}
	var b strings.Builder
	b.WriteString("Publisher,App,Zone ID,Method,Goal,Postback URL\nsame,,,,,https://same.example/p?id=[click_id]&token=a\n")
	type expected struct{ name, want string }
	var want []expected
	left := make([]int, len(mistakes))
	for m := range mistakes {
		left[m] = mistakes[m].n
	}
	for n := 0; n < 300; {
		// One line of each mistake, round after round, so that whatever a line does to the next is found.
		before := n
		for m := range mistakes {
			if left[m] == 0 {
				continue
			}
			left[m]--
			b.WriteString(mistakes[m].line(n) + "\n")
			want = append(want, expected{mistakes[m].name, mistakes[m].want})
			n++
		}
		if n == before {
			t.Fatalf("the mistakes make %d lines, want 300", n)
		}
	}
	r := read(t, b.String(), o)
	if len(r.Rows) != 301 || len(want) != 300 {
		t.Fatalf("%d rows of %d lines\n%s", len(r.Rows), len(want)+1, describe(r)[:2000])
	}
	found := map[string]int{}
	for i, w := range want {
		row := &r.Rows[i+1]
		if row.Line != i+3 {
			t.Errorf("%s stands in line %d, want %d", w.name, row.Line, i+3)
		}
		var got []string
		if row.CopyOf > 0 {
			got = append(got, "copy")
		}
		for _, fe := range row.Faults {
			got = append(got, "fault "+fe.Field+": "+fe.Message)
			if strings.Contains(fe.Error(), "hunter2") {
				t.Errorf("line %d shows a secret: %v", row.Line, fe)
			}
		}
		for _, text := range row.Warnings {
			if row.CopyOf == 0 {
				got = append(got, "warning: "+text)
			}
		}
		if problem := compare(w.want, got); problem != "" {
			t.Errorf("line %d, %s: %s\ngot %q", row.Line, w.name, problem, got)
			continue
		}
		found[w.name]++
		if row.Good() {
			checkBytes(t, row, o.Dialect)
		}
	}
	for _, m := range mistakes {
		if found[m.name] != m.n {
			t.Errorf("%s was found %d times, want %d", m.name, found[m.name], m.n)
		}
	}
	fine, copies, faulty := r.Counts()
	if fine+copies+faulty != 301 || copies != 4 {
		t.Errorf("%d fine, %d copies, %d faulty", fine, copies, faulty)
	}
	objects := r.Objects(carom.Objects{})
	if len(objects.Endpoints) != fine || len(objects.Dialects) != 1 {
		t.Errorf("%d endpoints of %d fine rows, %d dialects", len(objects.Endpoints), fine, len(objects.Dialects))
	}
	t.Logf("%d fine, %d copies, %d with faults, %d kinds", fine, copies, faulty, len(mistakes))
}

// compare says how what was found differs from what a mistake says: "fault field: words" each, joined by " + ".
func compare(want string, got []string) string {
	if want == "" {
		if len(got) > 0 {
			return "it should be fine"
		}
		return ""
	}
	parts := strings.Split(want, " + ")
	for _, part := range parts {
		kind, words, _ := strings.Cut(part, ": ")
		if !slices.ContainsFunc(got, func(g string) bool {
			return g == part || strings.HasPrefix(g, kind+": ") && strings.Contains(g, words)
		}) {
			return "want " + part
		}
	}
	if len(parts) == 1 && len(got) > 1 && !strings.HasPrefix(got[0], "warning") {
		return "more than one thing is said"
	}
	return ""
}

// checkBytes checks that a template renders byte for byte as it is written, with the values in place of its macros.
func checkBytes(t *testing.T, row *templates.Row, d *carom.Dialect) {
	t.Helper()
	delivery := row.Compiled.SampleDelivery()
	delivery.Event.Fields = []carom.Field{{Name: "sub1", Value: "a b"}}
	req, err := row.Compiled.Render(delivery, 1, delivery.Event.At)
	if err != nil {
		t.Fatal(err)
	}
	template := strings.NewReplacer("%5B", "[", "%5D", "]", "CLICK_ID", "click_id").Replace(row.Endpoint.URL)
	want := strings.NewReplacer("[click_id]", "user123", "[payout]", "0.0023", "[goal]", string(delivery.Event.Type), "[sub1]", "a%20b").Replace(template)
	if req.URL != want {
		t.Errorf("line %d in %s\ngot  %s\nwant %s", row.Line, d.Name, req.URL, want)
	}
}

func TestGuess(t *testing.T) {
	head := "publisher,url\n"
	tests := []struct {
		name, text  string
		dialect     *carom.Dialect
		open, close string
		unknown     map[string]int
	}{
		{"carom's own", head + "a," + good + "\n", nil, "{", "}", map[string]int{}},
		{"brackets", head + "a,https://a.example/?x=[click_id]&y=[payout]&z[]=1&w[k]=[click_id]\nb,https://a.example/?x=[sub1]\n", nil, "[", "]",
			map[string]int{"click_id": 2, "payout": 1, "sub1": 1}},
		{"brackets with a dialect", head + "a,https://a.example/?x=[click_id]&y=[PAYOUT]&z=[ymid]&q=[country]\n", tracker(), "[", "]", map[string]int{"country": 1}},
		{"pasted from a browser", head + "a,https://a.example/?x=%5Bclick_id%5D\n", nil, "[", "]", map[string]int{"click_id": 1}},
		{"doubled braces", head + "a,https://a.example/?x={{click_id}}&y={ymid}&z={{goal}}\n", nil, "{{", "}}", map[string]int{"click_id": 1, "goal": 1}},
		{"dollars", head + "a,https://a.example/?x=${click_id}&y=${field.sub1}\n", nil, "${", "}", map[string]int{"click_id": 1}},
		{"percent signs", head + "a,https://a.example/?x=%sub1%%20&y=%C3%A9%payout%\n", nil, "%", "%", map[string]int{"sub1": 1, "payout": 1}},
		{"two percent signs", head + "a,https://a.example/?x=%%sub1%%\n", nil, "%%", "%%", map[string]int{"sub1": 1}},
		{"no macros", head + "a,https://a.example/?x=1&y=100%25%20z\n", nil, "", "", map[string]int{}},
		{"no templates", "a,b\n1,2\n", nil, "", "", nil},
		{"nothing", "", nil, "", "", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			open, shut, unknown := templates.Guess([]byte(tt.text), templates.Options{Dialect: tt.dialect})
			if open != tt.open || shut != tt.close || !maps.Equal(unknown, tt.unknown) {
				t.Errorf("got %q %q %v, want %q %q %v", open, shut, unknown, tt.open, tt.close, tt.unknown)
			}
		})
	}
}

// FuzzCSV reads any file. No line is lost, and what is called good compiles, has valid names of its own, and is written as it was
// read.
func FuzzCSV(f *testing.F) {
	f.Add("publisher,app,zone,name,method,event_types,values,url\nnorth,game,7,x,get,lead,valued,https://a.example/?a=[click_id]\n")
	f.Add("\ufeffurl;publisher\r\n\"https://a.example/\"\"x\"\"\";a\r\n\"\n\";b\n")
	f.Add("sep=\t\nurl\tapp\nhttps://a.example/?a=%5Bpayout%5D\tx\n\xff\ty\n")
	f.Add("link|pub\nhttps://a.example/ https://b.example/|p\nhttp://10.0.0.1/?&amp;|q")
	f.Fuzz(func(t *testing.T, text string) {
		d := tracker()
		r := read(t, text, templates.Options{Dialect: d})
		line, ids := 0, map[string]bool{}
		for i := range r.Rows {
			row := &r.Rows[i]
			if row.Line < line {
				t.Errorf("line %d stands behind %d", row.Line, line)
			}
			line = row.Line
			if !row.Good() {
				continue
			}
			e := row.Endpoint
			if ids[e.ID()] {
				t.Errorf("%s is there twice", e.ID())
			}
			ids[e.ID()] = true
			for _, name := range []string{e.App, e.Name} {
				if err := carom.CheckName("", name); err != nil {
					t.Errorf("line %d: %v", row.Line, err)
				}
			}
			if _, err := route.CompileIn(e, d); err != nil {
				t.Errorf("line %d is called good: %v", row.Line, err)
			}
			if !strings.Contains(strings.ReplaceAll(text, `""`, `"`), e.URL) && !strings.Contains(e.URL, "\n") {
				t.Errorf("line %d: %q does not stand in the file", row.Line, e.URL)
			}
		}
		if _, err := templates.File(r.Objects(carom.Objects{})); err != nil {
			t.Error(err)
		}
		templates.Guess([]byte(text), templates.Options{})
	})
}
