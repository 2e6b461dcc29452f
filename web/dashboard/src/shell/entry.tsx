import { Anchor, Button, Card, Center, PasswordInput, Stack, Text, TextInput, Title } from '@mantine/core'
import { useForm } from '@mantine/form'
import { useQueryClient } from '@tanstack/react-query'
import { type ReactNode, useEffect, useState } from 'react'
import { useNavigate } from 'react-router'
import { api, ok } from '../api/client'
import type { Session } from '../api/session'
import { ProblemNote } from '../parts/answer'
import { useSaving } from '../parts/saving'

function Entry({ title, children }: { title: string; children: ReactNode }) {
  useEffect(() => {
    document.title = `${title} · carom`
  }, [title])
  return (
    <Center mih="100vh" p="md" component="main">
      <Card withBorder w="100%" maw={420} padding="lg">
        <Stack gap="sm">
          <Text fw={700} size="lg">
            carom
          </Text>
          <Title order={1} size="h3">
            {title}
          </Title>
          {children}
        </Stack>
      </Card>
    </Center>
  )
}

/** useEntered takes up the session that an answer has brought. */
function useEntered() {
  const client = useQueryClient()
  return (session: Session) => client.setQueryData(['session'], session)
}

const looksLikeEmail = (value: string) => (/^\S+@\S+$/.test(value.trim()) ? null : 'This is no e-mail address: write one such as ada@example.com')

/** SignInForm signs a member in. It stands on a page of its own, or over the page on which a session has ended. */
export function SignInForm({ email }: { email?: string }) {
  const entered = useEntered()
  const form = useForm({ mode: 'uncontrolled', initialValues: { email: email ?? '', password: '' }, validate: { email: looksLikeEmail } })
  const saving = useSaving(form, (values) => ok(api.POST('/v1/session', { body: { email: values.email.trim(), password: values.password } })), { done: entered })
  return (
    <form onSubmit={form.onSubmit((values) => saving.mutate(values))} noValidate>
      <Stack gap="sm">
        <TextInput label="E-mail" type="email" autoComplete="username" autoFocus={!email} key={form.key('email')} {...form.getInputProps('email')} />
        <PasswordInput label="Password" autoComplete="current-password" autoFocus={!!email} key={form.key('password')} {...form.getInputProps('password')} />
        <ProblemNote error={saving.error} />
        <Button type="submit" loading={saving.isPending}>
          Sign in
        </Button>
      </Stack>
    </form>
  )
}

/** SignIn is what everybody sees who is not signed in. */
export function SignIn({ session }: { session: Session }) {
  return (
    <Entry title="Sign in">
      {session.setup ? (
        <Text size="sm">
          Nobody has set up this server yet. Open the link that it printed when it started, or make another one on its machine with{' '}
          <code>carom setup-link</code>.
        </Text>
      ) : (
        <>
          <SignInForm />
          <Text size="xs" c="dimmed">
            Forgotten the password? An operator makes you a new link under Settings, or on the server: <code>carom members link</code>.
          </Text>
        </>
      )}
    </Entry>
  )
}

/** Welcome is what a one-time link opens: the first operator's set-up, an invitation, or a new password. The token stands behind the #, which no request carries. */
export function Welcome({ session }: { session: Session }) {
  const [token] = useState(() => location.hash.slice(1))
  const entered = useEntered()
  const navigate = useNavigate()
  const first = session.setup
  const form = useForm({
    mode: 'uncontrolled',
    initialValues: { email: '', password: '' },
    validate: {
      email: (v) => (first ? looksLikeEmail(v) : null),
      password: (v) => (v.length < 10 ? 'A password has at least 10 characters: a few words make a good one' : null),
    },
  })
  const saving = useSaving(
    form,
    (values) => ok(api.POST('/v1/session/claim', { body: { token, password: values.password, ...(first ? { email: values.email.trim() } : {}) } })),
    {
      done: (made) => {
        history.replaceState(null, '', location.pathname) // the token is used up: it need not stay in the address
        entered(made)
        void navigate(first ? '/sources/new' : '/', { replace: true })
      },
    },
  )
  if (!token) {
    return (
      <Entry title="This link is not whole">
        <Text size="sm">
          What stands behind the # of the address is missing: open the whole link. <Anchor href="/">To the sign-in</Anchor>
        </Text>
      </Entry>
    )
  }
  return (
    <Entry title={first ? 'Set up carom' : 'Choose a password'}>
      <form onSubmit={form.onSubmit((values) => saving.mutate(values))} noValidate>
        <Stack gap="sm">
          {first && (
            <TextInput label="E-mail" description="You sign in with it. Nothing is sent to it." type="email" autoComplete="username" autoFocus key={form.key('email')} {...form.getInputProps('email')} />
          )}
          <PasswordInput
            label="Password" description="At least 10 characters" autoComplete="new-password" autoFocus={!first} key={form.key('password')} {...form.getInputProps('password')}
          />
          <ProblemNote error={saving.error} />
          <Button type="submit" loading={saving.isPending}>
            {first ? 'Make the first operator' : 'Set the password'}
          </Button>
        </Stack>
      </form>
    </Entry>
  )
}
