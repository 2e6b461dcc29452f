import { Badge, Stack, Table, Text } from '@mantine/core'
import { IconCheck, IconClock, IconPlugConnectedX, IconX } from '@tabler/icons-react'
import { useQuery } from '@tanstack/react-query'
import { api, ok } from '../../api/client'
import { Answer } from '../../parts/answer'
import { count } from '../../parts/number'
import { duration, When } from '../../parts/time'
import { Wide } from '../../parts/wide'

const states = {
  alive: { color: 'green', icon: IconCheck, words: 'alive' },
  silent: { color: 'yellow', icon: IconClock, words: 'silent' },
  ended: { color: 'gray', icon: IconX, words: 'ended' },
  left: { color: 'red', icon: IconPlugConnectedX, words: 'gone, not taken over yet' },
} as const

const duties: Record<string, string> = { house: 'retention', holds: 'credits held rewards', alerts: 'tells people' }

/** Nodes are the processes that share the work. */
export function Nodes() {
  const nodes = useQuery({ queryKey: ['nodes'], queryFn: async () => (await ok(api.GET('/v1/nodes'))).nodes, refetchInterval: 5_000 })
  return (
    <Stack gap="sm">
      <Text size="sm" c="dimmed" maw={640}>
        Processes that share a database, and those that left within a day. A server with a data folder of its own is the only one.
      </Text>
      <Answer query={nodes}>
        {(list) => (
          <Wide minWidth={760}>
            <Table verticalSpacing="xs" aria-label="Nodes">
              <Table.Thead>
                <Table.Tr>
                  <Table.Th scope="col">Node</Table.Th>
                  <Table.Th scope="col">State</Table.Th>
                  <Table.Th scope="col">Since</Table.Th>
                  <Table.Th scope="col" ta="right">
                    Events
                  </Table.Th>
                  <Table.Th scope="col" ta="right">
                    Attempts
                  </Table.Th>
                  <Table.Th scope="col" ta="right">
                    In its hands
                  </Table.Th>
                  <Table.Th scope="col">Does for all</Table.Th>
                </Table.Tr>
              </Table.Thead>
              <Table.Tbody>
                {list.map((n) => {
                  const state = states[n.state]
                  return (
                    <Table.Tr key={`${n.no} ${n.began}`}>
                      <Table.Td>
                        <Text size="sm" fw={600}>
                          {n.name || `#${n.no}`}
                          {n.self && <Text span inherit c="dimmed"> (this one)</Text>}
                        </Text>
                        <Text size="xs" c="dimmed">
                          {n.version}
                        </Text>
                      </Table.Td>
                      <Table.Td>
                        <Badge color={state.color} variant="light" tt="none" leftSection={<state.icon size={12} aria-hidden />}>
                          {state.words}
                        </Badge>
                        {Math.abs(n.clock_ahead_ms) > 5000 && (
                          <Text size="xs">
                            Its clock is {duration(Math.abs(n.clock_ahead_ms))} {n.clock_ahead_ms > 0 ? 'ahead' : 'behind'}.
                          </Text>
                        )}
                      </Table.Td>
                      <Table.Td>
                        <When at={n.ended ?? n.began} form="ago" />
                      </Table.Td>
                      <Table.Td ta="right">{count(n.events)}</Table.Td>
                      <Table.Td ta="right">{count(n.attempts)}</Table.Td>
                      <Table.Td ta="right">{count(n.claimed)}</Table.Td>
                      <Table.Td>{n.duties.map((d) => duties[d] ?? d).join(', ') || <Text span inherit c="dimmed">–</Text>}</Table.Td>
                    </Table.Tr>
                  )
                })}
              </Table.Tbody>
            </Table>
          </Wide>
        )}
      </Answer>
    </Stack>
  )
}
