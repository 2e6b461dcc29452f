package confirm

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"carom"
	"carom/internal/ads"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// What the rig's objects are called.
const (
	game      = "game"  // has the token of its bot
	third     = "third" // has its bot's id alone
	plain     = "plain" // has no bot
	gameZone  = "100001"
	gameZone2 = "100002"
	thirdZone = "200001"
	plainZone = "300001"

	botToken      = "42:TEST"
	otherBotToken = "43:OTHER"
	botID         = 42
)

// The prices of the rig's ads.
const (
	perImpression carom.Nanos = 2_000_000
	perClick      carom.Nanos = 50_000_000
)

var sdkKey = [32]byte{1, 2, 3}

// botKey signs in place of Telegram for those who do not hold a bot's token.
func botKey() ed25519.PrivateKey { return ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)) }

// clock stands still until it is told otherwise.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// stored is one event as it was accepted.
type stored struct {
	carom.Event
	owed bool
}

// declined is the event's reasons, joined.
func (s *stored) declined() string { return s.field("declined") }

func (s *stored) field(name string) string {
	for _, f := range s.Fields {
		if f.Name == name {
			return f.Value
		}
	}
	return ""
}

// events accept like the store: what has a key that is known is a copy.
type events struct {
	mu     sync.Mutex
	all    []stored
	byKey  map[[16]byte]carom.EventID
	calls  int
	fail   int  // so many calls from now on store nothing
	unread int  // so many reads from now on fail
	gone   bool // there is no such source
}

func newEvents() *events { return &events{byKey: map[[16]byte]carom.EventID{}} }

func (e *events) Confirm(_ context.Context, ev *carom.Event, key carom.DedupeKey, began time.Time, owed bool) (carom.Receipt, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.calls++
	switch {
	case e.gone:
		return carom.Receipt{}, fmt.Errorf("source %s/%s: %w", ev.App, ev.Source, carom.ErrNotFound)
	case e.fail > 0:
		e.fail--
		return carom.Receipt{}, fmt.Errorf("the disk is full: %w", carom.ErrUnavailable)
	}
	if id, known := e.byKey[key.Sum]; known {
		return carom.Receipt{ID: id, Duplicate: true}, nil
	}
	ev.ID = carom.NewEventID(1, carom.Ref{Bucket: 1, Seq: uint32(len(e.all) + 1)})
	ev.At = ev.Received.At
	e.byKey[key.Sum] = ev.ID
	e.all = append(e.all, stored{*ev, owed})
	return carom.Receipt{ID: ev.ID}, nil
}

func (e *events) Event(_ context.Context, id carom.EventID) (*carom.Event, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.unread > 0 {
		e.unread--
		return nil, carom.ErrUnavailable
	}
	for i := range e.all {
		if e.all[i].ID == id {
			ev := e.all[i].Event
			return &ev, nil
		}
	}
	return nil, carom.ErrNotFound
}

// list returns what was stored, of one type or, for an empty one, of all.
func (e *events) list(kind carom.EventType) []stored {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(e.all), func(s stored) bool { return kind != "" && s.Type != kind })
}

// valued counts what was valued of a type.
func (e *events) valued(kind carom.EventType) (n int) {
	for _, s := range e.list(kind) {
		if s.Value == carom.Valued {
			n++
		}
	}
	return n
}

// shelf hands out one ad for each request, and remembers for whom.
type shelf struct {
	mu    sync.Mutex
	asked map[string]ads.Request // by the ids of the showings
	empty bool
	err   error

	fromServer bool
}

func (s *shelf) Choose(_ context.Context, r ads.Request) (*ads.Ad, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil || s.empty {
		return nil, s.err
	}
	s.asked[r.ID] = r
	return &ads.Ad{
		Creative: "summer", FromServer: s.fromServer, Title: "Summer", Image: "https://img.example/summer.png", LandingURL: "https://shop.example/",
		CloseAfter: 5 * time.Second, PerImpression: perImpression, PerClick: perClick,
	}, nil
}

// rig is a network end between fakes: one door, or several that stand for nodes or for what comes after a restart.
type rig struct {
	t       testing.TB
	rng     *rand.Rand
	clock   *clock
	events  *events
	shelf   *shelf
	objects carom.Objects
	doors   []*Door
	muxes   []*http.ServeMux
}

