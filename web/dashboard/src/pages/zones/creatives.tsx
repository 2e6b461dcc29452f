import { Anchor, Badge, Button, Fieldset, Group, MultiSelect, NumberInput, SegmentedControl, SimpleGrid, Stack, Switch, Table, Text, Textarea, TextInput, Title } from '@mantine/core'
import type { UseFormReturnType } from '@mantine/form'
import { IconPlayerPause, IconPlus } from '@tabler/icons-react'
import { useQuery } from '@tanstack/react-query'
import { Link, Route, Routes, useNavigate, useParams } from 'react-router'
import { api, ok, type Schemas, tagged } from '../../api/client'
import { useSession } from '../../api/session'
import { Answer } from '../../parts/answer'
import { FilterText } from '../../parts/fields'
import { useFilter } from '../../parts/filter'
import { money } from '../../parts/number'
import { below, nameFault, ObjectForm, pruned } from '../../parts/object'
import { Empty } from '../../parts/page'
import { Paged, usePaged } from '../../parts/paged'
import { Wide } from '../../parts/wide'
import { formatLabel, formats } from './formats'
import { CreativeFrame } from './frame'

type Creative = Schemas['CreativeObject']
type Settings = Omit<Creative, 'name'>

type Values = {
  name: string
  title: string
  formats: string[]
  zones: string[]
  shows: 'image' | 'html' | 'nothing'
  image: string
  html: string
  width: number | string
  height: number | string
  landing_url: string
  close_after: string
  weight: number | string
  per_impression: string
  per_click: string
  paused: boolean
}

const read = (name: string) => tagged(api.GET('/v1/creatives/{name}', { params: { path: { name } } }))

function valuesOf(c: Settings | null, name = ''): Values {
  return {
    name,
    title: c?.title ?? '',
    formats: c?.formats ?? [],
    zones: c?.zones ?? [],
    shows: !c || c.image ? 'image' : c.html ? 'html' : 'nothing',
    image: c?.image ?? '',
    html: c?.html ?? '',
    width: c?.width ?? '',
    height: c?.height ?? '',
    landing_url: c?.landing_url ?? '',
    close_after: c?.close_after ?? '',
    weight: c?.weight ?? '',
    per_impression: c?.per_impression ?? '',
    per_click: c?.per_click ?? '',
    paused: c?.paused ?? false,
  }
}

function settingsOf({ name: _name, shows, image, html, ...rest }: Values): Settings {
  return pruned({ ...rest, ...(shows === 'image' && { image }), ...(shows === 'html' && { html }) }) as Settings
}

const validate = {
  name: nameFault,
  image: (v: string, all: Values) => (all.shows !== 'image' || v.trim() ? null : 'Give the URL of a picture'),
  html: (v: string, all: Values) => (all.shows !== 'html' || v.trim() ? null : 'Write what is to be shown'),
  landing_url: (v: string, all: Values) => (all.shows !== 'nothing' || v.trim() ? null : 'A popup opens this page: it needs one'),
}

/** Creatives are ads of the operator's own house. */
export function Creatives() {
  return (
    <Routes>
      <Route path="/" element={<CreativeList />} />
      <Route path="new" element={<NewCreative />} />
      <Route path=":name" element={<CreativePage />} />
    </Routes>
  )
}

