// pages.json says which data each page reads. The benchmark of readers asks for just that, so it has to be true.

import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { after, before, test } from 'node:test'
import { openAs, options, startBrowser, startDashboard } from './rig.mjs'

const secret = 'a-path-secret-of-a-test-0123456789'
const pages = JSON.parse(await readFile(new URL('../pages.json', import.meta.url), 'utf8'))

let browser

before(async () => {
  if (options.skip) return
  browser = await startBrowser()
})
after(() => browser?.close())

/** words are the routes of a request, with the parts of its query in one order. */
function asked(address) {
  const { pathname, searchParams } = new URL(address, 'http://carom')
  searchParams.sort()
  return searchParams.size ? `${pathname}?${searchParams}` : pathname
}

const day = 24 * 60 * 60 * 1000
const midnight = (back) => new Date(Math.floor(Date.now() / day) * day - back * day).toISOString()

test('each page reads what pages.json says, and only routes of the OpenAPI document', options, async (t) => {
  const carom = await startDashboard(`apps:
  game:
    title: Game
    currencies: { coins: 0 }
    rules: { watch: { filter: { event_types: [impression] }, price: 5 coins } }
    sources:
      ads: { profile: monetag, ymid: view, secret: ${secret} }
    endpoints:
      backend: { url: "http://127.0.0.1:9/postback?ymid={ymid}", allow_private: true, paused: true }
`)
  t.after(carom.close)
  const answer = await fetch(`${carom.url}/in/game/ads/${secret}?ymid=view-1&zone_id=1&event_type=impression&reward_event_type=valued&telegram_id=77`)
  assert.ok(answer.ok, `the postback was answered ${answer.status}`)
  const { events } = await carom.ask('GET', '/v1/events?limit=1')
  const known = new Set(Object.entries((await carom.ask('GET', '/v1/openapi.json')).paths).filter(([, path]) => path.get).map(([path]) => path))
  const values = {
    app: 'game', source: 'game/ads', each_source: 'game/ads', endpoint: 'game/backend', endpoint_name: 'backend', user: '77', ymid: 'view-1', event: events[0].id,
    first_day: midnight(29).slice(0, 10), from: midnight(29), week: midnight(6), to: midnight(-1),
  }
  const filled = (text) => text.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? assert.fail(`pages.json names {${name}}, which nothing fills`))
  const { page, done } = await openAs(browser, carom, carom.operator, '/settings/account', { timezoneId: 'UTC' })
  await page.getByRole('heading', { name: 'Settings' }).waitFor()
  let seen = new Set()
  const open = new Set()
  const reads = (r) => r.method() === 'GET' && new URL(r.url()).pathname.startsWith('/v1/') && new URL(r.url()).pathname !== '/v1/session'
  page.on('request', (r) => {
    if (!reads(r)) return
    seen.add(asked(r.url()))
    if (!r.url().endsWith('/v1/live')) open.add(r)
  })
  for (const ended of ['requestfinished', 'requestfailed']) page.on(ended, (r) => open.delete(r))
  for (const { page: name, path, asks } of pages) {
    await t.test(name, async () => {
      seen = new Set()
      await page.goto(carom.url + filled(path))
      const want = [...new Set(asks.map((a) => asked(filled(a))))].sort()
      // What is missing may still come; what is too much is seen once all is read.
      for (let tries = 0; (open.size > 0 || want.some((a) => !seen.has(a))) && tries < 500; tries++) await page.waitForTimeout(20)
      assert.deepEqual([...seen].sort(), want)
      for (const address of seen) {
        const parts = new URL(address, 'http://carom').pathname.split('/')
        const route = [...known].find((k) => k.split('/').length === parts.length && k.split('/').every((part, i) => part.startsWith('{') || part === parts[i]))
        assert.ok(route || address === '/v1/openapi.json', `${address} is no route of the OpenAPI document`)
      }
    })
  }
  await done()
})
