// Every page with a day's work behind it, in light, in dark and on a phone: what docs/dashboard.md shows. With CAROM_SCREENSHOTS=../../docs/images
// the pictures there are made anew.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { openAs, options, pictures, startBrowser, startDashboard, startReceiver } from './rig.mjs'

const secret = 'a-path-secret-of-a-test-0123456789'
const objects = (backend, tracker) => `apps:
  game:
    title: Game
    currencies: { coins: 0, gems: 0 }
    rules:
      watch: { filter: { event_types: [impression] }, price: 5 coins, caps: [{ per: [user, day], rewards: 40 }] }
      click: { filter: { event_types: [click] }, price: 2 gems, hold: 3d }
      offer: { filter: { event_types: [completion] }, price: 250 coins }
    sources:
      monetag: { profile: monetag, ymid: view, secret: ${secret} }
      server: { profile: api }
    endpoints:
      backend: { url: "${backend}/postback?user={telegram_id}&ymid={ymid}&value={reward_event_type}", allow_private: true }
      tracker: { url: "${tracker}/?click={ymid}&payout={estimated_price}", allow_private: true, filter: { event_types: [click] } }
`

const zones = {
  10001: { title: 'Main', sub_zones: { rewarded_interstitial: '10002', rewarded_popup: '10003' } },
  10004: { title: 'Between levels', sub_zones: { in_app_interstitial: '10005' } },
  10006: { title: 'Old menu', sub_zones: { rewarded_interstitial: '10007' }, paused: true },
}

const spots = ['bonus-btn', 'daily', 'bonus-btn', 'wheel', 'second-life', 'bonus-btn', 'daily']
const user = (i) => String(279058301 + ((i * 7) % 13))

let browser, carom, backend, tracker, story

before(async () => {
  if (options.skip) return
  browser = await startBrowser()
  backend = await startReceiver()
  tracker = await startReceiver()
  tracker.answer = { status: 503, type: 'text/plain', body: 'down for maintenance' }
  carom = await startDashboard(objects(backend.url, tracker.url))
  for (let i = 0; i < 60; i++) await watch(i)
  story = (await view(60)).ymid
  await send({ ymid: story, telegram_id: user(60), request_var: 'bonus-btn' })
  for (let i = 0; i < 12; i++) await send({ ymid: `${id(i)}`, telegram_id: user(i), event_type: 'click', request_var: spots[i % spots.length] })
  await carom.ask('POST', '/v1/events', Array.from({ length: 8 }, (_, i) => ({ id: `offer-${i}`, app: 'game', source: 'server', event_type: 'completion', reward_event_type: 'valued', ymid: `offer-${i}`, user_id: user(i) })))
  await until(async () => (await carom.ask('GET', '/v1/status')).items.some((i) => i.subject.includes('tracker')), 'the tracker is not known to be down')
  await until(async () => (await carom.ask('GET', '/v1/deliveries?app=game&endpoint=backend&state=pending')).deliveries.length === 0, 'not all is delivered to the backend')
})

after(async () => {
  await browser?.close()
  await carom?.close()
  backend?.close()
  tracker?.close()
})

