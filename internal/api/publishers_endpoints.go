package api

import (
	"context"
	"fmt"
	"slices"
	"time"

	"carom"
	"carom/internal/objects"
)

// maxOldSecrets is how many signing secrets stay valid beside a new one: route takes eight.
const maxOldSecrets = 7

// PublisherEndpointPath names an endpoint of a publisher in a path.
type PublisherEndpointPath struct {
	PublisherAppPath
	Name string `path:"name"`
}

type putEndpointIn struct {
	PublisherEndpointPath
	Body Template
}

type savedOut struct{ Body SavedEndpoint }

// putEndpoint makes an endpoint of the publisher, or changes one. With a fault nothing is saved.
func (s *service) putEndpoint(ctx context.Context, in *putEndpointIn) (*savedOut, error) {
	if err := carom.CheckName("name", in.Name); err != nil {
		return nil, err
	}
	var d *draft
	err := s.alter(ctx, in.Publisher, "endpoint changed", in.App+"/"+in.Name, func(o *carom.Objects) error {
		if _, err := ownApp(*o, in.Publisher, in.App); err != nil {
			return err
		}
		d = newDraft(callerOf(ctx), *o, in.App, in.Name, &in.Body)
		if err := d.err(); err != nil {
			return err
		}
		i := slices.IndexFunc(o.Endpoints, func(e carom.Endpoint) bool { return e.App == in.App && e.Name == in.Name })
		if i >= 0 {
			o.Endpoints[i] = d.endpoint
			return nil
		}
		own := 0
		for i := range o.Endpoints {
			if o.Endpoints[i].App == in.App {
				own++
			}
		}
		if own >= maxOwnEndpoints {
			return failf(carom.ErrConflict, "the app %s has %d endpoints, which is the most that a publisher may make: remove one, or ask the operator", in.App, own)
		}
		o.Endpoints = append(o.Endpoints, d.endpoint)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &savedOut{SavedEndpoint{
		TemplatePreview: d.preview(), Saved: true, Endpoint: ownEndpointView(callerOf(ctx), d.endpoint), SigningSecret: d.made,
	}}, nil
}

// deleteEndpoint removes an endpoint. What it is still owed ends as dead.
func (s *service) deleteEndpoint(ctx context.Context, in *PublisherEndpointPath) (*struct{}, error) {
	return nil, s.alter(ctx, in.Publisher, "endpoint removed", in.App+"/"+in.Name, func(o *carom.Objects) error {
		i, err := ownEndpoint(*o, in.Publisher, in.App, in.Name)
		if err == nil {
			o.Endpoints = slices.Delete(o.Endpoints, i, i+1)
		}
		return err
	})
}

// NewSecret asks for a signing secret.
type NewSecret struct {
	KeepOldFor string `json:"keep_old_for,omitempty" default:"24h" doc:"How long requests are signed with the secrets of now as well, as 30m or 24h; 0s ends them at once"`
}

// MadeSigningSecret is a signing secret that was just made.
type MadeSigningSecret struct {
	Endpoint      string    `json:"endpoint" doc:"app/name"`
	SigningSecret string    `json:"signing_secret" doc:"Shown once: your server checks signatures with it" shown:"once"`
	OldUntil      time.Time `json:"old_until,omitzero" doc:"Until then requests carry the old signature as well; absent: there is none"`
}

type rotateSecretIn struct {
	PublisherEndpointPath
	Body *NewSecret
}

type madeSigningSecretOut struct{ Body MadeSigningSecret }

// rotateSecret gives an endpoint a new signing secret. Those of now go on signing for a while beside it.
func (s *service) rotateSecret(ctx context.Context, in *rotateSecretIn) (*madeSigningSecretOut, error) {
	if _, err := s.publisher(ctx, in.Publisher); err != nil {
		return nil, err
	}
	if _, err := ownEndpoint(s.Objects.Objects(), in.Publisher, in.App, in.Name); err != nil {
		return nil, err
	}
	return s.newSigningSecret(ctx, in.Publisher, in.App, in.Name, in.Body)
}

// newSigningSecret is rotateSecret for a publisher or, with an empty name, for the operator. The endpoint is theirs, if it is there.
func (s *service) newSigningSecret(ctx context.Context, publisher, app, name string, asked *NewSecret) (*madeSigningSecretOut, error) {
	span := "24h"
	if asked != nil && asked.KeepOldFor != "" {
		span = asked.KeepOldFor
	}
	overlap, err := carom.ParseDuration(span)
	if err != nil || overlap < 0 || overlap > 90*24*time.Hour {
		return nil, carom.Invalid("keep_old_for", "give a duration such as 30m, 24h or 7d, at most 90d")
	}
	made := MadeSigningSecret{Endpoint: app + "/" + name, SigningSecret: objects.NewSigningSecret()}
	err = s.alterObjects(ctx, publisher, "signing secret made", made.Endpoint, func(o *carom.Objects) error {
		i := slices.IndexFunc(o.Endpoints, func(e carom.Endpoint) bool { return e.App == app && e.Name == name })
		if i < 0 {
			return noObject(objects.Ref{Kind: objects.KindEndpoint, App: app, Name: name}) // it went just now
		}
		now := s.now()
		secrets := []carom.SigningSecret{{Key: carom.Masked(made.SigningSecret)}}
		for _, old := range o.Endpoints[i].SigningSecrets {
			if end := now.Add(overlap); old.NotAfter.IsZero() || old.NotAfter.After(end) {
				old.NotAfter = end
			}
			if old.NotAfter.After(now) && len(secrets) <= maxOldSecrets {
				secrets, made.OldUntil = append(secrets, old), laterOf(made.OldUntil, old.NotAfter)
			}
		}
		d := &draft{objects: *o, endpoint: o.Endpoints[i]}
		d.endpoint.SigningSecrets = secrets
		if d.compile(); d.compiled == nil {
			return d.err()
		}
		o.Endpoints[i] = d.endpoint
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &madeSigningSecretOut{made}, nil
}

func laterOf(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// DeliveryList is a page of what an endpoint was sent, newest first.
type DeliveryList struct {
	Deliveries []DeliveryEntry `json:"deliveries" nullable:"false"`
	Next       carom.EventID   `json:"next,omitempty" doc:"Give it as before to get the next page, also when this one is short or empty; absent on the last one"`
}

// DeliveryEntry is a delivery with what its event says. Answers are cut short: the story of the event has them whole.
type DeliveryEntry struct {
	EventID         carom.EventID `json:"event_id"`
	At              time.Time     `json:"at" doc:"When the event was accepted"`
	EventType       string        `json:"event_type"`
	RewardEventType string        `json:"reward_event_type"`
	YMID            string        `json:"ymid"`
	ZoneID          string        `json:"zone_id"`
	SubZoneID       string        `json:"sub_zone_id"`
	RequestVar      string        `json:"request_var"`
	Test            bool          `json:"test,omitempty"`
	Delivery
}

type listDeliveriesIn struct {
	PublisherEndpointPath
	State  string `query:"state" enum:"pending,delivered,dead,expired" doc:"Only these"`
	Before string `query:"before" doc:"The cursor: the next of the page before"`
	Limit  int    `query:"limit" minimum:"1" maximum:"200" default:"50"`
}

type deliveriesOut struct{ Body DeliveryList }

// maxShownAnswer is how much of an answer a list shows, in bytes.
const maxShownAnswer = 500

func (s *service) listDeliveries(ctx context.Context, in *listDeliveriesIn) (*deliveriesOut, error) {
	if _, err := s.publisher(ctx, in.Publisher); err != nil {
		return nil, err
	}
	o := s.Objects.Objects()
	i, err := ownEndpoint(o, in.Publisher, in.App, in.Name)
	if err != nil {
		return nil, err
	}
	before := carom.EventID(in.Before)
	if before != "" {
		if _, _, err := before.Place(); err != nil {
			return nil, carom.Invalid("before", "this is not an event id: give the `next` of the page before")
		}
	}
	list, next, err := s.Store.Deliveries(ctx, o.Endpoints[i].No, carom.DeliveryState(in.State), carom.EventFilter{App: in.App, Before: before, Limit: in.Limit})
	if err != nil {
		return nil, fmt.Errorf("list deliveries of %s: %w", o.Endpoints[i].ID(), err)
	}
	out := &deliveriesOut{DeliveryList{Deliveries: []DeliveryEntry{}, Next: next}}
	for _, st := range list {
		ev := st.Event
		for _, d := range storyOf(st).Deliveries {
			for k := range d.Attempts {
				d.Attempts[k].Answer = cutText(d.Attempts[k].Answer, maxShownAnswer)
			}
			out.Body.Deliveries = append(out.Body.Deliveries, DeliveryEntry{
				EventID: ev.ID, At: ev.At.UTC(), EventType: string(ev.Type), RewardEventType: string(ev.Value), YMID: ev.YMID,
				ZoneID: ev.ZoneID, SubZoneID: ev.SubZoneID, RequestVar: ev.RequestVar, Test: ev.Flags&carom.FlagTest != 0, Delivery: d,
			})
		}
	}
	return out, nil
}
