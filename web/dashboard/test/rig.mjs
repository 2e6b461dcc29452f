// What the tests of the dashboard run against: a real carom with members, and pages in a real browser that note what went wrong in them.

import assert from 'node:assert/strict'
import { mkdir, readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { openPage, options, startBrowser, startCarom, startReceiver } from '../../test/rig.mjs'

export { options, startBrowser, startReceiver }

const password = 'a long enough password'

/**
 * startDashboard starts a carom with objects, unless they are '', and what its tests need of it. Without `empty` the first operator is there:
 * operator@example.com.
 */
export async function startDashboard(objects = '', { empty = false, flags = [] } = {}) {
  const carom = await startCarom(objects, ...flags)
  // The link is printed once the server listens, which may be a moment after it is ready.
  for (let tries = 0; !/\/welcome#\S+\s/.test(carom.log()); tries++) {
    assert.ok(tries < 1000, `the server prints no set-up link: ${carom.log()}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  const started = {
    ...carom,
    /** setupLink is the one-time link that the server printed when it started. */
    setupLink: () => {
      const link = carom.log().match(/https?:\/\/\S+\/welcome#\S+/)?.[0]
      assert.ok(link, `no set-up link in: ${carom.log()}`)
      return link
    },
    /** claim uses a one-time link as a browser does, and returns the cookies of the session. */
    claim: async (link, more = {}) => {
      const answer = await fetch(`${carom.url}/v1/session/claim`, {
        method: 'POST',
        headers: { 'Content-Type': 'application/json', 'Carom-Request': '1', Origin: carom.url },
        body: JSON.stringify({ token: new URL(link).hash.slice(1), password, ...more }),
      })
      assert.ok(answer.ok, `claim: ${answer.status} ${await answer.text()}`)
      return cookies(answer, carom.url)
    },
    /** member makes a member of a role, and returns the cookies of its session. */
    member: async (role, more = {}) => {
      const email = `${role}-${(count += 1)}@example.com`
      const made = await carom.ask('POST', '/v1/members', { email, name: role, role, ...more })
      return started.claim(made.link.url)
    },
    operator: [],
    password,
  }
  if (!empty) started.operator = await started.claim(started.setupLink(), { email: 'operator@example.com' })
  return started
}

let count = 0

function cookies(answer, url) {
  return answer.headers.getSetCookie().map((text) => {
    const [pair] = text.split(';')
    const at = pair.indexOf('=')
    return { name: pair.slice(0, at), value: pair.slice(at + 1), url, httpOnly: true, sameSite: 'Strict' }
  })
}

/**
 * openAs opens a path of the dashboard, or about:blank, as a member, by the cookies of a session. done ends it, and fails if the content policy was broken or a
 * script failed. context are settings of the browser's context, such as a viewport or colorScheme.
 */
export async function openAs(browser, carom, member, path = '/', context = {}) {
  const opened = await openPage(browser, path === 'about:blank' ? path : carom.url + path, { viewport: { width: 1280, height: 800 }, ...context, storageState: { cookies: [], origins: [] } }, (profile) => profile.addCookies(member))
  opened.page.setDefaultTimeout(30_000) // a busy machine is slow, and that is no fault of the page
  return opened
}

const axe = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')

/** accessible fails when axe finds a serious or critical fault in what the page shows. */
export async function accessible(page) {
  await page.evaluate(axe) // by the browser's own way in, which the content policy does not bind
  const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ['violations'] }))
  const serious = violations.filter((v) => v.impact === 'serious' || v.impact === 'critical')
  assert.deepEqual(
    serious.map((v) => `${v.id}: ${v.help}: ${v.nodes.map((n) => n.html.slice(0, 160)).join(' | ')}`),
    [],
  )
}

/**
 * pictures opens a page in light, in dark and at the width of a phone, and checks each of them with axe. ready waits until the page shows what it
 * should. Where CAROM_SCREENSHOTS says, a screenshot of each is kept, of as much as somebody looks at. more is of the browser's context, with what
 * has to be done before the page asks for anything.
 */
export async function pictures(browser, carom, member, path, name, ready, { prepare = async () => {}, ...more } = {}) {
  const folder = process.env.CAROM_SCREENSHOTS
  for (const [look, context] of Object.entries({
    light: { colorScheme: 'light' },
    dark: { colorScheme: 'dark' },
    phone: { colorScheme: 'light', viewport: { width: 390, height: 844 } },
  })) {
    const { page, done } = await openAs(browser, carom, member, 'about:blank', { ...context, ...more })
    await prepare(page)
    await page.goto(carom.url + path)
    await ready(page)
    await accessible(page)
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth)
    assert.equal(wide, 0, `${path} is wider than the window (${look})`)
    if (folder) {
      await mkdir(folder, { recursive: true })
      const { width, height } = page.viewportSize()
      const whole = await page.evaluate(() => document.documentElement.scrollHeight)
      await page.setViewportSize({ width, height: Math.max(height, Math.min(whole, 900)) })
      await page.screenshot({ path: join(folder, `${name}-${look}.png`), animations: 'disabled' })
    }
    await done()
  }
}
