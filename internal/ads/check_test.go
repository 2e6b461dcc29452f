package ads

import (
	"errors"
	"strings"
	"testing"
	"time"

	"carom"
)

// fields returns the fields of all faults of a check, and fails for a fault that says nothing.
func fields(t *testing.T, err error) string {
	t.Helper()
	if err == nil {
		return ""
	}
	var joined interface{ Unwrap() []error }
	if !errors.As(err, &joined) || !errors.Is(err, carom.ErrInvalid) {
		t.Fatalf("%v is not a number of faults", err)
	}
	var names []string
	for _, err := range joined.Unwrap() {
		var fault *carom.FieldError
		if !errors.As(err, &fault) || len(fault.Message) < 30 || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("fault %q: want a field, a sentence that helps, and nothing of a URL", err)
		}
		names = append(names, fault.Field)
	}
	return strings.Join(names, " ")
}

func TestCheckCreative(t *testing.T) {
	type creative = carom.Creative
	popup := []carom.Format{carom.RewardedPopup}
	const to = "https://game.example/offer?key=hunter2"
	tests := []struct {
		name     string
		creative creative
		want     string // fields that have a fault
	}{
		{"image", creative{Image: "https://cdn.example/a.png", LandingURL: to}, ""},
		{"HTML", creative{HTML: "<b>Play</b>", LandingURL: "http://game.example/"}, ""},
		{"a popup needs its page alone", creative{Formats: popup, LandingURL: to}, ""},
		{"no landing URL where there is no popup", creative{Formats: []carom.Format{carom.RewardedInterstitial, carom.InAppInterstitial}, HTML: "x"}, ""},
		{"everything at its bound", creative{
			Title: strings.Repeat("t", MaxTitleBytes), HTML: strings.Repeat("h", MaxHTMLBytes), LandingURL: to + strings.Repeat("u", MaxURLBytes-len(to)),
			Width: 1, Height: MaxPixels, CloseAfter: MaxCloseAfter, Weight: MaxWeight, PerImpression: carom.MaxPrice, PerClick: carom.MaxPrice,
		}, ""},
		{"image on this machine", creative{Image: "http://localhost:8080/a.png", LandingURL: to}, ""},
		{"image on a name of this machine", creative{Image: "http://cdn.localhost/a.png", LandingURL: to}, ""},
		{"image on a loopback address", creative{Image: "http://[::1]:8080/a.png", LandingURL: to}, ""},
		{"letters of all languages", creative{Title: "Jouer à 遊ぶ", Image: "https://cdn.example/bücher.png", LandingURL: to}, ""},

		{"nothing", creative{}, "image landing_url"},
		{"nothing to show", creative{LandingURL: to}, "image"},
		{"nothing to show, a popup too", creative{Formats: []carom.Format{carom.InAppInterstitial, carom.RewardedPopup}, LandingURL: to}, "image"},
		{"a popup without a page", creative{Formats: popup}, "landing_url"},
		{"image and HTML", creative{Image: "https://cdn.example/a.png", HTML: "x", LandingURL: to}, "html"},
		{"image and HTML of a popup", creative{Formats: popup, Image: "https://cdn.example/a.png", HTML: "x", LandingURL: to}, "html"},
		{"image over http", creative{Image: "http://cdn.example/a.png?key=hunter2", LandingURL: to}, "image"},
		{"image over http on a name like this machine's", creative{Image: "http://localhost.example/a.png", LandingURL: to}, "image"},
		{"image over http on a private address", creative{Image: "http://10.0.0.5/a.png", LandingURL: to}, "image"},
		{"image in the URL", creative{Image: "data:image/png;base64,hunter2", LandingURL: to}, "image"},
		{"image that is a script", creative{Image: "javascript:hunter2()", LandingURL: to}, "image"},
		{"unknown formats", creative{Formats: []carom.Format{"banner", carom.InAppInterstitial, ""}, HTML: "x"}, "formats[0] formats[2]"},
		{"title with a line break", creative{Title: "a\nb", HTML: "x", LandingURL: to}, "title"},
		{"title that is too long", creative{Title: strings.Repeat("t", MaxTitleBytes+1), HTML: "x", LandingURL: to}, "title"},
		{"title that is not UTF-8", creative{Title: "\xff", HTML: "x", LandingURL: to}, "title"},
		{"HTML that is too long", creative{HTML: strings.Repeat("h", MaxHTMLBytes+1), LandingURL: to}, "html"},
		{"HTML that is not UTF-8", creative{HTML: "\xff", LandingURL: to}, "html"},
		{"width alone", creative{HTML: "x", LandingURL: to, Width: 320}, "height"},
		{"height alone", creative{HTML: "x", LandingURL: to, Height: 480}, "width"},
		{"sizes out of bounds", creative{HTML: "x", LandingURL: to, Width: -1, Height: MaxPixels + 1}, "width height"},
		{"negative weight", creative{HTML: "x", LandingURL: to, Weight: -1}, "weight"},
		{"weight out of bounds", creative{HTML: "x", LandingURL: to, Weight: MaxWeight + 1}, "weight"},
		{"negative time", creative{HTML: "x", LandingURL: to, CloseAfter: -1}, "close_after"},
		{"time out of bounds", creative{HTML: "x", LandingURL: to, CloseAfter: MaxCloseAfter + 1}, "close_after"},
		{"prices out of bounds", creative{HTML: "x", LandingURL: to, PerImpression: -1, PerClick: carom.MaxPrice + 1}, "per_impression per_click"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := CheckCreative(&tt.creative)
			if got := fields(t, err); got != tt.want {
				t.Errorf("faults of %q, want of %q:\n%v", got, tt.want, err)
			}
		})
	}
}

