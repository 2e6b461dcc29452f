package api

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"carom"
)

// Reward is what a view, or a person by hand, entitled a user to.
type Reward struct {
	ID       carom.RewardID    `json:"id,omitempty" doc:"Absent in a preview"`
	At       time.Time         `json:"at,omitzero" required:"false" doc:"When it was decided"`
	App      string            `json:"app"`
	Rule     string            `json:"rule" doc:"The rule's name within the app; - when a person granted it"`
	User     string            `json:"user"`
	Currency string            `json:"currency"`
	Amount   string            `json:"amount" doc:"A decimal above zero, also of a reward that was taken back"`
	State    carom.RewardState `json:"state" enum:"granted,held,canceled,reversed"`
	Until    time.Time         `json:"until,omitzero" required:"false" doc:"When a held one is credited"`
	Changed  time.Time         `json:"changed,omitzero" required:"false" doc:"When it came to its state"`
	Why      string            `json:"why,omitempty" doc:"Why it was granted by hand, canceled or reversed"`

	Event       carom.EventID `json:"event,omitempty" doc:"What earned it. Retention drops the event, never the reward"`
	Source      string        `json:"source,omitempty"`
	Network     string        `json:"network,omitempty"`
	View        carom.ViewID  `json:"view,omitempty"`
	YMID        string        `json:"ymid,omitempty"`
	ZoneID      string        `json:"zone_id,omitempty"`
	RequestVar  string        `json:"request_var,omitempty"`
	Transaction string        `json:"transaction,omitempty" doc:"The network's"`
}

func rewardOf(r *carom.Reward) Reward {
	return Reward{
		ID: r.ID, At: utc(r.At), App: r.App, Rule: r.Rule, User: r.User, Currency: r.Currency, Amount: r.Amount.String(), State: r.State,
		Until: utc(r.Until), Changed: utc(r.Changed), Why: r.Why, Event: r.Event, Source: r.Source, Network: r.Network, View: r.View,
		YMID: r.YMID, ZoneID: r.ZoneID, RequestVar: r.RequestVar, Transaction: r.Transaction,
	}
}

// RewardList is a page of rewards, newest first.
type RewardList struct {
	Rewards []Reward       `json:"rewards" nullable:"false"`
	Next    carom.RewardID `json:"next,omitempty" doc:"Give it as before to get the next page; absent on the last one"`
}

// RewardStory is a reward with what it did to its user's account.
type RewardStory struct {
	Reward Reward          `json:"reward"`
	Lines  []LedgerLine    `json:"lines" nullable:"false" doc:"Its credit and debit, oldest first; none while it is held"`
	Events []carom.EventID `json:"events" nullable:"false" doc:"What earned it, credited it and took it back"`
}

// LedgerLine is one credit or debit of a user's account. It is never changed.
type LedgerLine struct {
	Reward   carom.RewardID `json:"reward"`
	N        int            `json:"n" doc:"From 1, within the reward"`
	At       time.Time      `json:"at"`
	App      string         `json:"app"`
	User     string         `json:"user"`
	Currency string         `json:"currency"`
	Amount   string         `json:"amount" doc:"A decimal, below zero for a debit"`
	Event    carom.EventID  `json:"event" doc:"Its cause"`
	Why      string         `json:"why,omitempty" doc:"Absent when an event earned it"`
}

func linesOf(list []carom.LedgerLine) []LedgerLine {
	out := []LedgerLine{}
	for _, l := range list {
		out = append(out, LedgerLine{l.Reward, l.N, l.At.UTC(), l.App, l.User, l.Currency, l.Amount.String(), l.Event, l.Why})
	}
	return out
}

// Ledger is a page of the lines of a user's account, newest first.
type Ledger struct {
	Lines []LedgerLine `json:"lines" nullable:"false"`
	Next  string       `json:"next,omitempty" doc:"Give it as before to get the next page; absent on the last one"`
}

// BalanceList is what a user has, by currency.
type BalanceList struct {
	Balances []carom.Balance `json:"balances" nullable:"false"`
}

// Span is a stretch of time that a list or a change is limited to. A zero end is open.
type Span struct {
	From time.Time `query:"from" json:"from,omitzero" required:"false" doc:"Start, RFC 3339"`
	To   time.Time `query:"to" json:"to,omitzero" required:"false" doc:"End, RFC 3339, not included"`
}

// holds says whether the moment lies in the span.
func (sp Span) holds(at time.Time) bool {
	return !at.Before(sp.From) && (sp.To.IsZero() || at.Before(sp.To))
}

// check returns an error when the end is not behind the start.
func (sp Span) check() error {
	if !sp.From.IsZero() && !sp.To.IsZero() && !sp.From.Before(sp.To) {
		return carom.Invalid("from", "the start is not before the end: swap from and to")
	}
	return nil
}

