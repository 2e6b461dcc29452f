package confirm

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"carom"
)

// honest is a kind of session of somebody who watches ads. What was viewed and clicked is valued, once each, and nothing is
// declined.
type honest struct {
	name   string
	clicks int  // how many are valued
	views  int  // likewise; 0: one
	unowed bool // endpoints get nothing
	do     func(r *rig)
}

// confirmed takes an answer that has to be a confirmation.
func confirmed(r *rig, a *answer) {
	r.t.Helper()
	if a.status != 200 || a.told.State != carom.ViewConfirmed || a.told.Value != carom.Valued {
		r.t.Errorf("an honest beacon was answered %d %s", a.status, a.body)
	}
}

// lost is a request that arrives and whose answer does not.
func (p *page) lost(beacon string, m measure) {
	before := p.token
	p.send(beacon, m)
	p.token = before
}

// tap is a click some time later.
func tap(p *page) *answer { return p.send(beaconClick, p.clicked()) }

// awkward is a text of exactly 256 bytes with everything that breaks texts on their way.
func awkward(r *rig) string {
	pieces := []string{
		`"`, `'`, `\`, "%", "%41", "&", "#", "+", "=", "?", "/", " ", "\n", "\r\n", "\t", "<b>", "</script>", "{ymid}", "[payout]", "%sub1%", "$1", "`", "|", ";",
		"😀", "👨‍👩‍👧", "שלום", "\u202e", "مرحبا", "\u200f", "日本", "ё", "e\u0301", "\u2028", "\u0001", "\u007f", "\ufeff", "null", "0", "-1", "1e9",
	}
	var b strings.Builder
	for b.Len() < MaxTextBytes {
		piece := pieces[r.rng.IntN(len(pieces))]
		if b.Len()+len(piece) > MaxTextBytes {
			piece = "x"
		}
		b.WriteString(piece)
	}
	return b.String()
}

