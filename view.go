package carom

import (
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"strings"
	"time"
)

// ViewID names a view: "vw_" and 21 characters. A view that was opened has a place of its own, one that was made by its
// first event has that event's.
type ViewID string

// View is a view that an app opened before it showed the ad. A view that was made by its first event has no row of its own.
type View struct {
	ID        ViewID
	App       string
	User      string   // to whom its reward is credited; never empty
	YMID      string   // what the app passes to the SDK
	Placement string   // the request_var that the backend fixed; empty: the browser opened it, or nothing was fixed
	Fixed     bool     // a backend opened the view, so that Placement is more than the browser's word
	Sources   []string // names of the sources that are expected; empty: any of the app
	ByUser    bool     // a network without an id of the view may confirm it: its events are known by their user alone
	OpenedAt  time.Time
	ExpiresAt time.Time // after it nobody waits any more; a valued event still confirms
}

// Expects says whether events of the named source may confirm the view.
func (v *View) Expects(source string) bool {
	for _, s := range v.Sources {
		if s == source {
			return true
		}
	}
	return len(v.Sources) == 0
}

// ViewState is how a view stands.
type ViewState string

// The states. Late news changes any but confirmed.
const (
	ViewOpen      ViewState = "open"      // nothing that earns has come
	ViewConfirmed ViewState = "confirmed" // there is a reward, credited or held
	ViewDeclined  ViewState = "declined"  // an event that a rule counts came, and the rule declined
	ViewExpired   ViewState = "expired"
)

// ViewOutcome is what has become of a view.
type ViewOutcome struct {
	State  ViewState
	Unpaid bool          // an event came that the network does not pay for
	Reward *Reward       // when confirmed: the first that was not additional, else the first
	Reason DeclineReason // when declined
}

// Sum is the sum over the view's identity: (app, ymid).
func (v *View) Sum() [16]byte { return SumOf("opened view", v.App, v.YMID) }

// After returns what has become of a view after one more of its events.
func (o ViewOutcome) After(ev *Event) ViewOutcome {
	if o.State == ViewConfirmed {
		return o
	}
	for _, d := range ev.Decided {
		switch {
		case d.State == RewardGranted || d.State == RewardHeld:
			return ViewOutcome{State: ViewConfirmed, Reward: d.Reward}
		case d.State != RewardDeclined, d.Reason == DeclineOtherSource, d.Reason == DeclinePlacement, d.Reason == DeclineRewarded:
			// that rule is not about this view, or it has paid
		default:
			o.State, o.Reason = ViewDeclined, d.Reason
		}
	}
	if o.State == "" {
		o.State = ViewOpen
	}
	o.Unpaid = o.Unpaid || ev.Value == NotValued
	return o
}

// ViewClaim says which view an event belongs to, and what was known of it before the commit. The zero value is none.
type ViewClaim struct {
	Sum   [16]byte      // over the view's identity: (app, ymid) of an opened view, else (source, zone, ymid)
	Plain [16]byte      // of an opened view: the sum that it would have if nobody had opened it, under which it may have earned before; zero: none
	View  *View         // the opened view; nil for one that its first event makes
	User  string        // to whom a reward would be credited; empty: nobody is known
	Joins time.Duration // where ymids repeat: an event joins the latest view that is younger and lacks its type. Zero: unique
}

// openedBucket marks the places of opened views, which no event can have.
const openedBucket = 1 << (bucketBits - 1)

// NewOpenedViewID makes the id of the opened view of the given number, from 1 on.
func NewOpenedViewID(inc Incarnation, no int64) ViewID {
	b := make([]byte, 0, 3+21)
	return ViewID(appendPlace(append(b, "vw_"...), inc, Ref{Bucket: openedBucket | uint32(no>>seqBits), Seq: uint32(no & (1<<seqBits - 1))}))
}

// View makes the id of the view that this event made.
func (id EventID) View() ViewID { return ViewID("vw_" + strings.TrimPrefix(string(id), "evt_")) }

// Place says where the view lies: opened is the number of an opened one, and 0 for one that the event at r made. It returns
// ErrInvalid when id is not a view id.
func (id ViewID) Place() (inc Incarnation, opened int64, r Ref, err error) {
	s, prefixed := strings.CutPrefix(string(id), "vw_")
	inc, r, rest, ok := readPlace(s)
	if !prefixed || !ok || rest != "" {
		return 0, 0, Ref{}, fmt.Errorf("%q is not a view id: %w", string(id), ErrInvalid)
	}
	if r.Bucket&openedBucket != 0 {
		return inc, int64(r.Bucket&^openedBucket)<<seqBits | int64(r.Seq), Ref{}, nil
	}
	return inc, 0, r, nil
}

// ViewSeal makes what is handed out for an opened view and cannot be made up: a ymid that leads back to the view without an
// index, and the token with which a browser may ask about it. It is a key that a data folder keeps for itself.
type ViewSeal [32]byte

const (
	sealDigits = 16 // 80 bits: a ymid is guessed against the server
	tokenMark  = "vt_"
)

// YMID makes the ymid of an opened view: 37 digits and letters.
func (k ViewSeal) YMID(id ViewID) string { return string(id[len("vw_"):]) + k.sum("ymid", id) }

// ViewOf finds the view whose ymid this is. ok is false for every text that YMID did not make.
func (k ViewSeal) ViewOf(ymid string) (id ViewID, ok bool) {
	if len(ymid) != 21+sealDigits {
		return "", false
	}
	id = ViewID("vw_" + ymid[:21])
	return id, hmac.Equal([]byte(ymid[21:]), []byte(k.sum("ymid", id)))
}

// Token makes the token of an opened view.
func (k ViewSeal) Token(id ViewID) string { return tokenMark + k.sum("token", id) }

// IsToken says whether token is that of the view.
func (k ViewSeal) IsToken(id ViewID, token string) bool {
	return hmac.Equal([]byte(token), []byte(k.Token(id)))
}

// Key makes a key of the folder's for one purpose. Keys of different purposes say nothing of one another.
func (k ViewSeal) Key(purpose string) [32]byte {
	mac := hmac.New(sha256.New, k[:])
	mac.Write([]byte("key " + purpose))
	return [32]byte(mac.Sum(nil))
}

func (k ViewSeal) sum(purpose string, id ViewID) string {
	mac := hmac.New(sha256.New, k[:])
	mac.Write([]byte(purpose + " " + string(id)))
	sum := mac.Sum(nil)
	var b [sealDigits]byte
	for i := range b {
		b[i] = crockford[sum[i]&31]
	}
	return string(b[:])
}

// User is to whom the event is credited when nothing but itself says so: its Telegram id, or the user as the network names
// them, or, where asUser says that the ymid is the user's, the ymid. Empty when nobody is known.
func (e *Event) User(asUser bool) string {
	switch {
	case e.TelegramID != "":
		return e.TelegramID
	case e.UserID != "":
		return e.UserID
	case asUser:
		return e.YMID
	}
	return ""
}

// RepeatSum is the sum that views of a repeating ymid share: (source, zone, ymid), with the user where there is no ymid.
func (e *Event) RepeatSum() [16]byte {
	if e.YMID == "" {
		return SumOf("view of user", e.App+"/"+e.Source, e.ZoneID, e.User(false))
	}
	return SumOf("view", e.App+"/"+e.Source, e.ZoneID, e.YMID)
}
