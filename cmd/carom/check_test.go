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
	good := quickstart{app: "shop", ymid: "view", backend: "http://127.0.0.1:3000/p"}
	if r := carom1(t, "", "check", "-f", write(good.yaml())); r.code != 0 || !strings.Contains(r.out, "sources 1, endpoints 1") {
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
		q.app, q.ymid = "shop", "user"
		if _, err := objects.Parse("carom.yaml", []byte(q.yaml()), objects.Env{}); err != nil {
			t.Errorf("%v\n%s", err, q.yaml())
		}
	}
}
