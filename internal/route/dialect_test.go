package route_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"carom"
	"carom/internal/route"
)

// trackerNames are names that trackers commonly use, with carom's.
func trackerNames() map[string]string {
	return map[string]string{
		"click_id": "ymid", "payout": "estimated_price", "goal": "event_type", "paid": "reward_event_type", "source_id": "zone_id",
		"sub_source": "sub_zone_id", "placement": "request_var", "tg": "telegram_id", "user": "user_id", "offer_id": "app",
		"transaction_id": "delivery_id", "order": "external_id", "sub1": "field.sub1", "sub2": "field.sub2", "sub3": "field.sub3",
		"sub4": "field.sub4", "sub5": "field.sub5", "country": "field.geo", "time": "sent_at", "sig": "signature",
		"reward": "reward_id", "state": "reward_state",
	}
}

// foreign are three dialects as networks have them.
func foreign() []*carom.Dialect {
	return []*carom.Dialect{
		{Name: "brackets", Open: "[", Close: "]", Macros: trackerNames()},
		{Name: "percents", Open: "%", Close: "%", Macros: trackerNames()},
		{Name: "dollars", Open: "${", Close: "}", Macros: trackerNames()},
	}
}

func mustCompileIn(t testing.TB, e carom.Endpoint, d *carom.Dialect) *route.Endpoint {
	t.Helper()
	e.App, e.Name = "my-game", "backend"
	if d != nil {
		e.Dialect = d.Name
	}
	c, err := route.CompileIn(e, d)
	if err != nil {
		t.Fatalf("CompileIn(%q): %v", e.URL, err)
	}
	return c
}

// kinds are the events of a table: what is reported, and what it is worth.
var kinds = []struct {
	kind  carom.EventType
	value carom.RewardEventType
	price carom.Price
}{
	{carom.Impression, carom.Valued, carom.Price{Nanos: 2_300_000, Set: true}},
	{carom.Impression, carom.NotValued, carom.Price{}},
	{carom.Click, carom.Valued, carom.Price{Nanos: 12_000_000, Set: true}},
	{"completion", carom.Valued, carom.Price{Nanos: 1_000_000_000, Set: true}},
	{carom.Reversal, carom.NotValued, carom.Price{Nanos: 1, Set: true}},
	{"lead", "", carom.Price{Nanos: 3_500_000_000, Set: true}},
	{"install", carom.Valued, carom.Price{Nanos: 950_000_000, Set: true}},
}

// TestForeignDialects renders every macro of three dialects for every type of events: the dialect's own names first, and behind
// them those of carom that it has no name for.
func TestForeignDialects(t *testing.T) {
	for _, d := range foreign() {
		var out strings.Builder
		for _, m := range route.Macros() {
			if m.Name == "signature" || m.Name == "field.NAME" || strings.HasPrefix(m.Name, "reward_") && m.Name != "reward_event_type" {
				continue // below, and in TestDialectOfRewards
			}
			template := "https://example.com/p?v=" + route.WriteMacro(d, m.Name)
			e := mustCompileIn(t, carom.Endpoint{URL: template}, d)
			fmt.Fprintf(&out, "%s\n", template)
			seen := map[string]bool{}
			for _, k := range kinds {
				delivery := sampleDelivery()
				delivery.Event.Type, delivery.Event.Value, delivery.Event.Price = k.kind, k.value, k.price
				if got := mustRender(t, e, delivery).URL; !seen[got] {
					seen[got] = true
					fmt.Fprintf(&out, "  %s\n", got)
				}
			}
			if want := mustRender(t, mustCompile(t, carom.Endpoint{URL: "https://example.com/p?v={" + m.Name + "}"}), sampleDelivery()).URL; mustRender(t, e, sampleDelivery()).URL != want {
				t.Errorf("%s: %s does not render as {%s} does", d.Name, template, m.Name)
			}
		}
		w := func(name string) string { return d.Open + name + d.Close }
		all := "https://tracker.example/postback?clickid=" + w("click_id") + "&payout=" + w("payout") + "&goal=" + w("goal") + "&status=" + w("paid") +
			"&offer=" + w("offer_id") + "&s1=" + w("sub1") + "&s2=" + w("sub2") + "&s3=" + w("sub3") + "&s4=" + w("sub4") + "&s5=" + w("sub5") +
			"&geo=" + w("country") + "&tid=" + w("transaction_id") + "&sig=" + w("sig")
		e := mustCompileIn(t, carom.Endpoint{URL: all, SigningSecrets: keys(oldKey)}, d)
		fmt.Fprintf(&out, "%s\n", all)
		for _, k := range kinds {
			delivery := sampleDelivery()
			delivery.Event.Type, delivery.Event.Value, delivery.Event.Price = k.kind, k.value, k.price
			delivery.Event.Fields = append(delivery.Event.Fields, carom.Field{Name: "sub1", Value: "a b&c"}, carom.Field{Name: "sub5", Value: "ü"})
			fmt.Fprintf(&out, "  %s\n", mustRender(t, e, delivery).URL)
		}
		golden(t, d.Name+".txt", []byte(strings.TrimSuffix(out.String(), "\n")))
	}
}

