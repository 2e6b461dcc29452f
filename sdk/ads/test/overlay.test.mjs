// What the user has before them: the overlay, with a keyboard, a screen reader's eyes, Telegram's colours, a strict page and a
// hostile creative.

import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'
import { fakeClock, openApp, options, tag, useBrowser } from './app.mjs'

useBrowser()

/** focused is the name of what has the focus, in the overlay or else in the page. */
const focused = (page) =>
  page.evaluate(() => {
    const inner = document.activeElement.shadowRoot?.activeElement
    return inner ? inner.getAttribute('aria-label') || inner.querySelector('img')?.alt : '#' + document.activeElement.id
  })

test('keyboard: the focus stays in the ad, and goes back to where it was', options, async (t) => {
  const { ads, call, page, dialog, outcome, link, context, beacon } = await openApp(t, {
    setUp: (tab) =>
      tab.addInitScript(() => {
        window.keys = []
        document.addEventListener('keydown', (event) => keys.push(event.key))
      }),
  })
  const button = page.getByRole('button', { name: 'Watch' })
  await button.focus()
  await call()
  await dialog.waitFor()
  assert.equal(await focused(page), 'Close ad')
  const order = []
  for (const key of ['Tab', 'Tab', 'Shift+Tab', 'Shift+Tab']) {
    await page.keyboard.press(key)
    order.push(await focused(page))
  }
  assert.deepEqual(order, ['Gem Garden', 'Close ad', 'Gem Garden', 'Close ad'])
  // Nothing of the page can be reached, and what takes the focus anyway loses it.
  assert.deepEqual(await page.evaluate(() => [...document.body.children].filter((e) => !e.inert && !e.popover).map((e) => e.id)), [])
  await page.evaluate(() => document.querySelector('#watch').focus())
  assert.equal(await focused(page), 'Close ad')
  await page.mouse.click(195, 800)
  await page.keyboard.press('Tab')
  assert.equal(await focused(page), 'Close ad')

  // Enter on the link is a click.
  await page.keyboard.press('Tab')
  assert.equal(await link.getAttribute('rel'), 'noopener noreferrer')
  const opening = context.waitForEvent('page')
  await page.keyboard.press('Enter')
  await (await opening).waitForURL('**/landing')
  await beacon('click')
  assert.equal(ads.beacons.find(({ beacon }) => beacon === 'click').trusted, true)

  await page.bringToFront()
  await page.keyboard.press('Escape')
  await outcome()
  assert.equal(await focused(page), '#watch')
  assert.equal(await page.evaluate(() => document.querySelectorAll('[inert]').length), 0)
  assert.deepEqual(await page.evaluate(() => keys), [], 'the page heard keys that were meant for the ad')
})

test('a rewarded ad can be closed when its time is over, and says when that is', options, async (t) => {
  const { ads, call, page, dialog, close, outcome, settled } = await openApp(t, { setUp: fakeClock })
  ads.ad.close_after_ms = 5000
  await page.clock.pauseAt(Date.now() + 60_000)
  await call()
  await dialog.waitFor()
  const status = page.getByRole('status')
  const button = dialog.getByRole('button')
  assert.equal(await status.textContent(), 'Advertisement. You can close it in 5 seconds.')
  const seen = []
  for (let second = 0; second < 5; second++) {
    seen.push([await button.textContent(), await button.getAttribute('aria-label'), await button.getAttribute('aria-disabled')])
    await page.keyboard.press('Escape')
    await button.click({ force: true })
    await page.keyboard.press('Enter')
    assert.equal(await settled(), false, 'the ad was closed before its time')
    await page.clock.runFor(second < 4 ? 1000 : 999)
  }
  assert.deepEqual(seen, [5, 4, 3, 2, 1].map((n) => [`${n}`, `Close ad in ${n} second${n > 1 ? 's' : ''}`, 'true']))
  assert.equal(await status.textContent(), 'Advertisement. You can close it in 5 seconds.', 'the reader is told each second')
  await page.clock.runFor(2)
  assert.equal(await status.textContent(), 'You can close the ad now.')
  assert.equal(await button.getAttribute('aria-disabled'), null)
  assert.equal(await close.count(), 1)
  await page.keyboard.press('Escape')
  assert.ok((await outcome()).result)
})

test('what a screen reader is told', options, async (t) => {
  const { call, context, page, dialog, ads } = await openApp(t, { setUp: fakeClock })
  ads.ad.close_after_ms = 60_000
  await page.clock.pauseAt(Date.now() + 60_000)
  await call()
  await dialog.waitFor()
  const session = await context.newCDPSession(page)
  const { nodes } = await session.send('Accessibility.getFullAXTree')
  const told = nodes
    .filter(({ ignored, role }) => !ignored && ['dialog', 'button', 'link', 'image', 'status', 'heading'].includes(role.value))
    .map(({ role, name }) => `${role.value}: ${name?.value ?? ''}`)
  // Of the page behind there is nothing. The tree lists breadth first.
  assert.deepEqual(told, ['dialog: Advertisement', 'button: Close ad in 60 seconds', 'status: ', 'link: Gem Garden', 'image: Gem Garden'])
  assert.equal(await dialog.getAttribute('aria-modal'), 'true')
})

