package server_test

import (
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"carom"
	"carom/internal/caromtest"
	"carom/internal/config"
	"carom/internal/pgtest"
	"carom/internal/server"
)

// onDatabase has a server use a database.
func onDatabase(databaseURL string) func(*config.Config) {
	return func(cfg *config.Config) { cfg.Database = databaseURL }
}

// A server delivers what it is sent, whichever way its connections to the database go, and though its data folder is not there yet.
func TestDatabase(t *testing.T) {
	for _, mode := range []string{"direct", "transaction", "session"} {
		t.Run(mode, func(t *testing.T) {
			databaseURL := pgtest.Server(t).Database(t)
			if mode != "direct" {
				databaseURL = pgtest.PgBouncer(t, databaseURL, mode)
			}
			endpoint := caromtest.NewEndpoint(t)
			s := caromtest.Start(t, caromtest.Options{Data: filepath.Join(caromtest.Folder(t), "data"), Config: onDatabase(databaseURL),
				Objects: caromtest.Monetag("", endpoint.URL+"/p?ymid={ymid}")})
			for i := range 20 {
				for range 2 { // each is repeated
					if a := s.Postback(t, "ymid="+itoa(i)+"&event=impression&value=yes&zone_id=1"); a.Status != http.StatusOK {
						t.Fatalf("a postback was answered %d %q", a.Status, a.Body)
					}
				}
			}
			endpoint.Wait(t, "/p", 20)
			s.Restart(t)
			if got := len(s.Events(t, "")); got != 20 {
				t.Errorf("%d events are stored, want 20", got)
			}
			if got := len(endpoint.Sent("/p")); got != 20 {
				t.Errorf("%d requests were sent, want 20", got)
			}
		})
	}
}

// The server says what is wrong with its database, in the words of its settings, before it listens.
func TestDatabaseOfNobody(t *testing.T) {
	wrong, err := url.Parse(pgtest.Server(t).Database(t))
	if err != nil {
		t.Fatal(err)
	}
	wrong.User = url.UserPassword("carom", "not the password")
	cfg, err := caromtest.Config(caromtest.Folder(t))
	if err != nil {
		t.Fatal(err)
	}
	cfg.Database = wrong.String()
	err = server.Run(t.Context(), cfg, slog.New(slog.DiscardHandler), "test")
	if err == nil || !errors.Is(err, carom.ErrInvalid) || !strings.Contains(err.Error(), `database: the password of the role "carom" is wrong`) || strings.Contains(err.Error(), "not the password") {
		t.Errorf("the server ends with %v", err)
	}
}

// When the database has no room left callers try later. When it has room again work goes on.
func TestAFullDatabase(t *testing.T) {
	disk := caromtest.SmallDisk(t, 64)
	u, err := user.Lookup("postgres")
	if err != nil {
		t.Skipf("skipped: %v", err)
	}
	uid, _ := strconv.Atoi(u.Uid) // digits on every system that has such a user
	gid, _ := strconv.Atoi(u.Gid)
	space := filepath.Join(disk, "space")
	if err := os.Mkdir(space, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(space, uid, gid); err != nil {
		t.Fatal(err)
	}
	cluster, err := pgtest.Start(pgtest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cluster.Close() }) // it goes with the process anyway
	admin, err := pgx.Connect(t.Context(), cluster.AdminURL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{"CREATE TABLESPACE small LOCATION '" + space + "'", "CREATE DATABASE small OWNER carom TEMPLATE template0 TABLESPACE small"} {
		if _, err := admin.Exec(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	if err := admin.Close(t.Context()); err != nil {
		t.Fatal(err)
	}

	endpoint := caromtest.NewEndpoint(t)
	s := caromtest.Start(t, caromtest.Options{Config: onDatabase(cluster.URL("small")), Objects: caromtest.Monetag("", endpoint.URL+"/p?ymid={ymid}")})
	acknowledged := map[string]bool{}
	const filler = 2000 // bytes, so that the pages which have room fill soon
	send := func(ymid string) int {
		a := s.Postback(t, "ymid="+ymid+"&event=impression&value=yes&zone_id=1&filler="+strings.Repeat("x", filler))
		if acknowledged[ymid] = a.Status == http.StatusOK; a.Status != http.StatusOK && a.Status != http.StatusServiceUnavailable {
			t.Errorf("%s was answered %d %q", ymid, a.Status, a.Body)
		}
		return a.Status
	}
	for i := range 20 {
		if status := send("before-" + itoa(i)); status != http.StatusOK {
			t.Fatalf("with room a postback was answered %d", status)
		}
	}
	free := caromtest.FillDisk(t, disk)
	n := 0
	caromtest.Until(t, "the missing room to be felt", func() bool {
		n++
		return send("full-"+itoa(n)) == http.StatusServiceUnavailable
	})
	caromtest.Until(t, "people to be told", func() bool {
		send("full-" + itoa(n))
		return strings.Contains(s.Local(t, "GET", "/v1/status", "").Body, "No space left on device")
	})
	free()
	caromtest.Until(t, "the server to accept again", func() bool { return send("after") == http.StatusOK })
	for ymid, ok := range acknowledged {
		if found := len(s.Events(t, "ymid="+ymid)); ok && found != 1 {
			t.Errorf("%.20s was answered 200 and is stored %d times", ymid, found)
		}
	}
}
