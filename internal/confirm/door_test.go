package confirm

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"carom"
)

// only is the page's first wish with fields set over it. A nil value removes the field.
func (p *page) only(with map[string]any) []byte {
	w := p.wish()
	for name, value := range with {
		if w[name] = value; value == nil {
			delete(w, name)
		}
	}
	return marshal(w)
}

func TestAd(t *testing.T) {
	r := newRig(t, 1, t.Name())
	p := r.page()
	p.telegramID, p.requestVar = "42", "bonus-btn"
	a := p.ask()
	token := a.offer.Ad.Token
	want := offer{
		ZoneID: gameZone, SubZoneID: "110001", Format: carom.RewardedInterstitial, YMID: p.ymid, RequestVar: "bonus-btn", TelegramID: "42",
		Ad: &offered{
			Token: token, Title: "Summer", Image: "https://img.example/summer.png", LandingURL: "https://shop.example/", CloseAfter: 5000, Viewable: 1000,
		},
	}
	if diff := cmp.Diff(want, a.offer); diff != "" {
		t.Errorf("the answer (-want +got):\n%s", diff)
	}
	if token == p.offered().offer.Ad.Token {
		t.Error("two ads have one token")
	}
	for name, asked := range r.shelf.asked {
		got := [...]any{asked.ID, asked.Zone.ID, asked.Format, asked.YMID, asked.RequestVar, asked.TelegramID, asked.UserAgent, asked.Language, asked.Client.String(), asked.Width, asked.Height}
		want := [...]any{name, gameZone, carom.RewardedInterstitial, p.ymid, "bonus-btn", "42", p.agent, p.language, p.address, p.width, p.height}
		if got != want {
			t.Errorf("the ad is chosen for %v, want %v", got, want)
		}
	}
}

func TestNoAd(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(r *rig)
	}{
		{"there is none", func(r *rig) { r.shelf.empty = true }},
		{"the zone is paused", func(r *rig) { r.use(func(o *carom.Objects) { o.Zones[0].Paused = true }) }},
		{"the app has no source for its events", func(r *rig) { r.use(func(o *carom.Objects) { o.Sources = nil }) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, 1, t.Name())
			tt.change(r)
			a := r.page().ask()
			if a.status != http.StatusOK || !bytes.Contains(a.body, []byte(`"ad":null`)) || a.offer.SubZoneID != "110001" {
				t.Errorf("the answer is %d %s", a.status, a.body)
			}
		})
	}
}

