import { Accordion, Alert, Anchor, Badge, Code, Group, SimpleGrid, Stack, Table, Text } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { Link } from 'react-router'
import { api, ok, type Schemas } from '../../api/client'
import { Answer } from '../../parts/answer'
import { count, money, percent } from '../../parts/number'
import { Empty } from '../../parts/page'
import { When } from '../../parts/time'
import { Wide } from '../../parts/wide'

/** Shadow says where today's receiver, beside a source in shadow, would differ from carom, the most harmful first. */
export function Shadow({ app, name, shadow }: { app: string; name: string; shadow: boolean }) {
  const report = useQuery({
    queryKey: ['sources', app, name, 'shadow'],
    queryFn: () => ok(api.GET('/v1/sources/{app}/{name}/shadow', { params: { path: { app, name } } })),
    // The first request is waited for; afterwards it is a report that somebody reads.
    refetchInterval: (q) => (shadow ? (q.state.data?.requests ? 30_000 : 2_000) : false),
  })
  return (
    <Answer query={report}>
      {(r) =>
        r.requests === 0 ? (
          <Empty title={shadow ? 'Nothing came in yet' : 'This source was not in shadow these seven days'}>
            {shadow
              ? 'Requests show here as soon as the network sends one to the URL of this source.'
              : "In shadow, carom judges every postback beside the receiver that you have today, grants nothing and sends nothing. After a few days this page says where the two differ. Choose the mode “shadow” under Settings, with today's receiver."}
          </Empty>
        ) : (
          <Stack gap="md" maw={860}>
            <Text size="sm" c="dimmed">
              Since <When at={r.since} />
            </Text>
            <SimpleGrid cols={{ base: 2, sm: 4 }}>
              <Figure n={r.requests} label="came in" />
              <Figure n={r.compared} label="were compared" />
              <Figure n={r.agreed} label={`agreed (${percent(r.agreed, r.compared)})`} />
              <Figure n={r.missed} label="were not compared in time" />
            </SimpleGrid>
            {r.differences.length === 0 && r.compared > 0 && (
              <Alert color="green" title="The two agree">
                Of {count(r.compared)} postbacks that were compared, none would have gone another way.
              </Alert>
            )}
            {r.differences.length > 0 && <Differences list={r.differences} />}
            {r.would_grant.length > 0 && (
              <div>
                <Text fw={600} size="sm">
                  What the rules would have granted, without caps
                </Text>
                {r.would_grant.map((s) => (
                  <Text key={s.currency} size="sm">
                    {money(s.amount)} {s.currency}
                  </Text>
                ))}
              </div>
            )}
          </Stack>
        )
      }
    </Answer>
  )
}

function Figure({ n, label }: { n: number; label: string }) {
  return (
    <div>
      <Text fw={700} size="xl">
        {count(n)}
      </Text>
      <Text size="xs" c="dimmed">
        {label}
      </Text>
    </div>
  )
}

function Differences({ list }: { list: Schemas['ShadowDifference'][] }) {
  return (
    <Accordion variant="separated" chevronPosition="left" order={2} multiple defaultValue={[list[0]!.kind]}>
      {list.map((d) => (
        <Accordion.Item key={d.kind} value={d.kind}>
          <Accordion.Control>
            <Group gap="xs" wrap="nowrap">
              <Badge color={d.certain ? 'red' : 'yellow'} variant="light" tt="none" flex="none">
                {count(d.count)} {d.certain ? 'certain' : 'likely'}
              </Badge>
              <Text size="sm">{d.what}</Text>
            </Group>
          </Accordion.Control>
          <Accordion.Panel>
            <Text size="sm" mb="xs">
              {d.costs}
            </Text>
            <Examples list={d.examples} />
          </Accordion.Panel>
        </Accordion.Item>
      ))}
    </Accordion>
  )
}

function Examples({ list }: { list: Schemas['ShadowExample'][] }) {
  if (list.length === 0) return null
  return (
    <Wide minWidth={480}>
      <Table verticalSpacing={4} aria-label="Examples, newest first">
        <Table.Thead>
          <Table.Tr>
            <Table.Th scope="col">When</Table.Th>
            <Table.Th scope="col">What carom made of it</Table.Th>
            <Table.Th scope="col">What today's receiver answered</Table.Th>
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {list.map((e, i) => (
            <Table.Tr key={i}>
              <Table.Td>
                <When at={e.at} />
              </Table.Td>
              <Table.Td>
                <span className="foreign">{e.judged}</span>
                {e.id && (
                  <Anchor component={Link} to={`/story/${e.id}`} size="sm" display="block">
                    Its story
                  </Anchor>
                )}
              </Table.Td>
              <Table.Td>
                <Code className="foreign">{e.answered}</Code>
              </Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </Wide>
  )
}
