package confirm

import (
	"encoding/base64"
	"flag"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"carom"
)

// seedRange says from which seeds the sessions of TestFraud and TestHonest are made: "first:end", the end not included.
var seedRange = flag.String("seeds", "1:21", "from which seeds sessions are made: FIRST:END")

func seeds(t *testing.T) (list []uint64) {
	t.Helper()
	first, end, ok := strings.Cut(*seedRange, ":")
	from, err1 := strconv.ParseUint(first, 10, 32)
	to, err2 := strconv.ParseUint(end, 10, 32)
	if !ok || err1 != nil || err2 != nil || to <= from {
		t.Fatalf("-seeds %q: write the first seed and the end, such as 1:21", *seedRange)
	}
	for s := from; s < to; s++ {
		list = append(list, s)
	}
	return list
}

// fraud is a kind of fraud. Its session is refused with the code, or its events say why they are not valued.
type fraud struct {
	name   string
	code   Code     // of the answers that do returns
	want   []Reason // of each event that is not valued
	valued int      // how many events are valued all the same, exactly
	do     func(r *rig) []*answer
}

// none is for a fraud whose answers are not looked at further: its events tell.
var none []*answer

func all(a ...*answer) []*answer { return a }

// hasty is a page whose requests take next to no time, so that the test says how fast it is.
func hasty(r *rig) *page {
	p := r.page()
	p.slowest = 0
	return p
}

// limited sets one limit to a number of views, switches the others off, and returns the number.
func limited(r *rig, of func(c *carom.ConfirmRules) *carom.ViewLimit) int {
	limit := carom.ViewLimit{Views: 5 + r.rng.IntN(60), Within: time.Hour}
	r.rules(func(c *carom.ConfirmRules) {
		off := carom.ViewLimit{Views: -1}
		c.PerUser, c.PerDevice, c.PerAddress = off, off, off
		*of(c) = limit
	})
	return limit.Views
}

// exceed makes views one after the other, some more than the limit, and says when more or fewer are valued than it allows. It
// returns how many were not to be valued.
func exceed(r *rig, limit int, next func() *page) []*answer {
	for range limit + 5 + r.rng.IntN(2*limit) {
		next().view()
	}
	if got := r.events.valued(carom.Impression); got != limit {
		r.t.Errorf("%d views were valued, the limit is %d", got, limit)
	}
	return none
}

// any number of valued events, which the kind itself looks at.
const anyNumber = -1

