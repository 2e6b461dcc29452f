import { Alert, Anchor, Button, Card, CopyButton, Group, List, Stack, Text, Title } from '@mantine/core'
import { IconCheck, IconLink } from '@tabler/icons-react'
import { useQuery } from '@tanstack/react-query'
import { useEffect } from 'react'
import { Link, useLocation, useParams } from 'react-router'
import { api, ok, type Schemas } from '../../api/client'
import { useSession } from '../../api/session'
import { Answer } from '../../parts/answer'
import { Copy } from '../../parts/copy'
import { IdLink } from '../../parts/ids'
import { Outcome } from '../../parts/outcome'
import { Page } from '../../parts/page'
import { When } from '../../parts/time'
import { EventPart, Facts, SearchLink } from './event'
import { ReceivedPart } from './received'
import { ReprocessButton } from './reprocess'
import { RewardPart } from './reward'
import { Timeline } from './timeline'

type WholeStory = Schemas['WholeStory']

/** Story tells all that belongs together with one id: the view, its events, what they earned, and what was sent. */
export default function Story() {
  const { id = '' } = useParams()
  const story = useQuery({
    queryKey: ['story', id],
    queryFn: () => ok(api.GET('/v1/stories/{id}', { params: { path: { id } } })),
    // While something is on its way, its end is shown as it comes.
    refetchInterval: (query) => (query.state.data && underWay(query.state.data) ? 2_000 : false),
  })
  return (
    <Page
      title={story.data ? capital(story.data.title) : 'Story'}
      about={
        <Group gap={2} component="span">
          <span className="mono">{id}</span>
          <Copy text={id} what="the id" />
        </Group>
      }
      actions={<Share />}
    >
      <Answer query={story} lines={8}>
        {(s) => <Whole story={s} />}
      </Answer>
    </Page>
  )
}

function underWay(s: WholeStory): boolean {
  return s.view?.state === 'open' || s.events.some((e) => e.deliveries.some((d) => d.state === 'pending'))
}

const capital = (text: string) => text.charAt(0).toUpperCase() + text.slice(1)

function Share() {
  return (
    <CopyButton value={location.origin + location.pathname} timeout={2000}>
      {({ copied, copy }) => (
        <Button variant="default" size="xs" onClick={copy} leftSection={copied ? <IconCheck size={14} aria-hidden /> : <IconLink size={14} aria-hidden />}>
          {copied ? 'Copied' : 'Copy the link'}
        </Button>
      )}
    </CopyButton>
  )
}

function Whole({ story: s }: { story: WholeStory }) {
  const here = new Set([
    ...s.events.flatMap((e) => [e.event.id, ...e.deliveries.map((d) => d.id)]),
    ...s.rewards.flatMap((r) => (r.reward.id ? [r.reward.id] : [])),
    ...(s.view ? [s.view.view_id] : []),
    ...(s.received?.id ? [s.received.id] : []),
  ])
  const elsewhere = s.related.filter((id) => !here.has(id))
  useJump(s)
  return (
    <Stack gap="md">
      <Verdict story={s} />
      <Timeline moments={s.timeline} here={here} deliveries={s.events.flatMap((e) => e.deliveries)} />
      {s.view && <ViewPart view={s.view} />}
      {s.received && <RefusedPart refusal={s.received} />}
      {s.rewards.map((r) => (
        <RewardPart key={r.reward.id} story={r} />
      ))}
      {s.events.map((e) => (
        <EventPart key={e.event.id} story={e} only={s.events.length === 1} said={s.words} />
      ))}
      {elsewhere.length > 0 && (
        <section aria-label="Related">
          <Title order={2} size="h4" mb={4}>
            Related
          </Title>
          <List size="sm">
            {elsewhere.map((id) => (
              <List.Item key={id}>
                <IdLink id={id} />
              </List.Item>
            ))}
          </List>
        </section>
      )}
    </Stack>
  )
}

/** useJump goes to the part that the address names behind #, once it is there. */
function useJump(s: WholeStory) {
  const { hash } = useLocation()
  const wanted = hash.slice(1) || (s.kind === 'delivery' ? s.id : '')
  useEffect(() => {
    if (hash) document.getElementById(wanted)?.scrollIntoView()
  }, [hash, wanted])
}

