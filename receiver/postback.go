package receiver

import (
	"encoding/json"
	"fmt"
	"mime"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"carom"
)

// Postback is what carom sent, decoded. What the sent postback did not hold is empty.
//
// YMID and RequestVar passed through the user's browser: they name a view, and are no proof of anything.
type Postback struct {
	DeliveryID carom.DeliveryID // the same at every attempt
	EventID    carom.EventID
	App        string // the names of app and source in carom's objects, and of the network's profile
	Source     string
	Network    string

	Type       carom.EventType
	Value      carom.RewardEventType // only carom.Valued is paid for by the network
	YMID       string
	ZoneID     string
	SubZoneID  string
	RequestVar string
	TelegramID string
	UserID     string      // the user as the network names them
	ExternalID string      // the id that a trusted server gave, or the network's transaction
	Price      carom.Price // the network's estimate, exact; absent when there was none
	ReceivedAt time.Time   // when carom accepted the event, UTC; zero when it was not sent

	Test   bool              // a test, which is never granted: see [Options]
	Fields map[string]string // the event's further fields; of a GET or a form, the parameters that have no other place
	Reward *Reward           // set when this is about a reward that carom's rules made; nil for an event
}

// Reward is what a view entitles its user to by carom's rules, or what is taken back.
//
// A granted reward and its reversal have one ID and one amount. The app adds Amount to the user's balance when it is
// granted and takes it off when it is reversed, in whichever order the two arrive.
type Reward struct {
	ID       carom.RewardID
	Rule     string
	Amount   carom.Nanos // never negative
	Currency string      // one of the app's currencies in carom's objects
	User     string
	State    carom.RewardState // carom.RewardGranted or carom.RewardReversed
}

// Key names what is granted once: the delivery id of an event; the reward's id and state where it is about a reward, so that
// a reward that reaches the app by two ways counts once, and its reversal still counts.
func (p *Postback) Key() string {
	if p.Reward != nil {
		return string(p.Reward.ID) + " " + string(p.Reward.State)
	}
	return string(p.DeliveryID)
}

// envelope is the body of a POST, as carom writes it where the endpoint has no template for it.
type envelope struct {
	Type string `json:"type"`
	Data *struct {
		EventID    carom.EventID         `json:"event_id"`
		DeliveryID carom.DeliveryID      `json:"delivery_id"`
		App        string                `json:"app"`
		Source     string                `json:"source"`
		Network    string                `json:"network"`
		EventType  carom.EventType       `json:"event_type"`
		Value      carom.RewardEventType `json:"reward_event_type"`
		YMID       string                `json:"ymid"`
		ZoneID     string                `json:"zone_id"`
		SubZoneID  string                `json:"sub_zone_id"`
		RequestVar string                `json:"request_var"`
		TelegramID string                `json:"telegram_id"`
		UserID     string                `json:"user_id"`
		ExternalID string                `json:"external_id"`
		Price      string                `json:"estimated_price"`
		ReceivedAt int64                 `json:"received_at"`
		Fields     map[string]string     `json:"fields"`
		Test       bool                  `json:"test"`
		Reward     *struct {
			ID       carom.RewardID    `json:"id"`
			Rule     string            `json:"rule"`
			Amount   json.Number       `json:"amount"` // also takes a number in quotes, as carom writes it
			Currency string            `json:"currency"`
			User     string            `json:"user"`
			State    carom.RewardState `json:"state"`
		} `json:"reward"`
	} `json:"data"`
}

