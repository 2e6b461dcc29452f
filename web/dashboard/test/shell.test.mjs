// What stands around the pages: the first start, the sign-in, sessions that end, the keyboard, and which routes are asked.

import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { after, before, test } from 'node:test'
import { accessible, openAs, options, pictures, startBrowser, startDashboard } from './rig.mjs'

const objects = `apps:
  game:
    title: Game
    currencies: { coins: 0 }
    rules: { watch: { filter: { event_types: [impression] }, price: 5 coins } }
    sources: { ads: { profile: api } }
    endpoints: { backend: { url: "https://game.example/postback?ymid={ymid}" } }
    zones: { "1001": { title: Main, sub_zones: { rewarded_interstitial: "1002" } } }
`

let browser, carom, events

before(async () => {
  if (options.skip) return
  browser = await startBrowser()
  carom = await startDashboard(objects)
  events = Array.from({ length: 5 }, (_, i) => ({ id: `e${i}`, app: 'game', event_type: 'impression', reward_event_type: 'valued', ymid: `view-${i}`, user_id: 'ada', zone_id: '1001' }))
  await carom.ask('POST', '/v1/events', events)
})

after(async () => {
  await browser?.close()
  await carom?.close()
})

test('a browser without JavaScript gets a sentence', options, async () => {
  const { page } = await openAs(browser, carom, carom.operator, '/', { javaScriptEnabled: false })
  assert.match(await page.textContent('body'), /Allow scripts for this page, or use the command\s+line/)
  await page.context().close() // done asks a script of the page
})

test('a wrong password says so, and keeps what was typed', options, async () => {
  const { page, done } = await openAs(browser, carom, [])
  await page.getByLabel('E-mail').fill('operator@example.com')
  await page.getByLabel('Password', { exact: true }).fill('not the password')
  await page.getByRole('button', { name: 'Sign in' }).click()
  await page.getByRole('alert').waitFor()
  assert.equal(await page.getByLabel('E-mail').inputValue(), 'operator@example.com')
  await accessible(page)
  await page.getByLabel('Password', { exact: true }).fill(carom.password)
  await page.keyboard.press('Enter')
  await page.getByRole('heading', { name: 'Overview' }).waitFor()
  await done()
})

test('a session that ends is renewed over the page, which keeps what was typed', options, async () => {
  const member = await carom.member('operator')
  const { page, done } = await openAs(browser, carom, member, '/search')
  const box = page.getByRole('main').getByRole('textbox').first()
  await box.fill('something long that somebody typed')
  await page.context().clearCookies()
  await page.getByRole('link', { name: 'API', exact: true }).waitFor()
  await page.evaluate(() => window.dispatchEvent(new Event('visibilitychange')))
  await box.press('Enter') // which asks, and is refused
  const dialog = page.getByRole('dialog', { name: 'Your session has ended' })
  await dialog.waitFor()
  await dialog.getByLabel('E-mail').fill('operator@example.com')
  await dialog.getByLabel('Password', { exact: true }).fill(carom.password)
  await dialog.getByRole('button', { name: 'Sign in' }).click()
  await dialog.waitFor({ state: 'hidden' })
  assert.equal(await box.inputValue(), 'something long that somebody typed')
  await done()
})

test('a role sees the pages that it may use', options, async () => {
  const { page, done } = await openAs(browser, carom, await carom.member('viewer'))
  await page.getByRole('heading', { name: 'Overview' }).waitFor()
  assert.equal(await page.getByRole('link', { name: 'Connect a network' }).count(), 0)
  await done()
})

test('pages are reached by keys alone', options, async () => {
  const { page, tabTo, done } = await openAs(browser, carom, carom.operator)
  await page.getByRole('heading', { name: 'Overview' }).waitFor()
  await page.keyboard.press('g')
  await page.keyboard.press('p')
  await page.getByRole('heading', { name: 'Reports' }).waitFor()
  await page.keyboard.press('Control+K')
  await page.getByRole('textbox', { name: 'Search or go to' }).fill('Endp')
  await page.keyboard.press('Enter')
  await page.getByRole('heading', { name: 'Endpoints', level: 1 }).waitFor()
  await page.reload()
  await page.getByRole('heading', { name: 'Endpoints', level: 1 }).waitFor()
  await tabTo('a.skip')
  await page.keyboard.press('Enter')
  assert.ok(await page.evaluate(() => document.activeElement?.id === 'main'))
  await done()
})

test('the dashboard asks /v1 as its document has it, and nothing else', options, async () => {
  const doc = JSON.parse(await readFile(new URL('../../../docs/openapi.json', import.meta.url), 'utf8'))
  const routes = Object.keys(doc.paths).map((path) => new RegExp(`^${path.replace(/\{[^/]+\}/g, '[^/]+')}$`))
  const { page, done } = await openAs(browser, carom, carom.operator)
  const strange = new Set()
  page.on('request', (request) => {
    const { origin, pathname } = new URL(request.url())
    const file = request.resourceType() === 'document' || pathname.startsWith('/assets/') || pathname === '/favicon.svg'
    if (origin !== carom.url || !(file || pathname === '/v1/openapi.json' || routes.some((r) => r.test(pathname)))) strange.add(request.url())
  })
  const { events: [event] } = await carom.ask('GET', '/v1/events')
  for (const path of [
    '/', '/live', '/search?q=ada', `/story/${event.id}`, '/sources', '/sources/new', '/sources/game/ads', '/endpoints', '/endpoints/game/backend', '/zones', '/rewards', '/rewards/rules', '/rewards/users',
    '/reports', '/reports/funnel', '/reports/times', '/reports/reasons', '/reports/reconcile', '/settings', '/settings/members', '/settings/keys', '/settings/audit', '/settings/alerts', '/settings/nodes', '/api',
  ]) {
    await page.goto(carom.url + path)
    await page.getByRole('heading', { level: 1 }).waitFor()
    await page.waitForFunction(() => !document.querySelector('[role=status][aria-label=Loading]'))
  }
  assert.deepEqual([...strange], [])
  await done()
})

test('the overview shows the verdict and today', options, async () => {
  const { page, done } = await openAs(browser, carom, carom.operator)
  await page.locator('[data-verdict]').waitFor()
  for (const name of ['Received today: 5', 'Confirmed today: 5', 'Rewarded today: 5', 'Views today: 0']) await page.getByRole('link', { name, exact: true }).waitFor()
  await done()
})

test('the reference is readable', options, async () => {
  await pictures(browser, carom, carom.operator, '/api', 'reference', async (page) => {
    await page.getByLabel('Find an operation').fill('list events')
    await page.getByRole('button', { name: /\/v1\/events List events/ }).click()
    await page.getByText('Parameters').first().waitFor()
  })
})
