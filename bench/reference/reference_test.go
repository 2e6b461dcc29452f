package reference

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func status(t *testing.T, url string) int {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	return resp.StatusCode
}

func TestHandlerReadsTheQuery(t *testing.T) {
	srv := httptest.NewServer(Handler())
	defer srv.Close()
	if a, b := status(t, srv.URL+"/in?ymid=a"), status(t, srv.URL+"/in?zone_id=1"); a != 200 || b != 400 {
		t.Errorf("answered %d and %d, want 200 and 400", a, b)
	}
}

func TestHMACVerifiesTheBody(t *testing.T) {
	srv := httptest.NewServer(HMAC([]byte("key")))
	defer srv.Close()
	// Published vector: the HMAC-SHA256 of this text under the key "key".
	const text = "The quick brown fox jumps over the lazy dog"
	const sum = "f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8"
	for _, tt := range []struct {
		name, body, signature string
		want                  int
	}{
		{"signed", text, sum, 200},
		{"altered", text + ".", sum, 401},
		{"another signature", text, "00" + sum[2:], 401},
		{"no signature", text, "", 401},
		{"no hex", text, "signature", 401},
		{"too large", strings.Repeat("x", maxSigned+1), sum, 400},
	} {
		t.Run(tt.name, func(t *testing.T) {
			req, err := http.NewRequest(http.MethodPost, srv.URL, strings.NewReader(tt.body))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set(SignatureHeader, tt.signature)
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			answer, err := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if err != nil || resp.StatusCode != tt.want || strings.Contains(string(answer), `"confirmed"`) != (tt.want == 200) {
				t.Errorf("answered %d %s, %v; want %d", resp.StatusCode, answer, err, tt.want)
			}
		})
	}
}

func TestForwardersPassTheQueryOn(t *testing.T) {
	got := make(chan string, 1)
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { got <- r.URL.String() }))
	defer target.Close()
	dir := t.TempDir()
	journal, err := NewJournal(dir, target.URL+"/postback")
	if err != nil {
		t.Fatal(err)
	}
	for name, f := range map[string]interface {
		http.Handler
		Run(ctx context.Context)
	}{"forwarder": NewForwarder(target.URL + "/postback"), "journal": journal} {
		t.Run(name, func(t *testing.T) {
			srv := httptest.NewServer(f)
			defer srv.Close()
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan struct{})
			go func() { f.Run(ctx); close(done) }()
			if s := status(t, srv.URL+"/in/bench?ymid=a&zone_id=1"); s != 200 {
				t.Fatalf("answered %d, want 200", s)
			}
			if want, u := "/postback?ymid=a&zone_id=1", <-got; u != want {
				t.Errorf("target got %q, want %q", u, want)
			}
			cancel()
			<-done
		})
	}
	text, err := os.ReadFile(filepath.Join(dir, "journal"))
	if want := "ymid=a&zone_id=1\n"; err != nil || string(text) != want {
		t.Errorf("the journal holds %q (%v), want %q", text, err, want)
	}
}