var sessions = []honest{
	{name: "plain", do: func(r *rig) { confirmed(r, r.page().view()) }},
	{name: "plain, to its end", do: func(r *rig) {
		p := r.page()
		confirmed(r, p.view())
		p.watch(r.between(5*time.Second, 30*time.Second))
		confirmed(r, p.send(beaconEnd, p.measure()))
	}},
	{name: "slow phone", do: func(r *rig) {
		p := r.page()
		p.slowest = 4 * time.Second
		p.offered()
		p.show()
		r.clock.advance(8 * time.Second) // the start is on its way
		p.send(beaconStart, p.measure())
		confirmed(r, p.send(beaconViewable, p.measure()))
	}},
	{name: "slow phone that sends what it measured in time", do: func(r *rig) {
		p := r.page()
		p.offered()
		p.show()
		atStart := p.measure()
		p.watch(time.Second)
		atSecond := p.measure()
		r.clock.advance(7 * time.Second)
		p.send(beaconStart, atStart)
		confirmed(r, p.send(beaconViewable, atSecond))
	}},
	{name: "fast network", do: func(r *rig) {
		p := r.page()
		p.slowest = 2 * time.Millisecond
		confirmed(r, p.view())
	}},
	{name: "another tab and back", do: func(r *rig) {
		p := r.page()
		p.offered()
		p.begin()
		r.clock.advance(r.between(0, 900*time.Millisecond))
		p.hide()
		r.clock.advance(r.between(time.Second, 10*time.Minute))
		p.back()
		p.watch(time.Second)
		confirmed(r, p.send(beaconViewable, p.measure()))
	}},
	{name: "begun in a hidden tab", do: func(r *rig) {
		p := r.page()
		p.offered()
		p.hidden = true
		p.begin()
		r.clock.advance(r.between(time.Second, 10*time.Minute))
		p.back()
		p.watch(time.Second)
		confirmed(r, p.send(beaconViewable, p.measure()))
	}},
	{name: "start sent again", do: func(r *rig) {
		p := r.page()
		p.offered()
		p.begin()
		p.token = p.ad
		p.send(beaconStart, p.measure())
		p.watch(time.Second)
		confirmed(r, p.send(beaconViewable, p.measure()))
	}},
	{name: "viewable sent again", do: func(r *rig) {
		p := r.page()
		confirmed(r, p.view())
		m := p.measure()
		for range 1 + r.rng.IntN(5) {
			r.clock.advance(r.between(0, time.Minute))
			r.doors[0].settleOld(r.t.Context())
			confirmed(r, p.send(beaconViewable, m))
		}
	}},
	{name: "the answer to start is lost", do: func(r *rig) {
		p := r.page()
		p.offered()
		p.show()
		m := p.measure()
		p.lost(beaconStart, m)
		r.clock.advance(r.between(500*time.Millisecond, 20*time.Second))
		p.send(beaconStart, m)
		p.watch(time.Second)
		confirmed(r, p.send(beaconViewable, p.measure()))
	}},
	{name: "the answer to viewable is lost", do: func(r *rig) {
		p := r.page()
		p.offered()
		p.begin()
		p.watch(time.Second)
		m := p.measure()
		p.lost(beaconViewable, m)
		r.clock.advance(r.between(500*time.Millisecond, 2*time.Minute))
		confirmed(r, p.send(beaconViewable, m))
	}},
	{name: "another address when it starts", do: func(r *rig) {
		p := r.page()
		p.offered()
		p.address = r.address()
		p.begin()
		p.watch(time.Second)
		confirmed(r, p.send(beaconViewable, p.measure()))
	}},
	{name: "another address when it was seen", clicks: 1, do: func(r *rig) {
		p := r.page()
		p.offered()
		p.begin()
		p.address = r.address()
		p.watch(time.Second)
		confirmed(r, p.send(beaconViewable, p.measure()))
		p.address = r.address()
		confirmed(r, tap(p))
	}},
	{name: "offline for two minutes", do: func(r *rig) {
		p := r.page()
		p.offered()
		p.begin()
		p.watch(time.Second)
		m := p.measure()
		r.clock.advance(2 * time.Minute)
		confirmed(r, p.send(beaconViewable, m))
	}},
	{name: "preloaded nine minutes ago", do: func(r *rig) {
		p := r.page()
		p.offered()
		r.clock.advance(9 * time.Minute)
		p.begin()
		p.watch(time.Second)
		confirmed(r, p.send(beaconViewable, p.measure()))
	}},
	{name: "a clock that drifts", do: func(r *rig) {
		p := r.page()
		p.slowest, p.drift = pick(r, time.Millisecond, 400*time.Millisecond), pick(r, 0.01, -0.01)
		p.offered()
		p.begin()
		p.watch(time.Second)
		confirmed(r, p.send(beaconViewable, p.measure()))
		p.watch(r.between(10*time.Second, 5*time.Minute))
		confirmed(r, p.send(beaconEnd, p.measure()))
	}},
	{name: "five minutes of watching", do: func(r *rig) {
		p := r.page()
		p.drift = pick(r, 0.01, -0.01, 0)
		p.offered()
		p.begin()
		p.watch(5 * time.Minute)
		confirmed(r, p.send(pick(r, beaconViewable, beaconEnd), p.measure()))
	}},
	{name: "a click after ten seconds", clicks: 1, do: func(r *rig) {
		p := r.page()
		confirmed(r, p.view())
		p.watch(10 * time.Second)
		confirmed(r, tap(p))
		confirmed(r, p.send(beaconEnd, p.measure()))
	}},
	{name: "a click before a second is over", clicks: 1, do: func(r *rig) {
		p := r.page()
		p.offered()
		p.begin()
		p.watch(r.between(300*time.Millisecond, 900*time.Millisecond))
		m := p.clicked()
		p.hide() // the landing page opens
		confirmed(r, p.send(beaconClick, m))
		r.clock.advance(r.between(time.Second, 2*time.Minute))
		p.back()
		p.watch(time.Second)
		confirmed(r, p.send(beaconViewable, p.measure()))
	}},
	{name: "a double tap", clicks: 1, do: func(r *rig) {
		p := r.page()
		confirmed(r, p.view())
		p.watch(r.between(time.Second, 5*time.Second))
		m := p.clicked()
		confirmed(r, p.send(beaconClick, m))
		m.Shown += 80
		confirmed(r, p.send(beaconClick, m))
	}},
	{name: "viewable is lost, and the end says it", do: func(r *rig) {
		p := r.page()
		p.offered()
		p.begin()
		p.watch(r.between(time.Second, 30*time.Second))
		if r.rng.IntN(2) == 0 {
			p.hide() // the page is left
		}
		confirmed(r, p.send(beaconEnd, p.measure()))
	}},
	{name: "the end overtakes viewable", do: func(r *rig) {
		p := r.page()
		p.offered()
		p.begin()
		p.watch(time.Second)
		m := p.measure()
		p.watch(r.between(time.Second, 30*time.Second))
		confirmed(r, p.send(beaconEnd, p.measure()))
		confirmed(r, p.send(beaconViewable, m))
	}},
	{name: "without Telegram", do: func(r *rig) {
		p := r.page().in(plain)
		p.ymid = pick(r, "", r.word())
		confirmed(r, p.view())
	}},
	{name: "a user whom the page names, without a ymid", do: func(r *rig) {
		p := r.page()
		p.ymid, p.telegramID = "", r.user()
		confirmed(r, p.view())
	}},
	{name: "with init data", clicks: 1, do: func(r *rig) {
		p := r.page()
		user := r.user()
		r.rules(func(c *carom.ConfirmRules) { c.RequireUser = r.rng.IntN(2) == 0 })
		p.initData, p.telegramID = signed(initData(user, r.clock.Now()), botToken), pick(r, "", user)
		confirmed(r, p.view())
		confirmed(r, tap(p))
		for _, s := range r.events.list("") {
			if s.TelegramID != user || s.field("init_data") != "proven" {
				r.t.Errorf("the event is of the user %q, %q; want %q, proven", s.TelegramID, s.field("init_data"), user)
			}
		}
	}},
	{name: "with init data for those without the bot's token", do: func(r *rig) {
		r.rules(func(c *carom.ConfirmRules) { c.RequireUser = true })
		p := r.page().in(third)
		p.initData = signedForThird(initData(r.user(), r.clock.Now()), botID)
		confirmed(r, p.view())
	}},
	{name: "init data of 23 hours ago", do: func(r *rig) {
		r.rules(func(c *carom.ConfirmRules) { c.RequireUser = true })
		p := r.page()
		p.initData = signed(initData(r.user(), r.clock.Now().Add(-23*time.Hour)), botToken)
		confirmed(r, p.view())
	}},
	{name: "old init data where nobody asks for a user", do: func(r *rig) {
		p := r.page()
		p.telegramID = r.user()
		p.initData = signed(initData(p.telegramID, r.clock.Now().Add(-r.between(25*time.Hour, 60*24*time.Hour))), botToken)
		if a := p.offered(); len(a.offer.Warnings) != 1 {
			r.t.Errorf("the warnings are %q", a.offer.Warnings)
		}
		confirmed(r, p.view())
	}},
	{name: "init data that name nobody", do: func(r *rig) {
		p := r.page()
		p.initData, p.telegramID = signed(initData("", r.clock.Now()), botToken), r.user()
		confirmed(r, p.view())
		if got := r.events.list("")[0].TelegramID; got != p.telegramID {
			r.t.Errorf("the event names the user %q, the page named %q", got, p.telegramID)
		}
	}},
	{name: "init data where the app has no bot", do: func(r *rig) {
		p := r.page().in(plain)
		p.initData = signed(initData(r.user(), r.clock.Now()), botToken)
		confirmed(r, p.view())
	}},
	{name: "five people behind one address", views: 75, do: func(r *rig) {
		family := make([]*page, 5)
		for i := range family {
			family[i] = r.page()
			family[i].address, family[i].telegramID = family[0].address, r.user()
			if r.rng.IntN(2) == 0 {
				family[i].agent, family[i].language = family[0].agent, family[0].language // phones of one make
			}
		}
		for range 15 {
			for _, p := range family {
				p.ymid = r.word()
				confirmed(r, p.view())
			}
			r.clock.advance(20 * time.Second)
		}
	}},
	{name: "busy for ten minutes", views: 75, do: func(r *rig) {
		p := r.page()
		p.telegramID = r.user()
		for began, i := r.clock.Now(), 0; i < 75; i++ {
			p.ymid = r.word()
			confirmed(r, p.view())
			r.clock.advance(began.Add(time.Duration(i+1) * 8 * time.Second).Sub(r.clock.Now()))
		}
	}},
	{name: "busy while others name this user", views: 30, do: func(r *rig) {
		p := r.page()
		user := r.user()
		p.initData = signed(initData(user, r.clock.Now()), botToken)
		r.rules(func(c *carom.ConfirmRules) {
			c.PerUser, c.PerDevice = carom.ViewLimit{Views: 40, Within: time.Hour}, carom.ViewLimit{Views: -1}
		})
		for range 60 { // views that prove nobody, and are not ended
			q := r.page()
			q.telegramID = user
			q.offered()
			q.begin()
			q.send(beaconEnd, q.measure())
		}
		r.events.mu.Lock()
		r.events.all = nil
		r.events.mu.Unlock()
		for range 30 {
			confirmed(r, p.view())
		}
	}},
	{name: "two zones in two tabs", views: 2, clicks: 1, do: func(r *rig) {
		p := r.page()
		q := *p
		q.zone = gameZone2
		p.offered()
		q.offered()
		p.begin()
		r.clock.advance(r.between(0, 500*time.Millisecond))
		q.begin()
		p.watch(time.Second)
		q.watch(time.Second)
		confirmed(r, q.send(beaconViewable, q.measure()))
		confirmed(r, p.send(beaconViewable, p.measure()))
		confirmed(r, tap(&q))
	}},
	{name: "a popup", do: func(r *rig) {
		p := r.page()
		p.format = carom.RewardedPopup
		confirmed(r, p.view())
	}},
	{name: "a popup whose start is enough", do: func(r *rig) {
		r.rules(func(c *carom.ConfirmRules) { c.Viewable = -1 })
		p := r.page()
		p.format, p.slowest = carom.RewardedPopup, pick(r, 0, 400*time.Millisecond)
		if a := p.offered(); a.offer.Ad.Viewable != 0 {
			r.t.Errorf("viewable_ms is %d, want 0", a.offer.Ad.Viewable)
		}
		p.hidden = true // its window is in front
		confirmed(r, p.begin())
		p.token = p.ad
		confirmed(r, p.send(beaconStart, p.measure()))
		confirmed(r, p.send(beaconEnd, p.measure()))
	}},
	{name: "in the app", unowed: true, clicks: 1, do: func(r *rig) {
		p := r.page()
		p.format = carom.InAppInterstitial
		confirmed(r, p.view())
		confirmed(r, tap(p))
	}},
	{name: "a restart while it is shown", clicks: 1, do: func(r *rig) {
		p := r.page()
		p.offered()
		p.begin()
		p.node = r.open(sdkKey)
		p.watch(time.Second)
		confirmed(r, p.send(beaconViewable, p.measure()))
		p.node = r.open(sdkKey)
		confirmed(r, p.send(beaconViewable, p.measure()))
		confirmed(r, tap(p))
	}},
	{name: "each request at another node", clicks: 1, do: func(r *rig) {
		r.open(sdkKey)
		r.open(sdkKey)
		p := r.page()
		next := func() { p.node = (p.node + 1 + r.rng.IntN(2)) % 3 }
		p.offered()
		next()
		p.begin()
		p.watch(time.Second)
		next()
		confirmed(r, p.send(beaconViewable, p.measure()))
		next()
		confirmed(r, tap(p))
		p.watch(r.between(5*time.Second, time.Minute))
		next()
		confirmed(r, p.send(beaconEnd, p.measure()))
		r.clock.advance(ShowLife + time.Second)
		for _, d := range r.doors { // the node of the start has heard of nothing else
			d.settleOld(r.t.Context())
		}
	}},
	{name: "the zone is deleted before the click", clicks: 1, do: func(r *rig) {
		p := r.page()
		confirmed(r, p.view())
		r.use(func(o *carom.Objects) {
			o.Zones = slices.DeleteFunc(slices.Clone(o.Zones), func(z carom.Zone) bool { return z.ID == gameZone })
		})
		confirmed(r, tap(p))
		confirmed(r, p.send(beaconEnd, p.measure()))
	}},
	{name: "the zone is paused while it is shown", do: func(r *rig) {
		p := r.page()
		p.offered()
		p.begin()
		r.use(func(o *carom.Objects) {
			o.Zones = slices.Clone(o.Zones)
			for i := range o.Zones {
				o.Zones[i].Paused = true
			}
		})
		p.watch(time.Second)
		confirmed(r, p.send(beaconViewable, p.measure()))
	}},
	{name: "the rules change while it is shown", do: func(r *rig) {
		before, after := pick(r, time.Second, 2*time.Second, -1), pick(r, time.Second, 5*time.Second, time.Minute, -1)
		r.rules(func(c *carom.ConfirmRules) { c.Viewable = before })
		p := r.page()
		asked := time.Duration(p.offered().offer.Ad.Viewable) * time.Millisecond
		change := func() { r.rules(func(c *carom.ConfirmRules) { c.Viewable = after }) }
		if r.rng.IntN(2) == 0 {
			change()
		}
		a := p.begin()
		change()
		if asked > 0 {
			p.watch(asked)
			a = p.send(beaconViewable, p.measure())
		}
		confirmed(r, a)
	}},
	{name: "texts at their limit", clicks: 1, do: func(r *rig) {
		p := r.page()
		p.ymid, p.requestVar = awkward(r), awkward(r)
		a := p.offered()
		if a.offer.YMID != p.ymid || a.offer.RequestVar != p.requestVar {
			r.t.Errorf("the answer says %q, %q; want %q, %q", a.offer.YMID, a.offer.RequestVar, p.ymid, p.requestVar)
		}
		p.begin()
		p.watch(time.Second)
		confirmed(r, p.send(beaconViewable, p.measure()))
		confirmed(r, tap(p))
		for _, s := range r.events.list("") {
			if s.YMID != p.ymid || s.RequestVar != p.requestVar {
				r.t.Errorf("the event says %q, %q; want %q, %q", s.YMID, s.RequestVar, p.ymid, p.requestVar)
			}
		}
	}},
	{name: "a small phone", do: func(r *rig) {
		p := r.page()
		p.width, p.height = pick(r, 240, 120, 0), pick(r, 320, 240, 0)
		confirmed(r, p.view())
	}},
	{name: "half of it visible", do: func(r *rig) {
		p := r.page()
		p.offered()
		p.begin()
		p.watch(time.Second)
		m := p.measure()
		m.Share = 50 + r.rng.IntN(51)
		confirmed(r, p.send(beaconViewable, m))
	}},
	{name: "the store fails once", clicks: 1, do: func(r *rig) {
		p := r.page()
		p.offered()
		p.begin()
		p.watch(time.Second)
		later := func(beacon string, m measure) {
			r.events.fail = 1 + r.rng.IntN(3)
			for range r.events.fail {
				if a := p.send(beacon, m); a.problem.Code != CodeLater || a.header.Get("Retry-After") == "" {
					r.t.Errorf("with a store that fails, the answer is %d %s", a.status, a.body)
				}
				r.clock.advance(r.between(2*time.Second, time.Minute))
			}
			confirmed(r, p.send(beacon, m))
		}
		later(beaconViewable, p.measure())
		later(beaconClick, p.clicked())
	}},
	{name: "the first event cannot be read for a moment", do: func(r *rig) {
		p := r.page()
		confirmed(r, p.view())
		m := p.measure()
		p.node = r.open(sdkKey) // it remembers nothing
		r.events.unread = 1
		if a := p.send(beaconViewable, m); a.problem.Code != CodeLater {
			r.t.Errorf("the answer is %d %s, want %s", a.status, a.body, CodeLater)
		}
		confirmed(r, p.send(beaconViewable, m))
	}},
	{name: "the app's other page", do: func(r *rig) {
		p := r.page()
		p.origin = "https://beta.game.example:8443"
		confirmed(r, p.view())
	}},
	{name: "an address of IPv4 in the form of IPv6", do: func(r *rig) {
		p := r.page()
		p.address = fmt.Sprintf("203.0.113.%d", r.rng.IntN(256))
		p.offered()
		p.address = "::ffff:" + p.address
		p.begin()
		p.watch(time.Second)
		confirmed(r, p.send(beaconViewable, p.measure()))
	}},
}

