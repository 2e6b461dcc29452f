import { Alert, Anchor, Badge, Button, Chip, Group, List, Select, Table, Text, TextInput } from '@mantine/core'
import { useDebouncedCallback, useMediaQuery } from '@mantine/hooks'
import { IconArrowDownLeft, IconArrowUpRight, IconPlayerPause, IconPlayerPlay, IconPlugConnectedX, IconX } from '@tabler/icons-react'
import { memo, useEffect, useState } from 'react'
import { Link } from 'react-router'
import { useSession } from '../../api/session'
import { ProblemNote } from '../../parts/answer'
import { useApps } from '../../parts/apps'
import { type Filter, useFilter } from '../../parts/filter'
import { storyPath } from '../../parts/ids'
import { useNames } from '../../parts/names'
import { count } from '../../parts/number'
import { lookOf, Outcome } from '../../parts/outcome'
import { Empty, Page } from '../../parts/page'
import type { StreamState } from '../../parts/stream'
import { When } from '../../parts/time'
import { useFeed, usePast } from './feed'
import { passes, type Row } from './row'

/** Live shows received and sent postbacks as they happen. */
export default function Live() {
  const [filter, setFilter] = useFilter()
  const [paused, setPaused] = useState(false)
  const [attempt, setAttempt] = useState(0)
  const feed = useFeed(filter, paused, attempt)
  const past = usePast(filter)
  const known = new Set(feed.rows.map((r) => r.key))
  const before = (past.data ?? []).filter((r) => !known.has(r.key) && passes(r, filter))
  const nothing = feed.rows.length === 0 && before.length === 0
  const narrowed = Boolean(filter.app || filter.source || filter.endpoint || filter.kind || filter.outcome || filter.q)
  return (
    <Page
      title="Live"
      about="Received and sent postbacks as they happen, newest first. Each line opens its story."
      actions={
        <>
          <Connection state={feed.state} paused={paused} />
          <Button
            variant={paused ? 'filled' : 'default'} size="xs" onClick={() => setPaused(!paused)}
            leftSection={paused ? <IconPlayerPlay size={14} aria-hidden /> : <IconPlayerPause size={14} aria-hidden />}
          >
            {paused ? (feed.waiting > 0 ? `Go on (${count(feed.waiting)} new)` : 'Go on') : 'Pause'}
          </Button>
        </>
      }
    >
      <Filters filter={filter} change={setFilter} />
      <Outcomes counts={feed.counts} chosen={filter.outcome} choose={(outcome) => setFilter({ outcome })} />
      {feed.state === 'lost' && (
        <Alert color="yellow" icon={<IconPlugConnectedX aria-hidden />} title="The connection was lost" role="alert">
          <Text size="sm" mb="xs">
            What came meanwhile is not shown here; it is found under Search.
          </Text>
          <Button size="xs" variant="default" onClick={() => setAttempt(attempt + 1)}>
            Connect again
          </Button>
        </Alert>
      )}
      {feed.skipped && (
        <Alert color="yellow" title="Some are left out">
          More comes than can be shown: narrow the filter to one source or endpoint to see all of it. Nothing is lost; every one is found under Search.
        </Alert>
      )}
      {past.isError && <ProblemNote error={past.error} retry={() => void past.refetch()} />}
      {nothing ? past.isPending ? null : <Nothing narrowed={narrowed} change={setFilter} /> : <Rows rows={feed.rows} before={before} />}
    </Page>
  )
}

function Connection({ state, paused }: { state: StreamState; paused: boolean }) {
  const [color, words] = state === 'lost' ? ['red', 'Lost'] : state === 'connecting' ? ['yellow', 'Connecting'] : paused ? ['gray', 'Paused'] : ['green', 'Live']
  return (
    <Badge variant="dot" color={color} size="lg" tt="none" role="status" data-live={state}>
      {words}
    </Badge>
  )
}

