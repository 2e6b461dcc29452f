package api

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"carom"
	"carom/internal/network"
	"carom/internal/objects"
)

// DoorTest is what the door made of a test postback.
type DoorTest struct {
	Outcome  network.Outcome
	Event    carom.EventID    // accepted, or the one that it is a copy of
	Received carom.ReceivedID // refused
	Reason   carom.Reason     // why it was refused, or is not verified
}

// SourceTest asks for a test postback.
type SourceTest struct {
	URL       string `json:"url,omitempty" writeOnly:"true" doc:"The source's URL as it was shown, since its secret is not kept. Absent: for a source without a secret in its path"`
	EventType string `json:"event_type,omitempty" doc:"One that the network has a word for; absent: what it pays for"`
	YMID      string `json:"ymid,omitempty" maxLength:"128" doc:"The id of the view, the user or the transaction, whatever the network sends; absent: test- and a random text"`
}

// SourceTested is what became of a test postback.
type SourceTested struct {
	Event    carom.EventID    `json:"event,omitempty" doc:"The event that it became, marked as a test; of a copy, the first one"`
	Received carom.ReceivedID `json:"received,omitempty" doc:"The refused postback that it became"`
	Outcome  string           `json:"outcome" enum:"accepted,duplicate,refused,unverified,try_later"`
	Reason   carom.Reason     `json:"reason,omitempty"`
	Answer   DoorAnswer       `json:"answer" doc:"What the network would be answered"`
	Words    string           `json:"words" doc:"What became of it, and what to do"`
}

// DoorAnswer is what a network is answered.
type DoorAnswer struct {
	Status int    `json:"status"`
	Body   string `json:"body"`
}

type sourceTestIn struct {
	ObjectPath
	Body SourceTest
}

type sourceTestOut struct{ Body SourceTested }

// testSource plays one postback through the door, in the network's words and signed as it signs.
func (s *service) testSource(ctx context.Context, in *sourceTestIn) (*sourceTestOut, error) {
	src, err := find[carom.Source](s, callerOf(ctx), in.ref(objects.KindSource))
	if err != nil {
		return nil, err
	}
	var b *network.Binding
	if s.Binding != nil {
		b = s.Binding(in.App, in.Name)
	}
	if b == nil || s.Test == nil {
		return nil, failf(carom.ErrConflict, "the source %s is no network's, so that no postback comes in by it: report an event by POST /v1/events, with test set to true", src.ID())
	}
	r, err := s.testRequest(ctx, b, src, &in.Body)
	if err != nil {
		return nil, err
	}
	heard := &doorAnswer{header: http.Header{}, status: http.StatusOK}
	done, ok := s.Test(heard, r)
	if !ok {
		return nil, noObject(in.ref(objects.KindSource)) // it went just now
	}
	s.Log.InfoContext(ctx, "source tested", "source_id", src.ID(), "outcome", string(done.Outcome), "who", callerOf(ctx).name)
	out := SourceTested{Event: done.Event, Received: done.Received, Reason: done.Reason, Answer: DoorAnswer{heard.status, cutText(heard.body.String(), maxTrialAnswer)}}
	if out.Outcome, out.Words, err = s.testWords(ctx, &done); err != nil {
		return nil, err
	}
	return &sourceTestOut{out}, nil
}

// testRequest makes the request that the network would send.
func (s *service) testRequest(ctx context.Context, b *network.Binding, src *carom.Source, t *SourceTest) (*http.Request, error) {
	path := "/in/" + src.App + "/" + src.Name
	switch given, err := url.Parse(withoutQuery(t.URL)); {
	case t.URL == "" && len(src.Secrets) > 0:
		return nil, carom.Invalid("url", "the secret in the URL of %s is not kept: give the URL as it was shown, or make a new one with POST /v1/sources/%s/rotate", src.ID(), src.ID())
	case t.URL == "":
	case err != nil || given.EscapedPath() != path && !strings.HasPrefix(given.EscapedPath()[max(strings.Index(given.EscapedPath(), "/in/"), 0):], path+"/"):
		return nil, carom.Invalid("url", "it is not a URL of the source %s: its path begins with %s/", src.ID(), path)
	default:
		path = given.EscapedPath()[strings.Index(given.EscapedPath(), "/in/"):]
	}
	id := t.YMID
	if id == "" {
		id = "test-" + strings.ToLower(rand.Text()[:8])
	}
	sample, err := b.Sample(id, path, carom.EventType(t.EventType), s.now())
	var fault *carom.FieldError
	if errors.As(err, &fault) && fault.Field == "profile" {
		return nil, failf(carom.ErrConflict, "%s: have it send a test, see %s", fault.Message, b.Profile.Docs)
	}
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, sample.Method, path+"?"+sample.RawQuery, http.NoBody)
	if err != nil {
		return nil, carom.Invalid("url", "it cannot be read: give it as it was shown")
	}
	r.RequestURI = r.URL.RequestURI()
	r.Header = sample.Header
	if r.Header == nil {
		r.Header = http.Header{}
	}
	if src.RequireAddress && len(src.Addresses) > 0 {
		r.RemoteAddr = netip.AddrPortFrom(src.Addresses[0].Addr(), 1).String()
	}
	return r, nil
}

// testWords says what became of a test.
func (s *service) testWords(ctx context.Context, t *DoorTest) (outcomeWord, words string, err error) {
	switch t.Outcome {
	case network.Accepted, network.Duplicate:
		st, err := s.Store.Story(ctx, t.Event)
		if err != nil && !errors.Is(err, carom.ErrNotFound) {
			return "", "", fmt.Errorf("read the event of a test: %w", err)
		}
		words := "it became an event"
		if st != nil {
			words = outcome(st)
		}
		if t.Outcome == network.Duplicate {
			return "duplicate", "it is taken for a copy of an earlier event, which the network would be told too; that one: " + words, nil
		}
		return "accepted", words + "; it is marked as a test, so that nothing is granted for it", nil
	case network.RefusedOutcome:
		words := "it is verified, and of no use"
		if r, err := s.Store.RefusedByID(ctx, t.Received); err == nil {
			words += ": " + r.Detail
		}
		return "refused", words, nil
	case network.Unverified:
		what, why := unverifiedWords(t.Reason)
		return "unverified", what + "; " + why, nil
	}
	return "try_later", "it cannot be taken now: try again in some seconds, and look at GET /v1/status", nil
}

// doorAnswer takes what the door answers.
type doorAnswer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

// Header implements http.ResponseWriter.
func (a *doorAnswer) Header() http.Header { return a.header }

// WriteHeader implements http.ResponseWriter.
func (a *doorAnswer) WriteHeader(status int) { a.status = status }

// Write implements http.ResponseWriter.
func (a *doorAnswer) Write(b []byte) (int, error) { return a.body.Write(b) }
