import { Anchor, Button, Card, Group, Select, Stack, Text, ThemeIcon, Title } from '@mantine/core'
import { IconAlertTriangle, IconCheck, IconCurrencyDollarOff } from '@tabler/icons-react'
import { useQuery } from '@tanstack/react-query'
import { Link } from 'react-router'
import { api, ok, type Schemas } from '../../api/client'
import { useSession } from '../../api/session'
import { Answer } from '../../parts/answer'
import { useApps } from '../../parts/apps'
import { useFilter } from '../../parts/filter'
import { Empty, Page } from '../../parts/page'
import { When } from '../../parts/time'
import { DayCharts } from './charts'
import { pageOf } from './subject'

type Status = Schemas['Status']

const verdicts = {
  ok: { color: 'green', icon: IconCheck, title: 'All is well' },
  attention: { color: 'yellow', icon: IconAlertTriangle, title: 'Something needs a look' },
  losing_money: { color: 'red', icon: IconCurrencyDollarOff, title: 'Money is being lost' },
} as const

/** Overview says how it stands: the verdict, what to do next, and today against yesterday. */
export default function Overview() {
  const [filter, setFilter] = useFilter()
  const { may } = useSession()
  const apps = useApps()
  const status = useQuery({ queryKey: ['status'], queryFn: () => ok(api.GET('/v1/status')), refetchInterval: 10_000, enabled: may('get-status') })
  const timeZone = Intl.DateTimeFormat().resolvedOptions().timeZone
  const overview = useQuery({
    queryKey: ['overview', filter.app, timeZone],
    queryFn: () => ok(api.GET('/v1/overview', { params: { query: { app: filter.app, time_zone: timeZone } } })),
    refetchInterval: 15_000,
  })
  const nothingYet = apps.data?.length === 0
  return (
    <Page
      title="Overview"
      actions={
        (apps.data?.length ?? 0) > 1 && (
          <Select
            aria-label="App" placeholder="All apps" clearable data={apps.data?.map((a) => ({ value: a.name, label: a.title || a.name }))}
            value={filter.app ?? null} onChange={(app) => setFilter({ app: app ?? '' })}
          />
        )
      }
    >
      {nothingYet && may('quickstart') && (
        <Empty title="Nothing is set up yet" action={<Button component={Link} to="/sources/new">Connect a network</Button>}>
          Choose the network that shows your ads, answer three questions, and paste the URL that you get into the network's settings.
        </Empty>
      )}
      {may('get-status') && <Answer query={status}>{(s) => <Verdict status={s} />}</Answer>}
      {!nothingYet && <Answer query={overview}>{(o) => <DayCharts overview={o} filter={filter} />}</Answer>}
    </Page>
  )
}

function Verdict({ status }: { status: Status }) {
  const verdict = verdicts[status.verdict as keyof typeof verdicts]
  const open = status.items.filter((i) => i.severity !== 'note')
  const notes = status.items.filter((i) => i.severity === 'note')
  return (
    <Stack gap="sm">
      <Card withBorder padding="md" component="section" aria-label="Verdict">
        <Group wrap="nowrap" align="flex-start">
          <ThemeIcon color={verdict.color} size="xl" radius="xl" variant="light" aria-hidden>
            <verdict.icon />
          </ThemeIcon>
          <div data-verdict={status.verdict}>
            <Title order={2} size="h4">
              {verdict.title}
            </Title>
            <Text size="sm">{status.sentence}</Text>
            <Text size="xs" c="dimmed">
              As of <When at={status.at} form="clock" />
            </Text>
          </div>
        </Group>
      </Card>
      {open.length > 0 && (
        <section aria-label="What needs attention">
          <Stack gap="xs">
            {open.map((item) => (
              <ItemCard key={item.kind + item.subject} item={item} />
            ))}
          </Stack>
        </section>
      )}
      {notes.map((item) => (
        <Text key={item.kind + item.subject} size="sm" c="dimmed">
          {item.subject}: {item.what}
        </Text>
      ))}
    </Stack>
  )
}

const faults: Record<string, string> = { ours: 'this server', network: 'the network', receiver: 'the receiver', configuration: 'what was entered' }

function ItemCard({ item }: { item: Schemas['Item'] }) {
  const page = pageOf(item.subject)
  const color = item.severity === 'losing_money' ? 'red' : 'yellow'
  return (
    <Card withBorder padding="sm" style={{ borderInlineStart: `4px solid var(--mantine-color-${color}-6)` }}>
      <Group wrap="nowrap" align="flex-start" gap="sm">
        <ThemeIcon color={color} variant="light" aria-hidden>
          <IconAlertTriangle size={18} />
        </ThemeIcon>
        <Stack gap={4}>
          <Text fw={600} size="sm">
            {page ? <Anchor component={Link} to={page} inherit>{item.subject}</Anchor> : item.subject}: {item.what}
          </Text>
          {item.how_much && <Text size="sm">{item.how_much}</Text>}
          <Text size="sm">
            <b>Next:</b> {item.next}
          </Text>
          <Text size="xs" c="dimmed">
            To act: {faults[item.fault] ?? item.fault}
            {item.since && (
              <>
                , since <When at={item.since} />
              </>
            )}
          </Text>
        </Stack>
      </Group>
    </Card>
  )
}

