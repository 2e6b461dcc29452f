import { Anchor, Button, Card, Group, Menu, SimpleGrid, Stack, Table, Text, Title } from '@mantine/core'
import { IconChevronDown, IconDownload, IconGift, IconTrash } from '@tabler/icons-react'
import { useMutation, useQuery } from '@tanstack/react-query'
import { useEffect, useState } from 'react'
import { Link } from 'react-router'
import { api, ok, type Schemas } from '../../api/client'
import { useSession } from '../../api/session'
import { Answer, ProblemNote } from '../../parts/answer'
import { useApps } from '../../parts/apps'
import { FilterApp, FilterText } from '../../parts/fields'
import { searchOf, useFilter } from '../../parts/filter'
import { money } from '../../parts/number'
import { Outcome } from '../../parts/outcome'
import { Empty } from '../../parts/page'
import { Paged, usePaged } from '../../parts/paged'
import { When } from '../../parts/time'
import { Wide } from '../../parts/wide'
import { ruleWords } from './data'
import { EraseDialog } from './erase'
import { GrantDialog } from './grant'
import { VoidDialog } from './void'

/** Users shows what one user has, and why: every line of the account with its cause. */
export function Users() {
  const [filter, setFilter] = useFilter()
  const apps = useApps()
  const { app = apps.data?.length === 1 ? apps.data[0]?.name : undefined, user } = filter
  return (
    <>
      <Group gap="sm" align="flex-end" mb="md" role="search" aria-label="Which user">
        <FilterApp filter={{ ...filter, app }} onChange={setFilter} placeholder="Choose the app" />
        <FilterText word="user" label="User" placeholder="The id that events carry" filter={filter} onChange={setFilter} w={260} />
      </Group>
      {app && user ? (
        <User key={`${app} ${user}`} app={app} user={user} />
      ) : (
        <Empty title="Whose account?">Choose the app and write the user&apos;s id, as events carry it: most often a Telegram id. Search finds users by other ids as well.</Empty>
      )}
    </>
  )
}

function User({ app, user }: { app: string; user: string }) {
  const { may } = useSession()
  const [dialog, setDialog] = useState<'grant' | 'erase' | null>(null)
  const [voiding, setVoiding] = useState<string | null>(null)
  const balances = useQuery({ queryKey: ['balances', app, user], queryFn: () => ok(api.GET('/v1/balances', { params: { query: { app, user } } })) })
  return (
    <Stack gap="md">
      <Group justify="space-between" align="flex-start">
        <Title order={2} size="h3" className="foreign">
          {user}
        </Title>
        <Group gap="xs">
          <Button variant="default" component={Link} to={`/search${searchOf({ app, user })}`}>
            All about this user
          </Button>
          {may('grant-reward') && (
            <Button variant="default" leftSection={<IconGift size={16} aria-hidden />} onClick={() => setDialog('grant')}>
              Grant to this user
            </Button>
          )}
          <PersonMenu app={app} user={user} onErase={() => setDialog('erase')} />
        </Group>
      </Group>
      <Answer query={balances} lines={2}>
        {({ balances: list }) =>
          list.length > 0 && (
            <SimpleGrid cols={{ base: 1, xs: 2, md: 4 }} spacing="sm">
              {list.map((b) => (
                <Card key={b.currency} withBorder padding="sm" component="section" aria-label={`Balance in ${b.currency}`}>
                  <Text size="xs" c="dimmed">
                    Balance in {b.currency}
                  </Text>
                  <Text fw={700} size="xl" data-balance={b.currency}>
                    {money(b.amount)}
                  </Text>
                  <Text size="xs" c="dimmed">
                    changed <When at={b.changed} form="ago" />
                  </Text>
                </Card>
              ))}
            </SimpleGrid>
          )
        }
      </Answer>
      <Ledger app={app} user={user} onVoid={may('void-rewards') ? setVoiding : undefined} />
      <GrantDialog opened={dialog === 'grant'} onClose={() => setDialog(null)} app={app} user={user} />
      <EraseDialog opened={dialog === 'erase'} onClose={() => setDialog(null)} app={app} user={user} />
      <VoidDialog what={voiding ? { ids: [voiding] } : null} words={`The reward ${voiding} is taken back.`} onClose={() => setVoiding(null)} />
    </Stack>
  )
}

