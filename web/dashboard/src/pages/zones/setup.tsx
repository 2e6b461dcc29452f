import { Accordion, Alert, Anchor, Button, Card, Checkbox, Group, Modal, Select, Stack, Switch, Table, Text, Textarea, TextInput, Title } from '@mantine/core'
import { useForm } from '@mantine/form'
import { notifications } from '@mantine/notifications'
import { IconAlertTriangle, IconPlus } from '@tabler/icons-react'
import { useMutation } from '@tanstack/react-query'
import { useState } from 'react'
import { Link } from 'react-router'
import { api, ok, type Schemas } from '../../api/client'
import { useSession } from '../../api/session'
import { ProblemNote } from '../../parts/answer'
import { count } from '../../parts/number'
import { below, nameFault } from '../../parts/object'
import { Outcome } from '../../parts/outcome'
import { Empty } from '../../parts/page'
import { useSaving } from '../../parts/saving'
import { Wide } from '../../parts/wide'
import { formatLabel, formats } from './formats'
import { Snippet } from './snippet'
import { ZoneState } from './zones'

type SetupState = Schemas['PublisherSetup']
type App = Schemas['PublisherApp']
type Zone = Schemas['PublisherZone']

/** Setup is all that a publisher sets up: apps, the zones in which they show ads, and which endpoints are told of them. */
export function Setup({ setup }: { setup: SetupState }) {
  const { may } = useSession()
  const [making, setMaking] = useState(false)
  const readOnly = !!setup.read_only || !may('put-app')
  const make = !readOnly && (
    <Button leftSection={<IconPlus size={16} aria-hidden />} onClick={() => setMaking(true)} variant={setup.apps.length > 0 ? 'default' : 'filled'}>
      Make an app
    </Button>
  )
  return (
    <Stack gap="md">
      {setup.read_only && (
        <Alert color="blue" title="Only to look at">
          <Text size="sm">The operator keeps all of it in a file: it is changed there.</Text>
        </Alert>
      )}
      {setup.apps.length === 0 ? (
        <Empty title="There is no app yet" action={make}>
          An app is one Mini App, game or site. Make one, then a zone in it, then an endpoint: the URL that is told when somebody has watched an ad.
        </Empty>
      ) : (
        <>
          {setup.apps.map((a) => (
            <AppCard key={a.name} setup={setup} app={a} readOnly={readOnly} />
          ))}
          {make && <Group>{make}</Group>}
        </>
      )}
      <Modal opened={making} onClose={() => setMaking(false)} title="Make an app">
        <AppForm publisher={setup.name} onClose={() => setMaking(false)} />
      </Modal>
    </Stack>
  )
}

function AppCard({ setup, app, readOnly }: { setup: SetupState; app: App; readOnly: boolean }) {
  const [dialog, setDialog] = useState<'change' | 'zone' | null>(null)
  const close = () => setDialog(null)
  const id = `app-${app.name}`
  return (
    <Card withBorder padding="md" component="section" aria-labelledby={id}>
      <Stack gap="md">
        <Group justify="space-between" align="flex-start">
          <div>
            <Title order={3} size="h4" id={id} className="foreign">
              {app.title || app.name}
            </Title>
            <Text size="sm" c="dimmed" className="foreign">
              {app.name}, {app.time_zone}
              {app.origins.length > 0 && `, shows ads on ${app.origins.join(', ')}`}
            </Text>
          </div>
          {!readOnly && (
            <Button size="xs" variant="default" onClick={() => setDialog('change')} aria-label={`Change the app ${app.name}`}>
              Change the app
            </Button>
          )}
        </Group>
        {app.problems.map((p) => (
          <Alert key={p.message} color={p.level === 'fault' ? 'red' : 'yellow'} icon={<IconAlertTriangle aria-hidden />} p="xs">
            <Text size="sm" className="foreign">
              {p.message.charAt(0).toUpperCase() + p.message.slice(1)}
            </Text>
          </Alert>
        ))}
        <section aria-label={`Zones of ${app.name}`}>
          <Group justify="space-between" mb="xs">
            <Title order={4} size="h5">
              Zones
            </Title>
            {!readOnly && (
              <Button size="xs" leftSection={<IconPlus size={14} aria-hidden />} onClick={() => setDialog('zone')} variant={app.zones.length > 0 ? 'default' : 'filled'} aria-label={`Make a zone in ${app.name}`}>
                Make a zone
              </Button>
            )}
          </Group>
          {app.zones.length > 0 && (
            <Accordion variant="separated" multiple defaultValue={app.zones.length === 1 ? app.zones.map((z) => z.id) : []} order={5}>
              {app.zones.map((z) => (
                <ZoneItem key={z.id} publisher={setup.name} app={app.name} zone={z} readOnly={readOnly} />
              ))}
            </Accordion>
          )}
        </section>
        <section aria-label={`Endpoints of ${app.name}`}>
          <Group justify="space-between" mb="xs">
            <Title order={4} size="h5">
              Endpoints
            </Title>
            {!readOnly && (
              <Button
                size="xs" component={Link} to={`/endpoints/new?app=${app.name}`} leftSection={<IconPlus size={14} aria-hidden />} variant={app.endpoints.length > 0 ? 'default' : 'filled'}
                aria-label={`Make an endpoint in ${app.name}`}
              >
                Make an endpoint
              </Button>
            )}
          </Group>
          {app.endpoints.length > 0 && <EndpointTable app={app} />}
        </section>
      </Stack>
      <Modal opened={dialog === 'change'} onClose={close} title={`Change ${app.name}`}>
        <AppForm publisher={setup.name} app={app} onClose={close} />
      </Modal>
      <Modal opened={dialog === 'zone'} onClose={close} title={`Make a zone in ${app.name}`}>
        <ZoneForm publisher={setup.name} app={app.name} onClose={close} />
      </Modal>
    </Card>
  )
}

