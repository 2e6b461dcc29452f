import { Anchor, Button, Group, Stack, Table, Text } from '@mantine/core'
import { IconPlus } from '@tabler/icons-react'
import { Link, Route, Routes } from 'react-router'
import { api, ok } from '../../api/client'
import { useSession } from '../../api/session'
import { FilterText } from '../../parts/fields'
import { searchOf, useFilter } from '../../parts/filter'
import { Empty } from '../../parts/page'
import { Paged, usePaged } from '../../parts/paged'
import { Wide } from '../../parts/wide'
import { AppPage, NewApp } from './app'

/** Apps are what everything else belongs to: one Mini App, game or site each. */
export function Apps() {
  return (
    <Routes>
      <Route path="/" element={<AppList />} />
      <Route path="new" element={<NewApp />} />
      <Route path=":app" element={<AppPage />} />
    </Routes>
  )
}

function AppList() {
  const [filter, setFilter] = useFilter()
  const { may } = useSession()
  const { q } = filter
  const apps = usePaged(['app-list', q], (before) => ok(api.GET('/v1/apps', { params: { query: { q, before, limit: 100 } } })))
  const make = may('replace-app') && (
    <Button component={Link} to="/settings/apps/new" leftSection={<IconPlus size={16} aria-hidden />}>
      Make an app
    </Button>
  )
  return (
    <Stack gap="sm">
      <Group justify="space-between" align="flex-end">
        <FilterText word="q" label="Find" placeholder="Name or title" filter={filter} onChange={setFilter} />
        {make}
      </Group>
      <Paged
        query={apps} rows={(page) => page.apps} more="More"
        empty={q ? <Empty title="No app has this name">Write another word.</Empty> : <Empty title="There is no app" action={make}>An app is one Mini App, game or site. Everything else belongs to one.</Empty>}
      >
        {(list) => (
          <Wide minWidth={680}>
            <Table verticalSpacing="xs" aria-label="Apps">
              <Table.Thead>
                <Table.Tr>
                  <Table.Th scope="col">App</Table.Th>
                  <Table.Th scope="col">Publisher</Table.Th>
                  <Table.Th scope="col">Currencies</Table.Th>
                  <Table.Th scope="col">Time zone</Table.Th>
                  <Table.Th scope="col">Pages</Table.Th>
                  <Table.Th scope="col">Telegram bot</Table.Th>
                </Table.Tr>
              </Table.Thead>
              <Table.Tbody>
                {list.map((a) => (
                  <Table.Tr key={a.name}>
                    <Table.Td>
                      <Anchor component={Link} to={`/settings/apps/${a.name}`} fw={600} size="sm">
                        {a.name}
                      </Anchor>
                      {a.title && (
                        <Text size="xs" c="dimmed" className="foreign">
                          {a.title}
                        </Text>
                      )}
                    </Table.Td>
                    <Table.Td>
                      {a.publisher ? (
                        <Anchor component={Link} to={`/zones/publishers/${a.publisher}`} size="sm">
                          {a.publisher}
                        </Anchor>
                      ) : (
                        <Dash />
                      )}
                    </Table.Td>
                    <Table.Td>{Object.keys(a.currencies ?? {}).length > 0 ? Object.keys(a.currencies ?? {}).sort().join(', ') : <Dash />}</Table.Td>
                    <Table.Td>{a.time_zone ?? 'UTC'}</Table.Td>
                    <Table.Td className="foreign">{a.origins?.length ? a.origins.join(', ') : <Dash />}</Table.Td>
                    <Table.Td>{a.has_bot_token ? 'its token is stored' : a.telegram?.bot_id ? `number ${a.telegram.bot_id}` : <Dash />}</Table.Td>
                  </Table.Tr>
                ))}
              </Table.Tbody>
            </Table>
          </Wide>
        )}
      </Paged>
      <Text size="sm" c="dimmed">
        What comes in and goes out of an app stands under <Anchor component={Link} to="/sources" size="sm" underline="always">Sources</Anchor>, <Anchor component={Link} to="/endpoints" size="sm" underline="always">Endpoints</Anchor>,{' '}
        <Anchor component={Link} to={`/zones${searchOf({})}`} size="sm" underline="always">Zones</Anchor> and <Anchor component={Link} to="/rewards/rules" size="sm" underline="always">Rules</Anchor>.
      </Text>
    </Stack>
  )
}

function Dash() {
  return (
    <Text span inherit c="dimmed">
      –
    </Text>
  )
}
