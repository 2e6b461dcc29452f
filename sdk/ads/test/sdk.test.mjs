// What the app calls and what it is told, in a real browser, against a server at another origin that speaks as carom does.

import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'
import { fakeClock, openApp, options, until, useBrowser } from './app.mjs'

useBrowser()

const result = {
  reward_event_type: 'valued',
  estimated_price: '0.002',
  sub_zone_id: '123457',
  zone_id: '123456',
  request_var: 'bonus-btn',
  ymid: 'view-1',
  telegram_id: '',
}
const unvalued = { reward_event_type: 'not_valued', zone_id: '123456', request_var: '', ymid: '', telegram_id: '' }
const ids = { ymid: 'view-1', requestVar: 'bonus-btn' }

test('the example of the documentation, as it stands there', options, async (t) => {
  const example = await readFile(new URL('../example/index.html', import.meta.url), 'utf8')
  const { ads, page, dialog, close, sent, beacon } = await openApp(t, {
    html: (ads) => example.replace('https://ads.example', ads.url),
  })
  await page.getByRole('button', { name: 'Watch an ad for 5 coins' }).click()
  await dialog.waitFor()
  await beacon('viewable')
  await close.click()
  await page.getByText('Thank you! Your coins are on their way.').waitFor()
  await beacon('end')
  assert.deepEqual(sent(), ['start', 'viewable', 'end'])
  const [{ ymid, ...asked }] = ads.asked
  assert.match(ymid, /^[0-9a-f-]{36}$/)
  assert.deepEqual(asked, {
    zone: '123456', format: 'rewarded_interstitial', request_var: 'bonus-btn',
    visible: true, automated: true, width: 390, height: 844, sdk: '1.0.0',
  })
  assert.equal(ads.asked[0].seen.mode, 'cors')

  ads.noFill = true
  await page.getByRole('button', { name: 'Watch an ad for 5 coins' }).click()
  await page.getByText('There is no ad for you right now.').waitFor()
})

test('end: settles when the ad is gone, with what the server has said', options, async (t) => {
  const { call, dialog, close, beacon, answered, settled, outcome, ads } = await openApp(t)
  for (const [n, given] of [ids, { type: 'end', ...ids }, { type: 'nonsense', ...ids }].entries()) {
    ads.beacons.length = 0
    await call(given)
    await dialog.waitFor()
    await answered('viewable', n + 1)
    assert.equal(await settled(), false, 'settled while the ad was there')
    await close.click()
    assert.deepEqual(await outcome(), { result })
    assert.equal(await dialog.count(), 0)
    await beacon('end')
    const [start, viewable, end] = ads.beacons
    assert.deepEqual([start.beacon, viewable.beacon, end.beacon], ['start', 'viewable', 'end'])
    assert.ok(viewable.visible_ms >= 200 && end.shown_ms >= viewable.shown_ms && start.shown_ms <= viewable.shown_ms)
    assert.deepEqual([start.share, viewable.share, start.visible, viewable.visible], [100, 100, true, true])
  }
})

test('called with nothing, or with a word', options, async (t) => {
  const { ads, call, dialog, close, outcome } = await openApp(t)
  for (const given of [[], ['end'], ['nonsense'], [null], [7]]) {
    await call(...given)
    await dialog.waitFor()
    await close.click()
    const told = (await outcome()).result
    assert.deepEqual([told.sub_zone_id, told.ymid, told.request_var], ['123457', '', ''])
    const asked = ads.asked.at(-1)
    assert.deepEqual(['ymid' in asked, 'request_var' in asked, 'telegram_id' in asked], [false, false, false])
  }
})

test('start: settles when the ad begins', options, async (t) => {
  const { call, dialog, close, outcome, beacon } = await openApp(t)
  await call({ type: 'start', ...ids })
  const { estimated_price: _, ...begun } = result
  assert.deepEqual(await outcome(), { result: { ...begun, reward_event_type: 'not_valued' } })
  await dialog.waitFor()
  await call()
  assert.equal((await outcome()).error.code, 'busy')
  await close.click()
  await beacon('end')
})

