import { Button, Card, PasswordInput, Stack, Text, Title } from '@mantine/core'
import { useForm } from '@mantine/form'
import { api, ok } from '../../api/client'
import { useSession } from '../../api/session'
import { ProblemNote } from '../../parts/answer'
import { useSaving } from '../../parts/saving'
import { roleLabel, roles } from './roles'

/** Account is who the member is, and where the password is changed. */
export function Account() {
  const { session } = useSession()
  const member = session.member
  const role = roles.find((r) => r.value === member?.role)
  return (
    <Stack gap="md" maw={560}>
      <Card withBorder padding="md" component="section" aria-labelledby="who">
        <Title order={2} size="h4" id="who">
          {member?.name || member?.email}
        </Title>
        <Text size="sm">{member?.email}</Text>
        <Text size="sm" mt="xs">
          {roleLabel(member?.role ?? '')}: {role?.about}
          {member?.publisher && <> ({member.publisher})</>}.
        </Text>
      </Card>
      <Card withBorder padding="md" component="section" aria-labelledby="password">
        <Title order={2} size="h4" id="password" mb="xs">
          Change the password
        </Title>
        <PasswordForm />
      </Card>
    </Stack>
  )
}

function PasswordForm() {
  const { session } = useSession()
  const form = useForm({
    mode: 'uncontrolled',
    initialValues: { current: '', new: '', again: '' },
    validate: {
      current: (v) => (v ? null : 'Write the password that you sign in with now'),
      new: (v, all) => (v.length < 10 ? 'A password has at least 10 characters: a few words make a good one' : v === all.current ? 'This is the password of now: choose another one' : null),
      again: (v, all) => (v === all.new ? null : 'The two differ: write the new password once more'),
    },
  })
  const saving = useSaving(form, (v) => ok(api.PUT('/v1/session/password', { body: { current: v.current, new: v.new } })), {
    said: 'The password is changed. Your other sessions have ended.',
    done: () => form.reset(),
  })
  return (
    <form onSubmit={form.onSubmit((values) => saving.mutate(values))} noValidate>
      <Stack gap="sm">
        <input type="text" name="email" autoComplete="username" value={session.member?.email ?? ''} readOnly hidden />
        <PasswordInput label="Password of now" autoComplete="current-password" key={form.key('current')} {...form.getInputProps('current')} />
        <PasswordInput label="New password" description="At least 10 characters. Your other sessions end" autoComplete="new-password" key={form.key('new')} {...form.getInputProps('new')} />
        <PasswordInput label="New password, once more" autoComplete="new-password" key={form.key('again')} {...form.getInputProps('again')} />
        <ProblemNote error={saving.error} />
        <Button type="submit" loading={saving.isPending} style={{ alignSelf: 'flex-start' }}>
          Change the password
        </Button>
      </Stack>
    </form>
  )
}
