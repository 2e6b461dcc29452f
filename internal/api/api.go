// Package api serves /v1: what a program or the carom command can ask of a running server, as REST with an OpenAPI 3.1
// document generated from the code and problem details for errors.
//
// It stands beside the flow of events: it reads the store and the lanes, and changes only what an operator changes
// (objects, keys, members, resends, and rewards by hand through the door). It decides nothing about events. It promises that no
// secret is shown but once, when it is made, and that a key which is limited to one app, or to one publisher, sees nothing of any other.
// POST /v1/events is described here and served by the door, /v1/views by the door of views.
package api

import (
	"cmp"
	"context"
	"crypto/rand"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"carom"
	"carom/internal/network"
)

// Store is what the API asks of the store. All methods may be called concurrently.
type Store interface {
	// Events returns the events that f selects, newest first.
	Events(ctx context.Context, f carom.EventFilter) ([]*carom.Event, error)
	// StartFeed begins to follow events: behind all that is stored now, or behind an event, with what was stored since; some of what
	// other nodes had stored before it is there again. Of f only App, Source and Limit count. It returns carom.ErrInvalid for what is
	// no event's id, and carom.ErrNotFound for an event of elsewhere.
	StartFeed(ctx context.Context, f carom.EventFilter, after carom.EventID) (carom.Feed, error)
	// EventsBehind returns what was stored behind the cursor of a feed; when it is more than the limit, the newest of it.
	EventsBehind(ctx context.Context, f carom.EventFilter, c carom.FeedCursor) (carom.Feed, error)
	// Story returns all that is known about one event, or carom.ErrNotFound.
	Story(ctx context.Context, id carom.EventID) (*carom.Story, error)
	// Refused returns verified but unusable postbacks, newest first.
	Refused(ctx context.Context, f carom.RefusedFilter) ([]*carom.Refused, error)
	// RefusedByID returns one of them, or carom.ErrNotFound.
	RefusedByID(ctx context.Context, id carom.ReceivedID) (*carom.Refused, error)
	// Unverified returns the kept sample of postbacks that proved nothing, newest first.
	Unverified(ctx context.Context, app, source string, limit int) ([]*carom.Unverified, error)
	Counts(ctx context.Context, f carom.CountFilter) ([]carom.Count, error)
	DeliveryCounts(ctx context.Context, f carom.CountFilter) ([]carom.DeliveryCount, error)
	Backlogs(ctx context.Context) ([]carom.Backlog, error)
	// Resend makes an ended delivery pending again under the same id, with a fresh budget of attempts. It returns
	// carom.ErrNotFound, or carom.ErrConflict when the delivery is pending or its endpoint is deleted.
	Resend(ctx context.Context, id carom.DeliveryID) error
	// Deliveries returns what one endpoint, by its number, was owed: stories with the deliveries to it alone, newest event first.
	// Of f only App, Before and Limit count; an empty state lets all through. It looks at so many events and no more: next, when
	// there is one, is where to go on.
	Deliveries(ctx context.Context, endpoint int, state carom.DeliveryState, f carom.EventFilter) (list []*carom.Story, next carom.EventID, err error)
	Keys(ctx context.Context) ([]carom.APIKey, error)
	CreateKey(ctx context.Context, key carom.APIKey, audit ...carom.AuditEntry) error
	// DeleteKey returns carom.ErrNotFound when there is no such key.
	DeleteKey(ctx context.Context, id string, audit ...carom.AuditEntry) error
	// Trouble says since when nothing can be stored, if so.
	Trouble() carom.Trouble
	// KeyBySum finds a key by the SHA-256 of its text, from memory.
	KeyBySum(sum [32]byte) (carom.APIKey, bool)
	// Rewards returns the rewards that f selects, newest first.
	Rewards(ctx context.Context, f carom.RewardFilter) ([]*carom.Reward, error)
	// Reward returns a reward with its lines, oldest first, or carom.ErrNotFound.
	Reward(ctx context.Context, id carom.RewardID) (*carom.Reward, []carom.LedgerLine, error)
	// Ledger returns the lines of a user's account, newest first.
	Ledger(ctx context.Context, f carom.LedgerFilter) ([]carom.LedgerLine, error)
	Balances(ctx context.Context, app, user string) ([]carom.Balance, error)
	// CheckLedger reads the whole ledger and says where it does not agree with itself.
	CheckLedger(ctx context.Context) (carom.LedgerReport, error)
	// Person returns everything that is kept about a user of an app, who may be unknown.
	Person(ctx context.Context, app, user string) (*carom.Person, error)
	// Erase removes a user. After an error, it can be asked for again.
	Erase(ctx context.Context, app, user string) (carom.Erased, error)
	Books
	Answers
	People
	Finder
	Reports
}