test('an ad that is closed before it counts as viewable', options, async (t) => {
  const { ads, call, dialog, close, outcome, beacon, sent } = await openApp(t, { setUp: (_, ads) => void (ads.ad.viewable_ms = 5000) })
  ads.confirmed = true
  await call(ids)
  await dialog.waitFor()
  await close.click()
  const { estimated_price: _, ...declined } = result
  assert.deepEqual(await outcome(), { result: { ...declined, reward_event_type: 'not_valued' } })
  await beacon('end')
  assert.deepEqual(sent(), ['start', 'end'])
})

test('a zone whose start is enough', options, async (t) => {
  const { ads, call, dialog, close, outcome, beacon, answered, sent } = await openApp(t)
  ads.ad.viewable_ms = 0
  await call(ids)
  await dialog.waitFor()
  await answered('start')
  await close.click()
  assert.deepEqual(await outcome(), { result })
  await beacon('end')
  assert.deepEqual(sent(), ['start', 'end'])
})

test('preload: settles when the ad is there, and the next call shows it', options, async (t) => {
  const { ads, call, dialog, close, outcome, answered, link } = await openApp(t)
  await call({ type: 'preload', ...ids })
  const { estimated_price: _, ...ready } = result
  assert.deepEqual(await outcome(), { result: { ...ready, reward_event_type: 'not_valued' } })
  assert.equal(await dialog.count(), 0)
  assert.equal(ads.paths.filter((path) => path === '/creative.svg').length, 1)
  await call({ type: 'preload', ...ids })
  await outcome()

  await call()
  await link.waitFor()
  await answered('viewable')
  await close.click()
  assert.deepEqual(await outcome(), { result })
  assert.equal(ads.asked.length, 1, 'one ad was asked for')
  assert.equal(ads.paths.filter((path) => path === '/creative.svg').length, 1)

  await call({ type: 'start' })
  await outcome()
  assert.equal(ads.asked.length, 2, 'an ad is shown once')
})

test('preload: a call that comes before it has ended waits for it', options, async (t) => {
  const { ads, call, dialog } = await openApp(t)
  let answer
  ads.before = ({ path }) => (path === '/sdk/ad' ? new Promise((resolve) => (answer = resolve)) : undefined)
  await call({ type: 'preload' })
  await call()
  await until('the request has come', () => answer)
  answer()
  await dialog.waitFor()
  assert.equal(ads.asked.length, 1)
})

test('preload: what another call asks for, and what is ten minutes old, is fetched anew', options, async (t) => {
  const { ads, call, dialog, close, outcome, page } = await openApp(t, { setUp: fakeClock })
  await page.clock.pauseAt(Date.now() + 60_000)
  const shown = async (given) => {
    await call(given)
    await dialog.waitFor()
    await close.click()
    return (await outcome()).result.ymid
  }
  const preload = async () => {
    await call({ type: 'preload', ...ids })
    await outcome()
  }
  await preload()
  assert.equal(await shown({ ymid: 'view-2' }), 'view-2')
  await preload()
  assert.equal(await shown({ requestVar: 'other' }), '')
  await preload()
  assert.equal(await shown({ ymid: 'view-1' }), 'view-1')
  assert.equal(ads.asked.length, 5)
  await preload()
  await page.clock.fastForward('09:59')
  assert.equal(await shown(), 'view-1')
  assert.equal(ads.asked.length, 6)
  await preload()
  await page.clock.fastForward('10:01')
  assert.equal(await shown(), '')
  assert.equal(ads.asked.length, 8)
})

test('preload: rejects when its timeout is exceeded, and leaves nothing behind', options, async (t) => {
  const { ads, call, outcome, dialog, page } = await openApp(t, { setUp: fakeClock })
  await page.clock.pauseAt(Date.now() + 60_000)
  ads.before = () => new Promise(() => {})
  await call({ type: 'preload', timeout: 0.3 })
  await until('the request has come', () => ads.asked.length)
  await page.clock.runFor(300)
  const { error } = await outcome()
  assert.deepEqual([error.name, error.code, error.message], ['CaromAdError', 'timeout', 'there was no ad within 0.3 seconds'])
  ads.before = undefined
  await call()
  await dialog.waitFor()
  assert.equal(ads.asked.length, 2)
})