// decodePOST reads a body that was verified. id is the delivery id of the signed headers.
func decodePOST(contentType string, body []byte, id string) (Postback, error) {
	if media, _, err := mime.ParseMediaType(contentType); err == nil && media == "application/x-www-form-urlencoded" {
		p, err := decodeForm(string(body))
		if err == nil {
			err = sameDelivery(&p, id)
		}
		return p, err
	}
	var e envelope
	if err := json.Unmarshal(body, &e); err != nil || e.Data == nil {
		return Postback{}, carom.Invalid("body", "it is not the JSON that carom sends by itself: "+
			"remove the endpoint's own `body`, or take it with your own code")
	}
	d := e.Data
	p := Postback{
		DeliveryID: d.DeliveryID, EventID: d.EventID, App: d.App, Source: d.Source, Network: d.Network,
		Type: d.EventType, Value: d.Value, YMID: d.YMID, ZoneID: d.ZoneID, SubZoneID: d.SubZoneID, RequestVar: d.RequestVar,
		TelegramID: d.TelegramID, UserID: d.UserID, ExternalID: d.ExternalID, Test: d.Test, Fields: d.Fields,
	}
	if d.ReceivedAt != 0 {
		p.ReceivedAt = time.Unix(d.ReceivedAt, 0).UTC()
	}
	var err error
	if p.Price, err = parsePrice(d.Price); err != nil {
		return Postback{}, err
	}
	if err := sameDelivery(&p, id); err != nil {
		return Postback{}, err
	}
	if event, ok := strings.CutPrefix(e.Type, "event."); ok && d.Reward == nil && event == string(d.EventType) && event != "" {
		return p, nil
	}
	state := carom.RewardState(strings.TrimPrefix(e.Type, "reward."))
	if e.Type != "reward.granted" && e.Type != "reward.reversed" || d.Reward == nil || d.Reward.State != state {
		return Postback{}, carom.Invalid("type", "%q does not go with the rest of the body: a newer carom may send what this "+
			"version of the package does not know, so update it", clip(e.Type))
	}
	p.Reward = &Reward{d.Reward.ID, d.Reward.Rule, 0, d.Reward.Currency, d.Reward.User, state}
	if p.Reward.Amount, err = parseAmount("data.reward.amount", d.Reward.Amount.String()); err != nil {
		return Postback{}, err
	}
	if !p.Reward.complete() {
		return Postback{}, carom.Invalid("data.reward", "id, user or currency is missing, so it cannot be granted")
	}
	return p, nil
}

// complete says whether r names what has to be known to grant it once.
func (r *Reward) complete() bool { return r.ID != "" && r.User != "" && r.Currency != "" }

func parseAmount(field, text string) (carom.Nanos, error) {
	amount, truncated, err := carom.ParseNanos(text)
	if err != nil || truncated || amount < 0 {
		return 0, carom.Invalid(field, "%q is not an amount of at most nine decimals", clip(text))
	}
	return amount, nil
}

// sameDelivery takes the delivery id from the signed headers where the body does not hold it, and refuses another one.
func sameDelivery(p *Postback, id string) error {
	if p.DeliveryID == "" {
		p.DeliveryID = carom.DeliveryID(id)
	}
	if string(p.DeliveryID) != id {
		return carom.Invalid("delivery_id", "the body names another delivery than the header %s: remove it from the template", HeaderID)
	}
	return nil
}

// decodeGET reads a query that was verified, without its signature. Parameters are known by the names of carom's macros.
//
// test has to be there, be it empty: a template that leaves it out would have tests paid for.
func decodeGET(query string) (Postback, error) {
	p, err := decodeForm(query)
	if err != nil {
		return Postback{}, err
	}
	if p.DeliveryID == "" {
		return Postback{}, carom.Invalid("delivery_id", "it is missing: put &delivery_id={delivery_id} into the endpoint's URL")
	}
	if !slices.ContainsFunc(strings.Split(query, "&"), func(s string) bool { return strings.HasPrefix(s, "test=") }) {
		return Postback{}, carom.Invalid("test", "it is missing, so tests would be paid for: put &test={test} into the endpoint's URL")
	}
	return p, nil
}

