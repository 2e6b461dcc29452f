// The SDK in a browser against the real network end: who the user is, by both of Telegram's proofs; what is declined; popups; no
// ad. What the SDK does by itself is tested in sdk/ads.

import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { createHmac, generateKeyPairSync, sign } from 'node:crypto'
import { mkdtemp, readFile, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { before, test } from 'node:test'
import { promisify } from 'node:util'
import { findChromium, launch, launchVisible, skipReason } from '../../sdk/views/test/chromium.mjs'
import { startDemo, zone } from './demo.mjs'
import { freePorts } from './ports.mjs'

const executablePath = findChromium()
const options = { skip: skipReason(executablePath), timeout: 180_000 }
const botToken = '7342037359:AAF0123456789abcdefghijklmnopqrstuv'
const botID = '7342037359'
const { publicKey, privateKey } = generateKeyPairSync('ed25519')
const botKey = publicKey.export({ format: 'jwk' }).x

const fields = (user) => ({ auth_date: String(Math.floor(Date.now() / 1000)), query_id: 'q', user: JSON.stringify({ id: user, first_name: 'A' }) })
const lines = (said) => Object.keys(said).sort().map((name) => `${name}=${said[name]}`).join('\n')

/** byToken is init data as Telegram proves it to the bot's owner. */
function byToken(user, token = botToken) {
  const said = fields(user)
  const key = createHmac('sha256', 'WebAppData').update(token).digest()
  return new URLSearchParams({ ...said, hash: createHmac('sha256', key).update(lines(said)).digest('hex') }).toString()
}

/** byKey is init data as Telegram proves it to anybody who knows the bot's id. */
function byKey(user) {
  const said = fields(user)
  const signature = sign(null, Buffer.from(`${botID}:WebAppData\n${lines(said)}`), privateKey).toString('base64url')
  return new URLSearchParams({ ...said, signature, hash: '0'.repeat(64) }).toString()
}

let folder, carom
before(async () => {
  if (options.skip) return
  folder = await mkdtemp(join(tmpdir(), 'carom-network-'))
  carom = join(folder, 'carom')
  await promisify(execFile)('go', ['build', '-buildvcs=false', '-o', carom, './cmd/carom'], { cwd: new URL('../..', import.meta.url).pathname })
})
process.on('exit', () => folder && execFile('rm', ['-rf', folder]))

/** network starts both ends, and returns them with a function that opens the page as a Mini App of a user. */
async function network(t, name, telegram) {
  const demo = await startDemo({ folder: join(folder, name), carom, ports: await freePorts(4), telegram })
  t.after(() => demo.stop())
  demo.open = async ({ initData, user, visible = true } = {}) => {
    let page, close
    if (visible) ({ page, close } = await launchVisible(executablePath))
    else {
      const browser = await launch(executablePath)
      page = await browser.newPage({ viewport: { width: 390, height: 844 } })
      close = () => browser.close()
    }
    t.after(close)
    page.warnings = []
    page.on('console', (line) => line.type() === 'warning' && page.warnings.push(line.text()))
    if (initData) {
      await page.addInitScript(({ initData, user }) => {
        window.Telegram = { WebApp: { initData, initDataUnsafe: { user: { id: user } } } }
      }, { initData, user })
    }
    await page.goto(demo.url)
    await page.waitForFunction(() => document.documentElement.dataset.ready === 'yes')
    return page
  }
  return demo
}

/** show calls the SDK as the app does, closes the ad by keyboard as soon as it may be closed, and returns what came of it. */
async function show(page, call) {
  await page.evaluate(
    ([name, call]) => {
      window.result = undefined
      window[name](call).then((value) => (window.result = { value }), (err) => (window.result = { code: err.code, message: err.message }))
    },
    [`show_${zone.id}`, call],
  )
  for (;;) {
    await page.keyboard.press('Escape')
    if (await page.waitForFunction(() => window.result, undefined, { timeout: 400 }).then(() => true, () => false)) break
  }
  return page.evaluate(() => window.result)
}

/** story is the one event of a ymid at the network. */
const story = async (demo, ymid) => (await demo.network.show('--ymid', ymid))
const field = (event, name) => event.fields?.[name]

test('the Telegram user stands for a ymid, and init data prove it by the token of the bot', options, async (t) => {
  const demo = await network(t, 'token', `    telegram: { bot_token: "${botToken}" }\n`)
  const page = await demo.open({ initData: byToken(4242), user: 4242 })
  const { value } = await show(page, { requestVar: 'bonus-btn' })
  assert.deepEqual([value.reward_event_type, value.ymid, value.telegram_id, value.request_var], ['valued', '4242', '4242', 'bonus-btn'])
  const { event } = await story(demo, '4242')
  assert.deepEqual([event.telegram_id, event.reward_event_type, field(event, 'init_data')], ['4242', 'valued', 'proven'])
  assert.deepEqual(page.warnings, [])

  await t.test('init data of another bot are declined, and the developer is told', async () => {
    const page = await demo.open({ initData: byToken(4343, '7000000000:AAF0123456789abcdefghijklmnopqrstuv'), user: 4343 })
    const { value } = await show(page, { ymid: 'forged-1' })
    assert.equal(value.reward_event_type, 'not_valued')
    assert.match(page.warnings.join(), /init_data/)
    const { event } = await story(demo, 'forged-1')
    assert.deepEqual([event.reward_event_type, field(event, 'declined'), event.estimated_price], ['not_valued', 'forged_user', '0'])
  })
})

test('init data prove the user by the key that Telegram publishes, here one of the test', options, async (t) => {
  const key = Buffer.from(botKey, 'base64url').toString('hex')
  const demo = await network(t, 'key', `    telegram: { bot_id: ${botID}, bot_key: "${key}" }\n`)
  const page = await demo.open({ initData: byKey(5151), user: 5151 })
  const { value } = await show(page, {})
  assert.deepEqual([value.reward_event_type, value.telegram_id], ['valued', '5151'])
  const { event } = await story(demo, '5151')
  assert.deepEqual([event.reward_event_type, field(event, 'init_data')], ['valued', 'proven'])
})

test('a program, a popup, and a zone without ads', options, async (t) => {
  const demo = await network(t, 'others')
  await t.test('a browser that a program drives sees ads, and nobody pays for them', async () => {
    const page = await demo.open({ visible: false })
    const { value } = await show(page, { ymid: 'robot-1' })
    assert.equal(value.reward_event_type, 'not_valued')
    const { event, deliveries } = await story(demo, 'robot-1')
    assert.match(field(event, 'declined'), /automated/)
    assert.equal(deliveries.length, 1, 'the template asks for unpaid ones too')
  })
  await t.test('a popup sends its impression alone', async () => {
    const page = await demo.open()
    await page.evaluate((name) => {
      document.getElementById('watch').onclick = () =>
        window[name]({ type: 'pop', ymid: 'popup-1' }).then((value) => (window.result = { value }), (err) => (window.result = { code: err.code }))
    }, `show_${zone.id}`)
    const opened = page.waitForEvent('popup')
    await page.click('#watch')
    await opened
    await page.waitForFunction(() => window.result)
    const { value } = await page.evaluate(() => window.result)
    assert.deepEqual([value?.reward_event_type, value?.sub_zone_id], ['valued', zone.popup])
    const { event } = await story(demo, 'popup-1')
    assert.deepEqual([event.event_type, event.sub_zone_id, event.reward_event_type], ['impression', zone.popup, 'valued'])
  })
  await t.test('no ad is an answer', async () => {
    const file = join(demo.network.folder, 'carom.yaml')
    await writeFile(file, (await readFile(file, 'utf8')).replace('        title: Bonus\n', '        title: Bonus\n        paused: true\n'))
    const page = await demo.open()
    for (;;) { // the file is looked at every second
      const { code } = await show(page, { ymid: 'none-1', catchIfNoFeed: true })
      if (code === 'no_feed') break
    }
    const { value } = await show(page, { ymid: 'none-1' })
    assert.equal(value.reward_event_type, 'not_valued')
  })
  await t.test('a sub-zone is refused with the name of its main zone', async () => {
    const answer = await fetch(`${demo.network.url}/sdk/ad`, {
      method: 'POST', headers: { Origin: demo.url }, body: JSON.stringify({ zone: zone.interstitial, format: 'rewarded_interstitial' }),
    })
    const problem = await answer.json()
    assert.equal(problem.code, 'sub_zone')
    assert.match(problem.detail, new RegExp(`data-zone="${zone.id}"`))
  })
})
