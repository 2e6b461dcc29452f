package network

import (
	"strings"
	"testing"
	"unicode/utf8"

	"carom"
)

// checkVerdict holds for every verdict, whatever was sent.
func checkVerdict(t *testing.T, b *Binding, r *carom.Received, proof Proof) {
	v, again := b.Judge(r, proof), b.Judge(r, proof)
	if v.Key != again.Key || v.Refused != again.Refused {
		t.Errorf("judged twice: %+v and %+v", v, again)
	}
	if (v.Event == nil) != (v.Refused != "") || (v.Event == nil) != (v.Detail != "") {
		t.Fatalf("%+v is neither an event nor a refusal with its detail", v)
	}
	if !clean(v.Detail) {
		t.Errorf("the detail %q is not clean text", v.Detail)
	}
	if v.Event == nil {
		return
	}
	e := v.Event
	texts := []string{string(e.Type), string(e.Value), e.YMID, e.ZoneID, e.SubZoneID, e.RequestVar, e.TelegramID, e.UserID, e.ExternalID, e.Held}
	for _, f := range e.Fields {
		texts = append(texts, f.Name, f.Value)
	}
	for _, text := range texts {
		if !clean(text) || len(text) > maxFurtherBytes {
			t.Errorf("the event holds %q", text)
		}
	}
	if e.YMID+e.TelegramID+e.UserID == "" || e.Type == "" || v.Key.Window <= 0 || literalMacro(e.YMID) || literalMacro(e.TelegramID) {
		t.Errorf("the event %+v rests on nothing", e)
	}
	if e.Price.Nanos < 0 || e.Price.Nanos > carom.MaxPrice || (e.Held != "") != (e.Value == carom.ValueUnknown) {
		t.Errorf("the event %+v has a price or value that cannot be", e)
	}
}

func clean(s string) bool { return utf8.ValidString(s) && !strings.Contains(s, "\x00") }

func FuzzJudgeQuery(f *testing.F) {
	for _, seed := range []string{
		benchQuery, ok, "", "&=&&", "ymid=%7Bymid%7D&event=click", "ymid=%257Bymid%257D&event=click", "ymid=1&event=click&a=%",
		"tgid=1&event=imp&price=1e9&value=?", "ymid=1&tgid=1&event=click&z=1&z=2", "ymid=\xff",
	} {
		f.Add(seed)
	}
	b := mustBind(f, testSource())
	f.Fuzz(func(t *testing.T, query string) {
		checkVerdict(t, b, get(query), proven)
		checkVerdict(t, b, post("", "", query), proven)
	})
}

func FuzzJudgeJSON(f *testing.F) {
	for _, seed := range []string{
		`{"ymid":"v1","event_type":"click"}`, `{"ymid":1e5,"event":"click","a":[1,{"b":"\\\""}],"n":null,"t":true}`, `{`, `[]`, `{"a":1}x`,
		`{"ymid":"\u0000"}`, `{"ymid":"\ud800","event":"click"}`, `{"ymid":"1","ymid":"2"}`, `{"ymid":{}}`,
	} {
		f.Add("", []byte(seed))
	}
	b := mustBind(f, testSource())
	f.Fuzz(func(t *testing.T, query string, body []byte) {
		r := post(query, "application/json", "")
		r.Body = body
		checkVerdict(t, b, r, proven)
	})
}

const benchQuery = "ymid=5c7a0e51-3b1e-4c55&zone_id=8790478&sub_zone_id=8790479&request_var=bonus-btn&telegram_id=4242424242" +
	"&event_type=impression&reward_event_type=valued&estimated_price=0.0023"

func BenchmarkJudge(b *testing.B) {
	binding := mustBind(b, testSource())
	user := testSource()
	user.YMID = carom.YMIDUser
	for name, bench := range map[string]struct {
		binding *Binding
		r       *carom.Received
	}{
		"get":     {binding, get(benchQuery)},
		"further": {binding, get(benchQuery + "&country=DE&note=a%20b")},
		"repeat":  {mustBind(b, user), get(benchQuery)},
		"form":    {binding, post("", "application/x-www-form-urlencoded", benchQuery)},
		"json":    {binding, post("", "application/json", `{"ymid":"5c7a0e51","zone_id":8790478,"event_type":"impression","reward_event_type":"valued","estimated_price":0.0023}`)},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if bench.binding.Judge(bench.r, proven).Event == nil {
					b.Fatal("refused")
				}
			}
		})
	}
}

func BenchmarkVerifySigned(b *testing.B) {
	for _, name := range []string{"levelplay", "unityads", "bitlabs", "standardwebhooks", "admob"} {
		b.Run(name, func(b *testing.B) {
			g := shippedRig(b, name)
			r, ctx := g.genuine(), b.Context()
			b.ReportAllocs()
			for b.Loop() {
				if !g.b.Verify(ctx, r, sampleTime, g.keys).Verified {
					b.Fatal("not verified")
				}
			}
		})
	}
}

func BenchmarkVerify(b *testing.B) {
	binding := mustBind(b, testSource())
	now, ctx, r := get("").At, b.Context(), &Request{Secret: testSecret}
	b.ReportAllocs()
	for b.Loop() {
		if !binding.Verify(ctx, r, now, nil).Verified {
			b.Fatal("not verified")
		}
	}
}
