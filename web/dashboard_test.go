package web_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"carom/web"
)

// The server answers with the page at the paths that the page knows, and at no other.
func TestPagesAreThoseOfTheNavigation(t *testing.T) {
	source, err := os.ReadFile("dashboard/src/shell/pages.ts")
	if err != nil {
		t.Fatal(err)
	}
	known := []string{"welcome"} // stands outside of the navigation
	for _, m := range regexp.MustCompile(`path: '/([a-z]+)`).FindAllStringSubmatch(string(source), -1) {
		known = append(known, m[1])
	}
	slices.Sort(known)
	served := slices.Sorted(slices.Values(web.Pages()))
	if diff := cmp.Diff(known, served); diff != "" {
		t.Errorf("pages (-pages.ts +web.Pages):\n%s", diff)
	}
}

// What the page loads is served, it holds no script of its own, and the nonce is where the page looks for it.
func TestDashboardPage(t *testing.T) {
	page, files := string(web.DashboardPage("abc123")), web.Dashboard()
	for _, ref := range regexp.MustCompile(`(?:src|href)="([^"]+)"`).FindAllStringSubmatch(page, -1) {
		if len(files[ref[1]]) == 0 {
			t.Errorf("the page loads %s, which is not served", ref[1])
		}
	}
	if found := regexp.MustCompile(`<script[^>]*>[^<]|<style|\son[a-z]+=`).FindString(page); found != "" {
		t.Errorf("the page holds %q, which its content policy forbids", found)
	}
	if !strings.Contains(page, `<meta name="csp-nonce" content="abc123"`) || strings.Contains(page, "__NONCE__") {
		t.Errorf("the nonce is not in the page: %s", page)
	}
	if !strings.Contains(page, "<noscript>") {
		t.Error("a browser without JavaScript is told nothing")
	}
}
