package web_test

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"carom/web"
)

// What the page loads is served, and nothing else is: a file that nobody loads is left over.
func TestSetupIsWhole(t *testing.T) {
	files := web.Setup()
	loaded := map[string]bool{"/setup": true}
	for _, ref := range regexp.MustCompile(`(?:src|href)="(setup/[^"]+)"`).FindAllStringSubmatch(string(files["/setup"]), -1) {
		loaded["/"+ref[1]] = true
	}
	for path, text := range files {
		if !strings.HasSuffix(path, ".mjs") {
			continue
		}
		for _, ref := range regexp.MustCompile(`from '\./([^']+)'`).FindAllStringSubmatch(string(text), -1) {
			loaded["/setup/"+ref[1]] = true
		}
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(loaded)), slices.Sorted(maps.Keys(files))); diff != "" {
		t.Errorf("files (-loaded +served):\n%s", diff)
	}
	for path, text := range files {
		if len(text) == 0 {
			t.Errorf("%s is empty", path)
		}
	}
}

// The page shows what strangers wrote, under a policy that forbids scripts and styles inside of it.
func TestSetupKeepsToItsPolicy(t *testing.T) {
	forbidden := []struct{ name, pattern string }{
		{"a script inside of the page", `<script[^>]*>[^<]`},
		{"a style inside of the page", `<style|\sstyle\s*=\s*["']|setAttribute\('style'|\.style\b|\.cssText`},
		{"a handler in an attribute", `\son[a-z]+\s*=\s*["']`},
		{"text that becomes markup", `innerHTML|outerHTML|insertAdjacentHTML|document\.write|createContextualFragment|DOMParser|srcdoc`},
		{"text that becomes code", `\beval\(|new Function\(|javascript:`},
		{"something of another server", `(?:src|href|url|action)\s*[=(]\s*["']?(?:https?:)?//`},
	}
	for path, text := range web.Setup() {
		for _, f := range forbidden {
			if found := regexp.MustCompile(f.pattern).FindString(string(text)); found != "" {
				t.Errorf("%s holds %s: %q", path, f.name, found)
			}
		}
	}
}

// An id that is there twice breaks labels, and one that is a name of the form's own hides that from scripts.
func TestSetupIDs(t *testing.T) {
	seen := map[string]bool{}
	for _, m := range regexp.MustCompile(`\sid="([^"]+)"`).FindAllStringSubmatch(string(web.Setup()["/setup"]), -1) {
		if seen[m[1]] {
			t.Errorf("the id %q is there twice", m[1])
		}
		seen[m[1]] = true
	}
	for _, own := range []string{"name", "contains", "remove", "submit", "reset", "elements", "method", "action", "append", "closest"} {
		if seen[own] {
			t.Errorf("an element has the id %q, which is a property of every form: rename it", own)
		}
	}
	for _, m := range regexp.MustCompile(`(?:for|aria-labelledby|aria-controls)="([^" ]+)"`).FindAllStringSubmatch(string(web.Setup()["/setup"]), -1) {
		if !seen[m[1]] && m[1] != "made-title" { // which is made with the secret
			t.Errorf("something points to the id %q, which is not there", m[1])
		}
	}
}
