// The set-up page in a real browser, against a real carom and a real server of a publisher.

import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { openPage, options, picture, startBrowser, startCarom, startPanel, startReceiver } from './rig.mjs'

const hostile = `<script>alert('answer')</script><img src=x onerror="alert('image')"><b>no</b>`

let browser, carom, panel, receiver

// Each test has a publisher of its own. An endpoint on this machine is for the operator to allow: theirs are made beforehand.
const objects = () => `publishers:
  keys: { title: Keys & Co }
  fresh: {}
  words: {}
  late: {}
  busy: { title: Busy Games }
  posts: {}
dialects:
  brackets: { open: "[", close: "]", macros: { click_id: ymid, payout: estimated_price } }
apps:
  ${app('keys')}
  ${app('words')}
      other: { url: "https://words.example/?id=[click_id]", dialect: brackets }
  ${app('late')}
  ${app('busy')}
    sources: { ads: { profile: api } }
  ${app('posts')}
`
const app = (name) => `${name}-app:
    publisher: ${name}
    origins: [https://game.example]
    zones: { "${name}-1": { title: Main, sub_zones: { rewarded_interstitial: "${name}-2" } } }
    endpoints:
      backend: { url: "${receiver.url}/${name}?user={ymid}&token=hunter2hunter2", allow_private: true }`

before(async () => {
  if (options.skip) return
  receiver = await startReceiver()
  panel = await startPanel()
  carom = await startCarom(objects(), '--panel-origins', panel.url)
  browser = await startBrowser()
})
after(async () => {
  await browser?.close()
  await carom?.close()
  receiver?.close()
  panel?.close()
})

const open = async (publisher, context) => openPage(browser, await carom.link(publisher), context)
const stored = async (publisher) => (await carom.ask('GET', `/v1/publishers/${publisher}`)).apps[0].endpoints.map((e) => e.endpoint)

/** settled waits until the preview is of what stands in the form. */
const settled = (page) => page.waitForFunction(() => !document.querySelector('#preview[aria-busy]'))
const problems = (page) => page.locator('#problems').innerText()

