import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import test from 'node:test'
import { gzipSync } from 'node:zlib'

// What a page loads before its first ad.
const maxBytes = 8 << 10

const dist = (file) => readFile(new URL('../../dist/' + file, import.meta.url), 'utf8')

// That dist is what the sources build is tested with the helper for views: views/test/build.test.mjs compares all files.

test('the SDK stays small, and is alone', async (t) => {
  for (const file of ['sdk.js', 'sdk.mjs']) {
    const text = await dist(file)
    const { length } = gzipSync(text, { level: 9 })
    t.diagnostic(`sdk/dist/${file}: ${length} bytes gzipped`)
    assert.ok(length < maxBytes, `sdk/dist/${file} has ${length} bytes gzipped, the limit is ${maxBytes}`)
    assert.doesNotMatch(text, /\bimport\b|\brequire\(|document\.cookie|localStorage/)
  }
})

test('the source map leads to the sources', async () => {
  assert.match(await dist('sdk.js'), /\n\/\/# sourceMappingURL=sdk\.js\.map\n$/)
  const map = JSON.parse(await dist('sdk.js.map'))
  assert.ok(map.sources.includes('../ads/src/classic.ts') && map.sourcesContent.length === map.sources.length)
  for (const [i, source] of map.sources.entries()) {
    assert.equal(map.sourcesContent[i], await readFile(new URL('../../dist/' + source, import.meta.url), 'utf8'), source)
  }
})
