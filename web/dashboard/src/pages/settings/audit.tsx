import { ActionIcon, Button, Group, Stack, Table, Text } from '@mantine/core'
import { IconChevronDown, IconChevronRight } from '@tabler/icons-react'
import { Fragment, useState } from 'react'
import { api, ok, type Schemas } from '../../api/client'
import { FilterChoice, FilterText } from '../../parts/fields'
import { useFilter } from '../../parts/filter'
import { Outcome } from '../../parts/outcome'
import { Empty } from '../../parts/page'
import { Paged, usePaged } from '../../parts/paged'
import { SpanInput } from '../../parts/span'
import { When } from '../../parts/time'
import { Wide } from '../../parts/wide'

type Entry = Schemas['AuditEntry']

const proofs: Record<string, string> = { member: 'member', key: 'API key', link: 'link of a publisher', local: 'on the machine itself', nobody: 'proved nothing' }

/** Audit is who changed what, and who was refused. It is appended to, and never changed. */
export function Audit() {
  const [filter, setFilter] = useFilter()
  const { actor, action, object, outcome, from, to } = filter
  const list = usePaged(['audit', actor, action, object, outcome, from, to], (before) =>
    ok(api.GET('/v1/audit', { params: { query: { actor, action, object, outcome: outcome as Entry['outcome'] | undefined, from, to, before, limit: 50 } } })),
  )
  const filtered = !!(actor || action || object || outcome || from || to)
  return (
    <Stack gap="sm">
      <Text size="sm" c="dimmed" maw={640}>
        Every change, by whomever and however it was made, and every attempt that was refused. Secrets are masked.
      </Text>
      <Group gap="sm" align="flex-end" role="search" aria-label="Filter of the audit">
        <FilterText word="actor" label="Who" placeholder="Name or id" filter={filter} onChange={setFilter} w={160} />
        <FilterText word="action" label="Did what" placeholder="put-endpoint" filter={filter} onChange={setFilter} w={160} />
        <FilterText word="object" label="With what" placeholder="endpoint/shop/" filter={filter} onChange={setFilter} w={180} />
        <FilterChoice word="outcome" label="Outcome" placeholder="All" data={[{ value: 'done', label: 'Done' }, { value: 'refused', label: 'Refused' }]} filter={filter} onChange={setFilter} w={120} />
        <SpanInput filter={filter} onChange={setFilter} />
        {filtered && (
          <Button variant="subtle" onClick={() => setFilter({ actor: '', action: '', object: '', outcome: '', from: '', to: '' })}>
            Clear
          </Button>
        )}
      </Group>
      <Paged
        query={list} rows={(page) => page.entries}
        empty={filtered ? <Empty title="No entry fits the filter">Change the filter, or clear it.</Empty> : <Empty title="Nothing was changed yet" />}
      >
        {(entries) => (
          <Wide minWidth={760}>
            <Table verticalSpacing={6} aria-label="Audit">
              <Table.Thead>
                <Table.Tr>
                  <Table.Th w={36} aria-label="Details" />
                  <Table.Th scope="col">When</Table.Th>
                  <Table.Th scope="col">Who</Table.Th>
                  <Table.Th scope="col">Did what</Table.Th>
                  <Table.Th scope="col">With what</Table.Th>
                  <Table.Th scope="col">Outcome</Table.Th>
                </Table.Tr>
              </Table.Thead>
              <Table.Tbody>
                {entries.map((e) => (
                  <AuditRow key={e.id} entry={e} />
                ))}
              </Table.Tbody>
            </Table>
          </Wide>
        )}
      </Paged>
    </Stack>
  )
}

function AuditRow({ entry: e }: { entry: Entry }) {
  const [open, setOpen] = useState(false)
  const who = e.actor.name || e.actor.id || proofs[e.actor.kind] || e.actor.kind
  const id = `audit-${e.id}`
  return (
    <Fragment>
      <Table.Tr data-audit={e.action}>
        <Table.Td>
          <ActionIcon variant="subtle" color="gray" size="sm" aria-expanded={open} aria-controls={open ? id : undefined} aria-label={`Details of ${e.action} by ${who}`} onClick={() => setOpen(!open)}>
            {open ? <IconChevronDown size={16} /> : <IconChevronRight size={16} />}
          </ActionIcon>
        </Table.Td>
        <Table.Td>
          <When at={e.at} />
        </Table.Td>
        <Table.Td maw={240}>
          <Text size="sm" className="foreign" lineClamp={2}>
            {who}
          </Text>
          <Text size="xs" c="dimmed">
            {proofs[e.actor.kind] ?? e.actor.kind}
            {e.actor.role && `, ${e.actor.role}`}
          </Text>
        </Table.Td>
        <Table.Td className="mono">{e.action}</Table.Td>
        <Table.Td maw={260}>
          <Text size="sm" className="mono foreign" lineClamp={2}>
            {e.object ?? ''}
          </Text>
          {e.why && (
            <Text size="xs" className="foreign" lineClamp={2}>
              “{e.why}”
            </Text>
          )}
        </Table.Td>
        <Table.Td>
          <Outcome of={e.outcome === 'done' ? 'ok' : 'refused'} words={e.outcome === 'done' ? 'done' : `refused, ${e.status}`} />
        </Table.Td>
      </Table.Tr>
      {open && (
        <Table.Tr id={id}>
          <Table.Td />
          <Table.Td colSpan={5}>
            <Details entry={e} />
          </Table.Td>
        </Table.Tr>
      )}
    </Fragment>
  )
}

function Details({ entry: e }: { entry: Entry }) {
  return (
    <Stack gap="xs">
      {e.changes.length > 0 ? (
        <Table withTableBorder verticalSpacing={4} aria-label="What was changed">
          <Table.Thead>
            <Table.Tr>
              <Table.Th scope="col">Field</Table.Th>
              <Table.Th scope="col">Before</Table.Th>
              <Table.Th scope="col">After</Table.Th>
            </Table.Tr>
          </Table.Thead>
          <Table.Tbody>
            {e.changes.map((c) => (
              <Table.Tr key={c.field}>
                <Table.Th scope="row" className="mono" fw={500}>
                  {c.field}
                </Table.Th>
                <Table.Td className="foreign">{c.before || <Text span inherit c="dimmed">not set</Text>}</Table.Td>
                <Table.Td className="foreign">{c.after || <Text span inherit c="dimmed">not set</Text>}</Table.Td>
              </Table.Tr>
            ))}
          </Table.Tbody>
        </Table>
      ) : (
        <Text size="sm" c="dimmed">
          No single field is noted.
        </Text>
      )}
      <Text size="xs" c="dimmed">
        <span className="mono">{e.id}</span>, answered with {e.status}
        {e.address ? `, from ${e.address}` : ', from the machine itself'}
        {e.actor.id && (
          <>
            , by <span className="mono">{e.actor.id}</span>
          </>
        )}
      </Text>
    </Stack>
  )
}
