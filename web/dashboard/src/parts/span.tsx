import { DateTimePicker } from '@mantine/dates'
import type { Filter } from './filter'

/** SpanInput lets somebody choose from when to when, in the viewer's own time zone; the filter holds moments as /v1 takes them. The end is not included. */
export function SpanInput({ filter, onChange }: { filter: Filter; onChange: (change: Filter) => void }) {
  return (
    <>
      <DateTimePicker label="From" w={190} clearable valueFormat="DD MMM YYYY HH:mm" value={local(filter.from)} onChange={(at) => onChange({ from: moment(at) })} />
      <DateTimePicker label="To" w={190} clearable valueFormat="DD MMM YYYY HH:mm" value={local(filter.to)} onChange={(at) => onChange({ to: moment(at) })} />
    </>
  )
}

const moment = (text: string | null): string => (text ? new Date(text.replace(' ', 'T')).toISOString() : '')

function local(at?: string): string | null {
  const date = new Date(at ?? '')
  if (Number.isNaN(date.getTime())) return null
  const two = (n: number) => String(n).padStart(2, '0')
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`
}
