package api

import (
	"context"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"carom"
)

// Event is a verified ad action as /v1 shows it.
type Event struct {
	ID              carom.EventID     `json:"id"`
	At              time.Time         `json:"at" doc:"When it was received"`
	App             string            `json:"app"`
	Source          string            `json:"source"`
	Network         string            `json:"network"`
	EventType       string            `json:"event_type"`
	RewardEventType string            `json:"reward_event_type" doc:"valued, not_valued, unknown; empty when the network did not say"`
	YMID            string            `json:"ymid"`
	ZoneID          string            `json:"zone_id"`
	SubZoneID       string            `json:"sub_zone_id"`
	RequestVar      string            `json:"request_var"`
	TelegramID      string            `json:"telegram_id"`
	UserID          string            `json:"user_id,omitempty" doc:"The user as the network names them, where that is not a Telegram id"`
	EstimatedPrice  string            `json:"estimated_price" doc:"The network's estimate, decimal; empty when there is none"`
	ExternalID      string            `json:"external_id,omitempty" doc:"The id that a trusted server reported, or the network's transaction"`
	Fields          map[string]string `json:"fields,omitempty" doc:"Further parameters by the network's names"`
	Flags           []string          `json:"flags,omitempty" nullable:"false" doc:"Oddities that did not stop it"`
	Held            string            `json:"held,omitempty" doc:"Why it is held; empty when it is not"`
	Strength        string            `json:"strength" doc:"How strongly it was verified: signed, secret or address"`
	View            carom.ViewID      `json:"view,omitempty" doc:"Of a view that was opened, or that its ymid shares with others"`
	Origin          string            `json:"origin,omitempty" doc:"The held event or refused postback that was reprocessed to make it"`
}

// Received is the raw request that an event or a refusal came from. Its path shows no secret.
type Received struct {
	At          time.Time     `json:"at"`
	Method      string        `json:"method"`
	Path        string        `json:"path"`
	Query       string        `json:"query" doc:"As sent, undecoded"`
	ContentType string        `json:"content_type,omitempty"`
	Headers     []carom.Field `json:"headers,omitempty" nullable:"false"`
	Body        string        `json:"body,omitempty" doc:"The body when it is text"`
	BodyBytes   []byte        `json:"body_bytes,omitempty" doc:"The body in base64 when it is not text"`
	Client      string        `json:"client" doc:"The sender's address"`
}

// Story is everything that is known about one event.
type Story struct {
	Event      Event      `json:"event"`
	Received   Received   `json:"received"`
	Proof      *Proof     `json:"proof,omitempty" doc:"What its network's proofs rest on; absent for events that a trusted server reported"`
	Outcome    string     `json:"outcome" doc:"What became of it, in words"`
	Deliveries []Delivery `json:"deliveries" nullable:"false"`

	Decided       []Decided     `json:"decided,omitempty" nullable:"false" doc:"What became of the rules that count it, and of the rewards that it changed"`
	ReprocessedAs carom.EventID `json:"reprocessed_as,omitempty" doc:"Of a held event: the event that reprocessing made of it"`
}

// Proof says what speaks for the events of a network.
type Proof struct {
	Evidence   string   `json:"evidence" doc:"vector, formula only or secret only: see the page of the network"`
	Covered    []string `json:"covered" nullable:"false" doc:"Fields that nobody without the network's key can have altered"`
	NotCovered []string `json:"not_covered" nullable:"false" doc:"Fields that whoever saw one postback could have altered"`
}

// Delivery is one event or reward owed to one endpoint, with its attempts, oldest first.
type Delivery struct {
	ID       carom.DeliveryID    `json:"id"`
	Reward   carom.RewardID      `json:"reward,omitempty" doc:"The reward that it is about; absent when it is about the event"`
	Endpoint string              `json:"endpoint" doc:"app/endpoint; #7 when the endpoint is deleted"`
	State    carom.DeliveryState `json:"state" enum:"pending,delivered,dead,expired"`
	Due      time.Time           `json:"due,omitzero" doc:"When the next attempt is due"`
	Attempts []Attempt           `json:"attempts" nullable:"false"`
}

