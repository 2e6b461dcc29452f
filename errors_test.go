package carom_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"carom"
)

func TestFieldError(t *testing.T) {
	tests := []struct {
		name string
		err  *carom.FieldError
		want string
	}{
		{"from a request", carom.Invalid("url", "the scheme %q is not http or https: use one of them", "ftp"),
			`url: the scheme "ftp" is not http or https: use one of them`},
		{"from a file", &carom.FieldError{File: "carom.yaml", Line: 7, Column: 3, Field: "endpoints.backend.url", Message: "is missing: add it"},
			"carom.yaml:7:3: endpoints.backend.url: is missing: add it"},
		{"from a file, of no field", &carom.FieldError{File: "carom.yaml", Line: 1, Column: 1, Message: "is not YAML"},
			"carom.yaml:1:1: is not YAML"},
		{"of the whole input", &carom.FieldError{Message: "is not YAML"}, "is not YAML"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.err.Error(); got != tt.want {
				t.Errorf("Error() = %q, want %q", got, tt.want)
			}
			wrapped := fmt.Errorf("apply: %w", tt.err)
			var field *carom.FieldError
			if !errors.Is(wrapped, carom.ErrInvalid) || !errors.As(wrapped, &field) || field != tt.err {
				t.Errorf("a wrapped FieldError is not found again as itself and as ErrInvalid")
			}
		})
	}
}

// TestKindsAreDistinct: no error is two kinds at once, or `api` could not choose a status.
func TestKindsAreDistinct(t *testing.T) {
	kinds := []error{carom.ErrNotFound, carom.ErrConflict, carom.ErrInvalid, carom.ErrUnauthorized, carom.ErrUnavailable}
	for i, a := range kinds {
		for j, b := range kinds {
			if (i == j) != errors.Is(a, b) {
				t.Errorf("errors.Is(%v, %v) = %v", a, b, errors.Is(a, b))
			}
		}
	}
}

func TestFlagNames(t *testing.T) {
	tests := []struct {
		flags carom.Flags
		want  string
	}{
		{0, ""},
		{carom.FlagPriceTruncated, "price_truncated"},
		{carom.FlagHeld | carom.FlagPriceInvalid, "price_invalid,held"},
		{carom.FlagPriceTruncated | carom.FlagPriceInvalid | carom.FlagLiteralMacro | carom.FlagRepeated |
			carom.FlagYMIDAsUser | carom.FlagTest | carom.FlagHeld | carom.FlagUnlistedAddress,
			"price_truncated,price_invalid,literal_macro,repeated_parameter,ymid_as_user,test,held,unlisted_address"},
		{1 << 31, ""}, // from a later version: not ours to name
	}
	for _, tt := range tests {
		if got := tt.flags.String(); got != tt.want {
			t.Errorf("Flags(%b).String() = %q, want %q", tt.flags, got, tt.want)
		}
	}

	all := carom.AttemptHTML | carom.AttemptClientError | carom.AttemptProbe | carom.AttemptRedirect
	if got, want := strings.Join(all.Names(), ","), "html_page,client_error,probe,redirect"; got != want {
		t.Errorf("AttemptFlags.Names() = %q, want %q", got, want)
	}
}