func newRig(t testing.TB, seed uint64, name string) *rig {
	h := sha256.Sum256([]byte(name))
	r := &rig{
		t: t, rng: rand.New(rand.NewPCG(seed, uint64(h[0])<<8|uint64(h[1]))), clock: &clock{now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)},
		events: newEvents(), shelf: &shelf{asked: map[string]ads.Request{}},
	}
	formats := func(first int) map[carom.Format]string {
		subs := map[carom.Format]string{}
		for i, f := range carom.Formats() {
			subs[f] = strconv.Itoa(first + i)
		}
		return subs
	}
	r.objects = carom.Objects{
		Apps: []carom.App{
			{Name: game, Origins: []string{"https://game.example", "https://beta.game.example:8443"}, BotToken: botToken},
			{Name: third, Origins: []string{"https://third.example"}, BotID: botID, BotKey: hex.EncodeToString(botKey().Public().(ed25519.PublicKey))},
			{Name: plain, Origins: []string{"https://plain.example"}},
		},
		Zones: []carom.Zone{
			{App: game, ID: gameZone, SubZones: formats(110001)}, {App: game, ID: gameZone2, SubZones: formats(120001)},
			{App: third, ID: thirdZone, SubZones: formats(210001)}, {App: plain, ID: plainZone, SubZones: formats(310001)},
		},
	}
	r.objects.AddSDKSources()
	r.open(sdkKey)
	return r
}

// open adds a door with the key, and returns its number.
func (r *rig) open(key [32]byte) int {
	d := New(Options{
		Events: r.events, Store: r.events, Ads: r.shelf, Key: key, Clock: r.clock.Now, Random: &bits{rng: rand.New(rand.NewPCG(r.rng.Uint64(), 1))},
		Client: func(q *http.Request) netip.Addr { return netip.MustParseAddrPort(q.RemoteAddr).Addr().Unmap() },
	})
	d.Use(r.objects)
	mux := http.NewServeMux()
	d.Register(mux)
	r.doors, r.muxes = append(r.doors, d), append(r.muxes, mux)
	return len(r.doors) - 1
}

// bits are random bytes of a seed, for several who take them at once.
type bits struct {
	mu  sync.Mutex
	rng *rand.Rand
}

func (b *bits) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range p {
		p[i] = byte(b.rng.Uint32())
	}
	return len(p), nil
}

// use puts changed objects in force, at every door.
func (r *rig) use(change func(o *carom.Objects)) {
	change(&r.objects)
	for _, d := range r.doors {
		d.Use(r.objects)
	}
}

// rules changes those of all zones.
func (r *rig) rules(change func(c *carom.ConfirmRules)) {
	r.use(func(o *carom.Objects) {
		o.Zones = slices.Clone(o.Zones)
		for i := range o.Zones {
			change(&o.Zones[i].Confirm)
		}
	})
}

// between is a time from least to most, to the millisecond.
func (r *rig) between(least, most time.Duration) time.Duration {
	return (least + time.Duration(r.rng.Int64N(int64(most-least)+1))).Truncate(time.Millisecond)
}

// pick is one of the list.
func pick[T any](r *rig, list ...T) T { return list[r.rng.IntN(len(list))] }

// user is the id of somebody at Telegram.
func (r *rig) user() string { return strconv.Itoa(1_000_000 + r.rng.IntN(8_000_000_000)) }

// address is one of the internet.
func (r *rig) address() string {
	if r.rng.IntN(3) == 0 {
		return fmt.Sprintf("2001:db8:%x:%x:%x::%x", r.rng.IntN(1<<16), r.rng.IntN(1<<16), r.rng.IntN(1<<16), 1+r.rng.IntN(1<<16-1))
	}
	return fmt.Sprintf("203.0.%d.%d", r.rng.IntN(256), r.rng.IntN(256))
}

// word is an id as apps make them.
func (r *rig) word() string { return fmt.Sprintf("%08x-%04x", r.rng.Uint32(), r.rng.IntN(1<<16)) }

// initData is what Telegram says to a Mini App of the user, whose id may be empty, at a moment.
func initData(user string, at time.Time) url.Values {
	fields := url.Values{"auth_date": {strconv.FormatInt(at.Unix(), 10)}, "query_id": {"AAHdF6IQ"}}
	if user != "" {
		fields.Set("user", `{"id":`+user+`,"first_name":"Влад + & = %","language_code":"ru"}`)
	}
	return fields
}

func lines(fields url.Values) string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		all = append(all, name+"="+fields.Get(name))
	}
	return strings.Join(all, "\n")
}

// signed adds the proof that a bot's token makes.
func signed(fields url.Values, token string) string {
	secret := hmac.New(sha256.New, []byte("WebAppData"))
	secret.Write([]byte(token))
	mac := hmac.New(sha256.New, secret.Sum(nil))
	mac.Write([]byte(lines(fields)))
	return fields.Encode() + "&hash=" + hex.EncodeToString(mac.Sum(nil))
}

