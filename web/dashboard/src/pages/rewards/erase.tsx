import { Alert, Button, List, Text } from '@mantine/core'
import { notifications } from '@mantine/notifications'
import { useMutation } from '@tanstack/react-query'
import { useEffect } from 'react'
import { api, ok } from '../../api/client'
import { ProblemNote } from '../../parts/answer'
import { Ask } from '../../parts/ask'
import { count } from '../../parts/number'

/** EraseDialog erases a user: it says how much of what is kept would go, asks for the reason, and does it. */
export function EraseDialog({ opened, onClose, app, user }: { opened: boolean; onClose: () => void; app: string; user: string }) {
  const preview = useMutation({ mutationFn: () => ok(api.POST('/v1/users/erase', { params: { query: { dry_run: true } }, body: { app, user, why: 'preview' } })) })
  const { mutate, reset } = preview
  useEffect(() => {
    if (opened) mutate()
    else reset()
  }, [opened, mutate, reset])
  const seen = preview.data
  const waits = (seen?.waiting ?? 0) > 0
  return (
    <Ask
      opened={opened} onClose={onClose} title="Erase the user" button="Erase the user for ever" why ready={!!seen && !waits}
      act={async (why) => {
        const done = await ok(api.POST('/v1/users/erase', { body: { app, user, why } }))
        notifications.show({ color: 'green', message: `The user is erased${done.as ? `: what has to stay is kept under the name ${done.as}` : ''}.` })
      }}
    >
      <Text size="sm">
        All that is kept about <b className="foreign">{user}</b> of {app} is removed. Rewards and their ledger lines stay, under a name that stands for nobody. This cannot be taken back. The reason
        is kept in the log: it should not name the person.
      </Text>
      <ProblemNote error={preview.error} />
      {seen && (
        <List size="sm" role="status" aria-label="What it will do">
          <List.Item>{count(seen.rewards)} rewards get another name</List.Item>
          <List.Item>{count(seen.events)} events are erased, with what was received and sent for them</List.Item>
          <List.Item>{count(seen.views)} views are erased</List.Item>
          <List.Item>{count(seen.refused)} refused postbacks are erased</List.Item>
        </List>
      )}
      {waits && (
        <Alert color="yellow" title="Not yet">
          <Text size="sm">{count(seen?.waiting ?? 0)} deliveries or holds are not over, and will name the user once more: nothing is erased before they have ended.</Text>
          <Button size="xs" mt="xs" variant="default" onClick={() => mutate()} loading={preview.isPending}>
            Look again
          </Button>
        </Alert>
      )}
    </Ask>
  )
}