test('from the link to a verified test, with the keyboard alone', options, async () => {
  const { page, tabTo, done } = await open('keys')
  await page.waitForSelector('.rendered')
  assert.equal(new URL(page.url()).hash, '', 'the token stays in the address bar')
  assert.equal(await page.title(), 'Postbacks of Keys & Co')
  assert.match(await page.locator('.rendered').innerText(), /user=user123&token=\*\*\*/)

  await tabTo('#url')
  await page.keyboard.press('Control+A')
  await page.keyboard.type(`${receiver.url}/keys?user={yimd}&token=hunter2hunter2&type={event_type}&value={reward_event_type}`)
  await page.getByText('unknown macro {yimd}: did you mean {ymid}?').waitFor()
  assert.match(await problems(page), /Fault:/)
  assert.equal(await page.getAttribute('#url', 'aria-invalid'), 'true')
  assert.match(await page.locator('#preview').innerText(), /Nothing, while there is a fault/)
  await picture(page, 'fault')

  // It is not saved, and what was typed stays.
  await page.keyboard.press('Enter')
  await page.getByText('Not saved: see the faults above.').waitFor()
  assert.match(await page.inputValue('#url'), /\{yimd\}/)
  assert.match((await stored('keys'))[0].url, /\{ymid\}/)

  // The fix is one press away, and the signature is completed while it is typed.
  await tabTo('#problems button')
  await page.keyboard.press('Enter')
  await page.waitForFunction(() => document.querySelector('#url').value.includes('user={ymid}'))
  assert.equal(await page.evaluate(() => document.activeElement.id), 'url')
  await page.keyboard.press('Control+End')
  await page.keyboard.type('&sig={sig')
  const options = page.locator('#url-list [role=option]')
  assert.equal(await page.getAttribute('#url', 'aria-expanded'), 'true')
  assert.match(await options.first().innerText(), /^\{signature\}/)
  assert.equal(await page.getAttribute('#url', 'aria-activedescendant'), await options.first().getAttribute('id'))
  await picture(page, 'completion')
  await page.keyboard.press('Enter')
  assert.equal(await page.getAttribute('#url', 'aria-expanded'), 'false')
  assert.match(await page.inputValue('#url'), /&sig=\{signature\}$/)
  await page.waitForFunction(() => /sig=\*\*\*/.test(document.querySelector('.rendered')?.innerText))
  const values = await page.locator('.rendered mark').allInnerTexts()
  assert.deepEqual(values.slice(0, 3), ['user123', 'impression', 'valued'])
  assert.match(await problems(page), /^Warning: http is not encrypted[^\n]*$/)

  // The secret is shown once, where the focus is.
  await page.keyboard.press('Enter')
  await page.locator('#made').waitFor()
  assert.equal(await page.evaluate(() => document.activeElement.id), 'made')
  const secret = await page.locator('#made-secret').innerText()
  assert.match(secret, /^whsec_[A-Za-z0-9+/=]{40,}$/)
  await picture(page, 'secret')
  await tabTo('#made > button')
  await page.keyboard.press('Enter')
  assert.equal(await page.locator('#made-secret').count(), 0)
  assert.ok(!(await page.content()).includes(secret))
  assert.equal((await stored('keys'))[0].signed, true)

  receiver.answer = { status: 403, type: 'text/html', body: hostile }
  await tabTo('#send-test', 'Shift+Tab')
  await page.keyboard.press('Enter')
  const result = page.locator('#results > li').first()
  await result.getByText('Your server answered 403: it does not let this request in').waitFor()
  assert.match(await result.innerText(), /Would be tried again/)
  assert.equal(await result.locator('.answer').innerText(), hostile)
  assert.equal(await page.locator('#results b, #results img, #results script').count(), 0)
  assert.match(await page.locator('#test-said').innerText(), /status 403/)
  await picture(page, 'test-refused')

  const { node, php } = await samples(page)
  receiver.answer = { status: 200, type: 'text/plain', body: 'ok' }
  receiver.got = []
  await page.keyboard.press('Enter')
  await page.locator('#results > li').nth(1).waitFor()
  assert.match(await result.innerText(), /Delivered/)
  assert.equal(receiver.got.length, 1)
  const query = receiver.got[0].url.split('?')[1]
  assert.match(query, /^user=carom-test-\w+&token=hunter2hunter2&type=impression&value=valued&sig=[0-9a-f]{64}$/)
  assert.equal(receiver.got[0].headers['carom-test'], '1')
  await checkGET(node, php, query, secret)

  // The link survives a reload, and so do neither the secret nor the results.
  await page.reload()
  await page.waitForSelector('.rendered')
  assert.match(await page.inputValue('#url'), /token=\*\*\*&type=\{event_type\}/)
  assert.match(await page.locator('#secret-state').innerText(), /signed with one secret/)
  await done()
})

/** samples returns the code that the page gives to check a signature with. */
async function samples(page) {
  const [node, php] = await page.locator('#samples code').allTextContents()
  return { node, php }
}

/** runs gives the code of a page to what runs it, and the code's words for true or false back. */
async function inNode(code, call) {
  const folder = await mkdtemp(join(tmpdir(), 'carom-sample-'))
  try {
    await writeFile(join(folder, 'sample.mjs'), `${code}\nexport default verified\n`)
    return call((await import(pathToFileURL(join(folder, 'sample.mjs')))).default)
  } finally {
    await rm(folder, { recursive: true })
  }
}

const hasPHP = await promisify(execFile)('php', ['-v']).then(() => true, () => false)
if (!hasPHP) console.log('php is not in PATH, so the sample for PHP is not run. On Debian: apt-get install php-cli')

async function inPHP(code, before) {
  const { stdout } = await promisify(execFile)('php', ['-r', `${before}\n${code}\necho $verified ? 'yes' : 'no';`])
  return stdout === 'yes'
}

