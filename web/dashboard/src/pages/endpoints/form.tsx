import {
  ActionIcon, Alert, Button, Fieldset, Grid, Group, MultiSelect, NumberInput, Radio, SegmentedControl, Select, SimpleGrid, Stack, Switch, TagsInput, Text, TextInput,
} from '@mantine/core'
import { useForm, type UseFormReturnType } from '@mantine/form'
import { useDebouncedValue } from '@mantine/hooks'
import { IconPlus, IconX } from '@tabler/icons-react'
import { keepPreviousData, useQuery } from '@tanstack/react-query'
import { useEffect, useMemo, useState } from 'react'
import { RequestFailed, type Schemas } from '../../api/client'
import { ProblemNote } from '../../parts/answer'
import { useApps } from '../../parts/apps'
import { CopyText } from '../../parts/copy'
import { useSaving } from '../../parts/saving'
import { Conflict, type Tagged, useVersion } from '../../parts/version'
import { type Endpoint, settingsIn, useMacros, useZones } from './data'
import { notationOf } from './macros'
import { Preview } from './preview'
import { TemplateInput } from './template'
import { useWays } from './ways'
import { faults, fieldOf, newSecret, settingsOf, templateOf, type Values, valuesOf } from './values'

const previewAfter = 250 // ms without a key

