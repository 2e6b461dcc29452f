import { ActionIcon, Anchor, Button, Card, Checkbox, Fieldset, Group, MultiSelect, NumberInput, SegmentedControl, Select, SimpleGrid, Stack, Switch, TagsInput, Text, TextInput, Title } from '@mantine/core'
import type { UseFormReturnType } from '@mantine/form'
import { IconPlus, IconX } from '@tabler/icons-react'
import { useQuery } from '@tanstack/react-query'
import { Link, useNavigate, useParams } from 'react-router'
import { api, ok, type Schemas, tagged } from '../../api/client'
import { useSession } from '../../api/session'
import { Answer } from '../../parts/answer'
import { useApps } from '../../parts/apps'
import { searchOf, useFilter } from '../../parts/filter'
import { below, nameFault, ObjectForm, pruned } from '../../parts/object'
import { currenciesOf } from './data'

type Rule = Schemas['RuleObject']
type Settings = Omit<Rule, 'app' | 'name'>
type Filter = { networks: string[]; sources: string[]; zones: string[]; event_types: string[]; values: string[]; request_vars: string[] }

type Values = {
  app: string
  name: string
  filter: Filter
  pays: 'fixed' | 'field'
  price: { fixed: string; currency: string; from: string; rate: string; share: string; min: string; max: string; step: string; round: string; trust: boolean }
  additional: boolean
  caps: { name: string; per: string[]; rewards: number | string; amount: string }[]
  cooldown: string
  hold: string
}

const read = (app: string, name: string) => tagged(api.GET('/v1/rules/{app}/{name}', { params: { path: { app, name } } }))

function valuesOf(r: Settings | null, app = '', name = ''): Values {
  const { filter: f, price: p } = r ?? {}
  return {
    app,
    name,
    filter: {
      networks: f?.networks ?? [], sources: f?.sources ?? [], zones: f?.zones ?? [], event_types: f?.event_types ?? [], values: f?.values ?? [], request_vars: f?.request_vars ?? [],
    },
    pays: p?.from ? 'field' : 'fixed',
    price: {
      fixed: p?.fixed ?? '', currency: p?.currency ?? '', from: p?.from ?? '', rate: p?.rate ?? '', share: p?.share ?? '', min: p?.min ?? '', max: p?.max ?? '', step: p?.step ?? '', round: p?.round ?? '',
      trust: p?.trust === 'secret',
    },
    additional: r?.additional ?? false,
    caps: (r?.caps ?? []).map((c) => ({ name: c.name ?? '', per: c.per ?? [], rewards: c.rewards ?? '', amount: c.amount ?? '' })),
    cooldown: r?.cooldown ?? '',
    hold: r?.hold ?? '',
  }
}

function settingsOf({ app: _app, name: _name, pays, price, caps, ...rest }: Values): Settings {
  const { fixed, currency, trust, ...field } = price
  return {
    ...pruned({ ...rest }),
    price: pruned(pays === 'fixed' ? { fixed: decimal(fixed), currency } : { currency, ...field, trust: trust ? 'secret' : '' }),
    // Of a cap, no `per` at all means for ever and everybody: it is kept as it is.
    ...(caps.length > 0 && { caps: caps.map((c) => ({ ...pruned({ name: c.name, rewards: c.rewards, amount: decimal(c.amount) }), per: c.per })) }),
  } as Settings
}

/** decimal takes a comma for a point, as many people write it. */
const decimal = (text: string): string => text.trim().replace(',', '.')

const validate = {
  app: (v: string) => (v ? null : 'Choose the app whose events it counts'),
  name: nameFault,
  price: {
    fixed: (v: string, all: Values) => (all.pays !== 'fixed' || /^\d+([.,]\d+)?$/.test(v.trim()) ? null : 'Write an amount, such as 5 or 0.25'),
    currency: (v: string) => (v ? null : 'Choose what it pays in'),
    from: (v: string, all: Values) => (all.pays !== 'field' || v ? null : 'Choose the field that the amount comes from'),
    max: (v: string, all: Values) => (all.pays !== 'field' || v.trim() ? null : 'Nobody’s number is taken unbounded: write the most that it may pay'),
  },
  caps: {
    rewards: (v: number | string, all: Values, path: string) => {
      const cap = all.caps[Number(path.split('.')[1])]
      return v || cap?.amount.trim() ? null : 'Bound the number, the amount, or both'
    },
  },
}