function EndpointTable({ app }: { app: App }) {
  return (
    <Wide minWidth={520}>
      <Table verticalSpacing="xs" aria-label={`Endpoints of ${app.name}`}>
        <Table.Thead>
          <Table.Tr>
            <Table.Th scope="col">Endpoint</Table.Th>
            <Table.Th scope="col">URL</Table.Th>
            <Table.Th scope="col">How it stands</Table.Th>
            <Table.Th scope="col" ta="right">
              Waiting
            </Table.Th>
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {app.endpoints.map(({ endpoint: e, lane, backlog, problems }) => (
            <Table.Tr key={e.name}>
              <Table.Td>
                <Anchor component={Link} to={`/endpoints/${app.name}/${e.name}`} fw={600} size="sm">
                  {e.name}
                </Anchor>
                {e.default && (
                  <Text size="xs" c="dimmed">
                    default
                  </Text>
                )}
              </Table.Td>
              <Table.Td maw={420}>
                <Text size="xs" className="mono foreign" lineClamp={2}>
                  {e.method} {e.url}
                </Text>
                {problems.map((p) => (
                  <Text key={p.message} size="xs" className="foreign" c={p.level === 'fault' ? 'red' : undefined}>
                    {p.message}
                  </Text>
                ))}
              </Table.Td>
              <Table.Td>
                {lane.paused ? <Outcome of="held" words="paused" /> : lane.breaker === 'open' ? <Outcome of="fault" words="fails" /> : <Outcome of="ok" words="works" />}
              </Table.Td>
              <Table.Td ta="right">{count(backlog.waiting)}</Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </Wide>
  )
}

function ZoneItem({ publisher, app, zone: z, readOnly }: { publisher: string; app: string; zone: Zone; readOnly: boolean }) {
  const change = useMutation({
    mutationFn: (body: { paused?: boolean; confirmed?: boolean; require_ymid?: boolean }) =>
      ok(api.PATCH('/v1/publishers/{publisher}/apps/{app}/zones/{zone}', { params: { path: { publisher, app, zone: z.id } }, body })),
    onSuccess: () => notifications.show({ color: 'green', message: `The zone ${z.id} is changed. It is in force.` }),
  })
  const { may } = useSession()
  return (
    <Accordion.Item value={z.id}>
      <Accordion.Control>
        <Group gap="sm">
          <Text span fw={600} className="mono" size="sm">
            {z.id}
          </Text>
          {z.title && (
            <Text span size="sm" className="foreign">
              {z.title}
            </Text>
          )}
          <Text span size="xs" c="dimmed">
            {Object.keys(z.sub_zones).map(formatLabel).join(', ')}
          </Text>
          <ZoneState paused={z.paused} />
        </Group>
      </Accordion.Control>
      <Accordion.Panel>
        <Stack gap="md">
          <Snippet zone={z.id} snippet={z.snippet} served={Object.keys(z.sub_zones)} confirmed={z.confirmed} />
          <Text size="sm" c="dimmed">
            In postbacks, <code>zone_id</code> is {z.id}, and <code>sub_zone_id</code> tells the format:{' '}
            {Object.entries(z.sub_zones)
              .map(([format, id]) => `${id} is ${formatLabel(format).toLowerCase()}`)
              .join(', ')}
            .
          </Text>
          {!readOnly && may('change-zone') && (
            <Stack gap="xs">
              <Switch label="The page's Promise waits until the view is confirmed or declined" checked={z.confirmed} disabled={change.isPending} onChange={(e) => change.mutate({ confirmed: e.currentTarget.checked })} />
              <Switch label="Show no ad to a call without a ymid" checked={z.require_ymid} disabled={change.isPending} onChange={(e) => change.mutate({ require_ymid: e.currentTarget.checked })} />
              <Switch label="Paused: answer every call that there is no ad" checked={z.paused} disabled={change.isPending} onChange={(e) => change.mutate({ paused: e.currentTarget.checked })} />
              <ProblemNote error={change.error} />
            </Stack>
          )}
        </Stack>
      </Accordion.Panel>
    </Accordion.Item>
  )
}

function AppForm({ publisher, app, onClose }: { publisher: string; app?: App; onClose: () => void }) {
  const form = useForm({
    initialValues: { name: app?.name ?? '', title: app?.title ?? '', origins: (app?.origins ?? []).join('\n'), time_zone: app?.time_zone ?? Intl.DateTimeFormat().resolvedOptions().timeZone },
    validate: { name: nameFault },
  })
  const saving = useSaving(
    form,
    (v) =>
      ok(
        api.PUT('/v1/publishers/{publisher}/apps/{app}', {
          params: { path: { publisher, app: v.name } },
          body: { title: v.title.trim() || undefined, origins: v.origins.split('\n').map((o) => o.trim()).filter(Boolean), time_zone: v.time_zone },
        }),
      ),
    { said: app ? 'The app is changed.' : 'The app is made.', done: onClose, field: (f) => f.replace(/^body\./, '').replace(/\[.*$/, '') },
  )
  return (
    <form onSubmit={form.onSubmit((values) => saving.mutate(values))} noValidate>
      <Stack gap="sm">
        {!app && <TextInput label="Name" description="Lower-case letters, digits, - and _. It stays" required placeholder="my-game" data-autofocus {...form.getInputProps('name')} />}
        <TextInput label="Title" description="As people know it" maxLength={200} {...form.getInputProps('title')} />
        <Textarea label="Pages" description="Origins of the pages that show ads, one a line" placeholder="https://game.example" autosize minRows={2} {...form.getInputProps('origins')} error={below(form.errors, 'origins')} />
        <Select label="Time zone" description="Where its day begins and ends" searchable allowDeselect={false} limit={50} data={[...new Set(['UTC', ...Intl.supportedValuesOf('timeZone'), form.values.time_zone])]} {...form.getInputProps('time_zone')} />
        <ProblemNote error={saving.error} />
        <Group justify="flex-end">
          <Button variant="default" onClick={onClose}>
            Cancel
          </Button>
          <Button type="submit" loading={saving.isPending}>
            {app ? 'Save the app' : 'Make the app'}
          </Button>
        </Group>
      </Stack>
    </form>
  )
}

function ZoneForm({ publisher, app, onClose }: { publisher: string; app: string; onClose: () => void }) {
  const form = useForm({
    initialValues: { title: '', formats: formats.map((f) => f.value) as string[], confirmed: false, require_ymid: false },
    validate: { formats: (v) => (v.length > 0 ? null : 'Choose at least one format') },
  })
  const saving = useSaving(
    form,
    (v) =>
      ok(
        api.POST('/v1/publishers/{publisher}/apps/{app}/zones', {
          params: { path: { publisher, app } },
          body: { title: v.title.trim() || undefined, formats: v.formats as Schemas['NewZone']['formats'], confirmed: v.confirmed, require_ymid: v.require_ymid },
        }),
      ),
    {
      done: (z) => {
        notifications.show({ color: 'green', message: `The zone ${z.id} is made. Its script tag is ready.` })
        onClose()
      },
    },
  )
  return (
    <form onSubmit={form.onSubmit((values) => saving.mutate(values))} noValidate>
      <Stack gap="sm">
        <TextInput label="Title" description="For people; the id is chosen by the server" maxLength={200} data-autofocus {...form.getInputProps('title')} />
        <Checkbox.Group label="Formats that it shows" {...form.getInputProps('formats')}>
          <Stack gap={6} mt={4}>
            {formats.map((f) => (
              <Checkbox key={f.value} value={f.value} label={f.label} />
            ))}
          </Stack>
        </Checkbox.Group>
        <Switch label="The page's Promise waits until the view is confirmed or declined" {...form.getInputProps('confirmed', { type: 'checkbox' })} />
        <Switch label="Show no ad to a call without a ymid" {...form.getInputProps('require_ymid', { type: 'checkbox' })} />
        <ProblemNote error={saving.error} />
        <Group justify="flex-end">
          <Button variant="default" onClick={onClose}>
            Cancel
          </Button>
          <Button type="submit" loading={saving.isPending}>
            Make the zone
          </Button>
        </Group>
      </Stack>
    </form>
  )
}
