// What the server is told of one showing, one beacon after the other.

import { CaromAdError } from './error.js'
import { post, sleep } from './request.js'

/** Measure is what was seen of the ad up to now. */
export interface Measure {
  shown_ms: number
  visible_ms: number
  share: number
  visible: boolean
  trusted?: boolean
}

export type Kind = 'start' | 'viewable' | 'click' | 'end'

/** Answer is what the server says to a beacon. */
export interface Answer {
  token?: string
  state: 'open' | 'confirmed' | 'declined'
  reward_event_type?: 'valued' | 'not_valued'
  estimated_price?: string
}

// For how long a beacon is tried again.
const patienceMs = 60_000

/**
 * openOutbox returns the function that sends the beacons of a showing, whose first is start. Each of them waits for the one
 * before: the server takes them in their order only, and the token that proves the start comes with its answer. `heard` gets
 * the answers, and says whether that was the last. `lost` is called once when a beacon cannot be delivered, and those after it
 * are dropped. `leaving` is called when the page goes, and may send a last beacon.
 *
 * The server judges by its own clock too, so viewable is kept back until viewableMs after the answer to start: that beacon
 * may have been long on its way, and the pause between the two would look too short.
 */
export const openOutbox = (
  url: string,
  token: string,
  viewableMs: number,
  heard: (kind: Kind, answer: Answer) => boolean,
  lost: (why: CaromAdError) => void,
  leaving: () => void,
) => {
  const waiting: ({ beacon: Kind } & Measure)[] = []
  let startedAt: number | undefined // when start was answered
  let running = false
  let sending = false // the first in line is on its way
  let gone = false // the page is, if it does not come back
  let ended = false
  let wake = () => {}

  const awake = () => wake()

  // What waits when the page goes may never get its turn, so copies of it go at once, for whose answers nobody waits: the
  // same beacon counts once. Copies may overtake one another, so `end` goes only when nothing else is left.
  const leave = () => {
    gone = true
    leaving()
    if (startedAt === undefined) return
    for (const beacon of sending ? waiting.slice(1) : waiting) {
      if (beacon.beacon != 'end' || waiting.length == 1) navigator.sendBeacon?.(url, JSON.stringify({ token, ...beacon }))
    }
  }
  const comeBack = () => {
    gone = false
    void run()
  }
  const listeners = { online: awake, pagehide: leave, pageshow: comeBack }

  const close = () => {
    ended = true
    for (const [type, listener] of Object.entries(listeners)) window.removeEventListener(type, listener)
  }

  const deliver = async (beacon: object): Promise<Answer> => {
    const until = performance.now() + patienceMs
    for (let pauseMs = 500; ; pauseMs = Math.min(pauseMs * 2, 8000)) {
      try {
        sending = true
        return await post(url, { token, ...beacon }, undefined, true)
      } catch (thrown) {
        sending = false
        const { retryMs } = thrown as CaromAdError
        const restMs = Math.max(pauseMs, retryMs || 0)
        if (retryMs === undefined || performance.now() + restMs > until) throw thrown
        // A server that asks to be left alone is, even when the connection comes back.
        await sleep(restMs, (now) => (wake = retryMs ? wake : now))
      } finally {
        sending = false
      }
    }
  }

  const run = async () => {
    if (running || gone) return
    running = true
    for (; waiting.length && !ended; waiting.shift()) {
      const beacon = waiting[0]
      try {
        if (beacon.beacon == 'viewable') await sleep(startedAt! + viewableMs - performance.now())
        const answer = await deliver(beacon)
        if (beacon.beacon == 'start') {
          if (!answer.token) throw new CaromAdError('network', `${url} answered start without a token`)
          token = answer.token
          startedAt = performance.now()
        }
        if (heard(beacon.beacon, answer)) close()
      } catch (thrown) {
        close()
        lost(thrown as CaromAdError)
      }
    }
    running = false
  }

  for (const [type, listener] of Object.entries(listeners)) window.addEventListener(type, listener)
  return (beacon: Kind, measure: Measure) => {
    if (ended) return
    waiting.push({ beacon, ...measure })
    void run()
  }
}
