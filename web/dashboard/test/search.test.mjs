// The one box, the lists with their filters, what is saved, and what is exported.

import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { after, before, test } from 'node:test'
import { openAs, options, pictures, startBrowser, startDashboard, startReceiver } from './rig.mjs'

const secret = 'a-path-secret-of-a-test-0123456789'
const hostile = `<script>alert('text')</script><img src=x onerror="alert('image')">`
const formula = '=HYPERLINK("https://evil.example","win")'

let browser, carom, receiver

before(async () => {
  if (options.skip) return
  browser = await startBrowser()
  receiver = await startReceiver()
  carom = await startDashboard(`apps:
  game:
    title: Game
    currencies: { coins: 0 }
    rules: { watch: { filter: { event_types: [impression] }, price: 5 coins } }
    sources:
      ads: { profile: monetag, ymid: view, secret: ${secret} }
      server: { profile: api }
    endpoints:
      backend: { url: "${receiver.url}/postback?user={telegram_id}&ymid={ymid}", allow_private: true }
  shop:
    sources: { server: { profile: api } }
`)
  await send({ ymid: 'view-1', telegram_id: '279058397', request_var: hostile })
  await send({ ymid: formula, telegram_id: '77', request_var: 'a,"b"\nc' })
  await send({ ymid: 'closed-1', telegram_id: '78', event_type: hostile })
  await fetch(`${carom.url}/in/game/ads/wrong?ymid=${encodeURIComponent(hostile)}`)
  await report('shop', 140)
  await carom.ask('POST', '/v1/views', { app: 'game', user: 'ada' })
})
after(async () => {
  await browser?.close()
  await carom?.close()
  receiver?.close()
})

/** send sends a postback as the network does. */
async function send(query) {
  const params = new URLSearchParams({ zone_id: '8790478', event_type: 'impression', reward_event_type: 'valued', estimated_price: '0.0023', ...query })
  const answer = await fetch(`${carom.url}/in/game/ads/${secret}?${params}`)
  assert.ok(answer.status < 500, await answer.text())
}

/** report reports n events of a trusted server. */
const report = (app, n) =>
  carom.ask('POST', '/v1/events', Array.from({ length: n }, (_, i) => ({ id: `e${i}`, app, event_type: 'impression', ymid: `${app}-${i}`, user_id: `u${i % 3}`, zone_id: '7' })))

const rows = (page) => page.getByRole('table').locator('tbody tr')

test('a ymid, a user, a zone, an id, a URL and a name are found in one box', options, async () => {
  const { events } = await carom.ask('GET', '/v1/events?app=game&ymid=view-1')
  const { page, done } = await openAs(browser, carom, carom.operator, '/search')
  const box = page.getByRole('textbox', { name: 'Search for' })
  for (const [text, kind, path] of [
    ['view-1', 'event', `/story/${events[0].id}`],
    ['279058397', 'user', '/search?app=game&user=279058397&kind=event'],
    ['8790478', 'zone', '/search?app=game&zone=8790478&kind=event'],
    [events[0].id, 'event', `/story/${events[0].id}`],
    [`${carom.url}/in/game/ads/whatever?ymid=view-1`, 'source', '/sources/game/ads'],
    ['backend', 'endpoint', '/endpoints/game/backend'],
  ]) {
    await box.fill(text)
    await box.press('Enter')
    const link = page.locator(`[data-result=${kind}] a[href="${path}"]`).first()
    await link.waitFor()
  }
  // What counted for nothing is found by what it says, and leads to why.
  const uncounted = page.getByRole('region', { name: 'Received, and counted for nothing' })
  await box.fill('closed-1')
  await box.press('Enter')
  await uncounted.locator('[data-result=received] a[href^="/story/rcv_"]').waitFor()
  await page.getByText('No event, view, reward or object').waitFor()
  await box.fill(hostile)
  await box.press('Enter')
  await uncounted.locator('[data-result=unverified]').getByRole('link').click()
  await page.getByRole('tab', { name: 'Unverified', selected: true }).waitFor()
  assert.match(page.url(), /app=game&source=game%2Fads/)
  await rows(page).first().waitFor()
  await page.goBack()
  await box.fill('nobody has this')
  await box.press('Enter')
  await page.getByText('Nothing has this').waitFor()
  await page.getByRole('button', { name: 'Clear the search' }).click()
  await page.getByRole('tab', { name: 'Events' }).waitFor()
  await done()
})

test('events are filtered, the filter is in the address, and older ones are read on', options, async () => {
  const { page, done } = await openAs(browser, carom, carom.operator, '/search?app=shop')
  await page.getByRole('button', { name: 'Older' }).click()
  await rows(page).nth(99).waitFor()
  await page.getByRole('button', { name: 'Older' }).click()
  await rows(page).nth(139).waitFor()
  await page.getByRole('button', { name: 'Older' }).waitFor({ state: 'detached' })
  assert.equal(await rows(page).count(), 140)
  await page.getByRole('textbox', { name: 'ymid' }).fill('shop-7')
  await page.getByRole('cell', { name: 'shop-139' }).waitFor({ state: 'detached' })
  await page.getByRole('cell', { name: 'shop-7', exact: true }).waitFor()
  assert.match(page.url(), /ymid=shop-7/)
  await page.getByRole('button', { name: 'Clear the filter' }).click()
  await page.getByRole('button', { name: 'Older' }).waitFor()
  await page.getByRole('combobox', { name: 'App' }).click()
  await page.getByRole('option', { name: 'Game' }).click()
  await page.getByRole('cell', { name: formula }).waitFor()
  await page.getByRole('cell', { name: hostile }).waitFor()
  await done()
})

