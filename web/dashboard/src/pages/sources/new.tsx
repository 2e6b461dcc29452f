import { Alert, Anchor, Autocomplete, Button, Card, Group, PasswordInput, Radio, SimpleGrid, Stack, Text, TextInput, Textarea, Title, UnstyledButton } from '@mantine/core'
import { useForm } from '@mantine/form'
import { IconChevronLeft, IconSearch } from '@tabler/icons-react'
import { useEffect, useRef, useState } from 'react'
import { Link } from 'react-router'
import { api, ok, type Schemas } from '../../api/client'
import { useSession } from '../../api/session'
import { Answer, ProblemNote } from '../../parts/answer'
import { useApps } from '../../parts/apps'
import { CopyText } from '../../parts/copy'
import { useFilter } from '../../parts/filter'
import { Empty, Page } from '../../parts/page'
import { useSaving } from '../../parts/saving'
import { inOrder, type Network, useNetworks } from './data'
import { Waiting } from './waiting'

type Made = Schemas['Connected']

/** NewSource connects a network: choose it, answer three questions, paste the URL, wait for the first postback. */
export function NewSource() {
  const [filter, setFilter] = useFilter()
  const [made, setMade] = useState<{ network: Network; answer: Made } | null>(null)
  const { may } = useSession()
  const networks = useNetworks()
  const chosen = networks.data?.find((n) => n.name === filter.network)
  if (!may('quickstart')) {
    return (
      <Page title="Connect a network">
        <Empty title="Your role does not connect networks">Ask an operator to do it, or to change your role under Settings.</Empty>
      </Page>
    )
  }
  if (made) return <Paste network={made.network} made={made.answer} />
  return (
    <Page
      title={chosen ? `Connect ${chosen.title}` : 'Connect a network'}
      about={chosen ? `Three questions, and you have the URL to enter there. What proves its postbacks: ${chosen.summary}.` : 'Which network shows your ads? It sends a postback for every ad that somebody watched.'}
      actions={
        chosen && (
          <Button variant="subtle" leftSection={<IconChevronLeft size={16} aria-hidden />} onClick={() => setFilter({ network: '' })}>
            Another network
          </Button>
        )
      }
    >
      <Answer query={networks} lines={6}>
        {(list) =>
          chosen ? (
            <Questions key={chosen.name} network={chosen} done={(answer) => setMade({ network: chosen, answer })} />
          ) : (
            <Choice networks={list} choose={(network) => setFilter({ network })} />
          )
        }
      </Answer>
    </Page>
  )
}

/** What tells a postback of a network from anybody else's. */
const proofs: Record<Network['strength'], string> = {
  signed: 'Signs its postbacks',
  secret: 'Is known by a secret',
  address: 'Is known by its addresses',
}

function Choice({ networks, choose }: { networks: Network[]; choose: (name: string) => void }) {
  const [words, setWords] = useState('')
  const shown = inOrder(networks).filter((n) => `${n.title} ${n.name}`.toLowerCase().includes(words.trim().toLowerCase()))
  return (
    <Stack gap="sm">
      <TextInput
        aria-label="Find a network" placeholder="Find a network" leftSection={<IconSearch size={16} aria-hidden />} maw={360} value={words}
        onChange={(e) => setWords(e.currentTarget.value)}
      />
      {shown.length === 0 ? (
        <Empty title="No network has this name">
          Any network can be described in one file: see the page on networks in the documentation. What your own server reports needs no network: make a key under{' '}
          <Anchor component={Link} underline="always" to="/settings/keys">Settings</Anchor>.
        </Empty>
      ) : (
        <SimpleGrid cols={{ base: 1, xs: 2, md: 3 }} spacing="xs">
          {shown.map((n) => (
            <UnstyledButton key={n.name} onClick={() => choose(n.name)} data-network={n.name}>
              <Card withBorder padding="sm" h="100%">
                <Text fw={600}>{n.title}</Text>
                <Text size="xs" c="dimmed">
                  {proofs[n.strength]}
                  {n.key !== 'none' && ', with a key that it gives you'}
                </Text>
              </Card>
            </UnstyledButton>
          ))}
        </SimpleGrid>
      )}
    </Stack>
  )
}

const kinds = [
  { value: 'view', label: 'A new one for each view', description: 'The best: nothing can then be paid twice. An id of yours, or a random text' },
  { value: 'session', label: 'One for each visit', description: 'It repeats while somebody plays' },
  { value: 'user', label: "The user's id", description: 'It repeats for ever: a window of time stands in for what tells two views apart' },
]

