import { Anchor, Card, Fieldset, Group, Select, SimpleGrid, Stack, Switch, TagsInput, Text, TextInput, Title } from '@mantine/core'
import type { UseFormReturnType } from '@mantine/form'
import { useQuery } from '@tanstack/react-query'
import { Link, Route, Routes, useNavigate, useParams } from 'react-router'
import { api, ok, type Schemas, tagged } from '../../api/client'
import { useSession } from '../../api/session'
import { Answer } from '../../parts/answer'
import { useApps } from '../../parts/apps'
import { below, ObjectForm, pruned } from '../../parts/object'
import { formats } from './formats'
import { Snippet } from './snippet'
import { ZoneState } from './zones'

type Zone = Schemas['ZoneObject']
type Settings = Omit<Zone, 'app' | 'id' | 'snippet'>

type Values = {
  app: string
  id: string
  title: string
  sub_zones: Record<string, string>
  confirmed: boolean
  require_ymid: boolean
  paused: boolean
  ad_server: { url: string; timeout: string; max_price: string; allow_private: boolean }
  confirm: {
    viewable: string
    min_click: string
    require_user: boolean
    deny_addresses: string[]
    own_users: string[]
    own_addresses: string[]
    per_user: string
    per_device: string
    per_address: string
    frequency_cap: string
  }
}

const read = (app: string, zone: string) => tagged(api.GET('/v1/zones/{app}/{zone}', { params: { path: { app, zone } } }))

function valuesOf(z: Settings | null, app = '', id = ''): Values {
  const { ad_server: server, confirm: rules } = z ?? {}
  return {
    app,
    id,
    title: z?.title ?? '',
    sub_zones: Object.fromEntries(formats.map((f) => [f.value, z?.sub_zones?.[f.value] ?? ''])),
    confirmed: z?.confirmed ?? false,
    require_ymid: z?.require_ymid ?? false,
    paused: z?.paused ?? false,
    ad_server: { url: server?.url ?? '', timeout: server?.timeout ?? '', max_price: server?.max_price ?? '', allow_private: server?.allow_private ?? false },
    confirm: {
      viewable: rules?.viewable ?? '',
      min_click: rules?.min_click ?? '',
      require_user: rules?.require_user ?? false,
      deny_addresses: rules?.deny_addresses ?? [],
      own_users: rules?.own_users ?? [],
      own_addresses: rules?.own_addresses ?? [],
      per_user: rules?.per_user ?? '',
      per_device: rules?.per_device ?? '',
      per_address: rules?.per_address ?? '',
      frequency_cap: rules?.frequency_cap ?? '',
    },
  }
}

function settingsOf({ app: _app, id: _id, ...settings }: Values): Settings {
  return pruned(settings) as Settings
}

const id = /^[A-Za-z0-9_-]{1,64}$/

const validate = {
  app: (v: string) => (v ? null : 'Choose the app whose pages show the ads'),
  id: (v: string) => (id.test(v) ? null : 'An id has 1 to 64 letters, digits, - and _, such as 123456'),
  sub_zones: (v: Record<string, string>) => (Object.values(v).some(Boolean) ? null : 'Give at least one format a sub-zone: without any, no ad is shown'),
}

/** OneZone is where a zone is made, or changed. */
export function OneZone() {
  return (
    <Routes>
      <Route path="new" element={<NewZone />} />
      <Route path=":app/:zone" element={<ZonePage />} />
    </Routes>
  )
}

function NewZone() {
  const navigate = useNavigate()
  return (
    <Stack maw={820}>
      <Title order={2} size="h3">
        Make a zone
      </Title>
      <ZoneForm loaded={null} app="" zone="" done={(v) => void navigate(`/zones/at/${v.app}/${v.id}`)} />
    </Stack>
  )
}

