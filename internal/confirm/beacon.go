package confirm

import (
	"context"
	"encoding/hex"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"carom"
)

// said is a beacon as a page sends it.
type said struct {
	Token   string `json:"token,omitempty"`
	Beacon  string `json:"beacon"`
	Shown   int64  `json:"shown_ms"`
	Seen    int64  `json:"visible_ms"`
	Share   int    `json:"share"`
	Trusted bool   `json:"trusted"`
	Visible bool   `json:"visible"`
}

// told is the answer to a beacon.
type told struct {
	Token string                `json:"token,omitempty"` // for the beacons that follow a start
	State carom.ViewState       `json:"state"`
	Value carom.RewardEventType `json:"reward_event_type,omitempty"`
	Price string                `json:"estimated_price,omitempty"`
}

// maxSaidMillis is longer than any showing lives.
const maxSaidMillis = int64(24 * time.Hour / time.Millisecond)

// beacon takes one beacon.
func (d *Door) beacon(w http.ResponseWriter, r *http.Request) {
	greet(w)
	var b said
	p := d.readBeacon(w, r, &b)
	var t *told
	outcome := beaconRefused
	if p == nil {
		t, outcome, p = d.take(r, &b)
	}
	if p != nil && p.Code == CodeLater {
		outcome = beaconLater
	}
	d.meter.beacons.WithLabelValues(b.word(), outcome).Inc()
	if p != nil {
		p.write(w)
		return
	}
	t.write(w)
}

// word is what the beacon says, from a closed set.
func (b *said) word() string {
	switch b.Beacon {
	case beaconStart, beaconViewable, beaconClick, beaconEnd:
		return b.Beacon
	}
	return "unknown"
}

func (b *said) check() *problem {
	switch {
	case b.word() != b.Beacon:
		return newProblem(CodeInvalid, "beacon", "it is none of start, viewable, click, end: send one of them")
	case b.Shown < 0 || b.Shown > maxSaidMillis || b.Seen < 0 || b.Seen > maxSaidMillis:
		return newProblem(CodeInvalid, "shown_ms", "shown_ms and visible_ms are milliseconds since the ad began: send what the SDK measures")
	case b.Share < 0 || b.Share > 100:
		return newProblem(CodeInvalid, "share", "it is a percentage: send a number from 0 to 100")
	}
	return nil
}

// take checks a beacon's token and place in the order, and settles what it says.
func (d *Door) take(r *http.Request, b *said) (*told, string, *problem) {
	if p := b.check(); p != nil {
		return nil, beaconRefused, p
	}
	if b.Token == "" {
		return nil, beaconRefused, newProblem(CodeToken, "token", "it is missing: send the one that came with the ad, or with the answer to its start")
	}
	s, ok := d.sealer.open(b.Token)
	if !ok {
		return nil, beaconRefused, newProblem(CodeToken, "token", "it is not one of this server's, or was altered: send the one that came with the ad, or with the answer to its start")
	}
	c := d.catalog.Load()
	a := c.apps[s.app]
	if a == nil || a.source == "" {
		return nil, beaconRefused, newProblem(CodeZone, "token", "its app shows no ads any more")
	}
	if p := a.shut(r.Header.Get("Origin")); p != nil {
		return nil, beaconRefused, p
	}
	now := d.opts.Clock().UTC().Truncate(time.Millisecond)
	if p := s.usable(b.Beacon, now); p != nil {
		return nil, beaconRefused, p
	}
	f := &facts{
		beacon: b.Beacon, now: now, showing: s, browserNow: browserSum(r), from: d.opts.Client(r),
		shown: time.Duration(b.Shown) * time.Millisecond, seen: time.Duration(b.Seen) * time.Millisecond,
		share: b.Share, trusted: b.Trusted, visible: b.Visible,
	}
	switch b.Beacon {
	case beaconStart:
		return d.start(r, c, f, b)
	case beaconClick:
		return d.click(r.Context(), c, f, d.received(r, f, b))
	}
	return d.shown(r.Context(), c, f, d.received(r, f, b))
}

