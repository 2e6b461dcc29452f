package config

import (
	"errors"
	"net"
	"net/mail"
	"net/url"
	"strconv"
)

// Alerts says where people are told of what is wrong. Each of the three ways is used when its settings are there.
type Alerts struct {
	EmailTo, EmailFrom        string // mail addresses; several of To are separated by commas
	SMTP                      string // host:port
	SMTPUser, SMTPPassword    string // empty: the server asks for no account
	TelegramToken             string
	TelegramChat, TelegramAPI string
	SlackURL                  string
}

// check finds what is missing of one way to people.
func (a *Alerts) check(add func(field, format string, args ...any)) {
	if a.EmailTo != "" {
		if a.SMTP == "" {
			add("smtp", "alerts by mail need a server to hand them to: set smtp, such as smtp.example.com:587, or remove alert_email_to")
		}
		if a.EmailFrom == "" {
			add("alert_email_from", "alerts by mail need a sender that the mail server takes: set it, such as alerts@example.com")
		}
	} else if a.SMTP != "" {
		add("alert_email_to", "it says who gets the alerts that smtp is for: set it, or remove smtp")
	}
	if (a.SMTPUser == "") != (a.SMTPPassword == "") {
		add("smtp_password", "user and password belong together: set both smtp_user and smtp_password, or neither")
	}
	if (a.TelegramToken == "") != (a.TelegramChat == "") {
		add("alert_telegram_chat", "bot and chat belong together: set both alert_telegram_token and alert_telegram_chat, or neither")
	}
}

func checkMail(s string) error {
	if _, err := mail.ParseAddress(s); err != nil {
		return errors.New("give a mail address, such as alerts@example.com")
	}
	return nil
}

func checkMails(s string) error {
	if _, err := mail.ParseAddressList(s); err != nil {
		return errors.New("give mail addresses, such as you@example.com, separated by commas")
	}
	return nil
}

// checkHostPort checks an address of another machine: unlike those that are listened at, it has a host, and its port is no 0.
func checkHostPort(s string) error {
	host, port, err := net.SplitHostPort(s)
	if n, bad := strconv.Atoi(port); err != nil || bad != nil || host == "" || n < 1 || n > 65535 {
		return errors.New("give host:port, such as smtp.example.com:587")
	}
	return nil
}

// checkSecretURL checks a URL without repeating it, since it is a secret.
func checkSecretURL(s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return errors.New("give the URL as it was shown, beginning with https://")
	}
	return nil
}