test('preload: without an ad it resolves or rejects as any call, and a failure is told', options, async (t) => {
  const { ads, call, outcome, told } = await openApp(t)
  ads.noFill = true
  await call({ type: 'preload' })
  assert.deepEqual(await outcome(), { result: unvalued })
  await call({ type: 'preload', catchIfNoFeed: true })
  assert.equal((await outcome()).error.code, 'no_feed')
  ads.zone = '1'
  await call({ type: 'preload' })
  assert.equal((await outcome()).error.code, 'zone')
  assert.deepEqual(told.errors, [], 'a rejection was not handled')
})

test('pop: opens the window in the tap, and leads it to the ad', options, async (t) => {
  // The clock stands still, so the server's word is waited for as long as it takes.
  const { ads, call, context, outcome, page } = await openApp(t, { setUp: fakeClock })
  await page.clock.pauseAt(Date.now() + 60_000)
  let release
  ads.before = ({ path }) => (path === '/sdk/ad' ? new Promise((resolve) => (release = resolve)) : undefined)
  const opening = context.waitForEvent('page')
  await call({ type: 'pop', ...ids })
  const popup = await opening
  assert.equal(popup.url(), 'about:blank')
  await until('the ad was asked for', () => release)
  release()
  await popup.waitForURL('**/landing')
  assert.equal(await popup.evaluate(() => window.opener), null)
  assert.deepEqual(await outcome(), { result: { ...result, sub_zone_id: '123458' } })
  assert.deepEqual(ads.beacons.map(({ beacon, visible }) => [beacon, visible]), [['start', true]])
  assert.deepEqual([ads.asked[0].format, ads.asked[0].visible], ['rewarded_popup', true])
  assert.equal(await page.locator('[popover]').count(), 0)
})

test('pop: in a zone that asks for viewability, the window has to stay', options, async (t) => {
  for (const stays of [true, false]) {
    const { ads, call, context, outcome, sent, answered, page } = await openApp(t, {
      setUp: async (tab, ads) => {
        await fakeClock(tab, ads)
        await tab.addInitScript(() => {
          const { open } = window
          window.open = (...args) => (window.popup = open.apply(window, args))
        })
      },
    })
    await page.clock.pauseAt(Date.now() + 60_000)
    ads.confirmed = true
    ads.ad.viewable_ms = 400
    const opening = context.waitForEvent('page')
    await call({ type: 'pop', ...ids })
    const popup = await opening
    await popup.waitForURL('**/landing')
    await answered('start')
    if (!stays) {
      await popup.close()
      await until('the page knows that the window is closed', () => page.evaluate(() => window.popup.closed))
    }
    await page.clock.runFor(500)
    assert.equal((await outcome()).result.reward_event_type, stays ? 'valued' : 'not_valued')
    assert.deepEqual(sent(), ['start', stays ? 'viewable' : 'end'])
  }
})

test('pop: without an ad the window is closed', options, async (t) => {
  const { ads, call, context, outcome } = await openApp(t)
  const closes = async (given, code) => {
    const opening = context.waitForEvent('page')
    await call({ type: 'pop', ...given })
    const popup = await opening
    if (!popup.isClosed()) await popup.waitForEvent('close')
    assert.equal((await outcome()).error?.code, code)
  }
  ads.noFill = true
  await closes({}, undefined)
  await closes({ catchIfNoFeed: true }, 'no_feed')
  ads.noFill = false
  ads.ad.landing_url = 'javascript:alert(1)'
  await closes({ catchIfNoFeed: true }, 'no_feed')
  ads.zone = '1'
  await closes({}, 'zone')
  assert.deepEqual(ads.beacons, [])
})

test('pop: a window that the browser blocks is a rejection, and nothing is asked for', options, async (t) => {
  // Nobody has tapped, so Chromium opens nothing.
  const { ads, page } = await openApp(t, { body: "<script>watch(show_123456('pop'))</script>" })
  await until('the call has ended', async () => (await page.title()) && page.evaluate(() => calls[0].settled))
  const { error } = await page.evaluate(() => calls[0].outcome)
  assert.deepEqual([error.name, error.code, error.isError], ['CaromAdError', 'popup_blocked', true])
  assert.match(error.message, /within a tap/)
  assert.equal(ads.asked.length, 0)
})