// TestVendorTable renders each of Monetag's macros for every event that its formats send.
func TestVendorTable(t *testing.T) {
	e := mustCompile(t, carom.Endpoint{URL: typicalURL})
	var out strings.Builder
	subZones := map[carom.Format]string{carom.RewardedInterstitial: "8790479", carom.RewardedPopup: "8790480", carom.InAppInterstitial: "8790481"}
	rendered := 0
	for _, f := range carom.Formats() {
		for _, kind := range []carom.EventType{carom.Impression, carom.Click} {
			if !f.Sends(kind) {
				continue
			}
			for _, value := range []carom.RewardEventType{carom.Valued, carom.NotValued} {
				d := sampleDelivery()
				d.Event.SubZoneID, d.Event.Type, d.Event.Value = subZones[f], kind, value
				if value == carom.NotValued {
					d.Event.Price = carom.Price{Set: true}
				}
				fmt.Fprintf(&out, "%s %s %s\n  %s\n", f, kind, value, mustRender(t, e, d).URL)
				for _, name := range []string{"ymid", "zone_id", "sub_zone_id", "request_var", "telegram_id", "event_type", "reward_event_type", "estimated_price"} {
					one := mustCompile(t, carom.Endpoint{URL: "https://example.com/?v={" + name + "}"})
					fmt.Fprintf(&out, "  {%s} %s\n", name, mustRender(t, one, d).URL)
					rendered++
				}
			}
		}
	}
	if rendered != 48 {
		t.Errorf("%d URLs were rendered, want 8 macros for each of 6 events", rendered)
	}
	golden(t, "monetag.txt", []byte(strings.TrimSuffix(out.String(), "\n")))
}

func TestDialectOfRewards(t *testing.T) {
	for _, d := range foreign() {
		w := func(name string) string { return d.Open + name + d.Close }
		e := mustCompileIn(t, rewards(carom.Endpoint{URL: "https://example.com/?id=" + w("reward") + "&s=" + w("state") + "&a=" + w("reward_amount")}), d)
		if got, want := mustRender(t, e, rewardDelivery(carom.RewardGranted)).URL, "https://example.com/?id=rwd_0c5g21r0000010000000k&s=granted&a=12.5"; got != want {
			t.Errorf("%s: got %s, want %s", d.Name, got, want)
		}
		_, err := route.CompileIn(carom.Endpoint{URL: "https://example.com/?id=" + w("reward")}, d)
		checkFault(t, err, "url: "+w("reward")+" is of rewards, and this endpoint gets events")
		_, err = route.CompileIn(rewards(carom.Endpoint{URL: "https://example.com/?s=" + w("state")}), d)
		checkFault(t, err, "url: without "+w("reward")+" the receiver cannot grant once: add &reward_id="+w("reward")+" to the query")
	}
}