/** EndpointForm makes an endpoint, or changes everything that can be said of one. dirty is told whether there is something unsaved. */
export function EndpointForm(props: {
  app: string
  name: string
  first?: Tagged<Endpoint>
  read?: () => Promise<Tagged<Endpoint>>
  /** saved is told of the name, and of a signing secret that was made and is not shown again. */
  saved?: (app: string, name: string, secret: string) => void
  dirty?: (is: boolean) => void
}) {
  const { first } = props
  const ways = useWays()
  const readOnly = !ways.mayMake
  const signed = !!first?.value.signed
  const version = useVersion(first?.etag ?? '', props.read ?? (() => Promise.reject(new Error('a new endpoint has no other version'))))
  const form = useForm<Values>({ initialValues: valuesOf(first?.value, props.app, props.name), validate: faults })
  const v = form.values
  const [made, setMade] = useState('') // the signing secret that was saved last: it is shown until the page is left
  const macros = useMacros()
  const zones = useZones(v.app)
  const known = useMemo(() => notationOf(macros.data, v.dialect), [macros.data, v.dialect])

  const [draft] = useDebouncedValue(JSON.stringify(templateOf(v, signed)), previewAfter)
  const preview = useQuery({
    queryKey: ['preview', v.app, first ? props.name : '', draft],
    queryFn: () => ways.preview(v.app, first && props.name, JSON.parse(draft) as Schemas['Template']),
    enabled: !!v.app && !!v.url.trim(),
    placeholderData: keepPreviousData,
    retry: false,
  })
  const problems = v.url.trim() ? problemsOf(preview.data, preview.error) : []
  const urlFault = problems.find((p) => p.level === 'fault' && (p.field === 'url' || !p.field))?.message

  const saving = useSaving(
    form,
    async (values) => (first ? version.save((etag) => ways.save(values, signed, etag)) : (await ways.save(values, signed)).value),
    {
      said: first ? `${props.app}/${props.name} is saved` : undefined,
      done: ({ secret = '' }) => {
        setMade(secret)
        if (form.values.signing !== 'keep') form.setValues({ signing: 'keep', signing_secret: '' })
        form.resetDirty()
        props.saved?.(form.values.app.trim(), form.values.name.trim(), secret)
      },
      field: (field) => fieldOf(field, form.values),
    },
  )
  const dirty = form.isDirty()
  const tell = props.dirty
  useEffect(() => tell?.(dirty), [dirty, tell])
  const rewards = v.sends === 'rewards'
  const post = v.method === 'POST'
  return (
      <form onSubmit={form.onSubmit((values) => saving.mutate(values))} noValidate aria-label="Settings of the endpoint">
        <Stack gap="md">
          {version.theirs && (
            <Conflict
              object={`endpoint/${props.app}/${props.name}`} yours={settingsOf(v)} theirs={settingsIn(version.theirs.value)}
              onLoad={() => {
                form.setValues(valuesOf(version.theirs!.value, props.app, props.name))
                form.resetDirty()
                version.take()
                saving.reset()
              }}
              onOver={() => {
                version.take()
                saving.mutate(form.getValues())
              }}
            />
          )}
          {!first && <Names form={form} />}
          <Fieldset legend="What is sent" disabled={readOnly}>
            <Grid gap="md">
              <Grid.Col span={{ base: 12, md: 7 }}>
                <Stack gap="sm">
                  <Group gap="md">
                    <SegmentedControl aria-label="Method" data={['GET', 'POST']} {...form.getInputProps('method')} />
                    {(macros.data?.dialects.length ?? 0) > 0 && (
                      <Select
                        aria-label="How macros are written" allowDeselect={false} {...form.getInputProps('dialect')}
                        data={[{ value: '', label: 'macros as {ymid}' }, ...macros.data!.dialects.map((d) => ({ value: d.name, label: `${d.name}, as ${d.macros[0]?.written ?? d.name}` }))]}
                      />
                    )}
                  </Group>
                  <TemplateInput
                    label="URL" line known={known} autosize minRows={3} description={`Type ${known.open} to choose a macro: a place that is filled in for each event.`}
                    placeholder="https://game.example.com/postback?ymid={ymid}" {...form.getInputProps('url')} error={form.errors.url ?? urlFault}
                  />
                  {post && (
                    <>
                      <Select
                        label="Content type" allowDeselect={false} maw={200} data={[{ value: 'json', label: 'JSON' }, { value: 'form', label: 'Form' }]} {...form.getInputProps('content_type')}
                      />
                      <TemplateInput label="Body" known={known} autosize minRows={3} description="Left empty, all fields of the event are sent." {...form.getInputProps('body')} />
                    </>
                  )}
                  <Headers form={form} />
                </Stack>
              </Grid.Col>
              <Grid.Col span={{ base: 12, md: 5 }}>
                <Preview
                  url={v.url} answer={v.url.trim() ? preview.data : undefined} problems={problems} stale={preview.isFetching} disabled={readOnly}
                  fix={(url) => form.setFieldValue('url', url)}
                />
              </Grid.Col>
            </Grid>
          </Fieldset>
          <Fieldset legend="Which events" disabled={readOnly}>
            <Stack gap="sm">
              {ways.whole && (
                <Radio.Group label="It gets" {...form.getInputProps('sends')}>
                  <Group mt={4}>
                    <Radio value="events" label="events" />
                    <Radio value="rewards" label="rewards, when they are credited and when they are taken back" />
                  </Group>
                </Radio.Group>
              )}
              <SimpleGrid cols={{ base: 1, sm: 2 }} spacing="sm">
                {!rewards && (
                  <>
                    <MultiSelect
                      label="Paid or not" placeholder={v.filter.values.length ? '' : 'any'} {...form.getInputProps('filter.values')}
                      data={[{ value: 'valued', label: 'valued: the network pays' }, { value: 'not_valued', label: 'not_valued' }, { value: 'empty', label: 'empty: it did not say' }]}
                    />
                    <TagsInput
                      label="Types of events" placeholder={v.filter.event_types.length ? '' : 'all'} data={['impression', 'click', 'completion', 'reversal']} {...form.getInputProps('filter.event_types')}
                    />
                    <TagsInput
                      label="Main zones" placeholder={v.filter.zones.length ? '' : 'all'} data={Object.keys(zones.data ?? {})} {...form.getInputProps('filter.zones')}
                      renderOption={({ option }) => [option.value, zones.data?.[option.value]].filter(Boolean).join(', ')}
                    />
                    {ways.whole && <TagsInput label="request_var" placeholder={v.filter.request_vars.length ? '' : 'all'} {...form.getInputProps('filter.request_vars')} />}
                  </>
                )}
                {rewards && <TagsInput label="Rules" placeholder={v.filter.rules.length ? '' : 'all'} {...form.getInputProps('filter.rules')} />}
                {ways.whole && <TagsInput label="Sources" placeholder={v.filter.sources.length ? '' : 'all'} {...form.getInputProps('filter.sources')} />}
              </SimpleGrid>
              {!rewards && <Switch label="Only what comes from zones that no other endpoint of the app names" {...form.getInputProps('default', { type: 'checkbox' })} />}
            </Stack>
          </Fieldset>
          <SimpleGrid cols={{ base: 1, md: 2 }} spacing="md">
            <Fieldset legend="When it counts as delivered" disabled={readOnly}>
              <Stack gap="sm">
                <Text size="sm" c="dimmed">
                  On any answer of status 2xx.
                </Text>
                <TextInput label="Whose text has to hold" {...form.getInputProps('success.contains')} />
                <TextInput label="And must not hold" {...form.getInputProps('success.not_contains')} />
                {ways.whole && <TextInput label="That comes within" placeholder="10s" description="From the name's address to the last byte: 100ms to 1m" {...form.getInputProps('timeout')} />}
              </Stack>
            </Fieldset>
            {ways.whole && <HowOften form={form} disabled={readOnly} />}
            <Signing form={form} signed={signed} generate={ways.whole} disabled={readOnly} />
          </SimpleGrid>
          {made && (
            <Alert color="yellow" title="The new signing secret is in force. It is shown only now" withCloseButton closeButtonLabel="I have it: hide it" onClose={() => setMade('')}>
              <CopyText text={made} what="the signing secret in force" />
            </Alert>
          )}
          {!version.theirs && <ProblemNote error={saving.error} />}
          {readOnly ? (
            <Text size="sm" c="dimmed">
              {ways.file ? `Endpoints come from the file ${ways.file}: they are changed there.` : 'Your role may look at settings, and not change them.'}
            </Text>
          ) : (
            <Group>
              <Button type="submit" loading={saving.isPending}>
                {first ? 'Save the endpoint' : 'Make the endpoint'}
              </Button>
              {first && dirty && (
                <Button variant="subtle" onClick={() => form.reset()}>
                  Undo my changes
                </Button>
              )}
            </Group>
          )}
        </Stack>
      </form>
  )
}

