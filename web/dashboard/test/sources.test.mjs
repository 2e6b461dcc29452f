// Sources: from the first start to the URL to paste, the waiting screen, and what is done to a source afterwards.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { accessible, openAs, options, pictures, startBrowser, startDashboard, startReceiver } from './rig.mjs'

const hostile = `<img src=x onerror=alert(1)><script>alert(2)</script>`

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

/** asMonetag fills in the macros of a pasted URL as the network does, and sends the postback. */
const asMonetag = (url, values = {}) => {
  const all = {
    ymid: 'view-1', zone_id: '1001', sub_zone_id: '1002', request_var: 'bonus', telegram_id: '42', event_type: 'impression', reward_event_type: 'valued', estimated_price: '0.0023', ...values,
  }
  return fetch(url.replace(/\{(\w+)\}/g, (_, name) => encodeURIComponent(all[name] ?? '')))
}

const pasted = (page) => page.getByLabel('the postback URL', { exact: true }).textContent()

/** start starts a carom of a test's own, which ends with it, however it ends. */
async function start(t, ...settings) {
  const carom = await startDashboard(...settings)
  t.after(() => carom.close())
  return carom
}

test('the first start leads to a URL to paste within 6 clicks and 3 fields', options, async (t) => {
  const carom = await start(t, '', { empty: true })
  const link = new URL(carom.setupLink())
  const { page, done } = await openAs(browser, carom, [], link.pathname + link.hash)
  // What a person does is counted where it arrives: in the page.
  await page.evaluate(() => {
    window.did = { clicks: 0, fields: new Set() }
    addEventListener('click', (e) => e.isTrusted && window.did.clicks++, true)
    addEventListener('input', (e) => e.isTrusted && window.did.fields.add(e.target), true)
  })
  await page.getByLabel('E-mail').fill('ada@example.com')
  await page.getByLabel('Password', { exact: true }).fill(carom.password)
  await page.getByRole('button', { name: 'Make the first operator' }).click()
  await page.locator('[data-network=monetag]').click()
  await page.getByLabel("Your backend's URL").fill(`${receiver.url}/postback`)
  await page.getByRole('button', { name: 'Get the URL' }).click()
  await page.getByRole('heading', { name: 'Paste this URL at Monetag' }).waitFor()
  const url = await pasted(page)
  assert.match(url, /^http:\/\/127\.0\.0\.1:\d+\/in\/app\/monetag\/[a-z0-9]+\?.*ymid=\{ymid\}/)
  const did = await page.evaluate(() => ({ clicks: window.did.clicks, fields: window.did.fields.size }))
  console.log(`from the set-up link to the URL: ${did.clicks} clicks, ${did.fields} fields`)
  assert.ok(did.clicks <= 6 && did.fields <= 3, `${did.clicks} clicks and ${did.fields} fields`)
  await done()
})

test('a publisher is set up by keys alone: from the link to a verified postback and a delivered test', options, async (t) => {
  const carom = await start(t, '', { empty: true })
  const link = new URL(carom.setupLink())
  const { page, tabTo, done } = await openAs(browser, carom, [], link.pathname + link.hash)
  const { keyboard } = page
  await page.getByLabel('E-mail').waitFor()
  await keyboard.type('ada@example.com') // the first field has the focus
  await tabTo('input[type=password]')
  await keyboard.type(carom.password)
  await keyboard.press('Enter')

  await page.locator('[data-network=monetag]').waitFor()
  await tabTo('[data-network=monetag]')
  await keyboard.press('Enter')
  await page.getByLabel("Your backend's URL").waitFor()
  await page.waitForFunction(() => document.activeElement?.matches('input[type=url]'))
  await keyboard.type(`${receiver.url}/postback?id={delivery_id}`)
  await keyboard.press('Enter')
  await page.getByRole('heading', { name: 'Paste this URL at Monetag' }).waitFor()
  await page.locator('[data-health=waiting]').waitFor()
  const url = await pasted(page)

  receiver.got.length = 0
  assert.equal((await asMonetag(url)).status, 200)
  await page.locator('[data-health=verified]').waitFor()

  await tabTo('a[href^="/endpoints/app/"]')
  await keyboard.press('Enter')
  await page.getByRole('heading', { name: 'app/backend', level: 1 }).waitFor()
  await page.getByRole('button', { name: 'Send a test' }).waitFor()
  await tabTo('section[aria-label=Test] button[type=submit]')
  await keyboard.press('Enter')
  await page.locator('[data-verdict=delivered]').waitFor()
  assert.ok(receiver.got.some((r) => r.headers['carom-test'] === '1'), 'the test has arrived')
  assert.ok(receiver.got.some((r) => r.headers['carom-test'] !== '1'), 'the postback has arrived')
  await done()
})