var frauds = []fraud{
	// Tokens.
	{name: "a random token", code: CodeToken, do: func(r *rig) []*answer {
		p := r.page()
		p.offered()
		random := make([]byte, r.rng.IntN(900))
		_, _ = (&bits{rng: r.rng}).Read(random)
		var got []*answer
		for _, token := range []string{base64.RawURLEncoding.EncodeToString(random), base64.RawURLEncoding.EncodeToString(append([]byte{tokenVersion}, random...)), string(marshal(r.word())), ""} {
			for _, beacon := range []string{beaconStart, beaconViewable, beaconClick, beaconEnd} {
				got = append(got, p.say(beacon, token, measure{Shown: 1000, Seen: 1000, Share: 100, Visible: true, Trusted: true}))
			}
		}
		return got
	}},
	{name: "an altered token, at each place", code: CodeToken, do: func(r *rig) (got []*answer) {
		p := hasty(r)
		p.offered()
		p.begin()
		p.watch(time.Second)
		const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_+/= .\n"
		for i := range p.token {
			altered := []byte(p.token)
			for altered[i] == p.token[i] {
				altered[i] = alphabet[r.rng.IntN(len(alphabet))]
			}
			got = append(got, p.say(beaconViewable, string(altered), p.measure()))
		}
		return got
	}},
	{name: "a token that was dressed up", code: CodeToken, do: func(r *rig) (got []*answer) {
		p := hasty(r)
		p.offered()
		p.begin()
		p.watch(time.Second)
		i := r.rng.IntN(len(p.token))
		for _, more := range []string{"\n", "\r", "\r\n", " ", "=", "A", "AAAA"} {
			got = append(got, p.say(beaconViewable, p.token[:i]+more+p.token[i:], p.measure()), p.say(beaconViewable, p.token+more, p.measure()))
		}
		return got
	}},
	{name: "a token of another key", code: CodeToken, do: func(r *rig) []*answer {
		other := [32]byte{9}
		p := r.page()
		p.node = r.open(other)
		p.offered()
		p.begin()
		p.node = 0
		p.watch(time.Second)
		return all(p.send(beaconViewable, p.measure()), p.say(beaconStart, p.ad, p.measure()), p.send(beaconClick, p.clicked()))
	}},
	{name: "a token cut short", code: CodeToken, do: func(r *rig) (got []*answer) {
		p := hasty(r)
		p.offered()
		p.begin()
		p.watch(time.Second)
		for n := range p.token {
			got = append(got, p.say(beaconViewable, p.token[:n], p.measure()))
		}
		return got
	}},
	{name: "an ad shown too late", code: CodeExpired, do: func(r *rig) []*answer {
		p := r.page()
		p.offered()
		r.clock.advance(AdLife + r.between(time.Millisecond, 48*time.Hour))
		p.show()
		return all(p.send(beaconStart, p.measure()))
	}},
	{name: "beacons of an ad long over", code: CodeExpired, want: []Reason{NotViewable}, do: func(r *rig) []*answer {
		p := r.page()
		p.offered()
		p.begin()
		r.clock.advance(ShowLife + r.between(2*p.slowest+time.Millisecond, 20*time.Hour))
		got := all(p.send(beaconViewable, p.measure()), p.send(beaconClick, p.clicked()), p.send(beaconEnd, p.measure()))
		r.doors[0].settleOld(r.t.Context())
		return append(got, p.send(beaconViewable, p.measure()))
	}},
	{name: "no start", code: CodeOrder, do: func(r *rig) []*answer {
		p := r.page()
		p.offered()
		p.show()
		p.watch(r.between(time.Second, time.Minute))
		return all(p.send(beaconViewable, p.measure()), p.send(beaconClick, p.clicked()), p.send(beaconEnd, p.measure()))
	}},
	{name: "a start with the token of a started ad", code: CodeOrder, do: func(r *rig) []*answer {
		p := r.page()
		p.offered()
		p.begin()
		return all(p.send(beaconStart, p.measure()), p.send(beaconStart, p.measure()))
	}},

	// Pages.
	{name: "a page of another origin asks", code: CodeOrigin, do: func(r *rig) (got []*answer) {
		for _, origin := range []string{
			"https://evil.example", "http://game.example", "https://game.example:444", "https://game.example.evil.example", "null", "https://GAME.example/",
			"https://plain.example",
		} {
			p := r.page()
			p.origin = origin
			got = append(got, p.ask())
		}
		return got
	}},
	{name: "a request without an origin", code: CodeOrigin, do: func(r *rig) []*answer {
		p := r.page()
		p.offered()
		p.begin()
		p.watch(time.Second)
		p.origin = ""
		return all(p.ask(), p.send(beaconViewable, p.measure()), p.send(beaconClick, p.clicked()), p.send(beaconEnd, p.measure()), p.say(beaconStart, p.ad, p.measure()))
	}},
	{name: "another app's page with a stolen token", code: CodeOrigin, do: func(r *rig) []*answer {
		p := r.page()
		p.offered()
		p.begin()
		p.watch(time.Second)
		p.origin = "https://plain.example"
		return all(p.send(beaconViewable, p.measure()), p.send(beaconClick, p.clicked()))
	}},
	{name: "a sub-zone", code: CodeSubZone, do: func(r *rig) []*answer {
		p := r.page()
		p.zone = pick(r, "110001", "110002", "110003")
		a := p.ask()
		if !strings.Contains(a.problem.Detail, strconv.Quote(gameZone)) {
			r.t.Errorf("the detail %q does not name the main zone %s", a.problem.Detail, gameZone)
		}
		return all(a)
	}},
	{name: "a zone that is not there", code: CodeUnknownZone, do: func(r *rig) []*answer {
		p := r.page()
		p.zone = pick(r, "999999", gameZone+" ", "0"+gameZone, "game", strings.Repeat("1", 5000), "\x00", "'; drop table zones; --")
		return all(p.ask())
	}},
	{name: "a body that is too large", code: CodeInvalid, do: func(r *rig) []*answer {
		p := r.page()
		p.offered()
		p.begin()
		p.watch(time.Second)
		wish := p.wish()
		wish["init_data"] = strings.Repeat("x", MaxAdBytes)
		beacon := map[string]any{"token": p.token, "beacon": beaconViewable, "shown_ms": 1000, "visible_ms": 1000, "share": 100, "visible": true, "more": strings.Repeat("x", MaxBeaconBytes)}
		return all(p.post("/sdk/ad", marshal(wish)), p.post("/sdk/beacon", marshal(beacon)))
	}},
	{name: "numbers that cannot be", code: CodeInvalid, do: func(r *rig) (got []*answer) {
		p := r.page()
		p.offered()
		p.begin()
		p.watch(time.Second)
		for _, m := range []measure{
			{Shown: -1, Seen: 1000, Share: 100}, {Shown: 1000, Seen: -1, Share: 100}, {Shown: 1 << 62, Seen: 1000, Share: 100}, {Shown: 1000, Seen: 1 << 62, Share: 100},
			{Shown: 1000, Seen: 1000, Share: 101}, {Shown: 1000, Seen: 1000, Share: -1}, {Shown: -1 << 63, Seen: -1 << 63, Share: -1 << 63},
		} {
			got = append(got, p.send(beaconViewable, m))
		}
		return append(got, p.send("reward", p.measure()), p.send("", p.measure()), p.send("START", p.measure()))
	}},

	// Again and again.
	{name: "viewable two hundred times at once", valued: 1, do: func(r *rig) []*answer {
		p := hasty(r)
		p.offered()
		p.begin()
		p.watch(time.Second)
		same(r, 200, func(int) *answer { return p.say(beaconViewable, p.token, p.measure()) })
		return none
	}},
	{name: "one ad, twenty starts, each settled", valued: 1, do: func(r *rig) []*answer {
		p := hasty(r)
		p.offered()
		p.show()
		var tokens []string
		for range 20 {
			tokens = append(tokens, p.say(beaconStart, p.ad, p.measure()).told.Token)
			r.clock.advance(r.between(0, 3*time.Second))
		}
		p.watch(time.Second)
		same(r, len(tokens), func(i int) *answer { return p.say(beaconViewable, tokens[i], p.measure()) })
		r.clock.advance(r.between(0, 2*echoes)) // nothing is remembered of it
		r.doors[0].settleOld(r.t.Context())
		same(r, len(tokens), func(i int) *answer { return p.say(beaconEnd, tokens[i], p.measure()) })
		return none
	}},
	{name: "one ad, settled by many nodes at once", valued: 2, do: func(r *rig) []*answer {
		p := hasty(r)
		r.open(sdkKey)
		r.open(sdkKey)
		p.offered()
		p.begin()
		p.watch(time.Second)
		nodes := make([]page, 3)
		for i := range nodes {
			nodes[i] = *p
			nodes[i].node = i
		}
		same(r, 60, func(i int) *answer { return nodes[i%3].say(beaconViewable, p.token, p.measure()) })
		same(r, 60, func(i int) *answer { return nodes[i%3].say(beaconClick, p.token, p.clicked()) })
		return none
	}},
	{name: "a popup that starts again and again", valued: 1, do: func(r *rig) []*answer {
		r.rules(func(c *carom.ConfirmRules) { c.Viewable = -1 })
		p := r.page()
		p.format = carom.RewardedPopup
		p.offered()
		p.show()
		for range 20 {
			if a := p.say(beaconStart, p.ad, p.measure()); a.told.State != carom.ViewConfirmed {
				r.t.Errorf("a start was answered %d %s", a.status, a.body)
			}
			r.clock.advance(r.between(0, time.Minute-time.Second))
		}
		return none
	}},
	{name: "a click again and again", valued: 2, do: func(r *rig) []*answer {
		p := r.page()
		p.view()
		for range 50 {
			if a := p.send(beaconClick, p.clicked()); a.told.State != carom.ViewConfirmed {
				r.t.Errorf("a click was answered %d %s", a.status, a.body)
			}
		}
		return none
	}},
	{name: "declined, and then honest", want: []Reason{NotViewable, TooFast}, do: func(r *rig) []*answer {
		p := hasty(r)
		p.offered()
		p.begin()
		r.clock.advance(r.between(0, 500*time.Millisecond))
		p.send(beaconEnd, p.measure())
		r.clock.advance(r.between(0, 2*echoes))
		p.watch(time.Second)
		p.send(beaconViewable, p.measure())
		return none
	}},
	{name: "the source is renamed, and the view sent again", valued: 1, do: func(r *rig) []*answer {
		p := r.page()
		p.view()
		r.use(func(o *carom.Objects) {
			o.Sources = slices.Clone(o.Sources)
			for i := range o.Sources {
				o.Sources[i].Name = "renamed"
			}
		})
		r.clock.advance(2 * echoes)
		r.doors[0].settleOld(r.t.Context())
		p.send(beaconViewable, p.measure())
		return none
	}},

	// Time.
	{name: "viewable at once", want: []Reason{NotViewable, TooFast}, do: func(r *rig) []*answer {
		p := hasty(r)
		p.offered()
		p.begin()
		r.clock.advance(r.between(0, 700*time.Millisecond))
		p.send(beaconViewable, p.measure())
		return none
	}},
	{name: "viewable at once, with a second made up", want: []Reason{TooFast, ImpossibleTime}, do: func(r *rig) []*answer {
		p := hasty(r)
		p.offered()
		p.begin()
		r.clock.advance(r.between(0, 700*time.Millisecond))
		p.send(beaconViewable, measure{Shown: 1000, Seen: 1000, Share: 100, Visible: true})
		return none
	}},
	{name: "shown for longer than it was there", want: []Reason{ImpossibleTime}, do: func(r *rig) []*answer {
		p := r.page()
		p.offered()
		p.begin()
		p.watch(r.between(time.Second, 3*time.Second))
		m := p.measure()
		m.Shown += r.between(5*time.Second, time.Hour).Milliseconds()
		m.Seen = m.Shown
		p.send(pick(r, beaconViewable, beaconEnd), m)
		return none
	}},
	{name: "visible for longer than it was shown", want: []Reason{ImpossibleTime}, do: func(r *rig) []*answer {
		p := r.page()
		p.offered()
		p.begin()
		p.watch(r.between(time.Second, 3*time.Second))
		m := p.measure()
		m.Seen = m.Shown + r.between(time.Second, time.Hour).Milliseconds()
		p.send(pick(r, beaconViewable, beaconEnd), m)
		return none
	}},
	{name: "visible too briefly", want: []Reason{NotViewable}, do: func(r *rig) []*answer {
		p := r.page()
		p.offered()
		p.begin()
		r.clock.advance(r.between(0, 900*time.Millisecond))
		p.hide()
		r.clock.advance(r.between(time.Second, time.Minute))
		if seen := p.measure().Seen; seen > 999 {
			p.seen = 999 * time.Millisecond
		}
		p.send(beaconEnd, p.measure())
		return none
	}},
	{name: "ended at once", want: []Reason{NotViewable, TooFast}, do: func(r *rig) []*answer {
		p := hasty(r)
		p.offered()
		p.begin()
		r.clock.advance(r.between(0, 700*time.Millisecond))
		p.send(beaconEnd, p.measure())
		return none
	}},
	{name: "never said what became of it", want: []Reason{NotViewable}, do: func(r *rig) []*answer {
		p := r.page()
		p.offered()
		p.begin()
		r.clock.advance(ShowLife + time.Second)
		for range 3 {
			r.doors[0].settleOld(r.t.Context())
			r.clock.advance(r.between(0, time.Hour))
		}
		return none
	}},

	// What can be seen.
	{name: "a hidden page", want: []Reason{Hidden}, do: func(r *rig) []*answer {
		p := r.page()
		p.offered()
		p.begin()
		p.watch(r.between(time.Second, time.Minute))
		m := p.measure()
		m.Visible = false
		p.send(beaconViewable, m)
		return none
	}},
	{name: "less than half of it", want: []Reason{NotViewable}, do: func(r *rig) []*answer {
		p := r.page()
		p.offered()
		p.begin()
		p.watch(r.between(time.Second, time.Minute))
		m := p.measure()
		m.Share = r.rng.IntN(50)
		p.send(pick(r, beaconViewable, beaconEnd), m)
		return none
	}},
	{name: "a page of one pixel", want: []Reason{TooSmall}, do: func(r *rig) []*answer {
		p := r.page()
		p.width, p.height = pick(r, 1, 2, 119), pick(r, 1, 50, 900)
		p.view()
		return none
	}},

	// Clicks.
	{name: "a script clicks", want: []Reason{Untrusted}, valued: 1, do: func(r *rig) []*answer {
		p := r.page()
		p.view()
		p.send(beaconClick, p.measure())
		return none
	}},
	{name: "a click before anybody can", want: []Reason{TooFast}, valued: 1, do: func(r *rig) []*answer {
		p := r.page()
		p.offered()
		p.begin()
		m := p.clicked()
		m.Shown = r.between(0, 299*time.Millisecond).Milliseconds()
		m.Seen = m.Shown
		p.send(beaconClick, m)
		p.watch(time.Second)
		p.send(beaconViewable, p.measure())
		return none
	}},
	{name: "a click on what was never visible", want: []Reason{NotViewable}, do: func(r *rig) []*answer {
		p := r.page()
		p.offered()
		p.begin()
		p.watch(r.between(2*time.Second, 10*time.Second))
		m := p.clicked()
		m.Seen, m.Share = 0, 0
		p.send(beaconClick, m)
		m.Trusted = false
		p.send(beaconEnd, m)
		return none
	}},
	{name: "a click in a hidden page", want: []Reason{Hidden}, valued: 1, do: func(r *rig) []*answer {
		p := r.page()
		p.view()
		p.hide()
		p.send(beaconClick, p.clicked())
		return none
	}},

	// Browsers.
	{name: "a driven browser", want: []Reason{Automated}, do: func(r *rig) []*answer {
		p := r.page()
		p.automated = true
		p.view()
		return none
	}},
	{name: "a program that is no browser", want: []Reason{Automated}, do: func(r *rig) []*answer {
		p := r.page()
		p.agent = pick(r, tools...)
		p.view()
		return none
	}},
	{name: "a browser without a screen", want: []Reason{Automated}, do: func(r *rig) []*answer {
		p := r.page()
		p.agent = pick(r, headless...)
		p.view()
		return none
	}},
	{name: "a token handed to another browser", want: []Reason{OtherBrowser}, do: func(r *rig) []*answer {
		p, q := r.page(), r.page()
		p.offered()
		for q.agent == p.agent {
			q.agent = pick(r, people...)
		}
		if r.rng.IntN(2) == 0 {
			q.agent, q.language = p.agent, "de-AT"
		}
		if r.rng.IntN(2) == 0 {
			p.begin()
		}
		q.ad, q.token = p.ad, p.token
		if q.token == q.ad {
			q.begin()
		} else {
			q.show()
		}
		q.watch(time.Second)
		q.send(beaconViewable, q.measure())
		q.send(beaconClick, q.clicked())
		return none
	}},

	// Users.
	{name: "forged init data", want: []Reason{ForgedUser}, do: func(r *rig) []*answer {
		p := r.page()
		if r.rng.IntN(2) == 0 {
			p.in(third)
		}
		user := r.user()
		data := signed(initData(user, r.clock.Now()), botToken)
		if p.zone == thirdZone {
			data = signedForThird(initData(user, r.clock.Now()), botID)
		}
		p.initData = pick(r, strings.Replace(data, user, r.user(), 1), data[:len(data)-1], data+"0", "user="+user, "x", data[:strings.LastIndexByte(data, '&')])
		if a := p.offered(); len(a.offer.Warnings) != 1 || !strings.HasPrefix(a.offer.Warnings[0], "init_data") {
			r.t.Errorf("the warnings are %q", a.offer.Warnings)
		}
		p.view()
		return none
	}},
	{name: "init data of another bot", want: []Reason{ForgedUser}, do: func(r *rig) []*answer {
		p := r.page()
		p.initData = signed(initData(r.user(), r.clock.Now()), otherBotToken)
		if r.rng.IntN(2) == 0 {
			p.in(third)
			p.initData = signedForThird(initData(r.user(), r.clock.Now()), botID+1)
		}
		p.view()
		return none
	}},
	{name: "the page names another user", want: []Reason{OtherUser}, do: func(r *rig) []*answer {
		p := r.page()
		user := r.user()
		p.initData, p.telegramID = signed(initData(user, r.clock.Now()), botToken), user+"1"
		p.view()
		for _, s := range r.events.list("") {
			if s.TelegramID != user {
				r.t.Errorf("the event names the user %q and not %q, whom Telegram proves", s.TelegramID, user)
			}
		}
		return none
	}},
	{name: "no init data where a user is asked for", want: []Reason{NoUser}, do: func(r *rig) []*answer {
		r.rules(func(c *carom.ConfirmRules) { c.RequireUser = true })
		p := r.page()
		p.telegramID = pick(r, "", r.user())
		p.view()
		return none
	}},
	{name: "old init data where a user is asked for", want: []Reason{NoUser}, do: func(r *rig) []*answer {
		r.rules(func(c *carom.ConfirmRules) { c.RequireUser = true })
		p := r.page()
		p.initData = signed(initData(r.user(), r.clock.Now().Add(-24*time.Hour-r.between(time.Second, 90*24*time.Hour))), botToken)
		p.view()
		return none
	}},
	{name: "init data of nobody where a user is asked for", want: []Reason{NoUser}, do: func(r *rig) []*answer {
		r.rules(func(c *carom.ConfirmRules) { c.RequireUser = true })
		p := r.page()
		p.initData, p.telegramID = signed(initData("", r.clock.Now()), botToken), pick(r, "", r.user())
		p.view()
		return none
	}},

	// Lists.
	{name: "an address on the list", want: []Reason{AddressDenied}, do: func(r *rig) []*answer {
		p := r.page()
		p.address = pick(r, "198.51.100.7", "2001:db8:dead::1")
		r.rules(func(c *carom.ConfirmRules) {
			c.DenyAddresses = []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("2001:db8:dead::/48")}
		})
		p.offered()
		if r.rng.IntN(2) == 0 {
			p.address = r.address() // it hides when it is to be paid
		}
		p.begin()
		p.watch(time.Second)
		p.send(beaconViewable, p.measure())
		return none
	}},
	{name: "an own user", want: []Reason{OwnTraffic}, do: func(r *rig) []*answer {
		p := r.page()
		user := r.user()
		r.rules(func(c *carom.ConfirmRules) { c.OwnUsers = []string{"1", user} })
		switch r.rng.IntN(3) {
		case 0:
			p.telegramID = user
		case 1:
			p.ymid = user
		case 2:
			p.initData = signed(initData(user, r.clock.Now()), botToken)
		}
		p.view()
		p.send(beaconClick, p.clicked())
		return none
	}},
	{name: "an own address", want: []Reason{OwnTraffic}, do: func(r *rig) []*answer {
		p := r.page()
		own := netip.PrefixFrom(netip.MustParseAddr(p.address), netip.MustParseAddr(p.address).BitLen()-8).Masked()
		r.rules(func(c *carom.ConfirmRules) { c.OwnAddresses = []netip.Prefix{own} })
		p.view()
		return none
	}},

	// Crowds that are none.
	{name: "one user, hundreds of views", want: []Reason{RateUser}, valued: anyNumber, do: func(r *rig) []*answer {
		limit := limited(r, func(c *carom.ConfirmRules) *carom.ViewLimit { return &c.PerUser })
		user, proven := r.user(), r.rng.IntN(2) == 0
		return exceed(r, limit, func() *page {
			p := r.page()
			p.telegramID = user
			if proven {
				p.initData = signed(initData(user, r.clock.Now()), botToken)
			}
			return p
		})
	}},
	{name: "one device, many users", want: []Reason{RateDevice}, valued: anyNumber, do: func(r *rig) []*answer {
		limit := limited(r, func(c *carom.ConfirmRules) *carom.ViewLimit { return &c.PerDevice })
		same := r.page()
		return exceed(r, limit, func() *page {
			p := r.page()
			p.address, p.agent, p.language, p.telegramID = same.address, same.agent, same.language, r.user()
			return p
		})
	}},
	{name: "one address, many devices", want: []Reason{RateAddress}, valued: anyNumber, do: func(r *rig) []*answer {
		limit := limited(r, func(c *carom.ConfirmRules) *carom.ViewLimit { return &c.PerAddress })
		same := r.page()
		return exceed(r, limit, func() *page {
			p := r.page()
			p.address, p.agent, p.telegramID = same.address, p.agent+" "+r.word(), r.user()
			return p
		})
	}},
	{name: "one machine, the addresses of its network", want: []Reason{RateAddress}, valued: anyNumber, do: func(r *rig) []*answer {
		limit := limited(r, func(c *carom.ConfirmRules) *carom.ViewLimit { return &c.PerAddress })
		return exceed(r, limit, func() *page {
			p := r.page()
			p.address, p.telegramID = fmt.Sprintf("2001:db8:1:2:%x:%x:%x:%x", r.rng.IntN(1<<16), r.rng.IntN(1<<16), r.rng.IntN(1<<16), r.rng.IntN(1<<16)), r.user()
			return p
		})
	}},
	{name: "nobody says who it is, hundreds of times", want: []Reason{RateUser, RateDevice}, valued: anyNumber, do: func(r *rig) []*answer {
		limit := limited(r, func(c *carom.ConfirmRules) *carom.ViewLimit { return &c.PerUser })
		r.rules(func(c *carom.ConfirmRules) { c.PerDevice = c.PerUser })
		same := r.page()
		return exceed(r, limit, func() *page {
			p := *same
			p.ymid = r.word()
			return &p
		})
	}},
	{name: "a hoard of ads, shown in one moment", want: []Reason{RateUser, RateDevice}, valued: anyNumber, do: func(r *rig) []*answer {
		limit := 5 + r.rng.IntN(20)
		r.rules(func(c *carom.ConfirmRules) {
			c.PerDevice = carom.ViewLimit{Views: limit, Within: time.Hour}
			c.PerUser = c.PerDevice
		})
		first := hasty(r)
		first.telegramID = r.user()
		hoard := make([]*page, limit*3)
		for i := range hoard {
			p := *first
			hoard[i] = &p
			p.offered()
			hoard[i].ad, hoard[i].token = p.ad, p.token
		}
		r.clock.advance(time.Second)
		for _, p := range hoard {
			p.begin()
			p.send(beaconViewable, measure{Shown: 1000, Seen: 1000, Share: 100, Visible: true})
		}
		if got := r.events.valued(carom.Impression); got != limit {
			r.t.Errorf("%d views were valued, the limit is %d", got, limit)
		}
		return none
	}},
	{name: "more than the frequency cap", want: []Reason{FrequencyCap}, valued: anyNumber, do: func(r *rig) []*answer {
		limit := limited(r, func(c *carom.ConfirmRules) *carom.ViewLimit { return &c.FrequencyCap })
		user := r.user()
		return exceed(r, limit, func() *page {
			p := r.page()
			p.telegramID = user
			return p
		})
	}},
	{name: "too many ads asked for", code: CodeTooMany, do: func(r *rig) (got []*answer) {
		limit := 1 + r.rng.IntN(20)
		r.rules(func(c *carom.ConfirmRules) { c.PerDevice = carom.ViewLimit{Views: limit, Within: time.Hour} })
		p := r.page()
		for range limit * asksPerView {
			p.offered()
		}
		return all(p.ask(), p.ask())
	}},

	// Words in the wrong place.
	{name: "ymid, price and zone in a beacon", valued: 2, do: func(r *rig) []*answer {
		p := r.page()
		p.offered()
		smuggled := func(beacon string, m measure) map[string]any {
			return map[string]any{
				"token": p.token, "beacon": beacon, "shown_ms": m.Shown, "visible_ms": m.Seen, "share": m.Share, "trusted": true, "visible": true,
				"ymid": "victim", "zone": gameZone2, "zone_id": gameZone2, "sub_zone_id": "120001", "app": plain, "price": "1000", "estimated_price": "1000",
				"reward_event_type": "valued", "telegram_id": "1", "request_var": "jackpot", "format": "in_app_interstitial", "creative": "dearer", "declined": "",
				"id": "ad_0", "event_id": "evt_0", "client": "192.0.2.1",
			}
		}
		p.show()
		p.token = p.post("/sdk/beacon", marshal(smuggled(beaconStart, p.measure()))).told.Token
		p.watch(time.Second)
		p.post("/sdk/beacon", marshal(smuggled(beaconViewable, p.measure())))
		p.post("/sdk/beacon", marshal(smuggled(beaconClick, p.measure())))
		return none
	}},
	{name: "a text that is too long", code: CodeInvalid, do: func(r *rig) []*answer {
		p, q := r.page(), r.page()
		p.ymid = strings.Repeat("я", 128) + "x"
		q.requestVar = strings.Repeat("x", 257+r.rng.IntN(1000))
		return all(p.ask(), q.ask())
	}},
	{name: "a text that is none", code: CodeInvalid, do: func(r *rig) []*answer {
		p := r.page()
		body := func(ymid string) []byte {
			return fmt.Appendf(nil, `{"zone":%q,"format":%q,"ymid":"%s"}`, p.zone, p.format, ymid)
		}
		return all(p.post("/sdk/ad", body("a\xffb")), p.post("/sdk/ad", body(`a\u0000b`)), p.post("/sdk/ad", body(`a\ud83d`)), p.post("/sdk/ad", body("\xc3\x28")))
	}},
}

