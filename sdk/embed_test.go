package sdk_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"carom/sdk"
)

// TestFiles checks that what is served belongs together: the script names the map under the name it is served by, and the map is
// of these sources. That the files are built from the sources is tested with Node.js.
func TestFiles(t *testing.T) {
	for name, content := range map[string][]byte{"the script": sdk.Script(), "the module": sdk.Module()} {
		if !bytes.HasPrefix(content, []byte("/* carom sdk, Apache-2.0 */\n")) {
			t.Errorf("%s begins with %.40q", name, content)
		}
	}
	if !bytes.HasSuffix(sdk.Script(), []byte("\n//# sourceMappingURL=sdk.js.map\n")) {
		t.Error("the script does not name its map")
	}
	var sourceMap struct {
		Version        int
		Sources        []string
		SourcesContent []string
	}
	if err := json.Unmarshal(sdk.SourceMap(), &sourceMap); err != nil {
		t.Fatal(err)
	}
	if sourceMap.Version != 3 || len(sourceMap.Sources) == 0 || len(sourceMap.SourcesContent) != len(sourceMap.Sources) {
		t.Errorf("version %d with %d sources and %d texts", sourceMap.Version, len(sourceMap.Sources), len(sourceMap.SourcesContent))
	}
	// The frame and the script speak the same words.
	for _, word := range []string{"carom:ready", "carom:shown"} {
		for name, content := range map[string][]byte{"the script": sdk.Script(), "the module": sdk.Module(), "the frame": sdk.Frame()} {
			if !bytes.Contains(content, []byte(word)) {
				t.Errorf("%s does not know %q", name, word)
			}
		}
	}
}
