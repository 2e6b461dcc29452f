import { Alert, Anchor, Button, Card, DataList, Group, Stack, Text, Title } from '@mantine/core'
import { IconRefresh } from '@tabler/icons-react'
import { type ReactNode, useState } from 'react'
import { Link } from 'react-router'
import { api, ok, type Schemas } from '../../api/client'
import { useSession } from '../../api/session'
import { Ask } from '../../parts/ask'
import { searchOf } from '../../parts/filter'
import { IdLink } from '../../parts/ids'
import { money } from '../../parts/number'
import { Outcome } from '../../parts/outcome'
import { When } from '../../parts/time'
import { DeliveryPart } from './delivery'
import { ReceivedPart } from './received'
import { ReprocessButton } from './reprocess'

/** Facts is a list of names and values, without those that are empty. */
export function Facts({ of }: { of: [name: string, value: ReactNode][] }) {
  return (
    <DataList size="sm" gap={2}>
      {of
        .filter(([, value]) => value !== '' && value !== undefined && value !== null && value !== false)
        .map(([name, value]) => (
          <DataList.Item key={name}>
            <DataList.ItemLabel>{name}</DataList.ItemLabel>
            <DataList.ItemValue className="foreign">{value}</DataList.ItemValue>
          </DataList.Item>
        ))}
    </DataList>
  )
}

/** SearchLink leads from a value to everything that has it. */
export function SearchLink({ filter, children }: { filter: Parameters<typeof searchOf>[0]; children: ReactNode }) {
  return (
    <Anchor component={Link} to={`/search${searchOf(filter)}`} className="foreign" inherit>
      {children}
    </Anchor>
  )
}

/**
 * EventPart shows one event: what it says, why it was believed, what was decided, what was sent. only says that the page is about no other, said
 * what stands above it already.
 */
export function EventPart({ story, only, said }: { story: Schemas['Story']; only: boolean; said: string }) {
  const { may } = useSession()
  const [asked, setAsked] = useState(false)
  const e = story.event
  const user = e.telegram_id || e.user_id
  const ended = story.deliveries.filter((d) => d.state !== 'pending' && !d.endpoint.startsWith('#'))
  const lost = ended.filter((d) => d.state === 'dead' || d.state === 'expired')
  return (
    <Card withBorder component="section" aria-labelledby={`title-${e.id}`} id={e.id}>
      <Group justify="space-between" mb="xs" align="flex-start">
        <Group gap="xs">
          <Title order={2} size="h4" id={`title-${e.id}`}>
            {only ? 'The event' : `Event: ${[e.reward_event_type.replace('_', ' '), e.event_type].filter(Boolean).join(' ')}`}
          </Title>
          {e.held && <Outcome of="held" />}
        </Group>
        <Group gap="xs">
          {may('resend-event') && ended.length > 1 && (
            <Button size="compact-sm" variant="default" leftSection={<IconRefresh size={14} aria-hidden />} onClick={() => setAsked(true)}>
              Resend to all
            </Button>
          )}
          {e.held && may('reprocess') && !story.reprocessed_as && <ReprocessButton id={e.id} value={e.reward_event_type} />}
        </Group>
      </Group>
      {story.outcome !== said && (
        <Text size="sm" mb="sm" className="foreign">
          {story.outcome}
        </Text>
      )}
      {story.reprocessed_as && (
        <Alert color="blue" mb="sm" title="Reprocessed since">
          It became the event <IdLink id={story.reprocessed_as} />.
        </Alert>
      )}
      <Stack gap="sm">
        <Facts
          of={[
            ['Event', <IdLink key="id" id={e.id} copy />],
            ['Received', <When key="at" at={e.at} />],
            ['Type', e.event_type],
            ['Value', e.reward_event_type.replace('_', ' ') || 'not sent'],
            ['Source', e.source === 'carom' ? 'made here' : <Anchor key="source" component={Link} to={`/sources/${e.app}/${e.source}`} inherit>{e.app}/{e.source}</Anchor>],
            ['Network', e.network],
            ['User', user && <SearchLink filter={{ app: e.app, user, kind: 'event' }}>{user}</SearchLink>],
            ['ymid', e.ymid && <SearchLink filter={{ app: e.app, ymid: e.ymid, kind: 'event' }}>{e.ymid}</SearchLink>],
            ['Zone', e.zone_id && <SearchLink filter={{ app: e.app, zone: e.zone_id, kind: 'event' }}>{e.zone_id}</SearchLink>],
            ['Sub-zone', e.sub_zone_id && <SearchLink filter={{ app: e.app, sub_zone: e.sub_zone_id, kind: 'event' }}>{e.sub_zone_id}</SearchLink>],
            ['request_var', e.request_var && <SearchLink filter={{ app: e.app, request_var: e.request_var, kind: 'event' }}>{e.request_var}</SearchLink>],
            ['Estimated price', e.estimated_price && money(e.estimated_price)],
            ["Network's id", e.external_id],
            ['View', e.view && <IdLink key="view" id={e.view} />],
            ['Made of', e.origin && <IdLink key="origin" id={e.origin} />],
            ['Oddities', e.flags?.map((f) => f.replaceAll('_', ' ')).join(', ')],
            ...Object.entries(e.fields ?? {}),
          ]}
        />
        {(story.decided?.length ?? 0) > 0 && (
          <section aria-label="What was decided">
            <Title order={3} size="h5" mb={4}>
              What it earned
            </Title>
            <Stack gap={4}>
              {story.decided?.map((d, i) => (
                <Group key={i} gap="xs" align="flex-start">
                  <Outcome of={d.state} />
                  <Text size="sm" className="foreign" style={{ flex: 1, minWidth: 200 }}>
                    {d.words}
                  </Text>
                  {d.reward && <IdLink id={d.reward} />}
                </Group>
              ))}
            </Stack>
          </section>
        )}
        <section aria-label="How it came">
          <Title order={3} size="h5" mb={4}>
            How it came
          </Title>
          <ReceivedPart id={e.id} received={story.received} />
        </section>
        {story.deliveries.length > 0 && (
          <section aria-label="What was sent">
            <Title order={3} size="h5" mb={4}>
              What was sent
            </Title>
            <Stack gap="sm">
              {story.deliveries.map((d) => (
                <DeliveryPart key={d.id} delivery={d} since={e.at} />
              ))}
            </Stack>
          </section>
        )}
      </Stack>
      <Ask
        opened={asked} onClose={() => setAsked(false)} title="Resend this event" button="Resend" color="blue"
        act={() => ok(api.POST('/v1/events/{event_id}/resend', { params: { path: { event_id: e.id } } }))}
      >
        <Text size="sm">
          All {ended.length} deliveries that have ended are sent again, each with the delivery id that it had: {ended.map((d) => d.endpoint).join(', ')}. {lost.length} of them never arrived.
        </Text>
      </Ask>
    </Card>
  )
}
