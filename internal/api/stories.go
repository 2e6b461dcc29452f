package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"carom"
)

// WholeStory is all that belongs together with one id: a view with its events, what they earned, what was sent for them.
type WholeStory struct {
	Kind     string        `json:"kind" enum:"event,delivery,view,reward,received"`
	ID       string        `json:"id"`
	App      string        `json:"app"`
	Title    string        `json:"title"`
	Words    string        `json:"words" doc:"How it stands, in words"`
	View     *ViewRow      `json:"view,omitempty" doc:"The view, when it was opened beforehand"`
	Events   []Story       `json:"events" nullable:"false" doc:"Of the view, oldest first; at most 20"`
	Rewards  []RewardStory `json:"rewards" nullable:"false" doc:"What they earned, oldest first"`
	Received *Refusal      `json:"received,omitempty" doc:"The refused postback, of a story of one"`
	Timeline []Moment      `json:"timeline" nullable:"false" doc:"What happened, in order"`
	Related  []string      `json:"related" nullable:"false" doc:"The ids of everything in it but its own"`
}

// Moment is one thing that happened.
type Moment struct {
	At    time.Time `json:"at"`
	Kind  string    `json:"kind" enum:"opened,expired,event,decided,refused,sent,ended,due,credited,debited"`
	Words string    `json:"words"`
	Ref   string    `json:"ref,omitempty" doc:"The id that it is about"`
}

// Bounds of one story.
const (
	storyEvents = 20 // events that are told
	storyFind   = 50 // events of a ymid or a user that are looked at
)

type wholeStoryIn struct {
	ID string `path:"id" doc:"The id of an event, a delivery, a view, a reward or a refused postback" example:"evt_0c5g21r0000010000000k"`
}

type wholeStoryOut struct{ Body WholeStory }

// getStory tells all that belongs together with one id.
func (s *service) getStory(ctx context.Context, in *wholeStoryIn) (*wholeStoryOut, error) {
	t := &teller{s: s, ctx: ctx, events: map[carom.EventID]*carom.Story{}, rewards: map[carom.RewardID]RewardStory{}}
	t.ID = in.ID
	var err error
	prefix, _, _ := strings.Cut(in.ID, "_")
	switch prefix {
	case "evt":
		err = t.ofEvent(carom.EventID(in.ID))
	case "dlv":
		err = t.ofDelivery(carom.DeliveryID(in.ID))
	case "vw":
		err = t.ofView(carom.ViewID(in.ID))
	case "rwd":
		err = t.ofReward(carom.RewardID(in.ID))
	case "rcv":
		err = t.ofReceived(carom.ReceivedID(in.ID))
	default:
		err = carom.Invalid("id", "this is no id that has a story: one begins with evt_, dlv_, vw_, rwd_ or rcv_")
	}
	if err == nil {
		err = t.tell()
	}
	if err != nil {
		return nil, err
	}
	return &wholeStoryOut{t.WholeStory}, nil
}

// teller gathers one story.
type teller struct {
	WholeStory
	s       *service
	ctx     context.Context
	view    *carom.View // that was opened
	events  map[carom.EventID]*carom.Story
	rewards map[carom.RewardID]RewardStory
}

func (t *teller) ofEvent(id carom.EventID) error {
	st, err := t.s.story(t.ctx, id)
	if err != nil {
		return err
	}
	t.Kind, t.Title, t.Words = "event", eventTitle(st.Event), outcome(st)
	return t.around(st)
}

func (t *teller) ofDelivery(id carom.DeliveryID) error {
	st, i, err := t.s.delivery(t.ctx, "id", id)
	if err != nil {
		return err
	}
	d := &st.Deliveries[i]
	t.Kind, t.Title, t.Words = "delivery", "delivery of "+eventTitle(st.Event)+" to "+d.Endpoint, deliveryWords(d)
	return t.around(st)
}

