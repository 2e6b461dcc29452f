package carom

import (
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// Objects is what an operator configures: who owns, what comes in, what goes out. It is plain data; see internal/objects
// for the file it is read from. Names are unique within their app.
type Objects struct {
	Publishers []Publisher
	Apps       []App
	Sources    []Source
	Endpoints  []Endpoint
	Rules      []Rule
	Zones      []Zone     // of the network end
	Creatives  []Creative // likewise
	Dialects   []Dialect

	// Version counts how often the objects were replaced in the store. Who replaces them hands on the version of those that the new
	// ones were made from, so that two who do so at the same time do not undo each other's change.
	Version int64 `json:"-"`
}

// Publisher owns apps.
type Publisher struct {
	Name  string `json:"name"`
	Title string `json:"title,omitempty"`
	// AllowPrivate lets the endpoints that it makes by itself dial private and loopback addresses: it is of the operator's house.
	AllowPrivate bool `json:"allow_private,omitempty"`
}

// App is one Mini App, game or site.
type App struct {
	Name      string `json:"name"`
	Title     string `json:"title,omitempty"`
	Publisher string `json:"publisher,omitempty"`

	// TimeZone is where the app's day begins and ends, by its IANA name ("Europe/Berlin"). Empty means UTC.
	TimeZone string `json:"time_zone,omitempty"`
	// Currencies are what the app's rules pay in: names with how many decimals an amount may have, from 0 to 9.
	Currencies map[string]int `json:"currencies,omitempty"`

	// Origins are the pages from which a browser may open views: "https://game.example". Empty: none.
	Origins []string `json:"origins,omitempty"`
	// BotToken is what the app's Telegram bot was given. With it the init data of a Mini App is checked.
	BotToken Masked `json:"-"`
	// BotID is the bot's number. With it alone, init data is checked by the signature for third parties.
	BotID int64 `json:"bot_id,omitempty"`
	// BotKey is the Ed25519 key that such signatures are checked with, in hex. Empty: the one that Telegram publishes.
	BotKey string `json:"bot_key,omitempty"`
}

// ProfileAPI is the profile of sources that trusted servers report to through POST /v1/events.
const ProfileAPI = "api"

// Source is one way in.
type Source struct {
	App     string `json:"app"`
	Name    string `json:"name"`
	Profile string `json:"profile"` // "monetag", or ProfileAPI

	// YMID says what this source's ymid is. Empty means YMIDView.
	YMID YMIDKind `json:"ymid,omitempty"`
	// Template is the URL template that the publisher entered at the network. When given, parameter names come from it
	// alone, else from the profile and its aliases.
	Template string `json:"template,omitempty"`
	// DefaultEventType is the type of a postback that does not send one. Empty means that such a postback is refused.
	DefaultEventType EventType `json:"default_event_type,omitempty"`
	// EventTypes maps further words to event types, for this source: {"imp": "impression", "lead": "lead"}.
	EventTypes map[string]EventType `json:"event_types,omitempty"`
	// DedupeWindow is how long an event's key counts. Zero means 30 days.
	DedupeWindow time.Duration `json:"dedupe_window,omitempty"`
	// RepeatWindow is how long an equal callback counts as a copy where the ymid repeats. Zero means 10 minutes.
	RepeatWindow time.Duration `json:"repeat_window,omitempty"`

	// Secrets are the SHA-256 sums of the path secrets that are accepted now, newest first: two during a rotation.
	// The secrets themselves are shown once when made and not kept.
	Secrets []SecretSum `json:"secrets,omitempty"`
	// NetworkSecrets are the keys that the network signs with, or sends as they are, newest first: two during a rotation.
	// Whether there must be one says the profile.
	NetworkSecrets []SigningSecret `json:"network_secrets,omitempty"`
	// Addresses are those that the network sends from. They are noted with each event, and required if RequireAddress says so.
	Addresses      []netip.Prefix `json:"addresses,omitempty"`
	RequireAddress bool           `json:"require_address,omitempty"`
	// Rate is how many events a second the source may bring, a second's worth at once; more are told to try later. 0 is no limit.
	Rate float64 `json:"rate,omitempty"`

	// Mode is SourceLive, SourceFrozen or SourceShadow.
	Mode SourceMode `json:"mode,omitempty"`
	// ShadowURL is the receiver of today that a source in shadow passes each request on to, and whose answer it relays. Empty:
	// carom answers by itself.
	ShadowURL string `json:"shadow_url,omitempty"`
}

// SourceMode says what becomes of a source's events.
type SourceMode string

// The modes.
const (
	SourceLive   SourceMode = ""       // they are granted and sent
	SourceFrozen SourceMode = "frozen" // they are kept, and wait for somebody to release them
	SourceShadow SourceMode = "shadow" // they are judged and recorded, and nothing else
)

// ID names the source among all: "app/source".
func (s *Source) ID() string { return s.App + "/" + s.Name }

// SecretSum is the SHA-256 of a secret, with the moment after which it no longer counts (zero: for ever).
type SecretSum struct {
	Sum      [32]byte  `json:"sum"`
	NotAfter time.Time `json:"not_after,omitzero"`
}

// Endpoint is one way out. The zero value of every limit means its default, see [Endpoint.WithDefaults].
type Endpoint struct {
	No   int    `json:"no,omitempty"` // the store's number for it: permanent, never reused
	App  string `json:"app"`
	Name string `json:"name"`

	// Dialect is the name of the one that its templates are written in. Empty: carom's own, which is Monetag's.
	Dialect string  `json:"dialect,omitempty"`
	URL     string  `json:"url"`               // template
	Method  string  `json:"method,omitempty"`  // GET or POST
	Headers []Field `json:"headers,omitempty"` // values are templates
	Body    string  `json:"body,omitempty"`    // template; POST only. Empty: all fields of the event
	// ContentType of the body: "json" or "form".
	ContentType string `json:"content_type,omitempty"`

	Filter Filter `json:"filter,omitzero"`
	// Default gives it only what comes from zones that no other endpoint of the app names in its filter.
	Default bool        `json:"default,omitempty"`
	Success SuccessRule `json:"success,omitzero"`

	Schedule    []time.Duration `json:"schedule,omitempty"`    // waits before the 2nd, 3rd, … attempt; the last one repeats
	Deadline    time.Duration   `json:"deadline,omitempty"`    // from acceptance to expiry
	Timeout     time.Duration   `json:"timeout,omitempty"`     // of one attempt, all in
	Rate        float64         `json:"rate,omitempty"`        // attempts per second; 0 is no limit
	Concurrency int             `json:"concurrency,omitempty"` // attempts at the same time

	AllowPrivate bool `json:"allow_private,omitempty"` // may dial private and loopback addresses
	Once         bool `json:"once,omitempty"`          // do not repeat once sent
	Paused       bool `json:"paused,omitempty"`

	// Sends says what the endpoint gets: SendsEvents or SendsRewards.
	Sends Sends `json:"sends,omitempty"`

	// SigningSecrets sign what is sent, newest first: two during a rotation.
	SigningSecrets []SigningSecret `json:"signing_secrets,omitempty"`
}

// Sends says what an endpoint gets.
type Sends string

// What an endpoint can get.
const (
	SendsEvents  Sends = ""        // events that pass the filter
	SendsRewards Sends = "rewards" // rewards when they are credited and when they are taken back
)

// ID names the endpoint among all: "app/endpoint".
func (e *Endpoint) ID() string { return e.App + "/" + e.Name }

// SigningSecret is a key that deliveries, or a network's postbacks, are signed with. It prints masked.
type SigningSecret struct {
	Key      Masked    `json:"key"` // "whsec_" and base64, or plain text of at least 16 bytes
	NotAfter time.Time `json:"not_after,omitzero"`
}

// Masked is a secret text: fmt and slog print "***". Convert it to string to use it.
type Masked string

// String hides the secret.
func (Masked) String() string { return "***" }

// GoString hides the secret from %#v.
func (Masked) GoString() string { return `"***"` }

// MarshalText hides the secret from JSON and from structured logs.
func (Masked) MarshalText() ([]byte, error) { return []byte("***"), nil }

// Format hides the secret from every verb.
func (Masked) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("***")) }

