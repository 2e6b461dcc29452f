import { ActionIcon, Anchor, Button, Checkbox, Fieldset, Group, NumberInput, PasswordInput, Select, Stack, Text, Textarea, TextInput, Title } from '@mantine/core'
import type { UseFormReturnType } from '@mantine/form'
import { IconPlus, IconX } from '@tabler/icons-react'
import { useQuery } from '@tanstack/react-query'
import { Link, useNavigate, useParams } from 'react-router'
import { api, ok, type Schemas, tagged } from '../../api/client'
import { useSession } from '../../api/session'
import { Answer } from '../../parts/answer'
import { below, nameFault, ObjectForm, pruned } from '../../parts/object'
import { usePublishers } from '../../parts/publishers'

type App = Schemas['AppObject']
type Settings = Omit<App, 'name' | 'has_bot_token'>

type Values = {
  name: string
  title: string
  publisher: string
  time_zone: string
  currencies: { name: string; decimals: number | string }[]
  origins: string
  telegram: { bot_token: string; bot_id: string; bot_key: string }
  forget_token: boolean
}

const read = (app: string) => tagged(api.GET('/v1/apps/{app}', { params: { path: { app } } }))

function valuesOf(a: Settings | null, name = ''): Values {
  return {
    name,
    title: a?.title ?? '',
    publisher: a?.publisher ?? '',
    time_zone: a?.time_zone ?? (a ? 'UTC' : Intl.DateTimeFormat().resolvedOptions().timeZone),
    currencies: Object.entries(a?.currencies ?? {}).map(([currency, decimals]) => ({ name: currency, decimals })),
    origins: (a?.origins ?? []).join('\n'),
    telegram: { bot_token: '', bot_id: a?.telegram?.bot_id ? String(a.telegram.bot_id) : '', bot_key: a?.telegram?.bot_key ?? '' },
    forget_token: false,
  }
}

function settingsOf(v: Values): Settings {
  const telegram = {
    ...pruned({ bot_id: Number(v.telegram.bot_id) || undefined, bot_key: v.telegram.bot_key }),
    // Absent, the token that is stored stays; empty, it is removed.
    ...(v.telegram.bot_token ? { bot_token: v.telegram.bot_token.trim() } : v.forget_token ? { bot_token: '' } : {}),
  }
  return {
    ...pruned({ title: v.title, publisher: v.publisher, time_zone: v.time_zone === 'UTC' ? '' : v.time_zone, origins: v.origins.split('\n').map((o) => o.trim()).filter(Boolean) }),
    ...(v.currencies.length > 0 && { currencies: Object.fromEntries(v.currencies.map((c) => [c.name.trim(), Number(c.decimals)])) }),
    ...(Object.keys(telegram).length > 0 && { telegram }),
  }
}

const validate = {
  name: nameFault,
  currencies: {
    name: (v: string, all: Values) => (!v.trim() ? 'Name the currency, such as coins' : all.currencies.filter((c) => c.name.trim() === v.trim()).length > 1 ? 'There are two of this name' : null),
    decimals: (v: number | string) => (v === '' ? 'Say how many decimals an amount may have' : null),
  },
  telegram: { bot_id: (v: string) => (/^\d*$/.test(v.trim()) ? null : "The bot's number has digits alone") },
}

/** NewApp makes an app. */
export function NewApp() {
  const navigate = useNavigate()
  return (
    <Stack maw={640}>
      <Title order={2} size="h3">
        Make an app
      </Title>
      <AppForm loaded={null} name="" done={(name) => void navigate(`/settings/apps/${name}`)} />
    </Stack>
  )
}

/** AppPage shows one app's settings, to be changed. */
export function AppPage() {
  const { app = '' } = useParams()
  const query = useQuery({ queryKey: ['app', app], queryFn: () => read(app) })
  return (
    <Stack maw={640}>
      <Group justify="space-between">
        <Title order={2} size="h3" className="foreign">
          {app}
        </Title>
        <Anchor component={Link} to="/settings/apps" size="sm">
          All apps
        </Anchor>
      </Group>
      <Answer query={query}>{(loaded) => <AppForm key={app} loaded={loaded} name={app} />}</Answer>
    </Stack>
  )
}

function AppForm({ loaded, name, done }: { loaded: { value: App; etag: string } | null; name: string; done?: (name: string) => void }) {
  const { may } = useSession()
  const navigate = useNavigate()
  const path = (app: string) => ({ params: { path: { app } } })
  return (
    <ObjectForm<Values, Settings>
      noun="app" object={`app/${name}`} words={`the app ${name}`} loaded={loaded} read={() => read(name)} values={(s) => valuesOf(s, name)} settings={settingsOf} validate={validate}
      put={(settings, v, headers) => tagged(api.PUT('/v1/apps/{app}', { ...path(v.name), body: settings as App, headers }))}
      done={(v) => done?.(v.name)} readOnly={!may('replace-app')}
      remove={may('remove-app') ? (headers) => ok(api.DELETE('/v1/apps/{app}', { params: { path: { app: name }, query: { with: 'all' } }, headers })) : undefined}
      gone={() => void navigate('/settings/apps')}
      removing={
        <>
          Everything in it goes with it: its sources, endpoints, rules and zones. Networks that still send to its sources are refused, and what its endpoints are still owed ends as dead. Events, rewards
          and the ledger stay.
        </>
      }
    >
      {(form) => <Fields form={form} isNew={!loaded} hasToken={loaded?.value.has_bot_token ?? false} readOnly={!may('replace-app')} />}
    </ObjectForm>
  )
}