func (t *teller) ofReward(id carom.RewardID) error {
	r, lines, err := t.s.reward(t.ctx, "id", id)
	if err != nil {
		return err
	}
	t.Kind, t.App = "reward", r.App
	t.Title = fmt.Sprintf("%s %s for user %s", r.Amount, r.Currency, r.User)
	t.Words = string(r.State) + " since " + stamp(r.Changed)
	if r.Why != "" {
		t.Words += ": " + r.Why
	}
	t.addReward(r, lines)
	st, err := t.s.Store.Story(t.ctx, r.Event)
	if errors.Is(err, carom.ErrNotFound) || errors.Is(err, carom.ErrInvalid) {
		t.Words += "; retention has dropped the event that earned it"
		return nil
	}
	if err != nil {
		return fmt.Errorf("get event %s: %w", r.Event, err)
	}
	return t.around(st)
}

func (t *teller) ofReceived(id carom.ReceivedID) error {
	out, err := t.s.getRefused(t.ctx, &refusedIn{ID: string(id)})
	if err != nil {
		return err
	}
	r := out.Body
	t.Kind, t.App, t.Received = "received", r.App, &r
	t.Title, t.Words = "refused postback of "+r.App+"/"+r.Source, "refused ("+string(r.Reason)+"): "+r.Detail
	if r.ReprocessedAs == "" {
		return nil
	}
	t.Words += "; reprocessed since"
	st, err := t.s.Store.Story(t.ctx, r.ReprocessedAs)
	if err != nil {
		return fmt.Errorf("get event %s: %w", r.ReprocessedAs, err)
	}
	return t.around(st)
}

func (t *teller) ofView(id carom.ViewID) error {
	life, opened, ref, err := id.Place()
	if err != nil {
		return carom.Invalid("id", "this is not a view id: one begins with vw_ and has 24 characters")
	}
	t.Kind = "view"
	if opened == 0 { // its first event made it
		st, err := t.s.story(t.ctx, carom.NewEventID(life, ref))
		if err != nil {
			return err
		}
		t.Title = "view of " + eventTitle(st.Event)
		t.Words = outcome(st)
		return t.around(st)
	}
	v, err := t.s.Store.View(t.ctx, id)
	if err != nil {
		return fmt.Errorf("get view %s: %w", id, err)
	}
	if !callerOf(t.ctx).sees(v.App) {
		return fmt.Errorf("view %s is of another app: %w", id, carom.ErrNotFound)
	}
	t.Title = "view of user " + v.User
	if err := t.addView(v); err != nil {
		return err
	}
	t.Words = t.View.Words
	return nil
}

// around adds an event with all of its view.
func (t *teller) around(st *carom.Story) error {
	ev := st.Event
	t.App = ev.App
	t.events[ev.ID] = st
	if _, opened, _, err := ev.View.Place(); err == nil && opened != 0 {
		v, err := t.s.Store.View(t.ctx, ev.View)
		if err == nil {
			return t.addView(v)
		}
		if !errors.Is(err, carom.ErrNotFound) { // it was forgotten since
			return fmt.Errorf("get view %s: %w", ev.View, err)
		}
	}
	f := carom.EventFilter{App: ev.App, Source: ev.Source, Zone: ev.ZoneID, YMID: ev.YMID, Limit: storyFind}
	if ev.Source == carom.SourceCarom { // what it did to a reward, whose view has events of the network's
		f.Source = ""
	}
	switch {
	case ev.YMID == "" && (ev.View == "" || ev.User(false) == ""):
		return nil // nothing else is known to belong to it
	case ev.YMID == "":
		f.User = ev.User(false)
	}
	return t.find(f, func(e *carom.Event) bool {
		return e.View == ev.View && (ev.View != "" || t.unique(ev) && t.unique(e))
	})
}

// unique says whether the ymid of an event names its view by itself.
func (t *teller) unique(ev *carom.Event) bool {
	o := t.s.Objects.Objects()
	for i := range o.Sources {
		if src := &o.Sources[i]; src.App == ev.App && src.Name == ev.Source {
			return src.WithDefaults().YMID == carom.YMIDView && ev.Flags&carom.FlagYMIDAsUser == 0
		}
	}
	return ev.Source == carom.SourceCarom
}

