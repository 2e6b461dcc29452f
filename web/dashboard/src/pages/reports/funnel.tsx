import { Anchor, Group, Progress, Stack, Table, Text } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { Link } from 'react-router'
import { api, ok } from '../../api/client'
import { Answer } from '../../parts/answer'
import { type Filter, searchOf, useFilter } from '../../parts/filter'
import { count, percent } from '../../parts/number'
import { Empty } from '../../parts/page'
import { Wide } from '../../parts/wide'
import { spanOf } from './span'

const steps: Record<string, { title: string; about: string; to?: (f: Filter) => string }> = {
  opened: { title: 'Opened', about: 'views that the app opened before it showed the ad', to: (f) => `/search${searchOf({ ...f, kind: 'view' })}` },
  received: { title: 'Received', about: 'postbacks and reports that came in, with copies and refused ones', to: (f) => `/live${searchOf({ app: f.app })}` },
  verified: { title: 'Verified', about: 'events: their signature, secret or address was right', to: (f) => `/search${searchOf({ ...f, kind: 'event' })}` },
  valued: { title: 'Valued', about: 'events that the network pays for', to: (f) => `/search${searchOf({ ...f, kind: 'event' })}` },
  rewarded: { title: 'Rewarded', about: 'rewards that rules granted', to: (f) => `/rewards${searchOf(f)}` },
  delivered: { title: 'Delivered', about: 'deliveries that reached their endpoint', to: (f) => `/search${searchOf({ ...f, kind: 'delivery', state: 'delivered' })}` },
}

/** Funnel shows how much is left at each step from an opened view to a delivered postback. */
export default function Funnel() {
  const [filter] = useFilter()
  const span = spanOf(filter)
  const query = useQuery({
    queryKey: ['funnel', span.from, span.to, filter.app],
    queryFn: () => ok(api.GET('/v1/reports/funnel', { params: { query: { from: span.from, to: span.to, app: filter.app } } })),
  })
  return (
    <Answer query={query} lines={6}>
      {({ steps: found }) => {
        const most = Math.max(...found.map((s) => s.n))
        if (most === 0) return <Empty title="Nothing happened in these days">Choose others above.</Empty>
        return (
          <Stack gap="sm">
            <Wide minWidth={560}>
              <Table verticalSpacing="sm">
                <Table.Thead>
                  <Table.Tr>
                    <Table.Th scope="col">Step</Table.Th>
                    <Table.Th scope="col" w="40%">
                      Share of the largest
                    </Table.Th>
                    <Table.Th scope="col" ta="right">How many</Table.Th>
                    <Table.Th scope="col" ta="right">Of the step before</Table.Th>
                  </Table.Tr>
                </Table.Thead>
                <Table.Tbody>
                  {found.map((s, i) => {
                    const known = steps[s.step]
                    const before = found[i - 1]
                    const to = known?.to?.({ app: filter.app, from: span.from, to: span.to })
                    return (
                      <Table.Tr key={s.step}>
                        <Table.Th scope="row">
                          {known?.title ?? s.step}
                          <Text size="xs" c="dimmed" fw={400}>
                            {known?.about}
                          </Text>
                        </Table.Th>
                        <Table.Td>
                          <Progress value={(100 * s.n) / most} size="xl" aria-label={`${known?.title ?? s.step}: ${percent(s.n, most)} of the largest step`} />
                        </Table.Td>
                        <Table.Td ta="right">{to && s.n > 0 ? <Anchor component={Link} to={to} inherit>{count(s.n)}</Anchor> : count(s.n)}</Table.Td>
                        <Table.Td ta="right">{before ? percent(s.n, before.n) : ''}</Table.Td>
                      </Table.Tr>
                    )
                  })}
                </Table.Tbody>
              </Table>
            </Wide>
            <Group>
              <Text size="xs" c="dimmed">
                A step can be larger than the one before: an event goes to several endpoints, and networks report more than once for a view.
              </Text>
            </Group>
          </Stack>
        )
      }}
    </Answer>
  )
}