test('the tree is closed to the page', options, async (t) => {
  const { call, page, beacon } = await openApp(t, { closed: true })
  await call()
  await beacon('start')
  assert.equal(await page.evaluate(() => document.querySelector('[popover]').shadowRoot), null)
})

test('the page behind neither moves nor scrolls, and is as before when the ad is gone', options, async (t) => {
  const html = (ads) => `<!doctype html><meta charset="utf-8"><title>Game</title><style>h1{margin:0;height:3000px}</style>${tag(ads)}<body><h1>Long</h1>`
  // On a desktop, the scroll bar takes up room.
  const { call, page, dialog, outcome } = await openApp(t, { html, context: { viewport: { width: 800, height: 600 } } })
  await page.evaluate(() => scrollTo(0, 700))
  const look = () => page.evaluate(() => ({ y: scrollY, width: document.querySelector('h1').offsetWidth, style: document.documentElement.getAttribute('style') || '' }))
  const before = await look()
  await call()
  await dialog.waitFor()
  await page.mouse.move(400, 300)
  await page.mouse.wheel(0, 500)
  for (const key of ['PageDown', 'ArrowDown', 'End', 'Space']) {
    await page.evaluate(() => document.querySelector('[popover]').shadowRoot.querySelector('[role=dialog]').focus())
    await page.keyboard.press(key)
  }
  await page.evaluate(() => new Promise((resolve) => setTimeout(resolve, 200)))
  const { style: _, ...during } = await look()
  assert.deepEqual({ ...during, style: '' }, before)
  await page.keyboard.press('Escape')
  await outcome()
  assert.deepEqual(await look(), before)
})

test('loading and showing: no long task, and nothing moves', options, async (t) => {
  // A busy machine makes any task long: one load without a long one shows that there need not be any.
  const runs = []
  const smooth = () => runs.some(({ tasks }) => tasks.length === 0)
  while (runs.length < 10 && !smooth()) {
    const { call, page, dialog, beacon } = await openApp(t, {
      setUp: (tab) =>
        tab.addInitScript(() => {
          window.tasks = []
          window.shifts = []
          const observe = (type, list, value) =>
            new PerformanceObserver((seen) => list.push(...seen.getEntries().map(value))).observe({ type, buffered: true })
          observe('longtask', tasks, ({ duration }) => duration)
          observe('layout-shift', shifts, ({ value }) => value)
        }),
    })
    const atLoad = await page.evaluate(() => new Promise((resolve) => setTimeout(() => resolve(tasks.length), 200)))
    await call()
    await dialog.waitFor()
    await beacon('viewable')
    await page.keyboard.press('Escape')
    await beacon('end')
    runs.push(await page.evaluate((atLoad) => ({ atLoad, tasks, cls: shifts.reduce((sum, value) => sum + value, 0) }), atLoad))
  }
  t.diagnostic(`loads: ${JSON.stringify(runs)}`)
  assert.ok(smooth(), 'each of ten loads had a task of more than 50 ms')
  assert.ok(runs.every(({ cls }) => cls === 0), 'something moved')
})

const policy = (ads, pages) =>
  `default-src 'none'; script-src ${pages} ${ads.url}; connect-src ${ads.url}; frame-src ${ads.url}; img-src ${ads.url}`

test('a strict content policy: an image, and HTML', options, async (t) => {
  for (const ad of [{}, { image: undefined, html: '<h1>Hello</h1><script>document.body.append("script ran")</script>' }]) {
    const { call, ads, dialog, close, outcome, told, page, beacon } = await openApp(t, {
      html: (ads) => `<!doctype html><meta charset="utf-8"><title>Game</title>${tag(ads)}<body><h1>Game</h1>`,
      headers: (ads) => ({ 'Content-Security-Policy': policy(ads, "'self'") }),
      setUp: (tab) =>
        tab.addInitScript(() => {
          window.violations = []
          addEventListener('securitypolicyviolation', ({ effectiveDirective, blockedURI }) => violations.push([effectiveDirective, blockedURI]))
        }),
    })
    ads.ad = ad
    await call()
    await dialog.waitFor()
    await beacon('viewable')
    const { width, height } = await dialog.boundingBox()
    assert.deepEqual([width, height], [390, 844], 'the styles were not applied')
    if (ad.html) await page.frameLocator('iframe').getByText('script ran').waitFor()
    await close.click()
    assert.ok((await outcome()).result.sub_zone_id)
    await beacon('end')
    assert.deepEqual(await page.evaluate(() => violations), [])
    assert.deepEqual(told.violations, [])
  }
})

