// Builds what is committed: the helper for views as an ES module and as a classic script, and the example in the page of the
// documentation. `build` returns the files, by their path from this folder, so that a test can compare; run by itself, this
// writes them.

import { readFile, writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import * as esbuild from 'esbuild'

const folder = fileURLToPath(new URL('.', import.meta.url))

const bundles = [
  { entry: 'views/src/index.ts', file: 'views/carom-views.mjs', format: 'esm' },
  { entry: 'views/src/classic.ts', file: 'views/carom-views.js', format: 'iife' },
]

export async function build() {
  const files = new Map()
  for (const { entry, file, format } of bundles) {
    const { outputFiles } = await esbuild.build({
      absWorkingDir: folder,
      entryPoints: [entry],
      format,
      bundle: true,
      minify: true,
      // Telegram's web views on phones that are not updated any more: iOS 13.4, WebView 80.
      target: 'es2020',
      banner: { js: '/* carom sdk/views, Apache-2.0 */' },
      write: false,
    })
    files.set(file, outputFiles[0].text)
  }
  files.set(page, await withExample())
  return files
}

const page = '../docs/front-end.md'
const example = 'views/example/index.html'

// withExample returns the page of the documentation with the example as it is.
async function withExample() {
  const text = await readFile(new URL(page, import.meta.url), 'utf8')
  const code = await readFile(new URL(example, import.meta.url), 'utf8')
  const [begin, end] = [`<!-- sdk/${example} begin: written by `, `<!-- sdk/${example} end -->\n`]
  const from = text.indexOf('\n', text.indexOf(begin)) + 1
  const to = text.indexOf(end)
  if (from === 0 || to < from) throw new Error(`${page}: put "${begin}…" and "${end.trim()}" where the example belongs`)
  return text.slice(0, from) + '```html\n' + code + '```\n' + text.slice(to)
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const [file, text] of await build()) {
    await writeFile(new URL(file, import.meta.url), text)
    console.log(`${file}: ${Buffer.byteLength(text)} bytes`)
  }
}