/** stateOf finds the word that says how a story stands, for its colour and shape. */
function stateOf(s: WholeStory): string {
  if (s.kind === 'received') return s.received?.reprocessed_as ? 'accepted' : 'refused'
  if (s.kind === 'view' && s.view) return s.view.state
  if (s.kind === 'reward') return s.rewards.find((r) => r.reward.id === s.id)?.reward.state ?? 'granted'
  const deliveries = s.events.flatMap((e) => e.deliveries)
  if (s.kind === 'delivery') return deliveries.find((d) => d.id === s.id)?.state ?? 'pending'
  const event = s.events.find((e) => e.event.id === s.id) ?? s.events[0]
  if (event?.event.held && !event.reprocessed_as) return 'held'
  const worst = ['dead', 'expired', 'pending'].find((state) => (event?.deliveries ?? []).some((d) => d.state === state))
  if (worst) return worst
  return event?.deliveries.length ? 'delivered' : 'accepted'
}

/** Verdict says how it stands, and what can be done when something was lost. */
function Verdict({ story: s }: { story: WholeStory }) {
  const lost = s.events.flatMap((e) => e.deliveries).filter((d) => d.state === 'dead' || d.state === 'expired')
  return (
    <Card withBorder component="section" aria-label="How it stands">
      <Group gap="xs" align="flex-start">
        <Outcome of={stateOf(s)} size="lg" />
        <Text size="sm" className="foreign" style={{ flex: 1, minWidth: 220 }} data-words>
          {capital(s.words)}
        </Text>
      </Group>
      {lost.length > 0 && (
        <Alert color="red" mt="sm" title={lost.length === 1 ? 'A postback never arrived' : `${lost.length} postbacks never arrived`}>
          {lost.map((d) => (
            <Text key={d.id} size="sm">
              To {d.endpoint}: {d.attempts[d.attempts.length - 1]?.reason ?? d.state}. <Anchor href={`#${d.id}`} inherit underline="always">See what was sent and answered, and resend it</Anchor>
            </Text>
          ))}
        </Alert>
      )}
    </Card>
  )
}

function ViewPart({ view: v }: { view: Schemas['ViewRow'] }) {
  return (
    <Card withBorder component="section" aria-label="View" id={v.view_id}>
      <Group gap="xs" mb="xs">
        <Title order={2} size="h4">
          The view
        </Title>
        <Outcome of={v.state} />
      </Group>
      <Facts
        of={[
          ['View', <IdLink key="id" id={v.view_id} copy />],
          ['User', v.user && <SearchLink filter={{ app: v.app, user: v.user, kind: 'event' }}>{v.user}</SearchLink>],
          ['ymid', v.ymid && <SearchLink filter={{ app: v.app, ymid: v.ymid, kind: 'event' }}>{v.ymid}</SearchLink>],
          ['Placement', v.placement],
          ['Sources', v.sources.length > 0 ? v.sources.join(', ') : 'any of the app'],
          ['Opened', <When key="opened" at={v.opened_at} />],
          ['Expires', <When key="expires" at={v.expires_at} />],
        ]}
      />
    </Card>
  )
}

/** RefusedPart shows a postback that became no event, why, and lets it be judged again after a fix. */
function RefusedPart({ refusal: r }: { refusal: Schemas['Refusal'] }) {
  const { may } = useSession()
  return (
    <Card withBorder component="section" aria-label="Refused postback" id={r.id}>
      <Group justify="space-between" mb="xs">
        <Title order={2} size="h4">
          Refused: {r.reason.replaceAll('_', ' ')}
        </Title>
        {r.id && may('reprocess') && !r.reprocessed_as && <ReprocessButton id={r.id} />}
      </Group>
      {r.reprocessed_as ? (
        <Alert color="blue" mb="sm" title="Reprocessed since">
          It became the event <IdLink id={r.reprocessed_as} />.
        </Alert>
      ) : (
        <Text size="sm" mb="sm">
          Mend the settings of{' '}
          <Anchor component={Link} to={`/sources/${r.app}/${r.source}`} inherit underline="always">
            the source
          </Anchor>
          , then have this postback judged again. Until then it earns nothing.
        </Text>
      )}
      <Facts
        of={[
          ['Source', <Anchor key="source" component={Link} to={`/sources/${r.app}/${r.source}`} inherit>{r.app}/{r.source}</Anchor>],
          ['Network', r.network],
          ['Received', <When key="at" at={r.received.at} />],
        ]}
      />
      <Title order={3} size="h5" mt="sm" mb={4}>
        How it came
      </Title>
      {r.id && <ReceivedPart id={r.id} received={r.received} reason={r.reason} />}
    </Card>
  )
}
