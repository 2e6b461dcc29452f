import { Anchor, Badge, Button, Group, Stack, Table, Text } from '@mantine/core'
import { IconPlayerPause, IconPlus } from '@tabler/icons-react'
import { Link } from 'react-router'
import { api, ok } from '../../api/client'
import { useSession } from '../../api/session'
import { FilterApp, FilterText } from '../../parts/fields'
import { useFilter } from '../../parts/filter'
import { Empty } from '../../parts/page'
import { Paged, usePaged } from '../../parts/paged'
import { Wide } from '../../parts/wide'
import { formatLabel } from './formats'

/** ZonesSection lists the placements of all apps. */
export function ZonesSection() {
  const [filter, setFilter] = useFilter()
  const { may } = useSession()
  const { app, q } = filter
  const zones = usePaged(['zones', app, q], (before) => ok(api.GET('/v1/zones', { params: { query: { app, q, before, limit: 100 } } })))
  const make = may('replace-zone') && (
    <Button component={Link} to="/zones/at/new" leftSection={<IconPlus size={16} aria-hidden />}>
      Make a zone
    </Button>
  )
  return (
    <Stack gap="sm">
      <Group justify="space-between" align="flex-end">
        <Group gap="sm" align="flex-end" role="search" aria-label="Filter of zones">
          <FilterApp filter={filter} onChange={setFilter} />
          <FilterText word="q" label="Find" placeholder="Id or title" filter={filter} onChange={setFilter} />
        </Group>
        {make}
      </Group>
      <Paged
        query={zones} rows={(page) => page.zones} more="More"
        empty={
          app || q ? (
            <Empty title="No zone fits the filter">Change it, or clear it.</Empty>
          ) : (
            <Empty title="There is no zone" action={make}>
              A zone is a placement of an app. Make one if you show ads yourself, in your own pages or those of your publishers; whoever only receives postbacks of networks needs none.
            </Empty>
          )
        }
      >
        {(list) => (
          <Wide minWidth={680}>
            <Table verticalSpacing="xs" aria-label="Zones">
              <Table.Thead>
                <Table.Tr>
                  <Table.Th scope="col">Zone</Table.Th>
                  <Table.Th scope="col">App</Table.Th>
                  <Table.Th scope="col">Formats, with their sub-zones</Table.Th>
                  <Table.Th scope="col">Ads from</Table.Th>
                  <Table.Th scope="col">State</Table.Th>
                </Table.Tr>
              </Table.Thead>
              <Table.Tbody>
                {list.map((z) => (
                  <Table.Tr key={z.id}>
                    <Table.Td>
                      <Anchor component={Link} to={`/zones/at/${z.app}/${z.id}`} fw={600} size="sm" className="mono">
                        {z.id}
                      </Anchor>
                      {z.title && (
                        <Text size="xs" c="dimmed" className="foreign">
                          {z.title}
                        </Text>
                      )}
                    </Table.Td>
                    <Table.Td>{z.app}</Table.Td>
                    <Table.Td>
                      {Object.entries(z.sub_zones).map(([format, id]) => (
                        <Text key={format} size="sm">
                          {formatLabel(format)}{' '}
                          <Text span inherit c="dimmed" className="mono">
                            {id}
                          </Text>
                        </Text>
                      ))}
                    </Table.Td>
                    <Table.Td>{z.ad_server?.url ? 'your ad server, then creatives' : 'creatives'}</Table.Td>
                    <Table.Td>
                      <ZoneState paused={!!z.paused} />
                    </Table.Td>
                  </Table.Tr>
                ))}
              </Table.Tbody>
            </Table>
          </Wide>
        )}
      </Paged>
    </Stack>
  )
}

/** ZoneState says whether a zone shows ads. */
export function ZoneState({ paused }: { paused: boolean }) {
  return paused ? (
    <Badge color="yellow" variant="light" tt="none" leftSection={<IconPlayerPause size={12} aria-hidden />}>
      paused
    </Badge>
  ) : (
    <Badge color="green" variant="light" tt="none">
      shows ads
    </Badge>
  )
}

