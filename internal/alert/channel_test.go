package alert

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	gomail "github.com/wneessen/go-mail"

	"carom"
)

// token stands for every secret: it may be in no error.
const token = "123456:AAsecretsecret"

func note() Notification {
	return Notification{Subject: "[ads.example] LOSING MONEY: endpoint shop/backend", Text: "it fails: <status 503> & more\nnäxt\n"}
}

// httpServer answers with a status and a body, and keeps the last request.
type httpServer struct {
	*httptest.Server
	status int
	header http.Header
	body   string
	path   string
	got    map[string]any
}

func newHTTPServer(t *testing.T) *httpServer {
	s := &httpServer{status: 200, header: http.Header{}}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.path, s.got = r.URL.Path, nil
		_ = json.NewDecoder(r.Body).Decode(&s.got)
		for name, values := range s.header {
			w.Header()[name] = values
		}
		w.WriteHeader(s.status)
		_, _ = io.WriteString(w, s.body)
	}))
	t.Cleanup(s.Close)
	return s
}

func TestTelegram(t *testing.T) {
	s := newHTTPServer(t)
	ch := Telegram(s.URL+"/", token, "-100123")
	s.body = `{"ok":true,"result":{"message_id":1}}`
	if answer, err := ch.Send(t.Context(), note()); err != nil || answer != "ok" {
		t.Fatalf("Send: %q, %v", answer, err)
	}
	if text, _ := s.got["text"].(string); s.path != "/bot"+token+"/sendMessage" || s.got["chat_id"] != "-100123" || !strings.Contains(text, "<status 503> & more") {
		t.Errorf("sent %s %v", s.path, s.got)
	}
	for _, tt := range []struct {
		name   string
		status int
		body   string
		says   string
	}{
		{"an unknown chat", 400, `{"ok":false,"description":"Bad Request: chat not found"}`, "alert_telegram_chat"},
		{"an unknown bot", 401, `{"ok":false,"description":"Unauthorized"}`, "alert_telegram_token"},
		{"another server", 200, `<html>hello</html>`, "alert_telegram_api"},
		{"an answer that repeats the secret", 400, `{"ok":false,"description":"bad ` + token + `"}`, "***"},
	} {
		s.status, s.body = tt.status, tt.body
		if _, err := ch.Send(t.Context(), note()); err == nil || !strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), token) {
			t.Errorf("%s: %v, want it to say %s", tt.name, err, tt.says)
		}
	}
	s.status, s.body = 429, `{"ok":false,"description":"Too Many Requests","parameters":{"retry_after":31}}`
	var later *LaterError
	if _, err := ch.Send(t.Context(), note()); !errors.As(err, &later) || later.Wait != 31*time.Second {
		t.Errorf("too many: %v", err)
	}
}

func TestSlack(t *testing.T) {
	s := newHTTPServer(t)
	ch := Slack(s.URL + "/services/" + token)
	s.body = "ok"
	if answer, err := ch.Send(t.Context(), note()); err != nil || answer != "status 200 ok" {
		t.Fatalf("Send: %q, %v", answer, err)
	}
	if text, _ := s.got["text"].(string); s.path != "/services/"+token || !strings.Contains(text, "&lt;status 503&gt; &amp; more") {
		t.Errorf("sent %s %v", s.path, s.got)
	}
	s.status, s.body = 404, "no_service"
	if _, err := ch.Send(t.Context(), note()); err == nil || !strings.Contains(err.Error(), "alert_slack_url") || strings.Contains(err.Error(), token) {
		t.Errorf("an unknown URL: %v", err)
	}
	s.status, s.header = 429, http.Header{"Retry-After": {"7"}}
	var later *LaterError
	if _, err := ch.Send(t.Context(), note()); !errors.As(err, &later) || later.Wait != 7*time.Second {
		t.Errorf("too many: %v", err)
	}
	s.status, s.header = 302, http.Header{"Location": {"https://elsewhere.example/"}}
	if _, err := ch.Send(t.Context(), note()); err == nil {
		t.Error("a redirect counts as sent")
	}
}

func TestNoErrorOfAConnectionHoldsASecret(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	_ = l.Close() // nobody listens any more
	mail, err := Email(EmailConfig{To: "a@example.com", From: "b@example.com", Server: address, User: "u", Password: token})
	if err != nil {
		t.Fatal(err)
	}
	for _, ch := range []Channel{Telegram("http://"+address, token, "1"), Slack("http://" + address + "/" + token), Slack("http://[" + token), mail} {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		if _, err := ch.Send(ctx, note()); err == nil || strings.Contains(err.Error(), token) || !strings.HasPrefix(err.Error(), ch.Name()) {
			t.Errorf("%s: %v", ch.Name(), err)
		}
		cancel()
	}
}

