package api

import (
	"context"

	"carom"
	"carom/internal/objects"
)

// RuleConfig is what is set for a rule.
type RuleConfig struct {
	Filter     *RuleFilter `json:"filter,omitempty" doc:"Which events it counts; absent: all that are valued"`
	Price      RulePrice   `json:"price" doc:"What a reward is worth"`
	Additional bool        `json:"additional,omitempty" doc:"It pays beside other rules that count the same events"`
	Caps       []RuleCap   `json:"caps,omitempty" nullable:"false" doc:"How much it may grant"`
	Cooldown   string      `json:"cooldown,omitempty" example:"30s" doc:"Between two rewards of the rule for one user"`
	Hold       string      `json:"hold,omitempty" example:"1d" doc:"A reward is credited so long after its event; absent: at once"`
}

// RuleFilter says which events a rule counts. What is absent lets all through, but for values, where it stands for valued alone.
type RuleFilter struct {
	Networks    []string `json:"networks,omitempty" nullable:"false" doc:"As GET /v1/networks names them"`
	Sources     []string `json:"sources,omitempty" nullable:"false" doc:"Names of sources of the app"`
	Zones       []string `json:"zones,omitempty" nullable:"false" doc:"Main zones"`
	EventTypes  []string `json:"event_types,omitempty" nullable:"false" doc:"impression, click, completion, or types of your own"`
	Values      []string `json:"values,omitempty" nullable:"false" enum:"valued,not_valued,empty" doc:"empty: the network did not say. Absent: valued alone"`
	RequestVars []string `json:"request_vars,omitempty" nullable:"false" doc:"The spots that the app's backend opened the view for"`
}

// RulePrice says what a reward is worth: fixed, or worked out from what the network sent, as field × rate × share, held between
// min and max and rounded to a multiple of step. Amounts are decimal texts.
type RulePrice struct {
	Fixed    string `json:"fixed,omitempty" example:"5" doc:"The amount, if it is always the same"`
	Currency string `json:"currency,omitempty" example:"coins" doc:"One of the app's currencies"`
	From     string `json:"from,omitempty" enum:"estimated_price,reward_amount" doc:"The field that the amount comes from, if it is not fixed. What follows belongs to such a price alone"`
	Rate     string `json:"rate,omitempty" example:"1000" doc:"Units of the currency for one unit of the field; absent: 1"`
	Share    string `json:"share,omitempty" example:"0.5" doc:"The user's part of it, from 0 to 1, or as 50%; absent: all"`
	Min      string `json:"min,omitempty" doc:"Paid where the field says less"`
	Max      string `json:"max,omitempty" doc:"Paid where it says more. Needed: nobody's number is taken unbounded"`
	Step     string `json:"step,omitempty" doc:"Amounts are multiples of it; absent: the currency's decimals"`
	Round    string `json:"round,omitempty" enum:"down,nearest,up" doc:"Absent: down"`
	Trust    string `json:"trust,omitempty" enum:"secret" doc:"secret: an amount that no signature covers is taken all the same"`
}

// RuleCap bounds how much is granted.
type RuleCap struct {
	Name    string   `json:"name,omitempty" doc:"Rules of the app with a cap of the same name count together"`
	Per     []string `json:"per" nullable:"false" enum:"user,day,rule" doc:"For what each bound counts"`
	Rewards int      `json:"rewards,omitempty" minimum:"1" doc:"At most so many"`
	Amount  string   `json:"amount,omitempty" doc:"At most so much in all"`
}

// RuleObject is a rule as it is set.
type RuleObject struct {
	App  string `json:"app" readOnly:"true"`
	Name string `json:"name" readOnly:"true"`
	RuleConfig
}

// RuleList is a page of rules.
type RuleList struct {
	Rules []RuleObject `json:"rules" nullable:"false"`
	Next  string       `json:"next,omitempty" doc:"Give it as before to get the next page; absent on the last one"`
	File  string       `json:"file,omitempty" doc:"The file they come from; they are read-only here while there is one"`
}

type replaceRuleIn struct {
	ObjectPath
	Edit
	Body RuleObject
}

type rulesOut struct{ Body RuleList }

func showRule(_ caller, r *carom.Rule) (*RuleObject, error) {
	config, err := settingsOf[RuleConfig](r)
	return &RuleObject{r.App, r.Name, config}, err
}

func (s *service) listRules(ctx context.Context, in *ObjectQuery) (*rulesOut, error) {
	c := callerOf(ctx)
	rows, next, err := rowsOf(in, c, visible(c, s.Objects.Objects()).Rules, func(r *carom.Rule) (objects.Ref, string) {
		return objects.Ref{Kind: objects.KindRule, App: r.App, Name: r.Name}, r.Price.Currency
	}, showRule)
	return &rulesOut{RuleList{rows, next, s.Objects.File()}}, err
}

func (s *service) getRule(ctx context.Context, in *ObjectPath) (*objectOut[RuleObject], error) {
	return get(ctx, s, in.ref(objects.KindRule), showRule)
}

func (s *service) replaceRule(ctx context.Context, in *replaceRuleIn) (*savedObjectOut[RuleObject], error) {
	return put(ctx, s, in.ref(objects.KindRule), &in.Edit, &in.Body.RuleConfig, showRule)
}

func (s *service) removeRule(ctx context.Context, in *removeIn) (*removedOut, error) {
	return s.remove(ctx, in.ref(objects.KindRule), &in.Edit, false)
}
