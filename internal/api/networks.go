package api

import (
	"context"
	"maps"
	"slices"
	"strings"

	"carom"
	"carom/internal/network"
)

// NetworkProfile is an ad network that sources can be of, with what has to be asked to connect one.
type NetworkProfile struct {
	Name         string   `json:"name" doc:"What a source gives as its profile"`
	Title        string   `json:"title" doc:"The network's own name"`
	Template     string   `json:"template,omitempty" doc:"The query of the URL to enter at the network, with its macros; absent: it adds its parameters by itself"`
	TemplateHelp string   `json:"template_help" doc:"What to ask for as the template"`
	Key          string   `json:"key" enum:"none,optional,required" doc:"Whether a source needs a key that the network hands out. optional: it hands it out once it knows the URL"`
	KeyHelp      string   `json:"key_help,omitempty" doc:"What to ask for as the key"`
	AsksYMID     bool     `json:"asks_ymid" doc:"Whether it makes sense to ask what the ymid is"`
	Setup        string   `json:"setup" enum:"paste,manager" doc:"Who enters the URL: you, or your contact at the network"`
	Note         string   `json:"note,omitempty" doc:"Of manager: what to send to the contact, with {url} where the URL belongs"`
	OwnID        string   `json:"own_id,omitempty" doc:"Where the app sets the id that comes back"`
	Strength     string   `json:"strength" enum:"signed,secret,address" doc:"How strongly its events are verified"`
	Evidence     string   `json:"evidence" enum:"vector,formula only,secret only" doc:"What that rests on: a published signature, a rule alone, or a secret in the URL"`
	Summary      string   `json:"summary" doc:"What proves a postback"`
	NoID         bool     `json:"no_id,omitempty" doc:"It sends no id of its own, so that equal callbacks count once within a window"`
	NeedsURL     bool     `json:"needs_base_url,omitempty" doc:"It signs the URL that it calls: the server has to be told its own, by base_url"`
	EventTypes   []string `json:"event_types" nullable:"false" doc:"Types that a test postback of it can have; empty: it has one alone"`
	Doc          string   `json:"doc" doc:"The network's page on postbacks"`
}

// NetworkList is every network, sorted by name.
type NetworkList struct {
	Networks []NetworkProfile `json:"networks" nullable:"false" doc:"Sorted by name"`
}

type networksOut struct{ Body NetworkList }

func (s *service) listNetworks(context.Context, *struct{}) (*networksOut, error) {
	profiles, err := s.profiles()
	if err != nil {
		return nil, err
	}
	out := &networksOut{NetworkList{Networks: []NetworkProfile{}}}
	for _, name := range slices.Sorted(maps.Keys(profiles)) {
		out.Body.Networks = append(out.Body.Networks, networkOf(profiles[name]))
	}
	return out, nil
}

// profiles are the networks that there are; those of the binary when the server has not said.
func (s *service) profiles() (map[string]*network.Profile, error) {
	if s.Profiles != nil {
		return s.Profiles, nil
	}
	return network.Profiles()
}

func networkOf(p *network.Profile) NetworkProfile {
	n := NetworkProfile{
		Name: p.Name, Title: p.Title, Template: p.Template, Key: "none", AsksYMID: slices.Contains(p.Fields(), "ymid"),
		TemplateHelp: "Your postback URL at " + p.Title + " today, with its macros; empty if there is none",
		Setup:        p.Setup, Note: p.Message, OwnID: p.OwnID, Strength: string(p.Strength), Evidence: p.Evidence,
		Summary: strings.Join(p.Verification(), " "), NoID: p.NoID, NeedsURL: p.NeedsPublicURL(), EventTypes: []string{}, Doc: p.Docs,
	}
	if p.Template == "" {
		n.TemplateHelp = p.Title + " has no macros, and adds its parameters to the URL by itself"
	}
	if p.NeedsNetworkSecret() {
		n.Key, n.KeyHelp = "required", "The key that "+p.Title+" shows you. Until it is entered nothing is believed"
		if p.Setup == "manager" {
			n.Key, n.KeyHelp = "optional", p.Title+" hands out its key once it knows your URL: enter it then. Until it is entered nothing is believed"
		}
	}
	for _, t := range []carom.EventType{carom.Impression, carom.Click, carom.Completion, carom.Reversal} {
		if p.Sends(t) {
			n.EventTypes = append(n.EventTypes, string(t))
		}
	}
	return n
}
