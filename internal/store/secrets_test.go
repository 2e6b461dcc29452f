package store

import (
	"bytes"
	"context"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"carom"
	"carom/internal/seal"
	"carom/internal/tables"
)

// guarded are objects with a secret wherever one can stand, and those secrets. Some rows are longer than a page.
func guarded() (carom.Objects, []string) {
	o := carom.Objects{
		Apps: []carom.App{{Name: "game", BotToken: "4242:token-of-the-bot"}, {Name: "shop", BotToken: "4343:token-of-another"}},
		Sources: []carom.Source{{App: "game", Name: "ads", Profile: "monetag", ShadowURL: "https://old.example/?token=of-the-shadow",
			NetworkSecrets: []carom.SigningSecret{{Key: "secret-of-the-network"}, {Key: "secret-of-before", NotAfter: noon}}}},
		Endpoints: []carom.Endpoint{{App: "game", Name: "backend", URL: "https://publisher.example/?ymid={ymid}&token=of-the-url", Method: "POST",
			Headers: []carom.Field{{Name: "X-Key", Value: "token-of-a-header"}}, Body: `{"token":"of-a-body","more":"` + strings.Repeat("long ", 2000) + `"}`,
			SigningSecrets: []carom.SigningSecret{{Key: "whsec_signing-secret"}}}},
		Zones: []carom.Zone{{App: "game", ID: "1", AdServer: carom.AdServer{URL: "https://ads.example/token-of-the-ad-server"}}},
	}
	return o, []string{"token-of-the-bot", "token-of-another", "of-the-shadow", "secret-of-the-network", "secret-of-before", "of-the-url", "token-of-a-header",
		"of-a-body", "signing-secret", "token-of-the-ad-server"}
}

// wantHidden looks for secrets in every file of the folder but that of its keys.
func wantHidden(t *testing.T, dir string, secrets ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		for _, secret := range secrets {
			if at := bytes.Index(data, []byte(secret)); at >= 0 && e.Name() != KeyFile {
				t.Errorf("%s holds %q, at byte %d", e.Name(), secret, at)
			}
		}
	}
}

func wantObjects(t *testing.T, s *Store, want carom.Objects) {
	t.Helper()
	got, err := s.Objects(t.Context())
	got.Version, want.Version = 0, 0
	for i := range got.Endpoints {
		got.Endpoints[i].No = 0
	}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("Objects (-want +got), %v:\n%s", err, diff)
	}
}