test('the policy of the documentation is enough', options, async (t) => {
  const example = await readFile(new URL('../example/policy.html', import.meta.url), 'utf8')
  const { call, dialog, told, beacon } = await openApp(t, {
    html: (ads, pages) =>
      '<!doctype html><title>Game</title>' +
      example.replaceAll('https://app.example', pages.url).replaceAll('https://ads.example', ads.url).replaceAll('https://creatives.example', ads.url) +
      `${tag(ads)}<body><h1>Game</h1>`,
  })
  await call()
  await dialog.waitFor()
  await beacon('viewable')
  assert.deepEqual(told.violations, [])
})

test('a creative of HTML is kept apart', options, async (t) => {
  // It tries what a hostile one would, and writes down how far it came.
  const hostile = `<p id="out">trying</p><script>
    const tried = {}
    const attempt = (name, act) => { try { tried[name] = String(act()) } catch (error) { tried[name] = error.name } }
    attempt('parent', () => parent.document.title)
    attempt('top', () => { top.location.href = 'https://evil.example/' ; return 'set' })
    attempt('opener', () => String(window.open('https://evil.example/')))
    attempt('cookie', () => document.cookie)
    attempt('storage', () => localStorage.length)
    attempt('alert', () => alert('hello'))
    parent.postMessage('carom:shown', '*'); parent.postMessage({ carom: '<p>other</p>' }, '*')
    fetch('/sdk/ad', { method: 'POST', body: '{}' }).then(() => 'answered', (error) => error.name).then((got) => { tried.fetch = got; out.textContent = JSON.stringify(tried) })
  </script><a href="https://evil.example/" target="_top" style="position:fixed;inset:0">go</a>`
  const { ads, call, page, dialog, close, context, outcome, beacon } = await openApp(t)
  ads.ad = { image: undefined, html: hostile, width: 320, height: 480 }
  await call()
  await dialog.waitFor()
  const frame = page.frameLocator('iframe')
  await frame.getByText('"fetch"').waitFor()
  const tried = JSON.parse(await frame.locator('#out').textContent())
  assert.deepEqual(tried, {
    parent: 'SecurityError', top: 'SecurityError', opener: 'null', cookie: 'SecurityError', storage: 'SecurityError', alert: 'undefined', fetch: 'TypeError',
  })
  assert.equal(await page.locator('iframe').getAttribute('sandbox'), 'allow-scripts')
  // A click lands on our link, not on the creative's.
  const opening = context.waitForEvent('page')
  await page.mouse.click(195, 450)
  await (await opening).waitForURL('**/landing')
  await beacon('click')
  assert.ok(page.url().startsWith('http://127.0.0.1'))
  assert.equal(ads.beacons.filter(({ beacon }) => beacon === 'start').length, 1)
  await close.click()
  assert.ok((await outcome()).result)
})

test('the page of the frame takes HTML from the page around it alone, and once', options, async (t) => {
  const { ads, call, page, dialog } = await openApp(t)
  ads.ad = { image: undefined, html: '<p>the ad</p>' }
  await call()
  await dialog.waitFor()
  await page.evaluate(() => {
    const { contentWindow } = document.querySelector('[popover]').shadowRoot.querySelector('iframe')
    contentWindow.postMessage({ carom: '<p>another</p>' }, '*')
    return new Promise((resolve) => setTimeout(resolve, 100))
  })
  assert.equal((await page.frameLocator('iframe').locator('body').textContent()).trim(), 'the ad')
  const response = await fetch(ads.url + '/sdk/frame')
  assert.match(response.headers.get('content-security-policy'), /^sandbox allow-scripts;/)
})

test('a landing URL that is no page of the web is none', options, async (t) => {
  for (const ad of [{}, { image: undefined, html: '<p>the ad</p>' }]) {
    const { ads, call, dialog, page, close, outcome } = await openApp(t)
    ads.ad = { ...ad, landing_url: 'javascript:alert(document.domain)' }
    await call()
    await dialog.waitFor()
    assert.equal(await dialog.getByRole('link').count(), 0)
    await page.mouse.click(195, 450)
    await page.keyboard.press('Tab')
    assert.equal(await focused(page), 'Close ad')
    await close.click()
    assert.ok((await outcome()).result)
  }
})

