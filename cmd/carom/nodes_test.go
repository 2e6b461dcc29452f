package main

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"carom"
	"carom/internal/api"
	"carom/internal/pgtest"
	"carom/internal/postgres"
)

func TestNodesAsText(t *testing.T) {
	list := api.NodeList{Nodes: []carom.Node{
		{No: 4, Name: "web-2", Version: "v1.2.3", State: carom.NodeAlive, Self: true, Began: noon().Add(-time.Hour), Seen: noon(), Events: 1200, Attempts: 1180, Claimed: 14, Duties: []string{"alerts", "house"}},
		{No: 3, Name: "web-1\x1b", Version: "v1.2.3", State: carom.NodeAlive, Began: noon().Add(-25 * time.Hour), Seen: noon(), Events: 80_000, Attempts: 79_000, ClockAheadMS: -7200},
		{No: 2, State: carom.NodeSilent, Began: noon().Add(-26 * time.Hour), Seen: noon().Add(-7 * time.Second)},
		{No: 1, Name: "web-1", State: carom.NodeEnded, Began: noon().Add(-48 * time.Hour), Ended: noon().Add(-25 * time.Hour), ClockAheadMS: 9000},
	}}
	var b bytes.Buffer
	writeNodes(&b, &list)
	golden(t, "nodes.txt", b.String())
	if strings.ContainsRune(b.String(), 0x1b) {
		t.Error("a control character from outside reaches the terminal")
	}
}

func TestNodesCommand(t *testing.T) {
	s := &fakeServer{t: t, status: map[string]int{}, answers: map[string]string{"GET /v1/nodes": `{"nodes":[{"no":3,"name":"web-1","state":"left"}]}`}}
	if r := s.carom("nodes"); r.code != exitOK || !strings.Contains(r.out, "web-1") || !strings.Contains(r.out, "not taken over") {
		t.Errorf("code %d: %s%s", r.code, r.out, r.errOut)
	}
	if r := s.carom("nodes", "-o", "json"); r.code != exitOK || !strings.Contains(r.out, `"state": "left"`) {
		t.Errorf("as JSON, code %d: %s%s", r.code, r.out, r.errOut)
	}
}

func TestAdoptsADatabase(t *testing.T) {
	url := pgtest.Server(t).Database(t)
	if r := carom1(t, "", "nodes", "adopt", "--deployment", "ads.example"); r.code != exitUsage || !strings.Contains(r.errOut, "--database") {
		t.Errorf("without a database, code %d: %s", r.code, r.errOut)
	}
	if r := carom1(t, "", "nodes", "adopt", "--database", url, "--deployment", "ads.example"); r.code != exitProblem || !strings.Contains(r.errOut, "no tables of carom") {
		t.Errorf("of an empty database, code %d: %s", r.code, r.errOut)
	}
	st, err := postgres.Open(t.Context(), postgres.Options{URL: url, Deployment: "old.example"})
	if err != nil {
		t.Fatal(err)
	}
	if r := carom1(t, "", "nodes", "adopt", "--database", url, "--deployment", "ads.example"); r.code != exitProblem || !strings.Contains(r.errOut, "stop them first") {
		t.Errorf("while a node works, code %d: %s", r.code, r.errOut)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := st.Run(ctx); err != nil { // it gives its lease back
		t.Fatal(err)
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ args, out string }{
		{"--deployment ads.example", `belonged to the deployment "old.example", and belongs to "ads.example"`},
		{"--base-url https://ads.example", `belongs to the deployment "ads.example", as before`},
		{"--deployment new.example -o json", `"was": "ads.example"`},
	} {
		r := carom1(t, "", append([]string{"nodes", "adopt", "--database", url}, strings.Fields(tt.args)...)...)
		if r.code != exitOK || !strings.Contains(r.out, tt.out) {
			t.Errorf("adopt %s, code %d: the output lacks %q:\n%s%s", tt.args, r.code, tt.out, r.out, r.errOut)
		}
	}
}
