// Builds what is committed: the SDK and the helper for views, each as an ES module and as a classic script, and the examples
// in the pages of the documentation. `build` returns the files, by their path from this folder, so that a test can compare;
// run by itself, this writes them.

import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { basename } from 'node:path'
import { fileURLToPath } from 'node:url'
import * as esbuild from 'esbuild'

const folder = fileURLToPath(new URL('.', import.meta.url))

const bundles = [
  { entry: 'ads/src/classic.ts', file: 'dist/sdk.js', format: 'iife', name: 'sdk', map: true },
  { entry: 'ads/src/index.ts', file: 'dist/sdk.mjs', format: 'esm', name: 'sdk' },
  { entry: 'views/src/index.ts', file: 'views/carom-views.mjs', format: 'esm', name: 'sdk/views' },
  { entry: 'views/src/classic.ts', file: 'views/carom-views.js', format: 'iife', name: 'sdk/views' },
]

// The types, which are written by hand and lie beside what they describe.
const copies = [
  ['ads/sdk.d.ts', 'dist/sdk.d.ts'],
  ['ads/sdk.d.mts', 'dist/sdk.d.mts'],
]

// The pages of the documentation, with the examples that they show.
const pages = [
  ['../docs/sdk.md', ['ads/example/index.html', 'ads/example/async.html', 'ads/example/policy.html']],
  ['../docs/front-end.md', ['views/example/index.html']],
]

export async function build() {
  const files = new Map()
  for (const { entry, file, format, name, map } of bundles) {
    const { outputFiles } = await esbuild.build({
      absWorkingDir: folder,
      entryPoints: [entry],
      outfile: file,
      format,
      bundle: true,
      minify: true,
      // Telegram's web views on phones that are not updated any more: iOS 13.4, WebView 80.
      target: 'es2020',
      banner: { js: `/* carom ${name}, Apache-2.0 */` },
      sourcemap: map ? 'linked' : false,
      write: false,
    })
    for (const { path, text } of outputFiles) files.set(file.replace(/[^/]*$/, basename(path)), text)
  }
  for (const [from, to] of copies) files.set(to, await readFile(new URL(from, import.meta.url), 'utf8'))
  for (const [page, examples] of pages) files.set(page, await withExamples(page, examples))
  return files
}

// withExamples returns a page of the documentation with the examples as they are.
async function withExamples(page, examples) {
  let text = await readFile(new URL(page, import.meta.url), 'utf8')
  for (const example of examples) {
    const code = await readFile(new URL(example, import.meta.url), 'utf8')
    const [begin, end] = [`<!-- sdk/${example} begin: written by `, `<!-- sdk/${example} end -->\n`]
    const from = text.indexOf('\n', text.indexOf(begin)) + 1
    const to = text.indexOf(end)
    if (from === 0 || to < from) throw new Error(`${page}: put "${begin}…" and "${end.trim()}" where the example belongs`)
    text = text.slice(0, from) + '```html\n' + code + '```\n' + text.slice(to)
  }
  return text
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await mkdir(new URL('dist', import.meta.url), { recursive: true })
  for (const [file, text] of await build()) {
    await writeFile(new URL(file, import.meta.url), text)
    console.log(`${file}: ${Buffer.byteLength(text)} bytes`)
  }
}
