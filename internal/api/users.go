package api

import (
	"context"
	"fmt"
	"time"

	"carom"
)

// Person is everything that is kept about a user of an app.
type Person struct {
	App      string          `json:"app"`
	User     string          `json:"user"`
	Balances []carom.Balance `json:"balances" nullable:"false"`
	Lines    []LedgerLine    `json:"lines" nullable:"false" doc:"Of the ledger"`
	Rewards  []Reward        `json:"rewards" nullable:"false"`
	Views    []PersonView    `json:"views" nullable:"false" doc:"Views that were opened for the user"`
	Events   []Story         `json:"events" nullable:"false" doc:"With what was received and sent"`
	Refused  []Refusal       `json:"refused" nullable:"false" doc:"Refused postbacks that name the user"`
}

// PersonView is a view that was opened for a user.
type PersonView struct {
	ID        carom.ViewID `json:"view_id"`
	YMID      string       `json:"ymid"`
	Placement string       `json:"placement,omitempty"`
	OpenedAt  time.Time    `json:"opened_at"`
	ExpiresAt time.Time    `json:"expires_at"`
}

type personIn struct {
	App  string `query:"app" doc:"Needed unless the key is limited to one"`
	User string `query:"user" required:"true" minLength:"1" doc:"As in the ledger: the network's or Telegram's id"`
}

type personOut struct{ Body Person }

func (s *service) exportUser(ctx context.Context, in *personIn) (*personOut, error) {
	p, err := s.person(ctx, in.App, in.User)
	if err != nil {
		return nil, err
	}
	out := &personOut{Person{App: p.App, User: p.User, Balances: append([]carom.Balance{}, p.Balances...), Lines: linesOf(p.Lines),
		Rewards: []Reward{}, Views: []PersonView{}, Events: []Story{}, Refused: []Refusal{}}}
	for _, r := range p.Rewards {
		out.Body.Rewards = append(out.Body.Rewards, rewardOf(r))
	}
	for _, v := range p.Views {
		out.Body.Views = append(out.Body.Views, PersonView{ID: v.ID, YMID: v.YMID, Placement: v.Placement, OpenedAt: v.OpenedAt, ExpiresAt: v.ExpiresAt})
	}
	for _, st := range p.Stories {
		out.Body.Events = append(out.Body.Events, storyOf(st))
	}
	for _, r := range p.Refused {
		out.Body.Refused = append(out.Body.Refused, refusalOf(r))
	}
	return out, nil
}

// person finds a user of an app that the caller may see.
func (s *service) person(ctx context.Context, app, user string) (*carom.Person, error) {
	app, err := callerOf(ctx).narrow(app)
	if err == nil && app == "" {
		err = carom.Invalid("app", "name the app whose user it is")
	}
	if err != nil {
		return nil, err
	}
	p, err := s.Store.Person(ctx, app, user)
	if err != nil {
		return nil, fmt.Errorf("gather what is kept about a user: %w", err)
	}
	return p, nil
}

// Erasure asks to erase a user.
type Erasure struct {
	App  string `json:"app,omitempty" doc:"Needed unless the key is limited to one"`
	User string `json:"user" minLength:"1"`
	Why  string `json:"why" minLength:"1" maxLength:"500" doc:"Kept in the log. It should not name the person"`
}

// Erased says what became of a user who was erased, or with dry_run what would.
type Erased struct {
	DryRun  bool   `json:"dry_run"`
	As      string `json:"as,omitempty" doc:"The name under which rewards, lines and balances stay"`
	Rewards int    `json:"rewards" doc:"With their ledger lines: they stay under another name"`
	Views   int    `json:"views"`
	Events  int    `json:"events" doc:"With what was received and sent for them"`
	Refused int    `json:"refused" doc:"Refused and unverified postbacks that name the user"`
	Waiting int    `json:"waiting" doc:"Deliveries and holds that are not over, and will name the user once more: nothing is erased before"`
}

type erasureIn struct {
	Preview
	Body Erasure
}

type erasureOut struct{ Body Erased }

func (s *service) eraseUser(ctx context.Context, in *erasureIn) (*erasureOut, error) {
	by, err := by(ctx, in.Body.Why)
	if err != nil {
		return nil, err
	}
	p, err := s.person(ctx, in.Body.App, in.Body.User)
	if err != nil {
		return nil, err
	}
	if in.DryRun {
		out := &erasureOut{Erased{DryRun: true, Rewards: len(p.Rewards), Views: len(p.Views), Events: len(p.Stories), Refused: len(p.Refused),
			Waiting: p.Waiting()}}
		return out, nil
	}
	done, err := s.Store.Erase(ctx, p.App, p.User)
	if done.As != "" {
		s.audit(ctx, "erase a user", by, "app", p.App, "as", done.As, "events", done.Events)
	}
	if err != nil {
		return nil, partly(err, done.Events, "event")
	}
	return &erasureOut{Erased{As: done.As, Rewards: done.Rewards, Views: done.Views, Events: done.Events, Refused: done.Refused, Waiting: done.Waiting}}, nil
}
