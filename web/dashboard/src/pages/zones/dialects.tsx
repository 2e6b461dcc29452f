import { ActionIcon, Anchor, Button, Code, Fieldset, Group, Select, SimpleGrid, Stack, Table, Text, TextInput, Title } from '@mantine/core'
import type { UseFormReturnType } from '@mantine/form'
import { IconArrowRight, IconPlus, IconX } from '@tabler/icons-react'
import { useQuery } from '@tanstack/react-query'
import { Link, Route, Routes, useNavigate, useParams } from 'react-router'
import { api, ok, type Schemas, tagged } from '../../api/client'
import { useSession } from '../../api/session'
import { Answer } from '../../parts/answer'
import { nameFault, ObjectForm } from '../../parts/object'
import { Empty } from '../../parts/page'
import { Paged, usePaged } from '../../parts/paged'
import { Wide } from '../../parts/wide'

type Dialect = Schemas['DialectObject']
type Settings = Omit<Dialect, 'name'>

type Values = { name: string; open: string; close: string; macros: { theirs: string; ours: string }[] }

const read = (name: string) => tagged(api.GET('/v1/dialects/{name}', { params: { path: { name } } }))

function valuesOf(d: Settings | null, name = ''): Values {
  return { name, open: d?.open ?? '', close: d?.close ?? '', macros: Object.entries(d?.macros ?? {}).map(([theirs, ours]) => ({ theirs, ours })) }
}

function settingsOf(v: Values): Settings {
  return { open: v.open, close: v.close, ...(v.macros.length > 0 && { macros: Object.fromEntries(v.macros.map((m) => [m.theirs.trim(), m.ours])) }) } as Settings
}

const validate = {
  name: nameFault,
  open: (v: string) => (v ? null : 'Write what stands before a macro’s name, such as ['),
  close: (v: string) => (v ? null : 'Write what stands behind it, such as ]'),
  macros: {
    theirs: (v: string, all: Values) => (!v.trim() ? 'Write how they call it' : all.macros.filter((m) => m.theirs.trim() === v.trim()).length > 1 ? 'It is there twice' : null),
    ours: (v: string) => (v ? null : 'Choose what it means'),
  },
}

/** Dialects are the ways in which publishers are used to write macros. */
export function Dialects() {
  return (
    <Routes>
      <Route path="/" element={<DialectList />} />
      <Route path="new" element={<NewDialect />} />
      <Route path=":name" element={<DialectPage />} />
    </Routes>
  )
}

