package main

import (
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"carom"

	"github.com/google/go-cmp/cmp"
)

// TestReadBooks reads a data folder made with the server's own schema, so that a change of the schema shows here.
func TestReadBooks(t *testing.T) {
	dir := t.TempDir()
	db, err := sql.Open("sqlite", filepath.Join(dir, "carom.db"))
	if err != nil {
		t.Fatal(err)
	}
	schema := "../../internal/store/"
	migrations, err := filepath.Glob(schema + "migrations/*.sql")
	if err != nil || len(migrations) == 0 {
		t.Fatalf("no migrations: %v", err)
	}
	script := []string{}
	for _, name := range append(migrations, schema+"bucket.sql") {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		script = append(script, strings.ReplaceAll(string(b), "{n}", "4"))
	}
	script = append(script, `INSERT INTO meta VALUES ('mark', (4 << 25) | 6); INSERT INTO buckets (bucket, version, opened_at) VALUES (4, 1, 0);
		INSERT INTO buckets (bucket, version, opened_at, dropped) VALUES (3, 1, 0, 2)`)
	for seq, endpoints := range map[string]string{"1": "9 -", "2": "9", "3": "9 11", "4": "", "5": "9", "6": "9 12:77"} {
		script = append(script, `INSERT INTO events_4 (seq, at, app, source, network, event_type, value, ymid, zone_id, sub_zone_id, request_var,
			telegram_id, external_id, flags, held, strength, endpoints, key, key_check, method, path, query, content_type, client, user_id, view, decided, origin)
			VALUES (`+seq+`, 0, '', '', '', 'click', 'valued', 'y`+seq+`', '7', '', '', '', '', 0, '', '', '`+endpoints+`', x'00', 0, '', '', '', '', '', '', '', '', '')`)
	}
	for _, o := range []struct{ id, state string }{
		{"(1<<26)|1", "pending"}, {"(1<<26)|2", "delivered"}, // delivered at the second attempt
		{"(3<<26)|1", "dead"}, {"(3<<26)|(1<<16)|1", "delivered"}, // ended, and due all the same
		{"(5<<26)|1", "pending"}, // an attempt failed and no row waits
	} {
		script = append(script, `INSERT INTO outcomes_4 (id, endpoint, at, took_us, state, due_at, reason, flags, method, url, sent, status)
			VALUES (`+o.id+`, 9, 0, 0, '`+o.state+`', 0, '', 0, '', '', '', 0)`)
	}
	for _, d := range []string{"9, (4<<25)|2, 0", "11, (4<<25)|3, 1"} {
		script = append(script, `INSERT INTO due (endpoint, event, ordinal, due_at, scheduled_at, accepted_at, attempts, step, sending) VALUES (`+d+`, 0, 0, 0, 0, 0, 0)`)
	}
	for _, s := range script {
		if _, err := db.Exec(s); err != nil {
			t.Fatalf("%v in %s", err, s)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := readBooks(dir)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string][]carom.DeliveryState{}
	for _, e := range b.events {
		if e.place.Bucket != 4 || e.zone != "7" || e.event != "click" || e.value != "valued" {
			t.Errorf("event %+v", e)
		}
		got[e.ymid] = e.deliveries
		if pending := len(e.rewards) == 1 && e.rewards[0] == carom.Pending; pending != (e.ymid == "y6") {
			t.Errorf("deliveries of rewards of %s: %v", e.ymid, e.rewards)
		}
	}
	want := map[string][]carom.DeliveryState{
		"y1": {carom.Delivered},
		"y2": {carom.Pending},
		"y3": {carom.Dead, stateTwice},
		"y4": nil,
		"y5": {stateUnexplained},
		"y6": {carom.Pending}, // at the mark: the next start finds it
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("deliveries (-want +got):\n%s", diff)
	}
	if _, err := readBooks(t.TempDir()); err == nil {
		t.Error("an empty folder has books")
	}
}
