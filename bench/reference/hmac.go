package reference

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
)

// SignatureHeader has the HMAC-SHA256 of a request's body, in hex.
const SignatureHeader = "X-Signature"

// maxSigned bounds a body, as carom bounds that of a beacon.
const maxSigned = 8 << 10

// HMAC reads the body of each request, compares its HMAC-SHA256 under the key with the one that the request brings, and answers
// that it is confirmed, or 401. It is what net/http costs for a signed beacon, with nothing parsed, judged or stored.
func HMAC(key []byte) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxSigned))
		if err != nil {
			http.Error(w, "the body cannot be read", http.StatusBadRequest)
			return
		}
		said, err := hex.DecodeString(r.Header.Get(SignatureHeader))
		mac := hmac.New(sha256.New, key)
		mac.Write(body)
		if err != nil || !hmac.Equal(mac.Sum(nil), said) {
			http.Error(w, "the signature differs", http.StatusUnauthorized)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"state":"confirmed"}`) // a sender that left is its own affair
	})
}
