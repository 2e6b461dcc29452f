import { Anchor, Button, Group, Stack, Table, Text } from '@mantine/core'
import { IconPlus } from '@tabler/icons-react'
import { Link, Route, Routes } from 'react-router'
import { api, ok, type Schemas } from '../../api/client'
import { useSession } from '../../api/session'
import { FilterApp, FilterText } from '../../parts/fields'
import { searchOf, useFilter } from '../../parts/filter'
import { count, money } from '../../parts/number'
import { Empty } from '../../parts/page'
import { Paged, usePaged } from '../../parts/paged'
import { Wide } from '../../parts/wide'
import { NewRule, RulePage } from './rule'

type Rule = Schemas['RuleObject']

/** Rules is the price list: which events earn what, and how much of it at most. */
export function Rules() {
  return (
    <Routes>
      <Route path="/" element={<RuleTable />} />
      <Route path="new" element={<NewRule />} />
      <Route path=":app/:name" element={<RulePage />} />
    </Routes>
  )
}

function RuleTable() {
  const [filter, setFilter] = useFilter()
  const { may } = useSession()
  const { app, q } = filter
  const rules = usePaged(['rules', app, q], (before) => ok(api.GET('/v1/rules', { params: { query: { app, q, before, limit: 100 } } })))
  const make = may('replace-rule') && (
    <Button component={Link} to={`/rewards/rules/new${searchOf({ app })}`} leftSection={<IconPlus size={16} aria-hidden />}>
      Write a rule
    </Button>
  )
  return (
    <Stack gap="sm">
      <Group justify="space-between" align="flex-end">
        <Group gap="sm" align="flex-end" role="search" aria-label="Filter of rules">
          <FilterApp filter={filter} onChange={setFilter} />
          <FilterText word="q" label="Find" placeholder="Name or currency" filter={filter} onChange={setFilter} />
        </Group>
        {make}
      </Group>
      <Paged
        query={rules} rows={(page) => page.rules} more="More"
        empty={
          app || q ? (
            <Empty title="No rule fits the filter">Change it, or clear it.</Empty>
          ) : (
            <Empty title="There is no rule" action={make}>
              Without rules nothing is rewarded here: events are passed on to endpoints, and your backend decides. With rules, each valued view earns once, and a user&apos;s balance is kept.
            </Empty>
          )
        }
      >
        {(list) => (
          <Wide minWidth={760}>
            <Table verticalSpacing="xs" aria-label="Rules">
              <Table.Thead>
                <Table.Tr>
                  <Table.Th scope="col">Rule</Table.Th>
                  <Table.Th scope="col">Pays</Table.Th>
                  <Table.Th scope="col">For</Table.Th>
                  <Table.Th scope="col">At most</Table.Th>
                  <Table.Th scope="col">Waits</Table.Th>
                  <Table.Th scope="col" aria-label="What it has paid" />
                </Table.Tr>
              </Table.Thead>
              <Table.Tbody>
                {list.map((r) => (
                  <Table.Tr key={`${r.app}/${r.name}`}>
                    <Table.Td>
                      <Anchor component={Link} to={`/rewards/rules/${r.app}/${r.name}`} fw={600} size="sm">
                        {r.name}
                      </Anchor>
                      <Text size="xs" c="dimmed">
                        {r.app}
                        {r.additional && ', beside others'}
                      </Text>
                    </Table.Td>
                    <Table.Td>{priceWords(r.price)}</Table.Td>
                    <Table.Td maw={280}>
                      <Text size="sm" className="foreign">
                        {filterWords(r.filter)}
                      </Text>
                    </Table.Td>
                    <Table.Td>
                      {(r.caps ?? []).map((c, i) => (
                        <Text key={i} size="sm">
                          {capWords(c, r.price.currency ?? '')}
                        </Text>
                      ))}
                      {!r.caps?.length && <Text size="sm" c="dimmed">no bound</Text>}
                    </Table.Td>
                    <Table.Td>
                      {r.cooldown && <Text size="sm">{r.cooldown} between two</Text>}
                      {r.hold && <Text size="sm">credited after {r.hold}</Text>}
                      {!r.cooldown && !r.hold && <Text size="sm" c="dimmed">–</Text>}
                    </Table.Td>
                    <Table.Td>
                      <Anchor component={Link} to={`/rewards${searchOf({ app: r.app, rule: r.name })}`} size="sm" aria-label={`Its rewards: ${r.app}/${r.name}`}>
                        Its rewards
                      </Anchor>
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

/** priceWords says what a rule pays: "5 coins", "40% of estimated_price × 1000, 1 to 20 coins". */
export function priceWords(p: Rule['price']): string {
  if (!p.from) return `${money(p.fixed)} ${p.currency ?? ''}`
  const share = p.share ? `${percentOf(p.share)} of ` : ''
  const bounds = [p.min && `at least ${money(p.min)}`, p.max && `at most ${money(p.max)}`].filter(Boolean).join(', ')
  return `${share}${p.from}${p.rate ? ` × ${money(p.rate)}` : ''} in ${p.currency ?? ''}${bounds && `, ${bounds}`}`
}

/** percentOf writes a part such as 0.4 as 40%. It moves the point in the text, so that nothing is rounded. */
export function percentOf(share: string): string {
  if (share.endsWith('%')) return share
  const [whole = '0', fraction = ''] = share.split('.')
  const digits = fraction.padEnd(2, '0')
  const number = (whole + digits.slice(0, 2)).replace(/^0+(?=\d)/, '')
  const rest = digits.slice(2).replace(/0+$/, '')
  return `${number}${rest && `.${rest}`}%`
}

function filterWords(f: Rule['filter']): string {
  const parts = [
    f?.values?.length ? f.values.map((v) => (v === 'empty' ? 'of unknown value' : v)).join(' or ') : 'valued',
    f?.event_types?.length ? f.event_types.join(' or ') : 'events',
    f?.sources?.length && `of ${f.sources.join(', ')}`,
    f?.networks?.length && `of the network ${f.networks.join(', ')}`,
    f?.zones?.length && `in zone ${f.zones.join(', ')}`,
    f?.request_vars?.length && `at ${f.request_vars.join(', ')}`,
  ]
  return parts.filter(Boolean).join(' ')
}

const per: Record<string, string> = { user: 'user', day: 'day', rule: 'rule' }

function capWords(c: NonNullable<Rule['caps']>[number], currency: string): string {
  const what = [c.rewards && `${count(c.rewards)} rewards`, c.amount && `${money(c.amount)} ${currency}`].filter(Boolean).join(' and ')
  const counts = (c.per ?? []).map((p) => per[p] ?? p)
  return `${what}${counts.length ? ` a ${counts.join(' and ')}` : ' for ever'}${c.name ? ` (${c.name})` : ''}`
}
