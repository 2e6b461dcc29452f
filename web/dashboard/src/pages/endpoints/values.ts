import type { Schemas } from '../../api/client'
import type { Settings } from './data'

/** A HeaderRow is one header of a form. What is stored of its value is never shown; an empty value of a kept row leaves it as it is. */
export interface HeaderRow {
  name: string
  value: string
  kept: boolean
}

/** Values are what the form of an endpoint holds: every setting, under the name that it has in the objects file. */
export interface Values extends Record<string, unknown> {
  name: string
  app: string
  sends: string
  method: string
  url: string
  content_type: string
  body: string
  dialect: string
  headers: HeaderRow[]
  filter: { event_types: string[]; values: string[]; zones: string[]; request_vars: string[]; sources: string[]; rules: string[] }
  default: boolean
  success: { contains: string; not_contains: string }
  schedule: string
  deadline: string
  timeout: string
  rate: number | string
  concurrency: number | string
  once: boolean
  allow_private: boolean
  paused: boolean
  /** signing says what becomes of the signing secret: it stays, there is none, or the one in signing_secret. */
  signing: 'keep' | 'none' | 'new'
  signing_secret: string
}

/** What stands where a stored value is not shown. Given back, it stays. */
export const masked = '***'

/** valuesOf fills the form in from what is stored. */
export function valuesOf(s: Settings | undefined, app: string, name: string): Values {
  return {
    app,
    name,
    sends: s?.sends ?? 'events',
    method: s?.method ?? 'GET',
    url: s?.url ?? '',
    content_type: s?.content_type ?? 'json',
    body: s?.body ?? '',
    dialect: s?.dialect ?? '',
    headers: Object.entries(s?.headers ?? {}).map(([header, value]) => ({ name: header, value: value === masked ? '' : value, kept: value === masked })),
    filter: {
      event_types: s?.filter?.event_types ?? [],
      // Of a new endpoint, what pays is the better beginning: unpaid events are what backends most often take for paid ones.
      values: s ? (s.filter?.values ?? []) : ['valued'],
      zones: s?.filter?.zones ?? [],
      request_vars: s?.filter?.request_vars ?? [],
      sources: s?.filter?.sources ?? [],
      rules: s?.filter?.rules ?? [],
    },
    default: s?.default ?? false,
    success: { contains: s?.success?.contains ?? '', not_contains: s?.success?.not_contains ?? '' },
    schedule: (s?.schedule ?? []).join(', '),
    deadline: s?.deadline ?? '',
    timeout: s?.timeout ?? '',
    rate: s?.rate ?? '',
    concurrency: s?.concurrency ?? '',
    once: s?.once ?? false,
    allow_private: s?.allow_private ?? false,
    paused: s?.paused ?? false,
    signing: 'keep',
    signing_secret: '',
  }
}

const words = (text: string) => text.split(/[\s,]+/).filter(Boolean)
const list = (key: string, items: string[]) => (items.length > 0 ? { [key]: items } : {})
const text = (key: string, value: string) => (value.trim() ? { [key]: value.trim() } : {})
const flag = (key: string, value: boolean) => (value ? { [key]: true } : {})
const number = (key: string, value: number | string) => (Number(value) > 0 ? { [key]: Number(value) } : {})

/** settingsOf is what PUT takes: what is at its default is left out, and so is a secret that stays. */
export function settingsOf(v: Values): Settings {
  const post = v.method === 'POST'
  const rewards = v.sends === 'rewards'
  const filter = rewards
    ? { ...list('rules', v.filter.rules), ...list('sources', v.filter.sources) }
    : {
        ...list('event_types', v.filter.event_types),
        ...list('values', v.filter.values),
        ...list('zones', v.filter.zones),
        ...list('request_vars', v.filter.request_vars),
        ...list('sources', v.filter.sources),
      }
  const success = { ...text('contains', v.success.contains), ...text('not_contains', v.success.not_contains) }
  const headers = v.headers.filter((h) => h.name.trim())
  return {
    url: v.url.trim(),
    ...(post && { method: 'POST' as const, content_type: v.content_type as 'json', ...(v.body && { body: v.body }) }),
    ...text('dialect', v.dialect),
    ...(headers.length > 0 && { headers: Object.fromEntries(headers.map((h) => [h.name.trim(), h.kept && !h.value ? masked : h.value])) }),
    ...(rewards && { sends: 'rewards' as const }),
    ...(Object.keys(filter).length > 0 && { filter }),
    ...flag('default', v.default && !rewards),
    ...(Object.keys(success).length > 0 && { success }),
    ...list('schedule', words(v.schedule)),
    ...text('deadline', v.deadline),
    ...text('timeout', v.timeout),
    ...number('rate', v.rate),
    ...number('concurrency', v.concurrency),
    ...flag('once', v.once),
    ...flag('allow_private', v.allow_private),
    ...flag('paused', v.paused),
    ...(v.signing === 'none' && { signing_secret: '' }),
    ...(v.signing === 'new' && { signing_secret: v.signing_secret }),
  }
}

/** templateOf is what a preview is asked about: another shape than PUT has, which publishers' pages use as well. */
export function templateOf(v: Values, signed: boolean): Schemas['Template'] {
  const s = settingsOf(v)
  return {
    url: s.url,
    method: v.method,
    content_type: s.content_type,
    body: s.body,
    dialect: s.dialect,
    headers: Object.entries(s.headers ?? {}).map(([name, value]) => ({ name, value })),
    zones: s.filter?.zones,
    event_types: s.filter?.event_types,
    values: s.filter?.values,
    default: s.default,
    contains: s.success?.contains,
    not_contains: s.success?.not_contains,
    signed: v.signing === 'keep' ? signed : v.signing === 'new',
  }
}

const duration = (v: string) => (!v.trim() || /^(\d+(\.\d+)?(ms|s|m|h|d))+$/.test(v.trim()) ? null : 'Write a time such as 30s, 10m, 12h or 3d')

/** faults are what can be said before the server is asked. */
export const faults = {
  app: (v: string) => (v.trim() ? null : 'Choose the app whose events it gets'),
  name: (v: string) => (/^[a-z0-9][a-z0-9_-]*$/.test(v.trim()) ? null : 'A name has lower-case letters, digits, - and _'),
  url: (v: string) => (/^https?:\/\/[^/\s{]/.test(v.trim()) ? null : 'Write a whole URL, such as https://game.example.com/postback?ymid={ymid}'),
  deadline: duration,
  timeout: duration,
  schedule: (v: string) => words(v).map(duration).find(Boolean) ?? null,
  headers: {
    name: (v: string) => (v.trim() && !/^[\w!#$%&'*+.^`|~-]+$/.test(v.trim()) ? 'This is no name of a header: write one such as X-Api-Key' : null),
  },
}

/** newSecret makes a signing secret as the receiver's library reads it: 32 random bytes. */
export function newSecret(): string {
  return `whsec_${btoa(String.fromCharCode(...crypto.getRandomValues(new Uint8Array(32))))}`
}

/** fieldOf is the form's field for a field that the server names: filter.event_types[0] is filter.event_types. */
export function fieldOf(field: string, v: Values): string {
  const name = field.replace(/^body\./, '').replace(/\[\d+\]$/, '')
  const header = /^headers\.(.+)$/.exec(name)?.[1]
  if (!header) return name
  return `headers.${v.headers.findIndex((h) => h.name.trim().toLowerCase() === header.toLowerCase())}.value`
}
