import { Group, Stack, Text } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { api, ok } from '../../api/client'
import { Answer } from '../../parts/answer'
import { Chart } from '../../parts/chart'
import { useFilter } from '../../parts/filter'
import { count } from '../../parts/number'
import { Empty } from '../../parts/page'
import { duration } from '../../parts/time'
import { spanOf } from './span'

/** Times shows how long users wait from the showing of an ad until it is confirmed. */
export default function Times() {
  const [filter] = useFilter()
  const span = spanOf(filter)
  const query = useQuery({
    queryKey: ['times', span.from, span.to, filter.app],
    queryFn: () => ok(api.GET('/v1/reports/times', { params: { query: { from: span.from, to: span.to, app: filter.app } } })),
  })
  return (
    <Answer query={query} lines={6}>
      {(t) =>
        t.n === 0 ? (
          <Empty title="No view was confirmed in these days">
            The time is known of views that the app opens before it shows the ad, and of those that carom's own SDK shows. See “views” in the documentation.
          </Empty>
        ) : (
          <Stack gap="md">
            <Group gap="xl">
              {([['Half within', t.p50], ['95 of 100 within', t.p95], ['99 of 100 within', t.p99]] as const).map(([title, ms]) => (
                <div key={title}>
                  <Text size="xs" c="dimmed">
                    {title}
                  </Text>
                  <Text fw={700} size="xl">
                    {duration(ms)}
                  </Text>
                </div>
              ))}
              <div>
                <Text size="xs" c="dimmed">
                  Views
                </Text>
                <Text fw={700} size="xl">
                  {count(t.n)}
                </Text>
              </div>
            </Group>
            <Chart
              title="Time to confirm" unit="views" kind="bar" height={260}
              rows={t.buckets.map((b) => ({ x: b.up_to_ms > 0 ? `≤ ${duration(b.up_to_ms)}` : 'longer', views: b.n }))} series={[{ key: 'views', label: 'Views', color: 'blue.6' }]}
            />
            <Text size="xs" c="dimmed">
              Set the time that your app waits (expires_in of a view) above the last of these: whoever gives up earlier sees no reward, and gets it all the same.
            </Text>
          </Stack>
        )
      }
    </Answer>
  )
}
