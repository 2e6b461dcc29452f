// The backend of an app, as small as it can be and still pay each view once: a receiver of what carom sends, and one of an
// ad network's own postbacks.
//
// It keeps three tables in a SQLite file: the balances, the views that were paid, and the deliveries that were granted.

import { createHash, createHmac, timingSafeEqual } from 'node:crypto'
import Database from 'libsql' // the interface of better-sqlite3, installed without a compiler
import express from 'express'

// The price is ours. An amount is never taken from a URL: whoever finds out the URL would choose it.
const COINS_PER_VIEW = 5

// The app shows each ad with a fresh ymid: the user's id, a dot, and something random. With the bare user's id as ymid, a
// copy could not be told from the next view.
const YMID = /^([A-Za-z0-9_-]{1,64})\.[A-Za-z0-9_-]{8,64}$/

// No secret, no server: a check against an empty secret lets everybody in. There is no default either.
const { CAROM_SECRET, CAROM_SECRET_PREVIOUS, NETWORK_SECRET, CAROM_RULES } = process.env
if ((CAROM_SECRET ?? '').length < 16 || (NETWORK_SECRET ?? '').length < 16) {
  console.error('set CAROM_SECRET and NETWORK_SECRET, each to 16 characters or more')
  process.exit(1)
}
// Two of them while the secret is being replaced.
const caromKeys = [CAROM_SECRET, CAROM_SECRET_PREVIOUS]
  .filter((secret) => secret)
  .map((secret) => (secret.startsWith('whsec_') ? Buffer.from(secret.slice(6), 'base64') : Buffer.from(secret)))

const db = new Database(process.env.DATABASE || 'app.db')
// Another process may write at the same time: wait for it up to five seconds instead of failing at once.
db.exec('PRAGMA busy_timeout = 5000')
db.exec(`
  CREATE TABLE IF NOT EXISTS balances (user TEXT PRIMARY KEY, coins INTEGER NOT NULL);
  CREATE TABLE IF NOT EXISTS paid_views (zone TEXT, ymid TEXT, PRIMARY KEY (zone, ymid));
  CREATE TABLE IF NOT EXISTS carom_granted (id TEXT PRIMARY KEY);`)

const app = express()
// No rate limiter in front of these two routes: its 429 for a burst of real postbacks only makes them come again.

// What carom sends: POST, JSON, signed by the Standard Webhooks convention.
// The signature covers the bytes, so they are taken raw: JSON that was parsed and written again has others.
app.post('/carom', express.raw({ type: () => true, limit: '256kb' }), (req, res) => {
  if (!Buffer.isBuffer(req.body) || !isFromCarom(req.headers, req.body)) {
    return res.status(403).end()
  }
  // Answered before the commit, an error afterwards would lose the coins. And whatever throws is answered 500 below, so
  // that carom sends it again.
  fromCarom(req.headers['webhook-id'], JSON.parse(req.body.toString('utf8')))
  crashAt('before_answer') // only for the tests
  res.status(200).end()
})

function isFromCarom(headers, body) {
  const id = headers['webhook-id'] ?? ''
  const timestamp = headers['webhook-timestamp'] ?? ''
  // A dot in the id could be moved between the signed parts. Five minutes are for clocks that differ.
  if (!/^[^.]+$/.test(id) || !/^\d{1,12}$/.test(timestamp) || Math.abs(Date.now() / 1000 - Number(timestamp)) > 300) {
    return false
  }
  const sent = (headers['webhook-signature'] ?? '').split(' ') // several while the secret is being replaced
  return caromKeys.some((key) => {
    const signature = 'v1,' + createHmac('sha256', key).update(`${id}.${timestamp}.`).update(body).digest('base64')
    return sent.some((s) => equal(s, signature))
  })
}

// equal takes as long wherever two texts differ. timingSafeEqual wants one length, which the sums have.
function equal(a, b) {
  const sum = (text) => createHash('sha256').update(text).digest()
  return timingSafeEqual(sum(a), sum(b))
}

