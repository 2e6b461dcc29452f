package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAlertSettings(t *testing.T) {
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("123:abc\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := Load(nil, environ("CAROM_ALERT_EMAIL_TO=a@example.com,b@example.com", "CAROM_ALERT_EMAIL_FROM=Carom <c@example.com>",
		"CAROM_SMTP=smtp.example.com:465", "CAROM_SMTP_USER=c", "CAROM_SMTP_PASSWORD=hunter2hunter2", "CAROM_ALERT_TELEGRAM_TOKEN_FILE="+token,
		"CAROM_ALERT_TELEGRAM_CHAT=-1001", "CAROM_ALERT_SLACK_URL=https://hooks.example/T0/B0/hunter2hunter2"))
	if err != nil {
		t.Fatal(err)
	}
	want := Alerts{
		EmailTo: "a@example.com,b@example.com", EmailFrom: "Carom <c@example.com>", SMTP: "smtp.example.com:465", SMTPUser: "c", SMTPPassword: "hunter2hunter2",
		TelegramToken: "123:abc", TelegramChat: "-1001", TelegramAPI: "https://api.telegram.org", SlackURL: "https://hooks.example/T0/B0/hunter2hunter2",
	}
	if got.Alerts != want {
		t.Errorf("Alerts are %+v, want %+v", got.Alerts, want)
	}
	if shown := got.Show(); strings.Contains(shown, "hunter2") || strings.Contains(shown, "123:abc") {
		t.Errorf("a secret is shown:\n%s", shown)
	}
}

func TestAlertSettingsThatDoNotFit(t *testing.T) {
	tests := []struct {
		name string
		env  []string
		says string
	}{
		{"mail without a server", []string{"CAROM_ALERT_EMAIL_TO=a@example.com", "CAROM_ALERT_EMAIL_FROM=b@example.com"}, "smtp: alerts by mail need a server"},
		{"mail without a sender", []string{"CAROM_ALERT_EMAIL_TO=a@example.com", "CAROM_SMTP=localhost:25"}, "alert_email_from: "},
		{"a server without mail", []string{"CAROM_SMTP=localhost:25"}, "alert_email_to: "},
		{"a server without a port", []string{"CAROM_SMTP=localhost"}, "smtp.example.com:587"},
		{"no mail address", []string{"CAROM_ALERT_EMAIL_TO=nobody"}, "you@example.com"},
		{"a user without a password", []string{"CAROM_SMTP_USER=u"}, "smtp_password: "},
		{"a bot without a chat", []string{"CAROM_ALERT_TELEGRAM_TOKEN=123:abc"}, "alert_telegram_chat: "},
		{"a bad secret URL is not repeated", []string{"CAROM_ALERT_SLACK_URL=hooks.example/hunter2"}, "alert_slack_url: the value"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Load(nil, environ(tt.env...))
			if err == nil || !strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("Load: %v, want it to say %q", err, tt.says)
			}
		})
	}
}