test('inApp: ads come by themselves, as often as the settings say', options, async (t) => {
  const { ads, run, outcome, dialog, page, beacon, atRest } = await openApp(t, { setUp: fakeClock })
  Object.assign(ads.ad, { close_after_ms: 5000, viewable_ms: 0 })
  await page.clock.pauseAt(Date.now() + 60_000)
  await run((ids) => window.watch(show_123456({ type: 'inApp', ...ids })), ids)
  assert.deepEqual(await outcome(), { result: { ...unvalued, ymid: 'view-1', request_var: 'bonus-btn' } })

  // comes passes the time until an ad is asked for, and closes it: those that give no reward can be closed at once.
  const comes = async (from, to) => {
    const asked = ads.asked.length
    await page.clock.runFor(from * 1000)
    for (let second = from; ads.asked.length === asked; second++) {
      assert.ok(second < to, `there was no ad within ${to} s`)
      await page.clock.runFor(1000)
      await atRest()
    }
    assert.equal(ads.asked.length, asked + 1, `there was an ad before ${from} s`)
    await dialog.waitFor()
    await beacon('start', asked + 1)
    await page.keyboard.press('Escape')
    await dialog.waitFor({ state: 'detached' })
    await beacon('end', asked + 1)
  }
  await comes(4, 6)
  await comes(29, 32)
  assert.deepEqual([ads.asked[0].format, ads.asked[0].ymid], ['in_app_interstitial', 'view-1'])
  // Two within six minutes: the third comes when the first is six minutes old.
  await comes(360 - 33, 360 - 28)
})

test('inApp: counts outlive a change of the page, unless everyPage is set', options, async (t) => {
  for (const everyPage of [false, true]) {
    const { ads, dialog, page, run, beacon } = await openApp(t)
    const set = () =>
      run((everyPage) => show_123456({ type: 'inApp', inAppSettings: { frequency: 1, capping: 1, interval: 0, timeout: 0, everyPage } }), everyPage)
    await set()
    await beacon('start')
    await page.keyboard.press('Escape')
    await beacon('end')
    await page.reload()
    await fakeClock(page, ads)
    await set()
    await page.clock.runFor(1000)
    if (everyPage) await dialog.waitFor()
    else await page.clock.runFor(60_000)
    assert.equal(ads.asked.length, everyPage ? 2 : 1)
    assert.deepEqual(await run(() => [document.cookie, localStorage.length]), ['', 0])
  }
})

test('inApp: settings that are wrong are named, and a zone without the format ends it', options, async (t) => {
  const { ads, call, outcome, told } = await openApp(t)
  for (const [setting, value] of [['interval', -1], ['capping', 'soon'], ['frequency', Infinity]]) {
    await call({ type: 'inApp', inAppSettings: { [setting]: value } })
    assert.deepEqual(await outcome(), {
      error: { name: 'CaromAdError', code: 'invalid', message: `inAppSettings.${setting}: give a number that is not negative`, isError: true },
    })
  }
  ads.before = () => ({ status: 400, json: { title: 'Bad Request', status: 400, code: 'format', detail: 'zone 123456 has no sub-zone for in_app_interstitial' } })
  await call({ type: 'inApp', inAppSettings: { timeout: 0 } })
  assert.ok((await outcome()).result)
  await until('it is told', () => told.warnings.length)
  assert.deepEqual(told.warnings, ['carom: zone 123456 shows no more ads in the app: zone 123456 has no sub-zone for in_app_interstitial'])
  assert.equal(ads.asked.length, 1)
})

test('no ad: resolves silently, and rejects with catchIfNoFeed', options, async (t) => {
  const { ads, call, outcome, dialog, told } = await openApp(t)
  ads.noFill = true
  await call()
  assert.deepEqual(await outcome(), { result: unvalued })
  await call({ type: 'start', catchIfNoFeed: true })
  const { error } = await outcome()
  assert.deepEqual(error, { name: 'CaromAdError', code: 'no_feed', message: 'there is no ad right now', isError: true })
  assert.deepEqual([ads.beacons, await dialog.count(), told.errors], [[], 0, []])
})

