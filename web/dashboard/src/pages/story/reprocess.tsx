import { Alert, Button, Group, Modal, Select, Stack, Text, Textarea } from '@mantine/core'
import { useForm } from '@mantine/form'
import { IconGavel } from '@tabler/icons-react'
import { useQuery } from '@tanstack/react-query'
import { useId, useState } from 'react'
import { useNavigate } from 'react-router'
import { api, ok, type Schemas } from '../../api/client'
import { useSession } from '../../api/session'
import { Answer, ProblemNote } from '../../parts/answer'
import { IdLink, storyPath } from '../../parts/ids'
import { Outcome } from '../../parts/outcome'
import { useSaving } from '../../parts/saving'

type As = NonNullable<Schemas['Reprocess']['as']>

const counted: { value: As; label: string }[] = [
  { value: 'valued', label: 'valued: it earns' },
  { value: 'not_valued', label: 'not valued: it earns nothing' },
  { value: 'empty', label: 'empty: as if it had not been sent' },
]

/**
 * ReprocessButton asks to judge a held event or a refused postback again, after a fix. What would come of it is shown before. value is what
 * a held event says of its value: of an unknown one somebody has to say what it counts as.
 */
export function ReprocessButton({ id, value }: { id: string; value?: string }) {
  const [opened, setOpened] = useState(false)
  return (
    <>
      <Button size="compact-sm" leftSection={<IconGavel size={14} aria-hidden />} onClick={() => setOpened(true)}>
        Reprocess
      </Button>
      <Modal opened={opened} onClose={() => setOpened(false)} title="Judge it again">
        {opened && <ReprocessForm id={id} value={value} close={() => setOpened(false)} />}
      </Modal>
    </>
  )
}

function ReprocessForm({ id, value, close }: { id: string; value?: string; close: () => void }) {
  const { session } = useSession()
  const navigate = useNavigate()
  const note = useId()
  const unknown = value === 'unknown'
  const form = useForm({
    initialValues: { as: '', why: '' },
    validate: {
      as: (as) => (unknown && !as ? 'Say what its value counts as: the network sent a word that nobody has met' : null),
      why: (why) => (why.trim() ? null : 'Say why, in a few words: it is kept with the event that this makes'),
    },
  })
  const as = (form.values.as || undefined) as As | undefined
  const preview = useQuery({
    queryKey: ['reprocess', id, as],
    queryFn: () => ok(api.POST('/v1/reprocess', { params: { query: { dry_run: true } }, body: { ids: [id], as, why: 'to see what would come of it' } })),
    staleTime: 0,
  })
  const saving = useSaving(
    form,
    (values) => ok(api.POST('/v1/reprocess', { body: { ids: [id], as, why: values.why.trim() } })),
    {
      done: (result) => {
        const made = result.items[0]
        if (made?.event) {
          close()
          void navigate(storyPath(made.event))
        }
      },
    },
  )
  const done = saving.data?.items[0]
  // Support sees what would come of it, and leaves it to an operator.
  const mayAct = session.member?.role !== 'support'
  return (
    <form onSubmit={form.onSubmit((values) => saving.mutate(values))} noValidate>
      <Stack gap="sm">
        <Text size="sm">
          It is judged by the settings that are in force now, and becomes an event if it passes. What has earned before earns nothing a second time.
        </Text>
        {unknown && (
          <Select
            label="Count its value as" required data-autofocus data={counted} {...form.getInputProps('as')}
          />
        )}
        {!(unknown && !as) && (
          <Answer query={preview} lines={2}>
            {(p) => (
              <Stack gap={4} id={note}>
                {p.items.map((item) => (
                  <Alert key={item.of} color={item.outcome === 'reprocessed' ? 'green' : 'yellow'} title={previewTitle(item.outcome)} data-preview={item.outcome}>
                    <Text size="sm" className="foreign">
                      {item.reason || (item.outcome === 'reprocessed' ? 'It passes now.' : '')}
                    </Text>
                    {item.event && <IdLink id={item.event} />}
                    {item.decided?.map((d, i) => (
                      <Group key={i} gap="xs">
                        <Outcome of={d.state} />
                        <Text size="sm">{d.words}</Text>
                      </Group>
                    ))}
                  </Alert>
                ))}
              </Stack>
            )}
          </Answer>
        )}
        {mayAct ? (
          <Textarea
            label="Why" description="Kept with the event that this makes, and in the audit" autosize minRows={2} maxLength={500} required
            data-autofocus={!unknown || undefined} {...form.getInputProps('why')}
          />
        ) : (
          <Text size="sm">Your role may look, and an operator has to do it: share the link of this page.</Text>
        )}
        <ProblemNote error={saving.error} />
        {done && !done.event && (
          <Alert color="yellow" title="Nothing was made of it" role="alert">
            <span className="foreign">{done.reason}</span>
          </Alert>
        )}
        <Group justify="flex-end">
          <Button variant="default" onClick={close}>
            {mayAct ? 'Cancel' : 'Close'}
          </Button>
          {mayAct && (
            <Button type="submit" loading={saving.isPending}>
              Reprocess
            </Button>
          )}
        </Group>
      </Stack>
    </form>
  )
}

function previewTitle(outcome: string): string {
  if (outcome === 'reprocessed') return 'It would become an event'
  if (outcome === 'copy') return 'It was reprocessed before'
  return 'Nothing would be made of it'
}