function Questions({ network, done }: { network: Network; done: (made: Made) => void }) {
  const apps = useApps()
  const first = useRef<HTMLInputElement>(null)
  const form = useForm({
    initialValues: { backend: '', template: '', ymid: 'view', key: '', app: '' },
    validate: {
      backend: (v) => (v.trim() && !/^https?:\/\/[^/\s]/.test(v.trim()) ? 'Write a whole URL, such as http://127.0.0.1:3000/postback' : null),
      app: (v) => (v && !/^[a-z0-9][a-z0-9_-]*$/.test(v) ? 'A name has lower-case letters, digits, - and _' : null),
    },
  })
  useEffect(() => first.current?.focus(), [])
  const app = apps.data?.[0]?.name ?? 'app'
  const saving = useSaving(
    form,
    (v) =>
      ok(
        api.POST('/v1/quickstart', {
          body: {
            network: network.name,
            app: v.app.trim() || app,
            ...(v.backend.trim() && { backend: v.backend.trim() }),
            ...(v.template.trim() && { template: v.template.trim() }),
            ...(network.asks_ymid && { ymid: v.ymid as 'view' }),
            ...(network.key !== 'none' && (v.key.trim() ? { key: v.key.trim() } : { no_key: true })),
          },
        }),
      ),
    { done },
  )
  return (
    <form onSubmit={form.onSubmit((values) => saving.mutate(values))} noValidate>
      <Stack gap="md" maw={680}>
        <TextInput
          ref={first} label="Your backend's URL" description="Where events go once they are verified. It may be on the server's own machine. Left empty, nothing is sent on until you add an endpoint."
          placeholder="https://game.example.com/postback" type="url" inputMode="url" autoComplete="off" spellCheck={false} {...form.getInputProps('backend')}
        />
        {network.template && (
          <Textarea
            label={`Your postback URL at ${network.title} today`} autosize minRows={1} autoComplete="off" spellCheck={false} classNames={{ input: 'mono' }}
            description="If you have one: your backend then goes on getting the parameters that it gets today. Else leave it empty."
            placeholder={`https://game.example.com/postback?${network.template.slice(0, 40)}…`} {...form.getInputProps('template')}
          />
        )}
        {network.asks_ymid && (
          <Radio.Group label="What your ymid is" description="The id that your app gives to the SDK with each ad" {...form.getInputProps('ymid')}>
            <Stack gap={6} mt="xs">
              {kinds.map((k) => (
                <Radio key={k.value} {...k} />
              ))}
            </Stack>
          </Radio.Group>
        )}
        {network.key !== 'none' && (
          <PasswordInput
            label={`The key that ${network.title} gave you`} autoComplete="off"
            description={network.key_help || 'Some networks hand it out only after they know your URL. Then leave it empty: nothing is believed until you enter it.'}
            {...form.getInputProps('key')}
          />
        )}
        <Autocomplete
          label="Name of the app" description="Lower-case letters, digits, - and _. One that is there, or a new one" placeholder={app} data={apps.data?.map((a) => a.name) ?? []}
          autoComplete="off" maw={320} {...form.getInputProps('app')}
        />
        <ProblemNote error={saving.error} />
        <Group>
          <Button type="submit" loading={saving.isPending}>
            Get the URL
          </Button>
        </Group>
      </Stack>
    </form>
  )
}

/** Paste shows the URL, this once, and waits. */
function Paste({ network, made }: { network: Network; made: Made }) {
  const url = made.url.startsWith('/') ? location.origin + made.url : made.url
  const local = /^http:\/\//.test(url)
  return (
    <Page title={`Paste this URL at ${network.title}`}>
      <Stack gap="md" maw={860}>
        <CopyText text={url} what="the postback URL" />
        {made.shown_once && (
          <Alert color="yellow" variant="light" title="It is shown only now">
            Its secret is what proves that a postback comes from {network.title}. The server keeps none of it: if you lose it, make another one on the source's page.
          </Alert>
        )}
        <Text size="sm">
          {made.note
            ? `${network.title} enters the URL for you: send this to your contact there.`
            : `Enter it as the postback URL in the settings of ${network.title}.`}
          {network.own_id && ` In the app: ${network.own_id}`}
        </Text>
        {made.note && <CopyText text={made.note} what="the message" />}
        {made.needs_key && (
          <Alert color="yellow" variant="light" title={`Nothing is believed until you enter the key of ${network.title}`}>
            {network.key_help}. Enter it under the settings of the{' '}
            <Anchor component={Link} underline="always" to={`/sources/${made.source}?tab=settings`} size="sm">
              source
            </Anchor>
            .
          </Alert>
        )}
        {local && (
          <Text size="sm" c="dimmed">
            Networks have to reach it, over HTTPS: see the page on HTTPS in the documentation.
          </Text>
        )}
        {!made.endpoint && (
          <Alert color="blue" variant="light" title="Events are kept, and sent to nobody yet">
            <Anchor component={Link} underline="always" to={`/endpoints/new?app=${made.app}`} size="sm">
              Add an endpoint
            </Anchor>{' '}
            when your backend is ready.
          </Alert>
        )}
        <Title order={2} size="h4" mt="sm">
          The first postback
        </Title>
        <Waiting app={made.app} name={made.source.slice(made.app.length + 1)} network={network.title} url={url} />
        <Group>
          <Anchor component={Link} to={`/sources/${made.source}`}>
            To the source
          </Anchor>
          {made.endpoint && (
            <Anchor component={Link} to={`/endpoints/${made.endpoint}?tab=settings`}>
              To the endpoint: test what your backend gets
            </Anchor>
          )}
        </Group>
      </Stack>
    </Page>
  )
}
