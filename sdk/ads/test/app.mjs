// A page with the SDK in a real browser, and what the tests do on it.

import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before } from 'node:test'
import { findChromium, launch, skipReason } from '../../views/test/chromium.mjs'
import { startAds, startPages } from './adserver.mjs'

const executablePath = findChromium()
export const options = { skip: skipReason(executablePath), timeout: 60_000 }

let browser

/** useBrowser starts a browser for the tests of a file. Its popups are blocked as those of a user's are. */
export function useBrowser() {
  before(async () => {
    if (!executablePath) return
    browser = await launch(executablePath, [], { ignoreDefaultArgs: ['--disable-popup-blocking'] })
  })
  after(() => browser?.close())
}

export const tag = (ads, more = '') => `<script ${more} src="${ads.url}/sdk.js" data-zone="123456" data-sdk="show_123456"></script>`

const page = (ads, { head = '', body = '' }) => `<!doctype html><html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1, viewport-fit=cover"><title>Game</title>
${head}${tag(ads)}<body><h1>Game</h1><button id="watch">Watch</button><a href="#x" id="other">Other</a>${body}`

/**
 * openApp opens a page with the script tag. Within it `call(options)` calls the SDK, and `calls` keeps what becomes of it.
 * The overlay's tree is closed to pages; the tests look into it, unless `closed` is set.
 */
export async function openApp(t, { head, body, html, headers, telegram, context: contextOptions, closed, url = '/', waitUntil, setUp } = {}) {
  const pages = await startPages(t)
  const ads = await startAds(t, pages.url)
  pages.headers = headers?.(ads) ?? {}
  pages.root = html ? html(ads, pages) : page(ads, { head, body })
  const context = await browser.newContext({ viewport: { width: 390, height: 844 }, deviceScaleFactor: process.env.CAROM_SCREENSHOTS ? 2 : 1, ...contextOptions })
  t.after(() => context.close())
  const tab = await context.newPage()
  const told = { errors: [], warnings: [], violations: [] }
  tab.on('pageerror', (error) => told.errors.push(String(error)))
  tab.on('console', (line) => {
    if (line.type() === 'warning') told.warnings.push(line.text())
    if (line.text().includes('Content Security Policy')) told.violations.push(line.text())
  })
  const answered = []
  const underway = new Set()
  tab.on('request', (request) => underway.add(request))
  for (const ended of ['requestfinished', 'requestfailed']) tab.on(ended, (request) => underway.delete(request))
  tab.on('requestfinished', (request) => {
    if (request.url().endsWith('/sdk/beacon') && request.postData()) answered.push(JSON.parse(request.postData()).beacon)
  })
  await tab.addInitScript(
    ({ telegram, closed }) => {
      if (telegram) {
        window.opened = []
        const app = { ...telegram, openLink: (url) => window.opened.push(url) }
        window.Telegram = { WebApp: app }
      }
      window.calls = []
      window.watch = (promise) => {
        const call = { settled: false }
        call.outcome = promise.then(
          (result) => ({ result }),
          (error) => ({ error: { name: error.name, code: error.code, message: error.message, isError: error instanceof Error } }),
        )
        call.outcome.then(() => (call.settled = true))
        window.calls.push(call)
      }
      window.call = (...args) => window.watch(window.show_123456(...args))
      if (!closed) {
        const attach = Element.prototype.attachShadow
        Element.prototype.attachShadow = function (init) {
          return attach.call(this, { ...init, mode: 'open' })
        }
      }
    },
    { telegram, closed },
  )
  await setUp?.(tab, ads, pages)
  await tab.goto(pages.url + url, { waitUntil })
  const app = {
    ads,
    pages,
    context,
    page: tab,
    told,
    run: (act, argument) => tab.evaluate(act, argument),
    call: (...args) => tab.evaluate((args) => void window.call(...args), args),
    /** What became of a call: { result } or { error }. */
    outcome: (n = -1) => tab.evaluate((n) => window.calls.at(n).outcome, n),
    settled: (n = -1) => tab.evaluate((n) => window.calls.at(n).settled, n),
    dialog: tab.getByRole('dialog', { name: 'Advertisement' }),
    close: tab.getByRole('button', { name: 'Close ad', exact: true }),
    link: tab.getByRole('link', { name: 'Gem Garden' }),
    /** Waits until the server has had a beacon. */
    beacon: (kind, times = 1) =>
      until(`${kind} has come, ${times} times`, () => ads.beacons.filter(({ beacon }) => beacon === kind).length >= times, () => ({ beacons: ads.beacons, ...told })),
    /** Waits until the page has the answer to a beacon, and so knows what the server has decided. */
    answered: async (kind, times = 1) => {
      await until(`${kind} is answered, ${times} times`, () => answered.filter((beacon) => beacon === kind).length >= times)
      await tab.evaluate(() => fetch('/other'))
    },
    /** Waits until all that the page has asked for by now has come to its end, however long that takes. */
    atRest: async () => {
      await tab.evaluate(() => 0)
      await until('all requests have ended', () => underway.size === 0)
      await tab.evaluate(() => 0)
    },
    sent: () => ads.beacons.map(({ beacon }) => beacon),
    /** Shows an ad and closes it, once it counts as viewable. */
    async watchAd(options) {
      await app.call(options)
      await app.dialog.waitFor()
      await app.beacon('viewable')
      await app.close.click()
    },
    shot: async (name) => {
      const folder = process.env.CAROM_SCREENSHOTS
      if (!folder) return
      await mkdir(folder, { recursive: true })
      await tab.waitForTimeout(250)
      await tab.screenshot({ path: join(folder, name + '.png') })
    },
  }
  return app
}

/** fakeClock gives the page a clock that the test moves. That of the server goes on. */
export function fakeClock(tab, ads) {
  ads.clock = false
  return tab.clock.install()
}

/** until waits for something that the server is going to see. */
export async function until(what, is, state) {
  const end = performance.now() + 15_000
  while (!(await is())) {
    if (performance.now() > end) throw new Error(`${what}: never. ${JSON.stringify(state?.()) ?? ''}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}