type Form = UseFormReturnType<Values>

function problemsOf(answer: { problems: { level: string; field?: string; message: string }[] } | undefined, error: unknown) {
  if (!(error instanceof RequestFailed)) return (answer?.problems ?? []) as { level: 'fault' | 'warning'; field?: string; message: string }[]
  const faults = error.problem.errors ?? []
  return faults.length > 0
    ? faults.map((f) => ({ level: 'fault' as const, field: f.field.replace(/^body\./, ''), message: f.message }))
    : [{ level: 'fault' as const, message: error.message }]
}

function Names({ form }: { form: Form }) {
  const apps = useApps()
  return (
    <Fieldset legend="Its name">
      <SimpleGrid cols={{ base: 1, sm: 2 }} spacing="sm">
        <Select label="App" searchable data={apps.data?.map((a) => a.name) ?? []} placeholder="The app whose events it gets" {...form.getInputProps('app')} />
        <TextInput label="Name" description="Lower-case letters, digits, - and _. It stays as it is." inputWrapperOrder={['label', 'input', 'description', 'error']} {...form.getInputProps('name')} />
      </SimpleGrid>
    </Fieldset>
  )
}

function Headers({ form }: { form: Form }) {
  return (
    <Stack gap={6}>
      {form.values.headers.length > 0 && (
        <Text size="sm" fw={500}>
          Headers
        </Text>
      )}
      {form.values.headers.map((h, i) => (
        <Group key={i} gap="xs" wrap="nowrap" align="flex-start">
          <TextInput aria-label={`Name of header ${i + 1}`} placeholder="X-Api-Key" w={160} disabled={h.kept} {...form.getInputProps(`headers.${i}.name`)} />
          <TextInput
            aria-label={`Value of header ${i + 1}`} flex={1} autoComplete="off" placeholder={h.kept ? 'hidden; it stays unless you write another' : 'a value, which may hold macros'}
            {...form.getInputProps(`headers.${i}.value`)}
          />
          <ActionIcon variant="subtle" color="gray" size="lg" aria-label={`Remove the header ${h.name || i + 1}`} onClick={() => form.removeListItem('headers', i)}>
            <IconX size={16} aria-hidden />
          </ActionIcon>
        </Group>
      ))}
      <Group>
        <Button
          variant="subtle" size="compact-sm" leftSection={<IconPlus size={14} aria-hidden />} disabled={form.values.headers.length >= 32}
          onClick={() => form.insertListItem('headers', { name: '', value: '', kept: false })}
        >
          Add a header
        </Button>
      </Group>
    </Stack>
  )
}