// TestDelimiters renders one template with each kind of delimiters.
func TestDelimiters(t *testing.T) {
	for _, pair := range []string{"{ }", "[ ]", "{{ }}", "${ }", "#{ }", "% %", "%% %%", "< >", "__ __", "%{ }", "[[ ]]", "<% %>", "*| |*", "$ $", "( )", "~ ~", "! !"} {
		open, shut, _ := strings.Cut(pair, " ")
		d := &carom.Dialect{Name: "d", Open: open, Close: shut, Macros: map[string]string{"click_id": "ymid", "PAYOUT": "estimated_price", "a-b.c": "field.geo"}}
		if err := route.CheckDialect(d); err != nil {
			t.Errorf("%s: %v", pair, err)
			continue
		}
		w := func(name string) string { return open + name + shut }
		template := "https://example.com/p/" + w("zone_id") + "/x?u=" + w("click_id") + "&m=" + w("payout") + w("a-b.c") + "&v=%20" + w("Field.geo") + "%C3%A9&t=a" + w("event_type") + "b"
		e := mustCompileIn(t, carom.Endpoint{URL: template}, d)
		if got, want := mustRender(t, e, sampleDelivery()).URL, "https://example.com/p/8790478/x?u=user123&m=0.0023DE&v=%20DE%C3%A9&t=aclickb"; got != want {
			t.Errorf("%s\ngot  %s\nwant %s", template, got, want)
		}
		body := mustCompileIn(t, carom.Endpoint{URL: "https://example.com/", Method: "POST",
			Body: `{"a":[1,[2.5,-3],[],["x"],true,[true,false,null]],"b":{"c":{}},"id":"` + w("click_id") + `","n":` + w("zone_id") + `,"p":[` + w("payout") + `]}`}, d)
		if got, want := requestBody(mustRender(t, body, sampleDelivery())),
			`{"a":[1,[2.5,-3],[],["x"],true,[true,false,null]],"b":{"c":{}},"id":"user123","n":8790478,"p":[0.0023]}`; got != want {
			t.Errorf("%s: body\ngot  %s\nwant %s", pair, got, want)
		}
		_, err := route.CompileIn(carom.Endpoint{URL: "https://example.com/?a=" + w("payuot")}, d)
		checkFault(t, err, "url: unknown macro "+w("payuot")+": did you mean "+w("PAYOUT")+"?")
	}
}