// TestProblems sends what is wrong, and reads what is said of it: a code for programs, and for people what to do.
func TestProblems(t *testing.T) {
	tests := []struct {
		name   string
		body   func(p *page) []byte
		code   Code
		field  string
		detail string // part of it
	}{
		{"nothing", func(*page) []byte { return nil }, CodeInvalid, "", "not JSON"},
		{"half of it", func(p *page) []byte { return p.only(nil)[:20] }, CodeInvalid, "", "not JSON"},
		{"two", func(p *page) []byte { return slices.Concat(p.only(nil), p.only(nil)) }, CodeInvalid, "", "not JSON"},
		{"null", func(*page) []byte { return []byte("null") }, CodeInvalid, "zone", "data-zone"},
		{"a list", func(*page) []byte { return []byte("[]") }, CodeInvalid, "", "array"},
		{"a number for a text", func(p *page) []byte { return p.only(map[string]any{"ymid": 5}) }, CodeInvalid, "ymid", "number"},
		{"a text for a number", func(p *page) []byte { return p.only(map[string]any{"width": "390"}) }, CodeInvalid, "width", "string"},
		{"no zone", func(p *page) []byte { return p.only(map[string]any{"zone": nil}) }, CodeInvalid, "zone", "data-zone"},
		{"a zone of nobody's", func(p *page) []byte { return p.only(map[string]any{"zone": "999"}) }, CodeUnknownZone, "zone", `"999"`},
		{"a zone that is no id", func(p *page) []byte { return p.only(map[string]any{"zone": strings.Repeat("é", 3000)}) }, CodeUnknownZone, "zone", "…"},
		{"a sub-zone", func(p *page) []byte { return p.only(map[string]any{"zone": "110002"}) }, CodeSubZone, "zone", `data-zone="100001"`},
		{"another app's zone", func(p *page) []byte { return p.only(map[string]any{"zone": plainZone}) }, CodeOrigin, "apps.plain.origins", "origins of the app"},
		{"no format", func(p *page) []byte { return p.only(map[string]any{"format": nil}) }, CodeFormat, "format", "another type"},
		{"a format that is none", func(p *page) []byte { return p.only(map[string]any{"format": "banner"}) }, CodeFormat, "format", `"banner"`},
		{"a long ymid", func(p *page) []byte { return p.only(map[string]any{"ymid": strings.Repeat("x", 257)}) }, CodeInvalid, "ymid", "256 bytes"},
		{"a long request_var", func(p *page) []byte { return p.only(map[string]any{"request_var": strings.Repeat("é", 129)}) }, CodeInvalid, "request_var", "256 bytes"},
		{"a NUL", func(p *page) []byte { return p.only(map[string]any{"request_var": "a\x00"}) }, CodeInvalid, "request_var", "NUL"},
		{"half a character", func(p *page) []byte {
			return bytes.Replace(p.only(map[string]any{"ymid": "HALF"}), []byte("HALF"), []byte(`\ud83d`), 1)
		}, CodeInvalid, "ymid", "UTF-8"},
		{"a user who is none", func(p *page) []byte { return p.only(map[string]any{"telegram_id": "@name"}) }, CodeInvalid, "telegram_id", "digits"},
		{"a user with a long id", func(p *page) []byte { return p.only(map[string]any{"telegram_id": strings.Repeat("9", 21)}) }, CodeInvalid, "telegram_id", "20 digits"},
		{"no ymid where one is asked for", func(p *page) []byte { return p.only(map[string]any{"zone": gameZone2, "ymid": nil}) }, CodeYMIDRequired, "ymid", "show_100002({ ymid: … })"},
		{"too much", func(p *page) []byte { return p.only(map[string]any{"init_data": strings.Repeat("x", MaxAdBytes)}) }, CodeInvalid, "", "too large"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, 1, t.Name())
			r.use(func(o *carom.Objects) { o.Zones[1].RequireYMID = true })
			p := r.page()
			p.telegramID = ""
			a := p.post("/sdk/ad", tt.body(p))
			got := a.problem
			if got.Code != tt.code || got.Field != tt.field || !strings.Contains(got.Detail, tt.detail) {
				t.Errorf("the problem is %+v, want code %q, field %q, and %q in its detail", got, tt.code, tt.field, tt.detail)
			}
			if a.status != statuses[tt.code] || got.Status != a.status || got.Title != http.StatusText(a.status) || a.header.Get("Content-Type") != "application/problem+json" {
				t.Errorf("the answer is %d %s: %+v", a.status, a.header.Get("Content-Type"), got)
			}
			if !strings.Contains(got.Detail, ": ") {
				t.Errorf("the detail %q does not say what to do", got.Detail)
			}
			if len(a.body) > 1000 {
				t.Errorf("the answer repeats %d bytes", len(a.body))
			}
		})
	}
}

