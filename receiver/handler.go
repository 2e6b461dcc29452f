package receiver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"carom"
)

// Limits of a request. carom sends no event of more than a few KiB unless its template is that long.
const (
	maxBodyBytes  = 256 << 10
	maxQueryBytes = 32 << 10
)

// DefaultTimeout is how long a grant may take when [Options] do not say.
const DefaultTimeout = 30 * time.Second

// Store has a function run once for each key. *[SQL] is one for SQLite and PostgreSQL; an app with another database, or
// with a library of its own around it, writes this one method. T is its transaction.
type Store[T any] interface {
	// Once begins a transaction, inserts key, calls grant with the transaction, and commits. When key is there already, it
	// calls nothing and returns false and no error. Insert and grant have to be committed together or not at all, and
	// copies that come in parallel have to wait for one another at the insert: a unique index does both.
	//
	// It returns the error of grant as it is, after a roll-back, or its own when it cannot tell that the commit took place.
	Once(ctx context.Context, key string, grant func(ctx context.Context, tx T) error) (first bool, err error)
}

// Options are what [New] needs to know. Only Secrets has to be there.
type Options struct {
	// Secrets are the signing secrets of the endpoint, as its owner wrote them in carom: one of them is enough. While a secret
	// is being replaced, list both.
	Secrets []string

	// Parameter is the name of the signature's parameter in a GET; empty: "sig".
	Parameter string

	// Tolerance is how far the timestamp of a POST may lie from this machine's clock; 0: [DefaultTolerance]. A GET has none.
	Tolerance time.Duration

	// Timeout is how long a grant may take; 0: [DefaultTimeout]. It does not end when carom hangs up: the next attempt then
	// finds the work done.
	Timeout time.Duration

	// Test is given the postbacks that carom marks as tests, as often as they come. Nil: they are answered 200 and that is all.
	// They never reach the grant.
	Test func(ctx context.Context, p Postback) error

	// Log gets a line for each postback that is not answered 200; nil: slog.Default. It holds no secret and no user, unless an
	// error of the app does.
	Log *slog.Logger

	// Now is the clock; nil: time.Now.
	Now func() time.Time
}

// New returns the handler that an endpoint of carom sends to, by GET or POST.
//
// A postback that is verified and was not granted before is handed to grant, with a transaction of store in which its key
// ([Postback.Key]) is already marked; when grant returns nil the two are committed together. So the process may die at any
// moment: either both are there, and the next attempt is answered 200 without grant being called, or neither is, and grant is
// called again. That holds for what grant does in the transaction; what it does beside it (a push to the user, a call of
// another service) may happen twice, or for a grant that is then rolled back.
//
// grant decides what a postback is worth. It returns nil also for what it pays nothing for, and an error only when it should be
// called again. It gets all that the endpoint's filter lets through, and has to look at Value and, as an impression and a
// click of one view are two postbacks, at YMID; where carom's own rules do that, it grants what has a Reward and nothing else.
//
// Each answer says to carom whether to repeat:
//
//	200  granted, now or before; or a test
//	400  verified, and nothing that grant could be given: the body says why, for the operator. It is repeated, and heals when
//	     the endpoint's template is corrected
//	403  not signed with any of the secrets, or too old; without a body, which would only help to guess
//	405  neither GET nor POST
//	408  the body did not arrive
//	413, 414  a body of more than 256 KiB, a query of more than 32 KiB
//	500  grant, the store or Test returned an error: nothing was granted, or it is not known. It is repeated
//
// A GET has to name its parameters after the macros that they hold, and to hold delivery_id and test, such as
// `?ymid={ymid}&event_type={event_type}&reward_event_type={reward_event_type}&delivery_id={delivery_id}&test={test}&sig={signature}`.
// Of an endpoint that gets rewards, also all of
// `reward_id={reward_id}&reward_state={reward_state}&reward_rule={reward_rule}&reward_amount={reward_amount}&reward_currency={reward_currency}&reward_user={reward_user}`,
// where only reward_rule may be left out. A POST has the body that carom writes by itself, as JSON or as a form.
//
// It returns carom.ErrInvalid when there is no secret, or a malformed one.
func New[T any](o Options, store Store[T], grant func(ctx context.Context, tx T, p Postback) error) (http.Handler, error) {
	if err := checkSecrets(o.Secrets); err != nil {
		return nil, fmt.Errorf("receiver: %w", err)
	}
	if o.Parameter == "" {
		o.Parameter = "sig"
	}
	if o.Timeout <= 0 {
		o.Timeout = DefaultTimeout
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	once := func(ctx context.Context, p Postback) error {
		_, err := store.Once(ctx, p.Key(), func(ctx context.Context, tx T) error { return grant(ctx, tx, p) })
		return err
	}
	return &handler{o, once}, nil
}

// handler is what New returns. It is immutable.
type handler struct {
	o    Options
	once func(context.Context, Postback) error
}

// ServeHTTP answers one attempt.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p, status, err := h.read(w, r)
	if err != nil {
		h.o.Log.Warn("postback refused", "status", status, "error", err)
		if status == http.StatusMethodNotAllowed {
			w.Header().Set("Allow", "GET, POST")
		}
		if status == http.StatusBadRequest {
			http.Error(w, err.Error(), status)
			return
		}
		w.WriteHeader(status)
		return
	}
	// A grant that takes longer than carom waits must not be given up half-way each time.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), h.o.Timeout)
	defer cancel()
	switch {
	case !p.Test:
		err = h.once(ctx, p)
	case h.o.Test != nil:
		err = h.o.Test(ctx, p)
	}
	if err != nil {
		h.o.Log.Error("postback not granted", "delivery_id", p.DeliveryID, "error", err)
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	w.WriteHeader(http.StatusOK)
}

// read verifies and decodes a request. With an error comes the status to answer.
func (h *handler) read(w http.ResponseWriter, r *http.Request) (p Postback, status int, err error) {
	switch r.Method {
	case http.MethodGet:
		if len(r.URL.RawQuery) > maxQueryBytes {
			err = fmt.Errorf("the query is longer than %d bytes: %w", maxQueryBytes, carom.ErrInvalid)
			return Postback{}, http.StatusRequestURITooLong, err
		}
		if err := VerifyGET(r.URL.RawQuery, h.o.Parameter, h.o.Secrets...); err != nil {
			return Postback{}, http.StatusForbidden, err
		}
		// VerifyGET has found the signature to be the last parameter.
		p, err = decodeGET(r.URL.RawQuery[:max(0, strings.LastIndexByte(r.URL.RawQuery, '&'))])
	case http.MethodPost:
		var body []byte
		if body, err = io.ReadAll(http.MaxBytesReader(w, r.Body, maxBodyBytes)); err != nil {
			var large *http.MaxBytesError
			if errors.As(err, &large) {
				return Postback{}, http.StatusRequestEntityTooLarge, err
			}
			return Postback{}, http.StatusRequestTimeout, fmt.Errorf("read the body: %w", err)
		}
		// The bytes are verified before anything reads them.
		if err := VerifyStandard(r.Header, body, h.o.Now(), h.o.Tolerance, h.o.Secrets...); err != nil {
			return Postback{}, http.StatusForbidden, err
		}
		p, err = decodePOST(r.Header.Get("Content-Type"), body, r.Header.Get(HeaderID))
	default:
		return Postback{}, http.StatusMethodNotAllowed, fmt.Errorf("the method is neither GET nor POST: %w", carom.ErrInvalid)
	}
	if err != nil {
		return Postback{}, http.StatusBadRequest, err
	}
	return p, http.StatusOK, nil
}
