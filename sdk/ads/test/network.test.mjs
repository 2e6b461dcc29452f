// What the server is told, on bad networks too: beacons, retries, leaving the page; ids and Telegram's user on their way.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fakeClock, openApp, options, until, useBrowser } from './app.mjs'

useBrowser()

const busy = (retryAfter) => ({
  status: 503,
  json: { title: 'Service Unavailable', status: 503, code: 'later', detail: 'try again' },
  headers: retryAfter ? { 'Retry-After': retryAfter } : {},
})

test('a beacon that fails is sent again, with pauses that grow, and those behind it keep their order', options, async (t) => {
  const { ads, call, dialog, close, outcome, beacon, sent } = await openApp(t)
  ads.confirmed = true
  ads.ad.viewable_ms = 60_000
  ads.before = ({ body, tries }) => {
    if (body.beacon === 'start') return [busy(), 'drop'][tries - 1]
    if (body.beacon === 'viewable') return [{ status: 500, json: {} }][tries - 1]
    return body.beacon === 'end' ? [{ status: 429, json: { code: 'too_many', title: '', status: 429, detail: '' } }][tries - 1] : undefined
  }
  await call({ ymid: 'view-1' })
  await dialog.waitFor()
  await close.click()
  // The start is what the pauses of half a second and a second lie between.
  assert.equal((await outcome()).result.reward_event_type, 'not_valued')
  await beacon('end', 2)
  assert.deepEqual(sent(), ['start', 'start', 'start', 'end', 'end'])
  const [first, second, third] = ads.beacons.map(({ seen }) => seen.at)
  assert.ok(second - first >= 450, `the first pause took ${second - first} ms`)
  assert.ok(third - second >= 950, `the second pause took ${third - second} ms`)
  assert.deepEqual(ads.beacons.map(({ token }) => token), ['ad-1', 'ad-1', 'ad-1', 'view-1', 'view-1'])
})

test('a start that took long does not make the rest look too fast', options, async (t) => {
  // The strict server counts the time between the two by its own clock.
  const { ads, watchAd, outcome, sent } = await openApp(t)
  ads.confirmed = true
  ads.before = ({ body, tries }) => (body.beacon === 'start' && tries === 1 ? busy() : undefined)
  await watchAd({ ymid: 'view-1' })
  assert.equal((await outcome()).result.reward_event_type, 'valued')
  await until('all have come', () => sent().length === 4)
  assert.deepEqual(sent(), ['start', 'start', 'viewable', 'end'])
})

test('Retry-After is honoured, for an ad and for a beacon', options, async (t) => {
  const { ads, call, beacon } = await openApp(t)
  ads.before = ({ path, tries }) => (tries === 1 && (path === '/sdk/ad' ? ads.asked.length === 1 : true) ? busy('1') : undefined)
  await call({ ymid: 'view-1' })
  await beacon('viewable')
  for (const list of [ads.asked, ads.beacons]) {
    const pause = list[1].seen.at - list[0].seen.at
    assert.ok(pause >= 950, `the pause took ${pause} ms`)
  }
})

test('an ad is asked for three times, and a server that wants to be left alone for long is', options, async (t) => {
  const { ads, call, outcome } = await openApp(t)
  ads.before = () => 'drop'
  await call()
  assert.equal((await outcome()).error.code, 'network')
  assert.equal(ads.asked.length, 3)
  ads.before = () => busy('60')
  await call()
  const { error } = await outcome()
  assert.deepEqual([error.code, error.message, ads.asked.length], ['network', 'try again', 4])
})

test('a connection that is dead is given up', options, async (t) => {
  const { ads, call, outcome, page, settled } = await openApp(t, { setUp: fakeClock })
  ads.before = () => new Promise(() => {})
  await call()
  await until('it was asked for', () => ads.asked.length === 1)
  await page.clock.runFor(9500)
  assert.equal(await settled(), false)
  await page.clock.runFor(6000)
  assert.equal((await outcome()).error.code, 'network')
})

test('offline: what was not told is told as soon as the connection is back', options, async (t) => {
  const { ads, call, dialog, close, context, outcome, beacon, page, answered } = await openApp(t, { setUp: fakeClock })
  ads.confirmed = true
  ads.ad.viewable_ms = 50
  await page.clock.pauseAt(Date.now() + 60_000)
  await call({ ymid: 'view-1' })
  await dialog.waitFor()
  await answered('start')
  await context.setOffline(true)
  await page.clock.runFor(20_000)
  assert.equal(ads.beacons.length, 1)
  await close.click()
  // The pause in hand is one of eight seconds. With the clock standing still, it ends by the event alone.
  await context.setOffline(false)
  assert.equal((await outcome()).result.reward_event_type, 'valued')
  await beacon('end')
  assert.ok(ads.beacons[1].visible_ms >= 50 && ads.beacons[1].visible_ms < 150)
})

