// Package carom holds the nouns of ad postbacks and their pure rules.
//
// A received postback ([Received]) is a raw inbound request that nobody believes yet. Verification turns it into an
// [Event], which is immutable. An event is owed to endpoints ([Endpoint]) as deliveries; each HTTP exchange made for a
// delivery is an [Attempt]. Money is [Nanos], billionths of a unit, and never a float.
//
// The package imports only the standard library, keeps no state and is safe for concurrent use. It does no input or
// output: the packages under internal/ do.
package carom

import (
	"net/netip"
	"strings"
	"time"
)

// EventType says what happened. The four below are carom's own; an operator may add others (`lead`, `install`).
type EventType string

const (
	Impression EventType = "impression" // the creative was shown
	Click      EventType = "click"      // the user interacted with it
	Completion EventType = "completion" // the network says that the user earned it
	Reversal   EventType = "reversal"   // the network takes an earlier one back
	HoldEnded  EventType = "hold_ended" // of carom's own source: a held reward is credited
)

// RewardEventType says whether the network is paid for an event. The zero value means that the network did not say.
type RewardEventType string

const (
	Valued       RewardEventType = "valued"
	NotValued    RewardEventType = "not_valued"
	ValueEmpty   RewardEventType = ""
	ValueUnknown RewardEventType = "unknown" // a word nobody has met: the event is held, never granted
)

// YMIDKind says what the ymid of a source stands for, and with that how repeats are recognised.
type YMIDKind string

const (
	YMIDView    YMIDKind = "view"    // unique for every showing
	YMIDSession YMIDKind = "session" // repeats within a session
	YMIDUser    YMIDKind = "user"    // the user's id
)

// Strength says how strongly an event was verified.
type Strength string

const (
	Signed  Strength = "signed"  // a signature over the postback's fields
	Secret  Strength = "secret"  // a shared secret in the request
	Address Strength = "address" // only the sender's address
)

// Flags are the oddities of an event that did not stop it from being accepted.
type Flags uint32

// The flags. Their numbers are stored: never renumber them.
const (
	FlagPriceTruncated  Flags = 1 << iota // more than nine decimals: the rest was cut
	FlagPriceInvalid                      // not a usable price: stored empty
	FlagLiteralMacro                      // a macro arrived as text in a field nothing rests on: stored empty
	FlagRepeated                          // a further parameter came more than once: the first was kept
	FlagYMIDAsUser                        // the ymid equals the telegram_id or is empty: treated as in a `user` source
	FlagTest                              // a test: stored and marked, never rewarded
	FlagHeld                              // kept, its key claimed, owed to nobody until an operator releases it
	FlagUnlistedAddress                   // sent from an address that the source does not list, and does not ask for
)

var flagNames = []string{
	"price_truncated", "price_invalid", "literal_macro", "repeated_parameter", "ymid_as_user", "test", "held", "unlisted_address",
}

