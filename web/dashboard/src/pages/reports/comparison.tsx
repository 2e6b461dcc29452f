import { Alert, Code, List, Stack, Table, Text, Title } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { api, ok, RequestFailed, type Schemas } from '../../api/client'
import { Answer } from '../../parts/answer'
import { count, money } from '../../parts/number'
import { Wide } from '../../parts/wide'

type Balance = Schemas['DayBalance']

/** Comparison explains, day by day, where a network's numbers and carom's differ. */
export function Comparison({ source }: { source: string }) {
  const query = useQuery({
    queryKey: ['comparison', source],
    queryFn: async () => {
      try {
        return (await ok(api.GET('/v1/reconcile/comparison', { params: { query: { source } } }))) as Schemas['Comparison'] // not the CSV
      } catch (error) {
        if (error instanceof RequestFailed && error.status === 404) return null // nothing to compare with yet
        throw error
      }
    },
  })
  return (
    <Answer query={query}>
      {(c) =>
        c && (
          <section aria-labelledby="comparison">
            <Stack gap="sm">
              <Title order={2} size="h4" id="comparison">
                {c.source}: {c.measure}, {c.from} to {c.to}
              </Title>
              <Text size="sm" c="dimmed">
                Days of {c.day_zone}.
              </Text>
              {c.propose_day_zone && (
                <Alert color="blue" title="The days may be of another time zone">
                  The two agree better when the network's days are those of {c.propose_day_zone}: read the file again with it.
                </Alert>
              )}
              {c.notes.map((n) => (
                <Text key={n} size="sm">
                  {n}
                </Text>
              ))}
              <Wide minWidth={720}>
                <Table verticalSpacing="xs">
                  <Table.Thead>
                    <Table.Tr>
                      <Table.Th scope="col">Day</Table.Th>
                      <Table.Th scope="col" ta="right">Theirs</Table.Th>
                      <Table.Th scope="col" ta="right">Ours</Table.Th>
                      <Table.Th scope="col" ta="right">Difference</Table.Th>
                      <Table.Th scope="col">What explains it</Table.Th>
                      <Table.Th scope="col" ta="right">Unexplained</Table.Th>
                    </Table.Tr>
                  </Table.Thead>
                  <Table.Tbody>
                    {c.days.map((d) => (
                      <BalanceRow key={d.day} day={d} currency={c.currency} />
                    ))}
                    <BalanceRow day={c.total} currency={c.currency} all />
                  </Table.Tbody>
                </Table>
              </Wide>
            </Stack>
          </section>
        )
      }
    </Answer>
  )
}

function BalanceRow({ day, currency, all }: { day: Balance; currency?: string; all?: boolean }) {
  const amount = (text?: string) => text && <Text size="xs" c="dimmed">{money(text)} {currency}</Text>
  return (
    <Table.Tr fw={all ? 700 : undefined} style={{ verticalAlign: 'top' }}>
      <Table.Th scope="row" style={{ whiteSpace: 'nowrap' }}>{all ? 'All' : day.day}</Table.Th>
      <Table.Td ta="right">{count(day.theirs)}{amount(day.their_money)}</Table.Td>
      <Table.Td ta="right">{count(day.ours)}{amount(day.our_money)}</Table.Td>
      <Table.Td ta="right">
        {count(day.difference)} {day.percent && `(${day.percent} %)`}
        {amount(day.money_difference)}
      </Table.Td>
      <Table.Td fw={400}>
        <List size="sm" spacing={4}>
          {day.explained.map((e) => (
            <List.Item key={e.cause + (e.reason ?? '')}>
              <b>{count(e.n)}</b> {e.what}
              {e.estimated && ' (an estimate)'}
              {e.next && (
                <Text size="xs" c="dimmed">
                  On the server: <Code>{e.next}</Code>
                </Text>
              )}
            </List.Item>
          ))}
        </List>
      </Table.Td>
      <Table.Td ta="right" c={day.unexplained === 0 ? undefined : 'red'}>
        {count(day.unexplained)}
        {amount(day.unexplained_money)}
      </Table.Td>
    </Table.Tr>
  )
}