test('a slow network', options, async (t) => {
  const { ads, watchAd, outcome, page } = await openApp(t, {
    setUp: async (tab) => {
      const session = await tab.context().newCDPSession(tab)
      await session.send('Network.enable')
      await session.send('Network.emulateNetworkConditions', { offline: false, latency: 400, downloadThroughput: 6e4, uploadThroughput: 6e4 })
    },
  })
  ads.confirmed = true
  await watchAd({ ymid: 'view-1' })
  assert.equal((await outcome()).result.reward_event_type, 'valued')
  assert.ok(await page.evaluate(() => performance.now() > 1200))
})

test('leaving the page tells the end, without the page', options, async (t) => {
  const { ads, call, dialog, beacon, page, pages, sent, answered } = await openApp(t)
  await call({ ymid: 'view-1' })
  await dialog.waitFor()
  await answered('viewable')
  await page.goto(pages.url + '/other')
  await beacon('end')
  assert.deepEqual(sent(), ['start', 'viewable', 'end'])
  const { token, shown_ms } = ads.beacons[2]
  assert.equal(token, 'view-1')
  assert.ok(shown_ms >= 200)
  assert.equal(ads.beacons[2].seen.mode, 'no-cors', 'it did not go by sendBeacon')
})

test('leaving the page before viewable has got through: it goes, and the end stays behind', options, async (t) => {
  const { ads, call, dialog, beacon, page, pages, sent, answered } = await openApp(t)
  ads.before = ({ body, tries }) => (body.beacon === 'viewable' && tries === 1 ? busy('30') : undefined)
  await call({ ymid: 'view-1' })
  await dialog.waitFor()
  await answered('viewable')
  await page.goto(pages.url + '/other')
  await beacon('viewable', 2)
  assert.deepEqual(sent(), ['start', 'viewable', 'viewable'])
})

test('a page that comes back from the cache settles', options, async (t) => {
  const { call, dialog, outcome, page, sent, ads, answered } = await openApp(t)
  ads.confirmed = true
  ads.ad.viewable_ms = 60_000
  await call({ ymid: 'view-1' })
  await dialog.waitFor()
  await answered('start')
  await page.evaluate(() => {
    // What the browser does when the page goes and comes back.
    dispatchEvent(new PageTransitionEvent('pagehide', { persisted: true }))
    dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))
  })
  assert.equal((await outcome()).result.reward_event_type, 'not_valued')
  assert.equal(await dialog.count(), 0)
  await until('the copy and the beacon have come', () => sent().length === 3)
  assert.deepEqual(sent(), ['start', 'end', 'end'])
})

test('an ad that is not seen does not count as viewable', options, async (t) => {
  // A tab in the background, as the page is told of it: Chromium without a window never hides one.
  const { call, dialog, page, answered, beacon, ads, sent } = await openApp(t, {
    setUp: async (tab, ads) => {
      await fakeClock(tab, ads)
      await tab.addInitScript(() => {
        let hidden = false
        Object.defineProperty(document, 'visibilityState', { get: () => (hidden ? 'hidden' : 'visible') })
        window.hide = (now) => {
          hidden = now
          document.dispatchEvent(new Event('visibilitychange'))
        }
      })
    },
  })
  ads.ad.viewable_ms = 300
  await page.clock.pauseAt(Date.now() + 60_000)
  await call({ ymid: 'view-1' })
  await dialog.waitFor()
  await answered('start')
  const pass = async (hidden, ms) => {
    await page.evaluate((hidden) => hide(hidden), hidden)
    await page.clock.runFor(ms)
  }
  // Twice 299 ms are no 300 ms without a break.
  await pass(true, 100)
  await pass(false, 299)
  await pass(true, 200)
  await pass(false, 299)
  await pass(true, 400)
  assert.deepEqual(sent(), ['start'])
  await pass(false, 301)
  await beacon('viewable')
  const [, { shown_ms, visible_ms, share }] = ads.beacons
  assert.deepEqual([visible_ms, shown_ms, share], [898, 1598, 100])
})