func TestDialectBytes(t *testing.T) {
	brackets, percents, dollars := foreign()[0], foreign()[1], foreign()[2]
	braces := &carom.Dialect{Name: "braces", Open: "{", Close: "}", Macros: map[string]string{"click_id": "ymid", "Zone": "zone_id", "zone": "sub_zone_id", "ymid": "telegram_id"}}
	doubled := &carom.Dialect{Name: "doubled", Open: "%%", Close: "%%", Macros: trackerNames()}
	lines := &carom.Dialect{Name: "lines", Open: "__", Close: "__", Macros: map[string]string{"a": "ymid", "click__id": "zone_id", "b_": "event_type"}}
	const u = "https://example.com/?"
	tests := []struct {
		name    string
		dialect *carom.Dialect
		url     string
		want    string
	}{
		{"carom's names count", brackets, u + "a=[ymid]&b=[field.Odd.name-1]", u + "a=user123&b=x%20y"},
		{"in any case", brackets, u + "a=[CLICK_ID]&b=[Payout]&c=[EVENT_TYPE]", u + "a=user123&b=0.0023&c=click"},
		{"as written before any case", braces, u + "a={Zone}&b={zone}", u + "a=8790478&b=8790479"},
		{"the dialect's before carom's", braces, u + "a={ymid}&b={click_id}", u + "a=123456789&b=user123"},
		{"pasted from a browser", brackets, u + "a=%5Bclick_id%5D&b=%5bpayout]", u + "a=user123&b=0.0023"},
		{"pasted braces", braces, u + "a=%7Bclick_id%7d", u + "a=user123"},
		{"pasted dollars", dollars, u + "a=%24%7Bclick_id%7D&b=$%7Bpayout}", u + "a=user123&b=0.0023"},
		{"lists of PHP", brackets, u + "z[]=1&y[0]=2&x[1a]=[zone_id]", u + "z[]=1&y[0]=2&x[1a]=8790478"},
		{"percent-encoded text", percents, u + "a=%20x%41%C3%A9%20&b=%sub1%&c=100%25", u + "a=%20x%41%C3%A9%20&b=&c=100%25"},
		{"text between encoded characters", percents, u + "a=%ADabc%20&b=%facade%20", u + "a=%ADabc%20&b=%facade%20"},
		{"side by side", percents, u + "a=%click_id%%payout%%20x", u + "a=user1230.0023%20x"},
		{"behind a digit", percents, u + "a=%20%click_id%20", u + "a=%20user12320"},
		{"two percent signs", doubled, u + "a=%%click_id%%&b=%20%%payout%%%41", u + "a=user123&b=%200.0023%41"},
		{"lines within names", lines, u + "a=__a__&b=__click__id__&c=__b___&d=my_own_name", u + "a=user123&b=8790478&c=click&d=my_own_name"},
		{"twice", dollars, u + "a=${click_id}&b=$5&c=${click_id}", u + "a=user123&b=$5&c=user123"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := mustRender(t, mustCompileIn(t, carom.Endpoint{URL: tt.url}, tt.dialect), sampleDelivery()).URL; got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
	e := mustCompileIn(t, carom.Endpoint{URL: u, Method: "POST", ContentType: "form", Headers: []carom.Field{{Name: "X-A", Value: "[payout] {ymid} 5%"}}}, brackets)
	req := mustRender(t, e, sampleDelivery())
	if got, want := req.Header[1].Value, "0.0023 {ymid} 5%"; got != want {
		t.Errorf("header %q, want %q", got, want)
	}
	if !strings.HasPrefix(string(req.Body), "ymid=user123&zone_id=8790478&") {
		t.Errorf("the form that carom writes by itself is %s", req.Body)
	}
	masked := mustCompileIn(t, carom.Endpoint{URL: u + "token=abc[click_id]def&u=[click_id]"}, brackets)
	if got, want := mustRender(t, masked, sampleDelivery()).ShownURL, u+"token=***user123***&u=user123"; got != want {
		t.Errorf("shown as %s, want %s", got, want)
	}
}

func TestDialectTemplateFaults(t *testing.T) {
	brackets, percents, dollars := foreign()[0], foreign()[1], foreign()[2]
	doubled := &carom.Dialect{Name: "doubled", Open: "{{", Close: "}}", Macros: trackerNames()}
	const u = "https://example.com/?"
	body := func(text string) carom.Endpoint { return carom.Endpoint{URL: u, Method: "POST", Body: text} }
	tests := []struct {
		name    string
		dialect *carom.Dialect
		e       carom.Endpoint
		want    string
	}{
		{"unknown", brackets, carom.Endpoint{URL: u + "a=[clickid]"}, "url: unknown macro [clickid]: did you mean [click_id]?"},
		{"unknown, near to carom's", brackets, carom.Endpoint{URL: u + "a=[received]"}, "url: unknown macro [received]: did you mean [received_at]?"},
		{"unknown, a common word", brackets, carom.Endpoint{URL: u + "a=[revenue]"}, "url: unknown macro [revenue]: did you mean [payout]?"},
		{"unknown, near to nothing", brackets, carom.Endpoint{URL: u + "a=[something_else_again]"}, "url: unknown macro [something_else_again]: the dialect's are [click_id], [country], "},
		{"unknown, pasted", brackets, carom.Endpoint{URL: u + "a=%5Bpayuot%5D"}, "url: unknown macro [payuot]: did you mean [payout]?"},
		{"unknown, percent signs", percents, carom.Endpoint{URL: u + "a=%payuot%&b=1"}, "url: unknown macro %payuot%: did you mean %payout%?"},
		{"unknown, like an encoding in front", percents, carom.Endpoint{URL: u + "a=%adzone%&b=1"}, "url: unknown macro %adzone%"},
		{"unknown, like an encoding behind", percents, carom.Endpoint{URL: u + "a=%payuot%20x"}, "url: unknown macro %payuot%"},
		{"not closed", brackets, carom.Endpoint{URL: u + "a=[click_id&b=1"}, "url: [click_id is not closed: write [click_id]"},
		{"not closed, percent sign", percents, carom.Endpoint{URL: u + "a=%click_id&b=1"}, "url: %click_id is not closed: write %click_id%"},
		{"a percent sign", percents, carom.Endpoint{URL: u + "a=5%&b=1"}, "url: write a literal % as %25, and macros like %goal%"},
		{"an encoded percent sign", percents, carom.Endpoint{URL: u + "a=%25click_id%25"}, "url: %25click_id%25 would be sent as text: write the macro as %click_id%"},
		{"spaces", doubled, carom.Endpoint{URL: u + "a={{ click_id }}"}, "url: spaces stand around the name in {{ click_id }}: write {{click_id}}"},
		{"spaces, encoded", doubled, carom.Endpoint{URL: u + "a={{%20click_id%20}}"}, "url: write {{click_id}}"},
		{"carom's notation", brackets, carom.Endpoint{URL: u + "a={ymid}"}, "url: {ymid} is not how the endpoint's dialect writes macros: write [click_id]"},
		{"carom's notation, encoded", brackets, carom.Endpoint{URL: u + "a=%7Bymid%7D"}, "url: %7Bymid%7D would be sent as text: write the macro as [click_id]"},
		{"one brace of two", doubled, carom.Endpoint{URL: u + "a={payout}"}, "url: {payout} is not how the endpoint's dialect writes macros: write {{payout}}"},
		{"an unknown name in braces", brackets, carom.Endpoint{URL: u + "a={x}"}, "url: a { begins no macro: the endpoint's dialect writes macros like [goal]; write a literal { as %7B"},
		{"a brace without a partner", brackets, carom.Endpoint{URL: u + "a=}"}, "url: a } ends no macro: write macros like [goal]"},
		{"a signature without secret", brackets, carom.Endpoint{URL: u + "a=1&s=[sig]"}, "url: [sig] needs a signing secret"},
		{"a macro as the host", dollars, carom.Endpoint{URL: "https://${offer_id}/x"}, "url: a macro stands in its host or port"},
		{"no URL", brackets, carom.Endpoint{}, "url: it is missing: write where to send, such as https://example.com/postback?ymid=[click_id]"},
		{"JSON: unknown", brackets, body(`{"a":[payuot]}`), "body: unknown macro [payuot]: did you mean [payout]?"},
		{"JSON: outside of quotes", brackets, body(`{"a":x[click_id]}`), `body: put macros inside quotes, such as {"id": "[click_id]"}`},
		{"JSON: a backslash", brackets, body(`{"a":"\[click_id]"}`), "body: a backslash stands before [click_id]"},
		{"a header", percents, carom.Endpoint{URL: u, Headers: []carom.Field{{Name: "X-A", Value: "100 %payuot%"}}}, "headers.X-A: did you mean %payout%?"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := route.CompileIn(tt.e, tt.dialect)
			checkFault(t, err, tt.want)
		})
	}
	_, err := route.Compile(carom.Endpoint{URL: u, Dialect: "tracker"})
	checkFault(t, err, `dialect: there is no dialect "tracker"`)
	_, err = route.CompileIn(carom.Endpoint{URL: u, Dialect: "tracker"}, &carom.Dialect{Name: "tracker", Open: "["})
	checkFault(t, err, `dialect: the dialect "tracker" has faults of its own`)
}

func TestCheckDialect(t *testing.T) {
	names := func(list ...string) map[string]string {
		out := map[string]string{}
		for _, name := range list {
			out[name] = "ymid"
		}
		return out
	}
	many := map[string]string{}
	for i := range 257 {
		many[fmt.Sprintf("n%d", i)] = "ymid"
	}
	to := func(target string) map[string]string { return map[string]string{"payout": target} }
	tests := []struct {
		name        string
		open, close string
		macros      map[string]string
		want        string
	}{
		{"no opening", "", "]", nil, "open: it is missing"},
		{"no closing", "[", "", nil, "close: it is missing"},
		{"too long", "[[[[[[[[[", "]", nil, "open: shorten it to 8"},
		{"a letter", "[", "x]", nil, "close: 'x' stands in it"},
		{"a digit", "[1", "]", nil, "open: '1' stands in it"},
		{"a space", "{ ", "}", nil, "open: a space"},
		{"not ASCII", "«", "]", nil, "open: not ASCII"},
		{"what divides a URL", "[", "&", nil, "close: divides a URL"},
		{"a quotation mark", `"`, "]", nil, "open: divides a URL or a JSON text"},
		{"a dot", ".", "]", nil, "open: is found in every URL"},
		{"hyphens", "--", "]", nil, "open: is found in every URL"},
		{"one line", "[", "_", nil, "close: is found in every URL"},
		{"an empty name", "[", "]", names(""), "macros.: a name is missing"},
		{"a long name", "[", "]", names(strings.Repeat("a", 65)), "macros." + strings.Repeat("a", 40) + "…: shorten it to 64"},
		{"a name with delimiters", "[", "]", names("[payout]"), "macros.[payout]: write it without delimiters"},
		{"a name of digits", "[", "]", names("20"), "macros.20: begins with a letter"},
		{"a name that is not ASCII", "[", "]", names("größe"), "macros.größe: letters, digits"},
		{"a further field", "[", "]", names("Field.x"), "macros.Field.x: rename it"},
		{"like an encoding", "%", "%", names("ad"), "macros.ad: percent-encoded"},
		{"an unknown macro", "[", "]", to("estimated_prize"), "macros.payout: unknown macro estimated_prize: did you mean estimated_price?"},
		{"an unknown macro of rewards", "[", "]", to("reward_idd"), "macros.payout: did you mean reward_id?"},
		{"an unknown macro, near to nothing", "[", "]", to("something_else_again"), "macros.payout: carom's are ymid, zone_id"},
		{"an unknown field", "[", "]", to("fields.geo"), "macros.payout: did you mean field.geo?"},
		{"a macro with delimiters", "[", "]", to("{estimated_price}"), "macros.payout: write the macro without delimiters: estimated_price"},
		{"nothing", "[", "]", to(""), "macros.payout: it stands for nothing"},
		{"too many", "[", "]", many, "macros: keep at most 256"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			checkFault(t, route.CheckDialect(&carom.Dialect{Name: "d", Open: tt.open, Close: tt.close, Macros: tt.macros}), tt.want)
		})
	}
	err := route.CheckDialect(&carom.Dialect{Open: "", Close: "x", Macros: map[string]string{"a": "b", "c": ""}})
	if got := faultsOf(t, err); len(got) != 4 {
		t.Errorf("%d faults, want all four:\n%s", len(got), strings.Join(got, "\n"))
	}
	for _, d := range foreign() {
		if err := route.CheckDialect(d); err != nil {
			t.Errorf("%s: %v", d.Name, err)
		}
	}
}