function Fields({ form, isNew, hasToken, readOnly }: { form: UseFormReturnType<Values>; isNew: boolean; hasToken: boolean; readOnly: boolean }) {
  const publishers = usePublishers()
  const v = form.values
  return (
    <Stack gap="md">
      <Fieldset legend="The app" disabled={readOnly}>
        <Stack gap="sm">
          {isNew && <TextInput label="Name" description="Lower-case letters, digits, - and _. It stands in URLs, and stays" placeholder="my-game" required {...form.getInputProps('name')} />}
          <TextInput label="Title" description="As people know it" {...form.getInputProps('title')} />
          <Select
            label="Publisher" description="Whose it is; it may be set up by that publisher then" placeholder="Your own" clearable searchable
            data={publishers.data?.map((p) => ({ value: p.name, label: p.title ? `${p.title} (${p.name})` : p.name })) ?? []}
            {...form.getInputProps('publisher')} value={v.publisher || null} onChange={(p) => form.setFieldValue('publisher', p ?? '')}
          />
          <Select
            label="Time zone" description="Where its day begins and ends, for caps and reports" searchable allowDeselect={false} limit={50} data={timeZones}
            {...form.getInputProps('time_zone')}
          />
        </Stack>
      </Fieldset>
      <Fieldset legend="Currencies" disabled={readOnly}>
        <Stack gap="sm">
          <Text size="sm" c="dimmed">
            What its rules pay in, with how many decimals an amount may have: coins with 0, USD with 2.
          </Text>
          {v.currencies.map((_, i) => (
            <Group key={i} gap="xs" align="flex-start" wrap="nowrap">
              <TextInput aria-label={`Name of currency ${i + 1}`} placeholder="coins" flex={1} {...form.getInputProps(`currencies.${i}.name`)} />
              <NumberInput aria-label={`Decimals of currency ${i + 1}`} placeholder="decimals" w={120} min={0} max={9} allowDecimal={false} {...form.getInputProps(`currencies.${i}.decimals`)} />
              {!readOnly && (
                <ActionIcon variant="subtle" color="gray" size="lg" aria-label={`Remove currency ${i + 1}`} onClick={() => form.removeListItem('currencies', i)}>
                  <IconX size={16} aria-hidden />
                </ActionIcon>
              )}
            </Group>
          ))}
          {form.errors.currencies && <Text size="sm" c="red">{form.errors.currencies}</Text>}
          {!readOnly && (
            <Button
              variant="default" size="xs" leftSection={<IconPlus size={14} aria-hidden />} style={{ alignSelf: 'flex-start' }}
              onClick={() => form.insertListItem('currencies', { name: '', decimals: 0 })}
            >
              Add a currency
            </Button>
          )}
        </Stack>
      </Fieldset>
      <Fieldset legend="In the browser" disabled={readOnly}>
        <Textarea
          label="Pages" description="Origins of the pages that may open views and show ads, one a line" placeholder="https://game.example" autosize minRows={2} {...form.getInputProps('origins')}
          error={below(form.errors, 'origins')}
        />
      </Fieldset>
      <Fieldset legend="Telegram bot" disabled={readOnly}>
        <Stack gap="sm">
          <Text size="sm" c="dimmed">
            By it, who the user of a Mini App is gets proved. The token proves most; the number alone is enough if somebody else holds the token.
          </Text>
          <PasswordInput
            label="Token" description={hasToken ? 'One is stored, and is never shown. It stays unless you write another' : 'As BotFather gives it. It is never shown again'} autoComplete="off"
            placeholder={hasToken ? 'stored' : ''} disabled={readOnly || v.forget_token} {...form.getInputProps('telegram.bot_token')}
          />
          {hasToken && <Checkbox label="Forget the token that is stored" {...form.getInputProps('forget_token', { type: 'checkbox' })} />}
          <TextInput label="Number of the bot" inputMode="numeric" {...form.getInputProps('telegram.bot_id')} />
          <TextInput label="Key" description="Ed25519, in hexadecimal; left empty: the one that Telegram publishes" {...form.getInputProps('telegram.bot_key')} />
          {form.errors.telegram && <Text size="sm" c="red">{form.errors.telegram}</Text>}
        </Stack>
      </Fieldset>
    </Stack>
  )
}

const timeZones = [...new Set(['UTC', ...Intl.supportedValuesOf('timeZone')])]
