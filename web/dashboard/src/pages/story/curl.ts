import type { Schemas } from '../../api/client'

/** quote writes text as one word of a shell. */
export const quote = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`

/** curlOf writes a request as a command. What is masked in the URL stays masked: whoever runs it fills the secret in. */
export function curlOf(request: { method: string; url: string; headers?: { name: string; value: string }[]; body?: string }): string {
  const words = ['curl', '--globoff']
  if (request.method !== 'GET') words.push('--request', quote(request.method))
  for (const h of request.headers ?? []) words.push('--header', quote(`${h.name}: ${h.value}`))
  if (request.body) words.push('--data-raw', quote(request.body))
  words.push(quote(request.url))
  return words.join(' ')
}

/** urlOf is the URL that a received postback was sent to, with its secret masked. */
export const urlOf = (r: Schemas['Received']): string => `${location.origin}${r.path}${r.query ? `?${r.query}` : ''}`

/** curlOfReceived writes a received postback as a command. */
export function curlOfReceived(r: Schemas['Received']): string {
  const headers = (r.headers ?? []).map((h) => ({ name: h.name, value: h.value }))
  if (r.content_type && !headers.some((h) => h.name.toLowerCase() === 'content-type')) headers.push({ name: 'Content-Type', value: r.content_type })
  return curlOf({ method: r.method, url: urlOf(r), headers, body: r.body })
}