test('ids arrive as they are', options, async (t) => {
  const { ads, call, outcome, page } = await openApp(t)
  for (const ymid of [
    'a&b=c?d#e%20f+g/h\\i"j\'k<l>{ymid}', ' \t\r\n', '\u0001\u007f\u2028\ufeff', 'Grüße, 你好, \u202eabc', '👩‍👩‍👧', '0', 'null', '-0', '\u00e9 e\u0301',
    'ä'.repeat(128), 'x'.repeat(256), '🙂'.repeat(64),
  ]) {
    await call({ type: 'preload', ymid, requestVar: ymid })
    const { result } = await outcome()
    assert.deepEqual([result.ymid, result.request_var], [ymid, ymid])
    assert.deepEqual([ads.asked.at(-1).ymid, ads.asked.at(-1).request_var], [ymid, ymid])
  }
  // Numbers become texts.
  for (const [given, want] of [['12345678901234567890n', '12345678901234567890'], ['42', '42'], ['0', '0'], ['-1.5', '-1.5']]) {
    await page.evaluate((text) => window.watch(show_123456({ type: 'preload', ymid: text.endsWith('n') ? BigInt(text.slice(0, -1)) : Number(text) })), given)
    assert.equal((await outcome()).result.ymid, want)
  }
})

test('ids over the limits are refused before anything is asked for', options, async (t) => {
  const { ads, page, outcome } = await openApp(t)
  for (const field of ['ymid', 'requestVar']) {
    for (const [code, want] of [
      ["'x'.repeat(257)", '257 bytes, at most 256 are allowed'],
      ["'ä'.repeat(129)", '258 bytes, at most 256 are allowed'],
      ["'a\\0b'", 'leave out NUL and halves of surrogate pairs'],
      ["'a\\ud83d'", 'leave out NUL and halves of surrogate pairs'],
      ['{ id: 7 }', 'give a text or a number'],
      ['NaN', 'give a text or a number'],
      ['true', 'give a text or a number'],
    ]) {
      await page.evaluate(`window.watch(show_123456({ ${field}: ${code} }))`)
      assert.deepEqual((await outcome()).error, { name: 'CaromAdError', code: 'invalid', message: `${field}: ${want}`, isError: true })
    }
  }
  assert.equal(ads.asked.length, 0)
})

const telegram = {
  initData: 'user=%7B%22id%22%3A4242%7D&auth_date=1790000000&hash=00ff',
  initDataUnsafe: { user: { id: 4242 } },
  platform: 'android',
  colorScheme: 'dark',
  themeParams: { bg_color: '#17212b', text_color: '#f5f5f5', button_color: '#5288c1' },
}

test('Telegram: its user stands in for a ymid, and the init data goes along', options, async (t) => {
  const { ads, call, dialog, close, outcome, shot, link, run, beacon } = await openApp(t, { telegram, setUp: (_, ads) => void (ads.ad.close_after_ms = 600) })
  await call()
  await dialog.waitFor()
  await shot('telegram')
  // A link to another host leads nowhere in a Mini App: Telegram opens it.
  await link.click()
  await link.click()
  assert.deepEqual(await run(() => window.opened), [ads.url + '/landing', ads.url + '/landing'])
  await beacon('click')
  await close.click()
  const { result } = await outcome()
  assert.deepEqual([result.ymid, result.telegram_id], ['4242', '4242'])
  const { ymid, telegram_id, init_data } = ads.asked[0]
  assert.deepEqual([ymid, telegram_id, init_data], ['4242', '4242', telegram.initData])
  assert.deepEqual(ads.beacons.filter(({ beacon }) => beacon === 'click').map(({ trusted }) => trusted), [true])

  await call({ ymid: 'view-1' })
  await dialog.waitFor()
  assert.deepEqual([ads.asked[1].ymid, ads.asked[1].telegram_id], ['view-1', '4242'])
})

test('Telegram: a popup is opened by Telegram', options, async (t) => {
  const { ads, call, outcome, run, context } = await openApp(t, { telegram })
  await call({ type: 'pop' })
  const { result } = await outcome()
  assert.deepEqual([result.sub_zone_id, result.reward_event_type], ['123458', 'valued'])
  assert.deepEqual(await run(() => window.opened), [ads.url + '/landing'])
  assert.equal(context.pages().length, 1)
})

test("Telegram's script outside Telegram changes nothing", options, async (t) => {
  const { ads, call, outcome, run, context, dialog, link, close } = await openApp(t, {
    telegram: { initData: '', initDataUnsafe: {}, platform: 'unknown', themeParams: {}, colorScheme: 'light' },
  })
  await call()
  await dialog.waitFor()
  const opening = context.waitForEvent('page')
  await link.click()
  await (await opening).waitForURL('**/landing')
  assert.deepEqual(await run(() => window.opened), [])
  await close.click()
  const { result } = await outcome()
  assert.deepEqual([result.ymid, result.telegram_id], ['', ''])
  assert.deepEqual(['telegram_id' in ads.asked[0], 'init_data' in ads.asked[0]], [false, false])
})