/** Ledger shows the lines of an account, newest first, and what stands behind each. */
function Ledger({ app, user, onVoid }: { app: string; user: string; onVoid?: (reward: string) => void }) {
  const ledger = usePaged(['ledger', app, user], (before) => ok(api.GET('/v1/ledger', { params: { query: { app, user, before } } })))
  // The reward behind a line says by which rule it was earned, and where. As many pages are read of them as of the lines.
  const rewards = usePaged(['rewards-of', app, user], (before) => ok(api.GET('/v1/rewards', { params: { query: { app, user, before } } })))
  const behind = (rewards.data?.pages.length ?? 0) < (ledger.data?.pages.length ?? 0) && rewards.hasNextPage && !rewards.isFetching && !rewards.isError
  useEffect(() => {
    if (behind) void rewards.fetchNextPage()
  }, [behind, rewards.fetchNextPage])
  const byId = new Map(rewards.data?.pages.flatMap((page) => page.rewards.map((r) => [r.id ?? '', r] as const)))
  return (
    <section aria-labelledby="ledger-title">
      <Title order={3} size="h4" id="ledger-title" mb="xs">
        Ledger
      </Title>
      <Paged
        query={ledger}
        rows={(page) => page.lines}
        empty={
          <Empty title="Nothing was credited to this user">
            If something should have been: search the user&apos;s ymid or view, whose story says what became of it. What is held is credited when its hold ends.
          </Empty>
        }
      >
        {(lines) => (
          <Wide minWidth={680}>
            <Table verticalSpacing={6} aria-label="Ledger">
              <Table.Thead>
                <Table.Tr>
                  <Table.Th scope="col">When</Table.Th>
                  <Table.Th scope="col" ta="right">
                    Amount
                  </Table.Th>
                  <Table.Th scope="col">Why it is there</Table.Th>
                  <Table.Th scope="col">Reward now</Table.Th>
                  {onVoid && <Table.Th scope="col" aria-label="What can be done" />}
                </Table.Tr>
              </Table.Thead>
              <Table.Tbody>
                {lines.map((l) => (
                  <Line key={`${l.reward} ${l.n}`} line={l} reward={byId.get(l.reward)} onVoid={onVoid} />
                ))}
              </Table.Tbody>
            </Table>
          </Wide>
        )}
      </Paged>
    </section>
  )
}

function Line({ line, reward, onVoid }: { line: Schemas['LedgerLine']; reward?: Schemas['Reward']; onVoid?: (reward: string) => void }) {
  const debit = line.amount.startsWith('-')
  return (
    <Table.Tr>
      <Table.Td>
        <When at={line.at} />
      </Table.Td>
      <Table.Td ta="right" style={{ whiteSpace: 'nowrap' }} c={debit ? 'red' : undefined} fw={600}>
        {debit ? '' : '+'}
        {money(line.amount)} {line.currency}
      </Table.Td>
      <Table.Td miw={240} maw={420}>
        <Text size="sm" className="foreign">
          {line.why ? line.why : debit ? 'the network took it back' : reward ? `earned by the rule ${ruleWords(reward.rule)}` : 'earned'}
        </Text>
        <Text size="xs" c="dimmed" className="foreign">
          {reward && [reward.network ?? reward.source, reward.zone_id && `zone ${reward.zone_id}`, reward.request_var].filter(Boolean).join(', ')}{' '}
          <Anchor component={Link} to={`/story/${line.event}`} size="xs" underline="always">
            the event behind it
          </Anchor>
        </Text>
      </Table.Td>
      <Table.Td>
        {reward && <Outcome of={reward.state} />}{' '}
        <Anchor component={Link} to={`/story/${line.reward}`} size="xs" display="block">
          its story
        </Anchor>
      </Table.Td>
      {onVoid && (
        <Table.Td ta="right">
          {!debit && reward?.state === 'granted' && (
            <Button size="compact-xs" variant="subtle" color="red" onClick={() => onVoid(line.reward)} aria-label={`Take back ${line.reward}`}>
              Take back
            </Button>
          )}
        </Table.Td>
      )}
    </Table.Tr>
  )
}

/** PersonMenu is what a person may ask for by law: all that is kept, and to be forgotten. */
function PersonMenu({ app, user, onErase }: { app: string; user: string; onErase: () => void }) {
  const { may } = useSession()
  const take = useMutation({
    mutationFn: async () => {
      const person = await ok(api.GET('/v1/users/export', { params: { query: { app, user } } }))
      save(`carom-user-${user.replace(/[^\w-]+/g, '_')}.json`, JSON.stringify(person, null, 2))
    },
  })
  if (!may('export-user') && !may('erase-user')) return null
  return (
    <>
      <Menu position="bottom-end">
        <Menu.Target>
          <Button variant="default" rightSection={<IconChevronDown size={14} aria-hidden />} loading={take.isPending}>
            Personal data
          </Button>
        </Menu.Target>
        <Menu.Dropdown>
          {may('export-user') && (
            <Menu.Item leftSection={<IconDownload size={16} aria-hidden />} onClick={() => take.mutate()}>
              Export all that is kept
            </Menu.Item>
          )}
          {may('erase-user') && (
            <Menu.Item color="red" leftSection={<IconTrash size={16} aria-hidden />} onClick={onErase}>
              Erase the user
            </Menu.Item>
          )}
        </Menu.Dropdown>
      </Menu>
      <ProblemNote error={take.error} />
    </>
  )
}

/** save hands a text to the browser as a file. */
function save(name: string, text: string) {
  const url = URL.createObjectURL(new Blob([text], { type: 'application/json' }))
  const link = document.createElement('a')
  link.href = url
  link.download = name
  link.click()
  URL.revokeObjectURL(url)
}