func TestTryLater(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(r *rig, d *Door)
	}{
		{"no ad can be chosen", func(r *rig, _ *Door) { r.shelf.err = context.Canceled }},
		{"there is no randomness", func(_ *rig, d *Door) { d.opts.Random = strings.NewReader("short") }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, 1, t.Name())
			tt.change(r, r.doors[0])
			a := r.page().ask()
			if a.status != http.StatusServiceUnavailable || a.problem.Code != CodeLater || a.header.Get("Retry-After") != "2" {
				t.Errorf("the answer is %d %s, Retry-After %q", a.status, a.body, a.header.Get("Retry-After"))
			}
		})
	}
	t.Run("too many are shown", func(t *testing.T) {
		r := newRig(t, 1, t.Name())
		for i := range maxShowings {
			r.doors[0].showings.byID[numbered(i).id] = entry{}
		}
		p := r.page()
		p.offered()
		p.show()
		if a := p.send(beaconStart, p.measure()); a.problem.Code != CodeLater {
			t.Errorf("the answer is %d %s", a.status, a.body)
		}
	})
}

func TestUnproven(t *testing.T) {
	if _, p := New(Options{}).catalog.Load().find(gameZone); p == nil || p.Code != CodeUnknownZone {
		t.Errorf("a door without objects answers %+v", p)
	}
	r := newRig(t, 1, t.Name())
	var logged bytes.Buffer
	r.doors[0].opts.Log = slog.New(slog.NewTextHandler(&logged, nil))
	r.use(func(o *carom.Objects) { o.Apps[0].BotToken = "no:token:at:all" })
	p := r.page()
	p.initData = "user=1"
	confirmed(r, p.view())
	if s := logged.String(); !strings.Contains(s, game) || strings.Contains(s, "at:all") {
		t.Errorf("the log says %q", s)
	}
}

// TestYMIDIsUser tells who passes no ymid of their own from who does.
func TestYMIDIsUser(t *testing.T) {
	for _, tt := range []struct {
		name, ymid, user, want string
		flag                   bool
	}{
		{"a ymid", "abc", "42", "abc", false},
		{"a ymid and nobody", "abc", "", "abc", false},
		{"none", "", "42", "42", true},
		{"the user", "42", "42", "42", true},
		{"neither", "", "", "", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, 1, t.Name())
			p := r.page()
			p.ymid, p.telegramID = tt.ymid, tt.user
			confirmed(r, p.view())
			confirmed(r, p.view())
			for _, s := range r.events.list("") {
				if s.YMID != tt.want || s.Flags&carom.FlagYMIDAsUser != 0 != tt.flag {
					t.Errorf("the event says %q, flags %v; want %q, %v", s.YMID, s.Flags, tt.want, tt.flag)
				}
			}
			r.check()
		})
	}
}

// TestEvent reads all that an event says.
func TestEvent(t *testing.T) {
	r := newRig(t, 1, t.Name())
	p := r.page()
	p.slowest, p.requestVar = 0, "bonus-btn"
	p.initData = signed(initData("42", r.clock.Now()), botToken)
	p.offered()
	p.begin()
	r.clock.advance(1234 * time.Millisecond)
	a := p.send(beaconViewable, measure{Shown: 1230, Seen: 1200, Share: 73, Visible: true})
	if want := (told{State: carom.ViewConfirmed, Value: carom.Valued, Price: "0.002"}); a.told != want {
		t.Errorf("the answer is %+v, want %+v", a.told, want)
	}
	got := r.events.list("")[0].Event
	if !strings.HasPrefix(got.ExternalID, "ad_") || len(got.ExternalID) != 35 {
		t.Errorf("the showing is called %q", got.ExternalID)
	}
	want := carom.Event{
		ID: got.ID, At: r.clock.Now(), App: game, Source: carom.SourceSDK, Network: carom.ProfileSDK, Type: carom.Impression, Value: carom.Valued,
		YMID: p.ymid, ZoneID: gameZone, SubZoneID: "110001", RequestVar: "bonus-btn", TelegramID: "42", Price: carom.Price{Nanos: perImpression, Set: true},
		ExternalID: got.ExternalID, Strength: carom.Signed,
		Fields: []carom.Field{{Name: "format", Value: "rewarded_interstitial"}, {Name: "creative", Value: "summer"}, {Name: "init_data", Value: "proven"}},
		Received: carom.Received{
			At: r.clock.Now(), Method: "POST", Path: "/sdk/beacon", ContentType: "application/json", Client: netip.MustParseAddr(p.address),
			Body: []byte(`{"beacon":"viewable","shown_ms":1230,"visible_ms":1200,"share":73,"trusted":false,"visible":true}`),
		},
	}
	if diff := cmp.Diff(want, got, sameShowing); diff != "" {
		t.Errorf("the event (-want +got):\n%s", diff)
	}
}

