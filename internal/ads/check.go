package ads

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"carom"
	"carom/internal/egress"
)

// Bounds of a creative, whether it is the house's or comes from an ad server.
const (
	MaxHTMLBytes  = 64 << 10
	MaxURLBytes   = 4 << 10 // what browsers and servers on the way take for certain
	MaxTitleBytes = 256
	MaxPixels     = 4096
	MaxWeight     = 1_000_000
	MaxCloseAfter = time.Minute
)

// Bounds of an ad server's timeout. The page shows nothing while it waits.
const (
	MinTimeout = 10 * time.Millisecond
	MaxTimeout = 5 * time.Second
)

// faults collects what is wrong.
type faults []error

func (f *faults) add(field, format string, args ...any) {
	*f = append(*f, carom.Invalid(field, format, args...))
}

// addFault adds a fault, unless its text is empty.
func (f *faults) addFault(field, text string) {
	if text != "" {
		f.add(field, "%s", text)
	}
}

// CheckCreative says what is wrong with a creative, or returns nil. All faults are joined (errors.Join), each a
// *carom.FieldError whose field is relative to the creative, such as "landing_url" or "formats[0]". Its name, and whether
// there are zones with the names that it lists, are not looked at. No fault quotes a URL, which may be private.
func CheckCreative(c *carom.Creative) error {
	var f faults
	popup, shown := len(c.Formats) == 0, len(c.Formats) == 0
	for i, format := range c.Formats {
		if !slices.Contains(carom.Formats(), format) {
			f.add("formats["+strconv.Itoa(i)+"]", "%s is no format: write %s", quote(string(format)), formatNames())
		}
		popup = popup || format == carom.RewardedPopup
		shown = shown || format != carom.RewardedPopup
	}
	f.addFault("title", lineFault(c.Title, MaxTitleBytes))
	switch {
	case c.Image != "" && c.HTML != "":
		f.add("html", "there is an image too, and an ad shows one of the two: remove one")
	case c.Image == "" && c.HTML == "" && shown:
		f.add("image", "there is nothing to show: add an image or html; an ad without them has to have %s as its only format", carom.RewardedPopup)
	}
	if c.Image != "" {
		f.addFault("image", imageFault(c.Image))
	}
	switch {
	case len(c.HTML) > MaxHTMLBytes:
		f.add("html", "it has %d bytes, and may have %d: move styles and pictures to files of their own", len(c.HTML), MaxHTMLBytes)
	case !utf8.ValidString(c.HTML):
		f.add("html", "it is not UTF-8: store it in that encoding")
	}
	if c.LandingURL != "" {
		_, fault := webURL(c.LandingURL)
		f.addFault("landing_url", fault)
	} else if popup {
		f.add("landing_url", "a popup opens it: add one, or list the formats without %s", carom.RewardedPopup)
	}
	f.size(c.Width, c.Height)
	if c.CloseAfter < 0 || c.CloseAfter > MaxCloseAfter {
		f.add("close_after", "%s is not from 0 (which stands for %s) to %s: choose one in between", carom.FormatDuration(c.CloseAfter),
			carom.FormatDuration(carom.DefaultCloseAfter), carom.FormatDuration(MaxCloseAfter))
	}
	if c.Weight < 0 || c.Weight > MaxWeight {
		f.add("weight", "%d is not from 0 (which stands for 1) to %d: choose one in between, or pause the creative to show it no more", c.Weight, MaxWeight)
	}
	f.price("per_impression", c.PerImpression, carom.MaxPrice)
	f.price("per_click", c.PerClick, carom.MaxPrice)
	return errors.Join(f...)
}

func (f *faults) size(width, height int) {
	before := len(*f)
	for _, side := range []struct {
		field  string
		pixels int
	}{{"width", width}, {"height", height}} {
		if side.pixels < 0 || side.pixels > MaxPixels {
			f.add(side.field, "%d is not from 1 to %d pixels: choose one in between, or leave out width and height to fill the screen", side.pixels, MaxPixels)
		}
	}
	switch {
	case len(*f) > before:
	case width == 0 && height > 0:
		f.add("width", "there is a height without a width: add it, or remove the height")
	case width > 0 && height == 0:
		f.add("height", "there is a width without a height: add it, or remove the width")
	}
}

func (f *faults) price(field string, price, most carom.Nanos) {
	switch {
	case price < 0:
		f.add(field, "%s is below zero: write what one costs, or 0", price)
	case price > most:
		f.add(field, "%s is more than the most that a single one may cost, %s: write the price of one, not of a thousand", price, most)
	}
}

// CheckAdServer says what is wrong with a zone's ad server, or returns nil. All faults are joined (errors.Join), each a
// *carom.FieldError whose field is relative to the ad server: "url", "timeout", "max_price". The zero value is that of a zone
// without one.
func CheckAdServer(s *carom.AdServer) error {
	if *s == (carom.AdServer{}) {
		return nil
	}
	var f faults
	f.addFault("url", serverFault(s.URL, egress.Policy{AllowPrivate: s.AllowPrivate}))
	if s.Timeout != 0 && (s.Timeout < MinTimeout || s.Timeout > MaxTimeout) {
		f.add("timeout", "%s is not from %s to %s: choose one in between, for the page shows nothing meanwhile",
			carom.FormatDuration(s.Timeout), carom.FormatDuration(MinTimeout), carom.FormatDuration(MaxTimeout))
	}
	f.price("max_price", s.MaxPrice, carom.MaxPrice)
	return errors.Join(f...)
}

