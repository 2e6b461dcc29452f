import { ActionIcon, Alert, Anchor, Button, Card, Collapse, Fieldset, Grid, Group, MultiSelect, SegmentedControl, Select, SimpleGrid, Stack, Switch, TagsInput, Text, TextInput, Title } from '@mantine/core'
import { useForm } from '@mantine/form'
import { useDebouncedValue } from '@mantine/hooks'
import { notifications } from '@mantine/notifications'
import { IconChevronDown, IconPlus, IconSend, IconX } from '@tabler/icons-react'
import { keepPreviousData, useMutation, useQuery } from '@tanstack/react-query'
import { useMemo, useState } from 'react'
import { Link, useNavigate, useParams } from 'react-router'
import { api, ok, RequestFailed, type Schemas } from '../../api/client'
import { useSession } from '../../api/session'
import { ProblemNote } from '../../parts/answer'
import { Ask } from '../../parts/ask'
import { below, nameFault } from '../../parts/object'
import { Once } from '../../parts/once'
import { Outcome } from '../../parts/outcome'
import { Empty } from '../../parts/page'
import { Paged, usePaged } from '../../parts/paged'
import { useSaving } from '../../parts/saving'
import { When } from '../../parts/time'
import { notationOf } from '../endpoints/macros'
import { Preview } from '../endpoints/preview'
import { TemplateInput } from '../endpoints/template'
import { Result } from '../endpoints/test'

type SetupState = Schemas['PublisherSetup']
type Template = Schemas['Template']

type Values = Required<Omit<Template, 'headers' | 'signed'>> & { name: string; headers: { name: string; value: string }[] }

interface Props {
  setup: SetupState
  /** base is the address at which the publisher's set-up stands. */
  base: string
}

/** NewOwnEndpoint makes an endpoint of a publisher. */
export function NewOwnEndpoint({ setup, base }: Props) {
  const { app = '' } = useParams()
  return (
    <Stack gap="md">
      <Heading title="Make an endpoint" app={app} base={base} />
      <Text size="sm" c="dimmed" maw={640}>
        The URL of your server that is told when somebody has watched an ad. Macros stand in it for what is known of the view.
      </Text>
      <EndpointForm setup={setup} base={base} app={app} />
    </Stack>
  )
}

/** OwnEndpoint shows an endpoint of a publisher: its template, a test, its signing secret, and what it was sent. */
export function OwnEndpoint({ setup, base }: Props) {
  const { app = '', name = '' } = useParams()
  const found = setup.apps.find((a) => a.name === app)?.endpoints.find((e) => e.endpoint.name === name)
  if (!found) return <Empty title={`There is no endpoint ${name}`} action={<Anchor component={Link} to={base}>To the set-up</Anchor>} />
  return (
    <Stack gap="md">
      <Heading title={name} app={app} base={base} />
      {found.lane.paused && (
        <Alert color="yellow" title="The operator has paused it">
          <Text size="sm">Nothing is sent to it now.</Text>
        </Alert>
      )}
      <EndpointForm key={`${app}/${name}`} setup={setup} base={base} app={app} stored={found} />
      {found.endpoint.sends !== 'rewards' && <TestCard publisher={setup.name} app={app} name={name} />}
      <SecretCard publisher={setup.name} app={app} name={name} stored={found} />
      <SentCard publisher={setup.name} app={app} name={name} />
    </Stack>
  )
}

function Heading({ title, app, base }: { title: string; app: string; base: string }) {
  return (
    <div>
      <Title order={2} size="h3" className="foreign">
        {title}
      </Title>
      <Text size="sm" c="dimmed">
        Of the app {app}.{' '}
        <Anchor component={Link} to={base} size="sm" underline="always">
          Back to the set-up
        </Anchor>
      </Text>
    </div>
  )
}

function valuesOf(e: Schemas['Endpoint'] | undefined): Values {
  return {
    name: e?.name ?? '',
    url: e?.url ?? '',
    method: e?.method ?? 'GET',
    content_type: e?.content_type ?? 'json',
    body: e?.body ?? '',
    headers: e?.headers ?? [],
    dialect: e?.dialect ?? '',
    zones: e?.zones ?? [],
    event_types: e?.event_types ?? [],
    values: (e ? (e.values ?? []) : ['valued']).map((v) => v || 'empty'),
    default: e?.default ?? false,
    contains: e?.contains ?? '',
    not_contains: e?.not_contains ?? '',
  }
}

