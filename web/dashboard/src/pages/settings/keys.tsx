import { Badge, Button, Group, Modal, Radio, Select, Stack, Table, Text, TextInput } from '@mantine/core'
import { useForm } from '@mantine/form'
import { notifications } from '@mantine/notifications'
import { IconKey, IconPlus } from '@tabler/icons-react'
import { useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import { api, ok, type Schemas } from '../../api/client'
import { useSession } from '../../api/session'
import { Answer, ProblemNote } from '../../parts/answer'
import { useApps } from '../../parts/apps'
import { Ask } from '../../parts/ask'
import { Once } from '../../parts/once'
import { Empty } from '../../parts/page'
import { usePublishers } from '../../parts/publishers'
import { useSaving } from '../../parts/saving'
import { When } from '../../parts/time'
import { Wide } from '../../parts/wide'

const scopes = [
  { value: 'events', label: 'Events', about: 'reports events and opens views: for an app’s backend' },
  { value: 'read', label: 'Read', about: 'reads everything without secrets: for reports and monitoring' },
  { value: 'admin', label: 'Admin', about: 'everything that an operator may do' },
  { value: 'publisher', label: 'Publisher', about: 'sets up what is one publisher’s: for a panel of your own' },
] as const

type Scope = (typeof scopes)[number]['value']

/** Keys are what programs prove themselves with. */
export function Keys() {
  const { may } = useSession()
  const [making, setMaking] = useState(false)
  const [made, setMade] = useState<Schemas['MadeKey'] | null>(null)
  const [deleting, setDeleting] = useState<Schemas['APIKey'] | null>(null)
  const keys = useQuery({ queryKey: ['keys'], queryFn: async () => (await ok(api.GET('/v1/keys'))).keys })
  const make = may('create-key') && (
    <Button leftSection={<IconPlus size={16} aria-hidden />} onClick={() => setMaking(true)}>
      Make a key
    </Button>
  )
  return (
    <Stack gap="sm">
      <Group justify="space-between">
        <Text size="sm" c="dimmed" maw={640}>
          A program sends its key as <code>Authorization: Bearer KEY</code>. What it may do is its scope; it can be limited to one app.
        </Text>
        {make}
      </Group>
      <Answer query={keys}>
        {(list) =>
          list.length === 0 ? (
            <Empty title="There is no key" action={make}>
              A key is needed by an app&apos;s backend that reports events or opens views, and by whatever reads counts from outside.
            </Empty>
          ) : (
            <Wide minWidth={720}>
              <Table verticalSpacing="xs" aria-label="API keys">
                <Table.Thead>
                  <Table.Tr>
                    <Table.Th scope="col">Key</Table.Th>
                    <Table.Th scope="col">Scope</Table.Th>
                    <Table.Th scope="col">Limited to</Table.Th>
                    <Table.Th scope="col">Last used</Table.Th>
                    <Table.Th scope="col">Made</Table.Th>
                    <Table.Th scope="col" aria-label="What can be done" />
                  </Table.Tr>
                </Table.Thead>
                <Table.Tbody>
                  {list.map((k) => (
                    <Table.Tr key={k.id}>
                      <Table.Td>
                        <Text size="sm" fw={600} className="foreign">
                          {k.name}
                        </Text>
                        <Text size="xs" c="dimmed" className="mono">
                          {k.id}
                        </Text>
                      </Table.Td>
                      <Table.Td>
                        <Badge variant="light" tt="none" color={k.scope === 'admin' ? 'orange' : 'gray'} leftSection={<IconKey size={12} aria-hidden />}>
                          {scopes.find((s) => s.value === k.scope)?.label ?? k.scope}
                        </Badge>
                      </Table.Td>
                      <Table.Td>{k.app ? `the app ${k.app}` : k.publisher ? `the publisher ${k.publisher}` : <Text span inherit c="dimmed">nothing</Text>}</Table.Td>
                      <Table.Td>{k.last_used ? <When at={k.last_used} form="ago" /> : <Text span inherit c="dimmed">never</Text>}</Table.Td>
                      <Table.Td>
                        <When at={k.created} form="day" />
                      </Table.Td>
                      <Table.Td ta="right">
                        {may('delete-key') && (
                          <Button size="compact-xs" variant="subtle" color="red" onClick={() => setDeleting(k)} aria-label={`Delete the key ${k.name}`}>
                            Delete
                          </Button>
                        )}
                      </Table.Td>
                    </Table.Tr>
                  ))}
                </Table.Tbody>
              </Table>
            </Wide>
          )
        }
      </Answer>
      <Modal opened={making} onClose={() => setMaking(false)} title="Make a key">
        <KeyForm
          onClose={() => setMaking(false)}
          onMade={(k) => {
            setMaking(false)
            setMade(k)
          }}
        />
      </Modal>
      <Once text={made?.key} title={`The key ${made?.name}`} what="API key" onClose={() => setMade(null)}>
        <Text size="sm">Put it where the program reads its secrets, and nowhere else.</Text>
      </Once>
      {deleting && (
        <Ask
          opened onClose={() => setDeleting(null)} title={`Delete the key ${deleting.name}`} button="Delete the key"
          act={async () => {
            await ok(api.DELETE('/v1/keys/{id}', { params: { path: { id: deleting.id } } }))
            notifications.show({ color: 'green', message: `The key ${deleting.name} is deleted.` })
          }}
        >
          <Text size="sm">
            Whatever still uses it is refused at once.{' '}
            {deleting.last_used ? (
              <>
                It was last used <When at={deleting.last_used} form="ago" />.
              </>
            ) : (
              'It was never used.'
            )}
          </Text>
        </Ask>
      )}
    </Stack>
  )
}

function KeyForm({ onClose, onMade }: { onClose: () => void; onMade: (key: Schemas['MadeKey']) => void }) {
  const apps = useApps()
  const publishers = usePublishers()
  const form = useForm({
    initialValues: { name: '', scope: 'events' as Scope, app: '', publisher: '' },
    validate: {
      name: (v) => (v.trim() ? null : 'Say who will use it, such as game-backend'),
      publisher: (v, all) => (all.scope !== 'publisher' || v ? null : 'Choose whose key it is'),
    },
  })
  const saving = useSaving(
    form,
    (v) => {
      const of = v.scope === 'publisher' ? { publisher: v.publisher } : { app: v.app || undefined }
      return ok(api.POST('/v1/keys', { body: { name: v.name.trim(), scope: v.scope, ...of } }))
    },
    { done: onMade },
  )
  return (
    <form onSubmit={form.onSubmit((values) => saving.mutate(values))} noValidate>
      <Stack gap="sm">
        <TextInput label="Name" description="Who will use it" required maxLength={100} data-autofocus {...form.getInputProps('name')} />
        <Radio.Group label="Scope" {...form.getInputProps('scope')}>
          <Stack gap={6} mt={4}>
            {scopes.map((s) => (
              <Radio key={s.value} value={s.value} label={s.label} description={s.about} />
            ))}
          </Stack>
        </Radio.Group>
        {form.values.scope === 'publisher' ? (
          <Select
            label="Publisher" required searchable data={publishers.data?.map((p) => ({ value: p.name, label: p.title ? `${p.title} (${p.name})` : p.name })) ?? []}
            nothingFoundMessage="There is no publisher: make one under Zones" {...form.getInputProps('publisher')} onChange={(v) => form.setFieldValue('publisher', v ?? '')}
          />
        ) : (
          <Select
            label="Only for the app" placeholder="All apps" clearable searchable data={apps.data?.map((a) => ({ value: a.name, label: a.title || a.name })) ?? []}
            {...form.getInputProps('app')} value={form.values.app || null} onChange={(v) => form.setFieldValue('app', v ?? '')}
          />
        )}
        <ProblemNote error={saving.error} />
        <Group justify="flex-end">
          <Button variant="default" onClick={onClose}>
            Cancel
          </Button>
          <Button type="submit" loading={saving.isPending}>
            Make the key
          </Button>
        </Group>
      </Stack>
    </form>
  )
}
