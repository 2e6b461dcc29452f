package network

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"carom"
)

// ok is the least that an accepted postback needs.
const ok = "ymid=v1&event_type=click"

func fields(pairs ...string) []carom.Field {
	var fs []carom.Field
	for i := 0; i < len(pairs); i += 2 {
		fs = append(fs, carom.Field{Name: pairs[i], Value: pairs[i+1]})
	}
	return fs
}

func TestJudgeQuery(t *testing.T) {
	click := func(change func(*seen)) seen {
		s := seen{Type: carom.Click, YMID: "v1"}
		if change != nil {
			change(&s)
		}
		return s
	}
	refused := func(r carom.Reason) seen { return seen{Refused: r} }
	tests := []struct {
		name, query string
		want        seen
	}{
		{"empty parameters are skipped", "&&" + ok + "&", click(nil)},
		{"a semicolon does not split", ok + "&a=1;b=2", click(func(s *seen) { s.Fields = fields("a", "1;b=2") })},
		{"escapes and + are decoded in names and values", "%79mid=v1&event_type=cl%69ck&n%2b=a+b%2B", click(func(s *seen) { s.Fields = fields("n+", "a b+") })},
		{"further parameters keep their order", ok + "&z=1&a=2&flag", click(func(s *seen) { s.Fields = fields("z", "1", "a", "2", "flag", "") })},
		{"a nameless parameter is not kept", ok + "&=5", click(nil)},

		{"a broken escape", ok + "&a=%4", refused(carom.ReasonBadEncoding)},
		{"an escape that is not hex", ok + "&a=%zz", refused(carom.ReasonBadEncoding)},
		{"an escape cut at the end", ok + "&a=%", refused(carom.ReasonBadEncoding)},
		{"an encoded NUL", ok + "&a=%00", refused(carom.ReasonBadEncoding)},
		{"a raw NUL", ok + "&a=\x00", refused(carom.ReasonBadEncoding)},
		{"raw invalid UTF-8", ok + "&a=\xff", refused(carom.ReasonBadEncoding)},
		{"encoded invalid UTF-8", ok + "&a=%ff", refused(carom.ReasonBadEncoding)},
		{"a name that is invalid", ok + "&%ff=1", refused(carom.ReasonBadEncoding)},

		{"two aliases that agree", ok + "&uid=v1", click(nil)},
		{"two aliases that differ", ok + "&uid=v2", refused(carom.ReasonRepeated)},
		{"a mapped parameter twice, equal", ok + "&ymid=v1", click(nil)},
		{"a mapped parameter twice, different", ok + "&ymid=v2", refused(carom.ReasonRepeated)},
		{"an empty alias is an absent one", ok + "&uid=", click(nil)},
		{"a further parameter twice, equal", ok + "&a=1&a=1", click(func(s *seen) { s.Fields = fields("a", "1") })},
		{"a further parameter twice, different", ok + "&a=1&a=2", click(func(s *seen) { s.Fields = fields("a", "1"); s.Flags = "repeated_parameter" })},

		{"words fold case and spaces", "ymid=v1&event_type=+CLICK&value=Yes+", click(func(s *seen) { s.Value = carom.Valued })},
		{"true is paid", ok + "&reward_event_type=true", click(func(s *seen) { s.Value = carom.Valued })},
		{"1 is paid", ok + "&is_paid=1", click(func(s *seen) { s.Value = carom.Valued })},
		{"unvalued is unpaid", ok + "&value=unvalued", click(func(s *seen) { s.Value = carom.NotValued })},
		{"false is unpaid", ok + "&value=false", click(func(s *seen) { s.Value = carom.NotValued })},
		{"0 is unpaid", ok + "&value=0", click(func(s *seen) { s.Value = carom.NotValued })},
		{"an empty value is not sent", ok + "&value=", click(nil)},
		{"an unknown value is held", ok + "&value=partly", click(func(s *seen) { s.Value, s.Held, s.Flags = carom.ValueUnknown, "unknown_value", "held" })},

		{"completion is known", "ymid=v1&event_type=completion", seen{Type: carom.Completion, YMID: "v1"}},
		{"reversal is known", "ymid=v1&event_type=reversal", seen{Type: carom.Reversal, YMID: "v1"}},
		{"a word of the source", "ymid=v1&event_type=IMP", seen{Type: carom.Impression, YMID: "v1"}},
		{"a type of the operator's own", "ymid=v1&event_type=lead", seen{Type: "lead", YMID: "v1"}},
		{"an unknown event type", "ymid=v1&event_type=hover", refused(carom.ReasonUnknownEventType)},
		{"no event type", "ymid=v1", refused(carom.ReasonNoEventType)},
		{"an empty event type", "ymid=v1&event_type=", refused(carom.ReasonNoEventType)},

		{"nobody", "event_type=click", refused(carom.ReasonNoIdentity)},
		{"only a telegram_id", "telegram_id=42&event_type=click", seen{Type: carom.Click, TelegramID: "42", Flags: "ymid_as_user"}},
		{"a ymid that is the telegram_id", "ymid=42&telegram_id=42&event_type=click", seen{Type: carom.Click, YMID: "42", TelegramID: "42", Flags: "ymid_as_user"}},

		{"a literal ymid", "ymid={ymid}&event_type=click", refused(carom.ReasonLiteralMacro)},
		{"a literal ymid beside a telegram_id", "ymid={ymid}&telegram_id=42&event_type=click", refused(carom.ReasonLiteralMacro)},
		{"a literal ymid in double braces", "ymid={{ymid}}&event_type=click", refused(carom.ReasonLiteralMacro)},
		{"a literal ymid in brackets", "ymid=[YMID]&event_type=click", refused(carom.ReasonLiteralMacro)},
		{"a literal ymid in percent signs", "ymid=%25%25ymid%25%25&event_type=click", refused(carom.ReasonLiteralMacro)},
		{"a literal ymid, encoded twice", "ymid=%257Bymid%257D&event_type=click", refused(carom.ReasonLiteralMacro)},
		{"a literal ymid, half encoded twice", "ymid={ymid%257D&event_type=click", refused(carom.ReasonLiteralMacro)},
		{"braces around more than a name are no macro", "ymid={a:1}&event_type=click", seen{Type: carom.Click, YMID: "{a:1}"}},
		{"a literal event type", "ymid=v1&event_type={event}", refused(carom.ReasonLiteralMacro)},
		{"a literal value", ok + "&value={value}", refused(carom.ReasonLiteralMacro)},
		{"a literal telegram_id alone", "telegram_id={telegram_id}&event_type=click", refused(carom.ReasonLiteralMacro)},
		{"a literal telegram_id beside a ymid", ok + "&telegram_id={telegram_id}", click(func(s *seen) { s.Flags = "literal_macro" })},
		{"a literal zone", ok + "&zone_id={zone}", click(func(s *seen) { s.Flags = "literal_macro" })},
		{"a literal price is no bad price", ok + "&estimated_price={price}", click(func(s *seen) { s.Flags = "literal_macro" })},
		{"a literal further parameter", ok + "&country={country}", click(func(s *seen) { s.Fields = fields("country", ""); s.Flags = "literal_macro" })},

		{"an exponent", ok + "&price=2.3e-3", click(func(s *seen) { s.Price = "0.0023" })},
		{"more than nine decimals", ok + "&price=0.0000000019", click(func(s *seen) { s.Price, s.Flags = "0.000000001", "price_truncated" })},
		{"the largest price", ok + "&price=1000000", click(func(s *seen) { s.Price = "1000000" })},
		{"more than the largest price", ok + "&price=1000000.000000001", click(func(s *seen) { s.Flags = "price_invalid" })},
		{"a negative price", ok + "&price=-0.1", click(func(s *seen) { s.Flags = "price_invalid" })},
		{"a negative price too small to keep", ok + "&price=-0.0000000001", click(func(s *seen) { s.Flags = "price_invalid" })},
		{"no number", ok + "&price=NaN", click(func(s *seen) { s.Flags = "price_invalid" })},

		{"a mapped field at its limit", "event_type=click&ymid=" + strings.Repeat("a", 256), seen{Type: carom.Click, YMID: strings.Repeat("a", 256)}},
		{"a mapped field beyond its limit", "event_type=click&ymid=" + strings.Repeat("a", 257), refused(carom.ReasonFieldTooLong)},
		{"a further value beyond its limit", ok + "&a=" + strings.Repeat("a", 4097), refused(carom.ReasonFieldTooLong)},
		{"a further name beyond its limit", ok + "&" + strings.Repeat("a", 129) + "=1", refused(carom.ReasonFieldTooLong)},
		{"too many parameters", ok + strings.Repeat("&a=1", 127), refused(carom.ReasonTooManyFields)},
		{"as many parameters as there may be", ok + strings.Repeat("&a=1", 126), click(func(s *seen) { s.Fields = fields("a", "1") })},
	}
	s := testSource()
	s.EventTypes = map[string]carom.EventType{"imp": carom.Impression, "Lead": "lead"}
	b := mustBind(t, s)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, see(b.Judge(get(tt.query), proven))); diff != "" {
				t.Errorf("Judge(%q) (-want +got):\n%s", tt.query, diff)
			}
		})
	}
}