function Filters({ filter, change }: { filter: Filter; change: (f: Filter) => void }) {
  const apps = useApps()
  const sources = useNames('source')
  const endpoints = useNames('endpoint')
  const ofApp = (names: string[] = []) => names.filter((n) => !filter.app || n.startsWith(`${filter.app}/`))
  const [q, setQ] = useState(filter.q ?? '')
  useEffect(() => setQ(filter.q ?? ''), [filter.q])
  const search = useDebouncedCallback((text: string) => change({ q: text }), 200)
  return (
    <Group gap="xs" align="flex-end" role="search" aria-label="Filter">
      <Select
        label="Show" size="xs" w={150} data={[{ value: '', label: 'Received and sent' }, { value: 'received', label: 'Received only' }, { value: 'sent', label: 'Sent only' }]}
        value={filter.kind ?? ''} onChange={(kind) => change({ kind: kind ?? '' })} allowDeselect={false} disabled={Boolean(filter.endpoint)}
      />
      {(apps.data?.length ?? 0) > 1 && (
        <Select
          label="App" size="xs" w={150} placeholder="All" clearable searchable data={apps.data?.map((a) => ({ value: a.name, label: a.title || a.name }))}
          value={filter.app ?? null} onChange={(app) => change({ app: app ?? '', source: '', endpoint: '' })}
        />
      )}
      <Select
        label="Source" size="xs" w={170} placeholder="All" clearable searchable data={ofApp(sources.data)}
        value={filter.source ?? null} onChange={(source) => change({ source: source ?? '', endpoint: '' })}
      />
      <Select
        label="Endpoint" size="xs" w={170} placeholder="All" clearable searchable data={ofApp(endpoints.data)}
        value={filter.endpoint ?? null} onChange={(endpoint) => change({ endpoint: endpoint ?? '', source: '', kind: '' })}
      />
      <TextInput
        label="Contains" size="xs" w={190} placeholder="User, ymid, zone, reason, id" value={q}
        onChange={(e) => {
          setQ(e.currentTarget.value)
          search(e.currentTarget.value)
        }}
      />
    </Group>
  )
}

const outcomes = ['accepted', 'held', 'unmatched', 'duplicate', 'refused', 'unverified', 'delivered', 'retry', 'dead', 'expired']

/** Outcomes counts what came since the page was opened, and shows one of them alone when it is chosen. */
function Outcomes({ counts, chosen, choose }: { counts: Record<string, number>; chosen?: string; choose: (outcome: string) => void }) {
  return (
    <Group gap={6} role="group" aria-label="Outcome, with how many came since the page was opened">
      {outcomes.map((outcome) => {
        const look = lookOf(outcome)
        return (
          <Chip
            key={outcome} size="xs" variant="light" color={look.color} checked={chosen === outcome} onChange={() => choose(chosen === outcome ? '' : outcome)}
            icon={null}
          >
            <Group gap={4} wrap="nowrap" component="span">
              <look.icon size={12} aria-hidden />
              {look.words} {count(counts[outcome] ?? 0)}
            </Group>
          </Chip>
        )
      })}
    </Group>
  )
}

/** How many rows are drawn, and how many more whenever somebody asks: with hundreds of events a second, all of them would keep the browser busy. */
const drawn = 100

function Rows({ rows, before }: { rows: Row[]; before: Row[] }) {
  const wide = useMediaQuery('(min-width: 75em)', true, { getInitialValueInEffect: false })
  const [most, setMost] = useState(drawn)
  const newest = rows.slice(0, most)
  const hidden = rows.length - newest.length
  return (
    <>
      <Table verticalSpacing={4} highlightOnHover aria-label="Postbacks, newest first">
        {wide && (
          <Table.Thead>
            <Table.Tr>
              <Table.Th scope="col">Time</Table.Th>
              <Table.Th scope="col">Postback</Table.Th>
              <Table.Th scope="col">Outcome</Table.Th>
              <Table.Th scope="col">Event</Table.Th>
              <Table.Th scope="col">Of whom</Table.Th>
              <Table.Th scope="col">What happened</Table.Th>
              <Table.Td />
            </Table.Tr>
          </Table.Thead>
        )}
        <Table.Tbody>
          {newest.map((row) => (
            <OneRow key={row.key} row={row} wide={wide} />
          ))}
          {hidden === 0 && before.length > 0 && (
            <Table.Tr>
              <Table.Td colSpan={7}>
                <Text size="xs" c="dimmed" fw={600}>
                  Before you opened this page
                </Text>
              </Table.Td>
            </Table.Tr>
          )}
          {hidden === 0 &&
            before.map((row) => (
              <OneRow key={row.key} row={row} wide={wide} />
            ))}
        </Table.Tbody>
      </Table>
      {hidden > 0 && (
        <Group>
          <Button variant="default" size="xs" onClick={() => setMost(most + drawn)}>
            Show {count(Math.min(hidden, drawn))} older
          </Button>
        </Group>
      )}
    </>
  )
}

