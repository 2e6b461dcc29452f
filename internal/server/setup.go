package server

import (
	"crypto/sha256"
	"net/http"
	"strings"

	"carom"
	"carom/internal/api"
)

// texts writes each of a list.
func texts[T interface{ String() string }](list []T) []string {
	out := make([]string, len(list))
	for i, v := range list {
		out[i] = v.String()
	}
	return out
}

// setupPolicy is the content policy of the page on which publishers set up what is theirs: its own files alone, and shown in
// a frame by nobody but the operator's panel.
func setupPolicy(panels []string) string {
	ancestors := "'none'"
	if len(panels) > 0 {
		ancestors = "'self' " + strings.Join(panels, " ")
	}
	return "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors " + ancestors
}

// publishersOnly serves the API to publishers alone, where everything else of it is at the private address.
func (s *site) publishersOnly(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		token = strings.TrimSpace(token)
		key, known := s.store.KeyBySum(sha256.Sum256([]byte(token)))
		if !strings.HasPrefix(token, api.LinkPrefix) && !(known && key.Scope == carom.ScopePublisher) {
			http.NotFound(w, r) // as if nothing were here, which is what the operator asked for
			return
		}
		h.ServeHTTP(w, r)
	})
}
