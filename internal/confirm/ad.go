package confirm

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"carom"
	"carom/internal/ads"
	"carom/internal/telegram"
)

// wish is a request for an ad. Keys that are unknown are those of a newer SDK.
type wish struct {
	Zone       string       `json:"zone"`
	Format     carom.Format `json:"format"`
	YMID       string       `json:"ymid"`
	RequestVar string       `json:"request_var"`
	TelegramID string       `json:"telegram_id"`
	InitData   string       `json:"init_data"`
	Automated  bool         `json:"automated"`
	Width      int          `json:"width"`
	Height     int          `json:"height"`

	holdsFFFD bool // the body does, as a character of its own
}

// offer is the answer to a wish.
type offer struct {
	ZoneID     string       `json:"zone_id"`
	SubZoneID  string       `json:"sub_zone_id"`
	Format     carom.Format `json:"format"`
	Confirmed  bool         `json:"confirmed"`
	YMID       string       `json:"ymid"`
	RequestVar string       `json:"request_var"`
	TelegramID string       `json:"telegram_id"`
	Warnings   []string     `json:"warnings,omitempty"` // for who develops the page
	Ad         *offered     `json:"ad"`                 // null: there is none
}

type offered struct {
	Token      string `json:"token"`
	Title      string `json:"title"`
	Image      string `json:"image,omitempty"`
	HTML       string `json:"html,omitempty"`
	Width      int    `json:"width,omitempty"`
	Height     int    `json:"height,omitempty"`
	LandingURL string `json:"landing_url,omitempty"`
	CloseAfter int64  `json:"close_after_ms"`
	Viewable   int64  `json:"viewable_ms"` // 0: the start is enough
}

// minPage is the smallest page in which an ad can be seen, in CSS pixels.
const minPage = 120

// asksPerView is how many ads a device may ask for, for each view that could be valued: preloads, and pages without a fill.
const asksPerView = 4

// ad answers a page with an ad.
func (d *Door) ad(w http.ResponseWriter, r *http.Request) {
	greet(w)
	var ask wish
	if p := readJSON(w, r, MaxAdBytes, &ask); p != nil {
		d.meter.ads[adRefused].Inc()
		p.write(w)
		return
	}
	o, p := d.offer(r, &ask)
	switch {
	case p != nil:
		outcome := adRefused
		if p.Code == CodeTooMany {
			outcome = adLimited
		} else if p.Code == CodeLater {
			outcome = adLater
		}
		d.meter.ads[outcome].Inc()
		p.write(w)
		return
	case o.Ad == nil:
		d.meter.ads[adNone].Inc()
	default:
		d.meter.ads[adFilled].Inc()
	}
	writeJSON(w, http.StatusOK, "application/json", o)
}

