// When the helper asks, and for how long: with a clock that the test moves, and a fetch that the test answers.

import assert from 'node:assert/strict'
import test from 'node:test'
import { createCarom } from '../carom-views.mjs'
import { reward, view } from './api.mjs'

const open = { state: 'open' }
const ok = (body) => async () => new Response(JSON.stringify(body))
const status = (code, retryAfter) => async () =>
  new Response('{}', { status: code, headers: retryAfter ? { 'Retry-After': retryAfter } : {} })
const down = async () => {
  throw new TypeError('Failed to fetch')
}
/** hanging never answers, and gives way when the request is given up. */
const hanging = ({ signal }) =>
  new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))

/** settle lets everything run that waits for no timer. */
const settle = async () => {
  for (let i = 0; i < 20; i++) await new Promise(setImmediate)
}

/** start makes the browser that the helper needs. `answers` are used in turn, the last one for ever. */
function start(t, answers) {
  t.mock.timers.enable({ apis: ['setTimeout', 'Date'], now: Date.parse('2026-11-22T12:00:00Z') })
  t.mock.method(Math, 'random', () => 0)
  const began = Date.now()
  const made = { at: [], urls: [], updates: [] }
  const globals = {
    window: new EventTarget(),
    document: Object.assign(new EventTarget(), { hidden: false }),
    fetch: (url, init) => {
      made.at.push((Date.now() - began) / 1000)
      made.urls.push(url)
      return (answers.length > 1 ? answers.shift() : answers[0])(init)
    },
  }
  for (const [name, value] of Object.entries(globals)) {
    const before = Object.getOwnPropertyDescriptor(globalThis, name)
    Object.defineProperty(globalThis, name, { value, configurable: true, writable: true })
    t.after(() => (before ? Object.defineProperty(globalThis, name, before) : delete globalThis[name]))
  }
  const pass = async (seconds) => {
    await settle()
    for (let i = 0; i < seconds * 4; i++) {
      t.mock.timers.tick(250)
      await settle()
    }
  }
  const carom = createCarom({ server: 'https://postbacks.example/', app: 'game', initData: () => 'user=7', storage: null })
  return { ...globals, made, pass, carom, onUpdate: ({ state }) => made.updates.push(state) }
}

test('a server that cannot be reached is asked ever more rarely, and once more at the end', async (t) => {
  const { carom, made, pass, onUpdate } = start(t, [down])
  const result = carom.resume(view, { onUpdate })
  await pass(61)
  assert.deepEqual(made.at, [0, 1, 3, 7, 15, 30, 45, 60, 60])
  const { state, error, cause } = await result
  assert.deepEqual([state, error, cause.message], ['failed', 'network', 'TypeError: Failed to fetch'])
  assert.deepEqual(made.updates, ['waiting', 'retrying'])
})

test('a success makes the pauses short again', async (t) => {
  const { carom, made, pass } = start(t, [down, down, ok(open), down, down, ok({ state: 'confirmed', reward })])
  const result = carom.resume(view)
  await pass(10)
  assert.deepEqual(made.at, [0, 1, 3, 4, 5, 7])
  assert.deepEqual((await result).reward, reward)
})

test('a server that answers a long poll at once is asked once a second', async (t) => {
  const { carom, made, pass } = start(t, [ok(open)])
  const result = carom.resume(view, { patienceMs: 4500 })
  await pass(5)
  assert.deepEqual(made.at, [0, 1, 2, 3, 4, 4.5])
  assert.equal((await result).state, 'late')
})

test('what is unpaid so far is asked about again at once, once', async (t) => {
  const { carom, made, pass } = start(t, [ok({ state: 'open', unpaid: true })])
  const result = carom.resume(view, { patienceMs: 1500 })
  await pass(2)
  assert.deepEqual(made.at, [0, 0, 1, 1.5])
  assert.equal((await result).state, 'unpaid')
})

for (const [name, retryAfter] of [
  ['seconds', '7'],
  ['a date', 'Sun, 22 Nov 2026 12:00:07 GMT'],
]) {
  test(`Retry-After in ${name} is honoured, even when the page comes back`, async (t) => {
    const { carom, made, pass, window } = start(t, [status(429, retryAfter), ok({ state: 'confirmed', reward })])
    const result = carom.resume(view)
    await pass(5)
    window.dispatchEvent(new Event('online'))
    await pass(1.5)
    assert.deepEqual(made.at, [0])
    await pass(2)
    assert.deepEqual(made.at, [0, 7])
    assert.equal((await result).state, 'confirmed')
  })
}

test('a pause ends when the page comes back, but not within a second of the last request', async (t) => {
  const { carom, made, pass, window, document } = start(t, [down])
  void carom.resume(view)
  await pass(10)
  assert.deepEqual(made.at, [0, 1, 3, 7])
  window.dispatchEvent(new Event('online'))
  await settle()
  assert.deepEqual(made.at, [0, 1, 3, 7, 10])
  for (let i = 0; i < 3; i++) {
    document.dispatchEvent(new Event('visibilitychange'))
    await settle()
  }
  assert.deepEqual(made.at, [0, 1, 3, 7, 10])
  document.hidden = true
  await pass(1)
  assert.deepEqual(made.at, [0, 1, 3, 7, 10, 11])
  document.dispatchEvent(new Event('visibilitychange'))
  await pass(1)
  assert.deepEqual(made.at, [0, 1, 3, 7, 10, 11])
  await pass(60)
})

