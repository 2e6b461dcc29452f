// One request to the server, and what its failure means.

import type { AdErrorCode } from '../sdk.js'
import { CaromAdError } from './error.js'

// A connection that has not brought an answer by then is dead.
const tryMs = 10_000

// The server's words for what is wrong, and ours. What is not among them is a failure of the network's.
const codes: Record<string, AdErrorCode> = {
  unknown_zone: 'zone',
  sub_zone: 'zone',
  format: 'zone',
  zone: 'zone',
  origin: 'origin',
  ymid_required: 'ymid_required',
  invalid: 'invalid',
  token: 'invalid',
  expired: 'invalid',
  order: 'invalid',
  too_many: 'too_many',
}

/** sleep ends after ms, or as soon as the function is called that it hands out. */
export const sleep = (ms: number, waking?: (wake: () => void) => void) =>
  new Promise<void>((resolve) => {
    // A browser takes more milliseconds than 31 bits hold for none at all. These are eleven days.
    const timer = setTimeout(resolve, Math.min(ms, 1e9))
    waking?.(() => {
      clearTimeout(timer)
      resolve()
    })
  })

/**
 * post sends a body and returns the answer. It throws a CaromAdError, whose retryMs is set when another try may help. The
 * body goes as plain text, since the browser would ask for leave before it sent JSON to another origin.
 */
export const post = async (url: string, body: object, stop?: AbortSignal, keepalive?: boolean): Promise<any> => {
  const abort = new AbortController()
  const end = () => abort.abort()
  const timer = setTimeout(end, tryMs)
  stop?.addEventListener('abort', end)
  if (stop?.aborted) end()
  try {
    const response = await fetch(url, {
      method: 'POST',
      body: JSON.stringify(body),
      mode: 'cors',
      credentials: 'omit',
      signal: abort.signal,
      keepalive,
    })
    if (response.ok) return await response.json()
    throw await refusal(response)
  } catch (thrown) {
    if (thrown instanceof CaromAdError) throw thrown
    // The browser does not say which it was.
    throw again('network', `${url} cannot be reached, or no app lists ${location.origin} among its origins (${thrown})`)
  } finally {
    clearTimeout(timer)
    stop?.removeEventListener('abort', end)
  }
}

const again = (code: AdErrorCode, text: string, retryMs = 0) => Object.assign(new CaromAdError(code, text), { retryMs })

/** refusal is what a response means that is none of the good ones. */
const refusal = async (response: Response): Promise<CaromAdError> => {
  const { status } = response
  // carom says what is wrong as problem details; a proxy before it may say anything.
  const problem = (await response.json().catch(() => 0)) || {}
  const text = problem.detail || problem.title || `HTTP ${status}`
  const code = codes[problem.code] || (status == 429 ? 'too_many' : 'network')
  if (status < 500 && status != 429 && status != 408) return new CaromAdError(code, text)
  // Seconds, or a date; what is absent or unreadable is 0.
  const after = response.headers.get('Retry-After') || ''
  return again(code, text, Math.max(0, +after * 1000 || Date.parse(after) - Date.now() || 0))
}
