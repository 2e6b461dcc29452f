package main

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"carom"
	"carom/internal/caromtest"
	"carom/internal/config"
	"carom/internal/seal"
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

// A key of the settings is in no backup, and restore says which one the folder needs.
func TestBackupWithoutItsKey(t *testing.T) {
	caromtest.NeedsFolder(t)
	dir := t.TempDir()
	file, keyFile := filepath.Join(dir, "carom.backup"), filepath.Join(dir, "secrets.key")
	made := carom1(t, "", "keys", "secret", keyFile)
	text, err := os.ReadFile(keyFile)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := seal.Parse(string(text))
	if err != nil || keys == nil || made.code != exitOK || strings.Contains(made.out, keys.Text()[:8]) || !strings.Contains(made.out, keys.ID()) {
		t.Fatalf("keys secret: code %d, %q, %v", made.code, made.out, err)
	}
	if info, err := os.Stat(keyFile); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("the file of the key: %v, %v", info.Mode(), err)
	}
	if again := carom1(t, "", "keys", "secret", keyFile); again.code != exitUsage || !strings.Contains(again.errOut, "cannot be made") {
		t.Errorf("keys secret onto a file that is there: code %d, %s", again.code, again.errOut)
	}
	if printed := carom1(t, "", "keys", "secret"); len(printed.out) != 65 || printed.code != exitOK {
		t.Errorf("keys secret: code %d, %q", printed.code, printed.out)
	}
	server := caromtest.Start(t, caromtest.Options{Objects: caromtest.Monetag(""), Config: func(c *config.Config) { c.SecretsKeys = keys }})
	if r := carom1(t, "", "backup", file, "--data", server.Data); r.code != exitOK || !strings.Contains(r.out, keys.ID()+" of the server's settings, which is not in it") {
		t.Errorf("backup: code %d\n%s%s", r.code, r.out, r.errOut)
	}
	for _, args := range [][]string{{"restore", file, "--check"}, {"restore", file, "--data", filepath.Join(dir, "a")}} {
		if r := carom1(t, "", args...); r.code != exitOK || !strings.Contains(r.out, "the key "+keys.ID()) || !strings.Contains(r.out, "secrets_key_file") {
			t.Errorf("%v without the key: code %d\n%s%s", args, r.code, r.out, r.errOut)
		}
	}
	r := carom1(t, "", "restore", file, "--data", filepath.Join(dir, "b"), "--secrets-key-file", keyFile, "-o", "json")
	var got restored
	if err := json.Unmarshal([]byte(r.out), &got); err != nil || r.code != exitOK || got.NeedsKey || got.Key != keys.ID() {
		t.Errorf("restore with the key: code %d, %+v, %v\n%s%s", r.code, got, err, r.out, r.errOut)
	}
	if r := carom1(t, "", "restore", file, "--data", filepath.Join(dir, "c"), "--secrets-key-file", file); r.code != exitUsage || !strings.Contains(r.errOut, "secrets_key") {
		t.Errorf("restore with a file that is no key: code %d\n%s%s", r.code, r.out, r.errOut)
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
