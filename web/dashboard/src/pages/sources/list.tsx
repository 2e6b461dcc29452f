import { Anchor, Badge, Button, Group, Select, Table, Text } from '@mantine/core'
import { IconPlus } from '@tabler/icons-react'
import { Link } from 'react-router'
import { api, ok } from '../../api/client'
import { useSession } from '../../api/session'
import { useApps } from '../../parts/apps'
import { useFilter } from '../../parts/filter'
import { Outcome } from '../../parts/outcome'
import { Empty, Page } from '../../parts/page'
import { Paged, usePaged } from '../../parts/paged'
import { When } from '../../parts/time'
import { Wide } from '../../parts/wide'
import { type Source, useHealth, useNetworks } from './data'

// Each row asks how its source stands. A page of more rows than this leaves that to the page of each source.
const rowsThatAsk = 25

/** SourceList shows every way in, and how it stands. */
export function SourceList() {
  const [filter, setFilter] = useFilter()
  const { may } = useSession()
  const apps = useApps()
  const list = usePaged(['sources', filter.app], (before) => ok(api.GET('/v1/sources', { params: { query: { app: filter.app, before, limit: 50 } } })))
  return (
    <Page
      title="Sources"
      about="A source is one way in: a network with the secret that proves it, your own servers, or the SDK."
      actions={
        <>
          {(apps.data?.length ?? 0) > 1 && (
            <Select
              aria-label="App" placeholder="All apps" clearable data={apps.data?.map((a) => ({ value: a.name, label: a.title || a.name }))}
              value={filter.app ?? null} onChange={(app) => setFilter({ app: app ?? '' })}
            />
          )}
          {may('quickstart') && (
            <Button component={Link} to="/sources/new" leftSection={<IconPlus size={16} aria-hidden />}>
              Connect a network
            </Button>
          )}
        </>
      }
    >
      <Paged
        query={list} rows={(page) => page.sources} more="More"
        empty={
          <Empty title={filter.app ? 'This app has no source' : 'Nothing comes in yet'}>
            {may('quickstart')
              ? 'Connect a network: choose it, answer three questions, and paste the URL that you get into its settings.'
              : 'An operator connects a network here. Ask one to.'}
          </Empty>
        }
      >
        {(rows) => (
          <Wide minWidth={640}>
            <Table verticalSpacing="xs" aria-label="Sources">
              <Table.Thead>
                <Table.Tr>
                  <Table.Th scope="col">Source</Table.Th>
                  <Table.Th scope="col">Network</Table.Th>
                  <Table.Th scope="col">How it stands</Table.Th>
                  <Table.Th scope="col">Its ymid is</Table.Th>
                  <Table.Th scope="col">Secrets in its URL</Table.Th>
                </Table.Tr>
              </Table.Thead>
              <Table.Tbody>
                {rows.map((s) => (
                  <SourceRow key={`${s.app}/${s.name}`} source={s} ask={rows.length <= rowsThatAsk} />
                ))}
              </Table.Tbody>
            </Table>
          </Wide>
        )}
      </Paged>
    </Page>
  )
}

function SourceRow({ source, ask }: { source: Source; ask: boolean }) {
  const networks = useNetworks()
  const network = networks.data?.find((n) => n.name === source.profile)
  const ending = (source.secrets ?? []).filter((s) => s.not_after)
  return (
    <Table.Tr>
      <Table.Td>
        <Anchor component={Link} to={`/sources/${source.app}/${source.name}`} fw={600} size="sm">
          {source.app}/{source.name}
        </Anchor>
      </Table.Td>
      <Table.Td>{network?.title ?? profileTitle(source.profile)}</Table.Td>
      <Table.Td>
        <Group gap="xs">
          <Mode mode={source.mode} />
          {ask && <Standing app={source.app} name={source.name} />}
        </Group>
      </Table.Td>
      <Table.Td>{source.ymid ?? 'view'}</Table.Td>
      <Table.Td>
        {source.secrets?.length ? source.secrets.length : <Text span inherit c="dimmed">none</Text>}
        {ending.map((s) => (
          <Text key={s.not_after} size="xs" c="dimmed">
            one ends <When at={s.not_after} form="ago" />
          </Text>
        ))}
      </Table.Td>
    </Table.Tr>
  )
}

/** profileTitle names what is no network. */
export function profileTitle(profile: string): string {
  return { api: 'Your own servers', sdk: 'The SDK' }[profile] ?? profile
}

/** Mode says that a source is not like others; of a live one there is nothing to say. */
export function Mode({ mode }: { mode?: string }) {
  if (mode === 'frozen') return <Outcome of="held" words="frozen" />
  if (mode === 'shadow') return <Badge variant="light" color="violet" tt="none">in shadow</Badge>
  return null
}

function Standing({ app, name }: { app: string; name: string }) {
  const health = useHealth(app, name, false)
  if (!health.data) return null
  return <Outcome of={health.data.state} />
}
