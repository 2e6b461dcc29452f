package postgres

import (
	"bytes"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"carom"
	"carom/internal/seal"
)

func ringOf(t *testing.T, texts ...string) *seal.Ring {
	t.Helper()
	keys, err := seal.Parse(strings.Join(texts, ","))
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// keyed opens a node that has those keys, and says what it logged.
func keyed(t *testing.T, url string, keys *seal.Ring) (*node, string) {
	t.Helper()
	var log bytes.Buffer
	s, err := Open(t.Context(), Options{URL: url, Keys: keys, Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatalf("open a node with the keys %s: %v", keys, err)
	}
	n := &node{Store: s, stop: func() {}}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close the store: %v", err)
		}
	})
	return n, log.String()
}

// lying is all that keys have to do with, as it lies there.
func lying(t *testing.T, url string) []string {
	t.Helper()
	return look(t, url, `SELECT kind || ' ' || id || ' ' || body FROM objects UNION ALL SELECT name || ' ' || encode(value, 'escape') FROM secrets
		UNION ALL SELECT 'meta ' || key || ' ' || value FROM meta UNION ALL SELECT 'node ' || no FROM nodes ORDER BY 1`)
}

// sealedHere lists the keys by which objects and the key of views are sealed; "" stands for those that are not.
func sealedHere(t *testing.T, url string) (ids []string) {
	t.Helper()
	for _, value := range look(t, url, `SELECT body FROM objects UNION ALL SELECT encode(value, 'escape') FROM secrets WHERE name = 'view_seal'`) {
		if id, _ := seal.SealedBy([]byte(value)); !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids
}

func wantRefused(t *testing.T, url string, keys *seal.Ring, id string) {
	t.Helper()
	before := lying(t, url)
	s, err := Open(t.Context(), Options{URL: url, Keys: keys})
	if err == nil {
		_ = s.Close() // the test has failed
	}
	if !errors.Is(err, carom.ErrInvalid) || !strings.Contains(err.Error(), id) || !strings.Contains(err.Error(), "secrets_key_file") {
		t.Errorf("a node with the keys %q: %v, want an error that names the key %s and the setting", keys.String(), err, id)
	}
	if after := lying(t, url); !slices.Equal(before, after) {
		t.Errorf("a node that was refused has changed %q to %q", before, after)
	}
}

func TestKeysOfNodes(t *testing.T) {
	url := database(t)
	first, second := seal.NewKey(), seal.NewKey()
	one, both, two := ringOf(t, first), ringOf(t, second, first), ringOf(t, second)
	with := func(token string, version int64) carom.Objects {
		return carom.Objects{Apps: []carom.App{{Name: "game", BotToken: carom.Masked(token)}}, Version: version}
	}

	// Without a key, things are stored as they are, and the node says so.
	plain, log := keyed(t, url, nil)
	made, err := plain.SetObjects(t.Context(), with("1:token", 0))
	if err != nil || !strings.Contains(log, "secrets_key_file") {
		t.Fatalf("a node without a key: %v, it logs %s", err, log)
	}
	views := plain.ViewSeal()
	if ids := sealedHere(t, url); !slices.Equal(ids, []string{""}) || !strings.Contains(strings.Join(lying(t, url), "\n"), "1:token") {
		t.Errorf("without a key, %v seal what is stored", ids)
	}

	// The first node with a key seals everything. One without can change nothing from now on, and none starts any more.
	a, log := keyed(t, url, one)
	if ids := sealedHere(t, url); !slices.Equal(ids, []string{one.ID()}) || !strings.Contains(log, one.ID()) || strings.Contains(log, first) {
		t.Errorf("sealed by %v, want %s alone; the log: %s", ids, one.ID(), log)
	}
	if strings.Contains(strings.Join(lying(t, url), "\n"), "1:token") || a.ViewSeal() != views {
		t.Error("a secret lies as it is, or the key of views is another one")
	}
	got, err := a.Objects(t.Context())
	if err != nil || string(got.Apps[0].BotToken) != "1:token" || got.Version <= made.Version {
		t.Errorf("Objects: %+v, %v, want the token, and a version that others notice", got, err)
	}
	var unknown *seal.UnknownKeyError
	for _, version := range []int64{made.Version, got.Version} {
		if _, err := plain.SetObjects(t.Context(), with("2:token", version)); !errors.As(err, &unknown) {
			t.Errorf("SetObjects on a node without the key: %v", err)
		}
	}
	if _, err := plain.Objects(t.Context()); !errors.As(err, &unknown) || unknown.ID != one.ID() {
		t.Errorf("Objects on a node without the key: %v", err)
	}
	wantRefused(t, url, nil, one.ID())
	wantRefused(t, url, two, one.ID())

	// A newer key in front: what is there is sealed by it, the older one still opens, and alone it does no harm.
	b, _ := keyed(t, url, both)
	if ids := sealedHere(t, url); !slices.Equal(ids, []string{two.ID()}) {
		t.Errorf("after the rotation, sealed by %v, want %s alone", ids, two.ID())
	}
	if got, err = b.Objects(t.Context()); err != nil || string(got.Apps[0].BotToken) != "1:token" {
		t.Errorf("after the rotation, Objects: %v", err)
	}
	if _, err := a.SetObjects(t.Context(), with("3:token", got.Version)); !errors.As(err, &unknown) || unknown.ID != two.ID() {
		t.Errorf("SetObjects on a node with the older key alone: %v", err)
	}
	wantRefused(t, url, one, two.ID())
	before := lying(t, url)
	keyed(t, url, two)
	if after := lying(t, url); len(after) != len(before)+1 || !slices.Equal(sealedHere(t, url), []string{two.ID()}) { // a node more
		t.Errorf("the newer key alone has changed what is stored: %q", after)
	}

	// Rows that were put in the place of others.
	if _, err := b.SetObjects(t.Context(), carom.Objects{Apps: []carom.App{{Name: "game", BotToken: "1:token"}, {Name: "shop"}}, Version: got.Version}); err != nil {
		t.Fatal(err)
	}
	run(t, url, `UPDATE objects SET body = (SELECT body FROM objects AS other WHERE other.id <> objects.id) WHERE kind = 'app'`)
	if _, err := b.Objects(t.Context()); !errors.Is(err, carom.ErrInvalid) || !strings.Contains(err.Error(), "objects/app/") {
		t.Errorf("Objects of swapped rows: %v, want carom.ErrInvalid with the name of one", err)
	}
	wantRefusedRows(t, url, two)
}

func wantRefusedRows(t *testing.T, url string, keys *seal.Ring) {
	t.Helper()
	s, err := Open(t.Context(), Options{URL: url, Keys: keys})
	if err == nil {
		_ = s.Close() // the test has failed
	}
	if !errors.Is(err, carom.ErrInvalid) || !strings.Contains(err.Error(), "objects/app/") {
		t.Errorf("Open with swapped rows: %v, want carom.ErrInvalid with the name of one", err)
	}
}

// Nodes that start together, with and without keys, end up with one state that those with the key can open.
func TestNodesThatStartTogetherSealOnce(t *testing.T) {
	url := database(t)
	keys := ringOf(t, seal.NewKey())
	plain, _ := keyed(t, url, nil)
	if _, err := plain.SetObjects(t.Context(), carom.Objects{Apps: []carom.App{{Name: "game", BotToken: "1:token"}}}); err != nil {
		t.Fatal(err)
	}
	errs := make(chan error, 4)
	for range cap(errs) {
		go func() {
			s, err := Open(t.Context(), Options{URL: url, Keys: keys})
			if err == nil {
				_, err = s.Objects(t.Context())
				err = errors.Join(err, s.Close())
			}
			errs <- err
		}()
	}
	for range cap(errs) {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if ids := sealedHere(t, url); !slices.Equal(ids, []string{keys.ID()}) {
		t.Errorf("sealed by %v, want %s alone", ids, keys.ID())
	}
}