function ZonePage() {
  const { app = '', zone = '' } = useParams()
  const query = useQuery({ queryKey: ['zone', app, zone], queryFn: () => read(app, zone) })
  return (
    <Stack maw={820}>
      <Answer query={query}>
        {(loaded) => (
          <>
            <Group justify="space-between">
              <Group gap="sm">
                <Title order={2} size="h3">
                  Zone <span className="mono">{zone}</span>
                </Title>
                <ZoneState paused={!!loaded.value.paused} />
              </Group>
              <Group gap="md">
                <Anchor component={Link} to={`/reports/table?by=zone&app=${encodeURIComponent(app)}`} size="sm">
                  Its numbers
                </Anchor>
                <Anchor component={Link} to="/zones" size="sm">
                  All zones
                </Anchor>
              </Group>
            </Group>
            <Card withBorder padding="md" component="section" aria-labelledby="into">
              <Title order={3} size="h5" id="into" mb="xs">
                What goes into the page
              </Title>
              <Snippet zone={zone} snippet={loaded.value.snippet} served={Object.keys(loaded.value.sub_zones ?? {})} confirmed={!!loaded.value.confirmed} />
            </Card>
            <ZoneForm key={`${app} ${zone}`} loaded={loaded} app={app} zone={zone} />
          </>
        )}
      </Answer>
    </Stack>
  )
}

function ZoneForm({ loaded, app, zone, done }: { loaded: { value: Zone; etag: string } | null; app: string; zone: string; done?: (v: Values) => void }) {
  const { may } = useSession()
  const navigate = useNavigate()
  const readOnly = !may('replace-zone')
  return (
    <ObjectForm<Values, Settings>
      noun="zone" object={`zone/${app}/${zone}`} words={`the zone ${zone}`} loaded={loaded} read={() => read(app, zone)} values={(s) => valuesOf(s, app, zone)} settings={settingsOf} validate={validate}
      put={(settings, v, headers) => tagged(api.PUT('/v1/zones/{app}/{zone}', { params: { path: { app: v.app, zone: v.id } }, body: settings as Zone, headers }))}
      done={done} readOnly={readOnly} remove={may('remove-zone') ? (headers) => ok(api.DELETE('/v1/zones/{app}/{zone}', { params: { path: { app, zone } }, headers })) : undefined}
      gone={() => void navigate('/zones')}
      removing="Pages that still have its script tag are told that there is no such zone. Views that are on their way are still confirmed; what was counted stays."
    >
      {(form) => <Fields form={form} isNew={!loaded} readOnly={readOnly} />}
    </ObjectForm>
  )
}