// Door is what the API asks of the door: what a person does by hand becomes events there. An error of Void and Reprocess
// says that those behind what they return were not changed.
type Door interface {
	Void(rewards []*carom.Reward, by carom.By) ([]carom.Decided, error)
	// Grant returns no reward when the key was used before, and the id of the event that used it.
	Grant(r carom.Reward, key string, by carom.By) (*carom.Reward, carom.EventID, error)
	Reprocess(ctx context.Context, events []*carom.Event, refused []*carom.Refused, as carom.RewardEventType, by carom.By) ([]carom.Reprocessed, error)
}

// Lanes is what the API asks of the lanes.
type Lanes interface {
	Lanes() []carom.LaneState
	// Wake makes the lane of an endpoint, by its number, look at what is due now.
	Wake(endpoint int)
}

// Objects is the live configuration.
type Objects interface {
	// Objects returns what is in force. The caller does not change what it gets.
	Objects() carom.Objects
	// Apply stores want, in one transaction with the entries, and puts it in force. The caller has validated it.
	Apply(ctx context.Context, want carom.Objects, audit ...carom.AuditEntry) error
	// File is the file that the objects come from; while it is not empty they are read-only here.
	File() string
	// Plan reads an objects file, validates it and compares it with what is in force. Its error holds every fault as a
	// carom.FieldError. Secrets that want needs are made in it and returned in made.
	Plan(yaml []byte, prune bool) (want carom.Objects, changes []Change, made []MadeSecret, err error)
}

// Change is one object that an apply adds, changes or removes, or that it keeps though the file does not name it.
type Change struct {
	Kind   string        `json:"kind" doc:"publisher, app, source or endpoint"`
	ID     string        `json:"id" doc:"The object's name; sources and endpoints are named app/name"`
	Action string        `json:"action" doc:"added, changed or removed; kept: the file does not name it, and it stays since prune was not given"`
	Fields []FieldChange `json:"fields,omitempty" nullable:"false" doc:"What differs; secrets are masked"`
}

// changeKept is the action of an object that only prune would remove.
const changeKept = "kept"

// FieldChange is one field of a changed object, as text.
type FieldChange struct {
	Field  string `json:"field"`
	Before string `json:"before"`
	After  string `json:"after"`
}

// MadeSecret is the URL of a source that is new, or whose path secret was just made. It is shown once.
type MadeSecret struct {
	Source string `json:"source" doc:"app/source"`
	URL    string `json:"url" doc:"The URL to enter at the network. Shown once: its secret is not kept" shown:"once"`
}

