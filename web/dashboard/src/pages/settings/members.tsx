import { ActionIcon, Badge, Button, Group, Menu, Modal, Radio, Select, Stack, Table, Text, TextInput } from '@mantine/core'
import { useForm } from '@mantine/form'
import { notifications } from '@mantine/notifications'
import { IconBan, IconCircleCheck, IconDots, IconLink, IconPencil, IconPlus, IconTrash } from '@tabler/icons-react'
import { useMutation, useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import { api, ok, type Schemas, tagged } from '../../api/client'
import { useSession } from '../../api/session'
import { Answer, ProblemNote } from '../../parts/answer'
import { Ask } from '../../parts/ask'
import { Once } from '../../parts/once'
import { usePublishers } from '../../parts/publishers'
import { useSaving } from '../../parts/saving'
import { When } from '../../parts/time'
import { Conflict, type Tagged, useVersion } from '../../parts/version'
import { Wide } from '../../parts/wide'
import { type RoleName, roleLabel, roles } from './roles'

type Member = Schemas['Member']
type Dialog = { kind: 'change' | 'disable' | 'remove' | 'link'; member: Member } | { kind: 'invite' }

/** Members are the people who sign in: they are invited here, changed, disabled and removed. */
export function Members() {
  const { may } = useSession()
  const [dialog, setDialog] = useState<Dialog | null>(null)
  const [made, setMade] = useState<Schemas['MadeMember'] | null>(null)
  const members = useQuery({ queryKey: ['members'], queryFn: async () => (await ok(api.GET('/v1/members'))).members })
  const close = () => setDialog(null)
  return (
    <Stack gap="sm">
      <Group justify="space-between">
        <Text size="sm" c="dimmed" maw={640}>
          People who sign in with an e-mail address and a password. Programs use API keys instead.
        </Text>
        {may('create-member') && (
          <Button leftSection={<IconPlus size={16} aria-hidden />} onClick={() => setDialog({ kind: 'invite' })}>
            Invite a member
          </Button>
        )}
      </Group>
      <Answer query={members}>
        {(list) => (
          <Wide minWidth={720}>
            <Table verticalSpacing="xs" aria-label="Members">
              <Table.Thead>
                <Table.Tr>
                  <Table.Th scope="col">Member</Table.Th>
                  <Table.Th scope="col">Role</Table.Th>
                  <Table.Th scope="col">State</Table.Th>
                  <Table.Th scope="col">Last seen</Table.Th>
                  <Table.Th scope="col">Since</Table.Th>
                  <Table.Th scope="col" aria-label="What can be done" />
                </Table.Tr>
              </Table.Thead>
              <Table.Tbody>
                {list.map((m) => (
                  <MemberRow key={m.id} member={m} onAct={setDialog} />
                ))}
              </Table.Tbody>
            </Table>
          </Wide>
        )}
      </Answer>
      <Modal opened={dialog?.kind === 'invite' || dialog?.kind === 'change'} onClose={close} title={dialog?.kind === 'change' ? 'Change the member' : 'Invite a member'}>
        {dialog?.kind === 'change' && <ChangeMember id={dialog.member.id} onClose={close} />}
        {dialog?.kind === 'invite' && (
          <MemberForm
            onClose={close}
            onMade={(m) => {
              close()
              setMade(m)
            }}
          />
        )}
      </Modal>
      {dialog && dialog.kind !== 'invite' && dialog.kind !== 'change' && <MemberAct dialog={dialog} onClose={close} onMade={setMade} />}
      <Once text={made?.link.url} title={`A link for ${made?.member.email}`} what="One-time link" onClose={() => setMade(null)}>
        <Text size="sm">
          Hand it over yourself: carom sends no mail. Whoever opens it first sets the password of {made?.member.email}. It counts once, until <When at={made?.link.expires_at} />.
        </Text>
      </Once>
    </Stack>
  )
}

function MemberRow({ member: m, onAct }: { member: Member; onAct: (dialog: Dialog) => void }) {
  const { may, session } = useSession()
  const self = session.member?.id === m.id
  return (
    <Table.Tr>
      <Table.Td>
        <Text size="sm" fw={600} className="foreign">
          {m.email}
          {self && <Text span inherit c="dimmed"> (you)</Text>}
        </Text>
        {m.name && (
          <Text size="xs" c="dimmed" className="foreign">
            {m.name}
          </Text>
        )}
      </Table.Td>
      <Table.Td>
        {roleLabel(m.role)}
        {m.publisher && <Text size="xs" c="dimmed">of {m.publisher}</Text>}
      </Table.Td>
      <Table.Td>
        {m.disabled ? (
          <Badge color="red" variant="light" tt="none" leftSection={<IconBan size={12} aria-hidden />}>
            disabled
          </Badge>
        ) : m.has_password ? (
          <Badge color="green" variant="light" tt="none" leftSection={<IconCircleCheck size={12} aria-hidden />}>
            active
          </Badge>
        ) : (
          <Badge color="blue" variant="light" tt="none" leftSection={<IconLink size={12} aria-hidden />}>
            invited
          </Badge>
        )}
      </Table.Td>
      <Table.Td>{m.last_seen ? <When at={m.last_seen} form="ago" /> : <Text span inherit c="dimmed">never</Text>}</Table.Td>
      <Table.Td>
        <When at={m.created} form="day" />
      </Table.Td>
      <Table.Td ta="right">
        {may('change-member') && (
          <Menu position="bottom-end">
            <Menu.Target>
              <ActionIcon variant="subtle" color="gray" aria-label={`What can be done with ${m.email}`}>
                <IconDots size={18} />
              </ActionIcon>
            </Menu.Target>
            <Menu.Dropdown>
              <Menu.Item leftSection={<IconPencil size={16} aria-hidden />} onClick={() => onAct({ kind: 'change', member: m })}>
                Change
              </Menu.Item>
              {!m.disabled && (
                <Menu.Item leftSection={<IconLink size={16} aria-hidden />} onClick={() => onAct({ kind: 'link', member: m })}>
                  Make a link to set a password
                </Menu.Item>
              )}
              <Menu.Item leftSection={m.disabled ? <IconCircleCheck size={16} aria-hidden /> : <IconBan size={16} aria-hidden />} onClick={() => onAct({ kind: 'disable', member: m })}>
                {m.disabled ? 'Enable' : 'Disable'}
              </Menu.Item>
              <Menu.Item color="red" leftSection={<IconTrash size={16} aria-hidden />} onClick={() => onAct({ kind: 'remove', member: m })}>
                Remove
              </Menu.Item>
            </Menu.Dropdown>
          </Menu>
        )}
      </Table.Td>
    </Table.Tr>
  )
}

/** settingsOf is what a member is changed with. */
const settingsOf = (m: Member) => ({ email: m.email, name: m.name, role: m.role, publisher: m.publisher || undefined, disabled: m.disabled })

/** MemberAct asks before something is done with a member, and does it. */
function MemberAct({ dialog, onClose, onMade }: { dialog: Exclude<Dialog, { kind: 'invite' }>; onClose: () => void; onMade: (made: Schemas['MadeMember']) => void }) {
  const { kind, member: m } = dialog
  const path = { params: { path: { member: m.id } } }
  if (kind === 'remove') {
    return (
      <Ask
        opened onClose={onClose} title={`Remove ${m.email}`} button="Remove the member"
        act={async () => {
          await ok(api.DELETE('/v1/members/{member}', path))
          notifications.show({ color: 'green', message: `${m.email} is removed.` })
        }}
      >
        <Text size="sm">The member is signed out at once and cannot sign in any more. What the member did stays in the audit. To bring the member back, a new invitation is needed: disabling keeps more.</Text>
      </Ask>
    )
  }
  if (kind === 'disable') {
    return (
      <Ask
        opened onClose={onClose} title={m.disabled ? `Enable ${m.email}` : `Disable ${m.email}`} button={m.disabled ? 'Enable the member' : 'Disable the member'} color={m.disabled ? 'blue' : 'red'}
        act={async () => {
          // The rest is sent as it is now, and only if it stays so: what somebody else has changed is not undone.
          const { value, etag } = await readMember(m.id)
          await ok(api.PUT('/v1/members/{member}', { params: { ...path.params, header: { 'If-Match': etag } }, body: { ...settingsOf(value), disabled: !m.disabled } }))
          notifications.show({ color: 'green', message: m.disabled ? `${m.email} may sign in again.` : `${m.email} is disabled and signed out.` })
        }}
      >
        <Text size="sm">{m.disabled ? 'The member may sign in again, with the password of before.' : 'The member is signed out everywhere at once, and cannot sign in until enabled again.'}</Text>
      </Ask>
    )
  }
  return (
    <Ask
      opened onClose={onClose} title={`A link for ${m.email}`} button="Make the link" color="blue"
      act={async () => {
        onMade(await ok(api.POST('/v1/members/{member}/link', path)))
      }}
    >
      <Text size="sm">With it the member sets a new password, without the one of now. It counts once, for 72 hours. Until it is used, everything stays as it is; links that were made before count no more.</Text>
    </Ask>
  )
}

const readMember = (id: string) => tagged<Member>(api.GET('/v1/members/{member}', { params: { path: { member: id } } }))

/** ChangeMember reads the member as it is now, so that saving overwrites nobody else's change unseen. */
function ChangeMember({ id, onClose }: { id: string; onClose: () => void }) {
  const first = useQuery({ queryKey: ['member', id], queryFn: () => readMember(id), gcTime: 0, staleTime: Infinity })
  return <Answer query={first}>{(m) => <MemberForm first={m} onClose={onClose} />}</Answer>
}

const valuesOf = (m?: Member) => ({ email: m?.email ?? '', name: m?.name ?? '', role: (m?.role ?? 'viewer') as RoleName, publisher: m?.publisher ?? '', disabled: m?.disabled ?? false })

/** MemberForm changes the member that was read first, or invites one. */
function MemberForm({ first, onClose, onMade }: { first?: Tagged<Member>; onClose: () => void; onMade?: (made: Schemas['MadeMember']) => void }) {
  const publishers = usePublishers()
  const member = first?.value
  const id = member?.id ?? ''
  const version = useVersion(first?.etag ?? '', () => readMember(id))
  const form = useForm({
    initialValues: valuesOf(member),
    validate: {
      email: (v) => (/^\S+@\S+$/.test(v.trim()) ? null : 'This is no e-mail address: write one such as ada@example.com'),
      publisher: (v, all) => (all.role !== 'publisher' || v ? null : 'Choose whose member it is'),
    },
  })
  const body = () => {
    const v = form.getValues()
    return { email: v.email.trim(), name: v.name.trim(), role: v.role, publisher: v.role === 'publisher' ? v.publisher : undefined }
  }
  const changed = () => ({ ...body(), disabled: form.getValues().disabled })
  const invite = useSaving(form, () => ok(api.POST('/v1/members', { body: body() })), { done: onMade })
  const change = useMutation({
    mutationFn: () =>
      version.save((etag) => tagged(api.PUT('/v1/members/{member}', { params: { path: { member: id }, header: { 'If-Match': etag } }, body: changed() }))),
    onSuccess: () => {
      notifications.show({ color: 'green', message: 'The member is changed.' })
      onClose()
    },
  })
  const roleChanges = member && form.values.role !== member.role
  return (
    <form onSubmit={form.onSubmit((values) => (member ? change.mutate() : invite.mutate(values)))} noValidate>
      <Stack gap="sm">
        {version.theirs && (
          <Conflict
            object={`member/${id}`} yours={changed()} theirs={settingsOf(version.theirs.value)}
            onLoad={() => {
              form.setValues(valuesOf(version.theirs!.value))
              version.take()
              change.reset()
            }}
            onOver={() => {
              version.take()
              change.mutate()
            }}
          />
        )}
        <TextInput label="E-mail" description="The member signs in with it. Nothing is sent to it" type="email" autoComplete="off" required data-autofocus {...form.getInputProps('email')} />
        <TextInput label="Name" autoComplete="off" maxLength={100} {...form.getInputProps('name')} />
        <Radio.Group label="Role" {...form.getInputProps('role')}>
          <Stack gap={6} mt={4}>
            {roles.map((r) => (
              <Radio key={r.value} value={r.value} label={r.label} description={r.about} />
            ))}
          </Stack>
        </Radio.Group>
        {form.values.role === 'publisher' && (
          <Select
            label="Publisher" required searchable data={publishers.data?.map((p) => ({ value: p.name, label: p.title ? `${p.title} (${p.name})` : p.name })) ?? []}
            nothingFoundMessage="There is no publisher: make one under Zones" {...form.getInputProps('publisher')} onChange={(v) => form.setFieldValue('publisher', v ?? '')}
          />
        )}
        {roleChanges && <Text size="sm">What the member may do changes at once, also where the member is signed in.</Text>}
        <ProblemNote error={version.theirs ? null : (invite.error ?? change.error)} />
        <Group justify="flex-end">
          <Button variant="default" onClick={onClose}>
            Cancel
          </Button>
          <Button type="submit" loading={invite.isPending || change.isPending}>
            {member ? 'Save the member' : 'Make the invitation'}
          </Button>
        </Group>
      </Stack>
    </form>
  )
}
