package alert

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/mail"
	"slices"
	"strconv"
	"strings"
	"time"

	gomail "github.com/wneessen/go-mail"

	"carom"
)

// EmailConfig says where mail is handed over.
type EmailConfig struct {
	To             string // one address or several, separated by commas
	From           string
	Server         string      // host:port; with port 465 the connection is encrypted from its first byte, else by STARTTLS
	User, Password string      // empty: the server asks for no account
	TLS            *tls.Config // whom to trust; nil: as the system does
}

// Email sends mail by SMTP. With an account, or to any port that is not on this machine, the connection has to be encrypted
// before the password is sent; a server without an account is also taken unencrypted, as relays in a private network are.
// It returns carom.ErrInvalid for addresses that cannot be used.
func Email(c EmailConfig) (Channel, error) {
	host, port, err := net.SplitHostPort(c.Server)
	if err != nil {
		return nil, carom.Invalid("smtp", "%q is no address: write host:port, such as smtp.example.com:587", c.Server)
	}
	number, err := strconv.Atoi(port)
	if err != nil || number < 1 || number > 65535 {
		return nil, carom.Invalid("smtp", "%q is no port: 587, 465 or 25 are usual", port)
	}
	from, err := mail.ParseAddress(c.From)
	if err != nil {
		return nil, carom.Invalid("alert_email_from", "it is no mail address: write alerts@example.com")
	}
	to, err := mail.ParseAddressList(c.To)
	if err != nil {
		return nil, carom.Invalid("alert_email_to", "it is no list of mail addresses: write you@example.com, separated by commas")
	}
	if c.TLS == nil {
		c.TLS = &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12}
	}
	options := []gomail.Option{gomail.WithPort(number), gomail.WithTimeout(15 * time.Second), gomail.WithoutNoop(), gomail.WithTLSConfig(c.TLS)}
	e := &email{host: host, from: from, to: to, password: c.Password}
	switch {
	case number == 465:
		e.direct = c.TLS
		options = append(options, gomail.WithSSL())
	case c.User == "" || isLoopback(host):
		options = append(options, gomail.WithTLSPolicy(gomail.TLSOpportunistic))
	default:
		options = append(options, gomail.WithTLSPolicy(gomail.TLSMandatory))
	}
	if c.User != "" {
		options = append(options, gomail.WithOpportunisticSMTPAuth(
			gomail.SMTPAuthSCRAMSHA256, gomail.SMTPAuthPlain, gomail.SMTPAuthLogin, gomail.SMTPAuthCramMD5), gomail.WithUsername(c.User), gomail.WithPassword(c.Password))
	}
	e.options = options
	return e, nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

type email struct {
	host     string
	from     *mail.Address
	to       []*mail.Address
	password string
	direct   *tls.Config // of connections that are encrypted from their first byte; nil: STARTTLS
	options  []gomail.Option
}

// Name implements Channel.
func (*email) Name() string { return "email" }

// Send implements Channel.
func (e *email) Send(ctx context.Context, n Notification) (string, error) {
	m := gomail.NewMsg()
	m.FromMailAddress(e.from)
	m.ToMailAddress(e.to...)
	m.Subject(n.Subject)
	m.SetGenHeader("Auto-Submitted", "auto-generated") // nobody's absence notice answers it
	m.SetBodyString(gomail.TypeTextPlain, n.Text)
	// The library leaves the connection open when the server does not take the account, so it is closed here.
	var conn net.Conn
	defer func() {
		if conn != nil {
			_ = conn.Close() // again, most often
		}
	}()
	dial := func(ctx context.Context, network, address string) (_ net.Conn, err error) {
		if e.direct != nil {
			conn, err = (&tls.Dialer{Config: e.direct}).DialContext(ctx, network, address)
		} else {
			conn, err = new(net.Dialer).DialContext(ctx, network, address)
		}
		return conn, err
	}
	client, err := gomail.NewClient(e.host, append(slices.Clone(e.options), gomail.WithDialContextFunc(dial))...)
	if err == nil {
		err = client.DialAndSendWithContext(ctx, m)
	}
	if err != nil {
		text := err.Error()
		if e.password != "" {
			text = strings.ReplaceAll(text, e.password, "***")
		}
		return "", fmt.Errorf("email: %s", oneLine(clip(text, 300)))
	}
	return "taken by " + e.host, nil
}