test('an ad whose creative cannot be had is no ad', options, async (t) => {
  // The server has no frame.
  const setUp = (tab) => tab.route('**/sdk/frame', (route) => route.fulfill({ status: 404, body: 'not found' }))
  const { ads, call, outcome, page } = await openApp(t, { setUp })
  for (const [name, ad] of [
    ['an image that is not there', { image: ads.url + '/nothing.png' }],
    ['an image that is none', { image: ads.url + '/landing' }],
    ['nothing to show', { image: undefined }],
    ['no frame', { image: undefined, html: '<p>' }],
  ]) {
    ads.ad = ad
    await call({ catchIfNoFeed: true })
    assert.equal((await outcome()).error?.code, 'no_feed', name)
    assert.deepEqual(ads.beacons, [], 'a start was told of an ad that nobody saw')
    assert.equal(await page.locator('[popover]').count(), 0)
  }
  ads.ad = { image: undefined }
  await call(ids)
  const { estimated_price: _, sub_zone_id: __, ...none } = result
  assert.deepEqual(await outcome(), { result: { ...none, reward_event_type: 'not_valued' } })
})

test('confirmed: settles when the server has decided', options, async (t) => {
  const { ads, watchAd, outcome } = await openApp(t)
  for (const [decide, type] of [['confirmed', 'valued'], ['declined', 'not_valued']]) {
    ads.beacons.length = 0
    Object.assign(ads, { confirmed: true, decide })
    await watchAd(ids)
    assert.equal((await outcome()).result.reward_event_type, type)
  }
})

test('confirmed: a late answer is waited for, and another ad may be shown by then', options, async (t) => {
  const { ads, call, dialog, close, settled, outcome, beacon } = await openApp(t)
  ads.confirmed = true
  let answer
  ads.before = ({ body }) => (body.beacon === 'viewable' && !answer ? new Promise((resolve) => (answer = resolve)) : undefined)
  await call(ids)
  await dialog.waitFor()
  await beacon('viewable')
  await close.click()
  await dialog.waitFor({ state: 'detached' })
  await call({ ymid: 'view-2' })
  await dialog.waitFor()
  assert.equal(await settled(0), false, 'settled before the server had decided')
  answer()
  assert.deepEqual(await outcome(0), { result })
})

test('confirmed: the network is lost for good', options, async (t) => {
  const { ads, call, dialog, close, settled, outcome, beacon, answered, page, told, atRest } = await openApp(t, { setUp: fakeClock })
  await page.clock.pauseAt(Date.now() + 60_000)
  ads.confirmed = true
  ads.before = ({ body }) => (body.beacon === 'viewable' ? 'drop' : undefined)
  await call(ids)
  await dialog.waitFor()
  await answered('start')
  await page.clock.runFor(1000)
  await beacon('viewable')
  await close.click()
  let settledAt
  for (let second = 0; settledAt === undefined && second < 90; second++) {
    await atRest()
    await page.clock.runFor(1000)
    if (await settled()) settledAt = second
  }
  const { error } = await outcome()
  assert.equal(error.code, 'network')
  assert.match(error.message, /^http:\/\/127\.0\.0\.1:\d+\/sdk\/beacon cannot be reached/)
  assert.ok(settledAt > 45 && settledAt <= 62, `given up after ${settledAt} s`)
  assert.ok(told.warnings.some((line) => line.includes('cannot be reached')))
})

test('confirmed: what the server refuses for good is told', options, async (t) => {
  const { ads, call, dialog, close, outcome, sent, beacon } = await openApp(t)
  ads.confirmed = true
  ads.before = ({ body }) =>
    body.beacon === 'viewable' ? { status: 410, json: { code: 'expired', detail: 'the ad was shown too long ago', status: 410, title: 'Gone' } } : undefined
  await call(ids)
  await dialog.waitFor()
  await beacon('viewable')
  await close.click()
  const { error } = await outcome()
  assert.deepEqual([error.code, error.message], ['invalid', 'the ad was shown too long ago'])
  assert.deepEqual(sent(), ['start', 'viewable'])
})