func TestJudgeBody(t *testing.T) {
	const form, js = "application/x-www-form-urlencoded", "application/json; charset=utf-8"
	click := seen{Type: carom.Click, YMID: "v1"}
	refused := func(r carom.Reason) seen { return seen{Refused: r} }
	tests := []struct {
		name, query, contentType, body string
		want                           seen
	}{
		{"no body reads the query", ok, "text/html", "", click},
		{"a form", "", form, ok, click},
		{"a form with the rest in the query", "ymid=v1", form, "event_type=click", click},
		{"a form that repeats the query", ok, form, ok, click},
		{"a form that contradicts the query", ok, form, "ymid=v2", refused(carom.ReasonRepeated)},
		{"a form that is broken", "", form, ok + "&a=%4", refused(carom.ReasonBadEncoding)},
		{"a form with no content type", "", "", ok, click},
		{"JSON with no content type", "", "", ` {"ymid":"v1","event_type":"click"}`, click},
		{"JSON", "", js, `{"ymid":"v1","event_type":"click"}`, click},
		{"JSON of another name", "", "application/vnd.x+json", `{"ymid":"v1","event_type":"click"}`, click},
		{"numbers keep their text", "", js, `{"ymid":12345678901234567890,"event_type":"click","price":2.30e-3,"n":1.0}`,
			seen{Type: carom.Click, YMID: "12345678901234567890", Price: "0.0023", Fields: fields("n", "1.0")}},
		{"true is a word, null is absent", "", js, `{"ymid":"v1","event_type":"click","is_paid":true,"zone":null,"a":false}`,
			seen{Type: carom.Click, YMID: "v1", Value: carom.Valued, Fields: fields("a", "false")}},
		{"objects and lists become text", "", js, `{"ymid":"v1","event_type":"click","o":{ "a" : [1, "]"] },"l":[ 1 ]}`,
			seen{Type: carom.Click, YMID: "v1", Fields: fields("o", `{"a":[1,"]"]}`, "l", "[1]")}},
		{"a key twice, different", "", js, `{"ymid":"v1","ymid":"v2","event_type":"click"}`, refused(carom.ReasonRepeated)},
		{"JSON that contradicts the query", "ymid=v2", js, `{"ymid":"v1","event_type":"click"}`, refused(carom.ReasonRepeated)},
		{"an object as the ymid", "", js, `{"ymid":{"id":1},"event_type":"click"}`, refused(carom.ReasonBadBody)},
		{"a value that nests too deep", "", js, `{"a":` + strings.Repeat("[", 33) + strings.Repeat("]", 33) + `}`, refused(carom.ReasonBadBody)},
		{"a value that nests as deep as it may", "", js, `{"ymid":"v1","event_type":"click","a":` + strings.Repeat("[", 32) + strings.Repeat("]", 32) + `}`,
			seen{Type: carom.Click, YMID: "v1", Fields: fields("a", strings.Repeat("[", 32)+strings.Repeat("]", 32))}},
		{"a long list", "", js, `{"ymid":"v1","event_type":"click","a":[` + strings.Repeat("1,", 2048) + `1]}`, refused(carom.ReasonFieldTooLong)},
		{"too many members", "", js, `{` + strings.Repeat(`"a":1,`, 128) + `"a":1}`, refused(carom.ReasonTooManyFields)},
		{"a list", "", js, `[{"ymid":"v1"}]`, refused(carom.ReasonBadBody)},
		{"text after the object", "", js, `{"ymid":"v1"} {}`, refused(carom.ReasonBadBody)},
		{"an object that ends early", "", js, `{"ymid":"v1","event_type"`, refused(carom.ReasonBadBody)},
		{"an object without its end", "", js, `{"ymid":"v1"`, refused(carom.ReasonBadBody)},
		{"a form sent as JSON", "", js, ok, refused(carom.ReasonBadBody)},
		{"an escaped NUL", "", js, `{"ymid":"v1\u0000"}`, refused(carom.ReasonBadEncoding)},
		{"half a character", "", js, `{"ymid":"v1\ud800"}`, refused(carom.ReasonBadEncoding)},
		{"bytes that are not UTF-8", "", js, "{\"ymid\":\"v1\xff\"}", refused(carom.ReasonBadEncoding)},
		{"another content type", "", "multipart/form-data; boundary=x", "--x--", refused(carom.ReasonUnsupportedMedia)},
	}
	b := mustBind(t, testSource())
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, see(b.Judge(post(tt.query, tt.contentType, tt.body), proven))); diff != "" {
				t.Errorf("Judge(%q, %q) (-want +got):\n%s", tt.query, tt.body, diff)
			}
		})
	}
	if got := see(b.Judge(&carom.Received{Method: "GET", RawQuery: ok, ContentType: js, Body: []byte(`{"ymid":"v2"}`)}, proven)); !cmp.Equal(got, click) {
		t.Errorf("Judge(a GET with a body) = %+v, want its query alone: %+v", got, click)
	}
}

