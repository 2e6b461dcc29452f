package view

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"carom"
)

// maxText is the length of the longest user, ymid and placement, in bytes. Events have the same limit.
const maxText = 256

// opening is what a request that opens a view says. Unknown keys are faults: a misspelt one must not be lost.
type opening struct {
	App       text   `json:"app"`
	User      *text  `json:"user"` // nil: not said
	YMID      *text  `json:"ymid"` // nil: carom makes one
	Placement text   `json:"placement"`
	Sources   []text `json:"sources"`
	ExpiresIn text   `json:"expires_in"`
}

// text is a JSON string, or a whole number, whose digits are kept as they are written: ids of users often come as numbers.
type text string

// UnmarshalJSON implements json.Unmarshaler.
func (t *text) UnmarshalJSON(b []byte) error {
	switch {
	case b[0] == '"':
		return json.Unmarshal(b, (*string)(t))
	case bytes.Equal(b, []byte("null")):
		return nil
	case len(bytes.Trim(b, "0123456789")) == 0:
		*t = text(b)
		return nil
	}
	return &json.UnmarshalTypeError{Value: "what is there"} // to which the decoder adds the field
}

// parseOpening reads the body of a request. An empty one says nothing.
func parseOpening(body []byte) (opening, error) {
	var o opening
	if body = bytes.TrimSpace(body); len(body) == 0 {
		return o, nil
	}
	if !utf8.Valid(body) {
		return o, carom.Invalid("", "the body is not valid UTF-8: encode it so")
	}
	if body[0] != '{' {
		return o, carom.Invalid("", `the body is not a JSON object: send one such as {"app": "game"}`)
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	err := dec.Decode(&o)
	if err == nil {
		if _, err := dec.Token(); !errors.Is(err, io.EOF) {
			return o, carom.Invalid("", "something follows the JSON object: open one view with each request")
		}
		return o, nil
	}
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) {
		if wrong.Field == "sources" {
			return o, carom.Invalid("sources", `it is not a list of texts: send one such as ["monetag"]`)
		}
		return o, carom.Invalid(wrong.Field, "it is neither a text nor a whole number: send a text")
	}
	if name, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		return o, carom.Invalid(clip(strings.Trim(name, `"`)), "there is no such field: app, user, ymid, placement, sources and expires_in are known")
	}
	return o, carom.Invalid("", "the body is not valid JSON: send one object")
}

// clip shortens text from outside for an answer, between characters.
func clip(s string) string {
	const most = 40
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

// fromBackend makes a view of what an app's backend asks for. What it says is believed.
func (o *opening) fromBackend(a *app, seal carom.ViewSeal, now time.Time) (*carom.View, error) {
	v, err := o.view(a, now, MaxExpiry)
	if err != nil {
		return nil, err
	}
	v.Fixed = true
	if o.User == nil || *o.User == "" {
		return nil, carom.Invalid("user", "it is missing: say to whom the view's reward is credited, by the id that your app has for the user")
	}
	if v.User, err = checkText("user", *o.User); err != nil || o.YMID == nil {
		return v, err
	}
	if *o.YMID == "" {
		return nil, carom.Invalid("ymid", "it is empty: give one that is unique to the view, or leave it out")
	}
	if v.YMID, err = checkText("ymid", *o.YMID); err != nil {
		return nil, err
	}
	if _, taken := seal.ViewOf(v.YMID); taken {
		return nil, carom.Invalid("ymid", "carom made it for another view: leave it out, and each view gets one")
	}
	return v, nil
}

// fromBrowser makes a view of what a browser asks for. Whatever the page says was chosen by whoever sits in front of it, so
// it may say nothing that somebody is paid by.
func (o *opening) fromBrowser(a *app, user string, now time.Time) (*carom.View, error) {
	switch {
	case o.User != nil:
		return nil, carom.Invalid("user", "a browser cannot say who the user is, as it could name anybody: leave it out; the init data says it")
	case o.YMID != nil:
		return nil, carom.Invalid("ymid", "a browser cannot choose it, as it could take that of another view: leave it out, and pass the one of the answer to the SDK")
	}
	v, err := o.view(a, now, MaxBrowserExpiry)
	if err != nil {
		return nil, err
	}
	v.User = user
	return v, nil
}

// view makes of o what does not depend on who asks.
func (o *opening) view(a *app, now time.Time, longest time.Duration) (*carom.View, error) {
	v := &carom.View{App: a.name, OpenedAt: now, ByUser: len(o.Sources) == 0 && a.byUser}
	var err error
	if v.Placement, err = checkText("placement", o.Placement); err != nil {
		return nil, err
	}
	if len(o.Sources) > MaxSources {
		return nil, carom.Invalid("sources", "there are more than %d: leave them out to expect any of the app", MaxSources)
	}
	for _, s := range o.Sources {
		byUser, known := a.sources[string(s)]
		switch {
		case !known:
			return nil, carom.Invalid("sources", "the app has no source %q: name sources of the objects file, or leave them out to expect any", clip(string(s)))
		case slices.Contains(v.Sources, string(s)):
			return nil, carom.Invalid("sources", "%s is there twice: name each source once", s)
		}
		v.Sources = append(v.Sources, string(s))
		v.ByUser = v.ByUser || byUser
	}
	expiry := DefaultExpiry
	if o.ExpiresIn != "" {
		expiry, err = carom.ParseDuration(string(o.ExpiresIn))
		if err != nil || expiry < MinExpiry || expiry > longest {
			return nil, carom.Invalid("expires_in", "it is not a duration from %s to %s: write it as 10m",
				carom.FormatDuration(MinExpiry), carom.FormatDuration(longest))
		}
	}
	v.ExpiresAt = now.Add(expiry)
	return v, nil
}

// checkText returns a text that can be kept and shown: of at most maxText bytes, all of them printable.
func checkText(field string, t text) (string, error) {
	s := string(t)
	switch {
	case len(s) > maxText:
		return "", carom.Invalid(field, "it is longer than %d bytes: shorten it", maxText)
	case strings.ContainsFunc(s, func(r rune) bool { return r == utf8.RuneError || !unicode.IsPrint(r) }):
		return "", carom.Invalid(field, "it holds a character that cannot be printed, or half of one: use letters, digits and signs")
	}
	return s, nil
}
