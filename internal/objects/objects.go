// Package objects reads the operator's file (carom.yaml) into [carom.Objects], and says what differs from the objects in
// force.
//
// The file is the one place where an operator writes down publishers, apps, sources, endpoints and rules, and for the network end
// zones, creatives and dialects. [Parse] is strict: every key is known, every reference leads somewhere, every template and rule
// is compiled, and all faults are reported at once, each with its line and its fix. [Diff] shows what an apply would change,
// [Merge] is its result, [CheckZones] checks what zones of several apps have in common. What the store then does with that
// result, and how it comes into force, is not decided here.
//
// Everything is a pure function of its arguments, apart from random secrets and what an [Env] reads, and safe for concurrent
// use. No secret is in an error, in a [Change], or in the objects themselves but as its sum; signing secrets, which have to be
// kept, print masked.
package objects

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"carom"
	"carom/internal/ads"
	"carom/internal/network"
	"carom/internal/reward"
	"carom/internal/route"
)

// maxFileBytes is more than 10,000 endpoints with every key written out.
const maxFileBytes = 4 << 20

// Env is what a file may refer to outside of itself. The zero value knows no file and no variable.
type Env struct {
	// ReadFile reads a secret_file. A relative path arrives joined to the folder of the objects file. os.ReadFile fits.
	ReadFile func(path string) ([]byte, error)
	// LookupEnv finds the variable of a secret_env. os.LookupEnv fits.
	LookupEnv func(name string) (string, bool)
	// Profiles are the networks that sources may name; nil stands for those that are built in.
	Profiles map[string]*network.Profile
}

// File is what an objects file says.
type File struct {
	// Objects are in the order of the file. A source's Secrets are empty when the file gives none: then carom makes one, or
	// keeps the one it has, see [Merge].
	Objects carom.Objects
	// Reads are the paths of the secret files that were read, sorted. A change in one of them changes the objects.
	Reads []string
	// Warnings are what is no fault and probably not meant, in the order of their lines: most often a rule that cannot pay.
	Warnings []*carom.FieldError
}

// Parse reads text, the content of the objects file called file. The name is used in errors and to find secret files.
//
// When something is wrong it returns no File, and all faults in the order of their lines, joined with errors.Join. Each is a
// *carom.FieldError with file, line, column, the path of the key (`apps.mygame.endpoints.backend.url`), and a message that
// says what is wrong and how to fix it. No message holds a secret.
func Parse(file string, text []byte, env Env) (*File, error) {
	rules, err := rulesOf(env.Profiles)
	if err != nil {
		return nil, err
	}
	return parse(file, text, env, rules)
}

// rules is what other packages know about objects. Tests give their own.
type rules struct {
	profiles []string // names of profiles, sorted
	source   func(carom.Source) error
	endpoint func(carom.Endpoint, *carom.Dialect) error // nil: carom's own
	dialect  func(*carom.Dialect) error
	creative func(*carom.Creative) error
	adServer func(*carom.AdServer) error
	rewards  func(carom.Objects) ([]reward.Warning, error)
}

// anyURL stands for the public URL, which is a setting of the process and not of the file.
const anyURL = "https://carom.example"

func rulesOf(profiles map[string]*network.Profile) (rules, error) {
	var err error
	if profiles == nil {
		if profiles, err = network.Profiles(); err != nil {
			return rules{}, fmt.Errorf("read the profiles of networks: %w", err)
		}
	}
	out := rules{profiles: []string{carom.ProfileAPI, carom.ProfileSDK}}
	for name := range profiles {
		out.profiles = append(out.profiles, name)
	}
	slices.Sort(out.profiles)
	out.endpoint = func(e carom.Endpoint, d *carom.Dialect) error {
		_, err := route.CompileIn(e, d)
		return err
	}
	out.dialect, out.creative, out.adServer = route.CheckDialect, ads.CheckCreative, ads.CheckAdServer
	out.source = func(s carom.Source) error {
		profile := profiles[s.Profile]
		if profile == nil {
			return nil
		}
		var names route.Names
		if s.Template != "" {
			if names, err = route.ReadBackwards(s.Template, route.Notation{Macros: profile.Macros(), Complete: profile.Complete}); err != nil {
				return err
			}
		}
		if len(s.Secrets) == 0 {
			s.Secrets = make([]carom.SecretSum, 1) // one is made later; what stands here does not matter
		}
		_, err := profile.Bind(s, names.Params, names.Static, anyURL)
		return err
	}
	covers := func(profile string) []string {
		if profile == carom.ProfileSDK {
			return []string{carom.PriceEstimate} // carom's own token states it
		}
		var fields []string
		for _, field := range []string{carom.PriceEstimate, carom.PriceReward} {
			if p := profiles[profile]; p != nil && p.Covered(field) {
				fields = append(fields, field)
			}
		}
		return fields
	}
	out.rewards = func(o carom.Objects) ([]reward.Warning, error) {
		_, warnings, err := reward.Compile(o, covers)
		return warnings, err
	}
	return out, nil
}

func parse(file string, text []byte, env Env, rules rules) (*File, error) {
	r := &reader{file: file, env: env, rules: rules, at: map[string]place{"": {1, 1}}, faulty: make(map[string]bool)}
	out := &File{}
	if root := r.tree(text); root != nil {
		r.judge(root, &out.Objects)
	}
	if len(r.faults) > 0 {
		return nil, r.err()
	}
	slices.Sort(r.reads)
	out.Reads = slices.Compact(r.reads)
	slices.SortStableFunc(r.warnings, byPlace)
	out.Warnings = r.warnings
	return out, nil
}

// judge reads the whole file, and reports what is wrong with it.
func (r *reader) judge(root *node, out *carom.Objects) {
	r.root(root, out)
	out.AddSDKSources()
	r.checkZones(out)
	r.checkRewards(*out)
}

// err joins the faults in the order of the file.
func (r *reader) err() error {
	slices.SortStableFunc(r.faults, byPlace)
	errs := make([]error, len(r.faults))
	for i, fault := range r.faults {
		errs[i] = fault
	}
	return errors.Join(errs...)
}

func byPlace(a, b *carom.FieldError) int {
	return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
}