// Names returns the names of the flags that are set, in a fixed order; nil when none is.
func (f Flags) Names() []string {
	var names []string
	for i, name := range flagNames {
		if f&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return names
}

// String joins the names of the flags that are set with commas.
func (f Flags) String() string { return strings.Join(f.Names(), ",") }

// Field is one further parameter of an event, by the network's own name.
type Field struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Received is a raw inbound request from a network, not yet believed.
//
// Path never holds the secret: the door masks it before it makes a Received. Header holds only the headers that the
// source's profile asks for, with canonical names.
type Received struct {
	At          time.Time // UTC
	Method      string
	Path        string // masked, for the journal
	RawQuery    string // as sent, undecoded
	ContentType string
	Header      []Field
	Body        []byte // nil when there was none
	Client      netip.Addr
}

// Event is a verified ad action. It is immutable once accepted; ID and At are set by the store's accept.
type Event struct {
	ID         EventID
	At         time.Time // when it was received, UTC, milliseconds
	App        string    // name of the app
	Source     string    // name of the source within its app
	Network    string    // name of the profile
	Type       EventType
	Value      RewardEventType
	YMID       string
	ZoneID     string
	SubZoneID  string
	RequestVar string
	TelegramID string
	UserID     string // the user as the network names them, where that is not a Telegram id
	Price      Price  // the network's estimate
	ExternalID string // the `id` that a trusted server gave, or the network's transaction
	Fields     []Field
	Flags      Flags
	Held       string   // why it is held; empty when it is not
	Strength   Strength // how it was verified
	Received   Received // the request it came in

	View    ViewID    // of a view that was opened, or that its ymid shares with others; empty for one that (source, zone, ymid) names
	Origin  string    // the id of the event or the refused postback that was reprocessed to make this one; else empty
	Decided []Decided // what became of the rules that count it
}

// DedupeKey is what makes two events the same one.
//
// Sum is the first 128 bits of a SHA-256 over the key's tuple, source included. Also, unless it is zero, is another such
// sum that makes two events the same as well: over the signature, where the text it covers can be split into other fields.
// Check is a hash over amount and user: two events with one Sum and different Checks are conflicting duplicates. Window is
// how long the first one counts.
type DedupeKey struct {
	Sum    [16]byte
	Also   [16]byte
	Check  uint32
	Window time.Duration
}

// Reason is a closed set of words for why a received postback was refused or an event was held. See [Reasons].
type Reason string

const (
	ReasonNoIdentity       Reason = "no_identity"        // neither ymid nor telegram_id
	ReasonNoEventType      Reason = "no_event_type"      // the type is missing and the source has no default
	ReasonUnknownEventType Reason = "unknown_event_type" // a word that neither profile nor source maps
	ReasonUnknownValue     Reason = "unknown_value"      // held: a value word nobody has met
	ReasonLiteralMacro     Reason = "literal_macro"      // `{ymid}` as text where identity, type or value rests on it
	ReasonRepeated         Reason = "repeated_parameter" // one field, two different values
	ReasonBadEncoding      Reason = "bad_encoding"       // broken percent-encoding, NUL, or invalid UTF-8
	ReasonBadBody          Reason = "bad_body"           // not the JSON or form it says it is
	ReasonTooLarge         Reason = "too_large"          // URL over 16 KiB or body over 256 KiB
	ReasonBadMethod        Reason = "bad_method"         // a method the profile does not use
	ReasonUnsupportedMedia Reason = "unsupported_media"  // a body that is neither form nor JSON
	ReasonTooManyFields    Reason = "too_many_fields"    // more parameters than an event may keep
	ReasonFieldTooLong     Reason = "field_too_long"     // a mapped field beyond its limit

	ReasonTest Reason = "test" // the network's own test or probe: answered as accepted

	ReasonFrozen Reason = "frozen" // held: its source is frozen
	ReasonShadow Reason = "shadow" // held: its source only watches

	ReasonUnknownApp    Reason = "unknown_app"    // unverified: no such app
	ReasonUnknownSource Reason = "unknown_source" // unverified: no such source
	ReasonWrongSecret   Reason = "wrong_secret"   // unverified: the secret differs
	ReasonNoSignature   Reason = "no_signature"   // unverified: the signature is missing, or not where it has to be
	ReasonBadSignature  Reason = "bad_signature"  // unverified: the signature is of other bytes or another key
	ReasonUnknownKey    Reason = "unknown_key"    // unverified: the network publishes no key of this id
	ReasonStale         Reason = "stale"          // unverified: signed longer ago, or further ahead, than the clocks may differ
	ReasonWrongAddress  Reason = "wrong_address"  // unverified: from an address that the source does not list, and it asks for one
)

// Refused is a received postback that was verified and can never be used as it is. It claims no dedupe key.
type Refused struct {
	ID       ReceivedID
	App      string
	Source   string
	Network  string
	Reason   Reason
	Detail   string // a sentence that names the field and the fix; holds no user identifier
	Received Received
}

// Unverified is a received postback that proved nothing. Only a bounded sample is kept; all are counted.
type Unverified struct {
	App      string // empty when unknown
	Source   string // empty when unknown
	Reason   Reason
	Received Received
}