// serverFault says what is wrong with the URL of an ad server, or returns nothing.
func serverFault(s string, policy egress.Policy) string {
	if s == "" {
		return "it is missing: add the URL that is to be asked for ads, or remove the ad server"
	}
	u, fault := webURL(s)
	if fault != "" {
		return fault
	}
	host := u.Hostname()
	err := policy.CheckHost(host)
	var refusal *egress.Refusal
	local := isLocalName(host)
	if addr, notAddr := netip.ParseAddr(host); notAddr == nil {
		local = local || egress.Classify(addr).Private()
	}
	switch {
	case strings.ContainsFunc(s, func(r rune) bool { return r > unicode.MaxASCII }):
		return "it is not plain ASCII: percent-encode the path, and write a host in its xn-- form"
	case strings.ContainsAny(s, "{}"):
		return "it holds a macro, and none is filled in here: zone, user and the rest are in the body of the request"
	case strings.Contains(s, "#"):
		return "it has a fragment, which is never sent: remove # and what follows"
	case local && !policy.AllowPrivate:
		return "its host is not public: if the ad server is your own, add the line `allow_private: true`"
	case errors.As(err, &refusal):
		return fmt.Sprintf("its host is never dialled (%s): write the name or the public address of the ad server", refusal.Reason)
	case u.Scheme == "http" && !policy.AllowPrivate:
		return "it is not encrypted, so that others on the way could read who your users are and change prices: write https " +
			"(http is for ad servers of your own network, with `allow_private: true`)"
	}
	return ""
}

// imageFault says what is wrong with the URL of an image, or returns nothing. A page that came over https shows no other, but
// for those of its own machine.
func imageFault(s string) string {
	u, fault := webURL(s)
	if fault != "" {
		return fault
	}
	if u.Scheme == "http" && !isLoopback(u.Hostname()) {
		return "it is not encrypted, and browsers do not show it in a page that is: write https (http is for localhost alone)"
	}
	return ""
}

// codeSchemes are those of URLs that hold what is shown, or can run it in the page that opens them.
var codeSchemes = []string{"javascript", "data", "vbscript", "blob", "file", "about", "view-source", "filesystem"}

// webURL reads an absolute URL of the web. fault says why s is none and how to fix it, without quoting more of it than the
// scheme. It accepts less than browsers do, so that no two readers can disagree about where it leads.
func webURL(s string) (u *url.URL, fault string) {
	odd := func(r rune) bool { return r == '\\' || unicode.IsSpace(r) || unicode.IsControl(r) }
	switch {
	case len(s) > MaxURLBytes:
		return nil, fmt.Sprintf("it has %d bytes, and may have %d: shorten it", len(s), MaxURLBytes)
	case !utf8.ValidString(s):
		return nil, "it is not UTF-8: percent-encode it"
	case strings.ContainsFunc(s, odd):
		return nil, "a space, a control character such as a line break, or a backslash stands in it: remove or percent-encode it"
	}
	scheme, _, _ := strings.Cut(s, ":")
	if scheme = strings.ToLower(scheme); slices.Contains(codeSchemes, scheme) {
		return nil, fmt.Sprintf("a %s: URL is never opened, since it can run code where the ad is shown: write one that begins with https://", scheme)
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || strings.HasSuffix(u.Host, ":") {
		return nil, "it is not a whole URL of the web: write one such as https://game.example/offer"
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return nil, "its port is not from 1 to 65535: correct it, or leave it out"
		}
	}
	if u.User != nil {
		return nil, "credentials stand in it, where every page and log shows them: remove them"
	}
	return u, ""
}

// isLocalName says whether a host name stands for the machine itself, wherever it is resolved.
func isLocalName(host string) bool {
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}

func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return isLocalName(host) || err == nil && addr.IsLoopback()
}

// lineFault says why s cannot be a line of text, or returns nothing.
func lineFault(s string, most int) string {
	switch {
	case len(s) > most:
		return fmt.Sprintf("it has %d bytes, and may have %d: shorten it", len(s), most)
	case !utf8.ValidString(s):
		return "it is not UTF-8: store it in that encoding"
	case strings.ContainsFunc(s, unicode.IsControl):
		return "a control character, such as a line break, stands in it: remove it"
	}
	return ""
}

func formatNames() string {
	var names []string
	for _, f := range carom.Formats() {
		names = append(names, string(f))
	}
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + " or " + names[last]
}

// quote quotes text from outside for an error, at most 40 bytes of it.
func quote(s string) string {
	if len(s) > 40 {
		s = strings.ToValidUTF8(s[:40], "") + "…"
	}
	return strconv.Quote(s)
}
