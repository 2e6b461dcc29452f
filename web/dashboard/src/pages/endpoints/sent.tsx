import { Anchor, Group, SegmentedControl, Stack, Table, Text, Title } from '@mantine/core'
import { Link } from 'react-router'
import { api, ok } from '../../api/client'
import { attemptWords } from '../../parts/attempt'
import { useFilter } from '../../parts/filter'
import { count } from '../../parts/number'
import { Outcome } from '../../parts/outcome'
import { Empty } from '../../parts/page'
import { Paged, usePaged } from '../../parts/paged'
import { duration, When } from '../../parts/time'
import { Wide } from '../../parts/wide'
import type { Delivery } from './data'

const states = ['pending', 'delivered', 'dead', 'expired'] as const

/** Sent lists what an endpoint was sent and is owed, newest first, with what came of the last attempt. */
export function Sent({ app, name, resend }: { app: string; name: string; resend?: () => void }) {
  const [filter, setFilter] = useFilter()
  const state = states.find((s) => s === filter.state)
  const list = usePaged(
    ['deliveries', app, name, state],
    (before) => ok(api.GET('/v1/deliveries', { params: { query: { app, endpoint: name, state, before, limit: 25 } } })),
    { refetchInterval: 5_000 },
  )
  return (
    <Stack gap="sm" component="section" aria-label="Deliveries">
      <Group justify="space-between">
        <Title order={2} size="h4">
          Deliveries
        </Title>
        <SegmentedControl
          size="xs" aria-label="Deliveries: which" value={state ?? ''} onChange={(s) => setFilter({ state: s })}
          data={[{ value: '', label: 'all' }, ...states.map((s) => ({ value: s, label: s }))]}
        />
      </Group>
      <Paged
        query={list} rows={(page) => page.deliveries}
        empty={
          <Empty title={state ? `None is ${state}` : 'Nothing was sent yet'}>
            {state ? 'Choose another state above.' : 'A delivery shows here with the first event that the endpoint lets through. Tests do not show.'}
          </Empty>
        }
      >
        {(rows) => (
          <>
            {resend && rows.some((d) => d.state === 'dead' || d.state === 'expired') && (
              <Text size="sm">
                Some were given up.{' '}
                <Anchor underline="always" component="button" type="button" size="sm" onClick={resend}>
                  See what a resend would send again
                </Anchor>
              </Text>
            )}
            <Wide minWidth={720}>
              <Table verticalSpacing={6} aria-label="Deliveries, newest first">
                <Table.Thead>
                  <Table.Tr>
                    <Table.Th scope="col">State</Table.Th>
                    <Table.Th scope="col">Event</Table.Th>
                    <Table.Th scope="col">Accepted</Table.Th>
                    <Table.Th scope="col" ta="right">Attempts</Table.Th>
                    <Table.Th scope="col">The last attempt</Table.Th>
                    <Table.Th scope="col">Story</Table.Th>
                  </Table.Tr>
                </Table.Thead>
                <Table.Tbody>
                  {rows.map((d) => (
                    <DeliveryRow key={d.id} delivery={d} />
                  ))}
                </Table.Tbody>
              </Table>
            </Wide>
          </>
        )}
      </Paged>
    </Stack>
  )
}

function DeliveryRow({ delivery: d }: { delivery: Delivery }) {
  const last = d.last
  return (
    <Table.Tr data-delivery={d.id}>
      <Table.Td>
        <Outcome of={d.state} />
      </Table.Td>
      <Table.Td maw={200}>
        <Text size="sm">{d.reward ? 'reward' : d.event_type}</Text>
        <Text size="xs" c="dimmed" className="foreign" lineClamp={1} title="Its ymid">
          {d.ymid}
        </Text>
      </Table.Td>
      <Table.Td>
        <When at={d.at} />
      </Table.Td>
      <Table.Td ta="right">{count(d.attempts)}</Table.Td>
      <Table.Td maw={360}>
        {last ? (
          <>
            <Text size="sm" className="foreign" lineClamp={2}>
              {attemptWords(last)}
              {last.took_ms > 0 && `, after ${duration(last.took_ms)}`}
            </Text>
            {last.answer && (
              <Text size="xs" c="dimmed" className="foreign" lineClamp={1}>
                {last.answer}
              </Text>
            )}
          </>
        ) : (
          <Text size="sm" c="dimmed">
            none yet
          </Text>
        )}
        {d.state === 'pending' && d.due && (
          <Text size="xs" c="dimmed">
            {new Date(d.due) > new Date() ? 'the next one ' : 'the next one was due '}
            <When at={d.due} form="ago" />
          </Text>
        )}
      </Table.Td>
      <Table.Td>
        <Anchor component={Link} to={`/story/${d.id}`} size="sm" aria-label={`See it: the story of ${d.id}`}>
          See it
        </Anchor>
      </Table.Td>
    </Table.Tr>
  )
}
