// The helper in a real browser, against a server at another origin that answers as carom does.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { reward, startAPI, startPages, view } from './api.mjs'
import { findChromium, launch, skipReason } from './chromium.mjs'

const executablePath = findChromium()
const options = { skip: skipReason(executablePath), timeout: 60_000 }

let browser
before(async () => {
  if (executablePath) browser = await launch(executablePath)
})
after(() => browser?.close())

// inPage is the app: it starts rewards whose ad the test ends, and notes what it is told.
function inPage({ server, backend }) {
  const { createCarom } = window.Carom
  const carom = createCarom(
    backend
      ? { server, openView: (placement, signal) => fetch(backend, { method: 'POST', body: JSON.stringify({ placement }), signal }) }
      : { server, app: 'game', initData: () => 'user=7&hash=abc' },
  )
  const app = {
    carom,
    shown: [],
    updates: [],
    settled: false,
    follow(start) {
      app.abort = new AbortController()
      const common = { signal: app.abort.signal, onUpdate: ({ state }) => app.updates.push(state) }
      app.result = start(common).then(
        ({ cause, ...outcome }) => ({ ...outcome, ...(cause && { cause: String(cause.message) }) }),
        (thrown) => ({ rejected: thrown.name }),
      )
      app.result.then(() => (app.settled = true))
    },
    reward: (options) =>
      app.follow((common) =>
        carom.reward({
          ...common,
          ...options,
          show: (given) => {
            app.shown.push(given)
            return new Promise((resolve, reject) => Object.assign(app, { endAd: resolve, failAd: reject }))
          },
        }),
      ),
    resume: () => app.follow((common) => carom.resume(carom.pending()[0], common)),
  }
  window.app = app
}

/** openApp opens a fresh profile's page with the helper in it. */
async function openApp(t, { backend } = {}) {
  const pages = await startPages(t)
  pages.root = '<!doctype html><script src="/carom-views.js"></script>'
  const api = await startAPI(t, pages.url)
  const context = await browser.newContext()
  t.after(() => context.close())
  const page = await context.newPage()
  const load = async () => {
    await page.goto(pages.url)
    await page.evaluate(inPage, { server: api.url, backend: backend && api.url + '/my-backend' })
  }
  await load()
  return {
    api,
    context,
    page,
    pages,
    load,
    run: (act, options) => page.evaluate(act, options),
    result: () => page.evaluate(() => app.result),
    updates: () => page.evaluate(() => app.updates),
    pending: () => page.evaluate(() => app.carom.pending().map(({ view_id }) => view_id)),
    told: (state) => page.waitForFunction((state) => app.updates.includes(state), state),
  }
}

/** watch opens a view, and returns when the ad is on the screen and the first poll has arrived. */
async function watch(t, rewardOptions = {}) {
  const app = await openApp(t)
  await app.run((options) => app.reward(options), { placement: 'bonus-btn', ...rewardOptions })
  const opened = await app.api.next('POST')
  opened.answer(201, view)
  const poll = await app.api.next('GET')
  return { ...app, opened, poll }
}

const endAd = () => app.endAd()
const kept = (({ state, ...rest }) => ({ state, ...rest }))(view)

test('confirmed: the view is opened, the network is called, and the reward is told when the ad has ended', options, async (t) => {
  const { api, opened, poll, run, result, updates, pending, page } = await watch(t)
  assert.deepEqual([opened.url, opened.authorization, opened.body], ['/v1/views', 'tma user=7&hash=abc', { app: 'game', placement: 'bonus-btn' }])
  assert.deepEqual([poll.url, poll.authorization], [`/v1/views/${view.view_id}?wait=25s`, 'Bearer ' + view.token])
  assert.deepEqual(await run(() => app.shown), [{ ymid: view.ymid, requestVar: 'bonus-btn' }])
  assert.deepEqual(await pending(), [view.view_id])

  poll.answer(200, { state: 'confirmed', reward })
  await page.waitForFunction(() => performance.getEntriesByType('resource').some(({ name }) => name.includes('wait=25s')))
  assert.equal(await run(() => app.settled), false, 'the promise resolved while the ad was on the screen')

  await run(endAd)
  const outcome = await result()
  assert.equal(outcome.state, 'confirmed')
  assert.deepEqual(outcome.reward, reward)
  assert.deepEqual(outcome.view, kept)
  assert.deepEqual(await pending(), [])
  assert.deepEqual(await updates(), ['showing'])
  assert.equal(api.unread(), 0)
})

