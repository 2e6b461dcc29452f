import { Anchor, Badge, Card, Group, List, Stack, Text, Title } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { Link } from 'react-router'
import { api, ok, type Schemas } from '../../api/client'
import { useSession } from '../../api/session'
import { Answer } from '../../parts/answer'
import { searchOf } from '../../parts/filter'
import { storyPath } from '../../parts/ids'
import { count } from '../../parts/number'
import { Outcome } from '../../parts/outcome'
import { Empty } from '../../parts/page'
import { When } from '../../parts/time'

type Result = Schemas['SearchResult']

/** Results shows what one word finds, wherever it stands. */
export function Results({ q, app }: { q: string; app?: string }) {
  const { may } = useSession()
  const found = useQuery({ queryKey: ['search', q, app], queryFn: async () => (await ok(api.GET('/v1/search', { params: { query: { q, app } } }))).results })
  return (
    <Answer query={found}>
      {(list) => {
        if (list.length === 0) return <Nothing q={q} looked={may('list-received')} />
        const received = list.filter(uncounted)
        const counted = list.filter((r) => !uncounted(r))
        return (
          <Stack gap="md">
            <section aria-label="Found">
              <Title order={2} size="h4" role="status" mb="xs">
                {counted.length === 0 ? 'No event, view, reward or object' : list.length >= 50 ? 'The best 50 results' : `${count(counted.length)} ${counted.length === 1 ? 'result' : 'results'}`}
              </Title>
              <Cards of={counted} />
            </section>
            {received.length > 0 && (
              <section aria-label="Received, and counted for nothing">
                <Title order={2} size="h4" mb={4}>
                  Received, and counted for nothing
                </Title>
                <Text size="sm" c="dimmed" mb="xs">
                  Postbacks that contain it, among the newest 1,000. A refused one waits to be judged again after a fix; of unverified ones the newest of each source is shown.
                </Text>
                <Cards of={received} />
              </section>
            )}
          </Stack>
        )
      }}
    </Answer>
  )
}

/** uncounted says whether a result is a received postback that became no event. */
const uncounted = (r: Result) => r.kind === 'received' || r.kind === 'unverified'

function Cards({ of }: { of: Result[] }) {
  return (
    <Stack gap={6} component="ul" p={0} m={0} style={{ listStyle: 'none' }}>
      {of.map((r) => (
        <li key={`${r.kind} ${r.app} ${r.id}`}>
          <ResultCard result={r} />
        </li>
      ))}
    </Stack>
  )
}

/** pathOf is the page that shows a result. */
function pathOf(r: Result): string {
  const rest = r.link.id.slice(r.link.id.indexOf('/') + 1)
  switch (r.link.page) {
    case 'stories':
      return storyPath(r.link.id)
    case 'users':
      return `/search${searchOf({ app: r.app, user: rest, kind: 'event' })}`
    case 'zones':
      return `/search${searchOf({ app: r.app, zone: rest, kind: 'event' })}`
    case 'apps':
      return `/search${searchOf({ app: r.link.id, kind: 'event' })}`
    case 'unverified':
      return `/search${searchOf({ app: r.app, source: r.app && rest ? r.link.id : undefined, kind: 'unverified' })}`
    case 'rules':
      return `/rewards/rules/${r.link.id}`
    default:
      return `/${r.link.page}/${r.link.id}`
  }
}

function ResultCard({ result: r }: { result: Result }) {
  return (
    <Card withBorder padding="xs" data-result={r.kind}>
      <Group gap="xs">
        {r.kind === 'received' ? (
          <Outcome of="refused" />
        ) : r.kind === 'unverified' ? (
          <Outcome of="unverified" />
        ) : (
          <Badge variant="default" tt="none" size="sm">
            {r.kind}
          </Badge>
        )}
        <Anchor component={Link} to={pathOf(r)} fw={600} className="foreign">
          {r.title || r.id}
        </Anchor>
        {r.at && (
          <Text size="sm" c="dimmed" component="div">
            <When at={r.at} />
          </Text>
        )}
      </Group>
      <Text size="sm" c="dimmed" className="foreign" lineClamp={3}>
        {r.detail}
      </Text>
    </Card>
  )
}

function Nothing({ q, looked }: { q: string; looked: boolean }) {
  return (
    <Empty title="Nothing has this">
      <Text size="sm" c="dimmed" mb="xs">
        Neither an event, a delivery, a view, a reward, a user, a zone nor an object is called <span className="foreign">{q}</span>
        {looked && ', and none of the newest 1,000 refused and unverified postbacks contains it'}.
      </Text>
      <List size="sm" ta="left" spacing={4}>
        <List.Item>A ymid, a user and a zone have to be written whole, as the network sends them.</List.Item>
        <List.Item>
          If the network has not sent it yet, it appears on{' '}
          <Anchor component={Link} to="/live" inherit>
            Live
          </Anchor>{' '}
          when it comes.
        </List.Item>
      </List>
    </Empty>
  )
}
