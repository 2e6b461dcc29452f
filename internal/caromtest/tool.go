package caromtest

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// Tool is the path of a program that scripts/setup.sh builds into bin/tools. Without it the test is skipped; with CAROM_TEST_ALL
// it fails.
func Tool(t testing.TB, name string) string {
	t.Helper()
	_, file, _, _ := runtime.Caller(0)
	path := filepath.Join(filepath.Dir(file), "..", "..", "bin", "tools", name)
	if _, err := os.Stat(path); err != nil {
		if os.Getenv("CAROM_TEST_ALL") != "" {
			t.Fatalf("%s is not built, and CAROM_TEST_ALL is set: run scripts/setup.sh", name)
		}
		t.Skipf("%s is not built: run scripts/setup.sh", name)
	}
	return path
}