test('the waiting screen explains a refusal in words, and turns green with the first good one', options, async (t) => {
  const carom = await start(t)
  const { page, done } = await openAs(browser, carom, carom.operator, '/sources/new?network=monetag')
  await page.getByRole('button', { name: 'Get the URL' }).click()
  await page.locator('[data-health=waiting]').waitFor()
  const url = await pasted(page)
  await page.getByText('Events are kept, and sent to nobody yet').waitFor()
  await page.getByRole('button', { name: 'Send a test postback' }).click()
  await page.getByText('The test came in').waitFor()
  await page.locator('[data-health=waiting]').waitFor() // a test is no real postback

  await asMonetag(url.replace(/\/in\/app\/monetag\/[a-z0-9]+/, '/in/app/monetag/wrongsecret'))
  await page.getByText('Something came that proved nothing').waitFor()
  // The network sent the macro itself instead of an id, and somebody else's text in a label.
  await fetch(url.replace('{request_var}', encodeURIComponent(hostile)).replace('{event_type}', 'impression').replace('{reward_event_type}', 'valued'))
  await page.locator('[data-health=refused]').waitFor()
  await page.getByText(/Why/).first().waitFor()
  await accessible(page)

  await asMonetag(url, { ymid: hostile, request_var: hostile })
  await page.locator('[data-health=verified]').waitFor()
  await done()
})

test('bad answers are said beside their fields, and nothing that was typed is lost', options, async (t) => {
  const carom = await start(t)
  const { page, done } = await openAs(browser, carom, carom.operator, '/sources/new')
  await page.locator('[data-network]').first().waitFor()
  const offered = await page.locator('[data-network]').evaluateAll((all) => all.map((n) => [n.dataset.network, n.querySelector('p').textContent]))
  assert.equal(offered[0][0], 'monetag')
  assert.deepEqual(offered.slice(-2).map(([name]) => name), ['standardwebhooks', 'subid'])
  const titles = offered.slice(1, -2).map(([, title]) => title.toLowerCase())
  assert.deepEqual(titles, [...titles].sort())
  await page.getByLabel('Find a network').fill('no such network')
  await page.getByText('No network has this name').waitFor()
  await page.getByLabel('Find a network').fill('mone')
  await page.locator('[data-network=monetag]').click()
  await page.getByLabel("Your backend's URL").fill('game.example.com/postback')
  await page.getByRole('combobox', { name: 'Name of the app' }).fill('My Game')
  await page.getByRole('button', { name: 'Get the URL' }).click()
  await page.getByText('Write a whole URL').waitFor()
  await page.getByText('A name has lower-case letters').waitFor()
  await page.getByLabel("Your backend's URL").fill('https://game.example.com/postback?u={nobody}')
  await page.getByRole('combobox', { name: 'Name of the app' }).fill('game')
  await page.getByRole('button', { name: 'Get the URL' }).click()
  await page.getByRole('alert').waitFor()
  assert.equal(await page.getByLabel("Your backend's URL").inputValue(), 'https://game.example.com/postback?u={nobody}')
  await done()
})

