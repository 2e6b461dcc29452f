package view

import (
	"crypto/sha256"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"carom"
	"carom/internal/telegram"
)

// made is a new view, as it is answered. The token is shown here and never again.
type made struct {
	ViewID    carom.ViewID    `json:"view_id"`
	YMID      string          `json:"ymid"`
	Token     string          `json:"token"`
	State     carom.ViewState `json:"state"`
	Placement string          `json:"placement"`
	ExpiresAt time.Time       `json:"expires_at"`
}

// open opens a view for a backend or a browser.
func (d *Door) open(w http.ResponseWriter, r *http.Request) {
	c := d.apps.Load()
	c.greet(w, r)
	v, p := d.wanted(w, r, c)
	if p != nil {
		p.write(w)
		return
	}
	by := byBackend
	if !v.Fixed {
		by = byBrowser
		if again := d.openings.take(v.App, v.User, d.opts.Clock()); again > 0 {
			later(http.StatusTooManyRequests, again, "this user opens too many views: open one when an ad is about to be shown, 30 a minute at most").write(w)
			return
		}
	}
	if err := d.opts.Store.OpenView(r.Context(), v); err != nil {
		d.storeProblem(r.Context(), err).write(w)
		return
	}
	d.opened.WithLabelValues(by).Inc()
	writeJSON(w, http.StatusCreated, "application/json", made{
		ViewID: v.ID, YMID: v.YMID, Token: d.opts.Store.ViewSeal().Token(v.ID), State: carom.ViewOpen, Placement: v.Placement, ExpiresAt: v.ExpiresAt,
	})
}

// credentials takes the Authorization header apart. The scheme is in lower case.
func credentials(r *http.Request) (scheme, text string) {
	scheme, text, _ = strings.Cut(r.Header.Get("Authorization"), " ")
	return strings.ToLower(scheme), strings.TrimSpace(text)
}

// wanted makes the view that a request asks for, or says why it may not be opened.
func (d *Door) wanted(w http.ResponseWriter, r *http.Request, c *catalog) (*carom.View, *problem) {
	scheme, text := credentials(r)
	browser := scheme == "tma"
	var key carom.APIKey
	if !browser {
		var p *problem
		if key, p = d.backend(r, scheme, text); p != nil {
			return nil, p
		}
	}
	body, p := readBody(w, r)
	if p != nil {
		return nil, p
	}
	o, err := parseOpening(body)
	if err != nil {
		return nil, invalid(err)
	}
	a, p := c.find(string(o.App), key.App)
	if p != nil {
		return nil, p
	}
	if p := a.shut(w, r); p != nil {
		return nil, p
	}
	now := d.opts.Clock().UTC().Truncate(time.Millisecond)
	var v *carom.View
	if browser {
		data, p := a.browser(text, now)
		if p != nil {
			return nil, p
		}
		v, err = o.fromBrowser(a, data.UserID, now)
	} else {
		v, err = o.fromBackend(a, d.opts.Store.ViewSeal(), now)
	}
	if err != nil {
		return nil, invalid(err)
	}
	return v, nil
}

// backend finds the API key of a request, which the local socket does without.
func (d *Door) backend(r *http.Request, scheme, text string) (carom.APIKey, *problem) {
	if d.opts.Local(r) {
		return carom.APIKey{Scope: carom.ScopeAdmin}, nil
	}
	if scheme != "bearer" || text == "" {
		return carom.APIKey{}, unauthorized("", "it is not said who opens the view: a backend sends the header Authorization: Bearer KEY, "+
			"with an API key that carom keys create --scope events makes; a Mini App sends Authorization: tma INIT_DATA, with the text of Telegram.WebApp.initData")
	}
	key, known := d.opts.Store.KeyBySum(sha256.Sum256([]byte(text)))
	switch {
	case !known:
		return carom.APIKey{}, unauthorized("", "this API key is not known: make one with carom keys create --scope events")
	case key.Scope != carom.ScopeEvents && key.Scope != carom.ScopeAdmin:
		return carom.APIKey{}, newProblem(http.StatusForbidden, "", "this API key may not open views: make one with carom keys create --scope events")
	}
	return key, nil
}

// browser verifies init data. It has to name a user, to whom the view's reward is credited.
func (a *app) browser(initData string, now time.Time) (telegram.InitData, *problem) {
	if a.bot == nil {
		return telegram.InitData{}, newProblem(http.StatusForbidden, "apps."+a.name+".telegram",
			"browsers open no views of this app: set bot_token_file or bot_id under telegram of the app in the objects file")
	}
	data, err := a.bot.Verify(initData, now, telegram.DefaultMaxAge)
	if err == nil && data.UserID == "" {
		err = carom.Invalid("init_data.user", "it names no user: open the Mini App from a button or a link of the bot")
	}
	if err != nil {
		p := invalid(err)
		p = unauthorized(p.Field, p.Detail)
		p.challenge = "tma"
		return telegram.InitData{}, p
	}
	return data, nil
}

// find returns the app that a request names, or else the one that its key is limited to.
func (c *catalog) find(name, ofKey string) (*app, *problem) {
	if name == "" {
		name = ofKey
	}
	if name == "" {
		return nil, invalid(carom.Invalid("app", "the app is missing: name it, or use an API key that belongs to one app"))
	}
	a := c.apps[name]
	if a == nil || ofKey != "" && ofKey != name {
		return nil, invalid(carom.Invalid("app", "there is no app of that name here, or the API key belongs to another one: name one of the objects file"))
	}
	return a, nil
}

func readBody(w http.ResponseWriter, r *http.Request) ([]byte, *problem) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxBodyBytes))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, newProblem(http.StatusRequestEntityTooLarge, "", "the request is larger than 16 KiB: send the fields of one view alone")
	case err != nil:
		return nil, newProblem(http.StatusBadRequest, "", "the body ended early: send all of it")
	}
	return body, nil
}
