import { Text, Tooltip } from '@mantine/core'

const day = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium' })
const moment = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'medium' })
const clock = new Intl.DateTimeFormat(undefined, { timeStyle: 'medium' })
const relative = new Intl.RelativeTimeFormat(undefined, { numeric: 'auto' })

/** utc writes a moment in UTC, as logs and networks have it. */
export function utc(at: string | Date): string {
  return new Date(at).toISOString().replace('T', ' ').replace(/\.\d+Z$/, '') + ' UTC'
}

/** ago says how long ago something was, or how soon it will be. */
export function ago(at: string | Date, now = Date.now()): string {
  const seconds = (new Date(at).getTime() - now) / 1000
  for (const [unit, length] of [['day', 86400], ['hour', 3600], ['minute', 60]] as const) {
    if (Math.abs(seconds) >= length) return relative.format(Math.trunc(seconds / length), unit)
  }
  return relative.format(Math.trunc(seconds), 'second')
}

/** When shows a moment in the viewer's own time zone, with UTC for whoever points at it or reaches it by keyboard. */
export function When({ at, form = 'moment' }: { at?: string | null; form?: 'moment' | 'clock' | 'day' | 'ago' }) {
  if (!at || at.startsWith('0001-')) return <Text span inherit c="dimmed">–</Text>
  const date = new Date(at)
  const text = form === 'ago' ? ago(date) : { moment, clock, day }[form].format(date)
  return (
    <Tooltip label={form === 'ago' ? `${moment.format(date)}, ${utc(date)}` : utc(date)} events={{ hover: true, focus: true, touch: true }}>
      <time dateTime={at} tabIndex={0} style={{ whiteSpace: 'nowrap' }}>
        {text}
      </time>
    </Tooltip>
  )
}

/** duration writes milliseconds as people say them: "380 ms", "4.2 s", "3 min", "2.5 h". */
export function duration(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`
  if (ms < 60_000) return `${(ms / 1000).toFixed(ms < 10_000 ? 1 : 0)} s`
  if (ms < 3_600_000) return `${(ms / 60_000).toFixed(ms < 600_000 ? 1 : 0)} min`
  return `${(ms / 3_600_000).toFixed(1)} h`
}
