package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"carom/internal/objects"
)

func TestCheckListsEveryFault(t *testing.T) {
	write := func(text string) string {
		file := filepath.Join(t.TempDir(), "carom.yaml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	good := quickstart{network: profile(t, "monetag"), app: "shop", ymid: "view", backend: "http://127.0.0.1:3000/p"}
	if r := carom1(t, "", "check", "-f", write(yamlOf(t, &good))); r.code != 0 || !strings.Contains(r.out, "sources 1, endpoints 1") {
		t.Errorf("code %d: %s%s", r.code, r.out, r.errOut)
	}
	if r := carom1(t, "", "check", "--listen", ":9999"); r.code != 0 || !strings.Contains(r.out, ":9999") || !strings.Contains(r.out, "flag") {
		t.Errorf("code %d: %s%s", r.code, r.out, r.errOut)
	}
	if r := carom1(t, "", "check", "--log-format", "xml", "--listen", "x"); r.code == 0 {
		t.Errorf("settings that cannot be used pass: %s%s", r.out, r.errOut)
	}
	bad := "apps:\n  shop:\n    colour: red\n    endpoints:\n      backend:\n        url: https://shop.example/?e={event}\n"
	r := carom1(t, "", "check", "-f", write(bad))
	if r.code != exitProblem || !strings.Contains(r.out, "carom.yaml:3:5: apps.shop.colour") || !strings.Contains(r.out, "event_type") {
		t.Errorf("code %d: %s%s", r.code, r.out, r.errOut)
	}
}

func TestQuickstartWritesAValidFile(t *testing.T) {
	for _, q := range []quickstart{
		{backend: "https://shop.example.com/postback"},
		{template: "https://shop.example.com/p?uid={ymid}&key=abc&event={event_type}", backend: "https://shop.example.com/p?uid={ymid}&key=abc&event={event_type}"},
		{template: "https://shop.example.com/p?ymid={telegram_id}&e={event_type}", backend: "http://localhost/p?a=b"},
		{template: "https://shop.example.com/p?uid=%7Bymid%7D", backend: "http://10.0.0.7:3000/p"},
	} {
		q.app, q.ymid, q.network = "shop", "user", profile(t, "monetag")
		if _, err := objects.Parse("carom.yaml", []byte(yamlOf(t, &q)), objects.Env{}); err != nil {
			t.Errorf("%v\n%s", err, yamlOf(t, &q))
		}
	}
}

func TestCheckReadsProfilesOfOnesOwn(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "internal", "network", "profiles", "cpawild.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := filepath.Join(t.TempDir(), "carom.yaml")
	write := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(filepath.Join(dir, "my-wall.yaml"), string(text))
	write(file, "apps:\n  shop:\n    sources:\n      wall: { profile: my-wall, network_secret: what-the-wall-shows }\n")
	if r := carom1(t, "", "check", "-f", file); r.code != exitProblem || !strings.Contains(r.out, "there is no profile") {
		t.Errorf("without the folder: code %d: %s%s", r.code, r.out, r.errOut)
	}
	if r := carom1(t, "", "check", "-f", file, "--profiles", dir); r.code != 0 || !strings.Contains(r.out, "sources 1") {
		t.Errorf("with the folder: code %d: %s%s", r.code, r.out, r.errOut)
	}
	if r := carom1(t, "", "networks", "show", "my-wall", "--profiles", dir); r.code != 0 || !strings.Contains(r.out, "profile my-wall") {
		t.Errorf("networks show: code %d: %s%s", r.code, r.out, r.errOut)
	}
	write(filepath.Join(dir, "my-wall.yaml"), strings.Replace(string(text), "md5", "md6", 1))
	if r := carom1(t, "", "check", "-f", file, "--profiles", dir); r.code != exitProblem || !strings.Contains(r.out, "my-wall.yaml:") || !strings.Contains(r.out, "sha256") {
		t.Errorf("with a mistake: code %d: %s%s", r.code, r.out, r.errOut)
	}
}
