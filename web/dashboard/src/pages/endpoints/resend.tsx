import { Alert, Button, Checkbox, Group, List, Modal, Stack, Text, Textarea } from '@mantine/core'
import { DateTimePicker } from '@mantine/dates'
import { useForm } from '@mantine/form'
import { notifications } from '@mantine/notifications'
import { useMutation } from '@tanstack/react-query'
import { useState } from 'react'
import { api, ok, type Schemas } from '../../api/client'
import { ProblemNote } from '../../parts/answer'
import { count } from '../../parts/number'

type Resent = Schemas['ResentMany']

interface Selected {
  states: string[]
  from: string | null
  to: string | null
  why: string
}

/** Resend sends ended deliveries of an endpoint again, under their ids: first it says how many that are, then it does it. */
export function Resend({ app, name, opened, onClose }: { app: string; name: string; opened: boolean; onClose: () => void }) {
  const [preview, setPreview] = useState<Resent | null>(null)
  const form = useForm<Selected>({
    initialValues: { states: ['dead', 'expired'], from: null, to: null, why: '' },
    validate: {
      states: (v) => (v.length === 0 ? 'Choose at least one: how the deliveries ended' : null),
      why: (v) => (v.trim() ? null : 'Say why, in a few words: others will want to know'),
      to: (v, all) => (v && all.from && v <= all.from ? 'The end has to be after the beginning' : null),
    },
    onValuesChange: () => setPreview(null),
  })
  const instant = (text: string | null) => (text ? { at: new Date(text.replace(' ', 'T')).toISOString() } : null)
  const body = (v: Selected, before?: string) => ({
    filter: {
      app,
      endpoint: name,
      states: v.states as ('dead' | 'expired' | 'delivered')[],
      ...(v.from && { from: instant(v.from)!.at }),
      ...(v.to && { to: instant(v.to)!.at }),
    },
    why: v.why.trim(),
    ...(before && { before }),
  })
  const look = useMutation({ mutationFn: (v: Selected) => ok(api.POST('/v1/resend', { params: { query: { dry_run: true } }, body: body(v) })), onSuccess: setPreview })
  const send = useMutation({
    // One request resends so many; the rest is asked for with the cursor that the answer gives.
    mutationFn: async (v: Selected) => {
      let sent = 0
      let before: string | undefined
      do {
        const part: Resent = await ok(api.POST('/v1/resend', { body: body(v, before) }))
        sent += part.resent.length
        before = part.next
      } while (before)
      return sent
    },
    onSuccess: (sent) => {
      notifications.show({ message: `${count(sent)} ${sent === 1 ? 'delivery is' : 'deliveries are'} on the way again`, color: 'green' })
      close()
    },
  })
  function close() {
    setPreview(null)
    look.reset()
    send.reset()
    form.reset()
    onClose()
  }
  return (
    <Modal opened={opened} onClose={close} title={`Resend deliveries of ${app}/${name}`} size="lg">
      <form onSubmit={form.onSubmit((v) => (preview ? send.mutate(v) : look.mutate(v)))} noValidate>
        <Stack gap="sm">
          <Text size="sm">Each is sent again under the id that it had, rendered from the endpoint as it is now. A receiver that knows the id pays it once.</Text>
          <Checkbox.Group label="Those that are" {...form.getInputProps('states')}>
            <Group mt={4}>
              <Checkbox value="dead" label="dead" />
              <Checkbox value="expired" label="expired" />
              <Checkbox value="delivered" label="delivered" />
            </Group>
          </Checkbox.Group>
          <Group grow align="flex-start">
            <DateTimePicker label="Events accepted from" placeholder="24 hours ago" clearable {...form.getInputProps('from')} />
            <DateTimePicker label="To, not included" placeholder="now" clearable {...form.getInputProps('to')} />
          </Group>
          <Textarea label="Why" description="Kept in the audit" autosize minRows={2} maxLength={500} required data-autofocus {...form.getInputProps('why')} />
          {preview && <Found preview={preview} />}
          <ProblemNote error={look.error ?? send.error} />
          <Group justify="flex-end">
            <Button variant="default" onClick={close}>
              Cancel
            </Button>
            {preview && preview.resent.length > 0 ? (
              <Button type="submit" color="red" loading={send.isPending}>
                {preview.next ? 'Resend all of them' : `Resend ${count(preview.resent.length)}`}
              </Button>
            ) : (
              <Button type="submit" loading={look.isPending}>
                See how many
              </Button>
            )}
          </Group>
        </Stack>
      </form>
    </Modal>
  )
}

function Found({ preview }: { preview: Resent }) {
  if (preview.resent.length === 0) {
    return (
      <Alert color="gray" title="There is none to resend" role="status">
        {preview.skipped.length > 0 ? preview.skipped[0]!.reason : 'No delivery of that time has ended so. Choose a longer time, or another state.'}
      </Alert>
    )
  }
  return (
    <Alert color="blue" title={`${preview.next ? 'At least ' : ''}${count(preview.resent.length)} would be sent again`} role="status" data-preview={preview.resent.length}>
      <List size="sm">
        {preview.by.map((b) => (
          <List.Item key={b.endpoint + b.state}>
            {count(b.deliveries)} {b.state}
          </List.Item>
        ))}
      </List>
      {preview.skipped.length > 0 && <Text size="sm">{count(preview.skipped.length)} are left out: {preview.skipped[0]!.reason}.</Text>}
    </Alert>
  )
}
