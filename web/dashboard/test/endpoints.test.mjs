// Endpoints: the template editor, a dead endpoint that is brought back, and what is done to an endpoint otherwise.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { after, before, test } from 'node:test'
import { accessible, openAs, options, pictures, startBrowser, startDashboard } from './rig.mjs'

const hostile = `<img src=x onerror=alert(1)><script>alert(2)</script>`

let browser, backend

/** startBackend is a server that has moved: it takes postbacks at /v2, and says so of any other path. */
async function startBackend() {
  const it = { got: [] }
  const server = createServer(async (req, res) => {
    let body = ''
    for await (const part of req) body += part
    it.got.push({ method: req.method, url: req.url, headers: req.headers, body })
    if (req.url.startsWith('/v2')) res.writeHead(200, { 'Content-Type': 'text/plain' }).end('ok')
    else res.writeHead(410, { 'Content-Type': 'text/plain' }).end(`gone: use /v2 ${hostile}`)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  it.url = `http://127.0.0.1:${server.address().port}`
  it.close = () => {
    server.closeAllConnections()
    server.close()
  }
  return it
}

const objects = (url, more = '') => `apps:
  game:
    sources: { server: { profile: api } }
    endpoints: { backend: { url: "${url}", allow_private: true${more} } }
`

const report = (carom, n) =>
  carom.ask('POST', '/v1/events', Array.from({ length: n }, (_, i) => ({ id: `e${i}`, app: 'game', event_type: 'impression', reward_event_type: 'valued', ymid: i ? `view-${i}` : hostile, zone_id: '1001' })))

/** ended waits until so many deliveries have ended in a state. */
async function ended(carom, state, n) {
  for (let tries = 0; tries < 400; tries++) {
    const { deliveries } = await carom.ask('GET', `/v1/deliveries?app=game&state=${state}&limit=100`)
    if (deliveries.length === n) return
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  assert.fail(`${n} deliveries are not ${state}`)
}

before(async () => {
  if (options.skip) return
  browser = await startBrowser()
  backend = await startBackend()
})

after(async () => {
  await browser?.close()
  backend?.close()
})

/** start starts a carom of a test's own, which ends with it, however it ends. */
async function start(t, ...settings) {
  const carom = await startDashboard(...settings)
  t.after(() => carom.close())
  return carom
}

test('a dead endpoint is brought back: why, the fix, a test, a preview, and all is delivered', options, async (t) => {
  const carom = await start(t, objects(`${backend.url}/v1?id={ymid}&delivery={delivery_id}`))
  await report(carom, 7)
  await ended(carom, 'dead', 7)
  const { page, done } = await openAs(browser, carom, carom.operator, '/endpoints')

  await page.getByRole('link', { name: 'game/backend' }).click()
  await page.getByText('answered 410').first().waitFor()
  await page.getByText('gone: use /v2').first().waitFor()

  await page.getByRole('tab', { name: 'Settings and test' }).click()
  const url = page.getByRole('combobox', { name: 'URL' })
  await url.fill(`${backend.url}/v2?id={ymid}&delivery={delivery_id}`)
  await page.getByRole('button', { name: 'Save the endpoint' }).click()
  await page.getByText('game/backend is saved').waitFor()
  backend.got.length = 0
  await page.getByRole('button', { name: 'Send a test' }).click()
  await page.locator('[data-verdict=delivered]').waitFor()
  assert.equal(backend.got.length, 1)

  await page.getByRole('button', { name: 'Resend …' }).click()
  await page.getByRole('button', { name: 'See how many' }).click()
  await page.getByText('Say why').waitFor()
  await page.getByLabel('Why').fill('the backend has moved to /v2')
  await page.getByRole('button', { name: 'See how many' }).click()
  await page.locator('[data-preview="7"]').waitFor()
  assert.equal(backend.got.length, 1, 'a preview sends nothing')
  await accessible(page)
  await page.getByRole('button', { name: 'Resend 7' }).click()
  await page.getByText('7 deliveries are on the way again').waitFor()
  await ended(carom, 'delivered', 7)
  assert.equal(new Set(backend.got.filter((r) => !r.headers['carom-test']).map((r) => new URL(r.url, backend.url).searchParams.get('delivery'))).size, 7)
  await page.getByRole('tab', { name: 'How it stands' }).click()
  await page.waitForFunction(() => document.querySelectorAll('[data-delivery] [data-outcome=delivered]').length === 7)
  await done()
})

/** chosen is the text of the option that is said to be chosen to those who hear the page. */
const chosen = (page) => page.evaluate(() => document.getElementById(document.activeElement.getAttribute('aria-activedescendant'))?.textContent ?? '')

test('the editor completes macros by keys, renders as one types, and says what is wrong', options, async (t) => {
  const carom = await start(t, objects('https://game.example/postback?ymid={ymid}'))
  const { page, done } = await openAs(browser, carom, carom.operator, '/endpoints/game/backend?tab=settings')
  const url = page.getByRole('combobox', { name: 'URL' })
  await url.click()
  await page.keyboard.press('End')
  await page.keyboard.type('&type={ev')
  await page.getByRole('option', { name: /\{event_type\}/ }).waitFor()
  await accessible(page)
  assert.match(await chosen(page), /\{event_type\}/)
  await page.keyboard.press('Enter')
  assert.equal(await url.inputValue(), 'https://game.example/postback?ymid={ymid}&type={event_type}')
  await page.locator('[data-rendered]').getByText('impression').waitFor()
  assert.match(await page.locator('[data-rendered]').textContent(), /GET https:\/\/game\.example\/postback\?ymid=user123&type=impression/)

  // Escape closes the list and leaves the text; Tab puts in.
  await page.keyboard.type('&d={deli')
  await page.getByRole('option', { name: /\{delivery_id\}/ }).waitFor()
  await page.keyboard.press('Escape')
  await page.getByRole('option').first().waitFor({ state: 'hidden' })
  await page.keyboard.type('v')
  await page.getByRole('option', { name: /\{delivery_id\}/ }).waitFor()
  assert.match(await chosen(page), /\{delivery_id\}/)
  await page.keyboard.press('Tab')
  assert.match(await url.inputValue(), /&d=\{delivery_id\}$/)

  // Who types on without looking gets what the text says by then.
  await page.keyboard.type('&u={req')
  await page.keyboard.press('Enter')
  assert.match(await url.inputValue(), /&u=\{request_var\}$/)

  await url.fill('https://game.example/postback?u={event}')
  await page.getByText(/unknown macro \{event\}/).first().waitFor()
  await page.getByRole('button', { name: 'Write {event_type}' }).click()
  assert.equal(await url.inputValue(), 'https://game.example/postback?u={event_type}')
  await page.locator('[data-level=fault]').waitFor({ state: 'hidden' })

  // What the server finds wrong stands beside the field, and nothing is lost.
  await page.getByLabel('Given up after').fill('400d')
  await page.getByRole('button', { name: 'Save the endpoint' }).click()
  await page.getByRole('alert', { name: 'Unprocessable Entity' }).waitFor()
  assert.equal(await url.inputValue(), 'https://game.example/postback?u={event_type}')
  assert.equal(await page.getByLabel('Given up after').getAttribute('aria-invalid'), 'true')
  await done()
})

test('macros that come late are offered for what is half written', options, async (t) => {
  const carom = await start(t, objects('https://game.example/postback?ymid={ymid}'))
  const { page, done } = await openAs(browser, carom, carom.operator, 'about:blank')
  let letGo
  const held = new Promise((resolve) => (letGo = resolve))
  await page.route('**/v1/macros', async (route) => {
    await held
    await route.continue()
  })
  await page.goto(`${carom.url}/endpoints/game/backend?tab=settings`)
  const url = page.getByRole('combobox', { name: 'URL' })
  const list = page.getByRole('option', { name: /\{event_type\}/ })
  await url.click()
  await page.keyboard.press('End')
  await page.keyboard.type('&type={ev')
  assert.equal(await list.count(), 0)
  letGo()
  await list.waitFor()
  await page.keyboard.press('Enter')
  assert.equal(await url.inputValue(), 'https://game.example/postback?ymid={ymid}&type={event_type}')
  await done()
})

test('everything of an endpoint can be said, and another version is not overwritten unseen', options, async (t) => {
  const carom = await start(t, objects('https://game.example/postback?ymid={ymid}', ', headers: { X-Api-Key: k-0123456789 }'))
  const { page, done } = await openAs(browser, carom, carom.operator, '/endpoints/game/backend?tab=settings')
  await page.getByText('POST', { exact: true }).click()
  await page.getByRole('combobox', { name: 'URL' }).fill('https://game.example/postback')
  await page.getByLabel('Body').fill('{"u": "{ymid}"}')
  await page.keyboard.press('Escape')
  await page.getByRole('button', { name: 'Add a header' }).click()
  await page.getByLabel('Name of header 2').fill('X-Test')
  await page.getByLabel('Value of header 2').fill('{test}')
  await page.getByRole('combobox', { name: 'Types of events' }).fill('impression')
  await page.keyboard.press('Enter')
  await page.getByLabel('Whose text has to hold').fill('ok')
  await page.getByLabel('That comes within').fill('5s')
  await page.getByLabel('Waits before').fill('1s, 10s, 1m')
  await page.getByLabel('Given up after').fill('2d')
  await page.getByLabel('Attempts a second').fill('50')
  await page.getByLabel('Attempts at the same time').fill('8')
  await page.getByLabel('Make a signing secret').check()
  const secret = await page.getByLabel('the signing secret', { exact: true }).textContent()
  assert.match(secret, /^whsec_/)
  await page.getByRole('button', { name: 'Save the endpoint' }).click()
  await page.getByText('game/backend is saved').waitFor()
  assert.equal(await page.getByLabel('the signing secret in force').textContent(), secret)
  const got = await carom.ask('GET', '/v1/endpoints/game/backend')
  assert.deepEqual(
    [got.method, got.body, got.headers, got.filter, got.success, got.timeout, got.schedule, got.deadline, got.rate, got.concurrency, got.signed],
    ['POST', '{"u": "{ymid}"}', { 'X-Api-Key': '***', 'X-Test': '***' }, { event_types: ['impression'] }, { contains: 'ok' }, '5s', ['1s', '10s', '1m'], '2d', 50, 8, true],
  )

  await page.getByRole('button', { name: 'Make a new secret' }).click()
  await page.getByRole('dialog').getByRole('button', { name: 'Make a new secret' }).click()
  // The dialog covers the page until the form has begun anew: nobody can write into it before, and the test does not.
  await page.getByRole('dialog').waitFor({ state: 'hidden' })
  assert.notEqual(await page.getByLabel('the new signing secret', { exact: true }).textContent(), secret)

  await page.getByLabel('Given up after').fill('3d')
  await carom.ask('PUT', '/v1/endpoints/game/backend', { url: 'https://game.example/other?ymid={ymid}&sig={signature}' })
  await page.getByRole('button', { name: 'Save the endpoint' }).click()
  await page.getByRole('row', { name: /https:\/\/game\.example\/other/ }).waitFor()
  await page.getByRole('button', { name: 'Load theirs' }).click()
  assert.equal(await page.getByRole('combobox', { name: 'URL' }).inputValue(), 'https://game.example/other?ymid={ymid}&sig={signature}')
  await page.getByLabel('Given up after').fill('4d')
  await page.getByRole('button', { name: 'Save the endpoint' }).click()
  await page.getByRole('button', { name: 'Undo my changes' }).waitFor({ state: 'hidden' })
  assert.equal((await carom.ask('GET', '/v1/endpoints/game/backend')).deadline, '4d')
  await done()
})

test('an endpoint is made, paused, let go on and removed', options, async (t) => {
  const carom = await start(t, 'apps: { game: { sources: { server: { profile: api } } } }')
  const { page, done } = await openAs(browser, carom, carom.operator, '/endpoints')
  await page.getByText('Nothing is sent anywhere yet').waitFor()
  await page.getByRole('link', { name: 'New endpoint' }).click()
  await page.getByRole('button', { name: 'Make the endpoint' }).click()
  await page.getByText('Write a whole URL').first().waitFor()
  await page.getByRole('combobox', { name: 'URL' }).fill(`${backend.url}/v2?ymid={ymid}`)
  await page.getByLabel('It may be at a private address').check()
  await page.getByRole('button', { name: 'Make the endpoint' }).click()
  await page.getByRole('heading', { name: 'game/backend', level: 1 }).waitFor()

  await page.getByRole('button', { name: 'Pause' }).click()
  await page.getByRole('button', { name: 'Pause the endpoint' }).click()
  await page.getByRole('tab', { name: 'How it stands' }).click()
  await page.locator('[data-lane=paused]').waitFor()
  await report(carom, 3)
  await page.waitForFunction(() => document.querySelectorAll('[data-delivery] [data-outcome=pending]').length === 3)
  await page.getByText(hostile).first().waitFor()
  await page.getByRole('button', { name: 'Let it go on' }).click()
  await page.waitForFunction(() => document.querySelectorAll('[data-delivery] [data-outcome=delivered]').length === 3)

  await page.getByRole('button', { name: 'More that can be done' }).click()
  await page.getByRole('menuitem', { name: 'Remove the endpoint' }).click()
  await page.getByRole('dialog').getByRole('button', { name: 'Remove the endpoint' }).click()
  await page.getByText('Nothing is sent anywhere yet').waitFor()
  await done()
})

test('an endpoint that is down says why, since when, and when it is tried next', options, async (t) => {
  const carom = await start(t, objects('http://127.0.0.1:1/postback?ymid={ymid}'))
  await report(carom, 30)
  const { page, done } = await openAs(browser, carom, carom.operator, '/endpoints/game/backend')
  await page.locator('[data-lane=down]').waitFor()
  await page.getByRole('button', { name: 'Try again now' }).click()
  await page.getByText('What waits is tried now').waitFor()
  await done()
})

test('a member of a publisher makes an endpoint of their own app, and sees no other', options, async (t) => {
  const carom = await start(t, `publishers: { acme: { allow_private: true } }
apps:
  game: { publisher: acme, sources: { server: { profile: api } } }
  other: { sources: { server: { profile: api } }, endpoints: { backend: { url: "https://other.example/postback?ymid={ymid}" } } }
`)
  const { page, done } = await openAs(browser, carom, await carom.member('publisher', { publisher: 'acme' }), '/endpoints')
  await page.getByText('Nothing is sent anywhere yet').waitFor()
  await page.getByRole('link', { name: 'New endpoint' }).click()
  await page.getByRole('combobox', { name: 'URL' }).fill(`${backend.url}/v2?ymid={ymid}&sig={signature}`)
  assert.equal(await page.getByLabel('Attempts a second').count(), 0, 'which is not theirs to say')
  await page.getByRole('button', { name: 'Make the endpoint' }).click()
  assert.match(await page.getByLabel('the signing secret', { exact: true }).textContent(), /^whsec_/)
  await page.getByRole('link', { name: 'I have it: on to a test' }).click()
  await page.getByRole('button', { name: 'Send a test' }).click()
  await page.locator('[data-verdict=delivered]').waitFor()
  await page.goto(`${carom.url}/endpoints/other/backend`)
  await page.getByText('There is no such endpoint').waitFor()
  await done()
})

test('a viewer looks at endpoints, and is offered no change', options, async (t) => {
  const carom = await start(t, objects('https://game.example/postback?ymid={ymid}'))
  const { page, done } = await openAs(browser, carom, await carom.member('viewer'), '/endpoints/game/backend')
  await page.getByRole('heading', { name: 'Deliveries' }).waitFor()
  for (const name of ['Pause', 'Resend …', 'More that can be done']) assert.equal(await page.getByRole('button', { name }).count(), 0, name)
  await page.getByRole('tab', { name: 'Settings and test' }).click()
  await page.getByText('Your role may look at settings').waitFor()
  for (const name of ['Save the endpoint', 'Send a test']) assert.equal(await page.getByRole('button', { name }).count(), 0, name)
  await done()
})

test('endpoints look right', options, async (t) => {
  const carom = await start(t, objects(`${backend.url}/v2?ymid={ymid}&type={event_type}&d={delivery_id}`))
  await report(carom, 5)
  await ended(carom, 'delivered', 5)
  await pictures(browser, carom, carom.operator, '/endpoints/game/backend', 'endpoints-well', (p) => p.locator('[data-delivery]').first().waitFor())
  await pictures(browser, carom, carom.operator, '/endpoints/game/backend?tab=settings', 'endpoints-settings', (p) => p.locator('[data-rendered]').waitFor())
  await pictures(browser, carom, carom.operator, '/endpoints/new?app=game', 'endpoints-new', (p) => p.getByRole('button', { name: 'Make the endpoint' }).waitFor())
})
