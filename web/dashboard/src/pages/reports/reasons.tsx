import { Anchor, SimpleGrid, Table, Text, Title } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { Link } from 'react-router'
import { api, ok, type Schemas } from '../../api/client'
import { Answer } from '../../parts/answer'
import { searchOf, useFilter } from '../../parts/filter'
import { count, percent } from '../../parts/number'
import { spanOf } from './span'

type Reason = Schemas['ReasonCount']

/** Reasons says why events earned nothing, and why postbacks became no event. */
export default function Reasons() {
  const [filter] = useFilter()
  const span = spanOf(filter)
  const query = useQuery({
    queryKey: ['reasons', span.from, span.to, filter.app],
    queryFn: () => ok(api.GET('/v1/reports/reasons', { params: { query: { from: span.from, to: span.to, app: filter.app } } })),
  })
  const base = { app: filter.app, from: span.from, to: span.to }
  return (
    <Answer query={query} lines={8}>
      {(r) => (
        <SimpleGrid cols={{ base: 1, lg: 2 }} spacing="lg">
          <ReasonTable title="Declined by a rule" about="The event counts, and earned nothing." reasons={r.declines} none="No rule declined anything." to={() => `/search${searchOf({ ...base, kind: 'event' })}`} />
          <ReasonTable title="Held" about="Kept and owed to nobody until somebody releases them." reasons={r.held} none="Nothing was held." to={() => `/search${searchOf({ ...base, kind: 'event', outcome: 'held' })}`} />
          <ReasonTable title="Refused" about="Verified, and of no use as they were. They can be reprocessed." reasons={r.refusals} none="Nothing was refused." to={(reason) => `/search${searchOf({ ...base, kind: 'refused', reason })}`} />
          <ReasonTable title="Unverified" about="Proved nothing: anybody may have sent them." reasons={r.unverified} none="Nobody tried without proof." to={(reason) => `/search${searchOf({ ...base, kind: 'unverified', reason })}`} />
        </SimpleGrid>
      )}
    </Answer>
  )
}

function ReasonTable({ title, about, reasons, none, to }: { title: string; about: string; reasons: Reason[]; none: string; to: (reason: string) => string }) {
  const all = reasons.reduce((sum, r) => sum + r.n, 0)
  return (
    <section>
      <Title order={2} size="h4">
        {title}
      </Title>
      <Text size="sm" c="dimmed">
        {about}
      </Text>
      {reasons.length === 0 ? (
        <Text size="sm" mt="xs">
          {none}
        </Text>
      ) : (
        <Table mt="xs">
          <Table.Thead>
            <Table.Tr>
              <Table.Th scope="col">Reason</Table.Th>
              <Table.Th scope="col" ta="right">How many</Table.Th>
              <Table.Th scope="col" ta="right">Share</Table.Th>
            </Table.Tr>
          </Table.Thead>
          <Table.Tbody>
            {reasons.map((r) => (
              <Table.Tr key={r.reason}>
                <Table.Th scope="row">
                  {r.reason}
                  <Text size="xs" c="dimmed" fw={400}>
                    {r.words}
                  </Text>
                </Table.Th>
                <Table.Td ta="right">
                  <Anchor component={Link} to={to(r.reason)} inherit>
                    {count(r.n)}
                  </Anchor>
                </Table.Td>
                <Table.Td ta="right">{percent(r.n, all)}</Table.Td>
              </Table.Tr>
            ))}
          </Table.Tbody>
        </Table>
      )}
    </section>
  )
}
