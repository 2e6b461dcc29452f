// Zones: the network end is set up, a publisher's member finds what is theirs, and whatever strangers bring stays in its frame.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { openAs, options, pictures, startBrowser, startDashboard, startReceiver } from './rig.mjs'

const hostile = `<img src=x onerror=alert(1)><script>alert(2)</script>`

let browser, receiver
let carom, north // where the network is set up, and the session of its publisher's member

before(async () => {
  if (options.skip) return
  browser = await startBrowser()
  receiver = await startReceiver()
  carom = await startDashboard('apps:\n  house-app: { title: Of the house, origins: ["https://house.example"], zones: { "900001": { sub_zones: { rewarded_interstitial: "900002" } } } }\n')
})

after(async () => {
  await browser?.close()
  await carom?.close()
  receiver?.close()
})

test('a network is set up: a publisher, its app, a zone, a creative', options, async () => {
  const { page, done } = await openAs(browser, carom, carom.operator, '/zones/publishers')
  await page.getByRole('button', { name: 'Make a publisher' }).first().click()
  const dialog = page.getByRole('dialog')
  await dialog.getByRole('textbox', { name: 'Name', exact: true }).fill('North Games')
  await dialog.getByRole('button', { name: 'Make the publisher' }).click()
  await dialog.getByText('Lower-case letters, digits, - and _, a letter').waitFor()
  await dialog.getByRole('textbox', { name: 'Name', exact: true }).fill('north')
  await dialog.getByLabel('Title').fill('North Games')
  await dialog.getByLabel('It is of your own house').check()
  await dialog.getByRole('button', { name: 'Make the publisher' }).click()
  await page.waitForURL(/\/zones\/publishers\/north$/)

  // A change of one thing leaves the others as they are.
  await page.getByRole('button', { name: 'Change', exact: true }).click()
  await dialog.getByLabel('Title').fill('North Games Ltd')
  await dialog.getByRole('button', { name: 'Save the publisher' }).click()
  await page.getByRole('heading', { name: 'North Games Ltd' }).waitFor()
  assert.equal((await carom.ask('GET', '/v1/publishers')).publishers[0].allow_private, true)

  // The app, as the operator makes it for them.
  await page.getByRole('button', { name: 'Make an app' }).click()
  await dialog.getByRole('textbox', { name: 'Name', exact: true }).fill('north-game')
  await dialog.getByLabel('Title').fill('The north game')
  await dialog.getByLabel('Pages').fill('http://north.example')
  await dialog.getByRole('button', { name: 'Make the app' }).click()
  await dialog.getByText('it is not encrypted').first().waitFor()
  await dialog.getByLabel('Pages').fill('https://north.example')
  await dialog.getByRole('button', { name: 'Make the app' }).click()
  await page.getByRole('heading', { name: 'The north game' }).waitFor()

  // A zone of it, with all that can be said of one.
  await page.getByRole('tab', { name: 'Zones' }).click()
  await page.getByRole('link', { name: 'Make a zone' }).click()
  await page.getByRole('button', { name: 'Make the zone' }).click()
  await page.getByText('Choose the app whose pages show the ads').waitFor()
  await page.getByRole('combobox', { name: 'App', exact: true }).click()
  await page.getByRole('option', { name: /north-game/ }).click()
  await page.getByRole('textbox', { name: 'Id', exact: true }).fill('123456')
  assert.equal(await page.getByLabel('Rewarded popup').inputValue(), '123458') // proposed
  await page.getByLabel('In-app interstitial').fill('')
  await page.getByLabel('Half of the ad has to be visible for').fill('5 years')
  await page.getByLabel('Views of one user', { exact: true }).fill('lots')
  await page.getByRole('button', { name: 'Make the zone' }).click()
  await page.locator('.mantine-TextInput-error', { hasText: 'write how many views in which time' }).waitFor()
  await page.getByLabel('Half of the ad has to be visible for').fill('2s')
  await page.getByLabel('Views of one user', { exact: true }).fill('30 in 10m')
  await page.getByRole('button', { name: 'Make the zone' }).click()
  await page.waitForURL(/\/zones\/at\/north-game\/123456$/)
  await page.getByLabel('Script tag').getByText('data-zone="123456"').waitFor()
  const stored = await carom.ask('GET', '/v1/zones/north-game/123456')
  assert.deepEqual(stored.sub_zones, { rewarded_interstitial: '123457', rewarded_popup: '123458' })
  assert.deepEqual(stored.confirm, { viewable: '2s', per_user: '30 in 10m' })

  // A creative, whose HTML is a stranger's: it is shown, and reaches nothing.
  await page.getByRole('tab', { name: 'Creatives' }).click()
  await page.getByRole('link', { name: 'Make a creative' }).first().click()
  await page.getByRole('textbox', { name: 'Name', exact: true }).fill('newsletter')
  await page.getByLabel('Title').fill(hostile)
  await page.getByText('HTML', { exact: true }).click()
  await page.getByRole('textbox', { name: 'HTML' }).fill('<h1>Our newsletter</h1><script>document.title = "inside"; try { parent.document.title = "out" } catch { document.body.append("shut in") }</script>')
  await page.getByRole('button', { name: 'Preview' }).click()
  const frame = page.frameLocator('iframe')
  await frame.getByRole('heading', { name: 'Our newsletter' }).waitFor()
  await frame.getByText('shut in').waitFor()
  assert.match(await page.title(), /^Zones/)
  await page.getByLabel('Landing page').fill('javascript:alert(1)')
  await page.getByRole('button', { name: 'Make the creative' }).click()
  await page.locator('.mantine-TextInput-error').waitFor()
  await page.getByLabel('Landing page').fill('https://news.example/')
  await page.getByLabel('Per impression').fill('0.002')
  await page.getByRole('button', { name: 'Make the creative' }).click()
  await page.waitForURL(/\/zones\/creatives\/newsletter$/)
  assert.equal((await carom.ask('GET', '/v1/creatives/newsletter')).per_impression, '0.002')
  await page.getByRole('link', { name: 'All creatives' }).click()
  await page.getByRole('row', { name: /newsletter/ }).getByText(hostile).waitFor()
  await done()
})