function templateOf({ name: _name, ...v }: Values): Template {
  const post = v.method === 'POST'
  return {
    url: v.url.trim(),
    method: v.method,
    ...(post && { content_type: v.content_type, body: v.body || undefined }),
    headers: v.headers.filter((h) => h.name.trim()),
    dialect: v.dialect || undefined,
    zones: v.zones,
    event_types: v.event_types,
    values: v.values,
    default: v.default,
    contains: v.contains || undefined,
    not_contains: v.not_contains || undefined,
  }
}

function EndpointForm({ setup, base, app, stored }: Props & { app: string; stored?: Schemas['PublisherEndpoint'] }) {
  const { may } = useSession()
  const navigate = useNavigate()
  const readOnly = !!setup.read_only || !may('put-endpoint')
  const [more, setMore] = useState(false)
  const [made, setMade] = useState('')
  const [removing, setRemoving] = useState(false)
  const form = useForm<Values>({
    initialValues: valuesOf(stored?.endpoint),
    validate: { name: nameFault, url: (v) => (v.trim() ? null : 'Write the URL of your server, such as https://game.example/postback?ymid={ymid}') },
  })
  const v = form.values
  const zones = setup.apps.find((a) => a.name === app)?.zones ?? []
  const known = useMemo(() => notationOf({ macros: setup.macros, dialects: setup.dialects }, v.dialect), [setup.macros, setup.dialects, v.dialect])
  const [draft] = useDebouncedValue(JSON.stringify(templateOf(v)), 250)
  const preview = useQuery({
    queryKey: ['own-preview', setup.name, app, stored?.endpoint.name, draft],
    queryFn: () => ok(api.POST('/v1/publishers/{publisher}/preview', { params: { path: { publisher: setup.name } }, body: { app, name: stored?.endpoint.name, ...(JSON.parse(draft) as Template) } })),
    enabled: !!v.url.trim() && may('preview-endpoint'),
    placeholderData: keepPreviousData,
    retry: false,
  })
  const path = { publisher: setup.name, app }
  const saving = useSaving(form, (values) => ok(api.PUT('/v1/publishers/{publisher}/endpoints/{app}/{name}', { params: { path: { ...path, name: values.name } }, body: templateOf(values) })), {
    said: stored ? 'Saved. It is in force.' : undefined,
    done: (saved) => {
      if (saved.signing_secret) setMade(saved.signing_secret)
      else if (!stored) leave()
    },
    field: (f) => f.replace(/^body\./, '').replace(/\[(\d+)\]/g, '.$1'),
  })
  const leave = () => {
    notifications.show({ color: 'green', message: 'The endpoint is made. Send a test to it.' })
    void navigate(`${base}/apps/${app}/endpoints/${form.getValues().name}`)
  }
  const problems = v.url.trim() ? problemsOf(preview.data, preview.error) : []
  return (
    <>
      <form onSubmit={form.onSubmit((values) => saving.mutate(values))} noValidate aria-label="The endpoint">
        <Stack gap="md">
          <Grid gap="md">
            <Grid.Col span={{ base: 12, md: 7 }}>
              <Fieldset legend="What is sent" disabled={readOnly}>
                <Stack gap="sm">
                  {!stored && <TextInput label="Name" description="Lower-case letters, digits, - and _. It stays" required placeholder="postback" {...form.getInputProps('name')} />}
                  <Group gap="md">
                    <SegmentedControl aria-label="Method" data={['GET', 'POST']} disabled={readOnly} {...form.getInputProps('method')} />
                    {setup.dialects.length > 0 && (
                      <Select
                        aria-label="How macros are written" allowDeselect={false} {...form.getInputProps('dialect')}
                        data={[{ value: '', label: 'macros as {ymid}' }, ...setup.dialects.map((d) => ({ value: d.name, label: `${d.name}, as ${d.macros[0]?.written ?? d.name}` }))]}
                      />
                    )}
                  </Group>
                  <TemplateInput
                    label="URL" line known={known} autosize minRows={3} description={`Type ${known.open} to choose a macro: a place that is filled in for each view.`}
                    placeholder="https://game.example/postback?ymid={ymid}" {...form.getInputProps('url')}
                  />
                  {v.method === 'POST' && (
                    <>
                      <Select label="Content type" allowDeselect={false} maw={200} data={[{ value: 'json', label: 'JSON' }, { value: 'form', label: 'Form' }]} {...form.getInputProps('content_type')} />
                      <TemplateInput label="Body" known={known} autosize minRows={3} description="Left empty, all that is known of the view is sent." {...form.getInputProps('body')} />
                    </>
                  )}
                  <SimpleGrid cols={{ base: 1, sm: 2 }} spacing="sm">
                    <MultiSelect
                      label="Which views" placeholder={v.values.length ? '' : 'all'} {...form.getInputProps('values')} error={below(form.errors, 'values')}
                      data={[{ value: 'valued', label: 'valued: they are paid' }, { value: 'not_valued', label: 'not valued' }, { value: 'empty', label: 'nobody said' }]}
                    />
                    <TagsInput label="Which events" placeholder={v.event_types.length ? '' : 'all'} data={setup.event_types} {...form.getInputProps('event_types')} error={below(form.errors, 'event_types')} />
                    <MultiSelect
                      label="Which zones" placeholder={v.zones.length ? '' : 'all'} data={[...new Set([...zones.map((z) => z.id), ...v.zones])].map((id) => ({ value: id, label: zones.find((z) => z.id === id)?.title ? `${id} (${zones.find((z) => z.id === id)?.title})` : id }))}
                      {...form.getInputProps('zones')} error={below(form.errors, 'zones')}
                    />
                  </SimpleGrid>
                  <Button
                    variant="subtle" size="xs" style={{ alignSelf: 'flex-start' }} aria-expanded={more} aria-controls="more-of-it" rightSection={<IconChevronDown size={14} aria-hidden />} onClick={() => setMore(!more)}
                  >
                    Headers, and what counts as delivered
                  </Button>
                  <Collapse expanded={more} id="more-of-it">
                    <Stack gap="sm">
                      {v.headers.map((h, i) => (
                        <Group key={i} gap="xs" align="flex-start" wrap="nowrap">
                          <TextInput aria-label={`Name of header ${i + 1}`} placeholder="X-Api-Key" flex={1} {...form.getInputProps(`headers.${i}.name`)} error={form.errors[`headers.${h.name}`]} />
                          <TextInput aria-label={`Value of header ${i + 1}`} placeholder="value, which may hold macros" flex={2} {...form.getInputProps(`headers.${i}.value`)} />
                          <ActionIcon variant="subtle" color="gray" size="lg" aria-label={`Remove header ${i + 1}`} onClick={() => form.removeListItem('headers', i)}>
                            <IconX size={16} aria-hidden />
                          </ActionIcon>
                        </Group>
                      ))}
                      <Button variant="default" size="xs" leftSection={<IconPlus size={14} aria-hidden />} style={{ alignSelf: 'flex-start' }} onClick={() => form.insertListItem('headers', { name: '', value: '' })}>
                        Add a header
                      </Button>
                      <TextInput label="The answer has to hold" description="Besides a status of 2xx; empty: anything counts" {...form.getInputProps('contains')} />
                      <TextInput label="The answer must not hold" {...form.getInputProps('not_contains')} />
                      <Switch label="Only what comes from zones that no other endpoint names" {...form.getInputProps('default', { type: 'checkbox' })} />
                    </Stack>
                  </Collapse>
                </Stack>
              </Fieldset>
            </Grid.Col>
            <Grid.Col span={{ base: 12, md: 5 }}>
              <Preview url={v.url} answer={v.url.trim() ? preview.data : undefined} problems={problems} stale={preview.isFetching} disabled={readOnly} fix={(url) => form.setFieldValue('url', url)} />
            </Grid.Col>
          </Grid>
          <ProblemNote error={saving.error} />
          {!readOnly && (
            <Group justify="space-between">
              <Button type="submit" loading={saving.isPending}>
                {stored ? 'Save the endpoint' : 'Make the endpoint'}
              </Button>
              {stored && (
                <Button variant="subtle" color="red" onClick={() => setRemoving(true)}>
                  Remove the endpoint
                </Button>
              )}
            </Group>
          )}
        </Stack>
      </form>
      {/* Not within the form: what is sent in a dialog would be sent there as well. */}
      <Once
        text={made} title="The signing secret of this endpoint" what="Signing secret"
        onClose={() => {
          setMade('')
          if (!stored) leave()
        }}
      >
        <Text size="sm">Your server checks with it that a request is from here: the signature is over each request. Without a check, anybody who knows the URL could send one.</Text>
      </Once>
      {stored && (
        <Ask
          opened={removing} onClose={() => setRemoving(false)} title={`Remove the endpoint ${stored.endpoint.name}`} button="Remove the endpoint"
          act={async () => {
            await ok(api.DELETE('/v1/publishers/{publisher}/endpoints/{app}/{name}', { params: { path: { ...path, name: stored.endpoint.name } } }))
            void navigate(base)
          }}
        >
          <Text size="sm">
            Nothing is sent to it any more. {stored.backlog.waiting > 0 && `What waits for it ends as dead: ${stored.backlog.waiting}.`}
          </Text>
        </Ask>
      )}
    </>
  )
}

