package carom_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"carom"
)

func TestCheckName(t *testing.T) {
	for _, name := range []string{"a", "0", "game", "my-app_2", "7up", strings.Repeat("a", 63)} {
		if err := carom.CheckName("apps", name); err != nil {
			t.Errorf("CheckName(%q) = %v, want nil", name, err)
		}
	}
	for _, name := range []string{
		"", "-a", "_a", "A", "Game", "a b", "a/b", "a.b", "é", "a\x00", "..", "a%2fb", "{app}",
		strings.Repeat("a", 64), strings.Repeat("x", 1<<16),
	} {
		err := carom.CheckName("apps[2].name", name)
		var field *carom.FieldError
		if !errors.As(err, &field) || !errors.Is(err, carom.ErrInvalid) {
			t.Errorf("CheckName(%.70q) = %v, want a FieldError", name, err)
			continue
		}
		if field.Field != "apps[2].name" || field.Message == "" || len(field.Message) > 300 {
			t.Errorf("CheckName(%.70q) = %+v, want the field's name and a short message", name, field)
		}
	}
}

// TestMaskedNeverPrints tries to make fmt, slog and encoding/json print a secret. One verb is left out: fmt handles %p on
// text before it asks the type, and vet refuses it.
func TestMaskedNeverPrints(t *testing.T) {
	const secret = "s3cr3t-0123456789"
	m := carom.Masked(secret)
	signing := carom.SigningSecret{Key: m}
	endpoint := carom.Endpoint{Name: "backend", SigningSecrets: []carom.SigningSecret{signing}}

	printed := map[string]string{
		"Print":    fmt.Sprint(m, &m, signing, endpoint, &endpoint),
		"String":   m.String(),
		"GoString": m.GoString(),
		"Errorf":   fmt.Errorf("sign with %v, %w", signing, carom.Invalid("key", "%s is too short", m)).Error(),
	}
	for _, verb := range strings.Split("v +v #v s q x X d o b c t e f g U T 10s -10v .3s", " ") {
		verb = "%" + verb
		printed[verb] = fmt.Sprintf(verb, m) + fmt.Sprintf(verb, signing) + fmt.Sprintf(verb, endpoint) +
			fmt.Sprintf(verb, []carom.Masked{m}) + fmt.Sprintf(verb, map[string]carom.Masked{"key": m})
	}
	var asText, asJSON bytes.Buffer
	for _, h := range []slog.Handler{slog.NewTextHandler(&asText, nil), slog.NewJSONHandler(&asJSON, nil)} {
		log := slog.New(h).With("key", m)
		log.Info("signed", "again", m, "endpoint", endpoint, "pointer", &endpoint, slog.Group("group", slog.Any("key", m)))
	}
	printed["slog as text"], printed["slog as JSON"] = asText.String(), asJSON.String()
	encoded, err := json.Marshal([]any{m, &m, endpoint, map[string]any{"key": m}})
	if err != nil {
		t.Fatalf("json.Marshal: %v", err)
	}
	printed["json.Marshal"] = string(encoded)

	for how, out := range printed {
		// The first three bytes in hex catch %x and its like.
		for _, leak := range []string{"s3c", "733363", "0123456789"} {
			if strings.Contains(strings.ToLower(out), leak) {
				t.Errorf("%s prints the secret: %s", how, out)
			}
		}
	}
	if string(m) != secret {
		t.Errorf("string(Masked) = %q, want the secret itself", string(m))
	}
}

func TestEndpointWithDefaults(t *testing.T) {
	got := carom.Endpoint{App: "game", Name: "backend", URL: "https://example.com/"}.WithDefaults()
	want := carom.Endpoint{
		App: "game", Name: "backend", URL: "https://example.com/", Method: "GET",
		Schedule: carom.DefaultSchedule, Deadline: 72 * time.Hour, Timeout: 10 * time.Second, Concurrency: 64,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("WithDefaults of an endpoint that only has a URL (-want +got):\n%s", diff)
	}

	given := carom.Endpoint{
		Method: "POST", ContentType: "form", Schedule: []time.Duration{time.Second}, Deadline: time.Minute,
		Timeout: time.Second, Concurrency: 1, Rate: 2,
	}
	if diff := cmp.Diff(given, given.WithDefaults()); diff != "" {
		t.Errorf("WithDefaults changes what was given (-want +got):\n%s", diff)
	}
	if got := (carom.Endpoint{Method: "POST"}).WithDefaults().ContentType; got != "json" {
		t.Errorf("WithDefaults of a POST endpoint: content type %q, want json", got)
	}
}

func TestSourceWithDefaults(t *testing.T) {
	got := carom.Source{App: "game", Name: "monetag"}.WithDefaults()
	want := carom.Source{
		App: "game", Name: "monetag", YMID: carom.YMIDView, DedupeWindow: 720 * time.Hour, RepeatWindow: 10 * time.Minute,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("WithDefaults of a source with a name only (-want +got):\n%s", diff)
	}
	given := carom.Source{YMID: carom.YMIDUser, DedupeWindow: time.Hour, RepeatWindow: time.Second}
	if diff := cmp.Diff(given, given.WithDefaults()); diff != "" {
		t.Errorf("WithDefaults changes what was given (-want +got):\n%s", diff)
	}
}
