// Package telegram verifies the init data that Telegram hands to a Mini App: who the user is, said by Telegram and not
// by the browser that sends it.
//
// It hides the two schemes, how the text is taken apart, and in which order it is judged. [BotToken] is for whoever
// holds the bot's token, [ThirdParty] for a network that does not. Both prove every field but the proof itself. The age
// is always checked. The package asks nobody and takes the time as an argument.
//
// Init data may be used any number of times until it is too old; the package does not remember what it has seen. Its
// errors hold no part of the data.
package telegram

import (
	"cmp"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strconv"
	"strings"
	"time"

	"carom"
)

// MaxBytes is the length of the longest init data that is looked at. Genuine data has a few hundred bytes.
const MaxBytes = 8 << 10

// DefaultMaxAge is how old init data may be if the caller does not say. Telegram names no maximum.
const DefaultMaxAge = 24 * time.Hour

// maxSkew is how far auth_date may lie in the future, because two clocks differ.
const maxSkew = time.Minute

// The fields that carom reads, and the two that hold proofs.
const (
	fieldAuthDate     = "auth_date"
	fieldChatInstance = "chat_instance"
	fieldHash         = "hash"
	fieldQueryID      = "query_id"
	fieldSignature    = "signature"
	fieldStartParam   = "start_param"
	fieldUser         = "user"
)

// InitData is what verified init data says. A field that Telegram did not send has its zero value.
type InitData struct {
	// UserID is the user's id as Telegram wrote it: 1 to 20 digits, such as "279058397". It is empty when the data
	// names no user: whoever needs one refuses that.
	UserID       string
	Language     string    // of the user's app, an IETF tag such as "ru"
	Premium      bool      // the user pays for Telegram Premium
	StartParam   string    // from the link that opened the Mini App, so anybody can have chosen it
	QueryID      string    // of this opening of the Mini App, if it can answer into a chat
	ChatInstance string    // of the chat from which a link opened the Mini App
	AuthDate     time.Time // when Telegram made the data; UTC, whole seconds
}

// Reason is a closed set of words for why init data is refused.
type Reason string

// The reasons.
const (
	Malformed Reason = "format"    // it is not init data, or a field has a form that Telegram does not send
	Forged    Reason = "signature" // the proof is missing, or is that of other data, another bot or another key
	Expired   Reason = "expired"   // it is too old: the user opens the Mini App again
	Future    Reason = "future"    // auth_date lies in the future: the clock of this machine is slow
)

// Error says why init data is refused. It is a *carom.FieldError, and so carom.ErrInvalid. Its field is `init_data` or
// one in it, such as `init_data.auth_date`.
type Error struct {
	Reason Reason
	Fault  *carom.FieldError
}

func (e *Error) Error() string { return e.Fault.Error() }

// Unwrap returns the fault.
func (e *Error) Unwrap() error { return e.Fault }

// refuse makes an Error for a field of the init data, or for the whole if name is empty.
func refuse(reason Reason, name, format string, args ...any) *Error {
	path := "init_data"
	if name != "" {
		path += "." + name
	}
	return &Error{reason, carom.Invalid(path, format, args...)}
}

// Verifier checks init data of one bot. The zero value refuses everything. It may be used concurrently. Make it with
// BotToken or ThirdParty.
type Verifier struct {
	proof string // the field that holds the proof
	// proves reports whether proof, the value of that field, proves fields. It holds the secret, which so is in no
	// dump of the Verifier.
	proves func(fields []field, proof string) bool
}

// BotToken makes a Verifier that checks the hash, an HMAC under a key made from the bot's token ("42:…", as BotFather
// gives it). It returns a *carom.FieldError if token cannot be one: an empty token would let anybody in.
//
// Source: core.telegram.org/bots/webapps, "Validating data received via the Mini App"; testdata/vectors.json.
func BotToken(token string) (*Verifier, error) {
	id, secret, ok := strings.Cut(token, ":")
	if !ok || !isDigits(id) || !isWord(secret) {
		return nil, carom.Invalid("bot_token", "it is not a bot token: paste the whole line that BotFather gives, such as 42:AAH…")
	}
	mac := hmac.New(sha256.New, []byte("WebAppData"))
	mac.Write([]byte(token))
	key := mac.Sum(nil)
	return &Verifier{fieldHash, func(fields []field, proof string) bool {
		given, err := hex.DecodeString(proof)
		if err != nil {
			return false
		}
		mac := hmac.New(sha256.New, key)
		mac.Write(checkString("", fields, fieldHash, ""))
		return hmac.Equal(mac.Sum(nil), given)
	}}, nil
}

// ThirdParty makes a Verifier that checks the Ed25519 signature, which Telegram makes for those who do not hold the
// bot's token. The key is ProductionKey or TestKey. It returns a *carom.FieldError if botID or key cannot be one.
//
// Source: core.telegram.org/bots/webapps, "Validating data for Third-Party Use"; testdata/vectors.json.
func ThirdParty(botID int64, key ed25519.PublicKey) (*Verifier, error) {
	if botID <= 0 {
		return nil, carom.Invalid("bot_id", "it is not the id of a bot: give the number before the colon of the bot's token")
	}
	if len(key) != ed25519.PublicKeySize {
		return nil, carom.Invalid("public_key", "it has %d bytes instead of %d: give the key that Telegram publishes",
			len(key), ed25519.PublicKeySize)
	}
	key = append(ed25519.PublicKey(nil), key...) // the caller may change its own
	head := strconv.FormatInt(botID, 10) + ":WebAppData"
	return &Verifier{fieldSignature, func(fields []field, proof string) bool {
		given, err := base64.RawURLEncoding.Strict().DecodeString(proof)
		return err == nil && ed25519.Verify(key, checkString(head, fields, fieldHash, fieldSignature), given)
	}}, nil
}