async function checkGET(node, php, query, secret) {
  const altered = query.replace('value=valued', 'value=valuee')
  await inNode(node, (verified) => {
    assert.equal(verified(query, secret), true)
    for (const other of [altered, `${query}&more=1`, query.split('&sig=')[0], '', undefined]) assert.equal(verified(other, secret), false, other)
    assert.equal(verified(query, `${secret}x`), false)
  })
  if (!hasPHP) return
  const php_ = (q) => inPHP(php, `$secret = '${secret}'; $_SERVER['QUERY_STRING'] = '${q}';`)
  assert.deepEqual([await php_(query), await php_(altered), await php_(`${query}&more=1`)], [true, false, false])
}

test('a POST is signed in its headers, and its secret can be replaced', options, async () => {
  const { page, done } = await open('posts')
  await page.waitForSelector('.rendered')
  await page.getByLabel('POST', { exact: true }).check()
  await page.locator('#url').fill(`${receiver.url}/posts`)
  await page.locator('#more > summary').click()
  await page.getByLabel('Sign each request').check()
  await page.getByLabel('Headers, one a line').fill('X-Place: left\nX-Key: sesame')
  await settled(page)
  await page.getByRole('button', { name: 'Save', exact: true }).click()
  const first = await page.locator('#made-secret').innerText()
  assert.deepEqual((await stored('posts'))[0].headers, [{ name: 'X-Place', value: '***' }, { name: 'X-Key', value: '***' }])
  assert.equal(await page.inputValue('#headers'), 'X-Place: ***\nX-Key: ***')

  await page.locator('#keep').selectOption('1h')
  await page.getByRole('button', { name: 'Make a new secret' }).click()
  await page.getByText('requests carry both signatures until then').waitFor()
  const second = await page.locator('#made-secret').innerText()
  assert.notEqual(second, first)
  assert.match(await page.locator('#secret-state').innerText(), /2 secrets.*An old one counts until/)

  const code = await samples(page)
  receiver.got = []
  await page.getByRole('button', { name: 'Send a test to your server' }).click()
  await page.locator('#results > li').waitFor()
  const [{ headers, body }] = receiver.got
  assert.deepEqual([headers['x-place'], headers['x-key'], JSON.parse(body).type], ['left', 'sesame', JSON.parse(body).type])
  await inNode(code.node, (verified) => {
    assert.deepEqual([verified(headers, body, first), verified(headers, body, second)], [true, true])
    assert.equal(verified(headers, `${body} `, second), false)
    assert.equal(verified({ ...headers, 'webhook-timestamp': '1' }, body, second), false)
    assert.equal(verified({ ...headers, 'webhook-signature': 'ÿ'.repeat(47) }, body, second), false)
    assert.equal(verified({}, body, second), false)
  })
  if (hasPHP) {
    const php = (text) => inPHP(code.php.replace("file_get_contents('php://input')", '$input'),
      `$secret = '${second}'; $input = base64_decode('${Buffer.from(text).toString('base64')}');
       $_SERVER['HTTP_WEBHOOK_ID'] = '${headers['webhook-id']}'; $_SERVER['HTTP_WEBHOOK_TIMESTAMP'] = '${headers['webhook-timestamp']}';
       $_SERVER['HTTP_WEBHOOK_SIGNATURE'] = '${headers['webhook-signature']}';`)
    assert.deepEqual([await php(body), await php(`${body} `)], [true, false])
  }

  // What was masked is kept when something else is saved.
  await page.getByLabel('An answer counts as success only if it contains').fill('ok')
  await page.getByRole('button', { name: 'Save', exact: true }).click()
  await page.locator('#saved').getByText('Saved.').waitFor()
  receiver.got = []
  await page.getByRole('button', { name: 'Send a test to your server' }).click()
  await page.locator('#results > li').nth(1).waitFor()
  assert.equal(receiver.got[0].headers['x-key'], 'sesame')
  await done()
})