/** NewRule writes a rule. */
export function NewRule() {
  const navigate = useNavigate()
  const [filter] = useFilter()
  return (
    <Stack maw={820}>
      <Title order={2} size="h3">
        Write a rule
      </Title>
      <RuleForm loaded={null} app={filter.app ?? ''} name="" done={(v) => void navigate(`/rewards/rules/${v.app}/${v.name}`)} />
    </Stack>
  )
}

/** RulePage shows one rule, to be changed. */
export function RulePage() {
  const { app = '', name = '' } = useParams()
  const query = useQuery({ queryKey: ['rule', app, name], queryFn: () => read(app, name) })
  return (
    <Stack maw={820}>
      <Group justify="space-between">
        <div>
          <Title order={2} size="h3" className="foreign">
            {name}
          </Title>
          <Text size="sm" c="dimmed">
            Of the app {app}
          </Text>
        </div>
        <Group gap="md">
          <Anchor component={Link} to={`/rewards${searchOf({ app, rule: name })}`} size="sm">
            Its rewards
          </Anchor>
          <Anchor component={Link} to="/rewards/rules" size="sm">
            All rules
          </Anchor>
        </Group>
      </Group>
      <Answer query={query}>{(loaded) => <RuleForm key={`${app}/${name}`} loaded={loaded} app={app} name={name} />}</Answer>
    </Stack>
  )
}

function RuleForm({ loaded, app, name, done }: { loaded: { value: Rule; etag: string } | null; app: string; name: string; done?: (v: Values) => void }) {
  const { may } = useSession()
  const navigate = useNavigate()
  const readOnly = !may('replace-rule')
  return (
    <ObjectForm<Values, Settings>
      noun="rule" object={`rule/${app}/${name}`} words={`the rule ${name}`} loaded={loaded} read={() => read(app, name)} values={(s) => valuesOf(s, app, name)} settings={settingsOf} validate={validate}
      put={(settings, v, headers) => tagged(api.PUT('/v1/rules/{app}/{name}', { params: { path: { app: v.app, name: v.name } }, body: settings as Rule, headers }))}
      done={done} readOnly={readOnly} remove={may('remove-rule') ? (headers) => ok(api.DELETE('/v1/rules/{app}/{name}', { params: { path: { app, name } }, headers })) : undefined}
      gone={() => void navigate('/rewards/rules')}
      removing="It earns nothing any more. What it has earned stays, and what is held is credited when its hold ends. A rule of the same name that is written later goes on from it: a view that has earned by it earns no second time."
    >
      {(form) => <Fields form={form} isNew={!loaded} readOnly={readOnly} />}
    </ObjectForm>
  )
}

