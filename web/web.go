// Package web holds the pages that people open in a browser, as files in the binary: the dashboard, which is built of web/dashboard, and
// the set-up page of a publisher. Both ask nothing but /v1 of the server that they come from. The set-up page is HTML, CSS and JavaScript modules as
// they stand, without a build step.
//
// Both work under a content policy that lets nothing run but the server's own files: `default-src 'none'; script-src 'self'; style-src
// 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'`. There is no script inside of the HTML. The
// dashboard's components add styles while they run, which carry a nonce that DashboardPage writes into the page: its style-src names that
// as well, and its font-src and, for creatives in the SDK's frame, its frame-src are 'self'. The package serves nothing by itself, and does
// not know who may open a page.
package web

import (
	"embed"
	"io/fs"
	"path"
)

//go:embed setup/setup.html setup/*.mjs setup/setup.css
var files embed.FS

// Setup returns the files of the set-up page of a publisher by the path that each is served under: the page itself at /setup, and
// what it loads below /setup/. The endings .css and .mjs say what a file is; the page is HTML. The caller owns the map, and does
// not change the texts.
//
// The page is opened with the token of a link behind the # of its address, which no request for these files carries. So they are
// the same for everybody, and need no proof.
func Setup() map[string][]byte {
	served := map[string][]byte{}
	entries, _ := fs.ReadDir(files, "setup") // what is embedded can be read
	for _, e := range entries {
		text, _ := files.ReadFile(path.Join("setup", e.Name())) // likewise
		if e.Name() == "setup.html" {
			served["/setup"] = text
			continue
		}
		served["/setup/"+e.Name()] = text
	}
	return served
}
