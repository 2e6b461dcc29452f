import { ActionIcon, Button, Code, CopyButton, Flex, Tooltip } from '@mantine/core'
import { IconCheck, IconCopy } from '@tabler/icons-react'

/** Copy is a small button that copies text. what names it for those who cannot see it. */
export function Copy({ text, what }: { text: string; what: string }) {
  return (
    <CopyButton value={text} timeout={2000}>
      {({ copied, copy }) => (
        <Tooltip label={copied ? 'Copied' : `Copy ${what}`}>
          <ActionIcon variant="subtle" color={copied ? 'green' : 'gray'} onClick={copy} aria-label={copied ? `Copied ${what}` : `Copy ${what}`}>
            {copied ? <IconCheck size={16} /> : <IconCopy size={16} />}
          </ActionIcon>
        </Tooltip>
      )}
    </CopyButton>
  )
}

/** CopyText shows a text that people paste somewhere else, such as a URL, whole and with a button that copies it. */
export function CopyText({ text, what }: { text: string; what: string }) {
  return (
    <Flex gap="xs" align="stretch" direction={{ base: 'column', xs: 'row' }}>
      <Code block className="foreign" style={{ flex: 1 }} tabIndex={0} aria-label={what}>
        {text}
      </Code>
      <CopyButton value={text} timeout={2000}>
        {({ copied, copy }) => (
          <Button onClick={copy} color={copied ? 'green' : undefined} leftSection={copied ? <IconCheck size={16} /> : <IconCopy size={16} />} h="auto" mih={40}>
            {copied ? 'Copied' : 'Copy'}
          </Button>
        )}
      </CopyButton>
    </Flex>
  )
}