// signedForThird adds the proof for those who do not hold the bot's token.
func signedForThird(fields url.Values, bot int64) string {
	text := strconv.FormatInt(bot, 10) + ":WebAppData\n" + lines(fields)
	return fields.Encode() + "&signature=" + base64.RawURLEncoding.EncodeToString(ed25519.Sign(botKey(), []byte(text)))
}

// page plays a page in a browser. What it measures comes from the rig's clock; each request takes its time on the way.
type page struct {
	r    *rig
	node int // the number of its door

	agent, language, address, origin string
	zone                             string
	format                           carom.Format
	ymid, requestVar                 string
	telegramID, initData             string
	width, height                    int
	automated                        bool
	drift                            float64 // how much faster than the server's its clock runs
	slowest                          time.Duration

	token  string // the one to present next
	ad     string // the token of the ad
	shown  time.Time
	seen   time.Duration // until the page was hidden
	since  time.Time     // when it became visible; zero while it is hidden
	hidden bool
}

// page opens one: somebody's, who has nothing odd.
func (r *rig) page() *page {
	return &page{
		r: r, agent: pick(r, people...), language: pick(r, "ru-RU,ru;q=0.9,en-US;q=0.8", "en-US,en;q=0.9", "fa-IR", "pt-BR,pt;q=0.9", "uz"),
		address: r.address(), origin: "https://game.example", zone: gameZone, format: carom.RewardedInterstitial,
		ymid: r.word(), requestVar: pick(r, "", "bonus-btn", "level_up"), width: pick(r, 240, 360, 390, 412, 1280), height: pick(r, 320, 640, 844, 915),
		slowest: 400 * time.Millisecond,
	}
}

// in puts the page into another app.
func (p *page) in(app string) *page {
	p.origin = "https://" + app + ".example"
	p.zone = map[string]string{game: gameZone, third: thirdZone, plain: plainZone}[app]
	return p
}

// travel is the time that a request or an answer takes.
func (p *page) travel() { p.r.clock.advance(p.r.between(0, p.slowest)) }

// answer is what a page gets.
type answer struct {
	status int
	header http.Header
	body   []byte

	problem problem
	offer   offer
	told    told
}

// post sends a body as browsers send it.
func (p *page) post(path string, body []byte) *answer {
	q := httptest.NewRequest(http.MethodPost, path, bytes.NewReader(body))
	q.RemoteAddr = netip.AddrPortFrom(netip.MustParseAddr(p.address), 40000).String()
	q.Header.Set("Content-Type", "text/plain;charset=UTF-8")
	q.Header.Set("User-Agent", p.agent)
	q.Header.Set("Accept-Language", p.language)
	if p.origin != "" {
		q.Header.Set("Origin", p.origin)
	}
	w := httptest.NewRecorder()
	p.r.muxes[p.node].ServeHTTP(w, q)
	a := &answer{status: w.Code, header: w.Header(), body: w.Body.Bytes()}
	var to any = &a.problem
	if a.status == http.StatusOK {
		to = &a.told
		if path == "/sdk/ad" {
			to = &a.offer
		}
	}
	if err := json.Unmarshal(a.body, to); err != nil {
		p.r.t.Errorf("POST %s answered %d with %q: %v", path, a.status, a.body, err)
	}
	return a
}

// wish is the body of the request for an ad.
func (p *page) wish() map[string]any {
	w := map[string]any{
		"zone": p.zone, "format": p.format, "visible": !p.hidden, "automated": p.automated, "width": p.width, "height": p.height, "sdk": "1.0.0",
	}
	for name, value := range map[string]string{"ymid": p.ymid, "request_var": p.requestVar, "telegram_id": p.telegramID, "init_data": p.initData} {
		if value != "" {
			w[name] = value
		}
	}
	return w
}

