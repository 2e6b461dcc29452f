import { Alert, Button, Group, List, Modal, Stack, Text, Textarea } from '@mantine/core'
import { notifications } from '@mantine/notifications'
import { useMutation } from '@tanstack/react-query'
import { useState } from 'react'
import { api, ok, type Schemas } from '../../api/client'
import { ProblemNote } from '../../parts/answer'
import { count, money } from '../../parts/number'

/** What is to be taken back: rewards by their ids, or all that a filter selects. */
export type VoidWhat = { ids: string[] } | { filter: Schemas['VoidFilter'] }

interface Total {
  rewards: number
  skipped: number
  sums: Schemas['Sum'][]
  more: boolean
}

/** VoidDialog takes rewards back: it asks for the reason, shows what that would do, and does it. */
export function VoidDialog({ what, words, onClose }: { what: VoidWhat | null; words: string; onClose: (done: boolean) => void }) {
  return (
    <Modal opened={!!what} onClose={() => onClose(false)} title="Take rewards back">
      {what && <VoidForm what={what} words={words} onClose={onClose} />}
    </Modal>
  )
}

function VoidForm({ what, words, onClose }: { what: VoidWhat; words: string; onClose: (done: boolean) => void }) {
  const [why, setWhy] = useState('')
  const [fault, setFault] = useState('')
  const [gone, setGone] = useState(0)
  const preview = useMutation({
    mutationFn: async (): Promise<Total> => {
      const seen = await ok(api.POST('/v1/rewards/void', { params: { query: { dry_run: true } }, body: { ...what, why: why.trim() } }))
      return { rewards: seen.rewards.length, skipped: seen.skipped, sums: seen.sums, more: !!seen.next }
    },
  })
  const act = useMutation({
    // A request takes back so many and no more, and says where to go on.
    mutationFn: async () => {
      let done = 0
      for (let before: string | undefined; ; ) {
        const page = await ok(api.POST('/v1/rewards/void', { body: { ...what, before, why: why.trim() } }))
        done += page.rewards.length
        setGone(done)
        if (!page.next) return done
        before = page.next
      }
    },
    onSuccess: (done) => {
      notifications.show({ color: 'green', message: done === 1 ? 'One reward is taken back.' : `${count(done)} rewards are taken back.` })
      onClose(true)
    },
  })
  function submit() {
    if (!why.trim()) setFault('Say why: it is kept in the ledger')
    else if (preview.data && preview.data.rewards > 0) act.mutate()
    else preview.mutate()
  }
  const seen = preview.data
  return (
    <form
      noValidate
      onSubmit={(e) => {
        e.preventDefault()
        submit()
      }}
    >
      <Stack gap="sm">
        <Text size="sm">{words} What was credited is debited; what is held is canceled. Endpoints that are sent rewards are told. A reward that was taken back is never granted again.</Text>
        <Textarea
          label="Why" description="Kept in the ledger, and shown with each reward" required autosize minRows={2} maxLength={500} data-autofocus value={why} error={fault}
          onChange={(e) => {
            setWhy(e.currentTarget.value)
            setFault('')
            preview.reset()
          }}
        />
        <ProblemNote error={act.error ?? preview.error} />
        {seen && (
          <Alert color={seen.rewards > 0 ? 'orange' : 'blue'} role="status" title={seen.rewards > 0 ? 'This is what it will do' : 'There is nothing to take back'}>
            {seen.rewards > 0 && (
              <List size="sm">
                {seen.sums.map((s) => (
                  <List.Item key={s.state + s.currency + s.app}>
                    {s.state === 'canceled' ? 'Cancel' : 'Take back'} {count(s.rewards)} {s.rewards === 1 ? 'reward' : 'rewards'}, <b>{money(s.amount)} {s.currency}</b> in all
                  </List.Item>
                ))}
              </List>
            )}
            {seen.skipped > 0 && <Text size="sm">{count(seen.skipped)} were taken back before, and stay as they are.</Text>}
            {seen.more && <Text size="sm">There are more than these: the rest is taken back as well, in parts.</Text>}
          </Alert>
        )}
        {act.isPending && gone > 0 && <Text size="sm" role="status">{count(gone)} are taken back so far.</Text>}
        <Group justify="flex-end">
          <Button variant="default" onClick={() => onClose(false)}>
            Cancel
          </Button>
          {seen && seen.rewards > 0 ? (
            <Button type="submit" color="red" loading={act.isPending}>
              Take back {seen.more ? 'all of them' : count(seen.rewards)}
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