// browsers are plain sessions, one for each browser.
func browsers() (list []honest) {
	for _, agent := range people {
		list = append(list, honest{name: "as " + agent, do: func(r *rig) {
			p := r.page()
			p.agent = agent
			confirmed(r, p.view())
		}})
	}
	return list
}

// TestHonest plays each kind of honest session from seeds: nothing is declined, and what was viewed and clicked is valued once.
func TestHonest(t *testing.T) {
	if len(sessions) < 30 {
		t.Errorf("%d kinds of honest session, want at least 30", len(sessions))
	}
	list := seeds(t)
	var played, declined, events int
	for _, kind := range append(browsers(), sessions...) {
		t.Run(kind.name, func(t *testing.T) {
			before := declined
			for _, seed := range list {
				r := newRig(t, seed, kind.name)
				kind.do(r)
				r.check()
				played++
				for _, s := range r.events.list("") {
					events++
					if s.Value != carom.Valued || s.declined() != "" {
						declined++
						t.Errorf("an honest %s is declined for %q", s.Type, s.declined())
					}
					if s.owed == kind.unowed {
						t.Errorf("an event is owed: %v, want %v", s.owed, !kind.unowed)
					}
				}
				if got, want := r.events.valued(carom.Impression), max(kind.views, 1); got != want {
					t.Errorf("%d impressions are valued, want %d", got, want)
				}
				if got := r.events.valued(carom.Click); got != kind.clicks {
					t.Errorf("%d clicks are valued, want %d", got, kind.clicks)
				}
				if t.Failed() {
					t.Fatalf("seed %d: see above", seed)
				}
			}
			t.Logf("%-50.50s %4d sessions  %d declined", kind.name, len(list), declined-before)
		})
	}
	t.Logf("%d kinds and %d browsers, %d sessions, %d events: %d declined", len(sessions), len(people), played, events, declined)
}
