// What the tests of the set-up page run against: a real carom, a server of a publisher, and a page in a real browser that notes what
// its content policy forbade.

import assert from 'node:assert/strict'
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, request } from 'node:http'
import { createServer as createSocket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { findChromium, launch, skipReason } from '../../sdk/views/test/chromium.mjs'

const run = promisify(execFile)
const executablePath = findChromium()
export const options = { skip: skipReason(executablePath), timeout: 180_000 }

async function freePort() {
  const server = createSocket().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address()
  server.close()
  return port
}

/** startReceiver is the publisher's server: it keeps what it gets, and answers what the test says. */
export async function startReceiver() {
  const receiver = { got: [], answer: { status: 200, type: 'text/plain', body: 'ok' } }
  const server = createServer(async (req, res) => {
    let body = ''
    for await (const part of req) body += part
    receiver.got.push({ method: req.method, url: req.url, headers: req.headers, body })
    const { status, type, body: text } = receiver.answer
    res.writeHead(status, { 'Content-Type': type }).end(text)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  receiver.url = `http://127.0.0.1:${server.address().port}`
  receiver.close = () => {
    server.closeAllConnections()
    server.close()
  }
  return receiver
}

/**
 * startCarom builds carom, unless CAROM_BINARY names one, runs it and applies objects, unless they are ''. What it returns acts as the
 * operator does, on the server's machine.
 */
export async function startCarom(objects, ...flags) {
  const folder = await mkdtemp(join(tmpdir(), 'carom-'))
  let binary = process.env.CAROM_BINARY
  if (!binary) {
    binary = join(folder, 'carom')
    await run('go', ['build', '-buildvcs=false', '-o', binary, './cmd/carom'], { cwd: new URL('../..', import.meta.url).pathname })
  }
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const data = join(folder, 'data')
  const carom = spawn(binary, ['serve', '--data', data, '--listen', `127.0.0.1:${port}`, '--base-url', url, ...flags], { stdio: ['ignore', 'ignore', 'pipe'] })
  let log = ''
  carom.stderr.on('data', (text) => (log += text))
  for (;;) {
    if (carom.exitCode !== null) throw new Error(`carom ended: ${log}`)
    if (await fetch(`${url}/readyz`).then((r) => r.ok, () => false)) break
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  const command = async (...args) => (await run(binary, [...args, '--data', data])).stdout
  if (objects) {
    await writeFile(join(folder, 'carom.yaml'), objects)
    await command('apply', '-f', join(folder, 'carom.yaml'), '--yes')
  }
  return {
    url,
    log: () => log,
    link: async (publisher) => (JSON.parse(await command('link', publisher, '-o', 'json'))).url,
    /** ask asks /v1 through the local socket. */
    ask: (method, path, body) =>
      new Promise((resolve, reject) => {
        const req = request({ socketPath: join(data, 'carom.sock'), method, path, headers: { Host: 'carom', 'Content-Type': 'application/json' } }, async (res) => {
          let text = ''
          for await (const part of res) text += part
          if (res.statusCode >= 300) reject(new Error(`${method} ${path}: ${res.statusCode} ${text}`))
          else resolve(text && JSON.parse(text))
        })
        req.on('error', reject)
        req.end(body && JSON.stringify(body))
      }),
    close: async () => {
      if (carom.exitCode === null) {
        carom.kill('SIGTERM')
        await once(carom, 'exit')
      }
      await rm(folder, { recursive: true, force: true })
    },
  }
}

/** startPanel is the operator's panel, at another site: a page with another page in a frame. */
export async function startPanel() {
  const panel = { shows: '' }
  const server = createServer((_, res) => res.setHeader('Content-Type', 'text/html').end(`<!doctype html><iframe src="${panel.shows}" width="380" height="800"></iframe>`))
    .listen(0, '127.0.0.1')
  await once(server, 'listening')
  panel.url = `http://localhost:${server.address().port}` // which is not the site that carom is at
  panel.close = () => {
    server.closeAllConnections()
    server.close()
  }
  return panel
}

export const startBrowser = () => launch(executablePath)

/**
 * openPage opens a link in a fresh profile, which prepare can give cookies. done ends it, and fails if the content policy was broken or a
 * script failed.
 */
export async function openPage(browser, link, context = {}, prepare = async () => {}) {
  const profile = await browser.newContext({ viewport: { width: 390, height: 844 }, locale: 'en-GB', timezoneId: 'UTC', reducedMotion: 'reduce', ...context })
  await prepare(profile)
  const page = await profile.newPage()
  page.setDefaultTimeout(10_000)
  const faults = []
  page.on('pageerror', (err) => faults.push(`script: ${err.stack}`))
  page.on('console', (said) => {
    // The browser notes each answer that is an error by itself.
    if (said.type() === 'error' && !/^Failed to load resource/.test(said.text())) faults.push(`console: ${said.text()}`)
  })
  page.on('dialog', (dialog) => {
    faults.push(`dialog: ${dialog.message()}`)
    void dialog.dismiss()
  })
  await page.exposeFunction('noteViolation', (text) => faults.push(`policy: ${text}`))
  await page.addInitScript(() =>
    document.addEventListener('securitypolicyviolation', (e) => window.noteViolation(`${e.violatedDirective} ${e.blockedURI} ${e.sourceFile}:${e.lineNumber}`)))
  await page.goto(link)
  return {
    page,
    faults,
    /** tabTo presses a key until an element has the focus, as somebody without a mouse does. */
    tabTo: async (selector, key = 'Tab') => {
      for (let i = 0; i < 80; i++) {
        await page.keyboard.press(key)
        if (await page.evaluate((s) => document.activeElement?.matches(s), selector)) return
      }
      assert.fail(`${key} does not lead to ${selector}`)
    },
    done: async () => {
      // What breaks the policy is reported a moment later, but before what comes after it.
      await page.evaluate(() => new Promise((resolve) => setTimeout(resolve)))
      assert.deepEqual(faults, [])
      await profile.close()
    },
  }
}

/** picture keeps a screenshot of the whole page where CAROM_SCREENSHOTS says. */
export async function picture(page, name) {
  const folder = process.env.CAROM_SCREENSHOTS
  if (!folder) return
  await mkdir(folder, { recursive: true })
  await page.screenshot({ path: join(folder, `setup-${name}.png`), fullPage: true })
}
