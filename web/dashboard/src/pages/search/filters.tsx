import { Button, Collapse, Group, Select, SimpleGrid, Stack, TextInput } from '@mantine/core'
import { DateTimePicker } from '@mantine/dates'
import { useDebouncedCallback, useDisclosure } from '@mantine/hooks'
import { IconAdjustmentsHorizontal, IconX } from '@tabler/icons-react'
import dayjs from 'dayjs'
import { useEffect, useState } from 'react'
import { useApps } from '../../parts/apps'
import type { Filter } from '../../parts/filter'
import { useNames } from '../../parts/names'
import { type Kind, listings, type Word } from './kinds'

const labels: Record<Word, string> = {
  app: 'App', source: 'Source', endpoint: 'Endpoint', user: 'User', ymid: 'ymid', zone: 'Zone', sub_zone: 'Sub-zone', request_var: 'request_var', event_type: 'Event type',
  network: 'Network', outcome: 'Outcome', state: 'State', reason: 'Reason', from: 'From', to: 'Until',
}

/** The words that are always shown; the others are behind "More". */
const first: readonly Word[] = ['app', 'source', 'endpoint', 'user', 'ymid', 'state', 'outcome', 'reason', 'from']

/** Filters is what the rows of a list can be chosen by. */
export function Filters({ kind, filter, change }: { kind: Kind; filter: Filter; change: (f: Filter) => void }) {
  const words = listings[kind].words
  const rest = words.filter((w) => !first.includes(w))
  const used = words.filter((w) => filter[w])
  const [open, { toggle }] = useDisclosure(rest.some((w) => filter[w]))
  const field = (word: Word) => <WordInput key={`${kind} ${word}`} kind={kind} word={word} filter={filter} change={change} />
  return (
    <Stack gap="xs" role="search" aria-label={`Filter of the ${listings[kind].noun}`}>
      <SimpleGrid cols={{ base: 2, sm: 3, md: 4, lg: 6 }} spacing="xs" verticalSpacing="xs">
        {words.filter((w) => first.includes(w)).map(field)}
      </SimpleGrid>
      {rest.length > 0 && (
        <Collapse expanded={open}>
          <SimpleGrid cols={{ base: 2, sm: 3, md: 4, lg: 6 }} spacing="xs" verticalSpacing="xs">
            {open && rest.map(field)}
          </SimpleGrid>
        </Collapse>
      )}
      <Group gap="xs">
        {rest.length > 0 && (
          <Button size="compact-xs" variant="subtle" onClick={toggle} aria-expanded={open} leftSection={<IconAdjustmentsHorizontal size={14} aria-hidden />}>
            {open ? 'Fewer filters' : 'More filters'}
          </Button>
        )}
        {used.length > 0 && (
          <Button size="compact-xs" variant="subtle" onClick={() => change(Object.fromEntries(used.map((w) => [w, ''])))} leftSection={<IconX size={14} aria-hidden />}>
            Clear the filter
          </Button>
        )}
      </Group>
    </Stack>
  )
}

const choices: Partial<Record<Kind, Partial<Record<Word, { value: string; label: string }[]>>>> = {
  event: { outcome: [{ value: 'accepted', label: 'accepted, owed to an endpoint' }, { value: 'unmatched', label: 'accepted, to no endpoint' }, { value: 'held', label: 'held' }] },
  delivery: { state: ['pending', 'delivered', 'dead', 'expired'].map((s) => ({ value: s, label: s })) },
  view: { state: ['open', 'confirmed', 'declined', 'expired'].map((s) => ({ value: s, label: s })) },
}

interface WordProps {
  kind: Kind
  word: Word
  filter: Filter
  change: (f: Filter) => void
}

function WordInput(props: WordProps) {
  const { kind, word, filter, change } = props
  const set = (value: string | null) => change({ [word]: value ?? '' })
  const choice = choices[kind]?.[word]
  if (choice) return <Select label={labels[word]} size="xs" placeholder="Any" clearable data={choice} value={filter[word] ?? null} onChange={set} />
  if (word === 'app') return <AppInput {...props} />
  if (word === 'source' || word === 'endpoint') return <ObjectInput {...props} word={word} />
  if (word === 'from' || word === 'to') return <TimeInput {...props} word={word} />
  return <TextWord {...props} />
}

function AppInput({ filter, change }: WordProps) {
  const apps = useApps()
  return (
    <Select
      label="App" size="xs" placeholder="All" clearable searchable data={apps.data?.map((a) => ({ value: a.name, label: a.title || a.name })) ?? []}
      value={filter.app ?? null} onChange={(app) => change({ app: app ?? '', source: '', endpoint: '' })}
    />
  )
}

/** ObjectInput chooses a source or an endpoint, whose name has its app's in it. */
function ObjectInput({ word, filter, change }: WordProps & { word: 'source' | 'endpoint' }) {
  const names = useNames(word)
  const value = filter[word] && !filter[word].includes('/') && filter.app ? `${filter.app}/${filter[word]}` : filter[word]
  const data = (names.data ?? []).filter((n) => !filter.app || n.startsWith(`${filter.app}/`))
  return (
    <Select
      label={labels[word]} size="xs" placeholder="All" clearable searchable data={value && !data.includes(value) ? [value, ...data] : data}
      value={value ?? null} onChange={(name) => change({ [word]: name ?? '' })}
    />
  )
}

/** TextWord filters by a whole value, once the typing rests. */
function TextWord({ word, filter, change }: WordProps) {
  const value = filter[word] ?? ''
  const [draft, setDraft] = useState(value)
  useEffect(() => setDraft(value), [value])
  const settle = useDebouncedCallback((text: string) => change({ [word]: text.trim() }), 400)
  return (
    <TextInput
      label={labels[word]} size="xs" placeholder="Any" value={draft} maxLength={256}
      onChange={(e) => {
        setDraft(e.currentTarget.value)
        settle(e.currentTarget.value)
      }}
    />
  )
}

const form = 'YYYY-MM-DD HH:mm:ss'

/** TimeInput chooses a moment in the viewer's own time zone. */
function TimeInput({ word, filter, change }: WordProps & { word: 'from' | 'to' }) {
  const value = filter[word]
  const presets = [['Last hour', 1, 'hour'], ['Last 24 hours', 24, 'hour'], ['Last 7 days', 7, 'day'], ['Last 30 days', 30, 'day']] as const
  return (
    <DateTimePicker
      label={labels[word]} size="xs" placeholder={word === 'from' ? 'The beginning' : 'Now'} clearable valueFormat="D MMM YYYY HH:mm" highlightToday
      value={value && dayjs(value).isValid() ? dayjs(value).format(form) : null} onChange={(text) => change({ [word]: text ? dayjs(text).toISOString() : '' })}
      presets={word === 'from' ? presets.map(([label, n, unit]) => ({ label, value: dayjs().subtract(n, unit).format(form) })) : undefined}
    />
  )
}