// Options is what New needs. Store, Door, Lanes and Objects are required.
type Options struct {
	Store   Store
	Door    Door
	Lanes   Lanes
	Objects Objects
	Version string
	// SourceURL writes the URL that the operator of a source enters at the network. Without it the path alone is shown.
	SourceURL func(source carom.Source, secret string) string
	// Now tells the time; time.Now when nil.
	Now func() time.Time
	// Binding finds the binding of a source that is in force, nil for none, and Keys the public keys of networks: with them a
	// journaled postback is verified again.
	Binding func(app, source string) *network.Binding
	Keys    network.Keys
	// Profiles are the networks that carom knows, by name: stories say what their proofs rest on.
	Profiles map[string]*network.Profile
	// Shadow reports what comparing a source with today's receiver has found; nil: there are no reports.
	Shadow func(ctx context.Context, app, source string, since time.Time) (carom.ShadowReport, error)
	// Nodes lists the nodes that share the store, newest first; nil: nobody knows.
	Nodes func(ctx context.Context) ([]carom.Node, error)
	// Backup writes a backup of the data folder.
	Backup func(ctx context.Context, w io.Writer) error
	// Machine says how the machine stands, Certificates what networks are shown, PublicURL where they reach this server as
	// configured, InClear whether secrets are stored as they are, and Alerts who was told of what: the status judges them. What is nil or
	// empty is not judged.
	Machine      func() Machine
	Certificates func() []Certificate
	PublicURL    string
	InClear      bool
	Alerts       Alerts
	// BaseURL is where people reach this server, as links and snippets show it; PublicURL when empty. Unlike that one it may be a guess.
	BaseURL string
	// DashboardURL is where members but publishers' reach the dashboard; BaseURL when empty.
	DashboardURL string
	// Client finds the address that a request comes from, also behind a proxy; nil: that of the connection.
	Client func(*http.Request) netip.Addr
	// Settings are those of the process, as people may see them.
	Settings []Setting
	// Limits are how often one caller may ask.
	Limits Limits
	// Seal is the data folder's own: it signs the links with which publishers set up what is theirs. Without it there are none.
	Seal func() carom.ViewSeal
	// Try fires a test at an endpoint. Without it none can be fired.
	Try func(ctx context.Context, t Trial) TrialResult
	// Test plays a test postback through the door; ok is false when there is no such source. Without it none can be played.
	Test func(w http.ResponseWriter, r *http.Request) (_ DoorTest, ok bool)
	// EgressAddresses are those that postbacks come from, as publishers may list them in a firewall; empty: nobody has said.
	EgressAddresses []string
	// History reads the newest attempts and events for the check of endpoints, and Visitor visits their hosts. What is nil is left out.
	History History
	Visitor Visitor
	// Live begins to follow what is received and sent, and OtherEvents reads what other nodes have stored behind a cursor, nil for from
	// now on. What is nil is left out.
	Live        func() (Follower, error)
	OtherEvents func(ctx context.Context, f carom.EventFilter, c carom.FeedCursor) (carom.Feed, error)
	// Log gets errors that no caller can see, and a line for everything that is changed by hand; nothing is logged when nil.
	Log *slog.Logger
	// Done, when closed, ends requests that would go on for ever (the tail), so that the server can stop.
	Done <-chan struct{}
}

// service holds what the handlers share. change orders the requests that read the objects, alter them and apply them.
type service struct {
	Options
	Objects auditedObjects // in the place of that of the options
	change  sync.Mutex
	started time.Time

	weekMu sync.Mutex      // guards weeks
	weeks  map[string]week // by the app that a caller is limited to; "": all

	received lastDays[carom.Count]         // and what rules decided
	ended    lastDays[carom.DeliveryCount] // deliveries

	firstDays sync.Map // of sources by app/name: time.Time

	opened openedHours

	trials trials // fired at endpoints, by publisher
	limits *limiter

	passwords    *passwords
	otherSites   *http.CrossOriginProtection
	addressTries *tries          // to sign in, by address
	accountTries *tries          // likewise, by e-mail address
	refusals     *tries          // that the audit log holds, by caller
	tagKey       func() [32]byte // keys the ETags of objects, the same on every node
}

// Handler is the handler of everything under /v1.
type Handler struct {
	http.Handler
	s *service
}

// New makes the handler of everything under /v1. It starts nothing. Every request needs a key or a session, except those that [Local]
// marks, those that begin a session and those for the OpenAPI document.
func New(o Options) *Handler {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	o.BaseURL = strings.TrimSuffix(cmp.Or(o.BaseURL, o.PublicURL), "/")
	if o.SourceURL == nil {
		o.SourceURL = func(s carom.Source, secret string) string { return "/in/" + s.App + "/" + s.Name + "/" + secret }
	}
	o.DashboardURL = strings.TrimSuffix(cmp.Or(o.DashboardURL, o.BaseURL), "/")
	s := &service{
		Options: o, Objects: auditedObjects{o.Objects}, started: o.Now(), passwords: newPasswords(), otherSites: otherSites(o.DashboardURL),
		limits: newLimiter(o.Limits, o.Now), addressTries: newTries(10, 30*time.Second, o.Now), accountTries: newTries(30, time.Minute, o.Now), refusals: newTries(20, time.Minute, o.Now),
	}
	s.tagKey = sync.OnceValue(func() (key [32]byte) {
		if o.Seal != nil {
			return o.Seal().Key("etag")
		}
		_, _ = rand.Read(key[:]) // it never fails: the process ends instead
		return key
	})
	h, _ := routes(s)
	return &Handler{h, s}
}

// now is the present moment in UTC.
func (s *service) now() time.Time { return s.Now().UTC() }
