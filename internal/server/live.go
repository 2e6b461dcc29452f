package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"carom"
	"carom/internal/ads"
	"carom/internal/api"
	"carom/internal/confirm"
	"carom/internal/deliver"
	"carom/internal/ingest"
	"carom/internal/network"
	"carom/internal/objects"
	"carom/internal/postgres"
	"carom/internal/view"
)

// live is the configuration in force: it changes the store, the door and the lanes together.
type live struct {
	store    Store
	shared   *postgres.Store // where other nodes change objects too; nil: there are none
	engine   *deliver.Engine
	door     *ingest.Door
	views    *view.Door
	sdk      *confirm.Door
	ads      *ads.Chooser
	profiles map[string]*network.Profile
	file     string    // the objects come from it when not empty
	baseURL  string    // where sources are shown to be reached
	signed   string    // where networks reach this server, as configured: some sign it. Empty: unknown
	tell     io.Writer // gets what is shown once
	log      *slog.Logger

	mu      sync.Mutex // one change at a time
	current atomic.Pointer[carom.Objects]
	catalog atomic.Pointer[ingest.Catalog] // the door's
	read    map[string][]byte              // what the objects file and its secret files held when last read; watch's alone after start
}

// start puts in force what is stored, or what the objects file says.
func (l *live) start(ctx context.Context) error {
	stored, err := l.store.Objects(ctx)
	if err != nil {
		return err
	}
	l.current.Store(&stored)
	if l.file == "" {
		if err := l.put(stored); err != nil {
			return fmt.Errorf("stored objects: %w", err)
		}
		return nil
	}
	return l.reload(ctx)
}

// use puts objects and the catalog that was made of them in force at every door.
func (l *live) use(c *ingest.Catalog, o carom.Objects) {
	l.catalog.Store(c)
	l.door.Use(c)
	l.views.Use(o)
	l.ads.Use(o)
	l.sdk.Use(o)
}

// followEvery is how often it is looked whether another node has changed the objects. The store hears of it within a second.
const followEvery = 250 * time.Millisecond

// follow puts in force what other nodes have stored, until ctx ends.
func (l *live) follow(ctx context.Context) error {
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	told := ""
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if l.shared.ObjectsVersion() <= l.current.Load().Version {
			continue
		}
		err := l.catchUp(ctx)
		switch {
		case err == nil:
			l.log.Info("objects that another node has changed are in force", "version", l.current.Load().Version)
			told = ""
		case ctx.Err() == nil && err.Error() != told:
			told = err.Error()
			l.log.Error("objects that another node has changed cannot be put in force; what was stays", "error", err)
		}
	}
}

// catchUp puts in force what is stored.
func (l *live) catchUp(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	stored, err := l.store.Objects(ctx)
	if err != nil {
		return err
	}
	return l.put(stored)
}

// put compiles what is stored and puts it in force.
func (l *live) put(stored carom.Objects) error {
	catalog, endpoints, err := ingest.Compile(stored, l.profiles, l.signed)
	if err != nil {
		return err
	}
	l.current.Store(&stored)
	l.engine.SetEndpoints(endpoints)
	l.use(catalog, stored)
	return nil
}

// binding finds the binding of a source that is in force; nil for none.
func (l *live) binding(app, source string) *network.Binding {
	return l.catalog.Load().Binding(app, source)
}

// Objects implements api.Objects.
func (l *live) Objects() carom.Objects { return *l.current.Load() }

// File implements api.Objects.
func (l *live) File() string { return l.file }

// Apply implements api.Objects: it stores want and puts it in force. Nothing changes when it fails.
func (l *live) Apply(ctx context.Context, want carom.Objects, audit ...carom.AuditEntry) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	want.AddSDKSources()
	if _, _, err := ingest.Compile(want, l.profiles, l.signed); err != nil {
		return err
	}
	if err := objects.CheckZones(want); err != nil {
		return err
	}
	stored, err := l.store.SetObjects(ctx, want, audit...)
	if err != nil {
		return err
	}
	return l.put(stored) // compiled again, with the endpoints' numbers
}

// Plan implements api.Objects. A file that comes through the API may not name files or variables of this machine.
func (l *live) Plan(yaml []byte, prune bool) (carom.Objects, []api.Change, []api.MadeSecret, error) {
	file, err := objects.Parse("carom.yaml", yaml, objects.Env{Profiles: l.profiles})
	if err != nil {
		return carom.Objects{}, nil, nil, err
	}
	have := l.Objects()
	want := objects.Merge(have, file.Objects, prune)
	var made []api.MadeSecret
	for i, secret := range l.makeSecrets(have, &want) {
		made = append(made, api.MadeSecret{Source: want.Sources[i].ID(), URL: l.sourceURL(want.Sources[i], secret)})
	}
	return want, api.ChangesOf(objects.Diff(have, file.Objects, prune)), made, nil
}