function CreativeList() {
  const [filter, setFilter] = useFilter()
  const { may } = useSession()
  const { q } = filter
  const creatives = usePaged(['creatives', q], (before) => ok(api.GET('/v1/creatives', { params: { query: { q, before, limit: 100 } } })))
  const make = may('replace-creative') && (
    <Button component={Link} to="/zones/creatives/new" leftSection={<IconPlus size={16} aria-hidden />}>
      Make a creative
    </Button>
  )
  return (
    <Stack gap="sm">
      <Group justify="space-between" align="flex-end">
        <FilterText word="q" label="Find" placeholder="Name or title" filter={filter} onChange={setFilter} />
        {make}
      </Group>
      <Paged
        query={creatives} rows={(page) => page.creatives} more="More"
        empty={
          q ? (
            <Empty title="No creative has this name">Write another word.</Empty>
          ) : (
            <Empty title="There is no creative" action={make}>
              A creative is an ad of your own. One that fits is shown where a zone has no ad server, or that one has no ad.
            </Empty>
          )
        }
      >
        {(list) => (
          <Wide minWidth={720}>
            <Table verticalSpacing="xs" aria-label="Creatives">
              <Table.Thead>
                <Table.Tr>
                  <Table.Th scope="col">Creative</Table.Th>
                  <Table.Th scope="col">Shows</Table.Th>
                  <Table.Th scope="col">Formats</Table.Th>
                  <Table.Th scope="col">Zones</Table.Th>
                  <Table.Th scope="col" ta="right">
                    Weight
                  </Table.Th>
                  <Table.Th scope="col" ta="right">
                    Per impression
                  </Table.Th>
                  <Table.Th scope="col" ta="right">
                    Per click
                  </Table.Th>
                  <Table.Th scope="col">State</Table.Th>
                </Table.Tr>
              </Table.Thead>
              <Table.Tbody>
                {list.map((c) => (
                  <Table.Tr key={c.name}>
                    <Table.Td>
                      <Anchor component={Link} to={`/zones/creatives/${c.name}`} fw={600} size="sm">
                        {c.name}
                      </Anchor>
                      {c.title && (
                        <Text size="xs" c="dimmed" className="foreign">
                          {c.title}
                        </Text>
                      )}
                    </Table.Td>
                    <Table.Td>{c.image ? 'an image' : c.html ? 'HTML' : 'its landing page'}</Table.Td>
                    <Table.Td>{c.formats?.length ? c.formats.map(formatLabel).join(', ') : 'all'}</Table.Td>
                    <Table.Td className="mono foreign">{c.zones?.length ? c.zones.join(', ') : 'all'}</Table.Td>
                    <Table.Td ta="right">{c.weight ?? 1}</Table.Td>
                    <Table.Td ta="right">{c.per_impression ? money(c.per_impression) : '0'}</Table.Td>
                    <Table.Td ta="right">{c.per_click ? money(c.per_click) : '0'}</Table.Td>
                    <Table.Td>
                      {c.paused ? (
                        <Badge color="yellow" variant="light" tt="none" leftSection={<IconPlayerPause size={12} aria-hidden />}>
                          paused
                        </Badge>
                      ) : (
                        'shown'
                      )}
                    </Table.Td>
                  </Table.Tr>
                ))}
              </Table.Tbody>
            </Table>
          </Wide>
        )}
      </Paged>
    </Stack>
  )
}

function NewCreative() {
  const navigate = useNavigate()
  return (
    <Stack maw={820}>
      <Title order={2} size="h3">
        Make a creative
      </Title>
      <CreativeForm loaded={null} name="" done={(v) => void navigate(`/zones/creatives/${v.name}`)} />
    </Stack>
  )
}

function CreativePage() {
  const { name = '' } = useParams()
  const query = useQuery({ queryKey: ['creative', name], queryFn: () => read(name) })
  return (
    <Stack maw={820}>
      <Group justify="space-between">
        <Title order={2} size="h3" className="foreign">
          {name}
        </Title>
        <Anchor component={Link} to="/zones/creatives" size="sm">
          All creatives
        </Anchor>
      </Group>
      <Answer query={query}>{(loaded) => <CreativeForm key={name} loaded={loaded} name={name} />}</Answer>
    </Stack>
  )
}

function CreativeForm({ loaded, name, done }: { loaded: { value: Creative; etag: string } | null; name: string; done?: (v: Values) => void }) {
  const { may } = useSession()
  const navigate = useNavigate()
  const readOnly = !may('replace-creative')
  return (
    <ObjectForm<Values, Settings>
      noun="creative" object={`creative/${name}`} words={`the creative ${name}`} loaded={loaded} read={() => read(name)} values={(s) => valuesOf(s, name)} settings={settingsOf} validate={validate}
      put={(settings, v, headers) => tagged(api.PUT('/v1/creatives/{name}', { params: { path: { name: v.name } }, body: settings as Creative, headers }))}
      done={done} readOnly={readOnly} remove={may('remove-creative') ? (headers) => ok(api.DELETE('/v1/creatives/{name}', { params: { path: { name } }, headers })) : undefined}
      gone={() => void navigate('/zones/creatives')} removing="It is not shown any more. Views in which it was shown are still confirmed; what was counted stays."
    >
      {(form) => <Fields form={form} isNew={!loaded} readOnly={readOnly} />}
    </ObjectForm>
  )
}

