// The helper in a real browser against a real carom: a Mini App's whole way from the tap to the reward, without a backend.

import assert from 'node:assert/strict'
import { execFile, spawn } from 'node:child_process'
import { createHmac } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { startPages } from './api.mjs'
import { findChromium, launch, skipReason } from './chromium.mjs'

const executablePath = findChromium()
const options = { skip: skipReason(executablePath), timeout: 180_000 }
const secret = '0f1e2d3c4b5a69788796a5b4c3d2e1f0'
const botToken = '7342037359:AAF0123456789abcdefghijklmnopqrstuv'

/** initData signs what Telegram would say of a user. */
function initData(user) {
  const fields = { auth_date: String(Math.floor(Date.now() / 1000)), query_id: 'q', user: JSON.stringify({ id: user, first_name: 'A' }) }
  const key = createHmac('sha256', 'WebAppData').update(botToken).digest()
  const text = Object.keys(fields).sort().map((name) => `${name}=${fields[name]}`).join('\n')
  return new URLSearchParams({ ...fields, hash: createHmac('sha256', key).update(text).digest('hex') }).toString()
}

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address()
  server.close()
  return port
}

/** startCarom builds carom and runs it with an app whose pages are at origin. */
async function startCarom(t, origin) {
  const folder = await mkdtemp(join(tmpdir(), 'carom-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  const root = new URL('../../..', import.meta.url).pathname
  const binary = join(folder, 'carom')
  await promisify(execFile)('go', ['build', '-buildvcs=false', '-o', binary, './cmd/carom'], { cwd: root })
  await writeFile(
    join(folder, 'carom.yaml'),
    `apps:
  game:
    origins: ["${origin}"]
    telegram: { bot_token: "${botToken}" }
    currencies: { coins: 0 }
    rules:
      watch: { filter: { event_types: [impression, click] }, price: 5 coins, caps: [{ per: [user], rewards: 1 }] }
    sources:
      ads: { profile: monetag, ymid: view, secret: "${secret}" }
`,
  )
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const args = ['serve', '--data', join(folder, 'data'), '--config', join(folder, 'carom.yaml'), '--listen', `127.0.0.1:${port}`]
  const carom = spawn(binary, args, { stdio: ['ignore', 'ignore', 'pipe'] })
  let log = ''
  carom.stderr.on('data', (text) => (log += text))
  t.after(async () => {
    if (carom.exitCode !== null) return
    carom.kill('SIGTERM')
    await once(carom, 'exit')
  })
  for (;;) {
    if (carom.exitCode !== null) throw new Error(`carom ended: ${log}`)
    if (await fetch(`${url}/readyz`).then((r) => r.ok, () => false)) break
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  return { url, postback: (query) => fetch(`${url}/in/game/ads/${secret}?${new URLSearchParams(query)}`).then((r) => r.text()) }
}

test('from the tap to the reward, through carom itself', options, async (t) => {
  const pages = await startPages(t)
  pages.root = '<!doctype html><script src="/carom-views.js"></script>'
  const carom = await startCarom(t, pages.url)
  const browser = await launch(executablePath)
  t.after(() => browser.close())
  const page = await browser.newPage()

  // The network: it shows the ad, and reports it some moments later, first the unpaid event, then the paid one, twice.
  const network = async (ymid) => {
    const event = { ymid, zone_id: '8790478', telegram_id: '4242' }
    assert.equal(await carom.postback({ ...event, event_type: 'impression', reward_event_type: 'not_valued' }), 'OK')
    await page.waitForFunction(() => window.updates.includes('unpaid'))
    for (const _ of [1, 2]) {
      assert.equal(await carom.postback({ ...event, event_type: 'click', reward_event_type: 'valued' }), 'OK')
    }
  }
  await page.exposeFunction('show_8790478', ({ ymid, requestVar }) => {
    assert.equal(requestVar, 'bonus-btn')
    void network(ymid)
  })
  await page.goto(pages.url)
  const tap = (data) =>
    page.evaluate(
      async ({ server, data }) => {
        window.updates = []
        const carom = window.Carom.createCarom({ server, app: 'game', initData: () => data })
        const { cause, ...outcome } = await carom.reward({
          placement: 'bonus-btn', show: window.show_8790478, onUpdate: ({ state }) => window.updates.push(state),
        })
        return { ...outcome, cause: cause && String(cause.message) }
      },
      { server: carom.url, data },
    )

  const first = await tap(initData(4242))
  assert.equal(first.state, 'confirmed')
  assert.equal(first.reward.amount, '5')
  assert.equal(first.reward.currency, 'coins')
  const second = await tap(initData(4242))
  assert.deepEqual([second.state, second.reason], ['declined', 'capped'])
  const forged = await tap(initData(4242).replace('4242', '4243'))
  assert.deepEqual([forged.state, forged.error], ['failed', 'forbidden'])
})