// makeSecrets gives every source that needs a secret in its path and has none one, and returns them by the place of the
// source. A source that have lacks and that needs none is there with an empty one: its URL is news as well.
func (l *live) makeSecrets(have carom.Objects, o *carom.Objects) map[int]string {
	known := map[string]bool{}
	for i := range have.Sources {
		known[have.Sources[i].ID()] = true
	}
	made := map[int]string{}
	for i := range o.Sources {
		s := &o.Sources[i]
		if secret, isNews := objects.MakeSecret(s, !known[s.ID()], l.profiles); isNews {
			made[i] = secret
		}
	}
	return made
}

// sourceURL is the URL to enter at the network.
func (l *live) sourceURL(s carom.Source, secret string) string {
	u := l.baseURL + "/in/" + s.App + "/" + s.Name
	if secret != "" {
		u += "/" + secret
	}
	if p := l.profiles[s.Profile]; p != nil && s.Template == "" {
		if p.Template != "" { // else the network adds its parameters by itself
			u += "?" + p.Template
		}
	} else if _, query, isURL := strings.Cut(s.Template, "?"); isURL {
		u += "?" + query
	} else if strings.Contains(s.Template, "=") {
		u += "?" + s.Template // the query alone
	}
	return u
}

// reload reads the objects file and puts it in force. What the file does not name is removed: it is the whole truth.
func (l *live) reload(ctx context.Context) error {
	l.read = map[string][]byte{}
	text, err := l.readFile(l.file)
	if err != nil {
		return fmt.Errorf("objects file: %w: %w", carom.ErrInvalid, err)
	}
	file, err := objects.Parse(l.file, text, objects.Env{LookupEnv: os.LookupEnv, ReadFile: l.readFile, Profiles: l.profiles})
	if err != nil {
		return err
	}
	have := l.Objects()
	want := objects.Merge(have, file.Objects, true)
	made := l.makeSecrets(have, &want)
	if err := l.Apply(ctx, want); err != nil {
		return err
	}
	for i, secret := range made {
		id, url := want.Sources[i].ID(), l.sourceURL(want.Sources[i], secret)
		if secret == "" {
			_, _ = fmt.Fprintf(l.tell, "\nEnter this URL at the network of the source %s:\n  %s\n\n", id, url)
			continue
		}
		// The one moment at which a made secret can be seen. It goes into no log.
		_, _ = fmt.Fprintf(l.tell, "\nA secret was made for the source %s. Enter this URL at the network; it is shown only now:\n  %s\n\n", id, url)
	}
	for _, c := range objects.Diff(have, file.Objects, true) {
		l.log.Info("object of the file", "action", string(c.Action), "kind", string(c.Kind), "id", c.ID)
	}
	return nil
}

// watchEvery is how often the objects file is looked at. Its content is compared, so editors that replace files, and
// links that are switched, are seen without a file watcher.
const watchEvery = time.Second

// watch reloads the objects file when it changes, until ctx ends. A file with faults changes nothing.
func (l *live) watch(ctx context.Context) error {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	again := false // the store could not take it, or it was not there to be read
	told := ""     // the faults that were logged last
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		changed := l.changed()
		if !again && !changed {
			continue
		}
		err := l.reload(ctx)
		again = err != nil && !isFieldError(err)
		switch {
		case err == nil:
			l.log.Info("objects file reloaded", "file", l.file)
			told = ""
		case changed || err.Error() != told:
			told = err.Error()
			l.log.Error("the objects file has faults; what was in force stays", "file", l.file)
			for _, fault := range faults(err) {
				l.log.Error("fault in the objects file", "fault", fault.Error())
			}
		}
	}
}

// readFile reads the objects file or one of its secret files, and notes what it held: nil when it could not be read.
func (l *live) readFile(path string) ([]byte, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		b = nil
	}
	l.read[path] = b
	return b, err
}

func (l *live) changed() bool {
	for path, before := range l.read {
		now, err := os.ReadFile(path)
		if err != nil && path == l.file && errors.Is(err, os.ErrNotExist) {
			continue // an editor may be about to put it back
		}
		if (err != nil) != (before == nil) || !bytes.Equal(now, before) {
			return true
		}
	}
	return false
}

func isFieldError(err error) bool {
	var fault *carom.FieldError
	return errors.As(err, &fault)
}

// faults takes a joined error apart. Others, such as one that wraps two kinds, are one fault.
func faults(err error) []error {
	var fault *carom.FieldError
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok || !errors.As(err, &fault) {
		return []error{err}
	}
	var all []error
	for _, e := range joined.Unwrap() {
		all = append(all, faults(e)...)
	}
	return all
}
