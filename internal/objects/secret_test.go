package objects

import (
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"testing"
)

func TestPathSecretFault(t *testing.T) {
	tests := []struct {
		name, secret string
		want         string // a part of the fault; empty: fit
	}{
		{"32 hexadecimal digits", "00112233445566778899aabbccddeeff", ""},
		{"31 hexadecimal digits", "00112233445566778899aabbccddeef", "about 124 bits"},
		{"22 characters of base64url", "Zm9v-mFyYmF6cXV4_0lKLm", ""},
		{"21 characters of base64url", "Zm9v-mFyYmF6cXV4_0lKL", "about 126 bits"},
		{"26 characters of base32", "abcdefghijklmnopqrstuvwx27", ""},
		{"24 characters of base32", "abcdefghijklmnopqrstuv27", "about 124 bits"},
		{"a UUID", "f81d4fae-7dec-11d0-a765-00a0c91e6bf6", ""},
		{"digits alone", "12345678901234567890123456789012", "about 106 bits"},
		{"one character again and again", strings.Repeat("a", 64), "1 distinct characters"},
		{"few characters again and again", strings.Repeat("ab3", 30), "3 distinct characters"},
		{"a slash", "00112233445566778899aabbccddeeff/", "letters, digits, - and _ only"},
		{"a space", "0011223344556677 8899aabbccddeeff", "letters, digits, - and _ only"},
		{"endless", strings.Repeat("0123456789abcdef", 17), "shorten it to 256"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := pathSecretFault(tt.secret)
			if (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
				t.Errorf("pathSecretFault(%q) = %q, want %q", tt.secret, got, tt.want)
			}
			if strings.Contains(got, tt.secret) {
				t.Errorf("the fault quotes the secret: %q", got)
			}
		})
	}
}

func TestNewSecretIsFit(t *testing.T) {
	seen := make(map[string]bool)
	for range 100 {
		secret, sum := NewSecret()
		if len(secret) != 32 || seen[secret] {
			t.Fatalf("NewSecret returned %q, want 32 characters, new each time", secret)
		}
		seen[secret] = true
		if strings.Trim(secret, secretAlphabet) != "" || secretBits(secret) < minSecretBits {
			t.Errorf("NewSecret returned %q, which Parse would refuse", secret)
		}
		if sum.Sum != sha256.Sum256([]byte(secret)) || !sum.NotAfter.IsZero() {
			t.Errorf("NewSecret returned the sum %+v for %q", sum, secret)
		}
	}
}

func TestNewSigningSecretIsFit(t *testing.T) {
	secret := NewSigningSecret()
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil || len(key) != 32 || !strings.HasPrefix(secret, "whsec_") || secret == NewSigningSecret() {
		t.Errorf("NewSigningSecret() = %q, want whsec_ and the base64 of 32 random bytes", secret)
	}
}
