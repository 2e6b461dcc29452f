package server

import (
	"crypto/sha256"
	"net/http"
	"strings"

	"carom"
	"carom/internal/api"
	"carom/internal/config"
)

// texts writes each of a list.
func texts[T interface{ String() string }](list []T) []string {
	out := make([]string, len(list))
	for i, v := range list {
		out[i] = v.String()
	}
	return out
}

// settingsOf are the settings as the API shows them.
func settingsOf(cfg *config.Config) []api.Setting {
	list := []api.Setting{}
	for _, s := range cfg.Shown() {
		list = append(list, api.Setting{Key: s.Key, Value: s.Value, Origin: string(s.Origin), Help: s.Help})
	}
	return list
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

// publishersOnly serves the API to publishers alone, where everything else of it is at the private address: by their keys and links, and
// to their members, who may sign in. Whose session it is that a browser shows, the API finds out.
func (s *site) publishersOnly(h http.Handler) http.Handler {
	h = api.PublishersOnly(h)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		token = strings.TrimSpace(token)
		key, known := s.store.KeyBySum(sha256.Sum256([]byte(token)))
		signsIn := r.URL.Path == "/v1/session" || r.URL.Path == "/v1/session/claim"
		if !strings.HasPrefix(token, api.LinkPrefix) && !(known && key.Scope == carom.ScopePublisher) && !signsIn && !api.HasSession(r) {
			http.NotFound(w, r) // as if nothing were here, which is what the operator asked for
			return
		}
		h.ServeHTTP(w, r)
	})
}
