package server

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"carom"
	"carom/internal/network"
)

func TestSourceURL(t *testing.T) {
	profiles, err := network.Profiles()
	if err != nil {
		t.Fatal(err)
	}
	l := &live{profiles: profiles, baseURL: "https://ads.example"}
	const base = "https://ads.example/in/game/ads/SECRET"
	tests := []struct {
		name   string
		source carom.Source
		want   string
	}{
		{"the profile's template", carom.Source{Profile: "monetag"}, base + "?" + profiles["monetag"].Template},
		{"a URL", carom.Source{Profile: "monetag", Template: "https://old.example/p?uid={ymid}&event={event_type}"}, base + "?uid={ymid}&event={event_type}"},
		{"a query with its mark", carom.Source{Profile: "monetag", Template: "?uid={ymid}&event={event_type}"}, base + "?uid={ymid}&event={event_type}"},
		{"a query alone", carom.Source{Profile: "monetag", Template: "uid={ymid}&event={event_type}"}, base + "?uid={ymid}&event={event_type}"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.source.App, tt.source.Name = "game", "ads"
			if got := l.sourceURL(tt.source, "SECRET"); got != tt.want {
				t.Errorf("sourceURL returns %s, want %s", got, tt.want)
			}
		})
	}
}

func TestFaults(t *testing.T) {
	one, two := carom.Invalid("a", "is wrong"), carom.Invalid("b", "is wrong too")
	tests := []struct {
		name string
		err  error
		want []string
	}{
		{"one", one, []string{"a: is wrong"}},
		{"several", errors.Join(one, two), []string{"a: is wrong", "b: is wrong too"}},
		{"several of several", errors.Join(one, errors.Join(two)), []string{"a: is wrong", "b: is wrong too"}},
		{"with a place", fmt.Errorf("source x: %w", one), []string{"source x: a: is wrong"}},
		{"of two kinds", fmt.Errorf("objects file: %w: %w", carom.ErrInvalid, errors.New("gone")), []string{"objects file: invalid: gone"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			for _, fault := range faults(tt.err) {
				got = append(got, fault.Error())
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("faults (-want +got):\n%s", diff)
			}
		})
	}
}