// A refusal names the parameter and the fix, and never the value, which may identify a user.
func TestRefusalsNameFieldAndFix(t *testing.T) {
	b := mustBind(t, testSource())
	for query, want := range map[string]string{
		"ymid=v1&event_type=%4":                 `the parameter "event_type" is not correctly encoded UTF-8 without NUL: encode its value so`,
		"a=1&%4=1":                              `the name of parameter 2 is not percent-encoded UTF-8 without NUL: encode it so`,
		"ymid=alice&ymid=bob":                   `the parameter "ymid" came twice with different values: send it once`,
		"ymid=alice&uid=bob":                    `the parameters "ymid" and "uid" both stand for ymid and differ: send one, or give the source the URL template that is set at the network`,
		"uid=[uid]&event_type=click":            `ymid (parameter "uid") holds a macro as text: replace it in the URL at Monetag by the network's spelling, {ymid}`,
		"event_type=click":                      "no ymid or telegram_id was sent: add ymid={ymid} to the URL at Monetag, and let the app give every view its ymid",
		"ymid=alice":                            "no event_type was sent: add event_type={event_type} to the URL at Monetag, or give the source a default_event_type",
		"ymid=alice&event=a%0Ab":                `the event type "a\nb" (parameter "event") is not known: map it with ` + "`event_types:` on the source",
		"ymid=a&e=1&event=" + long("é", 30):     `the event type "` + long("é", 20) + `…" (parameter "event") is not known: map it with ` + "`event_types:` on the source",
		ok + "&zone=" + long("7", 300):          `the parameter "zone" is zone_id and longer than 256 bytes: shorten it`,
		ok + "&" + long("n", 200) + "=" + "xyz": `the name of the parameter "` + long("n", 40) + `…" is longer than 128 bytes: shorten it`,
	} {
		if got := b.Judge(get(query), proven).Detail; got != want {
			t.Errorf("Judge(%q) says\n%s, want\n%s", query, got, want)
		}
	}
}

