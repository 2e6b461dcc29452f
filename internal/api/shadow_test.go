package api

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"carom"
)

func TestShadowReport(t *testing.T) {
	w := newWorld()
	var asked []string
	kinds := shadowKinds()
	report := carom.ShadowReport{Since: noon(), Requests: 9}
	for i := range kinds { // in the order that the store happens to return
		report.Differences = append(report.Differences, carom.ShadowDifference{Kind: kinds[len(kinds)-1-i].Kind, Count: int64(i + 1)})
	}
	var fault error
	o := Options{Store: w.store, Door: w.door, Lanes: w.lanes, Objects: w.objects, Now: noon}
	o.Shadow = func(_ context.Context, app, source string, since time.Time) (carom.ShadowReport, error) {
		asked = append(asked, app+"/"+source+" "+since.Format(time.RFC3339))
		return report, fault
	}
	ask := func(path, key string) *httptest.ResponseRecorder {
		r := httptest.NewRequestWithContext(t.Context(), "GET", path, nil)
		var h http.Handler = New(o)
		if key == "" {
			h = Local(h)
		} else {
			r.Header.Set("Authorization", "Bearer "+key)
		}
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, r)
		return rec
	}
	const path = "/v1/sources/shop/monetag/shadow"
	got := decode[ShadowReport](t, ask(path, ""), 200)
	for i, d := range got.Differences {
		if d.Kind != kinds[i].Kind || d.Count != int64(len(kinds)-i) || d.What == "" || d.Costs == "" || d.Examples == nil {
			t.Errorf("difference %d is %+v, want a whole one of the kind %s", i, d, kinds[i].Kind)
		}
	}
	if len(got.Differences) != len(kinds) || got.Mode != "live" || got.Source != "shop/monetag" || got.WouldGrant == nil {
		t.Errorf("the report is %+v", got)
	}
	ask(path+"?since=2026-03-01T00:00:00Z", "")
	want := []string{"shop/monetag 2026-02-25T12:00:00Z", "shop/monetag 2026-03-01T00:00:00Z"}
	if diff := cmp.Diff(want, asked); diff != "" {
		t.Errorf("asked for (-want +got):\n%s", diff)
	}
	for path, status := range map[string]int{"/v1/sources/shop/none/shadow": 404, path + "?since=yesterday": 422} {
		if rec := ask(path, ""); rec.Code != status {
			t.Errorf("GET %s is answered %d, want %d", path, rec.Code, status)
		}
	}
	for key, status := range map[string]int{"read": 200, "game-read": 404, "events": 403, "wrong": 401} {
		if rec := ask(path, key); rec.Code != status {
			t.Errorf("with the key %s it is answered %d, want %d", key, rec.Code, status)
		}
	}
	if fault = errors.New("the disk is gone"); ask(path, "").Code != 500 {
		t.Error("a fault of the store is not answered 500")
	}
	if o.Shadow = nil; ask(path, "").Code != 503 {
		t.Error("a server without reports does not say so")
	}
}
