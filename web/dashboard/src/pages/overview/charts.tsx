import { Anchor, Group, SimpleGrid, Stack, Text } from '@mantine/core'
import { Link } from 'react-router'
import type { Schemas } from '../../api/client'
import { Chart, type ChartRow } from '../../parts/chart'
import { type Filter, searchOf } from '../../parts/filter'
import { count, money, percent } from '../../parts/number'
import { duration } from '../../parts/time'

type Day = Schemas['OverviewDay']
type Point = Schemas['Point']

/** A Measure is one chart of the overview: how a number is read from an hour, and how it is written. */
interface Measure {
  title: string
  unit: string
  about: string
  of: (p: Point) => number | undefined
  format: (n: number) => string
  /** headline writes the number of a whole day; exact where the number of the chart is rounded. */
  headline?: (p: Point) => string
  link: (app?: string) => string
}

const received: Measure = {
  title: 'Received', unit: 'an hour', about: 'postbacks and reports that came in, with copies and refused ones', of: (p) => p.received, format: count,
  link: (app) => `/reports/table${searchOf({ app, by: 'hour' })}`,
}

/** What becomes of it: two or three beside one another without a gap. */
const measures: Measure[] = [
  { title: 'Views', unit: 'views an hour', about: "opened by the app before the ad, or shown by carom's own SDK", of: (p) => p.views, format: count, link: (app) => `/search${searchOf({ app, kind: 'event' })}` },
  { title: 'Confirmed', unit: 'views an hour', about: 'views that the network pays for', of: (p) => p.confirmed, format: count, link: (app) => `/search${searchOf({ app, kind: 'event' })}` },
  { title: 'Rewarded', unit: 'rewards an hour', about: 'rewards granted', of: (p) => p.rewarded, format: count, link: (app) => `/rewards${searchOf({ app })}` },
  {
    title: 'Revenue, estimated', unit: 'estimate', about: 'the sum of what networks estimate', of: (p) => Number(p.revenue || 0),
    format: (n) => n.toLocaleString(undefined, { maximumFractionDigits: 4 }), headline: (p) => money(p.revenue || '0', 4), link: (app) => `/reports${searchOf({ app, by: 'day' })}`,
  },
  {
    title: 'Delivery success', unit: 'of what ended', about: 'deliveries that reached their endpoint', of: (p) => (p.delivered + p.dead > 0 ? p.delivered / (p.delivered + p.dead) : undefined),
    format: (n) => percent(n, 1), link: () => '/endpoints',
  },
  {
    title: 'Time to confirm', unit: 'median', about: 'from the showing to the event that confirms it', of: (p) => (p.time_to_confirm_ms.n > 0 ? p.time_to_confirm_ms.p50 : undefined),
    format: duration, link: (app) => `/reports/times${searchOf({ app })}`,
  },
]

/** DayCharts draws today against yesterday, hour by hour, a chart for each measure: what comes in over the whole width, and below it what becomes of it. */
export function DayCharts({ overview, filter }: { overview: Schemas['Overview']; filter: Filter }) {
  const shared = { today: overview.today, yesterday: overview.yesterday, app: filter.app }
  return (
    <Stack gap="sm">
      <MeasureChart measure={received} {...shared} />
      <SimpleGrid cols={{ base: 1, md: 2, xl: 3 }} spacing="sm">
        {measures.map((m) => (
          <MeasureChart key={m.title} measure={m} {...shared} />
        ))}
      </SimpleGrid>
    </Stack>
  )
}

function MeasureChart({ measure: m, today, yesterday, app }: { measure: Measure; today: Day; yesterday: Schemas['YesterdayDay']; app?: string }) {
  const write = (p: Point) => m.headline?.(p) ?? (m.of(p) === undefined ? '–' : m.format(m.of(p) as number))
  const rows: ChartRow[] = yesterday.hours.map((before, i) => {
    const now = today.hours[i]
    return { x: now?.at ?? new Date(new Date(before.at).getTime() + 86_400_000).toISOString(), today: now && m.of(now), yesterday: m.of(before) }
  })
  return (
    <Chart
      title={m.title} unit={m.unit} rows={rows} times="hour" format={m.format}
      series={[{ key: 'today', label: 'Today', color: 'blue.6' }, { key: 'yesterday', label: 'Yesterday', color: 'gray.5', dashed: true }]}
      headline={
        <>
          <Group gap={6} align="baseline">
            <Anchor component={Link} to={m.link(app)} fw={700} size="xl" aria-label={`${m.title} today: ${write(today.totals)}`}>
              {write(today.totals)}
            </Anchor>
            <Text size="xs" c="dimmed">
              yesterday by now {write(yesterday.totals_until_now)}
            </Text>
          </Group>
          <Text size="xs" c="dimmed">
            {m.about}
          </Text>
        </>
      }
    />
  )
}