func TestUses(t *testing.T) {
	d := foreign()[0]
	e := mustCompileIn(t, carom.Endpoint{
		URL: "https://example.com/%5bclick_id]?a=[click_id]&a2=[click_id]&p=[payout]&x=[sub1]&o=[offer_id]", Method: "POST",
		Headers: []carom.Field{{Name: "x-key", Value: "[goal]"}}, Body: `[1,[field.y],"[sub1]"]`,
	}, d)
	var got []string
	for _, u := range e.Uses() {
		if u.Meaning == "" {
			t.Errorf("%s has no meaning", u.Macro)
		}
		got = append(got, u.Where+" "+u.Written+" "+u.Macro+" "+u.Sample)
	}
	want := []string{
		"url %5bclick_id] ymid user123", "url [click_id] ymid user123", "url [payout] estimated_price 0.0023", "url [sub1] field.sub1 text",
		"url [offer_id] app my-game", "headers.X-Key [goal] event_type impression", "body [field.y] field.y text", "body [sub1] field.sub1 text",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("uses (-want +got):\n%s", diff)
	}
	if uses := mustCompile(t, carom.Endpoint{URL: "https://example.com/", Method: "POST", ContentType: "form"}).Uses(); uses != nil {
		t.Errorf("what carom writes by itself has uses: %v", uses)
	}
}

