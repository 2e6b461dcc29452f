// What the page asks of the server, and the link that lets it.

// The link's token is in memory, and in the storage of this tab so that a reload works: it is out of the address bar at once, where
// it would end in screenshots, bookmarks and the history. The storage ends with the tab, and no other tab reads it. Where a browser
// gives a framed page no storage, a reload needs the link again.
const kept = 'carom-link'

/** storage is that of this tab, or what stands in for it where there is none. */
export const storage = {
  get(key) {
    try {
      return sessionStorage.getItem(key)
    } catch {
      return null
    }
  },
  set(key, text) {
    try {
      sessionStorage.setItem(key, text)
    } catch {
      // A reload forgets it, and nothing else does.
    }
  },
  remove(key) {
    try {
      sessionStorage.removeItem(key)
    } catch {
      // As above.
    }
  },
}

let token = ''

/** takeToken takes the token out of the address, or else the one that this tab had before. It says whether the address had one. */
export function takeToken() {
  const given = decodeFragment(location.hash.slice(1))
  if (given.startsWith('cps_')) {
    token = given
    storage.set(kept, token)
    history.replaceState(history.state, '', location.pathname + location.search)
    return true
  }
  token ||= storage.get(kept) ?? ''
  return false
}

function decodeFragment(text) {
  try {
    return decodeURIComponent(text).trim() // some programs encode what they paste
  } catch {
    return text
  }
}

/** hasToken says whether there is a token at all. */
export const hasToken = () => token !== ''

/** Problem is an answer that is none: with the server's words, and each fault by its field. */
export class Problem extends Error {
  constructor(status, detail, faults = []) {
    super(detail)
    this.status = status
    this.faults = faults // [{ field, message }]
  }
}

// The page may be served below a path of the operator's proxy, and the API then is as well.
const base = new URL('../v1/', import.meta.url)

/** path writes a path below /v1 from its parts. */
export const path = (...parts) => parts.map(encodeURIComponent).join('/')

/**
 * ask sends one request and returns the answer's JSON. It throws a Problem, with the status 0 when there was no answer. A signal that
 * fires throws what fetch throws.
 */
export async function ask(method, path, body, signal) {
  let answer, text
  try {
    answer = await fetch(new URL(path, base), {
      method,
      signal,
      cache: 'no-store',
      credentials: 'omit',
      headers: { Authorization: `Bearer ${token}`, ...(body !== undefined && { 'Content-Type': 'application/json' }) },
      body: body === undefined ? undefined : JSON.stringify(body),
    })
    text = await answer.text()
  } catch (err) {
    if (signal?.aborted) throw err
    throw new Problem(0, 'The server cannot be reached. Check your connection, then do the same again.')
  }
  let said = {}
  try {
    said = text === '' ? {} : JSON.parse(text)
  } catch {
    throw new Problem(answer.status, `The server gave an answer of status ${answer.status} that this page does not understand. Try again in a minute.`)
  }
  if (answer.ok) return said
  throw new Problem(answer.status, said.detail || `The server answered ${answer.status}. Try again in a minute.`,
    (said.errors ?? []).map(({ field = '', message }) => ({ field: field.replace(/^body\./, ''), message })))
}