// The mark of the delivery and the coins are in one transaction: after a crash between them there is neither, and the next
// attempt pays. Of two copies in parallel the second waits for the first.
const fromCarom = db.transaction((deliveryID, { type, data }) => {
  if (data.test) return // a test of the operator's
  // A reward counts once, by whatever deliveries it comes; its reversal is another booking.
  const key = data.reward ? `${data.reward.id} ${data.reward.state}` : deliveryID
  if (db.prepare('INSERT INTO carom_granted (id) VALUES (?) ON CONFLICT DO NOTHING').run(key).changes === 0) return
  // Pay by the rules in carom or by the events, never by both.
  if (CAROM_RULES === 'on') {
    if (type === 'reward.granted' || type === 'reward.reversed') bookReward(data.reward)
  } else if ((type === 'event.impression' || type === 'event.click') && data.reward_event_type === 'valued') {
    payView(data.zone_id, data.ymid)
  }
}).immediate

// bookReward books what carom's rules decided. A reversal is a booking of its own, so it does not matter which of the two
// comes first.
function bookReward({ id, amount, currency, user, state }) {
  if (currency !== 'coins' || !/^\d{1,9}$/.test(amount)) {
    // Better repeated, and seen in carom's status, than rounded to something.
    throw new Error(`reward ${id} is not in whole coins`)
  }
  crashAt('after_mark') // only for the tests
  addCoins(user, state === 'reversed' ? -Number(amount) : Number(amount))
  crashAt('after_grant') // only for the tests
}

// What the network itself sends, with this URL at the network:
//   https://HOST/postback?secret=SECRET&ymid={ymid}&zone_id={zone_id}&event_type={event_type}&reward_event_type={reward_event_type}
app.get('/postback', (req, res) => {
  // Express makes an array of a parameter that comes twice, which is no text and equals nothing.
  const { secret, zone_id: zone, ymid, event_type: type, reward_event_type: value } = req.query
  // Nothing else proves where this comes from. No secret, no comparison.
  if (typeof secret !== 'string' || !equal(secret, NETWORK_SECRET)) {
    return res.status(403).end()
  }
  // From here on it comes from the network. Whatever is settled is answered 200, paid or not: any other answer to something
  // that is as it should be (a copy, an unpaid view) has the network send it again and again.
  const answer = (text) => res.type('text').send(text + '\n')
  const twice = Object.keys(req.query).find((name) => Array.isArray(req.query[name]))
  if (twice) return answer(`ignored: the parameter ${twice} came twice`)
  if (type !== 'impression' && type !== 'click') return answer('ignored: unknown event_type')
  // Paid for is `valued` and nothing else: not what is missing, and not what is unknown. It is looked at before the view is
  // marked, so that an unpaid event which comes first does not use up the ymid.
  if (value !== 'valued') return answer('ignored: not valued')
  let said
  try {
    said = payViewOnce(zone ?? '', ymid ?? '')
  } catch (err) {
    // Now the network should send it again. A 200 here would lose the user's coins.
    console.error('postback:', err.message)
    return res.status(503).end()
  }
  crashAt('before_answer') // only for the tests
  answer(said)
})

const payViewOnce = db.transaction(payView).immediate

// payView pays for a view, once. It runs in a transaction, which the mark and the coins share.
function payView(zone, ymid) {
  const match = YMID.exec(ymid)
  if (!match) return 'ignored: the ymid is not one that the app made' // also an unfilled "{ymid}", and none at all
  // The impression and the click of one view have one ymid, and pay once: so the event type is not part of the key. Ids of
  // two zones may be equal: so the zone is. Inserting, not asking first: two copies in parallel would both find nothing.
  const { changes } = db.prepare('INSERT INTO paid_views (zone, ymid) VALUES (?, ?) ON CONFLICT DO NOTHING').run(zone, ymid)
  if (changes === 0) return 'OK, paid before'
  crashAt('after_mark') // only for the tests
  addCoins(match[1], COINS_PER_VIEW)
  crashAt('after_grant') // only for the tests
  return 'OK'
}

function addCoins(user, coins) {
  // Whole coins, and one statement: who reads the balance first and writes it then loses one of two that come together.
  db.prepare(`INSERT INTO balances (user, coins) VALUES (?, ?)
    ON CONFLICT (user) DO UPDATE SET coins = coins + excluded.coins`).run(user, coins)
}

// The four parameters tell Express that this handles errors. Its own handler would answer with a stack trace.
app.use((err, req, res, _next) => {
  console.error(`${req.path}:`, err.message)
  res.status(err.status === 413 ? 413 : 500).end()
})

// tests: begin
// crashAt ends this process as a power cut would when CRASH_AT names the given point.
function crashAt(point) {
  if (process.env.CRASH_AT === point) process.kill(process.pid, 'SIGKILL')
}
// tests: end

app.listen(Number(process.env.PORT || 3000), '127.0.0.1')
