import { Accordion, Anchor, Button, Card, DataList, Group, Stack, Text, Title } from '@mantine/core'
import { IconRefresh } from '@tabler/icons-react'
import { useState } from 'react'
import { Link } from 'react-router'
import { api, ok, type Schemas } from '../../api/client'
import { useSession } from '../../api/session'
import { Ask } from '../../parts/ask'
import { IdLink } from '../../parts/ids'
import { Outcome } from '../../parts/outcome'
import { duration, When } from '../../parts/time'
import { curlOf } from './curl'
import { CopyCurl, Foreign } from './foreign'

type Delivery = Schemas['Delivery']

/** DeliveryPart shows what one endpoint was sent, attempt by attempt. since is when its event was accepted. */
export function DeliveryPart({ delivery: d, since }: { delivery: Delivery; since: string }) {
  const { may } = useSession()
  const [asked, setAsked] = useState(false)
  const known = !d.endpoint.startsWith('#')
  const newest = d.attempts[d.attempts.length - 1]
  return (
    <Card withBorder padding="sm" component="section" aria-label={`Delivery to ${d.endpoint}`} id={d.id} data-delivery={d.id}>
      <Group justify="space-between" mb="xs">
        <Group gap="xs">
          <Title order={4} size="h6">
            Delivery to {known ? <Anchor component={Link} to={`/endpoints/${d.endpoint}`} inherit>{d.endpoint}</Anchor> : `${d.endpoint} (deleted)`}
          </Title>
          <Outcome of={d.state} />
        </Group>
        {may('resend-delivery') && known && d.state !== 'pending' && (
          <Button size="compact-sm" variant="default" leftSection={<IconRefresh size={14} aria-hidden />} onClick={() => setAsked(true)}>
            Resend
          </Button>
        )}
      </Group>
      <DataList size="sm" gap={2}>
        <DataList.Item>
          <DataList.ItemLabel>Delivery</DataList.ItemLabel>
          <DataList.ItemValue>
            <IdLink id={d.id} copy />
          </DataList.ItemValue>
        </DataList.Item>
        {d.reward && (
          <DataList.Item>
            <DataList.ItemLabel>About the reward</DataList.ItemLabel>
            <DataList.ItemValue>
              <IdLink id={d.reward} />
            </DataList.ItemValue>
          </DataList.Item>
        )}
        {d.state === 'pending' && d.due && !d.due.startsWith('0001-') && (
          <DataList.Item>
            <DataList.ItemLabel>Next attempt</DataList.ItemLabel>
            <DataList.ItemValue>
              <When at={d.due} />
            </DataList.ItemValue>
          </DataList.Item>
        )}
      </DataList>
      {d.attempts.length === 0 ? (
        <Text size="sm" c="dimmed" mt="xs">
          Nothing has been sent yet.
        </Text>
      ) : (
        <Accordion variant="separated" mt="xs" multiple defaultValue={newest ? [String(newest.number)] : []} order={5}>
          {d.attempts.map((a) => (
            <Accordion.Item key={a.number} value={String(a.number)}>
              <Accordion.Control>
                <AttemptLine attempt={a} />
              </Accordion.Control>
              <Accordion.Panel>
                <AttemptPart attempt={a} since={since} />
              </Accordion.Panel>
            </Accordion.Item>
          ))}
        </Accordion>
      )}
      <Ask
        opened={asked} onClose={() => setAsked(false)} title="Resend this delivery" button="Resend" color="blue"
        act={() => ok(api.POST('/v1/deliveries/{delivery_id}/resend', { params: { path: { delivery_id: d.id } } }))}
      >
        <Text size="sm">
          {d.endpoint} is sent this postback again, with the same delivery id: a receiver that remembers the ids that it has seen does not count it twice.
          {d.state === 'delivered' && ' It has answered that it took this one before: one that does not remember ids will count it a second time.'}
        </Text>
      </Ask>
    </Card>
  )
}

function AttemptLine({ attempt: a }: { attempt: Schemas['Attempt'] }) {
  return (
    <Group gap="xs">
      <Text span size="sm" fw={600}>
        Attempt {a.number}
      </Text>
      <Outcome of={a.state === 'pending' ? 'retry' : a.state} size="xs" />
      <Text span size="sm">
        {a.status ? `answered ${a.status}` : a.reason || 'no answer'}
        {a.method && ` in ${duration(a.took_ms)}`}
      </Text>
    </Group>
  )
}

const flagWords: Record<string, string> = {
  html_page: 'The answer is an HTML page: the URL probably leads to a page for people, not to what takes postbacks.',
  client_error: 'A 4xx answer says that the request is wrong: look at the template and at what the receiver says.',
  probe: 'Made while the endpoint was thought to be down, to see whether it is back.',
  redirect: 'Redirects are not followed: enter the URL that it leads to.',
}

function AttemptPart({ attempt: a, since }: { attempt: Schemas['Attempt']; since: string }) {
  const after = new Date(a.at).getTime() - new Date(since).getTime()
  return (
    <Stack gap="xs">
      <Text size="xs" c="dimmed" component="div">
        <When at={a.at} />
        {after >= 0 && `, ${after < 1 ? 'at once' : `${duration(after)} after the event`}`}
        {a.method && `; it took ${duration(a.took_ms)}`}
      </Text>
      {a.reason && (
        <Text size="sm">
          <b>Why:</b> <span className="foreign">{a.reason}</span>
        </Text>
      )}
      {(a.flags ?? []).map((flag) => (
        <Text key={flag} size="sm">
          {flagWords[flag] ?? flag}
        </Text>
      ))}
      {a.url && (
        <>
          <Group justify="space-between">
            <Text size="xs" fw={600}>
              Request
            </Text>
            <CopyCurl command={curlOf({ method: a.method ?? 'GET', url: a.url, headers: contentType(a.sent), body: a.sent })} masked />
          </Group>
          <Foreign text={`${a.method ?? 'GET'} ${a.url}${a.sent ? `\n\n${a.sent}` : ''}`} label="Request" />
        </>
      )}
      {a.status ? <Foreign text={`${a.status}${a.answer ? `\n\n${a.answer}` : '\n\n(an empty body)'}`} label="Answer" title /> : null}
    </Stack>
  )
}

/** contentType guesses what a body is: it was not kept. */
function contentType(body?: string): { name: string; value: string }[] {
  if (!body) return []
  return [{ name: 'Content-Type', value: /^\s*[[{]/.test(body) ? 'application/json' : 'application/x-www-form-urlencoded' }]
}