test('from nothing: an app, a zone with its tag, and a postback', options, async () => {
  const { page, done } = await open('fresh')
  await page.getByText('Make your app first').waitFor()
  await picture(page, 'fresh')
  await page.getByLabel('Name of the app').fill('Arcade!')
  await page.getByRole('button', { name: 'Make the app' }).click()
  await page.locator('#app-said').getByText('lower-case letters, digits').waitFor()
  await page.getByLabel('Name of the app').fill('arcade')
  await page.getByLabel('Pages that may show ads').fill('https://arcade.example')
  await page.getByLabel('Time zone').fill('Europe/Berlin')
  await page.getByRole('button', { name: 'Make the app' }).click()
  await page.getByText('The app arcade is made.').waitFor()

  await page.locator('#zone-title').fill('Bonus <b>')
  await page.locator('#formats').getByLabel('In-app interstitial').uncheck()
  await page.getByRole('button', { name: 'Make the zone' }).click()
  const zone = page.locator('#zones > li')
  await zone.getByText('Bonus <b>').waitFor()
  const tag = await zone.locator('pre').innerText()
  const [, id] = /^<script src="http:\/\/127\.0\.0\.1:\d+\/sdk\.js" data-zone="(\d+)" data-sdk="show_\1"><\/script>$/.exec(tag) ?? assert.fail(tag)
  await zone.getByText('Change it').click()
  await zone.getByLabel('Paused').check()
  await zone.getByText('Saved.').waitFor()
  const { apps } = await carom.ask('GET', '/v1/publishers/fresh')
  assert.deepEqual([apps[0].time_zone, apps[0].zones[0].id, apps[0].zones[0].paused, Object.keys(apps[0].zones[0].sub_zones).toSorted()],
    ['Europe/Berlin', id, true, ['rewarded_interstitial', 'rewarded_popup']])

  // Clicks on macros make the whole of a query.
  await page.locator('#url').fill('https://arcade.example/postback')
  await page.locator('#chips').getByRole('button', { name: '{signature}' }).click()
  await page.locator('#chips').getByRole('button', { name: '{ymid}' }).click()
  await page.locator('#chips').getByRole('button', { name: '{event_type}' }).click()
  assert.equal(await page.inputValue('#url'), 'https://arcade.example/postback?ymid={ymid}&event_type={event_type}&sig={signature}')
  await page.waitForFunction(() => document.querySelector('.rendered')?.innerText.includes('event_type=impression'))
  assert.equal(await page.locator('#problems > li').count(), 0)
  await page.locator('#which > summary').click()
  await page.getByLabel('Only these').first().check()
  await page.locator('#types').getByLabel('impression').check()
  await page.getByLabel('Only these').last().check()
  await page.locator('#zone-choices').getByLabel(id).check()
  assert.equal(await page.locator('#which-said').innerText(), `impression; paid ones; ${id}`)
  await picture(page, 'form')
  await page.getByLabel('Name of this endpoint').fill('main')
  await page.getByRole('button', { name: 'Save', exact: true }).click()
  await page.locator('#made').waitFor()
  const [saved] = await stored('fresh')
  assert.deepEqual([saved.name, saved.event_types, saved.values, saved.zones, saved.signed], ['main', ['impression'], ['valued'], [id], true])

  // A second postback for all other zones, and away with the first.
  await page.locator('#endpoint').selectOption('')
  assert.equal(await page.locator('#made').isVisible(), false, 'the secret of one stays beside another')
  await page.locator('#url').fill('https://arcade.example/others?ymid={ymid}')
  await page.getByLabel('The default: zones that no other endpoint names').check()
  await settled(page)
  await page.getByRole('button', { name: 'Save', exact: true }).click()
  await page.locator('#saved').getByText('Saved.').waitFor()
  assert.deepEqual((await stored('fresh')).map((e) => [e.name, e.default ?? false]), [['main', false], ['postback', true]])
  await page.locator('#endpoint').selectOption('main')
  await page.getByRole('button', { name: 'Remove this endpoint' }).click()
  await page.getByRole('button', { name: 'Remove it for good' }).click()
  await page.getByText('main is removed.').waitFor()
  assert.deepEqual((await stored('fresh')).map((e) => e.name), ['postback'])
  await done()
})

