package network

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"carom"
)

func TestProfilesOfTheOperator(t *testing.T) {
	text, err := os.ReadFile("profiles/cpawild.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, file string
		text       []byte
		fault      string
	}{
		{"one of one's own", "my-wall.yaml", text, ""},
		{"one that carom has", "monetag.yaml", text, "monetag.yaml: carom has a profile monetag of its own"},
		{"the name of trusted servers", "api.yaml", text, "api.yaml: carom has a profile api"},
		{"a name that is none", "My Wall.yaml", text, "My Wall.yaml: the name"},
		{"a mistake", "wall.yaml", append([]byte("colour: red\n"), text...), "wall.yaml:"},
		{"another kind of file", "README.md", []byte("# Notes"), ""},
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, tt.file), tt.text, 0o600); err != nil {
			t.Fatal(err)
		}
		profiles, err := ProfilesIn(dir)
		switch {
		case tt.fault != "":
			if !errors.Is(err, carom.ErrInvalid) || !strings.Contains(err.Error(), tt.fault) {
				t.Errorf("%s: ProfilesIn() = %v, want %q", tt.name, err, tt.fault)
			}
		case err != nil || profiles["monetag"] == nil:
			t.Errorf("%s: ProfilesIn() = %d profiles, %v", tt.name, len(profiles), err)
		case strings.HasSuffix(tt.file, ".yaml") && profiles[strings.TrimSuffix(tt.file, ".yaml")] == nil:
			t.Errorf("%s: it is not among the profiles", tt.name)
		}
	}
	if _, err := ProfilesIn(filepath.Join(t.TempDir(), "gone")); !errors.Is(err, carom.ErrInvalid) {
		t.Errorf("a folder that is not there: %v, want an ErrInvalid", err)
	}
}

// An address that is listed and not asked for is told and proves nothing.
func TestUnlistedAddressIsFlagged(t *testing.T) {
	g := shippedRig(t, "unityads")
	source := g.b.Source
	source.Addresses = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	b, err := g.p.Bind(source, nil, nil, sampleURL)
	if err != nil {
		t.Fatal(err)
	}
	for client, want := range map[string]string{"192.0.2.7": "", "::ffff:192.0.2.7": "", "203.0.113.7": "unlisted_address"} {
		r := g.genuine()
		r.Client = netip.MustParseAddr(client)
		proof := b.Verify(t.Context(), r, sampleTime, nil)
		rc := received(b, r, sampleTime)
		rc.Client = r.Client
		if v := b.Judge(rc, proof); v.Event == nil || v.Event.Flags.String() != want {
			t.Errorf("from %s: %+v, want an event with the flags %q", client, v, want)
		}
	}
}
