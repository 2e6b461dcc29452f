import { Anchor, Select, Stack, Table, Text } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { Link } from 'react-router'
import { api, ok, type Schemas } from '../../api/client'
import { Answer } from '../../parts/answer'
import { Chart, type ChartRow } from '../../parts/chart'
import { type Filter, searchOf, useFilter } from '../../parts/filter'
import { count, money } from '../../parts/number'
import { Empty } from '../../parts/page'
import { Wide } from '../../parts/wide'
import { type Span, spanOf } from './span'

type Row = Schemas['TrafficRow']

const dimensions = [
  { value: 'day', label: 'Day' },
  { value: 'hour', label: 'Hour' },
  { value: 'zone', label: 'Zone' },
  { value: 'sub_zone', label: 'Sub-zone' },
  { value: 'request_var', label: 'request_var' },
  { value: 'network', label: 'Network' },
  { value: 'source', label: 'Source' },
  { value: 'event_type', label: 'Event type' },
] as const
type Dimension = (typeof dimensions)[number]['value']

/** Breakdown counts by one dimension: a chart, and the table of all numbers. */
export default function Breakdown() {
  const [filter, setFilter] = useFilter()
  const span = spanOf(filter)
  const by = (dimensions.find((d) => d.value === filter.by)?.value ?? 'day') satisfies Dimension
  const query = useQuery({
    queryKey: ['report', by, span.from, span.to, filter.app],
    queryFn: () => ok(api.GET('/v1/reports', { params: { query: { by, from: span.from, to: span.to, app: filter.app, time_zone: span.timeZone } } })),
  })
  const times = by === 'day' || by === 'hour' ? by : undefined
  return (
    <Stack gap="md">
      <Select label="By" w={200} data={dimensions.map((d) => ({ ...d }))} value={by} onChange={(v) => setFilter({ by: v ?? '' })} allowDeselect={false} />
      <Answer query={query} lines={8}>
        {(report) =>
          report.totals.received === 0 && report.totals.delivered === 0 ? (
            <Empty title="Nothing was received in these days">Choose others, or look at Live to see what comes in now.</Empty>
          ) : (
            <>
              <Chart
                title={`Received and rewarded by ${dimensions.find((d) => d.value === by)?.label.toLowerCase()}`} unit="events" kind={times ? 'line' : 'bar'} times={times} height={220}
                rows={report.rows.slice(0, times ? undefined : 20).map((r): ChartRow => ({ x: times ? (r.at ?? r.key) : r.label || '(none)', received: r.received, valued: r.valued, rewarded: r.rewarded }))}
                series={[
                  { key: 'received', label: 'Received', color: 'gray.6' },
                  { key: 'valued', label: 'Valued', color: 'blue.6' },
                  { key: 'rewarded', label: 'Rewarded', color: 'green.7' },
                ]}
              />
              <RowTable rows={report.rows} totals={report.totals} by={by} filter={filter} span={span} />
            </>
          )
        }
      </Answer>
    </Stack>
  )
}

/** A Column is one number of a row, and where the events behind it are found. */
const columns: { title: string; of: (r: Row) => number; to?: (f: Filter) => string }[] = [
  { title: 'Received', of: (r) => r.received, to: (f) => `/search${searchOf(f)}` },
  { title: 'Accepted', of: (r) => r.accepted, to: (f) => `/search${searchOf(f)}` },
  { title: 'Duplicates', of: (r) => r.duplicates },
  { title: 'Refused', of: (r) => r.refused, to: (f) => `/search${searchOf({ app: f.app, source: f.source, kind: 'refused' })}` },
  { title: 'Unverified', of: (r) => r.unverified, to: (f) => `/search${searchOf({ app: f.app, source: f.source, kind: 'unverified' })}` },
  { title: 'Held', of: (r) => r.held, to: (f) => `/search${searchOf({ ...f, outcome: 'held' })}` },
  { title: 'Valued', of: (r) => r.valued, to: (f) => `/search${searchOf(f)}` },
  { title: 'Rewarded', of: (r) => r.rewarded, to: (f) => `/rewards${searchOf({ app: f.app, source: f.source, from: f.from, to: f.to })}` },
  { title: 'Declined', of: (r) => r.declined, to: (f) => `/reports/reasons${searchOf({ app: f.app })}` },
]

function RowTable({ rows, totals, by, filter, span }: { rows: Row[]; totals: Row; by: Dimension; filter: Filter; span: Span }) {
  return (
    <Wide minWidth={900}>
      <Table striped highlightOnHover stickyHeader horizontalSpacing={6}>
        <Table.Thead>
          <Table.Tr>
            <Table.Th scope="col">{dimensions.find((d) => d.value === by)?.label}</Table.Th>
            {columns.map((c) => (
              <Table.Th key={c.title} scope="col" ta="right">
                {c.title}
              </Table.Th>
            ))}
            <Table.Th scope="col" ta="right">
              Rewards
            </Table.Th>
            <Table.Th scope="col" ta="right" title="The sum of what the networks estimate">
              Revenue, est.
            </Table.Th>
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {rows.map((r) => (
            <OneRow key={`${r.app ?? ''}/${r.zone ?? ''}/${r.key}`} row={r} label={labelOf(r, by)} whole={by === 'day' || by === 'hour'} behind={behind(r, by, filter, span)} />
          ))}
          <OneRow row={totals} label="All" behind={{ app: filter.app, from: span.from, to: span.to }} strong />
        </Table.Tbody>
      </Table>
    </Wide>
  )
}

/** OneRow is a row of numbers. A label that is whole is not broken into lines. */
function OneRow({ row, label, whole, behind, strong }: { row: Row; label: string; whole?: boolean; behind: Filter; strong?: boolean }) {
  return (
    <Table.Tr fw={strong ? 700 : undefined}>
      <Table.Th scope="row" className="foreign" style={{ whiteSpace: whole ? 'nowrap' : undefined }}>
        {label}
      </Table.Th>
      {columns.map((c) => {
        const n = c.of(row)
        return (
          <Table.Td key={c.title} ta="right">
            {c.to && n > 0 ? (
              <Anchor component={Link} to={c.to(behind)} size="sm" inherit>
                {count(n)}
              </Anchor>
            ) : (
              count(n)
            )}
          </Table.Td>
        )
      })}
      <Table.Td ta="right">
        {(row.reward_amounts ?? []).map((a) => (
          <Text key={a.currency} size="sm" inherit>
            {money(a.amount)} {a.currency}
          </Text>
        ))}
      </Table.Td>
      <Table.Td ta="right" title={row.revenue}>
        {money(row.revenue || '0', 4)}
      </Table.Td>
    </Table.Tr>
  )
}

const days = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium' })
const hours = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'short' })

function labelOf(r: Row, by: Dimension): string {
  if (by === 'day') return days.format(new Date(r.key))
  if (by === 'hour') return hours.format(new Date(r.key))
  return r.label || '(none)'
}

/** behind is the filter that finds the events of a row. */
function behind(r: Row, by: Dimension, filter: Filter, span: Span): Filter {
  const all: Filter = { app: r.app ?? filter.app, from: span.from, to: span.to, kind: 'event' }
  if (by === 'day' || by === 'hour') {
    const from = new Date(r.key)
    const to = by === 'day' ? new Date(from.getFullYear(), from.getMonth(), from.getDate() + 1) : new Date(from.getTime() + 3_600_000)
    return { ...all, from: from.toISOString(), to: to.toISOString() }
  }
  if (by === 'source') {
    return { ...all, source: r.key }
  }
  return { ...all, [by]: r.key }
}
