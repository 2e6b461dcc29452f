package server

import (
	"crypto/rand"
	"net/http"
	"path"
	"strings"

	"carom/web"
)

// dashboardPolicy is the content policy of the dashboard: its own files alone, styles that carry the nonce of the answer besides, and
// shown in a frame by nobody. What strangers wrote is shown as text, and could not run if it were not.
func dashboardPolicy(nonce string) string {
	return "default-src 'none'; script-src 'self'; style-src 'self' 'nonce-" + nonce + "'; connect-src 'self'; " +
		"img-src 'self' data:; frame-src 'self'; font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}

// handleDashboard registers the dashboard: its page at every path that it knows, and what that loads. Who may see what decides /v1.
func handleDashboard(mux *http.ServeMux) {
	for name, content := range web.Dashboard() {
		f := newFile(typeOf(name), content)
		f.cache = "no-cache"
		if strings.HasPrefix(name, "/assets/") {
			f.cache = "public, max-age=31536000, immutable" // the name changes with the content
		}
		mux.Handle("GET "+name, f)
	}
	mux.HandleFunc("GET /{$}", dashboardPage)
	for _, name := range web.Pages() {
		mux.HandleFunc("GET "+path.Join("/", name), dashboardPage)
		mux.HandleFunc("GET "+path.Join("/", name)+"/", dashboardPage)
	}
}

// dashboardPage answers with the page, which is the same for everybody but for its nonce.
func dashboardPage(w http.ResponseWriter, _ *http.Request) {
	nonce := rand.Text()
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Content-Security-Policy", dashboardPolicy(nonce))
	_, _ = w.Write(web.DashboardPage(nonce)) // the caller hung up: there is nobody to tell
}