// addView adds an opened view with its events.
func (t *teller) addView(v *carom.View) error {
	row, err := t.s.viewRow(t.ctx, v)
	if err != nil {
		return err
	}
	t.App, t.view, t.View = v.App, v, &row
	searches := []carom.EventFilter{{YMID: v.YMID}}
	if v.ByUser { // some networks send the user as the ymid
		searches = append(searches, carom.EventFilter{User: v.User}, carom.EventFilter{YMID: v.User})
	}
	for _, f := range searches {
		f.App, f.Since, f.Limit = v.App, v.OpenedAt, storyFind
		if err := t.find(f, func(e *carom.Event) bool { return e.View == v.ID }); err != nil {
			return err
		}
	}
	return nil
}

// find adds the events among those that f selects that belong to the story.
func (t *teller) find(f carom.EventFilter, belongs func(*carom.Event) bool) error {
	list, _, err := t.s.Store.FindEvents(t.ctx, f)
	if err != nil {
		return fmt.Errorf("find the events of a view: %w", err)
	}
	for _, ev := range list {
		if belongs(ev) {
			if err := t.addEvent(ev.ID); err != nil {
				return err
			}
		}
	}
	return nil
}

func (t *teller) addEvent(id carom.EventID) error {
	if t.events[id] != nil || len(t.events) >= storyEvents {
		return nil
	}
	st, err := t.s.Store.Story(t.ctx, id)
	if errors.Is(err, carom.ErrNotFound) || errors.Is(err, carom.ErrInvalid) {
		return nil // retention was faster
	}
	if err != nil {
		return fmt.Errorf("get event %s: %w", id, err)
	}
	if st.Event.App == t.App {
		t.events[id] = st
	}
	return nil
}

func (t *teller) addReward(r *carom.Reward, lines []carom.LedgerLine) {
	v := RewardStory{Reward: rewardOf(r), Lines: linesOf(lines), Events: []carom.EventID{r.Event}}
	for _, l := range lines {
		if l.Event != r.Event {
			v.Events = append(v.Events, l.Event)
		}
	}
	t.rewards[r.ID] = v
}

// tell puts what was gathered into order.
func (t *teller) tell() error {
	if t.view != nil && t.View.Reward != nil {
		if err := t.reward(t.View.Reward.ID); err != nil {
			return err
		}
	}
	for range 2 { // events name rewards, whose lines name further events
		for _, st := range t.events {
			for i := range st.Event.Decided {
				if r := st.Event.Decided[i].Reward; r != nil {
					if err := t.reward(r.ID); err != nil {
						return err
					}
				}
			}
		}
		for _, r := range t.rewards {
			for _, id := range r.Events {
				if err := t.addEvent(id); err != nil {
					return err
				}
			}
		}
	}
	t.Events, t.Rewards, t.Timeline, t.Related = []Story{}, []RewardStory{}, []Moment{}, []string{}
	for _, st := range t.events {
		t.tellEvent(st)
	}
	for _, r := range t.rewards {
		t.Rewards = append(t.Rewards, r)
		t.relate(string(r.Reward.ID))
		for i := range r.Lines {
			l := &r.Lines[i]
			kind, words := "credited", "credited "+l.Amount+" "+l.Currency+" to user "+l.User
			if amount, debit := strings.CutPrefix(l.Amount, "-"); debit {
				kind, words = "debited", "took back "+amount+" "+l.Currency+" from user "+l.User
			}
			t.note(l.At, kind, words+because(l.Why), string(l.Reward))
		}
	}
	if v := t.View; v != nil {
		t.relate(string(v.ViewID))
		t.note(v.OpenedAt, "opened", "opened a view for user "+v.User, string(v.ViewID))
		if v.State == carom.ViewExpired {
			t.note(v.ExpiresAt, "expired", "the view expired", string(v.ViewID))
		}
	}
	if r := t.Received; r != nil {
		t.relate(string(r.ID))
		t.note(r.Received.At, "refused", "refused ("+string(r.Reason)+"): "+r.Detail, string(r.ID))
	}
	slices.SortFunc(t.Events, func(a, b Story) int {
		return cmp.Or(a.Event.At.Compare(b.Event.At), cmp.Compare(a.Event.ID, b.Event.ID))
	})
	slices.SortFunc(t.Rewards, func(a, b RewardStory) int {
		return cmp.Or(a.Reward.At.Compare(b.Reward.At), cmp.Compare(a.Reward.ID, b.Reward.ID))
	})
	slices.SortFunc(t.Timeline, func(a, b Moment) int {
		return cmp.Or(a.At.Compare(b.At), cmp.Compare(momentRank(a.Kind), momentRank(b.Kind)), cmp.Compare(a.Ref, b.Ref), cmp.Compare(a.Words, b.Words))
	})
	slices.Sort(t.Related)
	return nil
}