test('macros in the dialect of the postback', options, async () => {
  const { page, done } = await open('words')
  await page.waitForSelector('.rendered')
  await page.locator('#endpoint').selectOption('other')
  await page.getByText('Type [ to choose a macro.').waitFor()
  await page.locator('#url').focus()
  await page.keyboard.press('Control+End')
  await page.keyboard.type('&paid=[pay')
  assert.match(await page.locator('#url-list [aria-selected=true]').innerText(), /^\[payout\]/)
  await page.keyboard.press('Tab')
  assert.equal(await page.inputValue('#url'), 'https://words.example/?id=[click_id]&paid=[payout]')
  await page.waitForFunction(() => document.querySelectorAll('.rendered mark').length === 2)
  assert.equal(await page.locator('.rendered').innerText(), 'GET https://words.example/?id=user123&paid=0.0023')

  // Escape closes the list and nothing else; what the browser undoes is the completion.
  await page.keyboard.type('&x=[')
  assert.equal(await page.locator('#url-list').isVisible(), true)
  await page.keyboard.press('Escape')
  assert.equal(await page.locator('#url-list').isVisible(), false)
  assert.match(await page.inputValue('#url'), /&x=\[$/)
  await page.getByRole('button', { name: 'Undo changes' }).click()
  assert.equal(await page.inputValue('#url'), 'https://words.example/?id=[click_id]')
  await done()
})

test('a link that ends while somebody types, and others that count no more', options, async () => {
  const { page, done } = await open('late')
  await page.waitForSelector('.rendered')
  const typed = `${receiver.url}/late?user={ymid}&place=left`
  // The clock of the server cannot be moved from here: this is the answer that it gives, which its own tests hold on to.
  const over = { type: 'about:blank', title: 'Unauthorized', status: 401, detail: 'this link ended on 2026-03-05 12:00 UTC: ask the operator for a new one' }
  await page.route('**/v1/**', (route) => route.fulfill({ status: 401, contentType: 'application/problem+json', body: JSON.stringify(over) }))
  await page.locator('#url').fill(typed)
  await page.getByRole('alert').getByText('This link ended on 2026-03-05 12:00 UTC: ask the operator for a new one').waitFor()
  await page.getByRole('button', { name: 'Save', exact: true }).click()
  await page.getByText('Not saved, and nothing is lost.').waitFor()
  assert.equal(await page.inputValue('#url'), typed)
  await picture(page, 'ended')

  // A reload keeps what was typed, and so does the new link.
  await page.unroute('**/v1/**')
  await page.goto(await carom.link('late'))
  await page.waitForFunction(() => document.querySelector('#notice').hidden)
  await page.getByText('These are changes that you have not saved yet.').or(page.locator('#undo')).first().waitFor()
  assert.equal(await page.inputValue('#url'), typed)
  await page.reload()
  await page.getByText('These are changes that you have not saved yet.').waitFor()
  assert.equal(await page.inputValue('#url'), typed)
  await page.getByRole('button', { name: 'Save', exact: true }).click()
  await page.locator('#saved').getByText('Saved.').waitFor()
  assert.equal((await stored('late'))[0].url, typed)

  // No connection: said where it matters, and nothing is lost.
  await page.route('**/v1/**', (route) => route.abort())
  await page.locator('#url').fill(`${typed}&n=2`)
  await page.getByText('The server cannot be reached.').first().waitFor()
  await page.getByRole('button', { name: 'Save', exact: true }).click()
  await page.getByText('Not saved, and nothing is lost. The server cannot be reached.').waitFor()
  assert.equal(await page.inputValue('#url'), `${typed}&n=2`)
  await done()

  const link = await carom.link('late')
  const altered = link.slice(0, -3) + (link.endsWith('AAA') ? 'BBB' : 'AAA')
  for (const [address, sentence] of [
    [altered, /This link (was|is cut off or) altered.*ask the operator for a new one/],
    [link.slice(0, -30), /ask the operator for a new one/],
    [`${carom.url}/setup`, /This page is opened by a link that your operator gives you/],
    [`${carom.url}/setup#cps_`, /ask the operator for a new one/],
  ]) {
    const bad = await openPage(browser, address)
    await bad.page.locator('#notice').waitFor()
    assert.match(await bad.page.getByRole('alert').innerText(), sentence)
    assert.equal(await bad.page.locator('#page').isVisible(), false)
    await bad.done()
  }
})

test('the log of deliveries: what strangers wrote is text, and what failed is sent again', options, async () => {
  const ymid = `<script>alert('ymid')</script>`
  receiver.answer = { status: 410, type: 'text/html', body: hostile }
  await carom.ask('POST', '/v1/events', [
    { id: 'one', app: 'busy-app', event_type: 'impression', reward_event_type: 'valued', ymid, zone_id: 'busy-1', request_var: '"><img src=x onerror=alert(1)>' },
  ])
  const { page, done } = await open('busy')
  const card = page.locator('#log > li').first()
  // The attempt may still be under way.
  for (;;) {
    await page.locator('#log:not([aria-busy])').waitFor()
    if (/^dead/.test(await card.innerText())) break
    await page.getByRole('button', { name: 'Refresh' }).click()
  }
  assert.ok((await card.innerText()).includes(ymid))
  await card.getByText('1 attempt, last answer 410').click()
  assert.equal(await card.locator('.answer').innerText(), hostile)
  assert.equal(await page.locator('#log b, #log img, #log script').count(), 0)
  await picture(page, 'log')

  receiver.answer = { status: 200, type: 'text/plain', body: 'ok' }
  const before = receiver.got.length
  await card.getByRole('button', { name: /^Resend/ }).click()
  await page.locator('#log-said').getByText('is sent again, under the same id').waitFor()
  for (;;) {
    await page.locator('#log:not([aria-busy])').waitFor()
    if (/^delivered/.test(await card.innerText())) break
    await page.getByRole('button', { name: 'Refresh' }).click()
  }
  assert.equal(receiver.got.length, before + 1)
  assert.match(await card.innerText(), /2 attempts, last answer 200/)
  assert.equal(await card.locator('.attempts > li').first().isVisible(), true, 'what was open is closed by a refresh')

  await page.locator('#state').selectOption('dead')
  await page.getByText('None of the newest is dead.').waitFor()
  await done()
})

test('more deliveries than a page shows', options, async () => {
  await carom.ask('POST', '/v1/events', Array.from({ length: 45 }, (_, i) => ({
    id: `many-${i}`, app: 'busy-app', event_type: 'click', reward_event_type: 'valued', ymid: `view-${i}`, zone_id: 'busy-1',
  })))
  const { page, done } = await open('busy')
  await page.getByRole('button', { name: 'Show older ones' }).click()
  await page.waitForFunction(() => document.querySelectorAll('#log > li').length === 40)
  const shown = await page.locator('#log dd').allInnerTexts()
  assert.equal(new Set(shown.filter((text) => text.startsWith('view-'))).size, 40)
  await done()
})

test('in a frame of the operator’s panel, and of nobody else', options, async () => {
  panel.shows = await carom.link('busy')
  const { page, faults, done } = await openPage(browser, panel.url)
  const frame = page.frameLocator('iframe')
  await frame.locator('.rendered').waitFor()
  // A frame may not use the clipboard by itself.
  await frame.getByRole('button', { name: 'Copy the tag' }).click()
  await frame.getByRole('button', { name: 'Copied' }).waitFor()
  await frame.locator('#headers').evaluate((box) => (box.closest('details').open = true))
  await frame.locator('#headers').focus()
  await page.keyboard.press('Control+V')
  assert.match(await frame.locator('#headers').inputValue(), /data-zone="busy-1"/)
  await done()

  const stranger = await startPanel()
  try {
    stranger.shows = panel.shows
    const other = await openPage(browser, stranger.url)
    await other.page.waitForFunction(() => true)
    assert.match(other.faults.join(), /frame-ancestors/)
    assert.equal(await other.page.frameLocator('iframe').locator('#page').count(), 0)
    other.faults.length = 0
    await other.done()
  } finally {
    stranger.close()
  }
  assert.deepEqual(faults, [])
})

test('in the dark, on a desk and on a small phone: nothing is cut off, faint or without a name', options, async () => {
  const link = await carom.link('busy')
  for (const [name, context] of [
    ['dark', { colorScheme: 'dark' }],
    ['light', { colorScheme: 'light' }],
    ['desk', { viewport: { width: 1200, height: 900 } }],
    ['small', { viewport: { width: 320, height: 640 } }],
  ]) {
    const { page, done } = await openPage(browser, link, context)
    await page.waitForSelector('.rendered')
    await page.locator('#log > li').first().waitFor()
    for (const id of ['which', 'more']) await page.locator(`#${id} > summary`).click()
    await picture(page, name)
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth)
    assert.equal(wide, 0, `${name}: the page is ${wide}px wider than the screen`)
    assert.deepEqual(await faint(page), [], `${name}: too little contrast`)
    assert.deepEqual(await nameless(page), [], `${name}: without a name`)
    await done()
  }
})