/** OneRow is drawn once: a row never changes. Where there is little room, what is beside one another stands below. */
const OneRow = memo(function OneRow({ row, wide }: { row: Row; wide: boolean }) {
  const when = <When at={row.at} form="clock" />
  const words = (
    <Text size="sm" lineClamp={wide ? 2 : 4} className="foreign">
      {row.words}
    </Text>
  )
  const story = row.story && (
    <Anchor component={Link} size="sm" to={storyPath(row.story)} aria-label={`Story of ${row.story}`}>
      Story
    </Anchor>
  )
  if (!wide) {
    return (
      <Table.Tr data-way={row.way} data-row={row.outcome}>
        <Table.Td>
          <Group gap={6} justify="space-between">
            <Group gap={6}>
              {when}
              <Outcome of={row.outcome} />
            </Group>
            {story}
          </Group>
          <Where row={row} />
          {row.what && <Text size="sm">{row.what}</Text>}
          <Whose row={row} />
          {words}
        </Table.Td>
      </Table.Tr>
    )
  }
  return (
    <Table.Tr data-way={row.way} data-row={row.outcome}>
      <Table.Td>{when}</Table.Td>
      <Table.Td>
        <Where row={row} />
      </Table.Td>
      <Table.Td>
        <Outcome of={row.outcome} />
      </Table.Td>
      <Table.Td style={{ whiteSpace: 'nowrap' }}>{row.what}</Table.Td>
      <Table.Td maw={280}>
        <Whose row={row} />
      </Table.Td>
      <Table.Td maw={380}>{words}</Table.Td>
      <Table.Td>{story}</Table.Td>
    </Table.Tr>
  )
})

function Where({ row }: { row: Row }) {
  const Way = row.way === 'received' ? IconArrowDownLeft : IconArrowUpRight
  return (
    <Group gap={4} wrap="nowrap">
      <Way size={14} aria-hidden />
      <Text span size="sm">
        {row.way}
      </Text>
      <Anchor component={Link} size="sm" to={`/${row.way === 'received' ? 'sources' : 'endpoints'}/${row.object}`} style={{ overflowWrap: 'break-word' }}>
        {row.object}
      </Anchor>
    </Group>
  )
}

function Whose({ row }: { row: Row }) {
  return (
    <Group gap={8} style={{ rowGap: 0 }}>
      {row.who.map(([field, value]) => (
        <Text key={field} span size="sm" className="foreign">
          <Text span c="dimmed" size="xs">
            {field}{' '}
          </Text>
          {value}
        </Text>
      ))}
    </Group>
  )
}

/** Nothing says what to do while nothing has come: the first minutes of a new set-up are spent here. */
function Nothing({ narrowed, change }: { narrowed: boolean; change: (f: Filter) => void }) {
  const { may } = useSession()
  const sources = useNames('source')
  if (narrowed) {
    return (
      <Empty
        title="Nothing that fits the filter has come yet"
        action={
          <Button variant="default" onClick={() => change({ app: '', source: '', endpoint: '', kind: '', outcome: '', q: '' })} leftSection={<IconX size={14} aria-hidden />}>
            Show everything
          </Button>
        }
      >
        It appears here within a second of arriving.
      </Empty>
    )
  }
  const list = sources.data ?? []
  if (sources.data && list.length === 0) {
    return (
      <Empty title="Nothing can arrive yet" action={may('quickstart') && <Button component={Link} to="/sources/new">Connect a network</Button>}>
        There is no source, so no network has a URL to send postbacks to.
      </Empty>
    )
  }
  return (
    <Empty title="Waiting for the first postback">
      <Text size="sm" c="dimmed" mb="xs">
        It appears here within a second of arriving. If nothing comes:
      </Text>
      <List size="sm" ta="left" spacing={4} type="ordered">
        <List.Item>Look whether the URL of the source is entered at the network.</List.Item>
        <List.Item>Send a test postback from the page of the source, as the network would.</List.Item>
        <List.Item>Watch an ad in your own app. Networks often pay nothing for own views, but most send them.</List.Item>
      </List>
      {list.length > 0 && (
        <Group gap="xs" justify="center" mt="md">
          {list.slice(0, 8).map((name) => (
            <Button key={name} component={Link} to={`/sources/${name}`} variant="default" size="xs">
              {name}
            </Button>
          ))}
        </Group>
      )}
    </Empty>
  )
}
