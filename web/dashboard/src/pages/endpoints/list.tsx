import { Anchor, Button, Group, Select, Table, Text } from '@mantine/core'
import { IconPlus } from '@tabler/icons-react'
import { Link } from 'react-router'
import { Answer } from '../../parts/answer'
import { useApps } from '../../parts/apps'
import { useFilter } from '../../parts/filter'
import { count } from '../../parts/number'
import { Outcome } from '../../parts/outcome'
import { Empty, Page } from '../../parts/page'
import { When } from '../../parts/time'
import { Wide } from '../../parts/wide'
import { type EndpointState, nextExpiry, standingOf, useEndpoints } from './data'
import { useWays } from './ways'

// What is at a standstill comes first: that is what somebody opens this page for.
const order = ['fault', 'retry', 'held', 'ok']
const shownAtOnce = 200

/** EndpointList shows every way out, and how its lane stands. */
export function EndpointList() {
  const [filter, setFilter] = useFilter()
  const ways = useWays()
  const apps = useApps()
  const endpoints = useEndpoints()
  const words = filter.q?.toLowerCase() ?? ''
  const shown = endpoints.data
    ?.filter((e) => (!filter.app || e.endpoint.app === filter.app) && (!filter.state || standingOf(e).outcome === filter.state))
    .filter((e) => !words || `${e.endpoint.app}/${e.endpoint.name} ${e.endpoint.url}`.toLowerCase().includes(words))
    .sort((a, b) => order.indexOf(standingOf(a).outcome) - order.indexOf(standingOf(b).outcome))
  return (
    <Page
      title="Endpoints"
      about="An endpoint is one way out: a URL with macros, which events it gets, and how often they are tried."
      actions={
        <>
          {(endpoints.data?.length ?? 0) > 1 && (
            <Select
              aria-label="State" placeholder="Any state" clearable value={filter.state ?? null} onChange={(state) => setFilter({ state: state ?? '' })} w={140}
              data={[{ value: 'fault', label: 'down' }, { value: 'retry', label: 'failing' }, { value: 'held', label: 'paused' }, { value: 'ok', label: 'all is well' }]}
            />
          )}
          {(apps.data?.length ?? 0) > 1 && (
            <Select
              aria-label="App" placeholder="All apps" clearable data={apps.data?.map((a) => ({ value: a.name, label: a.title || a.name }))}
              value={filter.app ?? null} onChange={(app) => setFilter({ app: app ?? '' })}
            />
          )}
          {ways.mayMake && (
            <Button component={Link} to={`/endpoints/new${filter.app ? `?app=${filter.app}` : ''}`} leftSection={<IconPlus size={16} aria-hidden />}>
              New endpoint
            </Button>
          )}
        </>
      }
    >
      <Answer query={endpoints}>
        {(all) =>
          shown!.length === 0 ? (
            <Empty title={all.length === 0 ? 'Nothing is sent anywhere yet' : 'No endpoint is like that'}>
              {all.length === 0
                ? ways.mayMake ? 'Make an endpoint with the URL of your backend: every verified event is then sent there.' : ways.file ? `Endpoints come from the file ${ways.file}: write one there.` : 'An operator makes endpoints here. Ask one to.'
                : 'Take away a part of the filter above.'}
            </Empty>
          ) : (
            <>
              <Wide minWidth={760}>
                <Table verticalSpacing="xs" aria-label="Endpoints">
                  <Table.Thead>
                    <Table.Tr>
                      <Table.Th scope="col">Endpoint</Table.Th>
                      <Table.Th scope="col">Its lane</Table.Th>
                      <Table.Th scope="col" ta="right">Waiting</Table.Th>
                      <Table.Th scope="col">Oldest</Table.Th>
                      <Table.Th scope="col">Next expiry</Table.Th>
                      <Table.Th scope="col">Last delivered</Table.Th>
                    </Table.Tr>
                  </Table.Thead>
                  <Table.Tbody>
                    {shown!.slice(0, shownAtOnce).map((e) => (
                      <EndpointRow key={`${e.endpoint.app}/${e.endpoint.name}`} state={e} />
                    ))}
                  </Table.Tbody>
                </Table>
              </Wide>
              {shown!.length > shownAtOnce && (
                <Text size="sm" c="dimmed">
                  {count(shown!.length - shownAtOnce)} more: choose an app or a state above.
                </Text>
              )}
            </>
          )
        }
      </Answer>
    </Page>
  )
}

function EndpointRow({ state }: { state: EndpointState }) {
  const { endpoint, lane, backlog } = state
  const { outcome, words } = standingOf(state)
  const to = `/endpoints/${endpoint.app}/${endpoint.name}`
  return (
    <Table.Tr>
      <Table.Td maw={360}>
        <Anchor component={Link} to={to} fw={600} size="sm">
          {endpoint.app}/{endpoint.name}
        </Anchor>
        <Text size="xs" c="dimmed" className="mono" truncate title={endpoint.url}>
          {endpoint.method} {endpoint.url}
        </Text>
      </Table.Td>
      <Table.Td>
        <Group gap={4} wrap="nowrap">
          <Outcome of={outcome} words={words} />
        </Group>
        {outcome === 'fault' && (
          <Text size="xs" c="dimmed" className="foreign">
            {lane.last_failure}
          </Text>
        )}
      </Table.Td>
      <Table.Td ta="right">
        {backlog.waiting > 0 ? (
          <Anchor component={Link} to={`${to}?state=pending`} inherit>
            {count(backlog.waiting)}
          </Anchor>
        ) : (
          '0'
        )}
      </Table.Td>
      <Table.Td>{backlog.waiting > 0 ? <When at={backlog.oldest} form="ago" /> : '–'}</Table.Td>
      <Table.Td>
        <When at={nextExpiry(state)} form="ago" />
      </Table.Td>
      <Table.Td>
        <When at={lane.last_success} form="ago" />
      </Table.Td>
    </Table.Tr>
  )
}