test('a connection that is dead is given up after 35 seconds', async (t) => {
  const { carom, made, pass } = start(t, [hanging])
  const result = carom.resume(view)
  await pass(66)
  assert.deepEqual(made.at, [0, 36, 60])
  const { state, error, cause } = await result
  assert.deepEqual([state, error, cause.message], ['failed', 'network', 'no answer within 5000 ms'])
})

test('the patience begins when the ad has ended', async (t) => {
  const { carom, made, pass } = start(t, [ok(open)])
  let endAd
  let settled = false
  const result = carom.reward({ view, show: () => new Promise((resolve) => (endAd = resolve)) })
  void result.then(() => (settled = true))
  await pass(100)
  endAd()
  await pass(59)
  assert.equal(settled, false)
  await pass(2)
  assert.equal((await result).state, 'late')
  assert.equal(made.at.at(-1), 160)
})

test('an ad that never ends is waited for five minutes, and no longer than the patience once all is known', async (t) => {
  const never = () => new Promise(() => {})
  await t.test('nothing comes', async (t) => {
    const { carom, pass } = start(t, [ok(open)])
    const result = carom.reward({ view, show: never, patienceMs: 2000 })
    await pass(303)
    assert.equal((await result).state, 'late')
  })
  await t.test('confirmed', async (t) => {
    const { carom, pass } = start(t, [ok({ state: 'confirmed', reward })])
    const result = carom.reward({ view, show: never, patienceMs: 2000 })
    await pass(3)
    assert.equal((await result).state, 'confirmed')
  })
})

test('an endless patience is one', async (t) => {
  const { carom, made, pass } = start(t, [ok(open), ok(open), ok({ state: 'expired' })])
  const result = carom.resume(view, { patienceMs: Infinity })
  await pass(3)
  assert.equal((await result).state, 'expired')
  assert.deepEqual(made.at, [0, 1, 2])
})

test('a state that is not known yet counts as open', async (t) => {
  const { carom, pass } = start(t, [ok({ state: 'paused' })])
  const result = carom.resume(view, { patienceMs: 1000 })
  await pass(2)
  assert.equal((await result).state, 'late')
})

test('opening is tried four times, within fifteen seconds', async (t) => {
  const show = () => assert.fail('an ad was shown')
  for (const [name, answer, at, message] of [
    ['unreachable', down, [0, 1, 3, 7], 'TypeError: Failed to fetch'],
    ['hanging', hanging, [0], 'no answer within 15000 ms'],
    ['busy for a while', status(429, '6'), [0, 6, 12], 'no answer within 15000 ms'],
    ['busy for long', status(503, '60'), [0], 'HTTP 503 '],
    ['a page instead of JSON', async () => new Response('<html>'), [0, 1, 3, 7], undefined],
  ]) {
    await t.test(name, async (t) => {
      const { carom, made, pass } = start(t, [answer])
      const result = carom.reward({ placement: 'bonus-btn', show })
      await pass(30)
      const { state, error, cause, view } = await result
      assert.deepEqual([state, error, view], ['failed', 'network', undefined])
      assert.deepEqual(made.at, at)
      if (message) assert.equal(cause.message, message)
    })
  }
})

test('init data that cannot be read is not tried again', async (t) => {
  start(t, [down])
  const carom = createCarom({
    server: 'https://postbacks.example',
    app: 'game',
    initData: () => {
      throw new ReferenceError('Telegram is not defined')
    },
  })
  const { state, error, cause } = await carom.reward({ placement: 'bonus-btn', show: () => {} })
  assert.deepEqual(
    [state, error, cause.message],
    ['failed', 'forbidden', 'initData: ReferenceError: Telegram is not defined'],
  )
})

test('pending views', async (t) => {
  const cases = {
    'kept in order, each once, the newest twenty': (entries) => ({
      storage: { getItem: (key) => entries.get(key) ?? null, setItem: (key, text) => entries.set(key, text) },
      want: Array.from({ length: 20 }, (_, i) => `vw_${i + 2}`),
    }),
    'what others wrote there is no list': () => ({ storage: { getItem: () => '{"a":1}', setItem: () => {} }, want: [] }),
    'a storage that refuses': () => ({
      storage: {
        getItem: () => null,
        setItem: () => {
          throw new DOMException('full', 'QuotaExceededError')
        },
      },
      want: [],
    }),
    'no storage': () => ({ storage: null, want: [] }),
  }
  for (const [name, make] of Object.entries(cases)) {
    await t.test(name, async (t) => {
      const { pass } = start(t, [ok(open)])
      const { storage, want } = make(new Map())
      const carom = createCarom({ server: 'https://postbacks.example', app: 'game', initData: () => '', storage })
      for (let i = 0; i < 22; i++) {
        const result = carom.resume({ ...view, view_id: `vw_${i}` }, { patienceMs: 0 })
        await pass(1)
        assert.equal((await result).state, 'late')
      }
      assert.deepEqual(carom.pending().map(({ view_id }) => view_id), want)
    })
  }
})

test('options that are missing are named', () => {
  const initData = () => ''
  for (const [options, message] of [
    [{ app: 'game', initData }, /server/],
    [{ server: 'postbacks.example', app: 'game', initData }, /server/],
    [{ server: 'https://postbacks.example', initData }, /app and initData, or openView/],
    [{ server: 'https://postbacks.example', app: 'game' }, /app and initData, or openView/],
  ]) {
    assert.throws(() => createCarom(options), { name: 'TypeError', message })
  }
})