// decodeForm reads a query or a form whose parameters are named like the macros that they hold.
func decodeForm(text string) (Postback, error) {
	values, err := url.ParseQuery(text)
	if err != nil {
		return Postback{}, carom.Invalid("query", "it is not percent-encoded: correct the literal text of the endpoint's template")
	}
	p := Postback{}
	places := map[string]*string{
		"delivery_id": (*string)(&p.DeliveryID), "event_id": (*string)(&p.EventID),
		"app": &p.App, "source": &p.Source, "network": &p.Network,
		"event_type": (*string)(&p.Type), "reward_event_type": (*string)(&p.Value),
		"ymid": &p.YMID, "zone_id": &p.ZoneID, "sub_zone_id": &p.SubZoneID, "request_var": &p.RequestVar,
		"telegram_id": &p.TelegramID, "user_id": &p.UserID, "external_id": &p.ExternalID,
	}
	var price, test, seconds, millis, amount string
	places["estimated_price"], places["test"], places["received_at"], places["received_at_ms"] = &price, &test, &seconds, &millis
	if values.Has("reward_id") { // without it, these are names that an operator chose, such as that of a field of the network
		p.Reward = &Reward{}
		places["reward_id"], places["reward_rule"], places["reward_amount"] = (*string)(&p.Reward.ID), &p.Reward.Rule, &amount
		places["reward_currency"], places["reward_user"] = &p.Reward.Currency, &p.Reward.User
		places["reward_state"] = (*string)(&p.Reward.State)
	}
	for name, sent := range values {
		if len(sent) > 1 {
			return Postback{}, carom.Invalid(clip(name), "it is there more than once: remove one from the endpoint's template")
		}
		if place, ok := places[name]; ok {
			*place = sent[0]
			continue
		}
		if p.Fields == nil {
			p.Fields = map[string]string{}
		}
		p.Fields[name] = sent[0]
	}
	p.Test = test != ""
	if p.Reward != nil {
		if err := p.Reward.checkForm(amount); err != nil {
			return Postback{}, err
		}
	}
	if p.Price, err = parsePrice(price); err != nil {
		return Postback{}, err
	}
	if p.ReceivedAt, err = parseTime(seconds, millis); err != nil {
		return Postback{}, err
	}
	return p, nil
}

// checkForm checks a reward that came in parameters, and reads its amount.
func (r *Reward) checkForm(amount string) (err error) {
	if r.State != carom.RewardGranted && r.State != carom.RewardReversed {
		return carom.Invalid("reward_state", "%q is neither granted nor reversed: put &reward_state={reward_state} into the endpoint's URL",
			clip(string(r.State)))
	}
	if !r.complete() {
		return carom.Invalid("reward_id", "the id, reward_user or reward_currency is missing, so it cannot be granted: "+
			"put &reward_user={reward_user}&reward_currency={reward_currency} into the endpoint's URL")
	}
	r.Amount, err = parseAmount("reward_amount", amount)
	return err
}

func parsePrice(text string) (carom.Price, error) {
	if text == "" {
		return carom.Price{}, nil
	}
	n, truncated, err := carom.ParseNanos(text)
	if err != nil || truncated {
		return carom.Price{}, carom.Invalid("estimated_price", "%q is not a price of at most nine decimals", clip(text))
	}
	return carom.Price{Nanos: n, Set: true}, nil
}

// parseTime reads unix seconds or, where they are there, the finer milliseconds.
func parseTime(seconds, millis string) (time.Time, error) {
	text, unit := seconds, int64(time.Second/time.Millisecond)
	if millis != "" {
		text, unit = millis, 1
	}
	if text == "" {
		return time.Time{}, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 || n > maxMillis/unit {
		return time.Time{}, fmt.Errorf("received_at: %q is not a unix time: %w", clip(text), carom.ErrInvalid)
	}
	return time.UnixMilli(n * unit).UTC(), nil
}

// maxMillis is the end of the year 9999: what lies behind it is no moment that carom has seen.
const maxMillis = 253402300799999

// clip shortens text of a template for an error.
func clip(s string) string {
	if len(s) > 40 {
		return s[:40] + "…"
	}
	return s
}
