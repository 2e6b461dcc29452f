import { Button, Group, Modal, Stack, Textarea } from '@mantine/core'
import { useMutation } from '@tanstack/react-query'
import { type FormEvent, type ReactNode, useState } from 'react'
import { ProblemNote } from './answer'

/**
 * Ask is the dialog before something that cannot be taken back, or that others will want to understand: children say what is about to happen, the
 * button names it. With why, a reason has to be given, which the audit keeps. It stays open, with what was typed, while the server refuses.
 */
export function Ask(props: {
  opened: boolean
  onClose: () => void
  title: string
  button: string
  color?: string
  why?: boolean
  /** ready is false while something that children ask for is missing. */
  ready?: boolean
  act: (why: string) => Promise<unknown>
  children?: ReactNode
}) {
  const [why, setWhy] = useState('')
  const [fault, setFault] = useState('')
  const act = useMutation({ mutationFn: () => props.act(why.trim()), onSuccess: () => close() })
  function close() {
    setWhy('')
    setFault('')
    act.reset()
    props.onClose()
  }
  function submit(event: FormEvent) {
    event.preventDefault()
    if (props.why && !why.trim()) {
      setFault('Say why, in a few words: others will want to know')
      return
    }
    act.mutate()
  }
  return (
    <Modal opened={props.opened} onClose={close} title={props.title}>
      <form onSubmit={submit} noValidate>
        <Stack gap="sm">
          {props.children}
          {props.why && (
            <Textarea
              label="Why" description="Kept in the audit" autosize minRows={2} maxLength={500} required data-autofocus value={why} error={fault}
              onChange={(e) => {
                setWhy(e.currentTarget.value)
                setFault('')
              }}
            />
          )}
          <ProblemNote error={act.error} />
          <Group justify="flex-end">
            <Button variant="default" onClick={close}>
              Cancel
            </Button>
            <Button type="submit" color={props.color ?? 'red'} loading={act.isPending} disabled={props.ready === false}>
              {props.button}
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  )
}
