package main

import (
	"net/http"
	"os"
)

// crashAt ends this process as a power cut would when CRASH_AT names the given point. Only the tests set that.
func crashAt(point string) {
	if os.Getenv("CRASH_AT") != point {
		return
	}
	if p, err := os.FindProcess(os.Getpid()); err == nil {
		_ = p.Kill() // it does not return
	}
	os.Exit(1)
}

// crashBeforeAnswer has the process end when h has done all its work and begins to answer success.
func crashBeforeAnswer(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.ServeHTTP(fragile{w}, r) })
}

type fragile struct{ http.ResponseWriter }

// WriteHeader implements http.ResponseWriter.
func (f fragile) WriteHeader(status int) {
	if status == http.StatusOK {
		crashAt("before_answer")
	}
	f.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter. Whoever writes without a status answers success.
func (f fragile) Write(b []byte) (int, error) {
	crashAt("before_answer")
	return f.ResponseWriter.Write(b)
}