test('what the server says is wrong comes out as it said it', options, async (t) => {
  const { ads, call, outcome, dialog, run, told } = await openApp(t)
  for (const [status, code, want] of [
    [404, 'unknown_zone', 'zone'],
    [400, 'format', 'zone'],
    [400, 'ymid_required', 'ymid_required'],
    [400, 'invalid', 'invalid'],
    [403, 'origin', 'origin'],
    [429, 'too_many', 'too_many'],
  ]) {
    ads.asked.length = 0
    ads.before = () => ({ status, json: { title: code, status, code, detail: `what to do about ${code}` } })
    await call()
    const { error } = await outcome()
    assert.deepEqual([error.name, error.code, error.message], ['CaromAdError', want, `what to do about ${code}`])
    assert.equal(ads.asked.length, 1, code)
  }
  ads.before = undefined
  // The number of a sub-zone in the tag.
  await run(async (src) => {
    const script = Object.assign(document.createElement('script'), { src })
    Object.assign(script.dataset, { zone: '123457', sdk: 'show_sub' })
    document.head.append(script)
    await new Promise((resolve) => (script.onload = resolve))
    window.watch(show_sub())
  }, `${ads.url}/sdk.js`)
  assert.deepEqual((await outcome()).error, {
    name: 'CaromAdError', code: 'zone', isError: true,
    message: '123457 is a sub-zone: give the SDK its main zone 123456',
  })
  assert.deepEqual([await dialog.count(), told.errors], [0, []])
})

test('a page whose origin is not listed is told of that, also where a proxy hides the answer', options, async (t) => {
  const { ads, call, outcome, pages } = await openApp(t)
  ads.origin = 'https://app.example'
  await call()
  const { error } = await outcome()
  assert.deepEqual([error.code, error.message], ['origin', `${pages.url} is not among the app's origins`])
  ads.readable = false
  await call()
  const { error: hidden } = await outcome()
  assert.equal(hidden.code, 'network')
  assert.ok(hidden.message.includes(`no app lists ${pages.url} among its origins`), hidden.message)
})

test('warnings of the server go to the console', options, async (t) => {
  const { ads, call, dialog, told, run } = await openApp(t)
  ads.warnings = ['init_data: expired an hour ago']
  await call()
  await dialog.waitFor()
  for (let i = 0; i < 250 && !told.warnings.length; i++) await run(() => new Promise((resolve) => setTimeout(resolve, 20)))
  assert.deepEqual(told.warnings, ['carom: zone 123456: init_data: expired an hour ago'])
})

test('one ad at a time, also of other zones', options, async (t) => {
  const { ads, call, dialog, close, outcome, run } = await openApp(t)
  await run(async (src) => {
    const script = Object.assign(document.createElement('script'), { src })
    script.dataset.zone = '777'
    document.head.append(script)
    await new Promise((resolve) => (script.onload = resolve))
  }, `${ads.url}/sdk.js`)
  await call()
  await call()
  await run(() => window.watch(show_777()))
  for (const n of [1, 2]) {
    const { error } = await outcome(n)
    assert.deepEqual([error.code, error.message], ['busy', 'an ad is being shown: wait until it is gone'])
  }
  await dialog.waitFor()
  await close.click()
  assert.ok((await outcome(0)).result)
  await run(() => window.watch(show_777({ catchIfNoFeed: true })))
  assert.equal((await outcome()).error.message, 'there is no zone 777')
})

test('calls before the script is there are made when it has come', options, async (t) => {
  const example = await readFile(new URL('../example/async.html', import.meta.url), 'utf8')
  let come
  const script = new Promise((resolve) => (come = resolve))
  const { dialog, close, outcome, ads, settled } = await openApp(t, {
    html: (ads) => `<!doctype html><title>Game</title>${example.replace('https://ads.example', ads.url)}<body><script>
      watch(show_123456({ ymid: 'early-1' }))
      watch(show_123456('end'))
    </script>`,
    setUp: (tab) => tab.route('**/sdk.js', (route) => script.then(() => route.continue())),
    waitUntil: 'commit',
  })
  await until('the calls were made', async () => (await settled(1).catch(() => undefined)) === false)
  assert.equal(ads.asked.length, 0)
  come()
  await dialog.waitFor()
  await close.click()
  assert.equal((await outcome(0)).result.ymid, 'early-1')
  assert.equal((await outcome(1)).error.code, 'busy')
  assert.equal(ads.asked.length, 1)
})
