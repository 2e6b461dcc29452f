// Both ends on one machine: an ad network and a publisher, each with a carom of its own, the publisher's backend, and a Mini
// App. `make demo` starts it and says where to look; the test beside it drives it in a browser.
//
//   page ── show_100001() ──► network's carom ── GET postback ──► publisher's carom ── signed POST ──► backend ──► coins
//
// Everything lies in one folder, listens on this machine alone and ends with Ctrl-C. There is nothing to install but carom
// itself and the example in examples/node, which is the backend.

import { execFile, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { connect } from 'node:net'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const here = dirname(fileURLToPath(import.meta.url))
const root = join(here, '..', '..')
const run = promisify(execFile)

/** The zone of the Mini App at the network, with the sub-zones that serve its formats. */
export const zone = { id: '100001', interstitial: '100002', popup: '100003', inApp: '100004' }

/** The price that the network pays for one impression, in dollars, and what the publisher's rule makes of a view. */
export const price = '0.002'
export const coins = 5

const pages = new Map([
  ['/', ['index.html', 'text/html; charset=utf-8']],
  ['/app.mjs', ['app.mjs', 'text/javascript']],
  ['/style.css', ['style.css', 'text/css']],
])

/**
 * startDemo starts all parts and resolves when they answer. `ports` are those of the network, the publisher, the backend and
 * the page. `carom` is the program. `more` may add lines to the zone in the network's objects file, indented by eight.
 */
export async function startDemo({ folder, ports, carom = join(root, 'bin', 'carom'), more = '', telegram = '' }) {
  const parts = []
  const stop = async () => {
    for (const part of parts.reverse()) await part()
  }
  try {
    const [networkPort, publisherPort, backendPort, pagePort] = ports
    const secret = () => randomBytes(20).toString('hex')
    const postback = secret() // in the path of the URL that the network calls
    const signing = `whsec_${randomBytes(32).toString('base64')}` // of what the publisher's carom sends to the backend
    const url = `http://127.0.0.1:${pagePort}`
    const network = { folder: join(folder, 'network'), url: `http://127.0.0.1:${networkPort}` }
    const publisher = { folder: join(folder, 'publisher'), url: `http://127.0.0.1:${publisherPort}` }
    const database = join(folder, 'backend.db')
    await mkdir(network.folder, { recursive: true })
    await mkdir(publisher.folder, { recursive: true })
    const macros = ['ymid', 'zone_id', 'sub_zone_id', 'request_var', 'telegram_id', 'event_type', 'reward_event_type', 'estimated_price']
    await writeFile(
      join(network.folder, 'carom.yaml'),
      `# The network: it shows its own ads in the publisher's app, and tells the publisher of each event that it confirmed.
publishers:
  demo: { title: The publisher }
creatives:
  garden:
    title: "An ad of the demo: grow a garden"
    html: '<body style="margin:0;display:grid;place-items:center;height:100vh;font:600 28px system-ui;color:#fff;background:linear-gradient(160deg,#0b6e4f,#08a045)"><p>Grow a garden<br><small style="font-weight:400">a house creative</small>'
    landing_url: ${url}/
    per_impression: "${price}"
    per_click: "0.01"
  sea:
    title: "An ad of the demo: sail the sea"
    html: '<body style="margin:0;display:grid;place-items:center;height:100vh;font:600 28px system-ui;color:#fff;background:linear-gradient(160deg,#023e8a,#0096c7)"><p>Sail the sea<br><small style="font-weight:400">a house creative</small>'
    landing_url: ${url}/
    per_impression: "${price}"
    per_click: "0.01"
apps:
  mini-app:
    publisher: demo
    origins: ["${url}"]
${telegram}    zones:
      "${zone.id}":
        title: Bonus
        sub_zones: { rewarded_interstitial: "${zone.interstitial}", rewarded_popup: "${zone.popup}", in_app_interstitial: "${zone.inApp}" }
        confirmed: true
${more}    endpoints:
      publisher:
        default: true
        url: "${publisher.url}/in/game/ads/${postback}?${macros.map((name) => `${name}={${name}}`).join('&')}"
        allow_private: true # it is on this machine
`,
    )
    await writeFile(
      join(publisher.folder, 'carom.yaml'),
      `# The publisher: it believes the network by the secret in the URL, pays five coins for each valued impression, once, and tells
# its backend with a signed request.
apps:
  game:
    origins: ["${url}"]
    currencies: { coins: 0 }
    sources:
      ads: { profile: monetag, ymid: view, secret: "${postback}" }
    rules:
      watch: { filter: { event_types: [impression] }, price: ${coins} coins }
    endpoints:
      backend:
        sends: rewards
        method: POST
        url: "http://127.0.0.1:${backendPort}/carom"
        signing_secret: "${signing}"
        allow_private: true # likewise
`,
    )
    for (const port of ports) {
      if (await listens(port)) throw new Error(`the port ${port} is in use by another program: stop it, or choose others with DEMO_PORT`)
    }
    for (const end of [network, publisher]) {
      const args = ['serve', '--config', join(end.folder, 'carom.yaml'), '--data', join(end.folder, 'data'), '--listen', new URL(end.url).host]
      parts.push(await start(carom, args, {}, () => fetch(`${end.url}/readyz`).then((r) => r.ok)))
      end.show = async (...args) => JSON.parse((await run(carom, ['show', ...args, '-o', 'json', '--data', join(end.folder, 'data')])).stdout)
    }
    const key = async (end, scope) => {
      const made = await run(carom, ['keys', 'create', '--name', `demo-${scope}`, '--scope', scope, '-o', 'json', '--data', join(end.folder, 'data')])
      return JSON.parse(made.stdout).key
    }
    const keys = { view: await key(publisher, 'events') }
    const env = { PORT: String(backendPort), CAROM_SECRET: signing, NETWORK_SECRET: secret(), CAROM_RULES: 'on', DATABASE: database }
    parts.push(await start(process.execPath, [join(root, 'examples', 'node', 'app.js')], env, () => listens(backendPort)))
    const { default: Database } = await import('../node/node_modules/libsql/index.js')
    const db = new Database(database)
    const balance = (user) => db.prepare('SELECT coins FROM balances WHERE user = ?').get(user)?.coins ?? 0
    parts.push(await serve(pagePort, { network, publisher, keys, balance }))
    parts.push(() => db.close())
    return { url, network, publisher, balance, stop, secrets: [postback, signing] }
  } catch (err) {
    await stop()
    throw err
  }
}

/** serve is the app's own server: its page, and the two calls that the page makes. */
async function serve(port, { network, publisher, keys, balance }) {
  const server = createServer(async (req, res) => {
    const { pathname, searchParams } = new URL(req.url, 'http://page')
    const json = (status, value) => res.writeHead(status, { 'Content-Type': 'application/json', 'Cache-Control': 'no-store' }).end(JSON.stringify(value))
    try {
      if (req.method === 'POST' && pathname === '/api/view') {
        // Only a backend says whose view it is. The ymid that carom makes leads back to it.
        const opened = await fetch(`${publisher.url}/v1/views`, {
          method: 'POST',
          headers: { Authorization: `Bearer ${keys.view}`, 'Content-Type': 'application/json' },
          body: JSON.stringify({ app: 'game', user: 'player-1', placement: 'bonus-btn' }),
        })
        return json(opened.status, await opened.json())
      }
      if (pathname === '/api/coins') return json(200, { coins: balance('player-1') })
      if (pathname === '/api/trace') {
        const ymid = searchParams.get('ymid') ?? ''
        return json(200, { network: await network.show('--ymid', ymid), publisher: await publisher.show('--ymid', ymid) })
      }
      if (pathname === '/favicon.ico') return res.writeHead(204).end()
      const [file, type] = pages.get(pathname) ?? []
      if (!file) return res.writeHead(404).end()
      const text = (await readFile(join(here, 'page', file), 'utf8')).replaceAll('{{network}}', network.url).replaceAll('{{publisher}}', publisher.url).replaceAll('{{zone}}', zone.id)
      // As strict a policy as the SDK works under: scripts, requests and frames of the network alone, nothing inline.
      const policy = `default-src 'none'; script-src 'self' ${network.url}; connect-src 'self' ${network.url} ${publisher.url}; frame-src ${network.url}; style-src 'self'; img-src 'self'`
      res.writeHead(200, { 'Content-Type': type, 'Content-Security-Policy': policy, 'Cache-Control': 'no-store' }).end(text)
    } catch (err) {
      json(500, { error: String(err.message) })
    }
  })
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  return () => {
    server.closeAllConnections()
    server.close()
  }
}

/** start runs a program until it answers, and returns what ends it. */
async function start(program, args, env, answers) {
  const child = spawn(program, args, { env: { ...process.env, ...env }, stdio: ['ignore', 'ignore', 'pipe'], detached: true })
  let log = ''
  child.stderr.on('data', (text) => (log = (log + text).slice(-8192)))
  let failed
  child.on('error', (err) => (failed = err))
  for (;;) {
    if (failed) throw failed
    if (child.exitCode !== null) throw new Error(`${program} ${args[0]} ended by itself:\n${log}`)
    if (await Promise.resolve(answers()).catch(() => false)) break
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  return async () => {
    if (child.exitCode !== null || child.signalCode !== null) return
    child.kill('SIGTERM')
    await once(child, 'exit')
  }
}

/** listens says whether a program of this machine listens at the port. */
function listens(port) {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.on('connect', () => resolve(true)).on('error', () => resolve(false)).on('close', () => socket.destroy())
    socket.on('connect', () => socket.destroy())
  })
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const first = Number(process.env.DEMO_PORT || 8090)
  const folder = process.env.DEMO_DIR || join(root, 'run', 'demo')
  // The terminal and make may both pass a signal on: only the first counts, and the rest do not cut the stop short.
  const stopped = new Promise((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, resolve)
  })
  try {
    const demo = await startDemo({ folder, ports: [first, first + 1, first + 2, first + 3] })
    const data = (end) => join(end.folder, 'data')
    console.log(`
Both ends run on this machine. Open the Mini App, watch an ad, and see the coins arrive:

  ${demo.url}/

The network's carom     ${demo.network.url}    bin/carom show --data ${data(demo.network)}
The publisher's carom   ${demo.publisher.url}    bin/carom show --data ${data(demo.publisher)}

How each is set up is in ${demo.network.folder}/carom.yaml and ${demo.publisher.folder}/carom.yaml:
change one of them, and it is in force a second later. Ctrl-C stops everything.
`)
    await stopped
    await demo.stop()
    console.log('stopped')
  } catch (err) {
    console.error(`make demo: ${err.message}`)
    process.exitCode = 1
  }
}