// offer finds what a page gets for its wish.
func (d *Door) offer(r *http.Request, ask *wish) (*offer, *problem) {
	c := d.catalog.Load()
	z, p := c.find(ask.Zone)
	if p == nil {
		p = z.app.shut(r.Header.Get("Origin"))
	}
	if p == nil {
		p = ask.check(z)
	}
	if p != nil {
		return nil, p
	}
	now := d.opts.Clock().UTC().Truncate(time.Millisecond)
	s := showing{
		app: z.App, zone: z.ID, subZone: z.SubZones[ask.Format], format: ask.Format, requestVar: ask.RequestVar, issued: now,
		client: d.opts.Client(r), browser: browserSum(r),
	}
	o := &offer{ZoneID: z.ID, SubZoneID: s.subZone, Format: s.format, Confirmed: z.Confirmed, RequestVar: ask.RequestVar}
	if warning := s.identify(z.app, ask, now); warning != "" {
		o.Warnings = append(o.Warnings, warning)
	}
	if ask.Automated || isRobot(r.UserAgent()) {
		s.flags |= flagAutomated
	}
	if ask.Width > 0 && ask.Width < minPage || ask.Height > 0 && ask.Height < minPage {
		s.flags |= flagTooSmall
	}
	if s.ymid == "" && z.RequireYMID {
		return nil, newProblem(CodeYMIDRequired, "ymid", "the zone asks for a ymid: pass one that is new for each call, show_"+z.ID+"({ ymid: … })")
	}
	o.YMID, o.TelegramID = s.ymid, s.telegramID
	asks := z.Confirm.PerDevice
	if asks.Views > 0 {
		asks.Views *= asksPerView
	}
	if _, ok := d.rates.take(asks, now, "asks", z.App, deviceOf(s.client, s.browser)); !ok {
		return nil, newProblem(CodeTooMany, "", "this device asks for too many ads: ask for one when it is about to be shown")
	}
	if z.Paused || z.app.source == "" {
		return o, nil
	}
	if _, err := io.ReadFull(d.opts.Random, s.id[:]); err != nil {
		return nil, later()
	}
	ad, err := d.opts.Ads.Choose(r.Context(), ads.Request{
		Zone: z.Zone, Format: s.format, ID: showingID(s.id), YMID: s.ymid, RequestVar: s.requestVar, TelegramID: s.telegramID,
		UserAgent: r.UserAgent(), Language: r.Header.Get("Accept-Language"), Client: s.client, Width: ask.Width, Height: ask.Height,
	})
	if err != nil {
		return nil, later()
	}
	if ad != nil {
		s.viewable = z.viewable(s.format)
		o.Ad = d.hand(&s, ad)
	}
	return o, nil
}

// hand makes of an ad what the page gets, and notes in s what its token states.
func (d *Door) hand(s *showing, ad *ads.Ad) *offered {
	s.creative, s.prices = ad.Creative, [2]carom.Nanos{ad.PerImpression, ad.PerClick}
	if ad.FromServer {
		s.flags |= flagFromServer
	}
	return &offered{
		Token: d.sealer.seal(s), Title: ad.Title, Image: ad.Image, HTML: ad.HTML, Width: ad.Width, Height: ad.Height,
		LandingURL: ad.LandingURL, CloseAfter: ad.CloseAfter.Milliseconds(), Viewable: s.viewable.Milliseconds(),
	}
}

// find returns the main zone of the id.
func (c *catalog) find(id string) (*zone, *problem) {
	if z := c.zones[id]; z != nil {
		return z, nil
	}
	if main, ok := c.mains[id]; ok {
		return nil, newProblem(CodeSubZone, "zone", strconv.Quote(clip(id))+" is a sub-zone, which the server chooses by itself: use its main zone, data-zone="+strconv.Quote(main))
	}
	if id == "" {
		return nil, newProblem(CodeInvalid, "zone", "the zone is missing: write it into the script tag, data-zone=\"…\"")
	}
	return nil, newProblem(CodeUnknownZone, "zone", "there is no zone "+strconv.Quote(clip(id))+" here: copy data-zone and the script's address anew from the network")
}

// check says what is wrong with a wish, or returns nil.
func (ask *wish) check(z *zone) *problem {
	for _, f := range []struct{ name, text string }{{"ymid", ask.YMID}, {"request_var", ask.RequestVar}} {
		switch {
		case len(f.text) > MaxTextBytes:
			return newProblem(CodeInvalid, f.name, "it is longer than 256 bytes: pass a shorter one")
		case strings.ContainsRune(f.text, 0) || strings.ContainsRune(f.text, utf8.RuneError) && !ask.holdsFFFD: // as which half a character is read
			return newProblem(CodeInvalid, f.name, "it holds a NUL, half a character or bytes that are no UTF-8: pass a text")
		}
	}
	if strings.Trim(ask.TelegramID, "0123456789") != "" || len(ask.TelegramID) > 20 {
		return newProblem(CodeInvalid, "telegram_id", "it is not the id of a Telegram user, which has up to 20 digits: leave it out")
	}
	if z.SubZones[ask.Format] == "" {
		return newProblem(CodeFormat, "format", "the zone "+z.ID+" serves no ads of the format "+strconv.Quote(clip(string(ask.Format)))+": call it with another type")
	}
	return nil
}

