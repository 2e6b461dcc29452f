package confirm

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"carom"
)

// Reason is a closed set of words for why an impression or a click of the SDK is not valued. They stand in the event's field
// "declined".
type Reason string

// The reasons, in the order in which an event lists them.
const (
	NotViewable    Reason = "not_viewable"    // less than half of it, or for less than the time that the zone asks for
	TooFast        Reason = "too_fast"        // sooner after it was handed out than it can have been seen, or clicked on
	Hidden         Reason = "hidden"          // the page was not visible at that moment
	Untrusted      Reason = "untrusted_click" // a script clicked
	ImpossibleTime Reason = "impossible_time" // the page says that it was shown longer than it existed
	Automated      Reason = "automated"       // a program drives the browser, or it is none
	OtherBrowser   Reason = "other_browser"   // another browser speaks than the one that asked for the ad
	TooSmall       Reason = "too_small"       // the page is smaller than an ad
	NoUser         Reason = "no_user"         // the zone asks for a user whom Telegram proves, and there is none
	ForgedUser     Reason = "forged_user"     // the init data are not of the app's bot
	OtherUser      Reason = "other_user"      // the page names another user than the init data
	OwnTraffic     Reason = "own_traffic"     // a user or address of the operator's or publisher's own
	AddressDenied  Reason = "address_denied"
	RateUser       Reason = "rate_user"
	RateDevice     Reason = "rate_device"
	RateAddress    Reason = "rate_address"
	FrequencyCap   Reason = "frequency_cap"
)

// Reasons returns all reasons.
func Reasons() []Reason {
	return []Reason{
		NotViewable, TooFast, Hidden, Untrusted, ImpossibleTime, Automated, OtherBrowser, TooSmall, NoUser, ForgedUser, OtherUser,
		OwnTraffic, AddressDenied, RateUser, RateDevice, RateAddress, FrequencyCap,
	}
}

// The beacons.
const (
	beaconStart    = "start"
	beaconViewable = "viewable"
	beaconClick    = "click"
	beaconEnd      = "end"
)

// facts are what a decision rests on: the showing that the token proves, and what the beacon adds.
type facts struct {
	beacon string
	now    time.Time
	showing
	browserNow uint64     // of whoever sent the beacon; 0: nobody did, its time is over
	from       netip.Addr // likewise

	shown, seen time.Duration // as the page says: since it began, and at least half of it visible
	share       int           // the largest share of it that was visible, in percent
	trusted     bool          // a person clicked, says the browser
	visible     bool          // the page was visible at that moment
}

// minShare is the share of an ad that has to be visible, in percent. Source: the viewability guidelines of the IAB and the MRC.
const minShare = 50

// slack is how far a page's clock may run ahead of the server's: rounding, and a clock that drifts.
func slack(d time.Duration) time.Duration { return 250*time.Millisecond + d/50 }

// judge says what speaks against valuing the event of a beacon. It is pure; rates are not its concern.
func judge(f *facts, r *carom.ConfirmRules) []Reason {
	var reasons []Reason
	against := func(reason Reason, so bool) {
		if so {
			reasons = append(reasons, reason)
		}
	}
	sent := f.browserNow != 0
	lived := f.now.Sub(f.issued)
	if f.beacon == beaconClick {
		against(NotViewable, f.share <= 0)
		against(TooFast, lived < r.MinClick || f.shown < r.MinClick)
		against(Hidden, !f.visible)
		against(Untrusted, !f.trusted)
	} else if r.Viewable > 0 {
		against(NotViewable, f.seen < r.Viewable || f.share < minShare)
		against(TooFast, sent && lived+slack(lived) < r.Viewable)
		against(Hidden, f.beacon == beaconViewable && !f.visible)
	}
	against(ImpossibleTime, sent && (f.shown > lived+slack(lived) || f.seen > f.shown+slack(f.shown)))
	against(Automated, f.flags&flagAutomated != 0)
	against(OtherBrowser, sent && f.browserNow != f.browser)
	against(TooSmall, f.flags&flagTooSmall != 0)
	against(NoUser, r.RequireUser && f.user != userProven && f.user != userForged)
	against(ForgedUser, f.user == userForged)
	against(OtherUser, f.flags&flagOtherUser != 0)
	against(OwnTraffic, f.own(r))
	against(AddressDenied, contains(r.DenyAddresses, f.client) || contains(r.DenyAddresses, f.from))
	return reasons
}

func (f *facts) own(r *carom.ConfirmRules) bool {
	user := f.telegramID != "" && slices.Contains(r.OwnUsers, f.telegramID) || f.ymid != "" && slices.Contains(r.OwnUsers, f.ymid)
	return user || contains(r.OwnAddresses, f.client) || contains(r.OwnAddresses, f.from)
}

func contains(list []netip.Prefix, addr netip.Addr) bool {
	return slices.ContainsFunc(list, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// join writes reasons as an event shows them.
func join(reasons []Reason) string {
	var b strings.Builder
	for i, r := range reasons {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(string(r))
	}
	return b.String()
}

// robots are words of the user agents of programs, and of browsers that say that nobody watches. In lower case.
var robots = []string{
	"curl", "jsdom", "lighthouse", "phantomjs", "playwright", "powershell", "puppeteer", "python", "scrapy", "selenium", "wget",
	"windowspowershell", "zgrab",
}

// robotEnds are what the words end in by which robots name themselves: googlebot, baiduspider.
var robotEnds = []string{"bot", "bots", "crawler", "spider"}

// isRobot says whether a user agent is that of no browser that a person looks at. All browsers begin with the name of Mozilla,
// and programs mostly with their own. What a phone's name holds says nothing: whole words are compared, and makes whose name
// ends like a robot's are known.
func isRobot(userAgent string) bool {
	lower := strings.ToLower(userAgent)
	if !strings.HasPrefix(lower, "mozilla/") {
		return true
	}
	for word := range strings.FieldsFuncSeq(lower, func(r rune) bool { return r < 'a' || r > 'z' }) {
		switch {
		case word == "cubot": // a maker of phones. Source: omrilotan/isbot issue 29
		case slices.Contains(robots, word), strings.HasPrefix(word, "headless"):
			return true
		case slices.ContainsFunc(robotEnds, func(end string) bool { return strings.HasSuffix(word, end) }):
			return true
		}
	}
	return false
}
