package alert

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Channel is one way to a person.
type Channel interface {
	// Name is "email", "telegram" or "slack".
	Name() string
	// Send sends one notification and returns what was answered. Its error holds no secret; a [LaterError] says for how long
	// the other side wants to be left alone.
	Send(ctx context.Context, n Notification) (answer string, err error)
}

// LaterError is a refusal for a time.
type LaterError struct {
	Wait time.Duration
	Err  error
}

// Error says why and for how long.
func (e *LaterError) Error() string { return fmt.Sprintf("%v; wait for %s", e.Err, e.Wait) }

// Unwrap returns the refusal.
func (e *LaterError) Unwrap() error { return e.Err }

// telegram sends as a bot to one chat.
type telegram struct {
	client           *http.Client
	api, token, chat string
}

// Telegram sends through the bot that token belongs to, to a chat: a number, or @name of a channel. api is the base URL of
// the Bot API, https://api.telegram.org.
//
// Source: core.telegram.org/bots/api, read 2026-11-22: sendMessage takes text of up to 4096 characters; a refusal has
// `description`, and 429 `parameters.retry_after` in seconds.
func Telegram(api, token, chat string) Channel {
	return &telegram{newClient(), strings.TrimRight(api, "/"), token, chat}
}

// Name implements Channel.
func (*telegram) Name() string { return "telegram" }

// Send implements Channel.
func (t *telegram) Send(ctx context.Context, n Notification) (string, error) {
	status, _, body, err := post(ctx, t.client, t.api+"/bot"+t.token+"/sendMessage", map[string]any{
		"chat_id": t.chat, "text": n.Subject + "\n\n" + n.Text, "link_preview_options": map[string]bool{"is_disabled": true},
	})
	if err != nil {
		return "", fmt.Errorf("telegram: %w", err)
	}
	var answer struct {
		OK          bool   `json:"ok"`
		Description string `json:"description"`
		Parameters  struct {
			RetryAfter int `json:"retry_after"`
		} `json:"parameters"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return "", fmt.Errorf("telegram: status %d, and the answer is not the Bot API's: correct alert_telegram_api", status)
	}
	if answer.OK && status == http.StatusOK {
		return "ok", nil
	}
	said := oneLine(clip(strings.ReplaceAll(answer.Description, t.token, "***"), 200))
	switch status {
	case http.StatusTooManyRequests:
		return "", &LaterError{time.Duration(answer.Parameters.RetryAfter) * time.Second, fmt.Errorf("telegram: %s", said)}
	case http.StatusUnauthorized, http.StatusNotFound:
		return "", fmt.Errorf("telegram: %s: the bot is not known: correct alert_telegram_token", said)
	}
	return "", fmt.Errorf("telegram: status %d: %s: correct alert_telegram_chat, and have the chat's owner start the bot or add it to the group", status, said)
}

// slack posts to a URL that stands for a channel.
type slack struct {
	client *http.Client
	url    string
}

// Slack posts {"text": …} to a Slack-compatible URL, which is a secret: whoever has it can post. Slack, Mattermost, Rocket.Chat
// and Discord (with /slack at the end) make such URLs.
//
// Source: docs.slack.dev, "Sending messages using incoming webhooks", read 2026-11-22: 200 with the body "ok"; errors are words
// such as no_service; 429 with Retry-After in seconds. `&`, `<` and `>` in text are written as entities.
func Slack(url string) Channel { return &slack{newClient(), url} }

// Name implements Channel.
func (*slack) Name() string { return "slack" }

// Send implements Channel.
func (s *slack) Send(ctx context.Context, n Notification) (string, error) {
	text := strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace("*" + n.Subject + "*\n" + n.Text)
	status, header, body, err := post(ctx, s.client, s.url, map[string]string{"text": text})
	if err != nil {
		return "", fmt.Errorf("slack: %w", err)
	}
	said := oneLine(clip(strings.TrimSpace(strings.ReplaceAll(string(body), s.url, "***")), 200))
	switch {
	case status >= 200 && status < 300:
		return strings.TrimSpace(fmt.Sprintf("status %d %s", status, said)), nil
	case status == http.StatusTooManyRequests:
		seconds, _ := strconv.Atoi(header.Get("Retry-After")) // absent or a date: the usual wait
		return "", &LaterError{time.Duration(seconds) * time.Second, errors.New("slack: status 429")}
	case status == http.StatusForbidden, status == http.StatusNotFound, status == http.StatusGone:
		return "", fmt.Errorf("slack: status %d %s: the URL is not known any more: make a new one and set alert_slack_url", status, said)
	}
	return "", fmt.Errorf("slack: status %d %s", status, said)
}

// newClient makes a client that follows no redirect: it would carry a secret elsewhere.
func newClient() *http.Client {
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true, // alerts are hours apart
			TLSHandshakeTimeout: 10 * time.Second, ResponseHeaderTimeout: 15 * time.Second,
		},
	}
}

// maxAnswer is how much of an answer is read: it is a word or a small object.
const maxAnswer = 64 << 10

// post sends v as JSON. Errors leave out the URL, which holds a secret.
func post(ctx context.Context, client *http.Client, to string, v any) (int, http.Header, []byte, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return 0, nil, nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(data))
	if err != nil {
		return 0, nil, nil, errors.New("the URL cannot be used: write it as it was shown")
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "carom")
	resp, err := client.Do(req)
	if err != nil {
		if u := (*url.Error)(nil); errors.As(err, &u) {
			err = u.Err
		}
		return 0, nil, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return 0, nil, nil, fmt.Errorf("status %d, and the answer breaks off", resp.StatusCode)
	}
	return resp.StatusCode, resp.Header, body, nil
}