/** faint finds texts whose contrast with what is behind them is below what WCAG asks for. */
const faint = (page) =>
  page.evaluate(() => {
    const channels = (color) => color.match(/[\d.]+/g).map(Number)
    const light = ([r, g, b]) => [r, g, b].map((c) => c / 255).map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)).reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0)
    const behind = (el) => {
      for (; el; el = el.parentElement) {
        const back = channels(getComputedStyle(el).backgroundColor)
        if (back.length < 4 || back[3] > 0) return back
      }
      return [255, 255, 255]
    }
    const found = []
    for (const el of document.querySelectorAll('body *')) {
      const text = [...el.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim())
      if (!text || !el.checkVisibility() || el.closest('[aria-disabled], :disabled')) continue
      const [a, b] = [light(channels(getComputedStyle(el).color)), light(behind(el))].toSorted((x, y) => y - x)
      const ratio = (a + 0.05) / (b + 0.05)
      if (ratio < 4.5) found.push(`${el.tagName} ${el.className} "${el.textContent.trim().slice(0, 30)}" ${ratio.toFixed(2)}`)
    }
    return found
  })

/** nameless finds controls that a screen reader could not name. */
const nameless = (page) =>
  page.evaluate(() =>
    [...document.querySelectorAll('input, select, textarea, button')]
      .filter((el) => !(el.labels?.length > 0 || el.getAttribute('aria-label') || el.textContent.trim()))
      .map((el) => el.outerHTML.slice(0, 80)))

