// Package sdk holds what pages of apps load from the network end, as it was built from the sources beside it: the SDK, and the page
// in whose frame it shows HTML creatives.
//
// The built files are in the repository, so that building carom needs no Node.js; the tests of the SDK check that they are in step
// with their sources.
package sdk

import _ "embed"

var (
	//go:embed dist/sdk.js
	script []byte
	//go:embed dist/sdk.js.map
	sourceMap []byte
	//go:embed dist/sdk.mjs
	module []byte
	//go:embed ads/frame.html
	frame []byte
)

// Script returns the SDK for a script tag, which defines the function that its data-sdk names. The caller does not change it.
func Script() []byte { return script }

// SourceMap returns the source map of [Script], likewise.
func SourceMap() []byte { return sourceMap }

// Module returns the SDK as a module for bundlers, likewise.
func Module() []byte { return module }

// Frame returns the page that shows an HTML creative, in a frame. Whoever serves it has to send a content policy with it that
// sandboxes it, since it runs what the creative holds.
func Frame() []byte { return frame }