test('unpaid, then confirmed', options, async (t) => {
  const { api, poll, run, result, updates, told } = await watch(t)
  await run(endAd)
  await told('waiting')
  poll.answer(200, { state: 'open', unpaid: true })
  await told('unpaid')
  const second = await api.next('GET')
  assert.equal(second.url, `/v1/views/${view.view_id}?wait=25s&unpaid=1`)
  second.answer(200, { state: 'confirmed', reward })
  assert.equal((await result()).state, 'confirmed')
  assert.deepEqual(await updates(), ['showing', 'waiting', 'unpaid'])
})

test('unpaid until the patience ends', options, async (t) => {
  const { api, poll, run, result, pending } = await watch(t, { patienceMs: 1 })
  poll.answer(200, { state: 'open', unpaid: true })
  await api.next('GET')
  await run(endAd)
  const look = await api.next('GET')
  assert.equal(look.url, `/v1/views/${view.view_id}`)
  look.answer(200, { state: 'open', unpaid: true })
  assert.equal((await result()).state, 'unpaid')
  assert.deepEqual(await pending(), [view.view_id])
})

test('declined, with the reason', options, async (t) => {
  const { poll, run, result, pending } = await watch(t)
  await run(endAd)
  poll.answer(200, { state: 'declined', reason: 'capped' })
  const outcome = await result()
  assert.deepEqual([outcome.state, outcome.reason], ['declined', 'capped'])
  assert.deepEqual(await pending(), [])
})

test('expired', options, async (t) => {
  const { poll, run, result, pending } = await watch(t)
  await run(endAd)
  poll.answer(200, { state: 'expired', unpaid: true })
  const outcome = await result()
  assert.deepEqual([outcome.state, outcome.unpaid], ['expired', true])
  assert.deepEqual(await pending(), [])
})

test('late: the patience ends, a last look finds the view open, and the view is pending', options, async (t) => {
  const { api, poll, run, result, pending } = await watch(t, { patienceMs: 1 })
  await run(endAd)
  const look = await api.next('GET')
  assert.equal(look.url, `/v1/views/${view.view_id}`)
  look.answer(200, { state: 'open', unpaid: false })
  assert.equal((await result()).state, 'late')
  assert.deepEqual(await pending(), [view.view_id])
  await poll.gone
})

test('late, but the last look brings the reward', options, async (t) => {
  const { api, run, result } = await watch(t, { patienceMs: 1 })
  await run(endAd)
  ;(await api.next('GET')).answer(200, { state: 'confirmed', reward })
  assert.equal((await result()).state, 'confirmed')
})

test('resumed after a reload', options, async (t) => {
  const { api, load, pending, run, result, poll } = await watch(t)
  await load()
  await poll.gone
  assert.deepEqual(await pending(), [view.view_id])
  await run(() => app.resume())
  const resumed = await api.next('GET')
  assert.equal(resumed.authorization, 'Bearer ' + view.token)
  resumed.answer(200, { state: 'confirmed', reward })
  const outcome = await result()
  assert.deepEqual([outcome.state, outcome.reward], ['confirmed', reward])
  assert.deepEqual(await pending(), [])
})

test('the server goes away and comes back', options, async (t) => {
  const { api, run, result, updates, told } = await watch(t)
  await run(endAd)
  await told('waiting')
  await api.down()
  await told('retrying')
  await api.up()
  const poll = await api.next('GET')
  poll.answer(200, { state: 'open' })
  ;(await api.next('GET')).answer(200, { state: 'confirmed', reward })
  assert.equal((await result()).state, 'confirmed')
  assert.deepEqual(await updates(), ['showing', 'waiting', 'retrying', 'waiting'])
})

