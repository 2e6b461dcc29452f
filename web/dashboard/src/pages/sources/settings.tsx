import { Button, Fieldset, Group, NumberInput, PasswordInput, Select, Stack, Switch, TagsInput, Text, TextInput, Textarea } from '@mantine/core'
import { useForm } from '@mantine/form'
import { api, tagged } from '../../api/client'
import { useSession } from '../../api/session'
import { ProblemNote } from '../../parts/answer'
import { useSaving } from '../../parts/saving'
import { Conflict, type Tagged, useVersion } from '../../parts/version'
import { type Network, type Settings, settingsIn, type Source } from './data'

/** What the form holds: every setting of a source, as texts where the file has texts. */
interface Values extends Record<string, unknown> {
  ymid: string
  mode: string
  shadow_url: string
  template: string
  default_event_type: string
  event_types: string
  dedupe_window: string
  repeat_window: string
  addresses: string[]
  require_address: boolean
  rate: number | string
  network_secret: string
}

function valuesOf(s: Source): Values {
  return {
    ymid: s.ymid ?? 'view',
    mode: s.mode ?? 'live',
    shadow_url: s.shadow_url ?? '',
    template: s.template ?? '',
    default_event_type: s.default_event_type ?? '',
    event_types: Object.entries(s.event_types ?? {}).map(([word, type]) => `${word}: ${type}`).join('\n'),
    dedupe_window: s.dedupe_window ?? '',
    repeat_window: s.repeat_window ?? '',
    addresses: s.addresses ?? [],
    require_address: s.require_address ?? false,
    rate: s.rate ?? '',
    network_secret: '',
  }
}

/** settingsOf is what PUT takes. What is at its default is left out, and so is a secret that stays. */
function settingsOf(v: Values, first: Source): Settings {
  const words = v.event_types.split('\n').filter((line) => line.trim()).map((line) => {
    const at = line.lastIndexOf(':')
    return [line.slice(0, at).trim(), line.slice(at + 1).trim()] as const
  })
  return {
    profile: first.profile,
    ...(v.ymid !== 'view' || first.ymid ? { ymid: v.ymid as Settings['ymid'] } : {}),
    ...(v.mode !== 'live' && { mode: v.mode as Settings['mode'] }),
    ...(v.mode === 'shadow' && v.shadow_url.trim() && { shadow_url: v.shadow_url.trim() }),
    ...(v.template.trim() && { template: v.template.trim() }),
    ...(v.default_event_type.trim() && { default_event_type: v.default_event_type.trim() }),
    ...(words.length > 0 && { event_types: Object.fromEntries(words) }),
    ...(v.dedupe_window.trim() && { dedupe_window: v.dedupe_window.trim() }),
    ...(v.repeat_window.trim() && { repeat_window: v.repeat_window.trim() }),
    ...(v.addresses.length > 0 && { addresses: v.addresses }),
    ...(v.require_address && { require_address: true }),
    ...(Number(v.rate) > 0 && { rate: Number(v.rate) }),
    ...(v.network_secret.trim() && { network_secret: v.network_secret.trim() }),
  }
}

const duration = (v: string) => (!v.trim() || /^(\d+(\.\d+)?(ms|s|m|h|d))+$/.test(v.trim()) ? null : 'Write a time such as 30s, 10m, 12h or 30d')

