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

/** launch starts the browser with a fresh profile, which is removed when the browser is closed. */
export const launch = (executablePath) =>
  chromium.launch({
    executablePath,
    headless: true,
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      '--no-first-run',
    ],
  })

/** skipReason says why tests of the browser are skipped; where everything has to run, they fail instead. */
export function skipReason(executablePath) {
  if (executablePath) return false
  const reason = `none of ${names.join(', ')} is in PATH, so the front-end helper is not run. On Debian: apt-get install chromium`
  if (process.env.CI || process.env.CAROM_TEST_ALL === '1') throw new Error(reason)
  return reason
}