function Fields({ form, isNew, readOnly }: { form: UseFormReturnType<Values>; isNew: boolean; readOnly: boolean }) {
  const apps = useApps()
  const v = form.values
  const { setFieldValue } = form
  // Sub-zones are most often numbered on from the zone: proposed as the id is typed, as long as nobody has written others.
  function changeID(text: string) {
    const number = /^\d{1,15}$/.test(text) ? Number(text) : 0
    const before = /^\d{1,15}$/.test(v.id) ? Number(v.id) : 0
    formats.forEach((f, i) => {
      const now = v.sub_zones[f.value]
      if (!now || now === String(before + i + 1)) setFieldValue(`sub_zones.${f.value}`, number ? String(number + i + 1) : '')
    })
    setFieldValue('id', text)
  }
  return (
    <Stack gap="md">
      <Fieldset legend="The zone" disabled={readOnly}>
        <Stack gap="sm">
          {isNew && (
            <SimpleGrid cols={{ base: 1, sm: 2 }} spacing="sm">
              <Select
                label="App" required searchable data={apps.data?.map((a) => ({ value: a.name, label: a.title ? `${a.title} (${a.name})` : a.name })) ?? []}
                nothingFoundMessage="There is no app: make one under Settings" {...form.getInputProps('app')} value={v.app || null} onChange={(a) => form.setFieldValue('app', a ?? '')}
              />
              <TextInput label="Id" description="Pages name it. One that they have today may stay" required placeholder="123456" {...form.getInputProps('id')} onChange={(e) => changeID(e.currentTarget.value.trim())} />
            </SimpleGrid>
          )}
          <TextInput label="Title" description="For people" {...form.getInputProps('title')} />
          <SimpleGrid cols={{ base: 1, sm: 3 }} spacing="sm">
            {formats.map((f) => (
              <TextInput key={f.value} label={f.label} description="Its sub-zone; empty: not served" classNames={{ input: 'mono' }} {...form.getInputProps(`sub_zones.${f.value}`)} />
            ))}
          </SimpleGrid>
          {form.errors.sub_zones && <Text size="sm" c="red">{form.errors.sub_zones}</Text>}
          <Switch label="The page's Promise waits until the view is confirmed or declined" {...form.getInputProps('confirmed', { type: 'checkbox' })} />
          <Switch label="Show no ad to a call without a ymid" description="Outside of Telegram, where nobody could be told who saw it" {...form.getInputProps('require_ymid', { type: 'checkbox' })} />
          <Switch label="Paused: answer every call that there is no ad" {...form.getInputProps('paused', { type: 'checkbox' })} />
        </Stack>
      </Fieldset>
      <Fieldset legend="What decides which views count" disabled={readOnly}>
        <Stack gap="sm">
          <Text size="sm" c="dimmed">
            Left empty, each has its default. A limit says how many views in which time: 90 in 10m. Write off for none.
          </Text>
          <SimpleGrid cols={{ base: 1, sm: 2 }} spacing="sm">
            <TextInput label="Half of the ad has to be visible for" placeholder="1s" {...form.getInputProps('confirm.viewable')} />
            <TextInput label="A click counts after" placeholder="300ms" {...form.getInputProps('confirm.min_click')} />
            <TextInput label="Views of one user" placeholder="90 in 10m" {...form.getInputProps('confirm.per_user')} />
            <TextInput label="Views of one device" placeholder="600 in 10m" {...form.getInputProps('confirm.per_device')} />
            <TextInput label="Views of one address" placeholder="3000 in 10m" description="Hundreds of people may share one" inputWrapperOrder={['label', 'input', 'description', 'error']} {...form.getInputProps('confirm.per_address')} />
            <TextInput label="Views of one user at all" placeholder="off" description="A frequency cap, such as 20 in 1d" inputWrapperOrder={['label', 'input', 'description', 'error']} {...form.getInputProps('confirm.frequency_cap')} />
          </SimpleGrid>
          <Switch label="Count nothing without a user whom Telegram proves" description="The app needs a bot, see its settings" {...form.getInputProps('confirm.require_user', { type: 'checkbox' })} error={form.errors['confirm.require_user']} />
          <SimpleGrid cols={{ base: 1, sm: 2 }} spacing="sm">
            <TagsInput label="Your own people" description="Telegram ids or ymids: they see ads, which do not count" {...form.getInputProps('confirm.own_users')} error={below(form.errors, 'confirm.own_users')} />
            <TagsInput label="Your own addresses" description="Addresses or networks: likewise" {...form.getInputProps('confirm.own_addresses')} error={below(form.errors, 'confirm.own_addresses')} />
            <TagsInput label="Addresses that never count" description="Addresses or networks, such as 203.0.113.0/24" {...form.getInputProps('confirm.deny_addresses')} error={below(form.errors, 'confirm.deny_addresses')} />
          </SimpleGrid>
        </Stack>
      </Fieldset>
      <Fieldset legend="Your ad server" disabled={readOnly}>
        <Stack gap="sm">
          <Text size="sm" c="dimmed">
            It is asked before creatives are, if there is one. Without an answer in time, a creative is shown.
          </Text>
          <TextInput label="URL" placeholder="https://ads.example/v1/ad" {...form.getInputProps('ad_server.url')} error={form.errors['ad_server.url'] ?? form.errors.ad_server} />
          <SimpleGrid cols={{ base: 1, sm: 2 }} spacing="sm">
            <TextInput label="It has to answer within" placeholder="300ms" {...form.getInputProps('ad_server.timeout')} />
            <TextInput label="Highest price of an event" placeholder="1" description="An ad that costs more is not shown" inputMode="decimal" inputWrapperOrder={['label', 'input', 'description', 'error']} {...form.getInputProps('ad_server.max_price')} />
          </SimpleGrid>
          <Switch label="It may be at a private address" {...form.getInputProps('ad_server.allow_private', { type: 'checkbox' })} />
        </Stack>
      </Fieldset>
    </Stack>
  )
}