// identify finds out for whom the ad is. It returns a sentence for who develops the page when the init data are of no use.
func (s *showing) identify(a *app, ask *wish, now time.Time) (warning string) {
	s.telegramID, s.ymid = ask.TelegramID, ask.YMID
	if ask.InitData != "" && a.bot != nil {
		data, err := a.bot.Verify(ask.InitData, now, telegram.DefaultMaxAge)
		var fault *telegram.Error
		switch {
		case err == nil && data.UserID == "":
			warning = "init_data.user: it is missing, so that nobody is proven: open the Mini App from a chat with its bot"
		case err == nil:
			s.user = userProven
			if s.telegramID != "" && data.UserID != s.telegramID {
				s.flags |= flagOtherUser
			}
			s.telegramID = data.UserID
		case errors.As(err, &fault) && (fault.Reason == telegram.Expired || fault.Reason == telegram.Future):
			s.user, warning = userExpired, err.Error()
		default:
			s.user, warning = userForged, err.Error()
		}
	}
	if s.ymid == "" {
		s.ymid = s.telegramID
	}
	if s.ymid == s.telegramID {
		s.flags |= flagYMIDIsUser
	}
	return warning
}

// readJSON reads a body of at most so many bytes. Its type does not matter: a page sends plain text, for which no browser asks
// beforehand.
func readJSON(w http.ResponseWriter, r *http.Request, limit int64, to any) *problem {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	if err != nil {
		return unread(err)
	}
	if !utf8.Valid(body) {
		return newProblem(CodeInvalid, "", "the body is not valid UTF-8: send the SDK's request unchanged")
	}
	if ask, ok := to.(*wish); ok {
		ask.holdsFFFD = bytes.ContainsRune(body, utf8.RuneError)
	}
	return unmarshal(body, to)
}

// unread says why a body could not be read.
func unread(err error) *problem {
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return newProblem(CodeInvalid, "", "the request is too large: send the fields of one ad alone")
	}
	return newProblem(CodeInvalid, "", "the body ended early: send all of it")
}

func unmarshal(body []byte, to any) *problem {
	err := json.Unmarshal(body, to)
	var wrong *json.UnmarshalTypeError
	switch {
	case errors.As(err, &wrong):
		return newProblem(CodeInvalid, wrong.Field, "here stands a "+wrong.Value+", which it cannot be: send the SDK's request unchanged")
	case err != nil:
		return newProblem(CodeInvalid, "", "the body is not JSON: send the SDK's request unchanged")
	}
	return nil
}

// browserSum stands for what a browser says of itself with each request of a page: FNV-1a over both texts, the same on every
// node. It is never zero.
func browserSum(r *http.Request) uint64 {
	h := uint64(14695981039346656037)
	add := func(c byte) { h = (h ^ uint64(c)) * 1099511628211 }
	agent, language := r.Header["User-Agent"], r.Header["Accept-Language"]
	for _, list := range [...][]string{agent, language} {
		if len(list) > 0 {
			for i := range len(list[0]) {
				add(list[0][i])
			}
		}
		add(0)
	}
	return h | 1
}

// deviceOf stands for a browser at an address.
func deviceOf(client netip.Addr, browser uint64) string {
	addr := networkOf(client).As16()
	return string(binary.BigEndian.AppendUint64(addr[:], browser))
}

// networkOf is the address as it is counted: of IPv6 the first 64 bits, within which one machine has as many as it likes.
func networkOf(client netip.Addr) netip.Addr {
	if client.Is6() && !client.Is4In6() {
		if p, err := client.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return client
}

// clip shortens text from outside for an answer.
func clip(s string) string {
	if len(s) > 40 {
		return strings.ToValidUTF8(s[:40], "") + "…"
	}
	return s
}
