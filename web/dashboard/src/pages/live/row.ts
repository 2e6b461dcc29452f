import type { Schemas } from '../../api/client'
import { attemptWords } from '../../parts/attempt'
import type { Filter } from '../../parts/filter'

/** A Row is one postback of the feed, received or sent. */
export interface Row {
  /** key tells rows apart: what was there before and is heard of again has the same. */
  key: string
  at: string
  way: 'received' | 'sent'
  /** outcome is a word that parts/outcome.tsx knows. */
  outcome: string
  /** object is the source or the endpoint, as app/name. */
  object: string
  /** what says which event it is, such as "impression, valued". */
  what: string
  /** who names whose it is: pairs of a field and its value. */
  who: [field: string, value: string][]
  words: string
  /** story is the id whose story tells the rest; absent of what was not kept. */
  story?: string
}

/** received makes a row of a received postback. n tells those without an id apart. */
export function received(r: Schemas['LiveReceived'], n: number): Row {
  const kept = r.id && r.outcome !== 'duplicate' && r.outcome !== 'unverified'
  return {
    key: kept ? (r.id as string) : `received ${n}`,
    at: r.at, way: 'received', outcome: r.outcome, object: `${r.app}/${r.source}`, what: eventWords(r.event_type, r.reward_event_type),
    who: whose(r.user, r.ymid, r.zone), words: r.words, story: r.id || undefined,
  }
}

/** sent makes a row of an attempt, of the feed or stored. */
export function sent(a: Schemas['LiveSent'] | Schemas['SentPostback']): Row {
  const words = [attemptWords(a), `in ${Math.round(a.took_ms)} ms`, a.number > 1 ? `attempt ${a.number}` : ''].filter(Boolean).join(', ')
  return {
    key: `${a.delivery} ${a.number}`, at: a.at, way: 'sent', outcome: a.state === 'pending' ? 'retry' : a.state, object: a.endpoint, what: '', who: [], words, story: a.delivery,
  }
}

/** pastEvent makes a row of an event that is stored. */
export function pastEvent(e: Schemas['Event']): Row {
  return {
    key: e.id, at: e.at, way: 'received', outcome: e.held ? 'held' : 'accepted', object: `${e.app}/${e.source}`, what: eventWords(e.event_type, e.reward_event_type),
    who: whose(e.telegram_id || e.user_id || '', e.ymid, e.zone_id), words: e.held ? `held: ${e.held.replaceAll('_', ' ')}` : '', story: e.id,
  }
}

/** pastRefusal makes a row of a postback that became no event. */
export function pastRefusal(r: Schemas['Refusal'], n: number): Row {
  return {
    key: r.id || `unverified ${n}`, at: r.received.at, way: 'received', outcome: r.id ? 'refused' : 'unverified', object: `${r.app}/${r.source}`, what: '', who: [],
    words: [r.reason.replaceAll('_', ' '), r.detail].filter(Boolean).join(': '), story: r.id || undefined,
  }
}

function eventWords(type: string, value: string): string {
  return [type, value.replace('_', ' ')].filter(Boolean).join(', ')
}

function whose(user: string, ymid: string, zone: string): Row['who'] {
  return ([['user', user], ['ymid', ymid], ['zone', zone]] as Row['who']).filter(([, value]) => value)
}

/** passes says whether a row is one of those that the filter asks for. App, source and endpoint are left to the server. */
export function passes(row: Row, filter: Filter): boolean {
  if (filter.kind && row.way !== filter.kind) return false
  if (filter.outcome && row.outcome !== filter.outcome) return false
  if (!filter.q) return true
  const wanted = filter.q.toLowerCase()
  return [row.object, row.what, row.words, row.story ?? '', ...row.who.map(([, value]) => value)].some((text) => text.toLowerCase().includes(wanted))
}
