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

/** How many refused postbacks are looked through: what they say is not in any index, for nothing that they say is certain. */
const looked = 1000

/** Results shows what one word finds, wherever it stands. */
export function Results({ q, app }: { q: string; app?: string }) {
  const { may } = useSession()
  const found = useQuery({ queryKey: ['search', q, app], queryFn: async () => (await ok(api.GET('/v1/search', { params: { query: { q, app } } }))).results })
  const refused = useQuery({
    queryKey: ['search', 'refused', app],
    queryFn: async () => (await ok(api.GET('/v1/received', { params: { query: { kind: 'refused', app, limit: looked } } }))).received,
    enabled: may('list-received'),
    staleTime: 15_000,
  })
  const within = (refused.data ?? []).filter((r) => contains(r, q))
  return (
    <Stack gap="md">
      <section aria-label="Found">
        <Answer query={found}>
          {(list) =>
            list.length === 0 && within.length === 0 && !refused.isPending ? (
              <Nothing q={q} />
            ) : (
              <Stack gap="xs">
                <Title order={2} size="h4" role="status">
                  {list.length === 0 ? 'No event, view, reward or object' : list.length >= 50 ? 'The best 50 results' : `${count(list.length)} ${list.length === 1 ? 'result' : 'results'}`}
                </Title>
                <Stack gap={6} component="ul" p={0} m={0} style={{ listStyle: 'none' }}>
                  {list.map((r) => (
                    <li key={`${r.kind} ${r.app} ${r.id}`}>
                      <ResultCard result={r} />
                    </li>
                  ))}
                </Stack>
              </Stack>
            )
          }
        </Answer>
      </section>
      {within.length > 0 && (
        <section aria-label="Refused postbacks that contain it">
          <Title order={2} size="h4" mb={4}>
            Refused postbacks that contain it
          </Title>
          <Text size="sm" c="dimmed" mb="xs">
            They earned nothing, and wait to be judged again after a fix.{(refused.data?.length ?? 0) >= looked && ` The newest ${count(looked)} were looked through.`}
          </Text>
          <Stack gap={6} component="ul" p={0} m={0} style={{ listStyle: 'none' }}>
            {within.slice(0, 20).map((r) => (
              <li key={r.id}>
                <Card withBorder padding="xs">
                  <Group gap="xs">
                    <Outcome of="refused" />
                    <Anchor component={Link} to={storyPath(r.id ?? '')} fw={600} className="foreign">
                      {r.reason.replaceAll('_', ' ')}
                    </Anchor>
                    <Text size="sm">
                      at {r.app}/{r.source}
                    </Text>
                    <Text size="sm" c="dimmed" component="div">
                      <When at={r.received.at} />
                    </Text>
                  </Group>
                  <Text size="sm" c="dimmed" className="foreign" lineClamp={2}>
                    {r.detail}
                  </Text>
                </Card>
              </li>
            ))}
          </Stack>
        </section>
      )}
    </Stack>
  )
}

/** contains says whether a refused postback has a text in what was sent, also where it is written with escapes. */
function contains(r: Schemas['Refusal'], q: string): boolean {
  const sent = `${r.received.path}?${r.received.query}\n${r.received.body ?? ''}`
  return [q, encodeURIComponent(q)].some((text) => sent.includes(text)) || [...new URLSearchParams(r.received.query).values()].some((value) => value.includes(q))
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
        <Badge variant="default" tt="none" size="sm">
          {r.kind}
        </Badge>
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

function Nothing({ q }: { q: string }) {
  return (
    <Empty title="Nothing has this">
      <Text size="sm" c="dimmed" mb="xs">
        Neither an event, a delivery, a view, a reward, a user, a zone nor an object is called <span className="foreign">{q}</span>.
      </Text>
      <List size="sm" ta="left" spacing={4}>
        <List.Item>A ymid, a user and a zone have to be written whole, as the network sends them.</List.Item>
        <List.Item>
          A postback that proved nothing is kept as a sample only: look among the{' '}
          <Anchor component={Link} to="/search?kind=unverified" inherit>
            unverified ones
          </Anchor>
          .
        </List.Item>
        <List.Item>If the network has not sent it yet, it appears on <Anchor component={Link} to="/live" inherit>Live</Anchor> when it comes.</List.Item>
      </List>
    </Empty>
  )
}