function HowOften({ form, disabled }: { form: Form; disabled: boolean }) {
  return (
    <>
      <Fieldset legend="How often it is tried" disabled={disabled}>
        <Stack gap="sm">
          <TextInput label="Waits before the second, third, … attempt" description="The last one repeats" placeholder="5s, 30s, 2m, 10m, 30m, 1h, 2h" {...form.getInputProps('schedule')} />
          <TextInput label="Given up after" placeholder={form.values.sends === 'rewards' ? '7d' : '72h'} description="From the event on: 1m to 30d" {...form.getInputProps('deadline')} />
          <Switch label="Do not repeat what may have been sent" {...form.getInputProps('once', { type: 'checkbox' })} />
          <Switch label="Paused: let everything wait" {...form.getInputProps('paused', { type: 'checkbox' })} />
        </Stack>
      </Fieldset>
      <Fieldset legend="How much at once" disabled={disabled}>
        <Stack gap="sm">
          <NumberInput label="Attempts a second" placeholder="no limit" min={0} {...form.getInputProps('rate')} />
          <NumberInput label="Attempts at the same time" placeholder="64" min={1} max={1024} allowDecimal={false} {...form.getInputProps('concurrency')} />
          <Switch label="It may be at a private address" description="Such as 127.0.0.1: only for a server of your own" {...form.getInputProps('allow_private', { type: 'checkbox' })} />
        </Stack>
      </Fieldset>
    </>
  )
}

/** Signing chooses whether requests are signed. With generate the secret is made here, else by the server when the endpoint is saved. */
function Signing({ form, signed, generate, disabled }: { form: Form; signed: boolean; generate: boolean; disabled: boolean }) {
  const v = form.values
  const post = v.method === 'POST'
  return (
    <Fieldset legend="Signature" disabled={disabled}>
      <Stack gap="sm">
        <Text size="sm" c="dimmed">
          {post
            ? 'A POST is signed in its headers, as Standard Webhooks has it.'
            : 'A GET is signed by its last parameter: end the URL with &sig={signature}.'}{' '}
          Your server can then tell that it comes from here.
        </Text>
        <Radio.Group
          aria-label="Signing secret" value={v.signing} error={form.errors.signing_secret}
          onChange={(choice) => form.setValues({ signing: choice as Values['signing'], signing_secret: choice === 'new' && generate ? newSecret() : '' })}
        >
          <Stack gap={6}>
            <Radio value="keep" label={signed ? 'It is signed' : 'It is not signed'} />
            {signed ? <Radio value="none" label="Sign no more, and forget the secret" /> : <Radio value="new" label="Make a signing secret" />}
          </Stack>
        </Radio.Group>
        {v.signing_secret && (
          <Alert color="yellow" title="It is shown only now">
            <Stack gap="xs">
              <CopyText text={v.signing_secret} what="the signing secret" />
              <Text size="sm">Give it to your server. It counts from the moment you save.</Text>
            </Stack>
          </Alert>
        )}
      </Stack>
    </Fieldset>
  )
}