// TestBrowsers looks at what browsers need: the headers of all answers, and what they ask beforehand.
func TestBrowsers(t *testing.T) {
	r := newRig(t, 1, t.Name())
	p := r.page()
	answers := map[string]*answer{"an ad": p.ask(), "a start": p.send(beaconStart, p.measure()), "a wrong body": p.post("/sdk/ad", []byte("?")), "a wrong token": p.say(beaconStart, "?", measure{})}
	p.origin = "https://evil.example"
	answers["another origin"] = p.ask()
	for name, a := range answers {
		if got := a.header.Values("Access-Control-Allow-Origin"); !slices.Equal(got, []string{"*"}) {
			t.Errorf("%s: Access-Control-Allow-Origin is %q: the page cannot read the answer", name, got)
		}
		for header, want := range map[string]string{"Cache-Control": "no-store", "Set-Cookie": "", "Access-Control-Allow-Credentials": ""} {
			if got := a.header.Get(header); got != want {
				t.Errorf("%s: %s is %q, want %q", name, header, got, want)
			}
		}
	}
	if got := answers["a wrong token"].header.Get("WWW-Authenticate"); got == "" {
		t.Error("401 without WWW-Authenticate")
	}
	for _, path := range []string{"/sdk/ad", "/sdk/beacon"} {
		q := httptest.NewRequest(http.MethodOptions, path, nil)
		q.Header.Set("Origin", "https://game.example")
		q.Header.Set("Access-Control-Request-Method", "POST")
		q.Header.Set("Access-Control-Request-Headers", "content-type")
		w := httptest.NewRecorder()
		r.muxes[0].ServeHTTP(w, q)
		got := map[string]string{}
		for _, name := range []string{"Access-Control-Allow-Origin", "Access-Control-Allow-Methods", "Access-Control-Allow-Headers", "Access-Control-Max-Age"} {
			got[name] = w.Header().Get(name)
		}
		want := map[string]string{
			"Access-Control-Allow-Origin": "*", "Access-Control-Allow-Methods": "POST", "Access-Control-Allow-Headers": "content-type", "Access-Control-Max-Age": "86400",
		}
		if diff := cmp.Diff(want, got); diff != "" || w.Code != http.StatusNoContent {
			t.Errorf("OPTIONS %s answered %d (-want +got):\n%s", path, w.Code, diff)
		}
		w = httptest.NewRecorder()
		r.muxes[0].ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		if w.Code != http.StatusMethodNotAllowed {
			t.Errorf("GET %s answered %d", path, w.Code)
		}
	}
}

// TestAppGone takes away the app's last zone, and with it its source, while ads are shown.
func TestAppGone(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(r *rig)
	}{
		{"at the door", func(r *rig) { r.use(func(o *carom.Objects) { o.Sources = nil }) }},
		{"where events are stored", func(r *rig) { r.events.gone = true }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, 1, t.Name())
			p, q := r.page(), r.page()
			p.offered()
			p.begin()
			q.offered()
			q.begin()
			p.watch(time.Second)
			tt.change(r)
			for _, a := range []*answer{p.send(beaconViewable, p.measure()), p.send(beaconClick, p.clicked())} {
				if a.problem.Code != CodeZone || a.status != http.StatusNotFound {
					t.Errorf("the answer is %d %s, want the code %s", a.status, a.body, CodeZone)
				}
			}
			r.clock.advance(ShowLife + time.Second)
			r.doors[0].settleOld(t.Context())
			if n := r.doors[0].showings.len(); n != 0 {
				t.Errorf("%d ads of an app that is gone are remembered for ever", n)
			}
			if n := len(r.events.list("")); n != 0 {
				t.Errorf("%d events were stored", n)
			}
		})
	}
}

