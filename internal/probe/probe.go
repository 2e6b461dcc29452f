// Package probe plays an ad network against a receiver of postbacks, carom or not, and says what each answer means for money.
//
// [Run] sends genuine, repeated, forged and broken postbacks to one URL, as a table of small checks, and returns a [Report].
// Answers alone only let some mistakes be suspected; where the receiver's [Books] can be read, balances before and after prove
// them, in exact decimal arithmetic. The writers of reports are methods of Report and do no probing.
//
// The receiver is not trusted: one deadline covers each exchange, answers are cut at 64 KiB, nothing is decompressed, no
// redirect is followed, and its text is made safe before it is shown. The secret in the URL is in no report and no error.
//
// To add a check, write a function and a row in the table of checks.go.
package probe

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"

	"carom"
)

// Target is the receiver to probe.
type Target struct {
	URL         string         // as entered at the network, with its macros; without any, the network's usual ones are added
	Network     string         // the network that is played: a name of package network; empty: monetag
	SecretParam string         // the parameter that is the secret, or "path:N" for the Nth part of the path; empty: guessed
	YMID        carom.YMIDKind // what the receiver takes the ymid for; empty: carom.YMIDView

	// YMIDFormat is what the app's ymids look like, with {user} and {id}; empty: "{user}.{id}", or "{user}" for YMIDUser.
	YMIDFormat string

	// User is a user that the receiver knows, whom all postbacks are for; empty: every check makes up users of its own.
	User string

	// Values are fixed values of macros by their names without braces, such as a zone_id that the receiver insists on.
	Values map[string]string
}

// Options say how to probe. The zero value is usable.
type Options struct {
	Books   Books         // how to read balances; nil: there is no way
	Settle  time.Duration // how long crediting may take after an answer; zero: DefaultSettle
	Timeout time.Duration // when the network gives up on one answer; zero: DefaultTimeout
	Limit   time.Duration // of the whole run; zero: DefaultLimit

	RootCAs *x509.CertPool // whose certificates are believed; nil: the system's
	Run     string         // marks this run in every user and ymid: letters and digits; empty: random

	// Done is called after each check, from the goroutine of Run, with how many have been tried of how many; may be nil.
	Done func(c *Check, tried, of int)

	hungUp func(context.Context) // called between a request that was broken off and its repeat; for tests, which know when it has come; may be nil
}

// Defaults of [Options].
const (
	DefaultSettle  = 2 * time.Second
	DefaultTimeout = 5 * time.Second // after which networks that were observed give up
	DefaultLimit   = 3 * time.Minute
)

// Marker begins the user and the ymid of every postback that a probe makes up.
const Marker = "carom-probe-"

// errLimit is the cause when the whole run takes too long.
var errLimit = errors.New("the limit of the whole run passed")

// Run probes a target. It returns an error that is carom.ErrInvalid when the target cannot be probed as it is given, and
// carom.ErrUnavailable when the books cannot be read to begin with; nothing is sent then. Everything that a receiver does,
// also not to answer at all, is in the report. When ctx ends, Run returns at once with the report of what was done.
func Run(ctx context.Context, target Target, o Options) (*Report, error) {
	s, err := newSession(target, o)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, cmp.Or(o.Limit, DefaultLimit), errLimit)
	defer cancel()
	defer s.client.close()
	if s.books != nil {
		if _, err := s.books.Balance(ctx, s.newAccount()); err != nil {
			return nil, fmt.Errorf("%w: the books cannot be read before the first postback: %s", carom.ErrUnavailable, s.tmpl.mask(err.Error()))
		}
	}
	s.run(ctx, table())
	return s.report(ctx), nil
}

// newSession checks the target and prepares what the checks share.
func newSession(target Target, o Options) (*session, error) {
	tmpl, err := newTemplate(target)
	if err != nil {
		return nil, err
	}
	kind := cmp.Or(target.YMID, carom.YMIDView)
	format := target.YMIDFormat
	switch kind {
	case carom.YMIDView, carom.YMIDSession:
		format = cmp.Or(format, "{user}.{id}")
		if !strings.Contains(format, "{id}") {
			return nil, carom.Invalid("ymid-format", "it has no {id}, without which the ymid of a %s does not change: add it", kind)
		}
	case carom.YMIDUser:
		format = cmp.Or(format, "{user}")
	default:
		return nil, carom.Invalid("ymid", "%.40q is none of view, session and user", string(kind))
	}
	run := cmp.Or(o.Run, strings.ToLower(rand.Text()[:6]))
	return &session{
		tmpl: tmpl, kind: kind, format: format, user: target.User, values: target.Values, mark: Marker + run,
		books: o.Books, settle: cmp.Or(o.Settle, DefaultSettle), done: o.Done, hungUp: o.hungUp,
		client: newClient(cmp.Or(o.Timeout, DefaultTimeout), o.RootCAs),
		pays:   string(carom.Click),
	}, nil
}
