// The whole loop, with nothing stood in for: a page in Chromium, the SDK, the network's carom, a GET postback, the publisher's
// carom with its unchanged Monetag profile, a reward, a signed request, and the Express example that books the coins. The
// record of each hop is printed.

import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { findChromium, launchVisible, skipReason } from '../../sdk/views/test/chromium.mjs'
import { coins, price, startDemo, zone } from './demo.mjs'
import { freePorts } from './ports.mjs'

const executablePath = findChromium()
const options = { skip: skipReason(executablePath), timeout: 240_000 }

test('from the tap on the button to the coins', options, async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'carom-demo-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  const carom = join(folder, 'carom')
  const root = new URL('../..', import.meta.url).pathname
  await promisify(execFile)('go', ['build', '-buildvcs=false', '-o', carom, './cmd/carom'], { cwd: root })
  const demo = await startDemo({ folder, carom, ports: await freePorts(4) })
  t.after(() => demo.stop())
  const { page, close } = await launchVisible(executablePath)
  t.after(close)
  const faults = []
  page.on('pageerror', (err) => faults.push(String(err)))
  page.on('console', (line) => line.type() === 'error' && faults.push(line.text()))

  await page.goto(demo.url)
  await page.waitForFunction(() => document.documentElement.dataset.ready === 'yes')
  assert.equal(await page.textContent('#coins'), '0')
  let opened
  page.on('response', async (response) => {
    if (response.url().endsWith('/api/view')) opened = await response.json()
  })
  await page.click('#watch')
  await page.waitForFunction((url) => performance.getEntriesByName(url).length >= 2, `${demo.network.url}/sdk/beacon`) // start and viewable
  // The ad can be closed after some seconds, by keyboard too.
  for (;;) {
    await page.keyboard.press('Escape')
    if (await page.waitForFunction(() => document.getElementById('steps').children.length > 0, undefined, { timeout: 500 }).then(() => true, () => false)) break
  }
  await page.waitForFunction(() => document.getElementById('note').textContent.startsWith('You got'), undefined, { timeout: 30_000 })
  assert.equal(await page.textContent('#note'), `You got ${coins} coins.`)
  assert.equal(await page.textContent('#coins'), String(coins))
  assert.deepEqual(faults, [], 'the page works under a strict content policy')
  if (process.env.CAROM_SCREENSHOTS) await page.screenshot({ path: join(process.env.CAROM_SCREENSHOTS, 'demo.png') })

  // Hop by hop, as each end has it on record.
  const network = await demo.network.show('--ymid', opened.ymid)
  t.diagnostic(`network: ${JSON.stringify(network)}`)
  assert.equal(network.event.network, 'sdk')
  assert.equal(network.event.event_type, 'impression')
  assert.equal(network.event.reward_event_type, 'valued')
  assert.equal(network.event.zone_id, zone.id)
  assert.equal(network.event.sub_zone_id, zone.interstitial)
  assert.equal(network.event.estimated_price, price)
  const [sent] = network.deliveries[0].attempts
  assert.equal(sent.method, 'GET')
  assert.equal(sent.status, 200)
  assert.match(sent.url, new RegExp(`^${demo.publisher.url}/in/game/ads/`))

  const publisher = await demo.publisher.show('--ymid', opened.ymid)
  t.diagnostic(`publisher: ${JSON.stringify(publisher)}`)
  assert.equal(publisher.event.network, 'monetag')
  assert.equal(publisher.event.ymid, opened.ymid)
  assert.equal(publisher.event.request_var, 'bonus-btn')
  assert.equal(publisher.event.reward_event_type, 'valued')
  assert.equal(publisher.decided[0].state, 'granted')
  const [reward] = publisher.deliveries[0].attempts
  assert.equal(reward.method, 'POST')
  assert.equal(reward.status, 200)
  assert.equal(demo.balance('player-1'), coins)
  t.diagnostic(`backend: player-1 has ${demo.balance('player-1')} coins`)

  // The same postback again is a copy: nobody is paid twice.
  const again = await fetch(sent.url.replace('***', demo.secrets[0]))
  assert.equal(again.status, 200)
  assert.equal(demo.balance('player-1'), coins)
  for (const secret of demo.secrets) {
    assert.ok(!JSON.stringify([network, publisher]).includes(secret), 'no secret is on record')
  }
})