// TestLandingURLs looks at what attackers write where a URL is due.
func TestLandingURLs(t *testing.T) {
	tests := []struct {
		url  string
		want string // a part of the fault
	}{
		{"https://game.example", ""},
		{"HTTPS://game.example:443/a%20b?c=d&e=%0A#f", ""},
		{"http://[2001:db8::1]:8080/", ""},
		{"https://t.me/some_bot/app?startapp=x", ""},

		{"javascript:alert(document.cookie)", "a javascript: URL is never opened"},
		{"JaVaScRiPt:alert(1)", "a javascript: URL is never opened"},
		{"javascript://game.example/%0Aalert(1)", "a javascript: URL is never opened"},
		{"java\nscript:alert(1)", "a control character"},
		{"\x01javascript:alert(1)", "a control character"},
		{" javascript:alert(1)", "a space"},
		{"data:text/html,<script>alert(1)</script>", "a data: URL is never opened"},
		{"vbscript:x", "a vbscript: URL is never opened"},
		{"blob:https://game.example/1", "a blob: URL is never opened"},
		{"file:///etc/passwd", "a file: URL is never opened"},
		{"view-source:https://game.example", "a view-source: URL is never opened"},
		{"ftp://game.example/", "not a whole URL"},
		{"tg://resolve?domain=x", "not a whole URL"},
		{"//game.example/", "not a whole URL"},
		{"/offer", "not a whole URL"},
		{"game.example/offer", "not a whole URL"},
		{"https:game.example", "not a whole URL"},
		{"https:///offer", "not a whole URL"},
		{"https://:443/", "not a whole URL"},
		{"https://game.example:/", "not a whole URL"},
		{"https://ga%6De.example/", "not a whole URL"},
		{"https://game.example/%zz", "not a whole URL"},
		{"https://game.example:0/", "port"},
		{"https://game.example:65536/", "port"},
		{"https://user:hunter2@game.example/", "credentials"},
		{"https://game.example@other.example/", "credentials"},
		{`https:\\game.example`, "backslash"},
		{`https://game.example\@other.example/`, "backslash"},
		{"https://game.example/\u2028", "a space"},
		{"https://game.example/\u0085", "a space"},
		{"https://game.example/\x00", "a control character"},
		{"https://game.example/\x7f", "a control character"},
		{"https://game.example/\xff", "not UTF-8"},
		{"https://game.example/" + strings.Repeat("a", MaxURLBytes), "shorten it"},
	}
	for _, tt := range tests {
		err := CheckCreative(&carom.Creative{HTML: "x", LandingURL: tt.url})
		switch {
		case tt.want == "" && err != nil:
			t.Errorf("%q: %v, want no fault", tt.url, err)
		case tt.want != "" && (fields(t, err) != "landing_url" || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%.80q: got %v, want a fault with %q", tt.url, err, tt.want)
		}
	}
}

func TestCheckAdServer(t *testing.T) {
	type server = carom.AdServer
	tests := []struct {
		name   string
		server server
		want   string // of the fault
	}{
		{"none", server{}, ""},
		{"public", server{URL: "https://ads.example/v1/ad?key=hunter2"}, ""},
		{"on this machine", server{URL: "http://127.0.0.1:9000/ad", AllowPrivate: true}, ""},
		{"by a name of this machine", server{URL: "http://localhost:9000/ad", AllowPrivate: true}, ""},
		{"in the own network", server{URL: "http://[fd12::5]/ad", AllowPrivate: true}, ""},
		{"everything at its bound", server{URL: "https://ads.example", Timeout: MinTimeout, MaxPrice: carom.MaxPrice}, ""},

		{"no URL", server{Timeout: time.Second}, "url: it is missing"},
		{"not a URL", server{URL: "ads.example"}, "url: it is not a whole URL"},
		{"unencrypted", server{URL: "http://ads.example/ad"}, "url: it is not encrypted"},
		{"credentials", server{URL: "https://me:hunter2@ads.example/ad"}, "url: credentials"},
		{"a fragment", server{URL: "https://ads.example/ad#top"}, "url: it has a fragment"},
		{"a macro", server{URL: "https://ads.example/ad?zone={zone_id}"}, "url: it holds a macro"},
		{"a path that is not ASCII", server{URL: "https://ads.example/bücher"}, "url: it is not plain ASCII"},
		{"a host that is not ASCII", server{URL: "https://bücher.example/"}, "url: it is not plain ASCII"},
		{"this machine", server{URL: "https://127.0.0.1/ad"}, "url: its host is not public"},
		{"this machine by name", server{URL: "https://localhost/ad"}, "url: its host is not public"},
		{"a private network", server{URL: "http://192.168.0.7/ad"}, "allow_private: true"},
		{"metadata of a cloud", server{URL: "http://169.254.169.254/", AllowPrivate: true}, "url: its host is never dialled (cloud metadata)"},
		{"a number", server{URL: "https://2130706433/", AllowPrivate: true}, "url: its host is never dialled (numeric host)"},
		{"an address of documents", server{URL: "https://203.0.113.5/"}, "url: its host is never dialled (documentation)"},
		{"too short a timeout", server{URL: "https://ads.example", Timeout: MinTimeout - 1}, "timeout: "},
		{"too long a timeout", server{URL: "https://ads.example", Timeout: MaxTimeout + 1}, "timeout: "},
		{"negative timeout", server{URL: "https://ads.example", Timeout: -1}, "timeout: "},
		{"negative price", server{URL: "https://ads.example", MaxPrice: -1}, "max_price: "},
		{"too high a price", server{URL: "https://ads.example", MaxPrice: carom.MaxPrice + 1}, "max_price: "},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := CheckAdServer(&tt.server)
			switch {
			case tt.want == "" && err != nil:
				t.Errorf("got %v, want no fault", err)
			case tt.want != "" && (strings.Contains(fields(t, err), " ") || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("got %v, want one fault with %q", err, tt.want)
			}
		})
	}
}
