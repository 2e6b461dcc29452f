import { Alert, Anchor, Button, Card, DataList, Group, Menu, Select, Stack, Tabs, Text, Title } from '@mantine/core'
import { notifications } from '@mantine/notifications'
import { IconDotsVertical, IconKey, IconPlayerPause, IconPlayerPlay, IconTrash } from '@tabler/icons-react'
import { useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import { Link, useNavigate, useParams } from 'react-router'
import { api, ok, tagged } from '../../api/client'
import { useSession } from '../../api/session'
import { Answer } from '../../parts/answer'
import { Ask } from '../../parts/ask'
import { CopyText } from '../../parts/copy'
import { Page } from '../../parts/page'
import { useTab } from '../../parts/tab'
import { When } from '../../parts/time'
import { type Source, useNetworks } from './data'
import { Mode, profileTitle } from './list'
import { SourceForm } from './settings'
import { Shadow } from './shadow'
import { Waiting } from './waiting'

type Act = 'freeze' | 'thaw' | 'rotate' | 'remove'

/** OneSource shows one way in: whether it is believed, its secrets, its settings, and where it differs from today's receiver. */
export function OneSource() {
  const { app = '', name = '' } = useParams()
  const { may } = useSession()
  const networks = useNetworks()
  const [act, setAct] = useState<Act | null>(null)
  const [url, setURL] = useState('')
  const read = () => tagged(api.GET('/v1/sources/{app}/{name}', { params: { path: { app, name } } }))
  const source = useQuery({ queryKey: ['sources', app, name], queryFn: read })
  const settings = source.data?.value
  const network = networks.data?.find((n) => n.name === settings?.profile)
  const title = network?.title ?? profileTitle(settings?.profile ?? '')
  const shadow = settings?.mode === 'shadow'
  const [tab, setTab] = useTab(['state', 'shadow', 'settings'], 'state')
  const frozen = settings?.mode === 'frozen'
  return (
    <Page
      title={`${app}/${name}`}
      about={<Anchor component={Link} to="/sources" size="sm">All sources</Anchor>}
      actions={
        settings && (
          <>
            <Mode mode={settings.mode} />
            {!shadow && !frozen && may('freeze-source') && (
              <Button variant="default" leftSection={<IconPlayerPause size={16} aria-hidden />} onClick={() => setAct('freeze')}>
                Freeze
              </Button>
            )}
            {frozen && may('thaw-source') && (
              <Button leftSection={<IconPlayerPlay size={16} aria-hidden />} onClick={() => setAct('thaw')}>
                Let it go on
              </Button>
            )}
            {may('remove-source') && (
              <Menu position="bottom-end">
                <Menu.Target>
                  <Button variant="default" px="xs" aria-label="More that can be done">
                    <IconDotsVertical size={16} aria-hidden />
                  </Button>
                </Menu.Target>
                <Menu.Dropdown>
                  <Menu.Item color="red" leftSection={<IconTrash size={16} aria-hidden />} onClick={() => setAct('remove')}>
                    Remove the source
                  </Menu.Item>
                </Menu.Dropdown>
              </Menu>
            )}
          </>
        )
      }
    >
      <Answer query={source}>
        {({ value, etag }) => (
          <Tabs value={tab} onChange={setTab} keepMounted={false}>
            <Tabs.List mb="md">
              <Tabs.Tab value="state">How it stands</Tabs.Tab>
              {may('get-shadow') && network && <Tabs.Tab value="shadow">Shadow report</Tabs.Tab>}
              <Tabs.Tab value="settings">Settings</Tabs.Tab>
            </Tabs.List>
            <Tabs.Panel value="state">
              <Stack gap="lg" maw={860}>
                {value.mode === 'frozen' && (
                  <Alert color="yellow" title="Frozen: events are kept, and wait">
                    Nothing is granted and nothing is sent for what comes in now. After it goes on, what was held is released under{' '}
                    <Anchor component={Link} underline="always" to={`/search?app=${app}&source=${name}&outcome=held`} size="sm">
                      its held events
                    </Anchor>
                    .
                  </Alert>
                )}
                {shadow && (
                  <Alert color="violet" title="In shadow: judged and recorded, and nothing else">
                    The <Anchor underline="always" component="button" size="sm" onClick={() => setTab('shadow')}>shadow report</Anchor> says where today's receiver differs.
                  </Alert>
                )}
                {network ? (
                  <Waiting key={url} app={app} name={name} network={title} url={url || undefined} />
                ) : (
                  <Text size="sm">
                    {value.profile === 'sdk'
                      ? 'The SDK reports here by itself: its zones are under Zones.'
                      : 'Your own servers report events here with an API key, by POST /v1/events.'}
                  </Text>
                )}
                {network && <Secrets source={value} title={title} url={url} rotate={() => setAct('rotate')} />}
              </Stack>
            </Tabs.Panel>
            <Tabs.Panel value="shadow">
              <Shadow app={app} name={name} shadow={shadow} />
            </Tabs.Panel>
            <Tabs.Panel value="settings">
              <SourceForm key={`${app}/${name}`} app={app} name={name} first={{ value, etag }} network={network} read={read} />
            </Tabs.Panel>
          </Tabs>
        )}
      </Answer>
      <Acts app={app} name={name} title={title} act={act} close={() => setAct(null)} rotated={setURL} />
    </Page>
  )
}

/** Secrets says how many secrets count, and shows one that was just made. */
function Secrets({ source, title, url, rotate }: { source: Source; title: string; url: string; rotate: () => void }) {
  const { may } = useSession()
  const secrets = source.secrets ?? []
  return (
    <Card withBorder component="section" aria-label="The URL and its secret">
      <Stack gap="sm">
        <Title order={2} size="h4">
          The URL and its secret
        </Title>
        {url && (
          <Alert color="green" title="The new URL. It is shown only now">
            <Stack gap="xs">
              <CopyText text={url.startsWith('/') ? location.origin + url : url} what="the new URL" />
              <Text size="sm">Enter it at {title} in place of the old one.</Text>
            </Stack>
          </Alert>
        )}
        <DataList>
          <DataList.Item>
            <DataList.ItemLabel>Secrets that count</DataList.ItemLabel>
            <DataList.ItemValue>
              {secrets.length === 0
                ? 'none: its proof is of another kind'
                : secrets.map((s, i) => (
                    <Text key={i} size="sm">
                      {s.not_after ? (
                        <>
                          one until <When at={s.not_after} />
                        </>
                      ) : (
                        'one, until it is replaced'
                      )}
                    </Text>
                  ))}
            </DataList.ItemValue>
          </DataList.Item>
        </DataList>
        {secrets.length > 0 && may('rotate-source') && (
          <Group>
            <Button variant="default" leftSection={<IconKey size={16} aria-hidden />} onClick={rotate}>
              Make a new URL
            </Button>
            <Text size="xs" c="dimmed">
              When the URL is lost, or somebody else may know it
            </Text>
          </Group>
        )}
      </Stack>
    </Card>
  )
}

const overlaps = [
  { value: '24h', label: '24 hours' },
  { value: '7d', label: '7 days' },
  { value: '1h', label: '1 hour' },
  { value: '0s', label: 'no time: it is revoked at once' },
]

function Acts(props: { app: string; name: string; title: string; act: Act | null; close: () => void; rotated: (url: string) => void }) {
  const { app, name, title, act, close } = props
  const [keep, setKeep] = useState('24h')
  const navigate = useNavigate()
  const path = { app, name }
  const said = (message: string) => notifications.show({ message, color: 'green' })
  return (
    <>
      <Ask
        opened={act === 'freeze'} onClose={close} title={`Freeze ${app}/${name}?`} button="Freeze the source" why
        act={async (why) => {
          await ok(api.POST('/v1/sources/{app}/{name}/freeze', { params: { path }, body: { why } }))
          said(`${app}/${name} is frozen`)
        }}
      >
        <Text size="sm">Its postbacks are still verified, answered and kept, but nothing is granted and nothing is sent until somebody releases them.</Text>
      </Ask>
      <Ask
        opened={act === 'thaw'} onClose={close} title={`Let ${app}/${name} go on?`} button="Let it go on" color="blue" why
        act={async (why) => {
          const { waiting, more } = await ok(api.POST('/v1/sources/{app}/{name}/thaw', { params: { path }, body: { why } }))
          said(waiting > 0 || more ? `It goes on. ${waiting}${more ? ' or more' : ''} events were held meanwhile, and wait for you to release them` : 'It goes on. No event of it waits')
        }}
      >
        <Text size="sm">What comes from now on is granted and sent again. What was held while it was frozen stays held until somebody releases it.</Text>
      </Ask>
      <Ask
        opened={act === 'rotate'} onClose={close} title={`A new URL for ${app}/${name}`} button={keep === '0s' ? 'Revoke the old URL, and make a new one' : 'Make a new URL'} color={keep === '0s' ? 'red' : 'blue'}
        act={async () => props.rotated((await ok(api.POST('/v1/sources/{app}/{name}/rotate', { params: { path, query: { for: keep } } }))).url)}
      >
        <Text size="sm">The new URL is shown once. Enter it at {title} before the old one ends.</Text>
        <Select label="The old URL goes on counting for" data={overlaps} value={keep} onChange={(v) => setKeep(v ?? '24h')} allowDeselect={false} />
        {keep === '0s' && <Text size="sm" c="red">Until {title} has the new URL, its postbacks are refused: what they would have paid is lost.</Text>}
      </Ask>
      <Ask
        opened={act === 'remove'} onClose={close} title={`Remove ${app}/${name}?`} button="Remove the source"
        act={async () => {
          await ok(api.DELETE('/v1/sources/{app}/{name}', { params: { path } }))
          said(`${app}/${name} is removed`)
          await navigate('/sources')
        }}
      >
        <Text size="sm">Postbacks of {title} are then refused, and its URL never works again. What came in before stays, with its rewards and deliveries.</Text>
      </Ask>
    </>
  )
}
