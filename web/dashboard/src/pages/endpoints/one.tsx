import { Alert, Anchor, Button, Card, Group, Menu, SimpleGrid, Stack, Tabs, Text } from '@mantine/core'
import { notifications } from '@mantine/notifications'
import { IconDotsVertical, IconPlayerPause, IconPlayerPlay, IconRefresh, IconTrash } from '@tabler/icons-react'
import { useMutation, useQuery } from '@tanstack/react-query'
import { type ReactNode, useState } from 'react'
import { Link, useNavigate, useParams } from 'react-router'
import { api, ok } from '../../api/client'
import { useSession } from '../../api/session'
import { Answer } from '../../parts/answer'
import { Ask } from '../../parts/ask'
import { count } from '../../parts/number'
import { Outcome } from '../../parts/outcome'
import { Empty, Page } from '../../parts/page'
import { useTab } from '../../parts/tab'
import { When } from '../../parts/time'
import { type EndpointState, nextExpiry, standingOf, useEndpoints } from './data'
import { EndpointForm } from './form'
import { Resend } from './resend'
import { Secret } from './secret'
import { Sent } from './sent'
import { Test } from './test'
import { useWays } from './ways'

/** OneEndpoint shows one way out: how its lane stands and what was sent, and its settings with a test. */
export function OneEndpoint() {
  const { app = '', name = '' } = useParams()
  const { may } = useSession()
  const ways = useWays()
  const navigate = useNavigate()
  const endpoints = useEndpoints()
  const [tab, setTab] = useTab(['state', 'settings'], 'state')
  const [act, setAct] = useState<'pause' | 'remove' | 'resend' | null>(null)
  const [dirty, setDirty] = useState(false)
  const [round, setRound] = useState(0)
  const path = { app, name }
  const read = () => ways.read(app, name)
  const one = useQuery({ queryKey: ['endpoints', app, name], queryFn: read })
  const state = endpoints.data?.find((e) => e.endpoint.app === app && e.endpoint.name === name)
  const resume = useMutation({
    mutationFn: () => ok(api.POST('/v1/endpoints/{app}/{name}/resume', { params: { path } })),
    onSuccess: () => notifications.show({ message: state?.endpoint.paused ? `${app}/${name} goes on` : 'What waits is tried now', color: 'green' }),
    onError: (error) => notifications.show({ message: error.message, color: 'red' }),
  })
  const standing = state && standingOf(state)
  return (
    <Page
      title={`${app}/${name}`}
      about={<Anchor component={Link} to="/endpoints" size="sm">All endpoints</Anchor>}
      actions={
        state && (
          <>
            {may('resend') && (
              <Button variant="default" leftSection={<IconRefresh size={16} aria-hidden />} onClick={() => setAct('resend')}>
                Resend …
              </Button>
            )}
            {state.endpoint.paused
              ? may('resume-endpoint') && (
                  <Button leftSection={<IconPlayerPlay size={16} aria-hidden />} loading={resume.isPending} onClick={() => resume.mutate()}>
                    Let it go on
                  </Button>
                )
              : may('pause-endpoint') && (
                  <Button variant="default" leftSection={<IconPlayerPause size={16} aria-hidden />} onClick={() => setAct('pause')}>
                    Pause
                  </Button>
                )}
            {ways.mayRemove && (
              <Menu position="bottom-end">
                <Menu.Target>
                  <Button variant="default" px="xs" aria-label="More that can be done">
                    <IconDotsVertical size={16} aria-hidden />
                  </Button>
                </Menu.Target>
                <Menu.Dropdown>
                  <Menu.Item color="red" leftSection={<IconTrash size={16} aria-hidden />} onClick={() => setAct('remove')}>
                    Remove the endpoint
                  </Menu.Item>
                </Menu.Dropdown>
              </Menu>
            )}
          </>
        )
      }
    >
      <Answer query={endpoints}>
        {() =>
          !state ? (
            <Empty title="There is no such endpoint" action={<Button component={Link} to="/endpoints" variant="default">All endpoints</Button>}>
              It was removed or renamed, or it is of an app that you may not see.
            </Empty>
          ) : (
            <Tabs value={tab} onChange={setTab} keepMounted={false}>
              <Tabs.List mb="md">
                <Tabs.Tab value="state">How it stands</Tabs.Tab>
                <Tabs.Tab value="settings">Settings and test</Tabs.Tab>
              </Tabs.List>
              <Tabs.Panel value="state">
                <Stack gap="lg">
                  <Lane state={state} standing={standing!} try={may('resume-endpoint') ? () => resume.mutate() : undefined} trying={resume.isPending} fix={() => setTab('settings')} />
                  <Sent app={app} name={name} resend={may('resend') ? () => setAct('resend') : undefined} />
                </Stack>
              </Tabs.Panel>
              <Tabs.Panel value="settings">
                <Answer query={one}>
                  {(first) => (
                    <Stack gap="md">
                      <EndpointForm key={`${app}/${name} ${round}`} app={app} name={name} first={first} read={read} dirty={setDirty} />
                      <SimpleGrid cols={{ base: 1, md: first.value.signed ? 2 : 1 }} spacing="md">
                        <Test app={app} name={name} dirty={dirty} />
                        <Secret
                          endpoint={first.value} dirty={dirty}
                          changed={async () => {
                            await one.refetch()
                            setRound((n) => n + 1) // the form begins anew with the new tag: nothing was typed into it
                          }}
                        />
                      </SimpleGrid>
                    </Stack>
                  )}
                </Answer>
              </Tabs.Panel>
            </Tabs>
          )
        }
      </Answer>
      <Resend app={app} name={name} opened={act === 'resend'} onClose={() => setAct(null)} />
      <Ask
        opened={act === 'pause'} onClose={() => setAct(null)} title={`Pause ${app}/${name}?`} button="Pause the endpoint"
        act={async () => {
          await ok(api.POST('/v1/endpoints/{app}/{name}/pause', { params: { path } }))
          notifications.show({ message: `${app}/${name} is paused`, color: 'green' })
        }}
      >
        <Text size="sm">Nothing is sent until somebody lets it go on. Deliveries wait, and their deadlines run: after {state?.endpoint.deadline} a delivery is given up.</Text>
      </Ask>
      <Ask
        opened={act === 'remove'} onClose={() => setAct(null)} title={`Remove ${app}/${name}?`} button="Remove the endpoint"
        act={async () => {
          await ways.remove(app, name)
          notifications.show({ message: `${app}/${name} is removed`, color: 'green' })
          await navigate('/endpoints')
        }}
      >
        <Text size="sm">
          {state && state.backlog.waiting > 0 ? `${count(state.backlog.waiting)} deliveries that wait for it are given up.` : 'What it is still owed is given up.'} Its settings are gone; what was sent stays in the stories
          of its events.
        </Text>
      </Ask>
    </Page>
  )
}

