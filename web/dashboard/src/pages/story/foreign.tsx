import { Box, Button, Code, CopyButton, Text, Tooltip } from '@mantine/core'
import { IconCheck, IconTerminal2 } from '@tabler/icons-react'

/** Foreign shows what somebody else wrote as it is. With title, its label stands above it. unbroken lines are not wrapped. */
export function Foreign({ text, label, title, unbroken }: { text: string; label: string; title?: boolean; unbroken?: boolean }) {
  return (
    <Box mt={title ? 'xs' : 0}>
      {title && (
        <Text size="xs" fw={600} mb={2}>
          {label}
        </Text>
      )}
      <Code
        block className={unbroken ? undefined : 'foreign'} role="group" aria-label={label} tabIndex={0} mah={260}
        style={{ overflow: 'auto', whiteSpace: unbroken ? 'pre' : undefined }}
      >
        {text}
      </Code>
    </Box>
  )
}

/** CopyCurl copies a command that makes a request once more. masked says that a secret in it has to be filled in. */
export function CopyCurl({ command, masked }: { command: string; masked?: boolean }) {
  return (
    <CopyButton value={command} timeout={2000}>
      {({ copied, copy }) => (
        <Tooltip label={masked ? 'Secrets in it are masked: fill them in before you run it' : 'A command that makes this request once more'} multiline maw={260}>
          <Button
            variant="default" size="compact-xs" onClick={copy} color={copied ? 'green' : undefined} data-curl={command}
            leftSection={copied ? <IconCheck size={14} aria-hidden /> : <IconTerminal2 size={14} aria-hidden />}
          >
            {copied ? 'Copied' : 'Copy as curl'}
          </Button>
        </Tooltip>
      )}
    </CopyButton>
  )
}