// same does something many times at once. Each answer has to be the same confirmation.
func same(r *rig, n int, do func(i int) *answer) {
	r.t.Helper()
	answers := make([]*answer, n)
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() { answers[i] = do(i) })
	}
	group.Wait()
	for _, a := range answers {
		if a.status != 200 || a.told.State != carom.ViewConfirmed || a.told != answers[0].told {
			r.t.Errorf("an answer is %d %s, another %s: want the same confirmation", a.status, a.body, answers[0].body)
			return
		}
	}
}

// TestFraud plays each kind of fraud from seeds: it is refused, or its events are not valued and say why. What may be valued of
// it is valued once.
func TestFraud(t *testing.T) {
	if len(frauds) < 40 {
		t.Errorf("%d kinds of fraud, want at least 40", len(frauds))
	}
	list := seeds(t)
	var sessions, right, refused, events int
	for _, kind := range frauds {
		t.Run(kind.name, func(t *testing.T) {
			reasons := map[string]int{}
			for _, seed := range list {
				r := newRig(t, seed, kind.name)
				good := kind.play(r)
				sessions++
				if good {
					right++
				} else {
					t.Fatalf("seed %d: see above", seed)
				}
				for _, s := range r.events.list("") {
					events++
					reasons[string(s.Value)+" "+s.declined()]++
				}
				if kind.code != "" {
					refused++
				}
			}
			t.Logf("%-50s %4d sessions  code %q  events %v", kind.name, len(list), kind.code, reasons)
		})
	}
	t.Logf("%d kinds, %d sessions: %d as wanted, %d of them refused with a code; %d events", len(frauds), sessions, right, refused, events)
}

// play plays one session and says whether it came to what is wanted.
func (k *fraud) play(r *rig) bool {
	r.t.Helper()
	good := true
	wrong := func(format string, args ...any) {
		r.t.Helper()
		r.t.Errorf(format, args...)
		good = false
	}
	for _, a := range k.do(r) {
		if a.problem.Code != k.code || a.status != statuses[k.code] {
			wrong("an answer is %d %s, want the code %s", a.status, a.body, k.code)
		}
	}
	r.check()
	valued, notValued := 0, 0
	for _, s := range r.events.list("") {
		if s.Value == carom.Valued {
			valued++
			continue
		}
		notValued++
		if s.declined() != join(k.want) {
			wrong("an event is declined for %q, want %q", s.declined(), join(k.want))
		}
	}
	if k.valued != anyNumber && valued != k.valued {
		wrong("%d events are valued, want %d", valued, k.valued)
	}
	if (notValued > 0) != (len(k.want) > 0) {
		wrong("%d events are not valued, want reasons %q", notValued, join(k.want))
	}
	return good && !r.t.Failed()
}
