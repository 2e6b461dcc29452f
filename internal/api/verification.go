package api

import (
	"context"
	"encoding/hex"
	"fmt"
	"time"

	"carom"
	"carom/internal/network"
)

// Verification is why a postback is verified or not, what it says, and what is answered to it. It holds no secret.
type Verification struct {
	network.Explanation
	Verified bool         `json:"verified"`
	TryLater bool         `json:"try_later,omitempty" doc:"Nothing can be said now: the network's list of public keys is out of reach"`
	Reason   carom.Reason `json:"reason,omitempty" doc:"Why it is not verified"`
	Event    *Event       `json:"event,omitempty" doc:"What it says, whether that is verified or not"`
	Refused  carom.Reason `json:"refused,omitempty" doc:"Why it can never be used, although it is verified"`
	Detail   string       `json:"detail,omitempty"`
	Key      string       `json:"dedupe_key,omitempty"`
	Also     string       `json:"second_dedupe_key,omitempty"`
	Window   string       `json:"dedupe_window,omitempty"`
	Status   int          `json:"answer_status"`
	Body     string       `json:"answer_body"`
}

// Verify examines a request as the door does, changes nothing, and tells everything it found.
func Verify(ctx context.Context, b *network.Binding, r *network.Request, now time.Time, keys network.Keys) Verification {
	p := b.Profile
	v := Verification{Explanation: b.Explain(ctx, r, now, keys)}
	v.Verified, v.TryLater, v.Reason = v.Proof.Verified, v.Proof.TryLater, v.Proof.Reason
	received := carom.Received{At: now, Method: r.Method, Path: "/", RawQuery: r.RawQuery, ContentType: r.ContentType, Body: r.Body, Client: r.Client}
	for _, name := range p.Headers() {
		for _, value := range r.Header[name] {
			received.Header = append(received.Header, carom.Field{Name: name, Value: value})
		}
	}
	b.Hide(&received)
	verdict := b.Judge(&received, v.Proof)
	v.Refused, v.Detail = verdict.Refused, verdict.Detail
	if verdict.Event != nil {
		shown := EventOf(verdict.Event)
		shown.Strength = string(v.Proof.Strength)
		v.Event = &shown
		v.Key, v.Window = hex.EncodeToString(verdict.Key.Sum[:]), carom.FormatDuration(verdict.Key.Window)
		if verdict.Key.Also != ([16]byte{}) {
			v.Also = hex.EncodeToString(verdict.Key.Also[:])
		}
	}
	answer := network.Forbidden()
	switch {
	case v.TryLater:
		answer = p.Answer(network.TryLater, verdict)
	case v.Verified && verdict.Event != nil:
		answer = p.Answer(network.Accepted, verdict)
	case v.Verified:
		answer = p.Answer(network.RefusedOutcome, verdict)
	}
	v.Status, v.Body = answer.Status, answer.Body
	return v
}

type verificationOut struct{ Body Verification }

// verifyEvent verifies again what was kept of an event's postback, with the secrets that count now.
func (s *service) verifyEvent(ctx context.Context, in *eventIn) (*verificationOut, error) {
	st, err := s.story(ctx, carom.EventID(in.ID))
	if err != nil {
		return nil, err
	}
	return s.verifyAgain(ctx, st.Event.App, st.Event.Source, &st.Event.Received)
}

func (s *service) verifyRefused(ctx context.Context, in *refusedIn) (*verificationOut, error) {
	r, err := s.refusal(ctx, carom.ReceivedID(in.ID))
	if err != nil {
		return nil, err
	}
	return s.verifyAgain(ctx, r.App, r.Source, &r.Received)
}

func (s *service) verifyAgain(ctx context.Context, app, source string, r *carom.Received) (*verificationOut, error) {
	var b *network.Binding
	if s.Binding != nil {
		b = s.Binding(app, source)
	}
	if b == nil {
		return nil, fmt.Errorf("the source %s/%s: it is deleted, or reports events itself, so there is nothing to verify by: %w", app, source, carom.ErrNotFound)
	}
	return &verificationOut{Verify(ctx, b, network.KeptRequest(r), r.At, s.Keys)}, nil
}