test('a source is edited, frozen, thawed, given a new URL and removed', options, async (t) => {
  const carom = await start(t, 'apps: { game: { sources: { monetag: { profile: monetag } } } }')
  const { page, done } = await openAs(browser, carom, carom.operator, '/sources')
  await page.getByRole('link', { name: 'game/monetag' }).click()
  await page.getByRole('heading', { name: 'game/monetag', level: 1 }).waitFor()

  await page.getByRole('button', { name: 'Freeze' }).click()
  await page.getByRole('button', { name: 'Freeze the source' }).click()
  await page.getByText('Say why').waitFor()
  await page.getByLabel('Why').fill('the network pays twice')
  await page.getByRole('button', { name: 'Freeze the source' }).click()
  await page.getByText('Frozen: events are kept, and wait').waitFor()
  await page.getByRole('button', { name: 'Let it go on' }).click()
  await page.getByLabel('Why').fill('all is well again')
  await page.getByRole('dialog').getByRole('button', { name: 'Let it go on' }).click()
  await page.getByRole('button', { name: 'Freeze' }).waitFor()

  await page.getByRole('button', { name: 'Make a new URL' }).click()
  await page.getByRole('dialog').getByRole('button', { name: 'Make a new URL' }).click()
  const url = await page.getByLabel('the new URL', { exact: true }).textContent()
  assert.equal((await asMonetag(url.includes('?') ? url : `${url}?ymid={ymid}&zone_id={zone_id}&event_type={event_type}&reward_event_type={reward_event_type}`)).status, 200)
  await page.locator('[data-health=verified]').waitFor()

  await page.getByRole('tab', { name: 'Settings' }).click()
  await page.getByLabel("An event's identity counts for").fill('a while')
  await page.getByRole('button', { name: 'Save the source' }).click()
  await page.getByText('Write a time such as').waitFor()
  await page.getByLabel("An event's identity counts for").fill('60d')
  await page.getByRole('button', { name: 'Save the source' }).click()
  await page.getByText('game/monetag is saved').waitFor()

  // Somebody else saves another version meanwhile.
  await page.getByLabel("An event's identity counts for").fill('90d')
  const other = await carom.ask('GET', '/v1/sources/game/monetag')
  await carom.ask('PUT', '/v1/sources/game/monetag', { profile: other.profile, dedupe_window: '45d' })
  await page.getByRole('button', { name: 'Save the source' }).click()
  await page.getByRole('button', { name: 'Save mine over theirs' }).waitFor()
  await page.getByRole('row', { name: /dedupe_window\s+45d\s+90d/ }).waitFor()
  await accessible(page)
  const saved = page.waitForResponse((answer) => answer.request().method() === 'PUT')
  await page.getByRole('button', { name: 'Save mine over theirs' }).click()
  assert.equal((await saved).status(), 200)
  assert.equal((await carom.ask('GET', '/v1/sources/game/monetag')).dedupe_window, '90d')

  await page.getByRole('button', { name: 'More that can be done' }).click()
  await page.getByRole('menuitem', { name: 'Remove the source' }).click()
  await page.getByRole('dialog').getByRole('button', { name: 'Remove the source' }).click()
  await page.getByText('Nothing comes in yet').waitFor()
  await done()
})

test('a source in shadow shows where the receiver of today differs', options, async (t) => {
  const today = await startReceiver()
  t.after(() => today.close())
  const carom = await start(t, `apps:
  game:
    sources: { monetag: { profile: monetag, secret: 0123456789abcdef0123456789abcdef, mode: shadow, shadow_url: "${today.url}/old" } }
`)
  const url = `${carom.url}/in/game/monetag/0123456789abcdef0123456789abcdef?ymid={ymid}&zone_id={zone_id}&event_type={event_type}&reward_event_type={reward_event_type}`
  today.answer = { status: 200, type: 'text/plain', body: 'paid <script>alert(2)</script>' }
  await asMonetag(url)
  await asMonetag(url)
  await asMonetag(url.replace('0123456789abcdef0123456789abcdef', 'wrong'))
  const { page, done } = await openAs(browser, carom, carom.operator, '/sources/game/monetag?tab=shadow')
  await page.getByText(/The door is open|A copy of a paid event/).first().waitFor()
  await accessible(page)
  await done()
  await pictures(browser, carom, carom.operator, '/sources/game/monetag?tab=shadow', 'sources-shadow', (p) => p.getByText(/The door is open|A copy of a paid event/).first().waitFor())
})

test('a viewer looks at sources, and is offered no change', options, async (t) => {
  const carom = await start(t, 'apps: { game: { sources: { monetag: { profile: monetag } } } }')
  const { page, done } = await openAs(browser, carom, await carom.member('viewer'), '/sources/game/monetag')
  await page.getByRole('heading', { name: 'game/monetag', level: 1 }).waitFor()
  await page.locator('[data-health=waiting]').waitFor()
  for (const name of ['Freeze', 'Make a new URL', 'More that can be done', 'Send a test postback']) {
    assert.equal(await page.getByRole('button', { name }).count(), 0, name)
  }
  await page.getByRole('tab', { name: 'Settings' }).click()
  await page.getByText('Your role may look at settings').waitFor()
  assert.equal(await page.getByRole('button', { name: 'Save the source' }).count(), 0)
  await done()
})

test('sources look right', options, async (t) => {
  const carom = await start(t)
  await pictures(browser, carom, carom.operator, '/sources/new?network=monetag', 'sources-questions', (p) => p.getByRole('button', { name: 'Get the URL' }).waitFor())
  const { page, done } = await openAs(browser, carom, carom.operator, '/sources/new?network=monetag')
  await page.getByLabel("Your backend's URL").fill(`${receiver.url}/postback`)
  await page.getByRole('button', { name: 'Get the URL' }).click()
  await page.locator('[data-health=waiting]').waitFor()
  await asMonetag(await pasted(page))
  await done()
  await pictures(browser, carom, carom.operator, '/sources/app/monetag', 'sources-one', (p) => p.locator('[data-health=verified]').waitFor())
  await pictures(browser, carom, carom.operator, '/sources/app/monetag?tab=settings', 'sources-settings', (p) => p.getByRole('button', { name: 'Save the source' }).waitFor())
})
