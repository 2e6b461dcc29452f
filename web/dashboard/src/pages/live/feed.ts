import { useQuery } from '@tanstack/react-query'
import { useEffect, useMemo, useRef, useState } from 'react'
import { api, ok, type Schemas } from '../../api/client'
import { useSession } from '../../api/session'
import type { Filter } from '../../parts/filter'
import { type StreamState, useStream } from '../../parts/stream'
import { passes, pastEvent, pastRefusal, received, type Row, sent } from './row'

/** Most rows that are kept: more than anybody reads, and few enough for any browser. */
const most = 500

/** How often what has come is shown. More often would flicker, and keep the browser busy with hundreds of events a second. */
const everyMs = 250

/** A Feed is what has come since the page was opened, newest first, and how the connection stands. */
export interface Feed {
  state: StreamState
  rows: Row[]
  /** waiting is how many came that the filter lets through while the page was paused. */
  waiting: number
  /** counts says how many came of each outcome, whatever the filter lets through. */
  counts: Record<string, number>
  /** skipped is true when more came than the server could show. */
  skipped: boolean
  clear: () => void
}

/** useFeed follows the feed of an app, a source or an endpoint. While paused, what comes is kept and counted, and shown later. */
export function useFeed(filter: Filter, paused: boolean, attempt: number): Feed {
  const path = `/v1/live?${new URLSearchParams(
    Object.entries({ app: filter.app, source: filter.source, endpoint: filter.endpoint, kind: filter.endpoint ? 'sent' : undefined }).filter(
      (pair): pair is [string, string] => Boolean(pair[1]),
    ),
  )}`
  const [shown, setShown] = useState<{ rows: Row[]; counts: Record<string, number>; skipped: boolean }>({ rows: [], counts: {}, skipped: false })
  const [waiting, setWaiting] = useState(0)
  // What has come and is not shown yet. It belongs to the stream's callback and the clock below, and causes no drawing.
  const fresh = useRef<{ rows: Row[]; n: number; counts: Record<string, number>; skipped: boolean }>({ rows: [], n: 0, counts: {}, skipped: false })
  const serial = useRef(0)
  const asked = useRef(filter)
  asked.current = filter

  const state = useStream(
    path,
    ['received', 'sent', 'skipped'],
    (name, data) => {
      const next = fresh.current
      if (name === 'skipped') {
        next.skipped = true
        return
      }
      const row = name === 'sent' ? sent(data as Schemas['LiveSent']) : received(data as Schemas['LiveReceived'], (serial.current += 1))
      next.counts[row.outcome] = (next.counts[row.outcome] ?? 0) + 1
      if (!passes(row, asked.current)) return
      next.n += 1
      next.rows.push(row)
      if (next.rows.length > 2 * most) next.rows.splice(0, next.rows.length - most)
    },
    attempt,
  )

  useEffect(() => {
    const clock = setInterval(() => {
      const next = fresh.current
      if (paused) {
        setWaiting(next.n)
        return
      }
      if (next.n === 0 && !next.skipped && Object.keys(next.counts).length === 0) return
      fresh.current = { rows: [], n: 0, counts: {}, skipped: false }
      setWaiting(0)
      setShown((before) => {
        const counts = { ...before.counts }
        for (const [outcome, n] of Object.entries(next.counts)) counts[outcome] = (counts[outcome] ?? 0) + n
        // After a cut the server may send some a second time.
        const known = new Set(before.rows.map((r) => r.key))
        const rows = next.rows.filter((r) => !known.has(r.key)).reverse()
        return { rows: [...rows, ...before.rows].slice(0, most), counts, skipped: before.skipped || next.skipped }
      })
    }, everyMs)
    return () => clearInterval(clock)
  }, [paused])

  // Another feed begins with nothing.
  const [of, setOf] = useState(path)
  const clear = () => {
    fresh.current = { rows: [], n: 0, counts: {}, skipped: false }
    setWaiting(0)
    setShown({ rows: [], counts: {}, skipped: false })
  }
  if (of !== path) {
    setOf(path)
    clear()
  }

  const rows = useMemo(() => shown.rows.filter((r) => passes(r, filter)), [shown.rows, filter])
  return { state, rows, waiting, counts: shown.counts, skipped: shown.skipped, clear }
}

/** usePast reads the newest of what came before the page was opened, once, so that it is not empty beside a network that is slow. */
export function usePast(filter: Filter) {
  const { may } = useSession()
  const { app, source, endpoint } = filter
  return useQuery({
    queryKey: ['live', 'past', app, source, endpoint],
    queryFn: async () => {
      const query = { app, source, limit: 25 }
      const [events, refused, unverified, attempts] = await Promise.all([
        endpoint ? [] : ok(api.GET('/v1/events', { params: { query } })).then((list) => list.events),
        endpoint || !may('list-received') ? [] : ok(api.GET('/v1/received', { params: { query: { ...query, kind: 'refused' } } })).then((list) => list.received),
        endpoint || !may('list-received') ? [] : ok(api.GET('/v1/received', { params: { query: { ...query, kind: 'unverified' } } })).then((list) => list.received),
        source ? [] : ok(api.GET('/v1/attempts', { params: { query: { app, endpoint, limit: 25 } } })).then((list) => list.attempts),
      ])
      const rows = [
        ...events.map(pastEvent),
        ...[...refused, ...unverified].map(pastRefusal),
        ...attempts.map(sent),
      ]
      return rows.sort((a, b) => b.at.localeCompare(a.at))
    },
    // It is read anew whenever the page is opened, and not while it is open.
    staleTime: Infinity,
    gcTime: 0,
  })
}
