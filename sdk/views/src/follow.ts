// Showing the ad and waiting for the server's word, at the same time.

import type { Failure as PublicFailure, Outcome, Update, View, WaitOptions } from '../carom-views.js'
import { asFailure, backoffMs, type Failure, on, send, sleep, within } from './request.js'

// No network's ad takes so long: a show() that never settles must not keep the user for ever.
const showLimitMs = 300_000
// The least time between two requests of one waiter, unless the answer before had news.
const gapMs = 1_000
// The server answers a long poll within 25 seconds. Where ten more bring nothing, the connection is dead.
const pollMs = 35_000
const lastLookMs = 5_000

/** failed is the outcome when nothing can be said of a view, or none was opened. */
export const failed = (cause: PublicFailure, view?: View): Outcome => ({ state: 'failed', error: cause.error, cause, view })

/**
 * follow calls show, waits until it has settled and the view's end is known or the patience has ended, and returns the
 * outcome. It throws only when ended is aborted, which whoever calls it does when nobody waits any more. url is the view's.
 */
export const follow = async (
  url: string,
  view: View,
  { onUpdate, patienceMs = 60_000 }: WaitOptions,
  ended: AbortSignal,
  show?: () => unknown,
): Promise<Outcome> => {
  let nap = new AbortController() // aborted when a request or a pause in hand has to give way to a new request
  let gap: Promise<void> | undefined // ends when the next request may be made
  let failing: Failure | undefined // why the latest request failed, if it did
  let unpaid = false
  let shown = !show
  let told: Update['state'] | undefined

  // What was in hand when the page lost the user or the network may be dead without knowing.
  const wake = () => nap.abort()
  on(ended, 'abort', wake)
  on(window, 'online', wake, ended)
  on(document, 'visibilitychange', () => document.hidden || wake(), ended)

  const tell = () => {
    const state = failing ? 'retrying' : unpaid ? 'unpaid' : shown ? 'waiting' : 'showing'
    if (state != told && !ended.aborted) {
      told = state
      // What the app's function throws is reported as its own error, and does not end the waiting.
      void Promise.resolve({ state, view } as Update).then(onUpdate)
    }
  }

  // ask returns the outcome, or nothing while the view is open. A state that this version does not know counts as open.
  const ask = async (query: string, ms: number, signal: AbortSignal): Promise<Outcome | undefined> => {
    const answer = await within(ms, signal, (signal) => send(url + query, 'Bearer ' + view.token, signal))
    failing = undefined
    unpaid = unpaid || !!answer.unpaid
    return ['confirmed', 'declined', 'expired'].includes(answer.state) ? { ...answer, view } : undefined
  }

  // poll asks until the server has spoken. It throws when the call ends before.
  const poll = async (): Promise<Outcome> => {
    for (let failures = 0; ; await gap) {
      if (ended.aborted) throw ended
      gap = sleep(gapMs, ended)
      nap = new AbortController()
      const { signal } = nap
      const before = unpaid
      try {
        const outcome = await ask('?wait=25s' + (unpaid ? '&unpaid=1' : ''), pollMs, signal)
        if (outcome) return outcome
        failures = 0
        if (unpaid != before) gap = undefined // the confirmation may be close behind
        tell()
      } catch (thrown) {
        if (signal.aborted) continue
        failing = asFailure(thrown)
        if (failing.error != 'network') return failed(failing, view)
        tell()
        // What the server asks for is not cut short when the page comes back. The backoff after it spreads the clients.
        await sleep(failing.pauseMs, ended)
        await sleep(backoffMs(failures++), signal)
      }
    }
  }

  // look asks a last time, without waiting at the server, and says how it stands if there is still no end.
  const look = async (stand: () => Outcome): Promise<Outcome> => {
    if (failing) await gap
    // A server that has asked to be left alone is.
    if (!failing || failing.pauseMs <= 0) {
      try {
        const outcome = await ask('', lastLookMs, ended)
        if (outcome) return outcome
      } catch (thrown) {
        failing = asFailure(thrown)
      }
    }
    return stand()
  }

  // show comes first: a popup has to be opened before the user's tap is over, that is before anything is awaited.
  const settled = new Promise((resolve) => resolve(show?.())).then(
    () => undefined,
    (cause: unknown) => ({ cause }),
  )
  const word = poll()
  tell()
  // An outcome is for a user who sees the app again, hence it waits for the ad to end.
  const noAd = await Promise.race([settled, sleep(showLimitMs, ended), word.then(() => sleep(patienceMs, ended))])
  shown = true
  const known = await Promise.race([word, undefined])
  if (known) return known
  if (noAd) return Promise.race([word, look(() => ({ state: 'no_ad', view, ...noAd }))])
  tell()
  return (
    (await Promise.race([word, sleep(patienceMs, ended)])) ||
    Promise.race([word, look(() => (failing ? failed(failing, view) : { state: unpaid ? 'unpaid' : 'late', view }))])
  )
}
