// What became of a view: found by one word, told on one page, and put right from there.

import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { after, before, test } from 'node:test'
import { openAs, options, pictures, startBrowser, startDashboard, startReceiver } from './rig.mjs'

const secret = 'a-path-secret-of-a-test-0123456789'
const key = 'the-key-of-the-wall'
const hostile = `<script>alert('text')</script><img src=x onerror="alert('image')">`

// In JSON, which is YAML as well. more are further settings of the network's source.
const objects = (more = {}) => ({
  apps: {
    game: {
      title: 'Game',
      currencies: { coins: 0 },
      rules: { watch: { filter: { event_types: ['impression', 'completion'] }, price: '5 coins' } },
      sources: { ads: { profile: 'monetag', ymid: 'view', secret, ...more }, wall: { profile: 'adjoe', secret, network_secret: key } },
      endpoints: { backend: { url: `${receiver.url}/postback?user={telegram_id}&ymid={ymid}&spot={request_var}`, allow_private: true } },
    },
  },
})

let browser, carom, receiver

before(async () => {
  if (options.skip) return
  browser = await startBrowser()
  receiver = await startReceiver()
  carom = await startDashboard(JSON.stringify(objects()))
})
after(async () => {
  await browser?.close()
  await carom?.close()
  receiver?.close()
})

/** send sends a postback as the network does, and returns its answer. */
async function send(query) {
  const params = new URLSearchParams({ zone_id: '8790478', event_type: 'impression', reward_event_type: 'valued', estimated_price: '0.0023', ...query })
  const answer = await fetch(`${carom.url}/in/game/ads/${secret}?${params}`)
  await answer.text()
  return answer
}

/** eventOf waits for the event of a ymid whose deliveries have come to a state. */
async function eventOf(ymid, state) {
  for (;;) {
    const { events } = await carom.ask('GET', `/v1/events?app=game&ymid=${encodeURIComponent(ymid)}`)
    if (events.length > 0) {
      const story = await carom.ask('GET', `/v1/events/${events[0].id}`)
      if (!state || story.deliveries.every((d) => d.state === state)) return story
    }
  }
}

test('a lost reward whose delivery died is found and sent again, by keyboard alone', options, async () => {
  receiver.answer = { status: 410, type: 'text/plain', body: `gone ${hostile}` }
  await send({ ymid: 'lost-1', telegram_id: '279058397', request_var: hostile })
  const story = await eventOf('lost-1', 'dead')
  receiver.answer = { status: 200, type: 'text/plain', body: 'ok' }
  receiver.got.length = 0

  const { page, tabTo, done } = await openAs(browser, carom, await carom.member('support'), '/')
  await page.getByRole('navigation').waitFor()
  await tabTo('nav a[href="/search"]')
  await page.keyboard.press('Enter')
  await page.getByRole('heading', { name: 'Search', level: 1 }).waitFor()
  await tabTo('[aria-label="Search for"]')
  await page.keyboard.type('279058397')
  await page.keyboard.press('Enter')
  await page.locator('[data-result=event]').waitFor()
  await tabTo('[data-result=event] a')
  await page.keyboard.press('Enter')

  await page.getByText('A postback never arrived').waitFor()
  await page.getByText('To game/backend: status 410').waitFor()
  const delivery = page.locator(`[data-delivery="${story.deliveries[0].id}"]`)
  assert.match(await delivery.innerText(), /gone <script>alert/)
  await tabTo(`[data-delivery="${story.deliveries[0].id}"] button:not([aria-label]):not([aria-expanded])`)
  await page.keyboard.press('Enter')
  await page.getByRole('dialog').getByText('with the same delivery id').waitFor()
  await tabTo('[role=dialog] button[type=submit]')
  await page.keyboard.press('Enter')
  await page.getByText('A postback never arrived').waitFor({ state: 'detached' })
  await delivery.locator('[data-outcome=delivered]').first().waitFor()
  assert.equal(receiver.got.length, 1)
  assert.match(receiver.got[0].url, /user=279058397&ymid=lost-1/)
  await done()
})

test('a refused postback says why, and is judged again after a fix, by keyboard alone', options, async () => {
  await send({ ymid: 'lost-2', telegram_id: '279058398', event_type: 'watched' })
  const { page, tabTo, done } = await openAs(browser, carom, carom.operator, '/search?q=279058398')
  await page.getByText('Received, and counted for nothing').waitFor()
  await tabTo('[aria-label="Received, and counted for nothing"] a')
  await page.keyboard.press('Enter')
  await page.getByRole('heading', { name: 'Refused: unknown event type' }).waitFor()
  await page.getByText('the event type "watched" (parameter "event_type") is not known').first().waitFor()

  // Until the word is mapped, nothing comes of judging it again, and that is said before.
  await tabTo('[aria-label="Refused postback"] button')
  await page.keyboard.press('Enter')
  await page.locator('[data-preview=skipped]').waitFor()
  await page.keyboard.press('Escape')
  await page.getByRole('dialog').waitFor({ state: 'detached' })
  await carom.ask('POST', '/v1/apply', objects({ event_types: { watched: 'impression' } }))

  // The focus is back on the button.
  await page.waitForFunction(() => document.activeElement?.closest('[aria-label="Refused postback"]') && document.activeElement.matches('button'))
  await page.keyboard.press('Enter')
  await page.locator('[data-preview=reprocessed]').waitFor()
  await page.keyboard.press('Enter')
  await tabTo('[role=dialog] button[type=submit]')
  await page.keyboard.press('Enter')
  await page.getByText('Say why, in a few words').waitFor()
  await tabTo('[role=dialog] textarea', 'Shift+Tab')
  await page.keyboard.type('the word is mapped now')
  await tabTo('[role=dialog] button[type=submit]')
  await page.keyboard.press('Enter')
  await page.getByRole('heading', { name: /Valued impression of ads for user 279058398/ }).waitFor()
  await page.locator('[data-moment=credited]').waitFor()
  await done()
})

