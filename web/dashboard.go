package web

import (
	"bytes"
	"embed"
	"io/fs"
	"path"
	"strings"
)

// dashboardFiles are the built dashboard: `make web` makes them of web/dashboard/src, and they are committed, so that `go build` needs
// no Node.js. `make check` builds them again and compares.
//
//go:embed all:dashboard/dist
var dashboardFiles embed.FS

// Pages are the first parts of the paths that the dashboard knows, besides "/". For each of them, and for all that lies below it, the
// server answers with the dashboard's page, which shows what the path names.
func Pages() []string {
	return []string{"live", "search", "story", "sources", "endpoints", "zones", "rewards", "reports", "settings", "api", "welcome"}
}

// Dashboard returns the files that the dashboard loads, by the path that each is served under. Names of those below /assets/ hold a
// sum of their content, so that they never change. The caller owns the map, and does not change the texts.
func Dashboard() map[string][]byte {
	served := map[string][]byte{}
	// What is embedded can be read: there is no error to handle.
	_ = fs.WalkDir(dashboardFiles, "dashboard/dist", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || path.Base(name) == "index.html" {
			return err
		}
		text, err := dashboardFiles.ReadFile(name)
		served[strings.TrimPrefix(name, "dashboard/dist")] = text
		return err
	})
	return served
}

// noncePlace is where the page wants the nonce of its content policy.
var noncePlace = []byte("__NONCE__")

// DashboardPage returns the dashboard's page with a nonce in it, under which it may add styles: `style-src 'self' 'nonce-…'`. A nonce is
// used for one answer. Scripts come from files alone.
func DashboardPage(nonce string) []byte {
	text, _ := dashboardFiles.ReadFile("dashboard/dist/index.html") // what is embedded can be read
	return bytes.ReplaceAll(text, noncePlace, []byte(nonce))
}
