package main

import (
	"regexp"
	"testing"
)

// TestPromisesAreShown: every test that docs/promises.md names is there, and every promise names some.
func TestPromisesAreShown(t *testing.T) {
	page := allPages(t)["docs/promises.md"]
	sections := regexp.MustCompile(`(?m)^## `).Split(page, -1)[1:]
	for _, section := range sections {
		named := regexp.MustCompile("(?m)^\\| `(Test[A-Za-z0-9]+)` in \\[([a-z/_]+_test\\.go)\\]\\(\\.\\./([a-z/_]+_test\\.go)\\)").FindAllStringSubmatch(section, -1)
		if len(named) == 0 && regexp.MustCompile(`^\d\. `).MatchString(section) {
			t.Errorf("no test shows the promise %.60q", section)
		}
		for _, m := range named {
			if m[2] != m[3] {
				t.Errorf("%s is linked to %s", m[2], m[3])
			}
			if err := testExists(m[2], m[1]); err != nil {
				t.Error(err)
			}
		}
	}
	if got := len(regexp.MustCompile("`Test[A-Z]").FindAllString(page, -1)); got < 30 {
		t.Errorf("only %d tests are named", got)
	}
	for _, m := range regexp.MustCompile("(?m)^\\| `make ([a-z-]+)`").FindAllStringSubmatch(page, -1) {
		if err := (command{words: []string{"make", m[1]}}).checkMake(); err != nil {
			t.Error(err)
		}
	}
}