func TestNoSecretIsInTheFolder(t *testing.T) {
	dir := t.TempDir()
	s, stop := open(t, dir, Options{})
	o, secrets := guarded()
	for range 3 { // also what was there before leaves no trace
		made, err := s.SetObjects(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		o.Version = made.Version
	}
	views := s.ViewSeal()
	secrets = append(secrets, string(views[:]))
	wantHidden(t, dir, secrets...)
	stop()
	wantHidden(t, dir, secrets...)
	s, stop = open(t, dir, Options{})
	wantObjects(t, s, o)
	if s.ViewSeal() != views {
		t.Error("the key of views is another one after a restart")
	}
	stop()
}

// inClear makes a folder as an earlier release left it: secrets as they are, also in pages that are not used any more, and no key.
func inClear(t *testing.T) (dir string, want carom.Objects, secrets []string) {
	t.Helper()
	dir = t.TempDir()
	s, stop := open(t, dir, Options{})
	views, keys := s.ViewSeal(), s.keys
	o, secrets := guarded()
	made, err := s.SetObjects(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	stop()
	o.Version = made.Version
	w := writerOf(t, dir)
	type row struct{ kind, id, body string }
	var rows []row
	if err := w.query(`SELECT kind, id, body FROM objects`, func(v []driver.Value) error {
		body, err := tables.OpenObject(keys, v[0].(string), v[1].(string), v[2].(string))
		rows = append(rows, row{v[0].(string), v[1].(string), string(body)})
		return err
	}); err != nil {
		t.Fatal(err)
	}
	for _, filler := range []string{strings.Repeat("of-the-url in what was there before ", 3000), ""} {
		if err := w.exec(`DELETE FROM objects`); err != nil {
			t.Fatal(err)
		}
		for _, r := range rows {
			if err := w.exec(`INSERT INTO objects (kind, id, body) VALUES (?, ?, ?)`, r.kind, r.id, r.body+filler); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := errors.Join(w.exec(`UPDATE secrets SET value = ? WHERE name = 'view_seal'`, views[:]), w.Close(), os.Remove(filepath.Join(dir, KeyFile))); err != nil {
		t.Fatal(err)
	}
	return dir, o, append(secrets, string(views[:]))
}

func writerOf(t *testing.T, dir string) *writer {
	t.Helper()
	w, err := openWriter(filepath.Join(dir, databaseFile), 1)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestAFolderInClearIsSealed(t *testing.T) {
	dir, want, secrets := inClear(t)
	if data, err := os.ReadFile(filepath.Join(dir, databaseFile)); err != nil || strings.Count(string(data), "of-the-url") < 3000 {
		t.Fatalf("the folder is not in clear: %v", err)
	}
	s, stop := open(t, dir, Options{})
	wantHidden(t, dir, secrets...)
	wantObjects(t, s, want)
	views := s.ViewSeal()
	if string(views[:]) != secrets[len(secrets)-1] {
		t.Error("the key of views is another one")
	}
	made, err := s.SetObjects(t.Context(), carom.Objects{Version: want.Version + 1})
	if err != nil {
		t.Errorf("SetObjects of the next version: %+v, %v", made, err)
	}
	stop()
}

// asKilled copies a folder as it is, as if the process had been killed at this moment.
func asKilled(t *testing.T, from string) string {
	t.Helper()
	to := t.TempDir()
	if err := copyFolder(to, from); err != nil {
		t.Fatal(err)
	}
	return to
}

func TestKilledWhileItIsSealed(t *testing.T) {
	dir, want, secrets := inClear(t)
	// The steps of a start, one by one.
	s := &Store{dir: dir, opts: Options{}.withDefaults(), w: writerOf(t, dir)}
	s.log = s.opts.Log
	if err := s.findKeys(); err != nil {
		t.Fatal(err)
	}
	s.Tables = tables.New(tables.Options{Keys: s.keys, Alone: true})
	copies := map[string]string{"before": asKilled(t, dir)}
	for _, statement := range []string{"PRAGMA secure_delete = ON", `CREATE TABLE scrub (zeros BLOB NOT NULL)`, `INSERT INTO scrub (zeros) VALUES (zeroblob(10000))`} {
		if err := s.w.exec(statement); err != nil {
			t.Fatal(err)
		}
	}
	copies["while free pages are written over"] = asKilled(t, dir)
	if err := errors.Join(s.scrub(), s.LoadViews(tx{s.w}), s.w.exec("PRAGMA secure_delete = ON")); err != nil {
		t.Fatal(err)
	}
	if err := s.w.tx(func() error {
		changed, err := s.Reseal(tx{s.w})
		copies["in the transaction"] = asKilled(t, dir)
		if !changed {
			t.Error("nothing was sealed")
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	copies["behind the transaction"] = asKilled(t, dir)
	if err := s.w.Close(); err != nil {
		t.Fatal(err)
	}
	for when, copied := range copies {
		again, stop := open(t, copied, Options{})
		wantObjects(t, again, want)
		if again.keys.ID() != s.keys.ID() {
			t.Errorf("%s: another key was made", when)
		}
		stop()
		wantHidden(t, copied, secrets...)
		w := writerOf(t, copied)
		if n, err := w.int64(`SELECT count(*) FROM sqlite_master WHERE name = 'scrub'`); n != 0 || err != nil {
			t.Errorf("%s: a table was left, %v", when, err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestWithoutTheKey(t *testing.T) {
	dir := t.TempDir()
	s, stop := open(t, dir, Options{})
	o, _ := guarded()
	if _, err := s.SetObjects(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	accept(t, s, submission("v1", noon))
	id := s.keys.ID()
	stop()
	another, err := seal.Parse(seal.NewKey())
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		keyFile string // what is in the folder's; empty: it is not there
		keys    *seal.Ring
	}{
		"no key at all":             {},
		"another one in the folder": {keyFile: seal.NewKey()},
		"another one in settings":   {keys: another},
	} {
		copied := asKilled(t, dir)
		if err := os.Remove(filepath.Join(copied, KeyFile)); err != nil {
			t.Fatal(err)
		}
		if c.keyFile != "" {
			if err := os.WriteFile(filepath.Join(copied, KeyFile), []byte(c.keyFile), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		before, err := os.ReadFile(filepath.Join(copied, databaseFile))
		if err != nil {
			t.Fatal(err)
		}
		_, err = Open(copied, Options{Keys: c.keys})
		var unknown *seal.UnknownKeyError
		if !errors.As(err, &unknown) || unknown.ID != id || !errors.Is(err, carom.ErrInvalid) || !strings.Contains(err.Error(), "secrets_key_file") {
			t.Errorf("%s: Open: %v, want an error that names the key %s and the setting", name, err, id)
		}
		if _, err := OpenSource(copied, c.keys); !errors.As(err, &unknown) {
			t.Errorf("%s: OpenSource: %v", name, err)
		}
		after, err := os.ReadFile(filepath.Join(copied, databaseFile))
		if err != nil || !bytes.Equal(before, after) {
			t.Errorf("%s: the database was changed, %v", name, err)
		}
		if _, err := os.Stat(filepath.Join(copied, KeyFile)); c.keyFile == "" && err == nil {
			t.Errorf("%s: a key was made", name)
		}
		checked, err := Check(t.Context(), copied, Options{Keys: c.keys})
		if err != nil || checked.Lacks != id || !checked.Newest.Equal(noon) {
			t.Errorf("%s: Check: %+v, %v, want the id of the key that is missing", name, checked, err)
		}
	}
	for name, text := range map[string]string{"empty": "", "damaged": "# \n0011"} {
		copied := asKilled(t, dir)
		if err := os.WriteFile(filepath.Join(copied, KeyFile), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(copied, Options{}); !errors.Is(err, carom.ErrInvalid) || !strings.Contains(err.Error(), KeyFile) {
			t.Errorf("a key file that is %s: Open: %v", name, err)
		}
	}
}

func TestRotation(t *testing.T) {
	ring := func(texts ...string) *seal.Ring {
		keys, err := seal.Parse(strings.Join(texts, "\n"))
		if err != nil {
			t.Fatal(err)
		}
		return keys
	}
	dir := t.TempDir()
	s, stop := open(t, dir, Options{})
	o, secrets := guarded()
	if _, err := s.SetObjects(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	own := s.keys.ID()
	stop()
	first, second := seal.NewKey(), seal.NewKey()
	for _, step := range []struct {
		name   string
		keys   *seal.Ring
		file   bool // the folder's own key is still there
		gone   string
		opens  bool
		sealed string
	}{
		{"a setting takes the place of the folder's own key", ring(first), true, own, true, ring(first).ID()},
		{"the folder's own key is deleted", ring(first), false, own, true, ring(first).ID()},
		{"a newer key in front", ring(second, first), false, ring(first).ID(), true, ring(second).ID()},
		{"the older key alone", ring(first), false, "", false, ""},
		{"the newer key alone", ring(second), false, ring(first).ID(), true, ring(second).ID()},
	} {
		if !step.file {
			if err := os.Remove(filepath.Join(dir, KeyFile)); err != nil && !errors.Is(err, os.ErrNotExist) {
				t.Fatal(err)
			}
		}
		if !step.opens {
			if _, err := Open(dir, Options{Keys: step.keys}); !errors.Is(err, carom.ErrInvalid) {
				t.Errorf("%s: Open: %v, want carom.ErrInvalid", step.name, err)
			}
			continue
		}
		s, stop := open(t, dir, Options{Keys: step.keys})
		wantObjects(t, s, o)
		snap, err := s.Snapshot(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if snap.Key != step.sealed || snap.HasKey {
			t.Errorf("%s: a snapshot is sealed by %s and has the key: %v, want %s and none", step.name, snap.Key, snap.HasKey, step.sealed)
		}
		if err := snap.Close(); err != nil {
			t.Fatal(err)
		}
		stop()
		wantHidden(t, dir, append(secrets, "sealed:1:"+step.gone)...)
	}
}

// Who can write to the database cannot have one app use the token of another, nor an older state of a row under another name.
func TestRowsCannotBeSwapped(t *testing.T) {
	dir := t.TempDir()
	s, stop := open(t, dir, Options{})
	o, _ := guarded()
	if _, err := s.SetObjects(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	stop()
	for name, statement := range map[string]string{
		"the rows of two apps": `UPDATE objects SET body = (SELECT body FROM objects AS other WHERE other.kind = 'app' AND other.id <> objects.id) WHERE kind = 'app'`,
		"a source as an app":   `UPDATE objects SET body = (SELECT body FROM objects AS other WHERE other.kind = 'source') WHERE kind = 'app' AND id = 'game'`,
		"a row that is cut":    `UPDATE objects SET body = substr(body, 1, length(body) - 4) WHERE kind = 'endpoint'`,
	} {
		copied := asKilled(t, dir)
		w := writerOf(t, copied)
		if err := errors.Join(w.exec(statement), w.Close()); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(copied, Options{}); !errors.Is(err, carom.ErrInvalid) || !strings.Contains(err.Error(), "objects/") {
			t.Errorf("%s: Open: %v, want carom.ErrInvalid with the name of the object", name, err)
		}
	}
}

// A snapshot of a folder with a key of its own holds it; what the file was changed to meanwhile is of the next start.
func TestASnapshotHoldsTheFoldersKey(t *testing.T) {
	dir := t.TempDir()
	s, stop := open(t, dir, Options{})
	defer stop()
	want, err := os.ReadFile(filepath.Join(dir, KeyFile))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, KeyFile), []byte(seal.NewKey()), 0o600); err != nil {
		t.Fatal(err)
	}
	snap, err := s.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []byte
	if err := errors.Join(snap.Files(context.Background(), func(name string, _ int64, content io.Reader) error {
		data, err := io.ReadAll(content)
		if name == KeyFile {
			got = data
		}
		return err
	}), snap.Close()); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) || snap.Key != s.keys.ID() {
		t.Errorf("the snapshot has the keys %q, want those of the start", got)
	}
}

// What is stored sealed is JSON inside: the form of the rows is that of the releases before.
func TestSealedRowsAreJSON(t *testing.T) {
	dir := t.TempDir()
	s, stop := open(t, dir, Options{})
	defer stop()
	o, _ := guarded()
	if _, err := s.SetObjects(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	rows := 0
	if err := s.control(t.Context(), func(w *writer) error {
		return w.query(`SELECT kind, id, body FROM objects`, func(v []driver.Value) error {
			rows++
			stored := v[2].(string)
			body, err := tables.OpenObject(s.keys, v[0].(string), v[1].(string), stored)
			if id, sealed := seal.SealedBy([]byte(stored)); !sealed || id != s.keys.ID() || !json.Valid(body) {
				return fmt.Errorf("%s %s: sealed %v by %q, %q, %w", v[0], v[1], sealed, id, body, err)
			}
			return err
		})
	}); err != nil || rows != 5 {
		t.Errorf("%d rows, %v", rows, err)
	}
}