/** SourceForm changes everything that can be said of a source. */
export function SourceForm(props: { app: string; name: string; first: Tagged<Source>; network?: Network; read: () => Promise<Tagged<Source>> }) {
  const { app, name, first, network } = props
  const { may } = useSession()
  const version = useVersion(first.etag, props.read)
  const form = useForm<Values>({
    initialValues: valuesOf(first.value),
    validate: {
      dedupe_window: duration,
      repeat_window: duration,
      shadow_url: (v, all) => (all.mode === 'shadow' && v && !/^https?:\/\//.test(v) ? 'Write a whole URL, such as https://game.example.com/postback' : null),
      event_types: (v) => (v.split('\n').every((l) => !l.trim() || /^.+:.+$/.test(l)) ? null : 'Write one word a line with its event type: imp: impression'),
      require_address: (v, all) => (v && all.addresses.length === 0 ? 'List the addresses first: else nothing comes through' : null),
    },
  })
  const put = (v: Values) =>
    version.save((etag) =>
      tagged(
        api.PUT('/v1/sources/{app}/{name}', { params: { path: { app, name }, header: { 'If-Match': etag } }, body: settingsOf(v, first.value) as Source }),
      ),
    )
  const saving = useSaving(form, put, {
    said: `${app}/${name} is saved`,
    done: () => form.setFieldValue('network_secret', ''),
    field: (field) => field.replace(/^body\./, '').replace(/[.[].*$/, ''),
  })
  const readOnly = !may('replace-source')
  const own = first.value.profile === 'api' || first.value.profile === 'sdk'
  return (
    <form onSubmit={form.onSubmit((values) => saving.mutate(values))} noValidate>
      <Stack gap="md" maw={680}>
        {version.theirs && (
          <Conflict
            object={`source/${app}/${name}`} yours={settingsOf(form.values, first.value)} theirs={settingsIn(version.theirs.value)}
            onLoad={() => {
              form.setValues(valuesOf(version.theirs!.value))
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
        <Fieldset legend="What it sends" disabled={readOnly}>
          <Stack gap="sm">
            <Select
              label="Its ymid is" allowDeselect={false} {...form.getInputProps('ymid')}
              data={[{ value: 'view', label: 'a new one for each view' }, { value: 'session', label: 'one for each visit' }, { value: 'user', label: "the user's id" }]}
            />
            {!own && (
              <Textarea
                label="URL template at the network" description="The query that is entered there: its parameters are then the only ones that count" autosize minRows={2} classNames={{ input: 'mono' }} spellCheck={false}
                {...form.getInputProps('template')}
              />
            )}
            <TextInput label="Type of events that do not say theirs" placeholder="none: they are refused" {...form.getInputProps('default_event_type')} />
            <Textarea label="Further words for event types" description="One a line" placeholder={'imp: impression\nlead: completion'} autosize minRows={2} classNames={{ input: 'mono' }} {...form.getInputProps('event_types')} />
          </Stack>
        </Fieldset>
        {!own && (
          <Fieldset legend="Its proof" disabled={readOnly}>
            <Stack gap="sm">
              {network && network.key !== 'none' && (
                <PasswordInput
                  label={`The key that ${network.title} gave you`} description={network.key_help || 'It is never shown again'} autoComplete="off"
                  placeholder={first.value.network_secrets.length > 0 ? 'stays as it is' : 'none yet: nothing is believed'} {...form.getInputProps('network_secret')}
                />
              )}
              <TagsInput
                label="Addresses that it sends from" description="Noted with each event. Press Enter after each" placeholder={form.values.addresses.length ? '' : '203.0.113.7 or 203.0.113.0/24'} {...form.getInputProps('addresses')}
              />
              <Switch label="Refuse what comes from any other address" {...form.getInputProps('require_address', { type: 'checkbox' })} />
            </Stack>
          </Fieldset>
        )}
        <Fieldset legend="How much, and what counts as a copy" disabled={readOnly}>
          <Stack gap="sm">
            <TextInput label="An event's identity counts for" placeholder="30d" {...form.getInputProps('dedupe_window')} />
            <TextInput label="Where the ymid repeats, an equal postback is a copy for" placeholder="10m" {...form.getInputProps('repeat_window')} />
            <NumberInput label="At most so many events a second" description="More are told to try later" placeholder="no limit" min={0} {...form.getInputProps('rate')} />
          </Stack>
        </Fieldset>
        {!own && (
          <Fieldset legend="Mode" disabled={readOnly}>
            <Stack gap="sm">
              <Select
                label="Its events are" allowDeselect={false} {...form.getInputProps('mode')}
                data={[
                  { value: 'live', label: 'granted and sent (live)' },
                  { value: 'frozen', label: 'kept until somebody releases them (frozen)' },
                  { value: 'shadow', label: 'judged and recorded, and nothing else (shadow)' },
                ]}
              />
              {form.values.mode === 'shadow' && (
                <TextInput
                  label="The receiver of today" description="Each request is passed on to it as it came, and its answer is given back" placeholder="https://game.example.com/postback"
                  {...form.getInputProps('shadow_url')}
                />
              )}
            </Stack>
          </Fieldset>
        )}
        {!version.theirs && <ProblemNote error={saving.error} />}
        {readOnly ? (
          <Text size="sm" c="dimmed">Your role may look at settings, and not change them.</Text>
        ) : (
          <Group>
            <Button type="submit" loading={saving.isPending}>
              Save the source
            </Button>
            {form.isDirty() && (
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