test('reduced motion: nothing is animated', options, async (t) => {
  for (const reducedMotion of ['reduce', 'no-preference']) {
    const { call, page, dialog } = await openApp(t, { context: { reducedMotion } })
    await page.evaluate(() => {
      window.animated = 0
      new MutationObserver(() => {
        const root = document.querySelector('[popover]')?.shadowRoot
        if (root) animated = Math.max(animated, root.getAnimations().length)
      }).observe(document, { childList: true, subtree: true, attributes: true })
    })
    await call()
    await dialog.waitFor()
    assert.equal(await page.evaluate(() => animated), reducedMotion === 'reduce' ? 0 : 1)
  }
})

test('the ad lies above everything, also above a dialog of the page', options, async (t) => {
  const { call, page, dialog, close, outcome, link, context } = await openApp(t, {
    body: `<dialog><p>Watch an ad?</p><button id="yes">Yes</button></dialog>
      <style>div{display:none;transform:scale(.5)} body{transform:translateX(10px)} *{color:red!important}</style>`,
  })
  await page.evaluate(() => {
    const dialog = document.querySelector('dialog')
    dialog.showModal()
    dialog.style.cssText = 'overflow:hidden;transform:scale(.5);width:100px'
  })
  await call()
  await dialog.waitFor()
  assert.deepEqual(await dialog.boundingBox(), { x: 0, y: 0, width: 390, height: 844 })
  const opening = context.waitForEvent('page')
  await link.click()
  await opening
  await page.bringToFront()
  await close.click()
  assert.ok((await outcome()).result)
  assert.deepEqual(await page.evaluate(() => [document.querySelector('dialog').open, document.activeElement.id]), [true, 'yes'])
})

test('a page that throws its content away ends the ad', options, async (t) => {
  const { call, dialog, page, outcome, beacon } = await openApp(t)
  await call()
  await dialog.waitFor()
  await beacon('viewable')
  await page.evaluate(() => (document.body.innerHTML = '<p>Another view</p>'))
  assert.ok((await outcome()).result)
  await beacon('end')
  assert.equal(await page.evaluate(() => getComputedStyle(document.documentElement).overflow), 'visible')
})

test('how it looks', options, async (t) => {
  const html = '<style>body{font:700 28px sans-serif;color:#fff;background:linear-gradient(135deg,#0f766e,#84cc16);height:100vh;display:grid;place-items:center}</style>Leaf Runner'
  const { ads, call, dialog, page, shot, outcome } = await openApp(t)
  const phone = page.viewportSize()
  for (const [name, colorScheme, ad, size] of [
    ['light', 'light', { close_after_ms: 5000 }],
    ['dark', 'dark', { close_after_ms: 5000 }],
    ['light-close', 'light', {}],
    ['dark-close', 'dark', {}],
    ['wide', 'light', { image: '/wide.svg', width: 640, height: 360 }],
    ['natural', 'dark', { image: '/wide.svg', width: 0, height: 0 }],
    ['html', 'light', { image: undefined, html, width: 300, height: 250 }],
    ['html-full', 'dark', { image: undefined, html, width: 0, height: 0 }],
    ['small', 'dark', {}, { width: 320, height: 480 }],
    ['landscape', 'light', {}, { width: 667, height: 375 }],
    ['desktop', 'light', { close_after_ms: 5000 }, { width: 1280, height: 800 }],
  ]) {
    await page.emulateMedia({ colorScheme })
    await page.setViewportSize(size ?? phone)
    ads.ad = { ...ad, ...(ad.image && { image: ads.url + ad.image }) }
    await call()
    await dialog.waitFor()
    // The creative is wholly on the screen, below the bar, and keeps its shape.
    const view = page.viewportSize()
    const box = await page.evaluate(() => {
      const { x, y, width, height } = document.querySelector('[popover]').shadowRoot.querySelector('.box').getBoundingClientRect()
      return { x, y, width, height }
    })
    assert.ok(box.x >= 0 && box.y >= 44 && box.x + box.width <= view.width && box.y + box.height <= view.height, `${name}: ${JSON.stringify(box)}`)
    if (ad.width) assert.ok(Math.abs(box.width / box.height - ad.width / ad.height) < 0.01, name)
    const target = await dialog.getByRole('button').boundingBox()
    assert.ok(target.width >= 44 && target.height >= 44, `${name}: the button is too small for a finger`)
    const [back, text] = await dialog.evaluate((dialog) => [getComputedStyle(dialog).backgroundColor, getComputedStyle(dialog).color])
    assert.deepEqual([back, text], colorScheme === 'dark' ? ['rgb(22, 24, 28)', 'rgb(243, 244, 246)'] : ['rgb(255, 255, 255)', 'rgb(27, 29, 33)'])
    await shot(name)
    if (ad.close_after_ms) await page.evaluate(() => document.querySelector('[popover]').remove())
    else await page.keyboard.press('Escape')
    assert.ok((await outcome()).result, name)
  }
})
