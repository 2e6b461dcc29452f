import { Anchor, Button, Card, Group, Modal, NumberInput, Select, Stack, Switch, Table, Text, TextInput, Title } from '@mantine/core'
import { useForm } from '@mantine/form'
import { IconLink, IconPlus } from '@tabler/icons-react'
import { useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import { Link, Route, Routes, useNavigate, useParams } from 'react-router'
import { api, ok, type Schemas } from '../../api/client'
import { useSession } from '../../api/session'
import { Answer, ProblemNote } from '../../parts/answer'
import { Ask } from '../../parts/ask'
import { nameFault } from '../../parts/object'
import { Once } from '../../parts/once'
import { Empty } from '../../parts/page'
import { usePublishers } from '../../parts/publishers'
import { useSaving } from '../../parts/saving'
import { When } from '../../parts/time'
import { Wide } from '../../parts/wide'
import { Setup } from './setup'

/** Publishers are those who own apps: the operator makes them, and they set up what is theirs by themselves. */
export function Publishers() {
  return (
    <Routes>
      <Route path="/" element={<PublisherList />} />
      <Route path=":publisher/*" element={<OnePublisher />} />
    </Routes>
  )
}

/** OwnSetup is what a member of a publisher sees: all that is theirs, and nothing else. */
export function OwnSetup({ publisher }: { publisher: string }) {
  return <SetupRoutes publisher={publisher} base="/zones" />
}

function SetupRoutes({ publisher, base, top }: { publisher: string; base: string; top?: (setup: Schemas['PublisherSetup']) => React.ReactNode }) {
  const setup = useQuery({ queryKey: ['setup', publisher], queryFn: () => ok(api.GET('/v1/publishers/{publisher}', { params: { path: { publisher } } })) })
  return (
    <Answer query={setup}>
      {(s) => (
        <Routes>
          <Route
            path="/"
            element={
              <Stack gap="md">
                {top?.(s)}
                <Setup setup={s} />
              </Stack>
            }
          />
          <Route path="*" element={<Empty title="There is nothing at this address" action={<Anchor component={Link} to={base}>To the set-up</Anchor>} />} />
        </Routes>
      )}
    </Answer>
  )
}

function PublisherList() {
  const { may } = useSession()
  const navigate = useNavigate()
  const [making, setMaking] = useState(false)
  const publishers = usePublishers()
  const make = may('put-publisher') && (
    <Button leftSection={<IconPlus size={16} aria-hidden />} onClick={() => setMaking(true)}>
      Make a publisher
    </Button>
  )
  return (
    <Stack gap="sm">
      <Group justify="space-between">
        <Text size="sm" c="dimmed" maw={640}>
          A publisher owns apps, and sets them up alone: by a link to its own small page, or as a member who signs in here and sees nothing else.
        </Text>
        {make}
      </Group>
      <Answer query={publishers}>
        {(list) =>
          list.length === 0 ? (
            <Empty title="There is no publisher" action={make}>
              Apps without one are your own. Make a publisher for whoever shows your ads in apps of theirs.
            </Empty>
          ) : (
            <Wide minWidth={480}>
              <Table verticalSpacing="xs" aria-label="Publishers">
                <Table.Thead>
                  <Table.Tr>
                    <Table.Th scope="col">Publisher</Table.Th>
                    <Table.Th scope="col">Apps</Table.Th>
                    <Table.Th scope="col" ta="right">
                      Zones
                    </Table.Th>
                    <Table.Th scope="col" ta="right">
                      Endpoints
                    </Table.Th>
                  </Table.Tr>
                </Table.Thead>
                <Table.Tbody>
                  {list.map((p) => (
                    <Table.Tr key={p.name}>
                      <Table.Td>
                        <Anchor component={Link} to={`/zones/publishers/${p.name}`} fw={600} size="sm">
                          {p.name}
                        </Anchor>
                        {p.title && (
                          <Text size="xs" c="dimmed" className="foreign">
                            {p.title}
                          </Text>
                        )}
                      </Table.Td>
                      <Table.Td className="foreign">{p.apps.join(', ') || <Text span inherit c="dimmed">none</Text>}</Table.Td>
                      <Table.Td ta="right">{p.zones}</Table.Td>
                      <Table.Td ta="right">{p.endpoints}</Table.Td>
                    </Table.Tr>
                  ))}
                </Table.Tbody>
              </Table>
            </Wide>
          )
        }
      </Answer>
      <Modal opened={making} onClose={() => setMaking(false)} title="Make a publisher">
        <PublisherForm onClose={() => setMaking(false)} onSaved={(name) => void navigate(`/zones/publishers/${name}`)} />
      </Modal>
    </Stack>
  )
}

function PublisherForm({ publisher, onClose, onSaved }: { publisher?: Schemas['PublisherRow']; onClose: () => void; onSaved?: (name: string) => void }) {
  const form = useForm({ initialValues: { name: publisher?.name ?? '', title: publisher?.title ?? '', allow_private: publisher?.allow_private ?? false }, validate: { name: nameFault } })
  const saving = useSaving(
    form,
    (v) => ok(api.PUT('/v1/publishers/{publisher}', { params: { path: { publisher: v.name } }, body: { title: v.title.trim() || undefined, allow_private: v.allow_private || undefined } })),
    {
      said: publisher ? 'The publisher is changed.' : 'The publisher is made.',
      done: (p) => {
        onClose()
        onSaved?.(p.name)
      },
    },
  )
  return (
    <form onSubmit={form.onSubmit((values) => saving.mutate(values))} noValidate>
      <Stack gap="sm">
        {!publisher && <TextInput label="Name" description="Lower-case letters, digits, - and _. It stays" required placeholder="north" data-autofocus {...form.getInputProps('name')} />}
        <TextInput label="Title" description="As people know it" maxLength={200} placeholder="North Games" {...form.getInputProps('title')} />
        <Switch label="It is of your own house" description="Its endpoints may be at private addresses" {...form.getInputProps('allow_private', { type: 'checkbox' })} />
        <ProblemNote error={saving.error} />
        <Group justify="flex-end">
          <Button variant="default" onClick={onClose}>
            Cancel
          </Button>
          <Button type="submit" loading={saving.isPending}>
            {publisher ? 'Save the publisher' : 'Make the publisher'}
          </Button>
        </Group>
      </Stack>
    </form>
  )
}

function OnePublisher() {
  const { publisher = '' } = useParams()
  return <SetupRoutes publisher={publisher} base={`/zones/publishers/${publisher}`} top={(setup) => <Top setup={setup} />} />
}

/** Top is what the operator does with a publisher as a whole. */
function Top({ setup }: { setup: Schemas['PublisherSetup'] }) {
  const { may } = useSession()
  const navigate = useNavigate()
  const [dialog, setDialog] = useState<'change' | 'link' | 'remove' | null>(null)
  const publishers = usePublishers()
  const [made, setMade] = useState<Schemas['MadeLink'] | null>(null)
  const path = { params: { path: { publisher: setup.name } } }
  const close = () => setDialog(null)
  return (
    <>
      <Group justify="space-between" align="flex-start">
        <div>
          <Title order={2} size="h3" className="foreign">
            {setup.title || setup.name}
          </Title>
          <Text size="sm" c="dimmed">
            {setup.name}.{' '}
            <Anchor component={Link} to="/zones/publishers" size="sm" underline="always">
              All publishers
            </Anchor>
          </Text>
        </div>
        <Group gap="xs">
          {may('make-link') && (
            <Button leftSection={<IconLink size={16} aria-hidden />} onClick={() => setDialog('link')}>
              Make a link to its set-up
            </Button>
          )}
          {may('put-publisher') && (
            <Button variant="default" onClick={() => setDialog('change')}>
              Change
            </Button>
          )}
          {may('remove-publisher') && (
            <Button variant="subtle" color="red" onClick={() => setDialog('remove')}>
              Remove
            </Button>
          )}
        </Group>
      </Group>
      {may('create-member') && (
        <Card withBorder padding="sm">
          <Text size="sm">
            Its people can sign in here as well, and see nothing but this: <Anchor component={Link} to="/settings/members" size="sm" underline="always">invite a member</Anchor> with the role Publisher. A program of its own, or
            a panel of yours, uses an <Anchor component={Link} to="/settings/keys" size="sm" underline="always">API key</Anchor> with the scope Publisher.
          </Text>
        </Card>
      )}
      <Modal opened={dialog === 'change'} onClose={close} title={`Change ${setup.name}`}>
        {/* A change says all of a publisher: what it is now has to be known first. */}
        <Answer query={publishers}>
          {(list) => {
            const row = list.find((p) => p.name === setup.name)
            return row ? <PublisherForm publisher={row} onClose={close} /> : <Text size="sm">The publisher is gone meanwhile.</Text>
          }}
        </Answer>
      </Modal>
      <Modal opened={dialog === 'link'} onClose={close} title="A link to the set-up page">
        <LinkForm
          publisher={setup.name} onClose={close}
          onMade={(link) => {
            close()
            setMade(link)
          }}
        />
      </Modal>
      <Once text={made?.url} title={`The set-up page of ${setup.name}`} what="Link to the set-up page" onClose={() => setMade(null)}>
        <Text size="sm">
          Whoever has it sets up what is this publisher&apos;s, and sees nothing else, until <When at={made?.expires_at} />.
        </Text>
      </Once>
      <Ask
        opened={dialog === 'remove'} onClose={close} title={`Remove ${setup.name}`} button="Remove the publisher"
        act={async () => {
          await ok(api.DELETE('/v1/publishers/{publisher}', path))
          void navigate('/zones/publishers')
        }}
      >
        <Text size="sm">Its links, keys and members count no more. It can be removed only when no app is its own: change or remove those first.</Text>
      </Ask>
    </>
  )
}

function LinkForm({ publisher, onClose, onMade }: { publisher: string; onClose: () => void; onMade: (link: Schemas['MadeLink']) => void }) {
  const form = useForm({
    initialValues: { n: 24 as number | string, unit: 'h' },
    validate: { n: (v) => (Number(v) > 0 ? null : 'Say how long it is to count') },
  })
  const saving = useSaving(form, (v) => ok(api.POST('/v1/publishers/{publisher}/links', { params: { path: { publisher } }, body: { for: `${v.n}${v.unit}` } })), { done: onMade, field: (f) => (f.endsWith('for') ? 'n' : f) })
  return (
    <form onSubmit={form.onSubmit((values) => saving.mutate(values))} noValidate>
      <Stack gap="sm">
        <Text size="sm">A page of its own, without a password: whoever has the link acts as the publisher {publisher} until it ends. It cannot be taken back before.</Text>
        <Group gap="sm" align="flex-start" wrap="nowrap">
          <NumberInput label="It counts for" min={1} allowDecimal={false} flex={1} data-autofocus {...form.getInputProps('n')} />
          <Select label="Unit" allowDeselect={false} w={120} data={[{ value: 'm', label: 'minutes' }, { value: 'h', label: 'hours' }, { value: 'd', label: 'days' }]} {...form.getInputProps('unit')} />
        </Group>
        <ProblemNote error={saving.error} />
        <Group justify="flex-end">
          <Button variant="default" onClick={onClose}>
            Cancel
          </Button>
          <Button type="submit" loading={saving.isPending}>
            Make the link
          </Button>
        </Group>
      </Stack>
    </form>
  )
}
