package api

import (
	"context"
	"slices"

	"carom"
	"carom/internal/objects"
)

// SourceConfig is what is set for a source.
type SourceConfig struct {
	Profile          string            `json:"profile" example:"monetag" doc:"The network, as GET /v1/networks names it; api for trusted servers, sdk for the SDK"`
	Mode             string            `json:"mode,omitempty" enum:"live,frozen,shadow" doc:"frozen: events wait for your release. shadow: they are judged, and nothing else. Absent: live"`
	ShadowURL        string            `json:"shadow_url,omitempty" doc:"Of a source in shadow: the receiver of today, to which each request is passed on. Where it holds ***, what is stored stays"`
	YMID             string            `json:"ymid,omitempty" enum:"view,session,user" doc:"What its ymid is; absent: view, unique for every showing"`
	Template         string            `json:"template,omitempty" doc:"The URL template that is entered at the network, if it differs from the network's. Where it holds ***, what is stored stays"`
	DefaultEventType string            `json:"default_event_type,omitempty" doc:"Of postbacks that do not say theirs; absent: such a postback is refused"`
	EventTypes       map[string]string `json:"event_types,omitempty" doc:"Further words of this source with the event types that they mean"`
	DedupeWindow     string            `json:"dedupe_window,omitempty" example:"30d" doc:"How long an event's key counts, from 1m to 400d; absent: 30d"`
	RepeatWindow     string            `json:"repeat_window,omitempty" example:"10m" doc:"Where the ymid repeats: how long an equal callback counts as a copy, from 1s to 24h; absent: 10m"`
	Addresses        []string          `json:"addresses,omitempty" nullable:"false" doc:"Those that the network sends from: addresses, or networks such as 192.0.2.0/24"`
	RequireAddress   bool              `json:"require_address,omitempty" doc:"Whatever comes from elsewhere is not believed"`
	Rate             float64           `json:"rate,omitempty" minimum:"0" doc:"Events a second; more are told to try later. Absent: no limit"`

	Secret         *string `json:"secret,omitempty" writeOnly:"true" doc:"A secret of your own for the path of its URL. Never shown; absent: what is there stays, and a new source gets one"`
	PreviousSecret *string `json:"previous_secret,omitempty" writeOnly:"true" doc:"The one before it, which counts until previous_until"`
	PreviousUntil  string  `json:"previous_until,omitempty" writeOnly:"true" format:"date-time" doc:"Until when previous_secret counts as well"`

	NetworkSecret         *string `json:"network_secret,omitempty" writeOnly:"true" doc:"The key that the network signs with or sends. Never shown; absent: what is there stays, empty: it is removed"`
	PreviousNetworkSecret *string `json:"previous_network_secret,omitempty" writeOnly:"true" doc:"The one before it, which counts until previous_network_until"`
	PreviousNetworkUntil  string  `json:"previous_network_until,omitempty" writeOnly:"true" format:"date-time" doc:"Until when previous_network_secret counts as well"`
}

// SourceObject is a source as it is set.
type SourceObject struct {
	App            string         `json:"app" readOnly:"true"`
	Name           string         `json:"name" readOnly:"true"`
	Secrets        []SourceSecret `json:"secrets" readOnly:"true" nullable:"false" doc:"The secrets of its path that count now, newest first, of which nothing is known but their end"`
	NetworkSecrets []SourceSecret `json:"network_secrets" readOnly:"true" nullable:"false" doc:"Likewise, the network's keys"`
	SourceConfig
}

// SourceList is a page of sources.
type SourceList struct {
	Sources []SourceObject `json:"sources" nullable:"false"`
	Next    string         `json:"next,omitempty" doc:"Give it as before to get the next page; absent on the last one"`
	File    string         `json:"file,omitempty" doc:"The file they come from; they are read-only here while there is one"`
}

func (p ObjectPath) ref(kind objects.Kind) objects.Ref {
	return objects.Ref{Kind: kind, App: p.App, Name: p.Name}
}

type replaceSourceIn struct {
	ObjectPath
	Edit
	Body SourceObject
}

// removeIn names an object of an app that is to go.
type removeIn struct {
	ObjectPath
	Edit
}

type sourcesOut struct{ Body SourceList }

func (c *SourceConfig) unmask(stored any) error {
	if s, ok := stored.(*carom.Source); ok {
		c.Template = unmaskURL(c.Template, s.Template)
		if originOf(c.ShadowURL) == originOf(s.ShadowURL) { // a secret never goes to another server than before
			c.ShadowURL = unmaskURL(c.ShadowURL, s.ShadowURL)
		}
	}
	return joined([]error{notMasked("template", c.Template), notMasked("shadow_url", c.ShadowURL)})
}

func showSource(_ caller, src *carom.Source) (*SourceObject, error) {
	config, err := settingsOf[SourceConfig](src)
	config.Template, config.ShadowURL = maskURL(config.Template), maskURL(config.ShadowURL)
	out := &SourceObject{src.App, src.Name, []SourceSecret{}, secretsOf(src.NetworkSecrets), config}
	for _, sum := range src.Secrets {
		out.Secrets = append(out.Secrets, SourceSecret{NotAfter: sum.NotAfter})
	}
	return out, err
}

type listSourcesIn struct {
	ObjectQuery
	Network string `query:"network" doc:"Only those of this network"`
}

func (s *service) listSources(ctx context.Context, in *listSourcesIn) (*sourcesOut, error) {
	c := callerOf(ctx)
	list := slices.DeleteFunc(slices.Clone(visible(c, s.Objects.Objects()).Sources), func(src carom.Source) bool {
		return in.Network != "" && src.Profile != in.Network
	})
	rows, next, err := rowsOf(&in.ObjectQuery, c, list, func(src *carom.Source) (objects.Ref, string) {
		return objects.Ref{Kind: objects.KindSource, App: src.App, Name: src.Name}, src.Profile
	}, showSource)
	return &sourcesOut{SourceList{rows, next, s.Objects.File()}}, err
}

func (s *service) getSource(ctx context.Context, in *ObjectPath) (*objectOut[SourceObject], error) {
	return get(ctx, s, in.ref(objects.KindSource), showSource)
}

func (s *service) replaceSource(ctx context.Context, in *replaceSourceIn) (*savedObjectOut[SourceObject], error) {
	return put(ctx, s, in.ref(objects.KindSource), &in.Edit, &in.Body.SourceConfig, showSource)
}

func (s *service) removeSource(ctx context.Context, in *removeIn) (*removedOut, error) {
	return s.remove(ctx, in.ref(objects.KindSource), &in.Edit, false)
}