// momentRank orders what happened in one moment: first what caused the rest.
func momentRank(kind string) int {
	return slices.Index([]string{"opened", "refused", "event", "decided", "credited", "debited", "sent", "ended", "due", "expired"}, kind)
}

// because adds a reason, if there is one.
func because(why string) string {
	if why == "" {
		return ""
	}
	return ": " + why
}

// reward adds a reward of the app.
func (t *teller) reward(id carom.RewardID) error {
	if _, known := t.rewards[id]; known || id == "" {
		return nil
	}
	r, lines, err := t.s.Store.Reward(t.ctx, id)
	if errors.Is(err, carom.ErrNotFound) || errors.Is(err, carom.ErrInvalid) {
		return nil // an event tells its id, and it is of before a restore
	}
	if err != nil {
		return fmt.Errorf("get reward %s: %w", id, err)
	}
	if r.App == t.App {
		t.addReward(r, lines)
	}
	return nil
}

func (t *teller) note(at time.Time, kind, words, ref string) {
	t.Timeline = append(t.Timeline, Moment{At: at.UTC(), Kind: kind, Words: words, Ref: ref})
}

func (t *teller) relate(id string) {
	if id != t.ID && id != "" {
		t.Related = append(t.Related, id)
	}
}

// tellEvent adds an event with what was decided and sent for it.
func (t *teller) tellEvent(st *carom.Story) {
	ev := st.Event
	v := t.s.showStory(st)
	t.Events = append(t.Events, v)
	t.relate(string(ev.ID))
	words := "received " + eventTitle(ev)
	if ev.Held != "" {
		words += ", held (" + ev.Held + ")"
	}
	t.note(ev.At, "event", words, string(ev.ID))
	for i := range ev.Decided {
		d, ref := &ev.Decided[i], string(ev.ID)
		if d.Reward != nil && d.Reward.ID != "" {
			ref = string(d.Reward.ID)
		}
		t.note(ev.At, "decided", decisionWords(d), ref)
	}
	for i := range st.Deliveries {
		d := &st.Deliveries[i]
		t.relate(string(d.ID))
		for k := range d.Attempts {
			a := &d.Attempts[k]
			kind := "sent"
			if a.Method == "" && a.Status == 0 {
				kind = "ended"
			}
			t.note(a.At, kind, attemptWords(d.Endpoint, a), string(d.ID))
		}
		if !d.Due.IsZero() && d.State == carom.Pending {
			t.note(d.Due, "due", "the next attempt to "+d.Endpoint+" is due", string(d.ID))
		}
	}
}

// attemptWords says what an attempt came to.
func attemptWords(endpoint string, a *carom.Attempt) string {
	became := string(a.State)
	if a.State == carom.Pending {
		became = "to be repeated"
	}
	if a.Method == "" && a.Status == 0 {
		return "the delivery to " + endpoint + " ended: " + became + because(a.Reason)
	}
	return fmt.Sprintf("attempt %d to %s: %s%s", a.Number, endpoint, became, because(a.Reason))
}

// deliveryWords says how a delivery stands.
func deliveryWords(d *carom.DeliveryStory) string {
	words := string(d.State) + " after " + plural(len(d.Attempts), "attempt")
	if n := len(d.Attempts); n > 0 {
		words += because(d.Attempts[n-1].Reason)
	}
	if d.State == carom.Pending && !d.Due.IsZero() {
		words += "; the next is due " + stamp(d.Due)
	}
	return words
}

// eventTitle names an event: "valued impression of monetag for user 42".
func eventTitle(ev *carom.Event) string {
	title := string(ev.Type)
	if ev.Value != "" {
		title = strings.ReplaceAll(string(ev.Value), "_", " ") + " " + title
	}
	of := ev.Source
	if ev.Source == carom.SourceCarom {
		of = "carom"
	}
	title += " of " + of
	if user := ev.User(false); user != "" {
		title += " for user " + user
	}
	return title
}
