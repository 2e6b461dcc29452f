package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/goccy/go-yaml"

	"carom/internal/objects"
)

// The settings and the objects in the manifests are ones that carom reads. That the manifests are ones that Kubernetes reads is checked by
// tools/kubernetes.
func TestManifestsHoldSettings(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "packaging/kubernetes/config.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var manifest struct {
		Data map[string]string `yaml:"data"`
	}
	if err := yaml.Unmarshal(text, &manifest); err != nil {
		t.Fatal(err)
	}
	if err := checkSettings(t, manifest.Data["settings.yaml"]); err != nil {
		t.Errorf("settings.yaml: %v", err)
	}
	secrets := func(string) ([]byte, error) { return []byte("00112233445566778899aabbccddeeff"), nil }
	if _, err := objects.Parse("carom.yaml", []byte(manifest.Data["carom.yaml"]), objects.Env{ReadFile: secrets}); err != nil {
		t.Errorf("carom.yaml: %v", err)
	}
}
