package main

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"carom"
	"carom/internal/caromtest"
)

func TestBackupAndRestore(t *testing.T) {
	server := caromtest.Start(t, caromtest.Options{Objects: caromtest.Monetag("")})
	server.Accepted(t, "ymid=before-1&event_type=impression&reward_event_type=valued&zone_id=1&telegram_id=7")
	dir := t.TempDir()
	file := filepath.Join(dir, "carom.backup")
	r := carom1(t, "", "backup", file, "--data", server.Data)
	if r.code != exitOK || !strings.Contains(r.out, "checked") {
		t.Fatalf("backup: code %d\n%s%s", r.code, r.out, r.errOut)
	}
	server.Accepted(t, "ymid=after-1&event_type=impression&reward_event_type=valued&zone_id=1&telegram_id=7")

	if r := carom1(t, "", "restore", file, "--replace", "--data", server.Data); r.code != exitProblem || !strings.Contains(r.errOut, "in use by a running carom") {
		t.Errorf("restore onto a running server: code %d\n%s%s", r.code, r.out, r.errOut)
	}
	if r := carom1(t, "", "restore", "--check", file); r.code != exitOK || !strings.Contains(r.out, "is whole") {
		t.Errorf("check: code %d\n%s%s", r.code, r.out, r.errOut)
	}
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	cut := filepath.Join(dir, "cut.backup")
	if err := os.WriteFile(cut, whole[:len(whole)-7], 0o600); err != nil {
		t.Fatal(err)
	}
	folder := caromtest.Folder(t)
	if r := carom1(t, "", "restore", cut, "--data", folder); r.code != exitProblem || !strings.Contains(r.errOut, "nothing was changed") {
		t.Errorf("restore of a file that was cut off: code %d\n%s%s", r.code, r.out, r.errOut)
	}
	r = carom1(t, "", "restore", file, "--data", folder, "-o", "json")
	var got restored
	if err := json.Unmarshal([]byte(r.out), &got); err != nil || r.code != exitOK || got.Folder != folder || got.Newest.IsZero() {
		t.Fatalf("restore: code %d, %v\n%s%s", r.code, err, r.out, r.errOut)
	}
	again := caromtest.Start(t, caromtest.Options{Data: folder})
	if events := again.Events(t, "ymid=before-1"); len(events) != 1 {
		t.Errorf("the event from before the backup: %d, want 1", len(events))
	}
	if events := again.Events(t, "ymid=after-1"); len(events) != 0 {
		t.Errorf("the event from after the backup: %d, want none", len(events))
	}
	if a := server.Local(t, "POST", "/v1/backup", "", "Accept", "application/zstd"); a.Status != http.StatusOK || a.Header.Get("Content-Type") != "application/zstd" {
		t.Errorf("backup by the API: %d %s", a.Status, a.Header.Get("Content-Type"))
	}
	if key := server.Key(t, string(carom.ScopeRead), ""); caromtest.Do(t, "POST", server.URL+"/v1/backup", "", "Authorization", "Bearer "+key).Status != http.StatusForbidden {
		t.Error("a key that may only read got a backup")
	}
	if key := server.Key(t, string(carom.ScopeAdmin), "game"); caromtest.Do(t, "POST", server.URL+"/v1/backup", "", "Authorization", "Bearer "+key).Status != http.StatusForbidden {
		t.Error("a key of one app got a backup of all")
	}
}

func TestBackupNeedsARunningServer(t *testing.T) {
	dir := t.TempDir()
	if r := carom1(t, "", "backup", filepath.Join(dir, "x"), "--data", dir); r.code != exitUnreachable {
		t.Errorf("code %d, want %d\n%s", r.code, exitUnreachable, r.errOut)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
	server := caromtest.Start(t, caromtest.Options{})
	if r := carom1(t, "", "backup", filepath.Join(dir, "no", "such", "folder"), "--data", server.Data); r.code != exitProblem || !strings.Contains(r.errOut, "cannot be made") {
		t.Errorf("code %d\n%s", r.code, r.errOut)
	}
}
