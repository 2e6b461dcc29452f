import { api, ok, type Schemas } from '../../api/client'
import type { Filter, FilterWord } from '../../parts/filter'

/** A Slice is one page of a list. It may be short, even empty, and have a next one: the server looks at so many rows for each. */
export interface Slice<T> {
  rows: T[]
  next?: string
}

/** The words of a filter that stand for what is looked for. The rest says which list it is, or how it is shown. */
export type Word = Extract<FilterWord, 'app' | 'source' | 'endpoint' | 'user' | 'ymid' | 'zone' | 'sub_zone' | 'request_var' | 'event_type' | 'network' | 'outcome' | 'state' | 'reason' | 'from' | 'to'>

/** The Rows of each list. */
export interface Rows {
  event: Schemas['Event']
  delivery: Schemas['DeliveryRow']
  refused: Schemas['Refusal']
  unverified: Schemas['Refusal']
  view: Schemas['ViewRow']
}
export type Kind = keyof Rows

/** A Listing is one of the lists of the page: what it takes, how it is read, and what an exported file has of each row. */
export interface Listing<K extends Kind> {
  title: string
  noun: string
  /** needs is the operation of /v1 that it is read by. */
  needs: string
  words: readonly Word[]
  most: number
  read: (filter: Filter, limit: number, before?: string) => Promise<Slice<Rows[K]>>
  at: (row: Rows[K]) => string
  columns: Record<string, (row: Rows[K]) => string>
}

const listReceived = (kind: 'refused' | 'unverified') => async (f: Filter, limit: number, before?: string) => {
  const reason = f.reason?.replaceAll(' ', '_') // as it is shown
  const list = await ok(api.GET('/v1/received', { params: { query: { kind, app: f.app, source: f.source, reason, from: f.from, to: f.to, limit, before } } }))
  return { rows: list.received, next: list.next }
}

const refusalColumns: Record<string, (r: Schemas['Refusal']) => string> = {
  at: (r) => r.received.at,
  id: (r) => r.id ?? '',
  app: (r) => r.app,
  source: (r) => r.source,
  network: (r) => r.network ?? '',
  reason: (r) => r.reason,
  detail: (r) => r.detail ?? '',
  method: (r) => r.received.method,
  path: (r) => r.received.path,
  query: (r) => r.received.query,
  body: (r) => r.received.body ?? '',
  client: (r) => r.received.client,
}

/** The lists by their kind, in the order of their tabs. */
export const listings: { [K in Kind]: Listing<K> } = {
  event: {
    title: 'Events', noun: 'events', needs: 'list-events', most: 1000,
    words: ['app', 'source', 'user', 'ymid', 'zone', 'sub_zone', 'request_var', 'event_type', 'network', 'outcome', 'from', 'to'],
    read: async (f, limit, before) => {
      const { app, source, user, ymid, zone, sub_zone, request_var, event_type, network, from, to } = f
      const outcome = (f.outcome || undefined) as 'accepted' | 'held' | 'unmatched' | undefined
      const list = await ok(api.GET('/v1/events', { params: { query: { app, source, user, ymid, zone, sub_zone, request_var, event_type, network, outcome, from, to, limit, before } } }))
      return { rows: list.events, next: list.next }
    },
    at: (e) => e.at,
    columns: {
      at: (e) => e.at,
      id: (e) => e.id,
      app: (e) => e.app,
      source: (e) => e.source,
      network: (e) => e.network,
      event_type: (e) => e.event_type,
      reward_event_type: (e) => e.reward_event_type,
      user: (e) => e.telegram_id || e.user_id || '',
      ymid: (e) => e.ymid,
      zone_id: (e) => e.zone_id,
      sub_zone_id: (e) => e.sub_zone_id,
      request_var: (e) => e.request_var,
      estimated_price: (e) => e.estimated_price,
      external_id: (e) => e.external_id ?? '',
      held: (e) => e.held ?? '',
      strength: (e) => e.strength,
      view: (e) => e.view ?? '',
      fields: (e) => (e.fields ? JSON.stringify(e.fields) : ''),
    },
  },
  delivery: {
    title: 'Deliveries', noun: 'deliveries', needs: 'find-deliveries', most: 500,
    words: ['app', 'endpoint', 'state', 'from', 'to'],
    read: async (f, limit, before) => {
      const { app, endpoint, from, to } = f
      const state = (f.state || undefined) as Rows['delivery']['state'] | undefined
      const list = await ok(api.GET('/v1/deliveries', { params: { query: { app, endpoint, state, from, to, limit, before } } }))
      return { rows: list.deliveries, next: list.next }
    },
    at: (d) => d.at,
    columns: {
      at: (d) => d.at,
      id: (d) => d.id,
      event: (d) => d.event,
      reward: (d) => d.reward ?? '',
      endpoint: (d) => d.endpoint,
      state: (d) => d.state,
      attempts: (d) => String(d.attempts),
      last_at: (d) => d.last?.at ?? '',
      last_status: (d) => (d.last?.status ? String(d.last.status) : ''),
      last_reason: (d) => d.last?.reason ?? '',
      event_type: (d) => d.event_type,
      ymid: (d) => d.ymid,
      user: (d) => d.user ?? '',
    },
  },
  refused: {
    title: 'Refused', noun: 'refused postbacks', needs: 'list-received', most: 1000, words: ['app', 'source', 'reason', 'from', 'to'], read: listReceived('refused'), at: (r) => r.received.at, columns: refusalColumns,
  },
  unverified: {
    title: 'Unverified', noun: 'unverified postbacks', needs: 'list-received', most: 1000, words: ['app', 'source', 'reason', 'from', 'to'], read: listReceived('unverified'), at: (r) => r.received.at,
    columns: refusalColumns,
  },
  view: {
    title: 'Views', noun: 'views', needs: 'list-views', most: 100, words: ['app', 'user', 'ymid', 'state', 'from', 'to'],
    read: async (f, limit, before) => {
      const { app, user, ymid, from, to } = f
      const state = (f.state || undefined) as Rows['view']['state'] | undefined
      const list = await ok(api.GET('/v1/views', { params: { query: { app, user, ymid, state, from, to, limit, before } } }))
      return { rows: list.views, next: list.next }
    },
    at: (v) => v.opened_at,
    columns: {
      opened_at: (v) => v.opened_at,
      view_id: (v) => v.view_id,
      app: (v) => v.app,
      user: (v) => v.user,
      ymid: (v) => v.ymid,
      placement: (v) => v.placement ?? '',
      state: (v) => v.state,
      reward: (v) => v.reward?.id ?? '',
      amount: (v) => v.reward?.amount ?? '',
      currency: (v) => v.reward?.currency ?? '',
      words: (v) => v.words,
      expires_at: (v) => v.expires_at,
    },
  },
}

/** kindOf reads which list a filter asks for. */
export function kindOf(filter: Filter): Kind {
  return filter.kind && filter.kind in listings ? (filter.kind as Kind) : 'event'
}

/** narrowed keeps those words of a filter that a list takes. */
export function narrowed(filter: Filter, words: readonly Word[]): Filter {
  return Object.fromEntries(words.map((w) => [w, filter[w]]).filter(([, value]) => value))
}