func TestEmailSettings(t *testing.T) {
	good := EmailConfig{To: "a@example.com, b@example.com", From: "Carom <b@example.com>", Server: "smtp.example.com:587"}
	if _, err := Email(good); err != nil {
		t.Fatal(err)
	}
	for field, change := range map[string]func(*EmailConfig){
		"smtp":             func(c *EmailConfig) { c.Server = "smtp.example.com" },
		"alert_email_from": func(c *EmailConfig) { c.From = "nobody" },
		"alert_email_to":   func(c *EmailConfig) { c.To = "a@example.com;b" },
	} {
		c := good
		change(&c)
		if _, err := Email(c); !errors.Is(err, carom.ErrInvalid) || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %v", field, err)
		}
	}
}

func TestEmail(t *testing.T) {
	tests := []struct {
		name string
		srv  smtpServer
		user string
		fail string // part of the error; empty: it is sent
	}{
		{"STARTTLS and an account", smtpServer{startTLS: true, password: token}, "u", ""},
		{"encrypted from the first byte, as on port 465", smtpServer{direct: true, password: token}, "u", ""},
		{"an account without encryption", smtpServer{password: token}, "u", "email: "},
		{"no account, no encryption", smtpServer{}, "", ""},
		{"a wrong password", smtpServer{startTLS: true, password: "other"}, "u", "535"},
		{"a refused recipient", smtpServer{refuse: true}, "", "550"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := tt.srv
			s.start(t)
			c := EmailConfig{To: "oncall@example.com, second@example.com", From: "Carom <alerts@example.com>", Server: s.address, TLS: s.trust}
			if tt.user != "" {
				c.User, c.Password = tt.user, token
			}
			ch, err := Email(c)
			if err != nil {
				t.Fatal(err)
			}
			if s.direct { // which the port says, and a test cannot have that one
				e := ch.(*email)
				e.direct, e.options = s.trust, append(e.options, gomail.WithSSL())
			}
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			_, err = ch.Send(ctx, note())
			if tt.fail != "" {
				if err == nil || !strings.Contains(err.Error(), tt.fail) || strings.Contains(err.Error(), token) {
					t.Errorf("Send: %v, want it to say %s", err, tt.fail)
				}
				return
			}
			if err != nil {
				t.Fatalf("Send: %v", err)
			}
			got := <-s.mail
			for _, want := range []string{"To: <oncall@example.com>, <second@example.com>", "Subject: [ads.example] LOSING MONEY", "Auto-Submitted: auto-generated", "n=C3=A4xt"} {
				if !strings.Contains(got, want) {
					t.Errorf("%q is missing in:\n%s", want, got)
				}
			}
		})
	}
}

// smtpServer is a mail server for one connection.
type smtpServer struct {
	startTLS bool
	direct   bool   // encrypted from the first byte
	password string // of any account; empty: no account is asked for
	refuse   bool   // the recipient
	address  string
	trust    *tls.Config
	mail     chan string // capacity 1
}

func (s *smtpServer) start(t *testing.T) {
	web := httptest.NewUnstartedServer(nil) // it has a certificate for 127.0.0.1
	web.StartTLS()
	t.Cleanup(web.Close)
	pool := x509.NewCertPool()
	pool.AddCert(web.Certificate())
	s.trust = &tls.Config{RootCAs: pool, ServerName: "127.0.0.1", MinVersion: tls.VersionTLS12}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.address, s.mail = l.Addr().String(), make(chan string, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
		if s.direct {
			conn = tls.Server(conn, web.TLS)
		}
		s.serve(conn, web.TLS)
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
}

func (s *smtpServer) serve(conn net.Conn, certificate *tls.Config) {
	_, _ = fmt.Fprint(conn, "220 mail.example ESMTP\r\n")
	in, encrypted := bufio.NewReader(conn), s.direct
	say := func(line string) { _, _ = fmt.Fprint(conn, line+"\r\n") }
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		verb, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch strings.ToUpper(verb) {
		case "EHLO":
			if s.startTLS && !encrypted {
				say("250-mail.example\r\n250 STARTTLS")
			} else if s.password != "" {
				say("250-mail.example\r\n250 AUTH PLAIN")
			} else {
				say("250 mail.example")
			}
		case "STARTTLS":
			say("220 go on")
			secure := tls.Server(conn, certificate)
			if secure.Handshake() != nil {
				return
			}
			conn, in, encrypted = secure, bufio.NewReader(secure), true
		case "AUTH":
			proof, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(rest, "PLAIN "))
			if encrypted && strings.HasSuffix(string(proof), "\x00"+s.password) {
				say("235 welcome")
			} else {
				say("535 no")
			}
		case "RCPT":
			if s.refuse {
				say("550 no such person")
			} else {
				say("250 ok")
			}
		case "DATA":
			say("354 go on")
			var b strings.Builder
			for line, err := in.ReadString('\n'); err == nil && line != ".\r\n"; line, err = in.ReadString('\n') {
				b.WriteString(line)
			}
			s.mail <- b.String()
			say("250 taken")
		case "QUIT":
			say("221 bye")
			return
		default:
			say("250 ok")
		}
	}
}