test('503 with Retry-After: the server is left alone, also at the end of the patience', options, async (t) => {
  const { api, poll, run, result, pending, updates } = await watch(t, { patienceMs: 1 })
  poll.answer(503, { detail: 'starting' }, { 'Retry-After': '3600' })
  await run(() => new Promise((resolve) => (function look() { app.updates.includes('retrying') ? resolve() : setTimeout(look) })()))
  await run(endAd)
  const outcome = await result()
  assert.deepEqual([outcome.state, outcome.error, outcome.cause], ['failed', 'network', 'HTTP 503 starting'])
  assert.deepEqual(await pending(), [view.view_id])
  assert.deepEqual(await updates(), ['showing', 'retrying'])
  assert.equal(api.unread(), 0)
})

test('503 while the view is opened: it is tried again', options, async (t) => {
  const { api, run, result } = await openApp(t)
  await run(() => app.reward({ placement: 'bonus-btn' }))
  ;(await api.next('POST')).answer(503, {}, { 'Retry-After': '1' })
  ;(await api.next('POST')).drop()
  ;(await api.next('POST')).answer(201, view)
  ;(await api.next('GET')).answer(200, { state: 'confirmed', reward })
  await run(endAd)
  assert.equal((await result()).state, 'confirmed')
})

test('show() rejects: there was no ad', options, async (t) => {
  const { api, run, result, pending } = await watch(t)
  await run(() => app.failAd(new Error('no feed')))
  ;(await api.next('GET')).answer(200, { state: 'open' })
  const outcome = await result()
  assert.deepEqual([outcome.state, outcome.cause], ['no_ad', 'no feed'])
  assert.deepEqual(await pending(), [])
})

test('show() rejects, and the server knows better', options, async (t) => {
  const { api, run, result } = await watch(t)
  await run(() => app.failAd(new Error('closed')))
  ;(await api.next('GET')).answer(200, { state: 'confirmed', reward })
  assert.equal((await result()).state, 'confirmed')
})

test('aborted: the promise rejects, the request ends, the view is pending', options, async (t) => {
  const { poll, run, result, pending } = await watch(t)
  await run(() => app.abort.abort())
  assert.deepEqual(await result(), { rejected: 'AbortError' })
  assert.deepEqual(await pending(), [view.view_id])
  await poll.gone
})

test('aborted while the view is opened: no ad is shown', options, async (t) => {
  const { api, run, result } = await openApp(t)
  await run(() => app.reward({ placement: 'bonus-btn' }))
  const opened = await api.next('POST')
  await run(() => app.abort.abort())
  await opened.gone
  assert.deepEqual(await result(), { rejected: 'AbortError' })
  assert.deepEqual(await run(() => app.shown), [])
})

test('the network comes back: a new request is made at once', options, async (t) => {
  const { api, context, poll, run, result } = await watch(t)
  await run(endAd)
  await context.setOffline(true)
  await context.setOffline(false)
  await poll.gone
  ;(await api.next('GET')).answer(200, { state: 'confirmed', reward })
  assert.equal((await result()).state, 'confirmed')
})

test('the page comes back to the user: a new request is made at once', options, async (t) => {
  const { api, poll, run, result } = await watch(t)
  await run(endAd)
  await run(() => document.dispatchEvent(new Event('visibilitychange')))
  await poll.gone
  ;(await api.next('GET')).answer(200, { state: 'confirmed', reward })
  assert.equal((await result()).state, 'confirmed')
})

test('the init data is refused: nothing is shown', options, async (t) => {
  const { api, run, result } = await openApp(t)
  await run(() => app.reward({ placement: 'bonus-btn' }))
  ;(await api.next('POST')).answer(401, { detail: 'init data is too old: open the app again' })
  const { state, error, cause } = await result()
  assert.deepEqual([state, error, cause], ['failed', 'forbidden', 'HTTP 401 init data is too old: open the app again'])
  assert.deepEqual(await run(() => app.shown), [])
})

test('the token is refused', options, async (t) => {
  const { poll, run, result, pending } = await watch(t)
  await run(endAd)
  poll.answer(403, {})
  const outcome = await result()
  assert.deepEqual([outcome.state, outcome.error], ['failed', 'forbidden'])
  assert.deepEqual(await pending(), [])
})

