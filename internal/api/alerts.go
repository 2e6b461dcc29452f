package api

import (
	"context"
	"time"

	"carom"
)

// Alerts is what the API asks of the alerts. Its methods may be called concurrently.
type Alerts interface {
	// Alerts returns what is open and what ended, each newest first, and how the channels stand.
	Alerts() AlertList
	// Test sends a test through every channel and returns what each answered, in no more than half a minute.
	Test(ctx context.Context) []AlertTest
}

// AlertList is what people were told of.
type AlertList struct {
	Open     []Alert        `json:"open" nullable:"false" doc:"Newest first"`
	Ended    []Alert        `json:"ended" nullable:"false" doc:"The newest that ended, newest first"`
	Channels []AlertChannel `json:"channels" nullable:"false" doc:"The ways to a person that are configured"`
}

// Alert is an item of the status that lasted, so that people were told of it.
type Alert struct {
	Kind     Kind      `json:"kind"`
	Subject  string    `json:"subject"`
	Severity Severity  `json:"severity" enum:"attention,losing_money" doc:"As it is now, or was when it ended"`
	Opened   time.Time `json:"opened"`
	Notified time.Time `json:"notified,omitzero" doc:"When people were last told of it"`
	Ended    time.Time `json:"ended,omitzero"`
	What     string    `json:"what"`
	HowMuch  string    `json:"how_much,omitempty"`
	Fault    Fault     `json:"fault"`
	Next     string    `json:"next"`
	Runbook  string    `json:"runbook"`
}

// AlertChannel is one way to a person.
type AlertChannel struct {
	Name         string    `json:"name" doc:"email, telegram or slack"`
	LastSent     time.Time `json:"last_sent,omitzero" doc:"Since the server started"`
	FailingSince time.Time `json:"failing_since,omitzero" doc:"When sending began to fail; absent while it works"`
	Reason       string    `json:"reason,omitempty" doc:"Why it fails"`
	Waiting      int       `json:"waiting" doc:"What it has not told yet"`
}

// AlertTest is what one channel did with a test.
type AlertTest struct {
	Channel string  `json:"channel" doc:"email, telegram or slack"`
	OK      bool    `json:"ok"`
	Answer  string  `json:"answer" doc:"What was answered, or why it failed"`
	TookMS  float64 `json:"took_ms"`
}

// AlertTests is what came of a test.
type AlertTests struct {
	Tests []AlertTest `json:"tests" nullable:"false"`
}

type (
	alertsOut     struct{ Body AlertList }
	alertTestsOut struct{ Body AlertTests }
)

func (s *service) listAlerts(ctx context.Context, _ *struct{}) (*alertsOut, error) {
	if err := callerOf(ctx).all(); err != nil {
		return nil, err
	}
	if s.Alerts == nil {
		return &alertsOut{AlertList{Open: []Alert{}, Ended: []Alert{}, Channels: []AlertChannel{}}}, nil
	}
	return &alertsOut{s.Alerts.Alerts()}, nil
}

func (s *service) testAlerts(ctx context.Context, _ *struct{}) (*alertTestsOut, error) {
	c := callerOf(ctx)
	if err := c.all(); err != nil {
		return nil, err
	}
	var tests []AlertTest
	if s.Alerts != nil {
		tests = s.Alerts.Test(ctx)
	}
	if len(tests) == 0 {
		return nil, failf(carom.ErrConflict, "no channel for alerts is configured: set alert_email_to, alert_telegram_token or alert_slack_url, and restart; docs/alerts.md says how")
	}
	s.Log.Info("alerts tested", "by", c.name)
	return &alertTestsOut{AlertTests{tests}}, nil
}
