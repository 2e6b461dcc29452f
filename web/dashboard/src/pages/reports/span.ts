import type { Filter } from '../../parts/filter'

/** A Span is the days of a report: as the viewer names them, and as moments for /v1, whose end is excluded. */
export interface Span {
  firstDay: string
  lastDay: string
  from: string
  to: string
  timeZone: string
}

const onlyDay = /^\d{4}-\d{2}-\d{2}$/

/** spanOf reads the days of a filter; without them the last seven. The days begin and end in the viewer's own time zone. */
export function spanOf(filter: Filter, now = new Date()): Span {
  const lastDay = filter.to && onlyDay.test(filter.to) ? filter.to : text(now)
  const end = midnight(lastDay)
  const firstDay = filter.from && onlyDay.test(filter.from) ? filter.from : text(new Date(end.getFullYear(), end.getMonth(), end.getDate() - 6))
  const next = new Date(end.getFullYear(), end.getMonth(), end.getDate() + 1)
  return { firstDay, lastDay, from: midnight(firstDay).toISOString(), to: next.toISOString(), timeZone: Intl.DateTimeFormat().resolvedOptions().timeZone }
}

function midnight(day: string): Date {
  const [year = 0, month = 1, date = 1] = day.split('-').map(Number)
  return new Date(year, month - 1, date)
}

function text(at: Date): string {
  return `${at.getFullYear()}-${String(at.getMonth() + 1).padStart(2, '0')}-${String(at.getDate()).padStart(2, '0')}`
}

/** dayOf writes the day of a moment in the viewer's own time zone as 2026-03-29. */
export const dayOf = text