// Of makes the Verifier of an app: by its bot's token, or else by the bot's id. An app that has neither has none, and nil is
// returned. The error is a *carom.FieldError.
func Of(a *carom.App) (*Verifier, error) {
	switch {
	case a.BotToken != "":
		return BotToken(string(a.BotToken))
	case a.BotID == 0:
		return nil, nil
	case a.BotKey == "":
		return ThirdParty(a.BotID, ProductionKey())
	}
	key, err := hex.DecodeString(a.BotKey)
	if err != nil {
		return nil, carom.Invalid("public_key", "it is not hexadecimal: give the key as Telegram writes it, 64 digits")
	}
	return ThirdParty(a.BotID, key)
}

// ProductionKey returns the key that Telegram's servers sign with, e7bf03a2….
//
// Source: core.telegram.org/bots/webapps, "Validating data for Third-Party Use".
func ProductionKey() ed25519.PublicKey {
	return ed25519.PublicKey{
		0xe7, 0xbf, 0x03, 0xa2, 0xfa, 0x46, 0x02, 0xaf, 0x45, 0x80, 0x70, 0x3d, 0x88, 0xdd, 0xa5, 0xbb,
		0x59, 0xf3, 0x2e, 0xd8, 0xb0, 0x2a, 0x56, 0xc1, 0x87, 0xfe, 0x7d, 0x34, 0xca, 0xed, 0x24, 0x2d,
	}
}

// TestKey returns the key that Telegram's test environment signs with, 40055058…. Anybody can make accounts there.
//
// Source: as for ProductionKey.
func TestKey() ed25519.PublicKey {
	return ed25519.PublicKey{
		0x40, 0x05, 0x50, 0x58, 0xa4, 0xee, 0x38, 0x15, 0x6a, 0x06, 0x56, 0x2e, 0x52, 0xee, 0xce, 0x92,
		0xa7, 0x71, 0xbc, 0xd8, 0x34, 0x6a, 0x8c, 0x46, 0x15, 0xcb, 0x73, 0x76, 0xed, 0xdf, 0x72, 0xec,
	}
}

// Verify checks initData, the text of Telegram.WebApp.initData, and returns what it says. It must be no older at now
// than maxAge (zero or less: DefaultMaxAge) and no more than a minute ahead. The error is an *Error; InitData is then
// the zero value.
func (v *Verifier) Verify(initData string, now time.Time, maxAge time.Duration) (InitData, error) {
	data, refusal := v.verify(initData, now, maxAge)
	if refusal != nil {
		return InitData{}, refusal
	}
	return data, nil
}

func (v *Verifier) verify(initData string, now time.Time, maxAge time.Duration) (InitData, *Error) {
	if v.proves == nil {
		return InitData{}, refuse(Forged, "", "there is no key to check it with: set the bot's token or id")
	}
	fields, refusal := split(initData)
	if refusal != nil {
		return InitData{}, refusal
	}
	proof, ok := find(fields, v.proof)
	if !ok {
		return InitData{}, refuse(Forged, v.proof, "it is missing: send the whole text of Telegram.WebApp.initData, unchanged")
	}
	dated, ok := find(fields, fieldAuthDate)
	if !ok {
		return InitData{}, refuse(Malformed, fieldAuthDate, "it is missing: send the whole text of Telegram.WebApp.initData, unchanged")
	}
	if !v.proves(fields, proof) {
		return InitData{}, refuse(Forged, v.proof, "it does not fit the data: send the text of Telegram.WebApp.initData unchanged, "+
			"and check that the bot which is set up here is the one that opened the Mini App")
	}
	data, refusal := read(fields, dated)
	if refusal != nil {
		return InitData{}, refusal
	}
	maxAge = cmp.Or(max(maxAge, 0), DefaultMaxAge)
	switch age := now.Sub(data.AuthDate); {
	case age > maxAge:
		return InitData{}, refuse(Expired, fieldAuthDate, "it is more than %v old: close the Mini App and open it again", maxAge)
	case age < -maxSkew:
		return InitData{}, refuse(Future, fieldAuthDate, "it is more than %v in the future: set the clock of the machine that carom runs on", maxSkew)
	}
	return data, nil
}

// checkString is the text that a proof covers: head, then the fields, which are sorted, each on a line of its own, but
// without the two that are named.
func checkString(head string, fields []field, without, alsoWithout string) []byte {
	size := len(head)
	for _, f := range fields {
		size += len(f.name) + len(f.value) + 2
	}
	text := append(make([]byte, 0, size), head...)
	for _, f := range fields {
		if f.name == without || f.name == alsoWithout {
			continue
		}
		if len(text) > 0 {
			text = append(text, '\n')
		}
		text = append(text, f.name...)
		text = append(text, '=')
		text = append(text, f.value...)
	}
	return text
}