async function until(holds, otherwise) {
  for (let tries = 0; tries < 600; tries++) {
    if (await holds()) return
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  assert.fail(otherwise)
}

/** id is what an app makes of a view: as random as it is unique. */
const id = (i) => `v-${(((i + 11) * 2654435761) >>> 0).toString(36)}`

/** view opens a view as the app's backend does. */
const view = (i) => carom.ask('POST', '/v1/views', { app: 'game', user: user(i), ymid: id(i), placement: spots[i % spots.length] })

/** send sends a postback as the network does. */
async function send(query, { key = secret } = {}) {
  const params = new URLSearchParams({ zone_id: '8790478', sub_zone_id: '8790479', event_type: 'impression', reward_event_type: 'valued', estimated_price: '0.0023', ...query })
  return (await fetch(`${carom.url}/in/game/monetag/${key}?${params}`)).text()
}

/** watch is one ad that a user watches, for which the network mostly pays. */
async function watch(i) {
  await view(i)
  await send({ ymid: id(i), telegram_id: user(i), request_var: spots[i % spots.length], estimated_price: `0.00${17 + (i % 9)}`, ...(i % 9 === 4 && { reward_event_type: 'not_valued' }) })
}

/** rest is what else comes in on a day: a copy, a type and a value that nobody knows, and somebody without the secret. */
async function rest(n) {
  await send({ ymid: id(1), telegram_id: user(1), request_var: spots[1], estimated_price: '0.0018' })
  await send({ ymid: `v-closed-${n}`, telegram_id: user(3), event_type: 'closed' })
  await send({ ymid: `v-later-${n}`, telegram_id: user(5), reward_event_type: 'maybe', request_var: 'wheel' })
  await send({ ymid: 'v-1', telegram_id: '1' }, { key: 'a-guess' })
}

const looks = (path, name, ready, more) => pictures(browser, carom, carom.operator, path, name, ready, more)

// No test waits for a day, so the hours of the overview are of a made-up one. The rest of the answer is the server's, and its shape as well.
const curve = (hour) => Math.round(190 - 120 * Math.cos(((hour - 3) / 24) * 2 * Math.PI) + 25 * Math.sin(hour * 2.4))
function hourOf(point, hour, scale) {
  const received = Math.round(curve(hour) * scale)
  const confirmed = Math.round(received * (0.83 + 0.03 * Math.sin(hour)))
  const dead = hour === 11 ? 6 : 0
  return {
    ...point, received, confirmed, dead, views: Math.round(received * 1.12), rewarded: Math.round(confirmed * 0.97), delivered: confirmed - dead, revenue: (confirmed * 0.0021).toFixed(4),
    time_to_confirm_ms: { n: confirmed, p50: Math.round(2600 + 500 * Math.sin(hour / 2) * scale), p95: 9000 },
  }
}
const sum = (point, hours) => ({
  ...point,
  ...Object.fromEntries(['received', 'confirmed', 'dead', 'views', 'rewarded', 'delivered'].map((field) => [field, hours.reduce((all, h) => all + h[field], 0)])),
  revenue: hours.reduce((all, h) => all + Number(h.revenue), 0).toFixed(4),
  time_to_confirm_ms: { n: 1, p50: Math.round(hours.reduce((all, h) => all + h.time_to_confirm_ms.p50, 0) / hours.length), p95: 9000 },
})
async function aDay(page) {
  await page.route('**/v1/overview?*', async (route) => {
    const response = await route.fetch()
    const answer = await response.json()
    const { today, yesterday } = answer
    today.hours = today.hours.map((point, hour) => hourOf(point, hour, 1.08))
    yesterday.hours = yesterday.hours.map((point, hour) => hourOf(point, hour, 0.94))
    today.totals = sum(today.totals, today.hours)
    yesterday.totals = sum(yesterday.totals, yesterday.hours)
    yesterday.totals_until_now = sum(yesterday.totals_until_now, yesterday.hours.slice(0, today.hours.length))
    await route.fulfill({ response, json: answer })
  })
}

/** evening is a time zone in which it is after five in the afternoon now, so that today has hours. */
function evening() {
  const ahead = (17 - new Date().getUTCHours() + 24) % 24
  const east = ahead > 14 ? ahead - 24 : ahead
  return `Etc/GMT${east < 0 ? '+' : '-'}${Math.abs(east)}`
}

test('the overview', options, () =>
  looks(
    '/', 'overview',
    async (page) => {
      await page.locator('[data-verdict]').waitFor()
      await page.getByRole('link', { name: /^Received today: [\d,]+$/ }).waitFor()
    },
    { prepare: aDay, timezoneId: evening() },
  ))

test('live', options, async () => {
  let n = 100
  await looks('/live', 'live', async (page) => {
    await page.locator('[data-live=open]').waitFor()
    await page.getByText('Before you opened this page').waitFor()
    for (const end = n + 4; n < end; n++) await watch(n)
    await rest(n)
    await page.locator('[data-row=held]').first().waitFor()
    await page.locator('[data-row=unverified]').first().waitFor()
    await page.getByText(id(n - 1)).first().waitFor()
  })
})

test('the story of a view', options, async () => {
  const { events } = await carom.ask('GET', `/v1/events?app=game&ymid=${story}`)
  await looks(`/story/${events.at(-1).id}`, 'story', (page) => page.getByText('Postback sent').first().waitFor())
})

test('search', options, () => looks('/search?app=game', 'search', (page) => page.getByRole('table').locator('tbody tr').nth(20).waitFor()))

test('a network is connected', options, () => looks('/sources/new', 'sources-new', (page) => page.locator('[data-network=monetag]').waitFor()))

test('sources', options, () => looks('/sources', 'sources', (page) => page.getByText('verified').first().waitFor()))

test('endpoints, and one of them', options, async () => {
  await looks('/endpoints', 'endpoints', (page) => page.getByText('down').first().waitFor())
  await looks('/endpoints/game/tracker', 'endpoints-one', (page) => page.locator('[data-delivery]').first().waitFor())
})

test('rewards, rules and a user', options, async () => {
  await looks('/rewards', 'rewards', (page) => page.getByRole('table', { name: 'Rewards' }).waitFor())
  await looks('/rewards/rules', 'rewards-rules', (page) => page.getByRole('table', { name: 'Rules' }).waitFor())
  await looks(`/rewards/users?app=game&user=${user(1)}`, 'rewards-users', (page) => page.getByRole('table', { name: 'Ledger' }).waitFor())
})

test('reports', options, () =>
  looks('/reports/table?by=request_var', 'reports', async (page) => {
    await page.getByRole('rowheader', { name: 'bonus-btn' }).waitFor()
    await page.locator('.recharts-bar-rectangle').first().waitFor()
  }))

test('zones', options, async () => {
  for (const [zone, settings] of Object.entries(zones)) await carom.ask('PUT', `/v1/zones/game/${zone}`, settings)
  await looks('/zones', 'zones', (page) => page.getByRole('table', { name: 'Zones' }).waitFor())
})

test('settings', options, async () => {
  for (const role of ['support', 'viewer']) await carom.member(role)
  await looks('/settings/members', 'settings', (page) => page.getByRole('table', { name: 'Members' }).waitFor())
})

test('on a phone a row of a table is a block, with the title of its column before each cell', options, async () => {
  const { page, done } = await openAs(browser, carom, carom.operator, '/endpoints', { viewport: { width: 390, height: 844 } })
  const row = page.getByRole('table', { name: 'Endpoints' }).getByRole('row', { name: /game\/tracker/ })
  await row.waitFor()
  const cells = await row.getByRole('cell').evaluateAll((all) =>
    all.map((cell) => ({ title: getComputedStyle(cell, '::before').content, ...cell.getBoundingClientRect().toJSON() })))
  assert.deepEqual(cells.slice(1).map((c) => c.title), ['"Its lane"', '"Waiting"', '"Oldest"', '"Next expiry"', '"Last delivered"'])
  for (const [i, cell] of cells.entries()) {
    assert.ok(cell.left >= 0 && cell.right <= 390, `cell ${i} reaches from ${cell.left} to ${cell.right}`)
    if (i > 0) assert.ok(cell.top >= cells[i - 1].bottom, `cell ${i} begins at ${cell.top}, above the end of the one before`)
  }
  await page.setViewportSize({ width: 1280, height: 800 })
  const tops = await row.getByRole('cell').evaluateAll((all) => all.map((cell) => cell.getBoundingClientRect().top))
  assert.equal(new Set(tops).size, 1, 'with room, cells stand beside one another')
  await done()
})
