package main

import (
	"io/fs"
	"os"
	"strings"
	"testing"
	"testing/fstest"
)

const folder = "../../packaging/kubernetes"

func TestManifests(t *testing.T) {
	findings, err := check(os.DirFS(folder))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range findings {
		t.Error(f)
	}
}

// Each of these mistakes is found.
func TestFindings(t *testing.T) {
	tests := []struct{ name, file, old, new, want string }{
		{"a field that is not there", "deployment.yaml", "maxUnavailable: 0", "maxUnavailible: 0", `unknown field "maxUnavailible"`},
		{"a field of another type", "deployment.yaml", "replicas: 3", "replicas: three", "cannot unmarshal"},
		{"another label", "service.yaml", "selector:\n    app.kubernetes.io/name: carom", "selector:\n    app: carom", "Service carom selects"},
		{"another port", "service.yaml", "targetPort: private", "targetPort: admin", `names the port "admin"`},
		{"no secret", "secret.yaml", "name: carom\n", "name: other\n", "the volume secrets is of what is not there"},
		{"another file", "deployment.yaml", "/etc/carom-secrets/database", "/etc/carom-secrets/dsn", `CAROM_DATABASE_FILE names "/etc/carom-secrets/dsn"`},
		{"another key", "deployment.yaml", "/etc/carom-secrets/secrets_key", "/etc/carom-secrets/key", `CAROM_SECRETS_KEY_FILE names "/etc/carom-secrets/key"`},
		{"another secret's file", "config.yaml", "secret_file: /etc/carom-secrets/shop-monetag", "secret_file: /etc/carom-secrets/x", `secret_file names "/etc/carom-secrets/x"`},
		{"too little time to stop", "config.yaml", "shutdown_grace: 15s", "shutdown_grace: 40s", "terminationGracePeriodSeconds is shorter"},
		{"a file that is not listed", "kustomization.yaml", "  - network.yaml\n", "", "network.yaml: kustomization.yaml does not list it"},
		{"a kind that nobody checks", "disruption.yaml", "kind: PodDisruptionBudget", "kind: Eviction", "is not checked"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := fstest.MapFS{}
			names, err := fs.Glob(os.DirFS(folder), "*.yaml")
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range names {
				text, err := fs.ReadFile(os.DirFS(folder), name)
				if err != nil {
					t.Fatal(err)
				}
				if name == test.file {
					if !strings.Contains(string(text), test.old) {
						t.Fatalf("%s does not hold %q", name, test.old)
					}
					text = []byte(strings.ReplaceAll(string(text), test.old, test.new))
				}
				dir[name] = &fstest.MapFile{Data: text}
			}
			findings, err := check(dir)
			if err != nil {
				t.Fatal(err)
			}
			if all := strings.Join(findings, "\n"); !strings.Contains(all, test.want) {
				t.Errorf("findings are %q, want one with %q", all, test.want)
			}
		})
	}
}
