// Chromium for the tests: where it is, and how it is started.

import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'
import { chromium } from 'playwright-core'

const names = ['chromium', 'chromium-browser', 'google-chrome']

/** findChromium returns the path of the first browser in PATH, or undefined. */
export function findChromium() {
  for (const folder of process.env.PATH.split(delimiter)) {
    for (const name of names) {
      try {
        accessSync(join(folder, name), constants.X_OK)
        return join(folder, name)
      } catch {
        // The next place is looked at.
      }
    }
  }
  return undefined
}

/**
 * launch starts the browser with a fresh profile, which is removed when the browser is closed, and returns when it has shown its
 * first page. Chromium now and then crashes or hangs until then when several start at once on a busy machine: it is started anew
 * then, twice at most.
 */
export async function launch(executablePath, more = [], options = {}) {
  for (let left = 2; ; left--) {
    let browser
    try {
      browser = await chromium.launch({
        executablePath,
        headless: true,
        ...options,
        args: [
          '--no-sandbox',
          '--disable-gpu',
          '--disable-background-networking',
          '--disable-component-update',
          '--disable-sync',
          '--no-first-run',
          ...more,
        ],
      })
      const page = await browser.newPage()
      await page.goto('data:text/html,<p>Ready')
      await page.screenshot()
      await page.close()
      return browser
    } catch (err) {
      await browser?.close()
      if (left === 0) throw err
      console.error(`chromium did not start, once more: ${String(err).split('\n')[0]}`)
    }
  }
}

/** skipReason says why tests of the browser are skipped; where everything has to run, they fail instead. */
export function skipReason(executablePath) {
  if (executablePath) return false
  const reason = `none of ${names.join(', ')} is in PATH, so the front-end helper is not run. On Debian: apt-get install chromium`
  if (process.env.CI || process.env.CAROM_TEST_ALL === '1') throw new Error(reason)
  return reason
}

/**
 * launchVisible starts the browser as a person's, for tests of what is declined when a program drives it: with the agent of a
 * phone, and without the mark of automation. It returns one page, and what closes all.
 */
export async function launchVisible(executablePath, context = {}) {
  const browser = await launch(executablePath, ['--disable-blink-features=AutomationControlled'])
  const page = await browser.newPage({
    viewport: { width: 390, height: 844 },
    userAgent: `Mozilla/5.0 (Linux; Android 13; Pixel 7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/${browser.version()} Mobile Safari/537.36`,
    ...context,
  })
  return { browser, page, close: () => browser.close() }
}