// TestRun lets time pass in a door that runs: what nobody settles is told as unpaid, once, as soon as it can be stored.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1, t.Name())
		d := r.doors[0]
		d.opts.Clock = time.Now
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- d.Run(ctx) }()
		r.events.mu.Lock()
		r.events.fail = 5
		r.events.mu.Unlock()
		p := r.page()
		p.offered()
		p.begin()
		stored := func(want int, when string) {
			t.Helper()
			synctest.Wait()
			if got := len(r.events.list("")); got != want {
				t.Errorf("%s, %d events are stored, want %d", when, got, want)
			}
		}
		time.Sleep(ShowLife)
		stored(0, "at the end of its time")
		time.Sleep(4 * settleAgain)
		stored(0, "while the store fails")
		time.Sleep(3 * settleAgain)
		stored(1, "when it is well again")
		time.Sleep(2 * ShowLife)
		stored(1, "later")
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
		s := r.events.list("")[0]
		if s.Value != carom.NotValued || s.declined() != string(NotViewable) || s.Received.Method != "" || s.Received.Client.String() != p.address {
			t.Errorf("what nobody settled is %+v", s.Event)
		}
		if n := d.showings.len(); n != 0 {
			t.Errorf("%d ads are remembered", n)
		}
	})
}

// TestRunEnds ends a door whose store fails, with ads that are over.
func TestRunEnds(t *testing.T) {
	r := newRig(t, 1, t.Name())
	for range 3 {
		p := r.page()
		p.offered()
		p.begin()
	}
	r.clock.advance(ShowLife + time.Second)
	r.events.fail = 1
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r.doors[0].settleOld(ctx)
	if r.events.calls != 0 {
		t.Errorf("a door that has ended tried %d times", r.events.calls)
	}
	if err := r.doors[0].Run(ctx); err != nil {
		t.Errorf("Run: %v", err)
	}
}

// slow events take a moment each, however many come at once.
type slow struct{ *events }

func (s *slow) Confirm(ctx context.Context, ev *carom.Event, key carom.DedupeKey, began time.Time, owed bool) (carom.Receipt, error) {
	time.Sleep(5 * time.Millisecond)
	return s.events.Confirm(ctx, ev, key, began, owed)
}

// TestManyAreSettledAtOnce lets two thousand ads come to the end of their time in one second.
func TestManyAreSettledAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1, t.Name())
		d := r.doors[0]
		d.opts.Events = &slow{r.events}
		for i := range 2000 {
			d.showings.begin(numbered(i).id, d.sealer.seal(numbered(i)), r.clock.Now())
		}
		r.clock.advance(ShowLife + time.Second)
		began := time.Now()
		d.settleOld(t.Context())
		if took := time.Since(began); took > 500*time.Millisecond {
			t.Errorf("settling 2000 took %v", took)
		}
		if n := len(r.events.list("")); n != 2000 {
			t.Errorf("%d events are stored, want 2000", n)
		}
	})
}

// waiting events hold each confirmation back until they are let go.
type waiting struct {
	*events
	arrived chan struct{}
	free    chan error
}

func (w *waiting) Confirm(ctx context.Context, ev *carom.Event, key carom.DedupeKey, began time.Time, owed bool) (carom.Receipt, error) {
	w.arrived <- struct{}{}
	if err := <-w.free; err != nil {
		return carom.Receipt{}, err
	}
	return w.events.Confirm(ctx, ev, key, began, owed)
}