// TestSampleDelivery: what is shown before there is any event has the samples of the documents.
func TestSampleDelivery(t *testing.T) {
	const front = "https://example.com/?v="
	for _, m := range route.Macros() {
		name, e := m.Name, carom.Endpoint{}
		switch {
		case name == "signature":
			continue // it depends on the URL
		case name == "field.NAME":
			name = "field.level"
		case strings.HasPrefix(name, "reward_") && name != "reward_event_type":
			e = rewards(e)
		}
		e.URL = front + "{" + name + "}"
		if e.Sends == carom.SendsRewards {
			e.URL += "&id={reward_id}&s={reward_state}"
		}
		req, err := mustCompile(t, e).Preview()
		if err != nil {
			t.Fatal(err)
		}
		value, _, _ := strings.Cut(strings.TrimPrefix(req.URL, front), "&")
		if got, err := url.QueryUnescape(value); err != nil || got != m.Sample {
			t.Errorf("{%s} is shown as %q, and documented as %q (%v)", name, got, m.Sample, err)
		}
	}
	e := mustCompile(t, carom.Endpoint{URL: front, Filter: carom.Filter{EventTypes: []carom.EventType{"lead"}, Zones: []string{"7"},
		Values: []carom.RewardEventType{carom.ValueEmpty}, Sources: []string{"s"}, RequestVars: []string{"r"}}})
	d := e.SampleDelivery()
	if !e.Matches(d.Event) {
		t.Errorf("the sample does not pass the filter: %+v", d.Event)
	}
	d.Event.YMID = "changed"
	if e.SampleDelivery().Event.YMID == "changed" {
		t.Error("samples share what the caller changes")
	}
}

