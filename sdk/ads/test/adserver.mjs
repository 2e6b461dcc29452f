// A server that speaks the SDK's protocol as carom does, and strictly: whatever a browser may not send is a fault, and fails the
// test. What it answers can be changed by the test. And one for the app's pages, at another origin.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:http'

const file = (path) => readFile(new URL('../../' + path, import.meta.url))
const port = (server) => server.address().port

async function listen(t, server, at = 0) {
  server.listen(at, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
}

// What /sdk/frame is sent with.
const framePolicy =
  "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline' https:; img-src https: data:; " +
  "style-src 'unsafe-inline' https:; media-src https:; font-src https: data:"

const text = (value) => typeof value === 'string'
const whole = (value) => Number.isSafeInteger(value) && value >= 0
const flag = (value) => typeof value === 'boolean'

const adFields = {
  zone: text, format: text, ymid: text, request_var: text, telegram_id: text, init_data: text,
  visible: flag, automated: flag, width: whole, height: whole, sdk: text,
}
const beaconFields = {
  token: text, beacon: text, shown_ms: whole, visible_ms: whole, share: whole, trusted: flag, visible: flag,
}
const formats = {
  123457: 'rewarded_interstitial',
  123458: 'rewarded_popup',
  123459: 'in_app_interstitial',
}

const creative = (width, height) => `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}">
  <defs><linearGradient id="g" x2="1" y2="1"><stop stop-color="#4338ca"/><stop offset="1" stop-color="#db2777"/></linearGradient></defs>
  <rect width="100%" height="100%" fill="url(#g)"/>
  <text x="50%" y="46%" text-anchor="middle" font-family="sans-serif" font-size="34" font-weight="700" fill="#fff">Gem Garden</text>
  <text x="50%" y="54%" text-anchor="middle" font-family="sans-serif" font-size="16" fill="#fff">Grow. Match. Win.</text>
  <rect x="25%" y="80%" width="50%" height="44" rx="22" fill="#fff"/>
  <text x="50%" y="86%" text-anchor="middle" font-family="sans-serif" font-size="16" font-weight="700" fill="#4338ca">Play</text>
</svg>`

/** startAds starts the server for an app whose page has the origin. */
export async function startAds(t, origin) {
  const ads = {
    zone: '123456',
    origin,
    confirmed: false,
    decide: 'confirmed',
    warnings: undefined,
    noFill: false,
    /** Whether pages may read the answers. */
    readable: true,
    /** Whether the time between two beacons counts: not when the page's clock is the test's. */
    clock: true,
    /** What is changed of the ad. */
    ad: {},
    /** May answer instead: gets { path, body, tries } and returns { status, json, headers }, 'drop', or nothing. May be slow. */
    before: undefined,
    /** Bodies of what came in, in order, with the time of the server's clock. Retries are in it, too. */
    asked: [],
    beacons: [],
    /** Requests of any kind, by path. */
    paths: [],
    faults: [],
    showings: new Map(),
  }
  const fault = (why) => {
    ads.faults.push(why)
    return { status: 400, json: { title: 'Bad Request', status: 400, detail: why, code: 'invalid' } }
  }
  const problem = (status, code, detail) => ({ status, json: { title: code, status, detail, code } })

  const check = (body, fields, needed) => {
    for (const [name, value] of Object.entries(body)) {
      if (!fields[name]?.(value)) return `${name}: ${JSON.stringify(value)} is not what belongs there`
    }
    for (const name of needed) if (!(name in body)) return `${name} is missing`
  }

  const answerAd = (body) => {
    const wrong = check(body, adFields, ['zone', 'format', 'visible', 'automated', 'width', 'height', 'sdk'])
    if (wrong) return fault(wrong)
    for (const name of ['ymid', 'request_var']) {
      if (body[name] === '') return fault(`${name}: empty`)
      if (Buffer.byteLength(body[name] ?? '') > 256 || body[name]?.includes('\0')) return fault(`${name}: over the limits`)
    }
    if (body.zone in formats) return problem(400, 'sub_zone', `${body.zone} is a sub-zone: give the SDK its main zone ${ads.zone}`)
    if (body.zone !== ads.zone) return problem(404, 'unknown_zone', `there is no zone ${body.zone}`)
    const subZone = Object.keys(formats).find((id) => formats[id] === body.format)
    if (!subZone) return fault(`format: ${body.format}`)
    const id = ads.showings.size + 1
    const ad = {
      token: `ad-${id}`, title: 'Gem Garden', image: `${ads.url}/creative.svg`, width: 320, height: 480,
      landing_url: `${ads.url}/landing`, close_after_ms: 0, viewable_ms: body.format === 'rewarded_popup' ? 0 : 200,
      ...ads.ad,
    }
    ads.showings.set(ad.token, { id, ad, answers: {} })
    return {
      status: 200,
      json: {
        zone_id: body.zone, sub_zone_id: subZone, format: body.format, confirmed: ads.confirmed, ymid: body.ymid ?? '',
        request_var: body.request_var ?? '', telegram_id: body.telegram_id ?? '', warnings: ads.warnings, ad: ads.noFill ? null : ad,
      },
    }
  }

  const decision = () => ({
    state: ads.decide,
    reward_event_type: ads.decide === 'confirmed' ? 'valued' : 'not_valued',
    ...(ads.decide === 'confirmed' && { estimated_price: '0.002' }),
  })

  const answerBeacon = (body, now) => {
    const wrong = check(body, beaconFields, ['token', 'beacon', 'shown_ms', 'visible_ms', 'share', 'visible'])
    if (wrong) return fault(wrong)
    if (body.visible_ms > body.shown_ms || body.share > 100) return fault(`impossible: ${JSON.stringify(body)}`)
    const { beacon, token } = body
    if ((beacon === 'click') !== 'trusted' in body) return fault('trusted: belongs to clicks')
    const showing = ads.showings.get(token.replace('view-', 'ad-'))
    if (!showing) return fault(`token: ${token}`)
    if (token.startsWith('ad-') !== (beacon === 'start')) return fault(`${beacon} came with ${token}`)
    if (showing.answers[beacon]) return { status: 200, json: showing.answers[beacon] }
    const answer = { state: 'open' }
    if (beacon === 'start') {
      // A start is sent at once: more is a wrong clock, and not only a busy machine.
      if (body.shown_ms > 2000) return fault(`start: shown_ms: ${body.shown_ms}`)
      showing.startedAt = now
      answer.token = `view-${showing.id}`
      if (!showing.ad.viewable_ms) Object.assign(answer, decision())
    } else if (showing.startedAt === undefined) {
      return fault(`${beacon} before start`)
    } else if (beacon === 'viewable') {
      const least = showing.ad.viewable_ms
      if (body.visible_ms < least || (ads.clock && now - showing.startedAt < least - 1)) return fault(`viewable too early: ${JSON.stringify(body)}`)
      Object.assign(answer, decision())
    } else if (beacon === 'end') {
      if (showing.decided) Object.assign(answer, showing.decided)
      else Object.assign(answer, { state: 'declined', reward_event_type: 'not_valued' })
    } else if (beacon !== 'click') {
      return fault(`beacon: ${beacon}`)
    }
    if (answer.state !== 'open') showing.decided ??= { ...answer, token: undefined }
    showing.answers[beacon] = answer
    return { status: 200, json: answer }
  }

  const serve = async (req, res) => {
    const path = req.url.split('?')[0]
    ads.paths.push(path)
    const send = (status, body, type, headers = {}) => res.writeHead(status, { 'Content-Type': type, ...headers }).end(body)
    const static_ = {
      '/sdk.js': ['dist/sdk.js', 'text/javascript'],
      '/sdk.js.map': ['dist/sdk.js.map', 'application/json'],
      '/sdk.mjs': ['dist/sdk.mjs', 'text/javascript'],
    }[path]
    if (static_) return send(200, await file(static_[0]), static_[1], { 'Access-Control-Allow-Origin': '*' })
    if (path === '/sdk/frame') return send(200, await file('ads/frame.html'), 'text/html; charset=utf-8', { 'Content-Security-Policy': framePolicy })
    if (path === '/creative.svg') return send(200, creative(320, 480), 'image/svg+xml')
    if (path === '/wide.svg') return send(200, creative(640, 360), 'image/svg+xml')
    if (path === '/landing') return send(200, '<!doctype html><title>Landing</title>', 'text/html')
    if (path !== '/sdk/ad' && path !== '/sdk/beacon') return send(404, '', 'text/plain')

    const at = performance.now()
    const given = req.headers.origin
    // Every page may read the answer, so that it learns what is wrong.
    if (ads.readable) {
      res.setHeader('Access-Control-Allow-Origin', '*')
      res.setHeader('Access-Control-Expose-Headers', 'Retry-After')
    }
    res.setHeader('Cache-Control', 'no-store')
    res.setHeader('Vary', 'Origin')
    if (req.method !== 'POST') ads.faults.push(`${req.method} ${path}`)
    if (!/^text\/plain\b/.test(req.headers['content-type'])) ads.faults.push(`Content-Type: ${req.headers['content-type']}`)
    if (req.headers.cookie) ads.faults.push('a cookie came along')
    let raw = ''
    for await (const part of req.setEncoding('utf8')) raw += part
    if (Buffer.byteLength(raw) > (path === '/sdk/ad' ? 16 : 8) << 10) ads.faults.push(`${path}: ${raw.length} bytes`)
    const body = JSON.parse(raw)
    const list = path === '/sdk/ad' ? ads.asked : ads.beacons
    const tries = 1 + list.filter(({ beacon, token }) => beacon === body.beacon && token === body.token).length
    const { 'sec-fetch-mode': mode, referer } = req.headers
    list.push({ ...body })
    Object.defineProperty(list[list.length - 1], 'seen', { value: { at, tries, mode, referer } })

    const early = await ads.before?.({ path, body, tries })
    // Chromium makes a request again by itself whose connection brings nothing at all.
    if (early === 'drop') return res.writeHead(200, { 'Content-Length': 9 }).write('{', () => res.destroy())
    let { status, json, headers } = early ?? {}
    if (!early) {
      if (given !== ads.origin) ({ status, json } = problem(403, 'origin', `${given} is not among the app's origins`))
      else ({ status, json } = path === '/sdk/ad' ? answerAd(body) : answerBeacon(body, at))
    }
    send(status, JSON.stringify(json), status === 200 ? 'application/json' : 'application/problem+json', headers)
  }

  // A browser that is closed while it sends is no fault.
  const server = createServer((req, res) => void serve(req, res).catch((error) => error.code === 'ECONNRESET' || ads.faults.push(String(error))))
  await listen(t, server)
  ads.url = `http://127.0.0.1:${port(server)}`
  t.after(() => assert.deepEqual(ads.faults, [], 'what the browser sent is not what the protocol says'))
  return ads
}

/** startPages serves the app's page at its root, with the headers that the test sets. */
export async function startPages(t) {
  const pages = { root: '', headers: {} }
  const server = createServer((req, res) => {
    const body = { '/': pages.root, '/other': '<!doctype html><title>Other</title>', '/app.js': pages.script }[req.url.split('?')[0]]
    if (body === undefined) return res.writeHead(404).end()
    const type = req.url.endsWith('.js') ? 'text/javascript' : 'text/html; charset=utf-8'
    res.writeHead(200, { 'Content-Type': type, ...pages.headers }).end(body)
  })
  await listen(t, server)
  return Object.assign(pages, { url: `http://127.0.0.1:${port(server)}` })
}