// Attempt is one HTTP exchange made for a delivery, or its end without one.
type Attempt struct {
	Number int                 `json:"number"`
	At     time.Time           `json:"at"`
	TookMS float64             `json:"took_ms"`
	State  carom.DeliveryState `json:"state"`
	Due    time.Time           `json:"due,omitzero"`
	Reason string              `json:"reason,omitempty"`
	Flags  []string            `json:"flags,omitempty" nullable:"false"`
	Method string              `json:"method,omitempty"`
	URL    string              `json:"url,omitempty" doc:"As sent, secrets masked"`
	Sent   string              `json:"sent,omitempty" doc:"The body as sent, secrets masked"`
	Status int                 `json:"status,omitempty" doc:"0 or absent: no answer came"`
	Answer string              `json:"answer,omitempty"`
}

// EventList is a page of events, newest first.
type EventList struct {
	Events []Event       `json:"events" nullable:"false"`
	Next   carom.EventID `json:"next,omitempty" doc:"Give it as before to get the next page; absent on the last one. A page may be short, even empty, and have one: each looks at so many events"`
}

// EventOf is how the API shows an event.
func EventOf(e *carom.Event) Event {
	v := Event{
		ID: e.ID, At: e.At.UTC(), App: e.App, Source: e.Source, Network: e.Network,
		EventType: string(e.Type), RewardEventType: string(e.Value),
		YMID: e.YMID, ZoneID: e.ZoneID, SubZoneID: e.SubZoneID, RequestVar: e.RequestVar, TelegramID: e.TelegramID, UserID: e.UserID,
		EstimatedPrice: e.Price.String(), ExternalID: e.ExternalID,
		Flags: e.Flags.Names(), Held: e.Held, Strength: string(e.Strength), View: e.View, Origin: e.Origin,
	}
	if len(e.Fields) > 0 {
		v.Fields = make(map[string]string, len(e.Fields))
		for _, f := range e.Fields {
			v.Fields[f.Name] = f.Value
		}
	}
	return v
}

func receivedOf(r *carom.Received) Received {
	v := Received{
		At: r.At.UTC(), Method: r.Method, Path: r.Path, Query: r.RawQuery, ContentType: r.ContentType, Headers: r.Header,
	}
	if r.Client.IsValid() {
		v.Client = r.Client.String()
	}
	if utf8.Valid(r.Body) {
		v.Body = string(r.Body)
	} else {
		v.BodyBytes = r.Body
	}
	return v
}

func storyOf(st *carom.Story) Story {
	v := Story{Event: EventOf(st.Event), Received: receivedOf(&st.Event.Received), Deliveries: []Delivery{}, Decided: decidedOf(st.Event.Decided)}
	for _, d := range st.Deliveries {
		dv := Delivery{ID: d.ID, Reward: d.Reward, Endpoint: d.Endpoint, State: d.State, Due: d.Due, Attempts: []Attempt{}}
		for _, a := range d.Attempts {
			dv.Attempts = append(dv.Attempts, attemptOf(&a))
		}
		v.Deliveries = append(v.Deliveries, dv)
	}
	v.Outcome = outcome(st)
	return v
}