function DialectList() {
  const { may } = useSession()
  const dialects = usePaged(['dialects'], (before) => ok(api.GET('/v1/dialects', { params: { query: { before, limit: 100 } } })))
  const make = may('replace-dialect') && (
    <Button component={Link} to="/zones/dialects/new" leftSection={<IconPlus size={16} aria-hidden />}>
      Make a dialect
    </Button>
  )
  return (
    <Stack gap="sm">
      <Group justify="space-between">
        <Text size="sm" c="dimmed" maw={640}>
          How publishers are used to write macros, such as [payout] or %sub1%. Their URLs stay as they are: the endpoint names the dialect.
        </Text>
        {make}
      </Group>
      <Paged
        query={dialects} rows={(page) => page.dialects} more="More"
        empty={
          <Empty title="There is no dialect" action={make}>
            Without one, macros are written as {'{ymid}'}. A dialect is of use when publishers bring URLs from elsewhere.
          </Empty>
        }
      >
        {(list) => (
          <Wide minWidth={480}>
            <Table verticalSpacing="xs" aria-label="Dialects">
              <Table.Thead>
                <Table.Tr>
                  <Table.Th scope="col">Dialect</Table.Th>
                  <Table.Th scope="col">Written</Table.Th>
                  <Table.Th scope="col">Names of its own</Table.Th>
                </Table.Tr>
              </Table.Thead>
              <Table.Tbody>
                {list.map((d) => (
                  <Table.Tr key={d.name}>
                    <Table.Td>
                      <Anchor component={Link} to={`/zones/dialects/${d.name}`} fw={600} size="sm">
                        {d.name}
                      </Anchor>
                    </Table.Td>
                    <Table.Td>
                      <Code>
                        {d.open}
                        {Object.keys(d.macros ?? {})[0] ?? 'ymid'}
                        {d.close}
                      </Code>
                    </Table.Td>
                    <Table.Td className="mono foreign">{Object.keys(d.macros ?? {}).join(', ') || 'none'}</Table.Td>
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

function NewDialect() {
  const navigate = useNavigate()
  return (
    <Stack maw={640}>
      <Title order={2} size="h3">
        Make a dialect
      </Title>
      <DialectForm loaded={null} name="" done={(v) => void navigate(`/zones/dialects/${v.name}`)} />
    </Stack>
  )
}

function DialectPage() {
  const { name = '' } = useParams()
  const query = useQuery({ queryKey: ['dialect', name], queryFn: () => read(name) })
  return (
    <Stack maw={640}>
      <Group justify="space-between">
        <Title order={2} size="h3" className="foreign">
          {name}
        </Title>
        <Anchor component={Link} to="/zones/dialects" size="sm">
          All dialects
        </Anchor>
      </Group>
      <Answer query={query}>{(loaded) => <DialectForm key={name} loaded={loaded} name={name} />}</Answer>
    </Stack>
  )
}

function DialectForm({ loaded, name, done }: { loaded: { value: Dialect; etag: string } | null; name: string; done?: (v: Values) => void }) {
  const { may } = useSession()
  const navigate = useNavigate()
  const readOnly = !may('replace-dialect')
  return (
    <ObjectForm<Values, Settings>
      noun="dialect" object={`dialect/${name}`} words={`the dialect ${name}`} loaded={loaded} read={() => read(name)} values={(s) => valuesOf(s, name)} settings={settingsOf} validate={validate}
      put={(settings, v, headers) => tagged(api.PUT('/v1/dialects/{name}', { params: { path: { name: v.name } }, body: settings as Dialect, headers }))}
      done={done} readOnly={readOnly} remove={may('remove-dialect') ? (headers) => ok(api.DELETE('/v1/dialects/{name}', { params: { path: { name } }, headers })) : undefined}
      gone={() => void navigate('/zones/dialects')} removing="No endpoint may be written in it any more: while one is, it cannot be removed."
    >
      {(form) => <Fields form={form} isNew={!loaded} readOnly={readOnly} />}
    </ObjectForm>
  )
}

function Fields({ form, isNew, readOnly }: { form: UseFormReturnType<Values>; isNew: boolean; readOnly: boolean }) {
  const macros = useQuery({ queryKey: ['macros'], queryFn: () => ok(api.GET('/v1/macros')), staleTime: 60_000 })
  const v = form.values
  return (
    <Stack gap="md">
      <Fieldset legend="How a macro is written" disabled={readOnly}>
        <Stack gap="sm">
          {isNew && <TextInput label="Name" description="Lower-case letters, digits, - and _. It stays" required placeholder="old-net" {...form.getInputProps('name')} />}
          <SimpleGrid cols={2} spacing="sm">
            <TextInput label="Before the name" placeholder="[" classNames={{ input: 'mono' }} {...form.getInputProps('open')} />
            <TextInput label="Behind the name" placeholder="]" classNames={{ input: 'mono' }} {...form.getInputProps('close')} />
          </SimpleGrid>
          <Text size="sm" c="dimmed">
            So it is written: <Code>{`${v.open}${v.macros[0]?.theirs || 'ymid'}${v.close}`}</Code>
          </Text>
        </Stack>
      </Fieldset>
      <Fieldset legend="Names of its own" disabled={readOnly}>
        <Stack gap="sm">
          <Text size="sm" c="dimmed">
            carom&apos;s own names count as well.
          </Text>
          {v.macros.map((_, i) => (
            <Group key={i} gap="xs" align="flex-start" wrap="nowrap">
              <TextInput aria-label={`Their name of macro ${i + 1}`} placeholder="click_id" flex={1} classNames={{ input: 'mono' }} {...form.getInputProps(`macros.${i}.theirs`)} />
              <IconArrowRight size={16} aria-label="means" style={{ marginTop: 10, flexShrink: 0 }} />
              <Select
                aria-label={`What macro ${i + 1} means`} placeholder="means" flex={1} searchable data={macros.data?.macros.map((m) => m.name) ?? []} {...form.getInputProps(`macros.${i}.ours`)}
                value={v.macros[i]?.ours || null} onChange={(name) => form.setFieldValue(`macros.${i}.ours`, name ?? '')}
              />
              {!readOnly && (
                <ActionIcon variant="subtle" color="gray" size="lg" aria-label={`Remove macro ${i + 1}`} onClick={() => form.removeListItem('macros', i)}>
                  <IconX size={16} aria-hidden />
                </ActionIcon>
              )}
            </Group>
          ))}
          {!readOnly && (
            <Button
              variant="default" size="xs" leftSection={<IconPlus size={14} aria-hidden />} style={{ alignSelf: 'flex-start' }} onClick={() => form.insertListItem('macros', { theirs: '', ours: '' })}
            >
              Add a name
            </Button>
          )}
        </Stack>
      </Fieldset>
    </Stack>
  )
}
