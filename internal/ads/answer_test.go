package ads

import (
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"carom"
)

// creative makes an answer of a good image ad with members of its own.
func creative(members string) string {
	return `{"creative":{"id":"a","image":"https://cdn.example/a.png","landing_url":"https://a.example/",` + members + `}}`
}

// read reads an answer as Chooser does. outcome is as counted.
func read(body string, f carom.Format, most carom.Nanos) (*Ad, outcome, error) {
	o, err := readAnswer([]byte(body))
	switch {
	case err != nil:
		return nil, failed, err
	case o == nil:
		return nil, noFill, nil
	}
	ad, err := o.ad(f, most)
	if err != nil {
		return nil, refused, err
	}
	return ad, filled, nil
}

func TestReadAnswer(t *testing.T) {
	tests := []struct {
		name, body string
		want       outcome
		fault      string // a part of the error
	}{
		{"an ad", creative(`"title":"A"`), filled, ""},
		{"HTML", `{"creative":{"html":"<script>top.location='https://x.example'</script>"}}`, filled, ""},
		{"members that nobody knows", `{"version":2,"creative":{"html":"x","video":{"url":1},"Image":7,"LANDING_URL":[]}}`, filled, ""},
		{"null is absent", creative(`"title":null,"width":null,"height":null,"close_after_ms":null,"price_per_click":null`), filled, ""},
		{"no ad", `{"creative":null}`, noFill, ""},
		{"no ad, and more", ` {"reason":"capped","creative" : null } `, noFill, ""},

		{"nothing", ``, failed, "not a JSON object"},
		{"words", `no ad today`, failed, "not a JSON object"},
		{"half of it", creative(`"title":"A"`)[:40], failed, "not a JSON object"},
		{"two answers", `{"creative":null}{"creative":null}`, failed, "not a JSON object"},
		{"null", `null`, failed, "creative: it is missing"},
		{"an array", `[]`, failed, "not a JSON object"},
		{"without a creative", `{"ad":{}}`, failed, "creative: it is missing"},
		{"in capital letters", `{"CREATIVE":null}`, failed, "creative: it is missing"},
		{"a creative of text", `{"creative":"a"}`, failed, "creative: it is not a JSON object"},
		{"several creatives", `{"creative":[{"html":"x"}]}`, failed, "creative: it is not a JSON object"},
		{"an id of the wrong type", creative(`"id":7`), failed, "creative.id: it is not a text"},
		{"a title of the wrong type", creative(`"title":["a"]`), failed, "creative.title: it is not a text"},
		{"an image of the wrong type", creative(`"image":{"url":"x"}`), failed, "creative.image: it is not a text"},
		{"HTML of the wrong type", creative(`"html":true`), failed, "creative.html: it is not a text"},
		{"a landing URL of the wrong type", creative(`"landing_url":0`), failed, "creative.landing_url: it is not a text"},
		{"a width of text", creative(`"width":"320","height":480`), failed, "creative.width: it is not a whole number"},
		{"a height with a fraction", creative(`"width":320,"height":480.5`), failed, "creative.height: it is not a whole number"},
		{"a width beyond all numbers", creative(`"width":99999999999999999999,"height":1`), failed, "creative.width: it is not a whole number"},
		{"a time of text", creative(`"close_after_ms":"5s"`), failed, "creative.close_after_ms: it is not a whole number"},
		{"a price of the wrong type", creative(`"price_per_click":{"usd":1}`), failed, "creative.price_per_click: it is not a price"},
		{"a price that is true", creative(`"price_per_impression":true`), failed, "creative.price_per_impression: it is not a price"},
		{"all faults at once", creative(`"id":1,"width":"a"`), failed, "creative.width"},

		{"an empty creative", `{"creative":{}}`, refused, "image: there is nothing to show"},
		{"image and HTML", creative(`"html":"x"`), refused, "html: there is an image too"},
		{"an image over http", creative(`"image":"http://cdn.example/a.png"`), refused, "image: it is not encrypted"},
		{"a script as image", creative(`"image":"javascript:alert(1)"`), refused, "image: a javascript: URL"},
		{"a script as landing URL", creative(`"landing_url":"javascript:alert(1)"`), refused, "landing_url: a javascript: URL"},
		{"a page as landing URL", creative(`"landing_url":"data:text/html,<script>alert(1)</script>"`), refused, "landing_url: a data: URL"},
		{"a script behind a control character", creative(`"landing_url":"java\u0009script:alert(1)"`), refused, "landing_url: a space, a control character"},
		{"an id that is too long", creative(`"id":"` + strings.Repeat("i", maxIDBytes+1) + `"`), refused, "id: it has 129 bytes"},
		{"an id of two lines", creative(`"id":"a\nb"`), refused, "id: a control character"},
		{"a negative size", creative(`"width":-1,"height":1`), refused, "width: -1 is not"},
		{"a time beyond its bound", creative(`"close_after_ms":60001`), refused, "close_after_ms: 60001 is not"},
		{"a time beyond all bounds", creative(`"close_after_ms":9223372036854775807`), refused, "close_after_ms: "},
		{"a negative time", creative(`"close_after_ms":-1`), refused, "close_after_ms: -1 is not"},
		{"HTML that is too long", `{"creative":{"html":"` + strings.Repeat("h", MaxHTMLBytes+1) + `"}}`, refused, "html: it has 65537 bytes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ad, got, err := read(tt.body, carom.RewardedInterstitial, carom.DefaultMaxAdPrice)
			if got != tt.want || (err == nil) != (tt.fault == "") || err != nil && !strings.Contains(err.Error(), tt.fault) {
				t.Errorf("got %s, %v; want %s, %q", got, err, tt.want, tt.fault)
			}
			if (ad != nil) != (tt.want == filled) {
				t.Errorf("got the ad %+v", ad)
			}
		})
	}
}

