package move

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"carom"
	"carom/internal/postgres"
	"carom/internal/seal"
	"carom/internal/store"
)

// keysOf are those of a folder's own file.
func keysOf(t *testing.T, dir string) *seal.Ring {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, store.KeyFile))
	if err != nil {
		t.Fatal(err)
	}
	keys, err := seal.Parse(string(text))
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// Secrets are moved as they are sealed, by the folder's own key or by that of the settings, also when the key is replaced between two
// runs; a node without the key takes nothing up.
func TestMoveOfSecrets(t *testing.T) {
	const token = "4242:token-of-the-bot"
	for name, rotated := range map[string]bool{"the folder's own key": false, "a newer key for the last run": true} {
		t.Run(name, func(t *testing.T) {
			c := newClock()
			dir, url := filepath.Join(t.TempDir(), "data"), database(t)
			s, err := store.Open(dir, store.Options{Clock: c.now})
			if err != nil {
				t.Fatal(err)
			}
			stop := running(t, s.Run, s.Close)
			if _, err := s.SetObjects(t.Context(), carom.Objects{Apps: []carom.App{{Name: "app", BotToken: token}}}); err != nil {
				t.Fatal(err)
			}
			accept(t, s, paid("a", "1", c.now(), pays("watch", nil)))
			views := s.ViewSeal()
			o := Options{Folder: dir, URL: url, Clock: c.now, Live: true}
			moved(t, o)
			stop()
			keys := keysOf(t, dir)
			if rotated {
				if keys, err = seal.Parse(seal.NewKey()); err != nil {
					t.Fatal(err)
				}
				o.Keys = keys
			}
			o.Live = false
			if r := moved(t, o); r.Key != keys.ID() {
				t.Errorf("the move says that nodes need the key %s, want %s", r.Key, keys.ID())
			}
			o.Verify = true
			moved(t, o)

			if _, err := postgres.Open(t.Context(), postgres.Options{URL: url, Clock: c.now}); !errors.Is(err, carom.ErrInvalid) || !strings.Contains(err.Error(), keys.ID()) {
				t.Errorf("a node without the key: %v, want its id", err)
			}
			newer, err := seal.Parse(seal.NewKey() + "," + keys.Text())
			if err != nil {
				t.Fatal(err)
			}
			for _, ring := range []*seal.Ring{keys, newer} {
				there, err := postgres.Open(t.Context(), postgres.Options{URL: url, Clock: c.now, Keys: ring})
				if err != nil {
					t.Fatal(err)
				}
				got, err := there.Objects(t.Context())
				if err != nil || len(got.Apps) != 1 || string(got.Apps[0].BotToken) != token || there.ViewSeal() != views {
					t.Errorf("a node with the key: %d apps, %v; the same key of views: %v", len(got.Apps), err, there.ViewSeal() == views)
				}
				if err := there.Close(); err != nil {
					t.Error(err)
				}
			}
			conn, err := pgx.Connect(t.Context(), url)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close(t.Context()) }() // it only read
			var clear int
			if err := conn.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM objects WHERE position($1 IN body) > 0) + (SELECT count(*) FROM secrets WHERE value = $2)`,
				token, views[:]).Scan(&clear); err != nil || clear > 0 {
				t.Errorf("%d secrets lie in the database as they are, %v", clear, err)
			}
		})
	}
}