function problemsOf(answer: Schemas['TemplatePreview'] | undefined, error: unknown): Schemas['SetupProblem'][] {
  if (!(error instanceof RequestFailed)) return answer?.problems ?? []
  const faults = error.problem.errors ?? []
  return faults.length > 0 ? faults.map((f) => ({ level: 'fault', field: f.field.replace(/^body\./, ''), message: f.message })) : [{ level: 'fault', message: error.message }]
}

/** TestCard sends one test postback, and says what its answer means. */
function TestCard({ publisher, app, name }: { publisher: string; app: string; name: string }) {
  const { may } = useSession()
  const form = useForm({ initialValues: { ymid: '' } })
  const test = useMutation({
    mutationFn: () => ok(api.POST('/v1/publishers/{publisher}/endpoints/{app}/{name}/test', { params: { path: { publisher, app, name } }, body: { ymid: form.getValues().ymid.trim() || undefined } })),
  })
  if (!may('test-endpoint')) return null
  return (
    <Card withBorder padding="md" component="section" aria-labelledby="test-title">
      <Title order={3} size="h5" id="test-title" mb="xs">
        Send a test
      </Title>
      <form onSubmit={form.onSubmit(() => test.mutate())}>
        <Group align="flex-end" gap="sm">
          <TextInput label="ymid" description="Empty: one that your server can see is a test" placeholder="carom-test-…" flex={1} miw={220} {...form.getInputProps('ymid')} />
          <Button type="submit" leftSection={<IconSend size={16} aria-hidden />} loading={test.isPending}>
            Send a test
          </Button>
        </Group>
      </form>
      <ProblemNote error={test.error} />
      {test.data && <Result result={test.data} />}
    </Card>
  )
}