func TestReadWholeAnswer(t *testing.T) {
	const body = `{"creative":{"id":"c-7","title":"<script>alert(1)</script>","html":"<p onclick=\"f()\">\u00e4</p>","landing_url":"https://a.example/?x=<b>",
		"width":320,"height":480,"close_after_ms":1500,"price_per_impression":"0.002","price_per_click":5e-2}}`
	want := &Ad{
		Creative: "c-7", FromServer: true, Title: "<script>alert(1)</script>", HTML: `<p onclick="f()">ä</p>`, LandingURL: "https://a.example/?x=<b>",
		Width: 320, Height: 480, CloseAfter: 1500 * time.Millisecond, PerImpression: 2_000_000, PerClick: 50_000_000,
	}
	got, _, err := read(body, carom.InAppInterstitial, carom.DefaultMaxAdPrice)
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("error %v, ad (-want +got):\n%s", err, diff)
	}
	want.HTML, want.Width, want.Height = "", 0, 0
	got, _, err = read(body, carom.RewardedPopup, carom.DefaultMaxAdPrice)
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("as a popup: error %v, ad (-want +got):\n%s", err, diff)
	}
	if _, o, _ := read(`{"creative":{"html":"x"}}`, carom.RewardedPopup, carom.DefaultMaxAdPrice); o != refused {
		t.Errorf("a popup without a page: got %s, want it refused", o)
	}
}