// TestWhoWaits lets many send one beacon while it is being stored: all hear what it came to, also when that is nothing.
func TestWhoWaits(t *testing.T) {
	for _, tt := range []struct {
		name string
		err  error
		code Code
	}{{"stored", nil, ""}, {"not stored", fmt.Errorf("full: %w", carom.ErrUnavailable), CodeLater}} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, 1, t.Name())
				w := &waiting{r.events, make(chan struct{}), make(chan error)}
				r.doors[0].opts.Events = w
				p := r.page()
				p.offered()
				p.begin()
				p.watch(time.Second)
				answers := make([]*answer, 20)
				var group sync.WaitGroup
				for i := range answers {
					group.Go(func() { answers[i] = p.say(beaconViewable, p.token, p.measure()) })
				}
				<-w.arrived
				synctest.Wait() // all the others wait for the one
				w.free <- tt.err
				group.Wait()
				for _, a := range answers {
					if a.problem.Code != tt.code || tt.code == "" && a.told.State != carom.ViewConfirmed {
						t.Errorf("an answer is %d %s", a.status, a.body)
					}
				}
				if tt.err != nil {
					go func() { <-w.arrived; w.free <- nil }()
					confirmed(r, p.send(beaconViewable, p.measure()))
				}
				if n := len(r.events.list("")); n != 1 {
					t.Errorf("%d events are stored", n)
				}
			})
		})
	}
}

// TestWhoLeaves lets one who waits go away.
func TestWhoLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1, t.Name())
		w := &waiting{r.events, make(chan struct{}), make(chan error)}
		d := r.doors[0]
		d.opts.Events = w
		p := r.page()
		p.offered()
		p.begin()
		p.watch(time.Second)
		s, _ := d.sealer.open(p.token)
		claimed, _, _ := d.showings.claim(s.id)
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(errors.New("the page is gone"))
		_, outcome, problem := d.shown(ctx, d.catalog.Load(), &facts{showing: s}, carom.Received{})
		if outcome != beaconLater || problem == nil || problem.Code != CodeLater {
			t.Errorf("who leaves gets %q, %+v", outcome, problem)
		}
		d.showings.drop(s.id, claimed, r.clock.Now(), true)
	})
}

// TestThousandsAtOnce settles two thousand showings in parallel, at two nodes: each is stored once, and the limit is kept to the
// last one.
func TestThousandsAtOnce(t *testing.T) {
	const pages, limit = 2000, 700
	r := newRig(t, 1, t.Name())
	limits := func(c *carom.ConfirmRules) {
		off := carom.ViewLimit{Views: -1}
		c.PerUser, c.PerDevice, c.PerAddress = off, off, carom.ViewLimit{Views: limit, Within: time.Hour}
	}
	r.rules(limits)
	all := make([]*page, pages)
	rng := rand.New(rand.NewPCG(1, 1))
	for i := range all {
		p := r.page()
		p.slowest, p.address = 0, "203.0.113.7"
		p.offered()
		p.begin()
		all[i] = p
	}
	r.clock.advance(time.Second)
	rng.Shuffle(pages, func(i, j int) { all[i], all[j] = all[j], all[i] })
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			for j := i; j < pages; j += 8 {
				p := all[j]
				m := measure{Shown: 1000, Seen: 1000, Share: 100, Visible: true}
				first, second := p.say(beaconViewable, p.token, m), p.say(beaconViewable, p.token, m)
				if first.status != http.StatusOK || first.told != second.told {
					t.Errorf("the answers are %s and %s", first.body, second.body)
				}
			}
		})
	}
	group.Wait()
	r.check()
	if got, valued := len(r.events.list("")), r.events.valued(carom.Impression); got != pages || valued != limit {
		t.Errorf("%d events of %d showings, %d of them valued; the limit is %d", got, pages, valued, limit)
	}
	for _, s := range r.events.list("") {
		if s.Value == carom.NotValued && s.declined() != string(RateAddress) {
			t.Errorf("an event is declined for %q", s.declined())
		}
	}
}