test('an origin that carom does not let in learns nothing', options, async (t) => {
  const { page, pages, api, run, told } = await openApp(t)
  await page.goto(pages.url.replace('127.0.0.1', 'localhost'))
  await page.evaluate(inPage, { server: api.url })
  await run((view) => app.follow((common) => app.carom.resume(view, common)), view)
  await told('retrying')
  assert.equal(api.unread(), 0)
})

test("the app's backend opens the view", options, async (t) => {
  const { api, run, result } = await openApp(t, { backend: true })
  await run(() => app.reward({ placement: 'bonus-btn' }))
  const opened = await api.next('POST')
  assert.deepEqual([opened.url, opened.body], ['/my-backend', { placement: 'bonus-btn' }])
  opened.answer(200, view)
  ;(await api.next('GET')).answer(200, { state: 'confirmed', reward })
  await run(endAd)
  assert.equal((await result()).state, 'confirmed')
})

test('the backend answers something else', options, async (t) => {
  const { api, run, result } = await openApp(t, { backend: true })
  await run(() => app.reward({ placement: 'bonus-btn' }))
  ;(await api.next('POST')).answer(200, { ok: true })
  const { state, error, cause } = await result()
  assert.deepEqual([state, error, cause], ['failed', 'invalid', 'openView: return what carom answered'])
})

test("with a view opened ahead, show() is called within the user's tap", options, async (t) => {
  const { api, run, result } = await openApp(t)
  const opening = run(() => app.carom.open('bonus-btn').then((view) => void (app.view = view)))
  ;(await api.next('POST')).answer(201, view)
  await opening
  const shown = await run(() => {
    app.reward({ view: app.view })
    return app.shown
  })
  assert.deepEqual(shown, [{ ymid: view.ymid, requestVar: 'bonus-btn' }])
  ;(await api.next('GET')).answer(200, { state: 'confirmed', reward })
  await run(endAd)
  assert.equal((await result()).state, 'confirmed')
})

test('an error in onUpdate is reported, and the waiting goes on', options, async (t) => {
  const app = await openApp(t)
  const reported = app.page.waitForEvent('pageerror')
  await app.run(() => app.reward({ placement: 'bonus-btn', onUpdate: () => { throw new Error('in the app') } }))
  ;(await app.api.next('POST')).answer(201, view)
  assert.equal((await reported).message, 'in the app')
  ;(await app.api.next('GET')).answer(200, { state: 'confirmed', reward })
  await app.run(endAd)
  assert.equal((await app.result()).state, 'confirmed')
})

test('the example of the documentation', options, async (t) => {
  const { page, pages, api } = await openApp(t)
  pages.edit = (text) => text.replace('https://postbacks.example', api.url).replace('./carom-views.mjs', '/carom-views.mjs')
  const script = (body) => (route) => route.fulfill({ contentType: 'text/javascript', body })
  await page.route('https://telegram.org/**', script("window.Telegram = { WebApp: { initData: 'user=7' } }"))
  await page.route('https://ads.example/**', script('window.show_8790478 = (o) => new Promise((resolve) => Object.assign(window, { given: o, resolve }))'))
  await page.goto(pages.url + '/example/index.html')
  const note = (text) => page.waitForFunction((text) => document.getElementById('note').textContent === text, text)

  await page.click('#watch')
  await note('Looking for an ad …')
  ;(await api.next('POST')).answer(201, view)
  await note('Enjoy the ad.')
  assert.deepEqual(await page.evaluate(() => given), { ymid: view.ymid, requestVar: 'bonus-btn', catchIfNoFeed: true })
  await page.evaluate(() => window.resolve())
  await note('Thank you! Your coins are on their way …')
  ;(await api.next('GET')).answer(200, { state: 'open', unpaid: true })
  await note('Still waiting for the ad network …')
  ;(await api.next('GET')).answer(200, { state: 'confirmed', reward: { ...reward, amount: '5' } })
  await note('You got 5 coins.')
})
