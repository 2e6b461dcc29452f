package objects

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"carom"
	"carom/internal/network"
)

// Placed is what [Put] makes of one object's settings.
type Placed struct {
	Objects carom.Objects
	// Made says that a source is new, so that its URL is news. Secret is what was made for its path; empty when it needs none.
	Made   bool
	Secret string
	// Warnings are what is no fault in the object and probably not meant. Their fields are relative to the settings.
	Warnings []*carom.FieldError
}

// Put returns have with the object that r names made or replaced, as settings say: what they leave out is at its default, but for
// secrets, which stay. An empty text in place of a signing secret, a network secret or a bot token removes it. settings are a
// JSON object as encoding/json reads it, with the keys of the objects file; what is in an app is not among its settings, and stays.
// have and settings are not changed.
//
// The result is judged as a file that says all of it, apart from faults of other objects that have had before. All faults are joined, each a
// *carom.FieldError whose field is relative to the settings, or a path of the file where the fault is in another object. Put returns
// carom.ErrNotFound when there is no such app.
func Put(have carom.Objects, r Ref, settings map[string]any, env Env) (*Placed, error) {
	if env.Profiles == nil {
		var err error
		if env.Profiles, err = network.Profiles(); err != nil {
			return nil, fmt.Errorf("read the profiles of networks: %w", err)
		}
	}
	rules, err := rulesOf(env.Profiles)
	if err != nil {
		return nil, err
	}
	if r.App != "" && Find(have, Ref{KindApp, "", r.App}) == nil {
		return nil, fmt.Errorf("there is no app %s: make it first: %w", quote(r.App), carom.ErrNotFound)
	}
	before := Find(have, r)
	settings, keep := addSecrets(before, settings)
	file := fileOf(have)
	placeIn(file, r, settings)
	read, said := readFile(file, env, rules)
	_, path := r.place()
	if err := newFaults(read, have, env, rules, path); err != nil {
		return nil, err
	}
	after := Find(*said, r)
	keep(after)
	out := &Placed{}
	if s, ok := after.(*carom.Source); ok {
		out.Secret, out.Made = MakeSecret(s, before == nil, env.Profiles)
	}
	out.Objects = with(have, after)
	out.Objects.AddSDKSources()
	for _, w := range read.warnings {
		if field, ours := strings.CutPrefix(w.Field, path+"."); ours {
			out.Warnings = append(out.Warnings, carom.Invalid(field, "%s", w.Message))
		}
	}
	return out, nil
}

// MakeSecret gives a source that has to have a secret in its path and has none one, and returns it. made says that the URL of the
// source is news: a secret was made, or the source is new and needs none.
func MakeSecret(s *carom.Source, isNew bool, profiles map[string]*network.Profile) (secret string, made bool) {
	p := profiles[s.Profile]
	switch {
	case p == nil || len(s.Secrets) > 0:
		return "", false
	case p.WantsPathSecret():
		var sum carom.SecretSum
		secret, sum = NewSecret()
		s.Secrets = []carom.SecretSum{sum}
		return secret, true
	}
	return "", isNew
}

// addSecrets returns settings as a file would have them: with the secrets of before where they give none, and without those that
// they remove. keep puts into the object that was read what a file cannot say of before.
func addSecrets(before any, settings map[string]any) (_ map[string]any, keep func(after any)) {
	settings, stored := maps.Clone(settings), secretsOf(before)
	if settings == nil {
		settings = map[string]any{}
	}
	bot, _ := settings["telegram"].(map[string]any)
	if bot = maps.Clone(bot); bot == nil {
		bot = map[string]any{}
	}
	pathGiven := gives(settings, "secret")
	keepNetwork := keepGiven(settings, stored, "network_secret", "network_until")
	keepSigning := keepGiven(settings, stored, "signing_secret", "signing_until")
	keepGiven(bot, stored, "bot_token", "")
	if _, isGroup := settings["telegram"].(map[string]any); isGroup || len(bot) > 0 {
		if delete(settings, "telegram"); len(bot) > 0 {
			settings["telegram"] = bot
		}
	}
	return settings, func(after any) {
		switch a := after.(type) {
		case *carom.Source:
			b, was := before.(*carom.Source)
			if was && !pathGiven {
				a.Secrets = slices.Clone(b.Secrets)
			}
			if was && keepNetwork {
				a.NetworkSecrets = slices.Clone(b.NetworkSecrets)
			}
		case *carom.Endpoint:
			b, was := before.(*carom.Endpoint)
			if was {
				a.No = b.No
			}
			if was && keepSigning {
				a.SigningSecrets = slices.Clone(b.SigningSecrets)
			}
		}
	}
}