function Fields({ form, isNew, readOnly }: { form: UseFormReturnType<Values>; isNew: boolean; readOnly: boolean }) {
  const apps = useApps()
  const { may } = useSession()
  const v = form.values
  const sources = useQuery({
    queryKey: ['source-names', v.app], enabled: may('list-sources') && !!v.app,
    queryFn: async () => (await ok(api.GET('/v1/sources', { params: { query: { app: v.app, limit: 1000 } } }))).sources.map((s) => s.name),
  })
  const networks = useQuery({ queryKey: ['networks'], queryFn: async () => (await ok(api.GET('/v1/networks'))).networks, staleTime: 300_000, enabled: may('list-networks') })
  const currencies = currenciesOf(apps.data?.find((a) => a.name === v.app))
  const list = (word: keyof Filter) => ({ ...form.getInputProps(`filter.${word}`), error: below(form.errors, `filter.${word}`) })
  const all = (word: keyof Filter, otherwise = 'all') => (v.filter[word].length ? '' : otherwise)
  return (
    <Stack gap="md">
      {isNew && (
        <Fieldset legend="The rule" disabled={readOnly}>
          <SimpleGrid cols={{ base: 1, sm: 2 }} spacing="sm">
            <Select
              label="App" required searchable data={apps.data?.map((a) => ({ value: a.name, label: a.title ? `${a.title} (${a.name})` : a.name })) ?? []} {...form.getInputProps('app')}
              value={v.app || null} onChange={(a) => form.setFieldValue('app', a ?? '')}
            />
            <TextInput label="Name" description="It stays: a rule of another name pays the same views again" required placeholder="watch" {...form.getInputProps('name')} />
          </SimpleGrid>
        </Fieldset>
      )}
      <Fieldset legend="Which events it counts" disabled={readOnly}>
        <SimpleGrid cols={{ base: 1, sm: 2 }} spacing="sm">
          <MultiSelect label="Sources" placeholder={all('sources')} data={[...new Set([...(sources.data ?? []), ...v.filter.sources])]} {...list('sources')} />
          <TagsInput label="Event types" placeholder={all('event_types')} data={['impression', 'click', 'completion']} {...list('event_types')} />
          <MultiSelect label="Networks" placeholder={all('networks')} searchable data={networkData(networks.data, v.filter.networks)} {...list('networks')} />
          <TagsInput label="Zones" description="Main zones" placeholder={all('zones')} inputWrapperOrder={['label', 'input', 'description', 'error']} {...list('zones')} />
          <MultiSelect
            label="Values" placeholder={all('values', 'valued alone')} data={[{ value: 'valued', label: 'valued: the network pays' }, { value: 'empty', label: 'empty: it did not say' }]} {...list('values')}
          />
          <TagsInput label="Placements" description="That your backend opened the view for: request_var" placeholder={all('request_vars')} inputWrapperOrder={['label', 'input', 'description', 'error']} {...list('request_vars')} />
        </SimpleGrid>
      </Fieldset>
      <Fieldset legend="What it pays" disabled={readOnly}>
        <Stack gap="sm">
          <SegmentedControl
            aria-label="How the amount is found" disabled={readOnly} style={{ alignSelf: 'flex-start' }} data={[{ value: 'fixed', label: 'A fixed amount' }, { value: 'field', label: 'From a field' }]}
            {...form.getInputProps('pays')}
          />
          {v.pays === 'fixed' ? (
            <SimpleGrid cols={{ base: 1, sm: 2 }} spacing="sm">
              <TextInput label="Amount" required placeholder="5" inputMode="decimal" {...form.getInputProps('price.fixed')} />
              <CurrencySelect form={form} currencies={currencies} />
            </SimpleGrid>
          ) : (
            <>
              <SimpleGrid cols={{ base: 1, sm: 2 }} spacing="sm">
                <Select
                  label="From the field" required allowDeselect={false} {...form.getInputProps('price.from')} value={v.price.from || null}
                  data={[{ value: 'estimated_price', label: 'estimated_price: what it expects to pay' }, { value: 'reward_amount', label: 'reward_amount: what it was told to give' }]}
                />
                <CurrencySelect form={form} currencies={currencies} />
                <TextInput label="One unit of it is worth" description="1000 if a dollar is a thousand coins" placeholder="1" inputMode="decimal" {...form.getInputProps('price.rate')} />
                <TextInput label="The user's part" description="Such as 40%" placeholder="all" {...form.getInputProps('price.share')} />
                <TextInput label="At most" required inputMode="decimal" description="Nobody's number is taken unbounded" {...form.getInputProps('price.max')} />
                <TextInput label="At least" inputMode="decimal" description="Also where the field says 0" {...form.getInputProps('price.min')} />
                <TextInput label="In steps of" inputMode="decimal" description="Amounts are multiples of it" placeholder="the currency's decimals" {...form.getInputProps('price.step')} />
                <Select
                  label="Rounded" description="To such a step" allowDeselect={false} {...form.getInputProps('price.round')} value={v.price.round || 'down'}
                  data={[{ value: 'down', label: 'down' }, { value: 'nearest', label: 'to the nearest' }, { value: 'up', label: 'up' }]}
                />
              </SimpleGrid>
              <Checkbox
                label="Take the amount although no signature covers it" description="Then whoever knows the secret of the source's URL chooses it, up to the most above"
                {...form.getInputProps('price.trust', { type: 'checkbox' })} error={form.errors['price.trust']}
              />
            </>
          )}
          {form.errors.price && <Text size="sm" c="red">{form.errors.price}</Text>}
          <Switch label="It pays beside other rules that count the same events" {...form.getInputProps('additional', { type: 'checkbox' })} />
        </Stack>
      </Fieldset>
      <Caps form={form} currency={v.price.currency} readOnly={readOnly} />
      <Fieldset legend="When" disabled={readOnly}>
        <SimpleGrid cols={{ base: 1, sm: 2 }} spacing="sm">
          <TextInput label="Least time between two rewards of one user" placeholder="none" description="Such as 20s" {...form.getInputProps('cooldown')} />
          <TextInput label="Credited after" placeholder="at once" description="Such as 3d: until then it is held" {...form.getInputProps('hold')} />
        </SimpleGrid>
      </Fieldset>
    </Stack>
  )
}

