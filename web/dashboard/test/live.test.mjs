// Postbacks as they happen: received and sent, filtered, paused, and what an empty page says.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { accessible, openAs, options, startBrowser, startDashboard, startReceiver } from './rig.mjs'

const secret = 'a-path-secret-of-a-test-0123456789'
const hostile = `<script>alert('text')</script><img src=x onerror="alert('image')">`

let browser, receiver

before(async () => {
  if (options.skip) return
  browser = await startBrowser()
  receiver = await startReceiver()
})
after(async () => {
  await browser?.close()
  receiver?.close()
})

/** start starts a carom for a test, with two sources and an endpoint, and gives it send, which sends a postback as the network does. */
async function start(t) {
  const carom = await startDashboard(`apps:
  game:
    title: Game
    currencies: { coins: 0 }
    rules: { watch: { filter: { event_types: [impression] }, price: 5 coins } }
    sources:
      ads: { profile: monetag, ymid: view, secret: ${secret} }
      more: { profile: monetag, ymid: view, secret: ${secret} }
    endpoints:
      backend: { url: "${receiver.url}/postback?user={telegram_id}&ymid={ymid}", allow_private: true }
`)
  t.after(carom.close)
  const send = async (query, { path = 'ads', key = secret } = {}) => {
    const params = new URLSearchParams({ zone_id: '8790478', event_type: 'impression', reward_event_type: 'valued', estimated_price: '0.0023', ...query })
    const answer = await fetch(`${carom.url}/in/game/${path}/${key}?${params}`)
    assert.ok(answer.status < 500, await answer.text())
  }
  return { ...carom, send }
}

const row = (page, way, outcome) => page.locator(`[data-way=${way}][data-row=${outcome}]`)
const live = (page) => page.locator('[data-live=open]').waitFor()

test('an empty page says what to do, first without a source and then with one', options, async (t) => {
  const none = await startDashboard()
  t.after(none.close)
  const first = await openAs(browser, none, none.operator, '/live')
  await first.page.getByText('Nothing can arrive yet').waitFor()
  await first.page.getByRole('link', { name: 'Connect a network' }).waitFor()
  await accessible(first.page)
  await first.done()

  const carom = await start(t)
  const { page, done } = await openAs(browser, carom, carom.operator, '/live')
  await page.getByText('Waiting for the first postback').waitFor()
  await page.getByRole('link', { name: 'game/ads' }).waitFor()
  await live(page)
  await accessible(page)
  // The first one takes the place of what is said, by itself.
  await carom.send({ ymid: 'first', telegram_id: '1' })
  await row(page, 'received', 'accepted').waitFor()
  await row(page, 'sent', 'delivered').waitFor()
  assert.equal(await page.getByText('Waiting for the first postback').count(), 0)
  await done()
})

test('every outcome is shown as it happens, is text, and leads to its story', options, async (t) => {
  const carom = await start(t)
  const { page, done } = await openAs(browser, carom, carom.operator, '/live')
  await live(page)
  await carom.send({ ymid: hostile, telegram_id: '279058397' })
  await carom.send({ ymid: hostile, telegram_id: '279058397' })
  await carom.send({ ymid: 'held', telegram_id: '2', reward_event_type: 'maybe' })
  await carom.send({ ymid: 'refused', telegram_id: '3', event_type: hostile })
  await carom.send({ ymid: 'unverified' }, { key: 'wrong' })
  for (const outcome of ['accepted', 'duplicate', 'held', 'refused', 'unverified']) await row(page, 'received', outcome).waitFor()
  await row(page, 'sent', 'delivered').waitFor()
  assert.match(await row(page, 'received', 'accepted').innerText(), /<script>alert/)
  await row(page, 'received', 'refused').getByRole('link', { name: /^Story/ }).click()
  await page.getByRole('heading', { name: /^Refused postback of/ }).waitFor()
  await page.goBack()
  // What came before the page was opened is there as well.
  await page.getByText('Before you opened this page').waitFor()
  await row(page, 'received', 'accepted').waitFor()
  await done()
})

test('the feed is filtered by way, source, outcome and text', options, async (t) => {
  const carom = await start(t)
  const { page, done } = await openAs(browser, carom, carom.operator, '/live?source=game/more')
  await live(page)
  await carom.send({ ymid: 'ads-1', telegram_id: '1' })
  await carom.send({ ymid: 'more-1', telegram_id: '2' }, { path: 'more' })
  await page.getByText('more-1').waitFor()
  assert.equal(await page.getByText('ads-1').count(), 0)
  await page.goto(`${carom.url}/live`)
  await live(page)
  await carom.send({ ymid: 'ads-2', telegram_id: '3' })
  await carom.send({ ymid: 'refused', event_type: 'no-such-type' })
  await row(page, 'received', 'refused').waitFor()
  await page.locator('label', { hasText: /^refused/ }).click()
  await row(page, 'received', 'accepted').first().waitFor({ state: 'detached' })
  await page.locator('label', { hasText: /^refused/ }).click()
  await page.getByRole('textbox', { name: 'Contains' }).fill('ads-2')
  await page.getByText('more-1').waitFor({ state: 'detached' })
  await page.getByText('ads-2').first().waitFor()
  await page.waitForURL(/q=ads-2/)
  await page.getByRole('textbox', { name: 'Contains' }).fill('nothing has this')
  await page.getByText('Nothing that fits the filter has come yet').waitFor()
  await page.getByRole('button', { name: 'Show everything' }).click()
  await page.getByText('ads-2').first().waitFor()
  await done()
})

test('a paused feed stands still, counts what comes, and goes on with it, by keyboard alone', options, async (t) => {
  const carom = await start(t)
  const { page, tabTo, done } = await openAs(browser, carom, carom.operator, '/live?kind=received')
  await live(page)
  await carom.send({ ymid: 'one', telegram_id: '1' })
  await page.getByText('ymid one').waitFor()
  await tabTo('main button')
  await page.keyboard.press('Enter')
  await page.getByRole('button', { name: 'Go on' }).waitFor()
  for (let i = 0; i < 5; i++) await carom.send({ ymid: `while-paused-${i}`, telegram_id: '1' })
  await page.getByRole('button', { name: 'Go on (5 new)' }).waitFor()
  assert.equal(await page.getByText('while-paused').count(), 0)
  await page.keyboard.press('Enter')
  await page.getByText('while-paused-4').waitFor()
  await page.getByText('while-paused-0').waitFor()
  await done()
})

test('hundreds of events a second are shown, and no more rows than anybody reads', options, async (t) => {
  const carom = await start(t)
  const { page, done } = await openAs(browser, carom, carom.operator, '/live?kind=received')
  await live(page)
  for (let i = 0; i < 12; i++) {
    await Promise.all(Array.from({ length: 100 }, (_, k) => carom.send({ ymid: `many-${i}-${k}`, telegram_id: String(k) })))
  }
  await page.getByText('many-11-99').waitFor()
  assert.ok((await page.locator('[data-way]').count()) <= 100)
  await page.getByRole('button', { name: 'Pause' }).click()
  await page.getByRole('button', { name: 'Show 100 older' }).click()
  await page.locator('[data-way]').nth(199).waitFor()
  await page.getByRole('textbox', { name: 'Contains' }).fill('many-11-99')
  await page.getByText('many-11-98').waitFor({ state: 'detached' })
  await done()
})