// gives says whether settings give the secret called key, or an older one of it.
func gives(settings map[string]any, key string) bool {
	_, current := settings[key]
	_, older := settings["previous_"+key]
	return current || older
}

// keepGiven adds to settings what is stored of the secret called key, so far as they do not give it; an empty text removes it. It
// says whether all of it is as it was.
func keepGiven(settings, stored map[string]any, key, until string) bool {
	if text, ok := settings[key].(string); ok && text == "" {
		delete(settings, key)
		return false
	}
	keys := []string{key}
	unchanged := !gives(settings, key)
	if unchanged {
		keys = append(keys, "previous_"+key, "previous_"+until)
	}
	for _, k := range keys {
		if _, given := settings[k]; !given && stored[k] != nil {
			settings[k] = stored[k]
		}
	}
	return unchanged
}

// secretsOf are the secrets of an object as a file could say them, by their keys.
func secretsOf(object any) map[string]any {
	secrets := group{}
	add := func(key, until string, list []carom.SigningSecret) {
		if len(list) == 0 {
			return
		}
		secrets[key] = string(list[0].Key)
		if len(list) > 1 && !list[1].NotAfter.IsZero() && list[1].Key != list[0].Key {
			secrets["previous_"+key], secrets["previous_"+until] = string(list[1].Key), list[1].NotAfter.UTC().Format(time.RFC3339)
		}
	}
	switch o := object.(type) {
	case *carom.App:
		secrets.text("bot_token", string(o.BotToken))
	case *carom.Source:
		add("network_secret", "network_until", o.NetworkSecrets)
	case *carom.Endpoint:
		add("signing_secret", "signing_until", o.SigningSecrets)
	}
	return secrets
}

// fileOf is a file that says all of o, but for the secrets in the paths of sources, of which only sums are known.
func fileOf(o carom.Objects) map[string]any {
	file := map[string]any{}
	add(file, o.Publishers, publisherRef)
	add(file, o.Apps, appRef)
	add(file, o.Sources, sourceRef)
	add(file, o.Endpoints, endpointRef)
	add(file, o.Rules, ruleRef)
	add(file, o.Zones, zoneRef)
	add(file, o.Creatives, creativeRef)
	add(file, o.Dialects, dialectRef)
	return file
}

func add[T any](file map[string]any, list []T, ref func(*T) Ref) {
	for i := range list {
		settings, _ := addSecrets(&list[i], Settings(&list[i]))
		placeIn(file, ref(&list[i]), settings)
	}
}

// placeIn puts the settings of an object where they belong in a file. What is in an app stays.
func placeIn(file map[string]any, r Ref, settings map[string]any) {
	within := file
	if r.App != "" {
		within = below(below(file, "apps"), r.App)
	}
	within = below(within, string(r.Kind)+"s")
	if old, ok := within[r.Name].(map[string]any); ok && r.Kind == KindApp {
		for _, kind := range []Kind{KindSource, KindEndpoint, KindRule, KindZone} {
			if delete(settings, string(kind)+"s"); old[string(kind)+"s"] != nil {
				settings[string(kind)+"s"] = old[string(kind)+"s"]
			}
		}
	}
	within[r.Name] = settings
}

// below is the group called key in g, which is made when there is none.
func below(g map[string]any, key string) map[string]any {
	in, ok := g[key].(map[string]any)
	if !ok {
		in = map[string]any{}
		g[key] = in
	}
	return in
}

// readFile reads what a file says, and judges it. Faults and warnings are in the reader.
func readFile(file map[string]any, env Env, rules rules) (*reader, *carom.Objects) {
	r := &reader{env: Env{Profiles: env.Profiles}, rules: rules, at: map[string]place{"": {}}, faulty: make(map[string]bool), whole: true}
	out := &carom.Objects{}
	r.judge(nodeOf(file), out)
	return r, out
}

// newFaults joins the faults of the file that have, if it were one, would not have. path is that of the object that was changed.
func newFaults(read *reader, have carom.Objects, env Env, rules rules, path string) error {
	if len(read.faults) == 0 {
		return nil
	}
	was, _ := readFile(fileOf(have), env, rules)
	known := make(map[string]bool, len(was.faults))
	for _, f := range was.faults {
		known[f.Error()] = true
	}
	var errs []error
	for _, f := range read.faults {
		field, ours := strings.CutPrefix(f.Field, path)
		if ours && field != "" && field[0] != '.' && field[0] != '[' {
			field, ours = f.Field, false // of another object, whose name begins with this one's
		}
		switch {
		case ours:
			errs = append(errs, carom.Invalid(strings.TrimPrefix(field, "."), "%s", f.Message))
		case !known[f.Error()]:
			errs = append(errs, carom.Invalid(f.Field, "%s", f.Message))
		}
	}
	return errors.Join(errs...)
}