// Filter says which events an endpoint gets. An empty list lets all through; held events never pass.
type Filter struct {
	EventTypes  []EventType       `json:"event_types,omitempty"`
	Values      []RewardEventType `json:"values,omitempty"` // "" stands for: the network did not say
	Zones       []string          `json:"zones,omitempty"`
	RequestVars []string          `json:"request_vars,omitempty"`
	Sources     []string          `json:"sources,omitempty"` // names of sources
	Rules       []string          `json:"rules,omitempty"`   // names of rules; of endpoints that get rewards, whose filter has only these and Sources
}

// SuccessRule says which answers count as delivered: 2xx, and what the body must or must not contain.
type SuccessRule struct {
	Contains    string `json:"contains,omitempty"`
	NotContains string `json:"not_contains,omitempty"`
}

// Defaults of an endpoint's limits.
const (
	DefaultDeadline    = 72 * time.Hour
	RewardDeadline     = 7 * 24 * time.Hour // of endpoints that get rewards
	DefaultTimeout     = 10 * time.Second
	DefaultConcurrency = 64
)

// DefaultSchedule is the wait before each further attempt; the last one repeats until the deadline.
var DefaultSchedule = []time.Duration{
	5 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour,
}

// WithDefaults returns e with every absent limit filled in.
func (e Endpoint) WithDefaults() Endpoint {
	if e.Method == "" {
		e.Method = "GET"
	}
	if e.Method == "POST" && e.ContentType == "" {
		e.ContentType = "json"
	}
	if len(e.Schedule) == 0 {
		e.Schedule = DefaultSchedule
	}
	if e.Deadline == 0 {
		e.Deadline = DefaultDeadline
		if e.Sends == SendsRewards {
			e.Deadline = RewardDeadline
		}
	}
	if e.Timeout == 0 {
		e.Timeout = DefaultTimeout
	}
	if e.Concurrency == 0 {
		e.Concurrency = DefaultConcurrency
	}
	return e
}

// Defaults of a source's windows. The repeat window is longer than any network's fast retries.
const (
	DefaultDedupeWindow = 30 * 24 * time.Hour
	DefaultRepeatWindow = 10 * time.Minute
)

// WithDefaults returns s with what is absent filled in.
func (s Source) WithDefaults() Source {
	if s.YMID == "" {
		s.YMID = YMIDView
	}
	if s.DedupeWindow == 0 {
		s.DedupeWindow = DefaultDedupeWindow
	}
	if s.RepeatWindow == 0 {
		s.RepeatWindow = DefaultRepeatWindow
	}
	return s
}

// CheckName says what is wrong with the name of an object, or returns nil. field is where the name stands.
func CheckName(field, name string) error {
	const allowed = "abcdefghijklmnopqrstuvwxyz0123456789_-"
	switch {
	case name == "":
		return Invalid(field, "a name is missing: give it one of lower-case letters, digits, - and _")
	case len(name) > 63:
		return Invalid(field, "the name %q is longer than 63 characters: shorten it", clip(name))
	case strings.Trim(name, allowed) != "" || strings.ContainsAny(name[:1], "-_"):
		return Invalid(field, "the name %q may hold lower-case letters, digits, - and _, and begins with a letter or digit", clip(name))
	}
	return nil
}
