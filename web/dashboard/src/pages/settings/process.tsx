import { Card, Group, SegmentedControl, SimpleGrid, Stack, Table, Text, Title } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import { api, ok, type Schemas } from '../../api/client'
import { Answer } from '../../parts/answer'
import { FilterText } from '../../parts/fields'
import { useFilter } from '../../parts/filter'
import { Empty } from '../../parts/page'
import { Wide } from '../../parts/wide'

const origins: Record<string, string> = { default: 'the default', file: 'the settings file', env: 'the environment', flag: 'a flag' }

// What people ask for first: how long something is kept.
const retentions: [string, string][] = [
  ['retention', 'Events, deliveries and refused postbacks'],
  ['unverified_retention', 'Sample of unverified postbacks'],
  ['audit_retention', 'Audit'],
]

/** Process shows what the server was started with. It is changed there, and not here: whoever starts a server decides what it may do. */
export function Process() {
  const settings = useQuery({ queryKey: ['settings'], queryFn: async () => (await ok(api.GET('/v1/settings'))).settings, staleTime: 60_000 })
  const version = useQuery({ queryKey: ['version'], queryFn: () => ok(api.GET('/v1/version')), staleTime: 60_000 })
  return (
    <Stack gap="lg">
      <Answer query={settings}>
        {(list) => (
          <>
            <section aria-labelledby="retention">
              <Title order={2} size="h4" id="retention" mb="xs">
                How long what is kept
              </Title>
              <SimpleGrid cols={{ base: 1, xs: 2, md: 4 }} spacing="sm">
                {retentions.map(([key, words]) => {
                  const setting = list.find((s) => s.key === key)
                  return setting && <Kept key={key} words={words} value={setting.value} note={setting.key} />
                })}
                <Kept words="Rewards and ledger" value="for ever" note="never dropped" />
              </SimpleGrid>
            </section>
            <SettingTable list={list} />
          </>
        )}
      </Answer>
      <Text size="sm" c="dimmed">
        {version.data && `carom ${version.data.version}, built with ${version.data.go}, on ${version.data.os}/${version.data.arch}.`}
      </Text>
    </Stack>
  )
}

function Kept({ words, value, note }: { words: string; value: string; note: string }) {
  return (
    <Card withBorder padding="sm">
      <Text size="xs" c="dimmed">
        {words}
      </Text>
      <Text fw={700} size="lg">
        {value}
      </Text>
      <Text size="xs" c="dimmed" className="mono">
        {note}
      </Text>
    </Card>
  )
}

function SettingTable({ list }: { list: Schemas['Setting'][] }) {
  const [filter, setFilter] = useFilter()
  const [which, setWhich] = useState('all')
  const q = (filter.q ?? '').toLowerCase()
  const shown = list.filter((s) => (which === 'all' || s.origin !== 'default') && (s.key.includes(q) || s.help.toLowerCase().includes(q)))
  return (
    <section aria-labelledby="process">
      <Title order={2} size="h4" id="process">
        Settings of the process
      </Title>
      <Text size="sm" c="dimmed" mb="xs" maw={760}>
        They are read at the start: from flags, the environment, or the settings file. To change one, change it there and restart carom. Secrets are not shown.
      </Text>
      <Group gap="sm" align="flex-end" mb="sm" role="search" aria-label="Filter of settings">
        <FilterText word="q" label="Find" placeholder="Name or meaning" filter={filter} onChange={setFilter} />
        <SegmentedControl value={which} onChange={setWhich} data={[{ value: 'all', label: 'All' }, { value: 'set', label: 'Only what was set' }]} aria-label="Which settings" />
      </Group>
      {shown.length === 0 ? (
        <Empty title="No setting fits">{which === 'set' ? 'Everything that the filter selects is at its default.' : 'Write another word.'}</Empty>
      ) : (
        <Wide minWidth={640}>
          <Table verticalSpacing={6} aria-label="Settings of the process">
            <Table.Thead>
              <Table.Tr>
                <Table.Th scope="col">Setting</Table.Th>
                <Table.Th scope="col">Value</Table.Th>
                <Table.Th scope="col">From</Table.Th>
                <Table.Th scope="col">What it is for</Table.Th>
              </Table.Tr>
            </Table.Thead>
            <Table.Tbody>
              {shown.map((s) => (
                <Table.Tr key={s.key}>
                  <Table.Th scope="row" className="mono" fw={500}>
                    {s.key}
                  </Table.Th>
                  <Table.Td className="mono foreign" miw={150}>{s.value || <Text span inherit c="dimmed">empty</Text>}</Table.Td>
                  <Table.Td style={{ whiteSpace: 'nowrap' }}>{s.origin === 'default' ? <Text span inherit c="dimmed">{origins[s.origin]}</Text> : (origins[s.origin] ?? s.origin)}</Table.Td>
                  <Table.Td miw={240} maw={420}>{s.help}</Table.Td>
                </Table.Tr>
              ))}
            </Table.Tbody>
          </Table>
        </Wide>
      )}
    </section>
  )
}
