package server

import (
	"net/http"
	"time"

	"carom/internal/egress"
)

// passOn is what reaches today's receivers of sources in shadow. Their URLs are the operator's own, so they may be on this
// machine. Nothing is added to a request or unpacked from an answer, no proxy of the environment is used, and no redirect followed.
func passOn() *http.Transport {
	dialer := &egress.Dialer{Policy: egress.Policy{AllowPrivate: true}}
	return &http.Transport{
		DialContext: dialer.DialContext, DisableCompression: true, TLSHandshakeTimeout: 5 * time.Second, IdleConnTimeout: 30 * time.Second,
		MaxIdleConnsPerHost: 64, MaxResponseHeaderBytes: 64 << 10,
	}
}