function CurrencySelect({ form, currencies }: { form: UseFormReturnType<Values>; currencies: string[] }) {
  const v = form.values
  return (
    <Select
      label="Currency" required data={[...new Set([...currencies, ...(v.price.currency ? [v.price.currency] : [])])]}
      nothingFoundMessage={v.app ? 'The app has no currency: add one under Settings, Apps' : 'Choose the app first'} {...form.getInputProps('price.currency')} value={v.price.currency || null}
      onChange={(c) => form.setFieldValue('price.currency', c ?? '')}
    />
  )
}

function Caps({ form, currency, readOnly }: { form: UseFormReturnType<Values>; currency: string; readOnly: boolean }) {
  return (
    <Fieldset legend="Caps" disabled={readOnly}>
      <Stack gap="sm">
        <Text size="sm" c="dimmed">
          A reward that would exceed one is declined as a whole. Without day a cap counts for ever, without user everybody together.
        </Text>
        {form.values.caps.map((c, i) => (
          <Card key={i} withBorder padding="sm">
            <Group justify="space-between" mb="xs">
              <Checkbox.Group {...form.getInputProps(`caps.${i}.per`)} aria-label={`Cap ${i + 1} counts for each`} error={below(form.errors, `caps.${i}.per`)}>
                <Group gap="md">
                  <Text size="sm" span>
                    For each
                  </Text>
                  <Checkbox value="user" label="user" />
                  <Checkbox value="day" label="day" />
                  <Checkbox value="rule" label="rule" />
                </Group>
              </Checkbox.Group>
              {!readOnly && (
                <ActionIcon variant="subtle" color="gray" size="lg" aria-label={`Remove cap ${i + 1}`} onClick={() => form.removeListItem('caps', i)}>
                  <IconX size={16} aria-hidden />
                </ActionIcon>
              )}
            </Group>
            <SimpleGrid cols={{ base: 1, sm: 3 }} spacing="sm">
              <NumberInput label="Rewards at most" placeholder="no bound" min={1} allowDecimal={false} {...form.getInputProps(`caps.${i}.rewards`)} />
              <TextInput label={currency ? `${currency} at most` : 'Amount at most'} placeholder="no bound" inputMode="decimal" {...form.getInputProps(`caps.${i}.amount`)} />
              <TextInput label="Shared as" placeholder="this rule alone" description="Rules with a cap of one name count together" inputWrapperOrder={['label', 'input', 'description', 'error']} {...form.getInputProps(`caps.${i}.name`)} />
            </SimpleGrid>
            {form.errors[`caps.${i}`] && <Text size="sm" c="red">{form.errors[`caps.${i}`]}</Text>}
            {c.per.length === 0 && <Text size="xs" c="dimmed" mt={4}>Counts everybody together, for ever.</Text>}
          </Card>
        ))}
        {!readOnly && (
          <Button
            variant="default" size="xs" leftSection={<IconPlus size={14} aria-hidden />} style={{ alignSelf: 'flex-start' }}
            onClick={() => form.insertListItem('caps', { name: '', per: ['user', 'day'], rewards: '', amount: '' })}
          >
            Add a cap
          </Button>
        )}
      </Stack>
    </Fieldset>
  )
}

function networkData(known: { name: string; title: string }[] | undefined, chosen: string[]) {
  const list = known?.map((n) => ({ value: n.name, label: n.title })) ?? []
  return [...list, ...chosen.filter((c) => !list.some((n) => n.value === c)).map((c) => ({ value: c, label: c }))]
}