// plural writes a number with its noun: "1 endpoint", "3 endpoints", "2 deliveries".
func plural[N int | int64](n N, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	if stem, ok := strings.CutSuffix(noun, "y"); ok {
		return fmt.Sprintf("%d %sies", n, stem)
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// Selection is the app and the source that a list is limited to. It is exported because huma reads only exported fields.
type Selection struct {
	App    string `query:"app" doc:"Only this app"`
	Source string `query:"source" doc:"Only this source: its name together with app, or app/source"`
}

// resolve checks the selection against what the caller may see.
func (sel Selection) resolve(c caller) (app, source string, err error) {
	app, source = sel.App, sel.Source
	if a, s, ok := strings.Cut(source, "/"); ok {
		if app != "" && app != a {
			return "", "", carom.Invalid("source", "the source %q is not of the app %q: give one of the two", source, app)
		}
		app, source = a, s
	}
	if app, err = c.narrow(app); err != nil {
		return "", "", err
	}
	if source != "" && app == "" {
		return "", "", carom.Invalid("source", "the name %q alone may be in several apps: write app/%s", source, source)
	}
	return app, source, nil
}

type eventsIn struct {
	Selection
	Span
	YMID       string `query:"ymid"`
	User       string `query:"user" doc:"The telegram_id, or the user_id where there is none"`
	Zone       string `query:"zone" doc:"The zone_id"`
	SubZone    string `query:"sub_zone" doc:"The sub_zone_id"`
	RequestVar string `query:"request_var"`
	EventType  string `query:"event_type"`
	Network    string `query:"network" doc:"The name of the network's profile"`
	Outcome    string `query:"outcome" enum:"accepted,held,unmatched" doc:"accepted: owed to an endpoint; unmatched: to none; held: waits for your release"`
	Before     string `query:"before" doc:"The cursor: only events older than the one with this id"`
	Limit      int    `query:"limit" minimum:"1" maximum:"1000" default:"50"`
}

type eventsOut struct{ Body EventList }

func (s *service) listEvents(ctx context.Context, in *eventsIn) (*eventsOut, error) {
	app, source, err := in.resolve(callerOf(ctx))
	if err != nil {
		return nil, err
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	before, err := eventCursor(in.Before)
	if err != nil {
		return nil, err
	}
	events, next, err := s.Store.FindEvents(ctx, carom.EventFilter{
		App: app, Source: source, YMID: in.YMID, User: in.User, Zone: in.Zone, SubZone: in.SubZone, RequestVar: in.RequestVar, EventType: carom.EventType(in.EventType),
		Network: in.Network, Outcome: in.Outcome, Since: in.From, To: in.To, Before: before, Limit: in.Limit,
	})
	if err != nil {
		return nil, fmt.Errorf("list events: %w", err)
	}
	out := &eventsOut{EventList{Events: []Event{}, Next: next}}
	for _, e := range events {
		out.Body.Events = append(out.Body.Events, EventOf(e))
	}
	return out, nil
}

type eventIn struct {
	ID string `path:"event_id" example:"evt_0c5g21r0000010000000k"`
}

type storyOut struct{ Body Story }

func (s *service) getEvent(ctx context.Context, in *eventIn) (*storyOut, error) {
	st, err := s.story(ctx, carom.EventID(in.ID))
	if err != nil {
		return nil, err
	}
	out := &storyOut{s.showStory(st)}
	out.Body.ReprocessedAs, err = s.reprocessedAs(ctx, st.Event)
	return out, err
}

// showStory is a story with what its network's proofs rest on.
func (s *service) showStory(st *carom.Story) Story {
	v := storyOf(st)
	if p := s.Profiles[st.Event.Network]; p != nil {
		v.Proof = &Proof{Evidence: p.Evidence, Covered: []string{}, NotCovered: p.NotCovered()}
		for _, field := range p.Fields() {
			if p.Covered(field) {
				v.Proof.Covered = append(v.Proof.Covered, field)
			}
		}
	}
	return v
}

// story gets the story of an event that the caller may see.
func (s *service) story(ctx context.Context, id carom.EventID) (*carom.Story, error) {
	if _, _, err := id.Place(); err != nil {
		return nil, carom.Invalid("event_id", "this is not an event id: one begins with evt_ and has 25 characters")
	}
	st, err := s.Store.Story(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("get event %s: %w", id, err)
	}
	if !callerOf(ctx).sees(st.Event.App) {
		return nil, fmt.Errorf("event %s is of another app: %w", id, carom.ErrNotFound)
	}
	return st, nil
}