type rewardsIn struct {
	Selection
	Span
	User   string `query:"user" doc:"To whom they are credited"`
	Rule   string `query:"rule" doc:"The rule's name within its app; - for those granted by hand"`
	State  string `query:"state" enum:"granted,held,canceled,reversed"`
	Before string `query:"before" doc:"The cursor: only rewards older than the one with this id"`
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"50"`
}

type rewardsOut struct{ Body RewardList }

func (s *service) listRewards(ctx context.Context, in *rewardsIn) (*rewardsOut, error) {
	app, source, err := in.resolve(callerOf(ctx))
	if err != nil {
		return nil, err
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	before := carom.RewardID(in.Before)
	if before != "" {
		if _, _, err := before.Number(); err != nil {
			return nil, carom.Invalid("before", "this is not a reward id: give the `next` of the page before")
		}
	}
	list, err := s.Store.Rewards(ctx, carom.RewardFilter{
		App: app, User: in.User, Rule: in.Rule, Source: source, State: carom.RewardState(in.State), From: in.From, To: in.To, Before: before, Limit: in.Limit,
	})
	if err != nil {
		return nil, fmt.Errorf("list rewards: %w", err)
	}
	out := &rewardsOut{RewardList{Rewards: []Reward{}}}
	for _, r := range list {
		out.Body.Rewards = append(out.Body.Rewards, rewardOf(r))
	}
	if len(list) > 0 && len(list) == in.Limit {
		out.Body.Next = list[len(list)-1].ID
	}
	return out, nil
}

type rewardIn struct {
	ID string `path:"reward_id" example:"rwd_0c5g21r0000010000000k"`
}

type rewardOut struct{ Body RewardStory }

func (s *service) getReward(ctx context.Context, in *rewardIn) (*rewardOut, error) {
	r, lines, err := s.reward(ctx, "reward_id", carom.RewardID(in.ID))
	if err != nil {
		return nil, err
	}
	out := &rewardOut{RewardStory{Reward: rewardOf(r), Lines: linesOf(lines), Events: []carom.EventID{r.Event}}}
	for _, l := range lines {
		if l.Event != r.Event {
			out.Body.Events = append(out.Body.Events, l.Event)
		}
	}
	return out, nil
}

// reward gets a reward that the caller may see. field is where its id was given.
func (s *service) reward(ctx context.Context, field string, id carom.RewardID) (*carom.Reward, []carom.LedgerLine, error) {
	if _, _, err := id.Number(); err != nil {
		return nil, nil, carom.Invalid(field, "this is not a reward id: one begins with rwd_ and has 25 characters")
	}
	r, lines, err := s.Store.Reward(ctx, id)
	if err != nil {
		return nil, nil, fmt.Errorf("get reward %s: %w", id, err)
	}
	if !callerOf(ctx).sees(r.App) {
		return nil, nil, fmt.Errorf("reward %s is of another app: %w", id, carom.ErrNotFound)
	}
	return r, lines, nil
}

// Account names a user of an app. It is exported because huma reads only exported fields.
type Account struct {
	App  string `query:"app" doc:"The app; needed unless the key is limited to one"`
	User string `query:"user" required:"true" minLength:"1" doc:"To whom rewards are credited"`
}

// resolve returns the app of the account, which the caller may see.
func (a Account) resolve(ctx context.Context) (app string, err error) {
	if app, err = callerOf(ctx).narrow(a.App); err == nil && app == "" {
		err = carom.Invalid("app", "name the app: one user id may stand for different people in several apps")
	}
	return app, err
}

type balancesIn struct{ Account }

type balancesOut struct{ Body BalanceList }

func (s *service) getBalances(ctx context.Context, in *balancesIn) (*balancesOut, error) {
	app, err := in.resolve(ctx)
	if err != nil {
		return nil, err
	}
	list, err := s.Store.Balances(ctx, app, in.User)
	if err != nil {
		return nil, fmt.Errorf("read balances: %w", err)
	}
	for i := range list {
		if list[i].Amount == "" {
			list[i].Amount = "0"
		}
	}
	if list == nil {
		list = []carom.Balance{}
	}
	return &balancesOut{BalanceList{list}}, nil
}

type ledgerIn struct {
	Account
	Currency string `query:"currency"`
	Before   string `query:"before" doc:"The cursor: the next of the page before"`
	Limit    int    `query:"limit" minimum:"1" maximum:"1000" default:"50"`
}

type ledgerOut struct{ Body Ledger }

func (s *service) listLedger(ctx context.Context, in *ledgerIn) (*ledgerOut, error) {
	app, err := in.resolve(ctx)
	if err != nil {
		return nil, err
	}
	before, err := readLedgerCursor(in.Before)
	if err != nil {
		return nil, err
	}
	lines, err := s.Store.Ledger(ctx, carom.LedgerFilter{App: app, User: in.User, Currency: in.Currency, Before: before, Limit: in.Limit})
	if err != nil {
		return nil, fmt.Errorf("read the ledger: %w", err)
	}
	out := &ledgerOut{Ledger{Lines: linesOf(lines)}}
	if len(lines) == in.Limit {
		last := lines[len(lines)-1]
		out.Body.Next = string(last.Reward) + "." + strconv.Itoa(last.N)
	}
	return out, nil
}

// readLedgerCursor reads a cursor of lines, "rwd_….1".
func readLedgerCursor(text string) (c carom.LedgerCursor, err error) {
	if text == "" {
		return c, nil
	}
	id, number, _ := strings.Cut(text, ".")
	c.Reward = carom.RewardID(id)
	if c.N, err = strconv.Atoi(number); err == nil {
		_, _, err = c.Reward.Number()
	}
	if err != nil {
		return c, carom.Invalid("before", "this is no cursor of a list of lines: give the `next` of the page before")
	}
	return c, nil
}

type checkOut struct{ Body carom.LedgerReport }

// checkLedger reads all rewards, lines and balances of all apps.
func (s *service) checkLedger(ctx context.Context, _ *struct{}) (*checkOut, error) {
	if err := callerOf(ctx).all(); err != nil {
		return nil, err
	}
	report, err := s.Store.CheckLedger(ctx)
	if err != nil {
		return nil, err
	}
	if report.Faults == nil {
		report.Faults = []string{}
	}
	return &checkOut{report}, nil
}
