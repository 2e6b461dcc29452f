import { Alert, Button, Group, Modal, Select, Stack, Text, Textarea, TextInput } from '@mantine/core'
import { useForm } from '@mantine/form'
import { notifications } from '@mantine/notifications'
import { useMutation } from '@tanstack/react-query'
import { useEffect, useState } from 'react'
import { api, ok, type Schemas } from '../../api/client'
import { ProblemNote } from '../../parts/answer'
import { useApps } from '../../parts/apps'
import { money } from '../../parts/number'
import { useSaving } from '../../parts/saving'
import { currenciesOf } from './data'

interface Props {
  opened: boolean
  onClose: () => void
  app?: string
  user?: string
}

/** GrantDialog credits an amount to a user by hand: first it shows what that would do, then it does it. */
export function GrantDialog(props: Props) {
  return (
    <Modal opened={props.opened} onClose={props.onClose} title="Grant a reward by hand">
      <GrantForm {...props} />
    </Modal>
  )
}

function GrantForm({ onClose, app, user }: Props) {
  const apps = useApps()
  // One key for as long as the form is about the same grant: pressing the button twice grants once.
  const [key, setKey] = useState(() => `dashboard-${crypto.randomUUID()}`)
  const [shown, setShown] = useState<Schemas['Granted'] | null>(null)
  const form = useForm({
    initialValues: { app: app ?? '', user: user ?? '', currency: '', amount: '', why: '' },
    validate: {
      app: (v) => (v ? null : 'Choose the app whose user is to get it'),
      user: (v) => (v.trim() ? null : "Write the user's id, as events carry it"),
      currency: (v) => (v ? null : 'Choose a currency'),
      amount: (v) => (/^\d+([.,]\d+)?$/.test(v.trim()) && /[1-9]/.test(v) ? null : 'Write a number above zero, such as 5 or 0.25'),
      why: (v) => (v.trim() ? null : 'Say why: it is kept in the ledger'),
    },
    onValuesChange: () => {
      setShown(null)
      setKey(`dashboard-${crypto.randomUUID()}`)
    },
  })
  const currencies = currenciesOf(apps.data?.find((a) => a.name === form.values.app))
  const { setFieldValue } = form
  const only = apps.data?.length === 1 ? apps.data[0]?.name : undefined
  useEffect(() => {
    if (only) setFieldValue('app', only)
  }, [only, setFieldValue])
  const onlyCurrency = currencies.length === 1 ? currencies[0] : undefined
  useEffect(() => {
    if (onlyCurrency) setFieldValue('currency', onlyCurrency)
  }, [onlyCurrency, setFieldValue])

  const body = () => {
    const v = form.getValues()
    return { app: v.app, user: v.user.trim(), currency: v.currency, amount: v.amount.trim().replace(',', '.'), why: v.why.trim(), key }
  }
  const preview = useSaving(form, () => ok(api.POST('/v1/rewards/grant', { params: { query: { dry_run: true } }, body: body() })), { done: setShown })
  const grant = useMutation({
    mutationFn: () => ok(api.POST('/v1/rewards/grant', { body: body() })),
    onSuccess: (g) => {
      notifications.show({ color: 'green', message: `Granted: ${g.reward.user} has got ${money(g.reward.amount)} ${g.reward.currency}.` })
      onClose()
    },
  })
  return (
    <form onSubmit={form.onSubmit(() => (shown ? grant.mutate() : preview.mutate(form.getValues())))} noValidate>
      <Stack gap="sm">
        <Select
          label="App" required data={apps.data?.map((a) => ({ value: a.name, label: a.title || a.name })) ?? []} {...form.getInputProps('app')}
          onChange={(v) => form.setValues({ app: v ?? '', currency: '' })}
        />
        <TextInput label="User" description="The id that events carry" required maxLength={256} {...form.getInputProps('user')} />
        <Group grow align="flex-start">
          <TextInput label="Amount" required inputMode="decimal" {...form.getInputProps('amount')} />
          <Select label="Currency" required data={currencies} nothingFoundMessage="The app has no currency" {...form.getInputProps('currency')} onChange={(v) => form.setFieldValue('currency', v ?? '')} />
        </Group>
        {form.values.app && apps.data && currencies.length === 0 && (
          <Text size="sm" c="dimmed">
            This app has no currency. Add one under Settings, Apps.
          </Text>
        )}
        <Textarea label="Why" description="Kept in the ledger, and shown with the reward" required autosize minRows={2} maxLength={500} {...form.getInputProps('why')} />
        <ProblemNote error={grant.error ?? preview.error} />
        {shown && (
          <Alert color={shown.duplicate ? 'yellow' : 'blue'} title={shown.duplicate ? 'This was granted before' : 'This is what it will do'} role="status">
            <Text size="sm">
              Credit <b>{money(shown.reward.amount)} {shown.reward.currency}</b> to the user <b className="foreign">{shown.reward.user}</b> of {shown.reward.app}. Endpoints that are sent
              rewards are told. It can be taken back.
            </Text>
          </Alert>
        )}
        <Group justify="flex-end">
          <Button variant="default" onClick={onClose}>
            Cancel
          </Button>
          {shown ? (
            <Button type="submit" loading={grant.isPending}>
              Grant {money(shown.reward.amount)} {shown.reward.currency}
            </Button>
          ) : (
            <Button type="submit" loading={preview.isPending}>
              Show what it will do
            </Button>
          )}
        </Group>
      </Stack>
    </form>
  )
}
