package server

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"carom/sdk"
	"carom/web"
)

// framePolicy is the content policy of the page that shows HTML creatives. The sandbox gives it an origin of its own, from
// which it can reach neither the page that shows it nor this server's.
const framePolicy = "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline' https:; style-src 'unsafe-inline' https:; " +
	"img-src https: data:; media-src https: data:; font-src https: data:; form-action 'none'; base-uri 'none'"

// handleFiles registers what browsers load: what pages of apps load from the network end, and the page on which publishers set up
// what is theirs.
func (s *site) handleFiles(mux *http.ServeMux) {
	mux.Handle("/.well-known/carom.json", s.wellKnown)
	for path, content := range web.Setup() {
		f := newFile(typeOf(path), content)
		f.policy, f.cache = setupPolicy(s.cfg.PanelOrigins), "no-cache" // asked for each time: it is of this version of the API
		mux.Handle("GET "+path, f)
	}
	for path, content := range map[string][]byte{"/sdk.js": sdk.Script(), "/sdk.js.map": sdk.SourceMap(), "/sdk.mjs": sdk.Module(), "/sdk/frame": sdk.Frame()} {
		f := newFile(typeOf(path), content)
		f.anywhere, f.cache = true, "public, max-age=3600"
		if path == "/sdk/frame" {
			f.policy = framePolicy
		}
		mux.Handle("GET "+path, f)
	}
}

// typeOf says what is served under a path.
func typeOf(path string) string {
	switch {
	case strings.HasSuffix(path, ".js"), strings.HasSuffix(path, ".mjs"):
		return "text/javascript; charset=utf-8"
	case strings.HasSuffix(path, ".map"):
		return "application/json"
	case strings.HasSuffix(path, ".svg"):
		return "image/svg+xml"
	case strings.HasSuffix(path, ".css"):
		return "text/css; charset=utf-8"
	}
	return "text/html; charset=utf-8"
}

// file is one static answer. Its tag is over its content, so that a browser which asks again is told that nothing changed.
type file struct {
	contentType, tag string
	content          []byte
	packed           func() []byte // once it is asked for: callers wait while a server starts

	policy, cache string
	anywhere      bool // pages of any origin may load it
}

func newFile(contentType string, content []byte) *file {
	sum := sha256.Sum256(content)
	return &file{contentType: contentType, tag: hex.EncodeToString(sum[:8]), content: content, packed: sync.OnceValue(func() []byte {
		var packed bytes.Buffer
		w := gzip.NewWriter(&packed)
		_, _ = w.Write(content) // a buffer takes everything
		_ = w.Close()
		return packed.Bytes()
	})}
}

// ServeHTTP answers with the file, packed for whoever can unpack it.
func (f *file) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", f.contentType)
	h.Set("Cache-Control", f.cache)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Vary", "Accept-Encoding")
	if f.anywhere {
		h.Set("Access-Control-Allow-Origin", "*") // modules are asked for with an origin
		h.Set("Cross-Origin-Resource-Policy", "cross-origin")
	}
	if f.policy != "" {
		h.Set("Content-Security-Policy", f.policy)
	}
	content, tag := f.content, f.tag
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		h.Set("Content-Encoding", "gzip")
		content, tag = f.packed(), tag+"-gz"
	}
	h.Set("Etag", strconv.Quote(tag))
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
}
