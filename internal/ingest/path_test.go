package ingest

import (
	"strings"
	"testing"
)

func TestTheJournalNeverShowsTheSecret(t *testing.T) {
	const secret = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"
	tests := []struct {
		name, path string
		known      int
		want       string
	}{
		{"in its place", "/in/game/ads/" + secret, 2, "/in/game/ads/***"},
		{"before a slash", "/in/game/ads/" + secret + "/", 1, "/in/game/ads/***"},
		{"before more", "/in/game/ads/" + secret + "/a/b", 1, "/in/game/ads/***"},
		{"after a slash too many", "/in//game/ads/" + secret, 0, "/in//game/***"},
		{"in the place of the source", "/in/game/" + secret, 1, "/in/game/***"},
		{"in the place of the app", "/in/" + secret + "/game/ads", 0, "/in/***/game/***"},
		{"alone", "/in/" + secret, 0, "/in/***"},
		{"with encoded slashes", "/in/game%2Fads%2F" + secret, 0, "/in/***"},
		{"behind an encoded slash", "/in%2Fgame/ads/" + secret, 0, "/in/ads/***"},
		{"percent-encoded", "/in/game/ads/" + strings.ReplaceAll(secret, "0", "%30"), 2, "/in/game/ads/***"},
		{"one too short for a secret", "/in/game/ads/short", 2, "/in/game/ads/***"},
		{"a long name that is known", "/in/" + strings.Repeat("a", 40) + "/ads/" + secret, 1, "/in/" + strings.Repeat("a", 40) + "/ads/***"},
		{"no source", "/in/game", 1, "/in/game"},
		{"nothing", "/in/", 0, "/in/"},
		{"bytes that are not UTF-8", "/in/%ff/ads/x", 0, "/in/\uFFFD/ads/***"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := cutPath(tt.path).shown(tt.known); got != tt.want {
				t.Errorf("the journal shows %q for %q, want %q", got, tt.path, tt.want)
			}
		})
	}
}