test('a story shows what was signed, byte by byte, and why it was believed', options, async () => {
  const p = { trans_uuid: 't-1', user_uuid: 'ada', currency: 'coins', coin_amount: '5', device_id: 'dev', sdk_app_id: 'app' }
  p.sid = createHash('sha1').update(p.trans_uuid + p.user_uuid + p.currency + p.coin_amount + p.device_id + p.sdk_app_id + key).digest('hex')
  const answer = await fetch(`${carom.url}/in/game/wall/${secret}?${new URLSearchParams(p)}`)
  assert.equal(answer.status, 200, await answer.text())
  const { events } = await carom.ask('GET', '/v1/events?app=game&user=ada')
  const { page, done } = await openAs(browser, carom, await carom.member('viewer'), `/story/${events[0].id}`)
  const check = page.locator('[data-check=hash]')
  await check.waitFor()
  assert.equal(await check.getAttribute('data-passed'), 'true')
  assert.match(await check.innerText(), /t-1adacoins5devapp\{secret\}/)
  await check.getByText('Bytes').first().click()
  await check.getByText('0000  74 2d 31 61 64 61').waitFor()
  assert.equal((await page.content()).includes(key), false, 'the key is shown')
  assert.equal((await page.content()).includes(secret), false, 'the secret of the URL is shown')
  // A viewer looks, and changes nothing.
  assert.equal(await page.getByRole('button', { name: 'Resend' }).count(), 0)
  assert.equal(await page.getByRole('button', { name: 'Reprocess' }).count(), 0)
  await done()
})

test('what strangers sent is text, also in the command that sends it again', options, async () => {
  await send({ ymid: hostile, telegram_id: '1', request_var: `it's $(id)` })
  const story = await eventOf(hostile, 'delivered')
  const { page, done } = await openAs(browser, carom, carom.operator, `/story/${story.event.id}`)
  await page.getByRole('row', { name: hostile }).waitFor()
  const commands = await page.locator('[data-curl]').evaluateAll((all) => all.map((e) => e.dataset.curl))
  assert.equal(commands.length, 2)
  for (const command of commands) {
    assert.match(command, /^curl --globoff .*'http[^' ]*'$/)
    assert.equal(command.includes(secret), false)
  }
  await done()
})

test('an event of an unknown value is counted as what a person says', options, async () => {
  await send({ ymid: 'held-1', telegram_id: '5', reward_event_type: 'maybe' })
  const story = await eventOf('held-1')
  const { page, done } = await openAs(browser, carom, carom.operator, `/story/${story.event.id}`)
  await page.getByRole('button', { name: 'Reprocess' }).click()
  const dialog = page.getByRole('dialog')
  await dialog.getByRole('textbox', { name: 'Why' }).fill('the network says that it pays')
  await dialog.getByRole('button', { name: 'Reprocess' }).click()
  await dialog.getByText('Say what its value counts as').waitFor()
  await dialog.getByRole('combobox', { name: 'Count its value as' }).click()
  await page.getByRole('option', { name: /^valued/ }).click()
  await dialog.locator('[data-preview=reprocessed]').waitFor()
  await dialog.getByRole('button', { name: 'Reprocess' }).click()
  await page.locator('[data-moment=credited]').waitFor()
  await done()
})

test('support sees what reprocessing would do, and leaves it to an operator', options, async () => {
  await send({ ymid: 'held-2', telegram_id: '6', event_type: 'seen' })
  const { received } = await carom.ask('GET', '/v1/received?app=game')
  const { page, done } = await openAs(browser, carom, await carom.member('support'), `/story/${received[0].id}`)
  await page.getByRole('button', { name: 'Reprocess' }).click()
  await page.getByText('an operator has to do it').waitFor()
  assert.equal(await page.getByRole('dialog').getByRole('button', { name: 'Reprocess' }).count(), 0)
  await done()
})

test('an id of nothing says so', options, async () => {
  const { page, done } = await openAs(browser, carom, carom.operator, '/story/evt_nothing')
  await page.getByRole('alert').waitFor()
  await done()
})

test('a story in light, in dark and on a phone', options, async () => {
  await send({ ymid: 'refused', telegram_id: '279058399', event_type: 'closed' })
  receiver.answer = { status: 410, type: 'text/html', body: `<!doctype html><h1>Gone</h1> ${hostile}` }
  await send({ ymid: 'picture', telegram_id: '279058399', request_var: 'bonus-btn' })
  const story = await eventOf('picture', 'dead')
  receiver.answer = { status: 200, type: 'text/plain', body: 'ok' }
  await pictures(browser, carom, carom.operator, `/story/${story.event.id}`, 'story-dead', async (page) => {
    await page.getByText('A postback never arrived').waitFor()
    await page.locator('[data-check]').first().waitFor()
  })
  const { received } = await carom.ask('GET', '/v1/received?app=game')
  await pictures(browser, carom, carom.operator, `/story/${received[0].id}`, 'story-refused', (page) => page.locator('[data-check]').first().waitFor())
})