test('while the objects come from a file: all can be looked at and tried, nothing changed', options, async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'carom-file-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  await writeFile(join(folder, 'carom.yaml'), `publishers: { filed: {} }\napps:\n  ${app('filed')}\n`)
  const carom = await startCarom('', '--config', join(folder, 'carom.yaml'))
  t.after(() => carom.close())
  const { page, done } = await openPage(browser, await carom.link('filed'))
  await page.getByText('The operator keeps your settings in a file.').waitFor()
  await page.locator('.rendered').waitFor()
  for (const name of ['Save', 'Make another app']) assert.equal(await page.getByRole('button', { name, exact: true, includeHidden: true }).isDisabled(), true, name)
  assert.equal(await page.locator('#url').isDisabled(), true)
  assert.equal(await page.locator('#remove-endpoint').isVisible(), false)
  await page.getByRole('button', { name: 'Send a test to your server' }).click()
  await page.locator('#results > li').getByText('Delivered', { exact: true }).waitFor()
  await picture(page, 'read-only')
  await done()
})

test('without JavaScript there is a sentence', options, async () => {
  const context = await browser.newContext({ javaScriptEnabled: false })
  const page = await context.newPage()
  await page.goto(`${carom.url}/setup`)
  assert.match(await page.locator('body').innerText(), /This page needs JavaScript/)
  assert.equal(await page.locator('#page').isVisible(), false)
  await context.close()
})