test('each list has its own filter, and says so when it is empty', options, async () => {
  const { page, done } = await openAs(browser, carom, carom.operator, '/search?app=game')
  await page.getByRole('tab', { name: 'Deliveries' }).click()
  await page.getByRole('combobox', { name: 'State' }).click()
  await page.getByRole('option', { name: 'delivered' }).click()
  await page.locator('[data-outcome=delivered]').first().waitFor()
  await page.getByRole('combobox', { name: 'State' }).click()
  await page.getByRole('option', { name: 'expired' }).click()
  await page.getByText('No deliveries fit the filter').waitFor()
  await page.getByRole('tab', { name: 'Refused' }).click()
  await page.getByRole('cell', { name: /unknown event type/ }).waitFor()
  await page.getByRole('textbox', { name: 'Reason' }).fill('bad_body')
  await page.getByText('No refused postbacks fit the filter').waitFor()
  await page.getByRole('textbox', { name: 'Reason' }).fill('unknown event type')
  await page.getByRole('cell', { name: /unknown event type/ }).waitFor()
  await page.getByRole('textbox', { name: 'Reason' }).fill('')
  await page.waitForURL((url) => !url.searchParams.has('reason'))
  await page.getByRole('tab', { name: 'Unverified' }).click()
  await page.getByRole('cell', { name: /wrong secret/ }).waitFor()
  await page.getByRole('tab', { name: 'Views' }).click()
  await page.getByRole('cell', { name: 'ada' }).waitFor()
  await done()
})

test('a filter is saved, found again, and deleted', options, async () => {
  const { page, done } = await openAs(browser, carom, await carom.member('viewer'), '/search?kind=refused&app=game')
  await page.getByRole('button', { name: 'Saved filters' }).click()
  await page.getByRole('menuitem', { name: 'Save this filter' }).click()
  const dialog = page.getByRole('dialog')
  await dialog.getByRole('button', { name: 'Save' }).click()
  await dialog.getByText('Give it a name').waitFor()
  await dialog.getByRole('textbox', { name: 'Name' }).fill(hostile)
  await dialog.getByRole('button', { name: 'Save' }).click()
  await dialog.waitFor({ state: 'detached' })
  await page.getByRole('link', { name: 'Search', exact: true }).click()
  await page.getByRole('tab', { name: 'Events', selected: true }).waitFor()
  await page.getByRole('button', { name: 'Saved filters' }).click()
  await page.getByRole('menuitem', { name: hostile, exact: true }).click()
  await page.getByRole('tab', { name: 'Refused', selected: true }).waitFor()
  await page.getByRole('button', { name: 'Saved filters' }).click()
  await page.getByRole('menuitem', { name: `Delete the filter ${hostile}` }).click()
  await page.getByText('None yet').waitFor()
  await done()
})

test('what a filter finds is exported whole, as CSV without formulas and as JSON', options, async () => {
  const { page, done } = await openAs(browser, carom, carom.operator, '/search?app=shop')
  await rows(page).first().waitFor()
  const [csv, json] = [await exported(page, 'As CSV'), await exported(page, 'As JSON')]
  assert.equal(csv.trim().split('\r\n').length, 141)
  assert.equal(JSON.parse(json).length, 140)
  await page.goto(`${carom.url}/search?app=game&source=game/ads`)
  await rows(page).first().waitFor()
  const games = await exported(page, 'As CSV')
  assert.match(games, /,"'=HYPERLINK\(""https:\/\/evil\.example"",""win""\)",/)
  assert.match(games, /,"a,""b""\nc",/)
  await done()
})

async function exported(page, how) {
  await page.getByRole('button', { name: 'Export' }).click()
  const [file] = await Promise.all([page.waitForEvent('download'), page.getByRole('menuitem', { name: how }).click()])
  await page.locator('[data-export=done]').waitFor()
  await page.getByRole('dialog').getByRole('button', { name: 'Close' }).last().click()
  return readFile(await file.path(), 'utf8')
}

test('an export is canceled', options, async () => {
  const { page, done } = await openAs(browser, carom, carom.operator, '/search?app=shop')
  await rows(page).first().waitFor()
  let answer
  await page.route('**/v1/events?*limit=1000*', async (route) => {
    await new Promise((resolve) => (answer = resolve))
    await route.continue()
  })
  await page.getByRole('button', { name: 'Export' }).click()
  await page.getByRole('menuitem', { name: 'As CSV' }).click()
  await page.getByRole('dialog').getByRole('button', { name: 'Cancel' }).click()
  answer()
  await page.getByText('Canceled: no file was made').waitFor()
  await done()
})

test('search in light, in dark and on a phone', options, async () => {
  await pictures(browser, carom, carom.operator, '/search?app=game', 'search-list', (page) => rows(page).first().waitFor())
  await pictures(browser, carom, carom.operator, '/search?q=279058397', 'search-results', (page) => page.locator('[data-result]').first().waitFor())
  await pictures(browser, carom, carom.operator, '/search?kind=refused', 'search-refused', (page) => rows(page).first().waitFor())
})