func long(s string, n int) string { return strings.Repeat(s, n) }

func TestTemplateReplacesAliases(t *testing.T) {
	s := testSource()
	names := map[string]string{"u": "ymid", "user_id": "telegram_id", "e": "event_type", "c": "country"}
	b, err := mustProfiles(t)["monetag"].Bind(s, names, []string{"event", "key"}, "")
	if err != nil {
		t.Fatal(err)
	}
	got := see(b.Judge(get("u=v1&user_id=42&e=click&c=DE&event=fixed&key=k&zone=7"), proven))
	want := seen{Type: carom.Click, YMID: "v1", TelegramID: "42", Fields: fields("country", "DE", "zone", "7")}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Judge() (-want +got):\n%s", diff)
	}
}

func TestDefaultEventType(t *testing.T) {
	s := testSource()
	s.DefaultEventType = carom.Impression
	b := mustBind(t, s)
	for _, tt := range []struct {
		query string
		want  carom.EventType
	}{{"ymid=v1", carom.Impression}, {"ymid=v1&event_type=+", carom.Impression}, {ok, carom.Click}} {
		if v := b.Judge(get(tt.query), proven); v.Event == nil || v.Event.Type != tt.want {
			t.Errorf("Judge(%q) = %+v, want the type %s", tt.query, see(v), tt.want)
		}
	}
}

func TestJudgeKeepsTheRequest(t *testing.T) {
	r := post("a=1", "application/x-www-form-urlencoded", ok)
	e := mustBind(t, testSource()).Judge(r, proven).Event
	if e.ID != "" || !e.At.Equal(r.At) || fmt.Sprint(e.Received) != fmt.Sprint(*r) {
		t.Errorf("Judge() keeps %+v at %v, want %+v at its time, without an id", e.Received, e.At, *r)
	}
}