func marshal(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// ask asks for an ad.
func (p *page) ask() *answer {
	p.travel()
	a := p.post("/sdk/ad", marshal(p.wish()))
	if a.status == http.StatusOK && a.offer.Ad != nil {
		p.ad, p.token = a.offer.Ad.Token, a.offer.Ad.Token
	}
	p.travel()
	return a
}

// offered asks for an ad and has to get one.
func (p *page) offered() *answer {
	p.r.t.Helper()
	a := p.ask()
	if a.status != http.StatusOK || a.offer.Ad == nil {
		p.r.t.Fatalf("no ad for %+v: %d %s", p.wish(), a.status, a.body)
	}
	return a
}

// measure is what a page says of its ad, in a beacon. Tests change it to lie.
type measure struct {
	Shown   int64 `json:"shown_ms"`
	Seen    int64 `json:"visible_ms"`
	Share   int   `json:"share"`
	Trusted bool  `json:"trusted"`
	Visible bool  `json:"visible"`
}

// show makes the ad appear.
func (p *page) show() {
	p.shown, p.seen, p.since = p.r.clock.Now(), 0, time.Time{}
	if !p.hidden {
		p.since = p.shown
	}
}

// hide and back are what happens when the user goes to another tab and comes back.
func (p *page) hide() {
	p.seen, p.since, p.hidden = p.watched(), time.Time{}, true
}

func (p *page) back() { p.since, p.hidden = p.r.clock.Now(), false }

func (p *page) watched() time.Duration {
	if p.since.IsZero() {
		return p.seen
	}
	return p.seen + p.r.clock.Now().Sub(p.since)
}

// measure is the truth, as far as the page's clock tells.
func (p *page) measure() measure {
	ms := func(d time.Duration) int64 { return int64(float64(d.Milliseconds()) * (1 + p.drift)) }
	return measure{Shown: ms(p.r.clock.Now().Sub(p.shown)), Seen: ms(p.watched()), Share: 100, Visible: !p.hidden}
}

// clicked is what a page says when somebody clicks.
func (p *page) clicked() measure {
	m := p.measure()
	m.Trusted = true
	return m
}

// say sends a beacon with a token and numbers of its own, and nothing travels.
func (p *page) say(beacon, token string, m measure) *answer {
	body := map[string]any{
		"token": token, "beacon": beacon, "shown_ms": m.Shown, "visible_ms": m.Seen, "share": m.Share, "trusted": m.Trusted, "visible": m.Visible,
	}
	return p.post("/sdk/beacon", marshal(body))
}

// send sends a beacon with what was measured when it was sent, and takes over the token of a start's answer.
func (p *page) send(beacon string, m measure) *answer {
	p.travel()
	a := p.say(beacon, p.token, m)
	p.travel()
	if a.status == http.StatusOK && a.told.Token != "" {
		p.token = a.told.Token
	}
	return a
}

// begin shows the ad and says so.
func (p *page) begin() *answer {
	p.r.t.Helper()
	p.show()
	a := p.send(beaconStart, p.measure())
	if a.status != http.StatusOK || a.told.Token == "" {
		p.r.t.Fatalf("the start was answered %d %s", a.status, a.body)
	}
	return a
}

// watch lets time pass until the ad was visible for so long by the page's clock, and so long is at least what is asked for.
func (p *page) watch(d time.Duration) {
	left := d - p.watched()
	if p.drift != 0 {
		left = time.Duration(float64(d)/(1+p.drift)) - p.watched() + time.Millisecond
	}
	if left > 0 {
		p.r.clock.advance(left)
	}
}

// view is a whole honest view: ask, show, watch for a second and say so.
func (p *page) view() *answer {
	p.r.t.Helper()
	p.offered()
	p.begin()
	p.watch(time.Second)
	return p.send(beaconViewable, p.measure())
}

// check looks at what holds whatever anybody does: each showing has one impression and one click at most, with what was asked
// for and the ad's price, and what is declined costs nothing.
func (r *rig) check() {
	r.t.Helper()
	r.shelf.mu.Lock()
	defer r.shelf.mu.Unlock()
	seen := map[string]bool{}
	for _, s := range r.events.list("") {
		asked, known := r.shelf.asked[s.ExternalID]
		if !known {
			r.t.Errorf("an event of a showing that was never handed out: %+v", s.Event)
			continue
		}
		name := s.ExternalID + " " + string(s.Type)
		if seen[name] {
			r.t.Errorf("two events of one showing and type: %s", name)
		}
		seen[name] = true
		price := map[carom.EventType]carom.Nanos{carom.Impression: perImpression, carom.Click: perClick}[s.Type]
		if s.Value == carom.NotValued {
			price = 0
		}
		got := [...]any{s.App, s.ZoneID, s.SubZoneID, s.YMID, s.RequestVar, s.Price, s.owed, s.Value == carom.NotValued}
		want := [...]any{asked.Zone.App, asked.Zone.ID, asked.Zone.SubZones[asked.Format], asked.YMID, asked.RequestVar,
			carom.Price{Nanos: price, Set: true}, asked.Format.Sends(s.Type), s.declined() != ""}
		if got != want {
			r.t.Errorf("an event says %v, want %v", got, want)
		}
		if bytes.Contains(s.Received.Body, []byte("token")) {
			r.t.Errorf("the journal keeps a token: %s", s.Received.Body)
		}
	}
}