test('a publisher sees what is theirs alone, takes the snippet, and makes an endpoint', options, async () => {
  north = await carom.member('publisher', { publisher: 'north' })
  const theirs = await openAs(browser, carom, north, '/zones')
  const p = theirs.page
  await p.getByRole('heading', { name: 'The north game' }).waitFor()
  assert.ok(!(await p.content()).includes('house-app'))
  for (const name of ['Rewards', 'Sources']) assert.equal(await p.getByRole('navigation').getByRole('link', { name, exact: true }).count(), 0)
  const tag = await p.getByLabel('Script tag').textContent()
  assert.match(tag, /^<script src="http:\/\/127\.0\.0\.1:\d+\/sdk\.js" data-zone="123456" data-sdk="show_123456"><\/script>$/)
  assert.equal((await fetch(/src="([^"]+)"/.exec(tag)[1])).status, 200)
  await p.getByLabel('Call for Rewarded interstitial').getByText('show_123456({ ymid').waitFor()
  await p.getByText('Rewarded popup', { exact: true }).click()
  await p.getByLabel('Call for Rewarded popup').getByText("type: 'pop'").waitFor()

  // Endpoints are made and changed on their own pages, as the operator's are.
  await p.getByRole('link', { name: 'Make an endpoint in north-game' }).click()
  await p.getByRole('textbox', { name: 'Name', exact: true }).fill('postback')
  await p.getByRole('combobox', { name: 'URL' }).fill(`${receiver.url}/p?ymid={ymld}`)
  await p.locator('[data-level=fault]').getByText('{ymid}').first().waitFor() // while it is typed
  await p.getByRole('combobox', { name: 'URL' }).fill(`${receiver.url}/p?ymid={ymid}&event={event_type}`)
  await p.locator('[data-rendered]').getByText('/p?ymid=').waitFor()
  await p.getByRole('button', { name: 'Make the endpoint' }).click()
  await p.waitForURL(/\/endpoints\/north-game\/postback\?tab=settings$/)

  receiver.got.length = 0
  receiver.answer = { status: 200, type: 'text/html', body: hostile }
  await p.getByRole('button', { name: 'Send a test' }).click()
  await p.locator('[data-verdict=delivered]').getByText(hostile).waitFor()
  assert.match(receiver.got[0].url, /^\/p\?ymid=carom-test-/)
  await p.getByLabel('Make a signing secret').check()
  await p.getByRole('button', { name: 'Save the endpoint' }).click()
  // A GET without a place for the signature cannot be signed: it is said, and nothing was made.
  await p.getByRole('alert', { name: 'Unprocessable Entity' }).waitFor()
  assert.equal((await carom.ask('GET', '/v1/endpoints/north-game/postback')).signed, false)
  await p.getByText('POST', { exact: true }).click()
  await p.getByRole('combobox', { name: 'URL' }).fill(`${receiver.url}/p`)
  await p.getByRole('button', { name: 'Save the endpoint' }).click()
  assert.match(await p.getByLabel('the signing secret in force').textContent(), /^whsec_/)
  await p.getByText('Requests are signed with one secret').waitFor()
  await p.getByRole('combobox', { name: 'Main zones' }).click()
  await p.getByRole('option', { name: '123456' }).click()
  await p.getByRole('button', { name: 'Save the endpoint' }).click()
  await p.getByRole('button', { name: 'Undo my changes' }).waitFor({ state: 'hidden' })
  assert.deepEqual((await carom.ask('GET', '/v1/endpoints/north-game/postback')).filter, { zones: ['123456'], values: ['valued'] })

  // The zones have the link to it.
  await p.getByRole('navigation').getByRole('link', { name: 'Zones', exact: true }).click()
  await p.getByRole('table', { name: 'Endpoints of north-game' }).getByRole('link', { name: 'postback' }).click()
  await p.waitForURL(/\/endpoints\/north-game\/postback$/)
  await p.goBack()

  // A zone of their own, which they pause.
  await p.getByRole('button', { name: 'Make a zone in north-game' }).click()
  await p.getByRole('dialog').getByLabel('Title').fill('Second')
  await p.getByRole('dialog').getByRole('button', { name: 'Make the zone' }).click()
  await p.getByRole('button', { name: /Second/ }).click()
  await p.getByRole('region', { name: /Second/ }).getByRole('switch', { name: /^Paused/ }).click()
  await p.getByRole('button', { name: /Second.*paused/ }).waitFor()

  // Another's pages are not there for them.
  await p.goto(`${carom.url}/zones/publishers/south`)
  await p.getByText('There is nothing at this address').waitFor()
  await theirs.done()
})

for (const [name, path, ready, own] of [
  ['zone', '/zones/at/north-game/123456', (it) => it.getByLabel('Script tag').waitFor()],
  ['creatives', '/zones/creatives', (it) => it.getByRole('table', { name: 'Creatives' }).waitFor()],
  ['creative', '/zones/creatives/newsletter', (it) => it.getByLabel('Landing page').waitFor()],
  ['publishers', '/zones/publishers', (it) => it.getByRole('table', { name: 'Publishers' }).waitFor()],
  ['publisher', '/zones/publishers/north', (it) => it.getByRole('heading', { name: 'The north game' }).waitFor()],
  ['own', '/zones', (it) => it.getByRole('heading', { name: 'The north game' }).waitFor(), true],
  ['own-endpoint', '/endpoints/north-game/postback?tab=settings', (it) => it.locator('[data-rendered]').waitFor(), true],
]) {
  test(`how it looks: ${path}${own ? ', to the publisher' : ''}`, options, () => pictures(browser, carom, own ? north : carom.operator, path, name, ready))
}

const zones = `apps:
  game:
    origins: ["https://game.example"]
    zones: { "123456": { title: Main, sub_zones: { rewarded_interstitial: "123457" } } }
publishers:
  north: {}
`

test('a zone that somebody else has changed meanwhile is shown beside one\'s own', options, async (t) => {
  const carom = await startDashboard(zones)
  t.after(() => carom.close())
  const { page, done } = await openAs(browser, carom, carom.operator, '/zones/at/game/123456')
  await page.getByLabel('Title').fill('Mine')
  const read = await carom.ask('GET', '/v1/zones/game/123456')
  await carom.ask('PUT', '/v1/zones/game/123456', { ...read, title: 'Theirs', paused: true })
  await page.getByRole('button', { name: 'Save the zone' }).click()
  const table = page.getByRole('table', { name: 'Where the two versions differ' })
  await table.getByRole('row', { name: 'title Theirs Mine' }).waitFor()
  await table.getByRole('row', { name: 'paused true not set' }).waitFor()
  await page.getByRole('button', { name: 'Load theirs, and forget mine' }).click()
  assert.equal(await page.getByLabel('Title').inputValue(), 'Theirs')
  await page.getByLabel('Title').fill('Both')
  await page.getByRole('button', { name: 'Save the zone' }).click()
  await page.getByText('Saved. It is in force.').waitFor()
  const now = await carom.ask('GET', '/v1/zones/game/123456')
  assert.equal(now.title, 'Both')
  assert.equal(now.paused, true)

  // Nor is it removed unseen.
  await carom.ask('PUT', '/v1/zones/game/123456', { ...now, title: 'Theirs again' })
  const dialog = page.getByRole('dialog')
  await page.getByRole('button', { name: 'Remove the zone' }).click()
  await dialog.getByRole('button', { name: 'Remove the zone' }).click()
  await dialog.getByText('was changed since you read it').waitFor()
  await dialog.getByRole('button', { name: 'Cancel' }).click()
  await table.getByRole('row', { name: 'title Theirs again Both' }).waitFor()
  await page.getByRole('button', { name: 'Load theirs, and forget mine' }).click()

  // What has just been saved can be removed, even while the page has not read it again.
  await page.route('**/v1/zones/game/123456', (route) => (route.request().method() === 'GET' ? undefined : route.continue()))
  await page.getByLabel('Title').fill('Last')
  await page.getByText('Not saved yet').waitFor()
  await page.getByRole('button', { name: 'Save the zone' }).click()
  await page.getByText('Not saved yet').waitFor({ state: 'hidden' })
  assert.equal((await carom.ask('GET', '/v1/zones/game/123456')).title, 'Last')
  await page.getByRole('button', { name: 'Remove the zone' }).click()
  await dialog.getByRole('button', { name: 'Remove the zone' }).click()
  await page.waitForURL(/\/zones$/)
  await page.getByText('There is no zone').waitFor()
  await done()
})

test('a link leads a publisher to the set-up page', options, async (t) => {
  const carom = await startDashboard(zones)
  t.after(() => carom.close())
  const { page, done } = await openAs(browser, carom, carom.operator, '/zones/publishers/north')
  await page.getByRole('button', { name: 'Make a link to its set-up' }).click()
  const dialog = page.getByRole('dialog')
  await dialog.getByRole('combobox', { name: 'Unit' }).click()
  await page.getByRole('option', { name: 'days' }).click()
  await dialog.getByLabel('It counts for').fill('400')
  await dialog.getByRole('button', { name: 'Make the link' }).click()
  await dialog.getByText('is not a duration from 1m to 90d').first().waitFor()
  await dialog.getByLabel('It counts for').fill('7')
  await dialog.getByRole('button', { name: 'Make the link' }).click()
  const link = await page.getByLabel('Link to the set-up page', { exact: true }).textContent()
  assert.match(link, /\/setup#cps_/)
  await page.getByRole('button', { name: 'I have copied it' }).click()
  const setup = await openAs(browser, carom, [], link.replace(carom.url, ''))
  await setup.page.getByText('north').first().waitFor()
  await setup.done()
  await done()
})

test('a dialect says how macros are written', options, async (t) => {
  const carom = await startDashboard(zones)
  t.after(() => carom.close())
  const { page, done } = await openAs(browser, carom, carom.operator, '/zones/dialects')
  await page.getByRole('link', { name: 'Make a dialect' }).first().click()
  await page.getByRole('textbox', { name: 'Name', exact: true }).fill('old-net')
  await page.getByLabel('Before the name').fill('[')
  await page.getByLabel('Behind the name').fill(']')
  await page.getByRole('button', { name: 'Add a name' }).click()
  await page.getByLabel('Their name of macro 1').fill('click_id')
  await page.getByRole('button', { name: 'Make the dialect' }).click()
  await page.getByText('Choose what it means').waitFor()
  await page.getByRole('combobox', { name: 'What macro 1 means' }).click()
  await page.getByRole('option', { name: 'ymid', exact: true }).click()
  await page.getByText('[click_id]').waitFor()
  await page.getByRole('button', { name: 'Make the dialect' }).click()
  await page.waitForURL(/\/zones\/dialects\/old-net$/)
  const { open, close, macros } = await carom.ask('GET', '/v1/dialects/old-net')
  assert.deepEqual({ open, close, macros }, { open: '[', close: ']', macros: { click_id: 'ymid' } })
  await done()
  await pictures(browser, carom, carom.operator, '/zones/dialects/old-net', 'dialect', (it) => it.getByLabel('Before the name').waitFor())
})
