package objects

import (
	"errors"
	"strings"
	"testing"

	"carom"
)

func TestRemove(t *testing.T) {
	for _, tt := range []struct {
		ref  Ref
		all  bool
		want string // who uses it; empty: it goes
	}{
		{Ref{KindPublisher, "", "acme"}, false, "owner of the app shop"},
		{Ref{KindApp, "", "shop"}, false, "in it is the source shop/monetag"},
		{Ref{KindApp, "", "shop"}, true, "shown there is the creative spring"},
		{Ref{KindApp, "", "shop2"}, false, "in it is the source shop2/monetag"},
		{Ref{KindApp, "", "shop2"}, true, ""},
		{Ref{KindSource, "shop", "monetag"}, false, "named in the filter of the endpoint shop/backend"},
		{Ref{KindSource, "shop", "unity"}, false, "named in the filter of the rule shop/watch"},
		{Ref{KindSource, "shop", carom.SourceSDK}, false, "the source of the zone shop/1"},
		{Ref{KindSource, "shop2", "monetag"}, false, ""},
		{Ref{KindEndpoint, "shop", "backend"}, false, ""},
		{Ref{KindRule, "shop", "watch"}, false, "named in the filter of the endpoint shop/coins"},
		{Ref{KindZone, "shop", "1"}, false, "shown there is the creative spring, named in the filter of the endpoint shop/backend"},
		{Ref{KindCreative, "", "spring"}, false, ""},
		{Ref{KindDialect, "", "old"}, false, "written in it, the endpoint shop/backend"},
	} {
		t.Run(tt.ref.String(), func(t *testing.T) {
			have := world(t)
			got, err := Remove(have, tt.ref, tt.all)
			if tt.want != "" {
				if !errors.Is(err, carom.ErrConflict) || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("error %v, want %q", err, tt.want)
				}
				return
			}
			if err != nil || Find(got, tt.ref) != nil || Find(have, tt.ref) == nil {
				t.Fatalf("it is there: %t, of what was there: %t; %v", Find(got, tt.ref) != nil, Find(have, tt.ref) != nil, err)
			}
			if changes := Diff(have, got, true); len(changes) != 1 && !tt.all || changes[0].Action != Removed {
				t.Errorf("changes %+v", changes)
			}
		})
	}
	if _, err := Remove(world(t), Ref{KindApp, "", "nowhere"}, true); !errors.Is(err, carom.ErrNotFound) {
		t.Errorf("what is not there: %v", err)
	}
	have := world(t)
	have.Creatives = nil
	if got, err := Remove(have, Ref{KindApp, "", "shop"}, true); err != nil || len(got.Apps)+len(got.Sources) != 2 || len(got.Endpoints)+len(got.Rules)+len(got.Zones) != 0 {
		t.Errorf("an app with all in it: %+v, %v", got, err)
	}
}