func TestPricesOfAnswers(t *testing.T) {
	tests := []struct {
		price string // as it stands in the JSON
		want  carom.Nanos
		gone  outcome // what comes of it when it is no price
	}{
		{`0`, 0, ""},
		{`"0"`, 0, ""},
		{`-0`, 0, ""},
		{`1`, 1_000_000_000, ""},
		{`"1.000000000"`, 1_000_000_000, ""},
		{`0.1`, 100_000_000, ""},
		{`0.002`, 2_000_000, ""},
		{`"2e-3"`, 2_000_000, ""},
		{`2E-3`, 2_000_000, ""},
		{`0.000000001`, 1, ""},
		{`0.0020000000000000001`, 2_000_000, ""}, // what floats make of it
		{`0.30000000000000004`, 300_000_000, ""},
		{`1e-10`, 0, ""},

		{`1.000000001`, 0, refused},
		{`"1.01"`, 0, refused},
		{`2`, 0, refused},
		{`1e9`, 0, refused},
		{`"1e9"`, 0, refused},
		{`1e99`, 0, refused},
		{`1e999999999`, 0, refused},
		{`-0.002`, 0, refused},
		{`"-1"`, 0, refused},
		{`"NaN"`, 0, refused},
		{`"Infinity"`, 0, refused},
		{`"0x1p-2"`, 0, refused},
		{`"0,002"`, 0, refused},
		{`"$0.002"`, 0, refused},
		{`"1_0"`, 0, refused},
		{`""`, 0, refused},
		{`" 1"`, 0, refused},
		{`"<script>alert(1)</script>"`, 0, refused},
		{`NaN`, 0, failed}, // not JSON
		{`.5`, 0, failed},
		{`[1]`, 0, failed},
		{`false`, 0, failed},
	}
	for _, tt := range tests {
		for _, member := range []string{"price_per_impression", "price_per_click"} {
			ad, o, err := read(creative(`"`+member+`":`+tt.price), carom.RewardedInterstitial, carom.DefaultMaxAdPrice)
			if tt.gone != "" {
				if o != tt.gone || ad != nil || err == nil {
					t.Errorf("%s %s: got %s, %+v, %v; want it %s", member, tt.price, o, ad, err, tt.gone)
				}
				continue
			}
			if err != nil {
				t.Errorf("%s %s: %v", member, tt.price, err)
				continue
			}
			if got := ad.PerImpression + ad.PerClick; got != tt.want {
				t.Errorf("%s %s: got %d, want %d", member, tt.price, got, tt.want)
			}
		}
	}
}

// FuzzAnswer: whatever an ad server answers, an ad that is shown keeps to all bounds.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte(goodAd), byte(0))
	f.Add([]byte(creative(`"title":"A","width":320,"height":480,"close_after_ms":5000,"price_per_impression":"0.002","price_per_click":0.05`)), byte(1))
	f.Add([]byte(`{"creative":null}`), byte(2))
	f.Add([]byte(`{"creative":{"html":"<b>x</b>","price_per_click":"1e-9"}}`), byte(0))
	f.Add([]byte(`{"creative":{"html":"x","landing_url":"JAVASCRIPT:1","image":"data:,"}}`), byte(2))
	f.Add([]byte(`{"creative":{"image":"http://127.0.0.1/","price_per_click":-0,"width":1e3}}`), byte(0))
	f.Fuzz(func(t *testing.T, body []byte, n byte) {
		format := carom.Formats()[int(n)%len(carom.Formats())]
		const most = carom.DefaultMaxAdPrice
		ad, o, err := read(string(body), format, most)
		if (ad != nil) != (o == filled) || (err != nil) != (o == failed || o == refused) {
			t.Fatalf("got %s with the ad %+v and the error %v", o, ad, err)
		}
		if ad == nil {
			return
		}
		popup := format == carom.RewardedPopup
		for _, link := range []struct {
			url      string
			optional bool
		}{{ad.Image, true}, {ad.LandingURL, !popup}} {
			u, err := url.Parse(link.url)
			web := err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" && u.User == nil
			if !web && (link.url != "" || !link.optional) {
				t.Errorf("the URL %q is shown", link.url)
			}
		}
		switch {
		case (ad.Image != "") == (ad.HTML != "") && !popup, popup && ad.Image+ad.HTML != "":
			t.Errorf("image %q and HTML %q are shown as %s", ad.Image, ad.HTML, format)
		case len(ad.HTML) > MaxHTMLBytes || !utf8.ValidString(ad.HTML+ad.Title+ad.Creative):
			t.Error("a text is too long, or is not UTF-8")
		case ad.PerImpression < 0 || ad.PerImpression > most || ad.PerClick < 0 || ad.PerClick > most:
			t.Errorf("the prices are %s and %s", ad.PerImpression, ad.PerClick)
		case ad.CloseAfter <= 0 || ad.CloseAfter > MaxCloseAfter:
			t.Errorf("it can be closed after %v", ad.CloseAfter)
		case min(ad.Width, ad.Height) < 0 || max(ad.Width, ad.Height) > MaxPixels || (ad.Width == 0) != (ad.Height == 0):
			t.Errorf("its size is %d × %d", ad.Width, ad.Height)
		case !ad.FromServer || len(ad.Creative) > maxIDBytes || strings.ContainsAny(ad.Creative+ad.Title, "\n\r\x00"):
			t.Errorf("its id is %q, its title %q", ad.Creative, ad.Title)
		}
	})
}