// usable refuses a token at the wrong time or in the wrong order.
func (s *showing) usable(beacon string, now time.Time) *problem {
	began := !s.started.IsZero()
	switch {
	case beacon == beaconStart && began:
		return newProblem(CodeOrder, "token", "the ad has started already: send start with the token that came with the ad")
	case beacon != beaconStart && !began:
		return newProblem(CodeOrder, "token", "the ad has not started: send start first, and then the token of its answer")
	case !began && now.Sub(s.issued) > AdLife, began && now.Sub(s.started) > ShowLife:
		return newProblem(CodeExpired, "token", "it is too old: ask for a new ad")
	}
	return nil
}

// start notes that an ad began. Where the zone does not ask for how long it is visible, that settles its impression.
func (d *Door) start(r *http.Request, c *catalog, f *facts, b *said) (*told, string, *problem) {
	began := f.showing
	began.started = f.now
	t := &told{Token: d.sealer.seal(&began), State: carom.ViewOpen}
	rules := c.rulesOf(&f.showing)
	if rules.Viewable > 0 {
		if !d.showings.begin(f.id, t.Token, f.now) {
			return nil, beaconLater, later()
		}
		return t, beaconNoted, nil
	}
	settled, outcome, p := d.shown(r.Context(), c, f, d.received(r, f, b))
	if p != nil {
		return nil, outcome, p
	}
	settled.Token = t.Token
	return settled, outcome, nil
}

// shown settles the impression, unless that was done before.
func (d *Door) shown(ctx context.Context, c *catalog, f *facts, rc carom.Received) (*told, string, *problem) {
	claim, first, done := d.showings.claim(f.id)
	if first {
		return d.tell(d.impression(ctx, c, f, rc, claim))
	}
	if done != nil {
		select {
		case <-done:
		case <-ctx.Done():
			return nil, beaconLater, later()
		}
	}
	if claim.failed {
		return nil, beaconLater, later()
	}
	t, _, p := d.tell(claim.outcome, nil)
	return t, beaconRepeated, p
}

// tell makes the answer of what an event came to.
func (d *Door) tell(o outcome, p *problem) (*told, string, *problem) {
	if p != nil {
		return nil, beaconLater, p
	}
	t := &told{State: carom.ViewConfirmed, Value: o.value, Price: o.price.String()}
	outcome := beaconConfirmed
	if o.value != carom.Valued {
		t.State, outcome = carom.ViewDeclined, beaconDeclined
	}
	if o.repeated {
		outcome = beaconRepeated
	}
	return t, outcome, nil
}

// impression settles a claimed showing.
func (d *Door) impression(ctx context.Context, c *catalog, f *facts, rc carom.Received, claim *claim) (outcome, *problem) {
	ended := false
	defer func() {
		if !ended { // a panic of this one request: the next one who asks claims it anew
			d.showings.drop(f.id, claim, f.now, true)
		}
	}()
	o, p := d.decide(ctx, c, f, rc, carom.Impression)
	if ended = true; p != nil {
		d.showings.drop(f.id, claim, f.now, p.Code == CodeLater)
		return o, p
	}
	d.showings.settle(f.id, claim, o, f.now)
	return o, nil
}

func (d *Door) click(ctx context.Context, c *catalog, f *facts, rc carom.Received) (*told, string, *problem) {
	o, p := d.decide(ctx, c, f, rc, carom.Click)
	return d.tell(o, p)
}

