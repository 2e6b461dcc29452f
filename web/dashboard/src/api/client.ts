import createClient, { type Middleware } from 'openapi-fetch'
import type { components, paths } from './schema'

/** The shapes of /v1 by their names in the OpenAPI document. */
export type Schemas = components['schemas']

/** Why a request was refused, as RFC 9457 has it. */
export type Problem = Schemas['Problem']

/** RequestFailed is what every refused or lost request becomes. Its text says what is wrong and what to do. */
export class RequestFailed extends Error {
  constructor(
    readonly problem: Problem,
    /** Of what is asked too often, or of a server in trouble: after how many seconds it is worth trying again. */
    readonly retryAfter?: number,
  ) {
    super(problem.detail)
  }

  get status(): number {
    return this.problem.status
  }

  /** faults are what is wrong with single fields, by their names in the request. */
  get faults(): Record<string, string> {
    return Object.fromEntries((this.problem.errors ?? []).map((e) => [e.field, e.message]))
  }
}

const unreachable: Problem = {
  type: 'about:blank',
  title: 'No answer',
  status: 0,
  detail: 'the server cannot be reached: see whether it runs, and whether this machine is online; nothing you typed is lost',
}

const listeners = new Set<() => void>()

/** onSignedOut calls listener when a request shows that the session has ended. It returns what ends that. */
export function onSignedOut(listener: () => void): () => void {
  listeners.add(listener)
  return () => listeners.delete(listener)
}

const problems: Middleware = {
  // No other site can make a browser send this header, see docs/people.md.
  onRequest: ({ request }) => {
    if (request.method !== 'GET') request.headers.set('Carom-Request', '1')
    return request
  },
  onResponse: async ({ request, response }) => {
    if (response.ok) return response
    const retry = Number(response.headers.get('Retry-After')) || undefined
    let problem: Problem
    try {
      problem = (await response.clone().json()) as Problem
    } catch {
      problem = { ...unreachable, status: response.status, title: response.statusText, detail: `the server answered ${response.status} without saying why: try again, and look at its log` }
    }
    if (response.status === 401 && !new URL(request.url).pathname.startsWith('/v1/session')) listeners.forEach((tell) => tell())
    throw new RequestFailed(problem, retry)
  },
  onError: ({ error }) => (error instanceof DOMException && error.name === 'AbortError' ? error : new RequestFailed(unreachable)),
}

/** api asks /v1, and nothing else: see test/routes.test.mjs. */
export const api = createClient<paths>({ baseUrl: location.origin, credentials: 'same-origin' })
api.use(problems)

/** ok unwraps an answer. What is no success was thrown before, as RequestFailed. */
export async function ok<T>(answer: Promise<{ data?: T; response: Response }>): Promise<T> {
  return (await answer).data as T
}

/** tagged unwraps an answer with its entity tag, which a later change gives back so that it overwrites nobody else's. */
export async function tagged<T>(answer: Promise<{ data?: T; response: Response }>): Promise<{ value: T; etag: string }> {
  const { data, response } = await answer
  return { value: data as T, etag: response.headers.get('ETag') ?? '' }
}
