import { Alert, Anchor, Button, Card, Code, Group, Loader, Stack, Text, TextInput, ThemeIcon, Title } from '@mantine/core'
import { IconAlertTriangle, IconCheck, IconSend, IconX } from '@tabler/icons-react'
import { useMutation } from '@tanstack/react-query'
import { type FormEvent, useState } from 'react'
import { Link } from 'react-router'
import { api, ok } from '../../api/client'
import { useSession } from '../../api/session'
import { Answer, ProblemNote } from '../../parts/answer'
import { When } from '../../parts/time'
import { type Health, useHealth } from './data'

/** Waiting follows a source until the first real postback of its network is believed, and says why when one is not. */
export function Waiting({ app, name, network, url }: { app: string; name: string; network: string; url?: string }) {
  const health = useHealth(app, name, true)
  return (
    <Stack gap="md">
      <Answer query={health} lines={2}>
        {(h) => (
          <div aria-live="polite">
            <Verdict health={h} app={app} name={name} network={network} />
          </div>
        )}
      </Answer>
      <TestPostback app={app} name={name} network={network} url={url} />
    </Stack>
  )
}

function Verdict({ health, app, name, network }: { health: Health; app: string; name: string; network: string }) {
  const verified = health.state === 'verified'
  const refused = health.state === 'refused'
  const color = verified ? 'green' : refused ? 'red' : 'blue'
  return (
    <Alert color={color} p="md" data-health={health.state}>
      <Group wrap="nowrap" align="flex-start">
        {verified || refused ? (
          <ThemeIcon color={color} size="lg" radius="xl" aria-hidden>
            {verified ? <IconCheck /> : <IconX />}
          </ThemeIcon>
        ) : (
          <Loader size="sm" mt={4} role="presentation" />
        )}
        <Stack gap={6} miw={0}>
          <Title order={2} size="h4">
            {verified ? 'Verified' : refused ? 'A postback came, and was refused' : `Waiting for the first postback of ${network}`}
          </Title>
          {verified && (
            <Text size="sm">
              Postbacks of {network} come in and are believed
              {health.first_verified_at && (
                <>
                  , the first one <When at={health.first_verified_at} />
                </>
              )}
              . {health.last_event && <Anchor component={Link} underline="always" to={`/story/${health.last_event}`}>See the newest one's story</Anchor>}
            </Text>
          )}
          {!verified && !refused && (
            <Text size="sm">
              Paste the URL into the network's settings, then watch an ad in your app. This page notices by itself; you may leave it and come back.
            </Text>
          )}
          {health.last_refused && (
            <Trouble title={verified ? 'The newest that was refused' : 'Why'} words={health.last_refused.words} at={health.last_refused.at}>
              <Anchor component={Link} underline="always" to={`/story/${health.last_refused.id}`} size="sm">
                What came, byte by byte
              </Anchor>
            </Trouble>
          )}
          {health.last_unverified && (
            <Trouble
              title={verified ? 'The newest that proved nothing' : 'Something came that proved nothing'} at={health.last_unverified.at}
              words={[health.last_unverified.words, health.last_unverified.why].filter(Boolean).join(': ')}
            />
          )}
          {verified && (
            <Group gap="xs" mt={4}>
              <Button component={Link} to={`/live?app=${app}&source=${name}`} size="xs" variant="default">
                Watch them live
              </Button>
              <Button component={Link} to={`/endpoints?app=${app}`} size="xs" variant="default">
                Where they are sent
              </Button>
            </Group>
          )}
        </Stack>
      </Group>
    </Alert>
  )
}

function Trouble({ title, words, at, children }: { title: string; words: string; at: string; children?: React.ReactNode }) {
  return (
    <div>
      <Text size="sm">
        <b>{title}</b> (<When at={at} form="ago" />): <span className="foreign">{words}</span>
      </Text>
      {children}
    </div>
  )
}

/**
 * TestPostback sends one postback through the door, as the network would. The server keeps no secret of a URL, so it has to be given one: by the
 * page that has just made it, or by the member.
 */
function TestPostback({ app, name, network, url }: { app: string; name: string; network: string; url?: string }) {
  const { may } = useSession()
  const [given, setGiven] = useState('')
  const [fault, setFault] = useState('')
  const test = useMutation({
    mutationFn: (to: string) => ok(api.POST('/v1/sources/{app}/{name}/test', { params: { path: { app, name } }, body: { url: to } })),
  })
  if (!may('test-source')) return null
  function submit(event: FormEvent) {
    event.preventDefault()
    const to = url ?? given.trim()
    if (!to) setFault(`Paste the URL that you entered at ${network}: its secret is known to you alone`)
    else test.mutate(to)
  }
  return (
    <Card withBorder component="form" onSubmit={submit} noValidate aria-label="A test postback">
      <Stack gap="sm">
        <Title order={3} size="h5">
          A test postback
        </Title>
        {!url && (
          <TextInput
            label={`The URL that you entered at ${network}`} description="The server keeps no secret of it, so a test needs it" value={given} error={fault} autoComplete="off"
            onChange={(e) => {
              setGiven(e.currentTarget.value)
              setFault('')
            }}
          />
        )}
        <Group gap="xs">
          <Button type="submit" variant="default" leftSection={<IconSend size={16} aria-hidden />} loading={test.isPending}>
            Send a test postback
          </Button>
          <Text size="xs" c="dimmed">
            As {network} would send it, through the same door. It shows that the URL works, and pays nobody
          </Text>
        </Group>
        <ProblemNote error={test.error} />
        {test.data && (
          <Alert
            color={test.data.event ? 'green' : 'red'} icon={test.data.event ? <IconCheck aria-hidden /> : <IconAlertTriangle aria-hidden />} role="status"
            title={test.data.event ? 'The test came in' : 'The test did not come in'}
          >
            <Text size="sm" className="foreign">
              {test.data.words}
            </Text>
            <Text size="sm">
              Answered {test.data.answer.status} <Code className="foreign">{test.data.answer.body}</Code>
            </Text>
            {(test.data.event || test.data.received) && (
              <Anchor component={Link} underline="always" to={`/story/${test.data.event ?? test.data.received}`} size="sm">
                Its story
              </Anchor>
            )}
          </Alert>
        )}
      </Stack>
    </Card>
  )
}