// decide judges what happened, has the event stored, and says what it came to. What was stored before stays as it was.
func (d *Door) decide(ctx context.Context, c *catalog, f *facts, rc carom.Received, kind carom.EventType) (outcome, *problem) {
	a := c.apps[f.app]
	if a == nil || a.source == "" {
		return outcome{}, newProblem(CodeZone, "token", "its app shows no ads any more")
	}
	rules := c.rulesOf(&f.showing)
	reasons := judge(f, &rules)
	counted, over := d.count(f, &rules, kind, len(reasons) == 0)
	reasons = append(reasons, over...)
	ev := f.event(a, kind, reasons)
	ev.Received = rc
	// The source is no part of it: it may get another name while an ad is shown.
	key := carom.DedupeKey{Sum: carom.SumOf("sdk", a.name, string(f.id[:]), string(kind)), Window: carom.DefaultDedupeWindow}
	receipt, err := d.opts.Events.Confirm(ctx, ev, key, f.started, f.format.Sends(kind))
	if err != nil || receipt.Duplicate {
		for _, n := range counted {
			d.rates.undo(n)
		}
	}
	switch {
	case errors.Is(err, carom.ErrNotFound):
		return outcome{}, newProblem(CodeZone, "token", "its app shows no ads any more")
	case err != nil:
		return outcome{}, later()
	case receipt.Duplicate:
		first, err := d.opts.Store.Event(ctx, receipt.ID)
		if err != nil {
			d.opts.Log.LogAttrs(ctx, slog.LevelWarn, "a beacon's first event cannot be read", slog.String("event_id", string(receipt.ID)), slog.Any("error", err))
			return outcome{}, later()
		}
		return outcome{first.Value, first.Price, true}, nil
	}
	for _, reason := range reasons {
		d.meter.declined.WithLabelValues(string(reason)).Inc()
	}
	return outcome{value: ev.Value, price: ev.Price}, nil
}

// count counts one more event of the user, the device and the address, and says which limits that is over. What is declined
// for another reason counts as well where it shows how busy somebody is, but not against the frequency cap.
func (d *Door) count(f *facts, r *carom.ConfirmRules, kind carom.EventType, valued bool) (counted []count, over []Reason) {
	if r.PerUser.Views < 0 && r.PerDevice.Views < 0 && r.PerAddress.Views < 0 && r.FrequencyCap.Views < 0 {
		return nil, nil
	}
	scope, device := f.app+"\x00"+string(kind), deviceOf(f.client, f.browser)
	take := func(reason Reason, limit carom.ViewLimit, name string) {
		c, ok := d.rates.take(limit, f.now, string(reason), scope, name)
		if !ok {
			over = append(over, reason)
			return
		}
		counted = append(counted, c)
	}
	user := f.telegramID
	switch {
	case f.user == userProven: // apart from those who only say that they are this user
		user = "proven " + user
	case user == "":
		user = "device " + device // nobody says who it is
	}
	take(RateUser, r.PerUser, user)
	take(RateDevice, r.PerDevice, device)
	take(RateAddress, r.PerAddress, string(networkOf(f.client).AsSlice()))
	if valued && len(over) == 0 {
		take(FrequencyCap, r.FrequencyCap, user)
	}
	return counted, over
}

// event makes the event of what happened.
func (f *facts) event(a *app, kind carom.EventType, reasons []Reason) *carom.Event {
	ev := &carom.Event{
		App: a.name, Source: a.source, Network: carom.ProfileSDK, Type: kind, Value: carom.Valued, YMID: f.ymid, ZoneID: f.zone,
		SubZoneID: f.subZone, RequestVar: f.requestVar, TelegramID: f.telegramID, ExternalID: showingID(f.id),
		Strength: carom.Signed, Fields: make([]carom.Field, 0, 5),
	}
	price := f.prices[0]
	if kind == carom.Click {
		price = f.prices[1]
	}
	if len(reasons) > 0 {
		ev.Value, price = carom.NotValued, 0
	}
	ev.Price = carom.Price{Nanos: price, Set: true}
	if f.flags&flagYMIDIsUser != 0 {
		ev.Flags |= carom.FlagYMIDAsUser
	}
	note := func(name, value string) {
		if value != "" {
			ev.Fields = append(ev.Fields, carom.Field{Name: name, Value: value})
		}
	}
	note("format", string(f.format))
	note("creative", f.creative)
	if f.flags&flagFromServer != 0 {
		note("ad_from", "ad_server")
	}
	note("init_data", f.user.word())
	note(carom.FieldDeclined, join(reasons))
	return ev
}

// showingID is how a showing is named outside of its token.
func showingID(id [16]byte) string { return "ad_" + hex.EncodeToString(id[:]) }

// received is the beacon as the journal keeps it: without its token, whose content is in the event.
func (d *Door) received(r *http.Request, f *facts, b *said) carom.Received {
	return carom.Received{
		At: f.now, Method: http.MethodPost, Path: r.URL.Path, ContentType: "application/json", Client: f.from, Body: b.append(make([]byte, 0, 128)),
	}
}