function Fields({ form, isNew, readOnly }: { form: UseFormReturnType<Values>; isNew: boolean; readOnly: boolean }) {
  const { may } = useSession()
  const zones = useQuery({ queryKey: ['zone-names'], queryFn: async () => (await ok(api.GET('/v1/zones', { params: { query: { limit: 1000 } } }))).zones, enabled: may('list-zones') })
  const v = form.values
  return (
    <Stack gap="md">
      <Fieldset legend="The creative" disabled={readOnly}>
        <Stack gap="sm">
          {isNew && <TextInput label="Name" description="Lower-case letters, digits, - and _. It stays" required placeholder="spring-sale" {...form.getInputProps('name')} />}
          <TextInput label="Title" description="Says what it shows to those who cannot see it" {...form.getInputProps('title')} />
          <SegmentedControl
            aria-label="What it shows" disabled={readOnly} data={[{ value: 'image', label: 'An image' }, { value: 'html', label: 'HTML' }, { value: 'nothing', label: 'Neither' }]} {...form.getInputProps('shows')}
          />
          {v.shows === 'image' && <TextInput label="URL of the picture" placeholder="https://cdn.example/spring.png" {...form.getInputProps('image')} />}
          {v.shows === 'html' && (
            <Textarea
              label="HTML" description="Shown in a sandboxed frame, without access to the page or the user's session" autosize minRows={5} maxRows={18} classNames={{ input: 'mono' }} {...form.getInputProps('html')}
            />
          )}
          {v.shows === 'nothing' && (
            <Text size="sm" c="dimmed">
              For popups, which open the landing page in a window of its own.
            </Text>
          )}
          <TextInput label="Landing page" description="What a click opens" placeholder="https://shop.example/spring" {...form.getInputProps('landing_url')} />
          {v.shows !== 'nothing' && (
            <SimpleGrid cols={{ base: 2, sm: 3 }} spacing="sm">
              <NumberInput label="Width" placeholder="the screen's" min={1} max={4096} allowDecimal={false} {...form.getInputProps('width')} />
              <NumberInput label="Height" placeholder="the screen's" min={1} max={4096} allowDecimal={false} {...form.getInputProps('height')} />
              <TextInput label="Can be closed after" placeholder="5s" {...form.getInputProps('close_after')} />
            </SimpleGrid>
          )}
        </Stack>
      </Fieldset>
      {v.shows !== 'nothing' && <CreativeFrame html={v.shows === 'html' ? v.html : ''} image={v.shows === 'image' ? v.image : ''} title={v.title} width={Number(v.width) || 320} height={Number(v.height) || 240} />}
      <Fieldset legend="Where and how often" disabled={readOnly}>
        <Stack gap="sm">
          <SimpleGrid cols={{ base: 1, sm: 2 }} spacing="sm">
            <MultiSelect label="Formats" placeholder={v.formats.length ? '' : 'all'} data={formats.map((f) => ({ value: f.value, label: f.label }))} {...form.getInputProps('formats')} error={below(form.errors, 'formats')} />
            <MultiSelect
              label="Zones" placeholder={v.zones.length ? '' : 'all'} searchable data={[...new Set([...(zones.data?.map((z) => z.id) ?? []), ...v.zones])]} {...form.getInputProps('zones')} error={below(form.errors, 'zones')}
            />
          </SimpleGrid>
          <SimpleGrid cols={{ base: 1, sm: 3 }} spacing="sm">
            <NumberInput label="Weight" description="Its share among those that fit" placeholder="1" min={1} max={1_000_000} allowDecimal={false} {...form.getInputProps('weight')} />
            <TextInput label="Per impression" description="What one is worth" placeholder="0" inputMode="decimal" {...form.getInputProps('per_impression')} />
            <TextInput label="Per click" description="What one is worth" placeholder="0" inputMode="decimal" {...form.getInputProps('per_click')} />
          </SimpleGrid>
          <Switch label="Paused: do not show it" {...form.getInputProps('paused', { type: 'checkbox' })} />
        </Stack>
      </Fieldset>
    </Stack>
  )
}
