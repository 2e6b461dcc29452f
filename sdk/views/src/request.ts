// Requests with a deadline, and what their failures mean.

import type { Failure as PublicFailure } from '../carom-views.js'

/** Failure is why a request brought no answer of use. Only those with the error `network` are worth another try. */
export interface Failure extends PublicFailure {
  /** How long the server asks to be left alone. */
  pauseMs: number
}

export const failure = (error: Failure['error'], message: string, status = 0, pauseMs = 0): Failure =>
  Object.assign(new Error(message), { error, status, pauseMs })

/** asFailure takes whatever was thrown. What is no Failure is the browser's own error for a lost connection. */
export const asFailure = (thrown: unknown): Failure =>
  isFailure(thrown) ? thrown : failure('network', '' + thrown)

/** isFailure tells a Failure from what the app's functions and signals bring. */
export const isFailure = (thrown: unknown): thrown is Failure => (thrown as Failure)?.pauseMs != undefined

/** on listens until the signal is aborted. */
export const on = (target: EventTarget, type: string, listener: () => void, signal?: AbortSignal) =>
  target.addEventListener(type, listener, { signal: signal! })

/** sleep ends after ms, or at once when the signal is aborted: whoever needs to know which looks at the signal. */
export const sleep = (ms: number, signal: AbortSignal) =>
  new Promise<void>((resolve) => {
    const wake = () => {
      clearTimeout(timer)
      signal.removeEventListener('abort', wake)
      resolve()
    }
    // A browser takes more milliseconds than 31 bits hold for none at all. These are eleven days.
    const timer = setTimeout(wake, Math.min(ms, 1e9))
    on(signal, 'abort', wake)
    if (signal.aborted || ms <= 0) wake()
  })

/**
 * backoffMs is how long to wait after so many failures in a row: 1, 2, 4, 8, 15 seconds, and up to half as much again, so
 * that the clients of a server that was away do not all come back at the same moment.
 */
export const backoffMs = (failures: number) => Math.min(1000 * 2 ** failures, 15000) * (1 + Math.random() / 2)

/**
 * within runs act, and rejects with the outer signal's reason when that is aborted, and with a Failure after ms (0: never).
 * act is given a signal that is aborted in any case when within ends, so that nothing outlives it.
 */
export const within = async <T>(
  ms: number,
  outer: AbortSignal | undefined,
  act: (signal: AbortSignal) => Promise<T>,
): Promise<T> => {
  const inner = new AbortController()
  const { signal } = inner
  try {
    return await new Promise<T>((resolve, reject) => {
      if (outer) {
        // Browsers before 2022 do not keep the reason.
        const stop = () => reject(outer.reason || new DOMException('aborted', 'AbortError'))
        if (outer.aborted) return stop()
        on(outer, 'abort', stop, signal)
      }
      if (ms) void sleep(ms, signal).then(() => reject(failure('network', `no answer within ${ms} ms`)))
      act(signal).then(resolve, reject)
    })
  } finally {
    inner.abort()
  }
}

/** send makes one request and returns the JSON of a good answer. It throws a Failure, or what fetch throws. */
export const send = async (url: string, Authorization: string, signal: AbortSignal, body?: object): Promise<any> =>
  read(
    await fetch(url, {
      ...(body && { method: 'POST', body: JSON.stringify(body) }),
      headers: { Authorization, ...(body && { 'Content-Type': 'application/json' }) },
      cache: 'no-store',
      signal,
    }),
  )

/** read returns the JSON of a good response, and throws a Failure for any other. */
export const read = async (response: Response): Promise<any> => {
  const { status } = response
  if (response.ok) return response.json()
  // carom says what is wrong as problem details; a proxy before it may say anything.
  const { detail } = (await response.json().catch(() => 0)) || {}
  // Seconds, or a date; what is absent or unreadable is 0.
  const after = response.headers.get('Retry-After') || ''
  throw failure(
    status > 499 || status == 429 || status == 408 ? 'network' : status == 401 || status == 403 ? 'forbidden' : 'invalid',
    `HTTP ${status} ${detail || ''}`,
    status,
    +after * 1000 || Date.parse(after) - Date.now() || 0,
  )
}