// TestUndone counts nothing that was not stored: a store that fails, and copies, do not use a user's limit up.
func TestUndone(t *testing.T) {
	r := newRig(t, 1, t.Name())
	r.rules(func(c *carom.ConfirmRules) { c.PerUser = carom.ViewLimit{Views: 3, Within: time.Hour} })
	user := r.user()
	for range 3 {
		p := r.page()
		p.telegramID = user
		p.offered()
		p.begin()
		p.watch(time.Second)
		m := p.measure()
		r.events.fail = 10
		for range 10 {
			if a := p.send(beaconViewable, m); a.problem.Code != CodeLater {
				t.Errorf("the answer is %d %s", a.status, a.body)
			}
		}
		confirmed(r, p.send(beaconViewable, m))
		for range 10 { // asked again when nothing is remembered of it
			r.clock.advance(echoes + time.Second)
			r.doors[0].settleOld(t.Context())
			confirmed(r, p.send(beaconViewable, m))
		}
	}
	p := r.page()
	p.telegramID = user
	if a := p.view(); a.told.State != carom.ViewDeclined {
		t.Errorf("a view beyond the limit was answered %s", a.body)
	}
}

// TestMetrics counts what is asked and what comes of it.
func TestMetrics(t *testing.T) {
	r := newRig(t, 1, t.Name())
	registry := prometheus.NewPedanticRegistry()
	d := New(Options{Events: r.events, Store: r.events, Ads: r.shelf, Key: sdkKey, Clock: r.clock.Now, Metrics: registry, Client: r.doors[0].opts.Client})
	d.Use(r.objects)
	r.muxes[0] = http.NewServeMux()
	d.Register(r.muxes[0])

	p := r.page()
	p.view()
	p.send(beaconViewable, p.measure())
	p.send("nonsense", p.measure())
	p.send(beaconClick, p.measure()) // a script's
	r.events.fail = 1
	q := r.page()
	q.offered()
	q.begin()
	q.watch(time.Second)
	q.send(beaconViewable, q.measure())
	r.shelf.empty = true
	q.ask()
	q.zone = "999"
	q.ask()

	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetValue())
			}
			if v := m.GetCounter().GetValue() + m.GetGauge().GetValue(); v != 0 {
				got[f.GetName()+" "+strings.Join(labels, " ")] = v
			}
		}
	}
	want := map[string]float64{
		"carom_ad_requests_total filled": 2, "carom_ad_requests_total no_fill": 1, "carom_ad_requests_total refused": 1,
		"carom_beacons_total start noted": 2, "carom_beacons_total viewable confirmed": 1, "carom_beacons_total viewable repeated": 1,
		"carom_beacons_total unknown refused": 1, "carom_beacons_total click declined": 1, "carom_beacons_total viewable try_later": 1,
		"carom_declined_total untrusted_click": 1, "carom_showings ": 2,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the metrics (-want +got):\n%s", diff)
	}
}

// TestAdOfTheAdServer is noted as such, with its own prices.
func TestAdOfTheAdServer(t *testing.T) {
	r := newRig(t, 1, t.Name())
	r.shelf.fromServer = true
	confirmed(r, r.page().view())
	if got := r.events.list("")[0].field("ad_from"); got != "ad_server" {
		t.Errorf("the event says that the ad is from %q", got)
	}
}

// TestAnswersSayNoReason holds the door to its silence: who is declined is not told why.
func TestAnswersSayNoReason(t *testing.T) {
	r := newRig(t, 1, t.Name())
	p := r.page()
	p.automated = true
	a := p.view()
	var keys map[string]any
	if err := json.Unmarshal(a.body, &keys); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"state": "declined", "reward_event_type": "not_valued", "estimated_price": "0"}
	if diff := cmp.Diff(want, keys); diff != "" {
		t.Errorf("the answer (-want +got):\n%s", diff)
	}
}
