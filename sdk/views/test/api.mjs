// A server that behaves as carom's views do, answering as each test says, and one for the pages, at another origin.

import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:http'

/** The view that is opened in the tests. */
export const view = {
  view_id: 'vw_0000000000000000001aa',
  ymid: '0000000000000000001aaABCDEFGHJKMNPQRS',
  token: 'vt_ABCDEFGHJKMNPQRS',
  placement: 'bonus-btn',
  state: 'open',
  expires_at: '2026-11-22T12:15:00Z',
}

export const reward = { id: 'rw_1', rule: 'game/watch', amount: '0.0023', currency: 'coins', state: 'granted' }

const port = (server) => server.address().port

async function listen(t, server, at = 0) {
  server.listen(at, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
}

/**
 * startAPI starts the server. Its `next(method)` returns a promise of the next request of that method, in the order of
 * arrival, which the test then answers. Browsers are let in as carom lets them in: from the app's origin, with a preflight.
 */
export async function startAPI(t, allowedOrigin) {
  const arrived = { GET: [], POST: [] }
  const awaited = { GET: [], POST: [] }
  const handle = async (req, res) => {
    res.setHeader('Vary', 'Origin')
    if (req.headers.origin === allowedOrigin) {
      res.setHeader('Access-Control-Allow-Origin', allowedOrigin)
      res.setHeader('Access-Control-Expose-Headers', 'Retry-After')
    }
    if (req.method === 'OPTIONS') {
      res.setHeader('Access-Control-Allow-Methods', 'GET, POST')
      res.setHeader('Access-Control-Allow-Headers', 'Authorization, Content-Type')
      return res.writeHead(204).end()
    }
    let body = ''
    for await (const part of req) body += part
    const exchange = {
      url: req.url,
      authorization: req.headers.authorization,
      body: body && JSON.parse(body),
      /** Settles when the browser has given the request up. */
      gone: once(res, 'close'),
      answer: (status, json, headers = {}) =>
        res.writeHead(status, { 'Content-Type': 'application/json', ...headers }).end(JSON.stringify(json)),
      drop: () => req.socket.destroy(),
    }
    const waiting = awaited[req.method].shift()
    if (waiting) waiting(exchange)
    else arrived[req.method].push(exchange)
  }
  let server = createServer(handle)
  await listen(t, server)
  const at = port(server)
  return {
    url: `http://127.0.0.1:${at}`,
    next: (method) =>
      new Promise((resolve) => {
        const exchange = arrived[method].shift()
        if (exchange) resolve(exchange)
        else awaited[method].push(resolve)
      }),
    /** How many requests nobody has asked for yet. */
    unread: () => arrived.GET.length + arrived.POST.length,
    async down() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
    async up() {
      server = createServer(handle)
      await listen(t, server, at)
    },
  }
}

const types = { html: 'text/html; charset=utf-8', js: 'text/javascript', mjs: 'text/javascript' }

/** startPages serves sdk/views, and an empty page at its root. `edit` may change a page's text. */
export async function startPages(t) {
  const pages = {}
  const server = createServer(async (req, res) => {
    const path = req.url.split('?')[0]
    res.setHeader('Content-Type', types[path.split('.').pop()] ?? types.html)
    try {
      const text = path === '/' ? pages.root : await readFile(new URL('..' + path, import.meta.url), 'utf8')
      res.end(pages.edit ? pages.edit(text) : text)
    } catch {
      res.writeHead(404).end()
    }
  })
  await listen(t, server)
  return Object.assign(pages, { url: `http://127.0.0.1:${port(server)}`, root: '<!doctype html>' })
}