/** SecretCard makes a new signing secret. The one of now goes on for a while, so that nothing is refused meanwhile. */
function SecretCard({ publisher, app, name, stored }: { publisher: string; app: string; name: string; stored: Schemas['PublisherEndpoint'] }) {
  const { may } = useSession()
  const [asking, setAsking] = useState(false)
  const [keep, setKeep] = useState('24h')
  const [made, setMade] = useState<Schemas['MadeSigningSecret'] | null>(null)
  const signed = stored.secrets.length > 0
  return (
    <Card withBorder padding="md" component="section" aria-labelledby="secret-title">
      <Group justify="space-between" align="flex-start">
        <div>
          <Title order={3} size="h5" id="secret-title">
            Signature
          </Title>
          <Text size="sm" c="dimmed">
            {signed ? 'Requests are signed, so that your server can check that they are from here.' : 'Requests are not signed: whoever knows the URL can send one.'}
          </Text>
          {stored.secrets
            .filter((s) => s.not_after)
            .map((s) => (
              <Text size="sm" key={s.not_after}>
                The secret of before signs as well until <When at={s.not_after} />.
              </Text>
            ))}
        </div>
        {may('rotate-secret') && (
          <Button variant="default" onClick={() => setAsking(true)}>
            {signed ? 'Make a new signing secret' : 'Make a signing secret'}
          </Button>
        )}
      </Group>
      <Ask
        opened={asking} onClose={() => setAsking(false)} title="A new signing secret" button="Make the signing secret" color="blue"
        act={async () => {
          setMade(await ok(api.POST('/v1/publishers/{publisher}/endpoints/{app}/{name}/secret', { params: { path: { publisher, app, name } }, body: { keep_old_for: keep } })))
        }}
      >
        <Text size="sm">It is shown once. Put it into your server in time: until the time below has passed, requests carry both signatures.</Text>
        {signed && (
          <Select
            label="The one of now goes on for" allowDeselect={false} value={keep} onChange={(v) => setKeep(v ?? '24h')}
            data={[{ value: '0s', label: 'no longer: it has leaked' }, { value: '1h', label: 'an hour' }, { value: '24h', label: 'a day' }, { value: '7d', label: 'a week' }]}
          />
        )}
      </Ask>
      <Once text={made?.signing_secret} title="The new signing secret" what="Signing secret" onClose={() => setMade(null)}>
        {made?.old_until && (
          <Text size="sm">
            The one of before signs as well until <When at={made.old_until} />.
          </Text>
        )}
      </Once>
    </Card>
  )
}