function Lane(props: { state: EndpointState; standing: { outcome: string; words: string }; try?: () => void; trying: boolean; fix: () => void }) {
  const { endpoint, lane, backlog } = props.state
  const expiry = nextExpiry(props.state)
  const down = props.standing.outcome === 'fault'
  return (
    <Stack gap="sm">
      {down && (
        <Alert color="red" title="Your server fails: nothing is sent, but for one delivery now and then that tries" data-lane="down">
          <Text size="sm" className="foreign">
            <b>Why:</b> {lane.last_failure || 'no answer came'}.
          </Text>
          <Text size="sm">
            Since <When at={lane.since} />; tried next <When at={lane.next_probe} form="ago" />. Deliveries wait, and nothing is lost before their deadline.
          </Text>
          <Group mt="xs" gap="xs">
            <Button size="xs" variant="default" onClick={props.fix}>
              Look at its URL, and test it
            </Button>
            {props.try && (
              <Button size="xs" variant="default" loading={props.trying} onClick={props.try}>
                Try again now
              </Button>
            )}
          </Group>
        </Alert>
      )}
      {endpoint.paused && (
        <Alert color="yellow" title="Paused: everything waits" data-lane="paused">
          Deadlines run while it is paused.
        </Alert>
      )}
      <Card withBorder component="section" aria-label="Its lane">
        <SimpleGrid cols={{ base: 2, sm: 4 }} spacing="md" verticalSpacing="sm">
          <Fact label="State"><Outcome of={props.standing.outcome} words={props.standing.words} /></Fact>
          <Fact label="Waiting">
            <Anchor component={Link} to="?state=pending" replace inherit>{count(backlog.waiting)}</Anchor>
            {lane.in_flight > 0 && <Text span size="xs" c="dimmed"> {count(lane.in_flight)} on the way</Text>}
          </Fact>
          <Fact label="Oldest that waits">{backlog.waiting > 0 ? <When at={backlog.oldest} form="ago" /> : '–'}</Fact>
          <Fact label="Next expiry"><When at={expiry} form="ago" /></Fact>
          <Fact label="Next attempt">{backlog.waiting > 0 ? <When at={lane.breaker === 'open' ? lane.next_probe : backlog.next_due} form="ago" /> : '–'}</Fact>
          <Fact label="Last delivered"><When at={lane.last_success} form="ago" /></Fact>
          <Fact label="Last failure">
            <When at={lane.last_failed} form="ago" />
            {lane.last_failure && <Text size="xs" c="dimmed" className="foreign">{lane.last_failure}</Text>}
          </Fact>
          <Fact label="Breaker">{lane.breaker === 'open' ? 'open: it probes' : 'closed: it sends'}</Fact>
          <Fact label="Rate">{endpoint.rate > 0 ? `${endpoint.rate} a second` : 'no limit'}</Fact>
          <Fact label="At the same time">{count(endpoint.concurrency)}</Fact>
          <Fact label="Given up after">{endpoint.deadline}</Fact>
          <Fact label="Signed">{endpoint.signed ? 'yes' : 'no'}</Fact>
        </SimpleGrid>
      </Card>
    </Stack>
  )
}

function Fact({ label, children }: { label: string; children: ReactNode }) {
  return (
    <div>
      <Text size="xs" c="dimmed">
        {label}
      </Text>
      <Text size="sm" component="div">
        {children}
      </Text>
    </div>
  )
}
