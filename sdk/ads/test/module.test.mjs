// The ES module, as an app that is built with a bundler has it.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CaromAdError, createAdHandler } from '../../dist/sdk.mjs'
import createByDefault from '../../dist/sdk.mjs'
import { openApp, options, tag, useBrowser } from './app.mjs'

useBrowser()

const html = (body) => (ads) => `<!doctype html><meta charset="utf-8"><title>Game</title><body><h1>Game</h1>${body?.(ads) ?? ''}
<script type="module">
  import createAdHandler, { CaromAdError, createAdHandler as named } from '${ads.url}/sdk.mjs'
  Object.assign(window, { createAdHandler, CaromAdError, same: named === createAdHandler, loaded: true })
</script>`

test('where there is no browser nothing happens until an ad is to be shown', async () => {
  assert.equal(createByDefault, createAdHandler)
  const show = createAdHandler(123456, { server: 'https://ads.example' })
  assert.equal(typeof show, 'function')
  assert.equal(new CaromAdError('busy', 'x').name, 'CaromAdError')
})

test('createAdHandler shows ads without a script tag, with the address of the server or of its script', options, async (t) => {
  const { ads, page, dialog, close, outcome, run } = await openApp(t, { html: html() })
  await page.waitForFunction(() => window.loaded)
  assert.equal(await run(() => same), true)
  for (const given of [{ server: ads.url }, { server: ads.url + '/' }, { src: ads.url + '/sdk.js?v=1' }]) {
    await run((given) => window.watch(createAdHandler(123456, given)({ ymid: 'view-1' })), given)
    await dialog.waitFor()
    await close.click()
    const { result } = await outcome()
    assert.deepEqual([result.ymid, result.sub_zone_id], ['view-1', '123457'])
  }
  ads.noFill = true
  await run((server) => {
    window.thrown = createAdHandler('123456', { server })({ catchIfNoFeed: true }).catch((error) => error instanceof CaromAdError && error instanceof Error)
  }, ads.url)
  assert.equal(await run(() => thrown), true)
})

test('createAdHandler finds the server by a script tag, and shares its ads and its lock', options, async (t) => {
  const { ads, page, dialog, close, outcome, run } = await openApp(t, { html: html((ads) => tag(ads)) })
  await page.waitForFunction(() => window.loaded)
  await run(() => window.watch(createAdHandler('123456')({ type: 'preload', ymid: 'view-1' })))
  await outcome()
  await run(() => {
    window.watch(show_123456())
    window.watch(createAdHandler(123456)())
  })
  assert.equal((await outcome(2)).error.code, 'busy')
  await dialog.waitFor()
  await close.click()
  assert.equal((await outcome(1)).result.ymid, 'view-1')
  assert.equal(ads.asked.length, 1)
})

test('without a server, a script or a tag the call says what is missing', options, async (t) => {
  const { page, outcome, run } = await openApp(t, { html: html() })
  await page.waitForFunction(() => window.loaded)
  for (const given of [undefined, {}, { server: 'ads.example' }, { src: '/sdk.js' }]) {
    await run((given) => window.watch(createAdHandler('123456', given)()), given)
    const { error } = await outcome()
    assert.deepEqual([error.code, error.message], [
      'invalid', "createAdHandler: give the server's address, such as { server: 'https://ads.example' }",
    ])
  }
})

test('script tags: several zones, a name of its own, a zone that is missing', options, async (t) => {
  const { page, run } = await openApp(t, {
    html: (ads) => `<!doctype html><title>Game</title>
      <script>window.logged = []; console.error = (...words) => logged.push(words.join(' '))</script>
      ${tag(ads)}${tag(ads)}
      <script src="${ads.url}/sdk.js" data-zone="777"></script>
      <script src="${ads.url}/sdk.js" data-zone="888" data-sdk="showAd"></script>
      <script src="${ads.url}/sdk.js"></script><body>`,
  })
  assert.deepEqual(
    await run(() => [typeof show_123456, typeof show_777, typeof showAd, typeof window.show_888, show_777 === showAd]),
    ['function', 'function', 'function', 'undefined', false],
  )
  assert.deepEqual(await run(() => logged), ['carom: give the script tag the number of your zone: data-zone="123456"'])
  assert.equal(await page.evaluate(() => document.querySelectorAll('[popover]').length), 0)
})
