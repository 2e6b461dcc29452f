import { Alert, Button, Group, Modal, Stack, Text } from '@mantine/core'
import { IconEye } from '@tabler/icons-react'
import type { ReactNode } from 'react'
import { CopyText } from './copy'

/**
 * Once shows a secret that was just made, in a dialog that only its own button closes: nobody loses by a slip what is never shown again. Without
 * a text nothing is shown.
 */
export function Once({ text, title, what, onClose, children }: { text?: string; title: string; what: string; onClose: () => void; children?: ReactNode }) {
  return (
    <Modal opened={!!text} onClose={onClose} title={title} size="lg" closeOnClickOutside={false} closeOnEscape={false} withCloseButton={false}>
      <Stack gap="sm">
        <Alert color="yellow" icon={<IconEye aria-hidden />}>
          <Text size="sm">This is shown once: copy it now. It is not kept in a form that can be read again.</Text>
        </Alert>
        {text && <CopyText text={text} what={what} />}
        {children}
        <Group justify="flex-end">
          <Button onClick={onClose}>I have copied it</Button>
        </Group>
      </Stack>
    </Modal>
  )
}
