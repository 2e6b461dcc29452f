import { Anchor, Button, Checkbox, Group, Table, Text } from '@mantine/core'
import { useState } from 'react'
import { Link } from 'react-router'
import { api, ok } from '../../api/client'
import { useSession } from '../../api/session'
import { FilterApp, FilterChoice, FilterText } from '../../parts/fields'
import { searchOf, useFilter } from '../../parts/filter'
import { count, money } from '../../parts/number'
import { Outcome } from '../../parts/outcome'
import { Empty } from '../../parts/page'
import { Paged, usePaged } from '../../parts/paged'
import { SpanInput } from '../../parts/span'
import { When } from '../../parts/time'
import { Wide } from '../../parts/wide'
import { rewardStates, ruleWords } from './data'
import { VoidDialog, type VoidWhat } from './void'

/** RewardList shows rewards, newest first, and takes back those that are chosen, or all that the filter selects. */
export function RewardList() {
  const [filter, setFilter] = useFilter()
  const { may } = useSession()
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set())
  const [voiding, setVoiding] = useState<{ what: VoidWhat; words: string } | null>(null)
  const { app, user, rule, source, state, from, to } = filter
  const list = usePaged(['rewards', app, user, rule, source, state, from, to], (before) =>
    ok(api.GET('/v1/rewards', { params: { query: { app, user, rule, source, state: state as 'granted' | undefined, from, to, before, limit: 50 } } })),
  )
  const change = (c: typeof filter) => {
    setChosen(new Set())
    setFilter(c)
  }
  const filtered = !!(app || user || rule || source || state || from || to)
  const mayVoid = may('void-rewards')
  const name = source?.includes('/') ? source.slice(source.indexOf('/') + 1) : source
  return (
    <>
      <Group gap="sm" align="flex-end" mb="md" role="search" aria-label="Filter of rewards">
        <FilterApp filter={filter} onChange={change} />
        <FilterText word="user" label="User" filter={filter} onChange={change} />
        <FilterText word="rule" label="Rule" placeholder="Name; - is by hand" filter={filter} onChange={change} w={180} />
        <FilterText word="source" label="Source" filter={filter} onChange={change} w={150} />
        <FilterChoice word="state" label="State" placeholder="All" data={rewardStates} filter={filter} onChange={change} w={130} />
        <SpanInput filter={filter} onChange={change} />
        {filtered && (
          <Button variant="subtle" onClick={() => change({ app: '', user: '', rule: '', source: '', state: '', from: '', to: '' })}>
            Clear
          </Button>
        )}
      </Group>
      {mayVoid && (
        <Group gap="sm" mb="sm">
          <Button
            variant="default" size="xs" disabled={chosen.size === 0}
            onClick={() => setVoiding({ what: { ids: [...chosen] }, words: chosen.size === 1 ? `The reward ${[...chosen][0]} is taken back.` : `${count(chosen.size)} chosen rewards are taken back.` })}
          >
            Take back the chosen {chosen.size > 0 && `(${count(chosen.size)})`}
          </Button>
          {app && (
            <Button
              variant="default" size="xs" disabled={!!state}
              onClick={() =>
                setVoiding({
                  what: { filter: { app, user, rule, source: name, from, to } },
                  words: `All rewards of the app ${app} that the filter selects are taken back, also those that are not on the page yet.`,
                })
              }
            >
              Take back all that the filter selects
            </Button>
          )}
        </Group>
      )}
      <Paged
        query={list} rows={(page) => page.rewards}
        empty={
          filtered ? (
            <Empty title="No reward fits the filter">Change the filter, or clear it.</Empty>
          ) : (
            <Empty title="Nothing is rewarded yet" action={may('replace-rule') && <Button component={Link} to="/rewards/rules/new">Write a rule</Button>}>
              A rule says which events earn what. Once one is there, each valued view that fits it earns a reward.
            </Empty>
          )
        }
      >
        {(rewards) => (
          <Wide minWidth={860}>
            <Table verticalSpacing={6} aria-label="Rewards">
              <Table.Thead>
                <Table.Tr>
                  {mayVoid && (
                    <Table.Th w={36}>
                      <Checkbox
                        size="xs" aria-label="Choose all that are shown" checked={chosen.size > 0 && rewards.filter((r) => takeable(r.state)).every((r) => chosen.has(r.id ?? ''))}
                        onChange={(e) => setChosen(new Set(e.currentTarget.checked ? rewards.filter((r) => takeable(r.state)).map((r) => r.id ?? '') : []))}
                      />
                    </Table.Th>
                  )}
                  <Table.Th scope="col">Decided</Table.Th>
                  <Table.Th scope="col">User</Table.Th>
                  <Table.Th scope="col" ta="right">
                    Amount
                  </Table.Th>
                  <Table.Th scope="col">State</Table.Th>
                  <Table.Th scope="col">Rule</Table.Th>
                  <Table.Th scope="col">What earned it</Table.Th>
                  <Table.Th scope="col" aria-label="Its story" />
                </Table.Tr>
              </Table.Thead>
              <Table.Tbody>
                {rewards.map((r) => (
                  <Table.Tr key={r.id}>
                    {mayVoid && (
                      <Table.Td>
                        <Checkbox
                          size="xs" aria-label={`Choose ${r.id}`} disabled={!takeable(r.state)} checked={chosen.has(r.id ?? '')}
                          onChange={(e) => {
                            const next = new Set(chosen)
                            if (e.currentTarget.checked) next.add(r.id ?? '')
                            else next.delete(r.id ?? '')
                            setChosen(next)
                          }}
                        />
                      </Table.Td>
                    )}
                    <Table.Td>
                      <When at={r.at} />
                    </Table.Td>
                    <Table.Td miw={150} maw={240}>
                      <Anchor component={Link} to={`/rewards/users${searchOf({ app: r.app, user: r.user })}`} className="foreign" size="sm">
                        {r.user}
                      </Anchor>
                      <Text size="xs" c="dimmed">
                        {r.app}
                      </Text>
                    </Table.Td>
                    <Table.Td ta="right" style={{ whiteSpace: 'nowrap' }}>
                      {money(r.amount)} {r.currency}
                    </Table.Td>
                    <Table.Td>
                      <Outcome of={r.state} />
                      {r.until && (
                        <Text size="xs" c="dimmed">
                          until <When at={r.until} />
                        </Text>
                      )}
                    </Table.Td>
                    <Table.Td>
                      {r.rule === '-' ? (
                        'by hand'
                      ) : (
                        <Anchor component={Link} to={`/rewards/rules/${r.app}/${r.rule}`} size="sm">
                          {ruleWords(r.rule)}
                        </Anchor>
                      )}
                    </Table.Td>
                    <Table.Td miw={200} maw={300}>
                      <Text size="sm" className="foreign" lineClamp={2}>
                        {r.why ?? [r.network ?? r.source, r.zone_id && `zone ${r.zone_id}`, r.request_var].filter(Boolean).join(', ')}
                      </Text>
                    </Table.Td>
                    <Table.Td style={{ whiteSpace: 'nowrap' }}>
                      <Anchor component={Link} to={`/story/${r.id}`} size="sm" aria-label={`Its story: ${r.id}`}>
                        Its story
                      </Anchor>
                    </Table.Td>
                  </Table.Tr>
                ))}
              </Table.Tbody>
            </Table>
          </Wide>
        )}
      </Paged>
      <VoidDialog
        what={voiding?.what ?? null} words={voiding?.words ?? ''}
        onClose={(done) => {
          setVoiding(null)
          if (done) setChosen(new Set())
        }}
      />
    </>
  )
}

/** takeable says whether a reward of a state can be taken back. */
const takeable = (state: string): boolean => state === 'granted' || state === 'held'
