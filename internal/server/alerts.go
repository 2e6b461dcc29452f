package server

import (
	"cmp"
	"context"
	"errors"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"carom/internal/alert"
	"carom/internal/api"
	"carom/internal/config"
	"carom/internal/listen"
	"carom/internal/machine"
	"carom/internal/postgres"
)

// alerts joins the alerts with the API: they are judged from its status, and it lists and tests them.
type alerts struct {
	*alert.Watch
	status func(context.Context) (api.Status, error) // set before Run
}

// dutyAlerts is the duty of telling people.
const dutyAlerts = "alerts"

// alertMemory is the memory of alerts in a database that several nodes share.
type alertMemory struct{ *postgres.Store }

// Load implements alert.Memory.
func (m alertMemory) Load(ctx context.Context) ([]byte, error) { return m.LoadDuty(ctx, dutyAlerts) }

// Save implements alert.Memory.
func (m alertMemory) Save(ctx context.Context, data []byte) error {
	return m.SaveDuty(ctx, dutyAlerts, data)
}

// newAlerts makes the alerts with the channels that the settings name.
func newAlerts(cfg config.Config, st opened, registry prometheus.Registerer, log *slog.Logger) (*alerts, error) {
	channels, err := channels(cfg.Alerts)
	if err != nil {
		return nil, err
	}
	a := &alerts{}
	o := alert.Options{
		Judge: a.judge, Failed: failedStatus, Channels: channels, Memory: alert.File(cfg.Data), Server: cmp.Or(cfg.BaseURL, "carom"),
		Metrics: registry, Log: log,
	}
	if st.shared != nil {
		o.Memory = alertMemory{st.shared}
		o.OnDuty = func(ctx context.Context) (bool, error) { return st.shared.OnDuty(ctx, dutyAlerts) }
	}
	a.Watch = alert.New(o)
	return a, nil
}

func channels(a config.Alerts) ([]alert.Channel, error) {
	var list []alert.Channel
	if a.EmailTo != "" {
		mail, err := alert.Email(alert.EmailConfig{To: a.EmailTo, From: a.EmailFrom, Server: a.SMTP, User: a.SMTPUser, Password: a.SMTPPassword})
		if err != nil {
			return nil, err
		}
		list = append(list, mail)
	}
	if a.TelegramToken != "" {
		list = append(list, alert.Telegram(a.TelegramAPI, a.TelegramToken, a.TelegramChat))
	}
	if a.SlackURL != "" {
		list = append(list, alert.Slack(a.SlackURL))
	}
	return list, nil
}

// judge turns the status into what alerts are made of. Notes wake nobody.
func (a *alerts) judge(ctx context.Context) ([]alert.Finding, error) {
	st, err := a.status(ctx)
	if err != nil {
		return nil, err
	}
	var found []alert.Finding
	for _, it := range st.Items {
		if it.Severity != api.Note {
			found = append(found, findingOf(it))
		}
	}
	return found, nil
}

func findingOf(it api.Item) alert.Finding {
	return alert.Finding{
		Kind: string(it.Kind), Subject: it.Subject, Severity: alert.Severity(it.Severity), Since: it.Since, Fault: string(it.Fault),
		What: it.What, HowMuch: it.HowMuch, Next: it.Next, Runbook: it.Runbook,
	}
}

func failedStatus(err error) alert.Finding { return findingOf(api.FailedStatus(err)) }

// Alerts implements api.Alerts.
func (a *alerts) Alerts() api.AlertList {
	s := a.State()
	list := api.AlertList{Open: alertsOf(s.Open), Ended: alertsOf(s.Ended), Channels: []api.AlertChannel{}}
	for _, c := range s.Channels {
		list.Channels = append(list.Channels, api.AlertChannel(c))
	}
	return list
}

func alertsOf(list []alert.Alert) []api.Alert {
	out := make([]api.Alert, len(list))
	for i, a := range list {
		out[i] = api.Alert{
			Kind: api.Kind(a.Kind), Subject: a.Subject, Severity: api.Severity(a.Severity), Opened: a.Opened, Notified: a.Notified, Ended: a.Ended,
			What: a.What, HowMuch: a.HowMuch, Fault: api.Fault(a.Fault), Next: a.Next, Runbook: a.Runbook,
		}
	}
	return out
}

// Test implements api.Alerts.
func (a *alerts) Test(ctx context.Context) []api.AlertTest {
	var out []api.AlertTest
	for _, t := range a.Watch.Test(ctx) {
		test := api.AlertTest{Channel: t.Channel, OK: t.Err == nil, Answer: t.Answer, TookMS: float64(t.Took.Microseconds()) / 1000}
		if t.Err != nil {
			test.Answer = t.Err.Error()
			if errors.Is(t.Err, context.DeadlineExceeded) {
				test.Answer = t.Channel + ": no answer in time"
			}
		}
		out = append(out, test)
	}
	return out
}

// machineOf asks how the machine of a data folder stands. What the system does not tell is left out.
func machineOf(data string) func() api.Machine {
	return func() api.Machine {
		free, total, err := machine.Space(data)
		if err != nil {
			return api.Machine{}
		}
		m := api.Machine{Disk: api.OK, DiskFree: free, DiskTotal: total}
		switch machine.Room(free, total) {
		case machine.Fail:
			m.Disk = api.LosingMoney
		case machine.Warn:
			m.Disk = api.Attention
		}
		return m
	}
}

// certificatesOf says how the certificates stand that networks are shown; renews says whether the server renews them.
func certificatesOf(certs listen.Certs, renews bool) func() []api.Certificate {
	return func() []api.Certificate {
		if certs == nil {
			return nil
		}
		var out []api.Certificate
		for _, c := range certs.Certificates() {
			out = append(out, api.Certificate{Domain: c.Domain, Renews: renews, NotAfter: c.NotAfter, Err: c.Err, Since: c.Since})
		}
		return out
	}
}
