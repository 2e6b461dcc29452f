import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import test from 'node:test'
import { build } from '../../build.mjs'

// What a page loads before its first ad: the helper is there to be small.
const maxBytes = 4096

test('what is committed is what the source builds', async () => {
  for (const [file, want] of await build()) {
    const got = await readFile(new URL('../../' + file, import.meta.url), 'utf8')
    assert.equal(got, want, `sdk/${file} is out of step: run npm run build in sdk`)
  }
})

test('the helper stays small', async () => {
  for (const file of ['carom-views.js', 'carom-views.mjs']) {
    const { length } = await readFile(new URL('../' + file, import.meta.url))
    assert.ok(length < maxBytes, `sdk/views/${file} has ${length} bytes, the limit is ${maxBytes}`)
  }
})
