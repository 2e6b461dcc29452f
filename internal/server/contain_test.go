package server

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
)

// TestAHandlerThatPanics: whoever asked is told to try later, in the words of where it asked, and nobody else notices.
func TestAHandlerThatPanics(t *testing.T) {
	s := &site{log: slog.New(slog.DiscardHandler)}
	h := s.contain(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("a fault of ours") }))
	for path, want := range map[string]string{
		"/v1/events": "application/problem+json", "/in/shop/monetag/secret": "text/plain; charset=utf-8", "/healthz": "text/plain; charset=utf-8",
	} {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
		if rec.Code != http.StatusServiceUnavailable || rec.Header().Get("Retry-After") == "" || rec.Header().Get("Content-Type") != want {
			t.Errorf("%s: %d %v %s", path, rec.Code, rec.Header(), rec.Body)
		}
	}
}