/** SentCard lists what the endpoint was sent, newest first. */
function SentCard({ publisher, app, name }: { publisher: string; app: string; name: string }) {
  const [state, setState] = useState('')
  const list = usePaged(['own-sent', publisher, app, name, state], (before) =>
    ok(
      api.GET('/v1/publishers/{publisher}/endpoints/{app}/{name}/deliveries', {
        params: { path: { publisher, app, name }, query: { state: (state || undefined) as 'dead' | undefined, before, limit: 20 } },
      }),
    ),
  )
  return (
    <section aria-labelledby="sent-title">
      <Group justify="space-between" mb="xs">
        <Title order={3} size="h5" id="sent-title">
          What was sent
        </Title>
        <SegmentedControl
          size="xs" value={state} onChange={setState} aria-label="Which of what was sent"
          data={[{ value: '', label: 'All' }, { value: 'pending', label: 'Pending' }, { value: 'delivered', label: 'Delivered' }, { value: 'dead', label: 'Dead' }]}
        />
      </Group>
      <Paged
        query={list} rows={(page) => page.deliveries}
        empty={state ? <Text size="sm" c="dimmed">None is in this state.</Text> : <Empty title="Nothing was sent yet">What is sent stands here, with what your server answered. Send a test first, and then watch an ad.</Empty>}
      >
        {(deliveries) => (
          <Stack gap="xs">
            {deliveries.map((d) => {
              const last = d.attempts[d.attempts.length - 1]
              return (
                <Card key={d.id} withBorder padding="xs">
                  <Group justify="space-between" gap="xs">
                    <Group gap="xs">
                      <Outcome of={d.state} />
                      <Text size="sm">
                        {d.event_type}
                        {d.reward_event_type && `, ${d.reward_event_type}`}
                        {d.test && ', a test'}
                      </Text>
                      <Text size="sm" c="dimmed">
                        <When at={d.at} />
                      </Text>
                    </Group>
                    <Text size="xs" c="dimmed" className="mono">
                      {d.id}
                    </Text>
                  </Group>
                  <Text size="xs" className="foreign" mt={4}>
                    ymid <span className="mono">{d.ymid}</span>
                    {d.zone_id && `, zone ${d.zone_id}`}
                    {d.request_var && `, ${d.request_var}`}
                  </Text>
                  {last && (
                    <Text size="xs" c="dimmed" className="foreign">
                      {last.status ? `answered ${last.status}` : 'no answer'}
                      {last.reason && `: ${last.reason}`}
                      {last.answer && ` “${last.answer}”`}
                    </Text>
                  )}
                </Card>
              )
            })}
          </Stack>
        )}
      </Paged>
    </section>
  )
}