func TestHoldsSecret(t *testing.T) {
	tests := []struct {
		name string
		e    carom.Endpoint
		want bool
	}{
		{"nothing", carom.Endpoint{URL: "https://example.com/?u={ymid}"}, false},
		{"a parameter", carom.Endpoint{URL: "https://example.com/?u={ymid}&token=abc"}, true},
		{"a segment", carom.Endpoint{URL: "https://example.com/9f8e7d6c5b4a39281706f5e4d3c2b1a0?u={ymid}"}, true},
		{"a header", carom.Endpoint{URL: "https://example.com/", Headers: []carom.Field{{Name: "X-Api-Key", Value: "k"}}}, true},
		{"a signature", carom.Endpoint{URL: "https://example.com/", Method: "POST", SigningSecrets: keys(oldKey)}, true},
	}
	for _, tt := range tests {
		if got := mustCompile(t, tt.e).HoldsSecret(); got != tt.want {
			t.Errorf("%s: HoldsSecret = %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestMacroFor(t *testing.T) {
	for word, want := range map[string]string{
		"click_id": "ymid", "ClickID": "ymid", "payout": "estimated_price", "goal": "event_type", "ymid": "ymid", "sub1": "", "ip": "", "field.x": "",
	} {
		if got, ok := route.MacroFor(word); got != want || ok != (want != "") {
			t.Errorf("MacroFor(%q) = %q, %v, want %q", word, got, ok, want)
		}
	}
}

// FuzzDialect reads any templates in any dialect. Whatever is accepted keeps its host and stays JSON, no value adds a parameter,
// and each macro that Uses lists is one that carom has.
func FuzzDialect(f *testing.F) {
	f.Add("[", "]", "click_id", "https://example.com/[click_id]?a=%5Bclick_id%5D&b=[1]", `{"a":[1,[click_id]]}`, awkward)
	f.Add("%", "%", "sub1", "https://example.com/?a=%20%sub1%%41&b=%C3%A9", `{"a":"100% %sub1%"}`, "%20")
	f.Add("${", "}", "payout", "https://example.com/?a=${payout}&b=$%7bpayout%7d", `{"a":${payout}}`, "")
	f.Add("__", "__", "a_", "https://example.com/?a=__a___", `"__a___"`, "x")
	f.Add("{{", "}}", "id", "https://example.com/?a={{ id }}&b={{id}}", `{"a":{"b":{{id}}}}`, "}}")
	f.Fuzz(func(t *testing.T, open, shut, name, template, body, value string) {
		d := &carom.Dialect{Name: "d", Open: open, Close: shut, Macros: map[string]string{name: "ymid"}}
		if err := route.CheckDialect(d); err != nil {
			faultsOf(t, err)
			return
		}
		delivery := sampleDelivery()
		delivery.Event.YMID = value
		for _, e := range []carom.Endpoint{
			{URL: template, AllowPrivate: true},
			{URL: "https://example.com/", Method: "POST", Body: body},
			{URL: "https://example.com/", Method: "POST", ContentType: "form", Body: body},
			{URL: "https://example.com/", Headers: []carom.Field{{Name: "X-A", Value: body}}},
		} {
			e.Dialect = d.Name
			compiled, err := route.CompileIn(e, d)
			if err != nil {
				faultsOf(t, err)
				continue
			}
			for _, u := range compiled.Uses() {
				if _, ok := route.MacroFor(u.Macro); !ok && !strings.HasPrefix(u.Macro, "field.") {
					t.Errorf("%q uses %q, which is no macro", template, u.Macro)
				}
			}
			req := mustRender(t, compiled, delivery)
			if e.Body != "" && e.ContentType == "" && !json.Valid(req.Body) {
				t.Errorf("%q renders %q, which is not JSON", body, req.Body)
			}
			if e.AllowPrivate {
				checkSameHost(t, template, req.URL)
			}
			if _, err := compiled.Preview(); err != nil {
				t.Errorf("%q has no preview: %v", template, err)
			}
		}
	})
}

// checkSameHost checks that values changed neither the host of a URL nor the number of its parameters.
func checkSameHost(t *testing.T, template, rendered string) {
	t.Helper()
	u, err := url.Parse(rendered)
	if err != nil {
		t.Fatalf("%q renders %q: %v", template, rendered, err)
	}
	_, rest, _ := strings.Cut(template, "://")
	host := rest
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		host = rest[:i]
	}
	if u.Host != host || u.User != nil || u.Fragment != "" {
		t.Fatalf("%q renders %q: the host is %q, want %q", template, rendered, u.Host, host)
	}
	if strings.Count(template, "&") != strings.Count(rendered, "&") {
		t.Errorf("%q renders %q: a value adds parameters", template, rendered)
	}
}
